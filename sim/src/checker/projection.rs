//! Cuts the history of one process into objects and has each searched.
//!
//! Linearizability is local (Herlihy and Wing 1990, theorem 1): a history over single keys is
//! linearizable iff that of every key is. The same process start and end bound all objects.

use std::collections::BTreeMap;

use super::object::{Act, Change, KEYS_MAX, PLACES, State, Step, Told};
use super::search::{End, Tracks, Verdict, matters, search};
use super::watched::Watched;
use crate::history::{Answer, Condition, Instant, Key, Level, Operation, Request};
use crate::keys::{SMALL, TWIN, is_small};
use crate::surviving::{Contents, Put};

/// What one object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Key(u16, Key),
    /// All keys of both small databases.
    Databases,
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
    tracks: &Tracks,
    clean: bool,
) -> Result<Searched, String> {
    let watched = Watched::find(operations, first);
    let mut objects: BTreeMap<Object, Vec<Step>> = BTreeMap::new();
    for (database, key) in start.keys().copied().chain(log.iter().map(|put| (put.0, put.1))) {
        objects.entry(object(database, key)).or_default();
    }
    let refusals = Refusals::new(&operations[first..]);
    let mut wholesale = Vec::new();
    for (number, operation) in operations.iter().enumerate().skip(first) {
        if !operation.may_count() {
            continue;
        }
        if operation.request.is_wholesale() {
            wholesale.push(number);
        }
        for (object, mut step) in project(operation, number, watched.seen(number)) {
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
        for number in &wholesale {
            let operation = &operations[*number];
            if let Some(act) = act_of_wholesale(object, operation) {
                steps.push(step(operation, *number, act, told_whole(operation)));
            }
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
        let tracks = if is_whole(object) { *tracks } else { Tracks::default() };
        match search(&steps, from, &log, &tracks, end) {
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
    operation.request.writes()
}

/// Where a key is in the state of its object.
fn place(database: u16, key: Key) -> u8 {
    if is_small(database) { first_place(database) + key.0 as u8 } else { 0 }
}

/// Where a small database begins in the state of both.
fn first_place(database: u16) -> u8 {
    if database == TWIN { KEYS_MAX as u8 } else { 0 }
}

fn object(database: u16, key: Key) -> Object {
    if is_small(database) { Object::Databases } else { Object::Key(database, key) }
}

fn state(object: Object, contents: &Contents) -> State {
    let mut state = State::default();
    match object {
        Object::Key(database, key) => state[0] = contents.get(&(database, key)).copied(),
        Object::Databases => {
            for database in [SMALL, TWIN] {
                for key in (0..KEYS_MAX as u16).map(Key) {
                    let held = contents.get(&(database, key)).copied();
                    state[usize::from(place(database, key))] = held;
                }
            }
        }
    }
    state
}

fn is_whole(object: Object) -> bool {
    object == Object::Databases
}

/// What FLUSHALL, FLUSHDB or SWAPDB does to an object, if anything.
fn act_of_wholesale(object: Object, operation: &Operation) -> Option<Act> {
    let database = operation.database;
    match (&operation.request, object) {
        (Request::FlushAll, _) => Some(Act::Clear),
        (Request::FlushDatabase, Object::Key(of, _)) => (of == database).then_some(Act::Clear),
        (Request::FlushDatabase, Object::Databases) => {
            is_small(database).then(|| Act::ClearDatabase(first_place(database)))
        }
        (Request::Swap, Object::Databases) => Some(Act::Swap),
        _ => None,
    }
}

/// What an operation is to each object it touches. Those on whole databases are added later.
/// `seen`: what the client knew of keys under WATCH, if it was not told that they changed.
fn project(operation: &Operation, number: usize, seen: &[(Key, Answer)]) -> Vec<(Object, Step)> {
    let database = operation.database;
    let answer = operation.answered.as_ref().map(|(_, answer)| answer);
    if answer == Some(&Answer::Aborted) {
        return Vec::new();
    }
    if is_small(database) {
        let Some(act) = whole(database, &operation.request) else { return Vec::new() };
        let (mut act, mut told) = (act, told_whole(operation));
        if let (Act::Many(acts), Told::Each(each)) = (&mut act, &mut told) {
            acts.extend(seen.iter().map(|(key, _)| Act::Get(place(database, *key))));
            acts.rotate_right(seen.len());
            each.extend(seen.iter().map(|(_, answer)| Told::Answer(answer.clone())));
            each.rotate_right(seen.len());
        }
        return vec![(Object::Databases, step(operation, number, act, told))];
    }
    let mut parts: Vec<(Key, Act, Told)> = Vec::new();
    for (key, answer) in seen {
        parts.push((*key, Act::Get(0), Told::Answer(answer.clone())));
    }
    match (&operation.request, answer) {
        (Request::Execute { requests, .. }, Some(Answer::Many(answers))) => {
            for (request, answer) in requests.iter().zip(answers) {
                split(request, Some(answer), &mut parts);
            }
        }
        (Request::Execute { requests, .. }, _) => {
            requests.iter().for_each(|request| split(request, None, &mut parts));
        }
        (request, answer) => split(request, answer, &mut parts),
    }
    // Sorting keeps the order of what touches the same key.
    parts.sort_by_key(|(key, ..)| *key);
    let mut steps = Vec::new();
    for same in parts.chunk_by(|a, b| a.0 == b.0) {
        let key = same[0].0;
        let (act, told) = match same {
            [(_, act, told)] => (act.clone(), told.clone()),
            _ => {
                let acts = same.iter().map(|(_, act, _)| act.clone()).collect();
                let each = same.iter().map(|(_, _, told)| told.clone()).collect();
                let told = if answer.is_some() { Told::Each(each) } else { Told::Nothing };
                (Act::Many(acts), told)
            }
        };
        steps.push((object(database, key), step(operation, number, act, told)));
    }
    steps
}

/// A command as both small databases see it; none if it is not about keys.
fn whole(database: u16, request: &Request) -> Option<Act> {
    let place = |key: &Key| place(database, *key);
    let places = |keys: &[Key]| keys.iter().map(place).collect();
    Some(match request {
        Request::Get(key) => Act::Get(place(key)),
        Request::Set { key, value, condition, get } => {
            Act::Set { key: place(key), value: *value, condition: *condition, get: *get }
        }
        Request::Delete(keys) => Act::Delete(places(keys)),
        Request::Exists(keys) => Act::Exists(places(keys)),
        Request::Increment(key) => Act::Increment(place(key)),
        Request::Append { key, token } => Act::Append { key: place(key), token: *token },
        Request::GetDelete(key) => Act::GetDelete(place(key)),
        Request::MultiGet(keys) => Act::MultiGet(places(keys)),
        Request::MultiSet { pairs, if_absent } => Act::MultiSet {
            pairs: pairs.iter().map(|(key, value)| (place(key), *value)).collect(),
            if_absent: *if_absent,
        },
        Request::Rename { source, target, if_absent } => {
            Act::Rename { source: place(source), target: place(target), if_absent: *if_absent }
        }
        Request::Copy { source, target, replace } => {
            Act::Copy { source: place(source), target: place(target), replace: *replace }
        }
        Request::Size => Act::Size(first_place(database)),
        Request::Execute { requests, .. } => {
            Act::Many(requests.iter().filter_map(|request| whole(database, request)).collect())
        }
        // What is on whole databases is added to every object.
        _ => return None,
    })
}

fn told_whole(operation: &Operation) -> Told {
    match (&operation.request, &operation.answered) {
        (Request::Execute { .. }, Some((_, Answer::Many(answers)))) => {
            Told::Each(answers.iter().cloned().map(Told::Answer).collect())
        }
        (_, Some((_, answer))) => Told::Answer(answer.clone()),
        (_, None) => Told::Nothing,
    }
}

/// A command as each of its keys sees it, and what the reply says about each.
fn split(request: &Request, answer: Option<&Answer>, parts: &mut Vec<(Key, Act, Told)>) {
    let plain = || answer.map_or(Told::Nothing, |answer| Told::Answer(answer.clone()));
    // A count of nothing or of everything tells about every key, others about none.
    let share = |most: usize, part: usize| match answer {
        Some(Answer::Integer(0)) => Told::Answer(Answer::Integer(0)),
        Some(Answer::Integer(count)) if *count == most as i64 => {
            Told::Answer(Answer::Integer(part as i64))
        }
        Some(Answer::Integer(_)) => Told::Executed,
        _ => plain(),
    };
    let distinct = |keys: &[Key]| {
        let mut distinct = keys.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        distinct
    };
    match request {
        Request::Get(key) => parts.push((*key, Act::Get(0), plain())),
        Request::Set { key, value, condition, get } => parts.push((
            *key,
            Act::Set { key: 0, value: *value, condition: *condition, get: *get },
            plain(),
        )),
        Request::Increment(key) => parts.push((*key, Act::Increment(0), plain())),
        Request::Append { key, token } => {
            parts.push((*key, Act::Append { key: 0, token: *token }, plain()));
        }
        Request::GetDelete(key) => parts.push((*key, Act::GetDelete(0), plain())),
        Request::Delete(keys) => {
            let keys = distinct(keys);
            for key in &keys {
                parts.push((*key, Act::Delete(vec![0]), share(keys.len(), 1)));
            }
        }
        Request::Exists(keys) => {
            for key in distinct(keys) {
                let times = keys.iter().filter(|other| **other == key).count();
                parts.push((key, Act::Exists(vec![0; times]), share(keys.len(), times)));
            }
        }
        Request::MultiGet(keys) => {
            let answers = match answer {
                Some(Answer::Many(answers)) => answers.as_slice(),
                _ => &[],
            };
            for (at, key) in keys.iter().enumerate() {
                let told = answers.get(at).cloned().map_or_else(plain, Told::Answer);
                parts.push((*key, Act::Get(0), told));
            }
        }
        Request::MultiSet { pairs, if_absent } => {
            // That some key was there tells about none.
            if answer == Some(&Answer::Integer(0)) {
                return;
            }
            let told = if answer.is_some() { Told::Answer(Answer::Ok) } else { Told::Nothing };
            let condition = if *if_absent { Condition::IfAbsent } else { Condition::Always };
            for (key, value) in pairs {
                let act = Act::Set { key: 0, value: *value, condition, get: false };
                parts.push((*key, act, told.clone()));
            }
        }
        // Whole databases that are not one object: nothing is checked but that there is a reply.
        Request::Size | Request::FlushAll | Request::FlushDatabase | Request::Swap => {}
        Request::Rename { .. } | Request::Copy { .. } => {
            unreachable!("values move only where all keys are one object")
        }
        Request::Execute { .. } => unreachable!("transactions do not nest"),
        _ => {}
    }
}

fn step(operation: &Operation, number: usize, act: Act, told: Told) -> Step {
    Step {
        lane: operation.connection,
        act,
        told,
        level: operation.level,
        arrived: operation.arrived.expect("only what arrived counts").0,
        answered: operation.answered.as_ref().map_or(u64::MAX, |(at, _)| at.0),
        seems_refused: false,
        operation: number,
    }
}

const _: () = assert!(PLACES <= 8, "keys of an object are bits of a byte");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Value;

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
        check_linearizable(operations, 0, &Contents::new(), &log, &[0; PLACES], false).is_ok()
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
    fn a_flush_of_another_database_leaves_a_key_alone() {
        let flush = |database| Operation {
            database,
            ..operation(2, 3, Request::FlushDatabase, Answer::Ok)
        };
        let run = |database| [set(1, 3, 1), flush(database)];
        assert!(check(&run(0), &[(3, 1), (3, 0)]));
        assert!(!check(&run(0), &[(3, 1)]));
        assert!(check(&run(SMALL), &[(3, 1)]));
        assert!(!check(&run(SMALL), &[(3, 1), (3, 0)]));
    }

    #[test]
    fn a_swap_moves_keys_between_the_small_databases() {
        let small = |database, operation| Operation { database, ..operation };
        let swap = operation(2, 3, Request::Swap, Answer::Ok);
        let value = Value::Text(1);
        let log =
            [(SMALL, Key(3), Some(value)), (SMALL, Key(3), None), (TWIN, Key(3), Some(value))];
        let judge = |database, answer, log: &[Put]| {
            let get = small(database, operation(3, 9, Request::Get(Key(3)), answer));
            let run = [small(SMALL, set(1, 3, 1)), swap.clone(), get];
            check_linearizable(&run, 0, &Contents::new(), log, &[0; PLACES], false).is_ok()
        };
        assert!(judge(TWIN, Answer::Value(value), &log));
        assert!(judge(SMALL, Answer::Nil, &log));
        assert!(!judge(SMALL, Answer::Value(value), &log));
        assert!(!judge(TWIN, Answer::Value(value), &log[..1]));
        assert!(!judge(TWIN, Answer::Nil, &log));
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
