//! Reads a whole log, tells a torn tail from rot, and hands every surviving record over.
//!
//! 1. *Survey*: the headers of all files; the order of segments; where each logically ends.
//! 2. *Walk*: frame after frame while each is whole, follows the one before, and is the next by
//!    number. Records are handed over batch by batch.
//! 3. *Scan*: beyond the place where the walk stopped, and in files without a header, every
//!    4 KiB boundary is tried for a whole frame, because its durable hint is a fact.
//! 4. *Judgement*: D is the highest hint of all. The first missing frame s is a torn tail if
//!    D < s, and is cut; otherwise it was durable and is damaged, and nothing is served.
//!
//! A hint is true for ever: what was durable then is never cut. So hints of segments that hold
//! nothing live any more, and of frames nobody reads, count as well.

use std::collections::BTreeMap;
use std::fmt;

use base::{CoreId, FrameSequence, LogIndex, Map, SliceId};

use crate::bytes::BLOCK;
use crate::config::Config;
use crate::file::{LogFile, LogRead, ReadError};
use crate::frame::{Fault, Identity};
use crate::hard_state::Votes;
use crate::holdings::Holdings;
use crate::planted::{Plant, Planted};
use crate::record::{HardState, Record};
use crate::recovery::evidence::Evidence;
use crate::recovery::survey::{HeadlessState, Survey, SurveySegment};
use crate::recovery::walk::Walk;
use crate::segment::HEADER_SIZE;

pub(crate) mod assembly;
mod evidence;
mod judge;
pub(crate) mod survey;
mod votes;
mod walk;
pub(crate) mod window;

pub(crate) use votes::{TwoVotes, note_state, read_slots};

/// Hands over one record and the last frame of its batch; an error ends recovery.
pub(crate) type Replay<'a> = dyn FnMut(FrameSequence, Record<'_>) -> Result<(), String> + 'a;

/// What was found, and what [`Wal::new`](crate::Wal::new) needs to go on.
#[derive(Debug)]
pub struct Recovered {
    /// The highest boot number found; the next is one more.
    pub boot: u64,
    /// The last frame of the last whole batch.
    pub last: FrameSequence,
    /// Frames that live.
    pub frames: u64,
    /// Their bytes, headers and padding included.
    pub bytes: u64,
    pub cut: Option<Cut>,
    /// Of the double slot and the log's records together: the highest term, and its vote.
    pub hard_states: Vec<HardState>,
    pub warnings: Vec<String>,
    /// What frames of this log say of other logs of the node: their highest durable hints.
    pub node_hints: Vec<(CoreId, FrameSequence)>,
    /// The highest frame proven durable by a hint.
    pub proven: FrameSequence,
    /// The first frame the log must hold: those below went when nobody needed them any more.
    pub start: FrameSequence,
    /// By slice, as the log says: no entry up to here is needed, and those may be gone.
    pub trims: Vec<(SliceId, LogIndex)>,
    /// By slice, the last entry there is.
    pub last_entries: Vec<(SliceId, LogIndex)>,

    /// The file of each warning.
    pub(crate) warned: Vec<LogFile>,
    pub(crate) last_crc: u32,
    pub(crate) slice_frames: Map<SliceId, FrameSequence>,
    pub(crate) holdings: Holdings,
    pub(crate) votes: Votes,
    pub(crate) generation: u64,
    pub(crate) files: Files,
    pub(crate) planted: Planted,
}

impl Recovered {
    /// The files whose last writes may lie in a cache: to be flushed before anything that was
    /// read is used (PROTOCOL F11). [`Wal`](crate::Wal) does it for the log it goes on with.
    pub fn tail(&self) -> impl Iterator<Item = LogFile> {
        let segments = self.files.tail.iter().map(|id| LogFile::Segment(*id));
        segments.chain(self.files.hard_state.then_some(LogFile::HardState))
    }
}

/// What becomes of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// Segments with frames that live, in the order of the log.
    pub(crate) live: Vec<u32>,
    /// Segments to flush before anything of the tail is used.
    pub(crate) tail: Vec<u32>,
    /// Prepared and marked so.
    pub(crate) spare: Vec<u32>,
    /// Before the log's start, with their sizes.
    pub(crate) trimmed: Vec<(u32, u64)>,
    /// Nothing in them lives: a mark is written over their header, then they are spare.
    pub(crate) dead: Vec<u32>,
    /// Perhaps prepared in part only.
    pub(crate) unprepared: Vec<u32>,
    /// Of another size than segments have now.
    pub(crate) unfit: Vec<u32>,
    pub(crate) next: u32,
    pub(crate) hard_state: bool,
    /// One file of zeros, as versions before this one kept it.
    pub(crate) has_ballast_file: bool,
}

