//! An order of whole transactions that explains a recorded history.
//!
//! No log tells the order of versions here, so it is deduced. A value tells its writer, and an
//! appended one what it was put on. From there, until nothing new follows, for a reader `r` that
//! saw what `v` wrote and another writer `w` of that key:
//!
//! ```text
//!   w before r   =>  w before v     (or r would have seen w's)
//!   v before w   =>  r before w     (for the same reason)
//! ```
//!
//! A cycle among these is a proof that there is no order. Otherwise the rest is free, or nearly:
//! the transactions are executed one by one, each when all that come before it are done, nobody
//! still has to see what it overwrites, and its replies come out as they were recorded. Where that
//! comes to no end, a guess is added to the edges. Guesses can hide an order, so what is found
//! after a wrong one is a failure of another name; they cannot make one up.

use std::collections::{BTreeMap, BTreeSet};

use super::Recorded;
use crate::checker::{Graph, Item, Made, Seen, Transaction, Versions, Why};
use crate::history::{Answer, Chain, Key, Request, TOKEN_SIZE, Value};

/// What the search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) versions: Versions,
    pub(super) unanswered_there: u64,
}

/// Guesses about what nothing tells.
const GUESSES_MAX: u32 = 500;

/// Finds an order, or says why there is none.
pub(super) fn find(recorded: &Recorded, transactions: &[Transaction]) -> Result<Found, String> {
    let lineage = Lineage::new(recorded, transactions)?;
    let mut deduction = Deduction::new(recorded, transactions, &lineage);
    deduction.deduce()?;
    let mut guesses = 0;
    loop {
        let stuck = match deduction.execute() {
            Ok(versions) => {
                let is_unanswered = |number: &&usize| transactions[**number].answered == u64::MAX;
                let unanswered_there = lineage.alive.iter().filter(is_unanswered).count() as u64;
                return Ok(Found { versions, unanswered_there });
            }
            Err(stuck) => stuck,
        };
        let guessed = stuck.waits.filter(|_| guesses < GUESSES_MAX);
        guesses += 1;
        if guessed.is_none_or(|waits| deduction.guess(waits).is_err()) {
            let what = stuck.what;
            return Err(format!("no order was found, though nothing refutes one: {what}"));
        }
    }
}

/// Where the execution came to no end.
#[derive(Debug)]
struct Stuck {
    what: String,
    /// A writer, whose version it would overwrite, and who has yet to see that: nodes.
    waits: Option<(usize, usize, usize)>,
}

/// What values tell.
#[derive(Debug, Default)]
struct Lineage {
    /// Transactions that were executed for certain, and so matter.
    alive: Vec<usize>,
    /// Who read what of whom: reader, and the writer of what it saw.
    reads: BTreeMap<Item, Vec<(usize, Option<usize>)>>,
    writers: BTreeMap<Item, Vec<usize>>,
}

/// Who sends a token, and how.
#[derive(Clone, Copy, Debug)]
struct Sent {
    transaction: usize,
    item: Item,
    appends: bool,
}

impl Lineage {
    fn new(recorded: &Recorded, transactions: &[Transaction]) -> Result<Self, String> {
        let sent = sent(recorded, transactions)?;
        let mut seen = BTreeSet::new();
        // What each appended token was put on.
        let mut below: BTreeMap<u32, Option<u32>> = BTreeMap::new();
        for (key, tokens) in &recorded.shown {
            for (at, token) in tokens.iter().enumerate() {
                let what = || format!("{key:?} was seen as {tokens:?}");
                let made = sent.get(token).filter(|made| made.item == (0, *key));
                let made = made.ok_or_else(|| format!("{}: nobody wrote that", what()))?;
                seen.insert(made.transaction);
                let before = at.checked_sub(1).map(|before| tokens[before]);
                if before.is_some() && !made.appends {
                    return Err(format!("{}: SET of {token} kept what was there", what()));
                }
                if made.appends && below.insert(*token, before).is_some_and(|old| old != before) {
                    return Err(format!("{}: {token} was seen on something else too", what()));
                }
            }
        }
        let mut lineage = Self::default();
        for (number, transaction) in transactions.iter().enumerate() {
            if transaction.answered != u64::MAX || seen.contains(&number) {
                lineage.alive.push(number);
                lineage.add(transactions, number, &sent, &below)?;
            }
        }
        Ok(lineage)
    }

