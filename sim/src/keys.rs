//! The keys clients use: a few everybody wants, many that few want, and one database so small that
//! it is checked as a whole.

use std::hash::BuildHasher;

use base::{Map, Prng};
use node::Topology;

use crate::checker::Tracks;
use crate::checker::object::{KEYS_MAX, PLACES};
use crate::history::Key;

/// The database with keys of all kinds.
pub const WIDE: u16 = 0;
/// The database that is one object: commands over several keys and DBSIZE are checked exactly.
pub const SMALL: u16 = 1;
/// The database that SWAPDB exchanges with the small one: both are one object. Few go there.
pub const TWIN: u16 = 2;

/// The database of collections whose members are checked one by one.
pub const MIXED: u16 = 3;
/// The database of collections that anything is done to: only effects are checked.
pub const LOOSE: u16 = 4;

/// What a key of the mixed database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Set,
    Hash,
    Zset,
    /// It grows at its right end, and goes as a whole.
    List,
}

/// Collections of the mixed database, a few of each kind.
const COLLECTIONS: u16 = 12;
const KINDS: [Kind; 4] = [Kind::Set, Kind::Hash, Kind::Zset, Kind::List];
/// Members of a collection.
const MEMBERS: u16 = 6;
/// Members are keys too, behind all others.
const FIRST_MEMBER: u16 = 1000;

/// What the collection holds that a key of the mixed database is a member of.
pub fn kind(key: Key) -> Option<Kind> {
    let number = key.0.checked_sub(FIRST_MEMBER)?;
    Some(KINDS[usize::from(number / MEMBERS) % KINDS.len()])
}

/// The members of one collection of the mixed database.
pub fn members(collection: u16) -> impl Iterator<Item = Key> {
    (0..MEMBERS).map(move |member| Key(FIRST_MEMBER + collection * MEMBERS + member))
}

/// All members of the mixed database.
pub fn all_members() -> impl Iterator<Item = Key> {
    (0..COLLECTIONS).flat_map(members).filter(|key| {
        let is_list = kind(*key) == Some(Kind::List);
        !is_list || (key.0 - FIRST_MEMBER).is_multiple_of(MEMBERS)
    })
}

/// The collection that a member is of.
pub fn collection_of(member: Key) -> u16 {
    (member.0 - FIRST_MEMBER) / MEMBERS
}

/// A member of the mixed database.
pub fn draw_member(prng: &mut Prng) -> Key {
    let collection = prng.below(u64::from(COLLECTIONS)) as u16;
    let is_list = KINDS[usize::from(collection) % KINDS.len()] == Kind::List;
    let member = if is_list { 0 } else { prng.below(u64::from(MEMBERS)) as u16 };
    Key(FIRST_MEMBER + collection * MEMBERS + member)
}

/// The bytes of a member: some too long for a compact encoding, some numbers.
pub fn member_bytes(member: Key) -> Vec<u8> {
    match (member.0 - FIRST_MEMBER) % MEMBERS {
        0 => b"0".to_vec(),
        1 => b"-70000".to_vec(),
        2 => b"member".to_vec(),
        3 => Vec::new(),
        4 => vec![0xff; 64],
        _ => b"long ".repeat(20),
    }
}

const HOT: u16 = 8;
const COUNTERS: u16 = 4;
/// Keys that APPEND is used on: they hold tokens and nothing else.
const CHAINS: u16 = 4;
const COLD: u16 = 200;

/// Is the database part of the object that is checked as a whole?
pub fn is_small(database: u16) -> bool {
    matches!(database, SMALL | TWIN)
}

/// Keys of a database.
pub fn count(database: u16) -> u16 {
    if is_small(database) { KEYS_MAX as u16 } else { HOT + COUNTERS + CHAINS + COLD }
}

/// Keys that INCR is mostly used on.
pub fn is_counter(database: u16, key: Key) -> bool {
    if is_small(database) { key.0 == 0 } else { (HOT..HOT + COUNTERS).contains(&key.0) }
}

