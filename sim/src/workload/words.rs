//! In which words a request is sent.

use std::borrow::Cow;

use super::Workload;
use crate::history::{Condition, EMPTY, Key, Level, Request, Value, token_bytes};
use crate::keys::{self, Keys, Kind, SMALL, TWIN};
use crate::resp::{write_command, write_inline};

impl Workload {
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

    pub(super) fn encode(&mut self, request: &Request, keys: &Keys, out: &mut Vec<u8>) {
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
