//! Reads one file forward in large chunks, whatever the size of what is asked for.
//!
//! The window holds at most a frame and a chunk, so memory does not depend on the log's size.

use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX};

use crate::bytes::{BLOCK, whole_blocks};
use crate::file::{LogFile, LogRead, ReadError};
use crate::frame::{self, Fault, Frame, Identity};

const CHUNK: u64 = 1024 * 1024;

/// What can be read of one file.
#[derive(Debug)]
pub(crate) struct Window {
    file: LogFile,
    /// Nothing is read beyond.
    end: u64,
    /// Of the first byte in `bytes`.
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { file: LogFile::Ballast, end: 0, start: 0, bytes: Vec::new() }
    }

    /// Turns to `file`, whose first `size` bytes may be read.
    pub(crate) fn open(&mut self, file: LogFile, size: u64) {
        self.file = file;
        self.end = whole_blocks(size);
        self.start = 0;
        self.bytes.clear();
    }

    /// The bytes at a place; None if the file ends before.
    pub(crate) fn at(
        &mut self,
        reader: &mut dyn LogRead,
        offset: u64,
        size: u64,
    ) -> Result<Option<&[u8]>, ReadError> {
        assert!(offset.is_multiple_of(BLOCK) && size.is_multiple_of(BLOCK));
        if self.end < offset + size {
            return Ok(None);
        }
        let held_end = self.start + self.bytes.len() as u64;
        if offset < self.start || held_end < offset + size {
            if self.start <= offset && offset < held_end {
                self.bytes.drain(..(offset - self.start) as usize);
            } else {
                self.bytes.clear();
            }
            self.start = offset;
            let held = self.bytes.len() as u64;
            let wanted = (size - held).max(CHUNK).min(self.end - offset - held);
            self.bytes.resize((held + wanted) as usize, 0);
            assert!(self.bytes.len() <= FRAME_SIZE_MAX + CHUNK as usize);
            reader.read_at(self.file, offset + held, &mut self.bytes[held as usize..])?;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + size as usize]))
    }

    /// The frame at a place, if one is there that is consistent in itself.
    pub(crate) fn frame(
        &mut self,
        reader: &mut dyn LogRead,
        identity: Identity,
        offset: u64,
    ) -> Result<Result<Frame<'_>, Fault>, ReadError> {
        let Some(block) = self.at(reader, offset, BLOCK_SIZE as u64)? else {
            return Ok(Err(Fault::Ends));
        };
        let size = match frame::measure(block) {
            Ok(size) => size,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(bytes) = self.at(reader, offset, size)? else {
            return Ok(Err(Fault::Malformed));
        };
        Ok(frame::decode(identity, bytes))
    }
}
