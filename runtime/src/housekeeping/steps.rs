//! What a job can do with files, one step after the other.
//!
//! Data go by direct I/O, past the page cache, which belongs to nobody here; a write is flushed
//! before its step ends. Names are made durable by [`Step::FlushDirectory`] alone, so that the caller
//! decides when. What has no asynchronous call, or none that is good enough, runs on the executor's
//! blocking thread.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base::limits::BLOCK_SIZE;
use glommio::io::{DmaBuffer, DmaFile, OpenOptions};
use glommio::{GlommioError, Task};

/// Bytes of one write or read.
const PIECE_SIZE: usize = 256 * 1024;

/// Writes of one file that are under way at a time.
const PIECES_AT_ONCE: usize = 4;

const _: () = assert!(PIECE_SIZE.is_multiple_of(BLOCK_SIZE));

/// Makes the bytes to be written of a job's cargo.
pub type Make<T> = Box<dyn FnOnce(&mut T) -> Vec<u8> + Send>;

/// Puts bytes that were read into a job's cargo.
pub type Keep<T> = Box<dyn FnOnce(&mut T, Vec<u8>) + Send>;

/// One thing to do with files.
pub enum Step<T> {
    /// Makes a directory. One that is there already is as good; its parent must be there.
    CreateDirectory { path: PathBuf },
    /// Writes a file whole, over any other of its name, and flushes it (fdatasync(2)).
    Write { path: PathBuf, make: Make<T> },
    /// Gives a file or directory another name, over any other file of that name.
    Rename { from: PathBuf, to: PathBuf },
    /// Makes the names in a directory durable (fsync(2)).
    FlushDirectory { path: PathBuf },
    /// Removes a file. One that is not there is as good.
    RemoveFile { path: PathBuf },
    /// Removes a directory with all there is in it. One that is not there is as good.
    RemoveTree { path: PathBuf },
    /// Reads a file whole.
    Read { path: PathBuf, keep: Keep<T> },
}

/// Steps, and what they work on.
#[derive(Debug)]
pub struct Job<T> {
    pub cargo: T,
    /// In this order.
    pub steps: Vec<Step<T>>,
}

/// A job that is over.
#[derive(Debug)]
#[must_use]
pub struct Done<T> {
    /// As the steps have left it.
    pub cargo: T,
    /// The first step that failed, if one did; those after it were not carried out.
    pub result: Result<(), FileError>,
}

/// A step that failed.
#[derive(Debug)]
pub struct FileError {
    /// What was being done, as in "cannot write".
    pub action: &'static str,
    pub path: PathBuf,
    pub error: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.error)
    }
}

impl std::error::Error for FileError {}

impl<T> Step<T> {
    /// The verb, and what it is done to.
    fn name(&self) -> (&'static str, &Path) {
        match self {
            Self::CreateDirectory { path } => ("make the directory", path),
            Self::Write { path, .. } => ("write", path),
            Self::Rename { to, .. } => ("rename to", to),
            Self::FlushDirectory { path } => ("flush the directory", path),
            Self::RemoveFile { path } | Self::RemoveTree { path } => ("remove", path),
            Self::Read { path, .. } => ("read", path),
        }
    }
}

impl<T> fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, path) = self.name();
        write!(f, "{action} {}", path.display())
    }
}

/// Carries out the steps up to the first that fails.
pub(super) async fn carry_out<T>(job: &mut Job<T>) -> Result<(), FileError> {
    for step in std::mem::take(&mut job.steps) {
        let (action, path) = step.name();
        let path = path.to_owned();
        let result = carry_out_step(step, &mut job.cargo).await;
        result.map_err(|error| FileError { action, path, error })?;
    }
    Ok(())
}

async fn carry_out_step<T>(step: Step<T>, cargo: &mut T) -> io::Result<()> {
    match step {
        Step::CreateDirectory { path } => {
            blocking(move || match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(())
                }
                result => result,
            })
            .await
        }
        Step::Write { path, make } => write(&path, &make(cargo)).await,
        Step::Rename { from, to } => blocking(move || fs::rename(from, to)).await,
        // The library's own flush of a directory is fdatasync(2), which need not cover names.
        Step::FlushDirectory { path } => blocking(move || File::open(path)?.sync_all()).await,
        Step::RemoveFile { path } => blocking(move || absent_is_fine(fs::remove_file(path))).await,
        Step::RemoveTree { path } => {
            blocking(move || absent_is_fine(fs::remove_dir_all(path))).await
        }
        Step::Read { path, keep } => {
            let bytes = read(&path).await?;
            keep(cargo, bytes);
            Ok(())
        }
    }
}

