//! How effects change a keyspace, and how they are taken back.

use std::mem;

use base::limits::{DATABASES, STRING_SIZE_MAX};

use super::Keyspace;
use crate::effect::Effect;
use crate::table::{Attributes, Entry, EntryBox, INLINE_SIZE_MAX, Place, Table};
use crate::values::{Form, Type, Undo};

mod collections;

use collections::wrong_type;

/// What [`Keyspace::undo`] needs to take one effect back.
#[derive(Debug)]
#[must_use = "an effect without its inverse cannot be undone"]
pub struct Inverse(Restore);

#[derive(Debug)]
enum Restore {
    /// The key was absent.
    Remove {
        db: u16,
        key: Box<[u8]>,
    },
    /// The key, which is there, held this.
    Replace {
        db: u16,
        entry: EntryBox,
    },
    /// The key, which is gone, held this.
    Insert {
        db: u16,
        entry: EntryBox,
    },
    Expire {
        db: u16,
        key: Box<[u8]>,
        expire_ms: Option<u64>,
    },
    /// An object changed in place.
    Object {
        db: u16,
        key: Box<[u8]>,
        undo: Undo,
    },
    /// An object was emptied, which took the key away.
    Emptied {
        db: u16,
        entry: EntryBox,
        undo: Undo,
    },
    Rename {
        from: (u16, Box<[u8]>),
        to: (u16, Box<[u8]>),
    },
    /// A large string changed in place.
    Buffer {
        db: u16,
        key: Box<[u8]>,
        buffer: Patch,
    },
    /// These databases were emptied.
    Tables(Vec<(u16, Table)>),
    Swap {
        first: u16,
        second: u16,
    },
}

/// What a large string was.
#[derive(Debug)]
struct Patch {
    size: usize,
    capacity: usize,
    is_raw: bool,
    offset: usize,
    /// What was at `offset`, as far as it was overwritten.
    bytes: Box<[u8]>,
}

/// What the caller does with what takes a change back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// A logged effect that does not fit the keyspace it is replayed on: entries are missing before
/// it, or the keyspace is not the one it was logged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("an effect deletes a key of {size} bytes that database {db} does not hold")]
    DeleteOfAbsentKey { db: u16, size: usize },
    #[error("an effect sets the expiry of a key of {size} bytes that database {db} does not hold")]
    ExpireOfAbsentKey { db: u16, size: usize },
    #[error("an effect appends to a key of {size} bytes that database {db} does not hold")]
    AppendToAbsentKey { db: u16, size: usize },
    #[error("an effect makes a string of {size} bytes, which is above the limit")]
    StringTooLong { size: usize },
    #[error(
        "an effect is for a {wanted}, but a key of {size} bytes in database {db} holds a {held}"
    )]
    WrongType { db: u16, size: usize, wanted: &'static str, held: &'static str },
    #[error("an effect changes a key of {size} bytes that database {db} does not hold")]
    ChangeOfAbsentKey { db: u16, size: usize },
    #[error("an effect does not fit the value of a key of {size} bytes in database {db}: {reason}")]
    UnfitForValue { db: u16, size: usize, reason: &'static str },
    #[error("an effect renames to a key of {size} bytes that database {db} holds")]
    RenameToPresentKey { db: u16, size: usize },
    #[error("an effect is about a key of slot {slot}, which this slice does not hold")]
    SlotOfAnotherSlice { slot: u16 },
}

/// Where a string changes.
#[derive(Clone, Copy)]
enum Offset {
    At(usize),
    End,
}

impl Keyspace {
    /// Makes a change for good: what recovery does with effects that cannot be undone.
    pub fn replay(&mut self, effect: &Effect<'_>) -> Result<(), ReplayError> {
        let leaving = self.save_before(effect);
        let changed = match self.change(effect, Keep::No) {
            Ok(changed) => changed,
            Err(error) => {
                if let Some(leaving) = leaving {
                    self.put_back(effect, leaving);
                }
                return Err(error);
            }
        };
        match (changed, leaving) {
            (
                Some(Restore::Replace { entry, .. } | Restore::Insert { entry, .. }),
                Some(leaving),
            ) => {
                self.take_leaving(leaving, entry);
            }
            (_, Some(_)) => unreachable!("a large value that leaves is handed back"),
            (Some(restore), None) => self.discard(Inverse(restore)),
            (None, None) => {}
        }
        if self.snapshot.is_some() {
            self.note_emptied(effect);
        }
        Ok(())
    }

