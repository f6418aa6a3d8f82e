//! One slice: its keyspace, the effects of this turn, its consensus, its gate.
//!
//! `close` turns the turn's effects into one entry and hands it to the log; `settle` learns from
//! the log what is durable and moves the gate. Between the two, execution goes on.
//!
//! # Invariants
//!
//! * Effects in the open batch will be at index `consensus.last() + 1`: nobody else proposes.
//! * `waiting` is in the order of the Readies.

use std::collections::VecDeque;

use base::limits::DATABASES;
use base::{FrameSequence, LogIndex, Now, SliceId, Term};
use engine::{Batch, Keyspace};
use raft::{Consensus, ReadyNumber, ReadyOf, Role, SingleVoter};
use wal::{HardState, Record, Wal};

use crate::gate::Gate;
use crate::planted::{Plant, Planted};

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Slice {
    id: SliceId,
    pub(crate) keyspace: Keyspace,
    pub(crate) batch: Batch,
    pub(crate) gate: Gate,
    consensus: SingleVoter,
    ready: ReadyOf<SingleVoter>,
    /// Readies handed to the log, oldest first.
    waiting: VecDeque<Persisting>,
    /// Batches not yet settled.
    unsettled: VecDeque<Unsettled>,
    /// Keys of each database as of the settled index: what may be shown without waiting.
    settled_sizes: Sizes,
    opened: Option<Opened>,
    /// The clock of the last batch: it never goes back (DESIGN section 4).
    clock_ms: u64,
    bodies: Vec<Vec<u8>>,
}

/// Keys of each database.
pub(crate) type Sizes = [usize; DATABASES as usize];

/// A batch on its way.
#[derive(Debug)]
struct Unsettled {
    index: LogIndex,
    /// When its first effect was executed.
    opened_us: u64,
    /// Keys once it was executed.
    sizes: Sizes,
}

/// The first effect of the open batch.
#[derive(Clone, Copy, Debug)]
struct Opened {
    at_us: u64,
    /// The term the batch executes under; it is proposed in no other (PROTOCOL F8).
    term: Term,
}

/// A Ready on its way to stable storage.
#[derive(Debug)]
struct Persisting {
    number: ReadyNumber,
    frame: FrameSequence,
    /// Generation of the hard state's double slot that must be durable too.
    generation: u64,
}

impl Slice {
    pub(crate) fn new(
        id: SliceId,
        keyspace: Keyspace,
        consensus: SingleVoter,
        clock_ms: u64,
    ) -> Self {
        Self {
            id,
            batch: Batch::default(),
            gate: Gate::default(),
            consensus,
            ready: ReadyOf::<SingleVoter>::new(),
            waiting: VecDeque::new(),
            unsettled: VecDeque::new(),
            settled_sizes: sizes(&keyspace),
            keyspace,
            opened: None,
            clock_ms,
            bodies: Vec::new(),
        }
    }

    /// May commands execute here?
    pub(crate) fn is_ready(&self) -> bool {
        self.consensus.is_ready()
    }

    /// The index the open batch will have.
    pub(crate) fn open_index(&self) -> LogIndex {
        self.consensus.last().next()
    }

    pub(crate) fn settled(&self) -> LogIndex {
        self.consensus.commit()
    }

    /// Everything executed can no longer be lost.
    pub(crate) fn is_settled(&self) -> bool {
        self.batch.is_empty() && self.consensus.commit() == self.consensus.last()
    }

    /// Keys of each database that can no longer be lost.
    pub(crate) fn settled_sizes(&self) -> &Sizes {
        &self.settled_sizes
    }

    pub(crate) fn term(&self) -> Term {
        self.consensus.term()
    }

    pub(crate) fn last(&self) -> LogIndex {
        self.consensus.last()
    }

    /// The state machine's only clock: the stamp of the open batch.
    pub(crate) fn clock_ms(&self, now: Now) -> u64 {
        self.clock_ms.max(now.wall_ms)
    }

    /// When the oldest effect that could still be lost was executed.
    pub(crate) fn oldest_unsettled_us(&self) -> Option<u64> {
        let opened = self.opened.map(|opened| opened.at_us);
        self.unsettled.front().map(|batch| batch.opened_us).or(opened)
    }

