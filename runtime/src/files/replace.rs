//! Replacing a small file so that a power cut leaves either the old or the new one, whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` beside the file, makes them durable, renames over it, makes the name durable.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let directory = path.parent().ok_or_else(invalid)?;
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut name = OsString::from(path.file_name().ok_or_else(invalid)?);
    name.push(".new");
    let temporary = directory.join(name);
    let written = write_durably(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The error that stopped us is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

/// fdatasync(2) of a file that somebody else wrote, perhaps a process that is gone.
pub fn flush(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_holds_the_new_bytes_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("identity");
        replace(&path, b"first").expect("the directory is writable");
        replace(&path, b"second").expect("the directory is writable");
        assert_eq!(fs::read(&path).expect("it was written"), b"second");
        assert_eq!(fs::read_dir(directory.path()).expect("it can be listed").count(), 1);
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_file() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("identity");
        fs::create_dir(&path).expect("the directory is writable");
        assert!(replace(&path, b"bytes").is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(directory.path()).expect("it can be listed").count(), 1);
    }
}
