//! The sequential meaning of commands on a few keys: what linearizability is checked against.
//!
//! An object is one key, or both small databases. On one key, commands over several keys are
//! seen as what they do to that key; that is necessary for atomicity and not sufficient, which is
//! why two databases are small enough to be one object.

use crate::history::{Answer, Chain, Condition, Level, TOKEN_SIZE, Value};

/// Keys of a small database.
pub const KEYS_MAX: usize = 4;

/// Places for keys in an object: those of one small database, then those of its twin.
pub const PLACES: usize = 2 * KEYS_MAX;

/// The contents of an object.
pub type State = [Option<Value>; PLACES];

/// A command as one object sees it. Keys are places in `State`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Get(u8),
    Set {
        key: u8,
        value: Value,
        condition: Condition,
        get: bool,
    },
    Delete(Vec<u8>),
    Exists(Vec<u8>),
    Increment(u8),
    Append {
        key: u8,
        token: u32,
    },
    GetDelete(u8),
    MultiGet(Vec<u8>),
    MultiSet {
        pairs: Vec<(u8, Value)>,
        if_absent: bool,
    },
    Rename {
        source: u8,
        target: u8,
        if_absent: bool,
    },
    Copy {
        source: u8,
        target: u8,
        replace: bool,
    },
    /// How many keys the database holds whose first place this is.
    Size(u8),
    Clear,
    /// Clears one of the databases, the one whose first place this is.
    ClearDatabase(u8),
    /// Exchanges the two databases.
    Swap,
    /// A transaction. What each of its commands told is a `Told::Each`.
    Many(Vec<Self>),
}

/// What the reply tells about this object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// There was no reply: it may have been executed or not.
    Nothing,
    /// It was executed; the reply says nothing more about this object.
    Executed,
    Answer(Answer),
    /// What each command of an executed transaction told.
    Each(Vec<Self>),
}

impl Told {
    /// Can this have been told of what was answered?
    pub fn agrees(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Nothing | Self::Executed, _) => true,
            (Self::Answer(told), answer) => told == answer,
            (Self::Each(each), Answer::Many(answers)) => {
                each.len() == answers.len()
                    && each.iter().zip(answers).all(|(told, answer)| told.agrees(answer))
            }
            (Self::Each(_), _) => false,
        }
    }
}

/// One operation as one object sees it.
#[derive(Clone, Debug)]
pub struct Step {
    pub lane: u32,
    pub act: Act,
    pub told: Told,
    pub level: Level,
    pub arrived: u64,
    /// `u64::MAX` if there was no reply.
    pub answered: u64,
    /// Without an answer, it was refused rather than executed: what the search tries first.
    pub seems_refused: bool,
    /// Its place in the history, for reports.
    pub operation: usize,
}

impl Step {
    /// The value that the answer says a key held.
    pub fn sees(&self) -> Option<(u8, Value)> {
        match (&self.act, &self.told) {
            (
                Act::Get(key) | Act::GetDelete(key) | Act::Set { key, get: true, .. },
                Told::Answer(Answer::Value(value)),
            ) => Some((*key, *value)),
            _ => None,
        }
    }
}

/// One change of one key: what it holds from then on.
pub type Change = (u8, Option<Value>);

/// What executing an act does.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    changes: Vec<Change>,
    /// Keys the reply depends on, by bit.
    pub looked_at: u8,
}

impl Done {
    /// The effects that are logged, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Keys that an effect is logged for, by bit.
    pub fn wrote(&self) -> u8 {
        self.changes.iter().fold(0, |bits, (key, _)| bits | bit(*key))
    }

    fn look_at(&mut self, key: u8) {
        self.looked_at |= bit(key);
    }

    /// What moves somewhere takes away what was there first.
    fn replace(&mut self, state: &mut State, key: u8, value: Value) {
        if state[usize::from(key)].is_some() {
            self.change(state, key, None);
        }
        self.change(state, key, Some(value));
    }

    fn change(&mut self, state: &mut State, key: u8, value: Option<Value>) {
        state[usize::from(key)] = value;
        self.changes.push((key, value));
    }
}

const ALL: u8 = u8::MAX;
const HALF: u8 = (1 << KEYS_MAX) - 1;

impl Act {
    /// Executes the act: its answer, and what else it does.
    pub fn run(&self, state: &mut State) -> (Answer, Done) {
        let mut done = Done::default();
        let answer = self.run_into(state, &mut done);
        (answer, done)
    }