    /// An effect was just added to the open batch.
    pub(crate) fn note_effect(&mut self, now: Now, planted: &Planted) {
        let term = self.consensus.term();
        self.opened.get_or_insert(Opened { at_us: now.monotonic_us, term });
        let index = self.open_index();
        if self.batch.take_floor() && !planted.is(Plant::ForgetFloor) {
            self.gate.raise_floor(index);
        }
        for hash in self.batch.take_touched() {
            self.gate.mark(hash, index);
        }
    }

    /// Lets time pass for the consensus until it leads; a sole voter campaigns on its first tick.
    pub(crate) fn tick(&mut self) {
        if self.consensus.role() != Role::Leader {
            self.consensus.tick();
        }
    }

    /// Makes one entry of the turn's effects and appends what consensus wants persisted.
    ///
    /// Call [`note_frame`](Self::note_frame) with the frame it went into.
    pub(crate) fn close(&mut self, wal: &mut Wal, now: Now) {
        if !self.batch.is_empty() {
            self.clock_ms = self.clock_ms(now);
            let mut body = self.bodies.pop().unwrap_or_default();
            self.batch.close_into(self.clock_ms, &mut body);
            let expected = self.open_index();
            let opened = self.opened.take().expect("a batch has a first effect");
            let index = self
                .consensus
                .propose(opened.term, body)
                .expect("a sole voter that executes is the leader of its term");
            assert!(index == expected);
            let sizes = sizes(&self.keyspace);
            self.unsettled.push_back(Unsettled { index, opened_us: opened.at_us, sizes });
        }
        while self.consensus.poll_ready(&mut self.ready) {
            let has_records = self.ready.has_records();
            let mut generation = 0;
            if let Some(state) = self.ready.hard_state {
                let state = HardState {
                    slice: self.id,
                    term: state.term,
                    vote: state.vote.map(|replica| replica.0),
                    commit: state.commit,
                };
                wal.append(Record::HardState(state));
                generation = wal.write_hard_states(&[state]);
            }
            for entry in self.ready.entries.drain(..) {
                wal.append(Record::Entry {
                    slice: self.id,
                    term: entry.term,
                    index: entry.index,
                    body: &entry.body,
                });
                recycle(&mut self.bodies, entry.body);
            }
            if has_records {
                let (number, frame) = (self.ready.number, FrameSequence::NONE);
                self.waiting.push_back(Persisting { number, frame, generation });
            }
        }
    }

    /// What was appended since the last call is durable once `frame` is.
    pub(crate) fn note_frame(&mut self, frame: FrameSequence) {
        assert!(FrameSequence::NONE < frame);
        for waiting in self.waiting.iter_mut().rev() {
            if waiting.frame != FrameSequence::NONE {
                break;
            }
            waiting.frame = frame;
        }
    }

    /// Learns from the log what is durable. True if the settled index moved.
    pub(crate) fn settle(&mut self, wal: &Wal) -> bool {
        let before = self.settled();
        while let Some(first) = self.waiting.front() {
            let written = first.frame != FrameSequence::NONE && first.frame <= wal.durable();
            if !written || wal.hard_state_durable() < first.generation {
                break;
            }
            self.consensus.handle_persisted(first.number);
            self.waiting.pop_front();
        }
        let settled = self.settled();
        if settled == before {
            return false;
        }
        self.gate.settle(settled);
        while let Some(batch) = self.unsettled.pop_front_if(|batch| batch.index <= settled) {
            self.settled_sizes = batch.sizes;
        }
        true
    }
}

/// Bodies kept for the next batches.
const BODIES_MAX: usize = 16;
/// A body larger than this is not kept.
const BODY_KEPT_SIZE_MAX: usize = 1024 * 1024;

fn recycle(bodies: &mut Vec<Vec<u8>>, mut body: Vec<u8>) {
    if bodies.len() < BODIES_MAX && body.capacity() <= BODY_KEPT_SIZE_MAX {
        body.clear();
        bodies.push(body);
    }
}

fn sizes(keyspace: &Keyspace) -> Sizes {
    std::array::from_fn(|database| keyspace.len(database as u16))
}
