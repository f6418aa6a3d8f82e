//! Log files: what was written is there, durable by flags, and errors are told apart.

use std::fs;
use std::path::Path;

use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX};
use runtime::files::DirectoryLock;
use runtime::{DiskError, Event, Ring};

use crate::server::{directory, options, pattern};

/// Runs the ring until `count` jobs have ended.
fn finish(ring: &mut Ring, count: usize) -> Vec<(u64, Result<(), DiskError>)> {
    let mut done = Vec::new();
    while done.len() < count {
        let deadline = runtime::now().monotonic_us + 60_000_000;
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        while let Some(event) = ring.poll_event() {
            if let Event::Disk { token, result } = event {
                done.push((token, result));
            }
        }
        assert!(runtime::now().monotonic_us < deadline, "{done:?} of {count} are done");
    }
    done.sort_by_key(|&(token, _)| token);
    done
}

fn finish_one(ring: &mut Ring) -> Result<(), DiskError> {
    finish(ring, 1)[0].1
}

/// The open flags of this process's descriptors for `path`.
fn open_flags(path: &Path) -> Vec<i32> {
    let path = fs::canonicalize(path).expect("the file exists");
    fs::read_dir("/proc/self/fd")
        .expect("our own descriptors can be listed")
        .flatten()
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        .filter_map(|entry| {
            let number = entry.file_name().into_string().expect("descriptors are numbers");
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
            i32::from_str_radix(flags.trim(), 8).ok()
        })
        .collect()
}

#[test]
fn a_prepared_file_is_full_of_zeros_and_takes_writes() {
    let directory = directory();
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    let size = 3 * FRAME_SIZE_MAX + BLOCK_SIZE;
    ring.prepare(7, "segment", size as u64);
    assert_eq!(finish(&mut ring, 1), [(7, Ok(()))]);
    let path = directory.path().join("segment");
    assert!(fs::read(&path).expect("it exists") == vec![0; size]);

    let mut expected = vec![0; size];
    let writes = [
        (0, BLOCK_SIZE),
        (FRAME_SIZE_MAX, FRAME_SIZE_MAX),
        (size - 2 * BLOCK_SIZE, 2 * BLOCK_SIZE),
    ];
    for (token, (offset, length)) in (0..).zip(writes) {
        let bytes = pattern(length);
        expected[offset..offset + length].copy_from_slice(&bytes);
        ring.write(token, "segment", offset as u64, length, |into| into.copy_from_slice(&bytes));
    }
    assert_eq!(finish(&mut ring, 3), [(0, Ok(())), (1, Ok(())), (2, Ok(()))]);
    assert!(fs::read(&path).expect("it exists") == expected);

    ring.flush(3, "segment");
    assert_eq!(finish_one(&mut ring), Ok(()));
    ring.remove(4, "segment");
    assert_eq!(finish_one(&mut ring), Ok(()));
    assert!(!path.exists());
}

#[test]
fn preparing_an_existing_file_erases_and_cuts_it() {
    let directory = directory();
    let path = directory.path().join("segment");
    fs::write(&path, pattern(5 * BLOCK_SIZE + 1)).expect("the directory is writable");
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    ring.prepare(1, "segment", 2 * BLOCK_SIZE as u64);
    assert_eq!(finish_one(&mut ring), Ok(()));
    assert!(fs::read(&path).expect("it exists") == vec![0; 2 * BLOCK_SIZE]);
}

#[test]
fn more_writes_than_buffers_all_arrive() {
    const COUNT: usize = 40;
    let directory = directory();
    let options = runtime::Options { log_buffers: 3, ..options(&directory) };
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    ring.prepare(0, "segment", (COUNT * BLOCK_SIZE) as u64);
    assert_eq!(finish_one(&mut ring), Ok(()));
    for number in 0..COUNT {
        ring.write(number as u64, "segment", (number * BLOCK_SIZE) as u64, BLOCK_SIZE, |into| {
            into.fill(number as u8 + 1);
        });
    }
    assert!(finish(&mut ring, COUNT).iter().all(|(_, result)| result.is_ok()));
    let content = fs::read(directory.path().join("segment")).expect("it exists");
    for (number, block) in content.chunks(BLOCK_SIZE).enumerate() {
        assert!(block.iter().all(|&byte| usize::from(byte) == number + 1), "block {number}");
    }
    assert_eq!(ring.stats().writes_unregistered, (COUNT - 3) as u64);
}

#[test]
fn more_files_than_places_can_be_open_at_a_time() {
    const COUNT: usize = 80;
    let directory = directory();
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    let name = |number: usize| format!("{number:08}.segment");
    for round in 0..2u8 {
        for number in 0..COUNT {
            ring.prepare(number as u64, &name(number), BLOCK_SIZE as u64);
        }
        assert!(finish(&mut ring, COUNT).iter().all(|(_, result)| result.is_ok()));
        for number in 0..COUNT {
            ring.write(number as u64, &name(number), 0, BLOCK_SIZE, |into| {
                into.fill(number as u8 ^ round);
            });
        }
        assert!(finish(&mut ring, COUNT).iter().all(|(_, result)| result.is_ok()));
        for number in 0..COUNT {
            let content = fs::read(directory.path().join(name(number))).expect("it exists");
            assert!(content == vec![number as u8 ^ round; BLOCK_SIZE]);
            ring.release(&name(number));
            assert!(open_flags(&directory.path().join(name(number))).is_empty());
        }
    }
}

