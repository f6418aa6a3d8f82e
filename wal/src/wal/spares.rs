//! Files made ahead of their use: spare segments, the double slot's file, the ballast.
//!
//! One preparation at a time. A full disk is no error here: it is remembered, writes are refused
//! while fewer spares than the minimum are ready, and the preparation is tried again. If there is
//! no spare at all, the ballast is given up: so a full disk does not stop a start.

use std::collections::VecDeque;

use crate::config::Config;
use crate::file::LogFile;
use crate::hard_state::HARD_STATE_SLOT_SIZE;
use crate::output::WriteRefusal;
use crate::recovery::Files;

/// A full disk is asked again after this.
const RETRY_US: u64 = 1_000_000;
/// The ballast is made again at the earliest after this.
const BALLAST_RETRY_US: u64 = 60_000_000;

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
    ballast_size: u64,
    least: usize,
    ready: VecDeque<u32>,
    /// Segments that are spare once they are marked.
    marking: usize,
    /// Segments that exist in part.
    unprepared: VecDeque<u32>,
    next: u32,
    preparing: Option<LogFile>,
    has_hard_state: bool,
    ballast: Ballast,
    refusal: Option<WriteRefusal>,
    /// The disk had no room for what a big write asked for; ordinary ones go on.
    room_refusal: Option<WriteRefusal>,
    wanted_room: u64,
    retry_at_us: Option<u64>,
    ballast_at_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ballast {
    Absent,
    /// In whole or in part; size as found.
    Present(u64),
    Removing,
}

impl Spares {
    pub(crate) fn new(config: &Config, files: &Files) -> Self {
        Self {
            segment_size: config.segment_size,
            ballast_size: config.ballast_size,
            least: config.spare_segments,
            ready: files.spare.iter().copied().collect(),
            marking: files.dead.len(),
            unprepared: files.unprepared.iter().copied().collect(),
            next: files.next,
            preparing: None,
            has_hard_state: files.hard_state,
            ballast: files.ballast.map_or(Ballast::Absent, Ballast::Present),
            refusal: None,
            room_refusal: None,
            wanted_room: 0,
            retry_at_us: None,
            ballast_at_us: None,
        }
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn is_ready(&self, id: u32) -> bool {
        self.ready.contains(&id)
    }

    pub(crate) fn take(&mut self) -> Option<u32> {
        self.ready.pop_front()
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
        [self.retry_at_us, self.ballast_at_us].into_iter().flatten().min()
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
        self.ballast_at_us = self.ballast_at_us.filter(|at| now_us < *at);
        if self.preparing.is_some()
            || self.ballast == Ballast::Removing
            || self.retry_at_us.is_some()
        {
            return None;
        }
        let (file, size) = if !self.has_hard_state {
            (LogFile::HardState, HARD_STATE_FILE_SIZE)
        } else if self.ready.len() + self.marking < wanted {
            let id = self.unprepared.pop_front().unwrap_or_else(|| {
                let id = self.next;
                self.next = id.checked_add(1).expect("a log makes fewer than 2^32 segments");
                id
            });
            (LogFile::Segment(id), self.segment_size)
        } else if is_running && self.wants_ballast() {
            (LogFile::Ballast, self.ballast_size)
        } else {
            return None;
        };
        self.preparing = Some(file);
        Some(Duty::Prepare(file, size))
    }

    fn wants_ballast(&self) -> bool {
        let is_whole = matches!(self.ballast, Ballast::Present(size) if self.ballast_size <= size);
        0 < self.ballast_size
            && !is_whole
            && self.ballast_at_us.is_none()
            && self.least <= self.ready.len()
    }

    /// A file is prepared. A segment is marked before it is used: otherwise a later start could
    /// not tell it from one that was prepared in part.
    pub(crate) fn note_prepared(&mut self, file: LogFile) -> Option<Duty> {
        assert!(self.preparing == Some(file));
        self.preparing = None;
        match file {
            LogFile::HardState => self.has_hard_state = true,
            LogFile::Ballast => self.ballast = Ballast::Present(self.ballast_size),
            LogFile::Segment(id) => {
                self.room_refusal = None;
                self.marking += 1;
                return Some(Duty::Mark(id));
            }
        }
        None
    }

    pub(crate) fn note_marked(&mut self, id: u32) {
        self.marking -= 1;
        self.ready.push_back(id);
        if self.least <= self.ready.len() {
            self.refusal = None;
        }
    }

    /// The disk is full. Returns what makes room, if anything does.
    pub(crate) fn note_no_space(&mut self, file: LogFile, now_us: u64) -> Option<Duty> {
        assert!(self.preparing == Some(file));
        self.preparing = None;
        if file == LogFile::Ballast {
            base::mark!("wal: no space for the ballast");
            return self.remove_ballast();
        }
        let needed = match file {
            LogFile::Segment(_) => self.segment_size,
            LogFile::HardState | LogFile::Ballast => HARD_STATE_FILE_SIZE,
        };
        let refusal = Some(WriteRefusal { file, needed });
        if self.least <= self.ready.len() {
            base::mark!("wal: no space for a big write");
            self.room_refusal = refusal;
            self.wanted_room = 0;
            self.retry_at_us = Some(now_us + RETRY_US);
            // Nobody waits for it, and half a segment may be all the room the disk has.
            return Some(Duty::Remove(file));
        }
        base::mark!("wal: no space for a segment");
        self.refusal = refusal;
        if let LogFile::Segment(id) = file {
            self.unprepared.push_front(id);
        }
        let has_none = self.ready.is_empty() && self.marking == 0;
        if (has_none || file == LogFile::HardState) && matches!(self.ballast, Ballast::Present(_)) {
            base::mark!("wal: the ballast is given up");
            return self.remove_ballast();
        }
        self.retry_at_us = Some(now_us + RETRY_US);
        None
    }

    fn remove_ballast(&mut self) -> Option<Duty> {
        self.ballast = Ballast::Removing;
        Some(Duty::Remove(LogFile::Ballast))
    }

    pub(crate) fn note_removed(&mut self, file: LogFile, is_gone: bool, now_us: u64) {
        if file != LogFile::Ballast {
            return;
        }
        self.ballast_at_us = Some(now_us + BALLAST_RETRY_US);
        self.ballast = Ballast::Absent;
        if !is_gone {
            self.retry_at_us = Some(now_us + RETRY_US);
        }
    }
}
