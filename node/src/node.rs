//! One core's whole state machine: events in, outputs out.
//!
//! A turn: [`Node::handle`] each event, [`Node::close_turn`], [`Node::poll_output`] until there is
//! none. Commands execute as their bytes arrive; their effects gather in the slices' open batches.
//! Closing the turn makes one frame of all of them, learns what has become durable and decided,
//! and releases the replies that waited for it. Nothing waits inside a turn.
//!
//! The parts: `clients` for what connections send and are owed, `dispatch` for where a command
//! runs, `execute` for running it, `cores` for what the other cores send, `multi` for
//! transactions.
//!
//! # Invariants
//!
//! * A reply leaves only when everything it saw is settled, unless its client chose `memory`.
//! * No command executes before recovery is settled by an own entry.
//! * Every queue is bounded: replies by the output limits, requests by the query limit, the log
//!   by the room it has prepared, hops by the replies a client may have under way.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, FrameSequence, LogIndex, Now, Prng, SliceId, limits};
use engine::{Classes, Notes};
use net::BufferPool;
use wal::Wal;

use crate::clients::{RELIEF_US, queue_flush, queue_run};
use crate::config::Config;
use crate::event::{Event, Output, Pending};
use crate::eviction::Eviction;
use crate::execute::Scope;
use crate::expiry_cycle::ExpiryCycle;
use crate::idle::IdleCheck;
use crate::latency::LatencyLog;
use crate::later::Deferred;
use crate::loans::{Claim, Loans};
use crate::long::Long;
use crate::memory::Census;
use crate::parcel::{Message, Outbox, Parcel};
use crate::parked::Parked;
use crate::pause::Pause;
use crate::planted::{Plant, Planted};
use crate::pubsub::PubSub;
use crate::put_off::PutOff;
use crate::registry::Registry;
use crate::replay::SliceStart;
use crate::retention::Retention;
use crate::room::{RoomQueue, Waiter};
use crate::session::{Session, Sessions};
use crate::settings::Settings;
use crate::share::{Share, Trickle};
use crate::slices::Slices;
use crate::slow_log::SlowLog;
use crate::snapshots::{Published, Snapshots};
use crate::stalled::Stalled;
use crate::stats::{Pace, Stats};
use crate::tally::Tally;
use crate::topology::{SliceSet, Topology};
use crate::transactions::Transactions;
use crate::watches::WatchId;

/// A batch this large is closed even while the log's window is full: bytes.
const BATCH_SIZE_MAX: usize = limits::FRAME_SIZE_MAX;

/// A batch this large is worth a frame of its own: bytes.
const BATCH_SIZE_FULL: usize = 16 * 1024;

/// Reply buffers kept for use again, and their sizes: bytes.
const POOL_COUNT_MAX: usize = 4096;
const POOL_CAPACITY_FIRST: usize = 1024;
const POOL_CAPACITY_MAX: usize = 256 * 1024;

/// How long a shutdown waits for clients to take their replies.
const SHUTDOWN_PATIENCE_US: u64 = 10_000_000;

/// What a core starts with.
#[derive(Debug)]
pub struct NodeStart {
    pub core: CoreId,
    pub topology: Topology,
    pub config: Config,
    /// The core's own.
    pub slices: Vec<SliceStart>,
    /// Its log.
    pub recovered: wal::Recovered,
    /// Of its slices, the two newest of each, oldest first.
    pub published: Vec<Published>,
}

