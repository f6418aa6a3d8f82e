//! Goes from frame to frame in the order of the log until one is not there.

use base::{FrameSequence, Map, SliceId};

use crate::file::{LogFile, LogRead};
use crate::frame::{Fault, Frame, Identity};
use crate::holdings::{Held, Holdings};
use crate::record::{RECORD_HEADER_SIZE, Record, RecordError};
use crate::recovery::assembly::{Assembly, WholeBatch};
use crate::recovery::evidence::Evidence;
use crate::recovery::survey::{Survey, SurveySegment};
use crate::recovery::votes::TwoVotes;
use crate::recovery::window::Window;
use crate::recovery::{FIRST_OFFSET, HardStates, RecoveryError, Replay};

/// Where the walk ended: the first frame that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The position in the survey's segments; none if there are none.
    pub(crate) segment: Option<usize>,
    pub(crate) file: LogFile,
    pub(crate) offset: u64,
    pub(crate) sequence: FrameSequence,
    pub(crate) fault: Fault,
}

/// The state of the walk.
#[derive(Debug)]
pub(crate) struct Walk {
    identity: Identity,
    log_start: FrameSequence,
    /// The last frame that does not count: those before the start, and what is left of a run that
    /// began there.
    beheaded: FrameSequence,
    check_chain: bool,
    /// The next frame.
    expected: FrameSequence,
    /// Of the frame before it.
    pub(crate) crc: u32,
    /// The last frame of the last whole batch, and its crc.
    whole: (FrameSequence, u32),
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) assembly: Assembly,
    slice_frames: Map<SliceId, FrameSequence>,
    holdings: Holdings,
    /// The first record of a slice whose records before are gone, and where it is.
    orphans: Vec<(SliceId, LogFile, u64, FrameSequence)>,
}

impl Walk {
    pub(crate) fn new(identity: Identity, log_start: FrameSequence, check_chain: bool) -> Self {
        Self {
            identity,
            log_start,
            beheaded: FrameSequence(log_start.0 - 1),
            check_chain,
            expected: log_start,
            crc: 0,
            whole: (FrameSequence(log_start.0 - 1), 0),
            frames: 0,
            bytes: 0,
            assembly: Assembly::from(log_start),
            slice_frames: Map::default(),
            holdings: Holdings::default(),
            orphans: Vec::new(),
        }
    }

    /// The last frame of the last whole batch, and its crc.
    pub(crate) fn whole(&self) -> (FrameSequence, u32) {
        self.whole
    }

    pub(crate) fn hard_states(&self) -> HardStates {
        self.holdings.states().map(|state| (state.slice, state)).collect()
    }

    /// Of each slice the last frame, and what the segments hold.
    pub(crate) fn into_parts(self) -> (Map<SliceId, FrameSequence>, Holdings) {
        (self.slice_frames, self.holdings)
    }

    /// Records before the log's start may be gone, but then a trim of their slice says so.
    pub(crate) fn check_trims(&self) -> Result<(), RecoveryError> {
        let mut orphans = self.orphans.iter();
        match orphans.find(|(slice, ..)| !self.holdings.has_trim(*slice)) {
            None => Ok(()),
            Some(&(slice, file, offset, sequence)) => {
                let start = self.log_start;
                let reason = format!(
                    "the records of slice {slice} below frame {start} are gone, and no trim of \
                     the slice says that they may be"
                );
                Err(RecoveryError::Records { file, offset, sequence, reason })
            }
        }
    }

    pub(crate) fn run(
        &mut self,
        reader: &mut dyn LogRead,
        survey: &Survey,
        evidence: &mut Evidence,
        replay: &mut Replay<'_>,
    ) -> Result<Stop, RecoveryError> {
        let mut window = Window::new();
        let mut stop = Stop {
            segment: None,
            file: evidence.place.0,
            offset: 0,
            sequence: self.expected,
            fault: Fault::Missing,
        };
        let mut is_first = true;
        for (at, segment) in survey.segments.iter().enumerate() {
            let first = segment.header.first_sequence;
            if segment.end <= first || segment.end <= self.log_start {
                continue;
            }
            stop = Stop { segment: Some(at), file: segment.file(), ..stop };
            if is_first && first <= self.log_start {
                self.expected = first;
                self.crc = segment.header.previous_crc;
                self.whole = (FrameSequence(first.0 - 1), self.crc);
                is_first = false;
            }
            if first != self.expected {
                return Ok(Stop { sequence: self.expected, fault: Fault::Missing, ..stop });
            }
            let from_nothing = first == FrameSequence(1) && segment.header.previous_crc != 0;
            if self.check_chain && (from_nothing || segment.header.previous_crc != self.crc) {
                return Ok(Stop { sequence: first, fault: Fault::Chain, ..stop });
            }
            window.open(segment.file(), segment.readable());
            self.holdings.open(segment.id, segment.file_size, first);
            if let Some((offset, fault)) =
                self.walk_segment(reader, &mut window, segment, evidence, replay)?
            {
                return Ok(Stop { offset, sequence: self.expected, fault, ..stop });
            }
        }
        Ok(Stop { sequence: self.expected, ..stop })
    }