/// Keys that hold tokens only, in the wide database.
pub fn draw_chain(prng: &mut Prng) -> Key {
    Key(HOT + COUNTERS + prng.below(u64::from(CHAINS)) as u16)
}

/// A key that holds no tokens, hot ones more often.
pub fn draw(database: u16, prng: &mut Prng) -> Key {
    if is_small(database) {
        return Key(prng.below(KEYS_MAX as u64) as u16);
    }
    match prng.below(100) {
        0..60 => Key(prng.below(u64::from(HOT)) as u16),
        60..75 => Key(HOT + prng.below(u64::from(COUNTERS)) as u16),
        _ => Key(HOT + COUNTERS + CHAINS + prng.below(u64::from(COLD)) as u16),
    }
}

/// The bytes of every key and the way back.
#[derive(Debug)]
pub struct Keys {
    names: Vec<Vec<u8>>,
    /// By hash of the bytes.
    keys: Map<u64, Key>,
    /// The slice of each key.
    slices: Vec<u16>,
    /// Those of the mixed database.
    collections: Vec<Vec<u8>>,
    collection_slices: Vec<u16>,
}

impl Keys {
    pub fn new(topology: Topology) -> Self {
        let mut keys = Self {
            names: Vec::new(),
            keys: Map::default(),
            slices: Vec::new(),
            collections: Vec::new(),
            collection_slices: Vec::new(),
        };
        for key in 0..count(WIDE) {
            let name = match key {
                0 => Vec::new(),
                1 => b"\r\n\0 binary".to_vec(),
                // Long ones, so that keys too take more than a block now and then.
                _ if key % 50 == 13 => format!("key:{key}:").into_bytes().repeat(700),
                _ => format!("key:{key}").into_bytes(),
            };
            keys.keys.insert(keys.keys.hasher().hash_one(&name[..]), Key(key));
            keys.slices.push(topology.slice_of(engine::slot_of(&name)).0);
            keys.names.push(name);
        }
        for collection in 0..COLLECTIONS {
            let name = format!("collection:{collection}").into_bytes();
            keys.collection_slices.push(topology.slice_of(engine::slot_of(&name)).0);
            keys.collections.push(name);
        }
        keys
    }

    /// The collection with these bytes.
    pub fn find_collection(&self, bytes: &[u8]) -> Option<u16> {
        let at = self.collections.iter().position(|name| name == bytes)?;
        Some(at as u16)
    }

    /// The member with these bytes.
    pub fn find_member(&self, collection: u16, bytes: &[u8]) -> Option<Key> {
        members(collection).find(|member| member_bytes(*member) == bytes)
    }

    pub fn slice_of(&self, key: Key) -> u16 {
        match kind(key) {
            Some(_) => self.collection_slices[usize::from(collection_of(key))],
            None => self.slices[usize::from(key.0)],
        }
    }

    /// The slices of the small databases' keys, numbered from zero.
    pub fn small_tracks(&self) -> Tracks {
        let small = &self.slices[..KEYS_MAX];
        let tracks: [u8; PLACES] = std::array::from_fn(|place| {
            let slice = small[place % KEYS_MAX];
            small.iter().position(|other| *other == slice).expect("itself") as u8
        });
        tracks
    }

    pub fn bytes(&self, key: Key) -> &[u8] {
        match kind(key) {
            Some(_) => &self.collections[usize::from(collection_of(key))],
            None => &self.names[usize::from(key.0)],
        }
    }

    pub fn find(&self, bytes: &[u8]) -> Option<Key> {
        self.keys.get(&self.keys.hasher().hash_one(bytes)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_bytes() {
        let keys = Keys::new(Topology::new(1, 16));
        for key in (0..count(WIDE)).map(Key) {
            assert_eq!(keys.find(keys.bytes(key)), Some(key));
        }
        assert_eq!(keys.find(b"another"), None);
    }
}
