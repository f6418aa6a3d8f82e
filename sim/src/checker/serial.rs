//! Is there one order of whole transactions that explains every reply, agrees with real time, and
//! ends with what the next start found?
//!
//! Keys alone do not answer that: two transactions may each be in order on every key and still
//! have seen half of each other. So the transactions are nodes of a graph (Adya 1999; Kingsbury
//! and Alvaro, "Elle", 2020). The log tells the versions of every key in their order, and values
//! are unique, so a read tells its writer:
//!
//! ```text
//!   writer of a version ──overwritten──> writer of a later one
//!   writer of a version ──read─────────> who saw it
//!   who saw a version ────read before──> writer of a later one
//!   answered ─────────────earlier──────> arrived
//! ```
//!
//! A cycle is a proof that no order exists. Where a value does not tell which version it is (there
//! are many ways of not being there), the read lies between the first and the last it may have
//! seen; real time and the graph itself narrow that down.
//!
//! What no reply promised may be missing, but whole: [`judge`] refuses halves of transactions,
//! promises that are not there, and transactions that are there though what they read is not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base::Map;

use super::effects::{Item, Made, Seen, Transaction};
use super::graph::{Graph, Why};
use super::watched::Watched;
use crate::history::{EMPTY, Key, Level, Operation, Request, Value};
use crate::surviving::{Contents, Put};

/// The versions of items, in order. The first is what was there before all transactions.
pub type Versions = BTreeMap<Item, Vec<Option<Value>>>;

/// What is known about what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `Versions` is everything that happened and is still there; a crash took the rest.
    AfterCrash,
    /// Everything that happened: nothing may be missing.
    Everything,
    /// Some of the versions, in their order, as reads told: nothing can be said to be missing.
    Some,
}

/// What a judgement rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub transactions: u64,
    /// Reads of which it stayed open which version they saw.
    pub ambiguous_reads: u64,
}

/// Reads looked at again once the graph is there.
const NARROWED_MAX: usize = 64;

/// Judges transactions, in order of arrival in each lane. `slice_of` tells whose order a pipeline
/// keeps. `has_flushes`: versions may have been deleted by what is not among the transactions.
pub fn judge(
    transactions: &[Transaction],
    versions: &Versions,
    slice_of: &dyn Fn(Item) -> u16,
    known: Known,
    has_flushes: bool,
) -> Result<Judged, String> {
    let mut judge = Judge::new(transactions, versions, known, has_flushes);
    judge.refuse_halves()?;
    judge.place_reads()?;
    judge.connect(slice_of);
    judge.refuse_cycle()?;
    judge.narrow()?;
    let ambiguous = judge.reads.iter().filter(|read| read.first < read.last).count();
    Ok(Judged { transactions: judge.alive_count, ambiguous_reads: ambiguous as u64 })
}

/// Judges the operations of one process on one database, by what the logs hold of it.
pub fn check_serializable(
    operations: &[Operation],
    first: usize,
    database: u16,
    start: &Contents,
    log: &[Put],
    slice_of: &dyn Fn(Key) -> u16,
    clean: bool,
) -> Result<Judged, String> {
    let watched = Watched::find(operations, first);
    let mut transactions = Vec::new();
    for (number, operation) in operations.iter().enumerate().skip(first) {
        if operation.database == database {
            let transaction = Transaction::of(operation, number, watched.seen(number))
                .map_err(|what| format!("operation #{number}: {what}: {operation:?}"))?;
            transactions.extend(transaction);
        }
    }
    let mut versions = Versions::new();
    for ((db, key), value) in start {
        versions.entry((*db, *key)).or_insert_with(|| vec![Some(*value)]);
    }
    for (db, key, value) in log {
        versions.entry((*db, *key)).or_insert_with(|| vec![None]).push(*value);
    }
    let flushes = |operation: &Operation| match operation.request {
        Request::FlushAll => true,
        Request::FlushDatabase => operation.database == database,
        _ => false,
    };
    let has_flushes = operations[first..].iter().any(|one| flushes(one) && one.may_count());
    let known = if clean { Known::Everything } else { Known::AfterCrash };
    judge(&transactions, &versions, &|(_, key)| slice_of(key), known, has_flushes)
}

/// A read, and the versions it may have seen: positions, inclusive.
#[derive(Clone, Copy, Debug)]
struct Read {
    transaction: usize,
    item: Item,
    first: usize,
    last: usize,
    seen: Seen,
}

struct Judge<'a> {
    transactions: &'a [Transaction],
    versions: &'a Versions,
    known: Known,
    /// Who wrote each version, where that is certain.
    owners: BTreeMap<Item, Vec<Option<usize>>>,
    /// Transactions that happened, as far as it matters.
    alive: Vec<bool>,
    alive_count: u64,
    /// Those that left something for certain.
    survives: Vec<bool>,
    reads: Vec<Read>,
    graph: Graph,
}

