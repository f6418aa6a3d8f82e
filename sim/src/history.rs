//! What clients asked, when it reached the node, and what left the node in answer.
//!
//! Times are positions in one order of all events of the world, not clocks. A request *arrives*
//! when its last byte is handed to the node; before, it cannot have been executed. It is
//! *answered* when the node puts out the bytes of its reply; after, it must have been executed.
//! Both are tighter than what the client saw, and as true.

use std::hash::BuildHasher;

use base::Map;

/// A place in the order of all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

/// A value as the checkers see it: equal iff the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Bytes that are the decimal form of a number.
    Number(i64),
    /// Other bytes, by the order in which they were first met.
    Text(u32),
    /// What APPEND made, token by token.
    Chain(Chain),
}

/// A string of tokens: its last token, how many there are, and a hash of all in their order. Each
/// token is sent once, so a chain tells who made it and on top of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain(u64);

/// The bytes of a token, the last of which is its mark.
pub const TOKEN_SIZE: usize = 8;
const TOKEN_MARK: u8 = b';';

const LAST_BITS: u32 = 24;
const COUNT_BITS: u32 = 12;

impl Chain {
    /// The chain `before`, or nothing, with one token more.
    pub fn append(before: Option<Self>, token: u32) -> Self {
        assert!(token < 1 << LAST_BITS);
        let count = before.map_or(0, Self::count) + 1;
        assert!(count < 1 << COUNT_BITS, "nobody appends to one key so often");
        let mixed = before.map_or(0, |chain| chain.0) ^ (u64::from(token) << 20);
        let mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let hash = mixed >> (LAST_BITS + COUNT_BITS);
        Self((hash << COUNT_BITS | u64::from(count)) << LAST_BITS | u64::from(token))
    }

    pub fn last(self) -> u32 {
        (self.0 & ((1 << LAST_BITS) - 1)) as u32
    }

    pub fn count(self) -> u32 {
        (self.0 >> LAST_BITS & ((1 << COUNT_BITS) - 1)) as u32
    }

    /// Reads a chain, if these bytes are one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(TOKEN_SIZE) {
            return None;
        }
        bytes.chunks_exact(TOKEN_SIZE).try_fold(None, |chain, token| {
            let (mark, digits) = token.split_last().expect("a token has a size");
            let digits = std::str::from_utf8(digits).ok()?;
            let plain = *mark == TOKEN_MARK && digits.bytes().all(|digit| digit.is_ascii_digit());
            plain.then(|| Self::append(chain, digits.parse().expect("seven digits"))).map(Some)
        })?
    }
}

/// The bytes of a token.
pub fn token_bytes(token: u32) -> Vec<u8> {
    assert!(token < 10_000_000, "a token has seven digits");
    format!("{token:07}{}", char::from(TOKEN_MARK)).into_bytes()
}

/// Which of a database's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u16);

/// When an acknowledgement is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    Local,
    Memory,
}

/// When SET sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Get(Key),
    Set {
        key: Key,
        value: Value,
        condition: Condition,
        get: bool,
    },
    Delete(Vec<Key>),
    Exists(Vec<Key>),
    Increment(Key),
    Append {
        key: Key,
        token: u32,
    },
    GetDelete(Key),
    MultiGet(Vec<Key>),
    /// MSET, or MSETNX.
    MultiSet {
        pairs: Vec<(Key, Value)>,
        if_absent: bool,
    },
    Rename {
        source: Key,
        target: Key,
        if_absent: bool,
    },
    Copy {
        source: Key,
        target: Key,
        replace: bool,
    },
    /// Something on collections, in these words, of which only the effects are checked.
    Loose(Vec<Vec<u8>>),
    Size,
    FlushAll,
    /// FLUSHDB.
    FlushDatabase,
    /// SWAPDB of the two small databases.
    Swap,
    /// MULTI.
    Begin,
    /// A command between MULTI and EXEC.
    Queue(Box<Self>),
    /// EXEC of what was queued.
    Execute {
        requests: Vec<Self>,
        /// Keys under WATCH.
        watched: Vec<Key>,
    },
    Discard,
    Watch(Vec<Key>),
    Unwatch,
    /// Commands about the connection; what they answer is checked when it arrives.
    Ping,
    Echo(Value),
    Select(u16),
    Durability(Level),
    Info,
    /// SAVE, or BGSAVE.
    Save {
        waits: bool,
    },
    /// HELLO 3: replies change their form from here on.
    Hello,
    Quit,
    /// Bytes that are no request: an error, and the end of the connection.
    Garbage,
    /// A command that does not exist, or has too few arguments: an error, nothing else.
    Wrong,
}

impl Request {
    /// Whether it may change a key.
    pub fn writes(&self) -> bool {
        match self {
            Self::Set { .. }
            | Self::Delete(_)
            | Self::Increment(_)
            | Self::Append { .. }
            | Self::GetDelete(_)
            | Self::MultiSet { .. }
            | Self::Rename { .. }
            | Self::Copy { .. }
            | Self::Loose(_)
            | Self::FlushAll
            | Self::FlushDatabase
            | Self::Swap => true,
            Self::Execute { requests, .. } => requests.iter().any(Self::writes),
            _ => false,
        }
    }

