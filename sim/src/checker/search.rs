//! Is there an order in which these operations could have been executed one by one?
//!
//! The search of Wing and Gong with the memory of Lowe ("Testing for linearizability", 2017):
//! repeatedly take an operation that no unfinished answer precedes, execute it, compare the
//! answer; never visit a configuration twice. Operations of one connection are taken in order.
//!
//! The log says what was changed in which order. An order of execution that would have logged
//! something else is no explanation, so up to the cut the search follows the log.
//!
//! What a crash may take away is part of the search: at one point of the order, the *cut*,
//! everything the next start found must have happened, and no more. Behind the cut may come only what was promised
//! to nobody: operations at level memory, and those without an answer. An operation at level
//! local that changed nothing may come behind the cut too, but only if nothing it looked at was
//! written there: it must not have seen what was lost.

use std::fmt::Write;

use base::{Map, Set};

use super::object::{Act, Change, Done, State, Step, Told};
use crate::history::{EMPTY, Level, Value};

/// Configurations visited before the search gives up.
const VISITED_MAX: usize = 200_000;

/// From so many configurations on, each is first looked at for a reason to give it up.
const EASY_MAX: usize = 500;

/// How the life of an object ended, with what the next start found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Crash,
    /// Nothing may be missing: a clean shutdown.
    Clean,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// Says what was tried last.
    Not(String),
    TooLarge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    /// How many operations of each lane are done with.
    taken: Box<[u16]>,
    state: State,
    /// How many changes of the log have happened.
    logged: u32,
    /// Once the cut was passed: keys written since, by bit.
    cut: Option<u8>,
}

/// Searches an order for `steps`, which are in order of arrival within each lane. `log` is every
/// change that the next start found.
pub fn search(steps: &[Step], start: State, log: &[Change], end: End) -> Verdict {
    let lanes = Lanes::new(steps, log);
    let taken = vec![0; lanes.lanes.len()].into_boxed_slice();
    let first = Configuration { taken, state: start, logged: 0, cut: None };
    let mut visited: Set<Configuration> = Set::default();
    let mut stack = vec![first.clone()];
    let mut deepest = (0, first);
    while let Some(at) = stack.pop() {
        if lanes.is_accepted(&at, end) {
            return Verdict::Linearizable;
        }
        if VISITED_MAX < visited.len() {
            return Verdict::TooLarge;
        }
        if EASY_MAX < visited.len() && lanes.is_hopeless(&at) {
            continue;
        }
        let depth = at.taken.iter().map(|count| usize::from(*count)).sum();
        if deepest.0 < depth {
            deepest = (depth, at.clone());
        }
        let mut push = |next: Configuration| {
            if visited.insert(next.clone()) {
                stack.push(next);
            }
        };
        // The last one pushed is tried first: the cut, then what was answered, by arrival, which is
        // how a node that holds nobody back takes it, then what is needed to explain it.
        let horizon = lanes.horizon(&at);
        let mut candidates: Vec<(usize, &Step)> =
            lanes.heads(&at).filter(|(_, step)| step.arrived < horizon).collect();
        candidates.sort_unstable_by_key(|(_, step)| {
            std::cmp::Reverse((step.told == Told::Nothing, step.arrived))
        });
        for is_guess in [true, false] {
            for (lane, step) in &candidates {
                let may_be_refused = step.told == Told::Nothing;
                if may_be_refused && step.seems_refused != is_guess {
                    push(at.after(*lane));
                }
                if step.seems_refused == is_guess
                    && let Some(next) = lanes.execute(&at, *lane, step)
                {
                    push(next);
                }
            }
        }
        if at.cut.is_none() && end == End::Crash && !lanes.is_promise_left(&at) {
            push(Configuration { cut: Some(0), ..at.clone() });
        }
    }
    Verdict::Not(lanes.explain(&deepest.1, end))
}

impl Configuration {
    /// The next operation of `lane` is done with.
    fn after(&self, lane: usize) -> Self {
        let mut next = self.clone();
        next.taken[lane] += 1;
        next
    }
}

/// The operations of each connection, in order, and what they must come to.
struct Lanes<'a> {
    lanes: Vec<Vec<&'a Step>>,
    log: &'a [Change],
    /// Which step puts a text: its lane and place there.
    puts: Map<Value, (usize, u16)>,
}

impl<'a> Lanes<'a> {
    fn new(steps: &'a [Step], log: &'a [Change]) -> Self {
        let mut names: Vec<u32> = steps.iter().map(|step| step.lane).collect();
        names.sort_unstable();
        names.dedup();
        let mut lanes = vec![Vec::new(); names.len()];
        let mut puts = Map::default();
        for step in steps {
            let lane = names.binary_search(&step.lane).expect("every lane was named");
            if let Act::Set { value, .. } = step.act
                && is_unique(value)
            {
                puts.insert(value, (lane, lanes[lane].len() as u16));
            }
            lanes[lane].push(step);
        }
        Self { lanes, log, puts }
    }

