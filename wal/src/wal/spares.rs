//! Files made ahead of their use: spare segments, those of the ballast, the double slot's file.
//!
//! One preparation at a time. A full disk is no error here: it is remembered, writes are refused
//! while fewer spares than the minimum are ready, and the preparation is tried again.
//!
//! The ballast is further spare segments, which nothing but a start and records that must be written
//! on a full disk may take: so a full disk does not stop a start. They are never given back to the
//! file system, where the next one to ask, another core's log perhaps, would get the room.

use std::collections::VecDeque;

use crate::config::Config;
use crate::file::LogFile;
use crate::hard_state::HARD_STATE_SLOT_SIZE;
use crate::output::WriteRefusal;
use crate::recovery::Files;

/// A full disk is asked again after this.
const RETRY_US: u64 = 1_000_000;
/// A start that finds no room waits this long for somebody to make some.
const START_PATIENCE_US: u64 = 5_000_000;

/// Spare segments that are kept beyond those that must be, if they were made for the log anyway.
const SURPLUS: usize = 2;

const HARD_STATE_FILE_SIZE: u64 = 2 * HARD_STATE_SLOT_SIZE as u64;

/// Something to do that needs nothing lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Flush(LogFile),
    Prepare(LogFile, u64),
    Remove(LogFile),
    Release(LogFile),
    /// Writes the mark of a spare into a prepared segment,
    Mark(u32),
    /// or over the header of a recovered one.
    Recycle(u32),
}

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Spares {
    segment_size: u64,
    least: usize,
    ready: VecDeque<u32>,
    /// Spare too, for when there are no others.
    ballast: Vec<u32>,
    ballast_size: usize,
    /// How many were last wanted to be ready.
    wanted: usize,
    /// Segments that are spare once they are marked.
    marking: usize,
    /// Segments that exist in part.
    unprepared: VecDeque<u32>,
    next: u32,
    preparing: Option<LogFile>,
    has_hard_state: bool,
    refusal: Option<WriteRefusal>,
    /// The disk had no room for what a big write asked for; ordinary ones go on.
    room_refusal: Option<WriteRefusal>,
    wanted_room: u64,
    retry_at_us: Option<u64>,
    /// Since when the disk has had no room for what a start needs.
    starved_since_us: Option<u64>,
}

impl Spares {
    pub(crate) fn new(config: &Config, files: &Files) -> Self {
        // One is opened by this start.
        let wanted = config.spare_segments + 1;
        let (ready, ballast) = files.spare.split_at(wanted.min(files.spare.len()));
        Self {
            segment_size: config.segment_size,
            least: config.spare_segments,
            ready: ready.iter().copied().collect(),
            ballast: ballast.to_vec(),
            ballast_size: config.ballast_segments,
            wanted,
            marking: files.dead.len(),
            unprepared: files.unprepared.iter().copied().collect(),
            next: files.next,
            preparing: None,
            has_hard_state: files.hard_state,
            refusal: None,
            room_refusal: None,
            wanted_room: 0,
            retry_at_us: None,
            starved_since_us: None,
        }
    }

    /// Those that ordinary writes may use.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Is there one to open at all?
    pub(crate) fn has_any(&self) -> bool {
        !self.ready.is_empty() || !self.ballast.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.ready.len() + self.ballast.len()
    }

