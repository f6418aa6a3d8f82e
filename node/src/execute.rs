//! Runs one command on slices that are here: admission, expiry, handler, gates.
//!
//! Whatever has no effect is a read of the keys it looked at: its reply waits for the last write
//! of those keys, errors included, because an error too tells what was seen (PROTOCOL F22).

use base::{Gate, LogIndex, Now, SliceId};
use engine::{AccessMode, Args, Command, ExpiryLimit, ReadCx, WriteCx, slot_of};

use crate::caller::Caller;
use crate::durability::Durability;
use crate::error::RequestError;
use crate::expiry_cycle::DELETE_OVERHEAD;
use crate::node::Node;
use crate::parcel::Gates;
use crate::planted::Plant;
use crate::registry::Run;
use crate::reply::ReplyWriter;
use crate::topology::SliceSet;

/// The slices a command needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    One(SliceId),
    Many(SliceSet),
}

/// A command about to run.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) caller: Caller,
    pub(crate) command: &'static Command<Run>,
    pub(crate) run: engine::Run,
    pub(crate) args: Args<'a>,
    pub(crate) scope: &'a Scope,
    pub(crate) admission: Admission<'a>,
}

/// What is known of the room in the logs.
#[derive(Clone, Copy)]
pub(crate) enum Admission<'a> {
    /// All slices are this core's; `granted`: room was set aside for this request.
    Own { granted: bool },
    /// The lenders have set `room` bytes aside each, or one of them refuses.
    Lent { room: u64, refusal: Option<&'a str> },
    /// It was found before that the command may run; so many bytes may still be logged.
    Sure { left: usize },
}

/// What became of a command.
pub(crate) enum Executed {
    /// There is a reply; what it shows is settled with these.
    Done(Gates),
    /// Nothing was executed: the log must have this many bytes of room first.
    NeedsRoom { needed: u64 },
    /// Nothing was executed: the open batch must be closed first, when the log takes it.
    NeedsBatch,
    /// Nothing was executed: the next turn goes on with what must happen first.
    NeedsTurn,
}

/// Headers of the entries and their records, and the hard state that may share their frame: bytes.
pub(crate) const ROOM_MARGIN: u64 = 4096;

impl Scope {
    pub(crate) fn for_each(&self, mut take: impl FnMut(SliceId)) {
        match self {
            Self::One(slice) => take(*slice),
            Self::Many(set) => set.iter().for_each(take),
        }
    }

    pub(crate) fn to_set(self) -> SliceSet {
        match self {
            Self::One(slice) => {
                let mut set = SliceSet::default();
                set.insert(slice);
                set
            }
            Self::Many(set) => set,
        }
    }
}

impl Node {
    /// The slices whose keys the command names, or all.
    pub(crate) fn scope(&self, run: engine::Run, command: &Command<Run>, args: Args<'_>) -> Scope {
        let topology = self.topology;
        match run {
            engine::Run::ReadAll(_) | engine::Run::WriteAll(_) => {
                Scope::Many(SliceSet::all(topology.slices()))
            }
            engine::Run::Read(_)
            | engine::Run::Write(_)
            | engine::Run::Varying { .. }
            | engine::Run::Plain(_)
            | engine::Run::Container(_) => {
                let mut keys = command.keys(args).map(|key| topology.slice_of(slot_of(key)));
                // Whoever names no key finds nothing anywhere.
                let Some(first) = keys.next() else { return Scope::One(SliceId(self.core.0)) };
                let Some(other) = keys.find(|slice| *slice != first) else {
                    return Scope::One(first);
                };
                let mut set = SliceSet::default();
                set.insert(first);
                set.insert(other);
                keys.for_each(|slice| set.insert(slice));
                Scope::Many(set)
            }
        }
    }

    /// Executes a command whose slices are all here, and appends its reply to `out`.
    pub(crate) fn execute(&mut self, task: &Task<'_>, now: Now, out: &mut Vec<u8>) -> Executed {
        let start = out.len();
        match self.run(task, now, out) {
            Ok(executed) => executed,
            Err((error, gates)) => {
                self.stats.commands_failed += 1;
                self.tally.note_error(&error.text());
                out.truncate(start);
                let mut reply = ReplyWriter::new(out, task.caller.protocol);
                reply.error_bytes(&error.text());
                Executed::Done(gates)
            }
        }
    }

