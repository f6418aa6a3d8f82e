//! Growth, collisions, iteration under churn, expiry, chance.

use std::collections::{BTreeMap, BTreeSet};

use base::Prng;
use base::limits::SLOTS;
use proptest::prelude::*;

use super::*;
use crate::cursor::{Cursor, HASH_BITS, Position};
use crate::slot::slot_of;

mod expiry;
mod scan;

/// A table with its hasher, and what it should hold.
struct Bench {
    table: Table,
    hasher: KeyHasher,
    model: BTreeMap<Vec<u8>, Option<u64>>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let hasher = KeyHasher::new(seed);
        Self { table: Table::new(slots()), hasher, model: BTreeMap::new() }
    }

    /// Hashes keep only these bits.
    fn with_mask(mask: u64) -> Self {
        let mut bench = Self::new(1);
        bench.hasher.mask = mask;
        bench
    }

    fn place(&self, key: &[u8]) -> Place {
        Place { slot: slot_of(key), hash: self.hasher.hash(key) }
    }

    fn insert(&mut self, key: &[u8], expire_ms: Option<u64>) {
        let place = self.place(key);
        let attributes = Attributes { expire_ms, ..Attributes::default() };
        let moved = self.table.moved;
        self.table.insert(place, EntryBox::packed(key, b"value", attributes), &self.hasher);
        assert!(self.table.moved - moved <= MOVED_MAX as u64);
        assert_eq!(self.model.insert(key.to_vec(), expire_ms), None);
    }

    fn remove(&mut self, key: &[u8]) {
        let place = self.place(key);
        let entry = self.table.remove(place, key).expect("it is there");
        assert_eq!(entry.view().key(), key);
        self.model.remove(key).expect("it is there");
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.table.maintain(&mut { budget }, &self.hasher)
    }

    fn check(&self) {
        self.table.check(&self.hasher);
        assert_eq!(self.table.len(), self.model.len());
        for (key, expire_ms) in &self.model {
            let entry = self.table.find(self.place(key), key).expect("the model holds it");
            assert_eq!((entry.key(), entry.expire_ms()), (key.as_slice(), *expire_ms));
        }
    }

    /// The largest depth of a slot's directory.
    fn depth(&self) -> u32 {
        self.table.roots.iter().map(Root::depth).max().unwrap_or(0)
    }
}

/// All slots; for Miri, which is slow, few.
fn slots() -> Range<u16> {
    let slot = slot_of(b"t").0;
    if cfg!(miri) { slot - 2..slot + 2 } else { 0..SLOTS }
}

/// A key of any slot there is.
fn spread(number: usize) -> Vec<u8> {
    if cfg!(miri) { tagged(number + 1_000_000_000) } else { format!("key:{number}").into_bytes() }
}

/// Keys of one slot: `{t}` and a number.
fn tagged(number: usize) -> Vec<u8> {
    format!("{{t}}{number}").into_bytes()
}

const MANY: usize = if cfg!(miri) { 500 } else { 60_000 };

/// Fails when a split puts an entry into the wrong half, and when a directory is doubled wrong.
#[test]
fn one_slot_grows_to_many_segments_and_back_to_nothing() {
    let mut bench = Bench::new(1);
    for number in 0..MANY {
        bench.insert(&tagged(number), None);
        if number % (MANY / 20) == 0 {
            bench.check();
        }
    }
    bench.check();
    assert_eq!(bench.table.find(bench.place(b"{t}absent"), b"{t}absent").map(Entry::key), None);
    let segments = bench.table.roots.iter().flat_map(Root::each).count();
    if !cfg!(miri) {
        assert!(MANY / ENTRIES_MAX_FOR_TESTS < segments && segments < MANY / 128, "{segments}");
        assert!((6..=11).contains(&bench.depth()), "a depth of {}", bench.depth());
        let fill = bench.table.len() * 100 / (bench.table.memory().tables / 64 * bucket::CELLS);
        assert!((70..95).contains(&fill), "{fill} % full");
    }
    for number in 0..MANY {
        bench.remove(&tagged(number));
        if number % 100 == 0 {
            bench.maintain(50);
        }
        if number % (MANY / 20) == 0 {
            bench.check();
            // What is left does not keep more than a few times its size.
            while bench.maintain(1000) {}
            let room = bench.table.memory().tables / 64 * bucket::CELLS;
            assert!(room < 5 * bench.table.len() + 35, "{room} cells");
        }
    }
    while bench.maintain(1) {
        bench.check();
    }
    assert_eq!(bench.table.memory(), Memory::default());
}

const ENTRIES_MAX_FOR_TESTS: usize = segment::ENTRIES_MAX;

/// Fails when growth keeps sizes in steps of a half: fill falls.
#[test]
fn segments_of_every_size_are_well_filled() {
    if cfg!(miri) {
        return;
    }
    let mut bench = Bench::new(1);
    let mut fills = Vec::new();
    for number in 0..20_000 {
        bench.insert(&tagged(number), None);
        if 40 < number && number % 100 == 0 {
            let segments = bench.table.roots.iter().flat_map(Root::each).count();
            let cells = (bench.table.memory().tables / 64 - segments) * bucket::CELLS;
            fills.push(bench.table.len() * 100 / cells);
        }
    }
    let mean = fills.iter().sum::<usize>() / fills.len();
    assert!((78..90).contains(&mean), "{mean} % on average");
}