/// Owner: core.
#[derive(Debug)]
pub struct Node {
    pub(crate) core: CoreId,
    pub(crate) topology: Topology,
    pub(crate) config: Config,
    pub(crate) registry: &'static Registry,
    pub(crate) slices: Slices,
    pub(crate) transactions: Transactions,
    pub(crate) loans: Loans,
    pub(crate) long: Long,
    pub(crate) wal: Wal,
    /// Frames on their way to the disk, and the bytes of effects in them.
    frames: VecDeque<(FrameSequence, usize)>,
    pub(crate) stats: Stats,
    pub(crate) pace: Pace,
    pub(crate) tally: Tally,
    pub(crate) slow_log: SlowLog,
    pub(crate) latency: LatencyLog,
    /// When the last command ended, by the stopwatch.
    pub(crate) lap_ns: u64,
    pub(crate) settings: Settings,
    /// What CONFIG REWRITE compares with.
    pub(crate) settings_at_start: Box<Settings>,
    pub(crate) started_us: u64,
    pub(crate) planted: Planted,
    pub(crate) prng: Prng,
    /// What the last command left beside its reply.
    pub(crate) notes: Notes,
    pub(crate) census: Census,
    pub(crate) expiry: ExpiryCycle,
    pub(crate) eviction: Eviction,
    pub(crate) idle: IdleCheck,
    pub(crate) snapshots: Snapshots,
    pub(crate) retention: Retention,
    /// Slices that may have something to free.
    pub(crate) untidy: SliceSet,
    pub(crate) notify_classes: Classes,
    pub(crate) pubsub: PubSub,
    pub(crate) sessions: Sessions,
    /// Clients whose replies wait, by slice of the node; behind them, for the other cores to know
    /// of subscriptions.
    pub(crate) parked: Vec<Parked>,
    pub(crate) pool: BufferPool,
    pub(crate) outputs: VecDeque<Pending>,
    pub(crate) outbox: Outbox,
    /// What came before this core was ready.
    pub(crate) early: VecDeque<(CoreId, Box<Parcel>)>,
    /// Sessions whose replies may leave.
    pub(crate) flush: Vec<ConnectionId>,
    /// Sessions with input to go on with in the next turn.
    pub(crate) runnable: VecDeque<ConnectionId>,
    /// Writes that wait for the log to have room.
    pub(crate) room: RoomQueue,
    /// Writes that wait for the open batches to be closed. While the log's window is full only a
    /// completion can do that, so the core sleeps until then.
    pub(crate) behind_batch: Vec<Waiter>,
    /// Those of other cores among them, and what waits behind them.
    pub(crate) stalled: Stalled,
    /// Requests of other cores that wait for a later turn.
    pub(crate) put_off: PutOff,
    pub(crate) share: Share,
    /// What is made for clients in no hurry, here and by jobs.
    pub(crate) trickle: Trickle,
    pub(crate) trickle_jobs: Trickle,
    /// Sessions held until their replies drain.
    pub(crate) stuck: Vec<ConnectionId>,
    pub(crate) pause: Pause,
    /// Watches that ended while their slice was lent.
    pub(crate) unwatched: Vec<(SliceId, WatchId)>,
    pub(crate) watches_numbered: u32,
    pub(crate) asked: u64,
    pub(crate) deferred: Vec<Deferred>,
    /// A reply that is made before its place is known.
    pub(crate) scratch: Vec<u8>,
    /// Bytes of replies that no client's kernel has taken yet, parked or not.
    pub(crate) output_size: usize,
    /// Bytes of requests that were not executed.
    pub(crate) input_size: usize,
    /// When the largest of the stuck clients was last given up, for lack of memory.
    pub(crate) relieved_us: u64,
    pub(crate) clients_numbered: u64,
    /// Of the other cores, as far as the shell has told.
    pub(crate) clients_elsewhere: usize,
    /// Other cores that send no more requests.
    pub(crate) drained: usize,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Making what was recovered our own: flush, header, vote, first entry.
    Starting,
    Serving,
    /// Finishing what was executed; clients that do not take their replies lose them at the
    /// deadline.
    Draining {
        deadline_us: Option<u64>,
    },
    /// This core's clients are served; those of the others may not be.
    Drained,
    /// The seal is on its way.
    Sealing,
    Stopped,
}

