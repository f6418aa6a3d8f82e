//! Segments that nobody needs go, and nothing else does.

use base::{FrameSequence, LogIndex, Prng, SliceId, Term};
use wal::{Config, HardState, LogFile, Planted, Record, RecoveryError};

use crate::bench::{Bench, body, config, read_log, recover};
use crate::disk::Disk;

const SEGMENT: u64 = 64 * 1024;
const HOT: SliceId = SliceId(0);
const COLD: SliceId = SliceId(1);

fn entry(bench: &mut Bench, slice: SliceId, index: u64, size: usize) -> FrameSequence {
    let (term, index) = (Term(1), LogIndex(index));
    let body = body(index.0, size);
    bench.wal.append(Record::Entry { slice, term, index, body: &body });
    let last = bench.wal.close_batch(bench.now).expect("it has a record");
    bench.settle();
    last
}

/// What a turn does that has nothing of its own to write.
fn turn(bench: &mut Bench) {
    bench.wal.close_batch(bench.now);
    bench.settle();
    bench.wal.close_batch(bench.now);
    bench.settle();
}

/// Every entry a start would hand over, by slice and index, and where the log begins.
fn survivors(disk: &mut Disk) -> Result<(FrameSequence, Vec<(SliceId, u64)>), RecoveryError> {
    let (recovered, entries) = read_log(disk, &config())?;
    Ok((recovered.start, entries.iter().map(|entry| (entry.1, entry.3.0)).collect()))
}

fn segments(disk: &Disk) -> u64 {
    disk.files.keys().filter(|file| matches!(file, LogFile::Segment(_))).count() as u64
}

/// Red when: a segment goes whose entries are needed, or stays though none is; trimmed segments
/// are neither used again nor removed; what was trimmed is handed over again.
#[test]
fn segments_go_once_all_their_entries_are_trimmed() {
    let mut bench = Bench::new(config());
    // Four in a segment.
    for index in 1..=40 {
        entry(&mut bench, HOT, index, 12_000);
    }
    assert_eq!(bench.wal.size(), 10 * SEGMENT);
    assert!(40 * 12_000 < bench.wal.slice_size(HOT));
    bench.wal.trim(HOT, LogIndex(11));
    turn(&mut bench);
    assert_eq!((bench.wal.size(), bench.wal.start()), (8 * SEGMENT, FrameSequence(9)));
    bench.wal.trim(HOT, LogIndex(5));
    turn(&mut bench);
    assert_eq!(bench.wal.trimmed(HOT), LogIndex(11), "a trim is not taken back");
    bench.wal.trim(HOT, LogIndex(40));
    turn(&mut bench);
    assert_eq!(bench.wal.size(), SEGMENT, "the active one stays");
    assert_eq!(bench.wal.stats().segments_trimmed, 9);
    assert_eq!(segments(&bench.disk), 1 + 2 + 2, "two spares and two more are enough");
    let made = |bench: &Bench| {
        bench.disk.history.iter().filter(|what| what.starts_with("prepare")).count()
    };
    let before = made(&bench);
    for index in 41..=50 {
        entry(&mut bench, HOT, index, 12_000);
    }
    assert_eq!(made(&bench), before, "the trimmed ones are used again");
    let mut disk = bench.shut_down();
    let (_, entries) = survivors(&mut disk).expect("it is whole");
    assert_eq!(entries, (41..=50).map(|index| (HOT, index)).collect::<Vec<_>>());
    let (recovered, _) = read_log(&mut disk, &config()).expect("it is whole");
    assert_eq!(recovered.trims, [(HOT, LogIndex(40))]);
    assert_eq!(recovered.last_entries, [(HOT, LogIndex(50))]);
    let bench = Bench::on(disk, config());
    assert_eq!(bench.wal.trimmed(HOT), LogIndex(40));
}

