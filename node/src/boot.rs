//! From the records of a log to a slice: the first half of a start.
//!
//! The shell feeds every record that recovery hands out to [`Boot::replay`], in order; then
//! [`Node::new`](crate::Node::new) makes what was recovered its own. A sole voter's log holds its
//! entries once and in order: a new term begins above the last entry, so a record that would take
//! an entry's place is a fact of another history and refused.

use base::{LogIndex, SliceId, Term};
use engine::{BatchReader, Keyspace};
use raft::{ReplicaId, SingleVoter};
use wal::{HardState, Record};

use crate::config::Config;
use crate::slice::Slice;

/// The slice this version has.
const SLICE: SliceId = SliceId(0);

/// The replica a node alone is.
const REPLICA: ReplicaId = ReplicaId(1);

/// A node that is being put together.
#[derive(Debug)]
pub struct Boot {
    pub(crate) config: Config,
    pub(crate) replay: Replay,
}

/// The state of the slice as of the last record replayed.
#[derive(Debug)]
pub(crate) struct Replay {
    keyspace: Keyspace,
    last: LogIndex,
    last_term: Term,
    clock_ms: u64,
    effects: u64,
}

impl Boot {
    pub fn new(config: Config) -> Self {
        let keyspace = Keyspace::new(config.seed);
        let replay =
            Replay { keyspace, last: LogIndex::NONE, last_term: Term(0), clock_ms: 0, effects: 0 };
        Self { config, replay }
    }

    /// Applies one record.
    ///
    /// # Errors
    ///
    /// The record contradicts what came before it, or holds what this version cannot read; the
    /// text says which.
    pub fn replay(&mut self, record: Record<'_>) -> Result<(), String> {
        match record {
            Record::Entry { slice, term, index, body } => {
                self.replay.entry(slice, term, index, body)
            }
            // Term and vote are gathered by the log itself, with those of the double slot.
            Record::HardState(_) => Ok(()),
            Record::Truncate { .. } | Record::SnapshotMark { .. } | Record::Trim { .. } => {
                Err("a record kind that this version never writes".to_owned())
            }
        }
    }

    /// Effects applied so far.
    pub fn effect_count(&self) -> u64 {
        self.replay.effects
    }

    /// Keys in all databases.
    pub fn key_count(&self) -> usize {
        (0..base::limits::DATABASES).map(|db| self.replay.keyspace.len(db)).sum()
    }

    /// The digest of what was replayed.
    pub fn digest(&self) -> u128 {
        self.replay.keyspace.digest()
    }
}

impl Replay {
    fn entry(
        &mut self,
        slice: SliceId,
        term: Term,
        index: LogIndex,
        body: &[u8],
    ) -> Result<(), String> {
        if slice != SLICE {
            return Err(format!("an entry of slice {slice}; this data has one slice"));
        }
        if index != self.last.next() || term < self.last_term {
            return Err(format!(
                "entry {index} of term {term} follows entry {} of term {}",
                self.last, self.last_term
            ));
        }
        self.last = index;
        self.last_term = term;
        if body.is_empty() {
            return Ok(());
        }
        let reader = BatchReader::new(body).map_err(|error| error.to_string())?;
        self.clock_ms = self.clock_ms.max(reader.clock_ms());
        for effect in reader {
            let effect = effect.map_err(|error| error.to_string())?;
            self.keyspace.replay(&effect).map_err(|error| error.to_string())?;
            self.effects += 1;
        }
        Ok(())
    }

    /// The slice, a follower still. `hard_states` are those the log found.
    pub(crate) fn into_slice(self, hard_states: &[HardState]) -> Result<Slice, String> {
        let state = hard_states.iter().find(|state| state.slice == SLICE);
        let term = state.map_or(Term(0), |state| state.term);
        if term < self.last_term {
            return Err(format!(
                "the log holds an entry of term {}, but the hard state only knows term {term}: \
                 a vote was forgotten",
                self.last_term
            ));
        }
        let recovered = raft::Recovered {
            term,
            vote: state.and_then(|state| state.vote).map(ReplicaId),
            commit: state.map_or(LogIndex::NONE, |state| state.commit),
            last: self.last,
            last_term: self.last_term,
        };
        let consensus = SingleVoter::new(REPLICA, recovered);
        Ok(Slice::new(SLICE, self.keyspace, consensus, self.clock_ms))
    }
}
