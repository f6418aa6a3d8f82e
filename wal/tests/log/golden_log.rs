//! The log of the golden files: every record kind, a run over two segments, hard states, a torn
//! tail, two boots, a seal.

use base::{FrameSequence, LogIndex, SliceId, Term};
use wal::{HardState, LogFile, Record};

use crate::bench::{Bench, body, config};
use crate::disk::Disk;

/// The files of the log that hold anything but zeros, without the zeros at their end.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let disk = build();
    let mut files = Vec::new();
    for file in disk.files.keys() {
        let mut bytes = disk.bytes(*file);
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        if 0 < used {
            files.push((file.name(), bytes));
        }
    }
    files
}

/// A disk with such files.
pub fn disk_of(files: &[(&str, &[u8])]) -> Disk {
    let mut disk = Disk::default();
    for (name, bytes) in files {
        let file = LogFile::parse(name).expect("golden files have names of a log");
        let mut durable = bytes.to_vec();
        durable.resize(64 * 1024, 0);
        disk.files.entry(file).or_default().durable = durable;
    }
    disk
}

fn build() -> Disk {
    let mut bench = Bench::new(config());
    let slice = SliceId(3);
    let state = HardState { slice, term: Term(2), vote: Some(1), commit: LogIndex(0) };
    bench.wal.write_hard_states(&[state]);
    bench.wal.append(Record::HardState(state));
    bench.append(b"the first entry");
    bench.wal.close_batch(bench.now);
    bench.settle();
    bench.now.wall_ms += 1;
    bench.batch(&body(2, 70_000));
    bench.settle();
    bench.wal.append(Record::Truncate { slice, last: LogIndex(9) });
    bench.wal.append(Record::Trim { slice, last: LogIndex(4) });
    let (term, index) = (Term(2), LogIndex(8));
    bench.wal.append(Record::SnapshotMark { slice, term, index, body: b"a manifest" });
    bench.wal.close_batch(bench.now);
    bench.settle();
    // Of three frames in flight, the first is lost.
    for number in 3..6 {
        bench.batch(&body(number, 700));
    }
    let lost = bench.writes()[0];
    bench.disk.in_flight.remove(lost);
    while !bench.disk.in_flight.is_empty() {
        let event = bench.disk.complete(0);
        bench.wal.handle(event, bench.now);
    }
    let mut bench = Bench::on(bench.disk, config());
    let state = HardState { slice, term: Term(3), vote: None, commit: LogIndex(2) };
    bench.wal.note_hint(base::CoreId(1), FrameSequence(77));
    bench.wal.write_hard_states(&[state]);
    bench.wal.append(Record::HardState(state));
    bench.batch(b"an entry of the second boot");
    bench.shut_down()
}
