//! The replies of a pipeline of 16 small requests: queued, held, released as one buffer.

use std::hint::black_box;

use base::{Gate, LogIndex, SliceId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use net::{BufferPool, ReplyQueue, Ticket};

const COUNT: u16 = 16;
const OK: &[u8] = b"+OK\r\n";

fn pool() -> BufferPool {
    BufferPool::new(64, 1024, 65_536)
}

fn gate(slice: u16, index: u64) -> Gate {
    Gate { slice: SliceId(slice), index: LogIndex(index) }
}

fn reply(queue: &mut ReplyQueue, gates: &[Gate], pool: &mut BufferPool) {
    queue.begin(pool).extend_from_slice(black_box(OK));
    queue.commit(gates, pool);
}

fn take(queue: &mut ReplyQueue, settled: u64, pool: &mut BufferPool) {
    let settled = black_box(LogIndex(settled));
    let is_settled = |gate: Gate| gate.index <= settled;
    let buffer = queue.take_released(is_settled, pool).expect("all are released");
    assert_eq!(buffer.len(), usize::from(COUNT) * OK.len());
    pool.give(black_box(buffer));
}

/// All replies are made here; each waits for what `gate_of` says of its place and the round.
fn local(c: &mut Criterion, name: &str, gate_of: impl Fn(u16, u64) -> Gate) {
    let mut group = c.benchmark_group("replies");
    group.throughput(Throughput::Elements(u64::from(COUNT)));
    group.bench_function(name, |b| {
        let (mut queue, mut pool, mut round) = (ReplyQueue::new(), pool(), 0);
        b.iter(|| {
            round += 1;
            for place in 0..COUNT {
                reply(&mut queue, &[gate_of(place, round)], &mut pool);
            }
            take(&mut queue, round, &mut pool);
        });
    });
    group.finish();
}

/// Every second reply comes from another core, in the order of `fill_at`.
fn half_vacant(c: &mut Criterion, name: &str, fill_at: impl Fn(usize) -> usize) {
    let mut group = c.benchmark_group("replies");
    group.throughput(Throughput::Elements(u64::from(COUNT)));
    group.bench_function(name, |b| {
        let (mut queue, mut pool, mut round) = (ReplyQueue::new(), pool(), 0);
        let mut tickets: Vec<Ticket> = Vec::new();
        b.iter(|| {
            round += 1;
            tickets.clear();
            for place in 0..COUNT / 2 {
                tickets.push(queue.reserve());
                reply(&mut queue, &[gate(place, round)], &mut pool);
            }
            for at in 0..tickets.len() {
                let place = fill_at(at);
                let gates = [gate(COUNT / 2 + at as u16, round)];
                queue.fill(tickets[place], black_box(OK), &gates, &mut pool);
            }
            take(&mut queue, round, &mut pool);
        });
    });
    group.finish();
}

fn replies(c: &mut Criterion) {
    local(c, "no_gates", |_, _| Gate::NONE);
    local(c, "one_gate", |_, round| gate(0, round));
    local(c, "16_gates", gate);
    local(c, "4_gates_mixed", |place, round| gate(place * 7 % 4, round));
    half_vacant(c, "half_vacant_in_order", |at| at);
    half_vacant(c, "half_vacant_of_two_cores", |at| at % 4 * 2 + at / 4);
    half_vacant(c, "half_vacant_in_reverse", |at| usize::from(COUNT / 2) - 1 - at);
}

criterion_group!(benches, replies);
criterion_main!(benches);
