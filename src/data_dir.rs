//! The data directory: who owns it, what it is, where the logs are.
//!
//! ```text
//! toroid-data/
//!   LOCK        held while a server runs here
//!   node        what this directory is: format, node, slices, hash seed
//!   logs        the generations of logs: which number of cores wrote which
//!   log-1-0/    generation 1, core 0: segments, hard state (docs/formats/wal.md)
//!   log-1-1/
//! ```
//!
//! `node` is written once, whole, when the directory is made. A directory with other files and
//! no `node` belongs to somebody else and is not touched. Directories of format 1 have `log-00/`
//! instead, which is generation 0, and no `logs`.

mod generations;
mod identity;
mod old_ballast;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::CoreId;
use runtime::files::{self, DirectoryLock};

use crate::chance::random_bytes;

use generations::Listed;

pub use generations::Generation;
pub use identity::Identity;

/// The parts of the keyspace of new data, unless `slices` says otherwise.
pub const SLICES_DEFAULT: u16 = 16;

const IDENTITY: &str = "node";
const LOGS: &str = "logs";

/// An opened, locked data directory. Owner: node.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    pub identity: Identity,
    /// Made by this start.
    pub is_new: bool,
    listed: Listed,
    lock: Arc<DirectoryLock>,
}

/// A directory that cannot be used: what, why, and what to do.
#[derive(Debug)]
pub struct DataDirError(String);

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DataDirError {}

impl DataDir {
    /// Opens `path`, making it if it is missing or empty, and locks it for this process. `slices`
    /// is what the operator asks for.
    pub fn open(path: &Path, slices: Option<u16>) -> Result<Self, DataDirError> {
        fs::create_dir_all(path).map_err(|cause| {
            DataDirError(format!(
                "cannot make the data directory {}: {cause}.\nFix: make it and give it to the \
                 user that runs toroid, or choose another with --dir.",
                path.display()
            ))
        })?;
        let path = path
            .canonicalize()
            .map_err(|cause| DataDirError(format!("cannot resolve {}: {cause}", path.display())))?;
        refuse_foreign(&path)?;
        let lock =
            DirectoryLock::acquire(&path).map_err(|cause| DataDirError(cause.to_string()))?;
        let known = read_identity(&path)?;
        match files::check_direct_writes(&path) {
            Ok(()) => {}
            // What is here was written by direct writes. A full disk must not stop a restart:
            // the log has set room aside for it.
            Err(cause) if known.is_some() && cause.is_full() => {
                tracing::warn!("{cause}");
            }
            Err(cause) => return Err(DataDirError(cause.to_string())),
        }
        let (identity, is_new) = match known {
            Some(identity) => (identity, false),
            None => (make_identity(&path, slices.unwrap_or(SLICES_DEFAULT))?, true),
        };
        if let Some(slices) = slices.filter(|slices| *slices != identity.slices) {
            let made = identity.slices;
            return Err(DataDirError(format!(
                "{} was made with {made} slices, and the number is fixed when data is created; \
                 the directive `slices` says {slices}.\nFix: remove the directive, or set it to \
                 {made}. For another number, start with an empty --dir and copy the data over.",
                path.display(),
            )));
        }
        let listed = read_listed(&path, &identity)?;
        Ok(Self { path, identity, is_new, listed, lock: Arc::new(lock) })
    }

    /// What makes this process the only one here.
    pub fn lock(&self) -> Arc<DirectoryLock> {
        Arc::clone(&self.lock)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The generations there are, oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.listed.generations
    }

    /// The generation that a start with `cores` writes: the last one if that many cores wrote it,
    /// otherwise the next, which nothing knows of before [`DataDir::begin`].
    pub fn generation_for(&self, cores: u16) -> Generation {
        match self.listed.generations.last() {
            Some(last) if last.cores == cores => *last,
            Some(last) => Generation { number: last.number + 1, cores },
            None => Generation { number: 1, cores },
        }
    }

