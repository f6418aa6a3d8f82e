//! One chunk: a piece of a keyspace as a file of whole blocks.
//!
//! ```text
//!   0 magic[8] · 8 version u32 · 12 crc u32 · 16 slice u16 · 18 codec u8 · 19 zero[5]
//!  24 index u64 · 32 number u32 · 36 raw size u32 · 40 stored size u32 · 44 zero[20]
//!  64 body · zeros to 4 KiB
//! ```
//!
//! The crc covers every byte of the file but itself, padding included: no byte is without meaning.
//! The body is an LZ4 block, or the bytes as they are when LZ4 does not make them smaller.

use base::limits::CHUNK_SIZE_MAX;
use base::{LogIndex, SliceId};

use crate::bytes::{is_zero, put, to_blocks, u16_at, u32_at, u64_at};
use crate::snapshot::SnapshotError;

/// Bytes before the body.
pub const CHUNK_HEADER_SIZE: usize = 64;

const MAGIC: [u8; 8] = *b"TOROIDSC";
const VERSION: u32 = 1;

/// An LZ4 block does not expand further: a byte of it stands for at most 255 bytes.
const EXPANSION_MAX: u64 = 255;

/// LZ4 of the largest chunk, at its worst, fits the header's sizes.
const _: () = assert!(CHUNK_SIZE_MAX + CHUNK_SIZE_MAX / 255 + 4096 < u32::MAX as usize);

/// Which piece of which snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkId {
    pub slice: SliceId,
    pub index: LogIndex,
    /// Dense from zero.
    pub number: u32,
}

/// How a body is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    Lz4,
}

/// What a chunk says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    pub id: ChunkId,
    pub codec: Codec,
    pub raw_size: u32,
    pub stored_size: u32,
    /// As stored; it fits.
    pub crc: u32,
}

/// What a manifest says of a chunk: enough to know its file from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// Of the whole file.
    pub file_size: u32,
    pub raw_size: u32,
    pub crc: u32,
}

/// The whole file of a chunk, and what the manifest has to say of it.
pub fn encode_chunk(id: ChunkId, raw: &[u8]) -> (Vec<u8>, ChunkRef) {
    assert!(raw.len() <= CHUNK_SIZE_MAX);
    let room = lz4_flex::block::get_maximum_output_size(raw.len());
    let mut file = vec![0; CHUNK_HEADER_SIZE + room];
    let packed = lz4_flex::block::compress_into(raw, &mut file[CHUNK_HEADER_SIZE..])
        .expect("the room is what LZ4 asks for at its worst");
    let (codec, stored) = if packed < raw.len() {
        (Codec::Lz4, packed)
    } else {
        put(&mut file, CHUNK_HEADER_SIZE, raw);
        (Codec::None, raw.len())
    };
    let size = to_blocks((CHUNK_HEADER_SIZE + stored) as u64);
    file.truncate(CHUNK_HEADER_SIZE + stored);
    file.resize(usize::try_from(size).expect("a chunk is in memory"), 0);
    let size_u32 = |size: usize| u32::try_from(size).expect("a chunk is below 4 GiB");
    put(&mut file, 0, &MAGIC);
    put(&mut file, 8, &VERSION.to_le_bytes());
    put(&mut file, 16, &id.slice.0.to_le_bytes());
    put(&mut file, 18, &[codec as u8]);
    put(&mut file, 24, &id.index.0.to_le_bytes());
    put(&mut file, 32, &id.number.to_le_bytes());
    put(&mut file, 36, &size_u32(raw.len()).to_le_bytes());
    put(&mut file, 40, &size_u32(stored).to_le_bytes());
    let crc = checksum(&file);
    put(&mut file, 12, &crc.to_le_bytes());
    let reference =
        ChunkRef { file_size: size_u32(file.len()), raw_size: size_u32(raw.len()), crc };
    (file, reference)
}