    fn add(
        &mut self,
        transactions: &[Transaction],
        number: usize,
        sent: &BTreeMap<u32, Sent>,
        below: &BTreeMap<u32, Option<u32>>,
    ) -> Result<(), String> {
        let transaction = &transactions[number];
        let mut reads: BTreeSet<(Item, Option<u32>)> = BTreeSet::new();
        if transaction.answered != u64::MAX {
            for (item, seen) in &transaction.reads {
                if let Seen::Exactly(value) = seen {
                    reads.insert((*item, value.map(last_token)));
                }
            }
        }
        for write in &transaction.writes {
            let token = token_of(write.made);
            if let Some(before) = below.get(&token)
                && before.is_none_or(|before| sent[&before].transaction != number)
            {
                reads.insert((write.item, *before));
            }
            let writers = self.writers.entry(write.item).or_default();
            if writers.last() != Some(&number) {
                writers.push(number);
            }
        }
        for (item, token) in reads {
            let writer = token.map(|token| sent[&token].transaction);
            if let (Some(writer), Some(token)) = (writer, token) {
                let mut writes = transactions[writer].writes.iter().rev();
                let last = writes.find(|write| write.item == item).expect("it wrote this token");
                if writer == number || token_of(last.made) != token {
                    return Err(format!(
                        "{token} of {item:?} was seen between the writes of one transaction: \
                         {transaction:?}"
                    ));
                }
            }
            self.reads.entry(item).or_default().push((number, writer));
        }
        Ok(())
    }
}

/// Every token that was sent and not refused. Tokens are sent once.
fn sent(recorded: &Recorded, transactions: &[Transaction]) -> Result<BTreeMap<u32, Sent>, String> {
    let mut sent = BTreeMap::new();
    for (number, transaction) in transactions.iter().enumerate() {
        let operation = &recorded.operations[transaction.operation];
        for write in &transaction.writes {
            let token = token_of(write.made);
            let appends = appends(&operation.request, token);
            let made = Sent { transaction: number, item: write.item, appends };
            if sent.insert(token, made).is_some() {
                return Err(format!("{token} was sent twice: no history of this recorder"));
            }
        }
    }
    Ok(sent)
}

fn appends(request: &Request, looked_for: u32) -> bool {
    match request {
        Request::Append { token, .. } => *token == looked_for,
        Request::Execute { requests, .. } => {
            requests.iter().any(|request| appends(request, looked_for))
        }
        _ => false,
    }
}

fn last_token(value: Value) -> u32 {
    match value {
        Value::Chain(chain) => chain.last(),
        Value::Number(_) | Value::Text(_) => unreachable!("every value here is made of tokens"),
    }
}

fn token_of(made: Made) -> u32 {
    match made {
        Made::Token(token) => token,
        Made::Exactly(Some(value)) => last_token(value),
        Made::Exactly(None) | Made::Number => unreachable!("nothing here deletes or counts"),
    }
}

/// What comes before what. Nodes are the living transactions, then instants.
struct Deduction<'a> {
    recorded: &'a Recorded,
    transactions: &'a [Transaction],
    lineage: &'a Lineage,
    /// By transaction.
    nodes: BTreeMap<usize, usize>,
    edges: Vec<(usize, usize, Why)>,
    count: usize,
}

impl<'a> Deduction<'a> {
    fn new(recorded: &'a Recorded, transactions: &'a [Transaction], lineage: &'a Lineage) -> Self {
        let nodes =
            lineage.alive.iter().enumerate().map(|(node, number)| (*number, node)).collect();
        let count = 2 * lineage.alive.len();
        let edges = Vec::new();
        let mut deduction = Self { recorded, transactions, lineage, nodes, edges, count };
        deduction.connect_time();
        deduction.connect_lanes();
        deduction.connect_values();
        deduction
    }

