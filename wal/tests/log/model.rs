//! Random life over many boots against a model: what was acknowledged stays, nothing else is
//! invented, and nothing is called damaged that nobody damaged.

use std::collections::BTreeMap;

use base::{FrameSequence, LogIndex, Now, Prng, SliceId, Term};
use proptest::prelude::{ProptestConfig, any, proptest};
use wal::{Config, HardState, IoError, Planted, Record, Wal};

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
}

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
        let kept = read.len();
        if kept < self.model.acknowledged {
            return Err(format!("{kept} entries of {} acknowledged", self.model.acknowledged));
        }
        if self.model.history.len() < kept || read != self.model.history[..kept] {
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
        let known = self.model.states.range(self.model.durable_state..);
        let possible: Vec<_> = known.map(|(_, state)| *state).collect();
        let was_none = self.model.durable_state == 0 && found.is_none();
        if !was_none && !found.is_some_and(|found| possible.contains(&found)) {
            return Err(format!("hard state {found:?}, expected one of {possible:?}"));
        }
        self.model.found = found;
        let wal = Wal::new(self.config.clone(), recovered, self.prng.fork(), self.now);
        Ok(wal)
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
            match self.prng.below(10) {
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
            self.model.durable_state =
                self.model.durable_state.max(if is_running { wal.hard_state_durable() } else { 0 });
        }
        self.seen.rollovers += wal.stats().segments_opened.saturating_sub(1);
        self.seen.seals += wal.stats().seals;
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
        if wal.room() < records * (size + 32) {
            wal.request_room(records * (size + 32));
            return None;
        }
        let first = self.model.history.len();
        for _ in 0..records {
            let slice = SliceId(self.prng.below(3) as u16);
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
        Some((last, self.model.history.len()))
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
    /// boot begins.
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
    }
    let Seen { boots, acknowledged, lost, cuts, voids, rollovers, recycled, seals } = total;
    for count in [boots, acknowledged, lost, cuts, voids, rollovers, recycled, seals] {
        assert!(40 < count, "{total:?}");
    }
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
