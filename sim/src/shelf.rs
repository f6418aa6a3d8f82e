//! The files of snapshots: which survive what.
//!
//! A published snapshot is on stable storage when the node is told, and may be from when its
//! publication began. Everything else is gone with the process. Of each slice the two newest are
//! kept.

use std::collections::BTreeMap;

use base::{LogIndex, Prng, SliceId};
use node::{Published, SliceReplay, SnapshotEvent, SnapshotOutput};
use wal::snapshot::Manifest;

use crate::report::Report;

/// Published snapshots of a slice that are kept.
const KEPT: usize = 2;

/// Owner: world. All cores of a node have one.
#[derive(Debug, Default)]
pub struct Shelf {
    published: BTreeMap<(SliceId, LogIndex), Stored>,
    /// What is being written: a slice has one attempt at a time.
    attempts: BTreeMap<SliceId, Attempt>,
    /// Publications that failed: the next start may find them whole.
    doubtful: Vec<Stored>,
    pending: BTreeMap<Ticket, Pending>,
    tickets: u64,
    /// What the node may not ask for.
    pub violations: Vec<String>,
}

/// A snapshot that is whole.
#[derive(Clone, Debug)]
pub struct Stored {
    pub facts: Manifest,
    chunks: Vec<Vec<u8>>,
}

/// Names an operation on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Attempt {
    /// As the node counts them.
    number: u32,
    /// That of its first operation.
    first: Ticket,
    index: LogIndex,
    /// By number, when they are written.
    chunks: Vec<Option<Vec<u8>>>,
}

#[derive(Debug)]
struct Pending {
    /// Its attempt.
    first: Ticket,
    output: SnapshotOutput,
}

