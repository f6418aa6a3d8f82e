//! How long a log gets: who is made to let go of it, and when writes wait for that.
//!
//! A log above its share looks for the slices that hold it up. One that grows all the same, because
//! snapshots are slower than writes, holds the clients' writes back: while it is above its limit, a
//! core takes as many bytes of effects as go into chunks of snapshots that are written.
//!
//! # Invariants
//!
//! * Only what a client has not begun is held, as in CLIENT PAUSE: nothing that a snapshot or a trim
//!   needs waits behind it.
//! * Nothing is held while no snapshot is under way, after one has failed, or when nothing was
//!   written for a while: then the log grows until the disk is full, which is dealt with there.

use base::{ConnectionId, CoreId, FrameSequence, Now};
use engine::Command;

use crate::clients::queue_run;
use crate::node::{Node, Phase};
use crate::parcel::Message;
use crate::registry::{Control, Run};
use crate::session::Session;

/// A log may have so many times its share of `snapshot-log-size` before single slices are looked at,
const LOG_SHARES: u64 = 3;
/// so often: microseconds.
const LOOK_US: u64 = 100_000;
/// It may have so many times that share and the snapshots of its slices before writes are held,
const HOLD_SHARES: u64 = 4;
/// and so many segments, however small the share is.
const HOLD_SEGMENTS: u64 = 4;
/// Bytes of effects that may be saved up for later.
const ALLOWANCE_MAX: u64 = 4 * 1024 * 1024;
/// Writes are held so long without a chunk being written: microseconds.
const PATIENCE_US: u64 = 10_000_000;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Retention {
    /// When it was last looked at who holds up the log, and how things were.
    looked_us: u64,
    seen: Option<Standing>,
    /// The log is above its limit, and snapshots are being written.
    is_behind: bool,
    /// Bytes of effects that may be logged while it is.
    allowance: u64,
    /// Bytes of effects logged, as of the last turn.
    logged: u64,
    /// When a chunk was last written, or the log got above its limit.
    progress_us: u64,
    /// By core: writes are held.
    holders: Vec<bool>,
    held: Vec<ConnectionId>,
}

/// What decides who holds up the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    share: u64,
    start: FrameSequence,
    durable: FrameSequence,
    /// Snapshots that were published or failed.
    ended: u64,
}

impl Retention {
    pub(crate) fn new(cores: u16) -> Self {
        Self {
            looked_us: 0,
            seen: None,
            is_behind: false,
            allowance: 0,
            logged: 0,
            progress_us: 0,
            holders: vec![false; usize::from(cores)],
            held: Vec::new(),
        }
    }

    /// A chunk of so many bytes is written.
    pub(crate) fn note_written(&mut self, size: usize, now: Now) {
        self.allowance = ALLOWANCE_MAX.min(self.allowance + size as u64);
        self.progress_us = now.monotonic_us;
    }

    /// Some core holds writes back.
    pub(crate) fn holds(&self) -> bool {
        self.holders.contains(&true)
    }

    pub(crate) fn hold(&mut self, client: ConnectionId) {
        self.held.push(client);
    }

    pub(crate) fn held_count(&self) -> usize {
        self.held.len()
    }
}

impl Node {
    /// Bytes of its log that a core has of `snapshot-log-size`.
    fn log_share(&self) -> u64 {
        self.settings.snapshot_log_size / u64::from(self.topology.cores())
    }

    fn standing_of_log(&self) -> Standing {
        let (start, durable) = (self.wal.start(), self.wal.durable());
        Standing { share: self.log_share(), start, durable, ended: self.snapshots.ended }
    }

    /// A log that outgrows its share is held up by slices that were not snapshotted for long. One
    /// in which nothing has happened since is trimmed up to its newest snapshot.
    pub(crate) fn relieve_log(&mut self, now: Now) {
        if self.relief_us().is_none_or(|at| now.monotonic_us < at) {
            return;
        }
        self.retention.looked_us = now.monotonic_us;
        self.retention.seen = Some(self.standing_of_log());
        for pin in self.wal.pinned(LOG_SHARES * self.log_share()) {
            match self.snapshots.newest(pin.slice).map(|newest| newest.index) {
                Some(index) if index == self.slices.group(pin.slice).last() => {
                    self.wal.trim(pin.slice, index);
                }
                _ => self.snapshots.enqueue(pin.slice),
            }
        }
    }

    /// When the next look at the log is due; None: it is short enough, or nothing has happened
    /// since the last look.
    fn relief_us(&self) -> Option<u64> {
        let is_long = LOG_SHARES * self.log_share() < self.wal.size();
        let is_due = is_long && self.retention.seen != Some(self.standing_of_log());
        is_due.then_some(self.retention.looked_us + LOOK_US)
    }

    /// When there is something to do again, but for what events bring.
    pub(crate) fn retention_timeout(&self) -> Option<u64> {
        let holds = self.retention.holders[usize::from(self.core.0)];
        let patience = holds.then_some(self.retention.progress_us + PATIENCE_US);
        [self.relief_us(), patience].into_iter().flatten().min()
    }

    /// Bytes of log above which writes are held back.
    fn log_size_max(&self) -> u64 {
        let own = self.topology.slices_of(self.core);
        let snapshots: u64 =
            own.filter_map(|slice| self.snapshots.newest(slice)).map(|newest| newest.size).sum();
        let least = HOLD_SEGMENTS * self.config.wal.segment_size;
        least.max(HOLD_SHARES * (self.log_share() + snapshots))
    }

    /// Decides whether writes wait for this core's log. Once per turn.
    pub(crate) fn hold_writes_back(&mut self, now: Now) {
        let logged = self.slices.groups().map(crate::group::Group::logged).sum();
        let is_behind = self.phase == Phase::Serving
            && self.log_size_max() < self.wal.size()
            && self.snapshots.are_at_work(now);
        let retention = &mut self.retention;
        let taken = logged - std::mem::replace(&mut retention.logged, logged);
        if is_behind && !retention.is_behind {
            retention.progress_us = now.monotonic_us;
            retention.allowance = 0;
        }
        retention.is_behind = is_behind;
        retention.allowance = retention.allowance.saturating_sub(taken);
        let is_patient = now.monotonic_us < retention.progress_us + PATIENCE_US;
        let holds = is_behind && is_patient && retention.allowance == 0;
        if holds != retention.holders[usize::from(self.core.0)] {
            base::mark!("retention: writes are held back, or go on");
            self.note_holder(self.core, holds);
            for core in self.topology.others(self.core) {
                self.outbox.to(core).add_message(Message::HoldsWrites(holds));
            }
        }
    }

    /// A core holds writes back, or does so no longer.
    pub(crate) fn note_holder(&mut self, core: CoreId, holds: bool) {
        self.retention.holders[usize::from(core.0)] = holds;
        if self.retention.holds() {
            return;
        }
        for id in std::mem::take(&mut self.retention.held) {
            if let Some(session) = self.sessions.get_mut(id) {
                queue_run(&mut self.runnable, session);
            }
        }
    }

    /// Must the command wait for snapshots to be written?
    pub(crate) fn is_held_back(&self, session: &Session, command: &Command<Run>) -> bool {
        if !self.retention.holds() || session.asking.is_some() {
            return false;
        }
        match (&session.client.transaction, command.run) {
            // What the other cores were asked, they did.
            (Some(queued), Run::Control(Control::Exec)) => {
                queued.has_write() && !queued.has_asked()
            }
            // It is only queued.
            (Some(_), _) => false,
            (None, _) => command.is_write(),
        }
    }
}