    fn run_into(&self, state: &mut State, done: &mut Done) -> Answer {
        let held = |state: &State, key: u8| state[usize::from(key)];
        let shown = |held: Option<Value>| held.map_or(Answer::Nil, Answer::Value);
        match self {
            Self::Get(key) => {
                done.look_at(*key);
                shown(held(state, *key))
            }
            Self::Set { key, value, condition, get } => {
                done.look_at(*key);
                let old = held(state, *key);
                let sets = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => old.is_none(),
                    Condition::IfPresent => old.is_some(),
                };
                if sets {
                    done.change(state, *key, Some(*value));
                }
                match (get, sets) {
                    (true, _) => shown(old),
                    (false, true) => Answer::Ok,
                    (false, false) => Answer::Nil,
                }
            }
            Self::Delete(keys) => {
                let mut count = 0;
                for key in keys {
                    done.look_at(*key);
                    if held(state, *key).is_some() {
                        done.change(state, *key, None);
                        count += 1;
                    }
                }
                Answer::Integer(count)
            }
            Self::Exists(keys) => {
                keys.iter().for_each(|key| done.look_at(*key));
                let count = keys.iter().filter(|key| held(state, **key).is_some()).count();
                Answer::Integer(count as i64)
            }
            Self::Increment(key) => {
                done.look_at(*key);
                let number = match held(state, *key) {
                    None => Some(0),
                    Some(Value::Number(number)) => Some(number),
                    Some(Value::Text(_) | Value::Chain(_)) => None,
                };
                match number.and_then(|number| number.checked_add(1)) {
                    None => Answer::NotInteger,
                    Some(number) => {
                        done.change(state, *key, Some(Value::Number(number)));
                        Answer::Integer(number)
                    }
                }
            }
            Self::Append { key, token } => {
                done.look_at(*key);
                let before = match held(state, *key) {
                    None => None,
                    Some(Value::Chain(chain)) => Some(chain),
                    Some(other) => unreachable!("tokens are appended to chains, not to {other:?}"),
                };
                let chain = Chain::append(before, *token);
                done.change(state, *key, Some(Value::Chain(chain)));
                Answer::Integer((chain.count() as usize * TOKEN_SIZE) as i64)
            }
            Self::GetDelete(key) => {
                done.look_at(*key);
                let old = held(state, *key);
                if old.is_some() {
                    done.change(state, *key, None);
                }
                shown(old)
            }
            Self::MultiGet(keys) => {
                keys.iter().for_each(|key| done.look_at(*key));
                Answer::Many(keys.iter().map(|key| shown(held(state, *key))).collect())
            }
            Self::MultiSet { pairs, if_absent } => {
                if *if_absent {
                    pairs.iter().for_each(|(key, _)| done.look_at(*key));
                    if pairs.iter().any(|(key, _)| held(state, *key).is_some()) {
                        return Answer::Integer(0);
                    }
                }
                for (key, value) in pairs {
                    done.look_at(*key);
                    done.change(state, *key, Some(*value));
                }
                if *if_absent { Answer::Integer(1) } else { Answer::Ok }
            }
            Self::Rename { source, target, if_absent } => {
                done.look_at(*source);
                let Some(value) = held(state, *source) else { return Answer::NoSuchKey };
                if *if_absent {
                    done.look_at(*target);
                    if held(state, *target).is_some() {
                        return Answer::Integer(0);
                    }
                }
                if source != target {
                    done.look_at(*target);
                    done.replace(state, *target, value);
                    done.change(state, *source, None);
                }
                if *if_absent { Answer::Integer(1) } else { Answer::Ok }
            }
            Self::Copy { source, target, replace } => {
                done.look_at(*source);
                done.look_at(*target);
                match held(state, *source) {
                    Some(value) if *replace || held(state, *target).is_none() => {
                        done.replace(state, *target, value);
                        Answer::Integer(1)
                    }
                    _ => Answer::Integer(0),
                }
            }
            Self::Size(first) => {
                done.looked_at |= HALF << first;
                let places = state.iter().skip(usize::from(*first)).take(KEYS_MAX);
                Answer::Integer(places.flatten().count() as i64)
            }
            Self::Clear => {
                done.looked_at |= ALL;
                clear(state, 0..PLACES as u8, done)
            }
            Self::ClearDatabase(first) => {
                done.looked_at |= HALF << first;
                clear(state, *first..*first + KEYS_MAX as u8, done)
            }
            Self::Swap => {
                done.looked_at |= ALL;
                for key in 0..KEYS_MAX as u8 {
                    let twin = key + KEYS_MAX as u8;
                    let (old, new) = (held(state, key), held(state, twin));
                    if old.is_some() || new.is_some() {
                        done.change(state, key, new);
                        done.change(state, twin, old);
                    }
                }
                Answer::Ok
            }
            Self::Many(acts) => {
                Answer::Many(acts.iter().map(|act| act.run_into(state, done)).collect())
            }
        }
    }

    /// Whether it may change anything.
    pub fn writes(&self) -> bool {
        match self {
            Self::Get(_) | Self::Exists(_) | Self::MultiGet(_) | Self::Size(_) => false,
            Self::Many(acts) => acts.iter().any(Self::writes),
            _ => true,
        }
    }
}

