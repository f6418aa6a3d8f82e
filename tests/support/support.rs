//! What the end-to-end tests share: the real binary as a child process, a small client, a ledger.
//!
//! Each test binary includes this file by path, since the tests of one concern are one binary. The
//! server under test is always a process of its own; these tests know it only by its command line,
//! its socket, its files and its end.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of what they share")]

mod bank;
mod chance;
mod client;
mod directory;
mod host;
mod ledger;
mod load;
mod server;

pub(crate) use bank::{Bank, BankDay};
pub(crate) use chance::Chance;
pub(crate) use client::{Client, Reply, encode};
pub(crate) use directory::Directory;
pub(crate) use host::{HostLock, flush_count, log_files, raise_file_limit, resident_size};
pub(crate) use ledger::{Key, Kind, Ledger};
pub(crate) use load::Load;
pub(crate) use server::{Refusal, Server, Start, free_port, toroid, verify_log, wait_for};
