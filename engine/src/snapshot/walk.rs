//! The walker: from where it stands, as far as a budget reaches.

use base::Map;
use base::limits::DATABASES;

use super::record::{Tag, encode_bytes, encode_member, encode_node, encode_whole};
use super::{BLOCK_SIZE, Name, Part, Progress, Snapshot, TableId, is_large, mark_of};
use crate::cursor::Position;
use crate::keyspace::Keyspace;
use crate::table::{Entry, KeyHasher, MEMBERS, Table};
use crate::values::{Form, Object};
use crate::varint;

/// What a step of the walker came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// There is more to walk.
    More,
    /// Everything there was when the snapshot began has come out.
    Done,
    /// What the snapshot had seen was taken back: it is worth nothing.
    Spoiled,
}

/// Entries visited between two looks at the budget.
const STEP: usize = 16;
/// Bytes of nodes that are visited in one go.
const NODES_SIZE: usize = 32 * 1024;
/// Bytes that cost as much as an entry.
const BYTES_PER_ENTRY: usize = 1024;

impl Keyspace {
    /// Begins a snapshot: what comes out of the walk is the keyspace of this moment.
    ///
    /// # Panics
    ///
    /// If one is under way.
    pub fn snapshot_begin(&mut self) {
        assert!(self.snapshot.is_none(), "one snapshot at a time");
        self.snapshots_begun += 1;
        self.snapshot = Some(Box::new(Snapshot::new(self.snapshots_begun)));
    }

    /// A snapshot is under way.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Bytes held for the snapshot, besides what the keyspace holds anyway.
    pub fn snapshot_size(&self) -> usize {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.size())
    }

    /// Ends a snapshot before its time, if one is under way.
    pub fn snapshot_abort(&mut self) {
        if let Some(snapshot) = self.snapshot.take() {
            let Snapshot { detached, flushed, .. } = *snapshot;
            detached.into_iter().for_each(|(_, entry)| self.garbage.take_entry(entry));
            flushed.into_values().for_each(|table| self.garbage.take_table(table));
        }
    }

    /// Goes on, and appends whole records to `out`: what was saved since the last step, then about
    /// as many entries as the budget says. After [`Walk::Done`] and [`Walk::Spoiled`] there is no
    /// snapshot any more.
    ///
    /// # Panics
    ///
    /// If no snapshot is under way.
    pub fn snapshot_walk(&mut self, budget: usize, out: &mut Vec<u8>) -> Walk {
        let mut snapshot = self.snapshot.take().expect("a snapshot is under way");
        if snapshot.is_spoiled {
            self.snapshot = Some(snapshot);
            self.snapshot_abort();
            return Walk::Spoiled;
        }
        out.append(&mut snapshot.saved);
        let mut budget = budget.max(1);
        let is_done = loop {
            if budget == 0 {
                break false;
            }
            if !self.step(&mut snapshot, &mut budget, out) {
                break true;
            }
        };
        if snapshot.is_spoiled {
            self.snapshot = Some(snapshot);
            self.snapshot_abort();
            return Walk::Spoiled;
        }
        if is_done {
            assert!(snapshot.saved.is_empty() && snapshot.parts.is_empty());
            let flushed = snapshot.flushed.into_values();
            flushed.for_each(|table| self.garbage.take_table(table));
            return Walk::Done;
        }
        self.snapshot = Some(snapshot);
        Walk::More
    }

    /// False if there was nothing left to do.
    fn step(&mut self, snapshot: &mut Snapshot, budget: &mut usize, out: &mut Vec<u8>) -> bool {
        if let Some((part, entry)) = snapshot.detached.front_mut() {
            if part.is_lost(entry.view()) {
                snapshot.is_spoiled = true;
                return false;
            }
            if part.walk(entry.view(), &self.hasher, budget, out) {
                let entry = snapshot.take_detached();
                self.garbage.take_entry(entry);
            }
            return true;
        }
        if let Some(name) = snapshot.pending.front() {
            let (id, key) = name;
            let place = self.place(key);
            let table = table_of(&self.databases, &snapshot.ids, &snapshot.flushed, *id);
            let entry = table.find(place, key).expect("a value with a part is there");
            let part = snapshot.parts.get_mut(name).expect("what is pending has a part");
            if part.is_lost(entry) {
                snapshot.is_spoiled = true;
                return false;
            }
            if part.walk(entry, &self.hasher, budget, out) {
                let name = snapshot.pending.pop_front().expect("it was just seen");
                snapshot.remove_part(&name);
            }
            return true;
        }
        if TableId::from(DATABASES) <= snapshot.table {
            return false;
        }
        self.step_table(snapshot, budget, out);
        true
    }

    fn step_table(&mut self, snapshot: &mut Snapshot, budget: &mut usize, out: &mut Vec<u8>) {
        let id = snapshot.table;
        let table = table_of(&self.databases, &snapshot.ids, &snapshot.flushed, id);
        let (early, parts, hasher) = (&snapshot.early, &snapshot.parts, &self.hasher);
        let (mut cost, mut large) = (1, Vec::new());
        let next = table.scan(hasher, snapshot.at, STEP.min(*budget), &mut |entry| {
            cost += 1;
            if !early.is_empty() && early.contains(&mark_of(hasher, id, entry.key())) {
                return;
            }
            // A list with a part may have become one listpack meanwhile.
            let has_part = || {
                let name = || (id, entry.key().into());
                entry.form() == Form::ListPack && !parts.is_empty() && parts.contains_key(&name())
            };
            if is_large(entry) || has_part() {
                large.push(entry);
            } else {
                let value = entry.packed().expect("what is not large is bytes");
                encode_whole(id, entry, value, out);
                cost += value.len() / BYTES_PER_ENTRY;
            }
        });
        let epoch = snapshot.epoch;
        let named = large.into_iter().map(|entry| {
            let name: Name = (id, entry.key().into());
            let part = (!parts.contains_key(&name)).then(|| Part::new(id, entry, epoch));
            (name, part)
        });
        for (name, part) in named.collect::<Vec<_>>() {
            snapshot.pending.push_back(name.clone());
            if let Some(part) = part {
                snapshot.insert_part(name, part);
            }
        }
        *budget = budget.saturating_sub(cost);
        match next {
            Some(next) => snapshot.at = next,
            None => {
                snapshot.at = Position::START;
                snapshot.table += 1;
                if let Some(table) = snapshot.take_table(id) {
                    // Its large values are walked later: they come with it.
                    let taken = self.take_large(snapshot, id, table);
                    self.garbage.take_table(taken);
                }
            }
        }
    }

    /// A flushed table is done but for its large values: takes them out, to be walked by
    /// themselves.
    fn take_large(&self, snapshot: &mut Snapshot, id: TableId, mut table: Table) -> Table {
        let pending = std::mem::take(&mut snapshot.pending);
        let (names, others): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|(table, _)| *table == id);
        snapshot.pending = others.into();
        for name in names {
            let part = snapshot.remove_part(&name).expect("what is pending has a part");
            let place = self.place(&name.1);
            let entry = table.remove(place, &name.1).expect("a value with a part is there");
            snapshot.detach(part, entry);
        }
        table
    }
}

