//! What each segment of the log holds, and from where on the log is still needed.
//!
//! Segments go from the log's start only, in order. One may go when every entry in it is trimmed:
//! its slice said that it needs nothing up to there. What else a segment may hold is small, and is
//! written again before it goes: of each slice the last hard state, and the trim itself, so that
//! recovery knows that records before the start were there and are not missed.
//!
//! A batch counts where its last frame lies. If the log begins in the middle of one, that batch is
//! void, so what is in it must not be needed either.

use std::collections::{BTreeMap, VecDeque};

use base::{FrameSequence, LogIndex, Map, SliceId};

use crate::record::{HardState, Record};
use crate::recovery::{TwoVotes, note_state};

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// Those with frames that live, and the active one; in the order of the log.
    segments: VecDeque<Segment>,
    slices: BTreeMap<SliceId, SliceFacts>,
}

/// One segment.
#[derive(Debug)]
struct Segment {
    file: u32,
    size: u64,
    first_sequence: FrameSequence,
    /// The highest entries of the batch that began before it and goes on in it.
    head: Vec<(SliceId, LogIndex)>,
    entries: Map<SliceId, Held>,
}

/// Entries of one slice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// The highest index.
    pub(crate) last: LogIndex,
    /// Their records, headers included: bytes.
    pub(crate) size: u64,
}

impl Held {
    pub(crate) fn add(&mut self, other: Self) {
        self.last = self.last.max(other.last);
        self.size += other.size;
    }
}

/// What the log says of one slice besides its entries.
#[derive(Debug, Default)]
struct SliceFacts {
    /// No entry up to here is needed.
    trim: LogIndex,
    /// What the last trim record says, and that no frame before this one holds it.
    recorded: LogIndex,
    recorded_at: FrameSequence,
    /// What all hard states together say, likewise.
    state: Option<HardState>,
    state_at: FrameSequence,
    /// Likewise for the last snapshot mark.
    mark_at: FrameSequence,
}

/// A slice that holds segments at the log's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    pub slice: SliceId,
    /// Once it is trimmed up to here, it holds none of them.
    pub last: LogIndex,
    /// Its records in them: bytes.
    pub size: u64,
}

impl Holdings {
    /// A segment is opened behind all others.
    pub(crate) fn open(&mut self, file: u32, size: u64, first_sequence: FrameSequence) {
        let (head, entries) = (Vec::new(), Map::default());
        self.segments.push_back(Segment { file, size, first_sequence, head, entries });
    }

    /// Forgets segments in which nothing lives.
    pub(crate) fn keep(&mut self, files: &[u32]) {
        self.segments.retain(|segment| files.contains(&segment.file));
    }

    /// Entries of a batch that began with frame `first` and ends in the last segment.
    pub(crate) fn add(&mut self, slice: SliceId, held: Held, first: FrameSequence) {
        let segment = self.segments.back_mut().expect("a batch lies in a segment");
        segment.entries.entry(slice).or_default().add(held);
        let behind = |segment: &&mut Segment| first < segment.first_sequence;
        for segment in self.segments.iter_mut().rev().take_while(behind) {
            match segment.head.last_mut() {
                Some((known, last)) if *known == slice => *last = held.last.max(*last),
                _ => segment.head.push((slice, held.last)),
            }
        }
    }

    /// A record that is not an entry, of a batch that began not before frame `at`.
    pub(crate) fn note(&mut self, record: &Record<'_>, at: FrameSequence) -> Result<(), TwoVotes> {
        let facts = self.slices.entry(record.slice()).or_default();
        match record {
            Record::Entry { .. } => {}
            Record::HardState(state) => {
                note_state(facts.state.get_or_insert(*state), *state)?;
                facts.state_at = at;
            }
            Record::Truncate { slice, last } => {
                // What is gone holds no segment.
                for segment in &mut self.segments {
                    if let Some(held) = segment.entries.get_mut(slice) {
                        held.last = held.last.min(*last);
                    }
                }
            }
            Record::SnapshotMark { .. } => facts.mark_at = at,
            Record::Trim { last, .. } => {
                facts.recorded = facts.recorded.max(*last);
                facts.trim = facts.trim.max(*last);
                facts.recorded_at = at;
            }
        }
        Ok(())
    }

    /// The slice needs no entry up to `last` any more. False if that was known.
    pub(crate) fn trim(&mut self, slice: SliceId, last: LogIndex) -> bool {
        let facts = self.slices.entry(slice).or_default();
        let is_new = facts.trim < last;
        facts.trim = facts.trim.max(last);
        is_new
    }

    pub(crate) fn trimmed(&self, slice: SliceId) -> LogIndex {
        self.slices.get(&slice).map_or(LogIndex::NONE, |facts| facts.trim)
    }

