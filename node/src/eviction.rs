//! What goes when memory is short.
//!
//! A core evicts keys of its own slices, by effects: followers and recovery only repeat what was
//! decided here. Candidates are found by sampling, and the best of the last few samples are kept
//! between evictions, as Redis does: close to the exact order at a fixed cost.
//!
//! A command that needs memory makes some room first, a bounded number of keys; while there is
//! still too little and something is left to evict, it waits for the next turn, in which a core
//! that holds more than its share goes on evicting. Nothing is left: the command is refused.

use base::limits::DATABASES;
use base::{Now, SliceId};
use engine::{Command, Entry, Flag, Position};

use crate::error::RequestError;
use crate::execute::{Admission, Executed, Task};
use crate::expiry_cycle::DELETE_OVERHEAD;
use crate::node::Node;
use crate::registry::Run;
use crate::settings::MemoryPolicy;

/// Keys evicted for one command, and in one turn besides.
const PER_COMMAND: usize = 16;
const PER_TURN: usize = 64;

/// Candidates kept.
const POOL_MAX: usize = 16;

/// Entries freed for one command when much is yet to be freed.
const FREED_PER_COMMAND: usize = 512;

/// Samples without a key that may go, before the keys that expire are searched in their order.
const VAIN_MAX: usize = 4;

/// Entries looked at by that search.
const SEARCH_MAX: usize = 256;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Eviction {
    /// The best is last.
    pool: Vec<Candidate>,
    /// The own slice to sample next, by its rank.
    next: usize,
    /// Where a search stands.
    position: Position,
    /// The last search found nothing to evict; the core sleeps.
    pub(crate) is_vain: bool,
}

impl Default for Eviction {
    fn default() -> Self {
        Self { pool: Vec::new(), next: 0, position: Position::START, is_vain: false }
    }
}

#[derive(Debug)]
struct Candidate {
    /// The highest goes first.
    score: u64,
    slice: SliceId,
    db: u16,
    key: Box<[u8]>,
}

/// What became of the need for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headroom {
    There,
    /// Not yet: something was evicted or is being freed.
    Soon,
    /// Nothing can be evicted here.
    None,
}

pub(crate) const OUT_OF_MEMORY: RequestError =
    RequestError::Static("OOM command not allowed when used memory > 'maxmemory'.");

impl Node {
    /// Does the command need memory that there is not, whatever may be evicted?
    pub(crate) fn lacks_memory(&mut self, command: &Command<Run>, now: Now) -> bool {
        command.has_flag(Flag::DenyOom) && self.make_headroom(PER_COMMAND, now) == Headroom::None
    }

    /// What a command must wait for before it may use more memory, or why it may not; None: it
    /// may.
    pub(crate) fn needs_memory(
        &mut self,
        task: &Task<'_>,
        now: Now,
    ) -> Option<Result<Executed, RequestError>> {
        if self.settings.memory_max == 0 || !task.command.has_flag(Flag::DenyOom) {
            return None;
        }
        if matches!(task.admission, Admission::Sure { .. }) {
            return None;
        }
        match self.make_headroom(PER_COMMAND, now) {
            Headroom::There => None,
            // Who has borrowed slices does not keep them waiting.
            Headroom::Soon => {
                let is_own = matches!(task.admission, Admission::Own { .. });
                is_own.then_some(Ok(Executed::NeedsTurn))
            }
            Headroom::None => Some(Err(OUT_OF_MEMORY)),
        }
    }

    /// Evicts up to `count` keys while the node is over its memory.
    ///
    /// While clients are paused nothing goes, and the few commands that run are not refused for it.
    pub(crate) fn make_headroom(&mut self, count: usize, now: Now) -> Headroom {
        if self.is_pausing(now) {
            return Headroom::There;
        }
        for evicted in 0..count {
            if !self.is_over_memory() {
                return Headroom::There;
            }
            if self.free_garbage() {
                continue;
            }
            if !self.evict_one(now) {
                return if evicted == 0 { Headroom::None } else { Headroom::Soon };
            }
        }
        if self.is_over_memory() { Headroom::Soon } else { Headroom::There }
    }

    /// While the node is over its memory, a core with more than its share evicts by itself.
    pub(crate) fn run_eviction(&mut self, now: Now) {
        self.eviction.is_vain = true;
        if !self.is_over_memory() {
            self.eviction.pool.clear();
            return;
        }
        let share = self.settings.memory_max / u64::from(self.topology.cores());
        if share < self.counted_memory() as u64 {
            self.eviction.is_vain = self.make_headroom(PER_TURN, now) != Headroom::Soon;
        }
    }

