//! One frame: what is written at once, aligned to 4 KiB.
//!
//! ```text
//!   0 magic u32 · 4 crc u32 · 8 sequence u64 · 16 salt u64
//!  24 payload size u32 · 28 version u16 · 30 run u8 · 31 flags u8
//!  32 previous crc u32 · 36 record count u32 · 40 durable hint u64 · 48 timestamp ms u64
//!  56 hard state generation u64 · 64 hint count u16 · 66 zero[6]
//!  72 hints: (log u16 · zero[6] · sequence u64) each · payload · padding to 4 KiB
//! ```
//!
//! The crc starts from a seed made of node, log and salt, and covers everything from offset 8 to
//! the end of the payload. Padding is not covered: damage to it is no damage to anything.

use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX};
use base::{CoreId, FrameSequence};

use crate::bytes::{is_zero, put, to_blocks, u16_at, u32_at, u64_at};

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"TFRM");
pub(crate) const VERSION: u16 = 1;
const FIXED_SIZE: usize = 72;
const HINT_SIZE: usize = 16;

/// Logs a frame can carry hints of: header and hints fit into one block with room to spare.
pub const HINTS_MAX: usize = 240;

/// This frame only says how far the log is durable.
pub(crate) const FLAG_SEAL: u8 = 1;

const _: () = assert!(FIXED_SIZE + HINTS_MAX * HINT_SIZE < BLOCK_SIZE);

/// Whose frames: enters every crc, so that another node's or log's frame never verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node_uuid: [u8; 16],
    pub(crate) log: CoreId,
}

impl Identity {
    /// Where the crc of a frame with this salt starts from.
    pub(crate) fn seed(&self, salt: u64) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.node_uuid);
        hasher.update(&self.log.0.to_le_bytes());
        hasher.update(&salt.to_le_bytes());
        hasher.finalize()
    }
}

/// The place of a frame in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Single,
    First,
    Middle,
    Last,
}

impl Run {
    /// Is the batch whole with this frame?
    pub fn ends_batch(self) -> bool {
        matches!(self, Self::Single | Self::Last)
    }

    fn code(self) -> u8 {
        match self {
            Self::Single => 0,
            Self::First => 1,
            Self::Middle => 2,
            Self::Last => 3,
        }
    }

    fn parse(code: u8) -> Option<Self> {
        [Self::Single, Self::First, Self::Middle, Self::Last].get(usize::from(code)).copied()
    }
}

/// Why the bytes at a place are not the frame that belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The block is all zeros.
    Zero,
    /// The file or the segment ends here.
    Ends,
    /// No frame starts like this.
    NotAFrame,
    /// It starts like a frame, with sizes no frame has.
    Malformed,
    /// The checksum does not fit the bytes.
    Checksum,
    /// A whole frame of an earlier use of the file.
    EarlierLife,
    /// A whole frame with another number.
    Sequence { found: FrameSequence },
    /// A whole frame that follows another one than the frame before it.
    Chain,
    /// A frame that breaks off the run before it, or continues none.
    Run,
    /// Both copies of the segment's header are damaged, or zero where they must not be.
    Header,
    /// No segment that could hold it is there.
    Missing,
    /// A whole frame of a newer format.
    Newer { version: u16 },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zero => f.write_str("the block is all zeros"),
            Self::Ends => f.write_str("the segment ends there"),
            Self::NotAFrame => f.write_str("no frame starts there"),
            Self::Malformed => f.write_str("the frame's header contradicts itself"),
            Self::Checksum => f.write_str("the frame's checksum does not fit its bytes"),
            Self::EarlierLife => f.write_str("a frame of an earlier use of the file is there"),
            Self::Sequence { found } => write!(f, "frame {found} is there instead"),
            Self::Chain => f.write_str("the frame does not follow the one before it"),
            Self::Run => f.write_str("the frame breaks a run of frames"),
            Self::Header => f.write_str("both copies of the segment's header are damaged"),
            Self::Missing => f.write_str("the segment that holds it is missing"),
            Self::Newer { version } => write!(f, "the frame has format version {version}"),
        }
    }
}

/// What a frame says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub sequence: FrameSequence,
    pub salt: u64,
    pub payload_size: u32,
    pub run: Run,
    pub is_seal: bool,
    pub previous_crc: u32,
    /// Of the whole batch; the same in each frame of a run.
    pub record_count: u32,
    /// The last frame of the last batch that was durable when this one was submitted.
    pub durable_hint: FrameSequence,
    pub timestamp_ms: u64,
    /// The hard state known durable when this was submitted.
    pub hard_state_generation: u64,
    /// Durable hints of other logs of the node.
    pub hints: Vec<(CoreId, FrameSequence)>,
    /// As stored; the next frame carries it.
    pub crc: u32,
}

