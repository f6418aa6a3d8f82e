//! What is put in comes out.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use wal::snapshot::{ChunkRef, Codec, Manifest, decode_chunk, encode_chunk, inspect_chunk};

use crate::bench::{id, manifest, noise, prose};

const BLOCK: usize = 4096;

/// Red when: a body that fills its last block wholly gets a block of padding; noise is stored
/// compressed, that is, larger than it is.
#[test]
fn chunks_are_whole_blocks_and_never_larger_than_their_bytes_need() {
    for size in [0, 1, BLOCK - 64, BLOCK - 63, 2 * BLOCK, 300_000] {
        let raw = noise(size);
        let (file, reference) = encode_chunk(id(7), &raw);
        assert_eq!(file.len(), (64 + size).next_multiple_of(BLOCK));
        assert_eq!(reference.file_size as usize, file.len());
        assert_eq!(inspect_chunk(&file).expect("it is whole").codec, Codec::None);
        assert_eq!(decode_chunk(&file, id(7), reference), Ok(raw));
    }
    let raw = prose(300_000);
    let (file, reference) = encode_chunk(id(7), &raw);
    assert!(file.len() < raw.len() / 50, "{}", file.len());
    assert_eq!(inspect_chunk(&file).expect("it is whole").codec, Codec::Lz4);
    assert_eq!(decode_chunk(&file, id(7), reference), Ok(raw));
}

#[test]
fn a_manifest_without_chunks_and_attachment_is_one_block() {
    let manifest = Manifest { attachment: Vec::new(), ..manifest(Vec::new()) };
    let file = manifest.encode();
    assert_eq!(file.len(), BLOCK);
    assert_eq!(Manifest::decode(&file), Ok(manifest));
}

fn raw() -> impl Strategy<Value = Vec<u8>> {
    // Runs of one byte and noise in turns: literals, matches and their borders.
    let run = (any::<u8>(), 0..600_usize).prop_map(|(byte, size)| vec![byte; size]);
    let piece = prop_oneof![run, vec(any::<u8>(), 0..600)];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_come_back_from_their_chunk(raw in raw(), number in any::<u32>()) {
        let (file, reference) = encode_chunk(id(number), &raw);
        assert_eq!(decode_chunk(&file, id(number), reference), Ok(raw));
    }

    #[test]
    fn any_manifest_comes_back(
        attachment in vec(any::<u8>(), 0..9000),
        chunks in vec(any::<(u32, u32, u32)>(), 0..800),
        place in any::<(u16, u64, u64, u64)>(),
    ) {
        let chunks = chunks
            .into_iter()
            .map(|(file_size, raw_size, crc)| ChunkRef { file_size, raw_size, crc });
        let manifest = Manifest {
            attachment,
            slice: base::SliceId(place.0),
            index: base::LogIndex(place.1),
            term: base::Term(place.2),
            clock_ms: place.3,
            ..manifest(chunks.collect())
        };
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }
}
