//! What the files and directories of snapshots are called.

use base::{LogIndex, SliceId};

/// The directory of all snapshots, in the data directory.
pub const SNAPSHOTS_NAME: &str = "snapshots";

/// The file that makes its directory a snapshot.
pub const MANIFEST_NAME: &str = "MANIFEST";

/// The manifest until it is durable and renamed.
pub const MANIFEST_NEW_NAME: &str = "MANIFEST.new";

const SLICE_DIGITS: usize = 4;
const INDEX_DIGITS: usize = 20;

/// The directory of a slice's snapshots.
pub fn slice_name(slice: SliceId) -> String {
    format!("{:0SLICE_DIGITS$}", slice.0)
}

/// The directory of the snapshot at an index: names are in the order of the indexes.
pub fn index_name(index: LogIndex) -> String {
    format!("{:0INDEX_DIGITS$}", index.0)
}

/// The file of a chunk.
pub fn chunk_name(number: u32) -> String {
    format!("chunk-{number:06}")
}

/// The slice whose directory has this name.
pub fn parse_slice(name: &str) -> Option<SliceId> {
    let slice = SliceId(digits(name, SLICE_DIGITS)?.try_into().ok()?);
    (slice_name(slice) == name).then_some(slice)
}

/// The index whose directory has this name.
pub fn parse_index(name: &str) -> Option<LogIndex> {
    digits(name, INDEX_DIGITS).map(LogIndex)
}

fn digits(name: &str, count: usize) -> Option<u64> {
    let plain = count <= name.len() && name.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_made_is_read_and_no_other() {
        for slice in [0, 7, 1023, u16::MAX] {
            assert_eq!(parse_slice(&slice_name(SliceId(slice))), Some(SliceId(slice)));
        }
        for index in [0, 4711, u64::MAX] {
            assert_eq!(parse_index(&index_name(LogIndex(index))), Some(LogIndex(index)));
        }
        for foreign in ["", "1", "00001", "+001", "00 1", "70000", "lost+found", "٠٠٠١"] {
            assert_eq!(parse_slice(foreign), None, "{foreign}");
        }
        for foreign in ["1", "+0000000000000000001", "99999999999999999999", "0"] {
            assert_eq!(parse_index(foreign), None, "{foreign}");
        }
        assert_eq!(chunk_name(3), "chunk-000003");
        assert_eq!(chunk_name(1_000_000), "chunk-1000000");
    }
}
