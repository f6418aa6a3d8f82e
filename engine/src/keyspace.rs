//! The keys and values of one slice.
//!
//! It changes by effects only: [`Keyspace::replay`] makes a change for good, [`Keyspace::apply`]
//! returns what takes it back. Digests compare keyspaces of different seeds and histories.
//!
//! # Invariants
//!
//! * There are exactly `DATABASES` databases.
//! * `used_bytes` of a database is the sum of the sizes of its keys and values.

use std::hash::{BuildHasher, Hasher};
use std::mem;

use base::Map;
use base::limits::DATABASES;
use foldhash::quality::FixedState;

use crate::effect::Effect;

#[cfg(test)]
mod tests;

/// Owner: slice.
#[derive(Debug)]
pub struct Keyspace {
    databases: Vec<Database>,
    /// Keyed, so that clients cannot choose keys that collide.
    hasher: FixedState,
}

/// What [`Keyspace::undo`] needs to take one effect back.
#[derive(Debug)]
#[must_use = "an effect without its inverse cannot be undone"]
pub struct Inverse(Restore);

#[derive(Debug)]
enum Restore {
    /// Before a put the key held this, or was absent.
    Put { db: u16, key: Bytes, value: Option<Bytes> },
    /// The deleted key held this.
    Delete { db: u16, key: Bytes, value: Bytes },
    /// These databases were emptied.
    Flush(Vec<(u16, Database)>),
}

/// A logged effect that does not fit the keyspace it is replayed on: entries are missing before
/// it, or the keyspace is not the one it was logged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("an effect deletes a key of {size} bytes that database {db} does not hold")]
    DeleteOfAbsentKey { db: u16, size: usize },
}

impl Keyspace {
    /// An empty keyspace. `seed` should be a secret of the process: it keys the hashes.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let databases = (0..DATABASES).map(|_| Database::new(&hasher)).collect();
        Self { databases, hasher }
    }

    pub fn get(&self, db: u16, key: &[u8]) -> Option<&[u8]> {
        self.database(db).strings.get(key).map(|value| &**value)
    }

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
        match *effect {
            Effect::PutString { db, key, value } => {
                self.database_mut(db).put(key, value);
            }
            Effect::Delete { db, key } => {
                let absent = ReplayError::DeleteOfAbsentKey { db, size: key.len() };
                self.database_mut(db).delete(key).ok_or(absent)?;
            }
            Effect::FlushDatabase { db } => {
                self.take_database(db);
            }
            Effect::FlushAll => {
                for db in 0..DATABASES {
                    self.take_database(db);
                }
            }
        }
        Ok(())
    }

    /// Makes a change and returns what takes it back.
    ///
    /// # Panics
    ///
    /// If it deletes a key that is not there.
    pub fn apply(&mut self, effect: &Effect<'_>) -> Inverse {
        Inverse(match *effect {
            Effect::PutString { db, key, value } => {
                let value = self.database_mut(db).put(key, value);
                Restore::Put { db, key: key.into(), value }
            }
            Effect::Delete { db, key } => {
                let entry = self.database_mut(db).delete(key);
                let (key, value) = entry.expect("only a key that is there is deleted");
                Restore::Delete { db, key, value }
            }
            Effect::FlushDatabase { db } => Restore::Flush(vec![(db, self.take_database(db))]),
            Effect::FlushAll => {
                Restore::Flush((0..DATABASES).map(|db| (db, self.take_database(db))).collect())
            }
        })
    }

    /// Takes the last effect that was not yet undone back.
    ///
    /// # Panics
    ///
    /// If the keyspace is visibly not as that effect left it.
    pub fn undo(&mut self, inverse: Inverse) {
        match inverse.0 {
            Restore::Put { db, key, value: Some(value) } => {
                let put = self.database_mut(db).put_owned(key, value);
                assert!(put.is_some(), "what was put is there until it is undone");
            }
            Restore::Put { db, key, value: None } => {
                let put = self.database_mut(db).delete(&key);
                assert!(put.is_some(), "what was put is there until it is undone");
            }
            Restore::Delete { db, key, value } => {
                let put = self.database_mut(db).put_owned(key, value);
                assert!(put.is_none(), "what was deleted is absent until it is undone");
            }
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
                    hasher.write(value);
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
            let used: usize = strings.map(|(key, value)| key.len() + value.len()).sum();
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

/// One numbered database.
#[derive(Debug)]
struct Database {
    strings: Map<Bytes, Bytes>,
    used_bytes: usize,
}

impl Database {
    fn new(hasher: &FixedState) -> Self {
        Self { strings: Map::with_hasher(hasher.clone()), used_bytes: 0 }
    }

    /// Returns the value replaced.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Option<Bytes> {
        let Some(place) = self.strings.get_mut(key) else {
            return self.put_owned(key.into(), value.into());
        };
        let old = mem::replace(place, value.into());
        self.used_bytes = self.used_bytes - old.len() + value.len();
        Some(old)
    }

    fn put_owned(&mut self, key: Bytes, value: Bytes) -> Option<Bytes> {
        let (key_size, value_size) = (key.len(), value.len());
        let old = self.strings.insert(key, value);
        self.used_bytes += value_size;
        match &old {
            Some(old) => self.used_bytes -= old.len(),
            None => self.used_bytes += key_size,
        }
        old
    }

    fn delete(&mut self, key: &[u8]) -> Option<(Bytes, Bytes)> {
        let (key, value) = self.strings.remove_entry(key)?;
        self.used_bytes -= key.len() + value.len();
        Some((key, value))
    }
}