/// What the chunk in `file` says of itself, once every byte of it has been checked; its body is not
/// expanded.
pub fn inspect_chunk(file: &[u8]) -> Result<ChunkHeader, SnapshotError> {
    check_frame(file, &MAGIC, VERSION, CHUNK_HEADER_SIZE, stored_file_size)?;
    let field = |name, offset, value| Err(SnapshotError::Field { name, offset, value });
    let (raw_size, stored_size) = (u32_at(file, 36), u32_at(file, 40));
    let codec = match file[18] {
        0 => Codec::None,
        1 => Codec::Lz4,
        other => return field("codec", 18, other.into()),
    };
    if CHUNK_SIZE_MAX < raw_size as usize {
        return field("raw size", 36, raw_size.into());
    }
    let fits = match codec {
        Codec::None => stored_size == raw_size,
        Codec::Lz4 => {
            stored_size < raw_size && u64::from(raw_size) <= EXPANSION_MAX * u64::from(stored_size)
        }
    };
    if !fits {
        return field("stored size", 40, stored_size.into());
    }
    let body_end = CHUNK_HEADER_SIZE + stored_size as usize;
    for (start, end) in [(19, 24), (44, CHUNK_HEADER_SIZE), (body_end, file.len())] {
        if !is_zero(&file[start..end]) {
            return field("padding", start, 1);
        }
    }
    let (slice, index) = (SliceId(u16_at(file, 16)), LogIndex(u64_at(file, 24)));
    let id = ChunkId { slice, index, number: u32_at(file, 32) };
    Ok(ChunkHeader { id, codec, raw_size, stored_size, crc: u32_at(file, 12) })
}

/// The bytes that were put into the chunk, which must be `id` as the manifest lists it.
pub fn decode_chunk(file: &[u8], id: ChunkId, listed: ChunkRef) -> Result<Vec<u8>, SnapshotError> {
    let header = inspect_chunk(file)?;
    if header.id != id {
        let ChunkId { slice, index, number } = header.id;
        return Err(SnapshotError::Elsewhere { slice, index, number });
    }
    for (name, found, listed) in [
        ("size", file.len() as u64, u64::from(listed.file_size)),
        ("raw size", header.raw_size.into(), listed.raw_size.into()),
        ("checksum", header.crc.into(), listed.crc.into()),
    ] {
        if found != listed {
            return Err(SnapshotError::NotListed { name, listed, found });
        }
    }
    let body = &file[CHUNK_HEADER_SIZE..CHUNK_HEADER_SIZE + header.stored_size as usize];
    match header.codec {
        Codec::None => Ok(body.to_vec()),
        Codec::Lz4 => {
            let broken = |why| SnapshotError::Body { offset: CHUNK_HEADER_SIZE, why };
            let mut raw = vec![0; header.raw_size as usize];
            let size = lz4_flex::block::decompress_into(body, &mut raw)
                .map_err(|error| broken(error.to_string()))?;
            if size != raw.len() {
                let expected = raw.len();
                return Err(broken(format!("it holds {size} bytes instead of {expected}")));
            }
            Ok(raw)
        }
    }
}

/// What chunks and manifests have in common: magic, version, and a crc at offset 12 that covers all
/// but itself. `file_size` tells the size from a header whose version is known.
pub(super) fn check_frame(
    file: &[u8],
    magic: &[u8; 8],
    known: u32,
    header: usize,
    file_size: impl Fn(&[u8]) -> u64,
) -> Result<(), SnapshotError> {
    if file.len() < header {
        return Err(SnapshotError::Short { size: file.len(), header });
    }
    if file[..8] != magic[..] {
        return Err(SnapshotError::Magic);
    }
    let size = SnapshotError::Size { found: file.len() as u64, expected: file_size(file) };
    let is_sized = file.len() as u64 == file_size(file);
    let (stored, found) = (u32_at(file, 12), checksum(file));
    let version = u32_at(file, 8);
    if stored != found {
        // A file that was cut is better told by its size.
        let is_cut = version == known && !is_sized;
        return Err(if is_cut {
            size
        } else {
            SnapshotError::Checksum { offset: 12, stored, found }
        });
    }
    // A version is believed only if the checksum fits.
    if known < version {
        return Err(SnapshotError::Newer { version, known });
    }
    if version == 0 {
        return Err(SnapshotError::Field { name: "version", offset: 8, value: 0 });
    }
    if is_sized { Ok(()) } else { Err(size) }
}

/// Over everything but the crc itself.
pub(super) fn checksum(file: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&file[..12]);
    hasher.update(&file[16..]);
    hasher.finalize()
}

fn stored_file_size(header: &[u8]) -> u64 {
    to_blocks(CHUNK_HEADER_SIZE as u64 + u64::from(u32_at(header, 40)))
}
