//! What a log holds at a start, read apart from `node`: a second path from records to a keyspace.

use std::collections::BTreeMap;

use engine::{BatchReader, Effect, Keyspace};
use wal::Record;

use crate::history::{Key, Value, Values};
use crate::keys::Keys;
use crate::trace::hash_bytes;

/// The contents of all databases.
pub type Contents = BTreeMap<(u16, Key), Value>;

/// One key's new value, or that it is gone.
pub type Put = (u16, Key, Option<Value>);

/// Everything recovered from the log, in its order.
#[derive(Debug, Default)]
pub struct Surviving {
    /// (term, index, hash of the body) of every entry.
    pub entries: Vec<(u64, u64, u64)>,
    pub contents: Contents,
    /// Every change in order; a flush is one of every key it takes.
    pub changes: Vec<Put>,
    /// Where in the order of changes each text was put.
    pub texts: BTreeMap<u32, u32>,
    pub body_bytes: u64,
    /// Keep the bytes of keys and values, to make a keyspace of.
    keeps_bytes: bool,
    bytes: BTreeMap<(u16, Vec<u8>), Vec<u8>>,
}

impl Surviving {
    pub fn new(keeps_bytes: bool) -> Self {
        Self { keeps_bytes, ..Self::default() }
    }

    /// Takes one record as recovery hands it over.
    pub fn take(
        &mut self,
        record: &Record<'_>,
        keys: &Keys,
        values: &Values,
    ) -> Result<(), String> {
        let Record::Entry { slice: _, term, index, body } = record else { return Ok(()) };
        self.entries.push((term.0, index.0, hash_bytes(body)));
        self.body_bytes += body.len() as u64;
        if body.is_empty() {
            return Ok(());
        }
        for effect in BatchReader::new(body).map_err(|error| error.to_string())? {
            self.effect(&effect.map_err(|error| error.to_string())?, keys, values)?;
        }
        Ok(())
    }

    fn effect(&mut self, effect: &Effect<'_>, keys: &Keys, values: &Values) -> Result<(), String> {
        let find = |key: &[u8]| keys.find(key).ok_or("a key that no client ever named".to_owned());
        let place = self.changes.len() as u32;
        match *effect {
            Effect::PutString { db, key, value } => {
                let known = match values.known(value) {
                    Some(known) => known,
                    None => return Err("a value that no client ever sent".to_owned()),
                };
                if let Value::Text(text) = known
                    && known != crate::history::EMPTY
                    && let Some(first) = self.texts.insert(text, place)
                {
                    return Err(format!(
                        "one SET was logged twice: text {text} by changes {first} and {place}"
                    ));
                }
                let found = find(key)?;
                self.contents.insert((db, found), known);
                self.changes.push((db, found, Some(known)));
                if self.keeps_bytes {
                    self.bytes.insert((db, key.to_vec()), value.to_vec());
                }
            }
            Effect::Delete { db, key } => {
                let found = find(key)?;
                self.contents.remove(&(db, found));
                self.changes.push((db, found, None));
                if self.keeps_bytes {
                    self.bytes.remove(&(db, key.to_vec()));
                }
            }
            Effect::FlushDatabase { db } => {
                let gone = self.contents.keys().filter(|(database, _)| *database == db);
                self.changes.extend(gone.map(|(database, key)| (*database, *key, None)));
                self.contents.retain(|(database, _), _| *database != db);
                self.bytes.retain(|(database, _), _| *database != db);
            }
            Effect::FlushAll => {
                let gone = self.contents.keys();
                self.changes.extend(gone.map(|(database, key)| (*database, *key, None)));
                self.contents.clear();
                self.bytes.clear();
            }
        }
        Ok(())
    }

    /// A keyspace made of what is left, not of the way there; None if the bytes were not kept.
    pub fn keyspace(&self, seed: u64) -> Option<Keyspace> {
        if !self.keeps_bytes {
            return None;
        }
        let mut keyspace = Keyspace::new(seed);
        for ((db, key), value) in &self.bytes {
            keyspace
                .replay(&Effect::PutString { db: *db, key, value })
                .expect("a key can always be put");
        }
        Some(keyspace)
    }

    /// Keys of one database.
    pub fn count(&self, database: u16) -> usize {
        self.contents.keys().filter(|(db, _)| *db == database).count()
    }

    /// Everything in `self` is in `later` too, at the same place.
    pub fn is_prefix_of(&self, later: &Self) -> bool {
        later.entries.starts_with(&self.entries)
    }

    /// Every entry has the index after the one before it, and terms do not go back.
    pub fn check_order(&self) -> Result<(), String> {
        for (at, pair) in self.entries.windows(2).enumerate() {
            let [(term, index, _), (next_term, next_index, _)] = pair else {
                unreachable!("windows of two")
            };
            if *next_index != index + 1 || next_term < term {
                return Err(format!(
                    "entry {next_index} of term {next_term} follows entry {index} of term {term} \
                     at place {at}"
                ));
            }
        }
        Ok(())
    }
}
