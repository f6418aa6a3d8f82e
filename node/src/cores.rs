//! What arrives from the other cores: requests for this core's slices, replies for its clients,
//! loans, vouchers, questions.

use std::collections::VecDeque;

use base::{CoreId, Now, Set, SliceId};
use net::Ticket;

use crate::clients::{queue_flush, queue_run};
use crate::error::RequestError;
use crate::execute::{Admission, Executed, Scope, Task};
use crate::job::{Job, Work};
use crate::loans::{Grant, LoanRequest, LoanStanding, SESSION_REPLIES_SIZE, Session as Loan};
use crate::node::{Node, Phase};
use crate::parcel::{Body, Gates, Message, Parcel, Request, ReturnAddress, WaitingRequest};
use crate::registry::Run;
use crate::reply::ReplyWriter;
use crate::room::Waiter;
use crate::session::Held;
use crate::slice::Lent;
use crate::tally::Who;
use crate::topology::SliceSet;

/// What became of a job in its session.
enum JobEnd {
    Done,
    /// It needs another session, in which so many bytes may be logged.
    NeedsRoom {
        needed: u64,
    },
    /// It needs a session of its own, to leave with its slices.
    Long {
        room: usize,
    },
}

/// What slices come home from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home {
    /// A session, which is over with that.
    Session,
    /// A long command, whose session is over already.
    Kept,
}

impl Node {
    /// Takes what another core sent. While recovery is not over it waits.
    pub(crate) fn take_parcel(&mut self, from: CoreId, mut parcel: Box<Parcel>, now: Now) {
        if self.phase == Phase::Starting {
            if parcel.messages.iter().any(|message| matches!(message, Message::Shutdown)) {
                self.shut_down(now);
            }
            self.early.push_back((from, parcel));
            return;
        }
        self.stats.parcels_received += 1;
        self.start_lap();
        self.wal.note_hint(from, parcel.durable);
        if let Some(size) = parcel.memory {
            self.census.note_told(from, size);
        }
        for (slice, settled) in std::mem::take(&mut parcel.settled) {
            self.slices.note_settled(slice, settled);
            self.release_parked(slice, settled);
            self.pubsub.note_settled();
        }
        parcel.for_each_request(|request| self.prefetch(request));
        parcel.for_each_request(|request| self.take_request(request, now));
        parcel.for_each_reply(|reply| {
            self.deliver(reply.address, reply.body, reply.gates);
        });
        for message in std::mem::take(&mut parcel.messages) {
            self.take_message(from, message, now);
        }
        self.outbox.recycle(parcel);
    }

    fn take_message(&mut self, from: CoreId, message: Message, now: Now) {
        match message {
            Message::Loan(request) => {
                self.loans.queue_request(request);
                self.grant_loans(now);
            }
            Message::Granted(grant) => self.take_grant(grant, now),
            Message::Returned { lent, home } => {
                self.take_back(lent, now);
                match home {
                    Home::Session => self.loans.release(from),
                    Home::Kept => self.loans.end_kept(from),
                }
                self.grant_loans(now);
            }
            Message::Kept => {
                self.loans.keep_on(from);
                self.grant_loans(now);
            }
            Message::Vouched(transaction) => self.transactions.note_voucher(transaction),
            Message::Unwatched { watch, slices } => self.note_unwatched(watch, slices),
            Message::Asked { id, question } => {
                if let Some(answer) = self.answer(id, &question, now) {
                    self.give_answer(id, answer);
                }
            }
            Message::Answered { id, answer } => self.note_answer(from, id, answer),
            Message::Slow { connection, slow } => self.note_slow_elsewhere(connection, *slow),
            Message::Told { number, counts } => self.note_told(from, number, &counts),
            Message::Known { number } => self.note_known(from, number),
            Message::Published(publication) => self.take_published(from, publication, now),
            Message::Delivered { size } => self.note_delivered(from, size),
            Message::HoldsWrites(holds) => self.note_holder(from, holds),
            Message::Shutdown => self.shut_down(now),
            Message::Drained => self.drained += 1,
        }
    }

    /// The keys of a request are looked at soon.
    fn prefetch(&self, request: &Request<'_>) {
        if self.slices.is_here(request.slice) {
            let keyspace = &self.slices.space(request.slice).keyspace;
            for key in request.command.keys(request.args) {
                keyspace.prefetch(request.caller.database, key);
            }
        }
    }

