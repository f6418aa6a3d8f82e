//! A process of the node: its cores, how it starts from what the disks hold, how it ends.

use std::collections::VecDeque;

use base::{CoreId, LogIndex, SliceId, Term};
use node::{LogReplay, LongJob, Node, NodeStart, Parcel, SliceReplay, SliceStart, Topology};
use wal::{HardState, Recovered};

use super::{Happening, Stage, World};
use crate::disk::{Disk, Reader};
use crate::surviving::Surviving;
use crate::world::faults::Crash;

/// A running node. Owner: world.
pub(super) struct Process {
    pub(super) cores: Vec<Core>,
    /// Operations before this one are of earlier processes.
    pub(super) first_operation: usize,
    pub(super) shutting_down: bool,
    pub(super) halted: bool,
    pub(super) turns: u64,
    /// It crashes in the first turn after this one
    pub(super) crash_at_turn: u64,
    /// that leaves so many writes on their way.
    pub(super) crash_with_writes: usize,
    pub(super) crash: Crash,
}

/// One core of a process. Owner: process.
pub(super) struct Core {
    pub(super) node: Node,
    pub(super) listening: bool,
    pub(super) exited: bool,
    /// When the next turn without events is scheduled.
    pub(super) turn_at_us: Option<u64>,
    /// Turns in a row after which the node asked for another at once.
    pub(super) idle_turns: u32,
    /// What each other core sent, in order.
    pub(super) inbox: Vec<Inbox>,
    /// How far each of its slices is settled.
    pub(super) settled: Vec<u64>,
    /// The long command that runs beside it.
    pub(super) long: Option<Box<LongJob>>,
}

/// Parcels of one core for another. Owner: core.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) parcels: VecDeque<Box<Parcel>>,
    /// Parcels ever put in.
    pub(super) sent: u64,
    /// Of those, the ones that are to be seen at the next turn.
    pub(super) due: u64,
}

/// What the logs hold.
pub(super) struct Recovery {
    /// Of the generation that is written, by core.
    pub(super) logs: Vec<Recovered>,
    /// From the newest snapshots, and the logs behind them.
    pub(super) replays: Vec<SliceReplay>,
    /// From the logs alone.
    pub(super) whole: Vec<SliceReplay>,
    /// Of all generations.
    pub(super) hard_states: Vec<HardState>,
    pub(super) surviving: Surviving,
    /// The logs alone do not hold all of it.
    pub(super) is_trimmed: bool,
}

/// After so many turns of waiting for a moment to crash, any will do.
const CRASH_PATIENCE: u64 = 300;

impl Process {
    /// Is recovery over on every core?
    pub(super) fn is_listening(&self) -> bool {
        self.cores.iter().all(|core| core.listening)
    }

    /// Is this the turn to crash in, with so many writes on their way?
    pub(super) fn is_crash_due(&self, writes: usize) -> bool {
        let late = self.turns.saturating_sub(self.crash_at_turn);
        CRASH_PATIENCE < late || (0 < late && self.crash_with_writes <= writes)
    }
}

impl Core {
    fn new(node: Node, cores: u16, slices: usize) -> Self {
        Self {
            node,
            listening: false,
            exited: false,
            turn_at_us: None,
            idle_turns: 0,
            inbox: (0..cores).map(|_| Inbox::default()).collect(),
            settled: vec![0; slices],
            long: None,
        }
    }
}

