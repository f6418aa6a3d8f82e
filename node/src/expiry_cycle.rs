//! Keys, and fields of hashes, whose time has come and that nobody asks for: found and deleted, a few in each turn.
//!
//! A pass goes over the databases of the own slices. It ends when nothing more is due; the core
//! then sleeps until the next key is. What is deleted is deleted by effects, as everywhere.

use base::{Now, SliceId, limits};
use engine::{Class, Effect, ExpiryLimit, Position};

use crate::execute::ROOM_MARGIN;
use crate::node::Node;
use crate::topology::SliceSet;

/// Entries looked at in one turn for each step of the effort.
const ENTRIES_PER_EFFORT: usize = 128;

/// Fields of hashes deleted in one turn for each step of the effort.
const FIELDS_PER_EFFORT: usize = 512;

/// The shortest time between two passes: microseconds.
const PAUSE_US: u64 = 10_000;

/// The longest time between two passes, since clocks are set: microseconds.
const SLEEP_US: u64 = 60_000_000;

/// What a deletion logs beside the key, at most: bytes.
pub(crate) const DELETE_OVERHEAD: usize = 64;

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct ExpiryCycle {
    /// Where the pass under way stands: how many databases of slices are done, and how far the
    /// next one is.
    at: Option<(usize, Position)>,
    /// When the next pass begins; None: nothing expires.
    next_us: Option<u64>,
    keys: Keys,
}

/// What came of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The log has no room for the rest.
    NoRoom,
    /// It is enough for one turn.
    More,
}

/// Keys end to end.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl ExpiryCycle {
    /// When it is to be run again.
    pub(crate) fn timeout(&self) -> Option<u64> {
        if self.at.is_some() { Some(0) } else { self.next_us }
    }

    pub(crate) fn wake_at(&mut self, at_us: u64) {
        self.next_us = Some(self.next_us.map_or(at_us, |known| known.min(at_us)));
    }
}

impl Node {
    /// Expires some of what is due. `written`: slices that changed since the last call.
    pub(crate) fn run_expiry(&mut self, written: &SliceSet, now: Now) {
        for slice in written.iter() {
            if let Some(at_us) = self.next_expiry_us(slice, now) {
                self.expiry.wake_at(at_us);
            }
        }
        if !self.settings.active_expire {
            self.expiry.at = None;
            return;
        }
        let is_due = self.expiry.next_us.is_some_and(|at| at <= now.monotonic_us);
        if self.expiry.at.is_none() {
            if !is_due {
                return;
            }
            self.expiry.next_us = None;
            self.expiry.at = Some((0, Position::START));
        }
        if self.is_pausing(now) {
            self.expiry.at = None;
            self.expiry.next_us = self.pause.until_us();
            return;
        }
        // Who waits for room in the log comes first.
        if !self.room.is_empty() || self.wal.refuses_writes().is_some() {
            self.pause_expiry(now);
            return;
        }
        let mut budget = ENTRIES_PER_EFFORT * self.settings.active_expire_effort.max(1) as usize;
        while 0 < budget {
            let Some((done, position)) = self.expiry.at else { return };
            let databases = usize::from(limits::DATABASES);
            let slices = self.topology.slices_of(self.core);
            let Some(slice) = slices.into_iter().nth(done / databases) else {
                self.end_pass(now);
                return;
            };
            let db = (done % databases) as u16;
            if !self.is_due(slice, db, now) {
                self.expiry.at = Some((done + 1, Position::START));
                continue;
            }
            let mut keys = std::mem::take(&mut self.expiry.keys);
            let now_ms = self.slices.slice(slice).clock_ms(now);
            let keyspace = &self.slices.space(slice).keyspace;
            let next =
                keyspace.due(db, now_ms, position, budget, &mut |entry| keys.push(entry.key()));
            let outcome = self.expire_found(slice, db, &keys, now_ms, now);
            keys.clear();
            self.expiry.keys = keys;
            match outcome {
                Outcome::Done => {}
                // What was not deleted is found again.
                Outcome::NoRoom => {
                    self.pause_expiry(now);
                    return;
                }
                Outcome::More => return,
            }
            match next {
                Some(next) => {
                    self.expiry.at = Some((done, next));
                    return;
                }
                None => self.expiry.at = Some((done + 1, Position::START)),
            }
            // It has looked at as many as it was allowed, perhaps.
            budget /= 2;
        }
    }

