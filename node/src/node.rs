//! One core's whole state machine: events in, outputs out.
//!
//! A turn: [`Node::handle`] each event, [`Node::close_turn`], [`Node::poll_output`] until there is
//! none. Commands execute as their bytes arrive; their effects gather in the slice's open batch.
//! Closing the turn makes one entry and one frame of the batch, learns what has become durable,
//! and releases the replies that waited for it. Nothing waits inside a turn.
//!
//! # Invariants
//!
//! * A reply leaves only when everything it saw is settled, unless its client chose `memory`.
//! * No command executes before recovery is settled by an own entry.
//! * Every queue is bounded: replies by the output limits, requests by the query limit, the log
//!   by the room it has prepared.

use std::collections::VecDeque;

use base::{ConnectionId, LogIndex, Now, Prng, limits};
use net::{BufferPool, Decoded, Protocol};
use wal::Wal;

use crate::boot::Boot;
use crate::config::Config;
use crate::dispatch::{Dispatch, Flow};
use crate::event::{Event, Output};
use crate::input::Input;
use crate::parked::Parked;
use crate::planted::{Plant, Planted};
use crate::registry::Registry;
use crate::room::RoomQueue;
use crate::session::{Client, Held, Session, Sessions};
use crate::slice::Slice;
use crate::stats::Stats;

/// Commands of one client executed before others get their turn.
const COMMANDS_PER_TURN: usize = 4096;

/// A batch this large is closed even while the log's window is full: bytes.
const BATCH_SIZE_MAX: usize = limits::FRAME_SIZE_MAX;

/// Reply buffers kept for use again, and their sizes: bytes.
const POOL_COUNT_MAX: usize = 4096;
const POOL_CAPACITY_FIRST: usize = 1024;
const POOL_CAPACITY_MAX: usize = 256 * 1024;

/// What each client may have waiting while the budget of all is used up: bytes.
const OUTPUT_SHARE: usize = 64 * 1024;

/// A client that takes nothing for this long may be given up when memory is short.
const STUCK_US: u64 = 10_000_000;

/// How often one is.
const RELIEF_US: u64 = 100_000;

/// How long a shutdown waits for clients to take their replies.
const SHUTDOWN_PATIENCE_US: u64 = 10_000_000;

/// Owner: core.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: Config,
    pub(crate) registry: &'static Registry,
    pub(crate) slice: Slice,
    pub(crate) wal: Wal,
    pub(crate) stats: Stats,
    pub(crate) started_us: u64,
    pub(crate) planted: Planted,
    sessions: Sessions,
    parked: Parked,
    pool: BufferPool,
    outputs: VecDeque<Pending>,
    /// Sessions whose replies may leave.
    flush: Vec<ConnectionId>,
    /// Sessions with input to go on with in the next turn.
    runnable: VecDeque<ConnectionId>,
    /// Writes that wait for the log to have room.
    pub(crate) room: RoomQueue,
    /// Sessions held until their replies drain.
    stuck: Vec<ConnectionId>,
    /// Bytes of replies that no client's kernel has taken yet, parked or not.
    output_size: usize,
    /// When the largest of the stuck clients was last given up, for lack of memory.
    relieved_us: u64,
    clients_numbered: u64,
    phase: Phase,
}

/// The outputs that are not the log's.
#[derive(Debug)]
enum Pending {
    Listen,
    Send { id: ConnectionId, buffer: Vec<u8> },
    Close { id: ConnectionId },
    StopReceive { id: ConnectionId },
    StartReceive { id: ConnectionId },
    Exit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Making what was recovered our own: flush, header, vote, first entry.
    Starting,
    Serving,
    /// Finishing what was executed; clients that do not take their replies lose them at the
    /// deadline.
    Draining {
        deadline_us: Option<u64>,
    },
    /// The seal is on its way.
    Sealing,
    Stopped,
}

