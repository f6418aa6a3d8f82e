//! Snapshots: how they reach the disk, and what a start makes of them.

use base::{CoreId, LogIndex, SliceId};
use node::{SliceReplay, SliceStart, SnapshotOutput, settle_replays};
use wal::HardState;

use super::process::Recovery;
use super::{Happening, World};
use crate::disk::Reader;
use crate::history::Answer;
use crate::shelf::Ticket;
use crate::surviving::Surviving;
use crate::trace::hash_bytes;

impl World {
    /// The node wants something done for a snapshot.
    pub(super) fn carry_out_snapshot(
        &mut self,
        core: u16,
        output: SnapshotOutput,
    ) -> Result<(), String> {
        let size = match &output {
            SnapshotOutput::Chunk { slice, index, number, raw, .. } => {
                let place = [u64::from(slice.0), index.0, u64::from(*number), hash_bytes(raw)];
                self.note("chunk", &place);
                raw.len() as u64
            }
            SnapshotOutput::Publish { slice, index, manifest, .. } => {
                let (slice, index) = (*slice, *index);
                self.note("publish", &[u64::from(slice.0), index.0, manifest.term.0]);
                self.judge_publication(core, slice, index)?;
                // Once it is published, what it holds may be trimmed.
                self.archive_log(core)?;
                0
            }
            SnapshotOutput::Discard { slice, index, .. } => {
                self.note("discard", &[u64::from(slice.0), index.0]);
                self.report.count("snapshot: discarded");
                0
            }
        };
        let ticket = self.shelf.submit(output);
        if let Some(violation) = self.shelf.violations.pop() {
            return Err(format!("a snapshot is not written as it should be: {violation}"));
        }
        if let Some(ticket) = ticket {
            let after = self.disk_time(5 * self.plan.write_us + size / 100);
            self.schedule(after, Happening::Shelf(self.incarnation, core, ticket));
        }
        Ok(())
    }

    /// Nothing is published at an index that is not settled (PROTOCOL I6).
    fn judge_publication(&self, core: u16, slice: SliceId, index: LogIndex) -> Result<(), String> {
        let topology = self.topology();
        if topology.owner(slice) != CoreId(core) {
            return Err(format!("core {core} publishes a snapshot of slice {slice}"));
        }
        let process = self.process.as_ref().expect("a process wants it");
        let settled = process.cores[usize::from(core)].node.progress(slice).1;
        if settled < index {
            return Err(format!(
                "a snapshot of slice {slice} is published at {index}, settled is {settled}"
            ));
        }
        Ok(())
    }

    /// An operation of a snapshot ends.
    pub(super) fn snapshot_done(&mut self, core: u16, ticket: Ticket, now: base::Now) {
        let Self { shelf, prng, report, faults, .. } = self;
        let fails = std::mem::take(&mut faults.fail_snapshot);
        let Some(event) = shelf.complete(ticket, fails, prng, report) else { return };
        self.note("snapshot", &[u64::from(core), u64::from(fails)]);
        self.tell(core, node::Event::Snapshot(event), now);
    }

    /// How far each slice is settled while a process runs.
    pub(super) fn settled_now(&self) -> Vec<u64> {
        let topology = self.topology();
        let mut settled = vec![0; usize::from(topology.slices())];
        let Some(process) = &self.process else { return settled };
        for (core, own) in (0..).zip(&process.cores) {
            for (slice, index) in topology.slices_of(CoreId(core)).zip(&own.settled) {
                settled[usize::from(slice.0)] = *index;
            }
        }
        settled
    }

    /// What was settled when SAVE came is in published snapshots when it is answered.
    pub(super) fn judge_save(&mut self, operation: usize, answer: &Answer) -> Result<(), String> {
        let Some(settled) = self.saves.remove(&operation) else { return Ok(()) };
        if *answer != Answer::Ok {
            self.report.count("snapshot: SAVE refused");
            return Ok(());
        }
        self.report.count("snapshot: SAVE");
        for (slice, settled) in (0..).zip(settled) {
            let newest = self.shelf.of(SliceId(slice)).last().map_or(0, |it| it.facts.index.0);
            if newest < settled {
                return Err(format!(
                    "SAVE is answered with slice {slice} saved up to {newest}, it was settled up \
                     to {settled} before"
                ));
            }
        }
        Ok(())
    }

