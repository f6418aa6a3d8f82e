//! The manifest: of which slice a snapshot is, at which index, and what its chunks are.
//!
//! ```text
//!   0 magic[8] · 8 version u32 · 12 crc u32 · 16 node uuid[16] · 32 slice u16 · 34 zero[6]
//!  40 index u64 · 48 term u64 · 56 clock ms u64 · 64 attachment size u32 · 68 chunk count u32
//!  72 zero[8]
//!  80 attachment · chunks: (file size u32 · raw size u32 · crc u32) each · zeros to 4 KiB
//! ```
//!
//! The crc covers every byte of the file but itself. What the attachment means is the node's.

use base::{LogIndex, SliceId, Term};

use crate::bytes::{array, is_zero, put, to_blocks, u16_at, u32_at, u64_at};
use crate::snapshot::chunk::{check_frame, checksum};
use crate::snapshot::{ChunkRef, SnapshotError};

/// The largest attachment: bytes.
pub const ATTACHMENT_SIZE_MAX: usize = 64 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"TOROIDSM";
const VERSION: u32 = 1;
const HEADER_SIZE: usize = 80;
const REF_SIZE: usize = 12;

/// A whole snapshot but for the bytes of its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Whose data directory it belongs to.
    pub node_uuid: [u8; 16],
    pub slice: SliceId,
    /// The last entry that is in it.
    pub index: LogIndex,
    /// Of that entry.
    pub term: Term,
    /// The clock of the last batch that is in it.
    pub clock_ms: u64,
    /// What the node wants back.
    pub attachment: Vec<u8>,
    /// In the order of their numbers.
    pub chunks: Vec<ChunkRef>,
}

impl Manifest {
    /// Bytes of the chunks before compression.
    pub fn raw_size(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.raw_size)).sum()
    }

    /// Bytes of the chunks' files.
    pub fn file_size(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.file_size)).sum()
    }

    /// The whole file.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.attachment.len() <= ATTACHMENT_SIZE_MAX);
        let size_u32 = |size: usize| u32::try_from(size).expect("a manifest has bounded parts");
        let end = HEADER_SIZE + self.attachment.len();
        let size = to_blocks((end + self.chunks.len() * REF_SIZE) as u64);
        let mut file = vec![0; usize::try_from(size).expect("a manifest is in memory")];
        put(&mut file, 0, &MAGIC);
        put(&mut file, 8, &VERSION.to_le_bytes());
        put(&mut file, 16, &self.node_uuid);
        put(&mut file, 32, &self.slice.0.to_le_bytes());
        put(&mut file, 40, &self.index.0.to_le_bytes());
        put(&mut file, 48, &self.term.0.to_le_bytes());
        put(&mut file, 56, &self.clock_ms.to_le_bytes());
        put(&mut file, 64, &size_u32(self.attachment.len()).to_le_bytes());
        put(&mut file, 68, &size_u32(self.chunks.len()).to_le_bytes());
        put(&mut file, HEADER_SIZE, &self.attachment);
        for (chunk, at) in self.chunks.iter().zip((end..).step_by(REF_SIZE)) {
            put(&mut file, at, &chunk.file_size.to_le_bytes());
            put(&mut file, at + 4, &chunk.raw_size.to_le_bytes());
            put(&mut file, at + 8, &chunk.crc.to_le_bytes());
        }
        let crc = checksum(&file);
        put(&mut file, 12, &crc.to_le_bytes());
        file
    }

    /// Reads the whole file; every byte of it is checked.
    pub fn decode(file: &[u8]) -> Result<Self, SnapshotError> {
        check_frame(file, &MAGIC, VERSION, HEADER_SIZE, file_size)?;
        let (attachment_size, count) = (u32_at(file, 64) as usize, u32_at(file, 68) as usize);
        if ATTACHMENT_SIZE_MAX < attachment_size {
            let (name, value) = ("attachment's size", attachment_size as u64);
            return Err(SnapshotError::Field { name, offset: 64, value });
        }
        // The file is as large as these say: nothing below reaches beyond it.
        let (refs, end) =
            (HEADER_SIZE + attachment_size, HEADER_SIZE + attachment_size + count * REF_SIZE);
        for (start, end) in [(34, 40), (72, HEADER_SIZE), (end, file.len())] {
            if !is_zero(&file[start..end]) {
                return Err(SnapshotError::Field { name: "padding", offset: start, value: 1 });
            }
        }
        let chunks = file[refs..end].chunks_exact(REF_SIZE).map(|chunk| ChunkRef {
            file_size: u32_at(chunk, 0),
            raw_size: u32_at(chunk, 4),
            crc: u32_at(chunk, 8),
        });
        Ok(Self {
            node_uuid: array(file, 16),
            slice: SliceId(u16_at(file, 32)),
            index: LogIndex(u64_at(file, 40)),
            term: Term(u64_at(file, 48)),
            clock_ms: u64_at(file, 56),
            attachment: file[HEADER_SIZE..refs].to_vec(),
            chunks: chunks.collect(),
        })
    }
}

fn file_size(header: &[u8]) -> u64 {
    let (attachment, count) = (u64::from(u32_at(header, 64)), u64::from(u32_at(header, 68)));
    to_blocks(HEADER_SIZE as u64 + attachment + count * REF_SIZE as u64)
}
