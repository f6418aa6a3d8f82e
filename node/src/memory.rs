//! What the node's memory holds, as each core knows it: its own figure exactly, the others' as
//! they last told it.
//!
//! A core tells its figure when it has moved by [`memory_step`]. So what a core believes of the
//! whole node is off by at most one step for each other core, and by what those did in the turns
//! under way.

use base::limits::DATABASES;
use base::{CoreId, SliceId};

use crate::node::Node;
use crate::slices::Slices;
use crate::topology::SliceSet;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Census {
    /// Bytes of each own slice: of its databases, and of what is yet to be freed.
    slices: Vec<[usize; PARTS]>,
    dataset: usize,
    /// The bytes each core has told; this core's own place stays empty.
    others: Vec<usize>,
    told: usize,
}

const PARTS: usize = DATABASES as usize + 1;
const GARBAGE: usize = DATABASES as usize;

/// Bytes that a core's memory moves by before it tells: at least, and at most.
const STEP_MIN: usize = 64 * 1024;
const STEP_MAX: usize = 16 * 1024 * 1024;

/// How much a core's memory moves before it tells: bytes.
fn memory_step(memory_max: u64, cores: u16) -> usize {
    let step = usize::try_from(memory_max).unwrap_or(usize::MAX) / 512 / usize::from(cores);
    step.clamp(STEP_MIN, STEP_MAX)
}

impl Census {
    pub(crate) fn new(cores: u16, slices: u16) -> Self {
        Self {
            slices: vec![[0; PARTS]; usize::from(slices)],
            dataset: 0,
            others: vec![0; usize::from(cores)],
            told: 0,
        }
    }

    /// Bytes of this core's slices.
    pub(crate) fn dataset(&self) -> usize {
        self.dataset
    }

    pub(crate) fn note_told(&mut self, core: CoreId, size: usize) {
        self.others[usize::from(core.0)] = size;
    }

    fn others_memory(&self) -> usize {
        self.others.iter().sum()
    }

    /// One database of an own slice has changed.
    pub(crate) fn measure_database(&mut self, slices: &Slices, id: SliceId, db: u16) {
        let size = slices.space(id).keyspace.size_of(db);
        self.note(id, usize::from(db), size);
    }

    /// Anything of an own slice may have changed.
    pub(crate) fn measure(&mut self, slices: &Slices, id: SliceId) {
        for db in 0..DATABASES {
            self.measure_database(slices, id, db);
        }
        let garbage = slices.space(id).keyspace.memory().garbage;
        self.note(id, GARBAGE, garbage);
    }

    /// Bytes of an own slice that are yet to be freed.
    pub(crate) fn garbage(&self, id: SliceId) -> usize {
        self.slices[usize::from(id.0)][GARBAGE]
    }

    fn note(&mut self, id: SliceId, part: usize, size: usize) {
        let known = &mut self.slices[usize::from(id.0)][part];
        self.dataset = self.dataset - *known + size;
        *known = size;
    }
}

impl Node {
    /// Bytes this core holds: keys and values, replies, requests, what the log has yet to write,
    /// what is held for a snapshot.
    pub fn own_memory(&self) -> usize {
        self.counted_memory() + self.snapshots.memory()
    }

    /// Bytes that count against `maxmemory`. What is held for a snapshot does not, and has a limit
    /// of its own: to evict keys while one is under way makes more of it.
    pub(crate) fn counted_memory(&self) -> usize {
        self.census.dataset()
            + self.output_size
            + self.input_size
            + self.wal.queued_size()
            + self.slices.unlogged_size()
    }

    /// Bytes of all cores that count against `maxmemory`.
    pub fn memory_used(&self) -> usize {
        self.counted_memory() + self.census.others_memory()
    }

    pub(crate) fn is_over_memory(&self) -> bool {
        let max = self.settings.memory_max;
        max != 0 && max < self.memory_used() as u64
    }

    /// Learns what the slices written in this turn hold.
    pub(crate) fn measure_written(&mut self, written: &SliceSet) {
        for slice in written.iter().filter(|slice| self.slices.is_here(*slice)) {
            self.census.measure(&self.slices, slice);
        }
    }

    /// Tells the other cores this core's figure, if it has moved.
    pub(crate) fn tell_memory(&mut self) {
        let size = self.counted_memory();
        let step = memory_step(self.settings.memory_max, self.topology.cores());
        if size.abs_diff(self.census.told) < step {
            return;
        }
        self.census.told = size;
        for core in self.topology.others(self.core) {
            self.outbox.to(core).tell_memory(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_small_share_of_the_limit_and_neither_tiny_nor_huge() {
        assert_eq!(memory_step(0, 1), STEP_MIN);
        assert_eq!(memory_step(1 << 30, 2), 1 << 20);
        assert_eq!(memory_step(u64::MAX, 2), STEP_MAX);
    }
}