impl Shelf {
    /// Takes what the node asks for; what takes time gets a ticket.
    pub fn submit(&mut self, output: SnapshotOutput) -> Option<Ticket> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let (slice, index, number_of) = match &output {
            SnapshotOutput::Chunk { slice, index, attempt, .. }
            | SnapshotOutput::Publish { slice, index, attempt, .. }
            | SnapshotOutput::Discard { slice, index, attempt, .. } => (*slice, *index, *attempt),
        };
        let attempt = self.attempts.get_mut(&slice).filter(|attempt| attempt.number == number_of);
        match (&output, attempt) {
            (SnapshotOutput::Discard { .. }, attempt) => {
                if attempt.is_some() {
                    self.attempts.remove(&slice);
                }
                return None;
            }
            (SnapshotOutput::Chunk { number: 0, .. }, _) => {
                self.begin(slice, index, number_of, ticket);
            }
            (SnapshotOutput::Publish { .. }, None) => self.begin(slice, index, number_of, ticket),
            (SnapshotOutput::Chunk { number, .. }, Some(attempt)) => {
                if *number as usize != attempt.chunks.len() {
                    self.violations.push(format!("chunk {number} of {slice} at {index} is early"));
                    return None;
                }
            }
            (SnapshotOutput::Chunk { .. }, None) => {
                // Of an attempt that failed before the node heard of it.
                return None;
            }
            (SnapshotOutput::Publish { .. }, Some(attempt)) => {
                if attempt.chunks.iter().any(Option::is_none) {
                    let what = format!("{slice} at {index} is published before it is written");
                    self.violations.push(what);
                    return None;
                }
            }
        }
        let attempt = self.attempts.get_mut(&slice).expect("it was found or begun");
        if let SnapshotOutput::Chunk { .. } = output {
            attempt.chunks.push(None);
        }
        self.pending.insert(ticket, Pending { first: attempt.first, output });
        Some(ticket)
    }

    fn begin(&mut self, slice: SliceId, index: LogIndex, number: u32, first: Ticket) {
        if let Some(attempt) = self.attempts.get(&slice) {
            let what =
                format!("{slice} at {index} begins before the one at {} ends", attempt.index);
            self.violations.push(what);
        }
        self.attempts.insert(slice, Attempt { number, first, index, chunks: Vec::new() });
    }

    /// Carries an operation out, or fails it; returns what the node is told, if anything.
    pub fn complete(
        &mut self,
        ticket: Ticket,
        fails: bool,
        prng: &mut Prng,
        report: &mut Report,
    ) -> Option<SnapshotEvent> {
        // Nothing more is said of an attempt that failed.
        let Pending { first, output } = self.pending.remove(&ticket)?;
        let (slice, index, of) = match &output {
            SnapshotOutput::Chunk { slice, index, attempt, .. } => (*slice, *index, *attempt),
            SnapshotOutput::Publish { slice, index, attempt, .. } => (*slice, *index, *attempt),
            SnapshotOutput::Discard { .. } => unreachable!("it takes no time"),
        };
        let attempt = self.attempts.get_mut(&slice).filter(|attempt| attempt.first == first);
        match output {
            SnapshotOutput::Chunk { raw, number, .. } => {
                let Some(attempt) = attempt else {
                    // What was given up may still be answered.
                    let is_told = !fails && prng.chance(50);
                    report.add("snapshot: answered after it was given up", is_told.into());
                    return is_told.then_some(SnapshotEvent::ChunkWritten {
                        slice,
                        index,
                        attempt: of,
                        raw,
                        number,
                    });
                };
                if fails {
                    report.count("fault: chunk of a snapshot failed");
                    self.attempts.remove(&slice);
                    self.pending.retain(|_, pending| pending.first != first);
                    return Some(SnapshotEvent::Failed {
                        slice,
                        index,
                        attempt: of,
                        error: "an injected fault".to_owned(),
                    });
                }
                attempt.chunks[number as usize] = Some(raw.clone());
                Some(SnapshotEvent::ChunkWritten { slice, index, attempt: of, number, raw })
            }
            SnapshotOutput::Publish { manifest: facts, .. } => {
                attempt?;
                let attempt = self.attempts.remove(&slice).expect("it was just there");
                let chunks = attempt.chunks.into_iter();
                let chunks = chunks.map(|chunk| chunk.expect("it was asked for when all are"));
                let stored = Stored { facts, chunks: chunks.collect() };
                if fails {
                    report.count("fault: publication of a snapshot failed");
                    self.doubtful.push(stored);
                    return Some(SnapshotEvent::Failed {
                        slice,
                        index,
                        attempt: of,
                        error: "an injected fault".to_owned(),
                    });
                }
                self.keep(stored);
                report.count("snapshot: published");
                Some(SnapshotEvent::Published { slice, index, attempt: of })
            }
            SnapshotOutput::Discard { .. } => unreachable!("it takes no time"),
        }
    }

    fn keep(&mut self, stored: Stored) {
        let slice = stored.facts.slice;
        self.published.insert((slice, stored.facts.index), stored);
        while KEPT < self.of(slice).count() {
            let oldest = self.of(slice).next().expect("there are several").facts.index;
            self.published.remove(&(slice, oldest));
        }
    }

    /// The process is gone.
    pub fn kill(&mut self, prng: &mut Prng, report: &mut Report) {
        for Pending { first, output } in std::mem::take(&mut self.pending).into_values() {
            let SnapshotOutput::Publish { manifest: facts, .. } = output else {
                report.count("kill: chunk of a snapshot");
                continue;
            };
            let attempt = self.attempts.remove(&facts.slice);
            let Some(attempt) = attempt.filter(|attempt| attempt.first == first) else { continue };
            let chunks = attempt.chunks.into_iter();
            let chunks = chunks.map(|chunk| chunk.expect("it was asked for when all are"));
            self.doubtful.push(Stored { facts, chunks: chunks.collect() });
        }
        for stored in std::mem::take(&mut self.doubtful) {
            if prng.chance(50) {
                report.count("snapshot: published, nobody told");
                self.keep(stored);
            }
        }
        self.attempts.clear();
    }

    /// The published ones of a slice, oldest first.
    pub fn of(&self, slice: SliceId) -> impl Iterator<Item = &Stored> {
        let range = (slice, LogIndex::NONE)..=(slice, LogIndex(u64::MAX));
        self.published.range(range).map(|(_, stored)| stored)
    }

    /// As a start tells the node, oldest first.
    pub fn published(&self, slice: SliceId) -> impl Iterator<Item = Published> {
        self.of(slice).map(move |stored| Published {
            slice,
            index: stored.facts.index,
            size: stored.chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        })
    }

    /// Those that were published, of all slices.
    pub fn all(&self) -> impl Iterator<Item = &Stored> {
        self.published.values()
    }

    /// The newest of a slice is damaged, and a start removes it.
    pub fn lose_newest(&mut self, slice: SliceId) -> Option<Stored> {
        let newest = self.of(slice).last().map(|stored| stored.facts.index)?;
        self.published.remove(&(slice, newest))
    }

    /// It is whole after all.
    pub fn repair(&mut self, stored: Stored) {
        self.keep(stored);
    }
}

impl Stored {
    /// Fills a slice.
    pub fn restored(&self, replay: SliceReplay) -> Result<SliceReplay, String> {
        let mut restore = replay.restore(&self.facts)?;
        self.chunks.iter().try_for_each(|chunk| restore.load(chunk))?;
        restore.finish()
    }

    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}
