//! Which connections watch which keys of a slice, and which of them have seen one change.
//!
//! The watches of a slice move with it: EXEC borrows the slices of its watched keys and finds
//! here whether it may go on. Keys are known by the gate's hash; two that collide make an EXEC
//! fail that could have gone on, no more.
//!
//! # Invariants
//!
//! * A watch in `dirty` is in `keys`.

use base::{ConnectionId, CoreId, Map};
use engine::Space;
use smallvec::SmallVec;

/// One WATCH and what was added to it, until EXEC, DISCARD or UNWATCH. A connection that watches
/// again has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WatchId {
    pub(crate) core: CoreId,
    pub(crate) connection: ConnectionId,
    pub(crate) number: u32,
}

/// Owner: slice.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    keys: Map<WatchId, Watched>,
    by_hash: Map<u64, Vec<WatchId>>,
}

#[derive(Debug, Default)]
struct Watched {
    /// By hash: those that collide count as one in `by_hash`.
    keys: Map<u64, SmallVec<[WatchedKey; 1]>>,
    is_dirty: bool,
}

#[derive(Debug)]
struct WatchedKey {
    database: u16,
    key: Vec<u8>,
    stood: Stood,
}

/// How a key stood when it came to be watched, while that is how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stood {
    Absent,
    /// It was there, and its time had come: as good as absent.
    Expired,
    There,
}

impl Stood {
    fn now(space: &Space, database: u16, key: &[u8], now_ms: u64) -> Self {
        match space.keyspace.find(database, key) {
            None => Self::Absent,
            Some(entry) if entry.is_expired(now_ms) => Self::Expired,
            Some(_) => Self::There,
        }
    }
}

impl Watches {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// From here on changes of the key are noted.
    pub(crate) fn add(
        &mut self,
        watch: WatchId,
        space: &Space,
        (database, key): (u16, &[u8]),
        now_ms: u64,
    ) {
        let hash = space.keyspace.hash(database, key);
        let watched = self.keys.entry(watch).or_default();
        let alike = watched.keys.entry(hash).or_default();
        if alike.iter().any(|one| one.database == database && one.key == key) {
            return;
        }
        if alike.is_empty() {
            self.by_hash.entry(hash).or_default().push(watch);
        }
        let stood = Stood::now(space, database, key, now_ms);
        alike.push(WatchedKey { database, key: key.to_vec(), stood });
    }

    /// The key with `hash` was changed.
    pub(crate) fn note_write(&mut self, space: &Space, hash: u64) {
        let Some(watches) = self.by_hash.get(&hash) else { return };
        for watch in watches {
            let watched = self.keys.get_mut(watch).expect("a watch has its keys");
            let alike = watched.keys.get_mut(&hash).expect("it watches a key with this hash");
            for one in alike {
                let is_there = space.keyspace.find(one.database, &one.key).is_some();
                if one.stood == Stood::Expired && !is_there {
                    // Time takes what counted as absent.
                    one.stood = Stood::Absent;
                } else {
                    watched.is_dirty = true;
                }
            }
        }
    }

    /// Whole `databases`, by bit, were emptied or exchanged: keys that were there or are there now
    /// have changed. One that was not, and comes with its time over, has not.
    pub(crate) fn note_floor(&mut self, space: &Space, databases: u16, now_ms: u64) {
        for watched in self.keys.values_mut() {
            let keys = watched.keys.values_mut().flatten();
            for one in keys.filter(|one| databases & 1 << one.database != 0) {
                let before = one.stood;
                one.stood = Stood::now(space, one.database, &one.key, now_ms);
                watched.is_dirty |= before == Stood::There || one.stood == Stood::There;
            }
        }
    }

    /// One of the keys of `watch` has changed since it was added.
    pub(crate) fn is_dirty(&self, watch: WatchId) -> bool {
        self.keys.get(&watch).is_some_and(|watched| watched.is_dirty)
    }

    /// The keys of `watch` that time may have taken since.
    pub(crate) fn keys(&self, watch: WatchId) -> Vec<(u16, Vec<u8>)> {
        let Some(watched) = self.keys.get(&watch) else { return Vec::new() };
        watched.keys.values().flatten().map(|one| (one.database, one.key.clone())).collect()
    }

    pub(crate) fn remove(&mut self, watch: WatchId) {
        let Some(watched) = self.keys.remove(&watch) else { return };
        for hash in watched.keys.into_keys() {
            let watches = self.by_hash.get_mut(&hash).expect("a watched key is known");
            watches.retain(|one| *one != watch);
            if watches.is_empty() {
                self.by_hash.remove(&hash);
            }
        }
    }
}
