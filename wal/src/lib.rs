//! One core's log: frames, segments, group commit, recovery.
//!
//! The log knows frames and records, not what a record means. It is pure: what must be written
//! goes out as [`Output`]s, completions come back as [`Event`]s, and recovery reads through
//! [`LogRead`]. The bytes are described in `docs/formats/wal.md`.
//!
//! ```text
//!   LogRead ──> recover ──> Recovered ──> Wal::new ──> flush the tail ──> header ──> running
//!                                                                                       │
//!   append ──> open batch ──close_batch──> queued frames ──poll_output──> in flight ──handle──> durable
//! ```
//!
//! The promise: `Wal::durable` never passes a frame that a power cut could still take, and a frame
//! that it has passed is never silently dropped.

#![forbid(unsafe_code)]

mod bytes;
mod config;
mod file;
mod frame;
mod hard_state;
mod holdings;
mod inspect;
mod output;
mod planted;
mod record;
mod recovery;
mod segment;
mod wal;

pub mod snapshot;

pub use config::Config;
pub use file::{LogFile, LogRead, ReadError};
pub use frame::{Fault, FrameHeader, HINTS_MAX, Run};
pub use hard_state::{HARD_STATE_SLOT_SIZE, HARD_STATES_MAX};
pub use holdings::Pin;
pub use inspect::{Finding, Identified, Life, Problem, Verified, identify, inspect, verify};
pub use output::{Event, Halt, IoError, Operation, Output, Write, WriteRefusal};
#[cfg(feature = "planted")]
pub use planted::Plant;
pub use planted::Planted;
pub use record::{HardState, RECORD_HEADER_SIZE, Record};
#[cfg(feature = "planted")]
pub use recovery::recover_planted;
pub use recovery::{Cut, Recovered, RecoveryError, recover};
pub use segment::{HEADER_SIZE, SegmentHeader};
pub use wal::{Stats, Wal};
