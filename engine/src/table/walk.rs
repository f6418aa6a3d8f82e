//! Walks over a table: all of it, a part in the order of slot and hash, what has expired.

use crate::cursor::{HASH_BITS, Position};

use super::entry::Entry;
use super::prefetch::prefetch;
use super::root::Root;
use super::segment::SegmentBox;
use super::{KeyHasher, Table};

/// Home buckets that one call of `scan` looks at, besides those for each entry it is to find.
const BUCKETS_MIN: usize = 64;
const BUCKETS_PER_ENTRY: usize = 16;

/// What finds a segment costs of a budget that counts entries.
const SEGMENT_COST: usize = 4;

impl Table {
    /// Visits every entry, in no order that means anything.
    pub(crate) fn for_each<'a>(&'a self, visit: &mut dyn FnMut(Entry<'a>)) {
        let segments = self.roots.iter().flat_map(Root::each);
        segments.flat_map(|(_, segment)| segment.entries()).for_each(|entry| visit(entry.view()));
    }

    /// Visits the entries at or behind a position, home bucket by home bucket, until it visited
    /// `count` or looked at many buckets. Returns where to go on; `None` at the end.
    ///
    /// A position between two calls is a boundary of hashes: all entries before it have been
    /// visited, none behind it. Since no entry's slot or hash ever changes, each entry that is
    /// there all the time is visited exactly once, whatever happens between the calls.
    pub(crate) fn scan<'a>(
        &'a self,
        hasher: &KeyHasher,
        from: Position,
        count: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> Option<Position> {
        let mut buckets = count.saturating_mul(BUCKETS_PER_ENTRY).saturating_add(BUCKETS_MIN);
        let mut count = count.max(1);
        let mut number = usize::from(from.slot().0.saturating_sub(self.first));
        let mut hash = if from.slot().0 < self.first { 0 } else { from.hash() };
        while let Some(root) = self.roots.get(number) {
            let mut at = Some(hash);
            while let Some(position) = at.filter(|_| root.len() != 0) {
                if count == 0 || buckets == 0 {
                    return Some(Position::new(self.slot_at(number), position));
                }
                let index = root.index_of(position << (64 - HASH_BITS));
                let segment = &root.segments()[index];
                let (first, span) = root.words_of(index);
                let start = position_at(root, first);
                if segment.len() == 0 {
                    at = next_segment(root, first + span);
                    continue;
                }
                let home = segment.home_of(position << (64 - HASH_BITS));
                let visited = scan_home(hasher, segment, home, position, visit);
                count = count.saturating_sub(visited);
                buckets -= 1;
                at = match segment.position_of(home + 1) {
                    Some(next) => Some(start + next),
                    None => next_segment(root, first + span),
                };
                assert!(at.is_none_or(|next| position < next), "an iteration comes to an end");
            }
            number += 1;
            hash = 0;
        }
        None
    }

    /// Visits entries that have expired, and those of whose fields some may have. Returns where to
    /// go on when the budget, in entries looked at, is used up; `None` at the end. Looks only where
    /// something may have expired.
    pub(crate) fn due<'a>(
        &'a self,
        now_ms: u64,
        from: Position,
        budget: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> Option<Position> {
        if now_ms < self.min_expire_ms.get() {
            return None;
        }
        let mut budget = budget.max(1);
        let mut number = usize::from(from.slot().0.saturating_sub(self.first));
        let mut hash = if from.slot().0 < self.first { 0 } else { from.hash() };
        // What the roots keep is rounded; what was looked at is known exactly.
        let before = self.roots[..number.min(self.roots.len())].iter();
        let mut lowest = before.map(Root::min_expire_ms).min().unwrap_or(u64::MAX);
        while let Some(root) = self.roots.get(number) {
            let mut known = root.min_expire_ms();
            if known <= now_ms {
                let mut index = root.index_of(hash << (64 - HASH_BITS));
                let is_whole = hash == 0;
                let mut bound = u64::MAX;
                while let Some(segment) = root.segments().get(index) {
                    if budget == 0 {
                        return Some(Position::new(self.slot_at(number), position_at(root, index)));
                    }
                    budget = budget.saturating_sub(SEGMENT_COST);
                    if segment.min_expire_ms() <= now_ms {
                        budget = budget.saturating_sub(segment.len());
                        visit_due(segment, now_ms, visit);
                    }
                    bound = bound.min(segment.min_expire_ms());
                    let (first, span) = root.words_of(index);
                    index = first + span;
                }
                if is_whole {
                    root.set_min_expire_ms(bound);
                    known = bound;
                }
            }
            lowest = lowest.min(known);
            number += 1;
            hash = 0;
        }
        self.min_expire_ms.set(lowest);
        None
    }
}

/// Of tables of members.
impl Table {
    /// Visits members that have expired: all of them, or at least more than `count`. True if they
    /// were all. Looks at every segment where one has.
    pub(crate) fn due_members<'a>(
        &'a self,
        now_ms: u64,
        count: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> bool {
        if now_ms < self.min_expire_ms.get() {
            return true;
        }
        let mut visited = 0;
        let mut lowest = u64::MAX;
        for root in &self.roots {
            let mut bound = u64::MAX;
            for (_, segment) in root.each() {
                if segment.min_expire_ms() <= now_ms {
                    if count < visited {
                        return false;
                    }
                    visit_due(segment, now_ms, &mut |entry| {
                        visited += 1;
                        visit(entry);
                    });
                }
                bound = bound.min(segment.min_expire_ms());
            }
            root.set_min_expire_ms(bound);
            lowest = lowest.min(bound);
        }
        self.min_expire_ms.set(lowest);
        true
    }
}

/// The lowest position of the segments that begin at a word.
fn position_at(root: &Root, index: usize) -> u64 {
    (index as u64) << (HASH_BITS - root.depth())
}

fn next_segment(root: &Root, index: usize) -> Option<u64> {
    (index < root.segments().len()).then(|| position_at(root, index))
}

/// Visits the entries at home in one bucket that are not before a position.
fn scan_home<'a>(
    hasher: &KeyHasher,
    segment: &'a SegmentBox,
    home: usize,
    from: u64,
    visit: &mut dyn FnMut(Entry<'a>),
) -> usize {
    let mut visited = 0;
    for entry in segment.bucket(home).entries() {
        prefetch(entry.view().address());
    }
    for index in segment.reach(home) {
        for entry in segment.bucket(index).entries() {
            let entry = entry.view();
            let hash = hasher.hash(entry.key());
            if segment.home_of(hash) == home && from <= hash >> (64 - HASH_BITS) {
                visited += 1;
                visit(entry);
            }
        }
    }
    visited
}

fn visit_due<'a>(segment: &'a SegmentBox, now_ms: u64, visit: &mut dyn FnMut(Entry<'a>)) {
    let mut bound = u64::MAX;
    for index in 0..segment.bucket_count() {
        for entry in segment.bucket(index).entries() {
            prefetch(entry.view().address());
        }
        for entry in segment.bucket(index).entries() {
            let entry = entry.view();
            bound = bound.min(entry.due_ms().unwrap_or(u64::MAX));
            if entry.is_due(now_ms) {
                visit(entry);
            }
        }
    }
    // What was visited still counts: only an effect deletes it.
    segment.set_min_expire_ms(bound);
}
