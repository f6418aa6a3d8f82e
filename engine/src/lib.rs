//! One slice's keyspace: its table, its effects, and every command on keys.
//!
//! The keyspace changes in exactly one way: an [`Effect`] is applied. A command's handler reads,
//! decides and applies effects; each applied effect is appended to the [`Batch`] of the turn in
//! the same call. Recovery and followers see effects only, never commands.
//!
//! The engine knows neither sockets nor Raft nor the disk, reads no clock and draws no chance:
//! equal calls give equal keyspaces.

#![deny(unsafe_code)]

#[allow(dead_code, reason = "the collections that stand on it come one after another")]
mod intset;
#[allow(
    dead_code,
    unused_imports,
    reason = "the collections that stand on it come one after another"
)]
mod listpack;

mod cursor;
mod keyspace;
mod rdb;
mod slot;
mod snapshot;
mod table;
mod values;

mod batch;
mod effect;
mod varint;

mod command;
mod context;
mod error;
mod expiry;
mod notes;
mod reply;
mod space;

mod commands;
mod double;
mod extended;
mod glob;
mod integer;

pub use batch::{Batch, BatchReader};
pub use command::{
    Access, Acl, Arity, Command, Find, Flag, Group, Key, KeyFlag, KeySpec, Keys, Logs, Runs,
    is_sorted,
};
pub use commands::{FAMILIES, encoding, gathered_size_max};
pub use context::{AccessMode, Args, ReadCx, ReadHandler, Run, WriteCx, WriteHandler};
pub use cursor::{Cursor, Position};
pub use effect::{DecodeError, Effect, Elements, ElementsBuf, End};
pub use error::{CommandError, until_nul};
pub use expiry::{Expired, ExpiryLimit, expire, expire_key, expire_size_max, hide, hide_key};
pub use glob::matches_glob;
pub use integer::parse_integer;
pub use keyspace::{Inverse, Keyspace, ReplayError};
pub use notes::{Class, Classes, KeyEvent, Lookups, Notes};
pub use reply::ReplySink;
pub use slot::slot_of;
pub use snapshot::{LoadError, SnapshotLoader, Walk};
pub use space::{Space, Spaces};
pub use table::{AccessPolicy, Entry, Memory};
pub use values::{EncodingLimits, Type};