    /// Goes through one segment up to its logical end, or to the place and fault returned.
    fn walk_segment(
        &mut self,
        reader: &mut dyn LogRead,
        window: &mut Window,
        segment: &SurveySegment,
        evidence: &mut Evidence,
        replay: &mut Replay<'_>,
    ) -> Result<Option<(u64, Fault)>, RecoveryError> {
        let file = segment.file();
        let mut offset = FIRST_OFFSET;
        while self.expected < segment.end {
            let frame = match window.frame(reader, self.identity, offset)? {
                Ok(frame) => frame,
                Err(Fault::Newer { version }) => {
                    let version = u32::from(version);
                    return Err(RecoveryError::NewerFormat { file, offset, version });
                }
                Err(fault) => return Ok(Some((offset, fault))),
            };
            if let Some(fault) = self.misplaced(&frame, segment) {
                return Ok(Some((offset, fault)));
            }
            evidence.note_frame(&frame.header, self.identity, file, offset);
            if self.assembly.is_rest(&frame) {
                base::mark!("wal: the log begins in the middle of a batch");
                self.beheaded = self.expected;
                self.whole = (self.expected, frame.header.crc);
            }
            let whole = match self.assembly.feed(file, offset, &frame) {
                Ok(whole) => whole,
                Err(fault) => return Ok(Some((offset, fault))),
            };
            if let Some(whole) = whole {
                let place = (file, offset);
                self.take_batch(&whole, &frame, place, replay)?;
            }
            self.crc = frame.header.crc;
            self.expected = self.expected.next();
            offset += frame.size;
        }
        Ok(None)
    }

    /// Why a whole frame is not the one that belongs here.
    fn misplaced(&self, frame: &Frame<'_>, segment: &SurveySegment) -> Option<Fault> {
        let found = frame.header.sequence;
        if frame.header.salt != segment.header.salt {
            Some(Fault::EarlierLife)
        } else if found != self.expected {
            Some(Fault::Sequence { found })
        } else if self.check_chain && frame.header.previous_crc != self.crc {
            Some(Fault::Chain)
        } else {
            None
        }
    }

    /// Hands the records of a whole batch over.
    fn take_batch(
        &mut self,
        whole: &WholeBatch,
        frame: &Frame<'_>,
        (file, offset): (LogFile, u64),
        replay: &mut Replay<'_>,
    ) -> Result<(), RecoveryError> {
        let sequence = frame.header.sequence;
        let bad = |reason: String| RecoveryError::Records { file, offset, sequence, reason };
        let first = FrameSequence(sequence.0 + 1 - whole.frames);
        let mut rest = whole.run.as_deref().unwrap_or(frame.payload);
        let mut count = 0u32;
        let mut slices: Vec<SliceId> = Vec::new();
        while !rest.is_empty() {
            let (record, previous) = match Record::decode(&mut rest) {
                Ok(decoded) => decoded,
                Err(RecordError::Malformed(reason)) => return Err(bad(reason.to_owned())),
                Err(RecordError::Newer { kind, version }) => {
                    let reason = format!(
                        "a record of kind {kind}, version {version}, written by a newer toroid"
                    );
                    return Err(bad(reason));
                }
            };
            count = count.wrapping_add(1);
            let slice = record.slice();
            self.check_previous(slice, previous).map_err(bad)?;
            let is_orphan = previous != FrameSequence::NONE && previous <= self.beheaded;
            if is_orphan && !slices.contains(&slice) {
                self.orphans.push((slice, file, offset, sequence));
            }
            if slices.last() != Some(&slice) {
                slices.push(slice);
            }
            if let Record::Entry { index, body, .. } = record {
                let size = (RECORD_HEADER_SIZE + body.len()) as u64;
                self.holdings.add(slice, Held { last: index, size }, first);
            } else {
                self.holdings.note(&record, first).map_err(|TwoVotes(reason)| bad(reason))?;
            }
            replay(sequence, record)
                .map_err(|reason| RecoveryError::Replay { sequence, reason })?;
        }
        if count != frame.header.record_count {
            let expected = frame.header.record_count;
            return Err(bad(format!("it holds {count} records, {expected} were written")));
        }
        for slice in slices {
            self.slice_frames.insert(slice, sequence);
        }
        self.whole = (sequence, frame.header.crc);
        self.frames += whole.frames;
        self.bytes += whole.size;
        Ok(())
    }

    /// A record names the frame of its slice's records before it: nothing between is missing.
    fn check_previous(&self, slice: SliceId, previous: FrameSequence) -> Result<(), String> {
        let known = self.slice_frames.get(&slice).copied();
        let trimmed = known.is_none() && previous <= self.beheaded;
        if trimmed || known == Some(previous) {
            return Ok(());
        }
        let known = known.unwrap_or_default();
        Err(format!("slice {slice} follows frame {previous}, but its last records are in {known}"))
    }
}
