//! Iterations while the table changes under them.

use super::*;

/// Iterates as a client does, by cursors, over tables that change between the calls. What is
/// there all the time is seen, and only once.
fn iterate(bench: &mut Bench, prng: &mut Prng, count: usize, churn: u64, next: &mut usize) {
    let cursor = Cursor::new(7);
    let stable: BTreeSet<Vec<u8>> = bench.model.keys().cloned().collect();
    let mut extra: Vec<Vec<u8>> = Vec::new();
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut number = 0;
    let mut calls = 0;
    loop {
        let position = cursor.decode(number).expect("the table gave it");
        let mut visited = 0;
        let after = bench.table.scan(&bench.hasher, position, count, &mut |entry| {
            visited += 1;
            *seen.entry(entry.key().to_vec()).or_default() += 1;
        });
        assert!(visited < count.saturating_add(600), "{visited} for {count}");
        calls += 1;
        assert!(calls < 500_000, "the iteration does not end");
        number = match after {
            Some(position) => cursor.encode(position),
            None => break,
        };
        assert_ne!(number, 0, "zero means the end");
        for _ in 0..prng.below(churn + 1) {
            let is_growing = calls % 40 < 25;
            if prng.chance(if is_growing { 80 } else { 20 }) || extra.is_empty() {
                let key = if prng.chance(80) { tagged(*next) } else { spread(*next) };
                *next += 1;
                bench.insert(&key, None);
                extra.push(key);
            } else {
                let index = prng.index(extra.len());
                bench.remove(&extra.swap_remove(index));
            }
        }
        if prng.chance(30) {
            bench.maintain(prng.index(500));
        }
    }
    for key in &stable {
        assert_eq!(seen.get(key), Some(&1), "{}", key.escape_ascii());
    }
    for key in extra {
        bench.remove(&key);
    }
}

/// Fails when the bound of a bucket is rounded up, when the bits of the directory are left out of
/// a position, and when a spilled entry is looked for in its home only.
#[test]
fn an_iteration_sees_once_what_is_there_all_the_time() {
    let rounds = if cfg!(miri) { 1 } else { 12 };
    for seed in 0..rounds {
        let mut prng = Prng::from_seed(seed);
        let mut bench = Bench::new(seed);
        let mut next = 1_000_000;
        let keys = if cfg!(miri) { 60 } else { prng.index(3000) };
        for number in 0..keys {
            if prng.chance(70) {
                bench.insert(&tagged(number), None);
            } else {
                bench.insert(&spread(number), None);
            }
        }
        for (count, churn) in [(1, 3), (10, 40), (10, 0), (100, 400), (usize::MAX, 10), (0, 2)] {
            iterate(&mut bench, &mut prng, count, churn, &mut next);
            bench.check();
        }
    }
}

/// Fails when merging a segment with its buddy loses the place of a position.
#[test]
fn an_iteration_survives_that_the_table_shrinks_below_it() {
    let many = if cfg!(miri) { 500 } else { 20_000 };
    let mut bench = Bench::new(3);
    for number in 0..many {
        bench.insert(&tagged(number), None);
    }
    let mut prng = Prng::from_seed(3);
    let stays = |number: usize| number.is_multiple_of(50);
    let mut goes: Vec<usize> = (0..many).filter(|number| !stays(*number)).collect();
    prng.shuffle(&mut goes);
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut from = Some(Position::START);
    while let Some(position) = from {
        from = bench.table.scan(&bench.hasher, position, 10, &mut |entry| {
            *seen.entry(entry.key().to_vec()).or_default() += 1;
        });
        for number in goes.drain(goes.len().saturating_sub(25)..) {
            bench.remove(&tagged(number));
        }
        bench.maintain(300);
    }
    for number in (0..many).filter(|number| stays(*number)) {
        assert_eq!(seen.get(&tagged(number)), Some(&1), "{number}");
    }
}

/// Fails when positions are compared without the slot, and when two tables order differently.
#[test]
fn the_order_is_that_of_slot_and_hash_whatever_the_history() {
    let (mut first, mut second) = (Bench::new(5), Bench::new(5));
    let keys: Vec<_> = (0..if cfg!(miri) { 100 } else { 5000 })
        .map(|number| if number % 2 == 0 { tagged(number) } else { spread(number / 2) })
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    keys.iter().for_each(|key| first.insert(key, None));
    keys.iter().rev().for_each(|key| second.insert(key, None));
    let mut last = Position::START;
    for bench in [&first, &second] {
        let mut from = Position::START;
        while let Some(next) = bench.table.scan(&bench.hasher, from, 1, &mut |entry| {
            let position = Position::new(
                slot_of(entry.key()),
                bench.hasher.hash(entry.key()) >> (64 - HASH_BITS),
            );
            assert!(from <= position);
            last = last.max(position);
        }) {
            assert!(last < next);
            from = next;
        }
        last = Position::START;
    }
}

/// Fails when a position before the first slot of a slice, or behind its last, is not clamped.
#[test]
fn a_position_outside_the_slots_of_a_table_is_before_or_behind_them() {
    let hasher = KeyHasher::new(1);
    let slot = slot_of(b"key");
    let mut table = Table::new(slot.0..slot.0 + 1);
    let place = Place { slot, hash: hasher.hash(b"key") };
    let count = |table: &Table, from| {
        let mut count = 0;
        assert_eq!(table.scan(&hasher, from, 10, &mut |_| count += 1), None);
        count
    };
    assert_eq!(count(&table, Position::START), 0);
    table.insert(place, EntryBox::packed(b"key", b"", Attributes::default()), &hasher);
    assert_eq!(count(&table, Position::START), 1);
    assert_eq!(count(&table, Position::new(Slot(slot.0 - 1), (1 << HASH_BITS) - 1)), 1);
    assert_eq!(count(&table, Position::of_slot(slot)), 1);
    assert_eq!(count(&table, Position::of_slot(Slot(slot.0 + 1))), 0);
}
