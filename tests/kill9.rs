//! kill -9 under load: every acknowledged write is there afterwards, and everything a reader was
//! shown; no half of a transaction is ever there. Now and then the server comes back with another
//! number of cores, and reads the logs of the numbers before. In most rounds snapshots are taken all
//! the time, of single slices by the growth of the log and of all by a client, so that kills fall
//! into what is written, published, trimmed and removed.
//!
//! TOROID_ROUNDS sets the number of kills (5 without it, 200 for an acceptance), TOROID_SEED
//! repeats a run's choices. A kill leaves the kernel and the disk alive, so this does not test the
//! flush: that is `rigs/powercut.py`.

#[path = "support/support.rs"]
mod support;

use std::fs::read_dir;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use support::{Bank, BankDay, Chance, Client, Directory, Ledger, Load, Reply, Start, verify_log};

/// Another size of segments belongs to another directory: it is taken after this many kills.
const ROUNDS_PER_LOG: u64 = 20;
const ACKED_PER_ROUND_MIN: u64 = 1000;
/// In segments of 64 KiB a large value is many frames, and there are fewer writes.
const ACKED_PER_SMALL_ROUND_MIN: u64 = 500;

/// Numbers of cores to come back with; three share the processors of a small host.
const CORES: &[u64] = &[1, 2, 2, 3];

/// Sizes of segments and of the log that brings snapshots about: bytes. With large segments and few
/// snapshots the log is what recovers.
const SEGMENT_SIZES: &[&str] = &["65536", "262144", "8388608"];
const SNAPSHOT_LOG_SIZES: &[&str] = &["64kb", "64kb", "1mb", "8mb", "256mb"];

/// Asks for snapshots until the server dies; returns how often that was granted.
fn save_often(port: u16, mut chance: Chance) -> JoinHandle<u64> {
    spawn(move || {
        let mut granted = 0;
        let Ok(mut client) = Client::connect(port) else { return granted };
        while let Ok(reply) = client.call(&[b"BGSAVE"]) {
            let is_refused = reply.is_error_with("ERR Background save already in progress");
            assert!(is_refused || matches!(reply, Reply::Simple(_)), "BGSAVE answered {reply:?}");
            granted += u64::from(!is_refused);
            std::thread::sleep(Duration::from_millis(chance.below(150)));
        }
        granted
    })
}

/// What a kill has left of snapshots: those that are published, and attempts.
fn snapshots_left(data: &Path) -> (u64, u64) {
    let list = |path: &Path| -> Vec<PathBuf> {
        let Ok(entries) = read_dir(path) else { return Vec::new() };
        entries.map(|entry| entry.expect("a directory can be read").path()).collect()
    };
    let of_slices = list(&data.join("snapshots"));
    let all: Vec<PathBuf> = of_slices.iter().flat_map(|slice| list(slice)).collect();
    let published = all.iter().filter(|path| path.join("MANIFEST").exists()).count();
    (published as u64, (all.len() - published) as u64)
}

/// The numbers that lead the names of segments: 1 until a log is trimmed.
fn is_trimmed(data: &Path) -> bool {
    let entries = read_dir(data).expect("the directory can be read");
    let logs = entries.map(|entry| entry.expect("the directory can be read").path());
    let mut logs = logs.filter(|path| path.is_dir() && !path.ends_with("snapshots"));
    logs.any(|log| !log.join("00000001.segment").exists())
}

