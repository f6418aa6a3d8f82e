//! A full disk: refusing in time, going on, and starting in spite of it.

use base::{LogIndex, Prng, SliceId, Term};
use wal::{Config, HardState, IoError, LogFile, Record};

use crate::bench::{Bench, body, config, read_log};
use crate::disk::{Disk, File};

const SEGMENT: u64 = 64 * 1024;
const HARD_STATE: u64 = 64 * 1024;

/// Appends batches while they are admitted, up to `most`; returns how many were.
fn fill(bench: &mut Bench, size: usize, most: u64) -> u64 {
    let mut count = 0;
    while count < most && bench.wal.refuses_writes().is_none() {
        if bench.wal.room() < size as u64 + 32 {
            bench.wal.request_room(size as u64 + 32);
            bench.submit();
            if bench.disk.in_flight.is_empty() {
                break;
            }
            bench.complete(0);
            continue;
        }
        bench.batch(&body(count, size));
        count += 1;
    }
    count
}

/// Red when: a NoSpace halts the log, is not tried again, or a batch is admitted without room.
#[test]
fn no_space_at_any_one_preparation_only_delays() {
    let config = Config { ballast_segments: 2, ..config() };
    let mut reached = 0;
    for nth in 1..40 {
        let disk = Disk { fail_prepare: Some((nth, IoError::NoSpace)), ..Disk::default() };
        let mut bench = Bench::starting(disk, config.clone());
        let mut written = 0;
        let mut waited = 0;
        while written < 30 {
            if bench.wal.is_running() {
                written += fill(&mut bench, 11_000, 30 - written);
            }
            bench.settle();
            if written < 30 {
                // The disk is asked again after a second at the latest.
                bench.wait(1_000_000);
                waited += 1;
                assert!(waited < 10, "the {nth}-th preparation stops the log");
            }
        }
        reached += u64::from(bench.disk.fail_prepare.is_none());
        bench.wait(1_000_000);
        bench.settle();
        assert!(bench.wal.refuses_writes().is_none());
        let mut disk = bench.shut_down();
        let (_, entries) = read_log(&mut disk, &config).expect("it is whole");
        assert_eq!(entries.len(), 30);
    }
    assert!(8 < reached, "{reached} preparations failed");
}

/// Red when: another error of a preparation is survived; what could not be prepared is used.
#[test]
fn any_other_failure_of_a_preparation_halts() {
    for nth in 1..4 {
        let disk = Disk { fail_prepare: Some((nth, IoError::Other(5))), ..Disk::default() };
        let mut bench = Bench::starting(disk, config());
        bench.settle();
        let halt = bench.disk.halted.expect("the log halted");
        assert_eq!((halt.operation, halt.error), (wal::Operation::Prepare, IoError::Other(5)));
        assert!(!bench.wal.is_running());
    }
}

/// Red when: the reserve is given to ordinary writes; refusing comes too late, or never ends.
#[test]
fn a_full_disk_refuses_writes_while_everything_admitted_becomes_durable() {
    for segments in 3..7 {
        for size in [10, 3_000, 11_000, 50_000] {
            let free = HARD_STATE + segments * SEGMENT;
            let disk = Disk { free: Some(free), ..Disk::default() };
            let mut bench = Bench::on(disk, config());
            let written = fill(&mut bench, size, u64::MAX);
            bench.settle();
            assert_eq!(bench.wal.durable().0, bench.wal.stats().frames);
            assert!(0 < written);
            let refusal = bench.wal.refuses_writes().expect("writes are refused");
            assert!(matches!(refusal.file, LogFile::Segment(_)));
            assert_eq!(refusal.needed, SEGMENT);
            // What must be written on a full disk as well has its room.
            for term in 1..5 {
                let (slice, commit) = (SliceId(1), LogIndex::NONE);
                let state = HardState { slice, term: Term(term), vote: None, commit };
                bench.wal.append(Record::HardState(state));
                bench.wal.close_batch(bench.now).expect("it has a record");
                bench.wal.write_hard_states(&[state]);
                bench.settle();
            }
            assert!(bench.wal.is_idle());
            assert!(bench.disk.halted.is_none());

            // The disk is asked once a second.
            let asked = |bench: &Bench| bench.wal.stats().no_space;
            let before = asked(&bench);
            let due = bench.wal.poll_timeout().expect("it is tried again");
            assert!(due <= bench.now.monotonic_us + 1_000_000);
            for _ in 0..10 {
                bench.wait(100_000);
                bench.settle();
            }
            assert_eq!(asked(&bench) - before, 1);
            assert!(bench.wal.refuses_writes().is_some());
            bench.disk.free = Some(2 * SEGMENT);
            bench.wait(1_000_000);
            bench.settle();
            assert!(bench.wal.refuses_writes().is_none());
            bench.batch(b"after");
            let mut disk = bench.shut_down();
            let (_, entries) = read_log(&mut disk, &config()).expect("it is whole");
            assert_eq!(entries.len() as u64, written + 1);
        }
    }
}

