//! One slice's snapshots on their way to the disk: the attempt that is under way, what waits for it,
//! and what there is.

use std::collections::VecDeque;

use base::{LogIndex, SliceId};
use runtime::housekeeping::{FileError, Job};
use wal::snapshot::{ChunkId, ChunkRef, Manifest};

use crate::housekeeping::plan::{self, Cargo, Kind};
use crate::housekeeping::{KEPT, SnapshotEvent, SnapshotOutput, attempt_of, index_of};
use crate::snapshots::Place;

#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What the node wants and was not begun, in its order.
    wanted: VecDeque<SnapshotOutput>,
    attempt: Option<Attempt>,
    /// Jobs that are not answered.
    jobs: usize,
    /// Whole and durable, newest first.
    published: Vec<LogIndex>,
    /// With a manifest, and damaged.
    distrusted: Vec<LogIndex>,
    /// To be removed.
    doomed: VecDeque<LogIndex>,
    events: VecDeque<SnapshotEvent>,
}

/// A snapshot that is being written.
#[derive(Debug)]
struct Attempt {
    /// As the node counts them.
    number: u32,
    index: LogIndex,
    stage: Stage,
    /// By number; known when the chunk is durable.
    chunks: Vec<Option<ChunkRef>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The directory is being made.
    Beginning,
    Writing,
    /// It is published already, and an index has one content: nothing is written.
    Repeating,
    Publishing,
    /// Its files go as soon as its last job is answered.
    GivenUp,
    Removing,
}

impl Lane {
    pub(super) fn keep(&mut self, whole: &[LogIndex]) {
        self.published.extend_from_slice(whole);
        self.published.sort_unstable_by(|one, other| other.cmp(one));
    }

    pub(super) fn distrust(&mut self, damaged: &[LogIndex]) {
        self.distrusted.extend_from_slice(damaged);
    }

    pub(super) fn push(&mut self, output: SnapshotOutput) {
        if let SnapshotOutput::Discard { attempt, .. } = output {
            self.forget(attempt);
            // Nothing of one that was not begun is on the disk.
            if self.attempt.as_ref().is_none_or(|under_way| under_way.number != attempt) {
                return;
            }
        }
        self.wanted.push_back(output);
    }

    pub(super) fn poll_event(&mut self) -> Option<SnapshotEvent> {
        let event = self.events.pop_front()?;
        if let SnapshotEvent::Failed { attempt, .. } = &event {
            self.forget(*attempt);
        }
        Some(event)
    }

    /// Drops what the node wanted of an attempt that it gave up, or before it heard that the attempt
    /// has failed.
    fn forget(&mut self, attempt: u32) {
        self.wanted.retain(|output| attempt_of(output) != attempt);
    }

    pub(super) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next job, if one can be begun.
    pub(super) fn next_job(&mut self, place: &Place, slice: SliceId) -> Option<Job<Cargo>> {
        let job = loop {
            let step = match self.attempt.as_ref().map(|attempt| attempt.stage) {
                None => self.begin(place, slice)?,
                Some(Stage::Writing) => self.go_on(place)?,
                Some(Stage::Repeating) => self.repeat()?,
                Some(Stage::GivenUp) => self.remove_attempt(place, slice)?,
                Some(Stage::Beginning | Stage::Publishing | Stage::Removing) => return None,
            };
            if let Some(job) = step {
                break job;
            }
        };
        self.jobs += 1;
        Some(job)
    }

    /// Between attempts: removes what is too old, then begins the next. Like the three below: a job,
    /// or `Some(None)` for something that needed none, or None if there is nothing to do.
    fn begin(&mut self, place: &Place, slice: SliceId) -> Option<Option<Job<Cargo>>> {
        if self.jobs != 0 {
            return None;
        }
        if let Some(index) = self.doomed.pop_front() {
            return Some(Some(plan::remove(place, slice, index)));
        }
        let first = self.wanted.front()?;
        let (index, number) = (index_of(first), attempt_of(first));
        let begins = match first {
            SnapshotOutput::Chunk { number, .. } => *number == 0,
            // An empty slice has no chunk.
            SnapshotOutput::Publish { .. } => true,
            SnapshotOutput::Discard { .. } => false,
        };
        if !begins {
            // Of an attempt that failed before the node heard of it.
            self.wanted.pop_front();
            return Some(None);
        }
        let is_there = self.published.contains(&index);
        let stage = if is_there { Stage::Repeating } else { Stage::Beginning };
        self.attempt = Some(Attempt { number, index, stage, chunks: Vec::new() });
        Some((!is_there).then(|| plan::begin(place, slice, index)))
    }

