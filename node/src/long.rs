//! Long commands run beside the cores.
//!
//! A command that would hold its core up for longer than others may wait is not cut into pieces:
//! its slices are lent to a *runner*, a thread beside the cores, with everything its handler needs
//! packed into one [`LongJob`]. Meanwhile requests for those slices queue, as they do while a slice
//! is lent to another core, and the other slices go on. When the job is back, what was written is
//! noted as if it had been executed in this turn.
//!
//! Slices that are all this core's leave at once. Slices of several cores are gathered by a session
//! of the job's own first (see `loans`), so the order that excludes deadlock is kept; then the
//! permits of the lenders are given back, and only the slices stay away. A job under way waits for
//! nothing, so whoever waits for its slices waits for a finite time.
//!
//! # Invariants
//!
//! * A core has at most one job under way; the clients of others wait in `waiters`, or as jobs.
//! * What the job may log has room set aside for as long as it is away.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, Now, Prng, SliceId};
use engine::{Notes, Space, Spaces};

use crate::caller::Caller;
use crate::circumstances::Circumstances;
use crate::clients::{queue_flush, queue_run};
use crate::cores::Home;
use crate::event::Pending;
use crate::execute::{Admission, EffectCounts, Scope, Task};
use crate::job::{Job, Work};
use crate::loans::Session as Loan;
use crate::node::Node;
use crate::parcel::{Gates, Message, ReturnAddress, Words};
use crate::reply::ReplyWriter;
use crate::room::Waiter;
use crate::slice::{Lent, Slice};
use crate::tally::Who;
use crate::topology::SliceSet;

/// A long command with its slices. Owner: whoever has it; it moves.
#[derive(Debug)]
pub struct LongJob {
    address: ReturnAddress,
    caller: Caller,
    circumstances: Circumstances,
    words: Words,
    scope: Scope,
    /// Every slice of the node by its number; those the command needs are there.
    spaces: Vec<Option<Box<Space>>>,
    /// Their other halves, and how far they were settled.
    slices: Vec<(Box<Slice>, base::LogIndex)>,
    prng: Prng,
    notes: Notes,
    /// Bytes that may be logged to delete what has expired and was passed over.
    spare: usize,
    stopwatch: fn() -> u64,
    /// What came of it.
    reply: Vec<u8>,
    expired: engine::Expired,
    /// The text of the error that the reply is.
    failure: Option<Vec<u8>>,
    took_ns: u64,
}

/// What this core has running beside it. Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Long {
    running: Option<Running>,
    /// Who has a long command when another is under way, in turn.
    pub(crate) waiters: VecDeque<Waiter>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    /// It is a job of this client's, whose session gathered its slices.
    job_of: Option<ConnectionId>,
}

/// The most that is set aside for what a command over all keys finds expired: bytes.
const HIDDEN_ROOM: usize = 1024 * 1024;

impl LongJob {
    /// Runs the command. Takes as long as it takes.
    pub fn run(&mut self) {
        let started_ns = (self.stopwatch)();
        let args = self.words.borrow();
        let circumstances = self.circumstances;
        let count = self.spaces.len() as u16;
        let Self { spaces, prng, notes, scope, caller, .. } = self;
        let mut spaces = match scope {
            Scope::One(SliceId(slice)) => {
                let space = spaces[usize::from(*slice)].as_deref_mut();
                Spaces::one(space.expect("the slice of the command came along"))
            }
            Scope::Many(_) => Spaces::many(spaces, count),
        };
        let mut reply = ReplyWriter::new(&mut self.reply, caller.protocol);
        let (expired, result) =
            circumstances.perform(spaces.reborrow(), &args, prng, notes, &mut reply);
        self.expired = expired;
        self.expired.add(circumstances.delete_hidden(&mut spaces, notes, self.spare));
        if let Err(error) = result {
            let text = crate::error::RequestError::from(error).text().into_owned();
            self.reply.clear();
            ReplyWriter::new(&mut self.reply, caller.protocol).error_bytes(&text);
            self.failure = Some(text);
        }
        self.took_ns = (self.stopwatch)().saturating_sub(started_ns);
    }
}

impl Long {
    pub(crate) fn is_free(&self) -> bool {
        self.running.is_none()
    }

