//! Random entries.

use base::Prng;

use super::entry::Entry;
use super::prefetch::prefetch;
use super::segment::SegmentBox;
use super::{BLOCK, Table};

/// Draws before a search stands in for chance: of segments, and of cells in one.
const DRAWS_MAX: usize = 64;

/// Entries that one draw gives: neighbours by their hash are as good as any, and near.
const RUN: usize = 8;

impl Table {
    /// An entry, each about as likely as any other: that of the slot is exact, and within one the
    /// segments divide the hashes evenly.
    pub(crate) fn random(&self, prng: &mut Prng) -> Option<Entry<'_>> {
        let (segment, bucket) = self.random_bucket(prng)?;
        let entries: Vec<_> = segment.bucket(bucket).entries().collect();
        Some(entries[prng.index(entries.len())].view())
    }

    /// Visits `count` entries, in short runs from random places: the same one perhaps twice.
    pub(crate) fn sample<'a>(
        &'a self,
        prng: &mut Prng,
        count: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) {
        let mut wanted = count.min(self.len());
        while 0 < wanted {
            let Some((segment, first)) = self.random_bucket(prng) else { return };
            let mut run = RUN.min(wanted);
            for index in (first..segment.bucket_count()).chain(0..first) {
                if run == 0 {
                    break;
                }
                let bucket = segment.bucket(index);
                bucket.entries().for_each(|entry| prefetch(entry.view().address()));
                for entry in bucket.entries().take(run) {
                    visit(entry.view());
                    run -= 1;
                    wanted -= 1;
                }
            }
        }
    }

    /// A segment and a bucket that holds an entry, likely in proportion to the entries there.
    fn random_bucket(&self, prng: &mut Prng) -> Option<(&SegmentBox, usize)> {
        if self.len() == 0 {
            return None;
        }
        let root = &self.roots[self.random_slot(prng)];
        let segments = root.segments();
        let draws = (0..DRAWS_MAX).map(|_| &segments[prng.index(segments.len())]);
        let drawn = draws.into_iter().find(|segment| segment.len() != 0);
        let segment = drawn.or_else(|| segments.iter().find(|segment| segment.len() != 0));
        let segment = segment.expect("the slot holds an entry");
        let count = segment.bucket_count();
        // A bucket is taken as likely as it is full.
        for _ in 0..DRAWS_MAX {
            let bucket = prng.index(count);
            if prng.index(super::bucket::CELLS) < segment.bucket(bucket).len() {
                return Some((segment, bucket));
            }
        }
        let first = prng.index(count);
        let mut buckets = (first..count).chain(0..first);
        let bucket = buckets.find(|bucket| segment.bucket(*bucket).len() != 0);
        Some((segment, bucket.expect("the segment holds an entry")))
    }

    fn random_slot(&self, prng: &mut Prng) -> usize {
        let mut rank = prng.index(self.len());
        let block = self.blocks.iter().position(|entries| match rank.checked_sub(*entries) {
            Some(rest) => {
                rank = rest;
                false
            }
            None => true,
        });
        let first = block.expect("the blocks hold all entries") * BLOCK;
        let slot = self.roots[first..].iter().position(|root| match rank.checked_sub(root.len()) {
            Some(rest) => {
                rank = rest;
                false
            }
            None => true,
        });
        first + slot.expect("the slots of a block hold its entries")
    }
}
