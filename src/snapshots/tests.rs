//! Snapshots as a start finds them: whole, damaged in every way, foreign, half removed.

use std::fs;
use std::path::Path;

use base::{LogIndex, SliceId, Term};
use wal::snapshot::{ChunkId, chunk_name, encode_chunk};

use super::*;

const SLICE: SliceId = SliceId(2);
const UUID: [u8; 16] = [9; 16];

struct Bench {
    root: tempfile::TempDir,
    place: Place,
}

impl Bench {
    /// A data directory with a snapshot at each index.
    fn new(indexes: &[u64]) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let place = Place::new(root.path(), UUID);
        let bench = Self { root, place };
        indexes.iter().for_each(|index| bench.write(LogIndex(*index)));
        bench
    }

    fn write(&self, index: LogIndex) {
        let directory = self.place.of(SLICE, index);
        fs::create_dir_all(&directory).expect("the directory is writable");
        let chunks = (0..3).map(|number| {
            let (file, reference) =
                encode_chunk(ChunkId { slice: SLICE, index, number }, &raw(index, number));
            put(&directory.join(chunk_name(number)), &file);
            reference
        });
        let manifest = Manifest {
            node_uuid: UUID,
            slice: SLICE,
            index,
            term: Term(1),
            clock_ms: 5,
            attachment: Vec::new(),
            chunks: chunks.collect(),
        };
        put(&directory.join(MANIFEST_NAME), &manifest.encode());
    }

    fn file(&self, index: u64, name: &str) -> PathBuf {
        self.place.of(SLICE, LogIndex(index)).join(name)
    }

    /// Flips a bit of a file.
    fn damage(&self, index: u64, name: &str, at: usize) -> PathBuf {
        let path = self.file(index, name);
        let mut bytes = fs::read(&path).expect("it was written");
        bytes[at] ^= 1;
        put(&path, &bytes);
        path
    }

    /// What a start takes, and what it passed over.
    fn start(&self) -> (Option<u64>, Vec<String>) {
        let listing = self.place.list().expect("the directory can be read");
        let loaded = newest_whole(listing.published(SLICE), |index| {
            let manifest = self.place.manifest(SLICE, index)?;
            let mut count = 0;
            self.place.load(&manifest, |chunk| {
                assert!(chunk == raw(index, count), "chunk {count} at {index}");
                count += 1;
                Ok(())
            })?;
            assert_eq!(count, 3);
            Ok(index.0)
        });
        (loaded.state, loaded.damaged.iter().map(ToString::to_string).collect())
    }
}

/// What a start finds, once it is known to succeed.
pub(crate) fn open(place: &Place) -> Result<Candidates, SnapshotFault> {
    let listing = place.list()?;
    place.tidy(&listing)?;
    let found = listing.0.into_iter().map(|(slice, listed)| (slice, listed.published));
    Ok(found.filter(|(_, published)| !published.is_empty()).collect())
}

fn raw(index: LogIndex, number: u32) -> Vec<u8> {
    vec![number as u8 ^ index.0 as u8; 20_000 + number as usize]
}

fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("the directory is writable");
}

fn has(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "lacks {word:?}: {text}"));
}

#[test]
fn the_newest_whole_snapshot_is_loaded_in_the_order_of_its_chunks() {
    let bench = Bench::new(&[10, 9, 200]);
    assert_eq!(bench.start(), (Some(200), Vec::new()));
    let empty = Bench::new(&[]);
    assert!(open(&empty.place).expect("nothing is there yet").is_empty());
    assert_eq!(empty.start(), (None, Vec::new()));
}