/// Fails when the cap on the depth is lifted: the directory doubles for each bit of the hash.
#[test]
fn keys_that_collide_degrade_one_segment_and_deepen_no_directory() {
    let count = if cfg!(miri) { 600 } else { 5000 };
    // No bits at all; only the tag; the same home for all; the same first bits for all.
    for mask in [0, 0xff, 0xffff, u64::MAX >> 24] {
        let mut bench = Bench::with_mask(mask);
        for number in 0..count {
            bench.insert(&tagged(number), Some(number as u64));
            if number % (count / 5) == 0 {
                bench.check();
            }
        }
        bench.check();
        assert!(bench.depth() <= 12, "a depth of {}", bench.depth());
        assert!(bench.table.memory().total() < 200 * count + (1 << 20));
        // The iteration covers what is chained, too.
        let mut seen = BTreeSet::new();
        let mut from = Some(Position::START);
        while let Some(position) = from {
            from = bench.table.scan(&bench.hasher, position, 10, &mut |entry| {
                assert!(seen.insert(entry.key().to_vec()));
            });
        }
        assert_eq!(seen.len(), count);
        for number in (0..count).rev().step_by(2).chain((0..count).rev().skip(1).step_by(2)) {
            bench.remove(&tagged(number));
            if number % (count / 5) < 2 {
                bench.check();
                while bench.maintain(1000) {}
                bench.check();
            }
        }
        while bench.maintain(1000) {}
        assert_eq!(bench.table.memory(), Memory::default());
    }
}

/// Fails when the segments of one slot are counted to another.
#[test]
fn slots_are_counted_one_by_one() {
    let mut bench = Bench::new(1);
    let mut counts = vec![0; usize::from(SLOTS)];
    for number in 0..MANY / 4 {
        let key = spread(number);
        bench.insert(&key, None);
        counts[usize::from(slot_of(&key).0)] += 1;
        if number % 3 == 0 {
            bench.remove(&key);
            counts[usize::from(slot_of(&key).0)] -= 1;
        }
    }
    for slot in slots() {
        assert_eq!(bench.table.slot_len(Slot(slot)), counts[usize::from(slot)]);
    }
}

/// Fails when a slot, or the last of its segments, is never drawn.
#[test]
fn every_key_is_drawn_about_as_often_as_any_other() {
    if cfg!(miri) {
        return;
    }
    let mut bench = Bench::new(1);
    for number in 0..1000 {
        bench.insert(&tagged(number), None);
        bench.insert(&spread(number), None);
    }
    let mut prng = Prng::from_seed(1);
    let mut counts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for _ in 0..200_000 {
        let entry = bench.table.random(&mut prng).expect("there are keys");
        *counts.entry(entry.key().to_vec()).or_default() += 1;
    }
    assert_eq!(counts.len(), 2000);
    for (key, count) in &counts {
        assert!((40..=200).contains(count), "{}: {count} of 100", key.escape_ascii());
    }
    let mut seen = BTreeSet::new();
    for count in [0, 1, 7, 100, 5000] {
        for _ in 0..20 {
            let mut visited = 0;
            bench.table.sample(&mut prng, count, &mut |entry| {
                visited += 1;
                seen.insert(entry.key().to_vec());
            });
            assert_eq!(visited, count.min(2000));
        }
    }
    assert!(1900 < seen.len(), "{} keys", seen.len());
}

/// Fails when an empty segment is drawn from: the search never ends, or panics.
#[test]
fn the_last_keys_of_a_large_table_are_drawn() {
    let mut bench = Bench::new(1);
    for number in 0..MANY / 6 {
        bench.insert(&tagged(number), None);
    }
    let mut prng = Prng::from_seed(2);
    for number in 0..MANY / 6 - 2 {
        bench.remove(&tagged(number));
    }
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let entry = bench.table.random(&mut prng).expect("there are keys");
        seen.insert(entry.key().to_vec());
    }
    assert_eq!(seen.len(), 2);
    bench.table.sample(&mut prng, 10, &mut |entry| assert!(seen.contains(entry.key())));
    bench.remove(&tagged(MANY / 6 - 2));
    bench.remove(&tagged(MANY / 6 - 1));
    assert!(bench.table.random(&mut prng).is_none());
}

/// Entries inserted or removed in one go.
const PHASE: usize = if cfg!(miri) { 60 } else { 400 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 60 }))]

    /// Fails when a removed entry stays counted as lying elsewhere, and when a chain has a gap.
    #[test]
    fn a_table_holds_what_was_inserted_and_not_removed(
        mask in prop_oneof![
            Just(u64::MAX), Just(0), Just(0xff << 40), Just(0x0f0f_0f0f_0f0f_0f0f), Just(1 << 63),
        ],
        sizes in prop::collection::vec(
            (1..PHASE, 0..PHASE, 0usize..60),
            1..if cfg!(miri) { 3 } else { 5 },
        ),
        seed: u64,
    ) {
        let mut bench = Bench::with_mask(mask);
        let mut prng = Prng::from_seed(seed);
        let mut number = 0;
        for (inserts, removes, upkeep) in sizes {
            for _ in 0..inserts {
                bench.insert(&tagged(number), prng.chance(20).then(|| prng.below(100)));
                number += 1;
            }
            bench.check();
            for _ in 0..removes.min(bench.model.len()) {
                let index = prng.index(bench.model.len());
                let key = bench.model.keys().nth(index).cloned().expect("it is below the length");
                bench.remove(&key);
            }
            bench.check();
            for _ in 0..upkeep {
                bench.maintain(5);
            }
            bench.check();
        }
    }
}
