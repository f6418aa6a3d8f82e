//! The format as it was shipped: `docs/formats/snapshot.md` is proven by these files.
//!
//! They were written by `cargo run -p wal --example golden -- wal/tests/golden`. How LZ4 divides
//! bytes into matches is its own affair, so a compressed chunk is only read.

use wal::snapshot::{Codec, Manifest, decode_chunk, encode_chunk, inspect_chunk};

use crate::bench::{files, id, manifest, noise, prose};

const COMPRESSED: &[u8] = include_bytes!("../golden/snapshot/chunk-000000");
const PLAIN: &[u8] = include_bytes!("../golden/snapshot/chunk-000001");
const MANIFEST: &[u8] = include_bytes!("../golden/snapshot/MANIFEST");

/// Red when: any byte that is written changes its place, meaning or value.
#[test]
fn a_snapshot_is_written_byte_for_byte_as_it_was_shipped() {
    assert!(files()[1].1 == PLAIN, "the plain chunk differs");
    let chunks = Manifest::decode(MANIFEST).expect("the golden manifest is whole").chunks;
    assert!(manifest(chunks).encode() == MANIFEST, "the manifest differs");
}

/// Red when: a shipped snapshot can no longer be read.
#[test]
fn a_shipped_snapshot_is_read() {
    let read = Manifest::decode(MANIFEST).expect("the golden manifest is whole");
    assert_eq!(read, manifest(read.chunks.clone()));
    assert_eq!(inspect_chunk(COMPRESSED).map(|header| header.codec), Ok(Codec::Lz4));
    assert_eq!(decode_chunk(COMPRESSED, id(0), read.chunks[0]), Ok(prose(9000)));
    assert_eq!(decode_chunk(PLAIN, id(1), read.chunks[1]), Ok(noise(5000)));
    let (_, reference) = encode_chunk(id(1), &noise(5000));
    assert_eq!((read.chunks[1], read.chunks.len()), (reference, 2));
}