    /// Is it on whole databases, whatever keys they hold, and changes them?
    pub fn is_wholesale(&self) -> bool {
        matches!(self, Self::FlushAll | Self::FlushDatabase | Self::Swap)
    }
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Ok,
    Nil,
    Value(Value),
    Integer(i64),
    /// INCR of something else.
    NotInteger,
    /// RENAME of nothing.
    NoSuchKey,
    /// Of MGET, and of EXEC.
    Many(Vec<Self>),
    /// EXEC, of which nothing was executed because a watched key had changed.
    Aborted,
    /// The server said that it did not execute the command.
    Refused,
    /// Any reply to a request that is not about keys.
    Other,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Operation {
    pub connection: u32,
    pub database: u16,
    pub level: Level,
    pub request: Request,
    pub arrived: Option<Instant>,
    pub answered: Option<(Instant, Answer)>,
    /// When it arrived and when it was answered, by the node's clock.
    pub arrived_us: u64,
    pub answered_us: u64,
}

impl Operation {
    /// Whether it may have been executed.
    pub fn may_count(&self) -> bool {
        self.arrived.is_some() && !matches!(self.answered, Some((_, Answer::Refused)))
    }

    /// The reply says that the value of this SET was set.
    pub fn says_set(&self) -> Option<Value> {
        let Request::Set { value, condition, get, .. } = &self.request else { return None };
        let (_, answer) = self.answered.as_ref()?;
        let set = match (condition, get) {
            (_, false) => *answer == Answer::Ok,
            (Condition::Always, true) => matches!(answer, Answer::Nil | Answer::Value(_)),
            (Condition::IfAbsent, true) => *answer == Answer::Nil,
            (Condition::IfPresent, true) => matches!(answer, Answer::Value(_)),
        };
        set.then_some(*value)
    }
}

/// Names values, so that checkers compare numbers.
#[derive(Debug)]
pub struct Values {
    texts: Map<u64, u32>,
    count: u32,
}

/// The one text that is not unique.
pub const EMPTY: Value = Value::Text(0);

impl Default for Values {
    fn default() -> Self {
        let mut values = Self { texts: Map::default(), count: 0 };
        assert_eq!(values.name(b""), EMPTY);
        values
    }
}

impl Values {
    /// The value of a byte string that a client makes.
    pub fn name(&mut self, bytes: &[u8]) -> Value {
        if let Some(number) = canonical_number(bytes) {
            return Value::Number(number);
        }
        if let Some(chain) = Chain::parse(bytes) {
            return Value::Chain(chain);
        }
        let hash = self.texts.hasher().hash_one(bytes);
        let next = self.count;
        let text = *self.texts.entry(hash).or_insert(next);
        self.count += u32::from(text == next);
        Value::Text(text)
    }

    /// The value of a byte string that the server gave back: `None` if nobody ever made it.
    pub fn known(&self, bytes: &[u8]) -> Option<Value> {
        if let Some(number) = canonical_number(bytes) {
            return Some(Value::Number(number));
        }
        if let Some(chain) = Chain::parse(bytes) {
            return Some(Value::Chain(chain));
        }
        self.texts.get(&self.texts.hasher().hash_one(bytes)).map(|text| Value::Text(*text))
    }
}

/// The number whose decimal form these bytes are, as INCR reads it.
fn canonical_number(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 20 {
        return None;
    }
    let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_equal_exactly_when_their_bytes_are() {
        let mut values = Values::default();
        let a = values.name(b"a");
        assert_ne!(a, values.name(b"b"));
        assert_eq!(a, values.name(b"a"));
        assert_eq!(values.known(b"a"), Some(a));
        assert_eq!(values.known(b"c"), None);
        assert_eq!(values.name(b"-12"), Value::Number(-12));
        assert!(matches!(values.name(b"012"), Value::Text(_)));
        assert!(matches!(values.name(b"+1"), Value::Text(_)));
        assert_eq!(values.name(b""), EMPTY);
    }

    #[test]
    fn a_chain_is_told_from_its_bytes_as_from_its_making() {
        let made = [7, 9_999_999, 3]
            .into_iter()
            .fold(None, |chain, token| Some(Chain::append(chain, token)));
        let bytes = [token_bytes(7), token_bytes(9_999_999), token_bytes(3)].concat();
        assert_eq!(Values::default().known(&bytes), made.map(Value::Chain));
        assert_eq!(made.map(Chain::count), Some(3));
        let other = [token_bytes(9_999_999), token_bytes(7), token_bytes(3)].concat();
        assert_ne!(Values::default().known(&other), made.map(Value::Chain));
        assert_eq!(Values::default().known(&bytes[..12]), None);
    }
}
