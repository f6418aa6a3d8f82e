//! Effects: applied with their batch, encoded, replayed.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{BatchReader, Effect, Keyspace, Space, Spaces};

/// Keys of the benchmark: small enough to stay in the cache, so that the code is measured.
const KEYS: usize = 1000;

fn keys() -> Vec<Vec<u8>> {
    (0..KEYS).map(|number| format!("key:{number:012}").into_bytes()).collect()
}

fn apply(c: &mut Criterion) {
    let keys = keys();
    let value = vec![b'x'; 100];
    let mut group = c.benchmark_group("effects");
    group.throughput(Throughput::Elements(KEYS as u64));
    group.bench_function("apply_and_log_put_string_100", |b| {
        let mut space = Space::new(Keyspace::new(1, 0..base::limits::SLOTS));
        let mut body = Vec::new();
        b.iter(|| {
            let mut spaces = Spaces::one(&mut space);
            for key in &keys {
                let value = black_box(&value);
                spaces.apply(&Effect::PutString { db: 0, key, value, expire_ms: None });
            }
            space.batch.take_touched().for_each(|hash| _ = black_box(hash));
            space.batch.close_into(1, &[], &mut body);
        });
    });
    group.bench_function("encode_put_string_100", |b| {
        let mut out = Vec::with_capacity(256 * 1024);
        b.iter(|| {
            out.clear();
            for key in &keys {
                Effect::PutString { db: 0, key, value: &value, expire_ms: None }
                    .encode(black_box(&mut out));
            }
        });
    });
    group.bench_function("replay_put_string_100", |b| {
        let mut space = Space::new(Keyspace::new(1, 0..base::limits::SLOTS));
        let mut spaces = Spaces::one(&mut space);
        keys.iter().for_each(|key| {
            spaces.apply(&Effect::PutString { db: 0, key, value: &value, expire_ms: None });
        });
        space.batch.take_touched().for_each(drop);
        let mut body = Vec::new();
        space.batch.close_into(1, &[], &mut body);
        b.iter(|| {
            for effect in BatchReader::new(black_box(&body)).expect("it was just written") {
                let effect = effect.expect("it was just written");
                space.keyspace.replay(&effect).expect("the keys are there");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
