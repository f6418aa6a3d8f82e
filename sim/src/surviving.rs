//! What the logs hold at a start, read apart from `node`: a second path from records to contents.
//!
//! Slices have logs of their own, in the order of their indexes, wherever their records lie.
//! [`Surviving::finish`] decides which entries count and makes contents and changes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use base::{LogIndex, SliceId, Term};
use engine::{BatchReader, Effect, Keyspace};
use node::Topology;
use wal::Record;

use crate::history::{Chain, Key, TOKEN_SIZE, Value, Values};
use crate::keys::{self, Keys, LOOSE, MIXED, WIDE};
use crate::trace::hash_bytes;

use attachment::{Attachment, Place};

mod attachment;
mod decide;

/// The contents of all databases.
pub type Contents = BTreeMap<(u16, Key), Value>;

/// One key's new value, or that it is gone.
pub type Put = (u16, Key, Option<Value>);

/// Everything recovered from the logs.
#[derive(Debug)]
pub struct Surviving {
    topology: Topology,
    pub slices: Vec<SliceLog>,
    pub contents: Contents,
    /// Of each slice, every change that counts, in order; a flush is one of every key it takes, a
    /// swap two of every key that is in one of the databases.
    pub changes: Vec<Vec<Put>>,
    /// Where each text was put that was put by a client: slice, and place in its changes.
    pub texts: BTreeMap<u32, (u16, u32)>,
    pub body_bytes: u64,
    pub voids: u64,
    pub fragments: u64,
    /// Keep the bytes of keys and values, to make keyspaces of.
    keeps_bytes: bool,
    bytes: Bytes,
    /// Of each slice, the effects on collections that count, as a batch has them.
    collections: Vec<Vec<Vec<u8>>>,
}

/// What keys hold, and whether it was written into.
type Bytes = BTreeMap<(u16, Vec<u8>), (Vec<u8>, bool)>;

/// The entries of one slice.
#[derive(Clone, Debug, Default)]
pub struct SliceLog {
    pub entries: Vec<Entry>,
    /// Said by the log itself.
    voids: Vec<Range<u64>>,
    /// Said by the log itself: every fragment up to here is decided.
    resolved: u64,
    /// Decided since: nothing counts from there on, to the end of what was found.
    first_void: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub term: u64,
    pub index: u64,
    pub hash: u64,
    effects: Vec<Kept>,
    fragment: Vec<Place>,
    is_of_collections: bool,
    pub body: Vec<u8>,
}

/// An effect as the checkers see it.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Put(u16, Key, Value),
    Append(u16, Key, u32),
    Delete(u16, Key),
    /// All members of a collection.
    DeleteCollection(u16),
    FlushDatabase(u16),
    FlushAll,
    Swap(u16, u16),
}

impl SliceLog {
    fn is_void(&self, index: u64) -> bool {
        self.voids.iter().any(|void| void.contains(&index))
    }

    /// Does the entry count for anything?
    fn counts(&self, index: u64) -> bool {
        self.void_from(index).is_none()
    }

    /// The fragment because of which an entry counts for nothing.
    fn void_from(&self, index: u64) -> Option<u64> {
        let said = self.voids.iter().find(|void| void.contains(&index)).map(|void| void.start);
        said.or(self.first_void.filter(|first| *first <= index))
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(index).ok()?.checked_sub(1)?)
    }

    fn is_prefix_of(&self, later: &Self) -> bool {
        let same = |(a, b): (&Entry, &Entry)| (a.term, a.hash) == (b.term, b.hash);
        self.entries.len() <= later.entries.len()
            && self.entries.iter().zip(&later.entries).all(same)
    }
}

impl Surviving {
    pub fn new(topology: Topology, keeps_bytes: bool) -> Self {
        let slices = usize::from(topology.slices());
        Self {
            topology,
            slices: vec![SliceLog::default(); slices],
            contents: Contents::new(),
            changes: vec![Vec::new(); slices],
            texts: BTreeMap::new(),
            body_bytes: 0,
            voids: 0,
            fragments: 0,
            keeps_bytes,
            bytes: BTreeMap::new(),
            collections: vec![Vec::new(); slices],
        }
    }

