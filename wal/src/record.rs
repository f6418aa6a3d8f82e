//! Records: what a batch is made of. 32 bytes of header, then the body.
//!
//! ```text
//!   0 body size u32 · 4 kind u8 · 5 version u8 · 6 slice u16 · 8 term u64 · 16 index u64
//!  24 previous frame u64 · 32 body
//! ```
//!
//! *Previous frame* is the last frame of the latest earlier batch that holds a record of the same
//! slice, zero if there is none: after a damaged frame, a slice whose next record names a frame
//! before it lost nothing there.
//!
//! | kind | term | index | body |
//! |---|---|---|---|
//! | 1 entry | of the entry | of the entry | opaque |
//! | 2 hard state | current term | commit | the vote's replica id u64, or empty |
//! | 3 truncate | - | the last entry that stays | empty |
//! | 4 snapshot mark | of the last entry in it | of the last entry in it | opaque |
//! | 5 trim | - | the last entry that goes | empty |

use base::limits::ENTRY_SIZE_MAX;
use base::{FrameSequence, LogIndex, SliceId, Term};

use crate::bytes::{put, u16_at, u32_at, u64_at};

/// Bytes before a record's body.
pub const RECORD_HEADER_SIZE: usize = 32;

const VERSION: u8 = 1;

/// Term, vote and commit of one slice's replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardState {
    pub slice: SliceId,
    pub term: Term,
    /// The id of the replica voted for in this term.
    pub vote: Option<u64>,
    pub commit: LogIndex,
}

/// One fact about one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Entry {
        slice: SliceId,
        term: Term,
        index: LogIndex,
        body: &'a [u8],
    },
    HardState(HardState),
    /// Entries above `last` are gone.
    Truncate {
        slice: SliceId,
        last: LogIndex,
    },
    /// A snapshot up to `index` is durable.
    SnapshotMark {
        slice: SliceId,
        term: Term,
        index: LogIndex,
        body: &'a [u8],
    },
    /// Entries up to `last` are no longer needed.
    Trim {
        slice: SliceId,
        last: LogIndex,
    },
}

/// Why a whole batch cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordError {
    Malformed(&'static str),
    Newer { kind: u8, version: u8 },
}

impl<'a> Record<'a> {
    pub fn slice(&self) -> SliceId {
        match self {
            Self::Entry { slice, .. }
            | Self::HardState(HardState { slice, .. })
            | Self::Truncate { slice, .. }
            | Self::SnapshotMark { slice, .. }
            | Self::Trim { slice, .. } => *slice,
        }
    }

    pub(crate) fn encode(&self, previous: FrameSequence, into: &mut Vec<u8>) {
        let vote;
        let none = Term(0);
        let (kind, term, index, body): (u8, Term, LogIndex, &[u8]) = match self {
            Self::Entry { term, index, body, .. } => (1, *term, *index, body),
            Self::HardState(state) => {
                vote = state.vote.map(u64::to_le_bytes);
                (2, state.term, state.commit, vote.as_ref().map_or(&[], |vote| vote.as_slice()))
            }
            Self::Truncate { last, .. } => (3, none, *last, &[]),
            Self::SnapshotMark { term, index, body, .. } => (4, *term, *index, body),
            Self::Trim { last, .. } => (5, none, *last, &[]),
        };
        assert!(body.len() <= ENTRY_SIZE_MAX, "larger commands are refused before they execute");
        let size = u32::try_from(body.len()).expect("the largest entry fits into 32 bits");
        let mut header = [0; RECORD_HEADER_SIZE];
        put(&mut header, 0, &size.to_le_bytes());
        put(&mut header, 4, &[kind, VERSION]);
        put(&mut header, 6, &self.slice().0.to_le_bytes());
        put(&mut header, 8, &term.0.to_le_bytes());
        put(&mut header, 16, &index.0.to_le_bytes());
        put(&mut header, 24, &previous.0.to_le_bytes());
        into.reserve(RECORD_HEADER_SIZE + body.len());
        into.extend_from_slice(&header);
        into.extend_from_slice(body);
    }

    /// Takes one record off the front of a batch.
    pub(crate) fn decode(input: &mut &'a [u8]) -> Result<(Record<'a>, FrameSequence), RecordError> {
        let Some((header, rest)) = input.split_at_checked(RECORD_HEADER_SIZE) else {
            return Err(RecordError::Malformed("the batch ends in a record's header"));
        };
        let Some((body, rest)) = rest.split_at_checked(u32_at(header, 0) as usize) else {
            return Err(RecordError::Malformed("the batch ends in a record's body"));
        };
        *input = rest;
        let (kind, version) = (header[4], header[5]);
        if version != VERSION {
            return Err(RecordError::Newer { kind, version });
        }
        let slice = SliceId(u16_at(header, 6));
        let term = Term(u64_at(header, 8));
        let index = LogIndex(u64_at(header, 16));
        let previous = FrameSequence(u64_at(header, 24));
        let empty = body.is_empty();
        let record = match kind {
            1 => Record::Entry { slice, term, index, body },
            2 => {
                let vote = match body.len() {
                    0 => None,
                    8 => Some(u64_at(body, 0)),
                    _ => return Err(RecordError::Malformed("a vote has 8 bytes")),
                };
                Record::HardState(HardState { slice, term, vote, commit: index })
            }
            3 if empty => Record::Truncate { slice, last: index },
            4 => Record::SnapshotMark { slice, term, index, body },
            5 if empty => Record::Trim { slice, last: index },
            3 | 5 => return Err(RecordError::Malformed("a record without a body has one")),
            _ => return Err(RecordError::Newer { kind, version }),
        };
        Ok((record, previous))
    }
}