    /// Makes the directories of a generation's logs ready to be read and written. Those of a new one
    /// must be empty.
    pub fn make_logs(&self, generation: Generation) -> Result<(), DataDirError> {
        let is_new = !self.listed.generations.contains(&generation);
        for core in generation.logs() {
            let path = self.log_path(generation, core);
            let entries = fs::create_dir_all(&path).and_then(|()| fs::read_dir(&path));
            let mut entries = entries.map_err(|cause| {
                DataDirError(format!("cannot make the log directory {}: {cause}", path.display()))
            })?;
            if is_new && let Some(Ok(entry)) = entries.next() {
                return Err(DataDirError(format!(
                    "{} is to be a new log, but holds '{}': the file '{LOGS}' of {} does not know \
                     this log, so it cannot be told what is in it. Nothing was changed.\nFix: \
                     restore '{LOGS}' from the copy the log came with, or move {} away.",
                    path.display(),
                    entry.file_name().to_string_lossy(),
                    self.path.display(),
                    path.display()
                )));
            }
            old_ballast::convert(&path).map_err(|cause| {
                let path = path.display();
                DataDirError(format!("cannot make a segment of the old ballast in {path}: {cause}"))
            })?;
        }
        self.sync(&self.path)
    }

    /// Records a new generation, durably, before anything is written to its logs. What its start
    /// has read of the one before is made durable first: nobody else will.
    pub fn begin(&mut self, generation: Generation) -> Result<(), DataDirError> {
        self.remove_dropped()?;
        if self.listed.generations.contains(&generation) {
            return Ok(());
        }
        if let Some(last) = self.listed.generations.last() {
            for core in last.logs() {
                self.sync_log(&self.log_path(*last, core))?;
            }
        }
        self.listed.generations.push(generation);
        self.write_listed()
    }

    /// Removes the logs of generation `newest` and of all before it: snapshots cover what is in
    /// them, for every slice, even if the newest snapshot is lost. Never the last generation.
    ///
    /// Only for a node that serves: the terms and votes of its slices are in its own logs then.
    pub fn drop_generations(&mut self, newest: u32) -> Result<(), DataDirError> {
        let Listed { generations, dropped } = &mut self.listed;
        let last = generations.last().expect("a node that serves has a generation");
        assert!(newest < last.number, "the generation that is written is needed");
        let kept = generations.partition_point(|generation| generation.number <= newest);
        dropped.extend(generations.drain(..kept));
        // Whatever is left of them when the process dies, nobody takes it for a damaged log.
        self.write_listed()?;
        self.remove_dropped()
    }

    fn remove_dropped(&mut self) -> Result<(), DataDirError> {
        if self.listed.dropped.is_empty() {
            return Ok(());
        }
        for generation in std::mem::take(&mut self.listed.dropped) {
            for core in generation.logs() {
                let path = self.log_path(generation, core);
                match fs::remove_dir_all(&path) {
                    Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                        let text = format!("cannot remove {}: {cause}", path.display());
                        return Err(DataDirError(text));
                    }
                    _ => {}
                }
            }
        }
        self.sync(&self.path)?;
        self.write_listed()
    }

    fn write_listed(&self) -> Result<(), DataDirError> {
        let file = self.path.join(LOGS);
        files::replace(&file, generations::print(&self.listed).as_bytes())
            .map_err(|cause| DataDirError(format!("cannot write {}: {cause}", file.display())))
    }

    /// Where a log lies.
    pub fn log_path(&self, generation: Generation, core: CoreId) -> PathBuf {
        self.path.join(generation.log_name(core))
    }

    fn sync_log(&self, log: &Path) -> Result<(), DataDirError> {
        let fail = |cause| DataDirError(format!("cannot read {}: {cause}", log.display()));
        for entry in fs::read_dir(log).map_err(fail)? {
            self.sync(&entry.map_err(fail)?.path())?;
        }
        self.sync(log)
    }

    fn sync(&self, path: &Path) -> Result<(), DataDirError> {
        fs::File::open(path).and_then(|opened| opened.sync_all()).map_err(|cause| {
            DataDirError(format!("cannot make {} durable: {cause}", path.display()))
        })
    }
}

