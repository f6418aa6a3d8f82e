//! Whether a directory is ours alone, and whether its file system can hold a log.

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base::limits::BLOCK_SIZE;
use rustix::fs::FlockOperation;

use crate::memory::AlignedMemory;

const LOCK_NAME: &str = "LOCK";
const TRIAL_NAME: &str = ".direct-write-trial";

/// The right to use a directory; given up when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The lock belongs to this open file (flock(2)).
    file: File,
}

/// A directory cannot be locked.
#[derive(Debug)]
pub struct LockError {
    pub path: PathBuf,
    pub error: io::Error,
    /// The process that holds the lock, if it wrote its number.
    pub holder: Option<u32>,
}

impl DirectoryLock {
    /// Locks `directory`, which must exist, for this process.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(LOCK_NAME);
        let fail = |error: io::Error, holder| LockError { path: path.clone(), error, holder };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| fail(error, None))?;
        lock(&mut file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|(error, holder)| fail(error, holder))?;
        // Over what is there, then cut: to make it empty first would give its block back to the
        // disk, where a full one may have another taker.
        let write = |file: &mut File| {
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            let size = file.stream_position()?;
            file.set_len(size)
        };
        write(&mut file).map_err(|error| fail(error, None))?;
        Ok(Self { file })
    }
}

/// Keeps servers out of a directory while it is looked at, and changes nothing there.
#[derive(Debug)]
pub struct SharedLock {
    _file: File,
}

impl SharedLock {
    /// Locks `directory` together with others that only look. None if nobody ever locked it: a copy
    /// may lack the file.
    ///
    /// # Errors
    ///
    /// A server that lives has it, or the file cannot be opened.
    pub fn acquire(directory: &Path) -> Result<Option<Self>, LockError> {
        let path = directory.join(LOCK_NAME);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => {
                opened.map_err(|error| LockError { path: path.clone(), error, holder: None })?
            }
        };
        lock(&mut file, FlockOperation::NonBlockingLockShared)
            .map_err(|(error, holder)| LockError { path, error, holder })?;
        Ok(Some(Self { _file: file }))
    }
}

