//! What clients ask: which commands, on which keys, with which values, in which bytes; and what
//! their replies mean.

use std::borrow::Cow;
use std::collections::VecDeque;

use base::{Map, Prng};

use crate::history::{
    Answer, Chain, Condition, EMPTY, Key, Level, Request, TOKEN_SIZE, Value, Values, token_bytes,
};
use crate::keys::{self, Keys, Kind, LOOSE, MIXED, SMALL, TWIN, WIDE, is_small};
use crate::resp::{Reply, write_command, write_inline};

/// Does the engine declare this command?
pub fn is_declared(name: &str) -> bool {
    engine::FAMILIES.iter().any(|family| family.iter().any(|command| command.name == name))
}

/// Where a connection stands: every command is meant for this database, at this level.
#[derive(Clone, Debug)]
pub struct Standing {
    pub database: u16,
    pub level: Level,
    /// Keys under WATCH.
    watched: Vec<Key>,
    /// Between MULTI and EXEC: what was queued.
    queued: Option<Vec<Request>>,
    /// What it will say next.
    script: VecDeque<Request>,
}

impl Standing {
    pub fn new() -> Self {
        Self {
            database: WIDE,
            level: Level::Local,
            watched: Vec::new(),
            queued: None,
            script: VecDeque::new(),
        }
    }

    fn note(&mut self, request: &Request) {
        match request {
            Request::Select(database) => self.database = *database,
            Request::Durability(level) => self.level = *level,
            Request::Watch(keys) => self.watched.extend(keys),
            Request::Unwatch => self.watched.clear(),
            Request::Begin => self.queued = Some(Vec::new()),
            Request::Queue(request) => {
                self.queued.as_mut().expect("MULTI came before").push((**request).clone());
            }
            Request::Discard | Request::Execute { .. } => {
                self.watched.clear();
                self.queued = None;
            }
            _ => {}
        }
    }
}

/// Makes requests. Owner: world.
#[derive(Debug)]
pub struct Workload {
    prng: Prng,
    /// Makes every text unique.
    texts: u64,
    tokens: u32,
    segment_size: u64,
    /// Of 100 commands, about how many write.
    write_share: u64,
    /// Of 100 connections, how many prefer level memory.
    memory_share: u64,
    /// Of 100 commands, how many are over several keys or the first of a transaction.
    many_share: u64,
    large_left: u32,
    appends: bool,
    /// Clients visit the databases of collections.
    collects: bool,
    /// The bytes of texts that were not sent yet.
    texts_unsent: Map<Value, Vec<u8>>,
    last_size: usize,
}

