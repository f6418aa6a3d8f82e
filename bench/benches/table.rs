//! The table of keys against a map that doubles: lookups one by one, and in prefetched batches.
//!
//! A million keys, so that most lookups miss the caches as they do in a server.

use std::hint::black_box;

use base::limits::SLOTS;
use base::{Map, Prng};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::{Effect, Keyspace, Position};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u64 = 1_000_000;
const BATCH: usize = 16;

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for byte in key[4..].iter_mut().rev() {
        *byte = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn put(keyspace: &mut Keyspace, key: &[u8], value: &[u8]) {
    let effect = Effect::PutString { db: 0, key, value, expire_ms: None };
    keyspace.replay(&effect).expect("a put fits");
}

fn filled() -> Keyspace {
    let mut keyspace = Keyspace::new(1, 0..SLOTS);
    (0..KEYS).for_each(|number| put(&mut keyspace, &key(number), &[b'x'; 100]));
    keyspace
}

fn lookups(c: &mut Criterion) {
    let mut keyspace = filled();
    let mut prng = Prng::from_seed(1);
    let mut group = c.benchmark_group("table");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut keys = |first: u64| -> [[u8; 16]; BATCH] {
        std::array::from_fn(|_| key(first + prng.below(KEYS)))
    };
    group.bench_function("make_16_keys", |b| b.iter(|| black_box(keys(0))));
    group.bench_function("get_16", |b| {
        b.iter(|| keys(0).map(|key| keyspace.get(0, black_box(&key)).map(|value| value[0])));
    });
    group.bench_function("get_16_absent", |b| {
        b.iter(|| keys(KEYS).map(|key| keyspace.get(0, black_box(&key)).map(|value| value[0])));
    });
    group.bench_function("get_16_prefetched", |b| {
        b.iter(|| {
            let keys = keys(0);
            keys.iter().for_each(|key| keyspace.prefetch(0, key));
            keys.iter().for_each(|key| keyspace.prefetch_entry(0, key));
            keys.map(|key| keyspace.get(0, black_box(&key)).map(|value| value[0]))
        });
    });
    group.bench_function("overwrite_16", |b| {
        b.iter(|| keys(0).iter().for_each(|key| put(&mut keyspace, key, &[b'y'; 100])));
    });
    let mut next = KEYS;
    group.bench_function("insert_16", |b| {
        b.iter(|| {
            (0..BATCH).for_each(|_| {
                put(&mut keyspace, &key(next), &[b'x'; 100]);
                next += 1;
            });
        });
    });
    group.bench_function("scan_16", |b| {
        let mut from = Position::START;
        b.iter(|| {
            let next = keyspace.scan(0, from, BATCH, &mut |entry| {
                black_box(entry.key());
            });
            from = next.unwrap_or(Position::START);
        });
    });
    drop(keyspace);
    let mut map: Map<Box<[u8]>, Box<[u8]>> = Map::default();
    for number in 0..KEYS {
        map.insert(key(number).into(), [b'x'; 100].into());
    }
    group.bench_function("map_get_16", |b| {
        b.iter(|| keys(0).map(|key| map.get(black_box(&key[..])).map(|value| value[0])));
    });
    let mut next = KEYS;
    group.bench_function("map_insert_16", |b| {
        b.iter(|| {
            (0..BATCH).for_each(|_| {
                map.insert(key(next).into(), [b'x'; 100].into());
                next += 1;
            });
        });
    });
    group.finish();
}

fn slots(c: &mut Criterion) {
    let mut group = c.benchmark_group("slot");
    group.bench_function("of_16_bytes", |b| {
        b.iter_batched(|| key(7), |key| engine::slot_of(black_box(&key)), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, lookups, slots);
criterion_main!(benches);
