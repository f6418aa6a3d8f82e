//! A node that wants snapshots of one slice, one after the other.

use std::path::Path;

use base::{LogIndex, SliceId, Term};
use wal::snapshot::Manifest;

use crate::housekeeping::{Jobs, SnapshotEvent, SnapshotOutput, SnapshotWriter};
use crate::snapshots::{Candidates, Place};

pub const SLICE: SliceId = SliceId(3);
pub const UUID: [u8; 16] = [7; 16];
pub const CHUNKS: u32 = 2;

pub fn place(root: &Path) -> Place {
    Place::new(root, UUID)
}

/// The bytes of a chunk: different everywhere, and compressible.
pub fn raw(index: LogIndex, number: u32) -> Vec<u8> {
    format!("chunk {number} of the snapshot at {index}; ").repeat(150).into_bytes()
}

/// There is one attempt at an index at a time.
pub fn attempt(index: LogIndex) -> u32 {
    u32::try_from(index.0).expect("an index of a test is small")
}

pub fn chunk(index: LogIndex, number: u32) -> SnapshotOutput {
    let attempt = attempt(index);
    SnapshotOutput::Chunk { slice: SLICE, index, attempt, number, raw: raw(index, number) }
}

pub fn manifest(index: LogIndex) -> Manifest {
    Manifest {
        node_uuid: [0; 16],
        slice: SLICE,
        index,
        term: Term(index.0 / 10),
        clock_ms: 1000 + index.0,
        attachment: format!("attached at {index}").into_bytes(),
        chunks: Vec::new(),
    }
}

pub fn publish(index: LogIndex) -> SnapshotOutput {
    let attempt = attempt(index);
    SnapshotOutput::Publish { slice: SLICE, index, attempt, manifest: manifest(index) }
}

pub fn writer<J: Jobs>(jobs: J, root: &Path) -> SnapshotWriter<J> {
    SnapshotWriter::new(jobs, place(root), &Candidates::new(), &Candidates::new())
}

/// Takes a snapshot at each index; one that failed is taken again.
#[derive(Debug)]
pub struct Node {
    indexes: Vec<LogIndex>,
    written: u32,
    /// The newest that was reported published.
    pub published: Option<LogIndex>,
    pub failures: Vec<String>,
}

impl Node {
    pub fn new(indexes: &[u64]) -> Self {
        let indexes = indexes.iter().rev().map(|index| LogIndex(*index)).collect();
        Self { indexes, written: 0, published: None, failures: Vec::new() }
    }

    pub fn is_done(&self) -> bool {
        self.indexes.is_empty()
    }

    /// Asks for all chunks of the next snapshot.
    pub fn ask<J: Jobs>(&mut self, writer: &mut SnapshotWriter<J>) {
        self.written = 0;
        if let Some(&index) = self.indexes.last() {
            (0..CHUNKS).for_each(|number| writer.carry_out(chunk(index, number)));
        }
    }

    /// Takes everything that has happened.
    pub fn hear<J: Jobs>(&mut self, writer: &mut SnapshotWriter<J>) {
        while let Some(event) = writer.poll_event() {
            match event {
                SnapshotEvent::ChunkWritten { index, number, raw: buffer, .. } => {
                    assert!(buffer == raw(index, number), "another buffer came back");
                    self.written += 1;
                    if self.written == CHUNKS {
                        writer.carry_out(publish(index));
                    }
                }
                SnapshotEvent::Published { index, .. } => {
                    assert_eq!(self.indexes.pop(), Some(index));
                    self.published = Some(index);
                    self.ask(writer);
                }
                SnapshotEvent::Failed { index, error, .. } => {
                    assert_eq!(self.indexes.last(), Some(&index));
                    self.failures.push(error);
                    self.ask(writer);
                }
            }
        }
    }
}

/// Loads a snapshot and checks that it is the one that was taken.
pub fn check(place: &Place, index: LogIndex) {
    let read = place.manifest(SLICE, index).expect("a published manifest is whole");
    let expected = Manifest { node_uuid: UUID, chunks: read.chunks.clone(), ..manifest(index) };
    assert_eq!(read, expected);
    let mut number = 0;
    let loaded = place.load(&read, |chunk| {
        assert!(chunk == raw(index, number), "chunk {number} at {index} has other bytes");
        number += 1;
        Ok(())
    });
    loaded.expect("a published snapshot is whole");
    assert_eq!(number, CHUNKS);
}
