//! The keys and values of one slice.
//!
//! It changes by effects only: [`Keyspace::replay`] makes a change for good, [`Keyspace::apply`]
//! returns what takes it back. Digests compare keyspaces of different seeds and histories.
//!
//! # Invariants
//!
//! * There are exactly `DATABASES` databases, each of the slots of the slice.
//! * What is large is not freed where it goes, but in [`Keyspace::maintain`].

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use base::limits::{DATABASES, SLOTS};
use base::{Prng, Slot};
use foldhash::quality::FixedState;

use crate::cursor::{Cursor, Position};
use crate::slot::slot_of;
use crate::snapshot::Snapshot;
pub(crate) use crate::table::{AccessPolicy, Entry};
use crate::table::{EntryBox, KeyHasher, Memory, Place, Table};
use crate::values::{self, EncodingLimits, Type};

mod change;
mod garbage;
#[cfg(test)]
pub(crate) mod tests;

pub use change::{Inverse, ReplayError};
use garbage::Garbage;

/// Owner: slice.
#[derive(Debug)]
pub struct Keyspace {
    slots: Range<u16>,
    seed: u64,
    pub(crate) databases: Vec<Table>,
    pub(crate) hasher: KeyHasher,
    pub(crate) garbage: Garbage,
    limits: EncodingLimits,
    /// For bytes that are built and copied.
    scratch: Vec<u8>,
    pub(crate) snapshot: Option<Box<Snapshot>>,
    /// Their numbers tell nodes of lists which of them they have been seen by.
    pub(crate) snapshots_begun: u32,
    /// A planted bug: see [`plant_forgetful_walker`](Self::plant_forgetful_walker).
    #[cfg(feature = "planted")]
    pub(crate) forgets_to_save: bool,
}

/// It moves from the thread that recovered it to that of its core, as a whole.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Keyspace>();
    is_send::<Inverse>();
};

impl Keyspace {
    /// An empty keyspace of a range of slots. `seed` is a secret of the data directory, the same
    /// for all its slices: it keys the hashes, and so the order of iterations.
    pub fn new(seed: u64, slots: Range<u16>) -> Self {
        assert!(slots.start < slots.end && slots.end <= SLOTS);
        let databases = (0..DATABASES).map(|_| Table::new(slots.clone())).collect();
        let hasher = KeyHasher::new(seed);
        Self {
            slots,
            seed,
            databases,
            hasher,
            garbage: Garbage::default(),
            limits: EncodingLimits::default(),
            scratch: Vec::new(),
            snapshot: None,
            snapshots_begun: 0,
            #[cfg(feature = "planted")]
            forgets_to_save: false,
        }
    }

    /// Plants a bug for the simulator to find: what is about to change is not saved for a
    /// snapshot, unless it is large. Nothing without the feature `planted`.
    pub fn plant_forgetful_walker(&mut self) {
        #[cfg(feature = "planted")]
        {
            self.forgets_to_save = true;
        }
    }

    /// Is it planted?
    pub(crate) fn forgets_to_save(&self) -> bool {
        #[cfg(feature = "planted")]
        let forgets = self.forgets_to_save;
        #[cfg(not(feature = "planted"))]
        let forgets = false;
        forgets
    }

    /// Up to where values are stored as bytes, from now on. What is stored stays as it is.
    pub fn set_limits(&mut self, limits: EncodingLimits) {
        self.limits = limits;
    }

    /// Up to where values are stored as bytes.
    pub fn limits(&self) -> &EncodingLimits {
        &self.limits
    }

    /// Hashes keys, members and fields.
    pub(crate) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    pub fn slots(&self) -> Range<u16> {
        self.slots.clone()
    }