    fn run(
        &mut self,
        task: &Task<'_>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Result<Executed, (RequestError, Gates)> {
        let is_write = task.command.is_write();
        let now_ms = self.clock_ms(task.scope, now);
        let size = self.effect_size_max(task, now_ms);
        if let Some(outcome) = self.needs_memory(task, now) {
            return outcome.map_err(|refusal| (refusal, Gates::new()));
        }
        if is_write && let Some(refusal) = self.refuses_write(task, now) {
            self.stats.writes_refused += 1;
            return Err((refusal, Gates::new()));
        }
        let mut expires = 0 < size;
        if expires {
            match self.find_room(task.scope, task.admission, size) {
                Ok(None) => {}
                Ok(Some(executed)) => return Ok(executed),
                // What only expires is read all the same.
                Err(_) if !is_write => expires = false,
                Err(refusal) => {
                    self.stats.writes_refused += 1;
                    return Err((refusal, Gates::new()));
                }
            }
        }

        let before = self.effect_counts(task.scope);
        // What writes while clients are paused takes the key's place, or what began the pause is
        // still under way.
        let hides = !is_write && self.is_pausing(now);
        let access = AccessMode {
            policy: self.settings.memory_policy.access_policy(),
            touches: task.caller.touches,
        };
        let (db, notify_classes) = (task.caller.database, self.notify_classes);
        let Self { slices, prng, notes, .. } = self;
        let mut spaces = match task.scope {
            Scope::One(slice) => slices.one(*slice),
            Scope::Many(_) => slices.many(),
        };
        let mut expired = engine::Expired::default();
        if expires {
            let Task { command, args, .. } = *task;
            let hide = if hides { engine::hide } else { engine::expire };
            expired = hide(&mut spaces, command, args, db, now_ms, notify_classes, notes);
        }
        let mut reply = ReplyWriter::new(out, task.caller.protocol);
        let result = match task.run {
            engine::Run::Read(handler) | engine::Run::ReadAll(handler) => {
                let mut cx = ReadCx {
                    spaces: &spaces,
                    db,
                    now_ms,
                    access,
                    notify_classes,
                    prng,
                    notes,
                    reply: &mut reply,
                };
                handler(&mut cx, task.args)
            }
            engine::Run::Write(handler) | engine::Run::WriteAll(handler) => {
                let mut cx = WriteCx {
                    spaces,
                    db,
                    now_ms,
                    access,
                    notify_classes,
                    prng,
                    notes,
                    reply: &mut reply,
                };
                handler(&mut cx, task.args)
            }
            engine::Run::Plain(handler) => {
                handler(&mut reply);
                Ok(())
            }
            engine::Run::Container(_) => unreachable!("a container is resolved to its subcommand"),
            engine::Run::Varying { .. } => unreachable!("the arguments told how it runs"),
        };
        self.stats.note_expired(expired);
        self.delete_hidden(task, hides, now_ms);
        let gates = self.note_outcome(task, before, now);
        self.take_events(&gates);
        match result {
            Ok(()) => Ok(Executed::Done(gates)),
            Err(error) => Err((error.into(), gates)),
        }
    }

    /// Keys that a command over all of them passed over because they have expired go now: their
    /// absence was seen (PROTOCOL F24). `hides`: they stay, and are never seen again.
    fn delete_hidden(&mut self, task: &Task<'_>, hides: bool, now_ms: u64) {
        if self.notes.hidden.is_empty() {
            return;
        }
        let hidden = std::mem::take(&mut self.notes.hidden);
        let needed: usize = hidden.iter().map(|(_, key)| key.len() + DELETE_OVERHEAD).sum();
        if self.spare_size(task.scope, task.admission) < needed {
            return;
        }
        let Self { slices, notes, notify_classes, .. } = self;
        let mut spaces = match task.scope {
            Scope::One(slice) => slices.one(*slice),
            Scope::Many(_) => slices.many(),
        };
        for (db, key) in hidden {
            let hide = if hides { engine::hide_key } else { engine::expire_key };
            let limit = ExpiryLimit::NONE;
            let expired = hide(&mut spaces, db, &key, now_ms, limit, *notify_classes, notes);
            self.stats.note_expired(expired);
        }
    }