    /// May the database of a slice hold something that is due?
    fn is_due(&self, slice: SliceId, db: u16, now: Now) -> bool {
        if !self.slices.is_here(slice) {
            return false;
        }
        let now_ms = self.slices.slice(slice).clock_ms(now);
        let first_ms = self.slices.space(slice).keyspace.first_expire_ms(db);
        first_ms.is_some_and(|first_ms| first_ms <= now_ms)
    }

    /// Deletes keys that were found to have expired, and such fields of hashes.
    fn expire_found(
        &mut self,
        slice: SliceId,
        db: u16,
        keys: &Keys,
        now_ms: u64,
        now: Now,
    ) -> Outcome {
        let mut room = self.spare_room(slice);
        let effort = self.settings.active_expire_effort.max(1) as usize;
        let mut fields = FIELDS_PER_EFFORT * effort;
        let mut outcome = Outcome::Done;
        let mut has_written = false;
        for key in keys.iter() {
            let before = self.slices.batch_size(slice);
            let Self { slices, notes, notify_classes, .. } = self;
            let mut spaces = slices.one(slice);
            let limit = ExpiryLimit { fields, bytes: room.saturating_sub(DELETE_OVERHEAD) };
            let classes = *notify_classes;
            let expired = engine::expire_key(&mut spaces, db, key, now_ms, limit, classes, notes);
            has_written |= !expired.is_none();
            self.stats.note_expired(expired);
            fields = fields.saturating_sub(expired.fields);
            room = room.saturating_sub(self.slices.batch_size(slice) - before);
            if expired.is_more {
                outcome = if fields == 0 { Outcome::More } else { Outcome::NoRoom };
                break;
            }
        }
        if has_written {
            self.slices.note_effects(slice, now, &self.planted);
        }
        outcome
    }

    /// Bytes that work of the node's own may add to the open batch of a slice.
    pub(crate) fn spare_room(&self, slice: SliceId) -> usize {
        let taken = self.loans.reserved_room() + self.slices.unlogged_size() as u64 + ROOM_MARGIN;
        let room = self.wal.room().saturating_sub(taken);
        let entry_room = self.config.entry_size_max.saturating_sub(ROOM_MARGIN as usize);
        let entry_room = entry_room.saturating_sub(self.slices.batch_size(slice));
        usize::try_from(room).unwrap_or(usize::MAX).min(entry_room)
    }

    /// Nothing more was due.
    fn end_pass(&mut self, now: Now) {
        self.expiry.at = None;
        let slices: Vec<SliceId> = self.topology.slices_of(self.core).collect();
        for slice in slices {
            if let Some(at_us) = self.next_expiry_us(slice, now) {
                self.expiry.wake_at(at_us);
            }
        }
    }

    /// When something of an own slice is due: not before a pause.
    fn next_expiry_us(&self, slice: SliceId, now: Now) -> Option<u64> {
        let earliest_us = now.monotonic_us + PAUSE_US;
        // A slice that comes back counts as written.
        if !self.slices.is_here(slice) {
            return None;
        }
        let keyspace = &self.slices.space(slice).keyspace;
        let first_ms =
            (0..limits::DATABASES).filter_map(|db| keyspace.first_expire_ms(db)).min()?;
        let delay_us = first_ms.saturating_sub(now.wall_ms).saturating_mul(1000);
        let delay_us = delay_us.min(SLEEP_US);
        Some((now.monotonic_us + delay_us).max(earliest_us))
    }

    fn pause_expiry(&mut self, now: Now) {
        self.expiry.at = None;
        self.expiry.wake_at(now.monotonic_us + PAUSE_US);
    }

    /// Deletes a key to make room in memory. The caller has found it.
    pub(crate) fn evict_key(&mut self, slice: SliceId, db: u16, key: &[u8], now: Now) {
        let Self { slices, notes, notify_classes, .. } = self;
        slices.one(slice).apply(&Effect::Delete { db, key });
        notes.notify(*notify_classes, Class::Evicted, "evicted", (db, key));
        self.slices.note_effects(slice, now, &self.planted);
        self.census.measure(&self.slices, slice);
        self.stats.evicted_keys += 1;
    }
}