    /// Takes one record as recovery hands it over.
    pub fn take(
        &mut self,
        record: &Record<'_>,
        keys: &Keys,
        values: &Values,
    ) -> Result<(), String> {
        let Record::Entry { slice, term, index, body } = record else { return Ok(()) };
        let slice_number = usize::from(slice.0);
        let log = self.slices.get_mut(slice_number).ok_or_else(|| format!("slice {slice}"))?;
        let before = log.entries.last().map_or((0, 0), |entry| (entry.term, entry.index));
        if index.0 != before.1 + 1 || term.0 < before.0 {
            return Err(format!(
                "entry {index} of term {term} of slice {slice} follows entry {} of term {}",
                before.1, before.0
            ));
        }
        self.body_bytes += body.len() as u64;
        let mut entry = Entry {
            term: term.0,
            index: index.0,
            hash: hash_bytes(body),
            effects: Vec::new(),
            fragment: Vec::new(),
            is_of_collections: false,
            body: body.to_vec(),
        };
        if !body.is_empty() {
            let reader = BatchReader::new(body).map_err(|error| error.to_string())?;
            let attachment = Attachment::read(reader.attachment())?;
            for effect in reader {
                let effect = effect.map_err(|error| error.to_string())?;
                if let Some((_, key)) = effect.place()
                    && self.topology.slice_of(engine::slot_of(key)) != *slice
                {
                    return Err(format!("entry {index} of slice {slice} is about another's key"));
                }
                let db = effect.place().map(|(db, _)| db);
                entry.is_of_collections |= db.is_some_and(is_of_collections);
                keep(&effect, keys, values, &mut entry.effects)?;
            }
            log.resolved = log.resolved.max(attachment.resolved);
            log.voids.extend(attachment.void.map(|first| first..index.0));
            entry.fragment = attachment.fragment;
        }
        log.entries.push(entry);
        Ok(())
    }

    /// Decides what is open, and makes contents of what counts.
    pub fn finish(&mut self) -> Result<(), String> {
        let first_void = decide::first_void(&self.slices)?;
        for (log, first) in self.slices.iter_mut().zip(first_void) {
            log.first_void = (first != u64::MAX).then_some(first);
        }
        for (slice, log) in self.slices.iter().enumerate() {
            self.voids += log.voids.len() as u64 + u64::from(log.first_void.is_some());
            let mut contents = Contents::new();
            let changes = &mut self.changes[slice];
            for entry in &log.entries {
                if !log.counts(entry.index) {
                    continue;
                }
                self.fragments += u64::from(!entry.fragment.is_empty());
                for effect in &entry.effects {
                    // Of SETs; other commands move texts about.
                    if let Kept::Put(database, _, Value::Text(text)) = *effect
                        && Value::Text(text) != crate::history::EMPTY
                    {
                        let place = (slice as u16, changes.len() as u32);
                        let first = *self.texts.entry(text).or_insert(place);
                        if first != place && database == WIDE {
                            return Err(format!(
                                "one SET was logged twice: text {text}, first {first:?}"
                            ));
                        }
                    }
                    apply(*effect, &mut contents, changes)?;
                }
                if self.keeps_bytes {
                    let topology = self.topology;
                    let is_own = |key: &[u8]| {
                        usize::from(topology.slice_of(engine::slot_of(key)).0) == slice
                    };
                    apply_bytes(&entry.body, &mut self.bytes, &is_own)?;
                    self.collections[slice].push(entry.body.clone());
                }
            }
            self.contents.append(&mut contents);
        }
        Ok(())
    }

