//! Histories of the real binary, recorded by clients and judged here.
//!
//! A recorded history is text, one line each, words divided by single spaces:
//!
//! ```text
//!   toroid-history 1
//!   slices 16
//!   op CLIENT PHASE START END one GET k3 = $0000007;0000012;
//!   op CLIENT PHASE START END exec WATCHED k1 = nil | SET k1 0000013; = ok | GET k2 = nil
//!   op CLIENT PHASE START END aborted WATCHED k1 = nil | SET k1 0000014; = ?
//!   op CLIENT PHASE START - one APPEND k2 0000015; = ?
//!   crash PHASE TIME
//!   final PHASE START END MGET k0 k1 k2 k3 = [ nil $0000013; nil $0000007;0000012; ]
//! ```
//!
//! * `PHASE` counts the starts of the server from zero; `crash` is when the server of a phase was
//!   known to be dead. Times are nanoseconds of one clock: just before sending, just after the
//!   reply; `-`: there was no reply, and each command's is `?`.
//! * Commands: `GET`, `SET`, `APPEND`, `MGET`, `MSET`. Replies: `ok`, `nil`, `:SIZE`, `$VALUE`,
//!   and `[ .. ]` of MGET. `WATCHED key = reply` is what a client had read of a key under WATCH.
//! * The lines of a client are in the order in which it sent them. The server starts empty.
//! * A value is a string of tokens, seven digits and a semicolon each, and every token is sent
//!   once: SET puts one, APPEND adds one. So a value tells who made it, and on top of what.
//!
//! [`check_recorded`] accepts a history only with a proof: an order of whole transactions, found
//! by `order`, that agrees with real time and with every pipeline and gives each reply as it was
//! recorded, final contents included. Nothing that was acknowledged may be left out of it, across
//! all crashes; what was not acknowledged may be, as a whole. `checker::judge` then looks at the
//! versions of the keys in that order with its own eyes.

mod order;

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::{Known, Transaction, judge};
use crate::history::{
    Answer, Condition, Instant, Key, Level, Operation, Request, TOKEN_SIZE, Value, Values,
};

/// What a judgement rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub operations: u64,
    pub transactions: u64,
    /// EXECs that a watch refused.
    pub aborted: u64,
    /// Operations without a reply, and those of them that were executed.
    pub unanswered: u64,
    pub unanswered_there: u64,
    pub crashes: u64,
}

/// A recorded history as the checkers see it.
#[derive(Debug, Default)]
struct Recorded {
    slices: u16,
    names: BTreeMap<String, Key>,
    operations: Vec<Operation>,
    /// Of each operation, what was read under WATCH.
    watched: Vec<Vec<(Key, Answer)>>,
    phases: Vec<usize>,
    /// By phase.
    crashes: Vec<u64>,
    /// Every value that a reply showed, as its tokens.
    shown: BTreeSet<(Key, Vec<u32>)>,
    has_final: bool,
}

/// Judges a recorded history.
///
/// # Errors
///
/// Says what no strictly serializable server that loses nothing can have answered; or that the
/// text is no history.
pub fn check_recorded(text: &str) -> Result<Checked, String> {
    let recorded = Recorded::parse(text)?;
    let mut transactions = Vec::new();
    for (number, operation) in recorded.operations.iter().enumerate() {
        let transaction = Transaction::of(operation, number, &recorded.watched[number])
            .map_err(|what| format!("{what}: {operation:?}"))?;
        transactions.extend(transaction);
    }
    let found = order::find(&recorded, &transactions)?;
    let slices = recorded.slice_by_key();
    let slice_of = |(_, key): (u16, Key)| slices[usize::from(key.0)];
    judge(&transactions, &found.versions, &slice_of, Known::Everything, false)?;
    let count = |of: &dyn Fn(&Operation) -> bool| {
        recorded.operations.iter().filter(|operation| of(operation)).count() as u64
    };
    Ok(Checked {
        operations: recorded.operations.len() as u64,
        transactions: count(&|operation| matches!(operation.request, Request::Execute { .. })),
        aborted: count(&|operation| {
            let answer = operation.answered.as_ref().map(|(_, answer)| answer);
            answer == Some(&Answer::Aborted)
        }),
        unanswered: count(&|operation| operation.answered.is_none()),
        unanswered_there: found.unanswered_there,
        crashes: recorded.crashes.len() as u64,
    })
}

