//! One core's whole state machine: events in, outputs out, nothing in between that waits.
//!
//! `node` introduces the parts that do not know each other: requests come from `net`, execute in
//! `engine`, are committed through `raft`, and become durable in `wal`. It reads no clock, draws
//! no chance that was not seeded and does no I/O, so the simulator runs it as it is.
//!
//! Start at [`Node`], then `dispatch` for the path of one request, `slice` for the path of a
//! batch, `gate` and `parked` for why a reply waits.

#![forbid(unsafe_code)]

mod boot;
mod commands;
mod config;
mod describe;
mod dispatch;
mod durability;
mod error;
mod event;
mod gate;
mod input;
mod node;
mod parked;
mod planted;
mod registry;
mod reply;
mod room;
mod session;
mod slice;
mod stats;

pub use boot::Boot;
pub use config::{Config, Facts, REDIS_VERSION};
pub use describe::describe;
pub use durability::Durability;
pub use event::{Event, Output};
pub use node::Node;
pub use planted::Plant;
