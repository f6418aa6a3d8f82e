//! Direct reads and writes on the disk the tests are built on, outside any ring.

use std::fs;
use std::io;

use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX};
use runtime::files::{DirectReader, FileSize, check_direct_writes};
use tempfile::TempDir;

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}

#[test]
fn any_range_reads_what_an_ordinary_read_yields() {
    let directory = directory();
    let bytes = pattern(3 * FRAME_SIZE_MAX + 1234);
    fs::write(directory.path().join("a"), &bytes).expect("it can be written");
    let mut reader = DirectReader::new(directory.path());
    for (offset, size) in [
        (0, 1),
        (1, 4096),
        (4095, 2),
        (4096, 8192),
        (0, bytes.len()),
        (12345, 2 * FRAME_SIZE_MAX + 17),
        (bytes.len() - 1, 1),
    ] {
        let mut into = vec![0; size];
        reader.read_at("a", offset as u64, &mut into).expect("the range lies within the file");
        assert!(into == bytes[offset..offset + size], "at {offset}, {size} bytes");
    }
}

#[test]
fn aligned_and_shifted_memory_read_the_same() {
    let directory = directory();
    let bytes = pattern(8 * BLOCK_SIZE);
    fs::write(directory.path().join("a"), &bytes).expect("it can be written");
    let mut reader = DirectReader::new(directory.path());
    let mut memory = vec![0; 4 * BLOCK_SIZE];
    let aligned = memory.as_ptr().align_offset(BLOCK_SIZE);
    for shift in [0, 1] {
        let start = aligned + shift;
        let into = &mut memory[start..start + 2 * BLOCK_SIZE];
        into.fill(0);
        reader.read_at("a", BLOCK_SIZE as u64, into).expect("the range lies within the file");
        assert!(*into == bytes[BLOCK_SIZE..3 * BLOCK_SIZE]);
    }
}

#[test]
fn a_range_beyond_the_end_is_an_error() {
    let directory = directory();
    fs::write(directory.path().join("a"), pattern(5000)).expect("it can be written");
    let mut reader = DirectReader::new(directory.path());
    for (offset, size) in [(4999, 2), (5000, 1), (8192, 4096), (0, 8192)] {
        let error = reader.read_at("a", offset, &mut vec![0; size]).expect_err("it lies beyond");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
    let mut memory = vec![0; 3 * BLOCK_SIZE];
    let aligned = memory.as_ptr().align_offset(BLOCK_SIZE);
    assert!(reader.read_at("a", 0, &mut memory[aligned..aligned + 2 * BLOCK_SIZE]).is_err());
    assert!(reader.read_at("missing", 0, &mut [0]).is_err());
}

#[test]
fn files_are_listed_by_name_and_directories_are_not() {
    let directory = directory();
    fs::write(directory.path().join("b"), b"22").expect("it can be written");
    fs::write(directory.path().join("a"), b"1").expect("it can be written");
    fs::create_dir(directory.path().join("c")).expect("it can be made");
    let listed = DirectReader::new(directory.path()).list().expect("it can be listed");
    let expected =
        [("a", 1), ("b", 2)].map(|(name, size)| FileSize { name: name.to_owned(), size });
    assert_eq!(listed, expected);
}

#[test]
fn a_directory_on_a_disk_passes_the_trial_and_keeps_no_trace() {
    let directory = directory();
    check_direct_writes(directory.path()).expect("the target directory lies on a disk");
    assert_eq!(fs::read_dir(directory.path()).expect("it can be listed").count(), 0);
}