impl<'a> Judge<'a> {
    fn new(
        transactions: &'a [Transaction],
        versions: &'a Versions,
        known: Known,
        has_flushes: bool,
    ) -> Self {
        let owners = owners(transactions, versions, has_flushes);
        Self {
            transactions,
            versions,
            known,
            owners,
            alive: vec![false; transactions.len()],
            alive_count: 0,
            survives: vec![false; transactions.len()],
            reads: Vec::new(),
            graph: Graph::default(),
        }
    }

    /// Decides which transactions happened; half ones and lost promises are refused.
    fn refuse_halves(&mut self) -> Result<(), String> {
        let places = Places::new(self.versions);
        for owner in self.owners.values().flatten().flatten() {
            self.survives[*owner] = true;
        }
        for (number, transaction) in self.transactions.iter().enumerate() {
            let is_answered = transaction.answered != u64::MAX;
            let mut there = None;
            let mut missing = None;
            for write in &transaction.writes {
                match places.of_unique(write.item, write.made) {
                    Some(true) => there = Some(write),
                    Some(false) if write.is_certain => missing = Some(write),
                    _ => {}
                }
            }
            let is_promised = is_answered
                && (transaction.level == Level::Local || self.known == Known::Everything);
            let fault = match (there, missing) {
                _ if self.known == Known::Some => None,
                (Some(there), Some(missing)) => Some(format!(
                    "half a transaction is there: {there:?} is and {missing:?} is not"
                )),
                (None, Some(missing)) if is_promised => {
                    Some(format!("an acknowledged write is not there: {missing:?}"))
                }
                _ => None,
            };
            if let Some(fault) = fault {
                return Err(format!("{fault}: {transaction:?}"));
            }
            let is_lost = there.is_none() && missing.is_some() && self.known != Known::Some;
            self.alive[number] = self.survives[number] || (is_answered && !is_lost);
            self.alive_count += u64::from(self.alive[number]);
        }
        Ok(())
    }

    /// Finds which versions each read may have seen.
    fn place_reads(&mut self) -> Result<(), String> {
        let nothing = [None];
        for (number, transaction) in self.transactions.iter().enumerate() {
            if !self.alive[number] || transaction.answered == u64::MAX {
                continue;
            }
            // At a level that promises nothing it may have seen what is lost.
            let may_be_of_lost = self.known == Known::AfterCrash
                && transaction.level == Level::Memory
                && !self.survives[number];
            for (item, seen) in &transaction.reads {
                if may_be_of_lost && !is_unique(*seen) {
                    continue;
                }
                let versions = self.versions.get(item).map_or(&nothing[..], Vec::as_slice);
                let matches = |version: &Option<Value>| match seen {
                    Seen::Exactly(seen) => version == seen,
                    Seen::Present => version.is_some(),
                };
                let (first, last) = self.window(*item, number, versions.len());
                let mut range = (first..=last).filter(|at| matches(&versions[*at]));
                let Some(first) = range.next() else {
                    let is_anywhere = versions.iter().any(matches);
                    if may_be_of_lost || (self.known == Known::Some && !is_anywhere) {
                        continue;
                    }
                    let what = if is_anywhere { "an old or a later version" } else { "a lost one" };
                    return Err(format!(
                        "{item:?} was seen as {seen:?}, {what} (it may see {first}..={last} of \
                         {} versions): {transaction:?}",
                        versions.len()
                    ));
                };
                let last = range.next_back().unwrap_or(first);
                let (item, seen) = (*item, *seen);
                self.reads.push(Read { transaction: number, item, first, last, seen });
            }
        }
        Ok(())
    }

    /// The versions of `item` that a transaction may have seen by real time: first and last.
    fn window(&self, item: Item, number: usize, count: usize) -> (usize, usize) {
        let transaction = &self.transactions[number];
        let (mut first, mut last) = (0, count - 1);
        let Some(owners) = self.owners.get(&item) else { return (first, last) };
        for (position, owner) in owners.iter().enumerate() {
            let Some(owner) = *owner else { continue };
            if owner == number {
                last = last.min(position.saturating_sub(1));
            } else if self.transactions[owner].answered < transaction.arrived {
                first = position;
            } else if transaction.answered < self.transactions[owner].arrived {
                last = last.min(position.saturating_sub(1));
            }
        }
        (first, last)
    }