    pub(crate) fn is_spare(&self, id: u32) -> bool {
        self.ready.contains(&id) || self.ballast.contains(&id)
    }

    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.ready.is_empty() && !self.ballast.is_empty() {
            base::mark!("wal: a segment of the ballast is used");
        }
        self.ready.pop_front().or_else(|| self.ballast.pop())
    }

    pub(crate) fn has_hard_state(&self) -> bool {
        self.has_hard_state
    }

    pub(crate) fn refusal(&self) -> Option<&WriteRefusal> {
        self.refusal.as_ref().filter(|_| self.ready.len() < self.least)
    }

    pub(crate) fn room_refusal(&self) -> Option<&WriteRefusal> {
        self.room_refusal.as_ref()
    }

    pub(crate) fn want_room(&mut self, bytes: u64) {
        self.wanted_room = self.wanted_room.max(bytes);
    }

    pub(crate) fn want_no_room(&mut self) {
        self.wanted_room = 0;
    }

    pub(crate) fn wanted_room(&self) -> u64 {
        self.wanted_room
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.retry_at_us
    }

    /// The next preparation, so that `wanted` spares are ready.
    pub(crate) fn next_duty(
        &mut self,
        wanted: usize,
        now_us: u64,
        is_running: bool,
    ) -> Option<Duty> {
        if self.retry_at_us.is_some_and(|at| at <= now_us) {
            self.retry_at_us = None;
            // Whoever asks for room again is the one to find out whether there is some by now.
            self.room_refusal = None;
        }
        self.wanted = wanted;
        if self.preparing.is_some() || self.retry_at_us.is_some() {
            return None;
        }
        let file = if !self.has_hard_state {
            LogFile::HardState
        } else if self.ready.len() + self.marking < wanted || is_running && self.wants_ballast() {
            let id = self.unprepared.pop_front().unwrap_or_else(|| {
                let id = self.next;
                self.next = id.checked_add(1).expect("a log makes fewer than 2^32 segments");
                id
            });
            LogFile::Segment(id)
        } else {
            return None;
        };
        self.preparing = Some(file);
        Some(Duty::Prepare(file, self.size(file)))
    }

    /// Of a file that is prepared.
    pub(crate) fn size(&self, file: LogFile) -> u64 {
        match file {
            LogFile::Segment(_) => self.segment_size,
            LogFile::HardState | LogFile::Ballast => HARD_STATE_FILE_SIZE,
        }
    }

    fn wants_ballast(&self) -> bool {
        self.ballast.len() + self.marking < self.ballast_size && self.least <= self.ready.len()
    }

    /// A file is prepared. A segment is marked before it is used: otherwise a later start could
    /// not tell it from one that was prepared in part.
    pub(crate) fn note_prepared(&mut self, file: LogFile) -> Option<Duty> {
        assert!(self.preparing == Some(file));
        self.preparing = None;
        self.starved_since_us = None;
        match file {
            LogFile::HardState => self.has_hard_state = true,
            LogFile::Ballast => unreachable!("it is only removed"),
            LogFile::Segment(id) => {
                self.room_refusal = None;
                self.marking += 1;
                return Some(Duty::Mark(id));
            }
        }
        None
    }

    /// A segment of the log is needed no more. It is marked and then spare, or removed if there
    /// are enough of them, or it has not the size that segments have now.
    pub(crate) fn recycle(&mut self, id: u32, size: u64) -> Duty {
        let spare = self.ready.len() + self.ballast.len() + self.marking;
        if spare < self.least + self.ballast_size + SURPLUS && size == self.segment_size {
            self.marking += 1;
            return Duty::Mark(id);
        }
        base::mark!("wal: a trimmed segment is removed");
        Duty::Remove(LogFile::Segment(id))
    }

    pub(crate) fn note_marked(&mut self, id: u32) {
        self.marking -= 1;
        if self.ready.len() < self.wanted || self.ballast_size <= self.ballast.len() {
            self.ready.push_back(id);
        } else {
            self.ballast.push(id);
        }
        if self.least <= self.ready.len() {
            self.refusal = None;
        }
    }

    /// The disk is full. Returns what is to be tidied up.
    pub(crate) fn note_no_space(&mut self, file: LogFile, now_us: u64) -> Option<Duty> {
        assert!(self.preparing == Some(file));
        self.preparing = None;
        let refusal = Some(WriteRefusal { file, needed: self.size(file) });
        // What the ballast lacks is taken from the writes: they are about to be refused anyway.
        while self.ballast.len() < self.ballast_size
            && let Some(id) = self.ready.pop_back()
        {
            self.ballast.push(id);
        }
        if self.least <= self.ready.len() {
            if self.ready.len() < self.wanted {
                base::mark!("wal: no space for a big write");
                self.room_refusal = refusal;
                self.wanted_room = 0;
            }
            self.retry_at_us = Some(now_us + RETRY_US);
            // Nobody waits for it, and half a segment may be all the room the disk has.
            return Some(Duty::Remove(file));
        }
        base::mark!("wal: no space for a segment");
        self.refusal = refusal;
        if let LogFile::Segment(id) = file {
            self.unprepared.push_front(id);
        }
        self.retry_at_us = Some(now_us + RETRY_US);
        None
    }

    /// A start has just found the disk full: is there still nothing to go on with, and has it
    /// waited for long enough? Others may be about to give up what they have prepared in part.
    pub(crate) fn is_hopeless(&mut self, now_us: u64) -> bool {
        if self.has_hard_state && (self.has_any() || 0 < self.marking) {
            return false;
        }
        let since = *self.starved_since_us.get_or_insert(now_us);
        since + START_PATIENCE_US <= now_us
    }
}