/// Red when: a big write that finds no room refuses the small ones as well, or waits for ever.
#[test]
fn a_big_write_without_room_is_refused_alone() {
    let free = HARD_STATE + 4 * SEGMENT;
    let disk = Disk { free: Some(free), ..Disk::default() };
    let mut bench = Bench::on(disk, config());
    let big = 500_000;
    assert!(bench.wal.refuses_room(big).is_none());
    bench.wal.request_room(big);
    bench.settle();
    assert!(bench.wal.room() < big);
    let refusal = bench.wal.refuses_room(big).expect("there is no room for it");
    assert!(matches!(refusal.file, LogFile::Segment(_)));
    assert!(bench.wal.refuses_writes().is_none());
    assert!(bench.wal.refuses_room(1_000).is_none());
    bench.batch(b"a small one");
    bench.settle();
    bench.disk.free = Some(20 * SEGMENT);
    bench.wait(1_000_000);
    bench.wal.request_room(big);
    bench.settle();
    assert!(big <= bench.wal.room());
    assert!(bench.wal.refuses_room(big).is_none());
    let most = bench.wal.room() as usize - 32;
    bench.batch(&body(1, most));
    assert!(bench.wal.room() < SEGMENT);
    bench.settle();
    let (_, entries) = read_log(&mut bench.disk, &config()).expect("it is whole");
    assert_eq!(entries.len(), 2);
}

/// Red when: room() promises more than plan_batch finds, for any size and place.
#[test]
fn a_batch_of_exactly_the_room_always_fits() {
    for before in 0..14 {
        for spares in [2, 3, 5] {
            let mut bench = Bench::new(Config { spare_segments: spares, ..config() });
            for number in 0..before {
                bench.batch(&body(number, 3_000));
                bench.settle();
            }
            let prepared = bench.wal.room();
            assert!(0 < prepared);
            bench.append(&body(7, prepared as usize / 2 - 32));
            let rest = bench.wal.room();
            assert_eq!(rest, prepared - prepared / 2);
            bench.append(&body(8, rest as usize - 32));
            assert_eq!(bench.wal.room(), 0);
            bench.wal.close_batch(bench.now).expect("it has records");
            // The segment held back is still there.
            let (slice, commit) = (SliceId(1), LogIndex::NONE);
            let state = HardState { slice, term: Term(1), vote: None, commit };
            bench.wal.append(Record::HardState(state));
            bench.wal.close_batch(bench.now).expect("it has a record");
            bench.settle();
            let (_, entries) = read_log(&mut bench.disk, &config()).expect("it is whole");
            assert_eq!(entries.len() as u64, before + 2);
        }
    }
}

/// Those that are whole.
fn segments(bench: &Bench) -> u64 {
    let is_whole = |(name, file): &(&LogFile, &File)| {
        matches!(name, LogFile::Segment(_)) && file.durable.len() as u64 == SEGMENT
    };
    bench.disk.files.iter().filter(is_whole).count() as u64
}

