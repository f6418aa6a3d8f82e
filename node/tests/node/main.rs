//! The node as its clients see it, with a disk that completes when it is told to.

#[path = "../support/world.rs"]
mod world;

mod gate;
mod session;
mod start;