/// Waits for a holder that was killed, and for nobody else.
fn lock(file: &mut File, operation: FlockOperation) -> Result<(), (io::Error, Option<u32>)> {
    let patience = Instant::now() + PATIENCE;
    while let Err(errno) = rustix::fs::flock(&*file, operation) {
        let mut text = String::new();
        // Best effort: without a number we do not wait, and name nobody.
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
        let holder = text.trim().parse().ok();
        if !holder.is_some_and(is_dead) || patience < Instant::now() {
            return Err((errno.into(), holder));
        }
        // Killed, and the kernel is still ending its writes: see `Ring::hold`.
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

impl AsFd for DirectoryLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// How long the writes of a killed process are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a process is gone, or a zombie whose threads have ended.
fn is_dead(process: u32) -> bool {
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        // The state follows the name in parentheses (proc_pid_stat(5)).
        Ok(stat) => {
            let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
            matches!(state, Some('Z' | 'X'))
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match (self.error.kind(), self.holder) {
            (io::ErrorKind::WouldBlock, Some(process)) => write!(
                f,
                "another process is using this directory: process {process} holds {path}. \
                 Stop it or choose another --dir"
            ),
            (io::ErrorKind::WouldBlock, None) => write!(
                f,
                "another process is using this directory: it holds {path} (`fuser {path}` shows \
                 it). Stop it or choose another --dir"
            ),
            _ => write!(f, "{path} cannot be locked: {}", self.error),
        }
    }
}

impl Error for LockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// A directory cannot hold a log.
#[derive(Debug)]
pub struct DirectoryError {
    pub path: PathBuf,
    pub error: io::Error,
    /// The type of the file system, if it could be found out.
    pub file_system: Option<String>,
}

impl DirectoryError {
    /// There is no space, or none for this user.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{path} cannot hold the log: ")?;
        match self.error.raw_os_error() {
            Some(libc::EINVAL | libc::EOPNOTSUPP) => write!(
                f,
                "its file system ({}) does not support direct writes (O_DIRECT), without which \
                 nothing can be promised about the disk. Choose a --dir on ext4 or XFS on a local \
                 disk",
                self.file_system.as_deref().unwrap_or("of unknown type")
            ),
            Some(libc::EACCES | libc::EPERM) => {
                write!(f, "{}. Make it writable for the user that runs this process", self.error)
            }
            Some(libc::EROFS) => {
                write!(
                    f,
                    "its file system is mounted read-only. Mount it writable (`dmesg` says \
                           if errors of the disk made it so)"
                )
            }
            Some(libc::ENOSPC | libc::EDQUOT) => {
                write!(f, "{}. Free some space or choose another --dir", self.error)
            }
            Some(libc::ENOENT) => write!(f, "it does not exist"),
            _ => self.error.fmt(f),
        }
    }
}

impl Error for DirectoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Writes, reads back and removes one block the way the log writes: O_DIRECT and O_DSYNC.
pub fn check_direct_writes(directory: &Path) -> Result<(), DirectoryError> {
    let trial = directory.join(TRIAL_NAME);
    let tried = try_direct_write(&trial);
    let removed = match fs::remove_file(&trial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    tried.and(removed).map_err(|error| DirectoryError {
        path: directory.to_owned(),
        error,
        file_system: file_system(directory),
    })
}

fn try_direct_write(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(path)?;
    let mut block = AlignedMemory::zeroed(BLOCK_SIZE);
    block.bytes_mut().fill(0xa5);
    file.write_all_at(block.bytes(), 0)?;
    let mut read = AlignedMemory::zeroed(BLOCK_SIZE);
    file.read_exact_at(read.bytes_mut(), 0)?;
    if read.bytes() == block.bytes() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a block read back differs from its write"))
    }
}

/// The type of the file system `path` lies on, as /proc/self/mountinfo names it (proc_pid(5)): one
/// in memory (`tmpfs`) takes direct writes on recent kernels and still forgets everything.
pub fn file_system(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    file_system_of(&path, &mounts)
}

/// The mount with the longest mount point above `path`; of equal ones the last hides the others.
fn file_system_of(path: &Path, mounts: &str) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = PathBuf::from(before.split(' ').nth(4)?);
        path.starts_with(&point)
            .then_some((point.components().count(), after.split(' ').next()?.to_owned()))
    };
    mounts.lines().filter_map(mount).max_by_key(|&(length, _)| length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_the_holder_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let lock = DirectoryLock::acquire(directory.path()).expect("nobody holds it");
        let error = DirectoryLock::acquire(directory.path()).expect_err("it is held");
        assert_eq!(error.holder, Some(std::process::id()));
        assert!(error.to_string().contains(&format!("process {}", std::process::id())));
        drop(lock);
        let again = DirectoryLock::acquire(directory.path());
        assert!(again.is_ok());
    }

    #[test]
    fn a_directory_that_is_missing_or_no_file_system_for_logs_is_explained() {
        let error = check_direct_writes(Path::new("/nonexistent")).expect_err("it is missing");
        assert!(error.to_string().contains("does not exist"));
        let error = check_direct_writes(Path::new("/proc")).expect_err("nothing is created there");
        assert!(error.to_string().contains("/proc cannot hold the log"));
        let error = DirectoryError {
            path: PathBuf::from("/mnt"),
            error: io::Error::from_raw_os_error(libc::EINVAL),
            file_system: Some("tmpfs".to_owned()),
        };
        assert!(error.to_string().contains("(tmpfs) does not support direct writes"));
    }

    #[test]
    fn the_innermost_mount_decides_the_file_system() {
        let mounts = "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n\
                      30 22 0:26 / /dev/shm rw,nosuid shared:9 - tmpfs tmpfs rw\n\
                      31 22 0:27 / /data rw - xfs /dev/vdb rw\n";
        let kind = |path| file_system_of(Path::new(path), mounts);
        assert_eq!(kind("/data/toroid").as_deref(), Some("xfs"));
        assert_eq!(kind("/database").as_deref(), Some("ext4"));
        assert_eq!(kind("/dev/shm").as_deref(), Some("tmpfs"));
    }
}