    /// Makes a change and returns what takes it back.
    ///
    /// # Panics
    ///
    /// If the effect does not fit, as one that deletes a key that is not there.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Inverse {
        // What may be taken back must not be what a snapshot keeps.
        if self.save_before(effect).is_some() || effect.place().is_none() {
            self.spoil_snapshot();
        }
        let restore = self.change(effect, Keep::Yes).expect("only what fits is applied");
        Inverse(restore.expect("what is to be kept is returned"))
    }

    /// The change is for good: frees what would have taken it back, if that is large in
    /// [`maintain`](Self::maintain).
    pub fn discard(&mut self, inverse: Inverse) {
        match inverse.0 {
            Restore::Replace { entry, .. }
            | Restore::Insert { entry, .. }
            | Restore::Emptied { entry, .. } => self.garbage.take_entry(entry),
            Restore::Tables(tables) => {
                for (db, table) in tables {
                    if let Some(table) = self.take_flushed(db, table) {
                        self.garbage.take_table(table);
                    }
                }
            }
            Restore::Remove { .. }
            | Restore::Expire { .. }
            | Restore::Object { .. }
            | Restore::Rename { .. }
            | Restore::Buffer { .. }
            | Restore::Swap { .. } => {}
        }
    }

    fn change(&mut self, effect: &Effect<'_>, keep: Keep) -> Result<Option<Restore>, ReplayError> {
        match *effect {
            Effect::PutString { db, key, value, expire_ms } => {
                check_size(value.len())?;
                self.put(db, key, value, expire_ms, keep)
            }
            Effect::SetExpire { db, key, expire_ms } => {
                let absent = ReplayError::ExpireOfAbsentKey { db, size: key.len() };
                let place = self.checked_place(key)?;
                let set = |entry: &mut EntryBox| {
                    let old = entry.view().expire_ms();
                    entry.set_expire(expire_ms);
                    old
                };
                let old = self.database_mut(db).update(place, key, set).ok_or(absent)?;
                Ok(keep.then(|| Restore::Expire { db, key: key.into(), expire_ms: old }))
            }
            Effect::Append { db, key, suffix } => self.write(db, key, Offset::End, suffix, keep),
            Effect::SetRange { db, key, offset, bytes } => {
                self.write(db, key, Offset::At(offset as usize), bytes, keep)
            }
            Effect::Delete { db, key } => {
                let absent = ReplayError::DeleteOfAbsentKey { db, size: key.len() };
                let place = self.checked_place(key)?;
                let entry = self.database_mut(db).remove(place, key).ok_or(absent)?;
                Ok(Some(Restore::Insert { db, entry }))
            }
            Effect::FlushDatabase { db } => Ok(Some(self.flush(db..db + 1))),
            Effect::FlushAll => Ok(Some(self.flush(0..DATABASES))),
            Effect::SwapDatabases { first, second } => {
                self.databases.swap(usize::from(first), usize::from(second));
                Ok(Some(Restore::Swap { first, second }))
            }
            Effect::PutValue { db, key, payload, expire_ms } => {
                self.put_value(db, key, payload, expire_ms, keep)
            }
            Effect::Rename { db, key, new_db, new_key } => {
                self.rename((db, key), (new_db, new_key), keep)
            }
            _ => self.change_value(effect, keep),
        }
    }

    /// Where a key is at home, if that is in this slice.
    fn checked_place(&self, key: &[u8]) -> Result<Place, ReplayError> {
        let place = self.place(key);
        let slot = place.slot.0;
        if self.slots.contains(&slot) {
            Ok(place)
        } else {
            Err(ReplayError::SlotOfAnotherSlice { slot })
        }
    }

    fn put(
        &mut self,
        db: u16,
        key: &[u8],
        value: &[u8],
        expire_ms: Option<u64>,
        keep: Keep,
    ) -> Result<Option<Restore>, ReplayError> {
        let place = self.checked_place(key)?;
        let overwrite = |entry: &mut EntryBox| {
            let is_string = entry.view().form() == Form::String;
            if keep == Keep::No && is_string && entry.overwrite(value, expire_ms) {
                return None;
            }
            let access = entry.view().access();
            let attributes = Attributes { expire_ms, access, ..Attributes::default() };
            Some(mem::replace(entry, EntryBox::packed(key, value, attributes)))
        };
        match self.database_mut(db).update(place, key, overwrite) {
            Some(old) => Ok(old.map(|entry| Restore::Replace { db, entry })),
            None => {
                let attributes = Attributes { expire_ms, ..Attributes::default() };
                let entry = EntryBox::packed(key, value, attributes);
                self.insert(db, place, entry);
                Ok(keep.then(|| Restore::Remove { db, key: key.into() }))
            }
        }
    }

    fn insert(&mut self, db: u16, place: Place, entry: EntryBox) {
        self.databases[usize::from(db)].insert(place, entry, &self.hasher);
    }

    /// Writes into a string, which becomes raw.
    fn write(
        &mut self,
        db: u16,
        key: &[u8],
        offset: Offset,
        bytes: &[u8],
        keep: Keep,
    ) -> Result<Option<Restore>, ReplayError> {
        let place = self.checked_place(key)?;
        let old = self.database(db).find(place, key);
        if let Some(held) = old.map(Entry::kind).filter(|kind| *kind != Type::String) {
            return Err(wrong_type(db, key, Type::String, held));
        }
        let old_size = old.and_then(|entry| entry.string()).map_or(0, <[u8]>::len);
        let start = match offset {
            Offset::At(offset) => offset,
            Offset::End if old.is_some() => old_size,
            Offset::End => return Err(ReplayError::AppendToAbsentKey { db, size: key.len() }),
        };
        let size = old_size.max(start + bytes.len());
        check_size(size)?;
        let change = |entry: &mut EntryBox| {
            if let Some(buffer) = patch(entry, start, bytes, keep) {
                let restore = || Restore::Buffer { db, key: key.into(), buffer };
                return keep.then(restore);
            }
            let view = entry.view();
            let attributes = Attributes { is_raw: true, ..view.attributes() };
            let string = view.string().expect("only a string is written into");
            let new = written(key, string, start, bytes, attributes);
            Some(Restore::Replace { db, entry: mem::replace(entry, new) })
        };
        if let Some(restore) = self.database_mut(db).update(place, key, change) {
            return Ok(restore);
        }
        let attributes = Attributes { is_raw: true, ..Attributes::default() };
        self.insert(db, place, written(key, &[], start, bytes, attributes));
        Ok(keep.then(|| Restore::Remove { db, key: key.into() }))
    }

    fn flush(&mut self, databases: std::ops::Range<u16>) -> Restore {
        let slots = self.slots();
        let taken = databases.map(|db| {
            let empty = Table::new(slots.clone());
            (db, mem::replace(self.database_mut(db), empty))
        });
        Restore::Tables(taken.collect())
    }

    /// Takes the last effect that was not yet undone back.
    ///
    /// # Panics
    ///
    /// If the keyspace is visibly not as that effect left it.
    pub fn undo(&mut self, inverse: Inverse) {
        self.spoil_snapshot();
        match inverse.0 {
            Restore::Remove { db, key } => {
                let place = self.place(&key);
                let entry = self.database_mut(db).remove(place, &key);
                self.garbage.take_entry(entry.expect("what was put is there until it is undone"));
            }
            Restore::Replace { db, entry } => {
                let key: Box<[u8]> = entry.view().key().into();
                let place = self.place(&key);
                let put_back = |there: &mut EntryBox| mem::replace(there, entry);
                let put = self.database_mut(db).update(place, &key, put_back);
                self.garbage.take_entry(put.expect("what was put is there until it is undone"));
            }
            Restore::Insert { db, entry } => {
                let key = entry.view().key();
                let place = self.place(key);
                let is_absent = self.database(db).find(place, key).is_none();
                assert!(is_absent, "what was deleted is absent until it is undone");
                self.insert(db, place, entry);
            }
            Restore::Expire { db, key, expire_ms } => {
                let place = self.place(&key);
                let set = |entry: &mut EntryBox| entry.set_expire(expire_ms);
                let set = self.database_mut(db).update(place, &key, set);
                set.expect("a key with an expiry is there until it is undone");
            }
            Restore::Buffer { db, key, buffer } => {
                let place = self.place(&key);
                let unpatch = |entry: &mut EntryBox| buffer.undo(entry);
                let done = self.database_mut(db).update(place, &key, unpatch);
                done.expect("a string that was written into is there until it is undone");
            }
            Restore::Object { db, key, undo } => self.undo_object(db, &key, undo),
            Restore::Emptied { db, entry, undo } => {
                let key: Box<[u8]> = entry.view().key().into();
                let place = self.place(&key);
                self.insert(db, place, entry);
                self.undo_object(db, &key, undo);
            }
            Restore::Rename { from, to } => {
                let (to_place, from_place) = (self.place(&to.1), self.place(&from.1));
                let entry = self.database_mut(to.0).remove(to_place, &to.1);
                let entry = entry.expect("what was renamed is there until it is undone");
                self.insert(from.0, from_place, entry.renamed(&from.1));
            }
            Restore::Tables(tables) => {
                for (db, table) in tables {
                    let flushed = mem::replace(self.database_mut(db), table);
                    assert!(flushed.len() == 0, "later effects are undone first");
                }
            }
            Restore::Swap { first, second } => {
                self.databases.swap(usize::from(first), usize::from(second));
            }
        }
    }
}

