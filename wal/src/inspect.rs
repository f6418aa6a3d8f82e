//! Looks into a log without changing it, for the command line.
//!
//! [`inspect`] shows everything that is there, live or not, file by file in the order of the log.
//! [`verify`] does what a start would do, and lists every damaged place below the log's end, not
//! only the first. Both find whose log it is from the files themselves.

use std::collections::BTreeMap;

use base::limits::SEGMENT_SIZE;
use base::{CoreId, FrameSequence};

use crate::bytes::BLOCK;
use crate::config::Config;
use crate::file::{LogFile, LogRead};
use crate::frame::{Fault, Frame, FrameHeader, Identity};
use crate::hard_state::{HARD_STATE_SLOT_SIZE, SlotRead};
use crate::record::{HardState, Record, RecordError};
use crate::recovery::assembly::Assembly;
use crate::recovery::survey::{Headless, HeadlessState, OPEN_END, Survey, SurveySegment};
use crate::recovery::window::Window;
use crate::recovery::{FIRST_OFFSET, Recovered, RecoveryError, read_slots, recover};
use crate::segment::SegmentHeader;

/// Whose log it is, as its newest file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    pub node_uuid: [u8; 16],
    pub log: CoreId,
    pub segment_size: u64,
    pub boot: u64,
}

/// Is a frame part of the log?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Of this use of the file, within the segment's logical end.
    Current,
    /// Beyond the logical end: a later boot cut it off.
    Cut,
    /// Of an earlier use of the file.
    Earlier,
}

/// One thing found in the files of a log.
#[derive(Debug)]
pub enum Finding<'a> {
    /// A segment begins. `end` is the first frame that is no longer part of it, if known.
    Segment {
        file: LogFile,
        size: u64,
        header: SegmentHeader,
        end: Option<FrameSequence>,
        /// One of the two copies of the header is not whole.
        is_copy_damaged: bool,
    },
    /// A segment file without a valid header: if zero, or with the mark of a spare,
    /// it is not in use; otherwise its header was torn or is damaged.
    Headless {
        file: LogFile,
        size: u64,
        is_zero: bool,
    },
    Frame {
        file: LogFile,
        offset: u64,
        size: u64,
        header: &'a FrameHeader,
        life: Life,
    },
    /// A record of a whole batch, after the batch's last frame.
    Record {
        sequence: FrameSequence,
        previous: FrameSequence,
        record: Record<'a>,
    },
    /// A whole batch whose records cannot be read.
    Unreadable {
        file: LogFile,
        offset: u64,
        sequence: FrameSequence,
        reason: String,
    },
    /// Bytes that are no frame, all for the same reason.
    Gap {
        file: LogFile,
        offset: u64,
        size: u64,
        reason: Fault,
    },
    /// One slot of the hard state; None if it is damaged.
    HardStateSlot {
        offset: u64,
        generation: u64,
        states: Option<Vec<HardState>>,
    },
    Ballast {
        size: u64,
    },
}

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: LogFile,
    pub offset: u64,
    pub reason: String,
}

/// What a start would find.
#[derive(Debug)]
pub struct Verified {
    pub identified: Identified,
    pub recovered: Result<Recovered, RecoveryError>,
    /// Places that stop a start, and what a start only warns of. A torn tail is no problem.
    pub problems: Vec<Problem>,
}

/// Finds whose log it is. None if no file says so: a new log, or no header is whole.
///
/// # Errors
///
/// The files cannot be read, or are of a newer format.
pub fn identify(reader: &mut dyn LogRead) -> Result<Option<Identified>, RecoveryError> {
    let survey = Survey::read(reader, None)?;
    if let Some(segment) = survey.segments.last() {
        let SegmentHeader { node_uuid, log, segment_size, boot, .. } = segment.header;
        return Ok(Some(Identified { node_uuid, log, segment_size, boot }));
    }
    let slots = read_slots(reader, &survey, None)?;
    Ok(slots.newest.map(|slot| Identified {
        node_uuid: slot.identity.node_uuid,
        log: slot.identity.log,
        segment_size: SEGMENT_SIZE,
        boot: 0,
    }))
}

