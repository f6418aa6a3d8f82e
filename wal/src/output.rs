//! What a log asks of its carrier, and what the carrier tells back.
//!
//! The carrier may carry out in any order all outputs it has been given: one that must wait for
//! another is not emitted before the other's completion came back.

use std::fmt;

use crate::file::LogFile;
use crate::frame::{FrameHeader, Identity};
use crate::hard_state::Slot;
use crate::segment::{self, SegmentHeader};

/// Something to do to a file of the log.
#[derive(Debug)]
#[must_use]
pub enum Output<'a> {
    /// One O_DIRECT + O_DSYNC write.
    Write(Write<'a>),
    /// fdatasync(2).
    Flush { token: u64, file: LogFile },
    /// Create it if it is missing, write zeros over all of it, flush it and its directory.
    Prepare { token: u64, file: LogFile, size: u64 },
    /// Unlink, flush the directory.
    Remove { token: u64, file: LogFile },
    /// It will not be written again: close it.
    Release { file: LogFile },
    /// A write or flush failed. Final: nothing is acknowledged from here on.
    Halt(Halt),
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Event {
    pub token: u64,
    pub result: Result<(), IoError>,
}

/// How an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoError {
    NoSpace,
    /// An errno.
    Other(i32),
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => f.write_str("no space left on the device"),
            Self::Other(errno) => write!(f, "errno {errno}"),
        }
    }
}

/// What was being done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Write,
    Flush,
    Prepare,
    Remove,
}

/// The failure that ended the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    pub operation: Operation,
    pub file: LogFile,
    /// Of a write.
    pub offset: u64,
    /// Of a preparation: the bytes it needs.
    pub size: u64,
    pub error: IoError,
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, file, offset, size, error } = self;
        match operation {
            Operation::Write => write!(f, "a write to {file} at offset {offset} failed: {error}"),
            Operation::Flush => write!(f, "a flush of {file} failed: {error}"),
            Operation::Prepare => {
                write!(f, "{file} could not be prepared with {size} bytes: {error}")
            }
            Operation::Remove => write!(f, "{file} could not be removed: {error}"),
        }
    }
}

/// Why writes are refused: the disk has no room for a file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteRefusal {
    pub file: LogFile,
    pub needed: u64,
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no space left on the disk: {} needs {} bytes", self.file, self.needed)
    }
}

/// One write, lent by the log: encode it at once into the carrier's buffer.
#[must_use]
pub struct Write<'a> {
    pub token: u64,
    pub file: LogFile,
    pub offset: u64,
    pub(crate) size: usize,
    pub(crate) content: Content<'a>,
}

pub(crate) enum Content<'a> {
    Frame {
        header: FrameHeader,
        seed: u32,
        payload: &'a [u8],
        chain: &'a mut Chain,
    },
    Header(SegmentHeader),
    Slot(Slot),
    /// The mark of a spare segment.
    Mark(Identity),
}

/// The crc of the last frame that was encoded.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) crc: u32,
    /// A frame was lent and not encoded yet.
    pub(crate) lent: bool,
}

impl Write<'_> {
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Fills `into`, which has exactly `size` bytes.
    pub fn encode(self, into: &mut [u8]) {
        assert!(into.len() == self.size);
        match self.content {
            Content::Frame { header, seed, payload, chain } => {
                chain.crc = header.encode(seed, payload, into);
                chain.lent = false;
            }
            Content::Header(header) => header.encode(into),
            Content::Slot(slot) => slot.encode(into),
            Content::Mark(identity) => segment::encode_mark(identity, into),
        }
    }
}

impl fmt::Debug for Write<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("token", &self.token)
            .field("file", &self.file)
            .field("offset", &self.offset)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