impl Workload {
    pub fn new(mut prng: Prng, segment_size: u64) -> Self {
        let write_share = [20, 50, 80][prng.index(3)];
        let memory_share = [0, 25, 25, 60][prng.index(4)];
        let many_share = [5, 15, 40][prng.index(3)];
        let collects = prng.chance(70);
        Self {
            prng,
            texts: 0,
            tokens: 0,
            segment_size,
            write_share,
            memory_share,
            many_share,
            large_left: 3,
            appends: is_declared("append"),
            collects,
            texts_unsent: Map::default(),
            last_size: 0,
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
        } else if self.collects && self.prng.chance(40) {
            greeting.push(Request::Select(if self.prng.chance(60) { MIXED } else { LOOSE }));
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
        let request = match standing.script.pop_front() {
            Some(request) => request,
            None => self.draw(standing, values),
        };
        self.say(&request, standing, keys, out);
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
        standing.note(request);
    }

    fn draw(&mut self, standing: &mut Standing, values: &mut Values) -> Request {
        let database = standing.database;
        match self.prng.below(1000) {
            0..2 if is_declared("flushall") => Request::FlushAll,
            2..4 if is_declared("flushdb") => Request::FlushDatabase,
            4..8 if is_declared("swapdb") => Request::Swap,
            8..30 if is_declared("dbsize") => Request::Size,
            30..42 => Request::Select(match self.prng.below(10) {
                0..5 => WIDE,
                5..8 => SMALL,
                8..9 if self.collects => MIXED,
                9.. if self.collects => LOOSE,
                _ => WIDE,
            }),
            42..45 => self.visit_twin(standing, values),
            45..60 => Request::Ping,
            60..70 => Request::Info,
            70..73 => Request::Wrong,
            73..75 => Request::Save { waits: self.prng.chance(40) },
            75..85 if 0 < self.memory_share => {
                Request::Durability(if self.prng.chance(50) { Level::Local } else { Level::Memory })
            }
            85..95 => {
                let value = self.text(values, 200);
                Request::Echo(value)
            }
            _ if database == MIXED => self.on_member(values),
            _ if database == LOOSE => self.on_loose(),
            _ if self.prng.chance(self.many_share) => match self.prng.chance(50) {
                true => self.over_many(database, values),
                false => self.transaction(standing, values),
            },
            _ if self.prng.chance(self.write_share) => self.write(database, values),
            _ => self.read(database),
        }
    }

    /// Something on one member of a collection of the mixed database.
    fn on_member(&mut self, values: &mut Values) -> Request {
        let key = keys::draw_member(&mut self.prng);
        let kind = keys::kind(key).expect("it is a member");
        if !self.prng.chance(self.write_share) {
            return match kind {
                Kind::Set => Request::Exists(vec![key]),
                Kind::Hash if self.prng.chance(20) => Request::Exists(vec![key]),
                _ => Request::Get(key),
            };
        }
        let goes = if kind == Kind::List { 8 } else { 35 };
        if self.prng.chance(goes) {
            return Request::Delete(vec![key]);
        }
        let value = match kind {
            Kind::Set => Value::Number(1),
            Kind::Hash => {
                let size = [10, 10, 70, 3000][self.prng.index(4)];
                let size = self.prng.index(size);
                self.text(values, size)
            }
            Kind::Zset => {
                self.texts += 1;
                Value::Number(self.texts as i64)
            }
            Kind::List => {
                self.tokens += 1;
                return Request::Append { key, token: self.tokens };
            }
        };
        let is_always = kind != Kind::Set && self.prng.chance(70);
        let condition = if is_always { Condition::Always } else { Condition::IfAbsent };
        Request::Set { key, value, condition, get: false }
    }

    /// Something on a collection of the loose database: whatever has effects.
    fn on_loose(&mut self) -> Request {
        let prng = &mut self.prng;
        let number = prng.below(8);
        let kind = KINDS_LOOSE[(number % 4) as usize];
        let templates: Vec<&str> =
            LOOSE_COMMANDS.iter().filter(|(of, _)| *of == kind).map(|(_, words)| *words).collect();
        let template = templates[prng.index(templates.len())];
        let words = template.split(' ').map(|word| match word {
            "$key" => format!("loose:{number}"),
            // Another one of the same kind, often in another slice.
            "$other" => format!("loose:{}", (number + 4) % 8),
            "$m" => format!("m{}", prng.below(40)),
            "$n" => prng.below(100).to_string(),
            "$i" => (prng.below(9) as i64 - 4).to_string(),
            "$long" => "long".repeat(30 + prng.index(60)),
            "$seconds" => (100_000 + prng.below(1000)).to_string(),
            word => word.to_owned(),
        });
        Request::Loose(words.map(String::into_bytes).collect())
    }

    /// A look into the database that SWAPDB exchanges with the small one, and back to that.
    fn visit_twin(&mut self, standing: &mut Standing, values: &mut Values) -> Request {
        for _ in 0..1 + self.prng.below(4) {
            let request = match self.prng.below(10) {
                0..4 => self.write(TWIN, values),
                4..6 => self.over_many(TWIN, values),
                6..7 if is_declared("dbsize") => Request::Size,
                _ => self.read(TWIN),
            };
            standing.script.push_back(request);
        }
        standing.script.push_back(Request::Select(SMALL));
        Request::Select(TWIN)
    }

    fn read(&mut self, database: u16) -> Request {
        if database == WIDE && self.prng.chance(5) {
            return Request::Get(keys::draw_chain(&mut self.prng));
        }
        let key = keys::draw(database, &mut self.prng);
        if self.prng.chance(80) {
            return Request::Get(key);
        }
        Request::Exists(self.several(database, key))
    }

    fn write(&mut self, database: u16, values: &mut Values) -> Request {
        if self.appends && database == WIDE && self.prng.chance(8) {
            return self.write_chain();
        }
        let key = keys::draw(database, &mut self.prng);
        let counts = keys::is_counter(database, key);
        match self.prng.below(100) {
            0..15 => Request::Delete(self.several(database, key)),
            15..60 if counts => Request::Increment(key),
            15..18 => Request::Increment(key),
            18..22 if is_declared("getdel") => Request::GetDelete(key),
            _ => {
                let value = self.value(database, key, values);
                let condition = match self.prng.below(10) {
                    0..6 => Condition::Always,
                    6..8 => Condition::IfAbsent,
                    _ => Condition::IfPresent,
                };
                Request::Set { key, value, condition, get: self.prng.chance(15) }
            }
        }
    }

    fn value(&mut self, database: u16, key: Key, values: &mut Values) -> Value {
        if keys::is_counter(database, key) && self.prng.chance(70) {
            return Value::Number(self.prng.below(1000) as i64);
        }
        let size = self.value_size();
        self.text(values, size)
    }

    fn write_chain(&mut self) -> Request {
        let key = keys::draw_chain(&mut self.prng);
        self.tokens += 1;
        let token = self.tokens;
        if self.prng.chance(80) {
            return Request::Append { key, token };
        }
        let value = Value::Chain(Chain::append(None, token));
        Request::Set { key, value, condition: Condition::Always, get: false }
    }

    /// A command over several keys that is one transaction.
    fn over_many(&mut self, database: u16, values: &mut Values) -> Request {
        let source = keys::draw(database, &mut self.prng);
        let target = keys::draw(database, &mut self.prng);
        let request = match self.prng.below(10) {
            0..4 => {
                let mut pairs = Vec::new();
                let if_absent = self.prng.chance(30);
                for _ in 0..2 + self.prng.below(3) {
                    let key = keys::draw(database, &mut self.prng);
                    if pairs.iter().all(|(other, _)| *other != key) {
                        pairs.push((key, self.value(database, key, values)));
                    }
                }
                Request::MultiSet { pairs, if_absent }
            }
            4..6 if is_small(database) => {
                Request::Rename { source, target, if_absent: self.prng.chance(30) }
            }
            6..7 if is_small(database) && source != target => {
                Request::Copy { source, target, replace: self.prng.chance(70) }
            }
            4..6 => Request::Delete(self.several(database, source)),
            _ => {
                let mut keys = self.several(database, source);
                keys.push(target);
                Request::MultiGet(keys)
            }
        };
        let name = match &request {
            Request::MultiSet { if_absent: true, .. } => "msetnx",
            Request::MultiSet { .. } => "mset",
            Request::Rename { if_absent: true, .. } => "renamenx",
            Request::Rename { .. } => "rename",
            Request::Copy { .. } => "copy",
            Request::MultiGet(_) => "mget",
            _ => "del",
        };
        if is_declared(name) {
            return request;
        }
        match self.prng.chance(50) {
            true => Request::Delete(vec![source, target]),
            false => Request::Exists(vec![source, target]),
        }
    }

    /// The first of several requests, up to EXEC; the others are the script.
    fn transaction(&mut self, standing: &mut Standing, values: &mut Values) -> Request {
        let database = standing.database;
        let script = &mut standing.script;
        let mut watched = standing.watched.clone();
        if self.prng.chance(40) {
            let key = keys::draw(database, &mut self.prng);
            let keys = self.several(database, key);
            script.push_back(Request::Watch(keys.clone()));
            watched.extend(&keys);
            let known = keys[self.prng.index(keys.len())];
            script.push_back(Request::Get(known));
            if self.prng.chance(20) {
                // What it knew is forgotten, or a write of its own spoils it.
                let spoils = if self.prng.chance(50) {
                    watched.clear();
                    Request::Unwatch
                } else {
                    self.write(database, values)
                };
                script.push_back(spoils);
            }
        }
        script.push_back(Request::Begin);
        let mut requests = Vec::new();
        let only_reads = self.prng.chance(15);
        for _ in 0..self.prng.below(5) {
            let request = match self.prng.below(10) {
                0..5 if !only_reads => self.write(database, values),
                5..7 if !only_reads => match self.over_many(database, values) {
                    // Without a reply, one key cannot tell whether another was in the way.
                    Request::MultiSet { pairs, .. } if database == WIDE => {
                        Request::MultiSet { pairs, if_absent: false }
                    }
                    request => request,
                },
                _ => self.read(database),
            };
            requests.push(request.clone());
            script.push_back(Request::Queue(Box::new(request)));
        }
        script.push_back(match self.prng.chance(5) {
            true => Request::Discard,
            false => Request::Execute { requests, watched },
        });
        script.pop_front().expect("MULTI is there")
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

    /// A text nobody sent before; now and then the empty one.
    fn text(&mut self, values: &mut Values, size: usize) -> Value {
        if self.prng.chance(2) {
            self.last_size = 0;
            return EMPTY;
        }
        self.texts += 1;
        let mut bytes = format!("text {} ", self.texts).into_bytes();
        // Filled with what depends on the text, binary bytes too, but cheaply.
        let mut at = bytes.len();
        while at < size {
            let word = (self.texts ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            bytes.extend_from_slice(&word);
            at += word.len();
        }
        self.last_size = bytes.len();
        let value = values.name(&bytes);
        self.texts_unsent.insert(value, bytes);
        value
    }

    /// Is the last value larger than a segment?
    pub fn last_was_large(&self) -> bool {
        self.segment_size < self.last_size as u64
    }

    fn bytes_of(&mut self, value: Value) -> Vec<u8> {
        match value {
            EMPTY => Vec::new(),
            Value::Text(_) => self.texts_unsent.remove(&value).expect("a text is sent once"),
            Value::Number(number) => number.to_string().into_bytes(),
            Value::Chain(chain) => {
                assert_eq!(chain.count(), 1, "longer chains are made by APPEND");
                token_bytes(chain.last())
            }
        }
    }

    fn encode(&mut self, request: &Request, keys: &Keys, out: &mut Vec<u8>) {
        if *request == Request::Garbage {
            out.extend_from_slice(b"*1\r\n:1\r\n");
            return;
        }
        let words = self.words(request, keys);
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        let plain = |word: &&[u8]| {
            !word.is_empty() && word.len() < 64 && word.iter().all(u8::is_ascii_alphanumeric)
        };
        if words.iter().all(plain) && self.prng.chance(10) {
            write_inline(&words, out);
        } else {
            write_command(&words, out);
        }
    }

    /// Of a request about a member of a collection.
    fn words_on_member<'a>(
        &mut self,
        request: &Request,
        keys: &'a Keys,
    ) -> Option<Vec<Cow<'a, [u8]>>> {
        let (Request::Get(one) | Request::Set { key: one, .. } | Request::Append { key: one, .. }) =
            request
        else {
            let (Request::Delete(several) | Request::Exists(several)) = request else {
                return None;
            };
            return match several[..] {
                [one] => self.words_on(one, request, keys),
                _ => None,
            };
        };
        self.words_on(*one, request, keys)
    }

    fn words_on<'a>(
        &mut self,
        member: Key,
        request: &Request,
        keys: &'a Keys,
    ) -> Option<Vec<Cow<'a, [u8]>>> {
        let kind = keys::kind(member)?;
        let command = match (request, kind) {
            (Request::Get(_), Kind::Hash) => "HGET",
            (Request::Get(_), Kind::Zset) => "ZSCORE",
            (Request::Get(_), Kind::List) => "LRANGE",
            (Request::Set { .. }, Kind::Set) => "SADD",
            (Request::Set { condition: Condition::IfAbsent, .. }, Kind::Hash) => "HSETNX",
            (Request::Set { .. }, Kind::Hash) => "HSET",
            (Request::Set { .. }, Kind::Zset) => "ZADD",
            (Request::Delete(_), Kind::Set) => "SREM",
            (Request::Delete(_), Kind::Hash) => "HDEL",
            (Request::Delete(_), Kind::Zset) => "ZREM",
            (Request::Delete(_), Kind::List) => "DEL",
            (Request::Append { .. }, Kind::List) => "RPUSH",
            (Request::Exists(_), Kind::Hash) => "HEXISTS",
            (Request::Get(_) | Request::Exists(_), Kind::Set) => "SISMEMBER",
            other => unreachable!("no client asks {other:?}"),
        };
        let word = |word: &'static str| Cow::Borrowed(word.as_bytes());
        let mut words = vec![word(command), Cow::Borrowed(keys.bytes(member))];
        let bytes = Cow::Owned(keys::member_bytes(member));
        match request {
            Request::Set { value, condition, .. } if kind == Kind::Zset => {
                words.extend((*condition == Condition::IfAbsent).then(|| word("NX")));
                words.extend([Cow::Owned(self.bytes_of(*value)), bytes]);
            }
            Request::Set { value, .. } if kind == Kind::Hash => {
                words.extend([bytes, Cow::Owned(self.bytes_of(*value))]);
            }
            Request::Get(_) if kind == Kind::List => words.extend([word("0"), word("-1")]),
            Request::Append { token, .. } => words.push(Cow::Owned(token_bytes(*token))),
            Request::Delete(_) if kind == Kind::List => {}
            _ => words.push(bytes),
        }
        Some(words)
    }

    fn words<'a>(&mut self, request: &Request, keys: &'a Keys) -> Vec<Cow<'a, [u8]>> {
        let name = |name: &'static str| Cow::Borrowed(name.as_bytes());
        let key = |key: &Key| Cow::Borrowed(keys.bytes(*key));
        let on = |command: &'static str, several: &[Key]| {
            std::iter::once(name(command)).chain(several.iter().map(key)).collect()
        };
        if let Some(words) = self.words_on_member(request, keys) {
            return words;
        }
        match request {
            Request::Get(one) => vec![name("GET"), key(one)],
            Request::Set { key: one, value, condition, get } => {
                let mut words = vec![name("set"), key(one), Cow::Owned(self.bytes_of(*value))];
                match condition {
                    Condition::Always => {}
                    Condition::IfAbsent => words.push(name("NX")),
                    Condition::IfPresent => words.push(name("xx")),
                }
                if *get {
                    words.push(name("GET"));
                }
                words
            }
            Request::Delete(several) => on("DEL", several),
            Request::Exists(several) => on("exists", several),
            Request::Increment(one) => vec![name("INCR"), key(one)],
            Request::Append { key: one, token } => {
                vec![name("APPEND"), key(one), Cow::Owned(token_bytes(*token))]
            }
            Request::GetDelete(one) => vec![name("GETDEL"), key(one)],
            Request::MultiGet(several) => on("mget", several),
            Request::MultiSet { pairs, if_absent } => {
                let mut words = vec![name(if *if_absent { "MSETNX" } else { "MSET" })];
                for (one, value) in pairs {
                    words.extend([key(one), Cow::Owned(self.bytes_of(*value))]);
                }
                words
            }
            Request::Rename { source, target, if_absent } => {
                let command = if *if_absent { "RENAMENX" } else { "RENAME" };
                vec![name(command), key(source), key(target)]
            }
            Request::Copy { source, target, replace } => {
                let mut words = vec![name("COPY"), key(source), key(target)];
                words.extend(replace.then(|| name("REPLACE")));
                words
            }
            Request::Loose(words) => words.iter().map(|word| Cow::Owned(word.clone())).collect(),
            Request::Size => vec![name("DBSIZE")],
            Request::FlushAll => vec![name("FLUSHALL")],
            Request::FlushDatabase => vec![name("FLUSHDB")],
            Request::Swap => {
                let number = |database: u16| Cow::Owned(database.to_string().into_bytes());
                let (first, second) =
                    if self.prng.chance(50) { (SMALL, TWIN) } else { (TWIN, SMALL) };
                vec![name("SWAPDB"), number(first), number(second)]
            }
            Request::Begin => vec![name("MULTI")],
            Request::Queue(request) => self.words(request, keys),
            Request::Execute { .. } => vec![name("EXEC")],
            Request::Discard => vec![name("DISCARD")],
            Request::Watch(several) => on("WATCH", several),
            Request::Unwatch => vec![name("UNWATCH")],
            Request::Ping => vec![name("PING")],
            Request::Echo(value) => vec![name("ECHO"), Cow::Owned(self.bytes_of(*value))],
            Request::Select(number) => {
                vec![name("SELECT"), Cow::Owned(number.to_string().into_bytes())]
            }
            Request::Durability(level) => {
                let level = match level {
                    Level::Local => "local",
                    Level::Memory => "memory",
                };
                vec![name("CLIENT"), name("DURABILITY"), name(level)]
            }
            Request::Info => vec![name("INFO")],
            Request::Save { waits } => vec![name(if *waits { "SAVE" } else { "BGSAVE" })],
            Request::Hello => vec![name("HELLO"), name("3")],
            Request::Quit => vec![name("QUIT")],
            Request::Wrong => vec![name("GET"), name("one"), name("two")],
            Request::Garbage => unreachable!("it has no words"),
        }
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
    if let Some(answer) = interpret_on_member(request, reply, bytes, values) {
        return answer;
    }
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
            Request::Rename { .. } if text == "ERR no such key" => Ok(Answer::NoSuchKey),
            Request::Execute { .. } if text.starts_with("EXECABORT ") => Ok(Answer::Refused),
            Request::Queue(_) | Request::Execute { .. } if text.starts_with("MISCONF ") => {
                Ok(Answer::Refused)
            }
            Request::Save { .. } if text == "ERR Background save already in progress" => {
                Ok(Answer::Other)
            }
            Request::Save { waits: true } if text.starts_with("ERR a snapshot could not be") => {
                Ok(Answer::Other)
            }
            Request::Loose(_) if LOOSE_ERRORS.contains(&&*text) => Ok(Answer::Other),
            _ if request.writes() && text.starts_with("MISCONF ") => Ok(Answer::Refused),
            _ => Err(format!("{request:?} was answered {text:?}")),
        };
    }
    let answer = match (request, reply) {
        (
            Request::Get(_) | Request::GetDelete(_) | Request::Set { get: true, .. },
            Reply::Bulk(range),
        ) => value(range)?,
        (Request::Get(_) | Request::GetDelete(_) | Request::Set { .. }, Reply::Null) => Answer::Nil,
        (
            Request::Set { get: false, .. }
            | Request::FlushAll
            | Request::FlushDatabase
            | Request::Swap
            | Request::Save { waits: true },
            Reply::Simple(range),
        ) if &bytes[range.clone()] == b"OK" => Answer::Ok,
        (
            Request::Delete(_)
            | Request::Exists(_)
            | Request::Increment(_)
            | Request::Append { .. }
            | Request::MultiSet { if_absent: true, .. }
            | Request::Rename { if_absent: true, .. }
            | Request::Copy { .. }
            | Request::Size,
            Reply::Integer(number),
        ) => Answer::Integer(*number),
        (
            Request::MultiSet { if_absent: false, .. } | Request::Rename { if_absent: false, .. },
            Reply::Simple(range),
        ) if &bytes[range.clone()] == b"OK" => Answer::Ok,
        (
            Request::Select(_)
            | Request::Durability(_)
            | Request::Quit
            | Request::Begin
            | Request::Discard
            | Request::Watch(_)
            | Request::Unwatch,
            Reply::Simple(range),
        ) if &bytes[range.clone()] == b"OK" => Answer::Other,
        (Request::Save { waits: false }, Reply::Simple(range))
            if &bytes[range.clone()] == b"Background saving started" =>
        {
            Answer::Other
        }
        (Request::Queue(_), Reply::Simple(range)) if &bytes[range.clone()] == b"QUEUED" => {
            Answer::Other
        }
        (Request::Execute { .. }, Reply::Null) => Answer::Aborted,
        (Request::Execute { requests, .. }, Reply::Array(replies))
            if replies.len() == requests.len() =>
        {
            let answers = requests.iter().zip(replies);
            let answers = answers.map(|(one, reply)| interpret(one, reply, bytes, values));
            Answer::Many(answers.collect::<Result<_, _>>()?)
        }
        (Request::MultiGet(keys), Reply::Array(replies)) if replies.len() == keys.len() => {
            let answers = keys.iter().zip(replies);
            let answers =
                answers.map(|(key, reply)| interpret(&Request::Get(*key), reply, bytes, values));
            Answer::Many(answers.collect::<Result<_, _>>()?)
        }
        (Request::Loose(_), _) => Answer::Other,
        (Request::Ping, Reply::Simple(range)) if &bytes[range.clone()] == b"PONG" => Answer::Other,
        (Request::Echo(sent), Reply::Bulk(range)) if value(range)? == Answer::Value(*sent) => {
            Answer::Other
        }
        (Request::Info, Reply::Bulk(_)) | (Request::Hello, Reply::Other) => Answer::Other,
        _ => return Err(format!("{request:?} was answered {reply:?}")),
    };
    Ok(answer)
}

