//! Planted bugs that need more than a crash to show.

use wal::{LogFile, Plant, Planted};

use crate::bench::{Bench, body, config, read_log, read_planted};
use crate::disk::Disk;

/// Red when: the plant does nothing. The unplanted log reports the same damage.
#[test]
fn cutting_at_the_first_bad_frame_loses_what_was_acknowledged() {
    let mut bench = Bench::new(config());
    for number in 0..5 {
        bench.batch(&body(number, 100));
        bench.settle();
    }
    let mut disk = bench.shut_down();
    disk.durable_mut(LogFile::Segment(1))[8192 + 2 * 4096 + 100] ^= 1;
    read_log(&mut disk, &config()).map(|_| ()).expect_err("it is damage");
    let planted = Planted::one(Plant::CutAtFirstBad);
    let (_, entries) = read_planted(&mut disk, &config(), planted).expect("it is cut silently");
    assert_eq!(entries.len(), 2);
}

/// A segment whose first frame was torn, but not the two behind it, is used again from the same
/// frame number on, with a batch of the same size.
fn reused_over_stale_frames(planted: Planted) -> Result<usize, String> {
    let mut bench = Bench::starting_planted(Disk::default(), config(), planted);
    bench.settle();
    bench.batch(&body(0, 50_000));
    bench.settle();
    for number in 1..4 {
        bench.batch(&body(number, 12_000));
    }
    let lost = bench.writes()[1];
    bench.disk.in_flight.remove(lost);
    while !bench.disk.in_flight.is_empty() {
        let event = bench.disk.complete(0);
        bench.wal.handle(event, bench.now);
    }
    // There is no other file to use.
    bench.disk.files.retain(|file, _| !matches!(file, LogFile::Segment(3..)));
    bench.disk.free = Some(0);
    let mut again = Bench::starting_planted(bench.disk, config(), planted);
    again.settle();
    again.batch(&body(1, 12_000));
    again.settle();
    let reused = again.disk.bytes(LogFile::Segment(2));
    assert_ne!(reused[8192..8196], [0; 4], "it was used again");
    let read = read_planted(&mut again.disk, &config(), planted);
    read.map(|(_, entries)| entries.len()).map_err(|error| error.to_string())
}

/// Red when: the plant does nothing, or a fresh salt does not keep stale frames out.
#[test]
fn with_the_same_salt_frames_of_an_earlier_use_come_back() {
    assert_eq!(reused_over_stale_frames(Planted::none()), Ok(2));
    assert_eq!(reused_over_stale_frames(Planted::one(Plant::SameSalt)), Ok(4));
}
