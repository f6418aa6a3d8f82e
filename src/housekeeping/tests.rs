//! Snapshots written through a disk that forgets, and through the real thread.

mod attempts;
mod crash;
mod disk;
mod node;
mod real;
