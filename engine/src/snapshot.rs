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
    parts: Map<(TableId, Box<[u8]>), Part>,
    /// Values in `parts` that the walk has come to.
    pending: VecDeque<(TableId, Box<[u8]>)>,
    /// Values that were deleted before they were walked.
    detached: VecDeque<(Part, EntryBox)>,
    /// Tables that were flushed before they were walked.
    flushed: Map<TableId, Table>,
    /// Something was taken back that it had seen, or a list lost its labels.
    is_spoiled: bool,
    /// Its number in the keyspace, from one.
    epoch: u32,
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
        let detached: usize = self.detached.iter().map(|(_, entry)| entry.view().size()).sum();
        let flushed: usize = self.flushed.values().map(|table| table.memory().total()).sum();
        let parts: usize = self.parts.values().map(Part::size).sum();
        self.saved.capacity() + self.early.capacity() * EARLY_SIZE + detached + flushed + parts
    }
}

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

    fn size(&self) -> usize {
        let early = match &self.progress {
            Progress::Blocks { early, .. } => early.capacity() * (size_of::<usize>() + 1),
            Progress::Members { early, .. } => early.capacity() * EARLY_SIZE,
            Progress::Nodes { .. } => 0,
        };
        self.head.key.len() + early
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
