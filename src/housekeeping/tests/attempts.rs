//! Attempts given up, repeated, and of several slices at once.

use std::path::Path;

use base::{LogIndex, SliceId};

use super::disk::{Disk, Luck, Moment, Tray, Tree};
use super::node::{SLICE, attempt, chunk, manifest, place, publish, raw, writer};
use crate::housekeeping::{SnapshotEvent, SnapshotOutput, SnapshotWriter};
use crate::snapshots::Candidates;

const ROOT: &str = "/model";

fn run(writer: &mut SnapshotWriter<Tray>) -> Vec<SnapshotEvent> {
    let mut events = Vec::new();
    loop {
        while let Some(event) = writer.poll_event() {
            events.push(event);
        }
        if !writer.jobs.step(&mut |_: &Disk, _: Moment| {}) {
            return events;
        }
    }
}

fn tree(writer: &SnapshotWriter<Tray>) -> Tree {
    writer.jobs.disk.cut(Luck::Everything, &mut base::Prng::from_seed(0))
}

fn names(tree: &Tree) -> Vec<String> {
    tree.keys().map(|path| path.display().to_string()).collect()
}

fn written(index: LogIndex, number: u32) -> SnapshotEvent {
    let attempt = attempt(index);
    SnapshotEvent::ChunkWritten { slice: SLICE, index, attempt, number, raw: raw(index, number) }
}

fn published(index: LogIndex) -> SnapshotEvent {
    SnapshotEvent::Published { slice: SLICE, index, attempt: attempt(index) }
}

/// Red when: a discarded attempt leaves files, or its chunks are reported after that.
#[test]
fn a_discarded_attempt_leaves_nothing_and_the_next_begins_anew() {
    let mut writer = writer(Tray::new(Path::new(ROOT), 1, 8), Path::new(ROOT));
    let (first, second) = (LogIndex(10), LogIndex(20));
    writer.carry_out(chunk(first, 0));
    writer.carry_out(chunk(first, 1));
    while names(&tree(&writer)).iter().all(|name| !name.contains("chunk")) {
        assert!(writer.poll_event().is_none());
        assert!(writer.jobs.step(&mut |_: &Disk, _: Moment| {}));
    }
    writer.carry_out(SnapshotOutput::Discard {
        slice: SLICE,
        index: first,
        attempt: attempt(first),
        why: None,
    });
    writer.carry_out(chunk(second, 0));
    assert_eq!(run(&mut writer), [written(second, 0)]);
    writer.carry_out(publish(second));
    assert_eq!(run(&mut writer), [published(second)]);
    assert!(!names(&tree(&writer)).iter().any(|name| name.contains("00010")));
}

/// Red when: a snapshot that is there is removed to be written again.
#[test]
fn a_snapshot_that_is_published_already_is_not_written_again() {
    let mut writer = writer(Tray::new(Path::new(ROOT), 1, 8), Path::new(ROOT));
    let index = LogIndex(10);
    writer.carry_out(chunk(index, 0));
    run(&mut writer);
    writer.carry_out(publish(index));
    assert_eq!(run(&mut writer), [published(index)]);
    let steps = writer.jobs.steps;
    writer.carry_out(chunk(index, 0));
    assert!(writer.has_event());
    assert_eq!(run(&mut writer), [written(index, 0)]);
    writer.carry_out(publish(index));
    assert_eq!(run(&mut writer), [published(index)]);
    assert!(!writer.has_event());
    assert_eq!(writer.jobs.steps, steps);
}