/// A torn tail that was cut off. Nothing in it had been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub file: LogFile,
    pub offset: u64,
    /// The first frame that was cut.
    pub sequence: FrameSequence,
    /// Whole frames that were dropped with it.
    pub frames: u64,
    pub reason: Fault,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, sequence, frames, reason } = self;
        write!(
            f,
            "cut a torn tail at frame {sequence}, {file} offset {offset} ({reason}); \
             {frames} whole frames after it were never acknowledged"
        )
    }
}

/// Why a log cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryError {
    Read(ReadError),
    /// A frame that was durable is not there any more.
    Damage {
        file: LogFile,
        offset: u64,
        sequence: FrameSequence,
        reason: Fault,
        /// This frame and all before it were durable,
        durable: FrameSequence,
        /// as this place says.
        evidence: (LogFile, u64),
    },
    /// A whole batch whose records contradict themselves or the log.
    Records {
        file: LogFile,
        offset: u64,
        sequence: FrameSequence,
        reason: String,
    },
    /// Terms and votes are damaged or contradict each other.
    HardState {
        offset: u64,
        reason: String,
    },
    /// A file of another node or of another log.
    Foreign {
        file: LogFile,
        reason: String,
    },
    /// Two segments claim the same place in the log.
    Duplicate {
        first: LogFile,
        second: LogFile,
    },
    NewerFormat {
        file: LogFile,
        offset: u64,
        version: u32,
    },
    /// The receiver of the records refused one.
    Replay {
        sequence: FrameSequence,
        reason: String,
    },
}

impl RecoveryError {
    /// The file and offset to look at.
    pub fn place(&self) -> Option<(LogFile, u64)> {
        match self {
            Self::Read(error) => error.file.map(|file| (file, error.offset)),
            Self::Damage { file, offset, .. }
            | Self::Records { file, offset, .. }
            | Self::NewerFormat { file, offset, .. } => Some((*file, *offset)),
            Self::HardState { offset, .. } => Some((LogFile::HardState, *offset)),
            Self::Foreign { file, .. } | Self::Duplicate { first: file, .. } => Some((*file, 0)),
            Self::Replay { .. } => None,
        }
    }
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Damage { file, offset, sequence, reason, durable, evidence: (proof, at) } => {
                write!(
                    f,
                    "{file} is damaged at offset {offset}: frame {sequence} belongs there, but \
                     {reason}. It was acknowledged: all frames up to {durable} were durable, as \
                     {proof} says at offset {at}"
                )
            }
            Self::Records { file, offset, sequence, reason } => {
                write!(f, "{file} at offset {offset}: the batch of frame {sequence}: {reason}")
            }
            Self::HardState { offset, reason } => {
                write!(f, "{} at offset {offset}: {reason}", LogFile::HardState)
            }
            Self::Foreign { file, reason } => {
                write!(f, "{file} belongs to another node or log: {reason}")
            }
            Self::Duplicate { first, second } => {
                write!(f, "the segments {first} and {second} claim the same place in the log")
            }
            Self::NewerFormat { file, offset, version } => write!(
                f,
                "{file} at offset {offset} has the newer format version {version}: it was \
                 written by a newer toroid"
            ),
            Self::Replay { sequence, reason } => {
                write!(f, "a record of frame {sequence} cannot be replayed: {reason}")
            }
        }
    }
}

impl std::error::Error for RecoveryError {}