impl Node {
    /// A core over what was replayed. It serves after [`Output::Listen`].
    pub fn new(start: NodeStart, now: Now) -> Self {
        let NodeStart { core, topology, config, slices, recovered, published } = start;
        let mut prng = Prng::from_seed(config.seed ^ u64::from(core.0));
        let wal = Wal::new(config.wal.clone(), recovered, prng.fork(), now);
        let mut slices = Slices::new(core, topology, slices);
        let parked = (0..=topology.slices()).map(|_| Parked::default());
        let settings = Settings::new(&config);
        slices.set_limits(settings.encodings);
        Self {
            registry: Registry::shared(),
            planted: Planted::default(),
            notes: Notes::default(),
            notify_classes: settings.notify_classes,
            settings_at_start: Box::new(settings.clone()),
            settings,
            census: Census::new(topology.cores(), topology.slices()),
            expiry: ExpiryCycle::default(),
            eviction: Eviction::default(),
            idle: IdleCheck::default(),
            snapshots: Snapshots::new(topology.slices(), &published),
            retention: Retention::new(topology.cores()),
            untidy: SliceSet::default(),
            pubsub: PubSub::new(core, topology.cores()),
            sessions: Sessions::default(),
            parked: parked.collect(),
            pool: BufferPool::new(POOL_COUNT_MAX, POOL_CAPACITY_FIRST, POOL_CAPACITY_MAX),
            outputs: VecDeque::new(),
            frames: VecDeque::new(),
            outbox: Outbox::new(topology.cores()),
            early: VecDeque::new(),
            flush: Vec::new(),
            runnable: VecDeque::new(),
            room: RoomQueue::default(),
            behind_batch: Vec::new(),
            stalled: Stalled::default(),
            put_off: PutOff::default(),
            share: Share::default(),
            trickle: Trickle::default(),
            trickle_jobs: Trickle::default(),
            stuck: Vec::new(),
            pause: Pause::default(),
            unwatched: Vec::new(),
            watches_numbered: 0,
            asked: 0,
            deferred: Vec::new(),
            scratch: Vec::new(),
            output_size: 0,
            input_size: 0,
            relieved_us: 0,
            clients_numbered: 0,
            clients_elsewhere: 0,
            drained: 0,
            phase: Phase::Starting,
            stats: Stats::default(),
            pace: Pace::default(),
            tally: Tally::default(),
            slow_log: SlowLog::default(),
            latency: LatencyLog::default(),
            lap_ns: 0,
            started_us: now.monotonic_us,
            transactions: Transactions::new(core),
            loans: Loans::new(core, topology),
            long: Long::default(),
            core,
            topology,
            config,
            slices,
            wal,
            prng,
        }
    }

    /// Takes one event.
    pub fn handle(&mut self, event: Event<'_>, now: Now) {
        match event {
            Event::Accepted { id, peer, local } => self.accept(id, peer, local, now),
            Event::Received { id, bytes } => self.receive(id, bytes, now),
            Event::Sent { id, buffer } => self.note_sent(id, buffer, now),
            Event::Ended { id } => self.note_ended(id),
            Event::Closed { id } => self.forget(id),
            Event::Log(event) => self.wal.handle(event, now),
            Event::Parcel { from, parcel } => self.take_parcel(from, parcel, now),
            Event::Snapshot(event) => self.note_snapshot(event, now),
            Event::Ran(job) => self.land(*job, now),
            Event::ConfigRewritten { result } => self.note_rewritten(result),
            Event::Shutdown => {
                for core in self.topology.others(self.core) {
                    self.outbox.to(core).add_message(Message::Shutdown);
                }
                self.shut_down(now);
            }
        }
    }

