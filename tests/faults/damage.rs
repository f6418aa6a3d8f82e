//! Damage to what was acknowledged: the server refuses to serve it, and says where to look.

use std::fs::{read, read_dir, write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::startup::names;
use crate::support::{Directory, Reply, Server, Start, toroid, verify_log};

/// Writes a log of 400 SETs, cleanly ended, and returns the directory of its data.
fn log_of_400(directory: &Directory) -> PathBuf {
    let server = on_two_cores(&directory.data()).run().expect("the server starts");
    let mut client = server.client();
    for number in 0..400 {
        let name = format!("key-{number}");
        let value = format!("value-of-{number}-{}", "x".repeat(100));
        let reply = client.call(&[b"SET", name.as_bytes(), value.as_bytes()]);
        assert_eq!(reply.expect("it serves"), Reply::ok());
    }
    server.stop();
    verify_log(&directory.data());
    directory.data()
}

fn on_two_cores(data: &Path) -> Start {
    Start::new(data).with(&["--cores", "2", "--slices", "16"])
}

/// The segment that holds `text`, and where.
fn find(data: &Path, text: &[u8]) -> (PathBuf, usize) {
    for name in names(data) {
        let bytes = read(data.join(&name)).expect("the file can be read");
        if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
            return (name, at);
        }
    }
    panic!("no file of {} holds {:?}", data.display(), String::from_utf8_lossy(text));
}

/// What must not change when a start is refused: every file but the lock, which names its last
/// holder.
fn contents(data: &Path) -> Vec<(PathBuf, usize, u64)> {
    let mut all = Vec::new();
    for name in names(data) {
        if !name.ends_with("LOCK") {
            let bytes = read(data.join(&name)).expect("the file can be read");
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            all.push((name, bytes.len(), hasher.finish()));
        }
    }
    all
}

fn flip(path: &Path, at: usize) {
    let mut bytes = read(path).expect("the segment can be read");
    bytes[at] ^= 0x10;
    write(path, bytes).expect("the segment can be written");
}

/// Each core has a log, with segments of the same names: the place is the directory too.
///
/// Red when: recovery cuts the log at the first bad frame; a frame's crc is not checked; the
/// message lacks the place, or the log, or the tool; the logs that are well are served.
#[test]
fn a_damaged_frame_is_refused_with_its_file_its_offset_and_the_tool_to_look() {
    for text in of_two_logs() {
        damage_is_refused(&text);
    }
}

/// What values of two different logs of `log_of_400` begin with.
fn of_two_logs() -> Vec<String> {
    let directory = Directory::new("two-logs");
    let data = log_of_400(&directory);
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for number in 0..400 {
        let text = format!("value-of-{number}-xxx");
        let log = find(&data, text.as_bytes()).0.parent().expect("a log").to_path_buf();
        if found.iter().all(|(other, _)| *other != log) {
            found.push((log, text));
        }
        if found.len() == 2 {
            break;
        }
    }
    assert_eq!(found.len(), 2, "two cores have written");
    found.into_iter().map(|(_, text)| text).collect()
}

fn damage_is_refused(text: &str) {
    let directory = Directory::new("damage");
    let data = log_of_400(&directory);
    let (segment, at) = find(&data, text.as_bytes());
    flip(&data.join(&segment), at);
    let before = contents(&data);
    let refusal = Start::new(&data).refused();
    let name = segment.to_str().expect("a segment has a name").to_owned();
    // A frame starts on 4 KiB: its place is the block of the flipped byte, or one before in the
    // same frame.
    refusal.says(&[&name, "offset", "toroid wal inspect"]);
    assert_eq!(before, contents(&data), "a refused start changes no file");

    let Output { status, stdout, stderr } = toroid()
        .args(["wal", "verify"])
        .arg(&data)
        .output()
        .expect("the binary under test can be run");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.code().is_some_and(|code| code != 0), "verify finds the damage: {said}");
    assert!(said.contains(&name), "verify names the segment: {said}");

    // The same byte again, and everything is as it was.
    flip(&data.join(&segment), at);
    let server = on_two_cores(&data).run().expect("it serves what is whole again");
    let reply = server.client().call(&[b"DBSIZE"]).expect("it serves");
    assert_eq!(reply, Reply::Integer(400));
}

/// Red when: a missing segment below the last is taken for the end of the log.
#[test]
fn a_missing_segment_is_refused() {
    let directory = Directory::new("missing");
    let data = directory.data();
    let start = Start::new(&data).with(&["--wal-segment-size", "1048576"]);
    let server = start.run().expect("the server starts");
    let mut client = server.client();
    for number in 0..600 {
        let value = format!("value-of-{number}-{}", "x".repeat(8000));
        let reply = client.call(&[b"SET", format!("key-{number}").as_bytes(), value.as_bytes()]);
        assert_eq!(reply.expect("it serves"), Reply::ok());
    }
    server.stop();
    let (segment, _) = find(&data, b"value-of-300-");
    let (first, _) = find(&data, b"value-of-0-");
    let (last, _) = find(&data, b"value-of-599-");
    assert!(first != segment && segment != last, "the log has at least three segments in use");
    let aside = directory.path().join("aside");
    std::fs::rename(data.join(&segment), &aside).expect("both are on one file system");
    let refusal = start.refused();
    refusal.says(&["segment", "toroid wal inspect"]);
    std::fs::rename(&aside, data.join(&segment)).expect("both are on one file system");
    let server = start.run().expect("the whole log recovers");
    let reply = server.client().call(&[b"GET", b"key-300"]).expect("it serves");
    assert!(matches!(reply, Reply::Bulk(value) if value.starts_with(b"value-of-300-")));
}

/// Red when: the version of the directory is not looked at, or only after something was changed.
#[test]
fn a_directory_of_a_newer_format_is_refused() {
    let directory = Directory::new("newer");
    let data = log_of_400(&directory);
    let path = data.join("node");
    let text = std::fs::read_to_string(&path).expect("the identity is text");
    write(&path, text.replacen("toroid-data 2", "toroid-data 3", 1)).expect("it can be written");
    let before = contents(&data);
    let refusal = Start::new(&data).refused();
    refusal.says(&["format 3", "newer", "toroid"]);
    assert_eq!(before, contents(&data), "a refused start changes no file");
    write(&path, text).expect("it can be written");
    Server::start(&data).stop();
}

/// Red when: a log is opened in spite of files beside it that no version of Toroid writes.
#[test]
fn a_log_with_a_file_of_an_unknown_name_is_named_in_the_refusal_or_left_alone() {
    let directory = Directory::new("stranger");
    let data = log_of_400(&directory);
    let (segment, _) = find(&data, b"value-of-7-xxx");
    let beside = data.join(segment).with_file_name("notes.txt");
    write(&beside, b"mine").expect("it can be written");
    match Start::new(&data).run() {
        Err(refusal) => refusal.says(&["notes.txt"]),
        Ok(server) => {
            let reply = server.client().call(&[b"DBSIZE"]).expect("it serves");
            assert_eq!(reply, Reply::Integer(400));
        }
    }
    assert_eq!(read(&beside).expect("it is still there"), b"mine");
    assert!(0 < read_dir(&data).expect("the directory is there").count());
}
