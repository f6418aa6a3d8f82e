//! A node, its disk, its clients and its clocks, in one thread, from one seed.
//!
//! ```text
//!   happenings (a heap by time) ──> gathered into turns ──> node ──> outputs ──> happenings
//!        ^                                                              │
//!        └── clients: requests ── crashes, faults, jumps of time <──────┘
//! ```
//!
//! One turn of the node is one step. Every event and every output gets the next number of one
//! order, in which the history is written. What promises no order gets a random one.

mod clients;
mod faults;
mod process;
mod rot;
mod snapshots;
mod survival;
mod turn;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use base::{LogIndex, Map, Now, Prng, Set, SliceId};
use node::Topology;

use crate::archive::Archive;
use crate::disk::{Disk, Ticket};
use crate::history::{Instant, Operation, Values};
use crate::keys::Keys;
use crate::link::{Link, Peer};
use crate::plan::{Plan, Planting};
use crate::report::{Least, Report};
use crate::shelf::{self, Shelf};
use crate::surviving::Surviving;
use crate::trace::Trace;
use crate::workload::Workload;

use clients::Client;
use faults::Faults;
use process::Process;

/// What one seed must at least see.
pub const OPERATIONS_MIN: u64 = 2_000;
pub const CRASHES_MIN: u64 = 3;
pub const VIRTUAL_US_MIN: u64 = 20_000_000;

/// A seed that takes longer makes no progress.
const VIRTUAL_US_MAX: u64 = 600_000_000;

/// A disk that was full is asked again for room within this time.
const HEALING_US_MIN: u64 = 3_000_000;

/// After the last fault, everything must be answered within this time.
const HEALING_US_MAX: u64 = 30_000_000;

/// Something wrong, and how to see it again.
#[derive(Clone, Debug)]
pub struct Finding {
    pub seed: u64,
    pub time_us: u64,
    pub what: String,
}

/// What one seed came to.
#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    pub trace_hash: u64,
    pub finding: Option<Finding>,
}

/// Runs one seed from beginning to end.
pub fn run_seed(seed: u64, planting: Planting, verbose: bool) -> Outcome {
    let _ = base::mark::take();
    let mut world = World::new(seed, planting, verbose);
    let result = world.run();
    let mut report = std::mem::take(&mut world.report);
    report.seeds = 1;
    report.virtual_us = world.time_us;
    report.log_bytes = world.served.body_bytes;
    report.least = Some(Least {
        operations: report.operations,
        crashes: report.crashes,
        virtual_us: world.time_us,
    });
    report.marks = base::mark::take();
    let finding = result.err().map(|what| Finding { seed, time_us: world.time_us, what });
    Outcome { report, trace_hash: world.trace.hash(), finding }
}

/// Owner: the run of one seed.
struct World {
    plan: Plan,
    planting: Planting,
    prng: Prng,
    trace: Trace,
    report: Report,

    time_us: u64,
    /// What the wall clock is ahead of time, or behind: milliseconds.
    wall_offset_ms: i64,
    instant: Instant,
    heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    scheduled: u64,

    /// The logs that are written, by core.
    disks: Vec<Disk>,
    /// While they are nearly full, the room they share.
    disk_free: Option<u64>,
    /// Those of starts with another number of cores, oldest first.
    older_disks: Vec<Vec<Disk>>,
    shelf: Shelf,
    archive: Archive,
    /// Of this start.
    cores: u16,
    faults: Faults,
    process: Option<Process>,
    incarnation: u64,
    stage: Stage,

    clients: Vec<Client>,
    links: BTreeMap<Peer, Link>,
    /// Of each core, the generation of each place in its table of connections; taken places are
    /// odd.
    places: Vec<Vec<u32>>,
    connections: u32,
    burst_left: u64,
    next_burst_us: u64,

    workload: Workload,
    keys: Keys,
    values: Values,
    operations: Vec<Operation>,
    /// Operations before this one were judged.
    judged: usize,
    /// What the last process that served had recovered.
    served: Surviving,
    /// What the running process, or the last one, recovered.
    recovered: Surviving,
    /// The last process was shut down, not killed.
    shut_down: bool,
    /// As the last INFO said: bytes.
    dataset_size: Option<u64>,
    /// Of each slice at the last exit.
    last_digests: Option<Vec<Option<u128>>>,
    /// How far each slice was settled while a process served.
    settled: Vec<u64>,
    /// Hash of the entry at each (slice, term, index) ever recovered.
    entries: Map<(u16, u64, u64), u64>,
    /// Failures this process was told of.
    failures_told: u32,
    /// Snapshots that were compared with the entries they hold.
    snapshots_checked: Set<(SliceId, LogIndex)>,
    /// Of each SAVE that is not answered, how far each slice was settled when it came.
    saves: BTreeMap<usize, Vec<u64>>,
    /// The core that was told of a final one.
    final_failure: Option<u16>,
}

/// Something that happens at a time. What belongs to a process names its incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Start,
    Client(usize),
    Accept(u64, Peer),
    Deliver(u64, Peer),
    SendDone(u64, Peer),
    Closed(u64, Peer),
    Reset(u64, Peer),
    Disk(u64, u16, Ticket),
    Shelf(u64, u16, shelf::Ticket),
    Fault,
    FaultEnd(faults::Window),
    Shutdown(u64),
    Turn(u64, u16),
    /// The long command of a core has run.
    Ran(u64, u16),
    /// A core learns of what another sent it, so many parcels.
    Wake(u64, u16, u16, u64),
}

