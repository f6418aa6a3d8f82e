//! The keys and values of one slice.
//!
//! It changes by effects only: [`Keyspace::replay`] makes a change for good, [`Keyspace::apply`]
//! returns what takes it back. Digests compare keyspaces of different seeds and histories.
//!
//! # Invariants
//!
//! * There are exactly `DATABASES` databases.
//! * `used_bytes` of a database is the sum of the sizes of its keys and values.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::ops::Range;

use base::limits::{DATABASES, SLOTS};
use base::{Map, Prng};
use foldhash::quality::FixedState;

use crate::effect::Effect;
use crate::slot::slot_of;

#[cfg(test)]
mod tests;

/// Owner: slice.
#[derive(Debug)]
pub struct Keyspace {
    databases: Vec<Database>,
    /// Keyed, so that clients cannot choose keys that collide.
    hasher: FixedState,
    slots: Range<u16>,
}

/// What [`Keyspace::undo`] needs to take one effect back.
#[derive(Debug)]
#[must_use = "an effect without its inverse cannot be undone"]
pub struct Inverse(Restore);

#[derive(Debug)]
enum Restore {
    /// Before the effect the key held this, or was absent.
    Put { db: u16, key: Bytes, value: Option<Value> },
    /// The databases were swapped.
    Swap { first: u16, second: u16 },
    /// These databases were emptied.
    Flush(Vec<(u16, Database)>),
}

/// A logged effect that does not fit the keyspace it is replayed on: entries are missing before
/// it, or the keyspace is not the one it was logged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("an effect deletes a key of {size} bytes that database {db} does not hold")]
    DeleteOfAbsentKey { db: u16, size: usize },
    #[error("an effect changes a key of {size} bytes that database {db} does not hold")]
    ChangeOfAbsentKey { db: u16, size: usize },
}

impl Keyspace {
    /// An empty keyspace. `seed` should be a secret of the process: it keys the hashes.
    pub fn new(seed: u64, slots: Range<u16>) -> Self {
        let hasher = FixedState::with_seed(seed);
        let databases = (0..DATABASES).map(|_| Database::new(&hasher)).collect();
        Self { databases, hasher, slots }
    }

    pub fn slots(&self) -> Range<u16> {
        self.slots.clone()
    }

