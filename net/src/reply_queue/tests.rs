//! The queue against a list of replies, and what it copies.

use super::{CHUNK_SIZE, COPIED_SIZE_MAX, Front, ReplyQueue, Ticket};
use crate::BufferPool;
use base::{Gate, LogIndex, SliceId};

mod model;

fn pool() -> BufferPool {
    BufferPool::new(8, 64, 4096)
}

fn gate(slice: u16, index: u64) -> Gate {
    Gate { slice: SliceId(slice), index: LogIndex(index) }
}

fn reply(queue: &mut ReplyQueue, pool: &mut BufferPool, bytes: &[u8], gates: &[Gate]) {
    queue.begin(pool).extend_from_slice(bytes);
    queue.commit(gates, pool);
    queue.check();
}

fn fill(queue: &mut ReplyQueue, pool: &mut BufferPool, ticket: Ticket, bytes: &str) {
    queue.fill(ticket, bytes.as_bytes(), &[], pool);
    queue.check();
}

/// What leaves when slice `n` is settled up to `settled[n]`.
fn released(queue: &mut ReplyQueue, pool: &mut BufferPool, settled: &[u64]) -> Option<String> {
    let is_settled = |gate: Gate| gate.index.0 <= settled[usize::from(gate.slice.0)];
    let may = queue.has_released(is_settled);
    let bytes = queue.take_released(is_settled, pool);
    queue.check();
    assert_eq!(bytes.is_some(), may);
    bytes.map(|bytes| bytes.escape_ascii().to_string())
}

#[test]
fn a_reply_leaves_when_its_gates_and_all_before_it_are_settled() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    let none = Gate::NONE;
    reply(&mut queue, &mut pool, b"a", &[]);
    reply(&mut queue, &mut pool, b"b", &[gate(0, 7)]);
    reply(&mut queue, &mut pool, b"c", &[none]);
    reply(&mut queue, &mut pool, b"d", &[gate(1, 3), none, gate(2, 2)]);
    reply(&mut queue, &mut pool, b"e", &[gate(0, 7)]);
    reply(&mut queue, &mut pool, b"f", &[gate(0, 8)]);
    assert_eq!(queue.len(), 6);
    assert_eq!(queue.front(), Front::Free);
    assert_eq!(released(&mut queue, &mut pool, &[6, 0, 0]).as_deref(), Some("a"));
    assert_eq!(queue.front(), Front::Waits(gate(0, 7)));
    assert_eq!(released(&mut queue, &mut pool, &[6, 9, 9]), None);
    assert_eq!(released(&mut queue, &mut pool, &[7, 0, 2]).as_deref(), Some("bc"));
    assert_eq!(queue.front(), Front::Waits(gate(1, 3)));
    assert_eq!(released(&mut queue, &mut pool, &[9, 3, 1]), None);
    assert_eq!(queue.front(), Front::Waits(gate(2, 2)));
    assert_eq!(released(&mut queue, &mut pool, &[7, 3, 2]).as_deref(), Some("de"));
    assert_eq!(queue.front(), Front::Waits(gate(0, 8)));
    assert_eq!(released(&mut queue, &mut pool, &[8, 3, 2]).as_deref(), Some("f"));
    assert_eq!(queue.front(), Front::Empty);
    assert!(queue.is_empty());
}

#[test]
fn replies_of_many_slices_share_a_buffer_that_leaves_as_it_is() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    pool.give(Vec::with_capacity(500));
    let address = queue.begin(&mut pool).as_ptr();
    queue.commit(&[], &mut pool);
    for round in 0..4 {
        for slice in 0..16 {
            reply(&mut queue, &mut pool, b"+OK\r\n", &[gate(slice, 3)]);
        }
        assert_eq!(queue.ready.barriers_count(), 16, "round {round}");
    }
    let bytes = queue.take_released(|_| true, &mut pool).expect("all is settled");
    assert_eq!(bytes.as_ptr(), address);
    assert_eq!(bytes, b"+OK\r\n".repeat(64));
    pool.give(bytes);
    assert_eq!(pool.len(), 1);
    let again = pool.take();
    assert_eq!(again.as_ptr(), address);
}

