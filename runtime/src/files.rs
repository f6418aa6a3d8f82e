//! What a process does with files once, at its start, and may block for: locking a directory,
//! checking that it can hold a log, reading the log back, replacing a small file.

mod directory;
#[expect(unsafe_code, reason = "a mapped file may change while it is read")]
mod mapped;
mod reader;
mod replace;

pub use directory::{DirectoryError, DirectoryLock, LockError, SharedLock};
pub use directory::{check_direct_writes, file_system};
pub use mapped::MappedReader;
pub use reader::{DirectReader, FileSize};
pub use replace::{flush, replace};