/// Red when: a slice that is not trimmed loses its entries with those of others; the one that
/// holds the oldest segment is not named, or not up to the right entry.
#[test]
fn a_cold_slice_holds_the_oldest_segment_and_is_named() {
    let mut bench = Bench::new(config());
    entry(&mut bench, COLD, 1, 100);
    entry(&mut bench, COLD, 2, 100);
    for index in 1..=40 {
        entry(&mut bench, HOT, index, 12_000);
    }
    bench.wal.trim(HOT, LogIndex(38));
    turn(&mut bench);
    assert_eq!(bench.wal.start(), FrameSequence(1));
    let pins = bench.wal.pinned(0);
    let pin = wal::Pin { slice: COLD, last: LogIndex(2), size: 2 * 132 };
    assert_eq!(pins, [pin]);
    assert_eq!(bench.wal.pinned(bench.wal.size()), [], "there is room for all of it");
    assert_eq!(bench.wal.pinned(bench.wal.size() - 1), [pin]);
    assert_eq!(bench.wal.slice_size(COLD), 2 * 132);
    bench.wal.trim(COLD, LogIndex(1));
    turn(&mut bench);
    assert_eq!(bench.wal.pinned(0), [pin]);
    bench.wal.trim(COLD, LogIndex(2));
    turn(&mut bench);
    assert_eq!(bench.wal.size(), SEGMENT);
    assert_eq!(bench.wal.slice_size(COLD), 0);
    let (_, entries) = survivors(&mut bench.disk).expect("it is whole");
    assert!(entries.iter().all(|(slice, index)| *slice == HOT && 36 < *index), "{entries:?}");
}

/// Red when: the last term, vote or commit of a slice goes with the segment that held it.
#[test]
fn hard_states_outlive_their_segments() {
    let mut bench = Bench::new(config());
    let state = |term| HardState {
        slice: COLD,
        term: Term(term),
        vote: Some(term),
        commit: LogIndex(term * 10),
    };
    bench.wal.append(Record::HardState(state(6)));
    bench.wal.append(Record::HardState(state(7)));
    for round in 0..5 {
        let mut last = 0;
        for index in 1 + round * 20..=20 + round * 20 {
            entry(&mut bench, HOT, index, 12_000);
            last = index;
        }
        bench.wal.trim(HOT, LogIndex(last));
        turn(&mut bench);
        assert_eq!(bench.wal.size(), SEGMENT);
        let mut disk = bench.shut_down();
        let (recovered, _) = read_log(&mut disk, &config()).expect("it is whole");
        assert!(recovered.hard_states.contains(&state(7)), "{:?}", recovered.hard_states);
        bench = Bench::on(disk, config());
    }
}

/// Large batches fill every segment to its end, so each segment begins in the middle of one.
///
/// Red when: the log cannot begin there; it begins there though the batch is needed.
#[test]
fn a_log_of_large_batches_is_trimmed_as_any_other() {
    for size in [100_000, 150_000, 200_000] {
        let mut bench = Bench::new(config());
        for index in 1..=20 {
            bench.wal.request_room(size + 32);
            bench.settle();
            entry(&mut bench, HOT, index, size as usize);
            let mut disk = bench.disk.clone();
            bench.wal.trim(HOT, LogIndex(index - 1));
            turn(&mut bench);
            let (start, entries) = survivors(&mut bench.disk).expect("it is whole");
            assert!(entries.contains(&(HOT, index)));
            let (_, before) = survivors(&mut disk).expect("it is whole");
            assert!(entries.len() <= before.len() && start == bench.wal.start());
        }
        assert!(bench.wal.size() <= 6 * SEGMENT, "{} bytes are left", bench.wal.size());
        let mut disk = bench.shut_down();
        for round in 0..3 {
            let mut bench = Bench::on(disk, config());
            entry(&mut bench, HOT, 21 + round, 100);
            bench.wal.trim(HOT, LogIndex(20 + round));
            turn(&mut bench);
            disk = bench.shut_down();
            let (_, entries) = survivors(&mut disk).expect("it is whole");
            assert!(entries.contains(&(HOT, 21 + round)));
        }
    }
}

