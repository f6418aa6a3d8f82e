//! A slice as it was at one moment, while it goes on to change.
//!
//! A walker goes over the keys in the order of database, slot and hash, a little at a time. What
//! is about to change and was not walked yet is saved first, so that what comes out, in whatever
//! order, is what there was when the snapshot began: each key once, as a whole, or, if it is
//! large, each of its parts once. Nothing is copied for it and nothing of it is in the tables: a
//! place in their order tells what was walked, sets of hashes tell what was saved out of order.
//!
//! ```text
//! record   a head, then
//! whole    the value's size and bytes, as they are stored
//! blocks   the string's size, an offset, a size, bytes
//! members  a count, then each: flags, size and bytes of the member, of its value, [its time]
//! nodes    a count, then each: a label, a form, size and bytes
//! head     tag, database, flags, form, access word (4 bytes), key size, key, [time (8 bytes)]
//! ```
//!
//! Sizes, counts and offsets are varints, labels 8 bytes; all little-endian. Forms are those of
//! `values::Form`, by number.
//!
//! # Invariants
//!
//! * A value is in `parts` from when it is first touched or walked until all of it was walked.
//! * What has no part was walked if its place is before `at`, saved if its hash is in `early`,
//!   and otherwise is as it was when the snapshot began.

mod load;
mod record;
mod save;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::VecDeque;

use base::limits::DATABASES;
use base::{Map, Set};

use crate::cursor::{HASH_BITS, Position};
use crate::table::{Entry, EntryBox, INLINE_SIZE_MAX, KeyHasher, Place, Table};
use crate::values::{Form, Object};

pub use load::{LoadError, SnapshotLoader};
use record::Head;
pub use walk::Walk;

/// Bytes that are not longer are saved as a whole; a longer string in blocks.
const WHOLE_SIZE_MAX: usize = if cfg!(test) { 1500 } else { 1024 * 1024 };
const BLOCK_SIZE: usize = if cfg!(test) { 256 } else { 256 * 1024 };
const _: () = assert!(INLINE_SIZE_MAX <= WHOLE_SIZE_MAX);

/// A table, whatever database holds it at the moment: one of the first `DATABASES` was there when
/// the snapshot began.
type TableId = u32;

/// Owner: a keyspace, from the beginning of a snapshot to its end.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The table that each database holds.
    ids: [TableId; DATABASES as usize],
    next_id: TableId,
    /// The table that is walked; all before it are done.
    table: TableId,
    /// How far.
    at: Position,
    /// Of what lies behind `at`: keys that are saved, and such that are new.
    early: Set<u128>,
    /// What was saved before it changed.
    saved: Vec<u8>,
    parts: Map<Name, Part>,
    /// Values in `parts` that the walk has come to.
    pending: VecDeque<Name>,
    /// Values that were deleted before they were walked.
    detached: VecDeque<(Part, EntryBox)>,
    /// Tables that were flushed before they were walked.
    flushed: Map<TableId, Table>,
    /// Something was taken back that it had seen, or a list lost its labels.
    is_spoiled: bool,
    /// Its number in the keyspace, from one.
    epoch: u32,
    /// Bytes of `parts`, `detached` and `flushed`.
    held: usize,
}

/// A large value that is saved part by part.
#[derive(Debug)]
pub(crate) struct Part {
    /// As it was when the snapshot began.
    head: Head,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    /// A string of so many bytes: the first block that was not walked, and those behind it that
    /// are saved.
    Blocks { size: usize, next: usize, early: Set<usize> },
    /// Members: how far they were walked, and those behind it that are saved or new.
    Members { at: Option<Position>, early: Set<u128> },
    /// Nodes of a list, which know themselves whether they were seen: the label of the next, and
    /// how often labels had been given anew.
    Nodes { next: u64, relabels: u32 },
}