/// A table, in its database or, after a flush, kept.
fn table_of<'a>(
    databases: &'a [Table],
    ids: &[TableId],
    flushed: &'a Map<TableId, Table>,
    id: TableId,
) -> &'a Table {
    match ids.iter().position(|held| *held == id) {
        Some(db) => &databases[db],
        None => flushed.get(&id).expect("a table that was flushed is kept"),
    }
}

impl Part {
    /// Walks some of the value; true if all of it was walked.
    fn walk(
        &mut self,
        entry: Entry<'_>,
        hasher: &KeyHasher,
        budget: &mut usize,
        out: &mut Vec<u8>,
    ) -> bool {
        match &mut self.progress {
            Progress::Blocks { size, next, early } => {
                let string = entry.packed().expect("a string is bytes");
                let number = *next;
                *next += 1;
                *budget = budget.saturating_sub(1);
                if *size <= number * BLOCK_SIZE {
                    return true;
                }
                if !early.contains(&number) {
                    *budget = budget.saturating_sub(BLOCK_SIZE / BYTES_PER_ENTRY);
                    let size = *size;
                    self.block(number, size, string, out);
                }
                false
            }
            Progress::Nodes { next, .. } => {
                // What became one listpack was seen before.
                let Some(Object::List(nodes)) = entry.object() else { return true };
                let (mut count, mut size, mut body) = (0, 0, Vec::new());
                let mut at = nodes.node_from(*next);
                while at < nodes.node_count() && size < NODES_SIZE {
                    nodes.see(at..at + 1, &mut |label, content| {
                        encode_node(label, content, &mut body);
                        count += 1;
                    });
                    size = body.len();
                    at += 1;
                    *budget = budget.saturating_sub(1);
                }
                *budget = budget.saturating_sub(1 + size / BYTES_PER_ENTRY);
                if 0 < count {
                    self.head.encode(Tag::Nodes, out);
                    varint::encode(count, out);
                    out.extend_from_slice(&body);
                }
                match nodes.label_of(at) {
                    Some(label) => *next = label,
                    None => return true,
                }
                false
            }
            Progress::Members { at, early } => {
                let Some(from) = *at else { return true };
                let table = entry.object().and_then(|object| object.table());
                let table = table.expect("a large value that is no string has members");
                self.head.encode(Tag::Members, out);
                let (mut count, mut cost) = (0, 1);
                let mut body = Vec::new();
                *at = table.scan(hasher, from, STEP.min(*budget), &mut |member| {
                    cost += 1;
                    if early.is_empty() || !early.contains(&hasher.wide_hash(member.key())) {
                        cost += member.size() / BYTES_PER_ENTRY;
                        encode_member(member, &mut body);
                        count += 1;
                    }
                });
                varint::encode(count, out);
                out.extend_from_slice(&body);
                *budget = budget.saturating_sub(cost);
                at.is_none()
            }
        }
    }

    /// One block of a string as it was.
    pub(super) fn block(&self, number: usize, size: usize, string: &[u8], out: &mut Vec<u8>) {
        let range = number * BLOCK_SIZE..size.min((number + 1) * BLOCK_SIZE);
        self.head.encode(Tag::Blocks, out);
        varint::encode(size as u32, out);
        varint::encode(range.start as u32, out);
        encode_bytes(&string[range], out);
    }

    /// The labels of what was seen are no longer those of the list.
    pub(super) fn is_lost(&self, entry: Entry<'_>) -> bool {
        match (&self.progress, entry.object()) {
            (Progress::Nodes { relabels, .. }, Some(Object::List(nodes))) => {
                nodes.relabels() != *relabels
            }
            _ => false,
        }
    }

    /// Was a member walked, or saved? If not, it counts as saved from now on.
    pub(super) fn is_due(&mut self, hasher: &KeyHasher, member: &[u8]) -> bool {
        let Progress::Members { at, early } = &mut self.progress else {
            unreachable!("a string has no members")
        };
        let place = crate::table::Place { slot: MEMBERS, hash: hasher.hash(member) };
        at.is_some_and(|at| at <= super::position_of(place))
            && early.insert(hasher.wide_hash(member))
    }
}
