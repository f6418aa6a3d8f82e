//! A crash at every byte of a log: exactly the whole frames stay.

use base::FrameSequence;
use wal::{LogFile, RecoveryError, identify};

use crate::bench::{Bench, body, config, read_log};
use crate::disk::{BLOCK, Disk, Operation};

/// What a spare segment begins with.
const MARK: &[u8] = b"TOROIDSP";

/// A place of a frame: file, where it starts, where its payload ends, where it ends.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: LogFile,
    start: usize,
    payload_end: usize,
    end: usize,
}

/// The frames of a log, found by their headers alone.
fn places(disk: &mut Disk) -> Vec<Place> {
    let mut places = Vec::new();
    wal::inspect(disk, &mut |finding| {
        if let wal::Finding::Frame { file, offset, size, header, life: wal::Life::Current } =
            finding
        {
            let start = offset as usize;
            let payload_end = start + 72 + header.hints.len() * 16 + header.payload_size as usize;
            places.push(Place { file, start, payload_end, end: start + size as usize });
        }
    })
    .expect("the log can be read");
    places
}

/// Six batches that were durable, and proven so by the next four, which were in flight together:
/// a small one, a run of two frames in two segments, a large one, a small one.
fn log_with_a_window_in_flight() -> (Disk, usize, usize) {
    let mut bench = Bench::new(wal::Config { frames_in_flight: 5, ..config() });
    for number in 0..6 {
        bench.batch(&body(number, 500));
        bench.settle();
    }
    bench.batch(&body(6, 300));
    bench.batch(&body(7, 60_000));
    bench.batch(&body(8, 9_000));
    bench.batch(&body(9, 20));
    bench.settle();
    assert_eq!(bench.wal.stats().in_flight_max, 5);
    (bench.disk, 6, 10)
}

/// The batches that are whole if everything from `byte` of `file` on is gone. Each entry is in the
/// last frame of its batch.
fn survivors(places: &[Place], file: LogFile, byte: usize, batches: &[FrameSequence]) -> usize {
    let is_whole = |place: &Place| place.file < file || place.payload_end <= byte;
    let whole = places.iter().take_while(|place| is_whole(place)).count() as u64;
    batches.iter().take_while(|last| last.0 <= whole).count()
}

/// Red when: a partial frame is taken for whole (no checksum), a whole one is dropped, or a torn
/// tail is called damage (a frame's hint counts itself).
#[test]
fn a_log_zeroed_from_any_byte_on_keeps_exactly_its_whole_batches() {
    let (disk, _, total) = log_with_a_window_in_flight();
    let (recovered, entries) = read_log(&mut disk.clone(), &config()).expect("it is whole");
    assert_eq!((entries.len(), recovered.cut), (total, None));
    let batches: Vec<FrameSequence> = entries.iter().map(|entry| entry.0).collect();
    let places = places(&mut disk.clone());
    let mut counts = vec![0; total + 1];
    // From the end down, so that each step zeroes one more byte and the rest is zero already.
    let mut torn = disk;
    for place in places.iter().rev() {
        for later in places.iter().filter(|later| place.file < later.file) {
            // Its header was written after the frames that are torn now, and knows of them.
            torn.durable_mut(later.file)[..2 * BLOCK].fill(0);
        }
        for byte in (place.start..place.end).rev() {
            torn.durable_mut(place.file)[byte] = 0;
            let whole = survivors(&places, place.file, byte, &batches);
            let (_, read) = read_log(&mut torn, &config())
                .unwrap_or_else(|error| panic!("byte {byte} of {}: {error}", place.file));
            assert!(read == entries[..whole], "byte {byte} of {}", place.file);
            counts[whole] += 1;
        }
    }
    assert!(counts.iter().all(|count| 0 < *count), "{counts:?}");
}

/// Red when: the file's end is read beyond, or a frame behind the end is taken for whole.
#[test]
fn a_log_cut_short_at_any_block_keeps_exactly_its_whole_batches() {
    let (disk, proven, _) = log_with_a_window_in_flight();
    let (_, entries) = read_log(&mut disk.clone(), &config()).expect("it is whole");
    let batches: Vec<FrameSequence> = entries.iter().map(|entry| entry.0).collect();
    let places = places(&mut disk.clone());
    let last = places.last().expect("it has frames").file;
    let first_in_flight = places[proven];
    let mut seen = 0;
    for size in (0..disk.files[&last].durable.len()).rev().step_by(512) {
        if last == first_in_flight.file && size < first_in_flight.start {
            break;
        }
        let mut short = disk.clone();
        short.durable_mut(last).truncate(size);
        let readable = size / BLOCK * BLOCK;
        let whole = survivors(&places, last, readable, &batches);
        match read_log(&mut short, &config()) {
            Ok((_, read)) => assert!(read == entries[..whole], "{size} bytes"),
            Err(error) => panic!("{size} bytes: {error}"),
        }
        seen += 1;
    }
    assert!(50 < seen);
}

/// Red when: D is not looked at, or evidence behind the first bad frame is not.
#[test]
fn a_frame_that_a_hint_proves_is_never_cut_silently() {
    let (disk, proven, _) = log_with_a_window_in_flight();
    let places = places(&mut disk.clone());
    for (number, place) in places.iter().take(proven).enumerate() {
        let mut torn = disk.clone();
        for byte in (place.start..place.payload_end).rev() {
            torn.durable_mut(place.file)[byte] = 0;
            let error = read_log(&mut torn, &config()).expect_err("it was acknowledged");
            let sequence = FrameSequence(number as u64 + 1);
            match error {
                RecoveryError::Damage { file, offset, sequence: found, .. } => {
                    assert_eq!((file, offset as usize, found), (place.file, place.start, sequence));
                }
                other => panic!("{other}"),
            }
        }
    }
}