#[test]
fn log_files_are_open_for_direct_and_durable_writes_until_released() {
    let directory = directory();
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    let path = directory.path().join("segment");
    ring.prepare(0, "segment", BLOCK_SIZE as u64);
    assert_eq!(finish_one(&mut ring), Ok(()));
    assert!(open_flags(&path).is_empty());
    ring.write(1, "segment", 0, BLOCK_SIZE, |into| into.fill(1));
    assert_eq!(finish_one(&mut ring), Ok(()));
    let flags = open_flags(&path);
    assert_eq!(flags.len(), 1);
    assert_eq!(flags[0] & libc::O_DIRECT, libc::O_DIRECT);
    assert_eq!(flags[0] & libc::O_DSYNC, libc::O_DSYNC);
    // A release waits for the write that is under way.
    ring.write(2, "segment", 0, BLOCK_SIZE, |into| into.fill(2));
    ring.release("segment");
    assert_eq!(open_flags(&path).len(), 1);
    assert_eq!(finish_one(&mut ring), Ok(()));
    assert!(open_flags(&path).is_empty());
    assert!(fs::read(&path).expect("it exists") == vec![2; BLOCK_SIZE]);
    // A file used again after its release stays open.
    ring.write(3, "segment", 0, BLOCK_SIZE, |into| into.fill(3));
    ring.release("segment");
    ring.write(4, "segment", 0, BLOCK_SIZE, |into| into.fill(4));
    assert_eq!(finish(&mut ring, 2), [(3, Ok(())), (4, Ok(()))]);
    assert_eq!(open_flags(&path).len(), 1);
}

#[test]
fn a_missing_file_is_an_error_of_the_one_who_asked() {
    let directory = directory();
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    // The log lends its bytes once and counts on their being taken, whatever becomes of them.
    let mut encoded = false;
    ring.write(1, "missing", 0, BLOCK_SIZE, |into| encoded = into.len() == BLOCK_SIZE);
    assert!(encoded);
    ring.flush(2, "missing");
    ring.remove(3, "missing");
    let missing = Err(DiskError::Os(libc::ENOENT));
    assert_eq!(finish(&mut ring, 3), [(1, missing), (2, missing), (3, missing)]);
    assert_eq!(fs::read_dir(directory.path()).expect("it can be listed").count(), 0);
}

#[test]
fn a_failed_preparation_leaves_no_file() {
    let directory = directory();
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    // Larger than any file of this file system can be.
    ring.prepare(1, "segment", (1 << 62) + BLOCK_SIZE as u64);
    let result = finish_one(&mut ring);
    assert_eq!(result, Err(DiskError::Os(libc::EFBIG)));
    assert!(!directory.path().join("segment").exists());
    // A directory is in the way.
    fs::create_dir(directory.path().join("taken")).expect("the directory is writable");
    ring.prepare(2, "taken", BLOCK_SIZE as u64);
    assert_eq!(finish_one(&mut ring), Err(DiskError::Os(libc::EISDIR)));
    assert!(directory.path().join("taken").is_dir());
}

#[test]
fn a_ring_without_its_directory_does_not_open() {
    let directory = directory();
    let missing = runtime::Options::new(directory.path().join("missing"));
    let error = Ring::open(missing).expect_err("there is no such directory");
    assert!(error.to_string().contains("missing cannot be opened"));
    fs::write(directory.path().join("file"), b"").expect("the directory is writable");
    let file = runtime::Options::new(directory.path().join("file"));
    assert!(Ring::open(file).is_err());
}

/// Red when `hold` does nothing: a killed server's last writes could land while the next one
/// recovers.
#[test]
fn a_held_lock_lasts_as_long_as_the_ring_and_no_longer() {
    let directory = directory();
    let lock = DirectoryLock::acquire(directory.path()).expect("nobody else is here");
    let mut ring = Ring::open(options(&directory)).expect("this machine has io_uring");
    ring.hold(&lock).expect("there is a place");
    drop(lock);
    let refused = DirectoryLock::acquire(directory.path()).expect_err("the ring holds it");
    assert_eq!(refused.holder, Some(std::process::id()));
    drop(ring);
    // The kernel takes a ring down on its own time.
    let deadline = runtime::now().monotonic_us + 60_000_000;
    while DirectoryLock::acquire(directory.path()).is_err() {
        assert!(runtime::now().monotonic_us < deadline, "the lock is given up");
        std::thread::yield_now();
    }
}
