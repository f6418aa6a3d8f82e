//! Starts that must be refused, each with the cause and the fix.

use std::fs::{create_dir, read, write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::support::{Directory, Reply, Server, Start, free_port};

/// Red when: the holder of the port is not looked up.
#[test]
fn a_port_in_use_is_refused_and_its_holder_named() {
    let directory = Directory::new("port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).expect("the port is free");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    // Not `run`: it would wait for an answer from this test's own listener.
    let mut server = Start::new(&directory.data()).port(port).spawn();
    let refusal = server.refusal();
    refusal.says(&[&port.to_string(), "in use", &std::process::id().to_string(), "another port"]);
}

/// Red when: the first listener of a port is bound with SO_REUSEPORT (a client would reach one of
/// the servers by chance); the holder of the port is not looked up.
#[test]
fn a_second_server_on_one_port_is_refused() {
    let directory = Directory::new("ports");
    let first = Server::start(&directory.data());
    let other = directory.path().join("other");
    create_dir(&other).expect("the test's directory can be written");
    let start = Start::new(&other.join("data")).logs(&other).port(first.port());
    let refusal = start.spawn().refusal();
    refusal.says(&[&first.port().to_string(), "in use", &first.pid().to_string()]);
    assert_eq!(
        first.client().call(&[b"PING"]).expect("it serves"),
        Reply::Simple("PONG".to_owned())
    );
}

/// Red when: the data directory is not locked, or is locked after recovery has read it.
#[test]
fn a_second_server_on_one_directory_is_refused() {
    let directory = Directory::new("locked");
    let first = Server::start(&directory.data());
    let mut client = first.client();
    assert_eq!(client.call(&[b"SET", b"key", b"1"]).expect("it serves"), Reply::ok());
    let refusal = Start::new(&directory.data()).refused();
    refusal.says(&[&path_text(&directory.data()), "lock", &first.pid().to_string()]);
    assert_eq!(client.call(&[b"SET", b"key", b"2"]).expect("it serves"), Reply::ok());
    // The lock goes with its process, also when that is killed.
    first.kill();
    let again = Server::start(&directory.data());
    assert_eq!(again.client().call(&[b"GET", b"key"]).expect("it serves"), Reply::bulk(b"2"));
}

/// Red when: a directory is taken for empty because it holds no segment.
#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = Directory::new("foreign");
    create_dir(directory.data()).expect("the test's directory can be written");
    write(directory.data().join("photograph.jpg"), b"not ours").expect("it can be written");
    let refusal = Start::new(&directory.data()).refused();
    refusal.says(&[&path_text(&directory.data()), "photograph.jpg", "--dir"]);
    let left = names(&directory.data());
    assert_eq!(left, [PathBuf::from("photograph.jpg")], "a refused server adds nothing");
    let bytes = read(directory.data().join("photograph.jpg")).expect("it is there");
    assert_eq!(bytes, b"not ours");
}

/// Red when: an error of opening the directory is reported without the path or the cause.
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let directory = Directory::new("unwritable");
    let file = directory.path().join("file");
    write(&file, b"a file, no directory").expect("it can be written");
    for data in [file.clone(), file.join("below"), PathBuf::from("/proc/toroid-data")] {
        let refusal = Start::new(&data).logs(directory.path()).refused();
        refusal.says(&[&path_text(&data)]);
    }
    assert_eq!(read(&file).expect("it is there"), b"a file, no directory");
}

/// A tmpfs forgets everything with the power: a server there may not look durable.
///
/// Red when: the file system of the directory is not looked at.
#[test]
fn a_directory_in_memory_is_refused_or_warned_about() {
    let logs = Directory::new("tmpfs");
    let data = Path::new("/dev/shm").join(format!("toroid-test-{}", std::process::id()));
    let said = match Start::new(&data).logs(logs.path()).run() {
        Err(refusal) => {
            refusal.says(&[&path_text(&data)]);
            refusal.stderr
        }
        Ok(server) => server.says(),
    };
    if data.exists() {
        std::fs::remove_dir_all(&data).expect("the test made it");
    }
    assert!(said.contains("tmpfs"), "it says what is wrong with the directory:\n{said}");
}

/// Red when: a directive is ignored because nobody knows it; a value is clamped instead of refused;
/// a mode that would lose acknowledged writes is taken silently.
#[test]
fn a_wrong_command_line_is_refused_with_the_words_to_correct() {
    let directory = Directory::new("directives");
    let table: &[(&[&str], &[&str])] = &[
        (&["--no-such-directive", "1"], &["no-such-directive"]),
        (&["--port", "banana"], &["port", "banana"]),
        (&["--port", "70000"], &["port", "70000"]),
        (&["--port", "-1"], &["port", "-1"]),
        (&["--durability", "mostly"], &["durability", "mostly", "local", "memory"]),
        (&["--bind", "not.an.address.invalid"], &["bind", "not.an.address.invalid"]),
        (&["--wal-segment-size", "0"], &["wal-segment-size"]),
        (&["--wal-segment-size", "12345"], &["wal-segment-size", "4096"]),
        (&["--wal-segment-size", "lots"], &["wal-segment-size"]),
        (&["--appendonly", "no"], &["appendonly", "durability"]),
        (&["--appendfsync", "no"], &["appendfsync", "everysec", "always"]),
        (&["--loglevel", "shouting"], &["loglevel", "shouting"]),
        (&["--loglevel"], &["loglevel"]),
        (&["/no/such/file.conf"], &["/no/such/file.conf"]),
    ];
    for (arguments, words) in table {
        println!("{arguments:?}");
        Start::new(&directory.data()).with(arguments).refused().says(words);
        assert!(!directory.data().exists(), "{arguments:?}: a refused start makes no directory");
    }
}

/// Red when the directive is read and the kernel not told.
#[test]
fn transparent_huge_pages_stay_away_unless_they_are_wanted() {
    for (wanted, enabled) in [(&[][..], "0"), (&["--disable-thp", "no"][..], "1")] {
        let directory = Directory::new("huge-pages");
        let server = Start::new(&directory.data()).with(wanted).run().expect("it starts");
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
        let status = status.expect("its own processes are visible");
        let line = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        assert_eq!(line.map(str::trim), Some(enabled), "{wanted:?}");
        server.stop();
    }
}

/// The files below `directory`, by their names from there.
pub(super) fn names(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).expect("the directory can be read") {
            let path = entry.expect("the directory can be read").path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.push(path.strip_prefix(directory).expect("it lies below").to_path_buf());
            }
        }
    }
    all.sort();
    all
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("the tests' paths are text").to_owned()
}
