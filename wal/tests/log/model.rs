//! Random life over many boots against a model: what was acknowledged stays, nothing else is
//! invented, and nothing is called damaged that nobody damaged.

use std::collections::BTreeMap;

use base::{FrameSequence, LogIndex, Now, Prng, SliceId, Term};
use proptest::prelude::{ProptestConfig, any, proptest};
use wal::{Config, HardState, IoError, Planted, Record, Recovered, Wal};

use crate::bench::{body, config, recover};
use crate::disk::{Disk, Operation};

/// What was appended, and how much of it must survive.
#[derive(Default)]
struct Model {
    /// Bodies of all entries of batches that may survive, with their batch's last frame.
    history: Vec<(FrameSequence, SliceId, Vec<u8>)>,
    /// Entries that were acknowledged.
    acknowledged: usize,
    /// Hard states by generation handed out, and the generation known durable.
    states: BTreeMap<u64, (Term, Option<u64>)>,
    durable_state: u64,
    /// By the last recovery; certain only once its log runs.
    found: Option<(Term, Option<u64>)>,
    term: u64,
    /// Terms that only records hold, with their batch's last frame.
    logged: Vec<(FrameSequence, u64)>,
    /// Up to where each slice said that its entries may go.
    trims: [u64; SLICES as usize],
    /// The log was seen to begin here.
    start: FrameSequence,
}

const SLICES: u16 = 3;
/// The one whose hard states stand in records only.
const LOGGED: SliceId = SliceId(1);

/// What happened, so that the test can prove it saw what it is about.
#[derive(Default, Debug)]
struct Seen {
    boots: u64,
    acknowledged: u64,
    lost: u64,
    cuts: u64,
    voids: u64,
    rollovers: u64,
    recycled: u64,
    seals: u64,
    trimmed: u64,
    resumed: u64,
}

struct Life {
    prng: Prng,
    config: Config,
    disk: Disk,
    model: Model,
    seen: Seen,
    now: Now,
    planted: Planted,
}

impl Life {
    fn new(seed: u64, planted: Planted) -> Self {
        let mut prng = Prng::from_seed(seed);
        let config = Config {
            frames_in_flight: 1 + prng.index(8),
            seal_after_us: 100 + prng.below(3_000),
            ballast_segments: prng.index(3),
            ..config()
        };
        let now = Now { monotonic_us: 0, wall_ms: 1_700_000_000_000 };
        let (disk, model, seen) = (Disk::default(), Model::default(), Seen::default());
        Self { prng, config, disk, model, seen, now, planted }
    }