/// Red when: a run without its last frame is replayed, or its numbers are used again while a hint
/// says that they were durable; what other logs are told to vouch for is `durable`, which counts
/// the frames of the run.
#[test]
fn a_run_that_lacks_its_last_frame_is_void_and_the_log_goes_on() {
    for torn_boots in 1..4 {
        let mut disk = Disk::default();
        let mut vouched = FrameSequence::NONE;
        for boot in 0..torn_boots {
            let mut bench = Bench::on(disk, config());
            bench.batch(&body(boot, 100));
            bench.settle();
            let big = body(boot + 100, 150_000);
            bench.wal.request_room(big.len() as u64 + 32);
            bench.settle();
            let last = bench.batch(&big);
            // Everything but the last frame reaches the disk and is known to have.
            while bench.wal.durable().0 + 1 < last.0 {
                let at = bench.writes()[0];
                bench.complete(at);
            }
            assert!(bench.wal.durable() < last);
            vouched = bench.wal.hint();
            // What was in flight is gone; a later batch with hints is written by the next boot.
            bench.disk.in_flight.clear();
            disk = bench.disk;
        }
        let (recovered, entries) = read_log(&mut disk, &config()).expect("nothing is damaged");
        assert_eq!(entries.len() as u64, torn_boots);
        assert_eq!(recovered.last, vouched);
        let cut = recovered.cut.expect("the run is void");
        assert!(2 <= cut.frames);
        assert_eq!(cut.sequence, recovered.last.next());
        let mut bench = Bench::on(disk, config());
        bench.batch(b"after");
        let mut disk = bench.shut_down();
        let (_, entries) = read_log(&mut disk, &config()).expect("nothing is damaged");
        assert_eq!(entries.len() as u64, torn_boots + 1);
    }
}

/// Red when: a start writes where it must not before its header is durable.
#[test]
fn a_start_that_dies_at_any_step_changes_nothing_of_the_log() {
    let (mut disk, _, total) = log_with_a_window_in_flight();
    for steps in 0..30 {
        let mut bench = Bench::starting(disk.clone(), config());
        for _ in 0..steps {
            if bench.disk.in_flight.is_empty() {
                break;
            }
            bench.complete(0);
        }
        // Whatever is in flight is half done.
        let mut prng = base::Prng::from_seed(steps);
        bench.disk.cut_power(&mut prng);
        let (_, entries) = read_log(&mut bench.disk, &config()).expect("it is whole");
        assert_eq!(entries.len(), total, "after {steps} steps");
        disk = bench.disk;
    }
    assert!(1 < identify(&mut disk).expect("it can be read").expect("it is a log").boot);
}

/// A boot whose number nobody can see any more, because the mark of a spare hides its header, comes
/// to light again when the mark is lost: its number has been used a second time by then, and its
/// header claims frames of that later boot.
///
/// Red when: the header of a start is written while a mark it relies on may still be lost, be it
/// one that was read (not flushed) or one that it writes itself (not awaited).
#[test]
fn a_header_hidden_by_an_unflushed_mark_never_comes_back_into_the_log() {
    for is_torn in [false, true] {
        let config = wal::Config { frames_in_flight: 8, ..config() };
        let mut bench = Bench::new(config.clone());
        bench.batch(b"one");
        let disk = bench.shut_down();

        // The second boot dies with the header of its second segment durable, and no frame.
        let mut bench = Bench::on(disk, config.clone());
        for number in 0..7 {
            bench.batch(&body(number, 12_000));
        }
        let is_header = |(_, operation): &(u64, Operation)| {
            matches!(operation, Operation::Write { offset: 0, .. })
        };
        let at = bench.disk.in_flight.iter().position(is_header).expect("a segment is opened");
        let (_, Operation::Write { file: hidden, .. }) = bench.disk.in_flight[at] else {
            unreachable!("it is a write");
        };
        let _ = bench.disk.complete(at);
        bench.disk.kill_leaving(&[]);
        if is_torn {
            bench.disk.durable_mut(hidden)[BLOCK + 20] ^= 1;
        }

        // The third marks what is dead, and dies with the mark of that segment in the cache.
        let mut bench = Bench::starting(bench.disk, config.clone());
        let is_mark = |(_, operation): &(u64, Operation)| match operation {
            Operation::Write { file, bytes, .. } => *file == hidden && bytes.starts_with(MARK),
            _ => false,
        };
        while let Some(at) = bench.disk.in_flight.iter().position(|o| !is_mark(o)) {
            // Nobody is told, so that it writes no header of its own.
            let _ = bench.disk.complete(at);
        }
        let left: &[(_, _)] = if is_torn { &[(hidden, 0)] } else { &[(hidden, 0), (hidden, 1)] };
        bench.disk.kill_leaving(left);

        // The fourth writes beyond where the hidden segment began.
        let mut bench = Bench::starting(bench.disk, config.clone());
        while !bench.wal.is_running() {
            let others = bench.disk.in_flight.iter().position(|o| !is_mark(o));
            bench.complete(others.unwrap_or(0));
        }
        for number in 10..20 {
            bench.batch(&body(number, 3_000));
            while let Some(at) = bench.disk.in_flight.iter().position(|o| !is_mark(o)) {
                bench.complete(at);
            }
        }
        let durable = bench.wal.durable();
        bench.disk.cut_power_losing_all();
        let (recovered, entries) = read_log(&mut bench.disk, &config)
            .unwrap_or_else(|error| panic!("torn {is_torn}: {error}"));
        assert!(durable <= recovered.last);
        assert_eq!(entries.len(), 11);
    }
}
