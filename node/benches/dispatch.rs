//! A request through the whole node without a kernel: decode, look up, execute, gate, encode.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/support/shelf.rs"]
mod shelf;

#[path = "../tests/support/world.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod world;

use world::World;

/// Requests in one pipeline.
const DEPTH: usize = 16;

fn dispatch(c: &mut Criterion) {
    let value = "x".repeat(100);
    let cases = [
        ("ping", "*1\r\n$4\r\nPING\r\n".to_owned()),
        ("get_100", "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000012\r\n".to_owned()),
        ("set_100", format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000012\r\n$100\r\n{value}\r\n")),
    ];
    let mut group = c.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(DEPTH as u64));
    for (name, request) in cases {
        let pipeline = request.repeat(DEPTH).into_bytes();
        let mut world = World::new();
        world.connect(1);
        world.ask(1, &format!("SET key:000000000012 {value}"));
        group.bench_function(name, |b| {
            b.iter(|| {
                world.send_bytes(1, black_box(&pipeline));
                world.turn();
                let client = world.clients.get_mut(&1).expect("it connected");
                client.received.clear();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