    /// The key and its value, whatever its time to expire says.
    pub fn find(&self, db: u16, key: &[u8]) -> Option<Entry<'_>> {
        let (key, value) = self.database(db).strings.get_key_value(key)?;
        Some(Entry { key, value })
    }

    /// Keys of one database that have a time to expire.
    pub fn expires(&self, db: u16) -> usize {
        let values = self.database(db).strings.values();
        values.filter(|value| value.expire_ms.is_some()).count()
    }

    /// Notes that a client looked at an entry.
    pub fn touch(&self, entry: Entry<'_>, now_ms: u64, policy: AccessPolicy, _chance: u64) {
        let word = match policy {
            AccessPolicy::Lru => now_ms,
            AccessPolicy::Lfu => entry.value.access.get().saturating_add(1),
        };
        entry.value.access.set(word);
    }

    /// Visits `count` entries or a few more from a position on, in the order of slots and hashes;
    /// returns where to go on.
    pub fn scan(
        &self,
        db: u16,
        from: Position,
        count: usize,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Option<Position> {
        let strings = self.database(db).strings.iter();
        let mut all: Vec<_> = strings
            .map(|(key, value)| (self.place(key), Entry { key, value }))
            .filter(|(position, _)| from <= *position)
            .collect();
        all.sort_by_key(|(position, _)| *position);
        let mut last = None;
        for (visited, (position, entry)) in all.into_iter().enumerate() {
            if count <= visited && last != Some(position) {
                return Some(position);
            }
            visit(entry);
            last = Some(position);
        }
        None
    }

    fn place(&self, key: &[u8]) -> Position {
        let slot = slot_of(key).0;
        Position { slot, hash: self.hash(0, key) >> 17 }
    }

    /// What a client sees of a position; zero for the start only.
    pub fn cursor(&self, position: Position) -> u64 {
        (u64::from(position.slot) << 47) | position.hash
    }

    /// The position a client's cursor names; any number names one.
    pub fn position(&self, cursor: u64) -> Position {
        let slot = (cursor >> 47) % u64::from(SLOTS);
        Position { slot: slot as u16, hash: cursor & ((1 << 47) - 1) }
    }

    pub fn for_each(&self, db: u16, visit: &mut dyn FnMut(Entry<'_>)) {
        self.database(db).strings.iter().for_each(|(key, value)| visit(Entry { key, value }));
    }

    pub fn random(&self, db: u16, prng: &mut Prng) -> Option<Entry<'_>> {
        let strings = &self.database(db).strings;
        if strings.is_empty() {
            return None;
        }
        let (key, value) = strings.iter().nth(prng.index(strings.len()))?;
        Some(Entry { key, value })
    }

    /// The key is looked at soon.
    pub fn prefetch(&self, _: u16, _: &[u8]) {}

    /// Keys of one database.
    pub fn len(&self, db: u16) -> usize {
        self.database(db).strings.len()
    }

    /// No database holds a key.
    pub fn is_empty(&self) -> bool {
        self.databases.iter().all(|database| database.strings.is_empty())
    }

    /// Bytes of all keys and values.
    pub fn used_bytes(&self) -> usize {
        self.databases.iter().map(|database| database.used_bytes).sum()
    }

    /// Makes a change for good: what recovery does with effects that cannot be undone.
    pub fn replay(&mut self, effect: &Effect<'_>) -> Result<(), ReplayError> {
        self.change(effect).map(drop)
    }

    /// Makes a change and returns what takes it back.
    ///
    /// # Panics
    ///
    /// If it changes a key that is not there.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Inverse {
        self.change(effect).expect("only a key that is there is changed or deleted")
    }

    fn change(&mut self, effect: &Effect<'_>) -> Result<Inverse, ReplayError> {
        Ok(Inverse(match *effect {
            Effect::PutString { db, key, value, expire_ms } => {
                let value = Value { bytes: value.into(), expire_ms, ..Value::default() };
                let value = self.database_mut(db).put_owned(key.into(), value);
                Restore::Put { db, key: key.into(), value }
            }
            Effect::SetExpire { db, key, expire_ms } => {
                let old = self.database(db).strings.get(key).cloned();
                let old = old.ok_or(ReplayError::ChangeOfAbsentKey { db, size: key.len() })?;
                let new = Value { expire_ms, ..old.clone() };
                self.database_mut(db).put_owned(key.into(), new);
                Restore::Put { db, key: key.into(), value: Some(old) }
            }
            Effect::Append { db, key, suffix } => {
                let old = self.database(db).strings.get(key).cloned();
                let old = old.ok_or(ReplayError::ChangeOfAbsentKey { db, size: key.len() })?;
                let bytes = [&*old.bytes, suffix].concat().into();
                let new = Value { bytes, raw: true, ..old.clone() };
                self.database_mut(db).put_owned(key.into(), new);
                Restore::Put { db, key: key.into(), value: Some(old) }
            }
            Effect::SetRange { db, key, offset, bytes } => {
                let old = self.database(db).strings.get(key).cloned();
                let mut new = old.clone().unwrap_or_default();
                let mut string = mem::take(&mut new.bytes).into_vec();
                let end = offset as usize + bytes.len();
                if string.len() < end {
                    string.resize(end, 0);
                }
                string[offset as usize..end].copy_from_slice(bytes);
                let new = Value { bytes: string.into(), raw: true, ..new };
                self.database_mut(db).put_owned(key.into(), new);
                Restore::Put { db, key: key.into(), value: old }
            }
            Effect::Delete { db, key } => {
                let absent = ReplayError::DeleteOfAbsentKey { db, size: key.len() };
                let (key, value) = self.database_mut(db).delete(key).ok_or(absent)?;
                Restore::Put { db, key, value: Some(value) }
            }
            Effect::FlushDatabase { db } => Restore::Flush(vec![(db, self.take_database(db))]),
            Effect::FlushAll => {
                Restore::Flush((0..DATABASES).map(|db| (db, self.take_database(db))).collect())
            }
            Effect::SwapDatabases { first, second } => {
                self.databases.swap(first.into(), second.into());
                Restore::Swap { first, second }
            }
        }))
    }

    /// Takes the last effect that was not yet undone back.
    ///
    /// # Panics
    ///
    /// If the keyspace is visibly not as that effect left it.
    pub fn undo(&mut self, inverse: Inverse) {
        match inverse.0 {
            Restore::Put { db, key, value: Some(value) } => {
                self.database_mut(db).put_owned(key, value);
            }
            Restore::Put { db, key, value: None } => {
                let put = self.database_mut(db).delete(&key);
                assert!(put.is_some(), "what was put is there until it is undone");
            }
            Restore::Swap { first, second } => self.databases.swap(first.into(), second.into()),
            Restore::Flush(databases) => {
                for (db, database) in databases {
                    let flushed = mem::replace(self.database_mut(db), database);
                    assert!(flushed.strings.is_empty(), "later effects are undone first");
                }
            }
        }
    }

    /// A keyed hash of a place a value can be at, for the commit gate; the same in every
    /// keyspace of one seed.
    pub fn hash(&self, db: u16, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u16(db);
        hasher.write(key);
        hasher.finish()
    }

    /// A digest of everything held: independent of the seed, of the order of the table and of
    /// the way the keyspace came to be. Walks every key.
    ///
    /// Digests of one build compare; they are not for storage.
    pub fn digest(&self) -> u128 {
        let hashers = DIGEST_SEEDS.map(FixedState::with_seed);
        let mut sums = [0u64; 2];
        for (db, database) in self.databases.iter().enumerate() {
            for (key, value) in &database.strings {
                for (sum, hasher) in sums.iter_mut().zip(&hashers) {
                    let mut hasher = hasher.build_hasher();
                    hasher.write_u64(db as u64);
                    // A hasher does not promise to see where one write ends.
                    hasher.write_u64(key.len() as u64);
                    hasher.write(key);
                    hasher.write_u64(value.expire_ms.map_or(0, |time| time + 1));
                    hasher.write_u8(value.raw.into());
                    hasher.write(&value.bytes);
                    *sum = sum.wrapping_add(hasher.finish());
                }
            }
        }
        (u128::from(sums[0]) << 64) | u128::from(sums[1])
    }

    /// Asserts the invariants. Walks every key: for tests and the simulator.
    pub fn check(&self) {
        assert!(self.databases.len() == usize::from(DATABASES));
        for database in &self.databases {
            let strings = database.strings.iter();
            let used: usize = strings.map(|(key, value)| key.len() + value.bytes.len()).sum();
            assert!(used == database.used_bytes);
        }
    }

    fn database(&self, db: u16) -> &Database {
        &self.databases[usize::from(db)]
    }

    fn database_mut(&mut self, db: u16) -> &mut Database {
        &mut self.databases[usize::from(db)]
    }

    fn take_database(&mut self, db: u16) -> Database {
        let empty = Database::new(&self.hasher);
        mem::replace(self.database_mut(db), empty)
    }
}

