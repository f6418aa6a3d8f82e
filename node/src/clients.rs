//! The clients of this core: what they send is executed, what they are owed is sent.

use std::collections::VecDeque;

use base::{ConnectionId, Now};
use net::{Decoded, Decoder, Front, Protocol, ProtocolError};

use crate::dispatch::Flow;
use crate::event::Pending;
use crate::input::Input;
use crate::loans::Claim;
use crate::node::{Node, Phase};
use crate::parcel::BorrowedWords;
use crate::planted::Plant;
use crate::pubsub::Subscriptions;
use crate::room::Waiter;
use crate::session::{Client, Held, ReplyMode, Session};
use crate::share::REPLIES_PER_TURN;

/// Commands of one client executed before others get their turn.
const COMMANDS_PER_TURN: usize = 4096;

/// What each client may have waiting while the budget of all is used up: bytes.
const OUTPUT_SHARE: usize = 64 * 1024;

/// A client that takes nothing for this long may be given up when memory is short.
const STUCK_US: u64 = 10_000_000;

/// How often one is.
pub(crate) const RELIEF_US: u64 = 100_000;

/// How much may wait for a client now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputRule {
    size_pause: usize,
    is_over_budget: bool,
    /// Jobs of those in no hurry may run.
    jobs_flow: bool,
}

impl OutputRule {
    fn is_over(self, session: &Session) -> bool {
        let size = session.output_size();
        self.size_pause < size || (self.is_over_budget && OUTPUT_SHARE < size)
    }

    pub(crate) fn with_jobs(self, jobs_flow: bool) -> Self {
        Self { jobs_flow, ..self }
    }

    /// What a client, if it is still there, may claim of the next session for its jobs.
    pub(crate) fn claim(self, session: Option<&Session>) -> Claim {
        match session {
            // Nothing is kept for one that is gone.
            None => Claim::Prompt,
            Some(session) if session.closed => Claim::Prompt,
            // What waits behind the reply that a job is to make must not keep it from running.
            Some(session) if session.has_front() && self.is_over(session) => Claim::Nothing,
            Some(session) if session.is_slow() && !self.jobs_flow && session.has_front() => {
                Claim::Later
            }
            Some(session) if session.is_patient() => Claim::Patient { size: session.reply_size },
            Some(_) => Claim::Prompt,
        }
    }
}

impl Node {
    pub(crate) fn accept(
        &mut self,
        id: ConnectionId,
        peer: std::net::SocketAddr,
        local: std::net::SocketAddr,
        now: Now,
    ) {
        self.stats.connections_received += 1;
        self.clients_numbered += 1;
        // Numbers of different cores do not meet.
        let cores = u64::from(self.topology.cores());
        let number = (self.clients_numbered - 1) * cores + u64::from(self.core.0) + 1;
        let mut client = Client::new(number, peer, &self.config);
        client.local = local;
        client.connected_us = now.monotonic_us;
        let mut session = Box::new(Session::new(id, client));
        session.received_us = now.monotonic_us;
        if let Some(refusal) = self.refuses_client(&session) {
            self.stats.connections_rejected += 1;
            session.replies.begin(&mut self.pool).extend_from_slice(refusal);
            session.replies.commit(&[], &mut self.pool);
            self.output_size += refusal.len();
            session.client.closing = true;
        }
        queue_flush(&mut self.flush, &mut session);
        self.sessions.insert(session);
    }

