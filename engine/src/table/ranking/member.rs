//! One member of a sorted set as its tree knows it: a pointer to the entry in the member table.
//!
//! The entry's key is the member's name, its value the eight bytes of the score. This is the one
//! place where the tree's pointers are read through.
//!
//! # Invariants
//!
//! * A [`Member`] in use points to an entry that is in the member table, and whose score is a
//!   number. [`Ranking`](super::Ranking) takes a member out of its tree before it changes or frees
//!   the entry.

#![allow(unsafe_code, reason = "the tree points to entries that the member table owns")]

use std::cmp::Ordering;

use super::super::entry::{Entry, EntryPointer};
use super::super::prefetch::prefetch;

/// The bytes of a score in its entry.
pub(super) const SCORE_SIZE: usize = size_of::<f64>();

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Member(EntryPointer);

impl Member {
    /// What fills the unused cells of a node.
    pub(super) const NONE: Self = Self(EntryPointer::DANGLING);

    /// # Safety
    ///
    /// The entry is neither changed nor freed as long as this or a copy of it is used.
    pub(super) unsafe fn new(entry: Entry<'_>) -> Self {
        Self(EntryPointer::to(entry))
    }

    fn entry(&self) -> Entry<'_> {
        // SAFETY: whoever made it keeps the entry as it is, see `new`.
        unsafe { self.0.entry() }
    }

    pub(super) fn name(&self) -> &[u8] {
        self.entry().key()
    }

    pub(super) fn score(&self) -> f64 {
        score_of(self.entry())
    }

    pub(super) fn order(&self) -> Order {
        Order::of(self.score())
    }

    /// Starts to load what comparisons read.
    pub(super) fn prefetch(&self) {
        // The address is all that is needed: the entry need not be read.
        prefetch(self.0.address());
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order()).then_with(|| self.name().cmp(other.name()))
    }
}

/// The score that an entry of a member table holds.
pub(super) fn score_of(entry: Entry<'_>) -> f64 {
    let value = entry.string().expect("a score has eight bytes, which are inline");
    f64::from_le_bytes(value.try_into().expect("a score has eight bytes"))
}

/// A score as an integer of the same order; both zeros are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u64);

impl Order {
    /// What fills the unused cells of a node.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn of(score: f64) -> Self {
        debug_assert!(!score.is_nan());
        // Adding zero makes a negative zero a positive one.
        let bits = (score + 0.0).to_bits();
        Self(if bits >> 63 == 0 { bits | 1 << 63 } else { !bits })
    }
}