    /// Frees some of what is only waiting for it. False if there is nothing.
    fn free_garbage(&mut self) -> bool {
        let own = self.topology.slices_of(self.core);
        let found = own
            .into_iter()
            .find(|slice| 0 < self.census.garbage(*slice) && self.slices.is_here(*slice));
        let Some(slice) = found else { return false };
        self.slices.space_mut(slice).keyspace.maintain(FREED_PER_COMMAND);
        self.census.measure(&self.slices, slice);
        true
    }

    fn evict_one(&mut self, now: Now) -> bool {
        let policy = self.settings.memory_policy;
        if policy == MemoryPolicy::NoEviction {
            return false;
        }
        let own: Vec<SliceId> = self.topology.slices_of(self.core).collect();
        for _ in 0..own.len() {
            let slice = own[self.eviction.next % own.len()];
            self.eviction.next = self.eviction.next.wrapping_add(1);
            if self.slices.is_here(slice) {
                self.sample_slice(slice, policy, now);
            }
            while let Some(candidate) = self.eviction.pool.pop() {
                let Candidate { slice, db, key, .. } = candidate;
                if !self.slices.is_here(slice) {
                    continue;
                }
                let found = self.slices.space(slice).keyspace.find(db, &key);
                let is_candidate =
                    found.is_some_and(|entry| !policy.is_volatile() || entry.expire_ms().is_some());
                if !is_candidate {
                    continue;
                }
                if self.spare_room(slice) < key.len() + DELETE_OVERHEAD {
                    return false;
                }
                self.evict_key(slice, db, &key, now);
                return true;
            }
        }
        false
    }

    /// Puts some keys of a slice into the pool.
    fn sample_slice(&mut self, slice: SliceId, policy: MemoryPolicy, now: Now) {
        let samples = self.settings.memory_samples.max(1);
        let now_ms = self.slices.slice(slice).clock_ms(now);
        let Self { slices, eviction, prng, .. } = self;
        let keyspace = &slices.space(slice).keyspace;
        for db in 0..DATABASES {
            let possible =
                if policy.is_volatile() { keyspace.expires(db) } else { keyspace.len(db) };
            if possible == 0 {
                continue;
            }
            let mut found = 0;
            let pool = &mut eviction.pool;
            let mut take = |entry: Entry<'_>| {
                if policy.is_volatile() && entry.expire_ms().is_none() {
                    return;
                }
                if found < samples {
                    let score = score(entry, policy, now_ms);
                    note_candidate(pool, score, slice, db, entry.key());
                }
                found += 1;
            };
            for _ in 0..VAIN_MAX {
                keyspace.sample(db, prng, samples, &mut take);
                if !policy.is_volatile() {
                    break;
                }
            }
            if found == 0 && policy.is_volatile() {
                // Few keys expire: they are found by the bounds of what expires.
                let from = eviction.position;
                let mut take = |entry: Entry<'_>| {
                    if entry.expire_ms().is_none() {
                        return;
                    }
                    if found < samples {
                        let score = score(entry, policy, now_ms);
                        note_candidate(&mut eviction.pool, score, slice, db, entry.key());
                    }
                    found += 1;
                };
                let next = keyspace.due(db, u64::MAX, from, SEARCH_MAX, &mut take);
                eviction.position = next.unwrap_or(Position::START);
            }
        }
    }
}

fn score(entry: Entry<'_>, policy: MemoryPolicy, now_ms: u64) -> u64 {
    match policy {
        MemoryPolicy::AllKeysLru | MemoryPolicy::VolatileLru => entry.idle_ms(now_ms),
        MemoryPolicy::AllKeysLfu | MemoryPolicy::VolatileLfu => {
            u64::MAX - u64::from(entry.frequency(now_ms))
        }
        MemoryPolicy::VolatileTtl => u64::MAX - entry.expire_ms().unwrap_or(u64::MAX),
        // The first that comes.
        MemoryPolicy::AllKeysRandom | MemoryPolicy::VolatileRandom | MemoryPolicy::NoEviction => 0,
    }
}

fn note_candidate(pool: &mut Vec<Candidate>, score: u64, slice: SliceId, db: u16, key: &[u8]) {
    let at = pool.partition_point(|known| known.score <= score);
    if POOL_MAX <= pool.len() && at == 0 {
        return;
    }
    let is_known = pool.iter().any(|one| one.slice == slice && one.db == db && *one.key == *key);
    if is_known {
        return;
    }
    pool.insert(at, Candidate { score, slice, db, key: key.into() });
    if POOL_MAX < pool.len() {
        pool.remove(0);
    }
}
