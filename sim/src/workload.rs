//! What clients ask: which commands, on which keys, with which values.
//!
//! In `words` is in which bytes they ask it, in `replies` what is answered.

mod replies;
mod words;

use std::collections::VecDeque;

use base::{Map, Prng};

use crate::history::{Chain, Condition, EMPTY, Key, Level, Request, Value, Values};
use crate::keys::{self, Keys, Kind, LOOSE, MIXED, SMALL, TWIN, WIDE, is_small};

pub use replies::interpret;

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