    pub(crate) fn forget(&mut self, client: ConnectionId) {
        self.waiters.retain(|waiter| *waiter != Waiter::Client(client));
    }
}

impl Node {
    /// May a long command on slices that are here leave with them now? Not while this core's own
    /// session counts on them.
    pub(crate) fn may_launch(&self) -> bool {
        self.long.is_free() && !self.loans.has_own_permit()
    }

    /// Lets the first of those go on that wait for the runner.
    pub(crate) fn wake_for_runner(&mut self) {
        while self.may_launch()
            && let Some(waiter) = self.long.waiters.pop_front()
        {
            match waiter {
                Waiter::Client(id) => {
                    let Some(session) = self.sessions.get_mut(id) else { continue };
                    queue_run(&mut self.runnable, session);
                }
                Waiter::Request(number) => self.stalled.grant(number),
            }
            return;
        }
    }

    /// Something waits for the runner, which is free.
    pub(crate) fn has_long_to_do(&self) -> bool {
        (self.may_launch() && !self.long.waiters.is_empty())
            || (self.long.is_free() && self.loans.may_open_long_session())
    }

    /// Sends a command away whose slices are all this core's and here. It may log `room` bytes.
    pub(crate) fn launch(
        &mut self,
        task: &Task<'_>,
        address: ReturnAddress,
        room: usize,
        now: Now,
    ) {
        assert!(self.may_launch());
        let hidden = self.spare_size(task.scope, task.admission).saturating_sub(room);
        let is_many = matches!(task.scope, Scope::Many(_));
        let spare = if is_many { hidden.min(HIDDEN_ROOM) } else { 0 };
        let margin = crate::execute::ROOM_MARGIN;
        let needed = if room + spare == 0 { 0 } else { (room + spare) as u64 + margin };
        self.loans.keep(self.core, needed);
        let slices = task.scope.to_set();
        self.send_away(task, address, None, (room, spare), &slices, now);
    }

    /// Sends a command away whose session has gathered its slices, which are no more than it needs.
    pub(crate) fn launch_job(&mut self, loan: &Loan, job: Job, room: usize, now: Now) {
        assert!(self.long.is_free());
        let Work::Command { caller, command, words } = job.work else {
            unreachable!("only commands are long")
        };
        let crate::registry::Run::Keys(run) = command.run else { unreachable!("a job is on keys") };
        let args = words.borrow();
        let run = run.with(&args);
        let scope = Scope::Many(*loan.slices());
        let admission = Admission::Lent { room: loan.room(), refusal: None };
        let task = Task { caller, command, run, args: &args, scope: &scope, admission };
        let spare = match room {
            // One of the logs takes nothing.
            0 if command.is_write() => 0,
            _ => self.spare_size(&scope, admission).saturating_sub(room).min(HIDDEN_ROOM),
        };
        let spare = if loan.refusal.is_some() { 0 } else { spare };
        for owner in self.owners(loan.slices()) {
            if owner == self.core {
                self.loans.release(owner);
                self.loans.keep(owner, loan.room());
            } else {
                self.outbox.to(owner).add_message(Message::Kept);
            }
        }
        let client = job.address.connection;
        self.loans.long_client = Some(client);
        self.send_away(&task, job.address, Some(client), (room, spare), loan.slices(), now);
    }

