//! From the records of the logs to slices: the first half of a start.
//!
//! The shell feeds the records of each log to a [`LogReplay`], in order; logs of one generation
//! hold different slices and are read in parallel. An entry is applied as soon as nothing before
//! it is in doubt. A fragment is in doubt until its slice's log says that it is resolved or void
//! (PROTOCOL 3.12); what follows a fragment in doubt waits behind it. What is still in doubt when
//! all logs have been read is decided by [`settle_replays`], from the logs of all participants.
//!
//! A sole voter's log holds its entries once and in order: a new term begins above the last
//! entry, so a record that would take an entry's place is a fact of another history and refused.
//!
//! # Invariants
//!
//! * `waiting` is empty, or its first entry is a fragment and all follow one another.
//! * Everything below the first of `waiting` is applied or void; that is what is settled.

use std::collections::VecDeque;
use std::fmt;

use base::{LogIndex, Map, SliceId, Term};
use engine::{BatchReader, Keyspace, SnapshotLoader, Space};
use raft::{ReplicaId, SingleVoter};
use wal::snapshot::Manifest;
use wal::{HardState, Record};

use crate::attachment::{Attachment, Place, Places};
use crate::group::Group;
use crate::history::History;
use crate::planted::{Plant, Planted};
use crate::slice::{Checksum, Slice};
use crate::topology::Topology;

/// The replica a node alone is.
const REPLICA: ReplicaId = ReplicaId(1);

/// One slice as of the last record replayed. Owner: whoever reads its log.
#[derive(Debug)]
pub struct SliceReplay {
    id: SliceId,
    keyspace: Keyspace,
    last: LogIndex,
    /// The last entry that is part of the snapshot it began with.
    base: LogIndex,
    /// The last entry met in the logs.
    met: LogIndex,
    /// The last entry that the logs may lack.
    trimmed: LogIndex,
    /// Entries behind the snapshot are gone: those below this one, the first that the logs hold. It
    /// and what follows are passed over.
    beyond_gap: Option<LogIndex>,
    /// It answers for entries that are applied.
    history: History,
    checksum: Checksum,
    /// Bytes of the entries above the snapshot.
    logged: u64,
    /// Entries behind a fragment in doubt.
    waiting: VecDeque<Waiting>,
    /// Every fragment up to here is decided, as the log itself says.
    resolved: LogIndex,
    /// Of each other slice, the last place that a committed fragment of this one names, and that
    /// fragment. A log is dense: who holds the last holds those before it.
    demanded: Map<SliceId, (Place, Place)>,
    clock_ms: u64,
    effects: u64,
    planted: Planted,
}

#[derive(Debug)]
struct Waiting {
    index: LogIndex,
    fragment: Places,
    body: Vec<u8>,
}

/// A slice on its way from a snapshot. Owner: whoever reads its chunks.
#[derive(Debug)]
pub struct SliceRestore {
    replay: SliceReplay,
    loader: SnapshotLoader,
}

impl SliceRestore {
    /// Takes a chunk.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn load(&mut self, chunk: &[u8]) -> Result<(), String> {
        self.loader.load(chunk).map_err(|error| error.to_string())
    }

    /// There are no more chunks: the slice as of the snapshot.
    ///
    /// # Errors
    ///
    /// Something is missing.
    pub fn finish(self) -> Result<SliceReplay, String> {
        let keyspace = self.loader.finish().map_err(|error| error.to_string())?;
        Ok(SliceReplay { keyspace, ..self.replay })
    }
}

/// The slices of one log. Owner: whoever reads the log.
#[derive(Debug, Default)]
pub struct LogReplay {
    slices: Vec<SliceReplay>,
}

/// A slice that recovery is done with, for the core that will own it.
#[derive(Debug)]
pub struct SliceStart {
    pub(crate) slice: Box<Slice>,
    pub(crate) space: Box<Space>,
    pub(crate) group: Box<Group>,
}

