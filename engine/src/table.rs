//! One database of a slice: entries in the order of slot and hash.
//!
//! Each slot has a root: nothing, a segment, or a directory of segments by the first bits of the
//! hash. A segment that is full grows by a quarter until it is the largest, then it splits in two;
//! no operation moves the entries of more than one segment. Keys that were made to collide do not
//! deepen the directory without end: beyond a depth that the count of entries explains, a segment
//! chains buckets.
//!
//! # Invariants
//!
//! * `roots` is empty, or one for each slot of the range; it is made at the first insert.
//! * The counts and sizes are exactly those of what is there; no entry expires before
//!   `min_expire_ms`, nor one of a root or a segment before their bounds.

mod access;
mod bucket;
mod entry;
mod maintain;
mod prefetch;
mod ranking;
mod root;
mod sample;
mod segment;
#[cfg(test)]
mod tests;
mod walk;

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use base::Slot;
use foldhash::quality::FixedState;

pub use access::AccessPolicy;
pub use entry::Entry;
pub(crate) use entry::{Attributes, EntryBox, INLINE_SIZE_MAX};
pub(crate) use ranking::{Edge, Ranking, Ranks};

/// The place of members, fields and the like in a table of their own: it has one slot.
pub(crate) const MEMBERS: Slot = Slot(0);

use maintain::Rover;
pub(crate) use maintain::is_large;
use prefetch::prefetch;
use root::Root;
use segment::{DEPTH_MAX, MOVED_MAX, SegmentBox};

/// Hashes keys by a secret, so that clients cannot choose keys that collide.
#[derive(Clone, Debug)]
pub(crate) struct KeyHasher {
    state: FixedState,
    /// For the other half of wide hashes.
    second: FixedState,
    /// Tests take bits away to make keys collide.
    #[cfg(test)]
    pub(crate) mask: u64,
}

impl KeyHasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: FixedState::with_seed(seed),
            second: FixedState::with_seed(seed ^ 0x7769_6465),
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = hash & self.mask;
        hash
    }
}

impl KeyHasher {
    /// So wide that no two keys that there ever are have the same.
    pub(crate) fn wide_hash(&self, key: &[u8]) -> u128 {
        let halves = [&self.state, &self.second].map(|state| {
            let mut hasher = state.build_hasher();
            hasher.write(key);
            hasher.finish()
        });
        u128::from(halves[0]) << 64 | u128::from(halves[1])
    }
}

/// Where a key is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) hash: u64,
}

/// Bytes allocated, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Keys with their values.
    pub entries: usize,
    /// The buckets that find them.
    pub tables: usize,
    /// What finds the buckets.
    pub directories: usize,
    /// What is no longer in the keyspace and waits to be freed.
    pub garbage: usize,
}

impl Memory {
    pub fn total(&self) -> usize {
        self.entries + self.tables + self.directories + self.garbage
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.tables += other.tables;
        self.directories += other.directories;
        self.garbage += other.garbage;
    }
}

/// Slots whose entries are counted together, to find a random one quickly.
const BLOCK: usize = 64;

/// Depths beyond those that the count of a slot's entries explains: so many more bits of hashes
/// of honest keys do not coincide.
const DEPTH_SLACK: u32 = 6;
/// The fewest entries of a segment that was split for its size.
const ENTRIES_SPLIT: usize = 128;

/// Owner: a keyspace.
#[derive(Debug)]
pub(crate) struct Table {
    first: u16,
    count: u16,
    roots: Vec<Root>,
    /// Entries of `BLOCK` slots each.
    blocks: Vec<usize>,
    len: usize,
    expires: usize,
    /// Entries with fields that expire.
    timed: usize,
    /// No entry expires before, nor a field of one: `u64::MAX` if none expires.
    min_expire_ms: Cell<u64>,
    /// Without garbage.
    memory: Memory,
    /// Entries removed since the last time the segments were looked over for sparse ones.
    removed: usize,
    /// Where that stands, or where freeing does once the table is dead.
    rover: Rover,
    is_dead: bool,
    /// Entries moved by growth, splits and merges.
    moved: u64,
}

impl Table {
    /// An empty one, which allocates nothing.
    pub(crate) fn new(slots: Range<u16>) -> Self {
        Self {
            first: slots.start,
            count: slots.end - slots.start,
            roots: Vec::new(),
            blocks: Vec::new(),
            len: 0,
            expires: 0,
            timed: 0,
            min_expire_ms: Cell::new(u64::MAX),
            memory: Memory::default(),
            removed: 0,
            rover: Rover::default(),
            is_dead: false,
            moved: 0,
        }
    }

