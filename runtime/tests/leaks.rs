//! Thousands of connections come and go: no place, no descriptor, no event is lost.
//!
//! Alone in its process, because it counts the process's descriptors.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use runtime::{Event, Options, Ring};

const CLIENTS: usize = 2000;
const ROUNDS: usize = 3;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("our own descriptors can be listed").count()
}

/// Connects many clients that hold on until all are there, then end in different ways.
fn clients(address: SocketAddr) {
    for _ in 0..ROUNDS {
        let mut streams: Vec<TcpStream> = (0..CLIENTS)
            .map(|_| TcpStream::connect(address).expect("the server listens"))
            .collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            match number % 4 {
                // Served.
                0 => {
                    stream.write_all(b"echo").expect("the server reads");
                    stream.read_exact(&mut [0; 4]).expect("the server answers");
                }
                // Ended by the server.
                1 => {
                    stream.write_all(b"quit").expect("the server reads");
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).expect("the server closes");
                    assert_eq!(rest, b"quit");
                }
                // Reset, as the answer is never read.
                2 => stream.write_all(b"echo").expect("the server reads"),
                // Silent.
                _ => {}
            }
        }
    }
}

#[test]
fn thousands_of_connections_leave_no_trace() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the target directory can be written");
    let mut options = Options::new(directory.path().to_owned());
    options.connections_max = u32::try_from(2 * CLIENTS).expect("it is small");
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    let listener = runtime::listen::first(SocketAddr::from(([127, 0, 0, 1], 0)), 4096)
        .expect("some port is free");
    let address = listener.local_addr().expect("it is bound");
    ring.listen(listener).expect("the listener can be used");
    let before = descriptors();

    let load = thread::spawn(move || clients(address));
    let (mut open, mut accepted, mut closed) = (HashSet::new(), 0, 0);
    while closed < ROUNDS * CLIENTS || 0 < ring.stats().connections {
        let deadline = runtime::now().monotonic_us + 60_000_000;
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        let (mut received, mut ended) = (Vec::new(), Vec::new());
        while let Some(event) = ring.poll_event() {
            match event {
                Event::Accepted { id, .. } => {
                    accepted += 1;
                    assert!(open.insert(id), "an id is used once");
                }
                Event::Received { id, bytes } => {
                    assert!(open.contains(&id));
                    received.push((id, bytes.to_vec()));
                }
                Event::Sent { id, .. } => assert!(open.contains(&id)),
                Event::Ended { id } => ended.push(id),
                Event::Closed { id } => {
                    closed += 1;
                    assert!(open.remove(&id), "Closed comes once, for an accepted connection");
                }
                Event::Disk { .. } | Event::Signal(_) => unreachable!("nobody asked for that"),
            }
        }
        for (id, bytes) in received {
            let quit = bytes == b"quit";
            ring.send(id, bytes);
            if quit {
                ring.close(id);
            }
        }
        ended.into_iter().for_each(|id| ring.close(id));
        assert!(runtime::now().monotonic_us < deadline, "{accepted} accepted, {closed} closed");
    }
    load.join().expect("every client got what it waited for");
    assert_eq!(accepted, ROUNDS * CLIENTS);
    assert!(open.is_empty());
    assert_eq!(descriptors(), before);
}
