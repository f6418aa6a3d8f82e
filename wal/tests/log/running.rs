//! A log that runs: acknowledging, sealing, runs of frames, failures.

use base::{FrameSequence, LogIndex, SliceId, Term};
use wal::{Event, HardState, IoError, LogFile, Operation, Record, RecoveryError};

use crate::bench::{Bench, body, config, read_log};
use crate::disk::{Disk, Operation as DiskOperation};

/// Red when: `previous_frame` is not filled in; a record kind is encoded with another's number.
#[test]
fn every_kind_of_record_comes_back_as_it_was_written() {
    let mut bench = Bench::new(config());
    let slice = SliceId(7);
    let state = HardState { slice, term: Term(3), vote: Some(9), commit: LogIndex(4) };
    let voteless = HardState { slice: SliceId(8), term: Term(2), vote: None, commit: LogIndex(1) };
    let written = [
        Record::HardState(state),
        Record::HardState(voteless),
        Record::Entry { slice, term: Term(3), index: LogIndex(5), body: b"a body" },
        Record::Entry { slice, term: Term(3), index: LogIndex(6), body: b"" },
        Record::Truncate { slice, last: LogIndex(5) },
        Record::SnapshotMark { slice, term: Term(3), index: LogIndex(5), body: b"manifest" },
        Record::Trim { slice, last: LogIndex(4) },
    ];
    for part in written.chunks(3) {
        for record in part {
            bench.wal.append(*record);
        }
        bench.wal.close_batch(bench.now);
    }
    bench.settle();
    let mut read = Vec::new();
    let recovered = wal::recover(&mut bench.disk, &bench.config, &mut |sequence, record| {
        read.push((sequence.0, format!("{record:?}")));
        Ok(())
    })
    .expect("the log is whole");
    let expected: Vec<(u64, String)> = written
        .iter()
        .enumerate()
        .map(|(at, record)| (at as u64 / 3 + 1, format!("{record:?}")))
        .collect();
    assert_eq!(read, expected);
    assert_eq!(recovered.hard_states, vec![state, voteless]);
    assert_eq!(recovered.last, FrameSequence(3));
    assert_eq!(recovered.cut, None);
}

/// Red when: `advance` does not stop at the first frame that is not done.
#[test]
fn only_the_contiguous_prefix_is_durable_whatever_completes_first() {
    let mut bench = Bench::new(config());
    let lasts: Vec<_> = (0..4).map(|number| bench.batch(&body(number, 100))).collect();
    let writes = bench.writes();
    assert_eq!(writes.len(), 4);
    let before = bench.wal.durable();
    let events: Vec<Event> = {
        let tokens: Vec<u64> = writes.iter().map(|at| bench.disk.in_flight[*at].0).collect();
        tokens.iter().map(|token| Event { token: *token, result: Ok(()) }).collect()
    };
    for at in [3, 1, 2] {
        bench.tell(events[at]);
        assert_eq!(bench.wal.durable(), before);
    }
    bench.tell(events[0]);
    assert_eq!(bench.wal.durable(), lasts[3]);
}

/// Red when: more than W frames are lent before one completes.
#[test]
fn no_more_frames_are_in_flight_than_configured() {
    let mut bench = Bench::new(config());
    for number in 0..9 {
        bench.batch(&body(number, 100));
    }
    assert_eq!(bench.writes().len(), 4);
    assert!(bench.wal.window_is_full());
    assert!(!bench.wal.is_idle());
    bench.settle();
    assert_eq!(bench.wal.durable(), FrameSequence(9));
    assert!(!bench.wal.window_is_full());
    assert_eq!(bench.wal.stats().in_flight_max, 4);
    assert!(bench.wal.is_idle());
}

