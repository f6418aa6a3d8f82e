//! A process that has used up its descriptors pauses accepting, without spinning, and recovers.
//!
//! Alone in its process, because it uses up the process's descriptors.

use std::fs::File;
use std::net::SocketAddr;

use runtime::{Event, Options, Ring};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

#[test]
fn accepting_pauses_while_no_descriptor_is_free() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the target directory can be written");
    let mut options = Options::new(directory.path().to_owned());
    options.connections_max = 100;
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    let listener = runtime::listen::first(SocketAddr::from(([127, 0, 0, 1], 0)), 511)
        .expect("some port is free");
    let address = listener.local_addr().expect("it is bound");
    ring.listen(listener).expect("the listener can be used");
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("descriptors are left");

    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: hard })
        .expect("a limit can be lowered");
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    client.connect(&address.into()).expect("the kernel completes the handshake");

    let enters = ring.stats().enters;
    let end = runtime::now().monotonic_us + 350_000;
    while runtime::now().monotonic_us < end {
        ring.submit_and_wait(Some(end)).expect("the ring works");
        assert!(ring.poll_event().is_none());
    }
    let stats = ring.stats();
    assert!(1 <= stats.accept_errors);
    // Four tries fit in that time, each of a few calls.
    assert!(stats.enters - enters < 30, "{stats:?}");

    drop(hoard);
    let deadline = runtime::now().monotonic_us + 60_000_000;
    ring.submit_and_wait(Some(deadline)).expect("the ring works");
    let accepted = loop {
        match ring.poll_event() {
            Some(event) => break event,
            None => ring.submit_and_wait(Some(deadline)).expect("the ring works"),
        }
    };
    assert!(matches!(accepted, Event::Accepted { .. }), "{accepted:?}");
}