    /// Sends a request to the core that has its slice.
    pub(crate) fn send_request(&mut self, request: &Request<'_>) {
        let owner = self.topology.owner(request.slice);
        if owner == self.core {
            self.wait_for_slice(request.to_waiting());
        } else {
            self.stats.hops += 1;
            self.outbox.to(owner).add_request(request);
        }
    }

    /// Executes a request of another core, or keeps it until it can be.
    fn take_request(&mut self, request: &Request<'_>, now: Now) {
        if self.put_off.has_client(request.address.client()) {
            self.put_off.push(request.to_waiting());
        } else if self.is_behind(request.address, request.slice) {
            self.stall(request.to_waiting(), None);
        } else if request.caller.is_patient && self.share.is_full() {
            self.put_off.push(request.to_waiting());
        } else if self.is_here(&Scope::One(request.slice)) {
            self.execute_request(request, false, now);
        } else {
            self.wait_for_slice(request.to_waiting());
        }
    }

    /// Keeps a request until its slice is here. While a long command has it, those with large
    /// replies, which may be long too, do not come before the others.
    fn wait_for_slice(&mut self, request: WaitingRequest) {
        let slice = request.slice;
        let is_away = !self.slices.is_here(slice) && self.slices.is_at_runner(slice);
        if request.caller.is_patient && is_away {
            self.put_off.push(request);
        } else {
            self.slices.group_mut(slice).queue.push_back(request);
        }
    }

    /// Goes on with what earlier turns put off.
    pub(crate) fn run_put_off(&mut self, now: Now) {
        self.share.owes_one = true;
        // Whose slice is away waits for that; and a request that takes it away is the last on it.
        while self.put_off.has_ready(|slice| self.is_here(&Scope::One(slice)))
            && self.share.admits()
        {
            let mut put_off = std::mem::take(&mut self.put_off);
            let request = put_off.pop(|slice| self.is_here(&Scope::One(slice)));
            self.put_off = put_off;
            let request = request.expect("there is one");
            if self.is_behind(request.address, request.slice) {
                self.stall(request, None);
            } else {
                self.execute_waiting(&request, false, now);
            }
        }
    }

    /// Does an earlier request of the same client for the same slice wait for room? For this slice
    /// only: one that waited while the slice was lent comes before one that now waits for room for
    /// another slice.
    fn is_behind(&self, address: ReturnAddress, slice: SliceId) -> bool {
        self.stalled.has_place((address.core, address.connection), slice)
    }

    fn execute_request(&mut self, request: &Request<'_>, granted: bool, now: Now) {
        let Request { caller, address, command, slice, args } = *request;
        let Run::Keys(run) = command.run else { unreachable!("only commands on keys hop") };
        let run = run.with(args);
        let scope = Scope::One(slice);
        let admission = Admission::Own { granted };
        let task = Task { caller, command, run, args, scope: &scope, admission };
        let mut out = std::mem::take(&mut self.scratch);
        let failures = self.stats.commands_failed;
        match self.execute(&task, now, &mut out) {
            Executed::Done(gates) => {
                self.stats.commands_processed += 1;
                self.share.replied += out.len();
                let failed = failures != self.stats.commands_failed;
                self.finish_call(command, args, Who::Other(address), failed, now);
                let gates = caller.durability.waits_for(gates);
                self.send_reply(address, &mut out, gates);
            }
            Executed::NeedsRoom { needed } => self.stall(request.to_waiting(), Some(needed)),
            Executed::NeedsBatch => {
                let number = self.stalled.push(request.to_waiting(), true);
                self.behind_batch.push(Waiter::Request(number));
            }
            Executed::NeedsTurn => self.stall(request.to_waiting(), Some(0)),
            Executed::Long { room } if self.may_launch() => self.launch(&task, address, room, now),
            Executed::Long { .. } => {
                let number = self.stalled.push(request.to_waiting(), true);
                self.long.waiters.push_back(Waiter::Request(number));
            }
        }
        out.clear();
        self.scratch = out;
    }

    /// Keeps a request until the log has room; None: behind another of its connection.
    fn stall(&mut self, request: WaitingRequest, needed: Option<u64>) {
        let number = self.stalled.push(request, needed.is_some());
        if let Some(needed) = needed {
            self.room.push(Waiter::Request(number), needed);
        }
    }

