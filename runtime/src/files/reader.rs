//! Reading a log directory back without the page cache, so that what is read is what the disk has.
//!
//! O_DIRECT wants aligned memory, offsets and sizes (open(2)). Reads that are not aligned go through
//! a buffer that is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX};

use crate::memory::AlignedMemory;

/// The name and size of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSize {
    pub name: String,
    pub size: u64,
}

/// Reads the files of one directory. The file read last stays open.
#[derive(Debug)]
pub struct DirectReader {
    directory: PathBuf,
    open: Option<(String, File)>,
    bounce: AlignedMemory,
}

impl DirectReader {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            open: None,
            bounce: AlignedMemory::zeroed(FRAME_SIZE_MAX),
        }
    }

    /// The regular files of the directory, by name. Names that are not UTF-8 are not ours.
    pub fn list(&self) -> io::Result<Vec<FileSize>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (Ok(name), true) = (entry.file_name().into_string(), metadata.is_file()) {
                files.push(FileSize { name, size: metadata.len() });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Fills `into` from `offset` on; a file that ends before is an error.
    pub fn read_at(&mut self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.open(name)?;
        let (_, file) = self.open.as_ref().expect("it was just opened");
        let aligned = into.as_ptr().addr().is_multiple_of(BLOCK_SIZE)
            && into.len().is_multiple_of(BLOCK_SIZE)
            && offset.is_multiple_of(BLOCK_SIZE as u64);
        if aligned {
            let size = read_up_to(file, offset, into)?;
            return if size == into.len() { Ok(()) } else { Err(ends_early(name)) };
        }
        let mut done = 0;
        while done < into.len() {
            let position = offset + done as u64;
            let skip = usize::try_from(position % BLOCK_SIZE as u64).expect("it is below a block");
            let bounce = self.bounce.bytes_mut();
            let wanted = (skip + into.len() - done).next_multiple_of(BLOCK_SIZE).min(bounce.len());
            let size = read_up_to(file, position - skip as u64, &mut bounce[..wanted])?;
            if size <= skip {
                return Err(ends_early(name));
            }
            let part = (size - skip).min(into.len() - done);
            into[done..done + part].copy_from_slice(&bounce[skip..skip + part]);
            done += part;
        }
        Ok(())
    }

    fn open(&mut self, name: &str) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(open, _)| open == name) {
            return Ok(());
        }
        let path = self.directory.join(name);
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)?;
        self.open = Some((name.to_owned(), file));
        Ok(())
    }
}

/// Reads until `into` is full or the file ends.
fn read_up_to(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64) {
            Ok(size) => {
                done += size;
                // Direct reads that end within a block have met the file's end; going on from
                // there would be unaligned.
                if size == 0 || !size.is_multiple_of(BLOCK_SIZE) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

fn ends_early(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} ends before what was to be read"))
}