    fn end(&self, number: usize) -> u64 {
        self.recorded.end(self.transactions[number].operation)
    }

    /// Real time, by way of the instants of the ends.
    fn connect_time(&mut self) {
        let alive = &self.lineage.alive;
        let mut ends: Vec<(u64, usize)> =
            alive.iter().map(|number| (self.end(*number), self.nodes[number])).collect();
        ends.sort_unstable();
        let first = alive.len();
        for (at, (_, node)) in ends.iter().enumerate() {
            self.edges.push((*node, first + at, Why::Earlier));
            if 0 < at {
                self.edges.push((first + at - 1, first + at, Why::Earlier));
            }
        }
        for number in alive {
            let arrived = self.transactions[*number].arrived;
            let passed = ends.partition_point(|(end, _)| *end < arrived);
            if let Some(last) = passed.checked_sub(1) {
                self.edges.push((first + last, self.nodes[number], Why::Earlier));
            }
        }
    }

    /// A pipeline keeps its order in each slice, and around transactions.
    fn connect_lanes(&mut self) {
        let slices = self.recorded.slice_by_key();
        let mut lanes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for number in &self.lineage.alive {
            let lane = lanes.entry(self.transactions[*number].lane).or_default();
            for before in lane.iter().rev() {
                let (one, other) = (&self.transactions[*before], &self.transactions[*number]);
                // What was answered before this was sent is before it by time.
                if one.answered < other.arrived {
                    break;
                }
                let touched = |of: &Transaction| -> BTreeSet<u16> {
                    let read = of.reads.iter().map(|(item, _)| *item);
                    let items = read.chain(of.writes.iter().map(|write| write.item));
                    items.map(|(_, key)| slices[usize::from(key.0)]).collect()
                };
                let share = !touched(one).is_disjoint(&touched(other));
                if share || one.is_barrier || other.is_barrier {
                    let edge = (self.nodes[before], self.nodes[number], Why::SentFirst);
                    self.edges.push(edge);
                }
            }
            lane.push(*number);
        }
    }

    fn connect_values(&mut self) {
        for (item, reads) in &self.lineage.reads {
            let writers = self.lineage.writers.get(item).map_or(&[][..], Vec::as_slice);
            for (reader, writer) in reads {
                let node = self.nodes[reader];
                match writer {
                    Some(writer) => self.edges.push((self.nodes[writer], node, Why::Read)),
                    // It saw what was there before all of them.
                    None => {
                        for writer in writers.iter().filter(|writer| *writer != reader) {
                            self.edges.push((node, self.nodes[writer], Why::ReadBefore));
                        }
                    }
                }
            }
        }
    }

    /// Adds what follows until nothing new does.
    fn deduce(&mut self) -> Result<(), String> {
        loop {
            self.refuse_cycle()?;
            let after = After::new(self.count, &self.edges);
            let mut new = BTreeSet::new();
            for (item, reads) in &self.lineage.reads {
                let writers = self.lineage.writers.get(item).map_or(&[][..], Vec::as_slice);
                for (reader, seen) in reads {
                    let Some(seen) = seen else { continue };
                    let (reader_node, seen_node) = (self.nodes[reader], self.nodes[seen]);
                    for writer in writers.iter().filter(|w| *w != reader && *w != seen) {
                        let writer = self.nodes[writer];
                        if after.is(writer, reader_node) && !after.is(writer, seen_node) {
                            new.insert((writer, seen_node, Why::Overwritten));
                        }
                        if after.is(seen_node, writer) && !after.is(reader_node, writer) {
                            new.insert((reader_node, writer, Why::ReadBefore));
                        }
                    }
                }
            }
            if new.is_empty() {
                return Ok(());
            }
            self.edges.extend(new);
        }
    }

