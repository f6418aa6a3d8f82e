//! What is wrong with the bytes of a chunk or a manifest, and at which place of the file.

use std::fmt;

use base::{LogIndex, SliceId};

/// Why bytes are not the chunk or the manifest they should be. Offsets are bytes from the start of
/// the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// The file ends within its header.
    Short { size: usize, header: usize },
    /// Offset 0 does not hold what such a file begins with.
    Magic,
    /// The whole file is well, of a format that is newer than this program.
    Newer { version: u32, known: u32 },
    /// The file does not have the size its header asks for.
    Size { found: u64, expected: u64 },
    /// The checksum at `offset` does not fit the rest of the file.
    Checksum { offset: usize, stored: u32, found: u32 },
    /// The checksum fits, and a field has a value that no writer puts there.
    Field { name: &'static str, offset: usize, value: u64 },
    /// The compressed body does not decompress to its size.
    Body { offset: usize, why: String },
    /// A whole chunk, but of another slice, snapshot or place than the one that was asked for.
    Elsewhere { slice: SliceId, index: LogIndex, number: u32 },
    /// A whole chunk, but not the one the manifest was written for.
    NotListed { name: &'static str, listed: u64, found: u64 },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { size, header } => {
                write!(f, "the file has {size} bytes, its header alone has {header}")
            }
            Self::Magic => f.write_str("the first 8 bytes are not those of such a file"),
            Self::Newer { version, known } => {
                write!(f, "it has format version {version}, and this program knows {known}")
            }
            Self::Size { found, expected } => {
                write!(f, "the file has {found} bytes, and its header asks for {expected}")
            }
            Self::Checksum { offset, stored, found } => write!(
                f,
                "the checksum at offset {offset} is {stored:08x}, and the rest of the file has \
                 {found:08x}"
            ),
            Self::Field { name, offset, value } => {
                write!(f, "the {name} at offset {offset} cannot be {value}")
            }
            Self::Body { offset, why } => {
                write!(f, "the compressed body at offset {offset} cannot be expanded: {why}")
            }
            Self::Elsewhere { slice, index, number } => {
                write!(f, "it is chunk {number} of slice {slice} at index {index}")
            }
            Self::NotListed { name, listed, found } => {
                write!(f, "its {name} is {found}, and the manifest lists {listed}")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}