impl Recorded {
    fn parse(text: &str) -> Result<Self, String> {
        let mut recorded = Self::default();
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some("toroid-history 1") {
            return Err("no recorded history: the first line is another".to_owned());
        }
        for (at, line) in lines {
            recorded.line(line).map_err(|what| format!("line {}: {what}: {line}", at + 1))?;
        }
        if !recorded.has_final {
            return Err("the history is cut: no final contents".to_owned());
        }
        if !recorded.slices.is_power_of_two() {
            return Err("the number of slices is no power of two, or missing".to_owned());
        }
        recorded.check_final()?;
        Ok(recorded)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').collect();
        if self.has_final {
            return Err("something after the final contents".to_owned());
        }
        match words[..] {
            ["slices", count] => self.slices = number(count)?,
            ["crash", phase, time] => {
                if number::<usize>(phase)? != self.crashes.len() {
                    return Err("a crash of another phase".to_owned());
                }
                self.crashes.push(number(time)?);
            }
            ["op", client, phase, start, end, kind, ref commands @ ..] => {
                let end = if end == "-" { None } else { Some(number(end)?) };
                let (phase, start) = (number(phase)?, number(start)?);
                self.operation(number(client)?, phase, start, end, kind, commands)?;
            }
            ["final", phase, start, end, ref command @ ..] => {
                let (phase, start, end) = (number(phase)?, number(start)?, number(end)?);
                self.operation(u32::MAX, phase, start, Some(end), "one", command)?;
                self.has_final = true;
            }
            _ => return Err("no such line".to_owned()),
        }
        Ok(())
    }

    fn operation(
        &mut self,
        client: u32,
        phase: usize,
        start: u64,
        end: Option<u64>,
        kind: &str,
        words: &[&str],
    ) -> Result<(), String> {
        if end.is_some_and(|end| end <= start) {
            return Err("it ends before it starts".to_owned());
        }
        let (mut requests, mut answers, mut watched) = (Vec::new(), Vec::new(), Vec::new());
        for command in words.split(|word| *word == "|") {
            let equals = command.iter().position(|word| *word == "=");
            let (command, reply) = command.split_at(equals.ok_or("a command without a reply")?);
            let reply = &reply[1..];
            if let ["WATCHED", key] = command {
                let key = self.key(key);
                let answer = self.answer(reply, &[key])?;
                watched.push((key, answer.ok_or("what was watched was read")?));
                continue;
            }
            let (request, keys) = self.request(command)?;
            requests.push(request);
            answers.push(self.answer(reply, &keys)?);
        }
        let is_told = answers.iter().all(Option::is_some);
        if is_told != (end.is_some() && kind != "aborted") {
            return Err("replies without an end, or an end without replies".to_owned());
        }
        let many = Answer::Many(answers.iter().flatten().cloned().collect());
        let keys = watched.iter().map(|(key, _)| *key).collect();
        let (request, answer) = match (kind, requests.len()) {
            ("one", 1) if watched.is_empty() => {
                let answer = answers.pop().expect("there is one").unwrap_or(Answer::Other);
                (requests.pop().expect("there is one"), answer)
            }
            ("exec", _) => (Request::Execute { requests, watched: keys }, many),
            ("aborted", _) if !watched.is_empty() => {
                (Request::Execute { requests, watched: keys }, Answer::Aborted)
            }
            _ => return Err("no such kind".to_owned()),
        };
        let end = end.map(|end| (Instant(end), answer));
        self.operations.push(Operation {
            connection: client,
            database: 0,
            level: Level::Local,
            request,
            arrived: Some(Instant(start)),
            arrived_us: start / 1000,
            answered_us: end.as_ref().map_or(0, |(end, _)| end.0 / 1000),
            answered: end,
        });
        self.watched.push(watched);
        self.phases.push(phase);
        Ok(())
    }