    /// The keyspaces of all slices, made of what is left, not of the way there; None if the bytes
    /// were not kept.
    pub fn keyspaces(&self, seed: u64) -> Option<Vec<Keyspace>> {
        if !self.keeps_bytes {
            return None;
        }
        let slots = |slice| self.topology.slots(SliceId(slice));
        let mut keyspaces: Vec<Keyspace> =
            (0..self.topology.slices()).map(|slice| Keyspace::new(seed, slots(slice))).collect();
        for ((db, key), (value, is_raw)) in &self.bytes {
            let slice = self.topology.slice_of(engine::slot_of(key));
            let keyspace = &mut keyspaces[usize::from(slice.0)];
            keyspace
                .replay(&Effect::PutString { db: *db, key, value, expire_ms: None })
                .expect("a key can always be put");
            if *is_raw {
                keyspace
                    .replay(&Effect::Append { db: *db, key, suffix: b"" })
                    .expect("it was just put");
            }
        }
        // What collections came to: the way there, as their forms depend on it.
        for (keyspace, bodies) in keyspaces.iter_mut().zip(&self.collections) {
            for body in bodies.iter().filter(|body| !body.is_empty()) {
                for effect in BatchReader::new(body).expect("it was read before") {
                    let effect = effect.expect("it was read before");
                    let is_about = match effect {
                        Effect::FlushDatabase { db } => is_of_collections(db),
                        Effect::FlushAll => {
                            for db in [MIXED, LOOSE] {
                                let flush = Effect::FlushDatabase { db };
                                keyspace.replay(&flush).expect("a database can be emptied");
                            }
                            false
                        }
                        _ => effect.place().is_some_and(|(db, _)| is_of_collections(db)),
                    };
                    if is_about {
                        keyspace.replay(&effect).expect("it counts, after all before it");
                    }
                }
            }
        }
        Some(keyspaces)
    }

    /// The keyspace of a slice as of an entry, made of the effects of what counts up to there.
    pub fn keyspace_at(
        &self,
        slice: SliceId,
        term: Term,
        index: LogIndex,
        seed: u64,
    ) -> Result<Keyspace, String> {
        let log = &self.slices[usize::from(slice.0)];
        if log.entry(index.0).is_none_or(|entry| entry.term != term.0) {
            return Err(format!("there is no such entry of term {term}"));
        }
        let mut keyspace = Keyspace::new(seed, self.topology.slots(slice));
        let counted = log.entries.iter().filter(|entry| log.counts(entry.index));
        for entry in counted.take_while(|entry| entry.index <= index.0) {
            if entry.body.is_empty() {
                continue;
            }
            for effect in BatchReader::new(&entry.body).map_err(|error| error.to_string())? {
                let effect = effect.map_err(|error| error.to_string())?;
                keyspace.replay(&effect).map_err(|error| error.to_string())?;
            }
        }
        Ok(keyspace)
    }

    /// Keys of all databases but the one of loose collections.
    pub fn key_count(&self) -> usize {
        let mut collections: Vec<u16> =
            self.members().map(|(_, member)| keys::collection_of(*member)).collect();
        let members = collections.len();
        collections.sort_unstable();
        collections.dedup();
        self.contents.len() - members + collections.len()
    }

    /// Was there ever a collection?
    pub fn has_collections(&self) -> bool {
        let mut entries = self.slices.iter().flat_map(|log| &log.entries);
        entries.any(|entry| entry.is_of_collections)
    }

    fn members(&self) -> impl Iterator<Item = &(u16, Key)> {
        self.contents.keys().filter(|(db, _)| *db == MIXED)
    }

    /// Keys of one database.
    pub fn count(&self, database: u16) -> usize {
        self.contents.keys().filter(|(db, _)| *db == database).count()
    }

    pub fn entry_count(&self) -> usize {
        self.slices.iter().map(|log| log.entries.len()).sum()
    }

