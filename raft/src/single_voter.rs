//! Consensus of a slice with one replica: committed is what its own log has made durable.
//!
//! It is Raft with a quorum of one, not a shortcut around it. Each start is a new term with a vote
//! for itself and an empty control entry, and that entry commits all that was recovered (Raft
//! §5.4.2). An entry counts only when its own flush has come back: acknowledging before that is how
//! a single voter loses what it promised (etcd issue 14370).
//!
//! ```text
//!            committed        in flight            unpolled
//!   log  ──────────────┬─────────────────────┬───────────────┐
//!                   commit                polled           last
//!                      handle_persisted ►     poll_ready ►
//! ```
//!
//! # Invariants
//!
//! * commit <= polled <= last, and the unpolled entries fill (polled, last] without a gap.
//! * Readies in flight have dense numbers ending at the last one polled, and growing ends.
//! * A follower has nothing in flight and nothing unpolled; it becomes leader in one step.
//! * Ready: leader, and commit has reached the first entry of the term.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::mem;

use base::{LogIndex, Term};

use crate::consensus::{Consensus, ReadyOf, Refusal, Refused, ReplicaId, Role};
use crate::ready::{Entry, HardState, ReadyNumber};

/// The sole voter of a slice. Owner: slice.
#[derive(Debug)]
pub struct SingleVoter {
    replica: ReplicaId,
    term: Term,
    vote: Option<ReplicaId>,
    commit: LogIndex,
    polled: LogIndex,
    last: LogIndex,
    last_term: Term,
    leadership: Option<Leadership>,
    hard_state_changed: bool,
    unpolled: Vec<Entry<Vec<u8>>>,
    in_flight: VecDeque<InFlight>,
    number: ReadyNumber,
}

/// What the log holds after recovery, flushed to its end (PROTOCOL F11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// At least `last_term`: a term is persisted no later than its first entry.
    pub term: Term,
    pub vote: Option<ReplicaId>,
    /// As stored; it may be ahead of the log and is clamped to `last` (PROTOCOL F18).
    pub commit: LogIndex,
    pub last: LogIndex,
    pub last_term: Term,
}

#[derive(Clone, Copy, Debug)]
struct Leadership {
    /// The control entry that opened the term.
    first: LogIndex,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    number: ReadyNumber,
    /// The log is persisted up to here once this Ready is.
    last: LogIndex,
}

impl SingleVoter {
    /// A follower that will campaign on its first tick. Nothing above the recovered commit counts
    /// before the first entry of the new term is durable.
    #[must_use]
    pub fn new(replica: ReplicaId, recovered: Recovered) -> Self {
        let Recovered { term, vote, commit, last, last_term } = recovered;
        assert!(last_term <= term, "the log holds term {last_term}, the hard state only {term}");
        assert_eq!(last == LogIndex::NONE, last_term == Term(0));
        let voter = Self {
            replica,
            term,
            vote,
            commit: commit.min(last),
            polled: last,
            last,
            last_term,
            leadership: None,
            hard_state_changed: false,
            unpolled: Vec::new(),
            in_flight: VecDeque::new(),
            number: ReadyNumber(0),
        };
        voter.check();
        voter
    }

    fn campaign(&mut self) {
        assert!(self.in_flight.is_empty(), "a leader starts from a log persisted to its end");
        assert_eq!(self.polled, self.last);
        self.term = Term(self.term.0.checked_add(1).expect("terms do not run out"));
        self.vote = Some(self.replica);
        self.hard_state_changed = true;
        self.leadership = Some(Leadership { first: self.last.next() });
        self.append(Vec::new());
    }

    fn append(&mut self, body: Vec<u8>) -> LogIndex {
        assert!(self.last_term <= self.term);
        self.last = self.last.next();
        self.last_term = self.term;
        self.unpolled.push(Entry { term: self.term, index: self.last, body });
        self.last
    }
}

impl Consensus for SingleVoter {
    type Message = Infallible;
    type Body = Vec<u8>;

    fn role(&self) -> Role {
        match self.leadership {
            None => Role::Follower,
            Some(_) => Role::Leader,
        }
    }

    fn is_ready(&self) -> bool {
        self.leadership.is_some_and(|leadership| leadership.first <= self.commit)
    }

    fn term(&self) -> Term {
        self.term
    }

    fn last(&self) -> LogIndex {
        self.last
    }

    fn commit(&self) -> LogIndex {
        self.commit
    }

    fn tick(&mut self) {
        if self.leadership.is_none() && self.in_flight.is_empty() {
            self.campaign();
        }
    }

    fn step(&mut self, message: Infallible) {
        match message {}
    }

    fn propose(&mut self, term: Term, body: Vec<u8>) -> Result<LogIndex, Refused> {
        assert!(!body.is_empty(), "an empty body is a control entry");
        let refusal = match self.role() {
            Role::Follower | Role::Candidate => Refusal::NotLeader,
            Role::Leader if self.term != term => Refusal::OtherTerm { current: self.term },
            Role::Leader if !self.is_ready() => Refusal::NotReady,
            Role::Leader => return Ok(self.append(body)),
        };
        Err(Refused { refusal, body })
    }

    fn poll_ready(&mut self, ready: &mut ReadyOf<Self>) -> bool {
        ready.clear();
        if !self.hard_state_changed && self.unpolled.is_empty() {
            return false;
        }
        self.number = ReadyNumber(self.number.0 + 1);
        ready.number = self.number;
        if mem::take(&mut self.hard_state_changed) {
            ready.hard_state =
                Some(HardState { term: self.term, vote: self.vote, commit: self.commit });
        }
        mem::swap(&mut ready.entries, &mut self.unpolled);
        self.polled = self.last;
        self.in_flight.push_back(InFlight { number: self.number, last: self.last });
        assert!(ready.has_records());
        true
    }

    fn handle_persisted(&mut self, number: ReadyNumber) {
        let persisted = self.in_flight.pop_front().expect("only a polled Ready can be persisted");
        assert_eq!(persisted.number, number, "Readies are acknowledged in order, each once");
        assert!(self.commit <= persisted.last);
        self.commit = persisted.last;
    }

    fn check(&self) {
        assert!(self.commit <= self.polled);
        assert!(self.polled <= self.last);
        assert!(self.last_term <= self.term);

        assert_eq!(self.unpolled.len() as u64, self.last.0 - self.polled.0);
        let mut index = self.polled;
        for entry in &self.unpolled {
            index = index.next();
            assert_eq!(entry.index, index);
            assert_eq!(entry.term, self.term, "one leadership, one term");
        }

        let oldest = self.number.0 + 1 - self.in_flight.len() as u64;
        let mut last = self.commit;
        for (number, in_flight) in (oldest..).zip(&self.in_flight) {
            assert_eq!(in_flight.number.0, number);
            assert!(last <= in_flight.last);
            last = in_flight.last;
        }
        assert!(last <= self.polled);

        match self.leadership {
            None => {
                assert!(self.in_flight.is_empty());
                assert!(self.unpolled.is_empty());
                assert!(!self.hard_state_changed);
            }
            Some(leadership) => {
                assert_eq!(self.vote, Some(self.replica));
                assert!(leadership.first <= self.last);
                assert_eq!(self.last_term, self.term, "its log ends in its own term");
            }
        }
    }
}

#[cfg(test)]
mod tests;
