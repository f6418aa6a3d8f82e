//! What a core does for itself, a bounded part of it in each turn.
//!
//! Keys expire, memory is kept under its limit, what is no longer needed is freed, idle clients
//! are closed. While there is more to do the next turn begins at once; else the core sleeps until
//! something is due.

use base::Now;

use crate::node::{Node, Phase};

/// Entries freed or moved in one turn.
const ENTRIES_PER_TURN: usize = 512;

impl Node {
    /// Does some of what there is to do.
    pub(crate) fn run_upkeep(&mut self, now: Now) {
        let written = self.slices.take_written();
        self.measure_written(&written);
        self.untidy.extend(&written);
        if self.phase == Phase::Serving {
            self.run_expiry(&written, now);
            self.run_eviction(now);
            self.run_idle_check(now);
        }
        self.tidy();
        self.tell_memory();
    }

    /// When [`run_upkeep`](Self::run_upkeep) has something to do again.
    pub(crate) fn upkeep_timeout(&self) -> Option<u64> {
        if !self.untidy.is_empty() {
            return Some(0);
        }
        if self.phase != Phase::Serving {
            return None;
        }
        if !self.eviction.is_vain {
            return Some(0);
        }
        let expiry = if self.settings.active_expire { self.expiry.timeout() } else { None };
        [expiry, self.idle_timeout()].into_iter().flatten().min()
    }

    /// Lets the slices that changed free what they no longer need.
    fn tidy(&mut self) {
        for slice in self.untidy.iter() {
            if !self.slices.is_here(slice) {
                // It comes back as written.
                self.untidy.remove(slice);
                continue;
            }
            let is_more = self.slices.space_mut(slice).keyspace.maintain(ENTRIES_PER_TURN);
            self.census.measure(&self.slices, slice);
            if is_more {
                return;
            }
            self.untidy.remove(slice);
        }
    }

    /// A turn took so long, as the shell has measured.
    pub fn note_turn_time(&mut self, time_us: u64) {
        if STALL_US < time_us {
            self.stats.stalls += 1;
            self.stats.stall_max_us = self.stats.stall_max_us.max(time_us);
        }
    }

    /// A turn took so much of a processor, as the shell has measured. On a busy machine a turn takes
    /// longer than that because others run.
    pub fn note_turn_cpu_time(&mut self, time_us: u64) {
        if STALL_US < time_us {
            self.stats.cpu_stalls += 1;
            self.stats.cpu_stall_max_us = self.stats.cpu_stall_max_us.max(time_us);
        }
    }
}

/// A turn that takes longer holds others up: microseconds.
const STALL_US: u64 = 500;