    /// An empty one for members, fields and the like of one value.
    pub(crate) fn of_members() -> Self {
        Self::new(MEMBERS.0..MEMBERS.0 + 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// No entry expires before, nor a field of one; None: none expires at all.
    pub(crate) fn first_expire_ms(&self) -> Option<u64> {
        let bound = self.min_expire_ms.get();
        (0 < self.expires + self.timed && bound != u64::MAX).then_some(bound)
    }

    /// Entries with fields that expire.
    pub(crate) fn timed(&self) -> usize {
        self.timed
    }

    /// Entries with an expiry.
    pub(crate) fn expires(&self) -> usize {
        self.expires
    }

    pub(crate) fn memory(&self) -> Memory {
        self.memory
    }

    pub(crate) fn slot_len(&self, slot: Slot) -> usize {
        self.roots.get(self.number_of(slot)).map_or(0, Root::len)
    }

    fn number_of(&self, slot: Slot) -> usize {
        assert!(self.first <= slot.0 && slot.0 - self.first < self.count, "a slot of this slice");
        usize::from(slot.0 - self.first)
    }

    fn slot_at(&self, number: usize) -> Slot {
        Slot(self.first + number as u16)
    }

    #[inline]
    fn segment(&self, place: Place) -> Option<&SegmentBox> {
        let root = self.roots.get(self.number_of(place.slot))?;
        root.segments().get(root.index_of(place.hash))
    }

    #[inline]
    pub(crate) fn find(&self, place: Place, key: &[u8]) -> Option<Entry<'_>> {
        let segment = self.segment(place)?;
        let spot = segment.find(place.hash, key)?;
        Some(segment.entry(spot).view())
    }

    pub(crate) fn prefetch_bucket(&self, place: Place) {
        if let Some(segment) = self.segment(place) {
            prefetch(segment.home_address(place.hash));
        }
    }

    pub(crate) fn prefetch_entry(&self, place: Place) {
        if let Some(segment) = self.segment(place)
            && let Some(entry) = segment.candidate(place.hash)
        {
            let address = entry.view().address();
            prefetch(address);
            prefetch(address.wrapping_add(64));
        }
    }

    pub(crate) fn touch(entry: Entry<'_>, now_ms: u64, policy: AccessPolicy, chance: u64) {
        access::touch(entry, now_ms, policy, chance);
    }

    /// Changes an entry in its place; `None` if it is absent.
    pub(crate) fn update<R>(
        &mut self,
        place: Place,
        key: &[u8],
        change: impl FnOnce(&mut EntryBox) -> R,
    ) -> Option<R> {
        let number = self.number_of(place.slot);
        let root = self.roots.get_mut(number)?;
        let index = root.index_of(place.hash);
        let spot = root.segments().get(index)?.find(place.hash, key)?;
        let segment = root.segment_mut(index);
        let entry = segment.entry_mut(spot);
        self.memory.entries -= entry.view().size();
        self.expires -= usize::from(entry.view().expire_ms().is_some());
        self.timed -= usize::from(entry.view().has_timed_fields());
        let result = change(entry);
        debug_assert!(entry.view().key() == key);
        let due_ms = entry.view().due_ms();
        self.memory.entries += entry.view().size();
        self.expires += usize::from(entry.view().expire_ms().is_some());
        self.timed += usize::from(entry.view().has_timed_fields());
        segment.lower_min_expire(due_ms);
        self.lower_min_expire(number, due_ms);
        Some(result)
    }

    fn lower_min_expire(&self, number: usize, due_ms: Option<u64>) {
        if let Some(due_ms) = due_ms {
            let root = &self.roots[number];
            root.set_min_expire_ms(root.min_expire_ms().min(due_ms));
            self.min_expire_ms.set(self.min_expire_ms.get().min(due_ms));
        }
    }

    /// Adds an entry whose key is absent.
    pub(crate) fn insert(&mut self, place: Place, entry: EntryBox, hasher: &KeyHasher) {
        if self.roots.is_empty() {
            self.allocate_roots();
        }
        let number = self.number_of(place.slot);
        let due_ms = entry.view().due_ms();
        self.memory.entries += entry.view().size();
        self.len += 1;
        self.expires += usize::from(entry.view().expire_ms().is_some());
        self.timed += usize::from(entry.view().has_timed_fields());
        self.blocks[number / BLOCK] += 1;
        let root = &mut self.roots[number];
        root.add_len(1);
        if root.segments().is_empty() {
            let segment = SegmentBox::build(0, 0, Vec::new());
            self.memory.tables += segment.size();
            root.begin(segment);
        }
        let index = root.index_of(place.hash);
        if let Err(entry) = root.segment_mut(index).place(place.hash, entry) {
            self.make_room(number, index, place.hash, entry, hasher);
        }
        self.lower_min_expire(number, due_ms);
    }

    fn allocate_roots(&mut self) {
        let count = usize::from(self.count);
        self.roots.reserve_exact(count);
        self.roots.resize_with(count, Root::default);
        self.blocks = vec![0; count.div_ceil(BLOCK)];
        self.memory.directories += self.roots_size();
    }

    fn roots_size(&self) -> usize {
        self.roots.capacity() * size_of::<Root>() + self.blocks.capacity() * size_of::<usize>()
    }

    /// Adds an entry for which its segment has no room: the segment grows, or splits, or, if what
    /// it holds collides, gets a chain.
    fn make_room(
        &mut self,
        number: usize,
        index: usize,
        hash: u64,
        entry: EntryBox,
        hasher: &KeyHasher,
    ) {
        let root = &mut self.roots[number];
        let depth_max = (root.len() / ENTRIES_SPLIT + 1).ilog2() + DEPTH_SLACK;
        let directory_size = root.size();
        let segment = root.segment_mut(index);
        let size = segment.size();
        let depth = segment.depth();
        let may_split = depth < depth_max.min(DEPTH_MAX) && segment.is_movable();
        if segment.is_largest() && !may_split {
            segment.chain(hash, entry);
            self.memory.tables = self.memory.tables - size + segment.size();
            return;
        }
        let mut entries = Vec::with_capacity(segment.len() + 1);
        segment.drain(hasher, &mut entries);
        entries.push((hash, entry));
        let moved = entries.len();
        let new_size = if segment.is_largest() {
            let bit = 1 << (63 - depth);
            let (low, high) = entries.into_iter().partition(|(hash, _)| hash & bit == 0);
            let halves = [low, high].map(|half| SegmentBox::build(depth + 1, 0, half));
            let size = halves.iter().map(SegmentBox::size).sum();
            root.split(index, halves);
            size
        } else {
            let grown = SegmentBox::build(depth, segment.next_homes(), entries);
            let size = grown.size();
            root.replace(index, grown);
            size
        };
        self.memory.tables = self.memory.tables - size + new_size;
        self.memory.directories = self.memory.directories - directory_size + root.size();
        self.count_moved(moved);
    }

    fn count_moved(&mut self, moved: usize) {
        assert!(moved <= MOVED_MAX, "no operation moves more than one segment's entries");
        self.moved += moved as u64;
    }

    pub(crate) fn remove(&mut self, place: Place, key: &[u8]) -> Option<EntryBox> {
        let number = self.number_of(place.slot);
        let root = self.roots.get_mut(number)?;
        let index = root.index_of(place.hash);
        let spot = root.segments().get(index)?.find(place.hash, key)?;
        let segment = root.segment_mut(index);
        let size = segment.size();
        let entry = segment.take(place.hash, spot);
        self.memory.tables = self.memory.tables - size + segment.size();
        root.subtract_len(1);
        self.memory.entries -= entry.view().size();
        self.expires -= usize::from(entry.view().expire_ms().is_some());
        self.timed -= usize::from(entry.view().has_timed_fields());
        self.len -= 1;
        self.blocks[number / BLOCK] -= 1;
        self.removed += 1;
        Some(entry)
    }

    /// Asserts the invariants. Walks every entry.
    pub(crate) fn check(&self, hasher: &KeyHasher) {
        let mut memory = Memory { directories: self.roots_size(), ..Memory::default() };
        let (mut len, mut expires, mut timed) = (0, 0, 0);
        let mut blocks = vec![0; self.blocks.len()];
        assert!(self.roots.is_empty() || self.roots.len() == usize::from(self.count));
        for (number, root) in self.roots.iter().enumerate() {
            root.check();
            memory.directories += root.size();
            blocks[number / BLOCK] += root.len();
            for (index, segment) in root.each() {
                segment.check(hasher);
                memory.tables += segment.size();
                for entry in segment.entries() {
                    let entry = entry.view();
                    memory.entries += entry.size();
                    len += 1;
                    expires += usize::from(entry.expire_ms().is_some());
                    timed += usize::from(entry.has_timed_fields());
                    // A table of members has one slot, whatever they hash to.
                    assert!(
                        self.count == 1
                            || crate::slot::slot_of(entry.key()) == self.slot_at(number)
                    );
                    let (first, span) = root.words_of(root.index_of(hasher.hash(entry.key())));
                    assert!((first..first + span).contains(&index));
                    let bound = self.min_expire_ms.get();
                    assert!(entry.due_ms().is_none_or(|due_ms| bound <= due_ms));
                }
            }
        }
        assert!(memory == self.memory);
        assert!((len, expires, timed) == (self.len, self.expires, self.timed));
        assert!(blocks == self.blocks);
    }
}
