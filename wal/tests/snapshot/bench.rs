//! A small snapshot, and bytes of every kind of compressibility.

use base::{LogIndex, Prng, SliceId, Term};
use wal::snapshot::{ChunkId, ChunkRef, Manifest, encode_chunk};

pub fn id(number: u32) -> ChunkId {
    ChunkId { slice: SliceId(3), index: LogIndex(4711), number }
}

/// LZ4 can do nothing with these.
pub fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Prng::from_seed(size as u64).fill(&mut bytes);
    bytes
}

/// LZ4 makes these a small part of what they were.
pub fn prose(size: usize) -> Vec<u8> {
    b"a ring of ferrite keeps one bit without power; ".iter().copied().cycle().take(size).collect()
}

pub fn manifest(chunks: Vec<ChunkRef>) -> Manifest {
    Manifest {
        node_uuid: *b"the node's uuid.",
        slice: SliceId(3),
        index: LogIndex(4711),
        term: Term(12),
        clock_ms: 1_700_000_000_123,
        attachment: b"term starts and void ranges".to_vec(),
        chunks,
    }
}

/// The files of a snapshot of two chunks, one that LZ4 makes smaller and one that it does not.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    let (first, first_ref) = encode_chunk(id(0), &prose(9000));
    let (second, second_ref) = encode_chunk(id(1), &noise(5000));
    let manifest = manifest(vec![first_ref, second_ref]).encode();
    vec![("chunk-000000", first), ("chunk-000001", second), ("MANIFEST", manifest)]
}