    /// Everything that counted in `self` counts in `later`, at the same place.
    pub fn check_prefix_of(&self, later: &Self) -> Result<(), String> {
        for (slice, log) in self.slices.iter().enumerate() {
            let (now, then) = (&later.slices[slice], log.entries.len());
            if !log.is_prefix_of(now) {
                return Err(format!(
                    "a process served from {then} entries of slice {slice}, now there are {} and \
                     the first to differ is at place {:?}",
                    now.entries.len(),
                    log.entries.iter().zip(&now.entries).position(|(a, b)| a.hash != b.hash),
                ));
            }
            if let Some(entry) =
                log.entries.iter().find(|e| log.counts(e.index) != now.counts(e.index))
            {
                return Err(format!(
                    "entry {} of slice {slice} counted when a process served, or did not: {}; now \
                     it is the other way",
                    entry.index,
                    log.counts(entry.index),
                ));
            }
            if !later.changes[slice].starts_with(&self.changes[slice]) {
                return Err(format!(
                    "changes of slice {slice} counted when a process served, and do not any more"
                ));
            }
        }
        Ok(())
    }

    /// Everything that a process had settled is here and counts, but for what was void when it
    /// started.
    pub fn check_settled(&self, settled: &[u64], served: &Self) -> Result<(), String> {
        for (slice, (log, settled)) in self.slices.iter().zip(settled).enumerate() {
            let count = log.entries.len() as u64;
            if count < *settled {
                return Err(format!(
                    "slice {slice} was settled up to entry {settled} and its log ends at {count}"
                ));
            }
            // What was found open then is void up to the entry that says so.
            let known = served.slices[slice].entries.len() as u64;
            let is_lost = |index: &u64| log.void_from(*index).is_some_and(|first| known < first);
            if let Some(lost) = (known + 1..=*settled).find(is_lost) {
                return Err(format!(
                    "slice {slice} was settled up to entry {settled} and entry {lost} does not \
                     count"
                ));
            }
        }
        Ok(())
    }

    /// Every entry is as in `other`.
    pub fn has_entries_of(&self, other: &Self) -> bool {
        let lengths = self.slices.iter().zip(&other.slices);
        lengths.into_iter().all(|(a, b)| a.entries.len() == b.entries.len() && a.is_prefix_of(b))
    }

    /// For who looks into what recovery decided.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (slice, log) in self.slices.iter().enumerate() {
            let _ = write!(text, "slice {slice}: voids {:?} resolved {}:", log.voids, log.resolved);
            for entry in log.entries.iter().rev().take(12).rev() {
                let _ = write!(text, " {}@{}", entry.index, entry.term);
                for place in &entry.fragment {
                    let _ = write!(text, "<{} {}@{}>", place.slice, place.index, place.term);
                }
            }
            text.push('\n');
        }
        text
    }

    /// What was changed since `before`: each slice's in order.
    pub fn changes_since(&self, before: &Self) -> Vec<Put> {
        let changes = self.changes.iter().zip(&before.changes);
        changes.flat_map(|(now, then)| now[then.len()..].iter().copied()).collect()
    }
}

fn is_of_collections(db: u16) -> bool {
    matches!(db, MIXED | LOOSE)
}

/// Appends what the checkers see of an effect.
fn keep(
    effect: &Effect<'_>,
    keys: &Keys,
    values: &Values,
    into: &mut Vec<Kept>,
) -> Result<(), String> {
    match effect.place() {
        Some((LOOSE, _)) => {}
        Some((MIXED, key)) => keep_members(effect, key, keys, values, into)?,
        _ => into.push(keep_string(effect, keys, values)?),
    }
    Ok(())
}

