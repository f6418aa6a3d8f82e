//! Cuts the history of one process into objects and has each searched.
//!
//! Linearizability is local (Herlihy and Wing 1990, theorem 1): a history over single keys is
//! linearizable iff that of every key is. The same process start and end bound all objects.

use std::collections::BTreeMap;

use super::object::{Act, Change, KEYS_MAX, State, Step, Told};
use super::search::{End, Verdict, matters, search};
use crate::history::{Answer, Instant, Key, Level, Operation, Request};
use crate::keys::SMALL;
use crate::surviving::{Contents, Put};

/// What one object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Key(u16, Key),
    /// All keys of a database.
    Database(u16),
}

/// What a check came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    pub objects: u64,
    /// Objects with too many orders to try: not proven, not refuted.
    pub given_up: u64,
}

/// Checks what one process did, from the contents it started with, by what the log holds of it.
pub fn check_linearizable(
    operations: &[Operation],
    first: usize,
    start: &Contents,
    log: &[Put],
    clean: bool,
) -> Result<Searched, String> {
    let mut objects: BTreeMap<Object, Vec<Step>> = BTreeMap::new();
    for (database, key) in start.keys().copied().chain(log.iter().map(|put| (put.0, put.1))) {
        objects.entry(object(database, key)).or_default();
    }
    let refusals = Refusals::new(&operations[first..]);
    let mut flushes = Vec::new();
    for (number, operation) in operations.iter().enumerate().skip(first) {
        if !operation.may_count() {
            continue;
        }
        if operation.request == Request::FlushAll {
            flushes.push(number);
        }
        for (object, mut step) in project(operation, number) {
            step.seems_refused = refusals.seems_refused(operation);
            objects.entry(object).or_default().push(step);
        }
    }
    let mut changes: BTreeMap<Object, Vec<Change>> = BTreeMap::new();
    for (database, key, value) in log {
        let object = object(*database, *key);
        changes.entry(object).or_default().push((place(*database, *key), *value));
    }
    let mut searched = Searched::default();
    for (object, mut steps) in objects {
        for number in &flushes {
            steps.push(step(&operations[*number], *number, Act::Clear, None));
        }
        // What came in one piece of bytes arrived together, in the order it was sent.
        steps.sort_by_key(|step| (step.arrived, step.operation));
        steps.retain(matters);
        let log = changes.remove(&object).unwrap_or_default();
        if steps.is_empty() && log.is_empty() {
            continue;
        }
        searched.objects += 1;
        let end = if clean { End::Clean } else { End::Crash };
        let from = state(object, start);
        match search(&steps, from, &log, end) {
            Verdict::Linearizable => {}
            Verdict::Not(why) => {
                return Err(format!("{object:?} from {from:?}, {} steps: {why}", steps.len()));
            }
            Verdict::TooLarge => searched.given_up += 1,
        }
    }
    Ok(searched)
}

/// When writes at level memory were refused, because the disk lagged behind: one without an
/// answer that arrived at such a time was probably refused too.
struct Refusals {
    /// By arrival: was it refused?
    answered: Vec<(Instant, bool)>,
}

impl Refusals {
    fn new(operations: &[Operation]) -> Self {
        let mut answered: Vec<(Instant, bool)> = operations
            .iter()
            .filter(|operation| operation.level == Level::Memory && is_write(operation))
            .filter_map(|operation| {
                let (_, answer) = operation.answered.as_ref()?;
                Some((operation.arrived?, *answer == Answer::Refused))
            })
            .collect();
        answered.sort_unstable();
        Self { answered }
    }

    fn seems_refused(&self, operation: &Operation) -> bool {
        if operation.answered.is_some() || operation.level != Level::Memory {
            return false;
        }
        let Some(arrived) = operation.arrived else { return false };
        let after = self.answered.partition_point(|(at, _)| *at < arrived);
        let near = self.answered[after.saturating_sub(1)..].iter().take(2);
        is_write(operation) && near.into_iter().any(|(_, refused)| *refused)
    }
}