    /// Recovers, compares with the model, and returns the log that starts.
    fn boot(&mut self) -> Result<Wal, String> {
        self.seen.boots += 1;
        let mut read = Vec::new();
        let mut replay = |sequence, record: Record<'_>| {
            if let Record::Entry { slice, body, .. } = record {
                read.push((sequence, slice, body.to_vec()));
            }
            Ok(())
        };
        let recovered = recover(&mut self.disk, &self.config, self.planted, &mut replay)
            .map_err(|error| format!("nobody damaged anything: {error}"))?;
        // What the log begins with; a batch that the start divides is gone as well.
        let history = &self.model.history;
        let first = read.first().map_or_else(
            || history.partition_point(|entry| entry.0 <= recovered.last),
            |read| history.partition_point(|entry| entry.0 < read.0),
        );
        if read.first().is_some_and(|read| read.0 < recovered.start) {
            return Err("what was gone is back".to_owned());
        }
        self.judge_start(&recovered, first)?;
        let kept = first + read.len();
        if kept < self.model.acknowledged {
            return Err(format!("{kept} entries of {} acknowledged", self.model.acknowledged));
        }
        if self.model.history.len() < kept || read != self.model.history[first..kept] {
            return Err("entries were invented".to_owned());
        }
        self.seen.lost += (self.model.history.len() - kept) as u64;
        if let Some(cut) = recovered.cut {
            self.seen.cuts += 1;
            self.seen.voids += u64::from(0 < cut.frames);
        }
        self.model.history.truncate(kept);
        let state = recovered.hard_states.iter().find(|state| state.slice == SliceId(0));
        let found = state.map(|state| (state.term, state.vote));
        // Generations in between were written for the log's start.
        let durable = self.model.states.range(..=self.model.durable_state).next_back();
        let first = durable.map_or(self.model.durable_state, |(generation, _)| *generation);
        let known = self.model.states.range(first..);
        let possible: Vec<_> = known.map(|(_, state)| *state).collect();
        let was_none = durable.is_none() && found.is_none();
        if !was_none && !found.is_some_and(|found| possible.contains(&found)) {
            return Err(format!("hard state {found:?}, expected one of {possible:?}"));
        }
        self.model.found = found;
        let wal = Wal::new(self.config.clone(), recovered, self.prng.fork(), self.now);
        Ok(wal)
    }

    /// Is only gone what may be, and nothing back that was gone? Are terms of records there?
    fn judge_start(&mut self, recovered: &Recovered, first: usize) -> Result<(), String> {
        let Self { model, .. } = self;
        if recovered.start < model.start {
            return Err(format!("it began at {}, now at {}", model.start, recovered.start));
        }
        self.seen.resumed += u64::from(model.start < recovered.start);
        let recorded = |slice: SliceId| {
            let mut trims = recovered.trims.iter();
            trims.find(|(trimmed, _)| *trimmed == slice).map_or(0, |(_, last)| last.0)
        };
        for (slice, told) in (0..).map(SliceId).zip(model.trims) {
            if told < recorded(slice) {
                return Err(format!("slice {slice} is trimmed beyond {told}"));
            }
        }
        for ((_, slice, _), index) in model.history[..first].iter().zip(1..) {
            if recorded(*slice) < index {
                return Err(format!("entry {index} of slice {slice} is gone and not trimmed"));
            }
        }
        let state = recovered.hard_states.iter().find(|state| state.slice == LOGGED);
        let term = state.map_or(0, |state| state.term.0);
        let logged = &mut model.logged;
        let is_known = match term {
            0 => logged.first().is_none_or(|(frame, _)| *frame != FrameSequence::NONE),
            _ => logged.iter().any(|(_, logged)| *logged == term),
        };
        if !is_known {
            return Err(format!("term {term} of slice {LOGGED}, expected of {logged:?}"));
        }
        // What was found is certain once the log runs; until then another cut may take it away.
        logged.retain(|(_, earlier)| *earlier <= term);
        Ok(())
    }

    /// One boot: some work, then a crash.
    fn live(&mut self) -> Result<(), String> {
        let mut wal = self.boot()?;
        let most = [8, 40, 120, 120][self.prng.index(4)];
        let steps = self.prng.below(most);
        let mut batches: Vec<(FrameSequence, usize)> = Vec::new();
        let mut is_running = false;
        let base_index = self.model.history.len() as u64;
        let mut next = base_index;
        for _ in 0..steps {
            self.now.monotonic_us += self.prng.below(3_000);
            self.disk.submit_all(&mut wal);
            if wal.is_running() && !is_running {
                // What it starts from can no longer be lost.
                is_running = true;
                self.model.acknowledged = self.model.history.len();
                self.model.durable_state = wal.hard_state_durable();
                self.model.term = self.model.found.map_or(0, |(term, _)| term.0);
                self.model.states.clear();
                if let Some(found) = self.model.found {
                    self.model.states.insert(self.model.durable_state, found);
                }
            }
            match self.prng.below(11) {
                10 if is_running => self.trim(&mut wal),
                0..5 if is_running => {
                    if let Some(batch) = self.batch(&mut wal, &mut next) {
                        batches.push(batch);
                    }
                }
                5 if is_running => self.vote(&mut wal),
                6 => wal.handle_time(self.now),
                7 if self.prng.chance(10) => {
                    // A quiet spell.
                    while !self.disk.in_flight.is_empty() {
                        let event = self.disk.complete(0);
                        wal.handle(event, self.now);
                        self.disk.submit_all(&mut wal);
                    }
                    self.now.monotonic_us += 5_000;
                    wal.handle_time(self.now);
                }
                _ => {
                    if !self.disk.in_flight.is_empty() {
                        let at = self.prng.index(self.disk.in_flight.len());
                        let event = self.disk.complete(at);
                        wal.handle(event, self.now);
                    }
                }
            }
            let durable = batches.iter().take_while(|(last, _)| *last <= wal.durable());
            if let Some((_, count)) = durable.last() {
                self.model.acknowledged = self.model.acknowledged.max(*count);
            }
            // What is durable is certain; what an earlier one said is superseded.
            let logged = &mut self.model.logged;
            let certain = logged.iter().rposition(|(frame, _)| *frame <= wal.durable());
            if let Some(certain) = certain.filter(|_| is_running) {
                logged.drain(..certain);
                logged[0].0 = FrameSequence::NONE;
            }
            if is_running {
                self.model.start = self.model.start.max(wal.start());
            }
            self.model.durable_state =
                self.model.durable_state.max(if is_running { wal.hard_state_durable() } else { 0 });
        }
        self.seen.rollovers += wal.stats().segments_opened.saturating_sub(1);
        self.seen.seals += wal.stats().seals;
        self.seen.trimmed += wal.stats().segments_trimmed;
        self.seen.acknowledged = self.model.acknowledged as u64;
        self.seen.recycled +=
            self.disk.history.drain(..).filter(|what| what.ends_with(" 0 8192")).count() as u64;
        if self.prng.chance(50) {
            self.disk.kill(&mut self.prng);
        } else {
            self.disk.cut_power(&mut self.prng);
        }
        Ok(())
    }

    fn batch(&mut self, wal: &mut Wal, next: &mut u64) -> Option<(FrameSequence, usize)> {
        let size = match self.prng.below(100) {
            0..60 => self.prng.below(300),
            60..90 => self.prng.below(9_000),
            90..97 => self.prng.below(56_000),
            _ => self.prng.below(200_000),
        };
        let records = 1 + self.prng.below(3);
        if wal.room() < records * (size + 32) + 40 {
            wal.request_room(records * (size + 32) + 40);
            return None;
        }
        let first = self.model.history.len();
        let votes = self.prng.chance(5);
        if votes {
            let term = self.model.logged.last().map_or(0, |(_, term)| *term) + 1;
            let state = HardState {
                slice: LOGGED,
                term: Term(term),
                vote: None,
                commit: LogIndex(self.model.acknowledged as u64),
            };
            wal.append(Record::HardState(state));
            self.model.logged.push((FrameSequence(u64::MAX), term));
        }
        for _ in 0..records {
            let slice = SliceId(self.prng.below(u64::from(SLICES)) as u16);
            let bytes = body(*next, size as usize);
            let index = LogIndex(*next + 1);
            wal.append(Record::Entry { slice, term: Term(1), index, body: &bytes });
            self.model.history.push((FrameSequence::NONE, slice, bytes));
            *next += 1;
        }
        let last = wal.close_batch(self.now).expect("it has records");
        for entry in &mut self.model.history[first..] {
            entry.0 = last;
        }
        if votes && let Some(logged) = self.model.logged.last_mut() {
            logged.0 = last;
        }
        Some((last, self.model.history.len()))
    }

    /// One slice, or all of them, need less of what was acknowledged; and a turn ends.
    fn trim(&mut self, wal: &mut Wal) {
        let last = self.model.acknowledged as u64;
        let last = if self.prng.chance(50) { last } else { self.prng.below(last + 1) };
        let one = self.prng.below(u64::from(SLICES)) as u16;
        let all = self.prng.chance(60);
        for (slice, told) in (0..).zip(&mut self.model.trims) {
            if all || slice == one {
                *told = last.max(*told);
                wal.trim(SliceId(slice), LogIndex(last));
            }
        }
        wal.close_batch(self.now);
    }

    fn vote(&mut self, wal: &mut Wal) {
        self.model.term += 1;
        let term = Term(self.model.term);
        let vote = self.prng.chance(50).then_some(self.model.term * 7);
        let (slice, commit) = (SliceId(0), LogIndex::NONE);
        let generation = wal.write_hard_states(&[HardState { slice, term, vote, commit }]);
        self.model.states.insert(generation, (term, vote));
    }
}

