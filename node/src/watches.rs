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
    /// By hash: a client may watch a great many, and again.
    keys: Map<u64, Vec<WatchedKey>>,
    is_dirty: bool,
}

#[derive(Debug)]
struct WatchedKey {
    database: u16,
    key: Vec<u8>,
    /// The key was there when it came to be watched.
    existed: bool,
}

impl Watches {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// From here on changes of the key are noted.
    pub(crate) fn add(&mut self, watch: WatchId, space: &Space, database: u16, key: &[u8]) {
        let hash = space.keyspace.hash(database, key);
        let existed = space.keyspace.find(database, key).is_some();
        let watched = self.keys.entry(watch).or_default();
        let alike = watched.keys.entry(hash).or_default();
        if alike.iter().any(|one| one.database == database && one.key == key) {
            return;
        }
        if alike.is_empty() {
            self.by_hash.entry(hash).or_default().push(watch);
        }
        alike.push(WatchedKey { database, key: key.to_vec(), existed });
    }

    /// The key with `hash` was changed.
    pub(crate) fn note_write(&mut self, hash: u64) {
        if let Some(watches) = self.by_hash.get(&hash) {
            for watch in watches {
                self.keys.get_mut(watch).expect("a watch has its keys").is_dirty = true;
            }
        }
    }

    /// Whole databases were emptied or exchanged: keys that were there or are there have changed.
    pub(crate) fn note_floor(&mut self, space: &Space) {
        for watched in self.keys.values_mut() {
            watched.is_dirty |=
                watched.keys.values().flatten().any(|one| {
                    one.existed || space.keyspace.find(one.database, &one.key).is_some()
                });
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
        for hash in watched.keys.keys() {
            let watches = self.by_hash.get_mut(hash).expect("a watched key is known");
            watches.retain(|one| *one != watch);
            if watches.is_empty() {
                self.by_hash.remove(hash);
            }
        }
    }
}