fn is_write(operation: &Operation) -> bool {
    matches!(
        operation.request,
        Request::Set { .. } | Request::Delete(_) | Request::Increment(_) | Request::FlushAll
    )
}

/// Where a key is in the state of its object.
fn place(database: u16, key: Key) -> u8 {
    if database == SMALL { key.0 as u8 } else { 0 }
}

fn object(database: u16, key: Key) -> Object {
    if database == SMALL { Object::Database(database) } else { Object::Key(database, key) }
}

fn state(object: Object, contents: &Contents) -> State {
    let mut state = State::default();
    match object {
        Object::Key(database, key) => state[0] = contents.get(&(database, key)).copied(),
        Object::Database(database) => {
            for (key, place) in (0..).zip(state.iter_mut()) {
                *place = contents.get(&(database, Key(key))).copied();
            }
        }
    }
    state
}

/// What an operation is to each object it touches. FLUSHALL, which touches all, is added later.
fn project(operation: &Operation, number: usize) -> Vec<(Object, Step)> {
    let database = operation.database;
    let small = database == SMALL;
    let place = |key: Key| place(database, key);
    let one =
        |key: Key, act: Act| vec![(object(database, key), step(operation, number, act, None))];
    match &operation.request {
        Request::Get(key) => one(*key, Act::Get(place(*key))),
        Request::Set { key, value, condition, get } => one(
            *key,
            Act::Set { key: place(*key), value: *value, condition: *condition, get: *get },
        ),
        Request::Increment(key) => one(*key, Act::Increment(place(*key))),
        Request::Size if small => {
            vec![(Object::Database(database), step(operation, number, Act::Size, None))]
        }
        Request::Delete(keys) if small => {
            let act = Act::Delete(keys.iter().map(|key| key.0 as u8).collect());
            vec![(Object::Database(database), step(operation, number, act, None))]
        }
        Request::Exists(keys) if small => {
            let act = Act::Exists(keys.iter().map(|key| key.0 as u8).collect());
            vec![(Object::Database(database), step(operation, number, act, None))]
        }
        Request::Delete(keys) => {
            let mut distinct = keys.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let share = |count: i64| (count, distinct.len() as i64, 1);
            split(operation, number, &distinct, &|_| Act::Delete(vec![0]), &|_, n| share(n))
        }
        Request::Exists(keys) => {
            let mut distinct = keys.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let times = |key: Key| keys.iter().filter(|other| **other == key).count();
            let act = |key: Key| Act::Exists(vec![0; times(key)]);
            let share = |key: Key, count: i64| (count, keys.len() as i64, times(key) as i64);
            split(operation, number, &distinct, &act, &share)
        }
        // Whole databases that are not one object: nothing is checked but that there is a reply.
        Request::Size | Request::FlushAll => Vec::new(),
        Request::Ping
        | Request::Echo(_)
        | Request::Select(_)
        | Request::Durability(_)
        | Request::Info
        | Request::Hello
        | Request::Quit
        | Request::Garbage
        | Request::Wrong => Vec::new(),
    }
}

/// A command over several keys as each key sees it. `share` gives the count that was answered,
/// the largest possible, and this key's part of that: a count of nothing or of everything tells
/// about every key, others about none.
fn split(
    operation: &Operation,
    number: usize,
    keys: &[Key],
    act: &dyn Fn(Key) -> Act,
    share: &dyn Fn(Key, i64) -> (i64, i64, i64),
) -> Vec<(Object, Step)> {
    let told = |key: Key| match &operation.answered {
        Some((_, Answer::Integer(count))) => match share(key, *count) {
            (0, _, _) => Told::Answer(Answer::Integer(0)),
            (count, most, part) if count == most => Told::Answer(Answer::Integer(part)),
            _ => Told::Executed,
        },
        Some((_, answer)) => Told::Answer(answer.clone()),
        None => Told::Nothing,
    };
    keys.iter()
        .map(|key| {
            let step = step(operation, number, act(*key), Some(told(*key)));
            (object(operation.database, *key), step)
        })
        .collect()
}

