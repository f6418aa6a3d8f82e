//! Writes a core's snapshots: what its node asks for becomes jobs of the housekeeping thread, and
//! their ends become what the node is told.
//!
//! ```text
//!   node ── Chunk, Chunk, .. ──> begin ──> chunk, chunk, ..   side by side
//!        ── Publish ──────────────────────────────────────> publish ──> remove what is too old
//! ```
//!
//! The order of steps is the point of this file; `docs/formats/snapshot.md` has it, and the tests cut
//! it at every place. Each slice is a lane of its own: what one waits for does not hold up another.
//!
//! # Invariants
//!
//! * A slice has one attempt at a time, and an attempt ends with `Published`, `Failed` or the node's
//!   `Discard`.
//! * No name and no byte of a published snapshot changes before a newer one is durable.
//! * A step that failed ends its attempt. It is not tried again: what the disk has of it is unknown.

mod lane;
mod plan;

use std::collections::BTreeMap;

use base::{LogIndex, SliceId};
pub use node::{SnapshotEvent, SnapshotOutput};
use runtime::housekeeping::{Desk, Done, Job};

use crate::snapshots::{Candidates, Place};

use lane::Lane;
pub use plan::Cargo;

/// Published snapshots of a slice that are kept.
const KEPT: usize = 2;

fn slice_of(output: &SnapshotOutput) -> SliceId {
    let (SnapshotOutput::Chunk { slice, .. }
    | SnapshotOutput::Publish { slice, .. }
    | SnapshotOutput::Discard { slice, .. }) = output;
    *slice
}

fn index_of(output: &SnapshotOutput) -> LogIndex {
    let (SnapshotOutput::Chunk { index, .. }
    | SnapshotOutput::Publish { index, .. }
    | SnapshotOutput::Discard { index, .. }) = output;
    *index
}

fn attempt_of(output: &SnapshotOutput) -> u32 {
    let (SnapshotOutput::Chunk { attempt, .. }
    | SnapshotOutput::Publish { attempt, .. }
    | SnapshotOutput::Discard { attempt, .. }) = output;
    *attempt
}

/// Who carries out jobs: the housekeeping thread, or a test.
pub trait Jobs {
    fn has_room(&self) -> bool;
    fn submit(&mut self, job: Job<Cargo>);
    fn poll(&mut self) -> Option<Done<Cargo>>;
}

impl Jobs for Desk<Cargo> {
    fn has_room(&self) -> bool {
        Desk::has_room(self)
    }

    fn submit(&mut self, job: Job<Cargo>) {
        Desk::submit(self, job);
    }

    fn poll(&mut self) -> Option<Done<Cargo>> {
        Desk::poll(self)
    }
}

/// The snapshots of a core's slices on their way to the disk. Owner: core.
#[derive(Debug)]
pub struct SnapshotWriter<J> {
    jobs: J,
    place: Place,
    lanes: BTreeMap<SliceId, Lane>,
    /// The lane that is first when room is short.
    first: SliceId,
}

impl<J: Jobs> SnapshotWriter<J> {
    /// `whole` are the snapshots that a start has loaded or would; `damaged` those it has passed over,
    /// which are removed when others have taken their place.
    pub fn new(jobs: J, place: Place, whole: &Candidates, damaged: &Candidates) -> Self {
        let mut lanes: BTreeMap<SliceId, Lane> = BTreeMap::new();
        for (slice, indexes) in whole {
            lanes.entry(*slice).or_default().keep(indexes);
        }
        for (slice, indexes) in damaged {
            lanes.entry(*slice).or_default().distrust(indexes);
        }
        Self { jobs, place, lanes, first: SliceId(0) }
    }

    /// Takes what the node wants; it is begun at once if there is room.
    pub fn carry_out(&mut self, output: SnapshotOutput) {
        self.lanes.entry(slice_of(&output)).or_default().push(output);
        self.begin_jobs();
    }

    /// The next thing that has happened. Polled in every turn: the core is woken when a job ends.
    pub fn poll_event(&mut self) -> Option<SnapshotEvent> {
        loop {
            let event = self.lanes.values_mut().find_map(Lane::poll_event);
            if event.is_some() {
                return event;
            }
            let Done { cargo, result } = self.jobs.poll()?;
            let lane = self.lanes.get_mut(&cargo.slice).expect("a lane outlives its jobs");
            lane.handle(cargo, result);
            self.begin_jobs();
        }
    }

    /// Whether [`SnapshotWriter::poll_event`] has something to tell without a wake-up: do not sleep.
    pub fn has_event(&self) -> bool {
        self.lanes.values().any(Lane::has_event)
    }

    /// Gives each lane a job in turn, until none wants one or there is no room.
    fn begin_jobs(&mut self) {
        let Self { jobs, place, lanes, first } = self;
        let mut has_begun = true;
        while has_begun {
            has_begun = false;
            let order: Vec<SliceId> =
                lanes.range(*first..).chain(lanes.range(..*first)).map(|(id, _)| *id).collect();
            for slice in order {
                if !jobs.has_room() {
                    *first = slice;
                    return;
                }
                let lane = lanes.get_mut(&slice).expect("the order is of the lanes");
                if let Some(job) = lane.next_job(place, slice) {
                    jobs.submit(job);
                    has_begun = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