/// Red when: the ballast is spent on writes, is not made, or is not made again when there is room.
#[test]
fn writes_leave_the_ballast_alone_and_starts_use_it() {
    let config = Config { ballast_segments: 3, ..config() };
    let disk = Disk { free: Some(HARD_STATE + 10 * SEGMENT), ..Disk::default() };
    let mut bench = Bench::on(disk, config.clone());
    // The active one, two to write to next, three for bad times.
    assert_eq!(segments(&bench), 6);
    let written = fill(&mut bench, 11_000, u64::MAX);
    bench.settle();
    // Ten there are; one is held back beside the ballast.
    let live = bench.wal.stats().segments_opened;
    assert_eq!((segments(&bench), live), (10, 6));
    for start in 0..4 {
        let mut disk = bench.disk;
        disk.in_flight.clear();
        disk.free = Some(0);
        bench = Bench::on(disk, config.clone());
        assert!(bench.wal.refuses_writes().is_some(), "start {start}");
        assert_eq!(bench.wal.room(), 0, "start {start}");
        let (slice, commit) = (SliceId(1), LogIndex::NONE);
        let state = HardState { slice, term: Term(start), vote: None, commit };
        bench.wal.append(Record::HardState(state));
        bench.wal.close_batch(bench.now).expect("it has a record");
        bench.settle();
    }
    let mut disk = bench.disk;
    disk.in_flight.clear();
    // Nothing is left to open. It waits for room for a while, and then says so.
    let mut starved = Bench::starting(disk.clone(), config.clone());
    starved.settle();
    for second in 0..5 {
        assert!(starved.disk.halted.is_none(), "{second} s");
        starved.wait(1_000_000);
        starved.settle();
    }
    let halt = starved.disk.halted.expect("it ends");
    let expected = (wal::Operation::Prepare, IoError::NoSpace, SEGMENT);
    assert_eq!((halt.operation, halt.error, halt.size), expected);
    // With room it starts, and makes everything anew.
    let mut bench = Bench::starting(disk, config.clone());
    bench.settle();
    assert!(!bench.wal.is_running());
    bench.disk.free = Some(100 * SEGMENT);
    bench.wait(1_000_000);
    bench.settle();
    assert!(bench.wal.refuses_writes().is_none());
    assert_eq!(segments(&bench), 10 + 1 + 2 + 3);
    bench.batch(b"after");
    let mut disk = bench.shut_down();
    let (_, entries) = read_log(&mut disk, &config).expect("it is whole");
    assert_eq!(entries.len() as u64, written + 1);
}

/// Logs of two cores share what the disk has: what one gives back the other takes.
///
/// Red when: a start waits for room without an end; it ends while it has a segment to open.
#[test]
fn two_logs_on_one_full_disk_both_start_or_say_why_not() {
    let (mut served, mut refused) = (0, 0);
    for seed in 0..60 {
        let mut prng = Prng::from_seed(seed);
        let ballast_segments = 1 + prng.index(2);
        let config = Config { ballast_segments, ..config() };
        let mut pool = 2 * HARD_STATE + (10 + prng.below(8)) * SEGMENT;
        let mut disks = [Disk::default(), Disk::default()];
        for start in 0..8 {
            let mut logs = disks.map(|disk| Bench::starting(disk, config.clone()));
            let mut shares = |log: &mut Bench, prng: &mut Prng| {
                log.disk.free = Some(pool);
                match log.disk.in_flight.len() {
                    0 => log.wait(100_000),
                    count => log.complete(prng.index(count)),
                }
                pool = log.disk.free.expect("it was set");
            };
            let is_decided = |log: &Bench| log.wal.is_running() || log.disk.halted.is_some();
            for _ in 0..400 {
                let log = &mut logs[prng.index(2)];
                if !is_decided(log) || prng.chance(20) && log.disk.halted.is_none() {
                    shares(log, &mut prng);
                }
            }
            for log in &mut logs {
                assert!(is_decided(log), "seed {seed}, start {start}: it neither serves nor ends");
                if let Some(halt) = log.disk.halted {
                    let mut files = log.disk.files.values();
                    let spare = files.any(|file| file.durable.starts_with(b"TOROIDSP"));
                    assert!(!spare, "seed {seed}, start {start}: {halt}");
                    refused += 1;
                } else {
                    served += 1;
                    log.batch(b"must be written");
                    while log.wal.room() > 11_000 {
                        log.batch(&body(1, 10_000));
                        while !log.writes().is_empty() {
                            shares(log, &mut prng);
                        }
                    }
                }
            }
            disks = logs.map(|log| {
                let mut disk = log.disk;
                disk.kill(&mut prng);
                disk
            });
            // The start that dies may leave files made in part; somebody else takes the rest.
            pool = 0;
        }
    }
    assert!(400 < served && 100 < refused, "{served} served, {refused} refused");
}

