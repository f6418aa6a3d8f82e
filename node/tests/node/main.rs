//! The node as its clients see it, with a disk that completes when it is told to.

#[path = "../support/world.rs"]
mod world;

#[path = "../support/cores.rs"]
mod cores;

mod admin;
mod clients;
mod fields;
mod gate;
mod handshakes;
mod hazards;
mod limits;
mod many_cores;
mod monitor;
mod notifications;
mod pubsub;
mod random;
mod session;
mod settings;
mod start;
