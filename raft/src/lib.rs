//! Consensus of one slice: the calls through which a slice commits, and who answers them.
//!
//! [`Consensus`] is the seam. Above it, `node` executes, proposes, writes what a [`Ready`] holds
//! and reports when that is durable; below it, an implementation decides what is committed. It
//! does no I/O, reads no clock and does not know what an entry means. [`SingleVoter`] is the
//! implementation for a slice with one replica. Why the seam has this shape: ADR 002.

#![forbid(unsafe_code)]

mod consensus;
mod ready;
mod single_voter;

pub use consensus::{Consensus, ReadyOf, Refusal, Refused, ReplicaId, Role};
pub use ready::{Entry, HardState, Outgoing, Ready, ReadyNumber};
pub use single_voter::{Recovered, SingleVoter};
