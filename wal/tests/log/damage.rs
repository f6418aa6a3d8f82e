//! Every single block of a log damaged: repaired, without effect, or reported with its place.

use base::{FrameSequence, LogIndex, SliceId, Term};
use wal::{Fault, HardState, LogFile, RecoveryError, verify};

use crate::bench::{Bench, Entry, body, config, read_log};
use crate::disk::{BLOCK, Disk};

/// Three boots, runs, rollovers, hard states; sealed, so that every entry is proven durable.
fn sealed_log() -> Disk {
    let mut disk = Disk::default();
    let mut number = 0;
    for boot in 0..3 {
        let mut bench = Bench::on(disk, config());
        let state = HardState {
            slice: SliceId(0),
            term: Term(boot + 1),
            vote: Some(1),
            commit: LogIndex(number),
        };
        bench.wal.append(wal::Record::HardState(state));
        bench.wal.write_hard_states(&[state]);
        for size in [100, 5_000, 12_000, 30_000, 9, 70_000, 3_000] {
            bench.wal.request_room(size + 32);
            bench.settle();
            bench.batch(&body(number, size as usize));
            number += 1;
            if number % 3 == 0 {
                bench.settle();
            }
        }
        disk = bench.shut_down();
    }
    disk
}

struct Frames(Vec<(LogFile, u64, u64, u64, FrameSequence, bool)>);

impl Frames {
    fn of(disk: &mut Disk) -> Self {
        let mut frames = Vec::new();
        wal::inspect(disk, &mut |finding| {
            if let wal::Finding::Frame { file, offset, size, header, life } = finding {
                assert_eq!(life, wal::Life::Current);
                let payload_end = offset + 72 + u64::from(header.payload_size);
                let place = (file, offset, size, payload_end, header.sequence, header.is_seal);
                frames.push(place);
            }
        })
        .expect("the log can be read");
        Self(frames)
    }

    /// The frame that covers a block: offset, end of payload, sequence, is it the last?
    fn covering(&self, file: LogFile, at: u64) -> Option<(u64, u64, FrameSequence, bool)> {
        let last = self.0.last().map(|frame| frame.4);
        self.0
            .iter()
            .find(|(name, offset, size, ..)| *name == file && *offset <= at && at < offset + size)
            .map(|(_, offset, _, end, sequence, _)| {
                (*offset, *end, *sequence, last == Some(*sequence))
            })
    }
}

/// One kind of damage to one block; true if anything was changed.
fn damage(disk: &mut Disk, file: LogFile, at: usize, kind: usize) -> bool {
    let block = &mut disk.durable_mut(file)[at..at + BLOCK];
    let before = block.to_vec();
    match kind {
        0 => block[0] ^= 1,
        1 => block[BLOCK / 2 + 11] ^= 0x80,
        2 => block[BLOCK - 1] ^= 4,
        3 => block[40] ^= 2,
        4 => block.fill(0),
        5 => block.fill(0xff),
        6 => block.rotate_left(512),
        _ => block[..512].fill(0),
    }
    before != block
}