/// Reads the generations of a data directory without opening it for use.
pub fn read_generations(path: &Path, identity: &Identity) -> Result<Vec<Generation>, DataDirError> {
    read_listed(path, identity).map(|listed| listed.generations)
}

/// Reads which generations are being removed.
pub fn read_dropped(path: &Path, identity: &Identity) -> Result<Vec<Generation>, DataDirError> {
    read_listed(path, identity).map(|listed| listed.dropped)
}

fn read_listed(path: &Path, identity: &Identity) -> Result<Listed, DataDirError> {
    let file = path.join(LOGS);
    match fs::read_to_string(&file) {
        Ok(text) => generations::parse(&text).map_err(|why| {
            DataDirError(format!(
                "{} is damaged or not a Toroid file: {why}.\nFix: restore it from a copy; it is \
                 needed to know which logs belong together, and in which order.",
                file.display()
            ))
        }),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            if identity.format == 1 {
                let generations = vec![Generation { number: 0, cores: 1 }];
                return Ok(Listed { generations, dropped: Vec::new() });
            }
            refuse_lost_logs(path)?;
            Ok(Listed::default())
        }
        Err(cause) => Err(DataDirError(format!("cannot read {}: {cause}", file.display()))),
    }
}

/// Without the file there may be no log that holds anything: the first one is recorded before it
/// is written.
fn refuse_lost_logs(path: &Path) -> Result<(), DataDirError> {
    let fail = |cause| DataDirError(format!("cannot read {}: {cause}", path.display()));
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_used = name.starts_with("log-")
            && fs::read_dir(entry.path()).is_ok_and(|mut entries| entries.next().is_some());
        if is_used {
            return Err(DataDirError(format!(
                "{} holds the log '{name}' and no file '{LOGS}', which says how many cores wrote \
                 it. Nothing was changed.\nFix: restore '{LOGS}' from a copy.",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Reads the identity of a data directory without opening it for use.
pub fn read_identity(path: &Path) -> Result<Option<Identity>, DataDirError> {
    let file = path.join(IDENTITY);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(DataDirError(format!("cannot read {}: {cause}", file.display())));
        }
    };
    Identity::parse(&text).map(Some).map_err(|why| {
        DataDirError(format!(
            "{} is damaged or not a Toroid file: {why}.\nFix: restore it from a copy; it is \
             needed to know that the log beside it is this node's.",
            file.display()
        ))
    })
}

fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    let entries = fs::read_dir(path).map_err(|cause| {
        DataDirError(format!(
            "cannot read the data directory {}: {cause}.\nFix: give it to the user that runs \
             toroid, or choose another with --dir.",
            path.display()
        ))
    })?;
    let mut foreign = None;
    for entry in entries {
        let entry = entry.map_err(|cause| DataDirError(format!("{}: {cause}", path.display())))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == IDENTITY {
            return Ok(());
        }
        // What a start leaves behind that died before the identity was written.
        let ours = name == "LOCK"
            || name == "lost+found"
            || name == format!("{IDENTITY}.new")
            || name.starts_with(".direct-write");
        if !ours {
            foreign = Some(name);
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => Err(DataDirError(format!(
            "{} is not a Toroid data directory: it holds '{name}' and no file '{IDENTITY}'. \
             Nothing was touched.\nFix: choose an empty directory with --dir.",
            path.display()
        ))),
    }
}

fn make_identity(path: &Path, slices: u16) -> Result<Identity, DataDirError> {
    let fail = |cause| DataDirError(format!("no randomness: {cause}"));
    let uuid = random_bytes().map_err(fail)?;
    let hash_seed = u64::from_le_bytes(random_bytes().map_err(fail)?);
    let identity = Identity::new(uuid, slices, hash_seed);
    let file = path.join(IDENTITY);
    files::replace(&file, identity.print().as_bytes())
        .map_err(|cause| DataDirError(format!("cannot write {}: {cause}", file.display())))?;
    Ok(identity)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
