//! The sequential meaning of commands on a few keys: what linearizability is checked against.
//!
//! An object is one key, or a whole small database. On one key, commands over several keys are
//! seen as what they do to that key; that is necessary for atomicity and not sufficient, which is
//! why one database is small enough to be one object.

use crate::history::{Answer, Condition, Level, Value};

/// Keys one object holds at most.
pub const KEYS_MAX: usize = 4;

/// The contents of an object.
pub type State = [Option<Value>; KEYS_MAX];

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
    /// How many keys the object holds.
    Size,
    Clear,
}

/// What the reply tells about this object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// There was no reply: it may have been executed or not.
    Nothing,
    /// It was executed; the reply says nothing more about this object.
    Executed,
    Answer(Answer),
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
                Act::Get(key) | Act::Set { key, get: true, .. },
                Told::Answer(Answer::Value(value)),
            ) => Some((*key, *value)),
            _ => None,
        }
    }

    /// Does the answer alone prove that there was an effect?
    pub fn says_effect(&self) -> bool {
        let Told::Answer(answer) = &self.told else { return false };
        match (&self.act, answer) {
            (Act::Set { condition: Condition::Always, .. }, _) => true,
            (Act::Set { get: false, .. }, _) => *answer == Answer::Ok,
            (Act::Delete(_), Answer::Integer(count)) => 0 < *count,
            (Act::Increment(_), Answer::Integer(_)) => true,
            _ => false,
        }
    }
}

/// One change of one key: what it holds from then on.
pub type Change = (u8, Option<Value>);

/// What executing an act does.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    changes: [Option<Change>; KEYS_MAX],
    count: usize,
    /// Keys the reply depends on, by bit.
    pub looked_at: u8,
}

impl Done {
    /// The effects that are logged, in order.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = Change> {
        self.changes[..self.count].iter().map(|change| change.expect("as many as counted"))
    }

    /// Keys that an effect is logged for, by bit.
    pub fn wrote(&self) -> u8 {
        self.changes().fold(0, |bits, (key, _)| bits | bit(key))
    }

    fn look_at(&mut self, key: u8) {
        self.looked_at |= bit(key);
    }

    fn change(&mut self, state: &mut State, key: u8, value: Option<Value>) {
        state[usize::from(key)] = value;
        self.changes[self.count] = Some((key, value));
        self.count += 1;
    }
}

const ALL: u8 = (1 << KEYS_MAX) - 1;

impl Act {
    /// Executes the act: its answer, and what else it does.
    pub fn run(&self, state: &mut State) -> (Answer, Done) {
        let mut done = Done::default();
        let held = |state: &State, key: u8| state[usize::from(key)];
        let answer = match self {
            Self::Get(key) => {
                done.look_at(*key);
                held(state, *key).map_or(Answer::Nil, Answer::Value)
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
                    (true, _) => old.map_or(Answer::Nil, Answer::Value),
                    (false, true) => Answer::Ok,
                    (false, false) => Answer::Nil,
                }
            }
            Self::Delete(keys) => {
                for key in keys {
                    done.look_at(*key);
                    if held(state, *key).is_some() {
                        done.change(state, *key, None);
                    }
                }
                Answer::Integer(done.count as i64)
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
                    Some(Value::Text(_)) => None,
                };
                match number.and_then(|number| number.checked_add(1)) {
                    None => Answer::NotInteger,
                    Some(number) => {
                        done.change(state, *key, Some(Value::Number(number)));
                        Answer::Integer(number)
                    }
                }
            }
            Self::Size => {
                done.looked_at = ALL;
                Answer::Integer(state.iter().flatten().count() as i64)
            }
            Self::Clear => {
                done.looked_at = ALL;
                for key in 0..KEYS_MAX as u8 {
                    if held(state, key).is_some() {
                        done.change(state, key, None);
                    }
                }
                Answer::Ok
            }
        };
        (answer, done)
    }
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

    #[test]
    fn commands_mean_what_redis_says() {
        let empty = State::default();
        let mut full = empty;
        full[0] = Some(Value::Number(7));
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
            (Act::Increment(0), [Some(A), None, None, None], Answer::NotInteger, Some(A)),
            (Act::Delete(vec![0, 1, 0]), full, Answer::Integer(1), None),
            (Act::Exists(vec![0, 1, 0]), full, Answer::Integer(2), full[0]),
            (Act::Size, full, Answer::Integer(1), full[0]),
            (Act::Clear, full, Answer::Ok, None),
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