fn expect_all(disk: &mut Disk, entries: &[Entry], what: &str) -> wal::Recovered {
    let (recovered, read) =
        read_log(disk, &config()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(read == entries, "{what}: acknowledged entries are missing");
    recovered
}

/// Red when: evidence behind the damage is not scanned; a header copy is not checked; the place
/// in the error is where the walk began and not where the frame is; a checksum leaves bytes out.
#[test]
fn every_damaged_block_is_without_effect_or_reported_with_its_place() {
    let mut disk = sealed_log();
    let (_, entries) = read_log(&mut disk, &config()).expect("it is whole");
    assert_eq!(entries.len(), 21);
    let frames = Frames::of(&mut disk);
    let (mut reported, mut harmless, mut warned) = (0, 0, 0);
    for file in disk.files.keys().copied().collect::<Vec<_>>() {
        if file == LogFile::HardState {
            continue;
        }
        for at in (0..disk.files[&file].durable.len()).step_by(BLOCK) {
            for kind in 0..8 {
                let mut bad = disk.clone();
                if !damage(&mut bad, file, at, kind) {
                    continue;
                }
                let what = format!("damage {kind} to {file} at {at}");
                let covering = frames.covering(file, at as u64);
                match covering {
                    None => {
                        // A header copy, a spare, or unused room: nothing is lost.
                        let recovered = expect_all(&mut bad, &entries, &what);
                        warned += usize::from(!recovered.warnings.is_empty());
                        harmless += 1;
                    }
                    // The last seal may be taken for torn; it holds no entry.
                    Some((.., true)) => {
                        expect_all(&mut bad, &entries, &what);
                        harmless += 1;
                    }
                    Some((start, payload_end, expected, false)) => {
                        let changed = (at..at + BLOCK).filter(|byte| {
                            bad.files[&file].durable[*byte] != disk.files[&file].durable[*byte]
                        });
                        if changed.clone().all(|byte| payload_end <= byte as u64) {
                            expect_all(&mut bad, &entries, &what);
                            harmless += 1;
                            continue;
                        }
                        let error = read_log(&mut bad, &config()).map(|_| ()).expect_err(&what);
                        match error {
                            RecoveryError::Damage { file: named, offset, sequence, .. } => {
                                assert_eq!((named, offset, sequence), (file, start, expected));
                            }
                            other => panic!("{what}: {other}"),
                        }
                        reported += 1;
                    }
                }
            }
        }
    }
    assert!(200 < reported && 100 < harmless && 20 < warned, "{reported} {harmless} {warned}");
}

/// Red when: a lost segment in the middle, at the start or at the end is taken for the end.
#[test]
fn a_segment_that_is_lost_or_has_lost_its_header_is_reported() {
    let mut disk = sealed_log();
    let frames = Frames::of(&mut disk);
    let mut files: Vec<LogFile> = frames.0.iter().map(|frame| frame.0).collect();
    files.dedup();
    assert!(6 < files.len());
    let newest = *files.last().expect("it has segments");
    for file in &files {
        let first = frames.0.iter().find(|frame| frame.0 == *file).expect("it has frames").4;
        for kind in 0..3 {
            let mut bad = disk.clone();
            match kind {
                0 => bad.durable_mut(*file)[..2 * BLOCK].fill(0),
                1 => bad.durable_mut(*file)[..2 * BLOCK].fill(0x77),
                _ => drop(bad.files.remove(file)),
            }
            if kind == 2 && *file == newest {
                // The double slot was written before the last boot's entries: it proves less.
                continue;
            }
            let error = read_log(&mut bad, &config()).map(|_| ()).expect_err("it is lost");
            let RecoveryError::Damage { file: named, sequence, reason, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(sequence, first, "{file}, {kind}: {error}");
            if kind < 2 {
                assert_eq!((named, reason), (*file, Fault::Header), "{kind}: {error}");
            }
        }
    }
    let mut gone = disk.clone();
    gone.files.retain(|file, _| !matches!(file, LogFile::Segment(_)));
    let error = read_log(&mut gone, &config()).map(|_| ()).expect_err("all of it is lost");
    assert!(error.to_string().contains("hardstate"), "{error}");
}

/// Red when: the chain is not checked where segments meet, or a frame may sit in another's place.
#[test]
fn a_frame_or_segment_of_another_place_is_not_taken() {
    let mut disk = sealed_log();
    let frames = Frames::of(&mut disk);
    let same_size: Vec<_> = frames.0.iter().filter(|frame| frame.2 == 4096).collect();
    assert!(5 < same_size.len());
    for pair in same_size.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let mut bad = disk.clone();
        let frame = bad.bytes(from.0)[from.1 as usize..][..4096].to_vec();
        bad.durable_mut(to.0)[to.1 as usize..][..4096].copy_from_slice(&frame);
        match read_log(&mut bad, &config()) {
            Err(RecoveryError::Damage { file, offset, .. }) => {
                assert_eq!((file, offset), (to.0, to.1));
            }
            Ok(_) => assert!(to.4 == frames.0.last().expect("it has frames").4),
            Err(error) => panic!("{error}"),
        }
    }
    // A copy of a segment under another name claims the same place.
    let copy = disk.files[&frames.0[0].0].clone();
    disk.files.insert(LogFile::Segment(77), copy);
    let error = read_log(&mut disk, &config()).map(|_| ()).expect_err("two claim one place");
    assert!(matches!(error, RecoveryError::Duplicate { .. }), "{error}");
}

/// Changes one byte of a frame's payload and makes its checksum right again.
fn forge(disk: &mut Disk, file: LogFile, offset: u64) {
    let held = disk.durable_mut(file);
    let frame = &mut held[offset as usize..];
    let size = u32::from_le_bytes(frame[24..28].try_into().expect("four bytes")) as usize;
    let end = 72 + size;
    frame[end - 1] ^= 1;
    let mut seed = crc32fast::Hasher::new();
    seed.update(&config().node_uuid);
    seed.update(&config().log.0.to_le_bytes());
    seed.update(&frame[16..24]);
    let mut hasher = crc32fast::Hasher::new_with_initial(seed.finalize());
    hasher.update(&frame[8..end]);
    frame[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// Red when: the crc of the frame before is not compared, within a segment or where two meet.
#[test]
fn a_frame_that_was_replaced_by_a_valid_one_breaks_the_chain() {
    let mut disk = sealed_log();
    let frames = Frames::of(&mut disk);
    let mut meets = 0;
    for pair in frames.0.windows(2) {
        let ((file, offset, .., is_seal), next) = (pair[0], pair[1]);
        let is_last = next.4 == frames.0.last().expect("it has frames").4;
        if is_seal || is_last {
            // An empty frame has nothing to replace; the last one's place may be a torn tail.
            continue;
        }
        let mut bad = disk.clone();
        forge(&mut bad, file, offset);
        let error = read_log(&mut bad, &config()).map(|_| ()).expect_err("it was replaced");
        let RecoveryError::Damage { file: named, offset, sequence, reason, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((named, sequence, reason), (next.0, next.4, Fault::Chain));
        let is_meeting = file != next.0;
        assert_eq!(offset, if is_meeting { 0 } else { next.1 });
        meets += u64::from(is_meeting);
    }
    assert!(5 < meets);
}

fn state(term: u64, vote: Option<u64>) -> HardState {
    HardState { slice: SliceId(0), term: Term(term), vote, commit: LogIndex::NONE }
}

/// Generations 1..=count in the double slot; nothing of them in the log's records.
fn voted(count: u64, note_in_log: bool) -> Disk {
    let mut bench = Bench::new(config());
    for term in 1..=count {
        let generation = bench.wal.write_hard_states(&[state(term, Some(term * 10))]);
        assert_eq!(generation, term);
        bench.settle();
        assert_eq!(bench.wal.hard_state_durable(), term);
    }
    if note_in_log {
        bench.batch(b"a frame says which generation was durable");
    }
    bench.settle();
    bench.disk
}

/// Red when: slots are not written in turn; the lower generation wins; a slot's checksum is not
/// looked at; both damaged is taken for a new log.
#[test]
fn a_damaged_slot_of_the_hard_state_never_brings_an_older_vote_back_unnoticed() {
    for count in 1..5 {
        for slot in 0..2 {
            for kind in 0..8 {
                let is_newest = count % 2 == slot;
                let mut bad = voted(count, false);
                let at = slot as usize * wal::HARD_STATE_SLOT_SIZE;
                if !damage(&mut bad, LogFile::HardState, at, kind) {
                    continue;
                }
                // Bytes behind the states are not covered, as they mean nothing.
                let is_harmless = matches!(kind, 1 | 2) || (count == 1 && slot == 0);
                let read = read_log(&mut bad, &config());
                if !is_newest || is_harmless {
                    if let Ok((recovered, _)) = &read {
                        assert_eq!(recovered.hard_states, vec![state(count, Some(count * 10))]);
                        continue;
                    }
                    panic!("{count} {slot} {kind}: {:?}", read.map(|_| ()));
                }
                // The newest is gone and nothing else says so: the older one with a warning.
                let (recovered, _) = read.expect("it could be a torn write");
                let older = (1 < count).then(|| state(count - 1, Some((count - 1) * 10)));
                assert_eq!(recovered.hard_states, older.into_iter().collect::<Vec<_>>());
                // A zero slot next to generation 1 or nothing looks as if never written.
                let is_silent = count <= 2 && matches!(kind, 4 | 7);
                assert!(is_silent || !recovered.warnings.is_empty(), "{count} {slot} {kind}");

                // With a frame that says which generation was durable, it is damage.
                let mut bad = voted(count, true);
                damage(&mut bad, LogFile::HardState, at, kind);
                let error = read_log(&mut bad, &config()).map(|_| ()).expect_err("a vote is lost");
                assert!(matches!(error, RecoveryError::HardState { .. }), "{error}");
            }
        }
        if 1 < count {
            let mut bad = voted(count, false);
            bad.durable_mut(LogFile::HardState)[3] ^= 1;
            bad.durable_mut(LogFile::HardState)[wal::HARD_STATE_SLOT_SIZE + 3] ^= 1;
            let error = read_log(&mut bad, &config()).map(|_| ()).expect_err("both are lost");
            assert!(matches!(error, RecoveryError::HardState { .. }), "{error}");
        }
    }
}

/// Red when: the newest of slot and log does not win; a vote in either does not count.
#[test]
fn slot_and_log_together_give_the_highest_term_and_its_vote() {
    let logged = |state: HardState, slot: HardState| {
        let mut bench = Bench::new(config());
        bench.wal.write_hard_states(&[slot]);
        bench.wal.append(wal::Record::HardState(state));
        bench.wal.close_batch(bench.now);
        bench.settle();
        read_log(&mut bench.disk, &config()).map(|(recovered, _)| recovered.hard_states)
    };
    let with_commit = |state: HardState| HardState { commit: LogIndex(8), ..state };
    let cases = [
        (state(3, Some(1)), state(2, Some(2)), state(3, Some(1))),
        (state(2, Some(1)), state(3, None), state(3, None)),
        (state(2, None), state(2, Some(5)), state(2, Some(5))),
        (state(2, Some(5)), state(2, None), state(2, Some(5))),
    ];
    for (in_log, in_slot, expected) in cases {
        let read = logged(with_commit(in_log), in_slot).expect("it is whole");
        assert_eq!(read, vec![with_commit(expected)]);
    }
    logged(state(2, Some(1)), state(2, Some(2))).expect_err("two votes in one term");
}

/// Red when: verify stops at the first damaged place, or misses one.
#[test]
fn verify_lists_every_damaged_place_and_nothing_else() {
    let mut disk = sealed_log();
    let verified = verify(&mut disk).expect("it can be read").expect("it is a log");
    assert_eq!(verified.problems, vec![]);
    let frames = Frames::of(&mut disk);
    let places: Vec<_> = [2, 9, 14].iter().map(|at| (frames.0[*at].0, frames.0[*at].1)).collect();
    for (file, offset) in &places {
        disk.durable_mut(*file)[*offset as usize + 90] ^= 1;
    }
    let verified = verify(&mut disk).expect("it can be read").expect("it is a log");
    assert!(verified.recovered.is_err());
    for place in &places {
        let found = verified.problems.iter().any(|p| (p.file, p.offset) == *place);
        assert!(found, "{place:?} is not in {:?}", verified.problems);
    }
}

mod arbitrary {
    use super::{Disk, config, read_log, sealed_log};
    use proptest::prelude::{ProptestConfig, any, proptest};
    use wal::{inspect, verify};

    thread_local! {
        static LOG: Disk = sealed_log();
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 400,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Red when: a size of the disk is believed before its checksum is.
        #[test]
        fn no_content_of_a_disk_makes_the_reader_panic(
            edits in proptest::collection::vec(
                (any::<u32>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 1..64)),
                1..24,
            ),
            cuts in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..3),
        ) {
            let mut disk = LOG.with(Clone::clone);
            let names: Vec<_> = disk.files.keys().copied().collect();
            for (file, at, bytes) in edits {
                let held = disk.durable_mut(names[file as usize % names.len()]);
                // Headers and the starts of frames are hit more often than chance would.
                let at = if at % 2 == 0 { at as usize / 2 % 64 * 4096 } else { at as usize };
                let at = at % (held.len() - 64);
                held[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            for (file, size) in cuts {
                let held = disk.durable_mut(names[file as usize % names.len()]);
                held.truncate(size as usize % held.len().max(1));
            }
            let recovered = read_log(&mut disk, &config());
            let verified = verify(&mut disk);
            let mut count = 0;
            let inspected = inspect(&mut disk, &mut |_| count += 1);
            assert!(0 < count || inspected.is_err() || verified.is_ok());
            drop(recovered);
        }
    }
}
