//! What is put off until there is time: sparse segments become one, a dead table is freed.

use super::entry::{Entry, EntryBox};
use super::root::Root;
use super::segment::{ENTRIES_MAX, SegmentBox};
use super::{BLOCK, KeyHasher, Table};

/// What looking at a segment or a slot costs of a budget that counts entries.
const SEGMENT_COST: usize = 4;

/// What is smaller is freed at once: bytes.
const LARGE_SIZE_MIN: usize = 64 * 1024;

/// A table is looked over when one in so many entries was removed since the last time.
const REMOVED_SHARE: usize = 8;

/// Where a pass over the slots stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rover {
    slot: usize,
    index: usize,
    is_under_way: bool,
}

impl Table {
    /// Makes sparse segments smaller, or one of two, as far as the budget reaches. True if there
    /// is more to do.
    pub(crate) fn maintain(&mut self, budget: &mut usize, hasher: &KeyHasher) -> bool {
        let mut rover = self.rover;
        let is_more = self.look_over(&mut rover, budget, hasher);
        self.rover = rover;
        is_more
    }

    fn look_over(&mut self, rover: &mut Rover, budget: &mut usize, hasher: &KeyHasher) -> bool {
        if !rover.is_under_way {
            if self.removed == 0 || self.removed * REMOVED_SHARE < self.len {
                return false;
            }
            self.removed = 0;
            *rover = Rover { slot: 0, index: 0, is_under_way: true };
        }
        while let Some(root) = self.roots.get(rover.slot) {
            if *budget == 0 {
                return true;
            }
            // An empty slot is one word: many are looked at for the price of a segment.
            if rover.slot.is_multiple_of(64) || !root.segments().is_empty() {
                *budget = budget.saturating_sub(SEGMENT_COST);
            }
            if self.roots[rover.slot].len() == 0 {
                self.clear_slot(rover.slot);
            }
            if rover.index < self.roots[rover.slot].segments().len() {
                let moved = self.condense(rover, hasher);
                *budget = budget.saturating_sub(moved);
                continue;
            }
            self.halve(rover.slot);
            rover.slot += 1;
            rover.index = 0;
        }
        if self.len == 0 {
            self.release_roots();
        }
        *rover = Rover::default();
        false
    }

    /// Frees some of a table that is no longer used, and hands over what is too large for one step.
    /// True if there is more of it.
    pub(crate) fn free(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        if !self.is_dead {
            self.is_dead = true;
            self.rover = Rover::default();
        }
        while let Some(root) = self.roots.last() {
            if *budget == 0 {
                return true;
            }
            let number = self.roots.len() - 1;
            if root.segments().is_empty() {
                self.roots.pop();
                *budget = budget.saturating_sub(usize::from(number.is_multiple_of(64)));
                continue;
            }
            let freed = self.free_segment(number, large);
            *budget = budget.saturating_sub(freed + SEGMENT_COST);
        }
        self.release_roots();
        false
    }

    /// Frees the entries of one segment of a slot but for the large ones, or what is left of the
    /// slot; returns how many.
    fn free_segment(&mut self, number: usize, large: &mut Vec<EntryBox>) -> usize {
        let root = &mut self.roots[number];
        let index = self.rover.index;
        if root.segments().len() <= index {
            self.rover.index = 0;
            self.clear_slot(number);
            return 0;
        }
        let (first, span) = root.words_of(index);
        self.rover.index = first + span;
        let segment = root.segment_mut(index);
        let (freed, size) = (segment.len(), segment.size());
        let mut has_large = false;
        for entry in segment.entries().map(EntryBox::view) {
            has_large |= is_large(entry);
            self.memory.entries -= entry.size();
            self.expires -= usize::from(entry.expire_ms().is_some());
            self.timed -= usize::from(entry.has_timed_fields());
        }
        if has_large {
            segment.extract(is_large, large);
        }
        let empty = SegmentBox::build(segment.depth(), 0, Vec::new());
        self.memory.tables = self.memory.tables - size + empty.size();
        root.replace(index, empty);
        root.subtract_len(freed);
        self.len -= freed;
        self.blocks[number / BLOCK] -= freed;
        freed
    }

    fn clear_slot(&mut self, number: usize) {
        let root = &mut self.roots[number];
        self.memory.tables -= root.each().map(|(_, segment)| segment.size()).sum::<usize>();
        self.memory.directories -= root.size();
        root.clear();
    }

    fn halve(&mut self, number: usize) {
        let root = &mut self.roots[number];
        self.memory.directories -= root.size();
        root.halve();
        self.memory.directories += root.size();
    }

    /// Frees the slots of a table without entries; those that were emptied after a pass had seen
    /// them still have a segment.
    fn release_roots(&mut self) {
        assert!(self.len == 0);
        self.memory.tables = 0;
        self.memory.directories = 0;
        self.roots = Vec::new();
        self.blocks = Vec::new();
        self.min_expire_ms.set(u64::MAX);
    }

    /// Looks at one segment, and goes on to the next if there is nothing to gain. Returns how many
    /// entries it moved.
    fn condense(&mut self, rover: &mut Rover, hasher: &KeyHasher) -> usize {
        let root = &mut self.roots[rover.slot];
        let (first, span) = root.words_of(rover.index);
        rover.index = first + span;
        let segment = &root.segments()[first];
        if !segment.is_movable() {
            return 0;
        }
        let (depth, size) = (segment.depth(), segment.size());
        let mut entries = Vec::new();
        if let Some(buddy) = mergeable_buddy(root, first, span) {
            let size = size + root.segments()[buddy].size();
            root.segment_mut(first).drain(hasher, &mut entries);
            root.segment_mut(buddy).drain(hasher, &mut entries);
            let moved = entries.len();
            let merged = SegmentBox::build(depth - 1, 0, entries);
            self.memory.tables = self.memory.tables - size + merged.size();
            root.merge(first, merged);
            // What became one may become one with its own buddy, which may be the one before.
            rover.index = first.min(buddy).saturating_sub(2 * span);
            self.count_moved(moved);
            return moved;
        }
        if !segment.is_sparse() {
            return 0;
        }
        root.segment_mut(first).drain(hasher, &mut entries);
        let moved = entries.len();
        let smaller = SegmentBox::build(depth, 0, entries);
        self.memory.tables = self.memory.tables - size + smaller.size();
        root.replace(first, smaller);
        self.count_moved(moved);
        moved
    }
}

/// It is freed by itself: what is smaller is freed with what it lies in.
pub(crate) fn is_large(entry: Entry<'_>) -> bool {
    LARGE_SIZE_MIN <= entry.size()
}

/// The word of the other half of the hashes that a segment one less deep would hold, if that
/// segment would be sparse.
fn mergeable_buddy(root: &Root, first: usize, span: usize) -> Option<usize> {
    let segment = &root.segments()[first];
    if segment.depth() == 0 {
        return None;
    }
    let buddy = first ^ span;
    let other = &root.segments()[buddy];
    let is_sparse = (segment.len() + other.len()) * 100 < ENTRIES_MAX * 35;
    (other.depth() == segment.depth() && other.is_movable() && is_sparse).then_some(buddy)
}
