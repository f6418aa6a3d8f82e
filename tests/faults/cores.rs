//! Several cores in one process, and a start with another number of them.

use std::path::Path;

use crate::support::{Client, Directory, Reply, Server, Start, verify_log};

fn start(data: &Path, cores: &str) -> Start {
    Start::new(data).with(&["--cores", cores, "--wal-segment-size", "1048576"])
}

fn run(data: &Path, cores: &str) -> Server {
    start(data, cores).run().expect("the server starts")
}

fn name(number: usize) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

fn value(number: usize) -> Vec<u8> {
    format!("value-of-{number}").into_bytes()
}

fn write(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let reply = client.call(&[b"SET", &name(number), &value(number)]);
        assert_eq!(reply.expect("it serves"), Reply::ok());
    }
}

fn check(client: &mut Client, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let reply = client.call(&[b"GET", &name(number)]).expect("it serves");
        assert_eq!(reply, Reply::bulk(&value(number)), "key {number}");
    }
}

/// Red when: a generation is not recorded, read out of order, or written to by a later number of
/// cores; a slice is looked for in another log than its owner's; records of older generations are
/// dropped.
#[test]
fn a_start_with_another_number_of_cores_finds_everything() {
    let directory = Directory::new("cores");
    let mut count = 0;
    for (turn, cores) in ["2", "1", "4", "4", "3", "2"].into_iter().enumerate() {
        let server = run(&directory.data(), cores);
        let mut client = server.client();
        check(&mut client, 0..count);
        // Some older keys change owners and values: the youngest generation must win.
        write(&mut client, count..count + 100);
        let changed = client.call(&[b"SET", b"changed", turn.to_string().as_bytes()]);
        assert_eq!(changed.expect("it serves"), Reply::ok());
        count += 100;
        match turn % 2 {
            0 => server.kill(),
            _ => server.stop(),
        }
        verify_log(&directory.data());
    }
    let server = run(&directory.data(), "2");
    let mut client = server.client();
    check(&mut client, 0..count);
    assert_eq!(client.call(&[b"GET", b"changed"]).expect("it serves"), Reply::bulk(b"5"));
    let logs = std::fs::read_to_string(directory.data().join("logs")).expect("it was recorded");
    assert!(logs.contains("generation 5 cores 2"), "{logs}");
}

/// Red when: only the first core listens; a client of one core cannot reach the slices of another.
#[test]
fn every_core_serves_clients_that_see_all_keys() {
    let directory = Directory::new("every");
    let server = run(&directory.data(), "4");
    // The kernel divides by a hash of the addresses: that 64 clients all meet one core of four is
    // less likely than a broken test machine.
    let mut clients: Vec<Client> = (0..64).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        write(client, number..number + 1);
    }
    for client in &mut clients {
        check(client, 0..64);
    }
    server.stop();
    verify_log(&directory.data());
}

/// What was durable in one log stands in the frames of the others.
///
/// Red when: the hints of the logs are not compared; an emptied log is taken for a new one.
#[test]
fn a_log_that_was_emptied_is_missed_by_the_others() {
    let directory = Directory::new("emptied");
    let server = run(&directory.data(), "2");
    write(&mut server.client(), 0..300);
    server.stop();
    let log = directory.data().join("log-1-1");
    let aside = directory.path().join("aside");
    std::fs::rename(&log, &aside).expect("both are on one file system");
    std::fs::create_dir(&log).expect("it can be made");
    start(&directory.data(), "2").refused().says(&["log-1-1", "log-1-0", "frame 1", "Fix: "]);
    let verified = crate::support::toroid()
        .args(["wal", "verify"])
        .arg(directory.data())
        .output()
        .expect("the binary under test can be run");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(!verified.status.success() && said.contains("log-1-0"), "{said}");
    std::fs::remove_dir(&log).expect("a refused start leaves it empty");
    std::fs::rename(&aside, &log).expect("both are on one file system");
    let server = run(&directory.data(), "2");
    check(&mut server.client(), 0..300);
}

/// Red when: a number that cannot be is rounded to one that can.
#[test]
fn cores_and_slices_that_do_not_fit_the_data_are_refused_with_the_fix() {
    let directory = Directory::new("fit");
    let table: &[(&[&str], &[&str])] = &[
        (&["--slices", "12"], &["slices", "12", "8 and 16"]),
        (&["--slices", "4096"], &["slices", "1024"]),
        (&["--cores", "0"], &["cores"]),
        (&["--cores", "4", "--slices", "2"], &["cores", "slices", "lower"]),
    ];
    for (arguments, words) in table {
        Start::new(&directory.data()).with(arguments).refused().says(words);
        assert!(!directory.data().exists(), "{arguments:?}: a refused start makes no directory");
    }
    Start::new(&directory.data()).with(&["--slices", "2"]).run().expect("it starts").stop();
    let refusal = Start::new(&directory.data()).with(&["--cores", "4"]).refused();
    refusal.says(&["cores is 4", "2 slices", "Fix: ", "--slices 4"]);
    let refusal = Start::new(&directory.data()).with(&["--slices", "4"]).refused();
    refusal.says(&["2 slices", "fixed", "Fix: "]);
}

/// Red when: each core counts its own clients only.
#[test]
fn the_limit_of_clients_is_for_all_cores_together() {
    let directory = Directory::new("limit");
    let start = start(&directory.data(), "4").with(&["--maxclients", "8"]);
    let server = start.run().expect("the server starts");
    let mut held = Vec::new();
    let refused = (0..100).find_map(|_| {
        let mut client = server.client();
        match client.call(&[b"PING"]) {
            Ok(Reply::Simple(_)) => held.push(client),
            other => return Some(format!("{other:?}")),
        }
        None
    });
    let refused = refused.expect("a hundred clients are more than eight");
    assert!(refused.contains("max number of clients"), "{refused}");
    // The client that asked whether the server is there may still be counted.
    assert!((7..=8).contains(&held.len()), "{} were served", held.len());
}