    /// The entry of a key, whatever its expiry says. Is not a use of it.
    pub fn find(&self, db: u16, key: &[u8]) -> Option<Entry<'_>> {
        self.database(db).find(self.place(key), key)
    }

    /// The string a key holds, whatever its expiry says.
    pub fn get(&self, db: u16, key: &[u8]) -> Option<&[u8]> {
        self.find(db, key).and_then(Entry::string)
    }

    /// Loads what [`prefetch_entry`](Self::prefetch_entry) will read.
    pub fn prefetch(&self, db: u16, key: &[u8]) {
        self.database(db).prefetch_bucket(self.place(key));
    }

    /// Loads what [`find`](Self::find) will read; to be called some work after
    /// [`prefetch`](Self::prefetch).
    pub fn prefetch_entry(&self, db: u16, key: &[u8]) {
        self.database(db).prefetch_entry(self.place(key));
    }

    /// Notes a use of an entry. `chance` is any 64 random bits. Neither logged nor in a digest.
    pub fn touch(&self, entry: Entry<'_>, now_ms: u64, policy: AccessPolicy, chance: u64) {
        Table::touch(entry, now_ms, policy, chance);
    }

    /// Keys of one database.
    pub fn len(&self, db: u16) -> usize {
        self.database(db).len()
    }

    /// Keys of one database that have an expiry.
    pub fn expires(&self, db: u16) -> usize {
        self.database(db).expires()
    }

    /// Keys of one database that hold hashes with fields that have an expiry.
    pub fn timed(&self, db: u16) -> usize {
        self.database(db).timed()
    }

    /// Keys of one slot in database zero.
    pub fn slot_len(&self, slot: Slot) -> usize {
        self.database(0).slot_len(slot)
    }

    /// No database holds a key.
    pub fn is_empty(&self) -> bool {
        self.databases.iter().all(|database| database.len() == 0)
    }

    /// Bytes allocated, exactly.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory { garbage: self.garbage.size(), ..Memory::default() };
        self.databases.iter().for_each(|database| memory.add(database.memory()));
        memory
    }

    /// Bytes allocated for one database.
    pub fn size_of(&self, db: u16) -> usize {
        self.database(db).memory().total()
    }

    /// No key of one database expires before, nor a field; None: none expires at all.
    pub fn first_expire_ms(&self, db: u16) -> Option<u64> {
        self.database(db).first_expire_ms()
    }

    /// Bytes allocated for all keys and values.
    pub fn used_bytes(&self) -> usize {
        self.memory().entries
    }

    /// A keyed hash of a place a value can be at, for the commit gate; the same in every
    /// keyspace of one seed.
    pub fn hash(&self, db: u16, key: &[u8]) -> u64 {
        // Databases become far apart; within one, hashes differ as those of the keys do.
        self.hasher.hash(key) ^ u64::from(db).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Turns positions into what clients see, and back; the same in every keyspace of one seed.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.seed)
    }

    /// Visits the entries of a database at or behind a position, in the order of slot and hash,
    /// until it visited about `count`, or looked in vain for long. Returns where to go on; `None`
    /// behind the last slot of this keyspace.
    ///
    /// What is there from the first call of an iteration to its last is visited exactly once,
    /// whatever changes in between.
    pub fn scan<'a>(
        &'a self,
        db: u16,
        from: Position,
        count: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> Option<Position> {
        self.database(db).scan(&self.hasher, from, count, visit)
    }

    /// Visits every entry of a database.
    pub fn for_each<'a>(&'a self, db: u16, visit: &mut dyn FnMut(Entry<'a>)) {
        self.database(db).for_each(visit);
    }

    /// An entry, each about as likely as any other.
    pub fn random(&self, db: u16, prng: &mut Prng) -> Option<Entry<'_>> {
        self.database(db).random(prng)
    }

    /// Visits `count` entries from random places, or as many as there are: some perhaps twice.
    pub fn sample<'a>(
        &'a self,
        db: u16,
        prng: &mut Prng,
        count: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) {
        self.database(db).sample(prng, count, visit);
    }

    /// Visits entries of a database that have expired, and hashes whose fields may have, from a
    /// position on. Returns where to go on
    /// when the budget, in entries looked at, is used up; `None` at the end. Costs nothing when
    /// nothing has expired, and little where nothing has.
    pub fn due<'a>(
        &'a self,
        db: u16,
        now_ms: u64,
        from: Position,
        budget: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> Option<Position> {
        self.database(db).due(now_ms, from, budget, visit)
    }

    /// Does what was put off, as far as a budget in entries reaches: frees what is no longer
    /// there, and what tables no longer need. True if there is more to do.
    pub fn maintain(&mut self, budget: usize) -> bool {
        let mut budget = budget.max(1);
        if self.garbage.free(&mut budget) {
            return true;
        }
        let mut is_more = false;
        for database in &mut self.databases {
            is_more |= database.maintain(&mut budget, &self.hasher);
        }
        is_more
    }

    /// A digest of everything held: independent of the seed, of the order of the table and of
    /// the way the keyspace came to be. Walks every key. What is not an effect is not part of it.
    ///
    /// Digests of one build compare; they are not for storage.
    pub fn digest(&self) -> u128 {
        let hashers = DIGEST_SEEDS.map(FixedState::with_seed);
        let mut sums = [0u64; 2];
        for db in 0..DATABASES {
            self.for_each(db, &mut |entry| {
                let is_list = entry.kind() == Type::List;
                for (sum, state) in sums.iter_mut().zip(&hashers) {
                    let mut hasher = state.build_hasher();
                    hasher.write_u64(u64::from(db));
                    hasher.write_u64(entry.kind() as u64);
                    hasher.write_u64(
                        entry.expire_ms().map_or(0, |_| 1) | u64::from(entry.is_raw()) << 1,
                    );
                    hasher.write_u64(entry.expire_ms().unwrap_or(0));
                    // A hasher does not promise to see where one write ends.
                    hasher.write_u64(entry.key().len() as u64);
                    hasher.write(entry.key());
                    let (mut parts, mut index) = (0u64, 0u64);
                    values::for_each_part(entry, &mut |part| {
                        let mut part_hasher = state.build_hasher();
                        part_hasher.write_u64(index);
                        for bytes in part {
                            part_hasher.write_u64(bytes.len() as u64);
                            part_hasher.write(bytes);
                        }
                        parts = parts.wrapping_add(part_hasher.finish());
                        index += u64::from(is_list);
                    });
                    hasher.write_u64(parts);
                    *sum = sum.wrapping_add(hasher.finish());
                }
            });
        }
        (u128::from(sums[0]) << 64) | u128::from(sums[1])
    }

    /// Asserts the invariants. Walks every key: for tests and the simulator.
    pub fn check(&self) {
        assert!(self.databases.len() == usize::from(DATABASES));
        self.databases.iter().for_each(|database| database.check(&self.hasher));
        self.garbage.check();
        self.snapshot.iter().for_each(|snapshot| snapshot.check());
    }

    /// Puts back what a snapshot holds; the key is absent.
    pub(crate) fn restore(&mut self, db: u16, entry: EntryBox) {
        let place = self.place(entry.view().key());
        self.databases[usize::from(db)].insert(place, entry, &self.hasher);
    }

    pub(crate) fn place(&self, key: &[u8]) -> Place {
        Place { slot: slot_of(key), hash: self.hasher.hash(key) }
    }

    pub(crate) fn database(&self, db: u16) -> &Table {
        &self.databases[usize::from(db)]
    }

    fn database_mut(&mut self, db: u16) -> &mut Table {
        &mut self.databases[usize::from(db)]
    }
}

/// Two unrelated numbers, so that two values must collide under both to escape the digest.
const DIGEST_SEEDS: [u64; 2] = [0x746f_726f_6964_2d31, 0x2d8e_91c5_60b3_fa47];