/// Red when: a snapshot that a start has passed over is taken for whole, or stays for ever; its
/// manifest is still there, or could come back, while its chunks are written again.
#[test]
fn a_damaged_snapshot_is_written_again_or_removed_when_two_others_are_there() {
    let whole = Candidates::from([(SLICE, vec![LogIndex(10)])]);
    let damaged = Candidates::from([(SLICE, vec![LogIndex(20)])]);
    let root = Path::new(ROOT);
    for next in [20, 30] {
        let next = LogIndex(next);
        let mut first = writer(Tray::new(root, 1, 8), root);
        for index in [10, 20].map(LogIndex) {
            first.carry_out(chunk(index, 0));
            run(&mut first);
            first.carry_out(publish(index));
            run(&mut first);
        }
        let mut writer = SnapshotWriter::new(first.jobs, place(root), &whole, &damaged);
        writer.carry_out(chunk(next, 0));
        assert_eq!(run(&mut writer), [written(next, 0)]);
        assert!(0 < writer.jobs.steps, "it was written");
        for luck in [Luck::Everything, Luck::Nothing] {
            let tree = writer.jobs.disk.cut(luck, &mut base::Prng::from_seed(0));
            let manifest = format!("{next}/{}", wal::snapshot::MANIFEST_NAME);
            assert!(!names(&tree).iter().any(|name| name.ends_with(&manifest)), "{luck:?}");
        }
        writer.carry_out(publish(next));
        assert_eq!(run(&mut writer), [published(next)]);
        let manifests = names(&tree(&writer));
        let manifests: Vec<_> = manifests.iter().filter(|name| name.contains("MANIFEST")).collect();
        assert_eq!(manifests.len(), 2, "{manifests:?}");
        assert!(manifests[0].contains("00010") && manifests[1].contains(&next.to_string()));
    }
}

/// Red when: an empty slice cannot have a snapshot.
#[test]
fn a_slice_without_keys_has_a_snapshot_without_chunks() {
    let mut writer = writer(Tray::new(Path::new(ROOT), 1, 8), Path::new(ROOT));
    writer.carry_out(publish(LogIndex(5)));
    assert_eq!(run(&mut writer), [published(LogIndex(5))]);
    let tree = tree(&writer);
    let file = tree.iter().find(|(path, _)| path.ends_with("MANIFEST"));
    let bytes = file.and_then(|(_, bytes)| bytes.as_ref()).expect("it was written");
    let read = wal::snapshot::Manifest::decode(bytes).expect("it is whole");
    assert_eq!(read, wal::snapshot::Manifest { node_uuid: [7; 16], ..manifest(LogIndex(5)) });
}

/// Red when: outputs beyond the room are lost, or one slice's take all of it for ever.
#[test]
fn many_slices_share_what_room_there_is() {
    const SLICES: u16 = 5;
    let index = LogIndex(10);
    let mut writer = writer(Tray::new(Path::new(ROOT), 1, 2), Path::new(ROOT));
    for slice in (0..SLICES).map(SliceId) {
        for number in 0..4 {
            let raw = vec![number as u8; 100];
            writer.carry_out(SnapshotOutput::Chunk {
                slice,
                index,
                attempt: attempt(index),
                number,
                raw,
            });
        }
    }
    let events = run(&mut writer);
    for slice in (0..SLICES).map(SliceId) {
        let mut numbers: Vec<u32> = events
            .iter()
            .filter_map(|event| match event {
                SnapshotEvent::ChunkWritten { slice: of, number, .. } if *of == slice => {
                    Some(number)
                }
                _ => None,
            })
            .copied()
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3]);
        let manifest = wal::snapshot::Manifest { slice, ..manifest(index) };
        writer.carry_out(SnapshotOutput::Publish {
            slice,
            index,
            attempt: attempt(index),
            manifest,
        });
    }
    assert_eq!(run(&mut writer).len(), usize::from(SLICES));
}

/// Red when: what the node wanted before it heard of the failure begins the attempt again.
#[test]
fn what_was_wanted_of_an_attempt_that_failed_is_forgotten() {
    let mut writer = writer(Tray::new(Path::new(ROOT), 1, 8), Path::new(ROOT));
    let index = LogIndex(10);
    // The first step is of the directory; both chunks wait for it.
    writer.jobs.fails = Some(1);
    writer.carry_out(chunk(index, 0));
    writer.carry_out(chunk(index, 1));
    let events = run(&mut writer);
    assert!(matches!(&events[..], [SnapshotEvent::Failed { index: of, .. }] if *of == index));
    // One that was on its way, and is no beginning.
    writer.carry_out(chunk(index, 2));
    assert_eq!(run(&mut writer), []);
    writer.carry_out(chunk(index, 0));
    assert_eq!(run(&mut writer), [written(index, 0)]);
    writer.carry_out(publish(index));
    assert_eq!(run(&mut writer), [published(index)]);
}
