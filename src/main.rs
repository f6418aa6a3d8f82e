//! The `toroid` binary: the command line.
//!
//! `serve` runs the server (the default), `verify` checks a data directory and `wal` looks into a log,
//! both without changing anything.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod chance;
mod command_line;
mod config;
mod data_dir;
mod exit;
mod housekeeping;
mod log_files;
mod old_logs;
mod planted;
mod recovery;
mod replay;
mod runner;
mod serve;
mod shell;
mod snapshots;
mod verify;
mod wal_tool;

/// Per-thread heaps fit a thread per core; measured by others on the same shape of load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command_line::run() {
        Ok(status) => ExitCode::from(status.code()),
        Err(failure) => failure.exit(),
    }
}