impl From<ReadError> for RecoveryError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Reads everything, decides what is a torn tail and what is rot, hands every surviving record
/// over in order, each with the last frame of its batch. Writes nothing.
///
/// No write of an earlier process may reach the files once this has begun: the lock of the
/// directory must outlast the earlier process's I/O.
///
/// # Errors
///
/// Acknowledged data is damaged, or the log is foreign or of a newer format; or `replay` refused.
/// Records handed over until then are to be forgotten.
pub fn recover(
    reader: &mut dyn LogRead,
    config: &Config,
    replay: &mut dyn FnMut(FrameSequence, Record<'_>) -> Result<(), String>,
) -> Result<Recovered, RecoveryError> {
    recover_with(reader, config, Planted::none(), replay)
}

/// [`recover`] with planted bugs, which the log made of its result inherits.
///
/// # Errors
///
/// As [`recover`].
#[cfg(feature = "planted")]
pub fn recover_planted(
    reader: &mut dyn LogRead,
    config: &Config,
    planted: Planted,
    replay: &mut dyn FnMut(FrameSequence, Record<'_>) -> Result<(), String>,
) -> Result<Recovered, RecoveryError> {
    recover_with(reader, config, planted, replay)
}

fn recover_with(
    reader: &mut dyn LogRead,
    config: &Config,
    planted: Planted,
    replay: &mut Replay<'_>,
) -> Result<Recovered, RecoveryError> {
    config.check();
    let identity = Identity { node_uuid: config.node_uuid, log: config.log };
    let mut survey = Survey::read(reader, Some(identity))?;
    let slots = read_slots(reader, &survey, Some(identity))?;
    survey.note_start(&slots);
    let mut evidence = Evidence::default();
    evidence.note_headers(&survey);
    evidence.note_slots(&slots);
    evidence::scan_headless(reader, identity, &survey, &mut evidence)?;
    let check_chain = !planted.is(Plant::SameSalt);
    let mut walk = Walk::new(identity, survey.log_start(), check_chain);
    let stop = walk.run(reader, &survey, &mut evidence, replay)?;
    let dropped = judge::scan_beyond(reader, identity, &survey, &stop, &mut evidence)?;
    let hintless = planted.is(Plant::CutAtFirstBad);
    if !hintless
        && let Some(error) = judge::damage(reader, identity, &survey, &walk, &stop, &evidence)?
    {
        return Err(error);
    }
    let (last, last_crc) = walk.whole();
    let cut = judge::cut(&survey, &walk, &stop, dropped);
    let mut warnings = Vec::new();
    let generation = votes::judge(&slots, evidence.generation, &mut warnings)?;
    let mut warned = vec![LogFile::HardState; warnings.len()];
    walk.check_trims()?;
    let hard_states = votes::merge(slots.newest.as_ref(), &walk.hard_states())?;
    for segment in survey.segments.iter().filter(|s| is_live(s, last, survey.log_start())) {
        if segment.bad_copy {
            let file = LogFile::Segment(segment.id);
            warnings.push(format!("one of the two header copies of {file} is damaged"));
            warned.push(file);
        }
    }
    let proven = evidence.durable.min(last);
    let files = sort_files(&survey, config, last, proven, slots.present, planted);
    let (frames, bytes) = (walk.frames, walk.bytes);
    let (slice_frames, mut holdings) = walk.into_parts();
    holdings.keep(&files.live);
    hard_states.values().for_each(|state| holdings.set_state(*state));
    Ok(Recovered {
        boot: survey.segments.last().map_or(0, |segment| segment.header.boot),
        last,
        frames,
        bytes,
        cut,
        hard_states: hard_states.values().copied().collect(),
        warnings,
        warned,
        node_hints: evidence.node_hints(),
        proven,
        start: survey.log_start(),
        trims: holdings.trims().filter(|(_, last)| LogIndex::NONE < *last).collect(),
        last_entries: holdings.last_entries().into_iter().collect(),
        last_crc,
        slice_frames,
        holdings,
        votes: hard_states
            .iter()
            .map(|(slice, state)| (*slice, (state.term, state.vote)))
            .collect(),
        generation,
        files,
        planted,
    })
}

/// Does the segment hold a frame that is part of the log?
pub(crate) fn is_live(
    segment: &SurveySegment,
    last: FrameSequence,
    log_start: FrameSequence,
) -> bool {
    let first = segment.header.first_sequence;
    first <= last && first < segment.end && log_start < segment.end
}

fn sort_files(
    survey: &Survey,
    config: &Config,
    last: FrameSequence,
    proven: FrameSequence,
    hard_state: bool,
    planted: Planted,
) -> Files {
    let has_ballast_file = survey.ballast.is_some();
    let mut files =
        Files { next: survey.next_file, hard_state, has_ballast_file, ..Files::default() };
    for segment in &survey.segments {
        if is_live(segment, last, survey.log_start()) {
            files.live.push(segment.id);
            // Its last frame is the one before `end`, or `last`.
            if proven.next() < segment.end {
                files.tail.push(segment.id);
            }
        } else if segment.end <= survey.log_start() {
            base::mark!("wal: a segment before the log's start is given up");
            files.trimmed.push((segment.id, segment.file_size));
        } else if segment.file_size != config.segment_size {
            files.unfit.push(segment.id);
        } else if planted.is(Plant::SameSalt) {
            files.spare.push(segment.id);
        } else {
            base::mark!("wal: a segment without live frames is recycled");
            files.dead.push(segment.id);
        }
    }
    for file in &survey.headless {
        if file.state == HeadlessState::Zero {
            // Of any size: preparing one that is too long cuts it.
            files.unprepared.push(file.id);
        } else if config.segment_size < file.size {
            files.unfit.push(file.id);
        } else if file.size < config.segment_size {
            files.unprepared.push(file.id);
        } else if file.state == HeadlessState::Spare {
            files.spare.push(file.id);
        } else {
            base::mark!("wal: a segment with a torn header is recycled");
            files.dead.push(file.id);
        }
    }
    files
}

/// Hard states by slice, as gathered.
pub(crate) type HardStates = BTreeMap<SliceId, HardState>;

/// The place of the first frame of a segment.
pub(crate) const FIRST_OFFSET: u64 = HEADER_SIZE as u64;

const _: () = assert!(FIRST_OFFSET.is_multiple_of(BLOCK));
