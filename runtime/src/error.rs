//! What can go wrong, each with the cause that was found and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::probe::{Denial, KernelFacts};

/// Why a write, flush, preparation or removal failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// The file system or the quota is full.
    NoSpace,
    /// Any other error, by its number.
    Os(i32),
}

impl DiskError {
    pub(crate) fn from_errno(errno: i32) -> Self {
        assert!(0 < errno);
        match errno {
            libc::ENOSPC | libc::EDQUOT => Self::NoSpace,
            other => Self::Os(other),
        }
    }
}

impl From<Errno> for DiskError {
    fn from(errno: Errno) -> Self {
        Self::from_errno(errno.raw_os_error())
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => write!(f, "no space left on the file system or in the quota"),
            Self::Os(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl Error for DiskError {}

/// The ring itself failed: there is no honest way on.
#[derive(Debug)]
pub enum RingError {
    /// `io_uring_enter` failed for a reason that waiting does not cure.
    Enter(io::Error),
    /// The kernel had no memory to keep completions and dropped some: what is done is unknown.
    CompletionsLost,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enter(error) => write!(f, "io_uring_enter failed: {error}"),
            Self::CompletionsLost => write!(
                f,
                "the kernel ran out of memory and dropped completions of the ring; \
                 give the machine or the cgroup more memory"
            ),
        }
    }
}

impl Error for RingError {}

/// Why a ring could not be opened.
#[derive(Debug)]
pub enum SetupError {
    /// io_uring may not be used here.
    Denied { denial: Denial, errno: i32, facts: KernelFacts },
    /// The kernel is older than the oldest Toroid supports.
    KernelTooOld { facts: KernelFacts },
    /// The kernel is new enough but was built without, or restricts, something that is needed.
    OperationsMissing { names: Vec<&'static str>, facts: KernelFacts },
    /// Memory for the ring could not be had, even at the smallest size.
    Memory { what: &'static str, facts: KernelFacts },
    /// The table of registered files does not fit the limit on open files.
    OpenFiles { wanted: u32, limit: u64 },
    /// The log directory cannot be opened.
    LogDirectory { path: PathBuf, error: io::Error },
    /// Anything else.
    Other { what: &'static str, error: io::Error, facts: KernelFacts },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { denial, errno, facts } => {
                let error = io::Error::from_raw_os_error(*errno);
                write!(f, "io_uring is denied to this process: {error}. {denial} ({facts})")
            }
            Self::KernelTooOld { facts } => write!(
                f,
                "this kernel is too old: Toroid needs Linux 6.1 or newer. \
                 Boot a newer kernel ({facts})"
            ),
            Self::OperationsMissing { names, facts } => write!(
                f,
                "this kernel's io_uring lacks {}. Boot a kernel of at least Linux 6.1 that was \
                 built with CONFIG_IO_URING and without restrictions on it ({facts})",
                names.join(", ")
            ),
            Self::Memory { what, facts } => write!(
                f,
                "no memory for {what}. The limit on locked memory is probably too small: raise it \
                 (`ulimit -l unlimited`, `LimitMEMLOCK=infinity` in the systemd unit, \
                 `--ulimit memlock=-1` for docker) ({facts})"
            ),
            Self::OpenFiles { wanted, limit } => write!(
                f,
                "{wanted} registered files do not fit the limit on open files, {limit}. \
                 Raise it (`ulimit -n`, `LimitNOFILE=` in the systemd unit) or lower maxclients"
            ),
            Self::LogDirectory { path, error } => {
                write!(f, "the log directory {} cannot be opened: {error}", path.display())
            }
            Self::Other { what, error, facts } => write!(f, "{what} failed: {error} ({facts})"),
        }
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::LogDirectory { error, .. } | Self::Other { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_full_quota_are_the_same_error() {
        assert_eq!(DiskError::from_errno(libc::ENOSPC), DiskError::NoSpace);
        assert_eq!(DiskError::from_errno(libc::EDQUOT), DiskError::NoSpace);
        assert_eq!(DiskError::from_errno(libc::EIO), DiskError::Os(libc::EIO));
    }
}
