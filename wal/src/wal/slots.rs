//! The writer of the double slot: one write in flight at a time, slots in turn.
//!
//! States handed in while a write is in flight wait together for the next one, so that the slot
//! with the newest durable generation is never written over.

use base::FrameSequence;

use crate::frame::Identity;
use crate::hard_state::{HARD_STATES_MAX, Slot, Votes};
use crate::record::HardState;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Slots {
    identity: Identity,
    votes: Votes,
    log_start: FrameSequence,
    /// The highest generation handed out.
    generation: u64,
    /// It has not been submitted yet.
    is_waiting: bool,
    in_flight: Option<u64>,
    durable: u64,
}

impl Slots {
    /// Goes on from a recovered generation, which is not known to be durable before its flush.
    pub(crate) fn new(
        identity: Identity,
        votes: Votes,
        log_start: FrameSequence,
        generation: u64,
    ) -> Self {
        let (is_waiting, in_flight, durable) = (false, None, 0);
        Self { identity, votes, log_start, generation, is_waiting, in_flight, durable }
    }

    /// The recovered file was flushed.
    pub(crate) fn flushed(&mut self) {
        assert!(self.in_flight.is_none());
        self.durable = self.generation - u64::from(self.is_waiting);
    }

    pub(crate) fn write(&mut self, states: &[HardState]) -> u64 {
        for state in states {
            let known = self.votes.entry(state.slice).or_insert((state.term, state.vote));
            assert!(known.0 <= state.term, "a term never goes back");
            let is_new_term = known.0 < state.term;
            assert!(
                is_new_term || known.1.is_none() || known.1 == state.vote,
                "a replica votes once in a term"
            );
            *known = (state.term, state.vote);
        }
        assert!(self.votes.len() <= HARD_STATES_MAX);
        self.advance()
    }

    /// The log begins here. Returns the generation that says so.
    pub(crate) fn write_log_start(&mut self, log_start: FrameSequence) -> u64 {
        assert!(self.log_start < log_start);
        self.log_start = log_start;
        self.advance()
    }

    fn advance(&mut self) -> u64 {
        if !self.is_waiting {
            self.is_waiting = true;
            self.generation += 1;
        }
        self.generation
    }

    pub(crate) fn may_write(&self) -> bool {
        self.is_waiting && self.in_flight.is_none()
    }

    pub(crate) fn take(&mut self, durable_hint: FrameSequence) -> Slot {
        assert!(self.may_write());
        self.is_waiting = false;
        self.in_flight = Some(self.generation);
        Slot {
            identity: self.identity,
            generation: self.generation,
            durable_hint,
            log_start: self.log_start,
            votes: self.votes.clone(),
        }
    }

    pub(crate) fn complete(&mut self, generation: u64) {
        assert!(self.in_flight == Some(generation));
        assert!(self.durable < generation);
        self.in_flight = None;
        self.durable = generation;
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.is_waiting && self.in_flight.is_none()
    }
}