fn run(seed: u64, planted: Planted, boots: u32) -> Result<Seen, String> {
    let mut life = Life::new(seed, planted);
    for boot in 0..boots {
        life.live().map_err(|error| format!("seed {seed}, boot {boot}: {error}"))?;
    }
    life.boot()?;
    Ok(life.seen)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Red when: any bug of the list in src/planted.rs is planted, or the run's first frames are
    /// hinted at before its last is durable, or a segment ends only where the next one of its own
    /// boot begins; trims, hard states or the rest of a batch are lost with segments that go, or
    /// those go, at a start too, before what says so is durable.
    #[test]
    fn what_was_acknowledged_survives_any_sequence_of_crashes(seed in any::<u64>()) {
        run(seed, Planted::none(), 12).expect("the log keeps its promise");
    }
}

/// Red when: the lives of the model are too tame to find anything.
#[test]
fn the_model_sees_what_it_is_about() {
    let mut total = Seen::default();
    for seed in 0..40 {
        let seen = run(seed, Planted::none(), 12).expect("the log keeps its promise");
        total.boots += seen.boots;
        total.acknowledged += seen.acknowledged;
        total.lost += seen.lost;
        total.cuts += seen.cuts;
        total.voids += seen.voids;
        total.rollovers += seen.rollovers;
        total.recycled += seen.recycled;
        total.seals += seen.seals;
        total.trimmed += seen.trimmed;
        total.resumed += seen.resumed;
    }
    let Seen { boots, acknowledged, lost, cuts, voids, rollovers, recycled, seals, .. } = total;
    let Seen { trimmed, resumed, .. } = total;
    let ends = [boots, acknowledged, lost, cuts, voids, rollovers, recycled, seals, trimmed];
    for count in ends {
        assert!(40 < count, "{total:?}");
    }
    assert!(5 < resumed, "{total:?}");
}

