//! What files there are: headers, their order, and where each segment logically ends.
//!
//! Segments are ordered by boot, then first sequence. A segment ends where any later one begins:
//! a later boot begins right after what its recovery kept, so the rest of earlier boots is void,
//! whole segments of it as well.
//!
//! ```text
//!   boot 5:  [1 ........ 49] [50 ... 80 ~81~ ... 99] [100 ~~~]     81 was torn
//!   boot 6:                                  [81 ....
//!   ends:     50              81                      none live
//! ```

use base::FrameSequence;
use base::limits::BLOCK_SIZE;

use crate::bytes::{is_zero, whole_blocks};
use crate::file::{LogFile, LogRead};
use crate::frame::Identity;
use crate::recovery::votes::Slots;
use crate::recovery::window::Window;
use crate::recovery::{FIRST_OFFSET, RecoveryError};
use crate::segment::{Copy, HEADER_SIZE, SegmentHeader};

/// The end of a segment that none follows.
pub(crate) const OPEN_END: FrameSequence = FrameSequence(u64::MAX);

/// All files of a log.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Those with a valid header, in the order of the log.
    pub(crate) segments: Vec<SurveySegment>,
    pub(crate) headless: Vec<Headless>,
    pub(crate) hard_state: Option<u64>,
    pub(crate) ballast: Option<u64>,
    /// No file has this number or a higher one.
    pub(crate) next_file: u32,
    /// The first frame the log must hold, as the double slot says.
    slot_start: FrameSequence,
}

/// A segment with a valid header.
#[derive(Clone, Debug)]
pub(crate) struct SurveySegment {
    pub(crate) id: u32,
    pub(crate) header: SegmentHeader,
    pub(crate) file_size: u64,
    /// The first frame that is not part of it; `OPEN_END` in the last.
    pub(crate) end: FrameSequence,
    /// One copy of the header is not whole.
    pub(crate) bad_copy: bool,
}

/// What stands where a header would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadlessState {
    /// Two marks: wholly prepared.
    Spare,
    /// Nothing: perhaps prepared in part only.
    Zero,
    /// A header or a mark that was torn, or is damaged. Something was written, so the file had
    /// been prepared.
    Damaged,
}

/// A segment file without a valid header: a spare, half prepared, torn or damaged.
#[derive(Clone, Debug)]
pub(crate) struct Headless {
    pub(crate) id: u32,
    pub(crate) size: u64,
    pub(crate) state: HeadlessState,
}

impl SurveySegment {
    /// Bytes that may hold frames, with the header.
    pub(crate) fn readable(&self) -> u64 {
        whole_blocks(self.file_size.min(self.header.segment_size))
    }

    pub(crate) fn file(&self) -> LogFile {
        LogFile::Segment(self.id)
    }
}

impl Survey {
    /// Reads the headers. With an identity, a segment of another node or log is an error.
    pub(crate) fn read(
        reader: &mut dyn LogRead,
        identity: Option<Identity>,
    ) -> Result<Self, RecoveryError> {
        let mut survey = Self {
            segments: Vec::new(),
            headless: Vec::new(),
            hard_state: None,
            ballast: None,
            next_file: 1,
            slot_start: FrameSequence(1),
        };
        let mut files = reader.files()?;
        files.sort_unstable();
        for (file, size) in files {
            match file {
                LogFile::HardState => survey.hard_state = Some(size),
                LogFile::Ballast => survey.ballast = Some(size),
                LogFile::Segment(id) => {
                    let Some(next) = id.checked_add(1) else {
                        let reason = "no log numbers its segments that high".to_owned();
                        return Err(RecoveryError::Foreign { file, reason });
                    };
                    survey.next_file = survey.next_file.max(next);
                    survey.read_header(reader, identity, id, size)?;
                }
            }
        }
        survey.segments.sort_by_key(|s| (s.header.boot, s.header.first_sequence));
        survey.settle_ties(reader)?;
        let mut end = OPEN_END;
        for segment in survey.segments.iter_mut().rev() {
            segment.end = end;
            end = end.min(segment.header.first_sequence);
        }
        Ok(survey)
    }

    /// The first frame the log must hold.
    pub(crate) fn log_start(&self) -> FrameSequence {
        let starts = self.segments.iter().map(|segment| segment.header.log_start);
        starts.max().unwrap_or_default().max(self.slot_start)
    }

