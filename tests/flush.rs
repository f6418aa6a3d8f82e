//! The flush is real: how the log files are open, and what the disk itself counts.

#[path = "support/support.rs"]
mod support;

use std::fs::{read, read_to_string};

use support::{Directory, Reply, Server, Start, flush_count, log_files, verify_log};

/// open(2) on x86-64 and aarch64 as /proc/PID/fdinfo prints them, in octal.
#[cfg(target_arch = "x86_64")]
const O_DIRECT: u32 = 0o40000;
#[cfg(not(target_arch = "x86_64"))]
const O_DIRECT: u32 = 0o200000;
const O_DSYNC: u32 = 0o10000;

/// What O_SYNC has beyond O_DSYNC.
const O_SYNC_ONLY: u32 = 0o4000000;

const WRITES: u64 = 2000;

/// Files that are being made ready are open in other ways; what counts is the file that holds the
/// frame.
///
/// Red when: the runtime opens log files without O_DIRECT, without O_DSYNC, or with O_SYNC.
#[test]
fn the_log_files_are_open_for_direct_and_synchronous_writes() {
    const MARK: &[u8] = b"a-value-that-is-found-in-the-log";
    let directory = Directory::new("flags");
    let server = Server::start(&directory.data());
    let reply = server.client().call(&[b"SET", b"key", MARK]);
    assert_eq!(reply.expect("a running server answers"), Reply::ok());
    let mut checked = 0;
    for (path, flags) in log_files(server.pid(), &directory.data()) {
        let bytes = read(&path).expect("a log file can be read");
        if !bytes.windows(MARK.len()).any(|window| window == MARK) {
            continue;
        }
        println!("{}: flags {flags:o}", path.display());
        assert_eq!(flags & O_DIRECT, O_DIRECT, "{} without O_DIRECT: {flags:o}", path.display());
        assert_eq!(flags & O_DSYNC, O_DSYNC, "{} without O_DSYNC: {flags:o}", path.display());
        // With O_SYNC a frame's completion would also wait until the file system's journal has the
        // file's time stamps.
        assert_eq!(flags & O_SYNC_ONLY, 0, "{} with O_SYNC: {flags:o}", path.display());
        checked += 1;
    }
    assert!(0 < checked, "the file that holds an acknowledged value is open, under its own name");
    server.stop();
    verify_log(&directory.data());
}

/// One connection that waits for each reply leaves nothing to gather: every SET is a flush of its
/// own.
///
/// Measured with a plain O_DIRECT | O_DSYNC writer on a virtio disk with a write-back cache: 2,000
/// writes, exactly 2,000 flushes; without O_DSYNC none. The disk counts for everybody, so no other
/// server of these tests runs meanwhile.
///
/// Red when: the runtime opens log files without O_DSYNC; `local` releases replies like `memory`.
#[test]
fn every_durable_write_of_a_lone_connection_flushes_the_disk() {
    let directory = Directory::new("flush");
    let server = Start::new(&directory.data()).alone().run().expect("the server starts");
    let mut client = server.client();
    let before = flush_count(directory.path());
    for number in 0..WRITES {
        let reply = client.call(&[b"SET", b"key", number.to_string().as_bytes()]);
        assert_eq!(reply.expect("a running server answers"), Reply::ok());
    }
    let after = flush_count(directory.path());
    match (before, after) {
        (Some((disk, before)), Some((_, after))) => {
            let cache = read_to_string(format!("/sys/block/{disk}/queue/write_cache"));
            let cache = cache.expect("a disk says what its cache is");
            let rise = after - before;
            println!("{disk} ({}): {WRITES} durable SETs, {rise} flushes", cache.trim());
            if cache.trim() == "write back" && !takes_fua(&disk) {
                assert!(
                    WRITES <= rise,
                    "{WRITES} durable SETs, but {disk} flushed {rise} times only"
                );
            } else {
                // Without a volatile cache there is nothing to flush and the kernel sends none;
                // with FUA the write itself is the flush. Neither is counted.
                assert!(rise < WRITES, "{disk} flushes although it needs not: {rise}");
            }
        }
        _ => {
            let device = std::fs::metadata(directory.path()).expect("the directory exists");
            println!("the file system has no disk of its own in /sys/dev/block: {device:?}");
        }
    }
    server.stop();
    verify_log(&directory.data());
}

fn takes_fua(disk: &str) -> bool {
    read_to_string(format!("/sys/block/{disk}/queue/fua")).is_ok_and(|text| text.trim() == "1")
}