    fn connect(&mut self, slice_of: &dyn Fn(Item) -> u16) {
        self.graph = Graph::new(2 * self.transactions.len());
        for owners in self.owners.values() {
            let mut known = owners.iter().flatten();
            let Some(mut before) = known.next() else { continue };
            for owner in known {
                self.graph.add(*before, *owner, Why::Overwritten);
                before = owner;
            }
        }
        for read in std::mem::take(&mut self.reads) {
            self.connect_read(&read);
            self.reads.push(read);
        }
        self.connect_time();
        self.connect_lanes(slice_of);
    }

    fn connect_read(&mut self, read: &Read) {
        let Some(owners) = self.owners.get(&read.item) else { return };
        let reader = read.transaction;
        let seen = owners[..=read.first].iter().rev().flatten().find(|owner| **owner != reader);
        if let Some(writer) = seen {
            self.graph.add(*writer, reader, Why::Read);
        }
        // If the next one is its own, that one comes before the others.
        if let Some(writer) = owners[read.last + 1..].iter().flatten().next() {
            self.graph.add(reader, *writer, Why::ReadBefore);
        }
    }

    /// Real time: a chain of the instants of answers, so that there are few edges.
    fn connect_time(&mut self) {
        let count = self.transactions.len();
        let alive = || (0..count).filter(|number| self.alive[*number]);
        let mut answers: Vec<(u64, usize)> = alive()
            .filter(|number| self.transactions[*number].answered != u64::MAX)
            .map(|number| (self.transactions[number].answered, number))
            .collect();
        answers.sort_unstable();
        let mut arrivals: Vec<(u64, usize)> =
            alive().map(|number| (self.transactions[number].arrived, number)).collect();
        arrivals.sort_unstable();
        let mut passed = 0;
        for (arrived, number) in arrivals {
            while passed < answers.len() && answers[passed].0 < arrived {
                if 0 < passed {
                    self.graph.add(count + passed - 1, count + passed, Why::Earlier);
                }
                self.graph.add(answers[passed].1, count + passed, Why::Earlier);
                passed += 1;
            }
            if 0 < passed {
                self.graph.add(count + passed - 1, number, Why::Earlier);
            }
        }
    }

    /// A pipeline keeps its order in each slice, and around barriers.
    fn connect_lanes(&mut self, slice_of: &dyn Fn(Item) -> u16) {
        let mut last: Map<(u32, u16), usize> = Map::default();
        let mut since_barrier: Map<u32, Vec<usize>> = Map::default();
        let mut barriers: Map<u32, usize> = Map::default();
        for (number, transaction) in self.transactions.iter().enumerate() {
            if !self.alive[number] {
                continue;
            }
            let lane = transaction.lane;
            let since = since_barrier.entry(lane).or_default();
            if transaction.is_barrier {
                for before in since.drain(..) {
                    self.graph.add(before, number, Why::SentFirst);
                }
            }
            if let Some(barrier) = barriers.get(&lane) {
                self.graph.add(*barrier, number, Why::SentFirst);
            }
            if transaction.is_barrier {
                barriers.insert(lane, number);
                continue;
            }
            since.push(number);
            let items = transaction.reads.iter().map(|(item, _)| *item);
            for item in items.chain(transaction.writes.iter().map(|write| write.item)) {
                if let Some(before) = last.insert((lane, slice_of(item)), number) {
                    self.graph.add(before, number, Why::SentFirst);
                }
            }
        }
    }

    fn refuse_cycle(&self) -> Result<(), String> {
        let Some(cycle) = self.graph.cycle() else { return Ok(()) };
        let mut text = "no order of these transactions explains what they saw:".to_owned();
        for (node, why) in cycle {
            match self.transactions.get(node) {
                Some(transaction) => {
                    let number = transaction.operation;
                    let _ = write!(text, "\n    #{number} {transaction:?}\n        {why:?}");
                }
                // An instant.
                None => text.push_str(" ..."),
            }
        }
        Err(text)
    }

