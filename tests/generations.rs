//! A start with another number of cores reads the logs of the number before, and they go when
//! snapshots hold what is in them: while the server runs, whatever interrupts it.

#[path = "support/support.rs"]
mod support;

use std::fs::{read, read_dir, read_to_string, write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{Chance, Client, Directory, Reply, Server, Start, encode, toroid, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
const SLICES: usize = 8;

fn on(cores: u64, data: &Path) -> Start {
    let cores = cores.to_string();
    let small = ["--slices", "8", "--wal-segment-size", "65536", "--save", ""];
    Start::new(data).with(&["--cores", &cores]).with(&small)
}

fn call(client: &mut Client, words: &[&str]) -> Reply {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let reply = client.call(&words).expect("it serves");
    assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply:?}");
    reply
}

/// Writes to every slice.
fn fill(server: &Server, round: u64) {
    let mut client = server.client();
    for number in 0..100 {
        let (key, value) = (format!("key-{number}"), format!("value-{round}-{number}"));
        call(&mut client, &["SET", &key, &value]);
        call(&mut client, &["RPUSH", &format!("list-{number}"), &value]);
    }
}

fn save(server: &Server) {
    assert_eq!(call(&mut server.client(), &["SAVE"]), Reply::ok());
}

fn digest(server: &Server) -> Reply {
    call(&mut server.client(), &["DEBUG", "DIGEST"])
}

/// The directories of logs, by name.
fn logs(data: &Path) -> Vec<String> {
    let entries = read_dir(data).expect("the directory can be read");
    let names = entries.map(|entry| entry.expect("the directory can be read").file_name());
    let names = names.map(|name| name.into_string().expect("the names are text"));
    let mut names: Vec<String> = names.filter(|name| name.starts_with("log-")).collect();
    names.sort();
    names
}

fn wait_for_logs(data: &Path, server: &Server, expected: &[&str]) {
    wait_for(&format!("only {expected:?}"), PATIENCE, || (logs(data) == expected).then_some(()));
    wait_for("the file 'logs' forgets the others", PATIENCE, || {
        let text = read_to_string(data.join("logs")).expect("it is replaced as a whole");
        (!text.contains("dropped")).then_some(())
    });
    wait_for("a line in the log", PATIENCE, || {
        server.stderr().contains("are removed: snapshots hold").then_some(())
    });
}

/// The chunks of the newest snapshot of each slice.
fn newest_chunks(data: &Path) -> Vec<PathBuf> {
    let list = |path: &Path| {
        let entries = read_dir(path).expect("the directory can be read");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("the directory can be read").path()).collect();
        paths.sort();
        paths
    };
    let newest = |slice: &PathBuf| list(slice).pop().expect("a slice has snapshots");
    let slices = list(&data.join("snapshots"));
    slices.iter().map(|slice| newest(slice).join("chunk-000000")).collect()
}

