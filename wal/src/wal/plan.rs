//! Where frames go: the number and place of each, found when its batch is closed.
//!
//! A batch that fits into one frame is never divided: it goes to the next segment if what is left
//! of the active one is too small. A larger one becomes a run that fills every segment it meets.

use base::limits::BLOCK_SIZE;
use base::{FrameSequence, SliceId};

use super::Wal;
use crate::bytes::{BLOCK, to_blocks};
use crate::config::Config;
use crate::frame::{self, Run};
use crate::holdings::Held;
use crate::planted::Plant;
use crate::recovery::FIRST_OFFSET;

/// Records of the turn.
#[derive(Debug, Default)]
pub(crate) struct OpenBatch {
    pub(crate) payload: Vec<u8>,
    pub(crate) record_count: u32,
    /// By slice, perhaps in several parts.
    pub(crate) slices: Vec<(SliceId, Held)>,
}

impl OpenBatch {
    /// Counts a record of a slice.
    pub(crate) fn note(&mut self, slice: SliceId, held: Held) {
        self.record_count += 1;
        match self.slices.last_mut() {
            Some((last, sum)) if *last == slice => sum.add(held),
            _ => self.slices.push((slice, held)),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.payload.clear();
        self.record_count = 0;
        self.slices.clear();
    }
}

/// The place of the next frame, behind all that are queued.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) file: u32,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

impl Layout {
    /// Bytes left in the active segment.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.offset
    }
}

/// What will be written, in this order.
#[derive(Debug)]
pub(crate) enum Queued {
    Header { file: u32, salt: u64, first_sequence: FrameSequence, created_ms: u64 },
    Frame(QueuedFrame),
}

/// A frame with its number and place.
#[derive(Debug)]
pub(crate) struct QueuedFrame {
    pub(crate) sequence: FrameSequence,
    pub(crate) file: u32,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) run: Run,
    pub(crate) is_seal: bool,
    pub(crate) record_count: u32,
    pub(crate) timestamp_ms: u64,
    pub(crate) hint_count: usize,
    /// Its part of the batch's payload.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Bytes of records that surely fit into `left` bytes of one segment, however they are divided:
/// every frame is counted with the largest header.
pub(crate) fn payload_room(left: u64, config: &Config) -> u64 {
    left - left.div_ceil(config.frame_size_max()) * BLOCK
}

impl Wal {
    pub(super) fn plan_batch(&mut self, payload_size: usize) {
        let before = self.frame_header_size();
        let whole = to_blocks(before + payload_size as u64);
        let frame_max = self.config.frame_size_max();
        if whole <= frame_max {
            if self.layout.left() < whole {
                self.open_segment();
            }
            self.plan_frame(Run::Single, whole, 0..payload_size);
            return;
        }
        base::mark!("wal: a run of frames");
        let mut start = 0;
        while start < payload_size {
            if self.layout.left() == 0 {
                self.open_segment();
            }
            let room = self.layout.left().min(frame_max) - before;
            let end = payload_size.min(start + room as usize);
            let run = match (start == 0, end == payload_size) {
                (true, false) => Run::First,
                (false, false) => Run::Middle,
                (false, true) => Run::Last,
                (true, true) => unreachable!("it does not fit into one frame"),
            };
            self.plan_frame(run, to_blocks(before + (end - start) as u64), start..end);
            start = end;
        }
    }

    pub(super) fn plan_seal(&mut self) {
        if self.layout.left() == 0 {
            self.open_segment();
        }
        let size = to_blocks(self.frame_header_size());
        assert!(size == BLOCK);
        self.plan_frame(Run::Single, size, 0..0);
        if let Some(Queued::Frame(frame)) = self.queue.back_mut() {
            frame.is_seal = true;
            frame.record_count = 0;
        }
    }

    fn frame_header_size(&self) -> u64 {
        let size = frame::header_size(self.hints.len());
        assert!(size < BLOCK_SIZE);
        size as u64
    }

    fn plan_frame(&mut self, run: Run, size: u64, part: std::ops::Range<usize>) {
        assert!(size <= self.layout.left());
        self.last = self.last.next();
        self.queue.push_back(Queued::Frame(QueuedFrame {
            sequence: self.last,
            file: self.layout.file,
            salt: self.layout.salt,
            offset: self.layout.offset,
            size,
            run,
            is_seal: false,
            record_count: self.open.record_count,
            timestamp_ms: self.now.wall_ms,
            hint_count: self.hints.len(),
            start: part.start,
            end: part.end,
        }));
        self.layout.offset += size;
    }

    /// Makes the next spare the active segment; its header is written in its turn.
    pub(super) fn open_segment(&mut self) {
        let file = self.spares.take();
        let file = file.expect("what was admitted has prepared room");
        let salt = if self.planted.is(Plant::SameSalt) { 0 } else { self.prng.bits() };
        let (first_sequence, created_ms) = (self.last.next(), self.now.wall_ms);
        self.flight.open_segment(file, first_sequence);
        self.holdings.open(file, self.config.segment_size, first_sequence);
        self.queue.push_back(Queued::Header { file, salt, first_sequence, created_ms });
        let (offset, end) = (FIRST_OFFSET, self.config.segment_size);
        self.layout = Layout { file, salt, offset, end };
    }
}
