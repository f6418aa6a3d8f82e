//! A process of the node: how it starts from what the disk holds, and how that is judged.

use node::{Boot, Node};
use wal::Recovered;

use super::{Happening, Stage, World};
use crate::checker::{
    Tracks, check_ledger, check_linearizable, check_memory_age, check_order_of_texts,
};
use crate::disk::{BLOCK, Reader};
use crate::history::{Answer, Request};
use crate::keys::{SMALL, WIDE};
use crate::report::SEARCHES_GIVEN_UP;
use crate::surviving::Surviving;
use crate::world::faults::Crash;

/// A running node. Owner: world.
pub(super) struct Process {
    pub(super) cores: Vec<Core>,
    /// Operations before this one are of earlier processes.
    first_operation: usize,
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

impl World {
    pub(super) fn is_listening(&self) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.is_listening() && !process.shutting_down)
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
        }
        let config = self.plan.node_config(0, self.incarnation);
        let mut boot = Boot::new(config);
        let keeps_bytes = self.prng.chance(25);
        let (recovered, surviving) = self.recover(Some(&mut boot), keeps_bytes)?;
        self.trace
            .remark(|| format!("recovered {} entries: {recovered:?}", surviving.entries.len()));
        self.note("recovered", &[surviving.entries.len() as u64, recovered.frames]);
        self.judge_survival(&boot, &surviving)?;
        self.recovered = surviving;

        let mut node = Node::new(boot, recovered, self.now())?;
        if let Some(plant) = self.planting.node {
            node.plant(plant);
        }
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
        let core = Core { node, listening: false, exited: false, turn_at_us: None, idle_turns: 0 };
        self.process = Some(Process {
            cores: vec![core],
            first_operation: self.operations.len(),
            shutting_down: false,
            halted: false,
            turns: 0,
            crash_at_turn,
            crash_with_writes,
            crash,
        });
        for core in 0..self.plan.cores {
            self.schedule(0, Happening::Turn(self.incarnation, core));
        }
        Ok(())
    }

    /// Reads the log as a start does.
    fn recover(
        &self,
        mut boot: Option<&mut Boot>,
        keeps_bytes: bool,
    ) -> Result<(Recovered, Surviving), String> {
        let mut surviving = Surviving::new(keeps_bytes);
        let mut replay = |_, record: wal::Record<'_>| {
            surviving.take(&record, &self.keys, &self.values)?;
            match &mut boot {
                Some(boot) => boot.replay(record),
                None => Ok(()),
            }
        };
        let config = self.plan.wal_config(0);
        #[cfg(feature = "planted")]
        let recovered = {
            let planted = self.planting.wal.map(wal::Planted::one).unwrap_or_default();
            wal::recover_planted(&mut Reader(&self.disks[0]), &config, planted, &mut replay)
        };
        #[cfg(not(feature = "planted"))]
        let recovered = wal::recover(&mut Reader(&self.disks[0]), &config, &mut replay);
        let recovered = recovered.map_err(|error| format!("the log is refused: {error}"))?;
        Ok((recovered, surviving))
    }

    /// Everything that was promised is in what a start found.
    fn judge_survival(&mut self, boot: &Boot, surviving: &Surviving) -> Result<(), String> {
        surviving.check_order()?;
        if !self.served.is_prefix_of(surviving) {
            return Err(format!(
                "a process served from {} entries, now there are {} and the first to differ is \
                 at place {:?}",
                self.served.entries.len(),
                surviving.entries.len(),
                self.served.entries.iter().zip(&surviving.entries).position(|(a, b)| a != b),
            ));
        }
        for (term, index, hash) in &surviving.entries[self.served.entries.len()..] {
            if *self.entries.entry((*term, *index)).or_insert(*hash) != *hash {
                return Err(format!("entry {index} of term {term} is not what it was"));
            }
        }
        if self.prng.chance(20) || self.stage != Stage::Working {
            self.verify()?;
        }
        let clean = self.shut_down;
        check_ledger(&self.operations, self.judged, surviving, clean)?;
        check_order_of_texts(&self.operations, self.judged, surviving)?;
        let age_us = self.plan.memory_durability_age_us;
        check_memory_age(&self.operations, self.judged, surviving, age_us)?;

        let keyspace = surviving.keyspace(self.plan.seed);
        if keyspace.is_some_and(|keyspace| keyspace.digest() != boot.digest()) {
            return Err("the digest after replay is not that of the contents".to_owned());
        }
        if self.last_digest.take().is_some_and(|digest| digest != boot.digest()) {
            return Err("what the node had in memory at its exit is not in its log".to_owned());
        }
        if boot.key_count() != surviving.contents.len() {
            return Err(format!(
                "{} keys after replay, there are {}",
                boot.key_count(),
                surviving.contents.len()
            ));
        }
        Ok(())
    }

    /// What the tool for operators says of the log. A crash may tear a slot of the hard state or
    /// one of a segment's two headers, which is a reason to warn; nothing else is to be found.
    fn verify(&mut self) -> Result<(), String> {
        let verified = wal::verify(&mut Reader(&self.disks[0]))
            .map_err(|error| format!("the log cannot be verified: {error}"))?;
        let Some(verified) = verified else { return Ok(()) };
        self.report.count("check: recovered logs verified");
        let torn = |problem: &&wal::Problem| {
            problem.file == wal::LogFile::HardState || problem.reason.contains("header copies")
        };
        let sound = verified.recovered.is_ok();
        match verified.problems.iter().find(|problem| !sound || !torn(problem)) {
            Some(problem) => Err(format!("verify finds fault with a sound log: {problem:?}")),
            None => Ok(()),
        }
    }

    /// The node serves: what the process before it did is judged as a whole.
    pub(super) fn note_listening(&mut self, core: u16) -> Result<(), String> {
        let process = self.process.as_mut().expect("a process said so");
        let own = &mut process.cores[usize::from(core)];
        if own.listening {
            return Err("a node listens twice".to_owned());
        }
        own.listening = true;
        if !process.is_listening() {
            return Ok(());
        }
        let first = process.first_operation;
        self.note("listening", &[]);
        self.judge_history(first)?;
        self.shut_down = false;
        self.served = std::mem::take(&mut self.recovered);
        Ok(())
    }

    /// Judges the operations up to `end`.
    fn judge_history(&mut self, end: usize) -> Result<(), String> {
        let searched = check_linearizable(
            &self.operations[..end],
            self.judged,
            &self.served.contents,
            &self.recovered.changes[self.served.changes.len()..],
            &Tracks::default(),
            self.shut_down,
        )?;
        self.report.add("check: objects searched", searched.objects);
        self.report.add(SEARCHES_GIVEN_UP, searched.given_up);
        if self.shut_down {
            self.report.count("check: shutdown lost nothing");
        }
        let lost = self.operations[self.judged..end].iter().any(|operation| {
            let crate::history::Value::Text(text) = (match &operation.request {
                Request::Set { value, .. } if operation.arrived.is_some() => *value,
                _ => return false,
            }) else {
                return false;
            };
            !self.recovered.texts.contains_key(&text)
        });
        if lost {
            self.report.count("check: recovered tail shorter than what was executed");
        }
        self.judged = end;
        Ok(())
    }

    /// One block of the log is damaged. The start must notice, or lose nothing; then the block is
    /// repaired.
    fn start_from_rot(&mut self) -> Result<(), String> {
        let Some((file, offset)) = self.draw_rot() else { return Ok(()) };
        let (whole_state, whole) = self.recover(None, false)?;
        self.trace.remark(|| format!("rot in {} at {offset}", file.name()));
        if self.prng.chance(20) {
            self.disks[0].set_unreadable(Some((file, offset)));
            let result = self.recover(None, false);
            self.disks[0].set_unreadable(None);
            return match result {
                Err(_) => {
                    self.report.count("rot: unreadable block refused");
                    Ok(())
                }
                Ok(_) => Err(format!("block {offset} of {} was not read", file.name())),
            };
        }
        let Some(rot) = self.disks[0].rot(file, offset, &mut self.prng) else { return Ok(()) };
        let result = self.recover(None, false);
        self.disks[0].undo_rot(rot);
        match result {
            Err(_) => self.report.count("rot: refused"),
            Ok((state, found)) if found.entries != whole.entries => {
                return Err(format!(
                    "rot in {} at {offset} silently took entries: {} of {}; {state:?}",
                    file.name(),
                    found.entries.len(),
                    whole.entries.len()
                ));
            }
            Ok((state, _)) if forgets_vote(&state, &whole_state, &whole) => {
                return Err(format!(
                    "rot in {} at {offset} silently changed a vote: {:?} to {:?}",
                    file.name(),
                    whole_state.hard_states,
                    state.hard_states
                ));
            }
            Ok(_) => self.report.count("rot: data whole"),
        }
        Ok(())
    }

    /// A block whose damage must not go unnoticed.
    fn draw_rot(&mut self) -> Option<(wal::LogFile, u64)> {
        if self.prng.chance(15) {
            let slot = self.prng.below(2) * wal::HARD_STATE_SLOT_SIZE as u64;
            let file = wal::LogFile::HardState;
            return self.disks[0]
                .list()
                .iter()
                .any(|(name, _)| *name == file)
                .then_some((file, slot));
        }
        let vouched: Vec<_> = self.disks[0].ledger.vouched().collect();
        if vouched.is_empty() {
            return None;
        }
        let (file, offset, size) = vouched[self.prng.index(vouched.len())];
        let block = self.prng.index(size / BLOCK) * BLOCK;
        Some((file, offset + block as u64))
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
        self.last_digest = self.shut_down.then(|| process.cores[0].node.digest());
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

    /// After the last shutdown: contents, replies and log agree to the last key.
    fn judge_end(&mut self) -> Result<(), String> {
        let mut boot = Boot::new(self.plan.node_config(0, self.incarnation));
        let (_, surviving) = self.recover(Some(&mut boot), true)?;
        self.judge_survival(&boot, &surviving)?;
        let keyspace = surviving.keyspace(self.plan.seed).expect("the bytes were kept");
        if self.dataset_size != Some(keyspace.used_bytes() as u64) {
            return Err(format!(
                "INFO says {:?} bytes of data, there are {}",
                self.dataset_size,
                keyspace.used_bytes()
            ));
        }
        self.recovered = surviving;
        for operation in &self.operations[self.judged..] {
            // The reading client comes last, when nobody else is there.
            if operation.connection == self.connections
                && matches!(operation.answered, Some((_, Answer::Refused)))
            {
                return Err("writes are refused though the disk has room again".to_owned());
            }
            if operation.connection == self.connections
                && operation.request == Request::Size
                && let Some((_, answer)) = &operation.answered
                && [WIDE, SMALL].contains(&operation.database)
            {
                let count = self.recovered.count(operation.database) as i64;
                if *answer != Answer::Integer(count) {
                    return Err(format!("DBSIZE says {answer:?}, there are {count} keys"));
                }
            }
        }
        self.judge_history(self.operations.len())?;
        self.served = std::mem::take(&mut self.recovered);
        self.stage = Stage::Done;
        Ok(())
    }
}

/// Is a vote gone that was used? The newest slot of the hard state may be taken for a torn one
/// until there is an entry of its term.
fn forgets_vote(found: &Recovered, whole: &Recovered, entries: &Surviving) -> bool {
    let used = entries.entries.last().map_or(0, |(term, ..)| *term);
    whole.hard_states.iter().any(|state| {
        let same = found.hard_states.iter().find(|other| other.slice == state.slice);
        match same {
            None => 0 < used,
            Some(other) if other.term == state.term => other.vote != state.vote,
            Some(other) => other.term.0 < used,
        }
    })
}
