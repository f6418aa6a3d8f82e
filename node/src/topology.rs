//! Which core owns which slice, and which slice holds which slot.
//!
//! The number of slices is fixed when data is created; the number of cores belongs to one start.

use base::limits::{SLICES_MAX, SLOTS};
use base::{CoreId, SliceId, Slot};

/// Owner: node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    cores: u16,
    slices: u16,
}

impl Topology {
    /// # Panics
    ///
    /// If there are more cores than slices, or the number of slices is no power of two.
    pub fn new(cores: u16, slices: u16) -> Self {
        assert!(0 < cores);
        assert!(cores <= slices);
        assert!(slices.is_power_of_two());
        assert!(slices <= SLICES_MAX);
        Self { cores, slices }
    }

    pub fn cores(self) -> u16 {
        self.cores
    }

    pub fn slices(self) -> u16 {
        self.slices
    }

    /// The core that owns `slice` in this start.
    pub fn owner(self, slice: SliceId) -> CoreId {
        CoreId(slice.0 % self.cores)
    }

    /// The slice that holds `slot`: slices are contiguous ranges of slots.
    pub fn slice_of(self, slot: Slot) -> SliceId {
        SliceId(slot.0 >> self.slots_of_slice().trailing_zeros())
    }

    /// The slots of `slice`.
    pub fn slots(self, slice: SliceId) -> std::ops::Range<u16> {
        let size = self.slots_of_slice();
        slice.0 * size..(slice.0 + 1) * size
    }

    /// The slices `core` owns.
    pub fn slices_of(self, core: CoreId) -> impl Iterator<Item = SliceId> {
        (core.0..self.slices).step_by(usize::from(self.cores)).map(SliceId)
    }

    /// Every core but `core`.
    pub(crate) fn others(self, core: CoreId) -> impl Iterator<Item = CoreId> {
        (0..self.cores).map(CoreId).filter(move |other| *other != core)
    }

    fn slots_of_slice(self) -> u16 {
        SLOTS / self.slices
    }
}

/// A set of slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SliceSet {
    words: [u64; WORDS],
}

const WORDS: usize = SLICES_MAX as usize / 64;

impl SliceSet {
    pub(crate) fn all(slices: u16) -> Self {
        let mut set = Self::default();
        (0..slices).for_each(|slice| set.insert(SliceId(slice)));
        set
    }

    pub(crate) fn insert(&mut self, slice: SliceId) {
        self.words[usize::from(slice.0) / 64] |= 1 << (slice.0 % 64);
    }

    pub(crate) fn remove(&mut self, slice: SliceId) {
        self.words[usize::from(slice.0) / 64] &= !(1 << (slice.0 % 64));
    }

    pub(crate) fn contains(&self, slice: SliceId) -> bool {
        self.words[usize::from(slice.0) / 64] & 1 << (slice.0 % 64) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.words.iter_mut().zip(other.words).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn is_subset(&self, of: &Self) -> bool {
        self.words.iter().zip(of.words).all(|(word, of)| word & !of == 0)
    }

    /// From the lowest to the highest.
    pub(crate) fn iter(&self) -> Iter {
        Iter { words: self.words, at: 0 }
    }
}

/// The slices of a set, from the lowest to the highest.
#[derive(Clone, Debug)]
pub(crate) struct Iter {
    words: [u64; WORDS],
    at: usize,
}

impl Iterator for Iter {
    type Item = SliceId;

    fn next(&mut self) -> Option<SliceId> {
        while self.at < WORDS {
            let word = self.words[self.at];
            if word != 0 {
                // The lowest bit goes.
                self.words[self.at] = word & (word - 1);
                return Some(SliceId((64 * self.at) as u16 + word.trailing_zeros() as u16));
            }
            self.at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_slice_and_every_slice_one_owner() {
        for (cores, slices) in [(1, 1), (1, 16), (2, 16), (3, 16), (16, 16), (5, 1024)] {
            let topology = Topology::new(cores, slices);
            for slot in 0..SLOTS {
                assert!(topology.slots(topology.slice_of(Slot(slot))).contains(&slot));
            }
            let mut owned = SliceSet::default();
            for core in (0..cores).map(CoreId) {
                for slice in topology.slices_of(core) {
                    assert_eq!(topology.owner(slice), core);
                    assert!(!owned.contains(slice));
                    owned.insert(slice);
                }
            }
            assert_eq!(owned, SliceSet::all(slices));
        }
    }

    #[test]
    fn a_set_holds_what_was_inserted_in_order() {
        let mut set = SliceSet::default();
        assert!(set.is_empty());
        for slice in [900, 3, 64, 63, 3] {
            set.insert(SliceId(slice));
        }
        let slices: Vec<u16> = set.iter().map(|slice| slice.0).collect();
        assert_eq!(slices, [3, 63, 64, 900]);
        assert_eq!(set.len(), 4);
        assert!(set.is_subset(&SliceSet::all(1024)));
        assert!(!SliceSet::all(4).is_subset(&set));
    }
}
