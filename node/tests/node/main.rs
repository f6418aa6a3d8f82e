//! The node as its clients see it, with a disk that completes when it is told to.

#[path = "../support/world.rs"]
mod world;

#[path = "../support/shelf.rs"]
mod shelf;

#[path = "../support/cores.rs"]
mod cores;

mod admin;
mod clients;
mod fairness;
mod fields;
mod found;
mod gate;
mod handshakes;
mod hazards;
mod limits;
mod long;
mod many_cores;
mod monitor;
mod notifications;
mod pubsub;
mod random;
mod retention;
mod session;
mod settings;
mod snapshots;
mod start;