    pub(crate) fn note_start(&mut self, slots: &Slots) {
        self.slot_start = slots.newest.as_ref().map_or(self.slot_start, |slot| slot.log_start);
    }

    fn read_header(
        &mut self,
        reader: &mut dyn LogRead,
        identity: Option<Identity>,
        id: u32,
        size: u64,
    ) -> Result<(), RecoveryError> {
        let file = LogFile::Segment(id);
        let mut bytes = [0; HEADER_SIZE];
        let readable = whole_blocks(size).min(HEADER_SIZE as u64) as usize;
        if 0 < readable {
            reader.read_at(file, 0, &mut bytes[..readable])?;
        }
        let (one, two) = bytes.split_at(BLOCK_SIZE);
        let copies = [SegmentHeader::decode(one), SegmentHeader::decode(two)];
        for (at, copy) in copies.iter().enumerate() {
            if let Copy::Newer(version) = *copy {
                let offset = (at * BLOCK_SIZE) as u64;
                return Err(RecoveryError::NewerFormat { file, offset, version });
            }
        }
        let valid = |copy: &Copy| match copy {
            Copy::Valid(header) => Some(*header),
            _ => None,
        };
        let newest = copies
            .iter()
            .filter_map(valid)
            .max_by_key(|header| (header.boot, header.first_sequence));
        let Some(header) = newest else {
            let mut marks = 0;
            for copy in &copies {
                if let Copy::Spare(owner) = copy {
                    marks += 1;
                    if let Some(identity) = identity {
                        refuse_foreign(file, identity, *owner)?;
                    }
                }
            }
            let state = match marks {
                2 => HeadlessState::Spare,
                _ if is_zero(&bytes) => HeadlessState::Zero,
                _ => HeadlessState::Damaged,
            };
            self.headless.push(Headless { id, size, state });
            return Ok(());
        };
        if let Some(identity) = identity {
            refuse_foreign(file, identity, header.identity())?;
        }
        let bad_copy = copies[0] != copies[1];
        let end = OPEN_END;
        self.segments.push(SurveySegment { id, header, file_size: size, end, bad_copy });
        Ok(())
    }

    /// Two segments with one place in the order: a start that died while it wrote its header, and
    /// whose header came to light only after the next start. It has no frame; one of both.
    fn settle_ties(&mut self, reader: &mut dyn LogRead) -> Result<(), RecoveryError> {
        let mut window = Window::new();
        for at in 1..self.segments.len() {
            let (one, two) = (&self.segments[at - 1], &self.segments[at]);
            let place = |s: &SurveySegment| (s.header.boot, s.header.first_sequence);
            if place(one) != place(two) {
                continue;
            }
            let used = [
                holds_first_frame(reader, &mut window, one)?,
                holds_first_frame(reader, &mut window, two)?,
            ];
            match used {
                [true, true] => {
                    let (first, second) = (one.file(), two.file());
                    return Err(RecoveryError::Duplicate { first, second });
                }
                // The later one of the order is the one that lives.
                [true, false] => self.segments.swap(at - 1, at),
                [false, _] => {}
            }
        }
        Ok(())
    }
}

fn holds_first_frame(
    reader: &mut dyn LogRead,
    window: &mut Window,
    segment: &SurveySegment,
) -> Result<bool, RecoveryError> {
    window.open(segment.file(), segment.readable());
    let frame = window.frame(reader, segment.header.identity(), FIRST_OFFSET)?;
    Ok(frame.is_ok_and(|frame| {
        frame.header.salt == segment.header.salt
            && frame.header.sequence == segment.header.first_sequence
    }))
}

pub(crate) fn refuse_foreign(
    file: LogFile,
    ours: Identity,
    theirs: Identity,
) -> Result<(), RecoveryError> {
    if ours.node_uuid != theirs.node_uuid {
        let reason = format!("its node is {}, ours is {}", hex(theirs), hex(ours));
        return Err(RecoveryError::Foreign { file, reason });
    }
    if ours.log != theirs.log {
        let reason = format!("it is of log {}, this is log {}", theirs.log, ours.log);
        return Err(RecoveryError::Foreign { file, reason });
    }
    Ok(())
}

fn hex(identity: Identity) -> String {
    identity.node_uuid.iter().map(|byte| format!("{byte:02x}")).collect()
}