/// Red when: a prefix may be missing without a trim that says so; the slot that says so is not
/// needed.
#[test]
fn a_missing_prefix_is_damage_unless_it_was_trimmed() {
    let mut bench = Bench::new(config());
    for index in 1..=12 {
        entry(&mut bench, HOT, index, 12_000);
    }
    let mut lost = bench.disk.clone();
    lost.files.remove(&LogFile::Segment(1));
    let error = survivors(&mut lost).expect_err("nobody trimmed it");
    assert!(matches!(error, RecoveryError::Damage { .. }), "{error}");
    bench.wal.trim(HOT, LogIndex(4));
    turn(&mut bench);
    let disk = bench.shut_down();
    let (start, _) = survivors(&mut disk.clone()).expect("it was trimmed");
    assert_eq!(start, FrameSequence(5));
    // The headers of this boot were written before the trim and do not know of it.
    let mut lost = disk.clone();
    lost.durable_mut(LogFile::HardState).fill(0);
    survivors(&mut lost).expect_err("nothing says that the log begins at 5");
    for slot in [0, 1] {
        let mut lost = disk.clone();
        lost.durable_mut(LogFile::HardState)[slot * 32 * 1024 + 20] ^= 1;
        let (whole, damaged) = (survivors(&mut disk.clone()), survivors(&mut lost));
        // The other one may be all that is needed; but not less than the truth is believed.
        assert!(damaged.is_err() || damaged.ok() == whole.ok(), "slot {slot}");
    }
}

/// Red when: segments stay in use on a full disk although nobody needs them.
#[test]
fn a_trim_makes_room_on_a_full_disk() {
    let config = Config { ballast_segments: 1, ..config() };
    let disk = Disk { free: Some(SEGMENT + 12 * SEGMENT), ..Disk::default() };
    let mut bench = Bench::on(disk, config);
    let mut index = 0;
    for _ in 0..10 {
        while bench.wal.refuses_writes().is_none() {
            index += 1;
            entry(&mut bench, HOT, index, 12_000);
        }
        assert!(bench.wal.room() < 12_032 || bench.wal.refuses_writes().is_some());
        bench.wal.trim(HOT, LogIndex(index));
        turn(&mut bench);
        assert!(bench.wal.refuses_writes().is_none());
        bench.wait(1_000_000);
        bench.settle();
    }
    assert!(200 < index, "{index} entries of 12 kB in 13 segments of 64 KiB");
}

/// Red when: a segment of another size is made a spare.
#[test]
fn segments_of_another_size_are_removed() {
    let mut bench = Bench::new(config());
    for index in 1..=12 {
        entry(&mut bench, HOT, index, 12_000);
    }
    let larger = Config { segment_size: 2 * SEGMENT, ..config() };
    let mut bench = Bench::on(bench.shut_down(), larger.clone());
    bench.wal.trim(HOT, LogIndex(12));
    turn(&mut bench);
    for file in [1, 2, 3].map(LogFile::Segment) {
        assert!(!bench.disk.files.contains_key(&file), "{file}");
    }
    let mut disk = bench.shut_down();
    let (recovered, entries) = read_log(&mut disk, &larger).expect("it is whole");
    assert_eq!((entries.len(), recovered.trims), (0, vec![(HOT, LogIndex(12))]));
}

