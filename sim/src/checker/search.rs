//! Is there an order in which these operations could have been executed one by one?
//!
//! The search of Wing and Gong with the memory of Lowe ("Testing for linearizability", 2017):
//! repeatedly take an operation that no unfinished answer precedes, execute it, compare the
//! answer; never visit a configuration twice. Operations of one connection are taken in order.
//!
//! The keys of an object lie on *tracks*, their slices. Per track the log says what was changed in
//! which order: an order of execution that would have logged something else is no explanation, so
//! the search follows the log. Operations of one connection are taken in order as far as they
//! touch the same track.
//!
//! What a crash may take away is part of the search. Once everything that the next start found on
//! a track has happened, later changes of that track are *lost*. Only what was promised to nobody
//! is ever lost: operations at level memory, and those without an answer; and an operation is lost
//! on all its tracks or on none. What was not lost, and every reply at level local, must not
//! depend on a key that was written by something lost.

use std::fmt::Write;

use base::{Map, Set};

use super::object::{Act, Change, Done, KEYS_MAX, PLACES, State, Step, Told};
use crate::history::{EMPTY, Level, Value};

/// Configurations visited before the search gives up.
const VISITED_MAX: usize = 200_000;

/// From so many configurations on, each is first looked at for a reason to give it up.
const EASY_MAX: usize = 500;

/// The track of each key of an object.
pub type Tracks = [u8; PLACES];

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
    /// How many changes of each track's log have happened.
    logged: [u16; KEYS_MAX],
    /// Keys written by what is lost, by bit.
    lost: u8,
}

/// Searches an order for `steps`, which are in order of arrival within each lane. `log` is every
/// change that the next start found, in order per track.
pub fn search(steps: &[Step], start: State, log: &[Change], tracks: &Tracks, end: End) -> Verdict {
    let lanes = Lanes::new(steps, log, tracks, end);
    let taken = vec![0; lanes.lanes.len()].into_boxed_slice();
    let first = Configuration { taken, state: start, logged: [0; KEYS_MAX], lost: 0 };
    let mut visited: Set<Configuration> = Set::default();
    let mut stack = vec![first.clone()];
    let mut deepest = (0, first);
    while let Some(at) = stack.pop() {
        if lanes.is_accepted(&at) {
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
        // The last one pushed is tried first: what was answered, by arrival, which is how a node
        // that holds nobody back takes it, then what is needed to explain it.
        let horizon = lanes.horizon(&at);
        let mut candidates: Vec<&Placed<'_>> =
            lanes.heads(&at).filter(|placed| placed.step.arrived < horizon).collect();
        candidates.sort_unstable_by_key(|placed| {
            std::cmp::Reverse((placed.step.told == Told::Nothing, placed.step.arrived))
        });
        for is_guess in [true, false] {
            for placed in &candidates {
                let step = placed.step;
                let may_be_refused = step.told == Told::Nothing;
                if may_be_refused && step.seems_refused != is_guess {
                    push(at.after(placed));
                }
                if step.seems_refused == is_guess
                    && let Some(next) = lanes.execute(&at, placed)
                {
                    push(next);
                }
            }
        }
    }
    Verdict::Not(lanes.explain(&deepest.1))
}

impl Configuration {
    /// This operation is done with.
    fn after(&self, placed: &Placed<'_>) -> Self {
        let mut next = self.clone();
        for (lane, _) in &placed.places {
            next.taken[*lane] += 1;
        }
        next
    }
}

/// An operation, and its place in each of its lanes.
struct Placed<'a> {
    step: &'a Step,
    places: Vec<(usize, u16)>,
}

/// The operations in order, one lane for each connection and track, and what they must come to.
struct Lanes<'a> {
    steps: Vec<Placed<'a>>,
    /// Indices of `steps`.
    lanes: Vec<Vec<usize>>,
    tracks: &'a Tracks,
    logs: [Vec<Change>; KEYS_MAX],
    end: End,
    /// Which step puts a text: a lane of it and its place there.
    puts: Map<Value, (usize, u16)>,
}

impl<'a> Lanes<'a> {
    fn new(all: &'a [Step], log: &[Change], tracks: &'a Tracks, end: End) -> Self {
        let mut logs: [Vec<Change>; KEYS_MAX] = Default::default();
        for change in log {
            logs[usize::from(tracks[usize::from(change.0)])].push(*change);
        }
        let mut names: Vec<(u32, u8)> = Vec::new();
        let lanes_of = |step: &Step| {
            let touched = touched_tracks(&step.act, tracks);
            let lane = step.lane;
            (0..KEYS_MAX as u8)
                .filter(move |track| touched & 1 << track != 0)
                .map(move |t| (lane, t))
        };
        names.extend(all.iter().flat_map(lanes_of));
        names.sort_unstable();
        names.dedup();
        let mut lanes = vec![Vec::new(); names.len()];
        let mut steps = Vec::with_capacity(all.len());
        let mut puts = Map::default();
        for step in all {
            let mut places = Vec::with_capacity(1);
            for name in lanes_of(step) {
                let lane = names.binary_search(&name).expect("every lane was named");
                places.push((lane, lanes[lane].len() as u16));
                lanes[lane].push(steps.len());
            }
            note_puts(&step.act, &mut |value| {
                puts.insert(value, places[0]);
            });
            steps.push(Placed { step, places });
        }
        Self { steps, lanes, tracks, logs, end, puts }
    }

