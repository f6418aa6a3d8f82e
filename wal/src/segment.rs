//! The header of a segment: two identical copies, one per block, written in one write.
//!
//! ```text
//!   0 magic[8] · 8 version u32 · 12 crc u32 · 16 node uuid[16] · 32 log u16 · 34 zero[6]
//!  40 boot u64 · 48 salt u64 · 56 segment size u64 · 64 first sequence u64
//!  72 previous crc u32 · 76 zero u32 · 80 created ms u64 · 88 durable hint u64
//!  96 log start u64 · 104 zeros to 4096
//! ```
//!
//! A spare carries a *mark* instead: the same first 34 bytes with another magic, in both blocks.
//! It is written when the file is wholly prepared and its directory flushed, so that a file which a
//! crash left half prepared is not mistaken for one; and over the header of a segment in which
//! nothing lives any more.
//!
//! Magic, version and crc keep their places and meaning in every later version, so that a newer
//! format is told from damage.

use base::limits::{BLOCK_SIZE, SEGMENT_SIZE_MIN};
use base::{CoreId, FrameSequence};

use crate::bytes::{BLOCK, array, is_zero, put, u16_at, u32_at, u64_at};
use crate::frame::Identity;

/// Both copies; the first frame follows.
pub const HEADER_SIZE: usize = 2 * BLOCK_SIZE;

const MAGIC: [u8; 8] = *b"TOROIDSG";
const SPARE_MAGIC: [u8; 8] = *b"TOROIDSP";
const VERSION: u32 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub node_uuid: [u8; 16],
    pub log: CoreId,
    /// Counts the starts of this log. Segments are ordered by boot, then first sequence.
    pub boot: u64,
    /// Fresh for each use of a file, so that frames of an earlier use never verify.
    pub salt: u64,
    pub segment_size: u64,
    pub first_sequence: FrameSequence,
    /// The crc of the frame before the first; zero if there is none.
    pub previous_crc: u32,
    pub created_ms: u64,
    /// The last frame of the last batch that was durable when this was written.
    pub durable_hint: FrameSequence,
    /// The first frame the log still held when this was written; frames below it were trimmed.
    pub log_start: FrameSequence,
}

/// What one copy of a header turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    Valid(SegmentHeader),
    Spare(Identity),
    Zero,
    Damaged,
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn identity(&self) -> Identity {
        Identity { node_uuid: self.node_uuid, log: self.log }
    }

    /// Both copies.
    pub(crate) fn encode(&self, into: &mut [u8]) {
        assert!(into.len() == HEADER_SIZE);
        into.fill(0);
        let (block, second) = into.split_at_mut(BLOCK_SIZE);
        put(block, 0, &MAGIC);
        put(block, 8, &VERSION.to_le_bytes());
        put(block, 16, &self.node_uuid);
        put(block, 32, &self.log.0.to_le_bytes());
        put(block, 40, &self.boot.to_le_bytes());
        put(block, 48, &self.salt.to_le_bytes());
        put(block, 56, &self.segment_size.to_le_bytes());
        put(block, 64, &self.first_sequence.0.to_le_bytes());
        put(block, 72, &self.previous_crc.to_le_bytes());
        put(block, 80, &self.created_ms.to_le_bytes());
        put(block, 88, &self.durable_hint.0.to_le_bytes());
        put(block, 96, &self.log_start.0.to_le_bytes());
        let crc = checksum(block);
        put(block, 12, &crc.to_le_bytes());
        second.copy_from_slice(block);
    }

    /// Reads one copy.
    pub(crate) fn decode(block: &[u8]) -> Copy {
        assert!(block.len() == BLOCK_SIZE);
        if is_zero(block) {
            return Copy::Zero;
        }
        let is_spare = block[..8] == SPARE_MAGIC;
        if block[..8] != MAGIC && !is_spare || u32_at(block, 12) != checksum(block) {
            return Copy::Damaged;
        }
        let version = u32_at(block, 8);
        if VERSION < version {
            return Copy::Newer(version);
        }
        if is_spare {
            let log = CoreId(u16_at(block, 32));
            return Copy::Spare(Identity { node_uuid: array(block, 16), log });
        }
        let header = Self {
            node_uuid: array(block, 16),
            log: CoreId(u16_at(block, 32)),
            boot: u64_at(block, 40),
            salt: u64_at(block, 48),
            segment_size: u64_at(block, 56),
            first_sequence: FrameSequence(u64_at(block, 64)),
            previous_crc: u32_at(block, 72),
            created_ms: u64_at(block, 80),
            durable_hint: FrameSequence(u64_at(block, 88)),
            log_start: FrameSequence(u64_at(block, 96)),
        };
        let sane = version == VERSION
            && SEGMENT_SIZE_MIN <= header.segment_size
            && header.segment_size.is_multiple_of(BLOCK)
            && header.durable_hint < header.first_sequence
            && header.log_start <= header.first_sequence
            && FrameSequence::NONE < header.log_start
            && header.first_sequence.0 < u64::MAX / 2
            && header.boot < u64::MAX / 2;
        if sane { Copy::Valid(header) } else { Copy::Damaged }
    }
}

/// Both copies of the mark of a spare.
pub(crate) fn encode_mark(identity: Identity, into: &mut [u8]) {
    assert!(into.len() == HEADER_SIZE);
    into.fill(0);
    let (block, second) = into.split_at_mut(BLOCK_SIZE);
    put(block, 0, &SPARE_MAGIC);
    put(block, 8, &VERSION.to_le_bytes());
    put(block, 16, &identity.node_uuid);
    put(block, 32, &identity.log.0.to_le_bytes());
    let crc = checksum(block);
    put(block, 12, &crc.to_le_bytes());
    second.copy_from_slice(block);
}

/// Over the whole block but the crc itself.
fn checksum(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..12]);
    hasher.update(&block[16..]);
    hasher.finalize()
}