    /// Marks what was written and learns what the reply waits for.
    fn note_outcome(&mut self, task: &Task<'_>, before: EffectCounts, now: Now) -> Gates {
        let mut gates = Gates::new();
        let database = task.caller.database;
        let notes = &mut self.notes;
        self.stats.keyspace_hits += notes.lookups.hits;
        self.stats.keyspace_misses += notes.lookups.misses;
        notes.lookups = engine::Lookups::default();
        match task.scope {
            Scope::One(slice) => {
                let wrote = before.total < self.slices.space(*slice).batch.effect_count();
                let index = if wrote { self.note_write(*slice, database, now) } else { None };
                let index = index.unwrap_or_else(|| self.last_seen(task, *slice));
                self.add_gate(*slice, index, &mut gates);
            }
            Scope::Many(set) => {
                let mut participants = SliceSet::default();
                let mut has_written = false;
                for (slice, before) in set.iter().zip(&before.each) {
                    let wrote = *before < self.slices.space(slice).batch.effect_count();
                    let index = if wrote { self.note_write(slice, database, now) } else { None };
                    has_written |= wrote;
                    let index = index.unwrap_or_else(|| self.last_seen(task, slice));
                    // A slice that was only read takes part while what was read is in flight
                    // (PROTOCOL F4).
                    let reads_unsettled = self.slices.settled(slice) < index
                        && !self.planted.is(Plant::ForgetReadFragment);
                    if wrote || reads_unsettled {
                        participants.insert(slice);
                    }
                    self.add_gate(slice, index, &mut gates);
                }
                if has_written && 1 < participants.len() {
                    self.slices.link(&participants);
                }
            }
        }
        let also_seen = std::mem::take(&mut self.notes.also_seen);
        for (database, key) in also_seen {
            let slice = self.topology.slice_of(slot_of(&key));
            let hash = self.slices.space(slice).keyspace.hash(database, &key);
            let index = self.slices.slice(slice).gate.last_write(hash);
            self.add_gate(slice, index, &mut gates);
        }
        gates
    }

    /// The effects just added to `slice` wait for the entry they will be in.
    fn note_write(&mut self, slice: SliceId, database: u16, now: Now) -> Option<LogIndex> {
        let drops = self.planted.is(Plant::DropEffect)
            && self.stats.commands_processed.is_multiple_of(32)
            && self.slices.batch_is_new(slice);
        if drops {
            self.slices.space_mut(slice).batch.clear();
            return Some(LogIndex::NONE);
        }
        self.slices.note_effects(slice, now, &self.planted);
        if self.topology.owner(slice) == self.core {
            self.census.measure_database(&self.slices, slice, database);
        }
        Some(self.slices.slice(slice).next)
    }

    fn add_gate(&self, slice: SliceId, index: LogIndex, gates: &mut Gates) {
        if self.slices.settled(slice) < index {
            match gates.iter_mut().find(|gate| gate.slice == slice) {
                Some(gate) => gate.index = gate.index.max(index),
                None => gates.push(Gate { slice, index }),
            }
        }
    }

    /// The last write of what a command looked at in `slice`.
    fn last_seen(&self, task: &Task<'_>, slice: SliceId) -> LogIndex {
        let gate = &self.slices.slice(slice).gate;
        if gate.is_clear() || self.planted.is(Plant::LeakUncommittedRead) {
            return LogIndex::NONE;
        }
        if task.command.is_write() && self.planted.is(Plant::NoEffectUnparked) {
            return LogIndex::NONE;
        }
        if matches!(task.run, engine::Run::ReadAll(_) | engine::Run::WriteAll(_)) {
            return gate.last_write_of_all();
        }
        let keyspace = &self.slices.space(slice).keyspace;
        let database = task.caller.database;
        let is_one = matches!(task.scope, Scope::One(_));
        let mut last = LogIndex::NONE;
        for key in task.command.keys(task.args) {
            if !is_one && self.topology.slice_of(slot_of(key)) != slice {
                continue;
            }
            let is_missing = || keyspace.find(database, key).is_none();
            if self.planted.is(Plant::ForgetMissGate) && is_missing() {
                continue;
            }
            last = last.max(gate.last_write(keyspace.hash(database, key)));
        }
        last
    }

    /// The clock of a command: no slice's clock goes back under it.
    pub(crate) fn clock_ms(&self, scope: &Scope, now: Now) -> u64 {
        match scope {
            Scope::One(slice) => self.slices.slice(*slice).clock_ms(now),
            Scope::Many(set) => {
                let clocks = set.iter().map(|slice| self.slices.slice(slice).clock_ms(now));
                clocks.max().unwrap_or(now.wall_ms)
            }
        }
    }

    /// The most bytes a command may log, what expires before it included.
    pub(crate) fn effect_size_max(&mut self, task: &Task<'_>, now_ms: u64) -> usize {
        let database = task.caller.database;
        let is_write = task.command.is_write();
        let is_due = |slice: SliceId| {
            let first_ms = self.slices.space(slice).keyspace.first_expire_ms(database);
            first_ms.is_some_and(|first_ms| first_ms < now_ms)
        };
        let has_expiring = match task.scope {
            Scope::One(slice) => is_due(*slice),
            Scope::Many(set) => set.iter().any(is_due),
        };
        if !is_write && !has_expiring {
            return 0;
        }
        let slices = &mut self.slices;
        let spaces = match task.scope {
            Scope::One(slice) => slices.one(*slice),
            Scope::Many(_) => slices.many(),
        };
        let value_size = |key: &[u8]| {
            let entry = spaces.find(database, key);
            entry.map_or(0, |entry| task.command.logged_size(task.args, entry))
        };
        let logged = task.command.effect_size_max(task.args, &value_size);
        let expired = match has_expiring {
            true => engine::expire_size_max(&spaces, task.command, task.args, database, now_ms),
            false => 0,
        };
        let gathered =
            engine::gathered_size_max(&spaces, task.command, task.args, database, now_ms);
        logged + expired + gathered
    }

