//! What has expired is found, and finding nothing costs nothing.

use super::*;

/// All that is due, found by calls with a budget.
fn due(bench: &Bench, now_ms: u64, budget: usize) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut from = Some(Position::START);
    while let Some(position) = from {
        from = bench.table.due(now_ms, position, budget, &mut |entry| {
            assert!(found.insert(entry.key().to_vec()));
        });
    }
    found
}

/// Calls until nothing is due: what it costs when there is nothing.
fn is_idle(bench: &Bench, now_ms: u64) -> bool {
    // The budget of one segment does not reach far.
    bench.table.due(now_ms, Position::START, 1, &mut |_| panic!("nothing is due")).is_none()
}

/// Fails when a bound is not lowered by an insert or by an update, and when it is raised above
/// what was visited but not yet deleted.
#[test]
fn every_expired_key_is_found_and_nothing_else() {
    let mut bench = Bench::new(1);
    let mut prng = Prng::from_seed(1);
    for number in 0..MANY / 20 {
        let expire_ms = prng.chance(50).then(|| prng.below(1 << 20));
        bench.insert(&tagged(number), expire_ms);
        bench.insert(&spread(number), expire_ms.map(|it| it / 2));
    }
    // The bounds of slots are multiples of 1024: what expires in the same step makes them look.
    for now_ms in [0, 1, 293, 293, 600, 1 << 10, 1 << 30].map(|step: u64| (step << 10) + 1023) {
        for budget in [1, 100, usize::MAX] {
            let expected: BTreeSet<_> = bench
                .model
                .iter()
                .filter(|(_, expire_ms)| expire_ms.is_some_and(|it| it <= now_ms))
                .map(|(key, _)| key.clone())
                .collect();
            assert_eq!(due(&bench, now_ms, budget), expected);
            bench.check();
            // Half is deleted; the rest must be found again.
            for key in expected.iter().step_by(2) {
                bench.remove(key);
            }
            bench.maintain(1000);
        }
        for key in due(&bench, now_ms, usize::MAX) {
            bench.remove(&key);
        }
        assert_eq!(due(&bench, now_ms, usize::MAX), BTreeSet::new());
        assert!(is_idle(&bench, now_ms));
    }
}

/// Fails when the bound of the table does not follow the bounds of its slots.
#[test]
fn an_expiry_that_is_set_moved_or_removed_is_followed() {
    let mut bench = Bench::new(1);
    for number in 0..MANY / 100 {
        bench.insert(&spread(number), Some(1_000_000));
    }
    assert!(is_idle(&bench, 999_999));
    let set = |bench: &mut Bench, expire_ms| {
        let key = spread(1);
        let place = bench.place(&key);
        let set = |entry: &mut EntryBox| entry.set_expire(expire_ms);
        bench.table.update(place, &key, set).expect("it is there");
        bench.model.insert(key, expire_ms);
        bench.check();
    };
    set(&mut bench, Some(5000));
    assert!(is_idle(&bench, 4999));
    assert_eq!(due(&bench, 5001, 1).len(), 1);
    set(&mut bench, Some(7000));
    assert_eq!(due(&bench, 7000, usize::MAX).len(), 0);
    assert_eq!(due(&bench, 7001, usize::MAX).len(), 1);
    set(&mut bench, None);
    assert_eq!(bench.table.expires(), bench.table.len() - 1);
    assert_eq!(due(&bench, 999_423, usize::MAX).len(), 0);
    assert!(is_idle(&bench, 999_423));
    assert_eq!(due(&bench, 1_000_001, 50).len(), MANY / 100 - 1);
}