/// How far the run of a seed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Load and faults.
    Working,
    /// No more faults; what was asked must be answered.
    Healing {
        since_us: u64,
    },
    /// One client reads everything.
    Reading {
        client: usize,
        since_us: u64,
    },
    /// The last clean shutdown.
    Stopping {
        since_us: u64,
    },
    Done,
}

impl World {
    fn new(seed: u64, planting: Planting, verbose: bool) -> Self {
        let mut prng = Prng::from_seed(seed);
        let plan = Plan::draw(seed, &mut prng);
        let workload = Workload::new(prng.fork(), plan.segment_size);
        let trace = Trace::new(verbose);
        trace.remark(|| format!("{plan:?}"));
        let topology = Topology::new(plan.cores, plan.slices);
        let clients = (0..plan.clients).map(|_| Client::default()).collect();
        Self {
            faults: Faults::new(&plan),
            planting,
            prng,
            trace,
            report: Report::default(),
            time_us: 1_000_000,
            wall_offset_ms: 1_700_000_000_000,
            instant: Instant(0),
            heap: BinaryHeap::new(),
            scheduled: 0,
            disks: (0..plan.cores).map(|_| Disk::default()).collect(),
            disk_free: None,
            process: None,
            incarnation: 0,
            stage: Stage::Working,
            clients,
            links: BTreeMap::new(),
            older_disks: Vec::new(),
            shelf: Shelf::default(),
            archive: Archive::new(plan.slices),
            cores: plan.cores,
            places: vec![Vec::new(); usize::from(plan.cores)],
            connections: 0,
            burst_left: 0,
            next_burst_us: 0,
            workload,
            keys: Keys::new(topology),
            values: Values::default(),
            operations: Vec::new(),
            judged: 0,
            served: Surviving::new(topology, false),
            recovered: Surviving::new(topology, false),
            shut_down: false,
            dataset_size: None,
            last_digests: None,
            settled: vec![0; usize::from(plan.slices)],
            entries: Map::default(),
            failures_told: 0,
            snapshots_checked: Set::default(),
            saves: BTreeMap::new(),
            final_failure: None,
            plan,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        self.schedule(0, Happening::Start);
        self.schedule(10_000, Happening::Fault);
        for client in 0..self.clients.len() {
            self.wake_client(client, 1_000);
        }
        while self.stage != Stage::Done {
            self.step()?;
            self.advance_stage()?;
        }
        Ok(())
    }

    fn now(&self) -> Now {
        Now {
            monotonic_us: self.time_us,
            wall_ms: (self.wall_offset_ms + (self.time_us / 1000) as i64).max(0) as u64,
        }
    }

    fn next_instant(&mut self) -> Instant {
        self.instant.0 += 1;
        self.instant
    }

    fn schedule(&mut self, after_us: u64, happening: Happening) {
        self.scheduled += 1;
        self.heap.push(Reverse((self.time_us + after_us, self.scheduled, happening)));
    }

    fn note(&mut self, what: &'static str, numbers: &[u64]) {
        self.trace.note(self.time_us, what, numbers);
    }

    fn advance_stage(&mut self) -> Result<(), String> {
        if VIRTUAL_US_MAX < self.time_us {
            return Err(format!("the load does not get done: {}", self.describe_stuck()));
        }
        match self.stage {
            Stage::Working => {
                let done = OPERATIONS_MIN <= self.report.operations
                    && CRASHES_MIN <= self.report.crashes
                    && VIRTUAL_US_MIN <= self.time_us;
                if done {
                    self.heal();
                    self.stage = Stage::Healing { since_us: self.time_us };
                }
            }
            Stage::Healing { since_us } => {
                let quiet = self.links.values().all(|link| link.waiting() == 0);
                let healed = since_us + HEALING_US_MIN <= self.time_us;
                if self.is_listening() && quiet && healed {
                    self.begin_reading();
                } else {
                    self.limit_stage(since_us)?;
                }
            }
            Stage::Reading { client, since_us } => {
                if self.has_read_everything(client) {
                    self.schedule(1_000, Happening::Shutdown(self.incarnation));
                    self.stage = Stage::Stopping { since_us: self.time_us };
                } else {
                    self.limit_stage(since_us)?;
                }
            }
            Stage::Stopping { since_us } => self.limit_stage(since_us)?,
            Stage::Done => {}
        }
        Ok(())
    }

    fn limit_stage(&self, since_us: u64) -> Result<(), String> {
        if since_us + HEALING_US_MAX < self.time_us {
            return Err(format!(
                "no progress though nothing is wrong any more, in {:?}: {}",
                self.stage,
                self.describe_stuck()
            ));
        }
        Ok(())
    }

    fn describe_stuck(&self) -> String {
        let waiting: Vec<String> = self
            .links
            .iter()
            .filter(|(_, link)| 0 < link.waiting())
            .map(|(peer, link)| {
                format!(
                    "{peer} waits for {} replies (stopped {}, sending {}, inbound {})",
                    link.waiting(),
                    link.stopped,
                    link.sending.is_some(),
                    link.has_inbound()
                )
            })
            .collect();
        let node = self.process.as_ref().map(|process| {
            let of_core = |core: &process::Core| {
                (core.listening, core.node.is_settled(), core.node.poll_timeout())
            };
            process.cores.iter().map(of_core).collect::<Vec<_>>()
        });
        format!(
            "{} of {} operations answered, {} disk operations pending, \
             (listening, settled, timeout) {node:?}; {waiting:?}",
            self.report.operations,
            self.operations.len(),
            self.disks.iter().map(Disk::writes_pending).sum::<usize>(),
        )
    }
}
