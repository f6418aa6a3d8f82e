//! Effects on values that are no strings, and on whole values.
//!
//! A value that is bytes is small: what takes its change back is a copy. An object says itself
//! what takes a change back. A value that has lost its last part takes its key away.

use super::{Keep, ReplayError, Restore};
use crate::effect::Effect;
use crate::keyspace::Keyspace;
use crate::table::{Attributes, Entry, EntryBox, KeyHasher, Table};
use crate::values::{self, ChangeCx, EncodingLimits, Type, Undo, Unfit};

impl Keyspace {
    /// Applies an effect on one value that is no string.
    pub(super) fn change_value(
        &mut self,
        effect: &Effect<'_>,
        keep: Keep,
    ) -> Result<Option<Restore>, ReplayError> {
        let (db, key) = effect.place().expect("the effect is on one key");
        let (wanted, creates) = values::target_of(effect).expect("the effect is on a value");
        let place = self.checked_place(key)?;
        let unfit = |Unfit(reason)| ReplayError::UnfitForValue { db, size: key.len(), reason };
        let (table, mut cx) = self.parts(db, keep);
        let Some(held) = table.find(place, key).map(Entry::kind) else {
            if !creates {
                return Err(ReplayError::ChangeOfAbsentKey { db, size: key.len() });
            }
            let mut entry = values::empty(key, wanted);
            values::change(&mut entry, effect, &mut cx).map_err(unfit)?;
            table.insert(place, entry, cx.hasher);
            return Ok(keep.then(|| Restore::Remove { db, key: key.into() }));
        };
        if held != wanted {
            return Err(wrong_type(db, key, wanted, held));
        }
        let change = |entry: &mut EntryBox| {
            let old = if keep == Keep::Yes { entry.copy() } else { None };
            let undo = values::change(entry, effect, &mut cx)?;
            Ok((old, undo, values::len(entry.view()) == 0))
        };
        let changed = table.update(place, key, change).expect("it was just found");
        let (old, undo, is_empty) = changed.map_err(unfit)?;
        if !is_empty {
            return Ok(match (old, undo) {
                (Some(entry), _) => Some(Restore::Replace { db, entry }),
                (None, Some(undo)) => Some(Restore::Object { db, key: key.into(), undo }),
                (None, None) => None,
            });
        }
        let emptied = table.remove(place, key).expect("it was just found");
        Ok(Some(match (old, undo) {
            (Some(entry), _) => Restore::Insert { db, entry },
            (None, Some(undo)) => Restore::Emptied { db, entry: emptied, undo },
            (None, None) => Restore::Insert { db, entry: emptied },
        }))
    }

    pub(super) fn put_value(
        &mut self,
        db: u16,
        key: &[u8],
        payload: &[u8],
        expire_ms: Option<u64>,
        keep: Keep,
    ) -> Result<Option<Restore>, ReplayError> {
        let place = self.checked_place(key)?;
        let unfit = |Unfit(reason)| ReplayError::UnfitForValue { db, size: key.len(), reason };
        let (table, mut cx) = self.parts(db, keep);
        let mut entry = values::of_payload(key, payload, &mut cx).map_err(unfit)?;
        entry.set_expire(expire_ms);
        let mut entry = Some(entry);
        let replace =
            |there: &mut EntryBox| std::mem::replace(there, entry.take().expect("it is put once"));
        if let Some(old) = table.update(place, key, replace) {
            return Ok(Some(Restore::Replace { db, entry: old }));
        }
        table.insert(place, entry.expect("it was not put"), cx.hasher);
        Ok(keep.then(|| Restore::Remove { db, key: key.into() }))
    }

    pub(super) fn rename(
        &mut self,
        from: (u16, &[u8]),
        to: (u16, &[u8]),
        keep: Keep,
    ) -> Result<Option<Restore>, ReplayError> {
        let (from_place, to_place) = (self.checked_place(from.1)?, self.checked_place(to.1)?);
        if self.database(to.0).find(to_place, to.1).is_some() {
            return Err(ReplayError::RenameToPresentKey { db: to.0, size: to.1.len() });
        }
        let entry = self.database_mut(from.0).remove(from_place, from.1);
        let absent = ReplayError::ChangeOfAbsentKey { db: from.0, size: from.1.len() };
        let entry = entry.ok_or(absent)?.renamed(to.1);
        self.insert(to.0, to_place, entry);
        Ok(keep.then(|| Restore::Rename { from: (from.0, from.1.into()), to: (to.0, to.1.into()) }))
    }

    pub(super) fn undo_object(&mut self, db: u16, key: &[u8], undo: Undo) {
        let place = self.place(key);
        let (table, mut cx) = self.parts(db, Keep::No);
        let undone = |entry: &mut EntryBox| values::undo(entry, undo, &mut cx);
        let done = table.update(place, key, undone);
        done.expect("an object that was changed is there until it is undone");
    }

    /// Frees what a change left behind that will not be taken back, later if that is large.
    pub(super) fn discard_undo(&mut self, undo: Undo) {
        if let Some(object) = undo.into_object() {
            self.garbage.take_entry(EntryBox::object(b"", object, Attributes::default()));
        }
    }

    /// A table, and what changes of values need, at once.
    fn parts(&mut self, db: u16, keep: Keep) -> (&mut Table, ChangeCx<'_>) {
        let (hasher, limits): (&KeyHasher, &EncodingLimits) = (&self.hasher, &self.limits);
        let scratch = &mut self.scratch;
        let cx = ChangeCx { hasher, limits, scratch, keeps: keep == Keep::Yes };
        (&mut self.databases[usize::from(db)], cx)
    }
}

pub(super) fn wrong_type(db: u16, key: &[u8], wanted: Type, held: Type) -> ReplayError {
    ReplayError::WrongType { db, size: key.len(), wanted: wanted.name(), held: held.name() }
}