#[test]
fn the_smaller_part_of_a_buffer_is_copied() {
    for (first, second) in [(10, 50), (50, 10)] {
        let (mut queue, mut pool) = (ReplyQueue::new(), pool());
        let address = queue.begin(&mut pool).as_ptr();
        queue.commit(&[], &mut pool);
        reply(&mut queue, &mut pool, &b"a".repeat(first), &[]);
        reply(&mut queue, &mut pool, &b"b".repeat(second), &[gate(0, 1)]);
        let bytes = queue.take_released(|_| false, &mut pool).expect("there is no gate");
        queue.check();
        assert_eq!(bytes.len(), first);
        assert_eq!(bytes.as_ptr() == address, second < first);
        let bytes = queue.take_released(|_| true, &mut pool).expect("all is settled");
        assert_eq!(bytes, b"b".repeat(second));
        assert_eq!(bytes.as_ptr() == address, first < second);
    }
}

#[test]
fn what_has_left_does_not_hold_memory_for_long() {
    let (mut queue, mut pool) = (ReplyQueue::new(), BufferPool::new(0, 64, 4096));
    for index in 1..=1000 {
        reply(&mut queue, &mut pool, &[b'x'; 50], &[gate(0, index)]);
    }
    for settled in 1..=990 {
        assert_eq!(released(&mut queue, &mut pool, &[settled]).map(|bytes| bytes.len()), Some(50));
        assert!(queue.ready.capacity() <= 8 * 1024 + 4 * queue.len());
    }
}

#[test]
fn what_was_taken_back_is_not_sent() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    for is_behind in [false, true] {
        let ticket = is_behind.then(|| queue.reserve());
        reply(&mut queue, &mut pool, b"a", &[]);
        queue.begin(&mut pool).extend_from_slice(b"*2 b");
        let mark = queue.mark();
        queue.buffer().extend_from_slice(b"half of c");
        queue.rollback(mark).extend_from_slice(b" c");
        queue.commit(&[gate(0, 4)], &mut pool);

        queue.begin(&mut pool).extend_from_slice(b"half");
        queue.restart().extend_from_slice(b"-ERR");
        queue.commit(&[], &mut pool);
        queue.check();
        if let Some(ticket) = ticket {
            fill(&mut queue, &mut pool, ticket, "");
        }
    }
    assert_eq!(queue.len(), 22);
    assert_eq!(released(&mut queue, &mut pool, &[3]).as_deref(), Some("a"));
    assert_eq!(released(&mut queue, &mut pool, &[4]).as_deref(), Some("*2 b c-ERRa*2 b c-ERR"));
}

#[test]
fn an_empty_reply_without_gates_is_nothing() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"", &[]);
    reply(&mut queue, &mut pool, b"", &[Gate::NONE]);
    assert!(queue.is_empty());
    assert_eq!(pool.len(), 1, "no buffer is held");
    assert_eq!(released(&mut queue, &mut pool, &[]), None);
}

#[test]
fn an_empty_reply_with_gates_holds_what_comes_behind_it() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"", &[gate(0, 9)]);
    assert_eq!(pool.len(), 1, "no buffer is held");
    assert!(!queue.is_empty());
    for index in 10..=1000 {
        // As many of them as a client wants that silenced its replies.
        reply(&mut queue, &mut pool, b"", &[gate(0, index), gate(1, 1)]);
    }
    assert_eq!(queue.ready.barriers_count(), 2);
    let ticket = queue.reserve();
    reply(&mut queue, &mut pool, b"a", &[]);
    fill(&mut queue, &mut pool, ticket, "v");
    assert_eq!(released(&mut queue, &mut pool, &[999, 1]), None);
    assert_eq!(queue.front(), Front::Waits(gate(0, 1000)));
    assert_eq!(released(&mut queue, &mut pool, &[1000, 1]).as_deref(), Some("va"));
    assert!(queue.is_empty());
}

