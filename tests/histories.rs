//! Records what clients of the real binary are answered, for `sim check` to judge: `cargo xtask
//! histories` does both. The format is told in `sim/src/recorded.rs`.
//!
//! Many clients share a few keys that lie in many slices; what they write is unique. The server is
//! killed in the middle and comes back, and at the end all keys are read.
//!
//! TOROID_HISTORIES sets how many histories, TOROID_HISTORIES_TO the directory that keeps them;
//! TOROID_SEED repeats a run's choices. Without a directory nothing judges the histories, and the
//! test is only that every reply has the form it must have.

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use support::{Chance, Client, Directory, Reply, Start, encode, wait_for};

const CLIENTS: u32 = 10;
const KEYS: u64 = 14;
const SLICES_TOUCHED_MIN: usize = 6;
const DEPTH_MAX: u64 = 4;

/// Operations after which a phase ends, together.
const OPERATIONS_PER_PHASE: u64 = 1_000;

/// Judged red when (seen with the planted bugs): EXEC does not look at its watches, an effect is
/// not logged, replies leave before the commit, or reads do not wait for it (some runs). Fragments
/// that are forgotten need a kill at their moment: `rigs/powercut.py` finds that.
#[test]
fn histories_are_recorded_across_kills() {
    let count = match std::env::var("TOROID_HISTORIES") {
        Ok(text) => text.parse().expect("TOROID_HISTORIES is a number"),
        Err(_) => 1,
    };
    let seed = Chance::seed_of_run();
    println!("histories: {count}, seed {seed}");
    let mut chance = Chance::new(seed);
    let (mut operations, mut kills) = (0, 0);
    for number in 0..count {
        let directory = Directory::new("histories");
        let (recorder, killed) = record(&directory, number, &mut chance);
        operations += recorder.operations.load(Ordering::Acquire);
        kills += killed;
        let to = match std::env::var_os("TOROID_HISTORIES_TO") {
            Some(to) => PathBuf::from(to),
            None => directory.path().to_path_buf(),
        };
        fs::create_dir_all(&to).expect("the directory for histories can be made");
        let text = recorder.lines.lock().expect("no client panicked").join("\n") + "\n";
        fs::write(to.join(format!("{number}.history")), text).expect("it can be written");
    }
    println!("histories: {count} histories of {operations} operations, {kills} kills");
    assert!(count * 2 * OPERATIONS_PER_PHASE <= operations, "too few to prove anything");
}

/// What the clients of one history share.
#[derive(Debug)]
struct Recorder {
    started: Instant,
    tokens: AtomicU32,
    operations: AtomicU64,
    is_stopping: AtomicBool,
    lines: std::sync::Mutex<Vec<String>>,
}

/// Records one history; with how often the server was killed.
fn record(directory: &Directory, number: u64, chance: &mut Chance) -> (Arc<Recorder>, u64) {
    let recorder = Arc::new(Recorder {
        started: Instant::now(),
        tokens: AtomicU32::new(1),
        operations: AtomicU64::new(0),
        is_stopping: AtomicBool::new(false),
        lines: Vec::from(["toroid-history 1", "slices 16"].map(str::to_owned)).into(),
    });
    let plain = Start::new(&directory.data()).with(&["--slices", "16"]);
    let on = |cores: u64| plain.clone().with(&["--cores", &cores.to_string()]);
    // Every third history is of one core; a few change their number with a kill.
    let cores = if number % 3 == 2 { 1 } else { 2 };
    let mut server = on(cores).run().expect("the server starts on an empty directory");
    assert!(SLICES_TOUCHED_MIN <= slices_touched(&mut server.client()), "the keys lie too close");
    let kills = 1 + chance.below(2);
    let ends_with_kill = chance.below(2) == 0;
    let mut phase = 0;
    loop {
        let goal = (phase + 1) * OPERATIONS_PER_PHASE;
        recorder.is_stopping.store(false, Ordering::Release);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (recorder, chance) = (Arc::clone(&recorder), Chance::new(chance.next()));
                let mut session = Session { recorder, chance, client, phase, lines: Vec::new() };
                let port = server.port();
                spawn(move || {
                    session.run(port);
                    session.lines
                })
            })
            .collect();
        wait_for("the operations of a phase", Duration::from_secs(120), || {
            let done = recorder.operations.load(Ordering::Acquire);
            (goal <= done || clients.iter().any(|client| client.is_finished())).then_some(())
        });
        sleep(Duration::from_micros(chance.below(5_000)));
        let is_last = phase == kills;
        let is_killed = !is_last || ends_with_kill;
        let died_at = if is_killed {
            server.kill();
            let died_at = recorder.now();
            server = on(*chance.pick(&[cores, cores, 1, 2])).run().expect("it recovers");
            Some(died_at)
        } else {
            recorder.is_stopping.store(true, Ordering::Release);
            None
        };
        let mut lines = recorder.lines.lock().expect("no client panicked");
        for client in clients {
            lines.extend(client.join().expect("every reply of the server has its form"));
        }
        lines.extend(died_at.map(|at| format!("crash {phase} {at}")));
        phase += u64::from(is_killed);
        if is_last {
            break;
        }
    }
    let names: Vec<String> = (0..KEYS).map(name).collect();
    let words: Vec<&str> = ["MGET"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let start = recorder.now();
    let reply = server.client().call(&bytes_of(&words)).expect("a running server answers");
    let (end, words) = (recorder.now(), words.join(" "));
    let last = format!("final {phase} {start} {end} {words} = {}", word_of(&reply));
    recorder.lines.lock().expect("no client panicked").push(last);
    server.stop();
    (recorder, phase)
}