impl SliceReplay {
    /// An empty slice. `seed` is the data directory's: it keys the hashes of all its slices.
    pub fn new(id: SliceId, seed: u64, topology: Topology) -> Self {
        Self {
            id,
            keyspace: Keyspace::new(seed, topology.slots(id)),
            last: LogIndex::NONE,
            base: LogIndex::NONE,
            met: LogIndex::NONE,
            trimmed: LogIndex::NONE,
            beyond_gap: None,
            history: History::default(),
            checksum: Checksum::default(),
            logged: 0,
            waiting: VecDeque::new(),
            resolved: LogIndex::NONE,
            demanded: Map::default(),
            clock_ms: 0,
            effects: 0,
            planted: Planted::default(),
        }
    }

    /// Plants a bug for the simulator to find; nothing without the feature `planted`.
    pub fn plant(&mut self, plant: Plant) {
        if plant == Plant::ForgetSave {
            self.keyspace.plant_forgetful_walker();
        }
        self.planted.plant(plant);
    }

    pub fn id(&self) -> SliceId {
        self.id
    }

    /// Effects applied so far.
    pub fn effect_count(&self) -> u64 {
        self.effects
    }

    /// Keys in all databases.
    pub fn key_count(&self) -> usize {
        (0..base::limits::DATABASES).map(|db| self.keyspace.len(db)).sum()
    }

    /// The digest of what was applied.
    pub fn digest(&self) -> u128 {
        self.keyspace.digest()
    }

    /// The last entry read.
    pub fn last(&self) -> LogIndex {
        self.last
    }

    fn last_term(&self) -> Term {
        self.history.last_term()
    }

    /// Begins to take the slice from a snapshot. Before any record.
    ///
    /// # Errors
    ///
    /// What is wrong with the snapshot.
    pub fn restore(mut self, snapshot: &Manifest) -> Result<SliceRestore, String> {
        assert!(snapshot.slice == self.id);
        assert!(self.last == LogIndex::NONE && self.met == LogIndex::NONE);
        let (history, checksum) = History::decode(&snapshot.attachment)?;
        if history.term_at(snapshot.index) != Some(snapshot.term) {
            return Err(format!(
                "the snapshot of slice {} at {} is of term {}, but not by its history",
                self.id, snapshot.index, snapshot.term
            ));
        }
        (self.base, self.last, self.resolved) = (snapshot.index, snapshot.index, snapshot.index);
        (self.history, self.checksum) = (history, Checksum(checksum));
        self.clock_ms = snapshot.clock_ms;
        let empty = Keyspace::new(0, self.keyspace.slots());
        let loader = SnapshotLoader::new(std::mem::replace(&mut self.keyspace, empty));
        Ok(SliceRestore { replay: self, loader })
    }

    fn entry(&mut self, term: Term, index: LogIndex, body: &[u8]) -> Result<(), String> {
        // A newer generation of logs may be trimmed while an older one is still there.
        let is_next = self.met < index;
        self.met = index;
        if index <= self.base {
            // The snapshot holds it.
            if !is_next || self.history.term_at(index) != Some(term) {
                return Err(format!(
                    "entry {index} of term {term} of slice {} is not the one that its snapshot \
                     at {} holds",
                    self.id, self.base
                ));
            }
            return Ok(());
        }
        if self.beyond_gap.is_some() || self.is_gap_behind_snapshot(index) {
            // How far the log was trimmed shows at its end.
            self.beyond_gap.get_or_insert(index);
            return Ok(());
        }
        if index != self.last.next() || term < self.last_term() {
            return Err(format!(
                "entry {index} of term {term} of slice {} follows entry {} of term {}",
                self.id,
                self.last,
                self.last_term()
            ));
        }
        self.last = index;
        if self.last_term() < term {
            self.history.terms.push((term, index));
        }
        self.logged += body.len() as u64;
        let is_passed_over = self.base != LogIndex::NONE
            && index == self.base.next()
            && self.planted.is(Plant::SkipBehindSnapshot);
        if body.is_empty() || is_passed_over {
            return Ok(());
        }
        let reader = BatchReader::new(body).map_err(|error| error.to_string())?;
        self.clock_ms = self.clock_ms.max(reader.clock_ms());
        let attachment = Attachment::decode(reader.attachment())?;
        if let Some(first) = attachment.void {
            self.void(first, index)?;
        }
        if self.resolved < attachment.resolved {
            self.resolve(attachment.resolved)?;
        }
        let Attachment { fragment, .. } = attachment;
        if fragment.is_empty() && self.waiting.is_empty() {
            return self.apply(body);
        }
        let place = Place { slice: self.id, term, index };
        if !fragment.is_empty() && !fragment.contains(&place) {
            return Err(format!("entry {index} of slice {} is a fragment of others", self.id));
        }
        base::mark!("node: recovery holds an entry in doubt");
        self.waiting.push_back(Waiting { index, fragment, body: body.to_vec() });
        Ok(())
    }