    /// A writer was ready before the reader of what it overwrites: perhaps it comes before both.
    fn guess(&mut self, (writer, seen, reader): (usize, usize, usize)) -> Result<(), String> {
        let before = self.edges.len();
        self.edges.push((writer, seen, Why::Overwritten));
        if self.deduce().is_ok() {
            return Ok(());
        }
        self.edges.truncate(before);
        self.edges.push((reader, writer, Why::ReadBefore));
        self.deduce()
    }

    fn refuse_cycle(&self) -> Result<(), String> {
        let mut graph = Graph::new(self.count);
        self.edges.iter().for_each(|(from, to, why)| graph.add(*from, *to, *why));
        let Some(cycle) = graph.cycle() else { return Ok(()) };
        let mut text = "no order of these explains what they saw:".to_owned();
        for (node, why) in cycle {
            match self.lineage.alive.get(node) {
                Some(number) => {
                    let operation = self.transactions[*number].operation;
                    let shown = &self.recorded.operations[operation];
                    text.push_str(&format!("\n    #{operation} {shown:?}\n        {why:?}"));
                }
                // An instant.
                None => text.push_str(" ..."),
            }
        }
        Err(text)
    }

    /// Executes everything in an order that the edges allow; none is wrong if it gets through.
    fn execute(&self) -> Result<Versions, Stuck> {
        let mut missing = vec![0u32; self.count];
        let mut next = vec![Vec::new(); self.count];
        for (from, to, _) in &self.edges {
            missing[*to] += 1;
            next[*from].push(*to);
        }
        // Of each version, by its writer: who has yet to see it.
        let mut to_see: BTreeMap<(Item, Option<usize>), BTreeSet<usize>> = BTreeMap::new();
        for (item, reads) in &self.lineage.reads {
            for (reader, writer) in reads {
                to_see.entry((*item, *writer)).or_default().insert(*reader);
            }
        }
        let rank = |node: usize| match self.lineage.alive.get(node) {
            None => 0,
            Some(number) => self.end(*number),
        };
        let starts = (0..self.count).filter(|node| missing[*node] == 0);
        let mut ready: BTreeSet<(u64, usize)> = starts.map(|node| (rank(node), node)).collect();
        let mut contents: BTreeMap<Key, Chain> = BTreeMap::new();
        let mut written_by: BTreeMap<Item, usize> = BTreeMap::new();
        let mut versions = Versions::new();
        while !ready.is_empty() {
            let mut why_not = String::new();
            let mut first_wait = None;
            let chosen = ready.iter().copied().find(|(_, node)| {
                let Some(number) = self.lineage.alive.get(*node) else { return true };
                for write in &self.transactions[*number].writes {
                    let seen = written_by.get(&write.item).copied();
                    let waiting = to_see.get(&(write.item, seen));
                    let reader = waiting.and_then(|all| all.iter().find(|r| *r != number));
                    if let (Some(reader), Some(seen)) = (reader, seen) {
                        let waits = (*node, self.nodes[&seen], self.nodes[reader]);
                        first_wait.get_or_insert(waits);
                        return false;
                    }
                }
                let run = self.run(*number, &mut contents.clone(), &mut Versions::new());
                run.map_err(|what| why_not = what).is_ok()
            });
            let Some((rank_of, node)) = chosen else {
                let numbers = ready.iter().map(|(_, node)| self.lineage.alive[*node]);
                let stuck: Vec<usize> =
                    numbers.map(|number| self.transactions[number].operation).collect();
                let what = format!("none of the operations {stuck:?} may be next: {why_not}");
                return Err(Stuck { what, waits: first_wait });
            };
            ready.remove(&(rank_of, node));
            if let Some(number) = self.lineage.alive.get(node) {
                self.run(*number, &mut contents, &mut versions).expect("it was tried");
                let transaction = &self.transactions[*number];
                let touched = transaction.reads.iter().map(|(item, _)| *item);
                let written = transaction.writes.iter().map(|write| write.item);
                for item in touched.chain(written.clone()) {
                    let seen = (item, written_by.get(&item).copied());
                    if let Some(waiting) = to_see.get_mut(&seen) {
                        waiting.remove(number);
                    }
                }
                written.for_each(|item| {
                    written_by.insert(item, *number);
                });
            }
            for to in &next[node] {
                missing[*to] -= 1;
                if missing[*to] == 0 {
                    ready.insert((rank(*to), *to));
                }
            }
        }
        Ok(versions)
    }

