//! Snapshots in memory: published ones survive, the rest is lost with the process.

use std::collections::BTreeMap;

use base::{LogIndex, SliceId};
use node::{Published, SliceReplay, SnapshotEvent, SnapshotOutput};
use wal::snapshot::Manifest;

/// What a disk holds of snapshots.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    snapshots: BTreeMap<(SliceId, LogIndex), Stored>,
}

#[derive(Clone, Debug, Default)]
struct Stored {
    chunks: Vec<Vec<u8>>,
    facts: Option<Manifest>,
}

impl Shelf {
    /// Does what the node asks for; `None` if there is nothing to tell.
    pub fn carry_out(&mut self, output: SnapshotOutput) -> Option<SnapshotEvent> {
        match output {
            SnapshotOutput::Chunk { slice, index, attempt, number, raw } => {
                let stored = self.snapshots.entry((slice, index)).or_default();
                if number == 0 {
                    stored.chunks.clear();
                }
                assert!(stored.chunks.len() == number as usize, "chunks come in order");
                stored.chunks.push(raw.clone());
                Some(SnapshotEvent::ChunkWritten { slice, index, attempt, number, raw })
            }
            SnapshotOutput::Publish { slice, index, attempt, manifest } => {
                let stored = self.snapshots.entry((slice, index)).or_default();
                assert!(stored.facts.is_none(), "a snapshot is published once");
                stored.facts = Some(manifest);
                Some(SnapshotEvent::Published { slice, index, attempt })
            }
            SnapshotOutput::Discard { slice, index, .. } => {
                self.snapshots.remove(&(slice, index));
                None
            }
        }
    }

    /// The published ones of a slice, oldest first.
    pub fn published(&self, slice: SliceId) -> Vec<Published> {
        let published = self
            .snapshots
            .iter()
            .filter(|((of, _), stored)| *of == slice && stored.facts.is_some());
        published
            .map(|(&(slice, index), stored)| {
                let size = stored.chunks.iter().map(|chunk| chunk.len() as u64).sum();
                Published { slice, index, size }
            })
            .collect()
    }

    /// Fills a slice from its newest snapshot, if it has one.
    pub fn restored(&self, replay: SliceReplay) -> SliceReplay {
        let Some(newest) = self.published(replay.id()).pop() else { return replay };
        let stored = &self.snapshots[&(newest.slice, newest.index)];
        let facts = stored.facts.as_ref().expect("it is published");
        let mut restore = replay.restore(facts).expect("it is one of this slice");
        stored.chunks.iter().for_each(|chunk| restore.load(chunk).expect("it was just made"));
        restore.finish().expect("a published snapshot is whole")
    }
}
