//! A node with its disk, its clients and its clocks in one thread, from one seed.
//!
//! The code of `node`, `engine`, `wal`, `raft` and `net` runs as it is; the simulator plays the
//! kernel, the disk and the clients, and decides by the seed what happens when. Equal seeds give
//! equal histories, so a finding is replayed by its number.
//!
//! [`run_seed`] runs one; start reading at `world`, then `disk` for what can be lost, and
//! `checker` for what must not be.

#![forbid(unsafe_code)]

mod world;

mod archive;
mod disk;
mod link;
mod resp;
mod shelf;
mod workload;

mod checker;
mod history;
mod keys;
mod plan;
mod recorded;
mod surviving;

mod marks;
mod plants;
mod report;
mod trace;

pub use marks::{MARKS, UNREACHED};
pub use plan::Planting;
pub use plants::{PLANTS, Planted};
pub use recorded::{Checked, check_recorded};
pub use report::{REQUIRED, Report};
pub use world::{CRASHES_MIN, Finding, OPERATIONS_MIN, Outcome, VIRTUAL_US_MIN, run_seed};