    fn heads(&self, at: &Configuration) -> impl Iterator<Item = (usize, &'a Step)> {
        self.lanes.iter().zip(&at.taken).enumerate().filter_map(|(number, (lane, taken))| {
            lane.get(usize::from(*taken)).map(|step| (number, *step))
        })
    }

    /// The first answer among what was not executed: nothing that arrived later may come before.
    fn horizon(&self, at: &Configuration) -> u64 {
        self.heads(at).map(|(_, step)| step.answered).min().unwrap_or(u64::MAX)
    }

    /// Is an effect still to come that is in the log, or was acknowledged at level local? Then
    /// this is not yet the cut.
    fn is_promise_left(&self, at: &Configuration) -> bool {
        let taken = at.taken.iter().map(|count| usize::from(*count));
        let mut left = self.lanes.iter().zip(taken).flat_map(|(lane, taken)| &lane[taken..]);
        (at.logged as usize) < self.log.len()
            || left.any(|step| step.level == Level::Local && step.says_effect())
    }

    fn is_accepted(&self, at: &Configuration, end: End) -> bool {
        assert!(at.cut.is_none() || end == End::Crash);
        let ended = at.cut.is_some() || !self.is_promise_left(at);
        ended && self.heads(at).all(|(_, step)| step.told == Told::Nothing)
    }

    fn execute(&self, at: &Configuration, lane: usize, step: &Step) -> Option<Configuration> {
        let mut next = at.after(lane);
        let (answer, done) = step.act.run(&mut next.state);
        let agrees = match &step.told {
            Told::Nothing | Told::Executed => true,
            Told::Answer(told) => *told == answer,
        };
        if !agrees {
            return None;
        }
        match at.cut {
            None => {
                let start = at.logged as usize;
                let log = self.log.get(start..start + done.changes().len())?;
                if !log.iter().copied().eq(done.changes()) {
                    return None;
                }
                next.logged += done.changes().len() as u32;
            }
            Some(written) => next.cut = Some(behind_cut(written, step, &done)?),
        }
        Some(next)
    }

    /// Is a text still to be seen that is not there and will not be put any more?
    fn is_hopeless(&self, at: &Configuration) -> bool {
        let taken = at.taken.iter().map(|count| usize::from(*count));
        let left = self.lanes.iter().zip(taken).flat_map(|(lane, taken)| &lane[taken..]);
        left.filter_map(|step| step.sees()).any(|(key, value)| {
            let is_to_come =
                || self.puts.get(&value).is_some_and(|(lane, place)| at.taken[*lane] <= *place);
            is_unique(value) && at.state[usize::from(key)] != Some(value) && !is_to_come()
        })
    }

    fn explain(&self, at: &Configuration, end: End) -> String {
        let mut text = format!("no order explains the answers; furthest: {:?}", at.state);
        if at.cut.is_some() {
            text.push_str(", behind the cut");
        }
        let (logged, all) = (at.logged as usize, self.log.len());
        let next = &self.log[logged..all.min(logged + 5)];
        let _ = write!(
            text,
            "; {end:?}, {logged} of {all} changes of the log, next {next:?}; next of each \
             connection:"
        );
        for (_, step) in self.heads(at).take(12) {
            let _ = write!(
                text,
                "\n    #{} connection {} at {}..{} {:?} {:?} -> {:?}",
                step.operation,
                step.lane,
                step.arrived,
                if step.answered == u64::MAX { 0 } else { step.answered },
                step.level,
                step.act,
                step.told,
            );
        }
        text
    }
}

/// Is it put by one SET and no other?
fn is_unique(value: Value) -> bool {
    matches!(value, Value::Text(_)) && value != EMPTY
}

/// What was written behind the cut after this step, or `None` if it may not come there.
fn behind_cut(written: u8, step: &Step, done: &Done) -> Option<u8> {
    let promised = step.told != Told::Nothing && step.level == Level::Local;
    if promised && (done.wrote() != 0 || done.looked_at & written != 0) {
        return None;
    }
    Some(written | done.wrote())
}

/// Whether the step says or changes anything: a read without a reply does neither.
pub fn matters(step: &Step) -> bool {
    let writes = match step.act {
        Act::Set { .. } | Act::Delete(_) | Act::Increment(_) | Act::Clear => true,
        Act::Get(_) | Act::Exists(_) | Act::Size => false,
    };
    writes || step.told != Told::Nothing
}

#[cfg(test)]
mod tests;