#[test]
fn a_full_chunk_is_not_appended_to_and_leaves_alone() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", &[]);
    reply(&mut queue, &mut pool, &vec![b'b'; CHUNK_SIZE], &[]);
    reply(&mut queue, &mut pool, b"c", &[]);
    let first = queue.take_released(|_| false, &mut pool).expect("all is released");
    assert_eq!(first.len(), 1 + CHUNK_SIZE);
    assert_eq!(queue.len(), 1);
    assert_eq!(released(&mut queue, &mut pool, &[]).as_deref(), Some("c"));
}

#[test]
fn a_large_reply_behind_a_parked_one_stays_where_it_was_encoded() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", &[gate(0, 1)]);
    reply(&mut queue, &mut pool, &vec![b'b'; CHUNK_SIZE], &[gate(0, 2)]);
    let address = queue.ready.front_address();
    assert_eq!(released(&mut queue, &mut pool, &[1]).as_deref(), Some("a"));
    assert_eq!(queue.ready.front_address(), address);
    let bytes = queue.take_released(|_| true, &mut pool).expect("all is settled");
    assert_eq!(bytes, vec![b'b'; CHUNK_SIZE]);
    assert_eq!(bytes.as_ptr(), address);
}

#[test]
fn what_is_behind_a_vacancy_waits_until_it_is_filled() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", &[]);
    let first = queue.reserve();
    reply(&mut queue, &mut pool, b"b", &[gate(0, 1)]);
    let second = queue.reserve();
    let third = queue.reserve();
    reply(&mut queue, &mut pool, b"c", &[]);
    assert!(first < second && second < third);
    assert_eq!((queue.len(), queue.vacant()), (3, 3));
    assert_eq!(released(&mut queue, &mut pool, &[0]).as_deref(), Some("a"));
    assert_eq!(queue.front(), Front::Vacant);
    fill(&mut queue, &mut pool, third, "3");
    assert_eq!((queue.len(), queue.vacant()), (3, 2));
    assert_eq!(queue.front(), Front::Vacant);
    fill(&mut queue, &mut pool, first, "1");
    assert_eq!(released(&mut queue, &mut pool, &[0]).as_deref(), Some("1"));
    assert_eq!(queue.front(), Front::Waits(gate(0, 1)));
    queue.fill(second, b"2", &[gate(1, 1), gate(0, 2)], &mut pool);
    assert_eq!((queue.len(), queue.vacant()), (4, 0));
    assert_eq!(released(&mut queue, &mut pool, &[1, 1]).as_deref(), Some("b"));
    assert_eq!(queue.front(), Front::Waits(gate(0, 2)));
    assert_eq!(released(&mut queue, &mut pool, &[2, 1]).as_deref(), Some("23c"));
    assert!(queue.is_empty());
}

#[test]
fn the_gate_of_an_empty_reply_in_front_of_a_vacancy_holds_its_reply() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    let first = queue.reserve();
    reply(&mut queue, &mut pool, b"", &[gate(0, 1)]);
    let second = queue.reserve();
    reply(&mut queue, &mut pool, b"", &[gate(0, 2)]);
    let third = queue.reserve();
    for (ticket, bytes) in [(third, "3"), (second, "2"), (first, "1")] {
        fill(&mut queue, &mut pool, ticket, bytes);
    }
    assert_eq!(released(&mut queue, &mut pool, &[0]).as_deref(), Some("1"));
    assert_eq!(released(&mut queue, &mut pool, &[1]).as_deref(), Some("2"));
    assert_eq!(released(&mut queue, &mut pool, &[2]).as_deref(), Some("3"));
}

#[test]
fn small_replies_from_elsewhere_share_a_buffer() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    let tickets: Vec<_> = (0..10)
        .map(|_| {
            let ticket = queue.reserve();
            reply(&mut queue, &mut pool, b"l", &[]);
            ticket
        })
        .collect();
    for ticket in tickets.iter().rev() {
        queue.fill_owned(*ticket, b"r".to_vec(), &[], &mut pool);
    }
    assert_eq!(queue.len(), 20);
    let bytes = queue.take_released(|_| false, &mut pool).expect("there are no gates");
    assert_eq!(bytes, b"rl".repeat(10));
    pool.give(bytes);
    assert_eq!(pool.len(), 3, "one ready, one behind, one of early replies");
}