    /// Whether the logs begin with this entry, and those before it are neither there nor in the
    /// snapshot: segments go from the start of a log, nothing else takes entries from there.
    fn is_gap_behind_snapshot(&self, index: LogIndex) -> bool {
        self.last == self.base && self.base.next() < index
    }

    /// What neither the snapshot nor the logs hold, once all of them were read.
    pub fn uncovered(&self) -> Option<Uncovered> {
        let gone = self.beyond_gap.map_or(LogIndex::NONE, |first| LogIndex(first.0 - 1));
        let trimmed = self.trimmed.max(gone);
        let (slice, covered) = (self.id, self.base);
        (covered < trimmed).then_some(Uncovered { slice, covered, trimmed })
    }

    /// The log says that everything from `first` up to the entry at `index` is void.
    fn void(&mut self, first: LogIndex, index: LogIndex) -> Result<(), String> {
        let is_open = self.waiting.iter().any(|one| one.index == first && !one.fragment.is_empty());
        if !is_open {
            return Err(format!(
                "entry {index} of slice {} voids {first}, which is decided",
                self.id
            ));
        }
        self.drop_from(first, index.0)
    }

    /// What waits from `first` on does not count, nor does anything else below `end`: it was
    /// executed on top of it (PROTOCOL F2).
    fn drop_from(&mut self, first: LogIndex, end: u64) -> Result<(), String> {
        if self.planted.is(Plant::ShortVoid) {
            self.waiting.retain(|one| one.index != first);
            self.history.voids.push(first.0..first.0 + 1);
            return self.apply_certain();
        }
        self.waiting.retain(|one| one.index < first);
        self.history.voids.push(first.0..end);
        Ok(())
    }

    /// The log says that every fragment up to `resolved` is decided; those that are not void are
    /// committed.
    fn resolve(&mut self, resolved: LogIndex) -> Result<(), String> {
        self.resolved = resolved;
        while self.waiting.front().is_some_and(|one| one.index <= resolved) {
            self.commit_first()?;
        }
        Ok(())
    }

    /// The fragment in front is committed: it is applied, and what follows up to the next.
    fn commit_first(&mut self) -> Result<(), String> {
        let first = self.waiting.pop_front().expect("the caller looked");
        let term = self.term_at(first.index).expect("it was read");
        let own = Place { slice: self.id, term, index: first.index };
        for place in first.fragment {
            self.demanded
                .entry(place.slice)
                .and_modify(|known| {
                    if known.1.index < place.index {
                        *known = (own, place);
                    }
                })
                .or_insert((own, place));
        }
        self.apply(&first.body)?;
        self.apply_certain()
    }

    /// Applies what no fragment in doubt is in front of.
    fn apply_certain(&mut self) -> Result<(), String> {
        while let Some(next) = self.waiting.pop_front_if(|next| next.fragment.is_empty()) {
            self.apply(&next.body)?;
        }
        Ok(())
    }

    fn apply(&mut self, body: &[u8]) -> Result<(), String> {
        let batch = BatchReader::new(body).map_err(|error| error.to_string())?;
        let Attachment { checksum, .. } = Attachment::decode(batch.attachment())?;
        if let Some(logged) = checksum.filter(|logged| Checksum(*logged) != self.checksum) {
            return Err(format!(
                "the effects of slice {} up to some entry at or before {} have the checksum \
                 {:08x}, but {logged:08x} was logged: an entry is not what it was",
                self.id, self.last, self.checksum.0
            ));
        }
        self.checksum.add(body);
        for effect in batch {
            let effect = effect.map_err(|error| error.to_string())?;
            self.keyspace.replay(&effect).map_err(|error| error.to_string())?;
            self.effects += 1;
        }
        Ok(())
    }

    fn settled(&self) -> LogIndex {
        self.waiting.front().map_or(self.last, |first| LogIndex(first.index.0 - 1))
    }

