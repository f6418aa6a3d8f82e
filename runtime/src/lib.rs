//! The only crate of Toroid that talks to the kernel.
//!
//! One [`Ring`] per core carries its network, its log and its signals: the shell hands it what
//! `node` wants done and gets back what the kernel has done, with one system call per turn. Around
//! it stand the things a process does once, at its start: checking the kernel, listening, locking
//! and reading a directory, pinning a thread.
//!
//! `runtime` carries out and reports; it decides nothing and knows no crate but `base`.

#![deny(unsafe_code)]

mod affinity;
#[expect(unsafe_code, reason = "the allocator is asked by its own interface")]
pub mod allocator;
mod clock;
mod error;
#[expect(unsafe_code, reason = "memory shared with the kernel is allocated and lent by pointer")]
mod memory;
mod probe;
mod ring;
#[expect(unsafe_code, reason = "signal masks and signalfd have no safe wrapper")]
mod signals;
#[expect(unsafe_code, reason = "getrusage has no safe wrapper")]
mod usage;

pub mod files;
pub mod housekeeping;
pub mod listen;
pub mod mesh;

pub use affinity::{inherited_cpus, pin};
pub use clock::now;
pub use error::{DiskError, RingError, SetupError};
pub use probe::{Denial, KernelFacts, raise_open_files};
pub use ring::{Event, Options, Ring, Stats, WakeBy, Waker};
pub use signals::{Signal, block_signals};
pub use usage::CpuTime;
