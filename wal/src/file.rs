//! The files of a log's directory, and how they are read.

use std::fmt;

/// A file of one core's log directory. The log owns the names.
///
/// A segment's number is its identity only: the order of segments stands in their headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    Segment(u32),
    HardState,
    Ballast,
}

impl LogFile {
    pub fn name(self) -> String {
        match self {
            Self::Segment(id) => format!("{id:08}.segment"),
            Self::HardState => "hardstate".to_owned(),
            Self::Ballast => "ballast".to_owned(),
        }
    }

    /// None for a name that no log gives.
    pub fn parse(name: &str) -> Option<Self> {
        let file = match name {
            "hardstate" => Self::HardState,
            "ballast" => Self::Ballast,
            _ => Self::Segment(name.strip_suffix(".segment")?.parse().ok()?),
        };
        (file.name() == name).then_some(file)
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Reads a log directory: implemented by the shell with direct I/O, by the tools over memory
/// maps, by the simulator.
pub trait LogRead {
    /// Every file of the log with its size.
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError>;

    /// Fills `into` exactly. Offset and size are multiples of 4 KiB and lie within the file.
    fn read_at(&mut self, file: LogFile, offset: u64, into: &mut [u8]) -> Result<(), ReadError>;
}

/// A read that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    pub file: Option<LogFile>,
    pub offset: u64,
    pub message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => {
                write!(f, "cannot read {file} at offset {}: {}", self.offset, self.message)
            }
            None => write!(f, "cannot list the log's files: {}", self.message),
        }
    }
}

impl std::error::Error for ReadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_parsed_back_to_its_file_and_nothing_else_is() {
        for file in [
            LogFile::Segment(1),
            LogFile::Segment(12_345_678),
            LogFile::Segment(u32::MAX),
            LogFile::HardState,
            LogFile::Ballast,
        ] {
            assert_eq!(LogFile::parse(&file.name()), Some(file));
        }
        assert_eq!(LogFile::Segment(1).name(), "00000001.segment");
        for name in ["1.segment", "+0000001.segment", "00000001.segment~", "lock", ".segment"] {
            assert_eq!(LogFile::parse(name), None, "{name}");
        }
    }
}