/// Shows every segment, frame, record, gap and slot to `visit`, in the order of the log.
///
/// # Errors
///
/// The files cannot be read, or are of a newer format.
pub fn inspect(
    reader: &mut dyn LogRead,
    visit: &mut dyn FnMut(Finding<'_>),
) -> Result<(), RecoveryError> {
    let mut survey = Survey::read(reader, None)?;
    survey.note_start(&read_slots(reader, &survey, None)?);
    for segment in &survey.segments {
        visit(Finding::Segment {
            file: segment.file(),
            size: segment.file_size,
            header: segment.header,
            end: Some(segment.end).filter(|end| *end != OPEN_END),
            is_copy_damaged: segment.bad_copy,
        });
    }
    let mut assembly = Assembly::from(survey.log_start());
    for segment in &survey.segments {
        if segment.header.first_sequence < segment.end {
            show_frames(reader, &Place::of(segment), &mut assembly, visit)?;
        } else {
            show_frames(reader, &Place::of(segment), &mut Assembly::default(), visit)?;
        }
    }
    let identity = identify(reader)?
        .map(|identified| Identity { node_uuid: identified.node_uuid, log: identified.log });
    for file in &survey.headless {
        let (name, size) = (LogFile::Segment(file.id), file.size);
        let is_zero = file.state != HeadlessState::Damaged;
        visit(Finding::Headless { file: name, size, is_zero });
        if let Some(identity) = identity {
            let place = Place::headless(file, identity);
            show_frames(reader, &place, &mut Assembly::default(), visit)?;
        }
    }
    show_slots(reader, &survey, visit)?;
    if let Some(size) = survey.ballast {
        visit(Finding::Ballast { size });
    }
    Ok(())
}

/// Does what a start would do, and lists what is wrong.
///
/// # Errors
///
/// Nothing says whose log it is, or the files cannot be read.
pub fn verify(reader: &mut dyn LogRead) -> Result<Option<Verified>, RecoveryError> {
    let Some(identified) = identify(reader)? else { return Ok(None) };
    let config = Config {
        log: identified.log,
        node_uuid: identified.node_uuid,
        segment_size: identified.segment_size,
        frames_in_flight: base::limits::FRAMES_IN_FLIGHT,
        spare_segments: base::limits::SPARE_SEGMENTS,
        seal_after_us: 0,
        ballast_segments: 0,
    };
    let recovered = recover(reader, &config, &mut |_, _| Ok(()));
    let mut problems = Vec::new();
    match &recovered {
        Ok(recovered) => {
            for (file, warning) in recovered.warned.iter().zip(&recovered.warnings) {
                problems.push(Problem { file: *file, offset: 0, reason: warning.clone() });
            }
        }
        Err(error) => {
            let (file, offset) = error.place().unwrap_or((LogFile::HardState, 0));
            problems.push(Problem { file, offset, reason: error.to_string() });
            add_gaps(reader, error, &mut problems)?;
        }
    }
    Ok(Some(Verified { identified, recovered, problems }))
}

/// All damaged places where frames must be: before a whole frame, or before a segment's end.
fn add_gaps(
    reader: &mut dyn LogRead,
    error: &RecoveryError,
    problems: &mut Vec<Problem>,
) -> Result<(), RecoveryError> {
    let mut gaps = Gaps { first: error.place(), ..Gaps::default() };
    inspect(reader, &mut |finding| gaps.note(finding))?;
    gaps.close_file();
    problems.append(&mut gaps.problems);
    Ok(())
}

/// Sorts the gaps of one segment after the other into damage and unused room.
#[derive(Default)]
struct Gaps {
    /// A place that is listed already.
    first: Option<(LogFile, u64)>,
    /// Of each segment: its first frame and the first that is not part of it.
    ranges: BTreeMap<LogFile, (FrameSequence, FrameSequence)>,
    file: Option<LogFile>,
    /// The next frame of this file.
    expected: FrameSequence,
    /// Of this file, since its last whole frame.
    open: Vec<Problem>,
    problems: Vec<Problem>,
}

impl Gaps {
    fn note(&mut self, finding: Finding<'_>) {
        match finding {
            Finding::Segment { file, header, end, .. } => {
                let end = end.unwrap_or(FrameSequence::NONE);
                self.ranges.insert(file, (header.first_sequence, end));
            }
            Finding::Gap { file, offset, size, reason } => {
                self.turn_to(file);
                let reason = format!("{size} bytes where frames belong: {reason}");
                self.open.push(Problem { file, offset, reason });
            }
            Finding::Frame { file, header, life: Life::Current, .. } => {
                self.turn_to(file);
                self.expected = header.sequence.next();
                self.take_open();
            }
            Finding::Unreadable { file, offset, reason, .. } => {
                self.problems.push(Problem { file, offset, reason });
            }
            _ => {}
        }
    }

    fn turn_to(&mut self, file: LogFile) {
        if self.file != Some(file) {
            self.close_file();
            self.file = Some(file);
            self.expected = self.ranges.get(&file).map_or(FrameSequence::NONE, |range| range.0);
        }
    }

    fn close_file(&mut self) {
        let end = self.file.and_then(|file| self.ranges.get(&file)).map(|range| range.1);
        if end.is_some_and(|end| self.expected < end) {
            self.take_open();
        }
        self.open.clear();
    }

    fn take_open(&mut self) {
        let first = self.first;
        self.problems.extend(self.open.drain(..).filter(|p| first != Some((p.file, p.offset))));
    }
}

/// A file to show, and whose frames are expected in it.
struct Place {
    file: LogFile,
    size: u64,
    identity: Identity,
    /// Of the current use of the file.
    salt: Option<u64>,
    end: FrameSequence,
}

impl Place {
    fn of(segment: &SurveySegment) -> Self {
        Self {
            file: segment.file(),
            size: segment.readable(),
            identity: segment.header.identity(),
            salt: Some(segment.header.salt),
            end: segment.end,
        }
    }

    fn headless(file: &Headless, identity: Identity) -> Self {
        let (salt, end) = (None, FrameSequence::NONE);
        Self { file: LogFile::Segment(file.id), size: file.size, identity, salt, end }
    }

    fn life(&self, header: &FrameHeader) -> Life {
        match self.salt {
            Some(salt) if salt == header.salt && header.sequence < self.end => Life::Current,
            Some(salt) if salt == header.salt => Life::Cut,
            _ => Life::Earlier,
        }
    }
}

/// Shows what is in one segment file behind its header.
fn show_frames(
    reader: &mut dyn LogRead,
    place: &Place,
    assembly: &mut Assembly,
    visit: &mut dyn FnMut(Finding<'_>),
) -> Result<(), RecoveryError> {
    let file = place.file;
    let mut window = Window::new();
    window.open(file, place.size);
    let mut offset = FIRST_OFFSET;
    let mut gap: Option<(u64, Fault)> = None;
    loop {
        let found = window.frame(reader, place.identity, offset)?;
        let fault = found.as_ref().err().copied();
        if let Some((start, reason)) = gap
            && fault != Some(reason)
        {
            visit(Finding::Gap { file, offset: start, size: offset - start, reason });
            gap = None;
        }
        match found {
            Ok(frame) => {
                let life = place.life(&frame.header);
                let (header, size) = (&frame.header, frame.size);
                visit(Finding::Frame { file, offset, size, header, life });
                if life == Life::Current {
                    show_records(place.file, offset, &frame, assembly, visit);
                }
                offset += size;
            }
            Err(Fault::Ends) => return Ok(()),
            Err(fault) => {
                gap.get_or_insert((offset, fault));
                offset += BLOCK;
            }
        }
    }
}

fn show_records(
    file: LogFile,
    offset: u64,
    frame: &Frame<'_>,
    assembly: &mut Assembly,
    visit: &mut dyn FnMut(Finding<'_>),
) {
    let sequence = frame.header.sequence;
    let whole = match assembly.feed(file, offset, frame) {
        Ok(Some(whole)) => whole,
        Ok(None) => return,
        Err(fault) => {
            // Frames of a run are missing: what is left of it cannot be read.
            assembly.clear();
            let reason = fault.to_string();
            if let Ok(Some(whole)) = assembly.feed(file, offset, frame) {
                whole
            } else {
                visit(Finding::Unreadable { file, offset, sequence, reason });
                return;
            }
        }
    };
    let mut rest = whole.run.as_deref().unwrap_or(frame.payload);
    while !rest.is_empty() {
        let reason = match Record::decode(&mut rest) {
            Ok((record, previous)) => {
                visit(Finding::Record { sequence, previous, record });
                continue;
            }
            Err(RecordError::Malformed(reason)) => reason.to_owned(),
            Err(RecordError::Newer { kind, version }) => {
                format!("a record of kind {kind}, version {version}, of a newer toroid")
            }
        };
        visit(Finding::Unreadable { file, offset, sequence, reason });
        return;
    }
}

fn show_slots(
    reader: &mut dyn LogRead,
    survey: &Survey,
    visit: &mut dyn FnMut(Finding<'_>),
) -> Result<(), RecoveryError> {
    let slots = read_slots(reader, survey, None)?;
    for (at, read) in slots.reads.iter().enumerate() {
        let offset = (at * HARD_STATE_SLOT_SIZE) as u64;
        match read {
            SlotRead::Valid(slot) => visit(Finding::HardStateSlot {
                offset,
                generation: slot.generation,
                states: Some(slot.states().collect()),
            }),
            SlotRead::Damaged | SlotRead::Newer(_) => {
                visit(Finding::HardStateSlot { offset, generation: 0, states: None });
            }
            SlotRead::Zero => {}
        }
    }
    Ok(())
}