    /// Executes the stalled requests whose room is there, and those behind them.
    pub(crate) fn run_stalled(&mut self, now: Now) {
        // Whoever comes behind a request that still waits waits as well.
        for stalled in self.stalled.take() {
            let request = &stalled.request;
            if self.is_behind(request.address, request.slice) || self.stalled.waits(&stalled) {
                self.stalled.put(stalled);
            } else if self.is_here(&Scope::One(request.slice)) {
                self.execute_waiting(request, stalled.is_granted(), now);
            } else {
                let slice = request.slice;
                self.slices.group_mut(slice).queue.push_back(stalled.request);
            }
        }
    }

    fn execute_waiting(&mut self, request: &WaitingRequest, granted: bool, now: Now) {
        let WaitingRequest { caller, address, command, slice, ref words } = *request;
        let args = words.borrow();
        let request = Request { caller, address, command, slice, args: &args };
        self.execute_request(&request, granted, now);
    }

    /// Sends a reply to the client it is for, wherever that is.
    pub(crate) fn send_reply(&mut self, address: ReturnAddress, out: &mut Vec<u8>, gates: Gates) {
        if address.core == self.core {
            let body = match out.len() < net::CHUNK_SIZE {
                true => Body::Small(out),
                false => Body::Large(std::mem::take(out)),
            };
            self.deliver(address, body, gates);
            return;
        }
        self.note_interest(address.core, &gates);
        let waits = !gates.is_empty();
        self.outbox.to(address.core).add_reply(address, out, gates, waits);
    }

    /// A reply on `core` waits for entries of this core's slices.
    pub(crate) fn note_interest(&mut self, core: CoreId, gates: &[base::Gate]) {
        for gate in gates {
            if self.topology.owner(gate.slice) == self.core {
                self.slices.group_mut(gate.slice).note_interest(core, gate.index);
            }
        }
    }

    /// Puts a reply into its place among its client's.
    pub(crate) fn deliver(&mut self, address: ReturnAddress, body: Body<'_>, gates: Gates) {
        let ReturnAddress { connection, ticket, is_muted, .. } = address;
        let Some(mut session) = self.sessions.take(connection) else { return };
        let before = session.replies.len();
        let is_muted = is_muted || session.closed;
        let pool = &mut self.pool;
        match body {
            _ if is_muted => session.replies.fill(ticket, b"", &[], pool),
            Body::Small(bytes) => session.replies.fill(ticket, bytes, &gates, pool),
            Body::Large(bytes) => session.replies.fill_owned(ticket, bytes, &gates, pool),
        }
        let size = session.replies.len() - before;
        session.note_reply_size(size);
        self.output_size += size;
        self.stats.replies_parked += u64::from(!gates.is_empty());
        self.wake_waiting(&mut session);
        queue_flush(&mut self.flush, &mut session);
        self.sessions.put_back(session);
    }

    /// Lets a client go on that waited for its replies from other cores.
    fn wake_waiting(&mut self, session: &mut crate::session::Session) {
        let goes_on = match session.held {
            Some(Held::Replies) => session.replies.vacant() == 0,
            Some(Held::Vacancies) => session.replies.vacant() <= self.vacant_max(session) / 2,
            _ => false,
        };
        if goes_on {
            queue_run(&mut self.runnable, session);
        }
    }

    /// Opens a session for the jobs that gathered, and goes on with it as far as that goes.
    pub(crate) fn run_loans(&mut self, now: Now) {
        self.grant_loans(now);
        let flows = self.trickle_jobs.flows(now);
        let rule = self.output_rule().with_jobs(flows);
        let Self { loans, sessions, .. } = self;
        let sent_ahead =
            |id| sessions.get(id).is_some_and(|session| session.jobs < session.replies.vacant());
        let opened = (self.long.is_free() && loans.open_long_session(sent_ahead))
            || loans.open_session(|id| rule.claim(sessions.get(id)), sent_ahead);
        if opened {
            if self.loans.is_complete() {
                // An EXEC of nothing needs no slices.
                let loan = self.loans.take_session();
                self.run_session_jobs(loan, now);
            } else {
                self.ask_next(now);
            }
        }
    }

    /// Asks the next core for its slices; its own it gets from itself.
    fn ask_next(&mut self, now: Now) {
        let Some((lender, request)) = self.loans.next_request() else { return };
        if lender == self.core {
            self.loans.queue_request(request);
            self.grant_loans(now);
        } else {
            self.outbox.to(lender).add_message(Message::Loan(request));
        }
    }