/// Red when: `Flight::advance` does not look at the header.
#[test]
fn a_frame_counts_only_when_its_segments_header_is_durable() {
    let mut bench = Bench::new(config());
    for number in 0..13 {
        bench.batch(&body(number, 3900));
        bench.settle();
    }
    // 13 frames of 4 KiB fill 52 of 56 KiB; the next needs 8 KiB and opens a segment.
    let before = bench.wal.durable();
    bench.batch(&body(13, 8000));
    let header = bench
        .disk
        .in_flight
        .iter()
        .position(|(_, o)| matches!(o, DiskOperation::Write { offset: 0, .. }))
        .expect("a new segment's header is in flight");
    let (header_token, _) = bench.disk.in_flight[header];
    let frame = bench.writes().into_iter().find(|at| *at != header).expect("so is the frame");
    bench.complete(frame);
    assert_eq!(bench.wal.durable(), before);
    let header = bench.disk.in_flight.iter().position(|(token, _)| *token == header_token);
    bench.complete(header.expect("it is still in flight"));
    assert_eq!(bench.wal.durable(), before.next());
}

/// Red when: runs are not assembled in order, or a segment's end is not crossed.
#[test]
fn a_batch_larger_than_a_segment_is_a_run_that_crosses_segments() {
    for size in [57_000, 64 * 1024, 200_000, 500_000] {
        let mut bench = Bench::new(config());
        bench.batch(b"before");
        let big = body(1, size);
        bench.wal.request_room(big.len() as u64 + 32);
        bench.settle();
        assert!(big.len() as u64 + 32 <= bench.wal.room());
        bench.batch(&big);
        bench.batch(b"after");
        bench.settle();
        let disk = bench.shut_down();
        let (recovered, entries) = read_log(&mut disk.clone(), &config()).expect("it is whole");
        let bodies: Vec<&[u8]> = entries.iter().map(|entry| entry.4.as_slice()).collect();
        assert!(bodies == [b"before".as_slice(), &big, b"after"], "of {size} bytes");
        assert!(recovered.cut.is_none());
    }
}

/// Red when: the assembly keeps more than the run, or the window more than a frame and a chunk.
#[test]
fn a_run_of_half_a_gigabyte_is_recovered() {
    let config = wal::Config { segment_size: 64 * 1024 * 1024, ..config() };
    let mut bench = Bench::new(config.clone());
    let size = 512 * 1024 * 1024;
    bench.wal.request_room(size as u64 + 32);
    bench.settle();
    bench.append(&vec![0x5a; size]);
    bench.wal.close_batch(bench.now);
    bench.settle();
    assert!(512 < bench.wal.stats().frames);
    assert_eq!(bench.wal.stats().in_flight_max, 4);
    let mut total = 0;
    wal::recover(&mut bench.disk, &config, &mut |_, record| {
        if let Record::Entry { body, .. } = record {
            assert!(body.iter().all(|byte| *byte == 0x5a));
            total += body.len();
        }
        Ok(())
    })
    .expect("the log is whole");
    assert_eq!(total, size);
}

/// Red when: a seal is written with frames in flight, or again and again.
#[test]
fn an_idle_log_writes_one_seal() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.wal.poll_timeout(), None, "the header said all a seal could");
    bench.batch(b"one");
    assert_eq!(bench.wal.poll_timeout(), None);
    bench.wait(10_000);
    assert_eq!(bench.wal.stats().seals, 0, "a frame is in flight");
    bench.settle();
    let due = bench.wal.poll_timeout().expect("the seal has a time");
    assert_eq!(due, bench.now.monotonic_us + bench.config.seal_after_us);
    bench.wait(bench.config.seal_after_us - 1);
    assert_eq!(bench.wal.stats().seals, 0);
    bench.wait(1);
    assert_eq!(bench.wal.stats().seals, 1);
    bench.settle();
    for _ in 0..5 {
        bench.wait(1_000_000);
    }
    bench.wal.seal(bench.now);
    bench.settle();
    assert_eq!(bench.wal.stats().seals, 1);
    assert!(bench.wal.is_idle());
    let (recovered, entries) = read_log(&mut bench.disk, &config()).expect("it is whole");
    assert_eq!(entries.len(), 1);
    assert_eq!((recovered.last, recovered.proven), (FrameSequence(2), FrameSequence(1)));
}