    fn go_on(&mut self, place: &Place) -> Option<Option<Job<Cargo>>> {
        let attempt = self.attempt.as_mut().expect("the stage is an attempt's");
        let output = self.wanted.pop_front()?;
        assert_eq!(attempt_of(&output), attempt.number, "a slice has one attempt at a time");
        Some(match output {
            SnapshotOutput::Chunk { slice, index, number, raw, .. } => {
                assert_eq!(number as usize, attempt.chunks.len(), "chunks come in their order");
                attempt.chunks.push(None);
                Some(plan::chunk(place, ChunkId { slice, index, number }, raw))
            }
            SnapshotOutput::Publish { slice, index, manifest, .. } => {
                let chunks: Option<Vec<ChunkRef>> = attempt.chunks.iter().copied().collect();
                let chunks = chunks.expect("the node publishes what was reported written");
                attempt.stage = Stage::Publishing;
                let node_uuid = place.node_uuid();
                let manifest = Manifest { node_uuid, slice, index, chunks, ..manifest };
                Some(plan::publish(place, manifest))
            }
            SnapshotOutput::Discard { .. } => {
                attempt.stage = Stage::GivenUp;
                None
            }
        })
    }

    fn repeat(&mut self) -> Option<Option<Job<Cargo>>> {
        match self.wanted.pop_front()? {
            SnapshotOutput::Chunk { slice, index, attempt, number, raw } => {
                let written = SnapshotEvent::ChunkWritten { slice, index, attempt, number, raw };
                self.events.push_back(written);
            }
            SnapshotOutput::Publish { slice, index, attempt, .. } => {
                self.events.push_back(SnapshotEvent::Published { slice, index, attempt });
                self.attempt = None;
            }
            SnapshotOutput::Discard { .. } => self.attempt = None,
        }
        Some(None)
    }

    fn remove_attempt(&mut self, place: &Place, slice: SliceId) -> Option<Option<Job<Cargo>>> {
        if self.jobs != 0 {
            return None;
        }
        let attempt = self.attempt.as_mut().expect("the stage is an attempt's");
        attempt.stage = Stage::Removing;
        Some(Some(plan::remove(place, slice, attempt.index)))
    }

    /// A job has ended.
    pub(super) fn handle(&mut self, cargo: Cargo, result: Result<(), FileError>) {
        self.jobs -= 1;
        let Cargo { slice, index, kind } = cargo;
        if let Kind::Remove = kind {
            return self.handle_removal(result);
        }
        let attempt = self.attempt.as_mut().expect("an attempt outlives its jobs");
        assert_eq!(attempt.index, index, "a slice has one attempt at a time");
        if attempt.stage == Stage::GivenUp {
            return;
        }
        let number_of_attempt = attempt.number;
        if let Err(error) = result {
            attempt.stage = Stage::GivenUp;
            let error = error.to_string();
            let attempt = number_of_attempt;
            self.events.push_back(SnapshotEvent::Failed { slice, index, attempt, error });
            return;
        }
        match kind {
            Kind::Begin => {
                attempt.stage = Stage::Writing;
                self.distrusted.retain(|damaged| *damaged != index);
            }
            Kind::Chunk { number, raw, reference } => {
                assert!(reference.is_some(), "what was written was encoded");
                attempt.chunks[number as usize] = reference;
                let attempt = number_of_attempt;
                let written = SnapshotEvent::ChunkWritten { slice, index, attempt, number, raw };
                self.events.push_back(written);
            }
            Kind::Publish => {
                self.attempt = None;
                self.keep(&[index]);
                self.doom();
                let attempt = number_of_attempt;
                self.events.push_back(SnapshotEvent::Published { slice, index, attempt });
            }
            Kind::Remove => unreachable!("it was dealt with"),
        }
    }

    fn handle_removal(&mut self, result: Result<(), FileError>) {
        match result {
            Ok(()) => {}
            // An attempt that could not even make its directory.
            Err(error) if error.error.kind() == std::io::ErrorKind::NotFound => {}
            // It takes room and does no harm; without a manifest, the next start removes it.
            Err(error) => tracing::warn!("snapshots: {error}"),
        }
        self.attempt.take_if(|attempt| attempt.stage == Stage::Removing);
    }

    /// Chooses what goes, now that there is a newer one.
    fn doom(&mut self) {
        if KEPT <= self.published.len() {
            self.doomed.extend(self.published.drain(KEPT..));
            self.doomed.extend(self.distrusted.drain(..));
        }
    }
}
