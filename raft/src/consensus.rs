//! The seam: every call between a slice and the consensus that commits its entries.
//!
//! One turn of a slice, in this order:
//!
//! ```text
//! handle_persisted(..)   for every Ready whose frame became durable, before stepping replies
//! step(..)               for every message received
//! tick()                 when its time has come
//! propose(term, body)    the batch of this turn, if the role is still leader of that term
//! poll_ready(&mut ready) until false: records into the frame of the turn, messages to the peers
//! ```
//!
//! Role, term and commit may change in any of these and are read afterwards. An implementation
//! hands out a message only when it may leave at once; one that must wait for a Ready to be durable
//! is kept until `handle_persisted` and comes out of a later `poll_ready`. So the order between disk
//! and network is decided below the seam, and the caller keeps none.

use std::fmt;

use base::{LogIndex, Term};

use crate::ready::{Ready, ReadyNumber};

/// Commits the entries of one slice. Owner: slice.
pub trait Consensus {
    /// What replicas of the slice tell each other. It cannot express a forwarded proposal.
    type Message;

    /// The bytes of an entry as they come out of a Ready: owned or shared, never copied on the way.
    type Body: AsRef<[u8]>;

    fn role(&self) -> Role;

    /// Whether this replica leads and has committed an entry of its own term (Raft §6.4). Before
    /// that it knows neither what is committed nor that it may still lead, so nothing is executed,
    /// read or lent.
    fn is_ready(&self) -> bool;

    /// The current term; with the role it names who may execute. Never decreases.
    fn term(&self) -> Term;

    /// The last entry of the log, persisted or not. It goes back only on a follower, whose leader
    /// replaces what was never committed.
    fn last(&self) -> LogIndex;

    /// Everything up to here is on the stable storage of a quorum, which may not include this
    /// replica's own. Never decreases, and never passes `last`.
    fn commit(&self) -> LogIndex;

    /// Lets one tick of time pass. A sole voter campaigns on its first tick without Readies in
    /// flight: a leader starts from a log that is persisted to its end (PROTOCOL F17).
    fn tick(&mut self);

    fn step(&mut self, message: Self::Message);

    /// Appends one entry, as the ready leader of `term` and in no other case: a batch executed
    /// under one term must never reach the log of another (PROTOCOL F8). The body is not empty;
    /// empty bodies are the implementation's own control entries.
    fn propose(&mut self, term: Term, body: Vec<u8>) -> Result<LogIndex, Refused>;

    /// Fills `ready` with what is to be written and sent next; false, and an empty `ready`, if
    /// there is nothing. What the caller left in the vectors is dropped, their room is used again.
    fn poll_ready(&mut self, ready: &mut ReadyOf<Self>) -> bool;

    /// The records of this Ready are durable, its hard state in both of its places. Called once
    /// for each Ready that has records, in the order they were polled.
    fn handle_persisted(&mut self, number: ReadyNumber);

    /// Asserts the invariants.
    fn check(&self);
}

/// The Ready of an implementation.
pub type ReadyOf<C> = Ready<<C as Consensus>::Message, <C as Consensus>::Body>;

/// What a replica is in its term (Raft §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    Candidate,
    Leader,
}

/// A replica of a slice, for ever: an id is never used again for another replica or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A proposal that was not appended, and never will be: the body comes back, its effects are
/// undone.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusal: Refusal,
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotLeader,
    /// Leads, but no entry of its term is committed yet.
    NotReady,
    /// Leads, but in another term than the one the batch was executed under.
    OtherTerm {
        current: Term,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader => write!(f, "this replica does not lead the slice"),
            Self::NotReady => write!(f, "the leader has not committed an entry of its term yet"),
            Self::OtherTerm { current } => write!(f, "the term is {current} by now"),
        }
    }
}