/// A frame that verified, with its payload.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) payload: &'a [u8],
    /// With header and padding.
    pub(crate) size: u64,
}

/// Bytes before the payload.
pub(crate) fn header_size(hint_count: usize) -> usize {
    FIXED_SIZE + hint_count * HINT_SIZE
}

impl FrameHeader {
    /// With header and padding.
    pub fn size(&self) -> u64 {
        to_blocks(header_size(self.hints.len()) as u64 + u64::from(self.payload_size))
    }

    /// Writes the frame and returns its crc; `self.crc` is not looked at.
    pub(crate) fn encode(&self, seed: u32, payload: &[u8], into: &mut [u8]) -> u32 {
        assert!(into.len() as u64 == self.size());
        assert!(payload.len() == self.payload_size as usize);
        assert!(self.hints.len() <= HINTS_MAX);
        let start = header_size(self.hints.len());
        let end = start + payload.len();
        put(into, 0, &MAGIC.to_le_bytes());
        put(into, 8, &self.sequence.0.to_le_bytes());
        put(into, 16, &self.salt.to_le_bytes());
        put(into, 24, &self.payload_size.to_le_bytes());
        put(into, 28, &VERSION.to_le_bytes());
        put(into, 30, &[self.run.code(), if self.is_seal { FLAG_SEAL } else { 0 }]);
        put(into, 32, &self.previous_crc.to_le_bytes());
        put(into, 36, &self.record_count.to_le_bytes());
        put(into, 40, &self.durable_hint.0.to_le_bytes());
        put(into, 48, &self.timestamp_ms.to_le_bytes());
        put(into, 56, &self.hard_state_generation.to_le_bytes());
        put(into, 64, &(self.hints.len() as u64).to_le_bytes());
        for (at, (log, sequence)) in self.hints.iter().enumerate() {
            let at = FIXED_SIZE + at * HINT_SIZE;
            put(into, at, &u64::from(log.0).to_le_bytes());
            put(into, at + 8, &sequence.0.to_le_bytes());
        }
        put(into, start, payload);
        into[end..].fill(0);
        let crc = checksum(seed, &into[8..end]);
        put(into, 4, &crc.to_le_bytes());
        crc
    }
}

/// The size of the frame that seems to start with this block.
pub(crate) fn measure(block: &[u8]) -> Result<u64, Fault> {
    assert!(block.len() == BLOCK_SIZE);
    if u32_at(block, 0) != MAGIC {
        return Err(if is_zero(block) { Fault::Zero } else { Fault::NotAFrame });
    }
    let hint_count = usize::from(u16_at(block, 64));
    if HINTS_MAX < hint_count {
        return Err(Fault::Malformed);
    }
    let size = to_blocks(header_size(hint_count) as u64 + u64::from(u32_at(block, 24)));
    if size <= FRAME_SIZE_MAX as u64 { Ok(size) } else { Err(Fault::Malformed) }
}

/// Reads the frame in `bytes`, whose size [`measure`] found. It is then whole and consistent in
/// itself; whether it belongs where it is, is the caller's question.
pub(crate) fn decode(identity: Identity, bytes: &[u8]) -> Result<Frame<'_>, Fault> {
    let hint_count = usize::from(u16_at(bytes, 64));
    let payload_size = u32_at(bytes, 24);
    let start = header_size(hint_count);
    let end = start + payload_size as usize;
    assert!(end <= bytes.len());
    let salt = u64_at(bytes, 16);
    let crc = u32_at(bytes, 4);
    if crc != checksum(identity.seed(salt), &bytes[8..end]) {
        return Err(Fault::Checksum);
    }
    let version = u16_at(bytes, 28);
    if VERSION < version {
        return Err(Fault::Newer { version });
    }
    let hints = (0..hint_count).map(|at| {
        let at = FIXED_SIZE + at * HINT_SIZE;
        (CoreId(u16_at(bytes, at)), FrameSequence(u64_at(bytes, at + 8)))
    });
    let header = FrameHeader {
        sequence: FrameSequence(u64_at(bytes, 8)),
        salt,
        payload_size,
        run: Run::parse(bytes[30]).ok_or(Fault::Malformed)?,
        is_seal: bytes[31] & FLAG_SEAL != 0,
        previous_crc: u32_at(bytes, 32),
        record_count: u32_at(bytes, 36),
        durable_hint: FrameSequence(u64_at(bytes, 40)),
        timestamp_ms: u64_at(bytes, 48),
        hard_state_generation: u64_at(bytes, 56),
        hints: hints.collect(),
        crc,
    };
    let sane = version == VERSION
        && bytes[31] & !FLAG_SEAL == 0
        && header.durable_hint < header.sequence
        && header.sequence.0 < u64::MAX / 2;
    if !sane {
        return Err(Fault::Malformed);
    }
    Ok(Frame { header, payload: &bytes[start..end], size: bytes.len() as u64 })
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}