    fn request(&mut self, words: &[&str]) -> Result<(Request, Vec<Key>), String> {
        Ok(match *words {
            ["GET", key] => {
                let key = self.key(key);
                (Request::Get(key), vec![key])
            }
            ["SET", key, value] => {
                let (key, value) = (self.key(key), one_token(value)?.1);
                let condition = Condition::Always;
                (Request::Set { key, value, condition, get: false }, vec![key])
            }
            ["APPEND", key, token] => {
                let (key, token) = (self.key(key), one_token(token)?.0);
                (Request::Append { key, token }, vec![key])
            }
            ["MGET", ref keys @ ..] => {
                let keys: Vec<Key> = keys.iter().map(|key| self.key(key)).collect();
                (Request::MultiGet(keys.clone()), keys)
            }
            ["MSET", ref words @ ..] => {
                let mut pairs = Vec::new();
                for pair in words.chunks(2) {
                    let [key, value] = pair else { return Err("half a pair".to_owned()) };
                    pairs.push((self.key(key), one_token(value)?.1));
                }
                let keys = pairs.iter().map(|(key, _)| *key).collect();
                (Request::MultiSet { pairs, if_absent: false }, keys)
            }
            _ => return Err("no such command".to_owned()),
        })
    }

    /// None: there was no reply.
    fn answer(&mut self, words: &[&str], keys: &[Key]) -> Result<Option<Answer>, String> {
        Ok(Some(match *words {
            ["?"] => return Ok(None),
            ["ok"] => Answer::Ok,
            ["[", ref values @ .., "]"] if values.len() == keys.len() => {
                let each = values.iter().zip(keys).map(|(value, key)| self.shown(value, *key));
                Answer::Many(each.collect::<Result<_, _>>()?)
            }
            [word] => match word.strip_prefix(':') {
                Some(size) => Answer::Integer(number(size)?),
                None => self.shown(word, *keys.first().ok_or("no key")?)?,
            },
            _ => return Err("no such reply".to_owned()),
        }))
    }

    /// A value as a reply shows it.
    fn shown(&mut self, word: &str, key: Key) -> Result<Answer, String> {
        if word == "nil" {
            return Ok(Answer::Nil);
        }
        let bytes = word.strip_prefix('$').ok_or("no such reply")?.as_bytes();
        let Some(value @ Value::Chain(_)) = Values::default().known(bytes) else {
            return Err("a value that nobody made".to_owned());
        };
        let tokens = bytes.chunks_exact(TOKEN_SIZE).map(|token| {
            let text = std::str::from_utf8(&token[..TOKEN_SIZE - 1]).expect("a token is digits");
            text.parse().expect("a token is digits")
        });
        self.shown.insert((key, tokens.collect()));
        Ok(Answer::Value(value))
    }

    fn key(&mut self, name: &str) -> Key {
        let next = Key(self.names.len() as u16);
        *self.names.entry(name.to_owned()).or_insert(next)
    }

    /// The final contents are of every key, and read when nothing else was under way.
    fn check_final(&self) -> Result<(), String> {
        let (last, before) = self.operations.split_last().expect("the final line is one");
        let Request::MultiGet(keys) = &last.request else {
            return Err("the final line is no MGET".to_owned());
        };
        if self.names.values().any(|key| !keys.contains(key)) {
            return Err("the final contents lack a key".to_owned());
        }
        let last_end =
            |operation: &Operation| operation.answered.as_ref().map_or(0, |(at, _)| at.0);
        if before.iter().any(|operation| last.arrived <= Some(Instant(last_end(operation)))) {
            return Err("the final contents were read before the end".to_owned());
        }
        Ok(())
    }

    fn slice_by_key(&self) -> Vec<u16> {
        let mut slices = vec![0; self.names.len()];
        for (name, key) in &self.names {
            let per_slice = base::limits::SLOTS / self.slices;
            slices[usize::from(key.0)] = engine::slot_of(name.as_bytes()).0 / per_slice;
        }
        slices
    }

    /// When the effects of an operation were there at the latest: its reply, or the end of the
    /// process it was sent to.
    fn end(&self, operation: usize) -> u64 {
        let answered = self.operations[operation].answered.as_ref();
        let answered = answered.map_or(u64::MAX, |(at, _)| at.0);
        let crash = self.crashes.get(self.phases[operation]).copied();
        answered.min(crash.unwrap_or(u64::MAX))
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is not such a number"))
}

fn one_token(word: &str) -> Result<(u32, Value), String> {
    match Values::default().known(word.as_bytes()) {
        Some(value @ Value::Chain(chain)) if chain.count() == 1 => Ok((chain.last(), value)),
        _ => Err(format!("{word} is no token")),
    }
}

#[cfg(test)]
mod tests;
