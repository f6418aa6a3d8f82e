//! The housekeeping thread, on real files.

mod bench;
mod desks;
mod steps;