fn slices_touched(client: &mut Client) -> usize {
    let slices = (0..KEYS).map(|key| {
        let reply = client.call(&[b"CLUSTER", b"KEYSLOT", name(key).as_bytes()]);
        let Ok(Reply::Integer(slot)) = reply else { panic!("CLUSTER KEYSLOT: {reply:?}") };
        slot / 1024
    });
    slices.collect::<BTreeSet<i64>>().len()
}

impl Recorder {
    /// Later than everything that was seen before, and earlier than what is sent after.
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// One client in one phase.
#[derive(Debug)]
struct Session {
    recorder: Arc<Recorder>,
    chance: Chance,
    client: u32,
    phase: u64,
    lines: Vec<String>,
}

/// A command, as its words.
type Words = Vec<String>;

/// One operation that is sent.
#[derive(Debug)]
enum Sent {
    One(Words),
    /// MULTI to EXEC, with what was read under WATCH.
    Transaction(Vec<Words>, Vec<(Words, Reply)>),
}

impl Session {
    fn run(&mut self, port: u16) {
        let ended = Client::connect(port).and_then(|mut client| {
            while !self.recorder.is_stopping.load(Ordering::Acquire) {
                match self.chance.below(6) {
                    0 => self.compare_and_set(&mut client)?,
                    _ => {
                        let depth = 1 + self.chance.below(DEPTH_MAX);
                        let pipeline = (0..depth).map(|_| self.choose()).collect();
                        self.exchange(&mut client, pipeline)?;
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = ended {
            // A server that hangs, and bytes that are no reply, are findings.
            let kinds = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::InvalidData];
            assert!(!kinds.contains(&error.kind()), "client {}: {error}", self.client);
        }
    }

    fn choose(&mut self) -> Sent {
        Sent::One(match self.chance.below(20) {
            0..4 => {
                let count = 2 + self.chance.below(4);
                let commands = (0..count).map(|_| self.read_or_write()).collect();
                return Sent::Transaction(commands, Vec::new());
            }
            4..7 => self.keys().into_iter().fold(words(&["MGET"]), |mut all, key| {
                all.push(name(key));
                all
            }),
            7..9 => {
                let keys: BTreeSet<u64> = self.keys().into_iter().map(|key| key | 1).collect();
                keys.into_iter().fold(words(&["MSET"]), |mut all, key| {
                    all.extend([name(key), self.token()]);
                    all
                })
            }
            _ => self.read_or_write(),
        })
    }

    fn read_or_write(&mut self) -> Words {
        let key = self.chance.below(KEYS);
        if self.chance.below(2) == 0 { words(&["GET", &name(key)]) } else { self.write(key) }
    }

    /// Half of the keys are appended to, so that their last values tell the order of all writes;
    /// the others are replaced.
    fn write(&mut self, key: u64) -> Words {
        let command = if is_appended(key) { "APPEND" } else { "SET" };
        words(&[command, &name(key), &self.token()])
    }

    /// A value of its own.
    fn token(&self) -> String {
        format!("{:07};", self.recorder.tokens.fetch_add(1, Ordering::Relaxed))
    }

    /// One to four different keys.
    fn keys(&mut self) -> BTreeSet<u64> {
        let count = 2 + self.chance.below(3);
        (0..count).map(|_| self.chance.below(KEYS)).collect()
    }

    /// WATCH and GET of one or two keys, then a transaction that writes at least one of them.
    fn compare_and_set(&mut self, client: &mut Client) -> Result<()> {
        let first = self.chance.below(KEYS);
        let keys: BTreeSet<u64> =
            (0..self.chance.below(2)).map(|_| self.chance.below(KEYS)).chain([first]).collect();
        let watch: Vec<String> = keys.iter().map(|key| name(*key)).collect();
        let watch: Vec<&str> =
            ["WATCH"].into_iter().chain(watch.iter().map(String::as_str)).collect();
        let watching = client.call(&bytes_of(&watch))?;
        assert_eq!(watching, Reply::ok(), "WATCH");
        let gets: Vec<Words> = keys.iter().map(|key| words(&["GET", &name(*key)])).collect();
        let pipeline = gets.iter().cloned().map(Sent::One).collect();
        let values = self.exchange(client, pipeline)?;
        let mut commands = vec![self.write(first)];
        for _ in 0..1 + self.chance.below(3) {
            commands.push(self.read_or_write());
        }
        let watched = gets.into_iter().zip(values).collect();
        self.exchange(client, vec![Sent::Transaction(commands, watched)])?;
        Ok(())
    }

    /// Sends a pipeline, and records what became of each of its operations.
    fn exchange(&mut self, client: &mut Client, pipeline: Vec<Sent>) -> Result<Vec<Reply>> {
        let bytes: Vec<u8> = pipeline.iter().flat_map(Sent::bytes).collect();
        let start = self.recorder.now();
        let mut ended = client.send(&bytes);
        let mut replies = Vec::new();
        for sent in pipeline {
            let reply = match &ended {
                Ok(()) => sent.receive(client).map_err(|error| ended = Err(error)).ok(),
                Err(_) => None,
            };
            let end = reply.as_ref().map_or("-".to_owned(), |_| self.recorder.now().to_string());
            let (client, phase) = (self.client, self.phase);
            let what = sent.record(reply.as_ref());
            self.lines.push(format!("op {client} {phase} {start} {end} {what}"));
            self.recorder.operations.fetch_add(1, Ordering::AcqRel);
            replies.extend(reply);
        }
        ended.map(|()| replies)
    }
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Sent::One(command) => encoded(command),
            Sent::Transaction(commands, _) => {
                let inner = commands.iter().flat_map(encoded);
                encode(&[b"MULTI"]).into_iter().chain(inner).chain(encode(&[b"EXEC"])).collect()
            }
        }
    }

    fn receive(&self, client: &mut Client) -> Result<Reply> {
        if let Sent::Transaction(commands, _) = self {
            assert_eq!(client.receive()?, Reply::ok(), "MULTI");
            for command in commands {
                let queued = client.receive()?;
                assert_eq!(queued, Reply::Simple("QUEUED".to_owned()), "{command:?}");
            }
        }
        client.receive()
    }

    /// Its kind and its commands with their replies.
    fn record(&self, reply: Option<&Reply>) -> String {
        let (kind, commands, replies) = match (self, reply) {
            (Sent::One(command), reply) => {
                ("one", std::slice::from_ref(command), reply.map(std::slice::from_ref))
            }
            (Sent::Transaction(commands, watched), Some(Reply::Null)) => {
                assert!(!watched.is_empty(), "EXEC without WATCH was refused: {commands:?}");
                ("aborted", &commands[..], None)
            }
            (Sent::Transaction(commands, _), Some(Reply::Array(replies))) => {
                assert_eq!(replies.len(), commands.len(), "{commands:?}");
                ("exec", &commands[..], Some(&replies[..]))
            }
            (Sent::Transaction(commands, _), None) => ("exec", &commands[..], None),
            (Sent::Transaction(..), Some(other)) => panic!("EXEC answered {other:?}"),
        };
        let mut text = kind.to_owned();
        if let Sent::Transaction(_, watched) = self {
            for (get, reply) in watched {
                write!(text, " WATCHED {} = {} |", get[1], word_of(reply)).expect("it is text");
            }
        }
        for (at, command) in commands.iter().enumerate() {
            let reply = replies.map_or("?".to_owned(), |replies| word_of(&replies[at]));
            let bar = if at == 0 { "" } else { " |" };
            write!(text, "{bar} {} = {reply}", command.join(" ")).expect("it is text");
        }
        text
    }
}

fn is_appended(key: u64) -> bool {
    key.is_multiple_of(2)
}

fn name(key: u64) -> String {
    format!("k{key}")
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn bytes_of<'a>(words: &[&'a str]) -> Vec<&'a [u8]> {
    words.iter().map(|word| word.as_bytes()).collect()
}

fn encoded(words: &Words) -> Vec<u8> {
    encode(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
}

/// A reply as a recorded history shows it.
fn word_of(reply: &Reply) -> String {
    match reply {
        Reply::Simple(text) if text == "OK" => "ok".to_owned(),
        Reply::Null => "nil".to_owned(),
        Reply::Integer(number) => format!(":{number}"),
        Reply::Bulk(bytes) => format!("${}", String::from_utf8_lossy(bytes)),
        Reply::Array(values) => {
            let values: Vec<String> = values.iter().map(word_of).collect();
            format!("[ {} ]", values.join(" "))
        }
        other => panic!("no command of these answers {other:?}"),
    }
}