/// Earlier versions kept one file of zeros, and gave its room back to the disk when they were in
/// need of it. A start makes a segment of it (the shell, before the log is read).
///
/// Red when: what is left of it is not used; it stays when nobody needs it.
#[test]
fn the_old_ballast_is_used_in_its_place() {
    let config = Config { ballast_segments: 2, ..config() };
    let mut bench = Bench::new(config.clone());
    bench.batch(b"one");
    let mut disk = bench.shut_down();
    disk.files.retain(|file, _| !matches!(file, LogFile::Segment(2..)));
    disk.free = Some(0);
    let zeros = vec![0; 2 * SEGMENT as usize];
    let mut renamed = disk.clone();
    renamed.files.entry(LogFile::Segment(2)).or_default().durable = zeros.clone();
    let bench = Bench::on(renamed, config.clone());
    assert!(bench.wal.refuses_writes().is_some());
    assert_eq!(segments(&bench), 2);
    // One that was not renamed is nobody's any more.
    disk.files.entry(LogFile::Ballast).or_default().durable = zeros;
    let bench = Bench::on(disk, config);
    assert!(!bench.disk.files.contains_key(&LogFile::Ballast));
}

/// Red when: a start takes a file of full size whose preparation it did not see end for a
/// prepared one: it, or its directory entry, may not be on stable storage.
#[test]
fn files_whose_preparation_may_not_have_ended_are_prepared_again() {
    let mut disk = Disk::default();
    for file in [LogFile::Segment(1), LogFile::HardState] {
        disk.files.entry(file).or_default().durable = vec![0; SEGMENT as usize];
    }
    let bench = Bench::on(disk, config());
    for expected in ["prepare 00000001.segment 65536", "prepare hardstate 65536"] {
        let position = |what: &str| bench.disk.history.iter().position(|done| done == what);
        let prepared = position(expected).expect("it is prepared again");
        let file = expected.split(' ').nth(1).expect("it names a file");
        let written =
            bench.disk.history.iter().position(|w| w.starts_with(&format!("write {file}")));
        assert!(written.is_none_or(|written| prepared < written));
    }
}

/// Red when: a start takes a file of half the size for a spare.
#[test]
fn files_prepared_in_part_or_of_another_size_are_not_used_as_they_are() {
    let mut bench = Bench::new(config());
    bench.batch(b"one");
    let mut disk = bench.shut_down();
    disk.durable_mut(LogFile::Segment(2)).truncate(20_480);
    disk.durable_mut(LogFile::Segment(3)).resize(3 * SEGMENT as usize, 0);
    disk.history.clear();
    let mut bench = Bench::on(disk, config());
    let did = |what: &str| bench.disk.history.iter().any(|done| done == what);
    assert!(did("prepare 00000002.segment 65536"), "{:?}", bench.disk.history);
    assert!(did("remove 00000003.segment"));
    let mut disk = {
        bench.batch(b"two");
        bench.shut_down()
    };
    // Live segments keep their size when the configured one changes.
    let larger = Config { segment_size: 2 * SEGMENT, ..config() };
    let (_, entries) = read_log(&mut disk, &larger).expect("it is whole");
    assert_eq!(entries.len(), 2);
    let mut bench = Bench::on(disk, larger.clone());
    bench.batch(&body(3, 100_000));
    let mut disk = bench.shut_down();
    let (_, entries) = read_log(&mut disk, &larger).expect("it is whole");
    assert_eq!(entries.len(), 3);
}
