//! Host checks: what of this machine stands in the way of a database, with the exact fix.
//!
//! Everything is read from `/proc` and `/sys` below one root ([`Host`]), so that tests check a
//! machine made of files. Nothing is ever changed here.

#![forbid(unsafe_code)]

mod check;
mod finding;
mod host;
mod memory;
mod storage;

pub use check::{Needs, check};
pub use finding::Finding;
pub use host::Host;
pub use memory::{MemoryLimit, memory_limit};
pub use storage::{FileSystem, Storage, WriteCache, storage};