/// The first write or flush that fails ends every acknowledgement, in any life.
///
/// Red when: an error of a completion is taken for a success.
#[test]
fn after_a_failed_write_nothing_is_acknowledged_in_any_life() {
    let mut halts = 0;
    for seed in 0..200 {
        let mut life = Life::new(seed, Planted::none());
        let mut wal = life.boot().expect("it is new");
        let mut next = 0;
        let mut halted_at = None;
        for _ in 0..300 {
            life.disk.submit_all(&mut wal);
            if wal.is_running() && life.prng.chance(50) {
                life.batch(&mut wal, &mut next);
            } else if !life.disk.in_flight.is_empty() {
                let at = life.prng.index(life.disk.in_flight.len());
                let is_write = matches!(life.disk.in_flight[at].1, Operation::Write { .. });
                let mut event = life.disk.complete(at);
                if is_write && halted_at.is_none() && life.prng.chance(5) {
                    event.result = Err(IoError::Other(5));
                    halted_at = Some((wal.durable(), wal.hard_state_durable()));
                }
                wal.handle(event, life.now);
            }
        }
        if let Some(before) = halted_at {
            assert_eq!((wal.durable(), wal.hard_state_durable()), before, "seed {seed}");
        }
        halts += u64::from(halted_at.is_some());
        assert_eq!(halted_at.is_some(), life.disk.halted.is_some(), "seed {seed}");
    }
    assert!(100 < halts);
}

/// Red when: a planted bug does nothing, or the model does not look.
#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_that_a_crash_can_show_is_found_by_the_model() {
    use wal::Plant;
    // The other two need damage or a lucky stale frame: see planted.rs.
    let others = [Plant::CutAtFirstBad, Plant::SameSalt];
    for plant in Plant::ALL.into_iter().filter(|plant| !others.contains(plant)) {
        let found = (0..400).any(|seed| run(seed, Planted::one(plant), 12).is_err());
        assert!(found, "{plant:?} was not found");
    }
}