    fn owners(&self, slices: &SliceSet) -> Vec<CoreId> {
        let mut owners: Vec<CoreId> =
            slices.iter().map(|slice| self.topology.owner(slice)).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// `room`: bytes for what the command logs, and for what it finds expired.
    fn send_away(
        &mut self,
        task: &Task<'_>,
        address: ReturnAddress,
        job_of: Option<ConnectionId>,
        room: (usize, usize),
        slices: &SliceSet,
        now: Now,
    ) {
        let now_ms = self.clock_ms(task.scope, now);
        let circumstances = self.circumstances(task, 0 < room.0, now_ms, now);
        let (mut own, mut lent) = (SliceSet::default(), Vec::with_capacity(slices.len()));
        for slice in slices.iter() {
            if self.topology.owner(slice) == self.core {
                own.insert(slice);
            } else {
                lent.push(self.slices.give_back(slice));
            }
        }
        let Self { slices: here, transactions, planted, .. } = self;
        lent.append(&mut here.lend(&own, self.core, transactions, now, planted));
        let mut spaces: Vec<Option<Box<Space>>> =
            (0..self.topology.slices()).map(|_| None).collect();
        let mut halves = Vec::with_capacity(lent.len());
        for Lent { slice, space, settled } in lent {
            spaces[usize::from(slice.id.0)] = Some(space);
            halves.push((slice, settled));
        }
        self.long.running = Some(Running { job_of });
        self.stats.long_commands += 1;
        let job = LongJob {
            address,
            caller: task.caller,
            circumstances,
            words: Words::new(task.args),
            scope: *task.scope,
            spaces,
            slices: halves,
            prng: self.prng.fork(),
            notes: Notes::default(),
            spare: room.1,
            stopwatch: self.config.stopwatch,
            reply: Vec::new(),
            expired: engine::Expired::default(),
            failure: None,
            took_ns: 0,
        };
        self.outputs.push_back(Pending::Run(Box::new(job)));
    }

    /// A job is back: what it wrote counts from now on, its slices go home, its client is answered.
    pub(crate) fn land(&mut self, job: LongJob, now: Now) {
        let LongJob { address, caller, circumstances, words, scope, mut spaces, .. } = job;
        let Circumstances { command, run, .. } = circumstances;
        let Running { job_of } = self.long.running.take().expect("only what was sent comes back");
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        for (slice, settled) in job.slices {
            let space = spaces[usize::from(slice.id.0)].take().expect("it went with its half");
            let id = slice.id;
            let lent = Lent { slice, space, settled };
            if self.topology.owner(id) == self.core {
                own.push(id);
                self.slices.take_home(lent);
            } else {
                foreign.push(id);
                self.slices.borrow(vec![lent]);
                self.release_parked(id, self.slices.settled(id));
            }
        }
        self.stats.note_expired(job.expired);
        self.notes.lookups = job.notes.lookups;
        self.notes.events.extend(job.notes.events);
        self.notes.also_seen = job.notes.also_seen;
        let args = words.borrow();
        let admission = Admission::Own { granted: false };
        let task = Task { caller, command, run, args: &args, scope: &scope, admission };
        let gates = self.note_outcome(&task, EffectCounts::none(&scope), now);
        self.take_events(&gates);
        self.stats.commands_processed += 1;
        if let Some(text) = &job.failure {
            self.stats.commands_failed += 1;
            self.tally.note_error(text);
        }
        self.count_long(command, &args, address, job.failure.is_some(), job.took_ns, now);
        if !foreign.is_empty() {
            let Self { slices, transactions, planted, .. } = self;
            slices.close(transactions, now, planted);
            self.return_slices(foreign, Home::Kept);
        }
        let gates = caller.durability.waits_for(gates);
        match job_of {
            Some(client) => self.finish_long_job(client, address, job.reply, gates),
            None => {
                let mut reply = job.reply;
                self.send_reply(address, &mut reply, gates);
            }
        }
        if !own.is_empty() {
            self.loans.end_kept(self.core);
            self.start_lap();
            self.run_queues(own, now);
        }
        self.grant_loans(now);
    }

    fn finish_long_job(
        &mut self,
        client: ConnectionId,
        address: ReturnAddress,
        mut reply: Vec<u8>,
        mut gates: Gates,
    ) {
        self.loans.long_client = None;
        // A client that is gone asks for nothing any more; what it asked for is done.
        let Some(mut session) = self.sessions.take(client) else { return };
        if session.is_slow() {
            self.trickle_jobs.note(reply.len());
        }
        gates.extend(self.telling_gate(&session));
        if address.is_muted || session.closed {
            reply.clear();
            gates.clear();
        }
        self.finish_job(&mut session, address.ticket, &mut reply, &gates);
        queue_flush(&mut self.flush, &mut session);
        self.sessions.put_back(session);
    }

    fn count_long(
        &mut self,
        command: &'static engine::Command<crate::registry::Run>,
        args: engine::Args<'_>,
        address: ReturnAddress,
        failed: bool,
        ns: u64,
        now: Now,
    ) {
        if address.core != self.core {
            self.finish_call_of(command, args, Who::Other(address), failed, ns, now);
        } else if let Some(session) = self.sessions.take(address.connection) {
            self.finish_call_of(command, args, Who::Own(&session.client), failed, ns, now);
            self.sessions.put_back(session);
        }
    }
}