    fn refuses_client(&self, session: &Session) -> Option<&'static [u8]> {
        if self.settings.clients_max <= self.sessions.len() + self.clients_elsewhere {
            return Some(b"-ERR max number of clients reached\r\n");
        }
        let open = self.config.password.is_none() && self.config.protected_mode;
        if open && !is_local(session.client.peer) {
            return Some(
                b"-DENIED Toroid is in protected mode: no password is set, so only clients of \
                  its own host are served. Set requirepass, or protected-mode no if the network \
                  is trusted, and restart.\r\n",
            );
        }
        match self.phase {
            Phase::Starting | Phase::Serving => None,
            Phase::Draining { .. } | Phase::Drained | Phase::Sealing | Phase::Stopped => {
                Some(b"-ERR the server is shutting down\r\n")
            }
        }
    }

    pub(crate) fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        let Some(mut session) = self.sessions.take(id) else { return };
        self.stats.net_input_bytes += bytes.len() as u64;
        session.client.net_input_bytes += bytes.len() as u64;
        session.received_us = now.monotonic_us;
        if self.phase == Phase::Serving && !session.client.closing && !session.closed {
            if session.held.is_some() {
                session.input.keep(bytes, 0);
                self.hold_back(&mut session);
            } else {
                self.run_input(&mut session, bytes, now);
            }
            let held = session.input.rest().len() + session.decoder.allocated();
            if self.settings.query_size_max < held {
                session.client.closing = true;
                session.input = Input::default();
            }
            self.count_input(&mut session);
            queue_flush(&mut self.flush, &mut session);
        }
        self.sessions.put_back(session);
    }

    /// Executes what the session has, its held input first, until it must wait.
    fn run_input(&mut self, session: &mut Session, bytes: &[u8], now: Now) {
        session.held = None;
        self.start_lap();
        let mut input = std::mem::take(&mut session.input);
        let mut decoder = std::mem::take(&mut session.decoder);
        if input.is_empty() {
            let (executed, more) = self.run_commands(session, &mut decoder, bytes, now);
            if !session.client.closing {
                input.keep(&bytes[executed..], more);
            }
        } else {
            input.keep(bytes, 0);
            let (executed, more) = self.run_commands(session, &mut decoder, input.rest(), now);
            match session.client.closing {
                true => input = Input::default(),
                false => input.consume(executed, more),
            }
        }
        session.input = input;
        session.decoder = decoder;
        match session.held {
            None | Some(Held::Replies | Held::Vacancies | Held::Answers) => {}
            Some(Held::Batch) => self.behind_batch.push(Waiter::Client(session.id)),
            Some(Held::Turn) => queue_run(&mut self.runnable, session),
            Some(Held::Room { needed }) => self.room.push(Waiter::Client(session.id), needed),
            Some(Held::Output) => self.stuck.push(session.id),
            Some(Held::Pause) => self.pause.hold(session.id),
            Some(Held::Snapshots) => self.retention.hold(session.id),
            Some(Held::Runner) => self.long.waiters.push_back(Waiter::Client(session.id)),
        }
        if session.ended && session.held.is_none() {
            session.client.closing = true;
        }
        self.hold_back(session);
    }

    /// Returns how many bytes of whole requests were executed, and how many more the next one
    /// needs at least.
    fn run_commands(
        &mut self,
        session: &mut Session,
        decoder: &mut Decoder,
        data: &[u8],
        now: Now,
    ) -> (usize, usize) {
        let mut executed = 0;
        let before = self.share.replied;
        for _ in 0..COMMANDS_PER_TURN {
            if session.client.closing {
                return (data.len(), 0);
            }
            let is_over = self.is_over_output(session);
            if is_over || (session.is_slow() && !self.trickle.flows(now)) {
                session.held = Some(Held::Output);
                return (executed, 0);
            }
            if self.pubsub.is_far_ahead {
                self.pubsub.wait(session.id);
                session.held = Some(Held::Replies);
                return (executed, 0);
            }
            // Others go first; one client alone, too, is given so much of a turn and no more.
            let is_much = before + REPLIES_PER_TURN <= self.share.replied;
            if is_much || (session.is_patient() && !self.share.admits()) {
                session.held = Some(Held::Turn);
                return (executed, 0);
            }
            let rest = &data[executed..];
            match decoder.decode(rest, session.client.authenticated) {
                Ok(Decoded::Incomplete { more }) => return (executed, more),
                Ok(Decoded::Nothing { consumed }) => executed += consumed,
                Ok(Decoded::Command { consumed }) => {
                    let words: BorrowedWords<'_> = decoder.arguments(rest).collect();
                    let held = match self.dispatch(session, &words, now) {
                        Flow::Done => {
                            executed += consumed;
                            if self.pubsub.has_deliveries() {
                                self.deliver_published(Some(session), now);
                            }
                            continue;
                        }
                        Flow::NeedsRoom { needed } => Held::Room { needed },
                        Flow::NeedsBatch => Held::Batch,
                        Flow::NeedsTurn => Held::Turn,
                        Flow::NeedsReplies => Held::Replies,
                        Flow::NeedsVacancies => Held::Vacancies,
                        Flow::NeedsAnswers => Held::Answers,
                        Flow::NeedsUnpause => Held::Pause,
                        Flow::NeedsSnapshots => Held::Snapshots,
                        Flow::NeedsRunner => Held::Runner,
                    };
                    // It is decoded again when its time has come.
                    drop(words);
                    decoder.reset();
                    session.held = Some(held);
                    return (executed, 0);
                }
                Err(error) => {
                    self.stats.protocol_errors += 1;
                    self.reply_protocol_error(session, error);
                    return (data.len(), 0);
                }
            }
        }
        session.held = Some(Held::Turn);
        (executed, 0)
    }

    fn reply_protocol_error(&mut self, session: &mut Session, error: ProtocolError) {
        let before = session.replies.len();
        let out = session.replies.begin(&mut self.pool);
        net::Encoder::new(out, session.client.protocol).protocol_error(error);
        session.replies.commit(&[], &mut self.pool);
        self.output_size += session.replies.len() - before;
        session.client.closing = true;
    }

    /// Whether a client has so many replies waiting that its next request must wait as well.
    ///
    /// The budget of all holds up those who use it: a client that reads its replies is served
    /// however many others do not.
    fn is_over_output(&self, session: &Session) -> bool {
        self.output_rule().is_over(session)
    }

    pub(crate) fn output_rule(&self) -> OutputRule {
        let is_over_budget = self.is_over_budget();
        OutputRule { size_pause: self.config.output_size_pause, is_over_budget, jobs_flow: false }
    }

    pub(crate) fn is_over_budget(&self) -> bool {
        self.config.output_budget < self.output_size
    }

    /// Stops taking bytes from a client whose input is not being executed.
    fn hold_back(&mut self, session: &mut Session) {
        // Replies of other cores come soon: no need to stop the kernel for them.
        let is_long =
            !matches!(session.held, None | Some(Held::Replies | Held::Vacancies | Held::Answers));
        let is_much = HELD_INPUT < session.input.rest().len();
        if session.held.is_some() && (is_long || is_much) && !session.stopped && !session.closed {
            session.stopped = true;
            self.outputs.push_back(Pending::StopReceive { id: session.id });
        }
    }

    /// Goes on with the sessions whose turn it is again.
    pub(crate) fn run_held(&mut self, now: Now) {
        if self.phase != Phase::Serving {
            self.runnable.clear();
            return;
        }
        self.share.owes_one = true;
        for _ in 0..self.runnable.len() {
            let id = self.runnable.pop_front().expect("as many as there were");
            let Some(mut session) = self.sessions.take(id) else { continue };
            session.run_queued = false;
            if !session.client.closing && !session.closed {
                self.run_input(&mut session, &[], now);
                self.count_input(&mut session);
                if session.held.is_none() && session.stopped && !session.ended {
                    session.stopped = false;
                    self.outputs.push_back(Pending::StartReceive { id });
                }
            }
            queue_flush(&mut self.flush, &mut session);
            self.sessions.put_back(session);
        }
        self.share.owes_one = false;
    }

    pub(crate) fn note_sent(&mut self, id: ConnectionId, buffer: Vec<u8>, now: Now) {
        let size = buffer.len();
        self.stats.net_output_bytes += size as u64;
        self.pool.give(buffer);
        if let Some(session) = self.sessions.get_mut(id) {
            assert!(session.sending == Some(size));
            session.sending = None;
            session.progress_us = now.monotonic_us;
            session.client.net_output_bytes += size as u64;
            self.output_size -= size;
            queue_flush(&mut self.flush, session);
        }
    }

    /// What a client sent before it ended is executed, and answered.
    pub(crate) fn note_ended(&mut self, id: ConnectionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.ended = true;
        if session.held.is_none() {
            session.client.closing = true;
        }
        queue_flush(&mut self.flush, session);
    }

    pub(crate) fn forget(&mut self, id: ConnectionId) {
        if let Some(mut session) = self.sessions.remove(id) {
            self.unwatch(&mut session);
            self.unsubscribe_all(&mut session);
            self.output_size -= session.output_size();
            self.input_size -= session.counted_input;
            session.replies.clear(&mut self.pool);
            self.room.remove(Waiter::Client(id));
            self.long.forget(id);
        }
    }

    pub(crate) fn flush_replies(&mut self, now: Now) {
        let mut flush = std::mem::take(&mut self.flush);
        for id in flush.drain(..) {
            let Some(mut session) = self.sessions.take(id) else { continue };
            session.flush_queued = false;
            self.flush_session(&mut session, now);
            self.sessions.put_back(session);
        }
        self.flush = flush;
    }

    fn flush_session(&mut self, session: &mut Session, now: Now) {
        if session.closed {
            return;
        }
        if session.sending.is_none() {
            let Self { slices, planted, pool, parked, .. } = self;
            let eager = planted.is(Plant::ReplyBeforeCommit);
            let is_settled = |gate: base::Gate| eager || gate.index <= slices.settled(gate.slice);
            if let Some(buffer) = session.replies.take_released(is_settled, pool) {
                session.sending = Some(buffer.len());
                session.progress_us = now.monotonic_us;
                self.outputs.push_back(Pending::Send { id: session.id, buffer });
            }
            if let Front::Waits(gate) = session.replies.front()
                && slices.settled(gate.slice) < gate.index
                && session.parked_at != gate
            {
                session.parked_at = gate;
                parked[usize::from(gate.slice.0)].park(gate.index, session.id);
            }
        }
        if session.client.closing && session.is_drained() {
            self.close_now(session);
        } else {
            self.limit_output(session, now);
        }
    }

    /// The first write that waits for room may go on: there is room, or never will be. Room is
    /// made in the middle of a turn too, where a loan ends or a log is trimmed, and no event
    /// follows.
    pub(crate) fn may_grant_room(&self) -> bool {
        let is_possible = |needed| {
            needed <= self.wal.room().saturating_sub(self.loans.reserved_room())
                || self.wal.refuses_room(needed).is_some()
        };
        let sleeps = self.planted.is(Plant::SleepOverRoom);
        !sleeps && self.room.first_needed().is_some_and(is_possible)
    }

    /// Lets the writes run that the log has room for by now, or never will have.
    pub(crate) fn grant_room(&mut self) {
        if self.room.is_empty() {
            return;
        }
        let Self { room, sessions, runnable, wal, stalled, loans, .. } = self;
        let missing = room.grant(
            wal.room().saturating_sub(loans.reserved_room()),
            |needed| wal.refuses_room(needed).is_some(),
            |waiter| match waiter {
                Waiter::Client(id) => {
                    if let Some(session) = sessions.get_mut(id) {
                        session.granted = true;
                        queue_run(runnable, session);
                    }
                }
                Waiter::Request(number) => stalled.grant(number),
            },
        );
        if let Some(needed) = missing {
            self.wal.request_room(needed);
        }
    }

    /// Lets the sessions run whose replies have drained.
    pub(crate) fn wake_stuck(&mut self, now: Now) {
        let (rule, is_over_budget) = (self.output_rule(), self.is_over_budget());
        // One of those in no hurry in each turn.
        let mut flows = self.trickle.flows(now);
        let Self { stuck, sessions, runnable, config, .. } = self;
        stuck.retain(|&id| {
            let Some(session) = sessions.get_mut(id) else { return false };
            let size = session.output_size();
            let goes_on = match session.is_slow() {
                true => !rule.is_over(session) && std::mem::take(&mut flows),
                false => {
                    size <= config.output_size_pause / 2
                        && (!is_over_budget || size <= OUTPUT_SHARE / 2)
                }
            };
            if goes_on {
                queue_run(runnable, session);
            }
            !goes_on
        });
    }

    /// When those in no hurry go on, if any wait for that: microseconds of the monotonic clock.
    pub(crate) fn trickle_us(&self) -> Option<u64> {
        let rule = self.output_rule();
        let awaits = |id: &ConnectionId| {
            self.sessions.get(*id).is_some_and(|one| one.is_slow() && !rule.is_over(one))
        };
        let stuck = self.stuck.iter().any(awaits).then(|| self.trickle.flows_at_us());
        let jobs = self.loans.awaits_time(|id| rule.claim(self.sessions.get(id)));
        let jobs = jobs.then(|| self.trickle_jobs.flows_at_us());
        stuck.into_iter().chain(jobs).min()
    }

    /// Gives up the client that holds most of the replies' memory and has not taken any of it for
    /// long, while all of it is used up. Memory comes before a client that does not read.
    pub(crate) fn relieve(&mut self, now: Now) {
        if !self.is_over_budget() || now.monotonic_us < self.relieved_us + RELIEF_US {
            return;
        }
        self.relieved_us = now.monotonic_us;
        // Who holds less than others do is not the cause.
        let share = self.output_size / self.sessions.len().max(1);
        let is_stuck = |session: &&Session| {
            share <= session.output_size()
                && session.sending.is_some()
                && session.progress_us + STUCK_US <= now.monotonic_us
        };
        let largest = self.sessions.iter().filter(is_stuck).max_by_key(|one| one.output_size());
        if let Some(id) = largest.map(|session| session.id) {
            self.stats.clients_given_up += 1;
            let session = self.sessions.get_mut(id).expect("it was just found");
            session.closed = true;
            self.outputs.push_back(Pending::Close { id });
        }
    }
}