    /// Closes the batch, settles what became durable, releases replies. Once per turn.
    pub fn close_turn(&mut self, now: Now) {
        self.stats.turns += 1;
        self.pace.sample(&self.stats, now);
        self.grant_room();
        self.wake_for_runner();
        self.run_stalled(now);
        self.run_put_off(now);
        self.wake_stuck(now);
        self.end_pause(now);
        self.run_held(now);
        self.wal.handle_time(now);
        if self.phase != Phase::Starting {
            self.run_loans(now);
            self.run_upkeep(now);
        }
        self.take_events(&[]);
        if self.wal.is_running() {
            self.slices.tick();
            self.close_batch(now);
        }
        self.settle(now);
        self.run_snapshots(now);
        self.answer_deferred(now);
        self.release_held(now);
        self.cut_off_slow(now);
        self.tell_topics();
        self.close_phase(now);
        self.flush_replies(now);
        self.relieve(now);
        self.share = Share::default();
    }

    /// The next thing to be done, until None.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        // The end comes after everything, what the other cores are to know included.
        let is_end = matches!(self.outputs.front(), Some(Pending::Exit));
        if is_end && let Some((to, parcel)) = self.outbox.poll(self.wal.hint()) {
            return Some(Output::Parcel { to, parcel, wake: true });
        }
        if let Some(pending) = self.outputs.pop_front() {
            return Some(match pending {
                Pending::Listen => Output::Listen,
                Pending::Send { id, buffer } => Output::Send { id, buffer },
                Pending::Close { id } => Output::Close { id },
                Pending::StopReceive { id } => Output::StopReceive { id },
                Pending::StartReceive { id } => Output::StartReceive { id },
                Pending::Snapshot(output) => Output::Snapshot(output),
                Pending::Run(job) => Output::Run(job),
                Pending::RewriteConfig { file, settings } => {
                    Output::RewriteConfig { file, settings }
                }
                Pending::Exit => Output::Exit,
            });
        }
        if let Some((to, parcel)) = self.outbox.poll(self.wal.hint()) {
            assert!(to != self.core, "a core sends to others only");
            self.stats.parcels_sent += 1;
            let wake = parcel.wakes();
            return Some(Output::Parcel { to, parcel, wake });
        }
        self.wal.poll_output().map(Output::Log)
    }

    /// When the next turn must begin at the latest: microseconds of the monotonic clock.
    pub fn poll_timeout(&self) -> Option<u64> {
        let rule = self.output_rule();
        if !self.runnable.is_empty()
            || self.put_off.has_ready(|slice| self.is_here(&Scope::One(slice)))
            || self.room.is_new()
            || self.may_grant_room()
            || self.may_grant_loan()
            || (self.wal.wants_batch() && self.is_batch_due())
            || self.stalled.is_granted()
            || self.has_long_to_do()
            || self.loans.may_open_session(|id| rule.claim(self.sessions.get(id)))
        {
            return Some(0);
        }
        let deadline = match self.phase {
            Phase::Draining { deadline_us } => deadline_us,
            Phase::Starting | Phase::Serving | Phase::Drained | Phase::Sealing | Phase::Stopped => {
                None
            }
        };
        let relief = self.is_over_budget().then_some(self.relieved_us + RELIEF_US);
        let (pause, upkeep) = (self.pause.until_us(), self.upkeep_timeout());
        let (deferred, slow) = (self.deferred_us(), self.slow_deadline_us());
        let (snapshots, trickle) = (self.snapshots_timeout(), self.trickle_us());
        let log = self.wal.poll_timeout();
        [deadline, snapshots, relief, pause, upkeep, deferred, slow, trickle, log]
            .into_iter()
            .flatten()
            .min()
    }

    /// What may be changed while the node runs; of this core alone.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// How long a connection may be silent before the shell asks whether it still is one: seconds;
    /// zero: for ever.
    pub fn tcp_keepalive_s(&self) -> u64 {
        self.settings.tcp_keepalive_s
    }

    /// Clients connected to this core now.
    pub fn client_count(&self) -> usize {
        self.sessions.len()
    }

    /// Clients connected to the other cores: `clients_max` is for all together.
    pub fn set_clients_elsewhere(&mut self, count: usize) {
        self.clients_elsewhere = count;
    }

    /// The digest of everything executed on `slice`, settled or not; None if it is lent.
    pub fn digest(&self, slice: SliceId) -> Option<u128> {
        let is_here = self.topology.owner(slice) == self.core && self.slices.is_here(slice);
        is_here.then(|| self.slices.space(slice).keyspace.digest())
    }

    /// The last entry of an own slice, and how far it is settled.
    pub fn progress(&self, slice: SliceId) -> (LogIndex, LogIndex) {
        let group = self.slices.group(slice);
        (group.last(), group.settled())
    }

    /// The keys of database `database` in this core's slices, settled or not.
    pub fn key_count(&self, database: u16) -> usize {
        self.slices.spaces().map(|space| space.keyspace.len(database)).sum()
    }

    /// Everything executed on this core's slices can no longer be lost.
    pub fn is_settled(&self) -> bool {
        self.slices.are_settled()
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

    /// Clients held until the log has room, or is shorter, or their replies drain.
    pub fn waiting_count(&self) -> usize {
        self.room.len() + self.stuck.len() + self.retention.held_count()
    }

    /// The disk is full: writes are refused.
    pub fn log_refuses(&self) -> bool {
        self.wal.refuses_writes().is_some()
    }

    /// From here on these settings are in force.
    pub(crate) fn set_settings(&mut self, settings: Settings) {
        self.notify_classes = settings.notify_classes;
        self.slices.set_limits(settings.encodings);
        self.config.clients_max = settings.clients_max;
        self.config.durability = settings.durability;
        self.config.durability_floor = settings.durability_floor;
        self.config.memory_durability_age_us = settings.memory_durability_age_ms * 1000;
        self.config.password.clone_from(&settings.password);
        self.config.protected_mode = settings.protected_mode;
        self.settings = settings;
    }

    /// Plants a bug for the simulator to find; nothing without the feature `planted`.
    pub fn plant(&mut self, plant: Plant) {
        if plant == Plant::ForgetSave {
            for slice in self.topology.slices_of(self.core) {
                self.slices.space_mut(slice).keyspace.plant_forgetful_walker();
            }
        }
        self.planted.plant(plant);
    }

    fn close_batch(&mut self, now: Now) {
        while self.frames.pop_front_if(|(frame, _)| *frame <= self.wal.durable()).is_some() {}
        if !self.is_batch_due() {
            return;
        }
        let Self { slices, transactions, planted, wal, frames, .. } = self;
        let size = slices.unlogged_size();
        slices.close(transactions, now, planted);
        let emitted = slices.emit(wal);
        if let Some(frame) = wal.close_batch(now) {
            slices.note_frame(&emitted, frame);
            frames.push_back((frame, size));
        }
        for waiter in self.behind_batch.drain(..) {
            match waiter {
                Waiter::Client(id) => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        queue_run(&mut self.runnable, session);
                    }
                }
                Waiter::Request(number) => self.stalled.grant(number),
            }
        }
    }

    /// Whether the open batches go to the log now.
    ///
    /// With nothing on its way they do. While the window is full they go on gathering: that is
    /// the group commit. In between, a batch waits until it is as large as what is on its way:
    /// clients that wait for their writes would otherwise fall apart into as many small groups as
    /// the window has places, each paying for a frame of its own.
    fn is_batch_due(&self) -> bool {
        let size = self.slices.unlogged_size();
        let size_max = BATCH_SIZE_MAX.min(self.config.entry_size_max / 2);
        if self.wal.window_is_full() {
            let is_large = size_max <= self.slices.batch_size_max();
            return is_large || size_max <= self.slices.proposed_size();
        }
        let on_their_way: usize = self.frames.iter().map(|(_, size)| size).sum();
        BATCH_SIZE_FULL <= size || on_their_way <= size
    }

    fn settle(&mut self, now: Now) {
        let Self { slices, transactions, planted, wal, outbox, parked, sessions, flush, .. } = self;
        let mut moves = 0;
        slices.settle(wal, transactions, outbox, planted, |slice, settled| {
            moves += 1;
            parked[usize::from(slice.0)].settle(settled, |id| {
                if let Some(session) = sessions.get_mut(id) {
                    queue_flush(flush, session);
                }
            });
        });
        self.stats.settles += moves;
        if 0 < moves {
            self.pubsub.note_settled();
        }
        if self.phase == Phase::Starting && self.wal.is_running() && self.slices.are_ready() {
            self.slices.open(now);
            self.phase = Phase::Serving;
            self.started_us = now.monotonic_us;
            self.snapshots.saves.last_ms = now.wall_ms;
            self.outputs.push_back(Pending::Listen);
            for (from, parcel) in std::mem::take(&mut self.early) {
                self.take_parcel(from, parcel, now);
            }
        }
    }

    /// Another core's slice has settled: who waited for it may go on.
    pub(crate) fn release_parked(&mut self, slice: SliceId, settled: LogIndex) {
        let Self { parked, sessions, flush, .. } = self;
        parked[usize::from(slice.0)].settle(settled, |id| {
            if let Some(session) = sessions.get_mut(id) {
                queue_flush(flush, session);
            }
        });
    }

    pub(crate) fn shut_down(&mut self, now: Now) {
        match self.phase {
            Phase::Serving => {
                let deadline_us = Some(now.monotonic_us + SHUTDOWN_PATIENCE_US);
                self.phase = Phase::Draining { deadline_us };
            }
            // Nothing was executed: there is nothing to finish.
            Phase::Starting => {
                for core in self.topology.others(self.core) {
                    self.outbox.to(core).add_message(Message::Drained);
                }
                self.phase = Phase::Stopped;
                self.outputs.push_back(Pending::Exit);
            }
            Phase::Draining { .. } | Phase::Drained | Phase::Sealing | Phase::Stopped => {}
        }
    }

    /// Closes the clients whose requests wait for them to take their replies: they do not, and the
    /// requests cannot wait any longer.
    fn close_untaken(&mut self) {
        let rule = self.output_rule();
        for id in self.loans.waiting_clients().collect::<Vec<ConnectionId>>() {
            if let Some(mut session) = self.sessions.take(id) {
                if matches!(rule.claim(Some(&session)), Claim::Later | Claim::Nothing) {
                    self.close_now(&mut session);
                }
                self.sessions.put_back(session);
            }
        }
    }

    fn close_phase(&mut self, now: Now) {
        if let Phase::Draining { deadline_us } = self.phase {
            let is_over = deadline_us.is_none_or(|at| at <= now.monotonic_us);
            let is_drained = is_over || self.sessions.iter().all(Session::is_drained);
            if is_over {
                // Only the log can still end this; there is no time to wait for.
                self.phase = Phase::Draining { deadline_us: None };
                self.close_untaken();
            }
            let is_served = self.sessions.iter().all(|session| session.replies.vacant() == 0);
            // A job needs the other cores even when its client is gone.
            if is_drained && is_served && !self.loans.has_jobs() {
                for core in self.topology.others(self.core) {
                    self.outbox.to(core).add_message(Message::Drained);
                }
                self.phase = Phase::Drained;
            }
        }
        let others = usize::from(self.topology.cores()) - 1;
        if self.phase == Phase::Drained
            && self.drained == others
            && self.loans.is_idle()
            && self.transactions.is_empty()
            && self.slices.are_settled()
        {
            self.phase = Phase::Sealing;
            self.wal.seal(now);
        }
        // In the same turn: a log that is sealed already has nothing more to tell.
        if self.phase == Phase::Sealing && self.wal.is_idle() {
            self.phase = Phase::Stopped;
            self.outputs.push_back(Pending::Exit);
        }
    }
}
