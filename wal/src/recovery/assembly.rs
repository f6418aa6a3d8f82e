//! Puts the frames of a run together again: a batch is whole with its last frame.

use base::FrameSequence;

use crate::file::LogFile;
use crate::frame::{Fault, Frame, Run};

/// A run whose last frame has not been seen yet.
#[derive(Debug)]
struct Open {
    first: (LogFile, u64, FrameSequence),
    record_count: u32,
    frames: u64,
    size: u64,
    payload: Vec<u8>,
}

/// The run in assembly, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    open: Option<Open>,
    /// What comes next may be the rest of a run whose first frames were trimmed.
    is_beheaded: bool,
}

/// A whole batch.
#[derive(Debug)]
pub(crate) struct WholeBatch {
    /// Empty for a frame that is a batch by itself: its payload is the batch.
    pub(crate) run: Option<Vec<u8>>,
    pub(crate) frames: u64,
    pub(crate) size: u64,
}

impl Assembly {
    /// For a log that begins at `start`.
    pub(crate) fn from(start: FrameSequence) -> Self {
        Self { open: None, is_beheaded: FrameSequence(1) < start }
    }

    /// Is it of a run that began before the log does? Nothing in it is needed any more.
    pub(crate) fn is_rest(&self, frame: &Frame<'_>) -> bool {
        self.is_beheaded && matches!(frame.header.run, Run::Middle | Run::Last)
    }

    /// Takes the next frame. Some when a batch is whole with it.
    pub(crate) fn feed(
        &mut self,
        file: LogFile,
        offset: u64,
        frame: &Frame<'_>,
    ) -> Result<Option<WholeBatch>, Fault> {
        let header = &frame.header;
        if self.is_rest(frame) {
            self.is_beheaded = header.run == Run::Middle;
            return Ok(None);
        }
        self.is_beheaded = false;
        match (&mut self.open, header.run) {
            (None, Run::Single) => Ok(Some(WholeBatch { run: None, frames: 1, size: frame.size })),
            (None, Run::First) => {
                self.open = Some(Open {
                    first: (file, offset, header.sequence),
                    record_count: header.record_count,
                    frames: 1,
                    size: frame.size,
                    payload: frame.payload.to_vec(),
                });
                Ok(None)
            }
            (Some(open), Run::Middle | Run::Last) if open.record_count == header.record_count => {
                open.frames += 1;
                open.size += frame.size;
                open.payload.extend_from_slice(frame.payload);
                if header.run == Run::Middle {
                    return Ok(None);
                }
                let open = self.open.take().expect("it was matched above");
                let Open { frames, size, payload, .. } = open;
                Ok(Some(WholeBatch { run: Some(payload), frames, size }))
            }
            _ => Err(Fault::Run),
        }
    }

    /// The first frame of the run that lacks its last, and how many frames it has.
    pub(crate) fn unfinished(&self) -> Option<((LogFile, u64, FrameSequence), u64)> {
        self.open.as_ref().map(|open| (open.first, open.frames))
    }

    /// Forgets the run in assembly.
    pub(crate) fn clear(&mut self) {
        self.open = None;
    }
}