async fn blocking(call: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    glommio::executor().spawn_blocking(call).await
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Not by the library's stream: that flushes before it cuts the padding off, so that a power cut
/// would find the file longer than it was written.
async fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640);
    let file = Rc::new(options.dma_open(path).await.map_err(plain)?);
    let written = write_pieces(&file, bytes).await;
    let file = Rc::try_unwrap(file).expect("all writes have ended");
    let flushed = match written {
        Ok(()) => flush(&file, bytes.len()).await,
        Err(error) => Err(error),
    };
    let closed = file.close().await.map_err(plain);
    flushed.and(closed)
}

async fn flush(file: &DmaFile, size: usize) -> io::Result<()> {
    if !size.is_multiple_of(BLOCK_SIZE) {
        file.truncate(size as u64).await.map_err(plain)?;
    }
    file.fdatasync().await.map_err(plain)
}

/// The last piece is padded to whole blocks. Whether it ends well or not, no write is under way
/// afterwards.
async fn write_pieces(file: &Rc<DmaFile>, bytes: &[u8]) -> io::Result<()> {
    let mut under_way: VecDeque<Task<io::Result<()>>> = VecDeque::new();
    let mut result = Ok(());
    for (number, piece) in bytes.chunks(PIECE_SIZE).enumerate() {
        if under_way.len() == PIECES_AT_ONCE
            && let Some(first) = under_way.pop_front()
        {
            result = first.await;
        }
        if result.is_err() {
            break;
        }
        let mut buffer = file.alloc_dma_buffer(piece.len().next_multiple_of(BLOCK_SIZE));
        let (data, padding) = buffer.as_bytes_mut().split_at_mut(piece.len());
        data.copy_from_slice(piece);
        padding.fill(0);
        let file = Rc::clone(file);
        let offset = (number * PIECE_SIZE) as u64;
        under_way.push_back(glommio::spawn_local(write_buffer(file, buffer, offset)));
    }
    for write in under_way {
        let written = write.await;
        result = result.and(written);
    }
    result
}

/// Goes on where a write ended short, which says why (write(2)): at the next try, or as an error.
async fn write_buffer(file: Rc<DmaFile>, buffer: DmaBuffer, offset: u64) -> io::Result<()> {
    let buffer = Rc::new(buffer);
    let mut done = file.write_rc_at(Rc::clone(&buffer), offset).await.map_err(plain)?;
    while done < buffer.len() {
        if done == 0 || !done.is_multiple_of(BLOCK_SIZE) {
            let text = format!("{done} of {} bytes were written at {offset}", buffer.len());
            return Err(io::Error::new(io::ErrorKind::WriteZero, text));
        }
        let mut rest = file.alloc_dma_buffer(buffer.len() - done);
        rest.as_bytes_mut().copy_from_slice(&buffer.as_bytes()[done..]);
        match file.write_at(rest, offset + done as u64).await.map_err(plain)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            size => done += size,
        }
    }
    Ok(())
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = DmaFile::open(path).await.map_err(plain)?;
    let bytes = read_pieces(&file).await;
    let closed = file.close().await.map_err(plain);
    let bytes = bytes?;
    closed.map(|()| bytes)
}

async fn read_pieces(file: &DmaFile) -> io::Result<Vec<u8>> {
    let size = file.file_size().await.map_err(plain)?;
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        let wanted = PIECE_SIZE.min(size - bytes.len());
        let piece = file.read_at(bytes.len() as u64, wanted).await.map_err(plain)?;
        if piece.is_empty() {
            let text = format!("it ends at {} of {size} bytes", bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The error of the kernel with its number, which the library's own conversion drops.
pub(super) fn plain(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::IoError(source) | GlommioError::EnhancedIoError { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}