fn step(operation: &Operation, number: usize, act: Act, told: Option<Told>) -> Step {
    let (answered, answer) = match &operation.answered {
        Some((at, answer)) => (at.0, Told::Answer(answer.clone())),
        None => (u64::MAX, Told::Nothing),
    };
    Step {
        lane: operation.connection,
        act,
        told: told.unwrap_or(answer),
        level: operation.level,
        arrived: operation.arrived.expect("only what arrived counts").0,
        answered,
        seems_refused: false,
        operation: number,
    }
}

const _: () = assert!(KEYS_MAX <= 8, "keys of an object are bits of a byte");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Condition, Value};

    fn operation(connection: u32, at: u64, request: Request, answer: Answer) -> Operation {
        Operation {
            connection,
            database: 0,
            level: Level::Local,
            request,
            arrived: Some(Instant(at)),
            answered: Some((Instant(at + 1), answer)),
            arrived_us: at,
            answered_us: at + 1,
        }
    }

    fn set(at: u64, key: u16, text: u32) -> Operation {
        let request = Request::Set {
            key: Key(key),
            value: Value::Text(text),
            condition: Condition::Always,
            get: false,
        };
        operation(1, at, request, Answer::Ok)
    }

    /// `log`: keys and what was put there, zero for deletions.
    fn check(operations: &[Operation], log: &[(u16, u32)]) -> bool {
        let put =
            |(key, text): &(u16, u32)| (0, Key(*key), (0 < *text).then_some(Value::Text(*text)));
        let log: Vec<Put> = log.iter().map(put).collect();
        check_linearizable(operations, 0, &Contents::new(), &log, false).is_ok()
    }

    #[test]
    fn keys_are_judged_one_by_one() {
        let run = [set(1, 3, 1), set(3, 4, 2)];
        assert!(check(&run, &[(3, 1), (4, 2)]));
        assert!(!check(&run, &[(3, 1)]));
        assert!(!check(&run, &[(3, 2), (4, 1)]));
        assert!(!check(&run, &[(3, 1), (4, 2), (5, 3)]));
    }

    #[test]
    fn a_flush_is_a_write_of_every_key() {
        let flush = operation(2, 5, Request::FlushAll, Answer::Ok);
        let run = [set(1, 3, 1), set(3, 4, 2), flush, set(7, 4, 3)];
        let log = [(3, 1), (4, 2), (3, 0), (4, 0), (4, 3)];
        assert!(check(&run, &log));
        assert!(!check(&run, &[(3, 1), (4, 2), (4, 0), (4, 3)]));
        let get = operation(3, 9, Request::Get(Key(3)), Answer::Value(Value::Text(1)));
        assert!(!check(&[&run[..], &[get]].concat(), &log));
    }

    #[test]
    fn a_count_of_all_or_nothing_tells_about_every_key() {
        let delete = |count| {
            operation(2, 5, Request::Delete(vec![Key(3), Key(4), Key(3)]), Answer::Integer(count))
        };
        let run = |count| [set(1, 3, 1), set(3, 4, 2), delete(count)];
        let log = [(3, 1), (4, 2), (3, 0), (4, 0)];
        assert!(check(&run(2), &log));
        assert!(!check(&run(0), &log));
        assert!(!check(&run(2), &log[..3]));
        let exists = |count| {
            operation(2, 5, Request::Exists(vec![Key(3), Key(4), Key(3)]), Answer::Integer(count))
        };
        assert!(check(&[set(1, 3, 1), set(3, 4, 2), exists(3)], &log[..2]));
        assert!(!check(&[set(1, 3, 1), set(3, 4, 2), exists(0)], &log[..2]));
    }
}
