//! What the tests ask the host: files of a process, the disk's counters, memory, limits.

use std::fs::{File, read_dir, read_link, read_to_string};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Held by every running server: shared, or alone by a test that counts what the whole host does.
///
/// A file lock, since test binaries may run side by side as processes.
#[derive(Debug)]
pub(crate) struct HostLock {
    _file: File,
}

impl HostLock {
    pub(crate) fn shared() -> HostLock {
        let file = HostLock::file();
        file.lock_shared().expect("the lock file can be locked");
        HostLock { _file: file }
    }

    pub(crate) fn alone() -> HostLock {
        let file = HostLock::file();
        file.lock().expect("the lock file can be locked");
        HostLock { _file: file }
    }

    fn file() -> File {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host.lock");
        File::create(path).expect("the build's temporary directory can be written")
    }
}

/// The open files of a process below `directory`, with the flags the kernel has for each (proc(5),
/// fdinfo).
pub(crate) fn log_files(pid: u32, directory: &Path) -> Vec<(PathBuf, u32)> {
    let directory = directory.canonicalize().expect("the data directory exists");
    let mut found = Vec::new();
    for entry in read_dir(format!("/proc/{pid}/fd")).expect("the process lives") {
        let entry = entry.expect("the process lives");
        let Ok(target) = read_link(entry.path()) else { continue };
        if !target.starts_with(&directory) || !target.is_file() {
            continue;
        }
        let number = entry.file_name().into_string().expect("a file descriptor is a number");
        let info =
            read_to_string(format!("/proc/{pid}/fdinfo/{number}")).expect("the file is open");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.expect("fdinfo names the flags").trim();
        found.push((target, u32::from_str_radix(flags, 8).expect("the flags are octal")));
    }
    found
}

/// The disk that holds `path`, and how many flush requests it has completed
/// (field 16 of /sys/block/*/stat: Documentation/block/stat.rst).
///
/// None where the kernel has no such counter for the file system's device: btrfs, overlay, a tmpfs.
pub(crate) fn flush_count(path: &Path) -> Option<(String, u64)> {
    let device = std::fs::metadata(path).expect("the directory exists").dev();
    // makedev(3): 12 bits of major, 20 bits of minor, interleaved.
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    let mut node =
        Path::new("/sys/dev/block").join(format!("{major}:{minor}")).canonicalize().ok()?;
    if node.join("partition").exists() {
        node.pop(); // flushes are counted for the whole disk only
    }
    let stat = read_to_string(node.join("stat")).ok()?;
    let count = stat.split_ascii_whitespace().nth(15)?.parse().ok()?;
    Some((node.file_name()?.to_string_lossy().into_owned(), count))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_size(pid: u32) -> u64 {
    let status = read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.expect("a process has VmRSS").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("VmRSS is a number") * 1024
}

/// Raises this process's limit of open files as far as allowed; returns it. Children inherit it.
pub(crate) fn raise_file_limit(wanted: u64) -> u64 {
    let limits = || {
        let text = read_to_string("/proc/self/limits").expect("procfs is mounted");
        let line = text.lines().find(|line| line.starts_with("Max open files"));
        let words: Vec<String> = line
            .expect("the limit of open files is listed")
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        let value = |word: &String| word.parse::<u64>().unwrap_or(u64::MAX);
        (value(&words[3]), value(&words[4]))
    };
    let (soft, hard) = limits();
    let target = wanted.min(hard);
    if soft < target {
        let status = Command::new("prlimit")
            .args(["--pid", &std::process::id().to_string(), &format!("--nofile={target}:{hard}")])
            .status();
        assert!(status.expect("prlimit of util-linux is installed").success());
    }
    limits().0
}