    /// Operations that are the next ones in all their lanes.
    fn heads(&self, at: &Configuration) -> impl Iterator<Item = &Placed<'a>> {
        self.lanes.iter().zip(&at.taken).enumerate().filter_map(|(number, (lane, taken))| {
            let placed = &self.steps[*lane.get(usize::from(*taken))?];
            let is_first = placed.places[0].0 == number;
            let next_in_all = placed.places.iter().all(|(lane, place)| at.taken[*lane] == *place);
            (is_first && next_in_all).then_some(placed)
        })
    }

    /// The next operation of each lane.
    fn waiting(&self, at: &Configuration) -> impl Iterator<Item = &'a Step> {
        self.lanes.iter().zip(&at.taken).filter_map(|(lane, taken)| {
            lane.get(usize::from(*taken)).map(|step| self.steps[*step].step)
        })
    }

    /// The first answer among what was not executed: nothing that arrived later may come before.
    fn horizon(&self, at: &Configuration) -> u64 {
        self.waiting(at).map(|step| step.answered).min().unwrap_or(u64::MAX)
    }

    /// Everything that was found has happened, and nothing that was answered is left.
    fn is_accepted(&self, at: &Configuration) -> bool {
        let mut logs = self.logs.iter().zip(at.logged);
        logs.all(|(log, logged)| log.len() == usize::from(logged))
            && self.waiting(at).all(|step| step.told == Told::Nothing)
    }

    fn execute(&self, at: &Configuration, placed: &Placed<'_>) -> Option<Configuration> {
        let step = placed.step;
        let mut next = at.after(placed);
        let (answer, done) = step.act.run(&mut next.state);
        if !step.told.agrees(&answer) {
            return None;
        }
        let is_promised = step.told != Told::Nothing && step.level == Level::Local;
        let depends_on_lost = done.looked_at & at.lost != 0;
        if done.changes().is_empty() {
            return (!(is_promised && depends_on_lost)).then_some(next);
        }
        if let Some(logged) = self.follow(at, &done) {
            next.logged = logged;
            return (!depends_on_lost).then_some(next);
        }
        let at_end = done.changes().iter().all(|(key, _)| {
            let track = usize::from(self.tracks[usize::from(*key)]);
            self.logs[track].len() == usize::from(at.logged[track])
        });
        if is_promised || self.end == End::Clean || !at_end {
            return None;
        }
        next.lost |= done.wrote();
        Some(next)
    }

    /// Where the logs are after these changes, if they are the next ones there.
    fn follow(&self, at: &Configuration, done: &Done) -> Option<[u16; KEYS_MAX]> {
        let mut logged = at.logged;
        for change in done.changes() {
            let track = usize::from(self.tracks[usize::from(change.0)]);
            if self.logs[track].get(usize::from(logged[track])) != Some(change) {
                return None;
            }
            logged[track] += 1;
        }
        Some(logged)
    }

    /// Is a text still to be seen that is not there and will not be put any more?
    fn is_hopeless(&self, at: &Configuration) -> bool {
        let taken = at.taken.iter().map(|count| usize::from(*count));
        let left = self.lanes.iter().zip(taken).flat_map(|(lane, taken)| &lane[taken..]);
        left.filter_map(|step| self.steps[*step].step.sees()).any(|(_, value)| {
            let is_to_come =
                || self.puts.get(&value).is_some_and(|(lane, place)| at.taken[*lane] <= *place);
            is_unique(value) && !at.state.contains(&Some(value)) && !is_to_come()
        })
    }

    fn explain(&self, at: &Configuration) -> String {
        let mut text = format!("no order explains the answers; furthest: {:?}", at.state);
        let _ = write!(text, "; {:?}, written by what is lost: {:#b}", self.end, at.lost);
        for (log, logged) in self.logs.iter().zip(at.logged).filter(|(log, _)| !log.is_empty()) {
            let (logged, all) = (usize::from(logged), log.len());
            let next = &log[logged..all.min(logged + 5)];
            let _ = write!(text, "; {logged} of {all} changes of the log, next {next:?}");
        }
        text.push_str("; next of each connection:");
        for step in self.waiting(at).take(12) {
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

/// The tracks whose order an act keeps, by bit.
fn touched_tracks(act: &Act, tracks: &Tracks) -> u8 {
    let one = |key: u8| 1u8 << tracks[usize::from(key)];
    let several = |keys: &[u8]| keys.iter().fold(0, |bits, key| bits | one(*key));
    match act {
        Act::Get(key)
        | Act::Set { key, .. }
        | Act::Increment(key)
        | Act::Append { key, .. }
        | Act::GetDelete(key) => one(*key),
        Act::Delete(keys) | Act::Exists(keys) | Act::MultiGet(keys) => several(keys),
        Act::MultiSet { pairs, .. } => pairs.iter().fold(0, |bits, (key, _)| bits | one(*key)),
        Act::Rename { source, target, .. } | Act::Copy { source, target, .. } => {
            one(*source) | one(*target)
        }
        // Those wait for everything before them, and everything behind waits for them.
        Act::Size(_) | Act::Clear | Act::ClearDatabase(_) | Act::Swap | Act::Many(_) => {
            several(&[0, 1, 2, 3])
        }
    }
}

/// Every value that an act may put.
fn note_puts(act: &Act, note: &mut dyn FnMut(Value)) {
    match act {
        Act::Set { value, .. } => note(*value),
        Act::MultiSet { pairs, .. } => pairs.iter().for_each(|(_, value)| note(*value)),
        Act::Many(acts) => acts.iter().for_each(|act| note_puts(act, note)),
        _ => {}
    }
}

/// Is it put by one SET and no other?
fn is_unique(value: Value) -> bool {
    matches!(value, Value::Text(_)) && value != EMPTY
}

/// Whether the step says or changes anything: a read without a reply does neither.
pub fn matters(step: &Step) -> bool {
    step.act.writes() || step.told != Told::Nothing
}

#[cfg(test)]
mod tests;
