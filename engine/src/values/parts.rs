//! The members of a large set, or the fields of a large hash, each with its value and its time.

use super::Unfit;
use crate::cursor::Position;
use crate::table::{Attributes, Entry, EntryBox, KeyHasher, MEMBERS, Place, Table};

/// Parts by their names. Owner: an object.
#[derive(Debug)]
pub(super) struct Parts {
    table: Table,
}

/// What takes the change of one part back.
#[derive(Debug)]
pub(super) enum Undo {
    /// It was not there.
    Remove(Box<[u8]>),
    /// It was this and is something else.
    Replace(EntryBox),
    /// It was this and is gone.
    Insert(EntryBox),
    Expire(Box<[u8]>, Option<u64>),
}

/// Entries that one removal may move to make sparse segments smaller.
const MAINTAIN_BUDGET: usize = 32;

impl Parts {
    pub(super) fn new() -> Self {
        Self { table: Table::of_members() }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes allocated.
    pub(super) fn size(&self) -> usize {
        self.table.memory().total()
    }

    pub(super) fn free(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        self.table.free(budget, large)
    }

    pub(super) fn check(&self, hasher: &KeyHasher) {
        self.table.check(hasher);
    }

    pub(super) fn find(&self, name: &[u8], hasher: &KeyHasher) -> Option<Entry<'_>> {
        self.table.find(place(name, hasher), name)
    }

    /// Adds a part that is not there.
    pub(super) fn insert(
        &mut self,
        name: &[u8],
        value: &[u8],
        expire_ms: Option<u64>,
        hasher: &KeyHasher,
    ) {
        let entry = EntryBox::packed(name, value, timed(expire_ms));
        self.table.insert(place(name, hasher), entry, hasher);
    }

    /// Adds a part, or gives it another value and time. What takes that back is returned if `keeps`.
    pub(super) fn put(
        &mut self,
        name: &[u8],
        value: &[u8],
        expire_ms: Option<u64>,
        keeps: bool,
        hasher: &KeyHasher,
    ) -> Option<Undo> {
        let place = place(name, hasher);
        let change = |entry: &mut EntryBox| {
            if !keeps && entry.overwrite(value, expire_ms) {
                return None;
            }
            Some(std::mem::replace(entry, EntryBox::packed(name, value, timed(expire_ms))))
        };
        match self.table.update(place, name, change) {
            Some(old) => old.filter(|_| keeps).map(Undo::Replace),
            None => {
                let entry = EntryBox::packed(name, value, timed(expire_ms));
                self.table.insert(place, entry, hasher);
                keeps.then(|| Undo::Remove(name.into()))
            }
        }
    }

    /// The part is there.
    pub(super) fn set_expire(
        &mut self,
        name: &[u8],
        expire_ms: Option<u64>,
        hasher: &KeyHasher,
    ) -> Option<Undo> {
        let change = |entry: &mut EntryBox| {
            let old = entry.view().expire_ms();
            entry.set_expire(expire_ms);
            old
        };
        let old = self.table.update(place(name, hasher), name, change)?;
        Some(Undo::Expire(name.into(), old))
    }

    pub(super) fn remove(&mut self, name: &[u8], hasher: &KeyHasher) -> Option<EntryBox> {
        self.table.remove(place(name, hasher), name)
    }

    /// Removes parts, all of which are there, or none. Returns them in this order.
    pub(super) fn remove_all<'a>(
        &mut self,
        names: impl Iterator<Item = &'a [u8]>,
        unfit: Unfit,
        hasher: &KeyHasher,
    ) -> Result<Vec<Undo>, Unfit> {
        let mut removed = Vec::with_capacity(names.size_hint().0);
        for name in names {
            match self.remove(name, hasher) {
                Some(entry) => removed.push(Undo::Insert(entry)),
                None => {
                    self.undo(removed, hasher);
                    return Err(unfit);
                }
            }
        }
        self.condense(hasher);
        Ok(removed)
    }

    /// Some of the work that removals leave behind.
    pub(super) fn condense(&mut self, hasher: &KeyHasher) {
        self.table.maintain(&mut { MAINTAIN_BUDGET }, hasher);
    }

    /// Takes changes back, the last first.
    pub(super) fn undo(&mut self, changes: Vec<Undo>, hasher: &KeyHasher) {
        const THERE: &str = "a part stays until its change is undone";
        for change in changes.into_iter().rev() {
            match change {
                Undo::Remove(name) => {
                    self.remove(&name, hasher).expect(THERE);
                }
                Undo::Replace(old) => {
                    let name: Box<[u8]> = old.view().key().into();
                    let replace = |entry: &mut EntryBox| *entry = old;
                    self.table.update(place(&name, hasher), &name, replace).expect(THERE);
                }
                Undo::Insert(old) => {
                    let place = place(old.view().key(), hasher);
                    self.table.insert(place, old, hasher);
                }
                Undo::Expire(name, expire_ms) => {
                    let set = |entry: &mut EntryBox| entry.set_expire(expire_ms);
                    self.table.update(place(&name, hasher), &name, set).expect(THERE);
                }
            }
        }
    }

    /// Visits parts from a position on, see [`Table::scan`].
    pub(super) fn scan<'a>(
        &'a self,
        from: Position,
        count: usize,
        hasher: &KeyHasher,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> Option<Position> {
        self.table.scan(hasher, from, count, visit)
    }
}

#[inline]
fn place(name: &[u8], hasher: &KeyHasher) -> Place {
    Place { slot: MEMBERS, hash: hasher.hash(name) }
}

fn timed(expire_ms: Option<u64>) -> Attributes {
    Attributes { expire_ms, ..Attributes::default() }
}
