//! What a transaction read of others and what it wrote, as far as its replies tell.
//!
//! A transaction is one command, or what EXEC executed. What it read of itself is checked here
//! and goes no further.

use crate::history::{Answer, Chain, Condition, Key, Level, Operation, Request, TOKEN_SIZE, Value};

/// A key of a database.
pub type Item = (u16, Key);

/// One operation, as what it needs and what it leaves.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its place in the history.
    pub operation: usize,
    pub lane: u32,
    pub level: Level,
    /// It waits for everything before it in its lane, and everything behind waits for it.
    pub is_barrier: bool,
    pub arrived: u64,
    /// `u64::MAX` if there was no reply.
    pub answered: u64,
    pub reads: Vec<(Item, Seen)>,
    pub writes: Vec<Write>,
}

/// What was seen of an item, before the transaction wrote it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Exactly(Option<Value>),
    /// Something, whatever it was.
    Present,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    pub item: Item,
    pub made: Made,
    /// If the transaction was executed, so was this write.
    pub is_certain: bool,
}

/// What a write left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    Exactly(Option<Value>),
    /// A chain that ends with this token.
    Token(u32),
    /// Some number.
    Number,
}

/// What a transaction knows of an item that it touched.
#[derive(Clone, Copy, Debug)]
enum Local {
    Known(Option<Value>),
    EndsWith(u32),
    Present,
    Unknown,
}

impl Transaction {
    /// None if the operation is not about keys, or certainly changed and told nothing. `seen`: what
    /// the client knew of keys under WATCH.
    ///
    /// # Errors
    ///
    /// The replies contradict each other.
    pub fn of(
        operation: &Operation,
        number: usize,
        seen: &[(Key, Answer)],
    ) -> Result<Option<Self>, String> {
        let Some(arrived) = operation.arrived.filter(|_| operation.may_count()) else {
            return Ok(None);
        };
        let answer = operation.answered.as_ref().map(|(_, answer)| answer);
        if answer == Some(&Answer::Aborted) {
            return Ok(None);
        }
        let mut reader = Reader { database: operation.database, ..Reader::default() };
        for (key, answer) in seen {
            reader.apply(&Request::Get(*key), Some(answer))?;
        }
        let mut is_barrier = false;
        match (&operation.request, answer) {
            (Request::Execute { requests, .. }, answer) => {
                is_barrier = true;
                reader.is_in_exec = true;
                let answers = match answer {
                    Some(Answer::Many(answers)) => answers.as_slice(),
                    _ => &[],
                };
                for (at, request) in requests.iter().enumerate() {
                    reader.apply(request, answers.get(at))?;
                }
            }
            (request, answer) => reader.apply(request, answer)?,
        }
        let Reader { reads, writes, .. } = reader;
        if reads.is_empty() && writes.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            operation: number,
            lane: operation.connection,
            level: operation.level,
            is_barrier,
            arrived: arrived.0,
            answered: operation.answered.as_ref().map_or(u64::MAX, |(at, _)| at.0),
            reads,
            writes,
        }))
    }
}

#[derive(Debug, Default)]
struct Reader {
    database: u16,
    is_in_exec: bool,
    reads: Vec<(Item, Seen)>,
    writes: Vec<Write>,
    local: Vec<(Key, Local)>,
}

impl Reader {
    fn local(&self, key: Key) -> Option<Local> {
        self.local.iter().find(|(touched, _)| *touched == key).map(|(_, local)| *local)
    }

    fn keep(&mut self, key: Key, local: Local) {
        match self.local.iter_mut().find(|(touched, _)| *touched == key) {
            Some((_, kept)) => *kept = local,
            None => self.local.push((key, local)),
        }
    }

    fn see(&mut self, key: Key, seen: Option<Value>) -> Result<(), String> {
        let agrees = match self.local(key) {
            None => {
                self.reads.push(((self.database, key), Seen::Exactly(seen)));
                true
            }
            Some(Local::Known(known)) => known == seen,
            Some(Local::EndsWith(token)) => {
                matches!(seen, Some(Value::Chain(chain)) if chain.last() == token)
            }
            Some(Local::Present) => seen.is_some(),
            Some(Local::Unknown) => true,
        };
        self.keep(key, Local::Known(seen));
        let local = self.local(key);
        agrees.then_some(()).ok_or_else(|| format!("{key:?} shows {seen:?}, not {local:?}"))
    }

    fn see_present(&mut self, key: Key) -> Result<(), String> {
        match self.local(key) {
            None => {
                self.reads.push(((self.database, key), Seen::Present));
                self.keep(key, Local::Present);
            }
            Some(Local::Known(None)) => return Err(format!("{key:?} is there though deleted")),
            Some(Local::Unknown) => self.keep(key, Local::Present),
            Some(_) => {}
        }
        Ok(())
    }

    fn see_answer(&mut self, key: Key, answer: &Answer) -> Result<(), String> {
        match answer {
            Answer::Nil => self.see(key, None),
            Answer::Value(value) => self.see(key, Some(*value)),
            _ => Ok(()),
        }
    }

