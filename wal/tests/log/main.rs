//! The log on a disk in memory.

mod bench;
mod crash;
mod damage;
mod disk;
mod full_disk;
mod golden;
mod golden_log;
mod model;
#[cfg(feature = "planted")]
mod planted;
mod running;
mod trim;
