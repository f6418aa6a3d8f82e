//! The ballast of earlier versions: one file of zeros in each log, whose room was given back to the
//! disk when a start was in need of it. Between two cores, the other one's log could take that room.
//!
//! Now the log keeps segments instead. A file of zeros is a segment that was made in part, whatever
//! its size, so the old ballast becomes one by its name, and its room stays where it is.

use std::io;
use std::path::Path;

use wal::LogFile;

/// Makes a segment of a log's old ballast, if there is one. Before the log is read.
pub(super) fn convert(log: &Path) -> io::Result<()> {
    let ballast = log.join(LogFile::Ballast.name());
    if !ballast.try_exists()? {
        return Ok(());
    }
    let mut last = 0;
    for entry in log.read_dir()? {
        if let Some(LogFile::Segment(id)) = entry?.file_name().to_str().and_then(LogFile::parse) {
            last = last.max(id);
        }
    }
    let next = last.checked_add(1).ok_or(io::ErrorKind::InvalidData)?;
    std::fs::rename(ballast, log.join(LogFile::Segment(next).name()))?;
    std::fs::File::open(log)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Red when: the new name is one that is taken; the room is given back.
    #[test]
    fn the_old_ballast_becomes_the_last_segment_with_all_its_bytes() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let log = directory.path();
        convert(log).expect("there is nothing to do");
        for (name, size) in [("00000007.segment", 3), ("hardstate", 4), ("ballast", 5000)] {
            fs::write(log.join(name), vec![0; size]).expect("there is room");
        }
        convert(log).expect("there is room");
        convert(log).expect("it was done");
        let mut left = Vec::new();
        for entry in fs::read_dir(log).expect("it can be listed") {
            let entry = entry.expect("it can be listed");
            let size = entry.metadata().expect("it is there").len();
            left.push((entry.file_name().into_string().expect("our names are ASCII"), size));
        }
        left.sort();
        let expected = [("00000007.segment", 3), ("00000008.segment", 5000), ("hardstate", 4)];
        assert_eq!(left, expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
