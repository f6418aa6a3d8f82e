//! What is known to have been durable: the highest hint, wherever it stands.

use base::limits::FRAME_SIZE_MAX;
use base::{CoreId, FrameSequence};
use std::collections::BTreeMap;

use crate::bytes::{BLOCK, is_zero};
use crate::file::{LogFile, LogRead};
use crate::frame::{Fault, FrameHeader, Identity};
use crate::recovery::survey::{Headless, HeadlessState, Survey};
use crate::recovery::votes::Slots;
use crate::recovery::window::Window;
use crate::recovery::{FIRST_OFFSET, RecoveryError};

/// Facts gathered from headers, frames and slots.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// This frame and all before it were durable (D),
    pub(crate) durable: FrameSequence,
    /// as this place says.
    pub(crate) place: (LogFile, u64),
    /// This generation of the hard state was durable.
    pub(crate) generation: u64,
    others: BTreeMap<CoreId, FrameSequence>,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            durable: FrameSequence::NONE,
            place: (LogFile::HardState, 0),
            generation: 0,
            others: BTreeMap::new(),
        }
    }
}

impl Evidence {
    fn note(&mut self, durable: FrameSequence, file: LogFile, offset: u64) {
        if self.durable < durable {
            self.durable = durable;
            self.place = (file, offset);
        }
    }

    pub(crate) fn note_frame(
        &mut self,
        header: &FrameHeader,
        identity: Identity,
        file: LogFile,
        offset: u64,
    ) {
        self.note(header.durable_hint, file, offset);
        self.generation = self.generation.max(header.hard_state_generation);
        for (log, durable) in &header.hints {
            if *log == identity.log {
                self.note(*durable, file, offset);
            } else {
                let known = self.others.entry(*log).or_default();
                *known = (*known).max(*durable);
            }
        }
    }

    /// A header's hint is as good as a frame's, of segments without a live frame as well.
    pub(crate) fn note_headers(&mut self, survey: &Survey) {
        for segment in &survey.segments {
            self.note(segment.header.durable_hint, segment.file(), 0);
        }
    }

    pub(crate) fn note_slots(&mut self, slots: &Slots) {
        if let Some(slot) = &slots.newest {
            self.note(slot.durable_hint, LogFile::HardState, slot.offset());
        }
    }

    pub(crate) fn node_hints(&self) -> Vec<(CoreId, FrameSequence)> {
        self.others.iter().map(|(log, durable)| (*log, *durable)).collect()
    }
}

/// Tries every 4 KiB boundary from `start` for a whole frame. With a salt, only frames of that
/// use of the file count: bytes of a client's value that look like a frame cannot know it.
pub(crate) fn scan(
    reader: &mut dyn LogRead,
    window: &mut Window,
    identity: Identity,
    start: u64,
    salt: Option<u64>,
    found: &mut dyn FnMut(&FrameHeader, u64),
) -> Result<(), RecoveryError> {
    let mut offset = start;
    loop {
        match window.frame(reader, identity, offset)? {
            Ok(frame) if salt.is_none_or(|salt| salt == frame.header.salt) => {
                found(&frame.header, offset);
                offset += frame.size;
            }
            Err(Fault::Ends) => return Ok(()),
            Ok(_) | Err(_) => offset += BLOCK,
        }
    }
}

/// Looks for frames in files without a valid header: one may have been lost.
pub(crate) fn scan_headless(
    reader: &mut dyn LogRead,
    identity: Identity,
    survey: &Survey,
    evidence: &mut Evidence,
) -> Result<(), RecoveryError> {
    let mut window = Window::new();
    for file in &survey.headless {
        let name = LogFile::Segment(file.id);
        if is_fresh(reader, &mut window, file)? {
            continue;
        }
        scan(reader, &mut window, identity, FIRST_OFFSET, None, &mut |header, offset| {
            evidence.note_frame(header, identity, name, offset);
        })?;
    }
    Ok(())
}

/// Was it prepared and never used? Then it need not be read whole: the first frame of a segment
/// follows its header, so a used one has something there.
fn is_fresh(
    reader: &mut dyn LogRead,
    window: &mut Window,
    file: &Headless,
) -> Result<bool, RecoveryError> {
    window.open(LogFile::Segment(file.id), file.size);
    if file.state == HeadlessState::Damaged {
        return Ok(false);
    }
    let end = crate::bytes::whole_blocks(file.size).min(FIRST_OFFSET + FRAME_SIZE_MAX as u64);
    if end <= FIRST_OFFSET {
        return Ok(true);
    }
    let bytes = window.at(reader, FIRST_OFFSET, end - FIRST_OFFSET)?;
    Ok(bytes.is_none_or(is_zero))
}

/// The file without a valid header that holds the frame with this number which follows a frame
/// with this crc: only the true one does.
pub(crate) fn find_headless(
    reader: &mut dyn LogRead,
    identity: Identity,
    survey: &Survey,
    sequence: FrameSequence,
    previous_crc: u32,
) -> Result<Option<LogFile>, RecoveryError> {
    let mut window = Window::new();
    for file in &survey.headless {
        let name = LogFile::Segment(file.id);
        window.open(name, file.size);
        let mut holds = false;
        scan(reader, &mut window, identity, FIRST_OFFSET, None, &mut |header, _| {
            holds |= header.sequence == sequence && header.previous_crc == previous_crc;
        })?;
        if holds {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
