//! The few words every crate of Toroid shares: identities, time, limits, seeded chance.
//!
//! `base` lies under all other crates and depends on none of them. It holds plain values only: no
//! I/O, no clock, no randomness that was not seeded by the caller. A thing belongs here only when
//! two crates that may not know each other must agree on it.

#![forbid(unsafe_code)]

mod ids;
mod map;
mod prng;
mod time;

pub mod double;
pub mod limits;
pub mod mark;

pub use ids::{ConnectionId, CoreId, FrameSequence, Gate, LogIndex, SliceId, Slot, Term};
pub use map::{Map, Set};
pub use prng::Prng;
pub use time::Now;
