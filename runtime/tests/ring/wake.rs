//! A ring that sleeps is woken from another thread, in either way.

use std::sync::{Barrier, OnceLock};

use runtime::mesh::{Port, mesh};
use runtime::{Options, Ring, WakeBy, Waker, now};

/// Longer than any wake-up takes, shorter than who waits for the tests.
const PATIENCE_US: u64 = 20_000_000;

fn open(by: WakeBy) -> Ring {
    let mut options = Options::new(std::env::temp_dir());
    options.connections_max = 4;
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    ring.set_wake_by(by);
    ring
}

/// Sleeps until a message has come; panics if the sleep was not ended by it.
fn receive(ring: &mut Ring, port: &mut Port<u64>) -> u64 {
    loop {
        if let Some((_, message)) = port.poll() {
            return *message;
        }
        let deadline = now().monotonic_us + PATIENCE_US;
        let deadline = if port.try_sleep() { deadline } else { 0 };
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        port.wake_up();
        assert!(deadline == 0 || now().monotonic_us < deadline, "nobody ended this sleep");
        while ring.poll_event().is_some() {}
    }
}

fn send(ring: &mut Ring, port: &mut Port<u64>, message: u64) {
    let other = 1 - port.own();
    port.send(other, Box::new(message)).expect("one is under way at a time");
    if port.must_wake(other) {
        ring.wake(other);
    }
}

/// Red when: a message's operation is not pushed, or pushed after the submission; the eventfd is
/// not polled; who must be woken is not.
#[test]
fn each_message_finds_its_sleeper_in_either_way() {
    const ROUNDS: u64 = 5_000;
    for by in [WakeBy::Message, WakeBy::Eventfd] {
        let barrier = Barrier::new(2);
        let wakers = [OnceLock::<Waker>::new(), OnceLock::new()];
        let meet = |own: usize| {
            let mut ring = open(by);
            wakers[own].set(ring.waker()).expect("each has its place");
            barrier.wait();
            for waker in &wakers {
                ring.add_peer(waker.get().expect("both have come").clone());
            }
            ring
        };
        let mut ports = mesh(2, 4);
        let mut second = ports.pop().expect("there are two");
        let mut first = ports.pop().expect("there are two");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut ring = meet(1);
                for round in 1..=ROUNDS {
                    assert_eq!(receive(&mut ring, &mut second), round);
                    send(&mut ring, &mut second, round);
                }
                ring.submit_and_wait(Some(0)).expect("the ring works");
                barrier.wait();
            });
            let mut ring = meet(0);
            for round in 1..=ROUNDS {
                send(&mut ring, &mut first, round);
                assert_eq!(receive(&mut ring, &mut first), round);
            }
            assert!(0 < ring.stats().wakes_sent && 0 < ring.stats().wakes_received);
            barrier.wait();
        });
    }
}

/// Red when: the eventfd of a ring is polled once instead of for good.
#[test]
fn a_thread_without_a_ring_wakes_one_again_and_again() {
    let mut ring = open(WakeBy::Eventfd);
    let waker = ring.waker();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake());
            let deadline = now().monotonic_us + PATIENCE_US;
            let before = ring.stats().wakes_received;
            while ring.stats().wakes_received == before {
                ring.submit_and_wait(Some(deadline)).expect("the ring works");
                assert!(now().monotonic_us < deadline, "nobody ended this sleep");
                assert!(ring.poll_event().is_none());
            }
        });
    }
}

/// Red when: the failure of a message is not dealt with (its completion is of no operation known).
#[test]
fn waking_a_ring_that_is_gone_does_no_harm() {
    let mut ring = open(WakeBy::Message);
    let gone = open(WakeBy::Message);
    let peer = ring.add_peer(gone.waker());
    drop(gone);
    for _ in 0..3 {
        ring.wake(peer);
        ring.submit_and_wait(Some(0)).expect("the ring works");
        assert!(ring.poll_event().is_none());
    }
}