fn check_size(size: usize) -> Result<(), ReplayError> {
    if size <= STRING_SIZE_MAX { Ok(()) } else { Err(ReplayError::StringTooLong { size }) }
}

impl Keep {
    fn then(self, restore: impl FnOnce() -> Restore) -> Option<Restore> {
        (self == Self::Yes).then(restore)
    }
}

/// A new entry: `old` with `bytes` written at `start`.
fn written(key: &[u8], old: &[u8], start: usize, bytes: &[u8], attributes: Attributes) -> EntryBox {
    let size = old.len().max(start + bytes.len());
    let fill = |value: &mut [u8]| {
        value[..old.len()].copy_from_slice(old);
        value[start..start + bytes.len()].copy_from_slice(bytes);
    };
    if size <= INLINE_SIZE_MAX {
        return EntryBox::inline(key, size, attributes, fill);
    }
    let mut value = vec![0; size];
    fill(&mut value);
    EntryBox::large(key, value, attributes)
}

/// Writes into a large string in place, with room to grow; `None` if it is not large.
fn patch(entry: &mut EntryBox, start: usize, bytes: &[u8], keep: Keep) -> Option<Patch> {
    let is_raw = entry.view().is_raw();
    let buffer = entry.buffer_mut()?;
    let (size, capacity) = (buffer.len(), buffer.capacity());
    let end = start + bytes.len();
    let overwritten = match keep {
        Keep::Yes => &buffer[start.min(size)..end.min(size)],
        Keep::No => &[],
    };
    let patch = Patch { size, capacity, is_raw, offset: start, bytes: overwritten.into() };
    if size < end {
        if capacity < end {
            buffer.reserve_exact((end - size).max(size / GROWTH_SHARE));
        }
        buffer.resize(end, 0);
    }
    buffer[start..end].copy_from_slice(bytes);
    entry.set_raw(true);
    Some(patch)
}

/// A buffer that is full grows by at least one part in so many.
const GROWTH_SHARE: usize = 4;

impl Patch {
    fn undo(self, entry: &mut EntryBox) {
        let buffer = entry.buffer_mut().expect("a large string stays large until it is undone");
        assert!(self.size <= buffer.len());
        buffer.truncate(self.size);
        buffer.shrink_to(self.capacity);
        if !self.bytes.is_empty() {
            buffer[self.offset..self.offset + self.bytes.len()].copy_from_slice(&self.bytes);
        }
        entry.set_raw(self.is_raw);
    }
}
