//! What may be seen: the last write of every key that is not settled yet.
//!
//! Execution runs ahead of the disk. A read of a key whose last write is still in flight waits
//! for that write; a read of any other key leaves at once (DESIGN section 6). Keys are known by a
//! 64-bit hash: two keys that collide only wait for each other.
//!
//! # Invariants
//!
//! * Every index held is above `settled`.
//! * `order` holds each (index, hash) of `written` and is sorted by index.

use std::collections::VecDeque;

use base::{LogIndex, Map};

/// The unsettled writes of one slice.
#[derive(Debug, Default)]
pub(crate) struct SliceGate {
    written: Map<u64, LogIndex>,
    order: VecDeque<(LogIndex, u64)>,
    /// Every key of the slice was written here (FLUSHALL).
    floor: LogIndex,
    settled: LogIndex,
}

impl SliceGate {
    /// The key with `hash` is written by the entry at `index`.
    pub(crate) fn mark(&mut self, hash: u64, index: LogIndex) {
        assert!(self.settled < index);
        if self.written.insert(hash, index) != Some(index) {
            self.order.push_back((index, hash));
        }
    }

    /// Every key is written by the entry at `index`.
    pub(crate) fn raise_floor(&mut self, index: LogIndex) {
        assert!(self.settled < index);
        assert!(self.floor <= index);
        self.floor = index;
    }

    /// Nothing is in flight.
    pub(crate) fn is_clear(&self) -> bool {
        self.written.is_empty() && self.floor == LogIndex::NONE
    }

    /// What a reply that saw the key with `hash` must wait for; NONE if nothing.
    ///
    /// A key that is absent may be absent because of a write in flight, so misses look here too
    /// (PROTOCOL F23).
    pub(crate) fn last_write(&self, hash: u64) -> LogIndex {
        if self.written.is_empty() {
            return self.floor;
        }
        self.written.get(&hash).copied().unwrap_or(LogIndex::NONE).max(self.floor)
    }

    /// What a reply that saw no key in particular but the whole slice must wait for.
    pub(crate) fn last_write_of_all(&self) -> LogIndex {
        self.order.back().map_or(LogIndex::NONE, |(index, _)| *index).max(self.floor)
    }

    /// Everything up to `settled` can no longer be lost.
    pub(crate) fn settle(&mut self, settled: LogIndex) {
        assert!(self.settled <= settled);
        self.settled = settled;
        while let Some((index, hash)) = self.order.front().copied() {
            if settled < index {
                break;
            }
            self.order.pop_front();
            if self.written.get(&hash) == Some(&index) {
                self.written.remove(&hash);
            }
        }
        if self.floor <= settled {
            self.floor = LogIndex::NONE;
        }
        self.check();
    }

    fn check(&self) {
        assert!(self.written.len() <= self.order.len());
        assert!(self.order.front().is_none_or(|(index, _)| self.settled < *index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_for_its_last_write_and_no_longer() {
        let mut gate = SliceGate::default();
        gate.mark(1, LogIndex(1));
        gate.mark(2, LogIndex(1));
        gate.mark(1, LogIndex(2));
        assert_eq!(gate.last_write(1), LogIndex(2));
        assert_eq!(gate.last_write(3), LogIndex::NONE);
        gate.settle(LogIndex(1));
        assert_eq!(gate.last_write(1), LogIndex(2));
        assert_eq!(gate.last_write(2), LogIndex::NONE);
        gate.settle(LogIndex(2));
        assert_eq!(gate.last_write(1), LogIndex::NONE);
        assert_eq!(gate.last_write_of_all(), LogIndex::NONE);
    }

    #[test]
    fn a_flush_makes_every_key_wait() {
        let mut gate = SliceGate::default();
        gate.raise_floor(LogIndex(5));
        assert_eq!(gate.last_write(77), LogIndex(5));
        gate.mark(77, LogIndex(6));
        assert_eq!(gate.last_write(77), LogIndex(6));
        assert_eq!(gate.last_write_of_all(), LogIndex(6));
        gate.settle(LogIndex(5));
        assert_eq!(gate.last_write(78), LogIndex::NONE);
    }
}
