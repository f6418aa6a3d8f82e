//! The double slot of terms and votes: two places of the file `hardstate`, written in turn.
//!
//! ```text
//!   0 magic[8] · 8 version u32 · 12 crc u32 · 16 node uuid[16] · 32 log u16 · 34 zero u16
//!  36 count u32 · 40 generation u64 · 48 durable hint u64 · 56 log start u64
//!  64 states: (slice u16 · voted u8 · zero[5] · term u64 · vote u64) each
//! ```
//!
//! Generation g lies in slot g mod 2, so the newest whole one is never written over. A slot is
//! 32 KiB apart from the other, enough for every slice a node can have; only the blocks in use
//! are written (one, up to 168 slices).
//!
//! The log's start stands here too, because it must be durable before the segments below it go.
//! Version 1 has none: nothing was trimmed yet, and whoever knows no other may read it.

use std::collections::BTreeMap;

use base::limits::{BLOCK_SIZE, SLICES_MAX};
use base::{CoreId, FrameSequence, LogIndex, SliceId, Term};

use crate::bytes::{array, is_zero, put, to_blocks, u16_at, u32_at, u64_at};
use crate::frame::Identity;
use crate::record::HardState;

/// From one slot to the other, and half of the file.
pub const HARD_STATE_SLOT_SIZE: usize = 32 * 1024;

/// Slices one log can hold the terms and votes of.
pub const HARD_STATES_MAX: usize = (HARD_STATE_SLOT_SIZE - FIXED_SIZE) / STATE_SIZE;

const MAGIC: [u8; 8] = *b"TOROIDHS";
const VERSION: u32 = 2;
const VERSION_UNTRIMMED: u32 = 1;
const FIXED_SIZE: usize = 64;
const STATE_SIZE: usize = 24;

const _: () = assert!(SLICES_MAX as usize <= HARD_STATES_MAX);
const _: () = assert!(HARD_STATE_SLOT_SIZE.is_multiple_of(BLOCK_SIZE));

/// Terms and votes by slice.
pub(crate) type Votes = BTreeMap<SliceId, (Term, Option<u64>)>;

/// The content of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) identity: Identity,
    pub(crate) generation: u64,
    pub(crate) durable_hint: FrameSequence,
    /// The first frame the log holds.
    pub(crate) log_start: FrameSequence,
    pub(crate) votes: Votes,
}

/// What a slot turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlotRead {
    Valid(Slot),
    Zero,
    Damaged,
    Newer(u32),
}

impl Slot {
    pub(crate) fn offset(&self) -> u64 {
        self.generation % 2 * HARD_STATE_SLOT_SIZE as u64
    }

    /// Bytes to write.
    pub(crate) fn size(&self) -> usize {
        assert!(self.votes.len() <= HARD_STATES_MAX);
        to_blocks((FIXED_SIZE + self.votes.len() * STATE_SIZE) as u64) as usize
    }

    pub(crate) fn encode(&self, into: &mut [u8]) {
        assert!(into.len() == self.size());
        into.fill(0);
        put(into, 0, &MAGIC);
        if self.log_start <= FrameSequence(1) {
            put(into, 8, &VERSION_UNTRIMMED.to_le_bytes());
        } else {
            put(into, 8, &VERSION.to_le_bytes());
            put(into, 56, &self.log_start.0.to_le_bytes());
        }
        put(into, 16, &self.identity.node_uuid);
        put(into, 32, &self.identity.log.0.to_le_bytes());
        put(into, 36, &(self.votes.len() as u32).to_le_bytes());
        put(into, 40, &self.generation.to_le_bytes());
        put(into, 48, &self.durable_hint.0.to_le_bytes());
        for (at, (slice, (term, vote))) in self.votes.iter().enumerate() {
            let at = FIXED_SIZE + at * STATE_SIZE;
            put(into, at, &slice.0.to_le_bytes());
            put(into, at + 2, &[u8::from(vote.is_some())]);
            put(into, at + 8, &term.0.to_le_bytes());
            put(into, at + 16, &vote.unwrap_or(0).to_le_bytes());
        }
        let end = FIXED_SIZE + self.votes.len() * STATE_SIZE;
        let crc = checksum(&into[..end]);
        put(into, 12, &crc.to_le_bytes());
    }

    /// Reads one slot, of `HARD_STATE_SLOT_SIZE` bytes.
    pub(crate) fn decode(bytes: &[u8]) -> SlotRead {
        assert!(bytes.len() == HARD_STATE_SLOT_SIZE);
        if is_zero(bytes) {
            return SlotRead::Zero;
        }
        let count = u32_at(bytes, 36) as usize;
        if bytes[..8] != MAGIC || HARD_STATES_MAX < count {
            return SlotRead::Damaged;
        }
        if u32_at(bytes, 12) != checksum(&bytes[..FIXED_SIZE + count * STATE_SIZE]) {
            return SlotRead::Damaged;
        }
        let log_start = match u32_at(bytes, 8) {
            VERSION_UNTRIMMED => FrameSequence(1),
            VERSION => FrameSequence(u64_at(bytes, 56)),
            newer if VERSION < newer => return SlotRead::Newer(newer),
            _ => return SlotRead::Damaged,
        };
        if log_start == FrameSequence::NONE {
            return SlotRead::Damaged;
        }
        let identity = Identity { node_uuid: array(bytes, 16), log: CoreId(u16_at(bytes, 32)) };
        let states = (0..count).map(|at| {
            let at = FIXED_SIZE + at * STATE_SIZE;
            let vote = (bytes[at + 2] != 0).then(|| u64_at(bytes, at + 16));
            (SliceId(u16_at(bytes, at)), (Term(u64_at(bytes, at + 8)), vote))
        });
        SlotRead::Valid(Self {
            identity,
            generation: u64_at(bytes, 40),
            durable_hint: FrameSequence(u64_at(bytes, 48)),
            log_start,
            votes: states.collect(),
        })
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = HardState> {
        self.votes.iter().map(|(slice, (term, vote))| HardState {
            slice: *slice,
            term: *term,
            vote: *vote,
            commit: LogIndex::NONE,
        })
    }
}

/// Over everything but the crc itself.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}