    /// Gives this core's slices to the session whose turn it is, if there is one.
    pub(crate) fn grant_loans(&mut self, now: Now) {
        while let Some((at, standing)) = self.next_loan() {
            let refusal = match standing {
                // What the clients sent before comes before.
                LoanStanding::Early => return,
                LoanStanding::Fits => None,
                LoanStanding::Refused(refusal) => Some(refusal),
                LoanStanding::NeedsRoom { needed } => {
                    // Asked again in the next turn.
                    self.wal.request_room(needed);
                    return;
                }
            };
            let LoanRequest { borrower, slices, .. } = self.loans.grant(at, refusal.is_none());
            if borrower == self.core {
                self.note_grant(self.core, refusal, now);
            } else {
                let Self { slices: own, transactions, planted, .. } = self;
                let lent = own.lend(&slices, borrower, transactions, now, planted);
                let grant = Grant { lender: self.core, lent, refusal };
                self.outbox.to(borrower).add_message(Message::Granted(grant));
            }
        }
    }

    /// The session whose turn it is could have this core's slices now: room was made in the middle
    /// of a turn.
    pub(crate) fn may_grant_loan(&self) -> bool {
        matches!(self.next_loan(), Some((_, LoanStanding::Fits | LoanStanding::Refused(_))))
    }

    /// The session whose turn it is, by its place among those that wait, and how it stands.
    fn next_loan(&self) -> Option<(usize, LoanStanding)> {
        let are_here = |slices: &SliceSet| slices.iter().all(|one| self.slices.is_here(one));
        let (at, request) = self.loans.first_request(are_here)?;
        let LoanRequest { borrower, slices, room, clients } = request;
        let is_early = self.stalled.has_any(*borrower, clients, slices)
            || self.put_off.has_any(*borrower, clients);
        if is_early {
            return Some((at, LoanStanding::Early));
        }
        // What is executed and not yet logged has its room already.
        let needed = room + self.loans.kept_room() + self.slices.unlogged_size() as u64;
        let standing = match self.wal.refuses_room(needed) {
            _ if needed <= self.wal.room() => LoanStanding::Fits,
            Some(refusal) => LoanStanding::Refused(refusal.to_string()),
            None => LoanStanding::NeedsRoom { needed },
        };
        Some((at, standing))
    }

    fn take_grant(&mut self, grant: Grant, now: Now) {
        let Grant { lender, lent, refusal } = grant;
        let ids: Vec<SliceId> = lent.iter().map(|one| one.slice.id).collect();
        self.slices.borrow(lent);
        for slice in ids {
            self.release_parked(slice, self.slices.settled(slice));
        }
        self.note_grant(lender, refusal, now);
    }

    fn note_grant(&mut self, lender: CoreId, refusal: Option<String>, now: Now) {
        if self.loans.note_grant(lender, refusal) {
            let loan = self.loans.take_session();
            self.run_session_jobs(loan, now);
        } else {
            self.ask_next(now);
        }
    }

    /// Everything is here: the jobs run, and the slices go back.
    fn run_session_jobs(&mut self, mut loan: Loan, now: Now) {
        self.stats.loans += 1;
        self.start_lap();
        if loan.is_long {
            self.run_long_session(loan, now);
            return;
        }
        let refusal = loan.refusal.take();
        let admission = Admission::Lent { room: loan.room(), refusal: refusal.as_deref() };
        let mut jobs = std::mem::take(&mut loan.jobs);
        let mut patient = std::mem::take(&mut loan.patient);
        let was_cut = self.run_jobs(&mut jobs, admission, now);
        self.run_jobs(&mut patient, admission, now);
        self.loans.note_session(was_cut);
        jobs.append(&mut patient);
        self.loans.return_jobs(jobs);
        self.end_session(&loan, now);
    }

    /// The one job of a session for it leaves with the slices, if it is still long.
    fn run_long_session(&mut self, mut loan: Loan, now: Now) {
        let mut job = loan.jobs.pop_front().expect("a session for a job has it");
        let refusal = loan.refusal.clone();
        let admission = Admission::Lent { room: loan.room(), refusal: refusal.as_deref() };
        match self.run_job(&mut job, admission, now) {
            JobEnd::Done => {}
            JobEnd::NeedsRoom { needed } => {
                job.room = job.room.max(needed);
                self.loans.add_long(job, true);
            }
            JobEnd::Long { room } if self.long.is_free() => {
                self.launch_job(&loan, job, room, now);
                self.grant_loans(now);
                return;
            }
            JobEnd::Long { .. } => self.loans.add_long(job, true),
        }
        self.end_session(&loan, now);
    }

