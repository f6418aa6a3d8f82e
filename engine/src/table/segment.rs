//! The entries of one range of hashes: buckets in the order of the hash.
//!
//! ```text
//! header | home buckets, 2 to 59 | stash buckets, 1 to 4        64 bytes each
//! ```
//!
//! An entry lies in its home bucket, in the next one (that of the last is the first), in the
//! stash, or, only if the segment may neither grow nor split, in the chain.
//!
//! # Invariants
//!
//! * The word of a [`SegmentBox`] holds the count of home buckets and the depth that its memory
//!   was made with: a lookup does not touch the header.
//! * Each home bucket counts its entries that lie elsewhere (see `Bucket`).
//! * Chained buckets are full but for the last, which is not empty.

#![allow(unsafe_code, reason = "a segment's size is known at run time only")]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ptr::NonNull;
use std::slice;

use super::KeyHasher;
use super::bucket::{Bucket, CELLS};
use super::entry::{Entry, EntryBox};

/// How many home buckets there can be, each step about a fifth to a half more than the
/// one before but for the smallest.
/// With header and stash they fill size classes of the usual allocators exactly: the largest is
/// one page.
const STEPS: [usize; 12] = [2, 4, 5, 8, 10, 14, 18, 22, 29, 37, 44, 59];
const HOMES_MAX: usize = STEPS[STEPS.len() - 1];

/// A segment with a longer chain is left alone: what it holds collides, and splits do not help.
const CHAIN_SPLIT_MAX: usize = 16;

/// The most entries one operation moves: those of one segment and the new one.
pub(super) const MOVED_MAX: usize = (HOMES_MAX + stash(HOMES_MAX) + CHAIN_SPLIT_MAX) * CELLS + 1;

/// Cells of the largest segment without a chain.
pub(super) const ENTRIES_MAX: usize = (HOMES_MAX + stash(HOMES_MAX)) * CELLS;

/// Entries of a segment of `homes` home buckets that leave it room to grow, in percent.
const FILL_BUILT: usize = 85;

const fn stash(homes: usize) -> usize {
    match homes {
        ..29 => 1,
        29..44 => 2,
        44..59 => 3,
        _ => 4,
    }
}

const _: () = assert!((1 + HOMES_MAX + stash(HOMES_MAX)) * UNIT == 4096);

#[repr(C, align(64))]
struct Header {
    entries: usize,
    /// No entry expires before, nor a field of one: a lower bound, `u64::MAX` if none expires.
    min_expire_ms: Cell<u64>,
    #[allow(clippy::vec_box, reason = "buckets stay where they are when the chain grows")]
    chain: Vec<Box<Bucket>>,
}

const UNIT: usize = size_of::<Bucket>();
const _: () = assert!(size_of::<Header>() == UNIT);
const _: () = assert!(align_of::<Header>() == UNIT && align_of::<Bucket>() == UNIT);

/// The count of home buckets lies in the bits that the alignment leaves free, the depth in those
/// above every address.
const HOMES_MASK: usize = UNIT - 1;
const DEPTH_SHIFT: u32 = 56;
const ADDRESS_MASK: usize = (1 << DEPTH_SHIFT) - 1 - HOMES_MASK;
const _: () = assert!(HOMES_MAX <= HOMES_MASK);

/// No segment is deeper.
pub(super) const DEPTH_MAX: u32 = 28;

/// Where an entry lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    bucket: usize,
    cell: usize,
}

/// Owns a segment. Owner: a root.
#[repr(transparent)]
pub(super) struct SegmentBox(NonNull<Header>);

// SAFETY: it owns its memory alone, and what lies there may move between threads.
unsafe impl Send for SegmentBox {}

fn layout(homes: usize) -> Layout {
    Layout::from_size_align((1 + homes + stash(homes)) * UNIT, UNIT).expect("it is a few KiB")
}