    /// Asks the graph which versions ambiguous reads cannot have seen.
    fn narrow(&mut self) -> Result<(), String> {
        let open = |read: &&Read| read.first < read.last;
        let open: Vec<Read> = self.reads.iter().filter(open).take(NARROWED_MAX).copied().collect();
        if open.is_empty() {
            return Ok(());
        }
        let turned = self.graph.turned();
        let mut has_new = false;
        for read in open {
            let after = self.graph.reach(read.transaction);
            let before = turned.reach(read.transaction);
            let owners = &self.owners[&read.item];
            let is = |set: &[bool], at: usize| owners[at].is_some_and(|owner| set[owner]);
            let end = (0..owners.len()).find(|at| is(&after, *at)).unwrap_or(owners.len());
            let start = (0..owners.len()).rev().find(|at| is(&before, *at)).unwrap_or(0);
            let versions = &self.versions[&read.item];
            let matches = |at: &usize| match read.seen {
                Seen::Exactly(seen) => versions[*at] == seen,
                Seen::Present => versions[*at].is_some(),
            };
            let mut range = (read.first.max(start)..end.min(read.last + 1)).filter(matches);
            let Some(first) = range.next() else {
                return Err(format!(
                    "no order of transactions explains what was seen of {:?}: it must be of \
                     versions {start}..{end}: {:?}",
                    read.item, self.transactions[read.transaction]
                ));
            };
            let last = range.next_back().unwrap_or(first);
            if (first, last) != (read.first, read.last) {
                has_new = true;
                let narrowed = Read { first, last, ..read };
                self.connect_read(&narrowed);
                let kept = self.reads.iter_mut().find(|kept| {
                    kept.transaction == read.transaction
                        && kept.item == read.item
                        && kept.first == read.first
                });
                *kept.expect("it was one of these") = narrowed;
            }
        }
        if has_new { self.refuse_cycle() } else { Ok(()) }
    }
}

/// Does what was seen tell its writer?
fn is_unique(seen: Seen) -> bool {
    match seen {
        Seen::Exactly(Some(value)) => !matches!(value, EMPTY | Value::Number(_)),
        Seen::Exactly(None) | Seen::Present => false,
    }
}

/// Where unique values are among the versions.
struct Places {
    texts: Map<(Item, Value), usize>,
    tokens: Map<(Item, u32), usize>,
}

impl Places {
    fn new(versions: &Versions) -> Self {
        let mut places = Self { texts: Map::default(), tokens: Map::default() };
        for (item, versions) in versions {
            for (position, version) in versions.iter().enumerate().skip(1) {
                match version {
                    Some(value @ Value::Text(_)) if *value != EMPTY => {
                        places.texts.insert((*item, *value), position);
                    }
                    Some(Value::Chain(chain)) => {
                        places.tokens.insert((*item, chain.last()), position);
                    }
                    _ => {}
                }
            }
        }
        places
    }

    fn find(&self, item: Item, made: Made) -> Option<usize> {
        match made {
            Made::Exactly(Some(Value::Chain(chain))) => self.tokens.get(&(item, chain.last())),
            Made::Exactly(Some(value)) => self.texts.get(&(item, value)),
            Made::Token(token) => self.tokens.get(&(item, token)),
            Made::Exactly(None) | Made::Number => None,
        }
        .copied()
    }

    /// Whether a write that nothing else could have made is there; none if others could.
    fn of_unique(&self, item: Item, made: Made) -> Option<bool> {
        match made {
            Made::Exactly(None | Some(EMPTY | Value::Number(_))) | Made::Number => None,
            _ => Some(self.find(item, made).is_some()),
        }
    }
}

/// Who wrote each version, where only one transaction can have.
fn owners(
    transactions: &[Transaction],
    versions: &Versions,
    has_flushes: bool,
) -> BTreeMap<Item, Vec<Option<usize>>> {
    let places = Places::new(versions);
    let mut owners: BTreeMap<Item, Vec<Option<usize>>> =
        versions.iter().map(|(item, versions)| (*item, vec![None; versions.len()])).collect();
    // Values that are not unique: how often each was made, by whom, and who may make any number.
    let mut made: Map<(Item, Option<Value>), Vec<usize>> = Map::default();
    let mut counts_unknown: Map<Item, ()> = Map::default();
    for (number, transaction) in transactions.iter().enumerate() {
        for write in &transaction.writes {
            match write.made {
                Made::Exactly(value @ (None | Some(EMPTY | Value::Number(_)))) => {
                    made.entry((write.item, value)).or_default().push(number);
                }
                Made::Number => {
                    counts_unknown.insert(write.item, ());
                }
                unique => {
                    if let Some(position) = places.find(write.item, unique) {
                        let owners = owners.get_mut(&write.item).expect("it has versions");
                        owners[position] = Some(number);
                    }
                }
            }
        }
    }
    for (item, versions) in versions {
        let mut times: BTreeMap<Option<Value>, (usize, usize)> = BTreeMap::new();
        for (position, version) in versions.iter().enumerate().skip(1) {
            let entry = times.entry(*version).or_insert((position, 0));
            entry.1 += 1;
        }
        let is_counted = counts_unknown.contains_key(item);
        for (version, (position, count)) in times {
            let is_open = match version {
                None => has_flushes,
                Some(Value::Number(_)) => is_counted,
                Some(_) => false,
            };
            if let Some([only]) = made.get(&(*item, version)).map(Vec::as_slice)
                && count == 1
                && !is_open
            {
                owners.get_mut(item).expect("it has versions")[position] = Some(*only);
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests;
