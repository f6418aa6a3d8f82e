//! Saves that were asked for, by a client or a save point: all own slices, and what INFO tells.

use base::{Now, SliceId};

use crate::group::Group;
use crate::node::Node;
use crate::snapshots::Snapshots;

/// What INFO and LASTSAVE tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saves {
    /// When the last complete one ended, or this core began to serve: milliseconds since 1970.
    pub(crate) last_ms: u64,
    pub(crate) is_running: bool,
    pub(crate) has_failed: bool,
    /// Why.
    pub(crate) error: Option<String>,
    /// Seconds it took; `None` before the first.
    pub(crate) last_s: Option<u64>,
    /// Seconds that the one under way has taken.
    pub(crate) running_s: Option<u64>,
    pub(crate) count: u64,
    /// Effects applied when the last complete one began.
    changes_before: u64,
    /// Effects applied since.
    pub(crate) changes: u64,
}

#[derive(Debug)]
pub(super) struct Save {
    started_us: u64,
    started_changes: u64,
    left: Vec<SliceId>,
}

impl Node {
    /// Snapshots all own slices. False if that is being done.
    pub(crate) fn begin_save(&mut self, now: Now) -> bool {
        if self.snapshots.save.is_some() {
            return false;
        }
        self.snapshots.saves.is_running = true;
        self.snapshots.resting_us = 0;
        let left: Vec<SliceId> = self.topology.slices_of(self.core).collect();
        left.iter().for_each(|slice| self.snapshots.enqueue(*slice));
        let started_changes = self.changes();
        let started_us = now.monotonic_us;
        // One that is under way began before it was asked for: that slice once more.
        if let Some(taking) = &self.snapshots.taking {
            let slice = taking.manifest.slice;
            self.snapshots.queue.push_back(slice);
        }
        self.snapshots.save = Some(Save { started_us, started_changes, left });
        true
    }

    /// Begins a save when a save point is reached. Each core judges by its own changes, as if the
    /// others had as many.
    pub(super) fn save_if_due(&mut self, now: Now) {
        let Snapshots { saves, save, .. } = &self.snapshots;
        if save.is_some() || self.settings.save_points.is_empty() {
            return;
        }
        let changes = self.unsaved_changes() * u64::from(self.topology.cores());
        let passed_s = now.wall_ms.saturating_sub(saves.last_ms) / 1000;
        let mut points = self.settings.save_points.iter();
        if points.any(|(seconds, least)| *seconds <= passed_s && *least <= changes)
            && self.snapshots.resting_us <= now.monotonic_us
        {
            self.begin_save(now);
        }
    }

    /// A slice of a save that was asked for is done.
    pub(super) fn finish_of_save(&mut self, slice: SliceId, now: Now) {
        let Snapshots { save, saves, queue, .. } = &mut self.snapshots;
        let Some(running) = save.as_mut().filter(|_| !queue.contains(&slice)) else { return };
        running.left.retain(|left| *left != slice);
        if running.left.is_empty() {
            saves.last_ms = now.wall_ms;
            saves.is_running = false;
            saves.has_failed = false;
            saves.error = None;
            saves.last_s = Some((now.monotonic_us - running.started_us) / 1_000_000);
            saves.count += 1;
            saves.changes_before = running.started_changes;
            *save = None;
        }
    }

    /// Effects on own slices since the start.
    fn changes(&self) -> u64 {
        self.slices.groups().map(Group::changes).sum()
    }

    /// Effects on own slices since the last complete save began.
    fn unsaved_changes(&self) -> u64 {
        self.changes() - self.snapshots.saves.changes_before
    }

    /// For INFO.
    pub(crate) fn saves(&self, now: Now) -> Saves {
        let Snapshots { saves, save, .. } = &self.snapshots;
        let running = save.as_ref();
        let running_s = running.map(|save| (now.monotonic_us - save.started_us) / 1_000_000);
        Saves { running_s, changes: self.unsaved_changes(), ..saves.clone() }
    }

    /// A save that was asked for is not complete.
    pub(crate) fn is_saving(&self) -> bool {
        self.snapshots.save.is_some()
    }
}