    fn term_at(&self, index: LogIndex) -> Option<Term> {
        let is_read = LogIndex::NONE < index && index <= self.last;
        if is_read { self.history.term_at(index) } else { None }
    }

    fn is_void(&self, index: LogIndex) -> bool {
        !self.planted.is(Plant::ForgetVoid) && self.history.is_void(index)
    }

    /// Whether the entry at `place` counts (PROTOCOL 3.6): the log of a sole voter is committed
    /// to its end, so what it does not hold it never will.
    fn answer(&self, place: Place) -> Verdict {
        if self.term_at(place.index) != Some(place.term) || self.is_void(place.index) {
            Verdict::No
        } else if place.index.0 <= self.settled().0 + 1 || self.planted.is(Plant::AnswerEarly) {
            Verdict::Yes
        } else {
            Verdict::NotYet
        }
    }

    /// The slice as a follower. `hard_states` are those of all logs.
    fn into_start(
        self,
        void: Option<LogIndex>,
        hard_states: &[HardState],
    ) -> Result<SliceStart, String> {
        let states = hard_states.iter().filter(|state| state.slice == self.id);
        let state = states.max_by_key(|state| state.term);
        let term = state.map_or(Term(0), |state| state.term);
        let last_term = self.last_term();
        if term < last_term {
            return Err(format!(
                "the log holds an entry of term {last_term} of slice {}, but the hard state only \
                 knows term {term}: a vote was forgotten",
                self.id
            ));
        }
        let recovered = raft::Recovered {
            term,
            vote: state.and_then(|state| state.vote).map(ReplicaId),
            commit: state.map_or(LogIndex::NONE, |state| state.commit),
            last: self.last,
            last_term,
        };
        let mut history = self.history;
        // It ends with the entry that is yet to say so.
        history.voids.retain(|void| void.end != u64::MAX);
        let consensus = SingleVoter::new(REPLICA, recovered);
        let group = Group::new(self.id, consensus, void, history, self.logged);
        // Its place is known when it leads.
        let slice = Slice::new(self.id, Term(0), LogIndex::NONE, self.clock_ms, self.checksum);
        let space = Space::new(self.keyspace);
        Ok(SliceStart { slice: Box::new(slice), space: Box::new(space), group: Box::new(group) })
    }
}