    pub(crate) fn refuses_write(&self, task: &Task<'_>, now: Now) -> Option<RequestError> {
        let refusal = match task.admission {
            Admission::Own { .. } => self.wal.refuses_writes().map(ToString::to_string),
            Admission::Lent { refusal, .. } => refusal.map(str::to_owned),
            Admission::Sure { .. } => return None,
        };
        if let Some(refusal) = refusal {
            return Some(RequestError::LogRefuses(refusal));
        }
        if task.caller.durability == Durability::Memory {
            let oldest_us = self.slices.oldest_unsettled_us()?;
            let age_us = now.monotonic_us.saturating_sub(oldest_us);
            if self.config.memory_durability_age_us < age_us {
                return Some(RequestError::LogLags { age_ms: age_us / 1000 });
            }
        }
        None
    }

    /// Makes sure that what a command may log has room before it executes: None, or what must
    /// happen first.
    pub(crate) fn find_room(
        &mut self,
        scope: &Scope,
        admission: Admission<'_>,
        size: usize,
    ) -> Result<Option<Executed>, RequestError> {
        let entry_room = self.config.entry_size_max - ROOM_MARGIN as usize;
        if entry_room < size {
            return Err(RequestError::Static("ERR the write is larger than the largest log entry"));
        }
        let open = self.batch_size_max_of(scope);
        match admission {
            Admission::Sure { left } if left < size => Err(RequestError::Static(
                "ERR the values that this transaction makes have no room in the log",
            )),
            Admission::Sure { .. } => Ok(None),
            Admission::Lent { refusal: Some(refusal), .. } => {
                Err(RequestError::LogRefuses(refusal.to_owned()))
            }
            Admission::Lent { room, refusal: None } => {
                let needed = (self.slices.open_size() + size) as u64 + ROOM_MARGIN;
                let fits = needed <= room && open + size <= entry_room;
                Ok((!fits).then_some(Executed::NeedsRoom { needed: size as u64 + 2 * ROOM_MARGIN }))
            }
            Admission::Own { granted } => {
                if entry_room < open + size {
                    return Ok(Some(Executed::NeedsBatch));
                }
                let needed = (self.slices.unlogged_size() + size) as u64 + ROOM_MARGIN;
                // Writes wait in the order in which they came, or a small one would always be in
                // time to take what is prepared for a large one.
                let is_turn = granted || self.room.is_empty();
                let room = self.wal.room().saturating_sub(self.loans.reserved_room());
                if is_turn && needed <= room {
                    return Ok(None);
                }
                match self.wal.refuses_room(needed) {
                    Some(refusal) => Err(RequestError::LogRefuses(refusal.to_string())),
                    None => Ok(Some(Executed::NeedsRoom { needed })),
                }
            }
        }
    }

    fn batch_size_max_of(&self, scope: &Scope) -> usize {
        let mut open = 0;
        scope.for_each(|slice| open = open.max(self.slices.batch_size(slice)));
        open
    }

    /// Bytes that may be logged beside what is, without waiting for anything.
    pub(crate) fn spare_size(&self, scope: &Scope, admission: Admission<'_>) -> usize {
        let (room, taken) = match admission {
            Admission::Sure { left } => return left,
            Admission::Lent { refusal: Some(_), .. } => return 0,
            Admission::Lent { room, refusal: None } => (room, self.slices.open_size()),
            Admission::Own { .. } => {
                let room = self.wal.room().saturating_sub(self.loans.reserved_room());
                (room, self.slices.unlogged_size())
            }
        };
        let room = room.saturating_sub(taken as u64 + ROOM_MARGIN);
        let entry_room = self.config.entry_size_max.saturating_sub(ROOM_MARGIN as usize);
        let entry_room = entry_room.saturating_sub(self.batch_size_max_of(scope));
        usize::try_from(room).unwrap_or(usize::MAX).min(entry_room)
    }

    fn effect_counts(&self, scope: &Scope) -> EffectCounts {
        match scope {
            Scope::One(slice) => EffectCounts {
                total: self.slices.space(*slice).batch.effect_count(),
                each: Vec::new(),
            },
            Scope::Many(set) => EffectCounts {
                total: 0,
                each: set
                    .iter()
                    .map(|slice| self.slices.space(slice).batch.effect_count())
                    .collect(),
            },
        }
    }
}

/// Effects in the open batches before a command ran; `each` allocates nothing for one slice.
struct EffectCounts {
    total: usize,
    each: Vec<usize>,
}
