//! Bytes with a checksum that fits, made by somebody who means ill: an error, never a panic, and
//! never more memory than the file's own size warrants.

use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use wal::snapshot::{ChunkRef, Manifest, SnapshotError, decode_chunk, inspect_chunk};

use crate::bench::{files, id};

/// The crc that makes the decoder look at the fields.
fn seal(file: &mut [u8]) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file[..12]);
    hasher.update(&file[16..]);
    let crc = hasher.finalize();
    file[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// The file called `name` with bytes put somewhere, and sealed.
fn forged(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let files = files();
    let (_, mut file) =
        files.into_iter().find(|file| file.0 == name).expect("it is one of the files");
    file[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut file);
    file
}

/// Whatever the manifest would have to say of these bytes.
fn reference(file: &[u8]) -> ChunkRef {
    let size = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    let file_size = u32::try_from(file.len()).expect("it is small");
    ChunkRef { file_size, raw_size: size(36), crc: size(12) }
}

#[test]
fn a_newer_format_is_refused_by_its_version() {
    let newer = Err(SnapshotError::Newer { version: 2, known: 1 });
    assert_eq!(inspect_chunk(&forged("chunk-000000", 8, &[2])), newer);
    let manifest = Manifest::decode(&forged("MANIFEST", 8, &[2]));
    assert_eq!(manifest.map(|_| ()), newer.map(|_| ()));
}

/// Red when: the raw size is believed before it is held against the stored one (memory for 1 GiB
/// is then asked for), or zeros that must be zeros are not looked at.
#[test]
fn every_field_is_checked_although_the_checksum_fits() {
    for (at, bytes, name) in [
        (8, &[0_u8][..], "version"),
        (18, &[2], "codec"),
        (19, &[1], "padding"),
        (23, &[1], "padding"),
        (36, &[0, 0, 0, 0x3f], "stored size"),
        (36, &[1, 0, 0, 0x40], "raw size"),
        (36, &[3, 0, 0, 0], "stored size"),
        (63, &[1], "padding"),
        (4095, &[1], "padding"),
    ] {
        let error = inspect_chunk(&forged("chunk-000000", at, bytes)).expect_err("it is forged");
        assert!(
            matches!(error, SnapshotError::Field { name: found, .. } if found == name),
            "{at}: {error:?}"
        );
    }
    for at in [34, 39, 72, 79, 4095] {
        let error = Manifest::decode(&forged("MANIFEST", at, &[1])).expect_err("it is forged");
        assert!(matches!(error, SnapshotError::Field { name: "padding", .. }), "{at}: {error:?}");
    }
    for at in [64, 68] {
        let forged = forged("MANIFEST", at, &[0xff; 4]);
        let error = Manifest::decode(&forged).expect_err("it is forged");
        assert!(matches!(error, SnapshotError::Size { .. }), "{at}: {error:?}");
    }
}

/// Red when: a body that expands to less than its size is taken, with zeros behind.
#[test]
fn a_body_that_expands_to_another_size_is_refused() {
    for (raw_size, word) in [(9001_u32, "9000 bytes instead of 9001"), (8999, "")] {
        let file = forged("chunk-000000", 36, &raw_size.to_le_bytes());
        let error = decode_chunk(&file, id(0), reference(&file)).expect_err("it is forged");
        assert!(matches!(error, SnapshotError::Body { offset: 64, .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_decoder_panic(
        body in vec(any::<u8>(), 40..200),
        raw_size in 1..60_000_u32,
    ) {
        let mut file = forged("chunk-000000", 64, &body);
        file[36..40].copy_from_slice(&raw_size.to_le_bytes());
        seal(&mut file);
        if let Ok(raw) = decode_chunk(&file, id(0), reference(&file)) {
            assert_eq!(raw.len(), raw_size as usize);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        start in vec(any::<u8>(), 0..300),
        size in 0..9000_usize,
        has_magic in any::<bool>(),
        is_sealed in any::<bool>(),
    ) {
        for magic in [b"TOROIDSC", b"TOROIDSM"] {
            let mut file = start.clone();
            file.resize(size, 0);
            if has_magic && 8 <= file.len() {
                file[..8].copy_from_slice(magic);
            }
            if is_sealed && 16 <= file.len() {
                seal(&mut file);
            }
            // Both must return; what they find is no concern here.
            let found = (inspect_chunk(&file).is_ok(), Manifest::decode(&file).is_ok());
            assert!(!found.0 || !found.1);
        }
    }
}