/// A client that waits for other cores may send so much before the kernel is told to stop: bytes.
const HELD_INPUT: usize = 256 * 1024;

pub(crate) fn queue_flush(flush: &mut Vec<ConnectionId>, session: &mut Session) {
    if !session.flush_queued {
        session.flush_queued = true;
        flush.push(session.id);
    }
}

pub(crate) fn queue_run(runnable: &mut VecDeque<ConnectionId>, session: &mut Session) {
    if !session.run_queued {
        session.run_queued = true;
        runnable.push_back(session.id);
    }
}

fn is_local(peer: std::net::SocketAddr) -> bool {
    match peer.ip() {
        std::net::IpAddr::V4(address) => address.is_loopback(),
        std::net::IpAddr::V6(address) => {
            address.is_loopback()
                || address.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback())
        }
    }
}

impl Client {
    pub(crate) fn new(
        number: u64,
        peer: std::net::SocketAddr,
        config: &crate::config::Config,
    ) -> Self {
        Self {
            number,
            peer,
            local: peer,
            connected_us: 0,
            name: Vec::new(),
            library_name: Vec::new(),
            library_version: Vec::new(),
            database: 0,
            protocol: Protocol::Resp2,
            authenticated: config.password.is_none(),
            durability: config.durability,
            touches: true,
            is_never_evicted: false,
            is_read_only: false,
            knows_redirections: false,
            reply_mode: ReplyMode::On,
            last_command: None,
            commands: 0,
            net_input_bytes: 0,
            net_output_bytes: 0,
            transaction: None,
            subscriptions: Subscriptions::default(),
            closing: false,
        }
    }

    /// As if it had just connected (RESET).
    pub(crate) fn reset(&mut self, config: &crate::config::Config) {
        let fresh = Self::new(self.number, self.peer, config);
        self.name = fresh.name;
        self.database = fresh.database;
        self.protocol = fresh.protocol;
        self.authenticated = fresh.authenticated;
        self.durability = fresh.durability;
        self.touches = fresh.touches;
        self.is_never_evicted = fresh.is_never_evicted;
        self.is_read_only = fresh.is_read_only;
        self.knows_redirections = fresh.knows_redirections;
        self.reply_mode = fresh.reply_mode;
        self.transaction = fresh.transaction;
    }
}
