//! Giving up what nobody needs any more: from the start of the log, whole segments.
//!
//! ```text
//! Due ──> Recording ──batch closed──> Recorded ──batch durable──> Starting ──slot durable──> Due
//!             trims, and what would be lost        the log's new start        segments go
//! ```
//!
//! Each arrow waits until what is before it is durable: a segment goes when the double slot says
//! that the log begins behind it, and the slot says so when the frames do without it.

use base::{FrameSequence, LogIndex, SliceId};

use super::Wal;
use crate::holdings::Pin;
use crate::planted::Plant;
use crate::record::{RECORD_HEADER_SIZE, Record};
use crate::wal::plan;

/// How far the trim under way has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trimming {
    /// Nothing was trimmed, and no segment filled, since it was last found that none can go.
    Idle,
    /// The next batch is to look.
    Due,
    /// The open batch says what must be known once the log begins at `start`.
    Recording { start: FrameSequence },
    /// It is durable with frame `last`.
    Recorded { start: FrameSequence, last: FrameSequence },
    /// The slot of this generation says that the log begins at `start`.
    Starting { start: FrameSequence, generation: u64 },
}

/// Bytes of a record that is written again, at most: its header and a vote.
const RECORD_SIZE_MAX: u64 = RECORD_HEADER_SIZE as u64 + 8;

impl Wal {
    /// Entries of the slice up to `last` are not needed any more. They must be settled, and a
    /// snapshot must hold what they did even if the newest one is lost. What can go goes with the
    /// next batches: [`close_batch`](Self::close_batch) makes one of its own for it if need be.
    pub fn trim(&mut self, slice: SliceId, last: LogIndex) {
        if self.holdings.trim(slice, last) && self.trimming == Trimming::Idle {
            self.trimming = Trimming::Due;
        }
    }

    /// Up to where the slice was trimmed, by [`trim`](Self::trim) or as recovery found it.
    pub fn trimmed(&self, slice: SliceId) -> LogIndex {
        self.holdings.trimmed(slice)
    }

    /// The first frame that the log holds.
    pub fn start(&self) -> FrameSequence {
        self.log_start
    }

    /// Bytes of the files of the log's segments, spare ones not counted.
    pub fn size(&self) -> u64 {
        self.holdings.size()
    }

    /// Bytes of the slice's records in segments that cannot go before it is trimmed.
    pub fn slice_size(&self, slice: SliceId) -> u64 {
        self.holdings.slice_size(slice)
    }

    /// The slices to trim so that at most `keep` bytes of segments stay, the active one aside; the
    /// one whose entries are in the oldest segment comes first. With zero: all that hold any.
    pub fn pinned(&self, keep: u64) -> Vec<Pin> {
        self.holdings.pinned(keep)
    }

    /// The next [`close_batch`](Self::close_batch) makes a batch even of nothing else: what was
    /// trimmed can go.
    pub fn wants_batch(&self) -> bool {
        self.trimming == Trimming::Due
            && self.is_running()
            && self
                .holdings
                .new_start(self.durable())
                .is_some_and(|start| self.has_room_for(&self.holdings.lost_below(start)))
    }

    /// Adds to the open batch what must not be lost with segments that can go, if some can.
    pub(super) fn record_trims(&mut self) {
        if self.trimming != Trimming::Due || !self.is_running() {
            return;
        }
        self.trimming = Trimming::Idle;
        let Some(start) = self.holdings.new_start(self.durable()) else { return };
        let records = self.holdings.lost_below(start);
        if !self.has_room_for(&records) {
            base::mark!("wal: no room to trim");
            self.trimming = Trimming::Due;
            return;
        }
        for record in records {
            self.append(record);
        }
        self.trimming = Trimming::Recording { start };
        if self.open.record_count == 0 {
            self.trimming = Trimming::Recorded { start, last: self.last };
        }
        if self.planted.is(Plant::ReuseBeforeTrim) {
            self.drop_segments(start);
        }
    }

    /// In all the room there is, that of the ballast too.
    fn has_room_for(&self, records: &[Record<'_>]) -> bool {
        let active = plan::payload_room(self.layout.left(), &self.config);
        let spare = plan::payload_room(self.config.capacity(), &self.config);
        let size = self.open.payload.len() as u64 + records.len() as u64 * RECORD_SIZE_MAX;
        size <= active + self.spares.count() as u64 * spare
    }

    pub(super) fn note_segment_filled(&mut self) {
        if self.trimming == Trimming::Idle {
            self.trimming = Trimming::Due;
        }
    }

    /// The open batch was closed.
    pub(super) fn note_trims_closed(&mut self) {
        if let Trimming::Recording { start } = self.trimming {
            self.trimming = Trimming::Recorded { start, last: self.last };
        }
    }

    /// Goes on with a trim as far as what is durable allows.
    pub(super) fn drive_trim(&mut self) {
        if let Trimming::Recorded { start, last } = self.trimming
            && last <= self.durable()
        {
            let generation = self.slots.write_log_start(start);
            self.trimming = Trimming::Starting { start, generation };
        }
        if let Trimming::Starting { start, generation } = self.trimming
            && generation <= self.slots.durable()
        {
            self.trimming = Trimming::Due;
            self.drop_segments(start);
        }
    }

    fn drop_segments(&mut self, start: FrameSequence) {
        self.log_start = start;
        for (file, size) in self.holdings.drop_below(start) {
            self.stats.segments_trimmed += 1;
            let duty = self.spares.recycle(file, size);
            self.duties.push_back(duty);
        }
    }
}
