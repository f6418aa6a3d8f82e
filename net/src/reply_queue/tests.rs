//! The queue against a list of replies, and what it copies.

use super::{CHUNK_SIZE, ReplyQueue};
use crate::BufferPool;
use base::LogIndex;
use proptest::collection::vec;
use proptest::prelude::*;

fn pool() -> BufferPool {
    BufferPool::new(8, 64, 4096)
}

fn reply(queue: &mut ReplyQueue, pool: &mut BufferPool, bytes: &[u8], gate: u64) {
    queue.begin(LogIndex::NONE, pool).extend_from_slice(bytes);
    queue.commit(LogIndex(gate), pool);
    queue.check();
}

fn released(queue: &mut ReplyQueue, pool: &mut BufferPool, settled: u64) -> Option<String> {
    let bytes = queue.take_released(LogIndex(settled), pool)?;
    queue.check();
    Some(bytes.escape_ascii().to_string())
}

#[test]
fn a_reply_leaves_when_its_gate_and_all_before_it_are_settled() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    for (bytes, gate) in [("a", 0), ("b", 7), ("c", 0), ("d", 7), ("e", 9), ("f", 8)] {
        reply(&mut queue, &mut pool, bytes.as_bytes(), gate);
    }
    assert_eq!(queue.chunks.len(), 3);
    assert_eq!(queue.len(), 6);
    assert_eq!(queue.last_gate(), LogIndex(9));
    assert_eq!(released(&mut queue, &mut pool, 6).as_deref(), Some("a"));
    assert_eq!(released(&mut queue, &mut pool, 6), None);
    assert!(!queue.has_released(LogIndex(6)));
    assert!(queue.has_released(LogIndex(7)));
    assert_eq!(released(&mut queue, &mut pool, 8).as_deref(), Some("bcd"));
    assert_eq!(released(&mut queue, &mut pool, 9).as_deref(), Some("ef"));
    assert!(queue.is_empty());
    assert_eq!(queue.last_gate(), LogIndex::NONE);
}

#[test]
fn released_chunks_leave_as_one_buffer() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    for gate in 1..=5 {
        reply(&mut queue, &mut pool, b"x", gate);
    }
    assert_eq!(released(&mut queue, &mut pool, 4).as_deref(), Some("xxxx"));
    assert_eq!(pool.len(), 3, "the buffers that were emptied went back");
}

#[test]
fn replies_of_one_batch_share_a_buffer_that_leaves_as_it_is() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    pool.give(Vec::with_capacity(100));
    reply(&mut queue, &mut pool, b"+OK\r\n", 3);
    let address = queue.chunks[0].bytes.as_ptr();
    for _ in 0..9 {
        reply(&mut queue, &mut pool, b"+OK\r\n", 3);
    }
    let bytes = queue.take_released(LogIndex(3), &mut pool).expect("all is settled");
    assert_eq!(bytes.as_ptr(), address);
    assert_eq!(bytes, b"+OK\r\n".repeat(10));
    pool.give(bytes);
    assert_eq!(pool.len(), 1);
    let again = pool.take();
    assert_eq!(again.as_ptr(), address);
}

#[test]
fn a_known_floor_spares_the_move() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", 1);
    queue.begin(LogIndex(2), &mut pool).push(b'b');
    let address = queue.buffer().as_ptr();
    queue.commit(LogIndex(2), &mut pool);
    queue.check();
    assert_eq!(released(&mut queue, &mut pool, 1).as_deref(), Some("a"));
    let bytes = queue.take_released(LogIndex(2), &mut pool).expect("it is settled");
    assert_eq!(bytes.as_ptr(), address);
}

#[test]
fn what_was_taken_back_is_not_sent() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", 0);
    queue.begin(LogIndex::NONE, &mut pool).extend_from_slice(b"*2 b");
    let mark = queue.mark();
    queue.buffer().extend_from_slice(b"half of c");
    queue.rollback(mark).extend_from_slice(b" c");
    queue.commit(LogIndex(4), &mut pool);
    assert_eq!(queue.len(), 7);

    queue.begin(LogIndex::NONE, &mut pool).extend_from_slice(b"half");
    queue.restart().extend_from_slice(b"-ERR");
    queue.commit(LogIndex::NONE, &mut pool);
    queue.check();

    assert_eq!(released(&mut queue, &mut pool, 0).as_deref(), Some("a"));
    assert_eq!(released(&mut queue, &mut pool, 4).as_deref(), Some("*2 b c-ERR"));
}