/// Red when: `Wal::new` submits the header with the flushes, or forgets the double slot's.
#[test]
fn a_start_flushes_the_tail_before_it_writes_anything_of_the_log() {
    let mut bench = Bench::new(config());
    bench.wal.write_hard_states(&[]);
    bench.settle();
    for number in 0..6 {
        bench.batch(&body(number, 20_000));
        bench.settle();
    }
    // No seal: the last frames are not proven durable.
    let mut disk = bench.disk;
    disk.history.clear();
    let mut bench = Bench::starting(disk, config());
    assert!(bench.disk.history.iter().any(|what| what.starts_with("flush 0")));
    assert!(bench.disk.history.iter().any(|what| what == "flush hardstate"));
    let (slice, commit) = (SliceId(0), LogIndex::NONE);
    let state = HardState { slice, term: Term(9), vote: None, commit };
    let generation = bench.wal.write_hard_states(&[state]);
    bench.submit();
    while let Some(at) =
        bench.disk.in_flight.iter().position(|(_, o)| matches!(o, DiskOperation::Flush { .. }))
    {
        assert!(!bench.wal.is_running());
        assert_eq!(bench.wal.durable(), FrameSequence(5), "the last frame is not proven");
        assert!(!bench.disk.history.iter().any(|what| what.starts_with("write")));
        bench.complete(at);
    }
    assert!(!bench.wal.is_running(), "its header is in flight");
    assert!(bench.disk.history.iter().any(|what| what.starts_with("write")));
    bench.settle();
    assert!(bench.wal.is_running());
    assert_eq!(bench.wal.durable(), FrameSequence(6));
    assert_eq!(bench.wal.hard_state_durable(), generation);
}

/// Red when: a failed write is ignored, told twice, or anything is acknowledged after it.
#[test]
fn the_failure_of_any_write_or_flush_halts_the_log_for_good() {
    for error in [IoError::NoSpace, IoError::Other(5)] {
        for nth in 0..40 {
            // A log with a tail to flush, a rollover, hard states and a seal.
            let mut first = Bench::new(config());
            first.batch(&body(0, 30_000));
            first.settle();
            let mut bench = Bench::starting(first.disk, config());
            let mut seen = 0;
            let mut written = 0;
            let mut failed = None;
            while failed.is_none() {
                if bench.disk.in_flight.is_empty() && bench.wal.is_running() {
                    if written == 12 {
                        break;
                    }
                    written += 1;
                    let term = Term(written);
                    let (slice, commit) = (SliceId(0), LogIndex::NONE);
                    bench.wal.write_hard_states(&[HardState { slice, term, vote: None, commit }]);
                    bench.batch(&body(written, 10_000));
                    continue;
                }
                let fatal = match bench.disk.in_flight[0].1 {
                    DiskOperation::Write { file, .. } => Some((Operation::Write, file)),
                    DiskOperation::Flush { file } => Some((Operation::Flush, file)),
                    _ => None,
                };
                if fatal.is_some() && seen == nth {
                    bench.fail(0, error);
                    failed = fatal;
                } else {
                    seen += u64::from(fatal.is_some());
                    bench.complete(0);
                }
            }
            let Some((operation, file)) = failed else {
                assert!(25 < nth, "all of {nth} writes were failed once");
                break;
            };
            let halt = bench.disk.halted.expect("the log halted");
            assert_eq!((halt.operation, halt.file, halt.error), (operation, file, error));
            let (durable, generation) = (bench.wal.durable(), bench.wal.hard_state_durable());
            while !bench.disk.in_flight.is_empty() {
                bench.complete(0);
            }
            bench.append(b"after the end");
            let never = bench.wal.close_batch(bench.now).expect("it has a record");
            bench.wait(10_000_000);
            bench.settle();
            assert_eq!(bench.wal.durable(), durable);
            assert_eq!(bench.wal.hard_state_durable(), generation);
            assert!(durable < never);
            assert!(bench.wal.poll_timeout().is_none() && !bench.wal.has_output());
        }
    }
}