/// What a reply about a member of a collection says, in the words of a key that holds a string.
fn interpret_on_member(
    request: &Request,
    reply: &Reply,
    bytes: &[u8],
    values: &Values,
) -> Option<Result<Answer, String>> {
    let member = match request {
        Request::Get(one) | Request::Set { key: one, .. } | Request::Append { key: one, .. } => {
            *one
        }
        Request::Delete(several) | Request::Exists(several) => *several.first()?,
        _ => return None,
    };
    let kind = keys::kind(member)?;
    let answer = match (request, reply) {
        (_, Reply::Error(_)) => return None,
        (Request::Set { condition: Condition::Always, .. }, Reply::Integer(0 | 1))
        | (Request::Set { .. }, Reply::Integer(1)) => Answer::Ok,
        (Request::Set { .. }, Reply::Integer(0)) => Answer::Nil,
        (Request::Append { .. }, Reply::Integer(count)) => {
            Answer::Integer(count * TOKEN_SIZE as i64)
        }
        (Request::Get(_), Reply::Null) => Answer::Nil,
        (Request::Get(_), Reply::Array(elements)) if kind == Kind::List => {
            let mut chain = Vec::new();
            for element in elements {
                let Reply::Bulk(range) = element else {
                    return Some(Err(format!("{request:?} was answered {reply:?}")));
                };
                chain.extend_from_slice(&bytes[range.clone()]);
            }
            match (elements.is_empty(), values.known(&chain)) {
                (true, _) => Answer::Nil,
                (false, Some(value)) => Answer::Value(value),
                (false, None) => return Some(Err("a list that nobody made".to_owned())),
            }
        }
        _ => return None,
    };
    Some(Ok(answer))
}

