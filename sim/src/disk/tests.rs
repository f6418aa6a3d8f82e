//! The disk loses what it may lose and nothing else.

use super::*;

const FILE: LogFile = LogFile::Segment(1);
const BLOCKS: u64 = 8;

struct Bench {
    disk: Disk,
    free: Option<u64>,
    prng: Prng,
    report: Report,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let (disk, report) = (Disk::default(), Report::default());
        let mut bench = Self { disk, free: None, prng: Prng::from_seed(seed), report };
        let ticket = bench.disk.submit_prepare(1, FILE, BLOCKS * BLOCK as u64);
        assert_eq!(bench.complete(ticket), Ok(()));
        bench
    }

    fn complete(&mut self, ticket: Ticket) -> Result<(), IoError> {
        let Self { disk, free, prng, report } = self;
        disk.complete(ticket, Fate::Succeed, free, prng, report).result
    }

    fn write(&mut self, block: u64, byte: u8) -> Ticket {
        self.disk.submit_write(2, FILE, block * BLOCK as u64, vec![byte; BLOCK])
    }

    fn cut_power(&mut self) {
        self.disk.cut_power(&mut self.prng, &mut self.report);
    }

    fn kill(&mut self) {
        self.disk.kill(&mut self.prng, &mut self.report);
    }

    fn read(&self, block: u64) -> [u8; BLOCK] {
        let mut into = [0; BLOCK];
        Reader(&self.disk)
            .read_at(FILE, block * BLOCK as u64, &mut into)
            .expect("the file is there");
        into
    }
}

#[test]
fn a_completed_write_survives_a_power_cut() {
    for seed in 0..50 {
        let mut bench = Bench::new(seed);
        let ticket = bench.write(3, 7);
        assert_eq!(bench.complete(ticket), Ok(()));
        bench.cut_power();
        assert_eq!(bench.read(3), [7; BLOCK]);
    }
}

#[test]
fn an_unfinished_write_may_be_whole_torn_or_lost_at_a_power_cut() {
    let (mut whole, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut bench = Bench::new(seed);
        bench.write(3, 7);
        bench.cut_power();
        let block = bench.read(3);
        match block.iter().filter(|byte| **byte == 7).count() {
            0 => lost += 1,
            BLOCK => whole += 1,
            part => {
                assert!(part.is_multiple_of(SECTOR));
                torn += 1;
            }
        }
        assert_eq!(bench.read(2), [0; BLOCK]);
    }
    assert!(0 < whole && 0 < lost && 0 < torn, "{whole} {lost} {torn}");
}

#[test]
fn what_a_kill_left_in_the_cache_is_readable_and_vanishes_unless_its_file_is_flushed() {
    let (mut vanished, mut flushed) = (0, 0);
    for seed in 0..400 {
        let mut bench = Bench::new(seed);
        bench.write(3, 7);
        bench.kill();
        if bench.read(3) != [7; BLOCK] {
            continue;
        }
        // A write of another block does not flush this one.
        let ticket = bench.write(5, 9);
        assert_eq!(bench.complete(ticket), Ok(()));
        let flushes = seed % 2 == 0;
        if flushes {
            let ticket = bench.disk.submit_flush(3, FILE);
            assert_eq!(bench.complete(ticket), Ok(()));
        }
        bench.cut_power();
        assert_eq!(bench.read(5), [9; BLOCK]);
        if flushes {
            assert_eq!(bench.read(3), [7; BLOCK]);
            flushed += 1;
        } else if bench.read(3) == [0; BLOCK] {
            vanished += 1;
        }
    }
    assert!(0 < vanished && 0 < flushed, "{vanished} {flushed}");
}

#[test]
fn a_file_that_was_just_made_may_be_seen_after_a_kill_and_be_gone_after_a_power_cut() {
    let new = LogFile::Segment(2);
    let mut vanished = 0;
    for seed in 0..200 {
        let mut bench = Bench::new(seed);
        bench.disk.submit_prepare(4, new, BLOCKS * BLOCK as u64);
        bench.kill();
        let seen = bench.disk.list().iter().any(|(file, _)| *file == new);
        bench.cut_power();
        let kept = bench.disk.list().iter().any(|(file, _)| *file == new);
        assert!(!kept || seen);
        vanished += u32::from(seen && !kept);
    }
    assert!(0 < vanished);
}

#[test]
fn what_no_log_may_ask_for_is_noticed() {
    let mut bench = Bench::new(1);
    let ticket = bench.write(6, 1);
    assert_eq!(bench.complete(ticket), Ok(()));
    assert!(bench.disk.violations.is_empty());
    bench.write(6, 2);
    bench.write(BLOCKS, 2);
    bench.write(2, 2);
    bench.write(2, 3);
    bench.disk.submit_write(5, LogFile::Segment(9), 0, vec![0; BLOCK]);
    bench.disk.release(FILE);
    bench.write(4, 4);
    assert_eq!(bench.disk.violations.len(), 5, "{:?}", bench.disk.violations);
}

#[test]
fn a_segment_that_was_released_is_written_again_once_it_is_marked() {
    let mut bench = Bench::new(1);
    let ticket = bench.write(6, 1);
    assert_eq!(bench.complete(ticket), Ok(()));
    bench.disk.release(FILE);
    let mut mark = vec![0; HEADER_SIZE];
    mark[..8].copy_from_slice(b"TOROIDSP");
    let ticket = bench.disk.submit_write(1, FILE, 0, mark);
    assert_eq!(bench.complete(ticket), Ok(()));
    bench.write(6, 2);
    assert!(bench.disk.violations.is_empty(), "{:?}", bench.disk.violations);
    assert_eq!(bench.disk.ledger.vouched().count(), 0);
}

#[test]
fn a_full_disk_refuses_files_until_one_is_removed() {
    let mut bench = Bench::new(1);
    bench.free = Some(0);
    let size = BLOCKS * BLOCK as u64;
    let ticket = bench.disk.submit_prepare(1, LogFile::Segment(2), size);
    assert_eq!(bench.complete(ticket), Err(IoError::NoSpace));
    let ticket = bench.disk.submit_remove(1, FILE);
    assert_eq!(bench.complete(ticket), Ok(()));
    let ticket = bench.disk.submit_prepare(1, LogFile::Segment(2), size);
    assert_eq!(bench.complete(ticket), Ok(()));
}

#[test]
fn rot_changes_a_block_and_can_be_undone() {
    let mut bench = Bench::new(1);
    let ticket = bench.write(3, 7);
    assert_eq!(bench.complete(ticket), Ok(()));
    let offset = 3 * BLOCK as u64;
    let rot = bench.disk.rot(FILE, offset, &mut bench.prng).expect("a bit was flipped");
    assert_ne!(bench.read(3), [7; BLOCK]);
    bench.disk.undo_rot(rot);
    assert_eq!(bench.read(3), [7; BLOCK]);
    bench.disk.set_unreadable(Some((FILE, offset)));
    let mut into = [0; BLOCK];
    assert!(Reader(&bench.disk).read_at(FILE, offset, &mut into).is_err());
}
