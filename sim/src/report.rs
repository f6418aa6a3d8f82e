//! What happened over one or many seeds: faults, rare branches, totals. A kind of fault that never
//! happened tests nothing, so [`Report::missing`] names those that did not.

use std::collections::BTreeMap;
use std::fmt;

/// Every kind of fault and every situation that many seeds must have met.
pub const REQUIRED: &[&str] = &[
    "check: objects searched",
    "check: snapshots and logs compared with logs",
    "check: snapshots compared with entries",
    "check: recovered logs verified",
    "check: recovered tail shorter than what was executed",
    "check: shutdown lost nothing",
    "check: transactions judged",
    "client: bytes delivered one by one",
    "client: command left half sent",
    "client: pipeline",
    "client: quits",
    "client: reads slowly",
    "client: reset with replies on their way",
    "client: sends what is no request",
    "client: value larger than a segment",
    "crash: clean shutdown",
    "crash: during recovery",
    "crash: in the middle of a turn's outputs",
    "crash: kill",
    "crash: killed while shutting down",
    "crash: power cut",
    "cut: block torn between sectors",
    "cut: cached block lost",
    "cut: file prepared in part",
    "cut: some blocks of a write",
    "cut: unflushed directory entry lost",
    "cut: write lost",
    "cut: write whole, nobody told",
    "fault: chunk of a snapshot failed",
    "fault: flush failed",
    "fault: no space",
    "fault: prepare failed",
    "fault: publication of a snapshot failed",
    "fault: slow disk",
    "fault: write failed",
    "kill: chunk of a snapshot",
    "kill: file prepared in part",
    "kill: some blocks of a write",
    "kill: write durable, nobody told",
    "kill: write left in the cache",
    "kill: write not carried out",
    "operation: answered at level memory",
    "operation: outcome unknown",
    "operation: refused",
    "pause",
    "recovery: fragments",
    "recovery: void ranges",
    "rot: data whole",
    "rot: newest snapshot of a slice",
    "rot: refused",
    "rot: unreadable block refused",
    "snapshot: SAVE",
    "snapshot: SAVE refused",
    "snapshot: discarded",
    "snapshot: published",
    "snapshot: published, nobody told",
    "start: with another number of cores",
    "wall clock jumped",
];

/// Objects whose order was neither found nor refuted. A few may be: other checks see them too.
pub const SEARCHES_GIVEN_UP: &str = "check: searches given up";

/// Of so many objects, one may be given up.
const OBJECTS_PER_GIVEN_UP: u64 = 10_000;

/// Owner: world; merged by the runner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    counts: BTreeMap<&'static str, u64>,
    /// How often each marked branch of the product was taken.
    pub marks: BTreeMap<&'static str, u64>,
    pub seeds: u64,
    pub operations: u64,
    pub crashes: u64,
    pub turns: u64,
    pub virtual_us: u64,
    pub log_bytes: u64,
    /// The least of any seed.
    pub least: Option<Least>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    pub operations: u64,
    pub crashes: u64,
    pub virtual_us: u64,
}

impl Report {
    pub fn count(&mut self, kind: &'static str) {
        self.add(kind, 1);
    }

    pub fn add(&mut self, kind: &'static str, number: u64) {
        *self.counts.entry(kind).or_insert(0) += number;
    }

    pub fn counted(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    pub fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            self.add(kind, *count);
        }
        for (name, count) in &other.marks {
            *self.marks.entry(name).or_insert(0) += count;
        }
        self.seeds += other.seeds;
        self.operations += other.operations;
        self.crashes += other.crashes;
        self.turns += other.turns;
        self.virtual_us += other.virtual_us;
        self.log_bytes += other.log_bytes;
        self.least = match (self.least, other.least) {
            (Some(a), Some(b)) => Some(Least {
                operations: a.operations.min(b.operations),
                crashes: a.crashes.min(b.crashes),
                virtual_us: a.virtual_us.min(b.virtual_us),
            }),
            (a, b) => a.or(b),
        };
    }

    /// Were so many searches given up that the others prove little?
    pub fn gives_up_too_often(&self) -> bool {
        let searched = self.counted("check: objects searched");
        searched < (self.counted(SEARCHES_GIVEN_UP).saturating_sub(1)) * OBJECTS_PER_GIVEN_UP
    }

    /// Kinds of [`REQUIRED`] and names of `marks` that never happened.
    pub fn missing<'a>(&self, marks: &'a [&'a str]) -> Vec<&'a str> {
        let kinds = REQUIRED.iter().copied().filter(|kind| self.counted(kind) == 0);
        let marks = marks.iter().copied().filter(|name| !self.marks.contains_key(name));
        kinds.chain(marks).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} operations, {} crashes, {} turns, {} s of virtual time, {} MB of log",
            self.seeds,
            self.operations,
            self.crashes,
            self.turns,
            self.virtual_us / 1_000_000,
            self.log_bytes / 1_000_000,
        )?;
        if let Some(least) = self.least {
            writeln!(
                f,
                "every seed: at least {} operations, {} crashes, {} s",
                least.operations,
                least.crashes,
                least.virtual_us / 1_000_000,
            )?;
        }
        for (kind, count) in &self.counts {
            writeln!(f, "{count:>12}  {kind}")?;
        }
        for (name, count) in &self.marks {
            writeln!(f, "{count:>12}  mark: {name}")?;
        }
        Ok(())
    }
}
