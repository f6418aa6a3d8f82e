//! The data directory: who owns it, what it is, where the logs are.
//!
//! ```text
//! toroid-data/
//!   LOCK        held while a server runs here
//!   node        what this directory is: format, node, slices
//!   log-00/     the log of core 0: segments, hard state, ballast (docs/formats/wal.md)
//! ```
//!
//! `node` is written once, whole, when the directory is made. A directory with other files and
//! no `node` belongs to somebody else and is not touched.

use std::fmt;
use std::path::{Path, PathBuf};

use runtime::files::{self, DirectoryLock};

use crate::chance::random_bytes;

/// The version of the directory's layout.
const FORMAT: u32 = 1;

const IDENTITY: &str = "node";

/// An opened, locked data directory. Owner: node.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    pub identity: Identity,
    /// Made by this start.
    pub is_new: bool,
    lock: DirectoryLock,
}

/// What the file `node` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uuid: [u8; 16],
    pub slices: u16,
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
    /// Opens `path`, making it if it is missing or empty, and locks it for this process.
    pub fn open(path: &Path, slices: u16) -> Result<Self, DataDirError> {
        std::fs::create_dir_all(path).map_err(|cause| {
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
            None => (make_identity(&path, slices)?, true),
        };
        if identity.slices != slices {
            return Err(DataDirError(format!(
                "{} was made with {} slices, and the number is fixed when data is created; \
                 --slices says {slices}.\nFix: remove the directive `slices`.",
                path.display(),
                identity.slices
            )));
        }
        Ok(Self { path, identity, is_new, lock })
    }

    /// What makes this process the only one here.
    pub fn lock(&self) -> &DirectoryLock {
        &self.lock
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log of `core` lies.
    pub fn log_path(&self, core: base::CoreId) -> PathBuf {
        log_path(&self.path, core)
    }
}

/// Where the log of `core` lies under the data directory `path`.
pub fn log_path(path: &Path, core: base::CoreId) -> PathBuf {
    path.join(format!("log-{:02}", core.0))
}

/// Reads the identity of a data directory without opening it for use.
pub fn read_identity(path: &Path) -> Result<Option<Identity>, DataDirError> {
    let file = path.join(IDENTITY);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(DataDirError(format!("cannot read {}: {cause}", file.display())));
        }
    };
    parse_identity(&text).map(Some).map_err(|why| {
        DataDirError(format!(
            "{} is damaged or not a Toroid file: {why}.\nFix: restore it from a copy; it is \
             needed to know that the log beside it is this node's.",
            file.display()
        ))
    })
}

fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    let entries = std::fs::read_dir(path).map_err(|cause| {
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
    let uuid = random_bytes().map_err(|cause| DataDirError(format!("no randomness: {cause}")))?;
    let identity = Identity { uuid, slices };
    let file = path.join(IDENTITY);
    files::replace(&file, print_identity(&identity).as_bytes())
        .map_err(|cause| DataDirError(format!("cannot write {}: {cause}", file.display())))?;
    Ok(identity)
}

fn print_identity(identity: &Identity) -> String {
    let body =
        format!("toroid-data {FORMAT}\nnode {}\nslices {}\n", hex(&identity.uuid), identity.slices);
    let crc = crc32fast::hash(body.as_bytes());
    format!("{body}crc32 {crc:08x}\n")
}

fn parse_identity(text: &str) -> Result<Identity, String> {
    let mut words = text.split_whitespace();
    let mut expect = |name: &str| match (words.next(), words.next()) {
        (Some(found), Some(value)) if found == name => Ok(value.to_owned()),
        _ => Err(format!("no line '{name}'")),
    };
    let format = expect("toroid-data")?;
    if format != FORMAT.to_string() {
        return Err(format!(
            "it has format {format}, this version reads format {FORMAT}; use the version of \
             toroid that wrote it, or a newer one"
        ));
    }
    let uuid = expect("node")?;
    let slices = expect("slices")?;
    let crc = expect("crc32")?;
    let body_size = text.find("crc32 ").ok_or("no line 'crc32'")?;
    if crc != format!("{:08x}", crc32fast::hash(&text.as_bytes()[..body_size])) {
        return Err("its checksum does not match".to_owned());
    }
    Ok(Identity {
        uuid: unhex(&uuid).ok_or("the node id is malformed")?,
        slices: slices.parse().map_err(|_| "the number of slices is malformed")?,
    })
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
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_and_any_change_of_it_is_noticed() {
        let identity = Identity { uuid: *b"0123456789abcdef", slices: 1 };
        let text = print_identity(&identity);
        assert_eq!(parse_identity(&text).as_ref(), Ok(&identity));
        for position in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert_ne!(parse_identity(&changed).as_ref(), Ok(&identity), "byte {position}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_with_its_number() {
        let text =
            print_identity(&Identity { uuid: [7; 16], slices: 1 }).replace("data 1", "data 2");
        let error = parse_identity(&text).expect_err("the format is newer");
        assert!(error.contains("format 2"), "{error}");
    }
}
