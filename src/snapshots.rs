//! The snapshots of a data directory as a start finds them (`docs/formats/snapshot.md`).
//!
//! `open` lists what was published and removes what was not. A slice is then loaded from one of its
//! candidates, newest first: the chunks are read, checked and expanded on a thread of their own, one
//! or two ahead of whoever puts them into a keyspace. Each core's recovery loads its own slices, so
//! slices load side by side.
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
#[derive(Debug)]
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

/// What a start has to say of loading one slice.
#[derive(Debug)]
pub struct Loaded<S> {
    pub manifest: Manifest,
    pub state: S,
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

    /// Lists what was published, and removes what never was. What is listed is durable: a killed
    /// process may have renamed a manifest and not flushed its directory.
    ///
    /// # Errors
    ///
    /// The directory that cannot be read, cleaned or flushed.
    pub fn open(&self) -> Result<Candidates, SnapshotFault> {
        let mut candidates = Candidates::new();
        for (name, path) in directories(&self.root())? {
            let Some(slice) = snapshot::parse_slice(&name) else { continue };
            let indexes = open_slice(&path)?;
            if !indexes.is_empty() {
                flush(&path)?;
                candidates.insert(slice, indexes);
            }
        }
        if !candidates.is_empty() {
            flush(&self.root())?;
            flush(&self.directory)?;
        }
        Ok(candidates)
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

    /// Loads a slice from the newest of its candidates that is whole. A damaged one is passed over
    /// only if the log still has every entry after the next one, which `log_covers` tells of an index.
    /// A state is begun for each try, and dropped with it. None if there is no candidate.
    ///
    /// # Errors
    ///
    /// The damage, and why nothing else will do.
    pub fn load_newest<S>(
        &self,
        slice: SliceId,
        candidates: &[LogIndex],
        log_covers: impl Fn(LogIndex) -> bool,
        mut begin: impl FnMut(&Manifest) -> Result<S, String>,
        mut visit: impl FnMut(&mut S, &[u8]) -> Result<(), String>,
    ) -> Result<Option<Loaded<S>>, SnapshotFault> {
        let mut damaged: Vec<SnapshotFault> = Vec::new();
        for &index in candidates {
            if !damaged.is_empty() && !log_covers(index) {
                break;
            }
            let attempt = self.manifest(slice, index).and_then(|manifest| {
                let path = || self.of(slice, index);
                let mut state =
                    begin(&manifest).map_err(|message| SnapshotFault { path: path(), message })?;
                self.load(&manifest, |chunk| visit(&mut state, chunk))?;
                Ok((manifest, state))
            });
            match attempt {
                Ok((manifest, state)) => return Ok(Some(Loaded { manifest, state, damaged })),
                Err(fault) => damaged.push(fault),
            }
        }
        match damaged.pop() {
            None => Ok(None),
            Some(last) => Err(no_way_on(slice, candidates, damaged, last)),
        }
    }
}

/// The damage that ends a start, with what else was tried.
fn no_way_on(
    slice: SliceId,
    candidates: &[LogIndex],
    others: Vec<SnapshotFault>,
    last: SnapshotFault,
) -> SnapshotFault {
    let SnapshotFault { path, mut message } = last;
    for other in &others {
        message.push_str(&format!("; and {other}"));
    }
    let tried = others.len() + 1;
    message.push_str(&match candidates.get(tried) {
        Some(older) => format!(
            "; the log no longer has every entry after index {older}, at which slice {slice} has \
             another snapshot"
        ),
        None => format!("; there is no other snapshot of slice {slice}"),
    });
    SnapshotFault { path, message }
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

/// The published snapshots of a slice, newest first; the others are removed.
fn open_slice(path: &Path) -> Result<Vec<LogIndex>, SnapshotFault> {
    let mut indexes = Vec::new();
    for (name, path) in directories(path)? {
        let Some(index) = snapshot::parse_index(&name) else { continue };
        if path.join(MANIFEST_NAME).try_exists().map_err(|error| fault(&path, "read", &error))? {
            flush(&path)?;
            indexes.push(index);
        } else {
            fs::remove_dir_all(&path).map_err(|error| fault(&path, "remove", &error))?;
        }
    }
    indexes.sort_unstable_by(|one, other| other.cmp(one));
    Ok(indexes)
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
mod tests;
