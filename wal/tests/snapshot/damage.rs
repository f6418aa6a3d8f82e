//! Every byte of every file damaged, every length cut: always reported, with the place.

use wal::snapshot::{Manifest, SnapshotError, decode_chunk, inspect_chunk};

use crate::bench::{files, id};

fn listed(number: u32) -> wal::snapshot::ChunkRef {
    let manifest = files().pop().expect("the manifest is the last file").1;
    Manifest::decode(&manifest).expect("it is whole").chunks[number as usize]
}

/// Decodes a file as what its name says.
fn read(name: &str, bytes: &[u8]) -> Result<(), SnapshotError> {
    match name {
        "MANIFEST" => Manifest::decode(bytes).map(|_| ()),
        _ => {
            let number = u32::from(name.ends_with('1'));
            decode_chunk(bytes, id(number), listed(number)).map(|_| ())
        }
    }
}

/// Red when: the crc does not cover the padding, the header's zeros or its own first bytes.
#[test]
fn every_flipped_byte_is_reported() {
    for (name, whole) in files() {
        assert_eq!(read(name, &whole), Ok(()), "{name}");
        // Where the header says how large the file is.
        let sizes = if name == "MANIFEST" { 64..72 } else { 40..44 };
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let error = read(name, &bytes).expect_err("a byte is wrong");
                match at {
                    0..8 => assert_eq!(error, SnapshotError::Magic, "{name} {at}"),
                    _ if sizes.contains(&at) && matches!(error, SnapshotError::Size { .. }) => {}
                    _ => assert!(
                        matches!(error, SnapshotError::Checksum { offset: 12, .. }),
                        "{name} {at}: {error:?}"
                    ),
                }
            }
        }
    }
}

/// Red when: a file that was cut at a block is decoded as far as it goes.
#[test]
fn every_cut_or_lengthened_file_is_reported_by_its_size() {
    for (name, whole) in files() {
        let expected = whole.len() as u64;
        for size in (0..whole.len()).chain([whole.len() + 1, whole.len() + 4096]) {
            let mut bytes = whole.clone();
            bytes.resize(size, 0);
            let error = read(name, &bytes).expect_err("the size is wrong");
            let header = if name == "MANIFEST" { 80 } else { 64 };
            if size < header {
                assert_eq!(error, SnapshotError::Short { size, header }, "{name}");
            } else {
                let found = size as u64;
                assert_eq!(error, SnapshotError::Size { found, expected }, "{name}");
            }
        }
    }
}

/// What a lost write leaves on many disks.
#[test]
fn zeros_are_neither_chunk_nor_manifest() {
    let zeros = vec![0; 8192];
    assert_eq!(inspect_chunk(&zeros), Err(SnapshotError::Magic));
    assert_eq!(Manifest::decode(&zeros), Err(SnapshotError::Magic));
}

/// Red when: the manifest's checksum of a chunk is not compared, or its place is not.
#[test]
fn a_whole_chunk_in_the_place_of_another_is_reported() {
    let files = files();
    let error = decode_chunk(&files[1].1, id(0), listed(0)).expect_err("it is chunk 1");
    let elsewhere = SnapshotError::Elsewhere { slice: id(1).slice, index: id(1).index, number: 1 };
    assert_eq!(error, elsewhere);
    let (earlier, _) = wal::snapshot::encode_chunk(id(0), &crate::bench::prose(9001));
    let error = decode_chunk(&earlier, id(0), listed(0)).expect_err("the manifest has another");
    assert_eq!(error, SnapshotError::NotListed { name: "raw size", listed: 9000, found: 9001 });
    let (same_size, reference) = wal::snapshot::encode_chunk(id(1), &[9; 5000]);
    let sizes = wal::snapshot::ChunkRef { crc: listed(1).crc, ..reference };
    let error = decode_chunk(&same_size, id(1), sizes).expect_err("the checksum differs");
    assert!(matches!(error, SnapshotError::NotListed { name: "checksum", .. }), "{error:?}");
}

#[test]
fn what_is_wrong_is_said_with_the_place_and_the_values() {
    let (_, mut chunk) = files().swap_remove(0);
    chunk.truncate(4000);
    let text = read("chunk-000000", &chunk).expect_err("it was cut").to_string();
    assert!(text.contains("4000") && text.contains("4096"), "{text}");
    let (_, mut chunk) = files().swap_remove(0);
    chunk[100] ^= 4;
    let text = read("chunk-000000", &chunk).expect_err("a bit is wrong").to_string();
    assert!(text.contains("offset 12"), "{text}");
}