/// Kinds of the loose database's keys, in turn.
const KINDS_LOOSE: [Kind; 4] = [Kind::Set, Kind::Hash, Kind::Zset, Kind::List];

/// What is done to them.
const LOOSE_COMMANDS: &[(Kind, &str)] = &[
    (Kind::Set, "SADD $key $m $m $m"),
    (Kind::Set, "SADD $key $n $n"),
    (Kind::Set, "SADD $key $long"),
    (Kind::Set, "SREM $key $m $m"),
    (Kind::Set, "SMOVE $key $other $m"),
    (Kind::Set, "SUNIONSTORE $other $key $other"),
    (Kind::Set, "SDIFFSTORE $key $other $key"),
    (Kind::Set, "RENAME $key $other"),
    (Kind::Set, "COPY $key $other REPLACE"),
    (Kind::Set, "DEL $key"),
    (Kind::Set, "EXPIRE $key $seconds"),
    (Kind::Hash, "HSET $key $m $n $m $long"),
    (Kind::Hash, "HSET $key $m $m $m $m $m $m"),
    (Kind::Hash, "HSETNX $key $m $n"),
    (Kind::Hash, "HDEL $key $m $m"),
    (Kind::Hash, "HINCRBY $key counter $n"),
    (Kind::Hash, "HEXPIRE $key $seconds FIELDS 2 $m $m"),
    (Kind::Hash, "HPERSIST $key FIELDS 1 $m"),
    (Kind::Hash, "RENAME $key $other"),
    (Kind::Hash, "COPY $key $other REPLACE"),
    (Kind::Hash, "DEL $key"),
    (Kind::Hash, "PERSIST $key"),
    (Kind::Zset, "ZADD $key $n $m $n $m $i $m"),
    (Kind::Zset, "ZADD $key $n $long"),
    (Kind::Zset, "ZINCRBY $key $n $m"),
    (Kind::Zset, "ZREM $key $m $m"),
    (Kind::Zset, "ZPOPMIN $key 2"),
    (Kind::Zset, "ZREMRANGEBYRANK $key 1 3"),
    (Kind::Zset, "ZREMRANGEBYSCORE $key 10 20"),
    (Kind::Zset, "ZUNIONSTORE $other 2 $key $other"),
    (Kind::Zset, "RENAME $key $other"),
    (Kind::Zset, "DEL $key"),
    (Kind::List, "RPUSH $key $m $m $n"),
    (Kind::List, "LPUSH $key $m $long"),
    (Kind::List, "RPUSH $key $long $long $long"),
    (Kind::List, "LPOP $key"),
    (Kind::List, "RPOP $key 2"),
    (Kind::List, "LSET $key $i $m"),
    (Kind::List, "LSET $key $i $long"),
    (Kind::List, "LINSERT $key BEFORE $m $m"),
    (Kind::List, "LREM $key $i $m"),
    (Kind::List, "LTRIM $key $i -2"),
    (Kind::List, "LMOVE $key $other LEFT RIGHT"),
    (Kind::List, "RENAME $key $other"),
    (Kind::List, "DEL $key"),
];

/// What they may be answered when it does not fit.
const LOOSE_ERRORS: &[&str] = &["ERR no such key", "ERR index out of range"];

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
