//! What one command may touch: one slice, or several of them as if they were one.
//!
//! A handler names keys; which slice a key is in is decided here and nowhere else. Slices are
//! contiguous ranges of slots of one size, so a key's slice follows from its slot.

#[cfg(test)]
mod tests;

use std::fmt;

use base::limits::SLOTS;

use crate::batch::Batch;
use crate::effect::Effect;
use crate::keyspace::{Entry, Keyspace, ReplayError};
use crate::slot::slot_of;

/// One slice: its keys, and what changed in them this turn. Owner: slice.
#[derive(Debug)]
pub struct Space {
    pub keyspace: Keyspace,
    pub batch: Batch,
}

/// The slices one command may touch.
pub struct Spaces<'a>(Inner<'a>);

enum Inner<'a> {
    One(&'a mut Space),
    Many { spaces: &'a mut [Option<Box<Space>>], slots_per_slice: u16 },
}

impl<'a> Spaces<'a> {
    /// All keys of the command are in this slice.
    pub fn one(space: &'a mut Space) -> Self {
        Self(Inner::One(space))
    }

    /// Every slice by its number; those the command needs are there.
    ///
    /// # Panics
    ///
    /// If `slices` does not divide the slots, or is not the number of places.
    pub fn many(spaces: &'a mut [Option<Box<Space>>], slices: u16) -> Self {
        assert!(0 < slices);
        assert!(SLOTS.is_multiple_of(slices));
        assert!(spaces.len() == usize::from(slices));
        Self(Inner::Many { spaces, slots_per_slice: SLOTS / slices })
    }

    /// The same slices for a shorter time.
    pub fn reborrow(&mut self) -> Spaces<'_> {
        Spaces(match &mut self.0 {
            Inner::One(space) => Inner::One(space),
            Inner::Many { spaces, slots_per_slice } => {
                Inner::Many { spaces, slots_per_slice: *slots_per_slice }
            }
        })
    }

    /// The slice that `key` is in.
    pub fn of(&self, key: &[u8]) -> &Space {
        match &self.0 {
            Inner::One(space) => space,
            Inner::Many { spaces, slots_per_slice } => {
                let slice = slot_of(key).0 / slots_per_slice;
                spaces[usize::from(slice)].as_deref().expect(NEEDED)
            }
        }
    }

    fn of_mut(&mut self, key: &[u8]) -> &mut Space {
        match &mut self.0 {
            Inner::One(space) => space,
            Inner::Many { spaces, slots_per_slice } => {
                let slice = slot_of(key).0 / *slots_per_slice;
                spaces[usize::from(slice)].as_deref_mut().expect(NEEDED)
            }
        }
    }

    /// What the key holds, whatever its time to expire says; no handler may show that.
    pub fn find(&self, db: u16, key: &[u8]) -> Option<Entry<'_>> {
        self.of(key).keyspace.find(db, key)
    }

    /// What the key holds, if it has not expired.
    pub fn live(&self, db: u16, key: &[u8], now_ms: u64) -> Option<Entry<'_>> {
        self.find(db, key).filter(|entry| !entry.is_expired(now_ms))
    }

    /// Changes the slice of the effect's key and logs the change there, in one step.
    ///
    /// # Panics
    ///
    /// If the effect is not about one key, or does not fit what is there: a handler looks first.
    pub fn apply(&mut self, effect: &Effect<'_>) {
        self.try_apply(effect).expect("only what fits what is there is applied");
    }

    /// As [`apply`](Self::apply), of an effect that may not fit: changes and logs nothing then.
    pub(crate) fn try_apply(&mut self, effect: &Effect<'_>) -> Result<(), ReplayError> {
        let (_, key) = effect.place().expect("an effect of a whole slice goes to every slice");
        self.of_mut(key).try_apply(effect)
    }

    /// Are both keys in one slice?
    pub(crate) fn are_together(&self, left: &[u8], right: &[u8]) -> bool {
        match &self.0 {
            Inner::One(_) => true,
            Inner::Many { slots_per_slice, .. } => {
                slot_of(left).0 / slots_per_slice == slot_of(right).0 / slots_per_slice
            }
        }
    }

    /// Changes every slice that `is_changed` and logs the change in each.
    pub fn apply_to_all(&mut self, effect: &Effect<'_>, is_changed: impl Fn(&Keyspace) -> bool) {
        assert!(effect.place().is_none());
        let apply = |space: &mut Space| {
            if is_changed(&space.keyspace) {
                space.apply(effect);
            }
        };
        match &mut self.0 {
            Inner::One(space) => apply(space),
            Inner::Many { spaces, .. } => {
                spaces.iter_mut().for_each(|space| apply(space.as_deref_mut().expect(ALL)));
            }
        }
    }

    /// Every slice in the order of their slots, for a command that needs all of them.
    pub fn iter(&self) -> impl Iterator<Item = &Keyspace> {
        let (one, many) = match &self.0 {
            Inner::One(space) => (Some(&space.keyspace), &[][..]),
            Inner::Many { spaces, .. } => (None, &**spaces),
        };
        let many = many.iter().map(|space| &space.as_deref().expect(ALL).keyspace);
        one.into_iter().chain(many)
    }

    /// Effects gathered in the slices that are there.
    pub fn effect_count(&self) -> usize {
        match &self.0 {
            Inner::One(space) => space.batch.effect_count(),
            Inner::Many { spaces, .. } => {
                spaces.iter().flatten().map(|space| space.batch.effect_count()).sum()
            }
        }
    }
}

const NEEDED: &str = "the slice of every key a command names is there";
const ALL: &str = "a command over all keys gets every slice";

impl Space {
    pub fn new(keyspace: Keyspace) -> Self {
        Self { keyspace, batch: Batch::default() }
    }

    /// Changes the slice and logs the change, in one step.
    fn apply(&mut self, effect: &Effect<'_>) {
        self.try_apply(effect).expect("only what fits what is there is applied");
    }

    fn try_apply(&mut self, effect: &Effect<'_>) -> Result<(), ReplayError> {
        self.keyspace.replay(effect)?;
        self.batch.append(effect, &self.keyspace);
        Ok(())
    }
}

impl fmt::Debug for Spaces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slices = match &self.0 {
            Inner::One(_) => 1,
            Inner::Many { spaces, .. } => spaces.iter().flatten().count(),
        };
        f.debug_struct("Spaces").field("slices", &slices).finish_non_exhaustive()
    }
}