/// What happens to one log: entries of two slices, a hard state, trims, entries again.
fn life(bench: &mut Bench, steps: u64) -> (FrameSequence, u64, FrameSequence) {
    let mut done = 0;
    let mut durable = FrameSequence::NONE;
    let mut start = FrameSequence(1);
    let mut submitted = 0;
    let mut step = |bench: &mut Bench, all: bool| {
        while done < steps && !bench.disk.in_flight.is_empty() {
            // The newest first: what must wait for another does not rely on their order.
            bench.complete(bench.disk.in_flight.len() - 1);
            done += 1;
            durable = durable.max(bench.wal.durable());
            start = start.max(bench.wal.start());
            if !all {
                break;
            }
        }
        done < steps
    };
    for round in 0..3 {
        for index in 1 + round * 8..=8 + round * 8 {
            bench.wal.append(Record::Entry {
                slice: HOT,
                term: Term(1),
                index: LogIndex(index),
                body: &body(index, 12_000),
            });
            if index % 8 == 1 {
                let (slice, index, body) = (COLD, LogIndex(round + 1), &body(0, 10));
                bench.wal.append(Record::Entry { slice, term: Term(1), index, body });
            }
            bench.wal.close_batch(bench.now);
            submitted = index;
            bench.submit();
            if !step(bench, true) {
                return (durable, submitted, start);
            }
        }
        bench.wal.trim(HOT, LogIndex(8 + round * 8));
        bench.wal.trim(COLD, LogIndex(round + 1));
        for _ in 0..40 {
            bench.wal.close_batch(bench.now);
            bench.submit();
            if !step(bench, false) {
                return (durable, submitted, start);
            }
        }
    }
    (durable, submitted, start)
}

/// Cuts the power after every completion, several times each; true if the log always came back
/// with what it must hold and nothing that it gave up.
fn survives_cuts(planted: Planted) -> Result<u64, String> {
    let mut given_up = 0;
    for steps in 0..200 {
        for seed in 0..6 {
            let mut bench = Bench::starting_planted(Disk::default(), config(), planted);
            bench.settle();
            let (durable, submitted, start) = life(&mut bench, steps);
            given_up = given_up.max(start.0);
            let mut prng = Prng::from_seed(steps * 10 + seed);
            bench.disk.cut_power(&mut prng);
            let mut entries = Vec::new();
            let recovered =
                recover(&mut bench.disk, &config(), planted, &mut |sequence, record| {
                    if let Record::Entry { slice, index, .. } = record {
                        entries.push((sequence, slice, index.0));
                    }
                    Ok(())
                });
            let recovered =
                recovered.map_err(|error| format!("after {steps} steps, seed {seed}: {error}"))?;
            let what = format!("after {steps} steps, seed {seed}");
            if recovered.start < start || recovered.last < durable {
                return Err(format!(
                    "{what}: {start} to {durable} was certain, it is {recovered:?}"
                ));
            }
            let trim = |slice| {
                let mut trims = recovered.trims.iter();
                trims.find(|(trimmed, _)| *trimmed == slice).map_or(0, |(_, last)| last.0)
            };
            if FrameSequence(1) < recovered.start && trim(HOT) == 0 {
                return Err(format!("{what}: entries are gone, and no trim says so"));
            }
            for (slice, most) in [(HOT, submitted), (COLD, submitted.div_ceil(8))] {
                let found: Vec<u64> =
                    entries.iter().filter(|one| one.1 == slice).map(|one| one.2).collect();
                let first = found.first().copied().unwrap_or(trim(slice) + 1);
                if trim(slice) + 1 < first || found.iter().zip(first..).any(|(a, b)| *a != b) {
                    return Err(format!(
                        "{what}: {found:?} of slice {slice} after {trim:?}",
                        trim = trim(slice)
                    ));
                }
                assert!(found.last().is_none_or(|last| *last <= most));
            }
            if entries.iter().any(|(sequence, ..)| *sequence < recovered.start) {
                return Err(format!("{what}: something trimmed came back"));
            }
        }
    }
    Ok(given_up)
}

/// Red when: a segment goes before the log's new start is durable; what went comes back.
#[test]
fn a_power_cut_at_any_point_of_a_trim_loses_nothing_and_brings_nothing_back() {
    let given_up = survives_cuts(Planted::none()).expect("the log keeps its promise");
    assert!(20 < given_up, "the log got as far as frame {given_up}");
}

/// Red when: the plant does nothing, or no cut falls between the two writes.
#[cfg(feature = "planted")]
#[test]
fn segments_used_again_before_their_trim_is_durable_are_missed() {
    let found = survives_cuts(Planted::one(wal::Plant::ReuseBeforeTrim));
    found.expect_err("frames that the log must hold were given up");
}