/// Red when: a directory without a manifest is listed as a snapshot, or left; a look removes it; a
/// file that is no directory, or has a name of somebody else's, is touched.
#[test]
fn what_was_never_published_is_removed_and_what_is_foreign_is_not() {
    let bench = Bench::new(&[10, 20]);
    fs::remove_file(bench.file(20, MANIFEST_NAME)).expect("it was written");
    put(&bench.file(20, "MANIFEST.new"), b"half");
    put(&bench.place.of_slice(SLICE).join("00000000000000000030"), b"a file");
    fs::create_dir(bench.place.root().join("lost+found")).expect("the directory is writable");
    let listing = bench.place.list().expect("it can be read");
    assert_eq!(listing.0[&SLICE].unpublished, [bench.place.of(SLICE, LogIndex(20))]);
    assert!(bench.place.of(SLICE, LogIndex(20)).exists());
    let found = open(&bench.place).expect("it can be read");
    assert_eq!(found, Candidates::from([(SLICE, vec![LogIndex(10)])]));
    assert!(!bench.place.of(SLICE, LogIndex(20)).exists());
    assert!(bench.place.of_slice(SLICE).join("00000000000000000030").is_file());
    assert!(bench.place.root().join("lost+found").is_dir());
}

/// Red when: the damage of a chunk is told without its file or place; one damaged snapshot keeps the
/// others from being tried.
#[test]
fn damage_is_passed_over_and_told() {
    for (name, at, word) in [
        ("chunk-000001", 100, "offset 12"),
        ("chunk-000002", 4, "first 8 bytes"),
        (MANIFEST_NAME, 90, "offset 12"),
    ] {
        let bench = Bench::new(&[10, 20]);
        let path = bench.damage(20, name, at).display().to_string();
        let (index, damaged) = bench.start();
        assert_eq!((index, damaged.len()), (Some(10), 1));
        has(&damaged[0], &[&path, word]);
        let second = bench.damage(10, "chunk-000000", 4000).display().to_string();
        let (index, damaged) = bench.start();
        assert_eq!((index, damaged.len()), (None, 2));
        has(&damaged[0], &[&path, word]);
        has(&damaged[1], &[&second, "offset 12"]);
    }
}

#[test]
fn a_missing_cut_or_lengthened_file_is_named() {
    for (size, words) in [
        (None, &["chunk-000001", "missing"][..]),
        (Some(4000), &["chunk-000001", "4000 bytes", "4096"]),
        (Some(0), &["chunk-000001", "0 bytes"]),
        (Some(8192), &["chunk-000001", "8192 bytes", "4096 at most"]),
    ] {
        let bench = Bench::new(&[10]);
        let path = bench.file(10, "chunk-000001");
        match size {
            None => fs::remove_file(&path),
            Some(size) => {
                fs::File::options().write(true).open(&path).and_then(|file| file.set_len(size))
            }
        }
        .expect("it was written");
        has(&bench.start().1[0], words);
    }
}

/// Red when: the manifest is believed wherever it lies.
#[test]
fn a_manifest_of_another_place_or_node_is_refused() {
    let bench = Bench::new(&[10]);
    let (slice, index) = (bench.place.of_slice(SLICE), bench.place.of(SLICE, LogIndex(10)));
    let moved = slice.join("00000000000000000011");
    fs::rename(&index, &moved).expect("it was written");
    has(&bench.start().1[0], &["slice 2 at index 10"]);
    fs::rename(&moved, &index).expect("it was moved");
    assert_eq!(bench.start(), (Some(10), Vec::new()));
    let other = Place::new(bench.root.path(), [8; 16]);
    let fault = other.manifest(SLICE, LogIndex(10)).expect_err("it is another node's");
    has(&fault.to_string(), &["another node", "09090909"]);
}

/// Red when: loading goes on after a chunk was refused, or the refusal names another chunk.
#[test]
fn a_chunk_that_is_refused_ends_the_load_and_is_named() {
    let bench = Bench::new(&[10]);
    let manifest = bench.place.manifest(SLICE, LogIndex(10)).expect("it is whole");
    let mut count = 0;
    let fault = bench.place.load(&manifest, |_| {
        count += 1;
        if count == 2 { Err("record 7 has no key".to_owned()) } else { Ok(()) }
    });
    let text = fault.expect_err("the second was refused").to_string();
    has(&text, &["chunk-000001", "record 7 has no key"]);
    assert_eq!(count, 2);
}
