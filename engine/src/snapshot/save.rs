//! What happens to a snapshot when something changes that it has not walked.

use base::limits::DATABASES;

use super::record::{Tag, encode_member, encode_node, encode_whole};
use super::{BLOCK_SIZE, Name, Part, Progress, Snapshot, TableId, is_large, mark_of};
use crate::effect::Effect;
use crate::keyspace::Keyspace;
use crate::table::{Entry, EntryBox, KeyHasher, Place, Table};
use crate::values::Object;
use crate::varint;

/// A large value that is about to leave its key, and what of it is yet to be walked.
#[derive(Debug)]
pub(crate) struct Leaving(Part);

impl Keyspace {
    /// Before an effect is applied: saves what it changes and was not walked. Returns what is to
    /// be handed back with the value that it takes away.
    pub(crate) fn save_before(&mut self, effect: &Effect<'_>) -> Option<Leaving> {
        let mut snapshot = self.snapshot.take()?;
        let leaving = self.save(&mut snapshot, effect);
        self.snapshot = Some(snapshot);
        leaving
    }

    fn save(&self, snapshot: &mut Snapshot, effect: &Effect<'_>) -> Option<Leaving> {
        let Some((db, key)) = effect.place() else {
            if let Effect::SwapDatabases { first, second } = *effect {
                snapshot.ids.swap(usize::from(first), usize::from(second));
            }
            return None;
        };
        let id = snapshot.ids[usize::from(db)];
        if let Effect::Rename { new_db, new_key, .. } = *effect {
            self.save_rename(snapshot, (id, db, key), new_db, new_key);
            return None;
        }
        let place = self.place(key);
        let name = (id, key.into());
        let entry = self.database(db).find(place, key);
        if !snapshot.parts.contains_key(&name) {
            if snapshot.is_walked(id, place) {
                return None;
            }
            let mark = mark_of(&self.hasher, id, key);
            if snapshot.early.contains(&mark) {
                return None;
            }
            match entry {
                Some(entry) if is_large(entry) => {
                    let part = Part::new(id, entry, snapshot.epoch);
                    snapshot.insert_part(name.clone(), part);
                }
                _ if self.forgets_to_save() => return None,
                Some(entry) => {
                    let value = entry.packed().expect("what is not large is bytes");
                    encode_whole(id, entry, value, &mut snapshot.saved);
                    snapshot.early.insert(mark);
                    return None;
                }
                None => {
                    snapshot.early.insert(mark);
                    return None;
                }
            }
        }
        let entry = entry.expect("a value with a part is there");
        if takes_away(effect) {
            let part = snapshot.remove_part(&name).expect("it is there by now");
            snapshot.pending.retain(|pending| *pending != name);
            // The walk may come by the place again, where something new may be.
            snapshot.early.insert(mark_of(&self.hasher, id, key));
            return Some(Leaving(part));
        }
        let part = snapshot.parts.get_mut(&name).expect("it is there by now");
        if part.is_lost(entry) {
            snapshot.is_spoiled = true;
        } else {
            let before = part.size();
            part.save(effect, entry, &self.hasher, &mut snapshot.saved);
            snapshot.held = snapshot.held - before + part.size();
        }
        None
    }

    fn save_rename(
        &self,
        snapshot: &mut Snapshot,
        (id, db, key): (TableId, u16, &[u8]),
        new_db: u16,
        new_key: &[u8],
    ) {
        let new_id = snapshot.ids[usize::from(new_db)];
        let place = self.place(key);
        let name = (id, key.into());
        let entry = self.database(db).find(place, key);
        let is_taken = self.database(new_db).find(self.place(new_key), new_key).is_some();
        let Some(entry) = entry.filter(|_| !is_taken) else { return };
        let mark = mark_of(&self.hasher, id, key);
        let is_due = !snapshot.is_walked(id, place) && !snapshot.early.contains(&mark);
        if is_due && !snapshot.parts.contains_key(&name) {
            if is_large(entry) {
                let part = Part::new(id, entry, snapshot.epoch);
                snapshot.insert_part(name.clone(), part);
            } else {
                let value = entry.packed().expect("what is not large is bytes");
                encode_whole(id, entry, value, &mut snapshot.saved);
            }
        }
        snapshot.early.insert(mark);
        // Under its new name it is nothing the walk should take.
        snapshot.early.insert(mark_of(&self.hasher, new_id, new_key));
        if let Some(part) = snapshot.remove_part(&name) {
            snapshot.pending.retain(|pending| *pending != name);
            let name: Name = (new_id, new_key.into());
            snapshot.insert_part(name.clone(), part);
            snapshot.pending.push_back(name);
        }
    }

    /// After an effect for which something was [`Leaving`]: what left, to be walked and freed.
    pub(crate) fn take_leaving(&mut self, leaving: Leaving, entry: EntryBox) {
        let snapshot = self.snapshot.as_mut().expect("something leaves under a snapshot only");
        snapshot.detach(leaving.0, entry);
    }

    /// The effect did not fit, so nothing has left.
    pub(crate) fn put_back(&mut self, effect: &Effect<'_>, leaving: Leaving) {
        let snapshot = self.snapshot.as_mut().expect("something leaves under a snapshot only");
        let (db, key) = effect.place().expect("the effect is on one key");
        let name: Name = (snapshot.ids[usize::from(db)], key.into());
        snapshot.insert_part(name.clone(), leaving.0);
        snapshot.pending.push_back(name);
    }

