//! The steps of each kind of job, in the order that a power cut may end anywhere.

use base::{LogIndex, SliceId};
use runtime::housekeeping::{Job, Step};
use wal::snapshot::{
    ChunkId, ChunkRef, MANIFEST_NAME, MANIFEST_NEW_NAME, Manifest, chunk_name, encode_chunk,
};

use crate::snapshots::Place;

/// What a job is about, and what it works on.
#[derive(Debug)]
pub struct Cargo {
    pub(super) slice: SliceId,
    pub(super) index: LogIndex,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Begin,
    /// `reference` is known when the chunk is encoded.
    Chunk {
        number: u32,
        raw: Vec<u8>,
        reference: Option<ChunkRef>,
    },
    Publish,
    /// Removal of an attempt, or of a snapshot that is too old.
    Remove,
}

/// An empty directory for an attempt. What is there already is a snapshot that a start did not trust, or
/// what an earlier attempt could not remove.
pub(super) fn begin(place: &Place, slice: SliceId, index: LogIndex) -> Job<Cargo> {
    let directory = place.of(slice, index);
    let create = |path| Step::CreateDirectory { path };
    let steps = vec![
        create(place.root()),
        create(place.of_slice(slice)),
        create(directory.clone()),
        Step::RemoveFile { path: directory.join(MANIFEST_NAME) },
        Step::FlushDirectory { path: directory.clone() },
        Step::RemoveTree { path: directory.clone() },
        create(directory),
    ];
    Job { cargo: Cargo { slice, index, kind: Kind::Begin }, steps }
}

/// Compresses, writes and flushes a chunk.
pub(super) fn chunk(place: &Place, id: ChunkId, raw: Vec<u8>) -> Job<Cargo> {
    let ChunkId { slice, index, number } = id;
    let kind = Kind::Chunk { number, raw, reference: None };
    let path = place.of(slice, index).join(chunk_name(number));
    let make = Box::new(move |cargo: &mut Cargo| {
        let Kind::Chunk { raw, reference, .. } = &mut cargo.kind else {
            unreachable!("the job was made for a chunk")
        };
        let (file, made) = encode_chunk(id, raw);
        *reference = Some(made);
        file
    });
    Job { cargo: Cargo { slice, index, kind }, steps: vec![Step::Write { path, make }] }
}

/// Makes the chunks a snapshot: their names durable, then the manifest under another name, then its
/// name, then the names of the directories above.
pub(super) fn publish(place: &Place, manifest: Manifest) -> Job<Cargo> {
    let (slice, index) = (manifest.slice, manifest.index);
    let directory = place.of(slice, index);
    let (new, last) = (directory.join(MANIFEST_NEW_NAME), directory.join(MANIFEST_NAME));
    let flush = |path| Step::FlushDirectory { path };
    let steps = vec![
        Step::Write { path: new.clone(), make: Box::new(move |_| manifest.encode()) },
        flush(directory.clone()),
        Step::Rename { from: new, to: last },
        flush(directory),
        flush(place.of_slice(slice)),
        flush(place.root()),
        flush(place.directory().to_owned()),
    ];
    Job { cargo: Cargo { slice, index, kind: Kind::Publish }, steps }
}

/// Removes a directory whose manifest goes first, for good: what is left then is no snapshot.
pub(super) fn remove(place: &Place, slice: SliceId, index: LogIndex) -> Job<Cargo> {
    let directory = place.of(slice, index);
    let steps = vec![
        Step::RemoveFile { path: directory.join(MANIFEST_NAME) },
        Step::FlushDirectory { path: directory.clone() },
        Step::RemoveTree { path: directory },
        Step::FlushDirectory { path: place.of_slice(slice) },
    ];
    Job { cargo: Cargo { slice, index, kind: Kind::Remove }, steps }
}
