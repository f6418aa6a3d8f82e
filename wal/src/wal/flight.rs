//! Frames on their way, and the durable prefix.
//!
//! # Invariants
//!
//! * The frames in flight are numbered densely from `durable + 1`.
//! * A frame counts only when its segment's header is durable.

use std::collections::VecDeque;

use base::FrameSequence;

use crate::planted::{Plant, Planted};

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Flight {
    frames: VecDeque<Flying>,
    /// Segments that frames are or will be written to, oldest first.
    segments: VecDeque<OpenSegment>,
    durable: FrameSequence,
    /// The last frame of the last batch that is durable.
    hint: FrameSequence,
    planted: Planted,
}

/// A frame that was submitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flying {
    pub(crate) token: u64,
    pub(crate) sequence: FrameSequence,
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) ends_batch: bool,
    pub(crate) is_done: bool,
}

#[derive(Clone, Copy, Debug)]
struct OpenSegment {
    file: u32,
    first_sequence: FrameSequence,
    is_header_durable: bool,
}

impl Flight {
    pub(crate) fn new(durable: FrameSequence, planted: Planted) -> Self {
        Self { frames: VecDeque::new(), segments: VecDeque::new(), durable, hint: durable, planted }
    }

    #[cfg(feature = "planted")]
    pub(crate) fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }

    /// The recovered tail was flushed.
    pub(crate) fn set_durable(&mut self, durable: FrameSequence) {
        assert!(self.frames.is_empty());
        assert!(self.durable <= durable);
        self.durable = durable;
        self.hint = durable;
    }

    pub(crate) fn durable(&self) -> FrameSequence {
        self.durable
    }

    pub(crate) fn hint(&self) -> FrameSequence {
        self.hint
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// A segment's header is queued.
    pub(crate) fn open_segment(&mut self, file: u32, first_sequence: FrameSequence) {
        self.segments.push_back(OpenSegment { file, first_sequence, is_header_durable: false });
    }

    pub(crate) fn submit(&mut self, frame: Flying) {
        self.frames.push_back(frame);
        if self.planted.is(Plant::AckBeforeDurable) {
            self.durable = self.durable.max(frame.sequence);
        }
    }

    /// File and offset of the frame with this token.
    pub(crate) fn find(&self, token: u64) -> Option<(u32, u64)> {
        let frame = self.frames.iter().find(|frame| frame.token == token && !frame.is_done)?;
        Some((frame.file, frame.offset))
    }

    pub(crate) fn complete(&mut self, token: u64) {
        let frame = self.frames.iter_mut().find(|frame| frame.token == token);
        let frame = frame.expect("the frame was found by its token");
        frame.is_done = true;
        if self.frames.front().is_some_and(|front| front.token != token) {
            base::mark!("wal: frames completed out of order");
        }
        if self.planted.is(Plant::CountOutOfOrder) {
            let done = self.frames.iter().filter(|frame| frame.is_done);
            let highest = done.map(|frame| frame.sequence).max().unwrap_or_default();
            self.durable = self.durable.max(highest);
        }
    }

    pub(crate) fn note_header(&mut self, file: u32) {
        let segment = self.segments.iter_mut().find(|segment| segment.file == file);
        segment.expect("its header was queued").is_header_durable = true;
    }

    /// Moves the durable prefix.
    pub(crate) fn advance(&mut self) {
        while let Some(front) = self.frames.front().copied() {
            if !front.is_done {
                break;
            }
            let mut segments = self.segments.iter().filter(|segment| segment.file == front.file);
            let segment = segments.next().expect("a segment outlasts its frames in flight");
            if !segment.is_header_durable && !self.planted.is(Plant::IgnoreHeader) {
                base::mark!("wal: a frame waits for its segment's header");
                break;
            }
            self.frames.pop_front();
            self.durable = self.durable.max(front.sequence);
            if front.ends_batch {
                self.hint = front.sequence;
            }
        }
    }

    /// A segment that is full and durable.
    pub(crate) fn pop_segment(&mut self) -> Option<u32> {
        let next = self.segments.get(1)?;
        let is_done =
            self.frames.front().map_or(next.first_sequence.0 <= self.durable.0 + 1, |f| {
                next.first_sequence <= f.sequence
            });
        let is_settled = self.segments.front().is_some_and(|front| front.is_header_durable);
        if !is_done || !is_settled {
            return None;
        }
        self.segments.pop_front().map(|segment| segment.file)
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) {
        let mut expected = self.durable;
        for frame in &self.frames {
            expected = expected.next();
            assert!(frame.sequence == expected);
        }
        let files: Vec<u32> = self.segments.iter().map(|segment| segment.file).collect();
        assert!(self.frames.iter().all(|frame| files.contains(&frame.file)));
    }
}
