//! One core's whole state machine: events in, outputs out, nothing in between that waits.
//!
//! `node` introduces the parts that do not know each other: requests come from `net`, execute in
//! `engine`, are committed through `raft`, and become durable in `wal`. It reads no clock, draws
//! no chance that was not seeded and does no I/O, so the simulator runs it as it is.
//!
//! Start at [`Node`], then `dispatch` and `execute` for the path of one request, `cores` and `loans`
//! for what crosses cores, `slices` and `group` for the path of a batch, `gate` and `parked` for why
//! a reply waits, `replay` for how a start finds it all again.

#![forbid(unsafe_code)]

mod node;

mod clients;
mod input;
mod pause;
mod registry;
mod reply;
mod roster;
mod selection;
mod session;
mod settings;
mod share;
mod slow_log;

mod caller;
mod circumstances;
mod commands;
mod dispatch;
mod error;
mod execute;
mod monitor;
mod pubsub;
mod put_off;
mod room;
mod stalled;

mod ask;
mod cores;
mod job;
mod latency;
mod later;
mod loans;
mod long;
mod multi;
mod parcel;
mod watches;
mod work;

mod attachment;
mod gate;
mod group;
mod history;
mod parked;
mod retention;
mod slice;
mod slices;
mod snapshots;
mod topology;
mod transactions;

mod eviction;
mod expiry_cycle;
mod idle;
mod memory;
mod upkeep;

mod config;
mod describe;
mod durability;
mod event;
mod planted;
mod replay;
mod stats;
mod tally;

pub use attachment::Place;
pub use config::{Config, CpuTime, CpuTimes, Facts, REDIS_VERSION};
pub use describe::describe;
pub use durability::Durability;
pub use event::{Event, InForce, Output};
pub use long::LongJob;
pub use node::{Node, NodeStart};
pub use parcel::Parcel;
pub use planted::Plant;
pub use replay::{LogReplay, SliceReplay, SliceRestore, SliceStart, Uncovered, settle_replays};
pub use settings::{Effect, MemoryPolicy, OutputLimit, SETTINGS, Setting, Settings};
pub use snapshots::{Published, SnapshotEvent, SnapshotOutput, SnapshotSteps};
pub use topology::Topology;