/// Two unrelated numbers, so that two values must collide under both to escape the digest.
const DIGEST_SEEDS: [u64; 2] = [0x746f_726f_6964_2d31, 0x2d8e_91c5_60b3_fa47];

/// A key or a value.
type Bytes = Box<[u8]>;

#[derive(Clone, Debug, Default)]
struct Value {
    bytes: Bytes,
    expire_ms: Option<u64>,
    raw: bool,
    access: Cell<u64>,
}

/// How accesses to keys are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessPolicy {
    /// When the last one was.
    #[default]
    Lru,
    /// How frequent they are.
    Lfu,
}

/// A place in the order of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    slot: u16,
    hash: u64,
}

impl Position {
    pub const START: Self = Self { slot: 0, hash: 0 };

    pub fn slot(self) -> u16 {
        self.slot
    }
}

/// A key and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    key: &'a [u8],
    value: &'a Value,
}

impl<'a> Entry<'a> {
    pub fn key(self) -> &'a [u8] {
        self.key
    }

    /// None if the key holds something else.
    pub fn string(self) -> Option<&'a [u8]> {
        Some(&self.value.bytes)
    }

    /// Bytes held.
    pub fn size(self) -> usize {
        self.key.len() + self.value.bytes.len()
    }

    pub fn expire_ms(self) -> Option<u64> {
        self.value.expire_ms
    }

    pub fn is_expired(self, now_ms: u64) -> bool {
        self.value.expire_ms.is_some_and(|time| time < now_ms)
    }

    /// The string was built in place.
    pub fn is_raw(self) -> bool {
        self.value.raw
    }

    /// Milliseconds since the last access.
    pub fn idle_ms(self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.value.access.get())
    }

    /// The logarithmic counter of accesses.
    pub fn frequency(self, _now_ms: u64) -> u8 {
        self.value.access.get().min(255) as u8
    }
}

/// One numbered database.
#[derive(Debug)]
struct Database {
    strings: Map<Bytes, Value>,
    used_bytes: usize,
}

impl Database {
    fn new(hasher: &FixedState) -> Self {
        Self { strings: Map::with_hasher(hasher.clone()), used_bytes: 0 }
    }

    /// Returns the value replaced.
    fn put_owned(&mut self, key: Bytes, value: Value) -> Option<Value> {
        let (key_size, value_size) = (key.len(), value.bytes.len());
        let old = self.strings.insert(key, value);
        self.used_bytes += value_size;
        match &old {
            Some(old) => self.used_bytes -= old.bytes.len(),
            None => self.used_bytes += key_size,
        }
        old
    }

    fn delete(&mut self, key: &[u8]) -> Option<(Bytes, Value)> {
        let (key, value) = self.strings.remove_entry(key)?;
        self.used_bytes -= key.len() + value.bytes.len();
        Some((key, value))
    }
}
