//! What clients ask: which commands, on which keys, with which values, in which bytes; and what
//! their replies mean.

use base::Prng;

use crate::history::{Answer, Condition, Key, Level, Request, Value, Values};
use crate::keys::{self, Keys, SMALL, WIDE};
use crate::resp::{Reply, write_command, write_inline};

/// Where a connection stands: every command is meant for this database, at this level.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub database: u16,
    pub level: Level,
}

/// Makes requests. Owner: world.
#[derive(Debug)]
pub struct Workload {
    prng: Prng,
    /// Makes every text unique.
    texts: u64,
    segment_size: u64,
    /// Of 100 commands, about how many write.
    write_share: u64,
    /// Of 100 connections, how many prefer level memory.
    memory_share: u64,
    large_left: u32,
    buffer: Vec<u8>,
}

impl Workload {
    pub fn new(mut prng: Prng, segment_size: u64) -> Self {
        let write_share = [20, 50, 80][prng.index(3)];
        let memory_share = [0, 25, 25, 60][prng.index(4)];
        Self {
            prng,
            texts: 0,
            segment_size,
            write_share,
            memory_share,
            large_left: 3,
            buffer: Vec::new(),
        }
    }

    /// What a new connection says first.
    pub fn greeting(&mut self) -> Vec<Request> {
        let mut greeting = Vec::new();
        if self.prng.chance(20) {
            greeting.push(Request::Hello);
        }
        if self.prng.chance(35) {
            greeting.push(Request::Select(SMALL));
        }
        if self.prng.chance(self.memory_share) {
            greeting.push(Request::Durability(Level::Memory));
        }
        greeting
    }

    /// The next request of a connection; appends its bytes to `out`.
    pub fn next(
        &mut self,
        standing: &mut Standing,
        keys: &Keys,
        values: &mut Values,
        out: &mut Vec<u8>,
    ) -> Request {
        let database = standing.database;
        let request = match self.prng.below(1000) {
            0..3 => Request::FlushAll,
            3..30 => Request::Size,
            30..45 => Request::Select(if self.prng.chance(60) { WIDE } else { SMALL }),
            45..60 => Request::Ping,
            60..70 => Request::Info,
            70..75 => Request::Wrong,
            75..85 if 0 < self.memory_share => {
                Request::Durability(if self.prng.chance(50) { Level::Local } else { Level::Memory })
            }
            85..95 => {
                let value = self.text(values, 200);
                Request::Echo(value)
            }
            _ if self.prng.chance(self.write_share) => self.write(database, values),
            _ => self.read(database),
        };
        self.encode(&request, keys, out);
        match request {
            Request::Select(database) => standing.database = database,
            Request::Durability(level) => standing.level = level,
            _ => {}
        }
        request
    }

    /// Appends a request that was decided elsewhere.
    pub fn say(
        &mut self,
        request: &Request,
        standing: &mut Standing,
        keys: &Keys,
        out: &mut Vec<u8>,
    ) {
        self.encode(request, keys, out);
        match request {
            Request::Select(database) => standing.database = *database,
            Request::Durability(level) => standing.level = *level,
            _ => {}
        }
    }

    fn read(&mut self, database: u16) -> Request {
        let key = keys::draw(database, &mut self.prng);
        if self.prng.chance(80) {
            return Request::Get(key);
        }
        Request::Exists(self.several(database, key))
    }

    fn write(&mut self, database: u16, values: &mut Values) -> Request {
        let key = keys::draw(database, &mut self.prng);
        let counts = keys::is_counter(database, key);
        match self.prng.below(100) {
            0..15 => Request::Delete(self.several(database, key)),
            15..60 if counts => Request::Increment(key),
            15..18 => Request::Increment(key),
            _ => {
                let value = if counts && self.prng.chance(70) {
                    let number = self.prng.below(1000) as i64;
                    self.buffer.clear();
                    self.buffer.extend_from_slice(number.to_string().as_bytes());
                    values.name(&self.buffer)
                } else {
                    let size = self.value_size();
                    self.text(values, size)
                };
                let condition = match self.prng.below(10) {
                    0..6 => Condition::Always,
                    6..8 => Condition::IfAbsent,
                    _ => Condition::IfPresent,
                };
                Request::Set { key, value, condition, get: self.prng.chance(15) }
            }
        }
    }

