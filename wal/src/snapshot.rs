//! The files of a snapshot: chunks, and the manifest that makes them one.
//!
//! ```text
//!   DIR/snapshots/0003/00000000000000004711/chunk-000000
//!                                           chunk-000001
//!                                           MANIFEST       last, and only when all else is durable
//! ```
//!
//! A chunk is a piece of a slice's keyspace, compressed; the manifest says of which slice at which
//! index, and names every chunk with its size and checksum. A directory without a manifest is no
//! snapshot. What the bytes of a chunk mean is not known here, nor what the node attaches. The
//! formats are described in `docs/formats/snapshot.md`.

mod chunk;
mod error;
mod manifest;
mod names;

pub use chunk::{CHUNK_HEADER_SIZE, ChunkHeader, ChunkId, ChunkRef, Codec};
pub use chunk::{decode_chunk, encode_chunk, inspect_chunk};
pub use error::SnapshotError;
pub use manifest::{ATTACHMENT_SIZE_MAX, Manifest};
pub use names::{MANIFEST_NAME, MANIFEST_NEW_NAME, SNAPSHOTS_NAME};
pub use names::{chunk_name, index_name, parse_index, parse_slice, slice_name};
