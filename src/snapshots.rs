//! The snapshots of a data directory as a start finds them (`docs/formats/snapshot.md`).
//!
//! `list` tells what is there; once a start knows that it can go on, `tidy` removes what was never
//! published. A slice is loaded from one of its candidates, newest first: the chunks are read,
//! checked and expanded on a thread of their own, one or two ahead of whoever puts them into a
//! keyspace. Each core's recovery loads its own slices, so slices load side by side.
//!
//! Damage is reported with the file and the place in it. Whether an older candidate will do, is for
//! the log to say: it must still hold every entry after it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use base::{LogIndex, SliceId};
use runtime::files::DirectReader;
use wal::snapshot::{self, ChunkId, MANIFEST_NAME, Manifest, SNAPSHOTS_NAME};

/// Expanded chunks that wait for whoever takes them.
const CHUNKS_AHEAD: usize = 2;

/// The largest manifest that is read: bytes.
const MANIFEST_SIZE_MAX: u64 = 512 * 1024 * 1024;

/// Where snapshots lie, and whose they are. Owner: node.
#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
    node_uuid: [u8; 16],
}

/// A snapshot or a directory of them that cannot be used: which file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFault {
    pub path: PathBuf,
    pub message: String,
}

impl fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for SnapshotFault {}

/// Indexes of published snapshots by slice, newest first.
pub type Candidates = BTreeMap<SliceId, Vec<LogIndex>>;

/// What lies in the directories of the slices.
#[derive(Debug, Default)]
pub struct Listing(pub BTreeMap<SliceId, Listed>);

/// Of one slice.
#[derive(Debug, Default)]
pub struct Listed {
    /// Indexes of its snapshots, newest first.
    pub published: Vec<LogIndex>,
    /// Directories without a manifest: attempts, and what was about to be removed.
    pub unpublished: Vec<PathBuf>,
}

impl Listing {
    pub fn published(&self, slice: SliceId) -> &[LogIndex] {
        self.0.get(&slice).map_or(&[], |listed| &listed.published)
    }
}

/// What a start has to say of loading one slice.
#[derive(Debug)]
pub struct Loaded<S> {
    /// None if no candidate is whole.
    pub state: Option<S>,
    /// Newer candidates that are damaged.
    pub damaged: Vec<SnapshotFault>,
}

impl Place {
    /// Of the data directory `directory`, whose node is `node_uuid`.
    pub fn new(directory: &Path, node_uuid: [u8; 16]) -> Self {
        Self { directory: directory.to_owned(), node_uuid }
    }

    pub fn node_uuid(&self) -> [u8; 16] {
        self.node_uuid
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of all snapshots.
    pub fn root(&self) -> PathBuf {
        self.directory.join(SNAPSHOTS_NAME)
    }

    /// The directory of a slice's snapshots.
    pub fn of_slice(&self, slice: SliceId) -> PathBuf {
        self.root().join(snapshot::slice_name(slice))
    }

    /// The directory of one snapshot.
    pub fn of(&self, slice: SliceId, index: LogIndex) -> PathBuf {
        self.of_slice(slice).join(snapshot::index_name(index))
    }

    /// Lists what is there, and changes nothing.
    ///
    /// # Errors
    ///
    /// The directory that cannot be read.
    pub fn list(&self) -> Result<Listing, SnapshotFault> {
        let mut listing = Listing::default();
        for (name, path) in directories(&self.root())? {
            let Some(slice) = snapshot::parse_slice(&name) else { continue };
            list_slice(&path, listing.0.entry(slice).or_default())?;
        }
        Ok(listing)
    }

    /// Removes what was never published, and makes what was durable: a killed process may have renamed
    /// a manifest and not flushed its directory. Before anything is built on it.
    ///
    /// # Errors
    ///
    /// The directory that cannot be cleaned or flushed.
    pub fn tidy(&self, listing: &Listing) -> Result<(), SnapshotFault> {
        let mut has_any = false;
        for (&slice, Listed { published, unpublished }) in &listing.0 {
            for path in unpublished {
                fs::remove_dir_all(path).map_err(|error| fault(path, "remove", &error))?;
            }
            for index in published {
                flush(&self.of(slice, *index))?;
            }
            if !published.is_empty() {
                flush(&self.of_slice(slice))?;
                has_any = true;
            }
        }
        if has_any {
            flush(&self.root())?;
            flush(&self.directory)?;
        }
        Ok(())
    }

    /// Reads the manifest of a candidate.
    ///
    /// # Errors
    ///
    /// It is damaged, or another slice's, index's or node's.
    pub fn manifest(&self, slice: SliceId, index: LogIndex) -> Result<Manifest, SnapshotFault> {
        let path = self.of(slice, index).join(MANIFEST_NAME);
        let fault = |message: String| SnapshotFault { path: path.clone(), message };
        let mut reader = DirectReader::new(&self.of(slice, index));
        let bytes = read_whole(&mut reader, &path, MANIFEST_SIZE_MAX).map_err(fault)?;
        let manifest = Manifest::decode(&bytes).map_err(|error| fault(error.to_string()))?;
        let (own, other) = (manifest.slice, manifest.index);
        if (own, other) != (slice, index) {
            return Err(fault(format!("it is the manifest of slice {own} at index {other}")));
        }
        if manifest.node_uuid != self.node_uuid {
            let uuid = crate::data_dir::hex(&manifest.node_uuid);
            return Err(fault(format!("it belongs to the data of another node, {uuid}")));
        }
        Ok(manifest)
    }

    /// Hands every chunk to `visit`, in order, checked and expanded. When this fails, some chunks
    /// may have been handed over already.
    ///
    /// # Errors
    ///
    /// The chunk that is damaged, or that `visit` refused, by its file.
    pub fn load(
        &self,
        manifest: &Manifest,
        mut visit: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), SnapshotFault> {
        let directory = self.of(manifest.slice, manifest.index);
        let (ahead, chunks) = sync_channel(CHUNKS_AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Nobody takes chunks any more once one of them was refused.
                let ahead = ahead;
                let mut reader = DirectReader::new(&directory);
                for number in numbers(manifest) {
                    let read = read_chunk(&mut reader, &directory, manifest, number);
                    let is_damaged = read.is_err();
                    if ahead.send(read).is_err() || is_damaged {
                        break;
                    }
                }
            });
            let chunks = chunks;
            for (number, raw) in numbers(manifest).zip(&chunks) {
                visit(&raw?).map_err(|message| SnapshotFault {
                    path: directory.join(snapshot::chunk_name(number)),
                    message,
                })?;
            }
            Ok(())
        })
    }
}