impl World {
    pub(super) fn is_listening(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.is_listening() && !process.shutting_down)
    }

    pub(super) fn topology(&self) -> Topology {
        Topology::new(self.cores, self.plan.slices)
    }

    /// A process starts: recovery, judgement of what it found, and a node over it.
    pub(super) fn start(&mut self) -> Result<(), String> {
        assert!(self.process.is_none());
        self.incarnation += 1;
        self.failures_told = 0;
        self.final_failure = None;
        self.note("start", &[self.incarnation]);
        if self.plan.rots && self.stage == Stage::Working && self.prng.chance(50) {
            self.start_from_rot()?;
            self.damage_snapshot()?;
        }
        self.choose_cores();
        let keeps_bytes = self.prng.chance(25);
        let Recovery { logs, replays, whole, hard_states, surviving, is_trimmed } =
            self.recover(keeps_bytes)?;
        if is_trimmed {
            self.report.count("start: from a trimmed log");
        }
        self.trace.remark(|| {
            format!("{} cores, recovered {} entries: {logs:?}", logs.len(), surviving.entry_count())
        });
        self.trace.remark(|| surviving.describe());
        let frames = logs.iter().map(|log| log.frames).sum();
        self.note("recovered", &[surviving.entry_count() as u64, frames]);
        let starts = self.settle(replays, whole, &hard_states)?;
        for (slice, log) in (0..).zip(&surviving.slices) {
            for entry in &log.entries {
                let (term, index) = (Term(entry.term), LogIndex(entry.index));
                self.archive.add(SliceId(slice), term, index, &entry.body);
            }
        }
        self.judge_snapshots(&surviving)?;
        let cores = self.make_cores(logs, starts);
        self.judge_survival(&cores, &surviving)?;
        self.recovered = surviving;

        let working = self.stage == Stage::Working;
        let crash_at_turn = match self.prng.below(10) {
            _ if !working => u64::MAX,
            0..3 if self.plan.restless => self.prng.below(8),
            0..1 => self.prng.below(8),
            1..4 => self.prng.below(100),
            _ => 100 + self.prng.below(1_000),
        };
        let crash_with_writes = match self.prng.chance(50) {
            true => 0,
            false => 1 + self.prng.index(self.plan.frames_in_flight + 1),
        };
        let crash = if self.prng.chance(50) { Crash::Kill } else { Crash::PowerCut };
        self.process = Some(Process {
            cores,
            first_operation: self.operations.len(),
            shutting_down: false,
            halted: false,
            turns: 0,
            crash_at_turn,
            crash_with_writes,
            crash,
        });
        for core in 0..self.cores {
            self.schedule(0, Happening::Turn(self.incarnation, core));
        }
        Ok(())
    }

    /// The cores of this start: other ones begin a new generation of logs.
    fn choose_cores(&mut self) {
        let changes = self.plan.cores_change && self.stage == Stage::Working;
        if 1 < self.incarnation && changes && self.prng.chance(20) {
            self.cores = 1 + self.prng.below(u64::from(self.plan.slices.min(4))) as u16;
        }
        if usize::from(self.cores) != self.disks.len() {
            self.report.count("start: with another number of cores");
            // Nobody writes the old ones any more: the start flushes what it reads of them.
            self.disks.iter_mut().for_each(Disk::flush_all);
            let new = (0..self.cores).map(|_| Disk::default()).collect();
            self.older_disks.push(std::mem::replace(&mut self.disks, new));
        }
        self.places = vec![Vec::new(); usize::from(self.cores)];
    }

    /// The cores over what was replayed.
    pub(super) fn make_cores(&self, logs: Vec<Recovered>, starts: Vec<SliceStart>) -> Vec<Core> {
        let topology = self.topology();
        let mut starts: Vec<_> = starts.into_iter().map(Some).collect();
        let mut cores = Vec::new();
        for (core, recovered) in (0..).zip(logs) {
            let own = topology
                .slices_of(CoreId(core))
                .map(|slice| starts[usize::from(slice.0)].take().expect("a slice has one owner"));
            let start = NodeStart {
                core: CoreId(core),
                topology,
                config: self.plan.node_config(core, self.incarnation),
                slices: own.collect(),
                recovered,
                published: topology
                    .slices_of(CoreId(core))
                    .flat_map(|slice| self.shelf.published(slice))
                    .collect(),
            };
            let mut node = Node::new(start, self.now());
            node.set_snapshot_steps(self.plan.snapshot_steps);
            if let Some(plant) = self.planting.node {
                node.plant(plant);
            }
            let slices = topology.slices_of(CoreId(core)).count();
            cores.push(Core::new(node, topology.cores(), slices));
        }
        cores
    }

    /// Reads the logs as a start does, those of older generations first.
    pub(super) fn recover(&self, keeps_bytes: bool) -> Result<Recovery, String> {
        let topology = self.topology();
        let mut surviving = Surviving::new(topology, keeps_bytes);
        let mut all = Vec::new();
        let mut whole = Vec::new();
        for slice in (0..topology.slices()).map(SliceId) {
            let mut replay = SliceReplay::new(slice, self.plan.seed, topology);
            self.planting.node.into_iter().for_each(|plant| replay.plant(plant));
            if let Some(newest) = self.shelf.of(slice).last() {
                replay = newest.restored(replay)?;
            }
            all.push(replay);
            let mut replay = SliceReplay::new(slice, self.plan.seed, topology);
            self.planting.node.into_iter().for_each(|plant| replay.plant(plant));
            whole.push(replay);
        }
        let mut replays = LogReplay::new(all);
        let mut whole = LogReplay::new(whole);
        let mut completion = self.archive.complete();
        let mut hard_states = Vec::new();
        let mut logs = Vec::new();
        for disks in self.older_disks.iter().chain([&self.disks]) {
            logs.clear();
            for (core, disk) in (0..).zip(disks) {
                let config = self.plan.wal_config(core);
                let mut replay = |_, record: wal::Record<'_>| {
                    completion.take(&record, &mut |record| {
                        surviving.take(&record, &self.keys, &self.values)?;
                        whole.replay(record)
                    })?;
                    replays.replay(record)
                };
                #[cfg(feature = "planted")]
                let recovered = {
                    let planted = self.planting.wal.map(wal::Planted::one).unwrap_or_default();
                    wal::recover_planted(&mut Reader(disk), &config, planted, &mut replay)
                };
                #[cfg(not(feature = "planted"))]
                let recovered = wal::recover(&mut Reader(disk), &config, &mut replay);
                let recovered = recovered
                    .map_err(|error| format!("the log of core {core} is refused: {error}"))?;
                hard_states.extend_from_slice(&recovered.hard_states);
                logs.push(recovered);
            }
        }
        let is_trimmed = completion.is_trimmed();
        surviving.finish()?;
        let (replays, whole) = (replays.into_slices(), whole.into_slices());
        Ok(Recovery { logs, replays, whole, hard_states, surviving, is_trimmed })
    }

    /// A core serves; when all do, what the process before did is judged as a whole.
    pub(super) fn note_listening(&mut self, core: u16) -> Result<(), String> {
        let process = self.process.as_mut().expect("a process said so");
        let own = &mut process.cores[usize::from(core)];
        if own.listening {
            return Err("a core listens twice".to_owned());
        }
        own.listening = true;
        if !process.is_listening() {
            return Ok(());
        }
        let first = process.first_operation;
        self.note("listening", &[]);
        self.judge_history(first)?;
        self.shut_down = false;
        self.serve_from_recovered();
        Ok(())
    }

    pub(super) fn serve_from_recovered(&mut self) {
        let nothing = Surviving::new(self.topology(), false);
        self.served = std::mem::replace(&mut self.recovered, nothing);
    }

    /// A core exits by itself: everything it answered must be on its disk.
    pub(super) fn note_exit(&mut self, core: u16) -> Result<(), String> {
        let process = self.process.as_mut().expect("a process exits once");
        if !process.shutting_down {
            return Err("a core exits though nobody asked it to".to_owned());
        }
        let own = &mut process.cores[usize::from(core)];
        if std::mem::replace(&mut own.exited, true) {
            return Err("a core exits twice".to_owned());
        }
        let was_listening = own.listening;
        let is_last = process.cores.iter().all(|core| core.exited);
        let pending = self.disks[usize::from(core)].writes_pending();
        if was_listening && 0 < pending {
            return Err(format!("core {core} exits with {pending} writes on their way"));
        }
        if was_listening && self.final_failure.is_some() {
            return Err("the node exits with success after a failed write".to_owned());
        }
        if is_last { self.end_process() } else { Ok(()) }
    }

    /// All cores have exited.
    fn end_process(&mut self) -> Result<(), String> {
        let process = self.process.take().expect("a process ends once");
        self.note("exit", &[process.turns]);
        self.report.count("crash: clean shutdown");
        self.shut_down = process.is_listening();
        self.last_digests = self.shut_down.then(|| self.digests(&process.cores));
        self.drop_links();
        self.kill_disks();
        if self.prng.chance(50) {
            self.cut_power();
        }
        if matches!(self.stage, Stage::Stopping { .. }) {
            return self.judge_end();
        }
        self.report.crashes += 1;
        let after = 1_000 + self.prng.below(100_000);
        self.schedule(after, Happening::Start);
        Ok(())
    }
}