#[test]
fn large_replies_from_elsewhere_are_not_copied() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    let large = |byte| vec![byte; CHUNK_SIZE];
    let (one, two) = (large(b'1'), large(b'2'));
    let (address_one, address_two) = (one.as_ptr(), two.as_ptr());
    let first = queue.reserve();
    reply(&mut queue, &mut pool, b"a", &[]);
    let second = queue.reserve();
    queue.begin(&mut pool).extend_from_slice(&large(b'b'));
    let address_b = queue.buffer().as_ptr();
    queue.commit(&[], &mut pool);
    queue.fill_owned(second, two, &[], &mut pool);
    queue.fill_owned(first, one, &[], &mut pool);
    queue.check();
    let mut take = || queue.take_released(|_| false, &mut pool).expect("there are no gates");
    let [one, a, two, b] = [take(), take(), take(), take()];
    assert_eq!((one.as_ptr(), two.as_ptr()), (address_one, address_two));
    assert_eq!(b.as_ptr(), address_b, "a chunk behind a vacancy changes hands");
    assert_eq!((a, b), (b"a".to_vec(), large(b'b')));
    assert!(queue.is_empty());
}

#[test]
fn chunks_leave_as_one_buffer_up_to_the_size_of_one() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    let half = vec![b'h'; CHUNK_SIZE / 2];
    for bytes in [&b"a"[..], &half, b"b", &half] {
        let ticket = queue.reserve();
        queue.fill_owned(ticket, bytes.to_vec(), &[], &mut pool);
        queue.check();
    }
    let first = queue.take_released(|_| false, &mut pool).expect("there are no gates");
    assert_eq!(first.len(), 1 + half.len() + 1);
    let second = queue.take_released(|_| false, &mut pool).expect("there are no gates");
    assert_eq!(second.len(), half.len());
}

#[test]
fn early_replies_beyond_the_shared_buffer_are_kept_apart() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    let tickets: Vec<_> = (0..5).map(|_| queue.reserve()).collect();
    for ticket in tickets.iter().rev() {
        queue.fill(*ticket, &vec![b'x'; COPIED_SIZE_MAX / 2], &[], &mut pool);
        queue.check();
    }
    let bytes = queue.take_released(|_| false, &mut pool).expect("there are no gates");
    assert_eq!(bytes.len(), COPIED_SIZE_MAX / 2 * 5);
}

/// Whether filling `ticket` is taken for the bug it is.
fn is_refused(queue: &mut ReplyQueue, ticket: Ticket) -> bool {
    let filled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fill(queue, &mut pool(), ticket, "again");
    }));
    filled.is_err()
}

#[test]
fn a_vacancy_is_filled_once_before_its_turn_and_after() {
    for is_early in [true, false] {
        let (mut queue, mut pool) = (ReplyQueue::new(), pool());
        let first = queue.reserve();
        let second = queue.reserve();
        let _third = queue.reserve();
        let filled = if is_early { second } else { first };
        fill(&mut queue, &mut pool, filled, "");
        assert!(is_refused(&mut queue, filled));
    }
}

#[test]
fn a_ticket_of_another_connection_is_refused() {
    let ticket = ReplyQueue::new().reserve();
    assert!(is_refused(&mut ReplyQueue::new(), ticket));
}

#[test]
fn a_closed_connection_gives_its_buffers_back() {
    let (mut queue, mut pool) = (ReplyQueue::new(), pool());
    reply(&mut queue, &mut pool, b"a", &[]);
    let _first = queue.reserve();
    reply(&mut queue, &mut pool, b"b", &[gate(0, 1)]);
    let second = queue.reserve();
    fill(&mut queue, &mut pool, second, "2");
    queue.begin(&mut pool).push(b'c');
    queue.clear(&mut pool);
    queue.check();
    assert_eq!((queue.len(), queue.vacant()), (0, 0));
    assert!(queue.is_empty());
    assert_eq!(pool.len(), 3);
    let ticket = queue.reserve();
    assert!(second < ticket, "a ticket is never used again");
}