/// Red when: a reply is released before its frame is submitted (the planted `ReplyBeforeCommit`:
/// what waits for a place in flight is lost); recovery leaves out an effect, or a record; what a
/// transaction wrote in several slices is logged without fragments, or counts as soon as one core
/// has it on disk; EXEC does not look at its watches; a start with another number of cores leaves
/// out an older generation's logs, or reads them after the newer one's; a snapshot is published
/// before its index is settled, or its chunks are written; the log is trimmed beyond the snapshots
/// that are published.
#[test]
fn an_acknowledged_write_survives_kill_9() {
    let rounds: u64 = match std::env::var("TOROID_ROUNDS") {
        Ok(text) => text.parse().expect("TOROID_ROUNDS is a number"),
        Err(_) => 5,
    };
    let seed = Chance::seed_of_run();
    println!("kill9: {rounds} rounds, seed {seed}");
    let mut chance = Chance::new(seed);
    let (mut round, mut acked, mut read, mut early) = (0, 0, 0, 0);
    let (mut transfers, mut refused, mut audits, mut regrouped) = (0, 0, 0, 0);
    let (mut saves, mut published, mut attempts, mut trimmed) = (0, 0, 0, 0);
    let mut acked_min = 0;
    while round < rounds {
        let directory = Directory::new("kill9");
        let plain = Start::new(&directory.data());
        let segment_size = *chance.pick(SEGMENT_SIZES);
        let plain = plain.with(&["--wal-segment-size", segment_size, "--slices", "16"]);
        let on = |cores: u64, snapshot_log_size| {
            let cores = cores.to_string();
            plain.clone().with(&["--cores", &cores, "--snapshot-log-size", snapshot_log_size])
        };
        let mut cores = *chance.pick(CORES);
        let ledger = Arc::new(Ledger::new());
        let bank = Arc::new(Bank::new());
        let end = rounds.min(round + ROUNDS_PER_LOG);
        let mut server = on(cores, *chance.pick(SNAPSHOT_LOG_SIZES))
            .run()
            .expect("the server starts on an empty directory");
        while round < end {
            round += 1;
            let is_small = segment_size == SEGMENT_SIZES[0];
            acked_min += if is_small { ACKED_PER_SMALL_ROUND_MIN } else { ACKED_PER_ROUND_MIN };
            let load = Load::start(server.port(), &ledger, chance.next());
            let day = BankDay::start(server.port(), &bank, chance.next());
            let saver = (chance.below(2) == 0)
                .then(|| save_often(server.port(), Chance::new(chance.next())));
            std::thread::sleep(Duration::from_millis(100 + chance.below(900)));
            server.kill();
            saves += saver.map_or(0, |it| it.join().expect("every answer to BGSAVE is right"));
            let left = snapshots_left(&directory.data());
            published += left.0;
            attempts += left.1;
            trimmed += u64::from(is_trimmed(&directory.data()));
            let tally = load.join().expect("every answer of a living server is right");
            let turnover = day.join().expect("no half of a transfer is shown");
            transfers += turnover.transfers;
            refused += turnover.refused;
            audits += turnover.audits;
            acked += tally.acked;
            read += tally.read;
            if chance.below(3) == 0 {
                // Killed again while it recovers, wherever that is.
                let again = on(*chance.pick(&[cores, cores, 1, 2]), "64kb").spawn();
                std::thread::sleep(Duration::from_millis(chance.below(120)));
                again.kill();
                early += 1;
            }
            if chance.below(3) == 0 {
                let before = std::mem::replace(&mut cores, *chance.pick(CORES));
                regrouped += u64::from(cores != before);
            }
            server = on(cores, *chance.pick(SNAPSHOT_LOG_SIZES))
                .run()
                .unwrap_or_else(|refusal| panic!("round {round}, seed {seed}: {refusal:?}"));
            let mut wrong = ledger.verify(&mut server.client());
            wrong.extend(bank.verify(&mut server.client()));
            assert!(wrong.is_empty(), "round {round}, seed {seed}:\n{}", wrong.join("\n"));
        }
        server.stop();
        verify_log(&directory.data());
    }
    println!(
        "kill9: {rounds} rounds and {early} kills during recovery: {acked} acknowledged writes and \
         {read} answered reads, none lost; {transfers} transfers, {refused} refused by a watch, \
         {audits} audits, none half; {regrouped} starts with another number of cores; {saves} \
         saves begun, {published} snapshots and {attempts} attempts left by kills, {trimmed} starts \
         from trimmed logs"
    );
    assert!(rounds < 20 || 0 < attempts, "no kill has met a snapshot that was being written");
    assert!(rounds < 20 || rounds / 4 <= trimmed, "{trimmed} starts from trimmed logs are too few");
    assert!(rounds < 20 || 0 < saves, "no save was begun");
    assert!(rounds < 20 || 0 < regrouped, "the number of cores never changed");
    assert!(rounds * 10 <= transfers, "{transfers} transfers are too few to prove anything");
    assert!(rounds <= audits, "{audits} audits are too few to prove anything");
    assert!(acked_min <= acked, "{acked} writes are too few to prove anything");
    assert!(rounds <= read, "{read} reads are too few to prove anything");
}
