//! Writers and readers over a ledger, until the server dies.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use super::ledger::SHARED;
use super::{Chance, Client, Key, Kind, Ledger, Reply, encode};

const READERS: u64 = 2;

#[derive(Debug)]
pub(crate) struct Load {
    threads: Vec<JoinHandle<Result<(), String>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    port: u16,
    acked: AtomicU64,
    read: AtomicU64,
    is_stopping: AtomicBool,
}

/// What a load had answered when it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) acked: u64,
    pub(crate) read: u64,
}

impl Load {
    pub(crate) fn start(port: u16, ledger: &Arc<Ledger>, seed: u64) -> Load {
        let shared = Arc::new(Shared {
            ledger: Arc::clone(ledger),
            port,
            acked: AtomicU64::new(0),
            read: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for index in 0..ledger.writers.len() {
            let shared = Arc::clone(&shared);
            let chance = Chance::new(seed.wrapping_mul(31).wrapping_add(index as u64));
            threads.push(spawn(move || ended(shared.write(index, chance))));
        }
        for index in 0..READERS {
            let shared = Arc::clone(&shared);
            let chance = Chance::new(seed.wrapping_mul(37).wrapping_add(index));
            threads.push(spawn(move || ended(shared.read(chance))));
        }
        Load { threads, shared }
    }

    /// Ends the load. A connection that broke is no finding; a wrong answer is.
    pub(crate) fn join(self) -> Result<Tally, String> {
        self.shared.is_stopping.store(true, Ordering::Release);
        let results: Vec<_> = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("a client of the load does not panic"))
            .collect();
        results.into_iter().collect::<Result<(), String>>()?;
        Ok(Tally {
            acked: self.shared.acked.load(Ordering::Acquire),
            read: self.shared.read.load(Ordering::Acquire),
        })
    }
}

/// Why a client stopped.
pub(super) enum End {
    Broken(io::Error),
    Wrong(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            // The client's own timeout: the server hangs, it did not die. And bytes that are no
            // reply.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::InvalidData => {
                End::Wrong(error.to_string())
            }
            _ => End::Broken(error),
        }
    }
}

pub(super) fn ended(result: Result<(), End>) -> Result<(), String> {
    match result {
        Ok(()) | Err(End::Broken(_)) => Ok(()),
        Err(End::Wrong(text)) => Err(text),
    }
}

impl Shared {
    fn write(&self, index: usize, mut chance: Chance) -> Result<(), End> {
        let writer = &self.ledger.writers[index];
        let counts_shared = writer.keys[0].kind == Kind::Counter;
        let mut client = Client::connect(self.port)?;
        while !self.is_stopping.load(Ordering::Acquire) {
            let mut requests = Vec::new();
            let mut expected: Vec<Option<(&Key, u64)>> = Vec::new();
            for _ in 0..=chance.below(writer.depth) {
                let key = chance.pick(&writer.keys);
                let (step, request) = key.next_request();
                requests.extend(request);
                expected.push(Some((key, step)));
                if counts_shared && chance.below(4) == 0 {
                    self.ledger.shared_sent.fetch_add(1, Ordering::AcqRel);
                    requests.extend(encode(&[b"INCR", SHARED]));
                    expected.push(None);
                }
            }
            client.send(&requests)?;
            for expected in expected {
                let reply = client.receive()?;
                match (expected, &reply) {
                    (Some((key, step)), reply) if key.accepts_reply(step, reply) => {
                        key.is_acked(step);
                    }
                    (None, Reply::Integer(_)) => {
                        self.ledger.shared_acked.fetch_add(1, Ordering::AcqRel);
                    }
                    (Some((key, step)), reply) => {
                        return Err(End::Wrong(format!("{} step {step}: {reply:?}", key.name)));
                    }
                    (None, reply) => {
                        return Err(End::Wrong(format!("INCR of the shared counter: {reply:?}")));
                    }
                }
                self.acked.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Reads keys at random. What it is shown must not be older than what was settled before it
    /// asked.
    fn read(&self, mut chance: Chance) -> Result<(), End> {
        let keys: Vec<&Key> = self
            .ledger
            .keys()
            .filter(|key| matches!(key.kind, Kind::Value | Kind::Counter))
            .collect();
        let mut client = Client::connect(self.port)?;
        while !self.is_stopping.load(Ordering::Acquire) {
            let key = *chance.pick(&keys);
            let floor = key.acked();
            let step = match client.call(&[b"GET", key.name.as_bytes()])? {
                Reply::Null => Some(0),
                Reply::Bulk(value) => key.step_of(&value),
                _ => None,
            };
            match step {
                Some(step) if floor <= step && step <= key.sent() => key.is_seen(step),
                _ => {
                    let text = format!(
                        "GET {} answered step {step:?}; {floor} was acknowledged before, {} sent",
                        key.name,
                        key.sent()
                    );
                    return Err(End::Wrong(text));
                }
            }
            self.read.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
