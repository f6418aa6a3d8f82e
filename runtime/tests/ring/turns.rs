//! The rhythm of a core: one system call per turn, no sleep while there is something to tell.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use runtime::{Event, Ring, Signal};

use crate::server::{Happened, directory, options, pattern, take_events};

fn open(directory: &tempfile::TempDir) -> (Ring, SocketAddr) {
    let mut ring = Ring::open(options(directory)).expect("this machine has io_uring");
    let listener = runtime::listen::first(SocketAddr::from(([127, 0, 0, 1], 0)), 511)
        .expect("some port is free");
    let address = listener.local_addr().expect("it is bound");
    ring.listen(listener).expect("the listener can be used");
    (ring, address)
}

fn soon() -> Option<u64> {
    Some(runtime::now().monotonic_us + 60_000_000)
}

#[test]
fn a_request_and_its_reply_cost_one_system_call() {
    const REQUESTS: u64 = 200;
    let directory = directory();
    let (mut ring, address) = open(&directory);
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).expect("the server listens");
        for _ in 0..REQUESTS {
            client.write_all(b"PING\r\n").expect("the server reads");
            client.read_exact(&mut [0; 6]).expect("the server answers");
        }
    });
    let before = ring.stats().enters;
    let (mut turns, mut received, mut sent) = (0, 0, 0);
    let mut closed = false;
    while !closed {
        turns += 1;
        // A turn per request, and a few to accept and to notice the end.
        assert!(turns <= REQUESTS + 5, "{turns} turns");
        ring.submit_and_wait(soon()).expect("the ring works");
        for happened in take_events(&mut ring) {
            match happened {
                Happened::Received(id, bytes) => {
                    received += bytes.len();
                    ring.send_relaxed(id, bytes);
                }
                Happened::Sent(..) => sent += 1,
                Happened::Closed(_) => closed = true,
                Happened::Accepted(..) | Happened::Other => {}
            }
        }
        assert_eq!(ring.stats().enters, turns + before);
    }
    client.join().expect("the client got its answers");
    assert_eq!(received, 6 * 200);
    // The client may be gone before the last Sent is told; Closed then stands for it.
    assert!((REQUESTS - 1..=REQUESTS).contains(&sent), "{sent} replies were sent");
}

#[test]
fn a_prompt_send_is_reported_without_another_event() {
    let directory = directory();
    let (mut ring, address) = open(&directory);
    let _client = TcpStream::connect(address).expect("the server listens");
    ring.submit_and_wait(soon()).expect("the ring works");
    let events = take_events(&mut ring);
    let [Happened::Accepted(id, _)] = events[..] else { unreachable!("{events:?}") };
    ring.send(id, b"hello".to_vec());
    assert!(take_events(&mut ring).is_empty(), "nothing is sent before it is submitted");
    let deadline = soon();
    ring.submit_and_wait(deadline).expect("the ring works");
    let events = take_events(&mut ring);
    assert!(matches!(&events[..], [Happened::Sent(_, buffer)] if buffer == b"hello"), "{events:?}");
    // Nor may it sleep while an event was not polled.
    ring.send(id, Vec::new());
    ring.submit_and_wait(deadline).expect("the ring works");
    ring.close(id);
    ring.submit_and_wait(deadline).expect("the ring works");
    let events = take_events(&mut ring);
    assert!(matches!(events[..], [Happened::Sent(..), Happened::Closed(_)]), "{events:?}");
    assert!(Some(runtime::now().monotonic_us) < deadline, "it slept until the deadline");
}

#[test]
fn a_deadline_ends_the_sleep_and_one_in_the_past_does_not_sleep() {
    let directory = directory();
    let (mut ring, _) = open(&directory);
    let deadline = runtime::now().monotonic_us + 20_000;
    ring.submit_and_wait(Some(deadline)).expect("the ring works");
    assert!(deadline <= runtime::now().monotonic_us);
    ring.submit_and_wait(Some(0)).expect("the ring works");
    assert!(ring.poll_event().is_none());
}

#[test]
fn a_signal_is_an_event() {
    let directory = directory();
    let (mut ring, _) = open(&directory);
    ring.watch_signals().expect("signals can be watched");
    ring.submit_and_wait(Some(0)).expect("the ring works");
    for _ in 0..3 {
        for (number, expected) in
            [(libc::SIGTERM, Signal::Terminate), (libc::SIGINT, Signal::Interrupt)]
        {
            // To this thread, which blocks it; other tests' threads do not.
            // SAFETY: this call has no preconditions.
            let thread = unsafe { libc::pthread_self() };
            // SAFETY: the signal's number is valid and the thread is our own.
            let result = unsafe { libc::pthread_kill(thread, number) };
            assert_eq!(result, 0);
            let signal = loop {
                ring.submit_and_wait(soon()).expect("the ring works");
                if let Some(event) = ring.poll_event() {
                    break event;
                }
            };
            assert!(matches!(signal, Event::Signal(signal) if signal == expected), "{signal:?}");
        }
    }
}

#[test]
fn a_ring_dropped_in_the_middle_of_everything_ends_in_time() {
    let directory = directory();
    let (mut ring, address) = open(&directory);
    let mut client = TcpStream::connect(address).expect("the server listens");
    ring.submit_and_wait(soon()).expect("the ring works");
    let events = take_events(&mut ring);
    let [Happened::Accepted(id, _)] = events[..] else { unreachable!("{events:?}") };
    ring.send(id, pattern(64 << 20));
    ring.prepare(1, "segment", 8 << 20);
    ring.submit_and_wait(Some(0)).expect("the ring works");
    let _ = take_events(&mut ring);
    ring.prepare(2, "another", 8 << 20);
    let started = Instant::now();
    drop(ring);
    // Its patience is five seconds; then it would leak.
    assert!(started.elapsed().as_secs() < 5);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(rest.len() < 64 << 20);
}

#[test]
fn a_ring_that_stops_listening_accepts_nobody_and_serves_who_is_there() {
    let directory = directory();
    let (mut ring, address) = open(&directory);
    let mut client = TcpStream::connect(address).expect("the server listens");
    ring.submit_and_wait(soon()).expect("the ring works");
    let events = take_events(&mut ring);
    assert!(matches!(events[..], [Happened::Accepted(..)]), "{events:?}");
    ring.stop_listening();
    ring.stop_listening();
    ring.submit_and_wait(Some(0)).expect("the ring works");
    // The kernel still completes handshakes into the backlog; nobody takes them out.
    let _late = TcpStream::connect(address).expect("the port is still bound");
    client.write_all(b"still here").expect("the server reads");
    loop {
        ring.submit_and_wait(soon()).expect("the ring works");
        match &take_events(&mut ring)[..] {
            [] => {}
            [Happened::Received(_, bytes)] => {
                assert_eq!(bytes, b"still here");
                break;
            }
            other => unreachable!("{other:?}"),
        }
    }
}