/// A log was trimmed because snapshots held what went, and the snapshot that is there does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncovered {
    pub slice: SliceId,
    /// The last entry that the snapshot holds; none without one.
    pub covered: LogIndex,
    /// The last entry that may be gone.
    pub trimmed: LogIndex,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slice, covered, trimmed } = self;
        write!(f, "the log was trimmed up to entry {trimmed} of slice {slice}")?;
        match *covered {
            LogIndex::NONE => f.write_str(", and no sound snapshot of it is there"),
            covered => write!(f, ", and its newest sound snapshot ends with entry {covered}"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    NotYet,
}

impl SliceStart {
    pub fn id(&self) -> SliceId {
        self.slice.id
    }

    /// The digest of the keyspace.
    pub fn digest(&self) -> u128 {
        self.space.keyspace.digest()
    }

    /// Keys in all databases.
    pub fn key_count(&self) -> usize {
        let keyspace = &self.space.keyspace;
        (0..base::limits::DATABASES).map(|db| keyspace.len(db)).sum()
    }

    /// The checksum of all effects.
    pub fn checksum(&self) -> u32 {
        self.slice.checksum().0
    }

    /// What a snapshot taken now would keep besides the keyspace, as bytes: terms, void ranges,
    /// the checksum of all effects; and the last entry.
    pub fn history(&self) -> (LogIndex, Vec<u8>) {
        let last = self.group.last();
        (last, self.group.history().encode(last, self.slice.checksum().0))
    }
}

impl LogReplay {
    pub fn new(slices: Vec<SliceReplay>) -> Self {
        Self { slices }
    }

    /// Takes one record.
    ///
    /// # Errors
    ///
    /// The record contradicts what came before it, or holds what this version cannot read; the
    /// text says which.
    pub fn replay(&mut self, record: Record<'_>) -> Result<(), String> {
        match record {
            Record::Entry { slice, term, index, body } => {
                let replay = self.slices.iter_mut().find(|replay| replay.id == slice);
                let replay = replay.ok_or_else(|| {
                    format!("an entry of slice {slice}, which this log does not hold")
                })?;
                replay.entry(term, index, body)
            }
            // Term and vote are gathered by the log itself, with those of the double slot.
            Record::HardState(_) => Ok(()),
            Record::Trim { slice, last } => {
                let replay = self.slices.iter_mut().find(|replay| replay.id == slice);
                let replay = replay.ok_or_else(|| {
                    format!("slice {slice} was trimmed, which this log does not hold")
                })?;
                replay.trimmed = replay.trimmed.max(last);
                Ok(())
            }
            Record::Truncate { .. } | Record::SnapshotMark { .. } => {
                Err("a record kind that this version never writes".to_owned())
            }
        }
    }

    pub fn slices(&self) -> &[SliceReplay] {
        &self.slices
    }

    pub fn into_slices(self) -> Vec<SliceReplay> {
        self.slices
    }
}

/// Decides what is in doubt (PROTOCOL 3.7, 3.14) and makes slices of what was replayed.
///
/// `replays` are all slices of the node, and `hard_states` those of all its logs. What was read
/// must not be used before it is flushed (PROTOCOL F11); each log sees to its own.
///
/// # Errors
///
/// A log lacks what another proves: something durable was lost.
pub fn settle_replays(
    mut replays: Vec<SliceReplay>,
    hard_states: &[HardState],
) -> Result<Vec<SliceStart>, String> {
    replays.sort_by_key(|replay| replay.id);
    assert!(replays.iter().zip(0..).all(|(replay, at)| replay.id == SliceId(at)));
    // Who lacks what it did must not answer for others.
    if let Some(uncovered) = replays.iter().find_map(SliceReplay::uncovered) {
        return Err(uncovered.to_string());
    }
    let mut voids = vec![None; replays.len()];
    while replays.iter().any(|replay| !replay.waiting.is_empty()) {
        let mut decided = false;
        for at in 0..replays.len() {
            let Some(first) = replays[at].waiting.front() else { continue };
            let verdicts =
                first.fragment.iter().map(|place| match replays.get(usize::from(place.slice.0)) {
                    Some(replay) => replay.answer(*place),
                    None => Verdict::No,
                });
            let verdict = verdicts.fold(Verdict::Yes, |all, one| match (all, one) {
                (Verdict::No, _) | (_, Verdict::No) => Verdict::No,
                (Verdict::NotYet, _) | (_, Verdict::NotYet) => Verdict::NotYet,
                (Verdict::Yes, Verdict::Yes) => Verdict::Yes,
            });
            match verdict {
                Verdict::Yes => {
                    // Every participant says so for itself, from the same facts.
                    let places = first.fragment.clone();
                    for place in places {
                        let replay = &mut replays[usize::from(place.slice.0)];
                        if replay.waiting.front().is_some_and(|one| one.index == place.index) {
                            replay.commit_first()?;
                        }
                    }
                }
                Verdict::No => {
                    base::mark!("node: recovery voids a fragment");
                    let first = first.index;
                    replays[at].drop_from(first, u64::MAX)?;
                    voids[at] = Some(first);
                }
                Verdict::NotYet => continue,
            }
            decided = true;
        }
        assert!(decided, "the oldest open fragment can always be decided");
    }
    check_demands(&replays)?;
    replays
        .into_iter()
        .zip(voids)
        .map(|(replay, void)| replay.into_start(void, hard_states))
        .collect()
}

/// A fragment that was committed is in the log of every participant, or that log is damaged
/// (PROTOCOL F13): void it cannot be.
fn check_demands(replays: &[SliceReplay]) -> Result<(), String> {
    for replay in replays {
        for (own, place) in replay.demanded.values() {
            let holder = replays.get(usize::from(place.slice.0));
            if !holder.is_some_and(|holder| holder.answer(*place) == Verdict::Yes) {
                return Err(format!(
                    "entry {} of slice {} belongs to a transaction that was committed, but the \
                     log of slice {} does not hold its part at entry {}: acknowledged writes are \
                     missing there",
                    own.index, own.slice, place.slice, place.index
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