fn clear(state: &mut State, places: std::ops::Range<u8>, done: &mut Done) -> Answer {
    for place in places {
        if state[usize::from(place)].is_some() {
            done.change(state, place, None);
        }
    }
    Answer::Ok
}

fn bit(key: u8) -> u8 {
    1 << key
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Value = Value::Text(1);

    fn set(condition: Condition, get: bool) -> Act {
        Act::Set { key: 0, value: A, condition, get }
    }

    const SEVEN: Answer = Answer::Value(Value::Number(7));

    fn pair(first: Answer, second: Answer) -> Answer {
        Answer::Many(vec![first, second])
    }

    fn multi_set(if_absent: bool) -> Act {
        Act::MultiSet { pairs: vec![(1, A), (0, A)], if_absent }
    }

    fn rename(source: u8, target: u8, if_absent: bool) -> Act {
        Act::Rename { source, target, if_absent }
    }

    fn copy(source: u8, target: u8, replace: bool) -> Act {
        Act::Copy { source, target, replace }
    }

    #[test]
    fn commands_mean_what_redis_says() {
        let empty = State::default();
        let mut full = empty;
        full[0] = Some(Value::Number(7));
        let mut text = empty;
        text[0] = Some(A);
        let mut twin = empty;
        twin[4] = Some(A);
        let cases = [
            (set(Condition::Always, false), empty, Answer::Ok, Some(A)),
            (set(Condition::IfAbsent, false), full, Answer::Nil, full[0]),
            (set(Condition::IfAbsent, true), full, Answer::Value(Value::Number(7)), full[0]),
            (set(Condition::IfAbsent, true), empty, Answer::Nil, Some(A)),
            (set(Condition::IfPresent, false), empty, Answer::Nil, None),
            (set(Condition::IfPresent, true), full, Answer::Value(Value::Number(7)), Some(A)),
            (Act::Get(0), full, Answer::Value(Value::Number(7)), full[0]),
            (Act::Increment(0), full, Answer::Integer(8), Some(Value::Number(8))),
            (Act::Increment(0), empty, Answer::Integer(1), Some(Value::Number(1))),
            (Act::Increment(0), text, Answer::NotInteger, Some(A)),
            (Act::Delete(vec![0, 1, 0]), full, Answer::Integer(1), None),
            (Act::Exists(vec![0, 1, 0]), full, Answer::Integer(2), full[0]),
            (Act::GetDelete(0), full, Answer::Value(Value::Number(7)), None),
            (Act::GetDelete(0), empty, Answer::Nil, None),
            (Act::MultiGet(vec![0, 1]), full, pair(SEVEN, Answer::Nil), full[0]),
            (multi_set(true), full, Answer::Integer(0), full[0]),
            (multi_set(true), empty, Answer::Integer(1), Some(A)),
            (multi_set(false), full, Answer::Ok, Some(A)),
            (rename(0, 1, false), full, Answer::Ok, None),
            (rename(0, 0, false), full, Answer::Ok, full[0]),
            (rename(1, 0, false), full, Answer::NoSuchKey, full[0]),
            (rename(0, 1, true), full, Answer::Integer(1), None),
            (copy(0, 1, false), full, Answer::Integer(1), full[0]),
            (copy(1, 0, true), full, Answer::Integer(0), full[0]),
            (
                Act::Many(vec![Act::Increment(0), Act::Get(0)]),
                full,
                pair(Answer::Integer(8), Answer::Value(Value::Number(8))),
                Some(Value::Number(8)),
            ),
            (Act::Size(0), full, Answer::Integer(1), full[0]),
            (Act::Size(4), full, Answer::Integer(0), full[0]),
            (Act::Clear, full, Answer::Ok, None),
            (Act::ClearDatabase(0), full, Answer::Ok, None),
            (Act::ClearDatabase(4), full, Answer::Ok, full[0]),
            (Act::Swap, full, Answer::Ok, None),
            (Act::Swap, twin, Answer::Ok, Some(A)),
            (Act::Many(vec![Act::Swap, Act::Get(4)]), full, pair(Answer::Ok, SEVEN), None),
        ];
        for (act, before, answer, after) in cases {
            let mut state = before;
            let (said, done) = act.run(&mut state);
            assert_eq!(said, answer, "{act:?} on {before:?}");
            assert_eq!(state[0], after, "{act:?} on {before:?}");
            assert!(done.wrote() != 0 || state == before);
        }
    }
}