/// What `load` makes of the newest candidate that is whole. Whether an older one will do, or none, is
/// for the log to say: it must hold every entry after it.
pub fn newest_whole<S>(
    candidates: &[LogIndex],
    mut load: impl FnMut(LogIndex) -> Result<S, SnapshotFault>,
) -> Loaded<S> {
    let mut damaged = Vec::new();
    for &index in candidates {
        match load(index) {
            Ok(state) => return Loaded { state: Some(state), damaged },
            Err(fault) => damaged.push(fault),
        }
    }
    Loaded { state: None, damaged }
}

fn numbers(manifest: &Manifest) -> std::ops::Range<u32> {
    0..u32::try_from(manifest.chunks.len()).expect("a manifest counts its chunks in 32 bits")
}

fn read_chunk(
    reader: &mut DirectReader,
    directory: &Path,
    manifest: &Manifest,
    number: u32,
) -> Result<Vec<u8>, SnapshotFault> {
    let path = directory.join(snapshot::chunk_name(number));
    let fault = |message: String| SnapshotFault { path: path.clone(), message };
    let listed = manifest.chunks[number as usize];
    let bytes = read_whole(reader, &path, u64::from(listed.file_size)).map_err(fault)?;
    let id = ChunkId { slice: manifest.slice, index: manifest.index, number };
    snapshot::decode_chunk(&bytes, id, listed).map_err(|error| fault(error.to_string()))
}

/// What the disk has, past the page cache. The reader is the one of the file's directory.
fn read_whole(reader: &mut DirectReader, path: &Path, size_max: u64) -> Result<Vec<u8>, String> {
    let text = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "the file is missing".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    let size = fs::metadata(path).map_err(text)?.len();
    if size_max < size {
        return Err(format!("the file has {size} bytes, and {size_max} at most belong there"));
    }
    let mut bytes = vec![0; usize::try_from(size).expect("it is below the most that is read")];
    let name = path.file_name().expect("it is a file of a snapshot").to_string_lossy();
    reader.read_at(&name, 0, &mut bytes).map_err(text)?;
    Ok(bytes)
}

fn list_slice(path: &Path, into: &mut Listed) -> Result<(), SnapshotFault> {
    for (name, path) in directories(path)? {
        let Some(index) = snapshot::parse_index(&name) else { continue };
        if path.join(MANIFEST_NAME).try_exists().map_err(|error| fault(&path, "read", &error))? {
            into.published.push(index);
        } else {
            into.unpublished.push(path);
        }
    }
    into.published.sort_unstable_by(|one, other| other.cmp(one));
    into.unpublished.sort_unstable();
    Ok(())
}

/// The directories in a directory, if it is there.
fn directories(path: &Path) -> Result<Vec<(String, PathBuf)>, SnapshotFault> {
    let fail = |error: io::Error| fault(path, "read", &error);
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        if entry.file_type().map_err(fail)?.is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(found)
}

fn flush(path: &Path) -> Result<(), SnapshotFault> {
    let flushed = File::open(path).and_then(|directory| directory.sync_all());
    flushed.map_err(|error| fault(path, "flush", &error))
}

fn fault(path: &Path, action: &str, error: &io::Error) -> SnapshotFault {
    SnapshotFault { path: path.to_owned(), message: format!("cannot {action} it: {error}") }
}

#[cfg(test)]
pub(crate) mod tests;