impl Node {
    /// A node over what `boot` replayed. It serves after [`Output::Listen`].
    ///
    /// # Errors
    ///
    /// The hard state is older than the log: something durable was lost.
    pub fn new(boot: Boot, recovered: wal::Recovered, now: Now) -> Result<Self, String> {
        let Boot { config, replay } = boot;
        let mut prng = Prng::from_seed(config.seed);
        let slice = replay.into_slice(&recovered.hard_states)?;
        let wal = Wal::new(config.wal.clone(), recovered, prng.fork(), now);
        let settled = slice.settled();
        Ok(Self {
            registry: Registry::shared(),
            planted: Planted::default(),
            sessions: Sessions::default(),
            parked: Parked::new(settled),
            pool: BufferPool::new(POOL_COUNT_MAX, POOL_CAPACITY_FIRST, POOL_CAPACITY_MAX),
            outputs: VecDeque::new(),
            flush: Vec::new(),
            runnable: VecDeque::new(),
            room: RoomQueue::default(),
            stuck: Vec::new(),
            output_size: 0,
            relieved_us: 0,
            clients_numbered: 0,
            phase: Phase::Starting,
            stats: Stats::default(),
            started_us: now.monotonic_us,
            config,
            slice,
            wal,
        })
    }

    /// Takes one event.
    pub fn handle(&mut self, event: Event<'_>, now: Now) {
        match event {
            Event::Accepted { id, peer, .. } => self.accept(id, peer),
            Event::Received { id, bytes } => self.receive(id, bytes, now),
            Event::Sent { id, buffer } => self.note_sent(id, buffer, now),
            Event::Ended { id } => self.note_ended(id),
            Event::Closed { id } => self.forget(id),
            Event::Log(event) => self.wal.handle(event, now),
            Event::Shutdown => self.shut_down(now),
        }
    }

    /// Closes the batch, settles what became durable, releases replies. Once per turn.
    pub fn close_turn(&mut self, now: Now) {
        self.stats.turns += 1;
        self.grant_room();
        self.wake_stuck();
        self.run_held(now);
        self.wal.handle_time(now);
        if self.wal.is_running() {
            self.slice.tick();
            self.close_batch(now);
        }
        self.settle(now);
        self.close_phase(now);
        self.flush_replies(now);
        self.relieve(now);
    }