/// Red when: a dead segment's header stays; or stale frames verify because the salt is the same.
#[test]
fn a_segment_in_which_nothing_lives_is_used_again_and_its_old_frames_are_not_read() {
    let mut bench = Bench::new(config());
    bench.batch(&body(0, 50_000));
    bench.settle();
    // Four frames in flight: the first fills the rest, three go to the next segment.
    for number in 1..5 {
        bench.batch(&body(number, 12_000));
    }
    let lost = bench.writes()[1];
    let at = bench.disk.in_flight[lost].0;
    while let Some(next) = bench.disk.in_flight.iter().position(|(token, _)| *token != at) {
        let event = bench.disk.complete(next);
        bench.wal.handle(event, bench.now);
    }
    bench.disk.in_flight.clear();
    let before = read_log(&mut bench.disk, &config()).expect("it is torn, not damaged");
    assert_eq!(before.1.len(), 1);
    let cut = before.0.cut.expect("three frames are cut");
    assert_eq!((cut.sequence, cut.frames), (FrameSequence(2), 3));

    bench.disk.history.clear();
    let mut again = Bench::on(bench.disk, config());
    let zeroed = again.disk.history.iter().any(|what| what == "write 00000002.segment 0 8192");
    assert!(zeroed, "{:?}", again.disk.history);
    for number in 10..30 {
        again.batch(&body(number, 12_000));
        again.settle();
    }
    assert!(again.disk.history.iter().filter(|w| w.ends_with("2.segment 0 8192")).count() > 1);
    let (recovered, entries) = read_log(&mut again.disk, &config()).expect("it is whole");
    assert_eq!(entries.len(), 21);
    assert_eq!(recovered.last, FrameSequence(21));
}

/// Red when: recovery reads closed segments beyond their logical end, or twice.
#[test]
fn closed_segments_are_read_once_and_only_to_their_end() {
    let config = wal::Config { segment_size: 16 * 1024 * 1024, ..config() };
    let mut disk = Disk::default();
    for number in 0..8 {
        let mut bench = Bench::on(disk, config.clone());
        bench.batch(&body(number, 100));
        disk = bench.shut_down();
    }
    disk.bytes_read = 0;
    let (recovered, entries) = read_log(&mut disk, &config).expect("it is whole");
    assert_eq!((recovered.boot, entries.len()), (8, 8));
    // Seven closed segments and two spares cost a chunk each; the last is scanned to its end.
    assert!(disk.bytes_read < 2 * config.segment_size, "{} bytes read", disk.bytes_read);
}

/// Red when: identity is not checked; a newer version is taken for damage.
#[test]
fn foreign_and_newer_files_are_refused_as_such() {
    let mut bench = Bench::new(config());
    bench.batch(b"one");
    bench.settle();
    bench.wal.write_hard_states(&[]);
    let disk = bench.shut_down();
    let other = wal::Config { node_uuid: *b"some other node!", ..config() };
    let error = read_log(&mut disk.clone(), &other).expect_err("it is another node's");
    assert!(error.to_string().contains("belongs to another node"), "{error}");
    let other = wal::Config { log: base::CoreId(3), ..config() };
    let error = read_log(&mut disk.clone(), &other).expect_err("it is another log");
    assert!(matches!(error, RecoveryError::Foreign { file: LogFile::Segment(1), .. }), "{error}");

    let mut newer = disk.clone();
    for copy in [0, 4096] {
        let header = &mut newer.durable_mut(LogFile::Segment(1))[copy..copy + 4096];
        header[8] = 2;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header[..12]);
        hasher.update(&header[16..]);
        header[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
    let error = read_log(&mut newer, &config()).expect_err("it is newer");
    assert!(matches!(error, RecoveryError::NewerFormat { version: 2, .. }), "{error}");
}

/// Red when: hints of other logs are dropped from frames, or taken for this log's.
#[test]
fn hints_of_other_logs_travel_in_the_frames() {
    let mut bench = Bench::new(config());
    bench.wal.note_hint(base::CoreId(2), FrameSequence(1_000));
    bench.batch(b"one");
    bench.wal.note_hint(base::CoreId(2), FrameSequence(900));
    bench.wal.note_hint(base::CoreId(1), FrameSequence(5));
    bench.batch(b"two");
    bench.settle();
    let (recovered, entries) = read_log(&mut bench.disk, &config()).expect("it is whole");
    assert_eq!(entries.len(), 2);
    let expected =
        vec![(base::CoreId(1), FrameSequence(5)), (base::CoreId(2), FrameSequence(1_000))];
    assert_eq!(recovered.node_hints, expected);
}