fn verify(data: &Path) {
    let output = toroid().arg("verify").arg(data).output().expect("the binary can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
}

/// Red when: the old logs stay though two snapshots of each slice hold what is in them; they go
/// for the newest snapshots alone, while slices are written to; the new logs are taken with them.
/// Broken once by cores that tell the newest snapshot instead of the older one, once by cores that
/// tell nothing.
#[test]
fn old_logs_go_when_the_older_of_two_snapshots_holds_what_is_in_them() {
    let directory = Directory::new("dropped");
    let data = directory.data();
    let server = on(2, &data).run().expect("the server starts");
    fill(&server, 0);
    server.stop();
    assert_eq!(logs(&data), ["log-1-0", "log-1-1"]);

    let server = on(1, &data).run().expect("it reads the logs of two cores");
    fill(&server, 1);
    save(&server);
    fill(&server, 2);
    let before = digest(&server);
    server.kill();
    // One snapshot is not enough, not even at a start that has loaded it.
    let server = on(1, &data).run().expect("it starts from snapshots and both generations");
    assert_eq!(logs(&data), ["log-1-0", "log-1-1", "log-2-0"]);
    assert_eq!(digest(&server), before);
    fill(&server, 3);
    save(&server);
    wait_for_logs(&data, &server, &["log-2-0"]);
    fill(&server, 4);
    let before = digest(&server);
    server.kill();
    verify(&data);

    // The newest may be damaged: what is left does without them.
    let chunks = newest_chunks(&data);
    assert_eq!(chunks.len(), SLICES);
    for chunk in &chunks {
        let mut bytes = read(chunk).expect("the chunk can be read");
        bytes[100] ^= 1;
        write(chunk, bytes).expect("the chunk can be written");
    }
    let server = on(2, &data).run().expect("it starts from the older snapshots, on two cores");
    assert_eq!(digest(&server), before);
    assert_eq!(logs(&data), ["log-2-0", "log-3-0", "log-3-1"]);
    server.stop();
}

/// Red when: a slice at rest, which gets no second snapshot, keeps the old logs for ever; a core does
/// not hear of the slices of another.
/// Broken once by a save that does not note what it finds at rest.
#[test]
fn old_logs_go_though_nothing_is_written_any_more() {
    let directory = Directory::new("rest");
    let data = directory.data();
    let server = on(1, &data).run().expect("the server starts");
    fill(&server, 0);
    let before = digest(&server);
    server.stop();
    let server = on(2, &data).run().expect("it reads the log of one core");
    save(&server);
    save(&server);
    wait_for_logs(&data, &server, &["log-2-0", "log-2-1"]);
    server.kill();
    verify(&data);
    let server = on(2, &data).run().expect("it starts from the only snapshots there are");
    assert_eq!(digest(&server), before);
    server.stop();
}

/// The snapshots that are to stand for the logs are read before these go.
///
/// Red when: the old logs go though what is to replace them is damaged; a damaged one ends the server.
/// Broken once by a removal that reads only the manifests.
#[test]
fn old_logs_stay_while_a_snapshot_that_is_to_replace_them_is_damaged() {
    let directory = Directory::new("stay");
    let data = directory.data();
    let server = on(2, &data).run().expect("the server starts");
    fill(&server, 0);
    server.stop();
    let server = on(1, &data).run().expect("it reads the logs of two cores");
    fill(&server, 1);
    save(&server);
    let damaged = newest_chunks(&data).pop().expect("a slice has a snapshot");
    let mut bytes = read(&damaged).expect("the chunk can be read");
    bytes[100] ^= 1;
    write(&damaged, bytes).expect("the chunk can be written");
    fill(&server, 2);
    save(&server);
    wait_for("a warning", PATIENCE, || {
        let said = server.stderr();
        let is_told = said.contains("number of cores stay") && said.contains("chunk-000000");
        is_told.then_some(())
    });
    assert_eq!(logs(&data), ["log-1-0", "log-1-1", "log-2-0"]);
    // The next ones take its place.
    fill(&server, 3);
    save(&server);
    wait_for_logs(&data, &server, &["log-2-0"]);
    let before = digest(&server);
    server.kill();
    verify(&data);
    let server = on(1, &data).run().expect("it starts");
    assert_eq!(digest(&server), before);
    server.stop();
}

/// Red when: a start takes what a kill has left of old logs for damage, or for data.
#[test]
fn a_kill_while_old_logs_go_leaves_a_usable_directory() {
    let directory = Directory::new("interrupted");
    let data = directory.data();
    let seed = Chance::seed_of_run();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let (mut before, mut gone) = (None, 0);
    for round in 0..12 {
        let cores = 1 + round % 2;
        let server = on(cores, &data).run().unwrap_or_else(|refusal| {
            panic!("round {round}, seed {seed}: {refusal:?}");
        });
        if let Some(before) = before {
            assert_eq!(digest(&server), before, "round {round}, seed {seed}");
        }
        fill(&server, 2 * round);
        save(&server);
        fill(&server, 2 * round + 1);
        before = Some(digest(&server));
        // Killed while the second snapshots are written, read back, or stand for what is removed.
        let mut saver = server.client();
        saver.send(&encode(&[b"SAVE"])).expect("it serves");
        std::thread::sleep(Duration::from_micros(chance.below(60_000)));
        server.kill();
        gone += u64::from(logs(&data).len() == cores as usize);
        verify(&data);
    }
    println!("12 kills, {gone} after everything was removed");
}
