//! Reading files through memory maps: for the tools, which look at a log beside a running server.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

/// Reads the files of one directory, read-only, the last one used being mapped.
#[derive(Debug)]
pub struct MappedReader {
    directory: PathBuf,
    mapped: Option<(String, Mmap)>,
}

impl MappedReader {
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), mapped: None }
    }

    /// Fills `into` from `offset` of the file `name`; an error if the file ends before.
    pub fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let map = self.map(name)?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(into.len());
        let bytes = end.and_then(|end| map.get(start..end));
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn map(&mut self, name: &str) -> io::Result<&Mmap> {
        if self.mapped.as_ref().is_none_or(|(mapped, _)| mapped != name) {
            let file = File::open(self.directory.join(name))?;
            // SAFETY: the map is read-only, its bytes are only ever copied out and are checked
            // before they are believed; the server never makes a log file shorter.
            let map = unsafe { Mmap::map(&file) }?;
            self.mapped = Some((name.to_owned(), map));
        }
        let (_, map) = self.mapped.as_ref().expect("it was mapped above");
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_where_they_are_and_not_beyond_the_end() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::write(directory.path().join("one"), b"0123456789").expect("it is writable");
        std::fs::write(directory.path().join("two"), b"abc").expect("it is writable");
        let mut reader = MappedReader::new(directory.path());
        let mut four = [0; 4];
        reader.read_at("one", 6, &mut four).expect("it is long enough");
        assert_eq!(&four, b"6789");
        assert!(reader.read_at("two", 0, &mut four).is_err());
        assert!(reader.read_at("one", 7, &mut four).is_err());
        assert!(reader.read_at("none", 0, &mut four).is_err());
    }
}