impl SegmentBox {
    /// An empty one.
    pub(super) fn new(homes: usize, depth: u32) -> Self {
        assert!(STEPS.contains(&homes));
        assert!(depth <= DEPTH_MAX);
        let layout = layout(homes);
        // SAFETY: the size is not zero. All zeros are empty buckets: no tags, and `None`s, since
        // an owned entry is a pointer that is not null.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        if memory.is_null() {
            alloc::handle_alloc_error(layout);
        }
        let header = Header { entries: 0, min_expire_ms: Cell::new(u64::MAX), chain: Vec::new() };
        // SAFETY: the memory begins with room for a header, aligned.
        unsafe { memory.cast::<Header>().write(header) };
        assert!(memory.addr() & !ADDRESS_MASK == 0);
        let word = memory.map_addr(|address| address | homes | (depth as usize) << DEPTH_SHIFT);
        Self(NonNull::new(word.cast()).expect("it was just found not to be null"))
    }

    fn homes(&self) -> usize {
        self.0.addr().get() & HOMES_MASK
    }

    pub(super) fn depth(&self) -> u32 {
        (self.0.addr().get() >> DEPTH_SHIFT) as u32
    }

    fn memory(&self) -> *mut Header {
        self.0.as_ptr().map_addr(|address| address & ADDRESS_MASK)
    }

    fn header(&self) -> &Header {
        // SAFETY: the memory begins with a header, and is borrowed with the segment.
        unsafe { &*self.memory() }
    }

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: the memory begins with a header, and is borrowed with the segment.
        unsafe { &mut *self.memory() }
    }

    /// Home buckets, then the stash.
    fn buckets(&self) -> &[Bucket] {
        let first = self.memory().wrapping_add(1).cast::<Bucket>();
        // SAFETY: so many buckets follow the header, and are borrowed with the segment.
        unsafe { slice::from_raw_parts(first, self.homes() + stash(self.homes())) }
    }

    fn buckets_mut(&mut self) -> &mut [Bucket] {
        let first = self.memory().wrapping_add(1).cast::<Bucket>();
        // SAFETY: so many buckets follow the header, and are borrowed with the segment.
        unsafe { slice::from_raw_parts_mut(first, self.homes() + stash(self.homes())) }
    }

    pub(super) fn home_address(&self, hash: u64) -> *const u8 {
        self.memory().wrapping_add(1 + self.home_of(hash)).cast()
    }
}

impl Drop for SegmentBox {
    fn drop(&mut self) {
        for bucket in self.buckets_mut() {
            mem::take(bucket);
        }
        self.header_mut().chain = Vec::new();
        // SAFETY: it was allocated with this layout, and nothing else owns it.
        unsafe { alloc::dealloc(self.memory().cast(), layout(self.homes())) };
    }
}

/// Where in a segment of `homes` home buckets a hash is at home. Rises with the hash.
///
/// Only the bits that a position holds decide, so that bucket boundaries are positions.
fn home(hash: u64, homes: usize, depth: u32) -> usize {
    let position = hash & !((1 << (64 - crate::cursor::HASH_BITS)) - 1);
    ((((position << depth) >> 32) * homes as u64) >> 32) as usize
}

impl SegmentBox {
    pub(super) fn len(&self) -> usize {
        self.header().entries
    }

    /// Bytes allocated for it, without its entries.
    pub(super) fn size(&self) -> usize {
        let chain = &self.header().chain;
        layout(self.homes()).size() + chain.len() * UNIT + chain.capacity() * size_of::<usize>()
    }

    pub(super) fn min_expire_ms(&self) -> u64 {
        self.header().min_expire_ms.get()
    }

    pub(super) fn set_min_expire_ms(&self, bound: u64) {
        self.header().min_expire_ms.set(bound);
    }

    pub(super) fn home_of(&self, hash: u64) -> usize {
        home(hash, self.homes(), self.depth())
    }

    /// The lowest position in the segment that is at home in `bucket` or behind it, without the
    /// bits that the directory decides; `None` behind the last bucket.
    pub(super) fn position_of(&self, bucket: usize) -> Option<u64> {
        if bucket == self.homes() {
            return None;
        }
        let fraction = ((bucket as u64) << 32).div_ceil(self.homes() as u64);
        let bits = 64 - crate::cursor::HASH_BITS;
        // `fraction` are the 32 bits of the hash behind the first `depth`.
        let hash = u128::from(fraction) << (32 - self.depth());
        Some(hash.div_ceil(1 << bits) as u64)
    }

    pub(super) fn bucket_count(&self) -> usize {
        self.buckets().len() + self.header().chain.len()
    }

    pub(super) fn bucket(&self, index: usize) -> &Bucket {
        let buckets = self.buckets();
        match buckets.get(index) {
            Some(bucket) => bucket,
            None => &self.header().chain[index - buckets.len()],
        }
    }

