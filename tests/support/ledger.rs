//! The ledger of acknowledged writes: what each key may hold after a crash.
//!
//! A key has one writer, and its n-th write has a content that follows from n. So what a key holds
//! says which write was the last, and it must be one between the last acknowledged and the last
//! sent. The ledger is memory of the test's process: nothing that happens to the server touches it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Client, Reply, encode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SET; step n holds "n:" and a filling that follows from n.
    Value,
    /// Like `Value`, but the filling is larger than one frame of the log can be.
    Big,
    /// SET and DEL in turn: after an odd step the key is absent.
    Toggle,
    /// INCR: step n holds n, and the reply says n, so nothing is applied twice either.
    Counter,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    acked: AtomicU64,
    sent: AtomicU64,
    /// The highest step a reader was shown.
    seen: AtomicU64,
}

impl Key {
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Ordering::Acquire)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    pub(crate) fn is_acked(&self, step: u64) {
        self.acked.store(step, Ordering::Release);
    }

    pub(crate) fn is_seen(&self, step: u64) {
        self.seen.fetch_max(step, Ordering::AcqRel);
    }

    /// The next write: its step and its request. Counted as sent before it can leave.
    pub(crate) fn next_request(&self) -> (u64, Vec<u8>) {
        let step = self.sent.fetch_add(1, Ordering::AcqRel) + 1;
        let name = self.name.as_bytes();
        let request = match (self.kind, self.content(step)) {
            (Kind::Counter, _) => encode(&[b"INCR", name]),
            (_, Some(value)) => encode(&[b"SET", name, &value]),
            (_, None) => encode(&[b"DEL", name]),
        };
        (step, request)
    }

    pub(crate) fn accepts_reply(&self, step: u64, reply: &Reply) -> bool {
        match (self.kind, reply) {
            (Kind::Counter, Reply::Integer(value)) => *value as u64 == step,
            // Whether the write before survived a crash is open, so both counts are.
            (Kind::Toggle, Reply::Integer(count)) => {
                !step.is_multiple_of(2) && (0..=1).contains(count)
            }
            (Kind::Toggle, reply) => step.is_multiple_of(2) && *reply == Reply::ok(),
            (_, reply) => *reply == Reply::ok(),
        }
    }

    /// What the key holds after `step`; None is absent.
    pub(crate) fn content(&self, step: u64) -> Option<Vec<u8>> {
        if step == 0 || (self.kind == Kind::Toggle && !step.is_multiple_of(2)) {
            return None;
        }
        if self.kind == Kind::Counter {
            return Some(step.to_string().into_bytes());
        }
        let size = match self.kind {
            Kind::Big => (1 << 20) + (step * 104_729) % (1 << 20),
            _ => (step * 7919) % 3000,
        };
        let mut value = format!("{step}:").into_bytes();
        value.extend((0..size).map(|at| (at.wrapping_mul(step) >> 3) as u8));
        Some(value)
    }

    /// The step a shown value belongs to. None if no step of this key ever held it.
    pub(crate) fn step_of(&self, value: &[u8]) -> Option<u64> {
        let digits = value.split(|&byte| byte == b':').next()?;
        let step = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (self.content(step).as_deref() == Some(value)).then_some(step)
    }

    /// Judges what the key holds after a crash, and takes it for acknowledged from now on.
    fn judge(&self, reply: &Reply) -> Result<(), String> {
        let (acked, sent) = (self.acked().max(self.seen.load(Ordering::Acquire)), self.sent());
        let step = match reply {
            Reply::Null => (acked..=sent).find(|&step| self.content(step).is_none()),
            Reply::Bulk(value) => self.step_of(value).filter(|step| (acked..=sent).contains(step)),
            _ => None,
        };
        let Some(step) = step else {
            let shown: String = format!("{reply:?}").chars().take(60).collect();
            return Err(format!(
                "{} holds {shown}; acknowledged or shown: step {acked}, sent: step {sent}",
                self.name
            ));
        };
        self.is_acked(step);
        if self.kind == Kind::Counter {
            // An INCR that did not survive is not sent again: the next one counts from here.
            self.sent.store(step, Ordering::Release);
        }
        Ok(())
    }
}

/// One writer's keys, and how many requests it has on their way at most.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) keys: Vec<Key>,
    pub(crate) depth: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) writers: Vec<Writer>,
    /// One counter that every writer of counters increments: acknowledged and sent.
    pub(crate) shared_acked: AtomicU64,
    pub(crate) shared_sent: AtomicU64,
}

pub(crate) const SHARED: &[u8] = b"shared-counter";

impl Ledger {
    pub(crate) fn new() -> Ledger {
        let plan = [
            (Kind::Value, 64, 1),
            (Kind::Value, 256, 64),
            // More than the disk takes: frames wait for their turn when the kill comes.
            (Kind::Value, 512, 512),
            (Kind::Value, 512, 512),
            (Kind::Toggle, 64, 8),
            (Kind::Counter, 4, 1),
            (Kind::Counter, 16, 32),
            (Kind::Big, 2, 2),
        ];
        let writers = plan.into_iter().enumerate().map(|(index, (kind, count, depth))| {
            let key = |number| Key {
                name: format!("{kind:?}-{index}-{number}"),
                kind,
                acked: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                seen: AtomicU64::new(0),
            };
            Writer { keys: (0..count).map(key).collect(), depth }
        });
        Ledger {
            writers: writers.collect(),
            shared_acked: AtomicU64::new(0),
            shared_sent: AtomicU64::new(0),
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.writers.iter().flat_map(|writer| &writer.keys)
    }

    /// Reads every key back after a crash; what is missing or was never written.
    pub(crate) fn verify(&self, client: &mut Client) -> Vec<String> {
        let mut wrong = Vec::new();
        for key in self.keys() {
            let reply = client.call(&[b"GET", key.name.as_bytes()]);
            wrong.extend(key.judge(&reply.expect("a recovered server answers")).err());
        }
        let reply = client.call(&[b"GET", SHARED]).expect("a recovered server answers");
        let value = match &reply {
            Reply::Null => Some(0),
            Reply::Bulk(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        let acked = self.shared_acked.load(Ordering::Acquire);
        let sent = self.shared_sent.load(Ordering::Acquire);
        match value {
            Some(value) if (acked..=sent).contains(&value) => {
                self.shared_acked.store(value, Ordering::Release);
                self.shared_sent.store(value, Ordering::Release);
            }
            _ => wrong.push(format!(
                "the shared counter is {reply:?}; {acked} acknowledged, {sent} sent"
            )),
        }
        wrong
    }
}
