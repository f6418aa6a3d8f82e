//! The ring against the real kernel: loopback sockets, files on a real disk.

mod disk;
mod network;
mod server;
mod turns;
mod wake;
