//! What consensus asks to be written and sent: plain values, moved through reusable vectors.

use base::{LogIndex, Term};

use crate::consensus::ReplicaId;

/// One turn's work of one slice. Owner: the caller of `poll_ready`, who uses it again.
#[derive(Debug)]
pub struct Ready<M, B> {
    /// Dense from one over the Readies that have records, in each life of an implementation; it
    /// means nothing in one that has none.
    pub number: ReadyNumber,
    /// Present when term or vote changed, and only then; to be written before `entries`. A commit
    /// that moved is no reason for a frame: it is found again after a restart.
    pub hard_state: Option<HardState>,
    /// To be written in this order, without a gap among them. On a follower they may begin at or
    /// below the last index written before: where the terms differ, they take the place of what
    /// stood there and of all that followed it.
    pub entries: Vec<Entry<B>>,
    /// May leave at once.
    pub messages: Vec<Outgoing<M>>,
}

impl<M, B> Ready<M, B> {
    #[must_use]
    pub fn new() -> Self {
        Self { number: ReadyNumber(0), hard_state: None, entries: Vec::new(), messages: Vec::new() }
    }

    /// Whether there is something to write. Exactly these Readies are acknowledged with
    /// `handle_persisted`; the others only carry messages.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.hard_state.is_some() || !self.entries.is_empty()
    }

    /// Empties it and keeps the room of its vectors.
    pub fn clear(&mut self) {
        self.hard_state = None;
        self.entries.clear();
        self.messages.clear();
    }
}

impl<M, B> Default for Ready<M, B> {
    fn default() -> Self {
        Self::new()
    }
}

/// Names a Ready of one slice until it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadyNumber(pub u64);

/// What a replica must never forget (Raft §5.1), and how far it knew the log to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<ReplicaId>,
    pub commit: LogIndex,
}

/// One position of a slice's log: the batch of a turn, or a control entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<B> {
    pub term: Term,
    pub index: LogIndex,
    /// Empty: a control entry, which has no effects.
    pub body: B,
}

/// A message and the replica it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<M> {
    pub to: ReplicaId,
    pub message: M,
}