    /// Now and then the newest snapshot of a slice is damaged, and the one before it is used.
    pub(super) fn damage_snapshot(&mut self) -> Result<(), String> {
        if self.prng.chance(20) {
            let slice = SliceId(self.prng.below(u64::from(self.plan.slices)) as u16);
            let Some(newest) = self.shelf.lose_newest(slice) else { return Ok(()) };
            let recovered = self.recover(false).and_then(|recovery| {
                let Recovery { replays, hard_states, .. } = recovery;
                settle_replays(replays, &hard_states)
            });
            let is_lack = |why: &str| {
                ["was trimmed up to entry", "follows entry"].iter().any(|it| why.contains(it))
            };
            match recovered {
                Ok(_) => self.report.count("rot: newest snapshot of a slice"),
                // The log was trimmed up to that one.
                Err(why) if is_lack(&why) => {
                    self.report.count("rot: only snapshot of a slice, refused");
                    self.shelf.repair(newest);
                }
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// Keeps what the log of a core holds now.
    fn archive_log(&mut self, core: u16) -> Result<(), String> {
        let Self { disks, archive, plan, .. } = self;
        let mut keep = |_, record: wal::Record<'_>| {
            if let wal::Record::Entry { slice, term, index, body } = record {
                archive.add(slice, term, index, body);
            }
            Ok(())
        };
        let disk = &disks[usize::from(core)];
        match wal::recover(&mut Reader(disk), &plan.wal_config(core), &mut keep) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(format!("the log of core {core} cannot be read while it is written: {error}"))
            }
        }
    }

    /// The slices of a start, made of snapshots and what the logs have behind them, compared with
    /// those that the logs alone make.
    pub(super) fn settle(
        &mut self,
        replays: Vec<SliceReplay>,
        whole: Vec<SliceReplay>,
        hard_states: &[HardState],
    ) -> Result<Vec<SliceStart>, String> {
        let starts = settle_replays(replays, hard_states)?;
        let whole = settle_replays(whole, hard_states)
            .map_err(|error| format!("the logs without snapshots are refused: {error}"))?;
        for (start, whole) in starts.iter().zip(&whole) {
            let slice = start.id();
            if start.history() != whole.history() {
                return Err(format!(
                    "slice {slice} from its snapshot remembers {:?}, from its log {:?}",
                    start.history(),
                    whole.history()
                ));
            }
            if start.digest() != whole.digest() {
                return Err(format!(
                    "slice {slice} from its snapshot and the log behind it is not what its log \
                     alone makes"
                ));
            }
        }
        self.report.count("check: snapshots and logs compared with logs");
        Ok(starts)
    }

    /// Each published snapshot holds what counts up to its index, and nothing else.
    pub(super) fn judge_snapshots(&mut self, surviving: &Surviving) -> Result<(), String> {
        let mut checked = 0;
        for stored in self.shelf.all() {
            let facts = &stored.facts;
            let (slice, index) = (facts.slice, facts.index);
            if !self.snapshots_checked.insert((slice, index)) {
                continue;
            }
            checked += 1;
            let expected = surviving
                .keyspace_at(slice, facts.term, index, self.plan.seed)
                .map_err(|what| format!("a snapshot of slice {slice} at {index}: {what}"))?;
            let empty = SliceReplay::new(slice, self.plan.seed, self.topology());
            let alone = stored.restored(empty)?;
            if alone.digest() != expected.digest() {
                return Err(format!(
                    "the snapshot of slice {slice} at {index} holds something else than the \
                     entries up to there"
                ));
            }
            self.trace.remark(|| {
                format!("snapshot of {slice} at {index}, {} chunks", stored.chunk_count())
            });
        }
        self.report.add("check: snapshots compared with entries", checked);
        Ok(())
    }
}