    /// Gives back what the session had.
    fn end_session(&mut self, loan: &Loan, now: Now) {
        let Self { slices, transactions, planted, .. } = self;
        slices.close(transactions, now, planted);
        let is_foreign = |slice: &SliceId| self.topology.owner(*slice) != self.core;
        let foreign: Vec<SliceId> = loan.slices().iter().filter(is_foreign).collect();
        let has_own = foreign.len() < loan.slices().len();
        self.return_slices(foreign, Home::Session);
        if has_own {
            self.loans.release(self.core);
        }
    }

    /// Gives slices back to the cores that lent them.
    pub(crate) fn return_slices(&mut self, slices: Vec<SliceId>, home: Home) {
        let mut returned: Vec<(CoreId, Vec<Lent>)> = Vec::new();
        for slice in slices {
            let owner = self.topology.owner(slice);
            let lent = self.slices.give_back(slice);
            match returned.last_mut() {
                Some((core, slices)) if *core == owner => slices.push(lent),
                _ => match returned.iter_mut().find(|(core, _)| *core == owner) {
                    Some((_, slices)) => slices.push(lent),
                    None => returned.push((owner, vec![lent])),
                },
            }
        }
        for (owner, lent) in returned {
            self.outbox.to(owner).add_message(Message::Returned { lent, home });
        }
    }

    /// Runs jobs until one of them has no room, or their replies are enough. True if they are.
    fn run_jobs(&mut self, jobs: &mut VecDeque<Job>, admission: Admission<'_>, now: Now) -> bool {
        let before = self.share.replied;
        let (mut behind, mut is_cut) = (VecDeque::new(), false);
        while let Some(mut job) = jobs.pop_front() {
            if self.loans.is_behind_long(job.address.connection) {
                behind.push_back(job);
                continue;
            }
            match self.run_job(&mut job, admission, now) {
                JobEnd::Done => {}
                JobEnd::Long { .. } => self.loans.add_long(job, false),
                JobEnd::NeedsRoom { needed } => {
                    job.room = job.room.max(needed);
                    jobs.push_front(job);
                    break;
                }
            }
            if before + SESSION_REPLIES_SIZE <= self.share.replied && !jobs.is_empty() {
                is_cut = true;
                break;
            }
        }
        // They came before what is left of the same clients.
        behind.append(jobs);
        *jobs = behind;
        is_cut
    }

    /// Runs one job, unless it cannot run in this session.
    fn run_job(&mut self, job: &mut Job, admission: Admission<'_>, now: Now) -> JobEnd {
        let ReturnAddress { connection, ticket, .. } = job.address;
        // A client that is gone asks for nothing.
        let Some(mut session) = self.sessions.take(connection) else {
            if let Work::Exec { watching: Some(watching), .. } = &job.work {
                self.forget_watches(watching);
            }
            return JobEnd::Done;
        };
        // As it was asked; what the client asks for behind it may have changed the level by now.
        let durability = match &job.work {
            Work::Command { caller, .. } => caller.durability,
            Work::Exec { .. } | Work::Watch { .. } => session.client.durability,
        };
        let mut out = std::mem::take(&mut self.scratch);
        let executed = match &mut job.work {
            Work::Command { caller, command, words } => {
                let Run::Keys(run) = command.run else { unreachable!("a job is on keys") };
                let args = words.borrow();
                let run = run.with(&args);
                let scope = self.scope(run, command, &args);
                let task =
                    Task { caller: *caller, command, run, args: &args, scope: &scope, admission };
                let failures = self.stats.commands_failed;
                let executed = self.execute(&task, now, &mut out);
                if matches!(executed, Executed::Done(_)) {
                    self.stats.commands_processed += 1;
                    let failed = failures != self.stats.commands_failed;
                    self.finish_call(command, &args, Who::Own(&session.client), failed, now);
                }
                executed
            }
            Work::Watch { watch, database, words } => {
                self.watch_here(*watch, *database, &words.borrow(), admission, now);
                engine::ReplySink::simple(
                    &mut ReplyWriter::new(&mut out, session.client.protocol),
                    "OK",
                );
                Executed::Done(Gates::new())
            }
            Work::Exec { transaction, watching } => {
                let executed = self.exec_here(
                    &mut session,
                    transaction,
                    *watching,
                    &job.slices,
                    admission,
                    now,
                    &mut out,
                );
                if matches!(executed, Executed::Done(_)) {
                    let exec = self.registry.find(b"exec").expect("it is a command");
                    self.feed_monitors(&session.client, exec, &[b"exec"], now);
                }
                executed
            }
        };
        let end = match executed {
            Executed::Long { room } => JobEnd::Long { room },
            Executed::Done(gates) => {
                self.share.replied += out.len();
                if session.is_slow() {
                    self.trickle_jobs.note(out.len());
                }
                let mut gates = durability.waits_for(gates);
                gates.extend(self.telling_gate(&session));
                if job.address.is_muted || session.closed {
                    out.clear();
                    gates.clear();
                }
                self.finish_job(&mut session, ticket, &mut out, &gates);
                if self.pubsub.has_deliveries() {
                    self.deliver_published(Some(&mut session), now);
                }
                JobEnd::Done
            }
            // A batch that is full is closed with the session.
            Executed::NeedsBatch | Executed::NeedsTurn => JobEnd::NeedsRoom { needed: 0 },
            Executed::NeedsRoom { needed } => {
                if self.config.entry_size_max as u64 <= needed {
                    if let Work::Exec { watching: Some(watching), .. } = &job.work {
                        self.forget_watches(watching);
                    }
                    let error =
                        RequestError::Static("ERR the write is larger than the largest log entry");
                    ReplyWriter::new(&mut out, session.client.protocol).error_bytes(&error.text());
                    self.finish_job(&mut session, ticket, &mut out, &[]);
                    JobEnd::Done
                } else {
                    JobEnd::NeedsRoom { needed }
                }
            }
        };
        out.clear();
        self.scratch = out;
        queue_flush(&mut self.flush, &mut session);
        self.sessions.put_back(session);
        end
    }