/// Of an effect on a collection of the mixed database.
fn keep_members(
    effect: &Effect<'_>,
    key: &[u8],
    keys: &Keys,
    values: &Values,
    into: &mut Vec<Kept>,
) -> Result<(), String> {
    let collection = keys.find_collection(key).ok_or("a collection that no client ever named")?;
    let find = |bytes: &[u8]| {
        keys.find_member(collection, bytes).ok_or("a member that no client ever named".to_owned())
    };
    match *effect {
        Effect::SetAdd { members, .. } => {
            for member in members.iter() {
                into.push(Kept::Put(MIXED, find(member)?, Value::Number(1)));
            }
        }
        Effect::HashSet { pairs, expire_ms: None, .. } => {
            for (field, value) in pairs.pairs() {
                let known = values.known(value).ok_or("a value that no client ever sent")?;
                into.push(Kept::Put(MIXED, find(field)?, known));
            }
        }
        Effect::ZsetAdd { pairs, .. } => {
            for (score, member) in pairs.pairs() {
                let score = score.try_into().map_err(|_| "a score of another size")?;
                let score = f64::from_bits(u64::from_le_bytes(score)) as i64;
                into.push(Kept::Put(MIXED, find(member)?, Value::Number(score)));
            }
        }
        Effect::SetRemove { members, .. }
        | Effect::HashRemove { fields: members, .. }
        | Effect::ZsetRemove { members, .. } => {
            for member in members.iter() {
                into.push(Kept::Delete(MIXED, find(member)?));
            }
        }
        Effect::ListPush { end: engine::End::Right, elements, .. } => {
            let list = keys::members(collection).next().expect("it has members");
            for element in elements.iter() {
                match values.known(element) {
                    Some(Value::Chain(chain)) if element.len() == TOKEN_SIZE => {
                        into.push(Kept::Append(MIXED, list, chain.last()));
                    }
                    _ => return Err("an element that no client ever sent".to_owned()),
                }
            }
        }
        Effect::Delete { .. } => into.push(Kept::DeleteCollection(collection)),
        other => return Err(format!("an effect that no client asked for: {other:?}")),
    }
    Ok(())
}

fn keep_string(effect: &Effect<'_>, keys: &Keys, values: &Values) -> Result<Kept, String> {
    let find = |key: &[u8]| keys.find(key).ok_or("a key that no client ever named".to_owned());
    Ok(match *effect {
        Effect::PutString { db, key, value, expire_ms: None } => {
            let known = values.known(value).ok_or("a value that no client ever sent")?;
            Kept::Put(db, find(key)?, known)
        }
        Effect::Append { db, key, suffix } => match values.known(suffix) {
            Some(Value::Chain(chain)) if suffix.len() == TOKEN_SIZE => {
                Kept::Append(db, find(key)?, chain.last())
            }
            _ => return Err("a suffix that no client ever sent".to_owned()),
        },
        Effect::Delete { db, key } => Kept::Delete(db, find(key)?),
        Effect::FlushDatabase { db } => Kept::FlushDatabase(db),
        Effect::FlushAll => Kept::FlushAll,
        Effect::SwapDatabases { first, second } => Kept::Swap(first, second),
        other => return Err(format!("an effect that no client asked for: {other:?}")),
    })
}

fn apply(effect: Kept, contents: &mut Contents, changes: &mut Vec<Put>) -> Result<(), String> {
    let (db, key, value) = match effect {
        Kept::Put(db, key, value) => (db, key, Some(value)),
        Kept::Append(db, key, token) => {
            let before = match contents.get(&(db, key)) {
                None => None,
                Some(Value::Chain(chain)) => Some(*chain),
                Some(other) => return Err(format!("a token is appended to {other:?}")),
            };
            (db, key, Some(Value::Chain(Chain::append(before, token))))
        }
        Kept::Delete(db, key) => (db, key, None),
        Kept::DeleteCollection(collection) => {
            for member in keys::members(collection) {
                if contents.remove(&(MIXED, member)).is_some() {
                    changes.push((MIXED, member, None));
                }
            }
            return Ok(());
        }
        Kept::FlushDatabase(_) | Kept::FlushAll => {
            let goes = |database: u16| match effect {
                Kept::FlushDatabase(db) => db == database,
                _ => true,
            };
            let gone = contents.keys().filter(|(database, _)| goes(*database));
            changes.extend(gone.map(|(database, key)| (*database, *key, None)));
            contents.retain(|(database, _), _| !goes(*database));
            return Ok(());
        }
        Kept::Swap(first, second) => {
            swap(first.min(second), first.max(second), contents, changes);
            return Ok(());
        }
    };
    match value {
        Some(value) => contents.insert((db, key), value),
        None => contents.remove(&(db, key)),
    };
    changes.push((db, key, value));
    Ok(())
}

