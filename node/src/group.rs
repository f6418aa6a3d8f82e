//! The part of a slice that stays: its consensus, what is on its way, what is settled.
//!
//! Entries come from the core that owns the slice and, while the slice is lent, from the
//! borrower when it gives it back. *Settled* is what Raft has committed, up to the first fragment
//! that is not decided (PROTOCOL 3.5).
//!
//! # Invariants
//!
//! * `waiting` is in the order of the Readies; `unsettled` and `fragments` in that of indexes.
//! * settled <= commit, and settled < the index of each undecided fragment.

use std::collections::VecDeque;

use base::{CoreId, FrameSequence, LogIndex, SliceId, Term};
use raft::{Consensus, ReadyNumber, ReadyOf, Role, SingleVoter};
use wal::{HardState, Record, Wal};

use crate::history::History;
use crate::parcel::WaitingRequest;
use crate::planted::{Plant, Planted};
use crate::slice::Closed;
use crate::transactions::TransactionId;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Group {
    id: SliceId,
    consensus: SingleVoter,
    ready: ReadyOf<SingleVoter>,
    /// Readies handed to the log, oldest first.
    waiting: VecDeque<Persisting>,
    /// Entries with effects that are not settled.
    unsettled: VecDeque<Unsettled>,
    /// Fragments that are not settled.
    fragments: VecDeque<Fragment>,
    settled: LogIndex,
    /// The last decided fragment, and the last one that an entry says is.
    resolved: LogIndex,
    resolved_logged: LogIndex,
    /// Recovery found that entries from here on are void; to be said before anything else.
    void: Option<LogIndex>,
    history: History,
    /// Bytes of all entries proposed or recovered, for what follows a snapshot.
    logged: u64,
    /// Effects proposed.
    changes: u64,
    /// Who has the slice, if it is not here.
    pub(crate) lent_to: Option<CoreId>,
    /// Requests that came while it was lent.
    pub(crate) queue: VecDeque<WaitingRequest>,
    /// The last index some reply of another core waits for.
    interest: Vec<(CoreId, LogIndex)>,
}

/// An entry on its way.
#[derive(Debug)]
struct Unsettled {
    index: LogIndex,
    /// When its first effect was executed.
    opened_us: u64,
}

#[derive(Debug)]
struct Fragment {
    index: LogIndex,
    transaction: TransactionId,
    has_said_yes: bool,
    is_decided: bool,
}

/// A Ready on its way to stable storage.
#[derive(Debug)]
struct Persisting {
    number: ReadyNumber,
    frame: FrameSequence,
    /// Generation of the hard state's double slot that must be durable too.
    generation: u64,
}

impl Group {
    pub(crate) fn new(
        id: SliceId,
        consensus: SingleVoter,
        void: Option<LogIndex>,
        history: History,
        logged: u64,
    ) -> Self {
        let settled = consensus.commit();
        Self {
            id,
            consensus,
            ready: ReadyOf::<SingleVoter>::new(),
            waiting: VecDeque::new(),
            unsettled: VecDeque::new(),
            fragments: VecDeque::new(),
            settled,
            resolved: LogIndex::NONE,
            resolved_logged: LogIndex::NONE,
            void,
            history,
            logged,
            changes: 0,
            lent_to: None,
            queue: VecDeque::new(),
            interest: Vec::new(),
        }
    }

    /// May commands execute here?
    pub(crate) fn is_ready(&self) -> bool {
        self.consensus.is_ready()
    }

    pub(crate) fn settled(&self) -> LogIndex {
        self.settled
    }

    pub(crate) fn commit(&self) -> LogIndex {
        self.consensus.commit()
    }

    pub(crate) fn term(&self) -> Term {
        self.consensus.term()
    }

    pub(crate) fn last(&self) -> LogIndex {
        self.consensus.last()
    }