    fn several(&mut self, database: u16, first: Key) -> Vec<Key> {
        let mut several = vec![first];
        while several.len() < 3 && self.prng.chance(40) {
            several.push(keys::draw(database, &mut self.prng));
        }
        several
    }

    fn value_size(&mut self) -> usize {
        match self.prng.below(1000) {
            0..450 => 0,
            450..750 => self.prng.index(300),
            750..950 => self.prng.index(5000),
            950..996 => self.prng.index(64 * 1024),
            _ if 0 < self.large_left => {
                self.large_left -= 1;
                let whole = self.segment_size as usize;
                if whole < 1024 * 1024 { whole + self.prng.index(whole) } else { whole / 2 }
            }
            _ => self.prng.index(1000),
        }
    }

    /// A text nobody sent before, in `buffer`; now and then the empty one.
    fn text(&mut self, values: &mut Values, size: usize) -> Value {
        self.buffer.clear();
        if self.prng.chance(2) {
            return values.name(&self.buffer);
        }
        self.texts += 1;
        self.buffer.extend_from_slice(format!("text {} ", self.texts).as_bytes());
        // Filled with what depends on the text, binary bytes too, but cheaply.
        let mut at = self.buffer.len();
        while at < size {
            let word = (self.texts ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            self.buffer.extend_from_slice(&word);
            at += word.len();
        }
        values.name(&self.buffer)
    }

    /// Is the last value larger than a segment?
    pub fn last_was_large(&self) -> bool {
        self.segment_size < self.buffer.len() as u64
    }

    fn encode(&mut self, request: &Request, keys: &Keys, out: &mut Vec<u8>) {
        let buffer = std::mem::take(&mut self.buffer);
        let mut words: Vec<&[u8]> = Vec::with_capacity(6);
        let database;
        match request {
            Request::Get(key) => words.extend([b"GET", keys.bytes(*key)]),
            Request::Set { key, condition, get, .. } => {
                words.extend([b"set", keys.bytes(*key), &buffer]);
                match condition {
                    Condition::Always => {}
                    Condition::IfAbsent => words.push(b"NX"),
                    Condition::IfPresent => words.push(b"xx"),
                }
                if *get {
                    words.push(b"GET");
                }
            }
            Request::Delete(several) => {
                words.push(b"DEL");
                words.extend(several.iter().map(|key| keys.bytes(*key)));
            }
            Request::Exists(several) => {
                words.push(b"exists");
                words.extend(several.iter().map(|key| keys.bytes(*key)));
            }
            Request::Increment(key) => words.extend([b"INCR", keys.bytes(*key)]),
            Request::Size => words.push(b"DBSIZE"),
            Request::FlushAll => words.push(b"FLUSHALL"),
            Request::Ping => words.push(b"PING"),
            Request::Echo(_) => words.extend([b"ECHO", &buffer[..]]),
            Request::Select(number) => {
                database = number.to_string();
                words.extend([b"SELECT", database.as_bytes()]);
            }
            Request::Durability(level) => {
                let level: &[u8] = match level {
                    Level::Local => b"local",
                    Level::Memory => b"memory",
                };
                words.extend([b"CLIENT", &b"DURABILITY"[..], level]);
            }
            Request::Info => words.push(b"INFO"),
            Request::Hello => words.extend([&b"HELLO"[..], b"3"]),
            Request::Quit => words.push(b"QUIT"),
            Request::Garbage => {
                out.extend_from_slice(b"*1\r\n:1\r\n");
                self.buffer = buffer;
                return;
            }
            Request::Append { .. }
            | Request::GetDelete(_)
            | Request::MultiGet(_)
            | Request::MultiSet { .. }
            | Request::Rename { .. }
            | Request::Copy { .. }
            | Request::Begin
            | Request::Queue(_)
            | Request::Execute { .. }
            | Request::Discard
            | Request::Watch(_)
            | Request::Unwatch => unreachable!("not drawn"),
            Request::Wrong => words.extend([&b"GET"[..], b"one", b"two"]),
        }
        let plain = |word: &&[u8]| {
            !word.is_empty() && word.len() < 64 && word.iter().all(u8::is_ascii_alphanumeric)
        };
        if words.iter().all(plain) && self.prng.chance(10) {
            write_inline(&words, out);
        } else {
            write_command(&words, out);
        }
        self.buffer = buffer;
    }
}

/// What a reply to `request` says, or why it cannot be one.
pub fn interpret(
    request: &Request,
    reply: &Reply,
    bytes: &[u8],
    values: &Values,
) -> Result<Answer, String> {
    let value = |range: &std::ops::Range<usize>| {
        values.known(&bytes[range.clone()]).map(Answer::Value).ok_or("a value nobody sent")
    };
    if let Reply::Error(range) = reply {
        let text = String::from_utf8_lossy(&bytes[range.clone()]);
        return match request {
            Request::Garbage if text.starts_with("ERR Protocol error") => Ok(Answer::Other),
            Request::Wrong if text.starts_with("ERR wrong number of arguments") => {
                Ok(Answer::Other)
            }
            Request::Increment(_) if text == "ERR value is not an integer or out of range" => {
                Ok(Answer::NotInteger)
            }
            Request::Set { .. }
            | Request::Delete(_)
            | Request::Increment(_)
            | Request::FlushAll
                if text.starts_with("MISCONF ") =>
            {
                Ok(Answer::Refused)
            }
            _ => Err(format!("{request:?} was answered {text:?}")),
        };
    }
    let answer = match (request, reply) {
        (Request::Get(_) | Request::Set { get: true, .. }, Reply::Bulk(range)) => value(range)?,
        (Request::Get(_) | Request::Set { .. }, Reply::Null) => Answer::Nil,
        (Request::Set { get: false, .. } | Request::FlushAll, Reply::Simple(range))
            if &bytes[range.clone()] == b"OK" =>
        {
            Answer::Ok
        }
        (
            Request::Delete(_) | Request::Exists(_) | Request::Increment(_) | Request::Size,
            Reply::Integer(number),
        ) => Answer::Integer(*number),
        (Request::Select(_) | Request::Durability(_) | Request::Quit, Reply::Simple(range))
            if &bytes[range.clone()] == b"OK" =>
        {
            Answer::Other
        }
        (Request::Ping, Reply::Simple(range)) if &bytes[range.clone()] == b"PONG" => Answer::Other,
        (Request::Echo(sent), Reply::Bulk(range)) if value(range)? == Answer::Value(*sent) => {
            Answer::Other
        }
        (Request::Info, Reply::Bulk(_)) | (Request::Hello, Reply::Other) => Answer::Other,
        _ => return Err(format!("{request:?} was answered {reply:?}")),
    };
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_does_not_belong_to_its_request_is_noticed() {
        let mut values = Values::default();
        let known = values.name(b"abc");
        let judge = |request: &Request, bytes: &[u8]| {
            let (reply, size) = crate::resp::parse(bytes).expect("well formed").expect("whole");
            assert_eq!(size, bytes.len());
            interpret(request, &reply, bytes, &values)
        };
        let get = Request::Get(Key(1));
        assert_eq!(judge(&get, b"$3\r\nabc\r\n"), Ok(Answer::Value(known)));
        assert_eq!(judge(&get, b"$-1\r\n"), Ok(Answer::Nil));
        for wrong in [&b"$3\r\nabd\r\n"[..], b":1\r\n", b"+OK\r\n", b"-MISCONF no\r\n"] {
            assert!(judge(&get, wrong).is_err());
        }
        let increment = Request::Increment(Key(1));
        assert_eq!(judge(&increment, b"-MISCONF no\r\n"), Ok(Answer::Refused));
        assert!(judge(&increment, b"-ERR something\r\n").is_err());
        assert!(judge(&Request::Ping, b"+OK\r\n").is_err());
    }
}