    fn bucket_mut(&mut self, index: usize) -> &mut Bucket {
        let count = self.buckets().len();
        if index < count {
            &mut self.buckets_mut()[index]
        } else {
            &mut self.header_mut().chain[index - count]
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &EntryBox> {
        (0..self.bucket_count()).flat_map(|index| self.bucket(index).entries())
    }

    /// Where the entries at home in `home` may lie.
    pub(super) fn reach(&self, home: usize) -> impl Iterator<Item = usize> + use<> {
        let homes = self.homes();
        let spilled = self.buckets()[home].has_spilled();
        let rest = spilled.then(|| {
            let next = if home + 1 == homes { 0 } else { home + 1 };
            std::iter::once(next).chain(homes..self.bucket_count())
        });
        std::iter::once(home).chain(rest.into_iter().flatten())
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<Spot> {
        let home = self.home_of(hash);
        if let Some(spot) = self.find_in(home, hash, key) {
            return Some(spot);
        }
        if !self.buckets()[home].has_spilled() {
            return None;
        }
        self.reach(home).skip(1).find_map(|bucket| self.find_in(bucket, hash, key))
    }

    #[inline]
    fn find_in(&self, index: usize, hash: u64, key: &[u8]) -> Option<Spot> {
        let bucket = self.bucket(index);
        for cell in bucket.matches(hash) {
            if bucket.entry(cell).is_some_and(|entry| entry.view().key() == key) {
                return Some(Spot { bucket: index, cell });
            }
        }
        None
    }

    /// The entries that `find` of this hash would look at, for prefetching.
    pub(super) fn candidate(&self, hash: u64) -> Option<&EntryBox> {
        let bucket = &self.buckets()[self.home_of(hash)];
        bucket.matches(hash).next().and_then(|cell| bucket.entry(cell))
    }

    pub(super) fn entry(&self, spot: Spot) -> &EntryBox {
        self.bucket(spot.bucket).entry(spot.cell).expect("a spot is that of an entry")
    }

    pub(super) fn entry_mut(&mut self, spot: Spot) -> &mut EntryBox {
        self.bucket_mut(spot.bucket).entry_mut(spot.cell).expect("a spot is that of an entry")
    }

    /// No entry expires before `expire_ms`, nor before what was so until now.
    pub(super) fn lower_min_expire(&mut self, expire_ms: Option<u64>) {
        if let Some(expire_ms) = expire_ms {
            let bound = &self.header().min_expire_ms;
            bound.set(bound.get().min(expire_ms));
        }
    }

    /// Gives the entry back if there is no room in its reach.
    pub(super) fn place(&mut self, hash: u64, entry: EntryBox) -> Result<(), EntryBox> {
        let homes = self.homes();
        let home = self.home_of(hash);
        let due_ms = entry.view().due_ms();
        let next = if home + 1 == homes { 0 } else { home + 1 };
        let buckets = self.buckets_mut();
        let mut entry = entry;
        for index in [home, next].into_iter().chain(homes..buckets.len()) {
            match buckets[index].place(hash, entry) {
                Ok(()) => {
                    if index != home {
                        buckets[home].spill();
                    }
                    self.header_mut().entries += 1;
                    self.lower_min_expire(due_ms);
                    return Ok(());
                }
                Err(back) => entry = back,
            }
        }
        Err(entry)
    }

    pub(super) fn chain(&mut self, hash: u64, entry: EntryBox) {
        let home = self.home_of(hash);
        self.lower_min_expire(entry.view().due_ms());
        self.buckets_mut()[home].spill();
        let header = self.header_mut();
        header.entries += 1;
        let entry = match header.chain.last_mut() {
            Some(last) => match last.place(hash, entry) {
                Ok(()) => return,
                Err(back) => back,
            },
            None => entry,
        };
        let mut bucket = Box::<Bucket>::default();
        bucket.place(hash, entry).expect("an empty bucket has room");
        header.chain.push(bucket);
    }

    /// The hash is that of the entry.
    pub(super) fn take(&mut self, hash: u64, spot: Spot) -> EntryBox {
        let home = self.home_of(hash);
        let entry = self.bucket_mut(spot.bucket).take(spot.cell);
        if spot.bucket != home {
            self.buckets_mut()[home].unspill();
        }
        self.header_mut().entries -= 1;
        if let Some(index) = spot.bucket.checked_sub(self.buckets().len()) {
            self.close_gap(index, spot.cell);
        }
        entry
    }

    /// Moves the last entry of the chain to where one was taken.
    fn close_gap(&mut self, index: usize, cell: usize) {
        let chain = &mut self.header_mut().chain;
        let mut last = chain.pop().expect("there is a chain");
        if index < chain.len() {
            let from = last.occupied().next().expect("a chained bucket is not empty");
            chain[index].refill(cell, &mut last, from);
        }
        if last.len() != 0 {
            chain.push(last);
        } else if chain.is_empty() {
            *chain = Vec::new();
        }
    }

    /// May its entries be moved in one operation?
    pub(super) fn is_movable(&self) -> bool {
        self.header().chain.len() <= CHAIN_SPLIT_MAX
    }

    pub(super) fn is_largest(&self) -> bool {
        self.homes() == HOMES_MAX
    }

    /// Takes all entries out, with their hashes, in the order of the buckets.
    pub(super) fn drain(&mut self, hasher: &KeyHasher, into: &mut Vec<(u64, EntryBox)>) {
        assert!(self.is_movable());
        let hashed = |entry: EntryBox| (hasher.hash(entry.view().key()), entry);
        for bucket in self.buckets_mut() {
            let mut bucket = mem::take(bucket);
            into.extend(bucket.occupied().map(|cell| hashed(bucket.take(cell))));
        }
        let header = self.header_mut();
        header.entries = 0;
        for mut bucket in mem::take(&mut header.chain) {
            into.extend(bucket.occupied().map(|cell| hashed(bucket.take(cell))));
        }
        assert!(into.len() <= MOVED_MAX, "one operation moves the entries of one segment");
    }

    /// Takes out the entries that are wanted. The segment is dropped next: where others may lie is
    /// not kept.
    pub(super) fn extract(&mut self, is_wanted: fn(Entry<'_>) -> bool, into: &mut Vec<EntryBox>) {
        for index in 0..self.bucket_count() {
            for cell in self.bucket(index).occupied() {
                if self.bucket(index).entry(cell).is_some_and(|entry| is_wanted(entry.view())) {
                    into.push(self.bucket_mut(index).take(cell));
                }
            }
        }
    }

    /// A segment of at least `homes_min` home buckets that holds these, with some room to grow.
    /// What finds no place in the largest is chained.
    pub(super) fn build(depth: u32, homes_min: usize, entries: Vec<(u64, EntryBox)>) -> Self {
        let has_room = |homes: usize| {
            let cells = (homes + stash(homes)) * CELLS;
            entries.len() * 100 <= cells * FILL_BUILT && fits(&entries, homes, depth)
        };
        let steps = STEPS.into_iter().filter(|homes| homes_min <= *homes);
        let homes = steps.clone().find(|homes| has_room(*homes)).unwrap_or(HOMES_MAX);
        let mut segment = Self::new(homes, depth);
        for (hash, entry) in entries {
            if let Err(entry) = segment.place(hash, entry) {
                segment.chain(hash, entry);
            }
        }
        segment
    }

    /// The size of the next step, for a segment that is not the largest.
    pub(super) fn next_homes(&self) -> usize {
        let next = STEPS.into_iter().find(|homes| self.homes() < *homes);
        next.expect("the largest segment is split")
    }

    /// It would be smaller if it were built anew.
    pub(super) fn is_sparse(&self) -> bool {
        STEPS[0] < self.homes() && self.len() * 100 < self.buckets().len() * CELLS * 35
    }

    pub(super) fn check(&self, hasher: &KeyHasher) {
        let homes = self.homes();
        let mut spilled = vec![0usize; homes];
        let mut count = 0;
        for index in 0..self.bucket_count() {
            let bucket = self.bucket(index);
            for cell in bucket.occupied() {
                let entry = bucket.entry(cell).expect("an occupied cell holds an entry").view();
                entry.check(hasher);
                let hash = hasher.hash(entry.key());
                bucket.check_tag(cell, hash);
                let home = self.home_of(hash);
                assert!(self.reach(home).any(|reached| reached == index));
                spilled[home] += usize::from(index != home);
                count += 1;
                let bound = self.min_expire_ms();
                assert!(entry.due_ms().is_none_or(|due_ms| bound <= due_ms));
            }
        }
        assert!(count == self.len());
        for (bucket, spilled) in self.buckets()[..homes].iter().zip(spilled) {
            bucket.check(spilled);
        }
        let chain = &self.header().chain;
        for (index, bucket) in chain.iter().enumerate() {
            assert!(if index + 1 < chain.len() { bucket.len() == CELLS } else { 0 < bucket.len() });
        }
    }
}

/// Would all find a place, in this order?
fn fits(entries: &[(u64, EntryBox)], homes: usize, depth: u32) -> bool {
    let mut lens = [0u8; HOMES_MAX + 1];
    let mut stashed = 0;
    for (hash, _) in entries {
        let home = home(*hash, homes, depth);
        let next = if home + 1 == homes { 0 } else { home + 1 };
        match [home, next].into_iter().find(|bucket| usize::from(lens[*bucket]) < CELLS) {
            Some(bucket) => lens[bucket] += 1,
            None => stashed += 1,
        }
    }
    stashed <= stash(homes) * CELLS
}

impl fmt::Debug for SegmentBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("homes", &self.homes())
            .field("depth", &self.depth())
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}
