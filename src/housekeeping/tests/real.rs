//! On real files, by the real thread, with the core asleep in its ring.

use std::fs;

use runtime::housekeeping::{Desk, start};
use runtime::{Options, Ring, now};

use super::node::{Node, SLICE, check, place, writer};
use crate::housekeeping::{Cargo, KEPT, SnapshotWriter};
use crate::snapshots::tests::open;

/// Longer than all of it takes, shorter than who waits for the tests.
const PATIENCE_US: u64 = 60_000_000;

fn run(node: &mut Node, writer: &mut SnapshotWriter<Desk<Cargo>>, ring: &mut Ring) {
    let deadline = now().monotonic_us + PATIENCE_US;
    node.ask(writer);
    while !node.is_done() {
        let deadline = if writer.has_event() { 0 } else { deadline };
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        while ring.poll_event().is_some() {}
        node.hear(writer);
        assert!(deadline == 0 || now().monotonic_us < deadline, "nobody ended this sleep");
    }
}

/// Red when: older snapshots stay, or a start does not find what was published.
#[test]
fn snapshots_are_written_by_the_thread_and_found_by_a_start() {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let mut options = Options::new(root.path().to_owned());
    options.connections_max = 4;
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    let (thread, mut desks) = start(vec![ring.waker()]).expect("this machine has io_uring");
    let mut writer = writer(desks.pop().expect("there is one"), root.path());
    let mut node = Node::new(&[10, 20, 30]);
    run(&mut node, &mut writer, &mut ring);
    assert_eq!(node.failures, Vec::<String>::new());
    drop(writer);
    thread.join().expect("the thread ends by itself");

    let place = place(root.path());
    let found = open(&place).expect("it can be read");
    assert_eq!(found[&SLICE].iter().map(|index| index.0).collect::<Vec<_>>(), [30, 20]);
    assert_eq!(fs::read_dir(place.of_slice(SLICE)).expect("it is there").count(), KEPT);
    found[&SLICE].iter().for_each(|index| check(&place, *index));
}

/// Red when: a failed write is not reported, or keeps the next attempt from succeeding.
#[test]
fn a_directory_that_cannot_be_written_fails_the_attempt_until_it_can() {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let mut options = Options::new(root.path().to_owned());
    options.connections_max = 4;
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    let (_thread, mut desks) = start(vec![ring.waker()]).expect("this machine has io_uring");
    let mut writer = writer(desks.pop().expect("there is one"), root.path());
    let place = place(root.path());
    // A file is in the way of the directory.
    fs::write(place.root(), b"").expect("the directory can be written");
    let mut node = Node::new(&[10]);
    node.ask(&mut writer);
    let deadline = now().monotonic_us + PATIENCE_US;
    while !node.is_done() {
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        while ring.poll_event().is_some() {}
        if !node.failures.is_empty() && place.root().is_file() {
            fs::remove_file(place.root()).expect("it was made here");
        }
        node.hear(&mut writer);
        assert!(now().monotonic_us < deadline, "nobody ended this sleep");
    }
    let path = place.root().display().to_string();
    assert!(node.failures[0].contains(&path), "{:?}", node.failures);
    check(&place, node.published.expect("it is done"));
}