impl Snapshot {
    pub(crate) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            held: 0,
            ids: std::array::from_fn(|db| db as TableId),
            next_id: DATABASES.into(),
            table: 0,
            at: Position::START,
            early: Set::default(),
            saved: Vec::new(),
            parts: Map::default(),
            pending: VecDeque::new(),
            detached: VecDeque::new(),
            flushed: Map::default(),
            is_spoiled: false,
        }
    }

    /// Was a key at this place walked, unless it is in parts?
    fn is_walked(&self, id: TableId, place: Place) -> bool {
        let is_new = TableId::from(DATABASES) <= id;
        is_new || id < self.table || id == self.table && position_of(place) < self.at
    }

    /// Bytes that the snapshot holds besides the keyspace.
    pub(crate) fn size(&self) -> usize {
        self.saved.capacity() + self.early.capacity() * EARLY_SIZE + self.held
    }

    fn insert_part(&mut self, name: Name, part: Part) {
        self.held += part.size();
        let other = self.parts.insert(name, part);
        assert!(other.is_none(), "a value has one part");
    }

    fn remove_part(&mut self, name: &Name) -> Option<Part> {
        let part = self.parts.remove(name)?;
        self.held -= part.size();
        Some(part)
    }

    fn detach(&mut self, part: Part, entry: EntryBox) {
        self.held += part.size() + entry.view().size();
        self.detached.push_back((part, entry));
    }

    /// The first of the values that left was walked.
    fn take_detached(&mut self) -> EntryBox {
        let (part, entry) = self.detached.pop_front().expect("the caller has seen it");
        self.held -= part.size() + entry.view().size();
        entry
    }

    fn keep_flushed(&mut self, id: TableId, table: Table) {
        self.held += table.memory().total();
        self.flushed.insert(id, table);
    }

    fn take_table(&mut self, id: TableId) -> Option<Table> {
        let table = self.flushed.remove(&id)?;
        self.held -= table.memory().total();
        Some(table)
    }

    /// Its size is what it holds.
    pub(crate) fn check(&self) {
        let parts: usize = self.parts.values().map(Part::size).sum();
        let detached = self.detached.iter();
        let detached = detached.map(|(part, entry)| part.size() + entry.view().size());
        let detached: usize = detached.sum();
        let flushed: usize = self.flushed.values().map(|table| table.memory().total()).sum();
        assert!(self.held == parts + detached + flushed);
    }
}

/// Of a value: its table and its key.
type Name = (TableId, Box<[u8]>);

/// Bytes of one place of a set of hashes.
const EARLY_SIZE: usize = size_of::<u128>() + 1;

impl Part {
    fn new(db: TableId, entry: Entry<'_>, epoch: u32) -> Self {
        let progress = match (entry.packed(), entry.object()) {
            (Some(bytes), _) => {
                Progress::Blocks { size: bytes.len(), next: 0, early: Set::default() }
            }
            (None, Some(Object::List(nodes))) => {
                nodes.begin_epoch(epoch);
                Progress::Nodes { next: 0, relabels: nodes.relabels() }
            }
            (None, _) => Progress::Members { at: Some(Position::START), early: Set::default() },
        };
        Self { head: Head::of(db, entry), progress }
    }

    /// What was saved early stays noted: a set says that it has other room once something leaves.
    fn size(&self) -> usize {
        let early = match &self.progress {
            Progress::Blocks { early, .. } => early.capacity() * (size_of::<usize>() + 1),
            Progress::Members { early, .. } => early.capacity() * EARLY_SIZE,
            Progress::Nodes { .. } => 0,
        };
        size_of::<Self>() + 2 * self.head.key.len() + early
    }
}

/// Is it saved part by part?
fn is_large(entry: Entry<'_>) -> bool {
    match entry.packed() {
        Some(bytes) => entry.form() == Form::String && WHOLE_SIZE_MAX < bytes.len(),
        None => true,
    }
}

fn position_of(place: Place) -> Position {
    Position::new(place.slot, place.hash >> (u64::BITS - HASH_BITS))
}

/// Of a key in a table; wide enough that no two of them are ever equal.
fn mark_of(hasher: &KeyHasher, id: TableId, key: &[u8]) -> u128 {
    hasher.wide_hash(key) ^ u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}
