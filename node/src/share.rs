//! How much of a turn goes into replies: who asks for much lets the others go first.
//!
//! To make a large reply takes a core as long as thousands of small ones. So a turn makes so many
//! bytes of replies and no more for the clients whose replies are large; the rest of what they
//! asked for goes on in the next turn. At least one of them is served in each.
//!
//! Who lets large replies lie gets more of them at a walking pace: it is in no hurry, and what is
//! made for it takes fresh memory, whose pages cost more than the bytes in them.

use base::Now;

/// A turn makes so many bytes of replies before clients with large ones wait for the next.
pub(crate) const REPLIES_PER_TURN: usize = 1024 * 1024;

/// A client with large replies that leaves so many bytes of them lying is in no hurry.
pub(crate) const UNREAD_SIZE: usize = 4 * 1024 * 1024;

/// What is made for those in no hurry: bytes in a microsecond, and bytes at once.
const TRICKLE_RATE: i64 = 100;
const TRICKLE_SIZE: i64 = REPLIES_PER_TURN as i64;

/// Bytes of replies for those in no hurry. Owner: core.
#[derive(Debug)]
pub(crate) struct Trickle {
    /// What may be made; below zero, what was made too much.
    left: i64,
    /// When `left` was so: microseconds.
    at_us: u64,
}

impl Default for Trickle {
    fn default() -> Self {
        Self { left: TRICKLE_SIZE, at_us: 0 }
    }
}

impl Trickle {
    /// May more be made now?
    pub(crate) fn flows(&mut self, now: Now) -> bool {
        let passed_us = now.monotonic_us.saturating_sub(self.at_us);
        let gained = TRICKLE_RATE.saturating_mul(i64::try_from(passed_us).unwrap_or(i64::MAX));
        self.left = self.left.saturating_add(gained).min(TRICKLE_SIZE);
        self.at_us = now.monotonic_us;
        0 < self.left
    }

    pub(crate) fn note(&mut self, size: usize) {
        self.left -= size as i64;
    }

    /// From when on more may be made: microseconds of the monotonic clock.
    pub(crate) fn flows_at_us(&self) -> u64 {
        let missing = (1 - self.left).max(0) as u64;
        self.at_us + missing.div_ceil(TRICKLE_RATE as u64)
    }
}

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Bytes of replies made in this turn.
    pub(crate) replied: usize,
    /// One client with large replies is served although the turn is full.
    pub(crate) owes_one: bool,
}

impl Share {
    pub(crate) fn is_full(&self) -> bool {
        REPLIES_PER_TURN <= self.replied
    }

    /// May a client with large replies be served now?
    pub(crate) fn admits(&mut self) -> bool {
        !self.is_full() || std::mem::take(&mut self.owes_one)
    }
}
