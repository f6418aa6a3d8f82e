//! A log directory as recovery and the tools read it: `wal`'s `LogRead` over real files.

use std::path::Path;

use runtime::files::{DirectReader, FileSize, MappedReader};
use wal::{LogFile, LogRead, ReadError};

/// Reads with direct I/O: what the disk holds, not what the page cache remembers. For recovery.
#[derive(Debug)]
pub struct DirectLog {
    reader: DirectReader,
}

impl DirectLog {
    pub fn new(directory: &Path) -> Self {
        Self { reader: DirectReader::new(directory) }
    }
}

impl LogRead for DirectLog {
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError> {
        let files = self.reader.list().map_err(|cause| read_error(None, 0, &cause))?;
        Ok(known(files))
    }

    fn read_at(&mut self, file: LogFile, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        self.reader
            .read_at(&file.name(), offset, into)
            .map_err(|cause| read_error(Some(file), offset, &cause))
    }
}

/// Reads through memory maps, beside a running server or without one. For the tools.
#[derive(Debug)]
pub struct MappedLog {
    list: DirectReader,
    reader: MappedReader,
}

impl MappedLog {
    pub fn new(directory: &Path) -> Self {
        Self { list: DirectReader::new(directory), reader: MappedReader::new(directory) }
    }
}

impl LogRead for MappedLog {
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError> {
        let files = self.list.list().map_err(|cause| read_error(None, 0, &cause))?;
        Ok(known(files))
    }

    fn read_at(&mut self, file: LogFile, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        self.reader
            .read_at(&file.name(), offset, into)
            .map_err(|cause| read_error(Some(file), offset, &cause))
    }
}

/// The files of a log among those of a directory, in the order of their names.
fn known(mut files: Vec<FileSize>) -> Vec<(LogFile, u64)> {
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files.iter().filter_map(|file| Some((LogFile::parse(&file.name)?, file.size))).collect()
}

fn read_error(file: Option<LogFile>, offset: u64, cause: &std::io::Error) -> ReadError {
    ReadError { file, offset, message: cause.to_string() }
}