    pub(crate) fn finish_job(
        &mut self,
        session: &mut crate::session::Session,
        ticket: Ticket,
        out: &mut Vec<u8>,
        gates: &[base::Gate],
    ) {
        let before = session.replies.len();
        assert!(session.last_job < Some(ticket), "the jobs of a client run in their order");
        session.last_job = Some(ticket);
        session.jobs -= 1;
        session.is_executing = false;
        if out.len() < net::CHUNK_SIZE {
            session.replies.fill(ticket, out, gates, &mut self.pool);
        } else {
            session.replies.fill_owned(ticket, std::mem::take(out), gates, &mut self.pool);
        }
        let size = session.replies.len() - before;
        session.note_reply_size(size);
        self.output_size += size;
        self.wake_waiting(session);
    }

    /// Slices come back: what was executed on them is proposed, and what waited for them runs.
    fn take_back(&mut self, lent: Vec<Lent>, now: Now) {
        let ids: Vec<SliceId> = lent.iter().map(|one| one.slice.id).collect();
        for one in lent {
            self.slices.take_back(one, &mut self.transactions, &mut self.outbox);
        }
        self.run_queues(ids, now);
    }

    /// What waited for these slices runs: they are here again.
    pub(crate) fn run_queues(&mut self, ids: Vec<SliceId>, now: Now) {
        let unwatched = std::mem::take(&mut self.unwatched);
        for (slice, watch) in unwatched {
            self.note_unwatched(watch, vec![slice]);
        }
        for slice in ids {
            let queue = std::mem::take(&mut self.slices.group_mut(slice).queue);
            self.take_queue(queue, now);
        }
    }

    /// Executes the requests that waited for a slice. Those that are put off come before what their
    /// clients sent later, which may have been put off already.
    fn take_queue(&mut self, queue: VecDeque<WaitingRequest>, now: Now) {
        let (mut put_off, mut clients) = (Vec::new(), Set::default());
        for request in queue {
            let client = request.address.client();
            let is_full = self.share.is_full() || !self.slices.is_here(request.slice);
            if clients.contains(&client) || (request.caller.is_patient && is_full) {
                clients.insert(client);
                put_off.push(request);
            } else if self.is_behind(request.address, request.slice) {
                self.stall(request, None);
            } else if !self.slices.is_here(request.slice) {
                // A long one took the slice away again.
                let slice = request.slice;
                self.slices.group_mut(slice).queue.push_back(request);
            } else {
                self.execute_waiting(&request, false, now);
            }
        }
        self.put_off.push_ahead(put_off);
    }
}