    /// Executes one transaction; its replies must be those that were recorded.
    fn run(
        &self,
        number: usize,
        contents: &mut BTreeMap<Key, Chain>,
        versions: &mut Versions,
    ) -> Result<(), String> {
        let operation = self.transactions[number].operation;
        let shown = &self.recorded.operations[operation];
        let is_answered = shown.answered.is_some();
        if is_answered {
            for (key, answer) in &self.recorded.watched[operation] {
                agree(&one_answer(contents, *key), answer, operation)?;
            }
        }
        let answer = run_request(&shown.request, contents, versions);
        match &shown.answered {
            Some((_, told)) => agree(&answer, told, operation),
            None => Ok(()),
        }
    }
}

fn agree(answer: &Answer, told: &Answer, operation: usize) -> Result<(), String> {
    let agrees = answer == told;
    agrees.then_some(()).ok_or_else(|| format!("#{operation} answered {told:?}, not {answer:?}"))
}

/// What a command answers, one at a time.
fn run_request(
    request: &Request,
    contents: &mut BTreeMap<Key, Chain>,
    versions: &mut Versions,
) -> Answer {
    let mut put = |contents: &mut BTreeMap<Key, Chain>, key: Key, chain: Chain| {
        contents.insert(key, chain);
        let versions = versions.entry((0, key)).or_insert_with(|| vec![None]);
        versions.push(Some(Value::Chain(chain)));
    };
    let chain_of = |value: Value| Chain::append(None, last_token(value));
    match request {
        Request::Get(key) => one_answer(contents, *key),
        Request::MultiGet(keys) => {
            Answer::Many(keys.iter().map(|key| one_answer(contents, *key)).collect())
        }
        Request::Set { key, value, .. } => {
            put(contents, *key, chain_of(*value));
            Answer::Ok
        }
        Request::MultiSet { pairs, .. } => {
            pairs.iter().for_each(|(key, value)| put(contents, *key, chain_of(*value)));
            Answer::Ok
        }
        Request::Append { key, token } => {
            let chain = Chain::append(contents.get(key).copied(), *token);
            put(contents, *key, chain);
            Answer::Integer(i64::from(chain.count()) * TOKEN_SIZE as i64)
        }
        Request::Execute { requests, .. } => {
            let each = requests.iter().map(|request| run_request(request, contents, versions));
            Answer::Many(each.collect())
        }
        other => unreachable!("{other:?} is not recorded"),
    }
}

fn one_answer(contents: &BTreeMap<Key, Chain>, key: Key) -> Answer {
    contents.get(&key).map_or(Answer::Nil, |chain| Answer::Value(Value::Chain(*chain)))
}

/// Which nodes come after which, in a graph without cycles.
struct After {
    words: usize,
    bits: Vec<u64>,
}

impl After {
    fn new(count: usize, edges: &[(usize, usize, Why)]) -> Self {
        let mut missing = vec![0u32; count];
        let mut before = vec![Vec::new(); count];
        for (from, to, _) in edges {
            missing[*from] += 1;
            before[*to].push(*from);
        }
        let words = count.div_ceil(64);
        let mut bits = vec![0u64; count * words];
        let mut ready: Vec<usize> = (0..count).filter(|node| missing[*node] == 0).collect();
        while let Some(node) = ready.pop() {
            for from in &before[node] {
                let (row, other) = (from * words, node * words);
                for word in 0..words {
                    bits[row + word] |= bits[other + word];
                }
                bits[row + node / 64] |= 1 << (node % 64);
                missing[*from] -= 1;
                if missing[*from] == 0 {
                    ready.push(*from);
                }
            }
        }
        Self { words, bits }
    }

    fn is(&self, before: usize, after: usize) -> bool {
        self.bits[before * self.words + after / 64] & 1 << (after % 64) != 0
    }
}