    fn write(&mut self, key: Key, made: Made, is_certain: bool) {
        self.writes.push(Write { item: (self.database, key), made, is_certain });
        let local = match made {
            _ if !is_certain && made != Made::Exactly(None) => Local::Unknown,
            Made::Exactly(value) => Local::Known(value),
            Made::Token(token) => Local::EndsWith(token),
            Made::Number => Local::Present,
        };
        self.keep(key, local);
    }

    fn apply(&mut self, request: &Request, answer: Option<&Answer>) -> Result<(), String> {
        match (request, answer) {
            (Request::Get(key), Some(answer)) => self.see_answer(*key, answer)?,
            (Request::Set { key, value, condition, get }, answer) => {
                self.set(*key, *value, *condition, *get, answer)?;
            }
            (Request::Delete(keys), answer) => self.delete(keys, answer)?,
            (Request::Exists(keys), Some(Answer::Integer(count))) => {
                for key in keys {
                    match *count {
                        0 => self.see(*key, None)?,
                        count if count == keys.len() as i64 => self.see_present(*key)?,
                        _ => {}
                    }
                }
            }
            (Request::Increment(key), Some(Answer::Integer(number))) => {
                if 1 < *number {
                    self.see(*key, Some(Value::Number(number - 1)))?;
                }
                self.write(*key, Made::Exactly(Some(Value::Number(*number))), true);
            }
            (Request::Increment(key), Some(Answer::NotInteger)) => self.see_present(*key)?,
            (Request::Increment(key), None) => self.write(*key, Made::Number, false),
            (Request::Append { key, token }, answer) => self.append(*key, *token, answer)?,
            (Request::GetDelete(key), Some(answer)) => {
                self.see_answer(*key, answer)?;
                if *answer != Answer::Nil {
                    self.write(*key, Made::Exactly(None), true);
                }
            }
            (Request::GetDelete(key), None) => self.write(*key, Made::Exactly(None), false),
            (Request::MultiGet(keys), Some(Answer::Many(answers))) => {
                for (key, answer) in keys.iter().zip(answers) {
                    self.see_answer(*key, answer)?;
                }
            }
            (Request::MultiSet { pairs, if_absent }, answer) => {
                if *if_absent && answer == Some(&Answer::Integer(0)) {
                    return Ok(());
                }
                if *if_absent && answer.is_some() {
                    for (key, _) in pairs {
                        self.see(*key, None)?;
                    }
                }
                // What is alone in its transaction is all there or not at all.
                let is_certain = !*if_absent || answer.is_some() || !self.is_in_exec;
                for (key, value) in pairs {
                    self.write(*key, Made::Exactly(Some(*value)), is_certain);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn set(
        &mut self,
        key: Key,
        value: Value,
        condition: Condition,
        get: bool,
        answer: Option<&Answer>,
    ) -> Result<(), String> {
        let made = Made::Exactly(Some(value));
        let Some(answer) = answer else {
            self.write(key, made, condition == Condition::Always);
            return Ok(());
        };
        let was_there = match (condition, get) {
            (_, true) => Some(*answer != Answer::Nil),
            (Condition::Always, false) => None,
            (Condition::IfAbsent, false) => Some(*answer == Answer::Nil),
            (Condition::IfPresent, false) => Some(*answer == Answer::Ok),
        };
        match was_there {
            Some(_) if get => self.see_answer(key, answer)?,
            Some(true) => self.see_present(key)?,
            Some(false) => self.see(key, None)?,
            None => {}
        }
        let sets = match condition {
            Condition::Always => true,
            Condition::IfAbsent => was_there == Some(false),
            Condition::IfPresent => was_there == Some(true),
        };
        if sets {
            self.write(key, made, true);
        }
        Ok(())
    }

    fn delete(&mut self, keys: &[Key], answer: Option<&Answer>) -> Result<(), String> {
        let mut distinct = keys.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        for key in &distinct {
            match answer {
                Some(Answer::Integer(0)) => self.see(*key, None)?,
                Some(Answer::Integer(count)) if *count == distinct.len() as i64 => {
                    self.see_present(*key)?;
                    self.write(*key, Made::Exactly(None), true);
                }
                _ => self.write(*key, Made::Exactly(None), false),
            }
        }
        Ok(())
    }

    fn append(&mut self, key: Key, token: u32, answer: Option<&Answer>) -> Result<(), String> {
        let known = match self.local(key) {
            Some(Local::Known(None)) => Some(None),
            Some(Local::Known(Some(Value::Chain(chain)))) => Some(Some(chain)),
            _ => None,
        };
        if let Some(Answer::Integer(size)) = answer {
            let count = *size as usize / TOKEN_SIZE;
            if let Some(before) = known
                && before.map_or(0, Chain::count) as usize + 1 != count
            {
                return Err(format!("{key:?} has {count} tokens after {before:?} and one more"));
            }
            if count == 1 {
                self.see(key, None)?;
            }
        }
        match known {
            Some(before) => {
                let made = Value::Chain(Chain::append(before, token));
                self.write(key, Made::Exactly(Some(made)), true);
            }
            None => self.write(key, Made::Token(token), true),
        }
        Ok(())
    }
}