    /// After an effect on a value with a part: if it took the last of it away, all was saved.
    pub(crate) fn note_emptied(&mut self, effect: &Effect<'_>) {
        let Some((db, key)) = effect.place() else { return };
        let (place, hasher) = (self.place(key), &self.hasher);
        let is_gone = self.database(db).find(place, key).is_none();
        let Some(snapshot) = self.snapshot.as_mut().filter(|_| is_gone) else { return };
        let id = snapshot.ids[usize::from(db)];
        let name = (id, key.into());
        if snapshot.remove_part(&name).is_some() {
            snapshot.pending.retain(|pending| *pending != name);
            snapshot.early.insert(mark_of(hasher, id, key));
        }
    }

    /// A database was emptied: its table, if that is yet to be walked; else it is handed back.
    pub(crate) fn take_flushed(&mut self, db: u16, table: Table) -> Option<Table> {
        let Some(snapshot) = self.snapshot.as_mut() else { return Some(table) };
        let id = std::mem::replace(&mut snapshot.ids[usize::from(db)], snapshot.next_id);
        snapshot.next_id += 1;
        let has_parts = snapshot.parts.keys().any(|(table, _)| *table == id);
        let is_walked = TableId::from(DATABASES) <= id || id < snapshot.table;
        if is_walked && !has_parts {
            return Some(table);
        }
        snapshot.keep_flushed(id, table);
        None
    }

    /// Something is taken back: what the snapshot saw may never have been.
    pub(crate) fn spoil_snapshot(&mut self) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.is_spoiled = true;
        }
    }
}

/// Does the effect end the value that the key has, whatever it is?
fn takes_away(effect: &Effect<'_>) -> bool {
    matches!(effect, Effect::Delete { .. } | Effect::PutString { .. } | Effect::PutValue { .. })
}

impl Part {
    /// Saves what an effect changes of the value, as far as that was not walked. An effect that is
    /// for another type changes nothing.
    fn save(
        &mut self,
        effect: &Effect<'_>,
        entry: Entry<'_>,
        hasher: &KeyHasher,
        saved: &mut Vec<u8>,
    ) {
        match *effect {
            // The head is kept, and what a string was before stays in its place.
            Effect::SetExpire { .. } | Effect::Append { .. } => {}
            Effect::SetRange { offset, bytes, .. } => {
                let start = offset as usize;
                self.save_blocks(start..start + bytes.len(), entry, saved);
            }
            Effect::SetAdd { members, .. }
            | Effect::SetRemove { members, .. }
            | Effect::ZsetRemove { members, .. } => {
                self.save_members(&mut members.iter(), entry, hasher, saved);
            }
            Effect::HashSet { pairs, .. } => {
                let mut fields = pairs.pairs().map(|(field, _)| field);
                self.save_members(&mut fields, entry, hasher, saved);
            }
            Effect::HashRemove { fields, .. } | Effect::HashExpire { fields, .. } => {
                self.save_members(&mut fields.iter(), entry, hasher, saved);
            }
            Effect::ZsetAdd { pairs, .. } => {
                let mut members = pairs.pairs().map(|(_, member)| member);
                self.save_members(&mut members, entry, hasher, saved);
            }
            Effect::ZsetRemoveRange { rank, count, .. } => {
                let Some(Object::Zset(ranking)) = entry.object() else { return };
                let end = ranking.len().min(rank as usize + count as usize);
                let range = ranking.range((rank as usize).min(end), end);
                self.save_members(&mut range.map(|(name, _)| name), entry, hasher, saved);
            }
            Effect::ListPush { .. }
            | Effect::ListPop { .. }
            | Effect::ListSet { .. }
            | Effect::ListInsert { .. }
            | Effect::ListRemove { .. } => self.save_nodes(effect, entry, saved),
            _ => unreachable!("no other effect changes a part of a value"),
        }
    }

    fn save_blocks(
        &mut self,
        range: std::ops::Range<usize>,
        entry: Entry<'_>,
        saved: &mut Vec<u8>,
    ) {
        let Progress::Blocks { size, next, early } = &mut self.progress else { return };
        let (size, next) = (*size, *next);
        let first = (range.start / BLOCK_SIZE).max(next);
        let end = range.end.min(size).div_ceil(BLOCK_SIZE);
        let due: Vec<usize> = (first..end).filter(|number| early.insert(*number)).collect();
        let string = entry.packed().expect("a string is bytes");
        due.into_iter().for_each(|number| self.block(number, size, string, saved));
    }

    fn save_nodes(&self, effect: &Effect<'_>, entry: Entry<'_>, saved: &mut Vec<u8>) {
        // What became one listpack was seen before.
        let Some(Object::List(nodes)) = entry.object() else { return };
        nodes.touched(effect, &mut |range| {
            nodes.see(range, &mut |label, content| {
                self.head.encode(Tag::Nodes, saved);
                varint::encode(1, saved);
                encode_node(label, content, saved);
            });
        });
    }

    fn save_members(
        &mut self,
        members: &mut dyn Iterator<Item = &[u8]>,
        entry: Entry<'_>,
        hasher: &KeyHasher,
        saved: &mut Vec<u8>,
    ) {
        let Some(table) = entry.object().and_then(|object| object.table()) else { return };
        for member in members {
            if !self.is_due(hasher, member) {
                continue;
            }
            let place = Place { slot: crate::table::MEMBERS, hash: hasher.hash(member) };
            if let Some(member) = table.find(place, member) {
                self.head.encode(Tag::Members, saved);
                varint::encode(1, saved);
                encode_member(member, saved);
            }
        }
    }
}