    /// The next thing to be done, until None.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        if let Some(pending) = self.outputs.pop_front() {
            return Some(match pending {
                Pending::Listen => Output::Listen,
                Pending::Send { id, buffer } => Output::Send { id, buffer },
                Pending::Close { id } => Output::Close { id },
                Pending::StopReceive { id } => Output::StopReceive { id },
                Pending::StartReceive { id } => Output::StartReceive { id },
                Pending::Exit => Output::Exit,
            });
        }
        self.wal.poll_output().map(Output::Log)
    }

    /// When the next turn must begin at the latest: microseconds of the monotonic clock.
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.runnable.is_empty() || self.room.is_new() {
            return Some(0);
        }
        let deadline = match self.phase {
            Phase::Draining { deadline_us } => deadline_us,
            Phase::Starting | Phase::Serving | Phase::Sealing | Phase::Stopped => None,
        };
        let relief = self.is_over_budget().then_some(self.relieved_us + RELIEF_US);
        [deadline, relief, self.wal.poll_timeout()].into_iter().flatten().min()
    }

    /// Clients connected now.
    pub fn client_count(&self) -> usize {
        self.sessions.len()
    }

    /// The digest of everything executed, settled or not.
    pub fn digest(&self) -> u128 {
        self.slice.keyspace.digest()
    }

    /// The keys of database `database`, settled or not.
    pub fn key_count(&self, database: u16) -> usize {
        self.slice.keyspace.len(database)
    }

    /// Everything executed can no longer be lost.
    pub fn is_settled(&self) -> bool {
        self.slice.is_settled()
    }

    /// The log this node writes.
    pub fn log_stats(&self) -> &wal::Stats {
        self.wal.stats()
    }

    /// Bytes of replies that wait, of all clients.
    pub fn output_size(&self) -> usize {
        self.output_size
    }

    /// Bytes of closed batches that wait for the disk in memory.
    pub fn log_queued_size(&self) -> usize {
        self.wal.queued_size()
    }

    /// Clients held until the log has room or their replies drain.
    pub fn waiting_count(&self) -> usize {
        self.room.len() + self.stuck.len()
    }

    /// The disk is full: writes are refused.
    pub fn log_refuses(&self) -> bool {
        self.wal.refuses_writes().is_some()
    }

    /// Plants a bug for the simulator to find; nothing without the feature `planted`.
    pub fn plant(&mut self, plant: Plant) {
        self.planted.plant(plant);
    }

    fn accept(&mut self, id: ConnectionId, peer: std::net::SocketAddr) {
        self.stats.connections_received += 1;
        self.clients_numbered += 1;
        let client = Client {
            number: self.clients_numbered,
            peer,
            name: Vec::new(),
            library_name: Vec::new(),
            library_version: Vec::new(),
            database: 0,
            protocol: Protocol::Resp2,
            authenticated: self.config.password.is_none(),
            durability: self.config.durability,
            closing: false,
        };
        let mut session = Box::new(Session::new(id, client));
        if let Some(refusal) = self.refuses_client(&session) {
            self.stats.connections_rejected += 1;
            session.replies.begin(LogIndex::NONE, &mut self.pool).extend_from_slice(refusal);
            session.replies.commit(LogIndex::NONE, &mut self.pool);
            self.output_size += refusal.len();
            session.client.closing = true;
        }
        queue_flush(&mut self.flush, &mut session);
        self.sessions.insert(session);
    }

    fn refuses_client(&self, session: &Session) -> Option<&'static [u8]> {
        if self.config.clients_max <= self.sessions.len() {
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
            Phase::Draining { .. } | Phase::Sealing | Phase::Stopped => {
                Some(b"-ERR the server is shutting down\r\n")
            }
        }
    }

    fn receive(&mut self, id: ConnectionId, bytes: &[u8], now: Now) {
        let Some(mut session) = self.sessions.take(id) else { return };
        self.stats.net_input_bytes += bytes.len() as u64;
        if self.phase == Phase::Serving && !session.client.closing && !session.closed {
            if session.held.is_some() {
                session.input.keep(bytes, 0);
            } else {
                self.run(&mut session, bytes, now);
            }
            let held = session.input.rest().len() + session.decoder.allocated();
            if limits::QUERY_BUFFER_SIZE_MAX < held {
                session.client.closing = true;
                session.input = Input::default();
            }
            queue_flush(&mut self.flush, &mut session);
        }
        self.sessions.put_back(session);
    }

    /// Executes what the session has, its held input first, until it must wait.
    fn run(&mut self, session: &mut Session, bytes: &[u8], now: Now) {
        session.held = None;
        let mut input = std::mem::take(&mut session.input);
        if input.is_empty() {
            let (executed, more) = self.run_commands(session, bytes, now);
            if !session.client.closing {
                input.keep(&bytes[executed..], more);
            }
        } else {
            input.keep(bytes, 0);
            let (executed, more) = self.run_commands(session, input.rest(), now);
            match session.client.closing {
                true => input = Input::default(),
                false => input.consume(executed, more),
            }
        }
        session.input = input;
        match session.held {
            None => {}
            Some(Held::Turn) => queue_run(&mut self.runnable, session),
            Some(Held::Room { needed }) => self.room.push(session.id, needed),
            Some(Held::Output) => self.stuck.push(session.id),
        }
        if session.ended && session.held.is_none() {
            session.client.closing = true;
        }
        self.hold_back(session);
    }

    /// Returns how many bytes of whole requests were executed, and how many more the next one
    /// needs at least.
    fn run_commands(&mut self, session: &mut Session, data: &[u8], now: Now) -> (usize, usize) {
        let mut executed = 0;
        for _ in 0..COMMANDS_PER_TURN {
            if session.client.closing {
                return (data.len(), 0);
            }
            if self.is_over_output(session) {
                session.held = Some(Held::Output);
                return (executed, 0);
            }
            let rest = &data[executed..];
            match session.decoder.decode(rest, session.client.authenticated) {
                Ok(Decoded::Incomplete { more }) => return (executed, more),
                Ok(Decoded::Nothing { consumed }) => executed += consumed,
                Ok(Decoded::Command { consumed }) => {
                    match self.execute(session, rest, now) {
                        Flow::Done => executed += consumed,
                        // It is decoded again when its time has come.
                        flow @ (Flow::NeedsRoom { .. } | Flow::NeedsTurn) => {
                            session.decoder.reset();
                            session.held = Some(match flow {
                                Flow::NeedsRoom { needed } => Held::Room { needed },
                                Flow::NeedsTurn | Flow::Done => Held::Turn,
                            });
                            return (executed, 0);
                        }
                    }
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

    fn execute(&mut self, session: &mut Session, request: &[u8], now: Now) -> Flow {
        let before = session.replies.len();
        let mut dispatch = Dispatch { node: self, now };
        let outcome = dispatch.execute(session, request);
        self.output_size += session.replies.len() - before;
        if let Some(gate) = outcome.parked {
            self.stats.replies_parked += 1;
            self.parked.park(gate, session.id);
        }
        outcome.flow
    }

    fn reply_protocol_error(&mut self, session: &mut Session, error: net::ProtocolError) {
        let before = session.replies.len();
        let out = session.replies.begin(LogIndex::NONE, &mut self.pool);
        net::Encoder::new(out, session.client.protocol).protocol_error(error);
        session.replies.commit(LogIndex::NONE, &mut self.pool);
        self.output_size += session.replies.len() - before;
        session.client.closing = true;
    }

    pub(crate) fn pool(&mut self) -> &mut BufferPool {
        &mut self.pool
    }

    /// Whether a client has so many replies waiting that its next request must wait as well.
    ///
    /// The budget of all holds up those who use it: a client that reads its replies is served
    /// however many others do not.
    fn is_over_output(&self, session: &Session) -> bool {
        let size = session.output_size();
        self.config.output_size_pause < size || (self.is_over_budget() && OUTPUT_SHARE < size)
    }

    fn is_over_budget(&self) -> bool {
        self.config.output_budget < self.output_size
    }

    /// Stops taking bytes from a client whose input is not being executed.
    fn hold_back(&mut self, session: &mut Session) {
        if session.held.is_some() && !session.stopped && !session.closed {
            session.stopped = true;
            self.outputs.push_back(Pending::StopReceive { id: session.id });
        }
    }

    /// Goes on with the sessions whose turn it is again.
    fn run_held(&mut self, now: Now) {
        if self.phase != Phase::Serving {
            self.runnable.clear();
            return;
        }
        for _ in 0..self.runnable.len() {
            let id = self.runnable.pop_front().expect("as many as there were");
            let Some(mut session) = self.sessions.take(id) else { continue };
            session.run_queued = false;
            if !session.client.closing && !session.closed {
                self.run(&mut session, &[], now);
                if session.held.is_none() && session.stopped && !session.ended {
                    session.stopped = false;
                    self.outputs.push_back(Pending::StartReceive { id });
                }
            }
            queue_flush(&mut self.flush, &mut session);
            self.sessions.put_back(session);
        }
    }

    fn note_sent(&mut self, id: ConnectionId, buffer: Vec<u8>, now: Now) {
        let size = buffer.len();
        self.stats.net_output_bytes += size as u64;
        self.pool.give(buffer);
        if let Some(session) = self.sessions.get_mut(id) {
            assert!(session.sending == Some(size));
            session.sending = None;
            session.progress_us = now.monotonic_us;
            self.output_size -= size;
            queue_flush(&mut self.flush, session);
        }
    }

    /// What a client sent before it ended is executed, and answered.
    fn note_ended(&mut self, id: ConnectionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.ended = true;
        if session.held.is_none() {
            session.client.closing = true;
        }
        queue_flush(&mut self.flush, session);
    }

    fn forget(&mut self, id: ConnectionId) {
        if let Some(mut session) = self.sessions.remove(id) {
            self.output_size -= session.output_size();
            session.replies.clear(&mut self.pool);
            self.room.remove(id);
        }
    }

    fn close_batch(&mut self, now: Now) {
        // While the window is full the batch goes on gathering: that is the group commit.
        let is_small = self.slice.batch.len() < BATCH_SIZE_MAX.min(self.config.entry_size_max / 2);
        let full = self.wal.window_is_full() && is_small;
        if !full {
            self.slice.close(&mut self.wal, now);
            if let Some(frame) = self.wal.close_batch(now) {
                self.slice.note_frame(frame);
            }
        }
    }

    fn settle(&mut self, now: Now) {
        if !self.slice.settle(&self.wal) {
            return;
        }
        self.stats.settles += 1;
        let Self { parked, sessions, flush, slice, .. } = self;
        parked.settle(slice.settled(), |id| {
            if let Some(session) = sessions.get_mut(id) {
                queue_flush(flush, session);
            }
        });
        if self.phase == Phase::Starting && self.slice.is_ready() {
            self.phase = Phase::Serving;
            self.started_us = now.monotonic_us;
            self.outputs.push_back(Pending::Listen);
        }
    }

    fn flush_replies(&mut self, now: Now) {
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
            let settled = match self.planted.is(Plant::ReplyBeforeCommit) {
                true => LogIndex(u64::MAX),
                false => self.slice.settled(),
            };
            if let Some(buffer) = session.replies.take_released(settled, &mut self.pool) {
                session.sending = Some(buffer.len());
                session.progress_us = now.monotonic_us;
                self.outputs.push_back(Pending::Send { id: session.id, buffer });
            }
        }
        if session.client.closing && session.is_drained() {
            session.closed = true;
            self.outputs.push_back(Pending::Close { id: session.id });
        }
    }

    /// Lets the writes run that the log has room for by now, or never will have.
    fn grant_room(&mut self) {
        if self.room.is_empty() {
            return;
        }
        let Self { room, sessions, runnable, wal, .. } = self;
        let missing = room.grant(
            wal.room(),
            |needed| wal.refuses_room(needed).is_some(),
            |id| {
                if let Some(session) = sessions.get_mut(id) {
                    session.granted = true;
                    queue_run(runnable, session);
                }
            },
        );
        if let Some(needed) = missing {
            self.wal.request_room(needed);
        }
    }

    /// Lets the sessions run whose replies have drained.
    fn wake_stuck(&mut self) {
        let is_over_budget = self.is_over_budget();
        let Self { stuck, sessions, runnable, config, .. } = self;
        stuck.retain(|&id| {
            let Some(session) = sessions.get_mut(id) else { return false };
            let size = session.output_size();
            let goes_on = size <= config.output_size_pause / 2
                && (!is_over_budget || size <= OUTPUT_SHARE / 2);
            if goes_on {
                queue_run(runnable, session);
            }
            !goes_on
        });
    }

    /// Gives up the client that holds most of the replies' memory and has not taken any of it for
    /// long, while all of it is used up. Memory comes before a client that does not read.
    fn relieve(&mut self, now: Now) {
        if !self.is_over_budget() || now.monotonic_us < self.relieved_us + RELIEF_US {
            return;
        }
        self.relieved_us = now.monotonic_us;
        let is_stuck = |session: &&Session| {
            session.sending.is_some() && session.progress_us + STUCK_US <= now.monotonic_us
        };
        let largest = self.sessions.iter().filter(is_stuck).max_by_key(|one| one.output_size());
        if let Some(id) = largest.map(|session| session.id) {
            self.stats.clients_given_up += 1;
            let session = self.sessions.get_mut(id).expect("it was just found");
            session.closed = true;
            self.outputs.push_back(Pending::Close { id });
        }
    }

    fn shut_down(&mut self, now: Now) {
        match self.phase {
            Phase::Serving => {
                let deadline_us = Some(now.monotonic_us + SHUTDOWN_PATIENCE_US);
                self.phase = Phase::Draining { deadline_us };
            }
            // Nothing was executed: there is nothing to finish.
            Phase::Starting => {
                self.phase = Phase::Stopped;
                self.outputs.push_back(Pending::Exit);
            }
            Phase::Draining { .. } | Phase::Sealing | Phase::Stopped => {}
        }
    }

    fn close_phase(&mut self, now: Now) {
        if let Phase::Draining { deadline_us } = self.phase {
            let is_over = deadline_us.is_none_or(|at| at <= now.monotonic_us);
            let is_drained = is_over || self.sessions.iter().all(Session::is_drained);
            if is_over {
                // Only the log can still end this; there is no time to wait for.
                self.phase = Phase::Draining { deadline_us: None };
            }
            if self.slice.is_settled() && is_drained {
                self.phase = Phase::Sealing;
                self.wal.seal(now);
            }
        }
        // In the same turn: a log that is sealed already has nothing more to tell.
        if self.phase == Phase::Sealing && self.wal.is_idle() {
            self.phase = Phase::Stopped;
            self.outputs.push_back(Pending::Exit);
        }
    }
}

fn queue_flush(flush: &mut Vec<ConnectionId>, session: &mut Session) {
    if !session.flush_queued {
        session.flush_queued = true;
        flush.push(session.id);
    }
}

fn queue_run(runnable: &mut VecDeque<ConnectionId>, session: &mut Session) {
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