#[test]
fn no_reply_waits_for_nothing_and_holds_nothing() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"", 9);
    assert_eq!(queue.last_gate(), LogIndex::NONE);
    assert_eq!(queue.chunks.len(), 0);
    assert_eq!(pool.len(), 1);
    reply(&mut queue, &mut pool, b"a", 1);
    reply(&mut queue, &mut pool, b"", 9);
    assert_eq!(queue.last_gate(), LogIndex(1));
    assert_eq!(released(&mut queue, &mut pool, 1).as_deref(), Some("a"));
}

#[test]
fn a_full_chunk_is_not_appended_to_and_leaves_alone() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", 0);
    reply(&mut queue, &mut pool, &vec![b'b'; CHUNK_SIZE], 0);
    reply(&mut queue, &mut pool, b"c", 0);
    assert_eq!(queue.chunks.len(), 2);
    let first = queue.take_released(LogIndex::NONE, &mut pool).expect("all is released");
    assert_eq!(first.len(), 1 + CHUNK_SIZE);
    assert_eq!(queue.len(), 1);
    assert_eq!(released(&mut queue, &mut pool, 0).as_deref(), Some("c"));
}

#[test]
fn a_closed_connection_gives_its_buffers_back() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", 0);
    reply(&mut queue, &mut pool, b"b", 1);
    queue.begin(LogIndex::NONE, &mut pool).push(b'c');
    queue.clear(&mut pool);
    queue.check();
    assert_eq!(queue.len(), 0);
    assert_eq!(pool.len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Reply { bytes: Vec<u8>, gate: u64, floor: u64 },
    Settle { by: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Now and then a reply as big as a chunk.
    let bytes = prop_oneof![
        20 => vec(any::<u8>(), 0..20),
        1 => any::<u8>().prop_map(|byte| vec![byte; CHUNK_SIZE - 10]),
    ];
    let reply = (bytes, 0..20_u64, 0..20_u64).prop_map(|(bytes, gate, floor)| Step::Reply {
        bytes,
        gate,
        floor: floor.min(gate),
    });
    vec(prop_oneof![4 => reply, 1 => (0..4_u64).prop_map(|by| Step::Settle { by })], 0..60)
}

proptest! {
    #[test]
    fn replies_leave_in_order_and_exactly_when_they_may(steps in steps()) {
        let (mut queue, mut pool) = (ReplyQueue::new(), pool());
        let mut settled = 0;
        // The model: every reply with the highest gate so far.
        let mut waiting: Vec<(u64, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Reply { bytes, gate, floor } => {
                    queue.begin(LogIndex(floor), &mut pool).extend_from_slice(&bytes);
                    queue.commit(LogIndex(gate), &mut pool);
                    if !bytes.is_empty() {
                        let before = waiting.last().map_or(0, |(gate, _)| *gate);
                        waiting.push((before.max(gate), bytes));
                    }
                    let last = waiting.last().map_or(0, |(gate, _)| *gate);
                    prop_assert_eq!(queue.last_gate(), LogIndex(last));
                }
                Step::Settle { by } => {
                    settled += by;
                    let count = waiting.partition_point(|(gate, _)| *gate <= settled);
                    prop_assert_eq!(queue.has_released(LogIndex(settled)), 0 < count);
                    let expected: Vec<u8> =
                        waiting.drain(..count).flat_map(|(_, bytes)| bytes).collect();
                    let mut taken = Vec::new();
                    while let Some(bytes) = queue.take_released(LogIndex(settled), &mut pool) {
                        prop_assert!(!bytes.is_empty());
                        taken.extend_from_slice(&bytes);
                        pool.give(bytes);
                    }
                    prop_assert!(taken == expected);
                }
            }
            queue.check();
            let size: usize = waiting.iter().map(|(_, bytes)| bytes.len()).sum();
            prop_assert_eq!(queue.len(), size);
            prop_assert_eq!(queue.is_empty(), size == 0);
        }
    }
}