    /// As recorded, by slice.
    pub(crate) fn trims(&self) -> impl Iterator<Item = (SliceId, LogIndex)> {
        self.slices.iter().map(|(slice, facts)| (*slice, facts.recorded))
    }

    pub(crate) fn has_trim(&self, slice: SliceId) -> bool {
        self.slices.get(&slice).is_some_and(|facts| facts.recorded_at != FrameSequence::NONE)
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = HardState> {
        self.slices.values().filter_map(|facts| facts.state)
    }

    /// Also what the double slot says, which no segment holds.
    pub(crate) fn set_state(&mut self, state: HardState) {
        self.slices.entry(state.slice).or_default().state = Some(state);
    }

    /// The highest entry of each slice.
    pub(crate) fn last_entries(&self) -> BTreeMap<SliceId, LogIndex> {
        let mut all = BTreeMap::new();
        for (slice, held) in self.segments.iter().flat_map(|segment| &segment.entries) {
            let last = all.entry(*slice).or_insert(held.last);
            *last = held.last.max(*last);
        }
        all
    }

    /// Where the log may begin: before the active segment, all durable below. None if no segment
    /// can go.
    pub(crate) fn new_start(&self, durable: FrameSequence) -> Option<FrameSequence> {
        let mut start = None;
        for (segment, next) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            let is_durable = next.first_sequence <= durable.next();
            let entries = segment.entries.iter().map(|(slice, held)| (*slice, held.last));
            let mut needed = entries.chain(next.head.iter().copied());
            let is_trimmed = needed.all(|(slice, last)| last <= self.trimmed(slice));
            // Nobody could write a mark again: its body is not the log's.
            let mark = |facts: &SliceFacts| {
                segment.first_sequence <= facts.mark_at && facts.mark_at < next.first_sequence
            };
            if !is_durable || !is_trimmed || self.slices.values().any(mark) {
                break;
            }
            start = Some(next.first_sequence);
        }
        start
    }

    /// What must be written again before the log begins at `start`.
    pub(crate) fn lost_below(&self, start: FrameSequence) -> Vec<Record<'static>> {
        let mut records = Vec::new();
        for (&slice, facts) in &self.slices {
            if facts.recorded_at < start || facts.recorded < facts.trim {
                records.push(Record::Trim { slice, last: facts.trim });
            }
            if facts.state_at != FrameSequence::NONE
                && facts.state_at < start
                && let Some(state) = facts.state
            {
                records.push(Record::HardState(state));
            }
        }
        records
    }

    /// The files of the segments before `start`, with their sizes. They are part of the log no more.
    pub(crate) fn drop_below(&mut self, start: FrameSequence) -> Vec<(u32, u64)> {
        let mut files = Vec::new();
        while let Some(first) = self.segments.pop_front_if(|first| first.first_sequence < start) {
            files.push((first.file, first.size));
        }
        files
    }

    /// Bytes of files.
    pub(crate) fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Bytes of records of a slice in segments that it holds.
    pub(crate) fn slice_size(&self, slice: SliceId) -> u64 {
        let trim = self.trimmed(slice);
        let held = self.segments.iter().filter_map(|segment| segment.entries.get(&slice));
        held.filter(|held| trim < held.last).map(|held| held.size).sum()
    }

    /// The slices to trim so that at most `keep` bytes of segments are left, the active one aside;
    /// who holds the oldest segment comes first.
    pub(crate) fn pinned(&self, keep: u64) -> Vec<Pin> {
        let mut pins: Vec<Pin> = Vec::new();
        let mut left = self.size();
        for (segment, next) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            if left <= keep {
                break;
            }
            left -= segment.size;
            let entries = segment.entries.iter().map(|(slice, held)| (*slice, *held));
            let head =
                next.head.iter().map(|(slice, last)| (*slice, Held { last: *last, size: 0 }));
            let mut needed: Vec<_> = entries.chain(head).collect();
            needed.sort_unstable_by_key(|(slice, held)| (*slice, held.last));
            for (slice, held) in needed {
                if held.last <= self.trimmed(slice) {
                    continue;
                }
                match pins.iter_mut().find(|pin| pin.slice == slice) {
                    Some(pin) => {
                        pin.last = pin.last.max(held.last);
                        pin.size += held.size;
                    }
                    None => pins.push(Pin { slice, last: held.last, size: held.size }),
                }
            }
        }
        pins
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, log_start: FrameSequence) {
        let firsts: Vec<_> = self.segments.iter().map(|segment| segment.first_sequence).collect();
        assert!(firsts.is_sorted());
        assert!(firsts.first().is_none_or(|first| log_start <= *first));
    }
}