    /// Everything proposed is settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled == self.consensus.last()
    }

    /// When the oldest entry that could still be lost got its first effect.
    pub(crate) fn oldest_unsettled_us(&self) -> Option<u64> {
        self.unsettled.front().map(|entry| entry.opened_us)
    }

    /// The term that just began has its first entry.
    pub(crate) fn note_term(&mut self) {
        assert!(self.history.last_term() < self.term());
        self.history.terms.push((self.term(), self.last()));
    }

    /// What recovery found void, once; what voids it is the next entry.
    pub(crate) fn take_void(&mut self) -> Option<LogIndex> {
        let first = self.void.take()?;
        self.history.voids.push(first.0..self.last().next().0);
        Some(first)
    }

    /// Terms and voids so far.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Effects proposed since the start.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Bytes of all entries so far, since some time.
    pub(crate) fn logged(&self) -> u64 {
        self.logged
    }

    /// The last decided fragment that no entry tells of yet; the caller attaches it to the next.
    pub(crate) fn take_resolved(&mut self) -> LogIndex {
        if self.resolved == self.resolved_logged {
            return LogIndex::NONE;
        }
        self.resolved_logged = self.resolved;
        self.resolved
    }

    /// Lets time pass for the consensus until it leads; a sole voter campaigns on its first tick.
    pub(crate) fn tick(&mut self) {
        if self.consensus.role() != Role::Leader {
            self.consensus.tick();
        }
    }

    /// Proposes an entry at the place it was made for (PROTOCOL 3.4).
    pub(crate) fn propose(&mut self, closed: Closed) {
        let Closed { term, index, body, effects, opened_us, fragment } = closed;
        self.changes += effects as u64;
        self.logged += body.len() as u64;
        let at = self
            .consensus
            .propose(term, body)
            .expect("a sole voter that executes is the leader of its term");
        assert!(at == index, "nothing is appended to a slice but what was executed on it");
        self.unsettled.push_back(Unsettled { index, opened_us });
        if let Some((transaction, _)) = fragment {
            let (has_said_yes, is_decided) = (false, false);
            self.fragments.push_back(Fragment { index, transaction, has_said_yes, is_decided });
        }
    }

    /// Appends what consensus wants persisted. Call [`note_frame`](Self::note_frame) with the
    /// frame it went into. False if there was nothing.
    pub(crate) fn emit(&mut self, wal: &mut Wal, bodies: &mut Vec<Vec<u8>>) -> bool {
        let mut emitted = false;
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
                recycle(bodies, entry.body);
            }
            if has_records {
                emitted = true;
                let (number, frame) = (self.ready.number, FrameSequence::NONE);
                self.waiting.push_back(Persisting { number, frame, generation });
            }
        }
        emitted
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

    /// Learns from the log what is durable.
    pub(crate) fn note_durable(&mut self, wal: &Wal) {
        while let Some(first) = self.waiting.front() {
            let written = first.frame != FrameSequence::NONE && first.frame <= wal.durable();
            if !written || wal.hard_state_durable() < first.generation {
                break;
            }
            self.consensus.handle_persisted(first.number);
            self.waiting.pop_front();
        }
    }

    /// The transaction this slice now says yes to, once (PROTOCOL 3.6): its fragment is the
    /// oldest that is open, so everything below it is settled once it is committed.
    pub(crate) fn poll_yes(&mut self, planted: &Planted) -> Option<TransactionId> {
        let commit = match planted.is(Plant::SayYesEarly) {
            true => self.consensus.last(),
            false => self.consensus.commit(),
        };
        let oldest = self.fragments.iter_mut().find(|fragment| !fragment.is_decided)?;
        if oldest.has_said_yes || commit < oldest.index {
            return None;
        }
        oldest.has_said_yes = true;
        Some(oldest.transaction)
    }

    /// The transaction is committed: this slice's fragment of it no longer holds anything up.
    pub(crate) fn decide(&mut self, transaction: TransactionId) {
        let fragment = self.fragments.iter_mut().find(|one| one.transaction == transaction);
        let fragment = fragment.expect("a decided fragment was proposed here");
        assert!(fragment.has_said_yes);
        fragment.is_decided = true;
        self.resolved = self.resolved.max(fragment.index);
    }

    /// Moves the settled index. True if it moved.
    pub(crate) fn settle(&mut self, planted: &Planted) -> bool {
        let before = self.settled;
        let mut settled = self.consensus.commit();
        while let Some(first) = self.fragments.front() {
            if !first.is_decided && !planted.is(Plant::ShowCommitted) {
                settled = settled.min(LogIndex(first.index.0 - 1));
                break;
            }
            if !first.is_decided {
                break;
            }
            self.fragments.pop_front();
        }
        assert!(before <= settled, "what is settled stays settled");
        self.settled = settled;
        while self.unsettled.pop_front_if(|entry| entry.index <= settled).is_some() {}
        before < settled
    }

    /// A reply on `core` waits for `index`.
    pub(crate) fn note_interest(&mut self, core: CoreId, index: LogIndex) {
        match self.interest.iter_mut().find(|(known, _)| *known == core) {
            Some((_, known)) => *known = index.max(*known),
            None => self.interest.push((core, index)),
        }
    }

    /// The cores with replies that may have waited for what just settled.
    pub(crate) fn take_interested(&mut self, before: LogIndex, mut tell: impl FnMut(CoreId)) {
        let settled = self.settled;
        self.interest.retain(|(core, index)| {
            if before < *index {
                tell(*core);
            }
            settled < *index
        });
    }
}

/// Bodies kept for the next entries.
const BODIES_MAX: usize = 64;
/// A body larger than this is not kept: bytes.
const BODY_KEPT_SIZE_MAX: usize = 1024 * 1024;

fn recycle(bodies: &mut Vec<Vec<u8>>, mut body: Vec<u8>) {
    if bodies.len() < BODIES_MAX && body.capacity() <= BODY_KEPT_SIZE_MAX {
        body.clear();
        bodies.push(body);
    }
}