/// Exchanges two databases of a slice: key by key, the lower database first.
fn swap(low: u16, high: u16, contents: &mut Contents, changes: &mut Vec<Put>) {
    let of = |(database, key): &(u16, Key)| [low, high].contains(database).then_some(*key);
    let mut keys: Vec<Key> = contents.keys().filter_map(of).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let (in_low, in_high) = (contents.remove(&(low, key)), contents.remove(&(high, key)));
        for (database, value) in [(low, in_high), (high, in_low)] {
            if let Some(value) = value {
                contents.insert((database, key), value);
            }
            changes.push((database, key, value));
        }
    }
}

/// `is_own`: whether a key is of the slice that the body is of.
fn apply_bytes(
    body: &[u8],
    bytes: &mut Bytes,
    is_own: &dyn Fn(&[u8]) -> bool,
) -> Result<(), String> {
    if body.is_empty() {
        return Ok(());
    }
    for effect in BatchReader::new(body).map_err(|error| error.to_string())? {
        let effect = effect.map_err(|error| error.to_string())?;
        if effect.place().is_some_and(|(db, _)| is_of_collections(db)) {
            continue;
        }
        match effect {
            Effect::PutString { db, key, value, .. } => {
                bytes.insert((db, key.to_vec()), (value.to_vec(), false));
            }
            Effect::Append { db, key, suffix } => {
                let held = bytes.entry((db, key.to_vec())).or_default();
                held.0.extend_from_slice(suffix);
                held.1 = true;
            }
            Effect::Delete { db, key } => {
                bytes.remove(&(db, key.to_vec()));
            }
            Effect::FlushDatabase { db } => {
                bytes.retain(|(database, key), _| *database != db || !is_own(key));
            }
            Effect::FlushAll => bytes.retain(|(_, key), _| !is_own(key)),
            Effect::SwapDatabases { first, second } => {
                let moves = |(db, key): &(u16, Vec<u8>), _: &mut _| {
                    [first, second].contains(db) && is_own(key)
                };
                let moved: Vec<_> = bytes.extract_if(.., moves).collect();
                for ((db, key), held) in moved {
                    bytes.insert((first + second - db, key), held);
                }
            }
            other => return Err(format!("not expected here: {other:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One slice with so many entries; nothing counts from `first_void` on.
    fn found(count: u64, voids: &[[u64; 2]], first_void: Option<u64>) -> Surviving {
        let mut surviving = Surviving::new(Topology::new(1, 1), false);
        let entry = |index| Entry {
            term: 1,
            index,
            hash: index,
            effects: Vec::new(),
            fragment: Vec::new(),
            is_of_collections: false,
            body: Vec::new(),
        };
        let voids = voids.iter().map(|[first, end]| *first..*end).collect();
        let entries = (1..=count).map(entry).collect();
        surviving.slices[0] = SliceLog { entries, voids, resolved: 0, first_void };
        surviving
    }

    #[test]
    fn what_was_decided_stays_decided() {
        let served = found(5, &[], Some(4));
        for fine in [found(7, &[[4, 7], [9, 10]], None), found(6, &[], Some(4))] {
            assert_eq!(served.check_prefix_of(&fine), Ok(()));
        }
        let wrong = [
            found(7, &[], None),
            found(7, &[[5, 7]], None),
            found(7, &[[4, 7]], Some(3)),
            found(4, &[], Some(4)),
        ];
        for wrong in wrong {
            assert!(served.check_prefix_of(&wrong).is_err(), "{:?}", wrong.slices);
        }
    }

    #[test]
    fn what_was_settled_is_found_and_counts() {
        let served = found(5, &[], Some(4));
        for fine in
            [found(8, &[[4, 7]], None), found(9, &[[4, 7]], Some(9)), found(8, &[], Some(4))]
        {
            assert_eq!(fine.check_settled(&[8], &served), Ok(()), "{:?}", fine.slices);
        }
        for wrong in
            [found(7, &[[4, 7]], None), found(9, &[[4, 7]], Some(8)), found(9, &[[7, 9]], None)]
        {
            assert!(wrong.check_settled(&[8], &served).is_err(), "{:?}", wrong.slices);
        }
    }
}
