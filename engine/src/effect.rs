//! The only ways a keyspace changes, and their bytes.
//!
//! An effect is absolute and deterministic: it holds the outcome, not the command, so replaying
//! it needs no clock, no chance and no condition. Its bytes are part of the log's entries and
//! change only with the batch's format version:
//!
//! ```text
//! op  meaning             fields, numbers as varints, times as 8 bytes little-endian
//!  1  put string          db, key size, key, value size, value
//!  2  delete              db, key size, key
//!  3  flush database      db
//!  4  flush all
//!  5  put with a time     db, key size, key, value size, value, time
//!  6  set the time        db, key size, key, time
//!  7  clear the time      db, key size, key
//!  8  append              db, key size, key, suffix size, suffix
//!  9  set range           db, key size, key, offset, size, bytes
//! 10  swap databases      first db, second db
//! 11  push left           db, key size, key, strings
//! 12  push right          db, key size, key, strings
//! 13  pop left            db, key size, key, count
//! 14  pop right           db, key size, key, count
//! 15  set element         db, key size, key, index, element size, element
//! 16  insert element      db, key size, key, index, element size, element
//! 17  remove elements     db, key size, key, strings: indexes of 4 bytes, rising
//! 18  add members         db, key size, key, strings
//! 19  remove members      db, key size, key, strings
//! 20  set fields          db, key size, key, strings: field, value, ..
//! 21  set fields, a time  db, key size, key, strings: field, value, .., time
//! 22  remove fields       db, key size, key, strings
//! 23  set fields' time    db, key size, key, strings, time
//! 24  clear fields' time  db, key size, key, strings
//! 25  add with scores     db, key size, key, strings: score of 8 bytes, member, ..
//! 26  remove scored       db, key size, key, strings
//! 27  remove by rank      db, key size, key, rank, count
//! 28  put value           db, key size, key, payload size, payload
//! 29  put value, a time   db, key size, key, payload size, payload, time
//! 30  rename              db, key size, key, new db, new key size, new key
//! ```
//!
//! Strings are their count, then each with its size. A payload is a value as in RDB files: its
//! type, then what that says. A score is the bits of a double; indexes and ranks count from zero.
//! A value that loses its last part goes. A time is when a key expires: milliseconds since 1970.

use base::limits::{DATABASES, ENTRY_SIZE_MAX, STRING_SIZE_MAX};

use crate::varint;

mod elements;
#[cfg(test)]
pub(crate) mod tests;

pub use elements::{Elements, ElementsBuf};

/// One of the two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// One change of a keyspace, borrowing its bytes from a request or from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The key holds this string and expires then or never, whatever was there. It is not `raw`.
    PutString { db: u16, key: &'a [u8], value: &'a [u8], expire_ms: Option<u64> },
    /// The key, which is there, expires then or never.
    SetExpire { db: u16, key: &'a [u8], expire_ms: Option<u64> },
    /// The string of the key, which is there, goes on with `suffix`. It becomes `raw`.
    Append { db: u16, key: &'a [u8], suffix: &'a [u8] },
    /// The string has `bytes` from `offset` on, zeros before them where it was shorter; an absent
    /// key was an empty string. It becomes `raw`.
    SetRange { db: u16, key: &'a [u8], offset: u32, bytes: &'a [u8] },
    /// The key, which is there, goes.
    Delete { db: u16, key: &'a [u8] },
    /// Every key of one database goes, if there is any.
    FlushDatabase { db: u16 },
    /// Every key of every database goes, if there is any.
    FlushAll,
    /// Each of two databases holds what the other held.
    SwapDatabases { first: u16, second: u16 },
    /// Elements come to an end of a list, one after the other; an absent key was an empty list.
    ListPush { db: u16, key: &'a [u8], end: End, elements: Elements<'a> },
    /// So many elements, which are there, leave an end of a list.
    ListPop { db: u16, key: &'a [u8], end: End, count: u32 },
    /// The element at an index, counted from the left, is replaced.
    ListSet { db: u16, key: &'a [u8], index: u32, element: &'a [u8] },
    /// A new element gets an index, counted from the left; those from there on move.
    ListInsert { db: u16, key: &'a [u8], index: u32, element: &'a [u8] },
    /// The elements at these indexes go: each 4 bytes little-endian, rising.
    ListRemove { db: u16, key: &'a [u8], indexes: Elements<'a> },
    /// Members, not there before and all different, come to a set; an absent key was an empty one.
    SetAdd { db: u16, key: &'a [u8], members: Elements<'a> },
    /// Members, which are there and all different, leave a set.
    SetRemove { db: u16, key: &'a [u8], members: Elements<'a> },
    /// Fields, each with its value, there before or not, expire then or never; an absent key was
    /// an empty hash. The last of equal fields counts.
    HashSet { db: u16, key: &'a [u8], pairs: Elements<'a>, expire_ms: Option<u64> },
    /// Fields, which are there and all different, leave a hash.
    HashRemove { db: u16, key: &'a [u8], fields: Elements<'a> },
    /// Fields, which are there, expire then or never.
    HashExpire { db: u16, key: &'a [u8], fields: Elements<'a>, expire_ms: Option<u64> },
    /// Members, there before or not, have these scores: 8 bytes, the bits of a double
    /// little-endian, in front of each; an absent key was an empty sorted set. The last of equal
    /// members counts.
    ZsetAdd { db: u16, key: &'a [u8], pairs: Elements<'a> },
    /// Members, which are there and all different, leave a sorted set.
    ZsetRemove { db: u16, key: &'a [u8], members: Elements<'a> },
    /// So many members from a rank on, which are there, leave a sorted set.
    ZsetRemoveRange { db: u16, key: &'a [u8], rank: u32, count: u32 },
    /// The key holds the value of a payload and expires then or never, whatever was there.
    PutValue { db: u16, key: &'a [u8], payload: &'a [u8], expire_ms: Option<u64> },
    /// What the key holds, with its time, is held by another, absent key of the same slice.
    Rename { db: u16, key: &'a [u8], new_db: u16, new_key: &'a [u8] },
}

const OP_PUT_STRING: u8 = 1;
const OP_DELETE: u8 = 2;
const OP_FLUSH_DATABASE: u8 = 3;
const OP_FLUSH_ALL: u8 = 4;
const OP_PUT_EXPIRING: u8 = 5;
const OP_SET_EXPIRE: u8 = 6;
const OP_CLEAR_EXPIRE: u8 = 7;
const OP_APPEND: u8 = 8;
const OP_SET_RANGE: u8 = 9;
const OP_SWAP_DATABASES: u8 = 10;
const OP_LIST_PUSH_LEFT: u8 = 11;
const OP_LIST_PUSH_RIGHT: u8 = 12;
const OP_LIST_POP_LEFT: u8 = 13;
const OP_LIST_POP_RIGHT: u8 = 14;
const OP_LIST_SET: u8 = 15;
const OP_LIST_INSERT: u8 = 16;
const OP_LIST_REMOVE: u8 = 17;
const OP_SET_ADD: u8 = 18;
const OP_SET_REMOVE: u8 = 19;
const OP_HASH_SET: u8 = 20;
const OP_HASH_SET_EXPIRING: u8 = 21;
const OP_HASH_REMOVE: u8 = 22;
const OP_HASH_EXPIRE: u8 = 23;
const OP_HASH_PERSIST: u8 = 24;
const OP_ZSET_ADD: u8 = 25;
const OP_ZSET_REMOVE: u8 = 26;
const OP_ZSET_REMOVE_RANGE: u8 = 27;
const OP_PUT_VALUE: u8 = 28;
const OP_PUT_VALUE_EXPIRING: u8 = 29;
const OP_RENAME: u8 = 30;

/// The last effect of batch format version 1, and of 2.
pub(crate) const OP_MAX_VERSION_1: u8 = OP_FLUSH_ALL;
pub(crate) const OP_MAX_VERSION_2: u8 = OP_SWAP_DATABASES;
pub(crate) const OP_MAX: u8 = OP_RENAME;

/// The most an effect is longer than the bytes of its key and value: op, database, three numbers
/// or two and a time.
pub(crate) const EFFECT_OVERHEAD_MAX: usize = 1 + 3 * varint::SIZE_MAX + size_of::<u64>();

/// Bytes that are not what this build writes or knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the bytes end inside an effect")]
    Truncated,
    #[error("batch format version {version} is unknown; this build reads up to {newest}")]
    UnknownVersion { version: u8, newest: u8 },
    #[error("effect {op} is unknown to this build; a newer one may have written it")]
    UnknownEffect { op: u8 },
    #[error("a number is not in its one valid form")]
    MalformedNumber,
    #[error("database {db} is beyond the last")]
    UnknownDatabase { db: u32 },
    #[error("a string of {size} bytes is above the limit")]
    StringTooLong { size: u32 },
    #[error("an effect holds {count} strings, which is not a number it can hold")]
    MalformedCount { count: u32 },
    #[error("a payload of {size} bytes is above the limit")]
    PayloadTooLong { size: u32 },
}

impl<'a> Effect<'a> {
    /// The database and the key, if the effect is about one key.
    pub fn place(&self) -> Option<(u16, &'a [u8])> {
        match *self {
            Effect::PutString { db, key, .. }
            | Effect::SetExpire { db, key, .. }
            | Effect::Append { db, key, .. }
            | Effect::SetRange { db, key, .. }
            | Effect::Delete { db, key }
            | Effect::ListPush { db, key, .. }
            | Effect::ListPop { db, key, .. }
            | Effect::ListSet { db, key, .. }
            | Effect::ListInsert { db, key, .. }
            | Effect::ListRemove { db, key, .. }
            | Effect::SetAdd { db, key, .. }
            | Effect::SetRemove { db, key, .. }
            | Effect::HashSet { db, key, .. }
            | Effect::HashRemove { db, key, .. }
            | Effect::HashExpire { db, key, .. }
            | Effect::ZsetAdd { db, key, .. }
            | Effect::ZsetRemove { db, key, .. }
            | Effect::ZsetRemoveRange { db, key, .. }
            | Effect::PutValue { db, key, .. }
            | Effect::Rename { db, key, .. } => Some((db, key)),
            Effect::FlushDatabase { .. } | Effect::FlushAll | Effect::SwapDatabases { .. } => None,
        }
    }

    /// The second database and key, if the effect is about two keys of one slice.
    pub fn second_place(&self) -> Option<(u16, &'a [u8])> {
        match *self {
            Effect::Rename { new_db, new_key, .. } => Some((new_db, new_key)),
            _ => None,
        }
    }

    /// May the effect make a key that was absent?
    pub fn may_create(&self) -> bool {
        matches!(
            self,
            Effect::PutString { .. }
                | Effect::SetRange { .. }
                | Effect::ListPush { .. }
                | Effect::SetAdd { .. }
                | Effect::HashSet { .. }
                | Effect::ZsetAdd { .. }
                | Effect::PutValue { .. }
        )
    }

    /// Appends the effect's bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.push(self.op());
        match *self {
            Effect::PutString { db, key, value, expire_ms } => {
                encode_place(db, key, into);
                encode_string(value, into);
                encode_time(expire_ms, into);
            }
            Effect::SetExpire { db, key, expire_ms } => {
                encode_place(db, key, into);
                encode_time(expire_ms, into);
            }
            Effect::Append { db, key, suffix } => {
                encode_place(db, key, into);
                encode_string(suffix, into);
            }
            Effect::SetRange { db, key, offset, bytes } => {
                assert!(offset as usize + bytes.len() <= STRING_SIZE_MAX);
                encode_place(db, key, into);
                varint::encode(offset, into);
                encode_string(bytes, into);
            }
            Effect::Delete { db, key } => encode_place(db, key, into),
            Effect::FlushDatabase { db } => encode_database(db, into),
            Effect::FlushAll => {}
            Effect::SwapDatabases { first, second } => {
                encode_database(first, into);
                encode_database(second, into);
            }
            Effect::ListPush { db, key, elements: strings, .. }
            | Effect::ListRemove { db, key, indexes: strings }
            | Effect::SetAdd { db, key, members: strings }
            | Effect::SetRemove { db, key, members: strings }
            | Effect::HashRemove { db, key, fields: strings }
            | Effect::ZsetAdd { db, key, pairs: strings }
            | Effect::ZsetRemove { db, key, members: strings } => {
                encode_place(db, key, into);
                strings.encode(into);
            }
            Effect::ListPop { db, key, count, .. } => {
                encode_place(db, key, into);
                varint::encode(count, into);
            }
            Effect::ListSet { db, key, index, element }
            | Effect::ListInsert { db, key, index, element } => {
                encode_place(db, key, into);
                varint::encode(index, into);
                encode_string(element, into);
            }
            Effect::HashSet { db, key, pairs: strings, expire_ms }
            | Effect::HashExpire { db, key, fields: strings, expire_ms } => {
                encode_place(db, key, into);
                strings.encode(into);
                encode_time(expire_ms, into);
            }
            Effect::ZsetRemoveRange { db, key, rank, count } => {
                encode_place(db, key, into);
                varint::encode(rank, into);
                varint::encode(count, into);
            }
            Effect::PutValue { db, key, payload, expire_ms } => {
                encode_place(db, key, into);
                assert!(payload.len() <= ENTRY_SIZE_MAX);
                varint::encode(payload.len() as u32, into);
                into.extend_from_slice(payload);
                encode_time(expire_ms, into);
            }
            Effect::Rename { db, key, new_db, new_key } => {
                encode_place(db, key, into);
                encode_place(new_db, new_key, into);
            }
        }
    }

    fn op(&self) -> u8 {
        match self {
            Effect::PutString { expire_ms: None, .. } => OP_PUT_STRING,
            Effect::PutString { expire_ms: Some(_), .. } => OP_PUT_EXPIRING,
            Effect::SetExpire { expire_ms: None, .. } => OP_CLEAR_EXPIRE,
            Effect::SetExpire { expire_ms: Some(_), .. } => OP_SET_EXPIRE,
            Effect::Append { .. } => OP_APPEND,
            Effect::SetRange { .. } => OP_SET_RANGE,
            Effect::Delete { .. } => OP_DELETE,
            Effect::FlushDatabase { .. } => OP_FLUSH_DATABASE,
            Effect::FlushAll => OP_FLUSH_ALL,
            Effect::SwapDatabases { .. } => OP_SWAP_DATABASES,
            Effect::ListPush { end: End::Left, .. } => OP_LIST_PUSH_LEFT,
            Effect::ListPush { end: End::Right, .. } => OP_LIST_PUSH_RIGHT,
            Effect::ListPop { end: End::Left, .. } => OP_LIST_POP_LEFT,
            Effect::ListPop { end: End::Right, .. } => OP_LIST_POP_RIGHT,
            Effect::ListSet { .. } => OP_LIST_SET,
            Effect::ListInsert { .. } => OP_LIST_INSERT,
            Effect::ListRemove { .. } => OP_LIST_REMOVE,
            Effect::SetAdd { .. } => OP_SET_ADD,
            Effect::SetRemove { .. } => OP_SET_REMOVE,
            Effect::HashSet { expire_ms: None, .. } => OP_HASH_SET,
            Effect::HashSet { expire_ms: Some(_), .. } => OP_HASH_SET_EXPIRING,
            Effect::HashRemove { .. } => OP_HASH_REMOVE,
            Effect::HashExpire { expire_ms: Some(_), .. } => OP_HASH_EXPIRE,
            Effect::HashExpire { expire_ms: None, .. } => OP_HASH_PERSIST,
            Effect::ZsetAdd { .. } => OP_ZSET_ADD,
            Effect::ZsetRemove { .. } => OP_ZSET_REMOVE,
            Effect::ZsetRemoveRange { .. } => OP_ZSET_REMOVE_RANGE,
            Effect::PutValue { expire_ms: None, .. } => OP_PUT_VALUE,
            Effect::PutValue { expire_ms: Some(_), .. } => OP_PUT_VALUE_EXPIRING,
            Effect::Rename { .. } => OP_RENAME,
        }
    }

    /// Takes one effect off the front of `bytes`; `op_max` is the last of the batch's version.
    pub(crate) fn decode(bytes: &mut &'a [u8], op_max: u8) -> Result<Effect<'a>, DecodeError> {
        let (op, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        let op = *op;
        if op == 0 || op_max < op {
            return Err(DecodeError::UnknownEffect { op });
        }
        *bytes = rest;
        let decode_time = |bytes: &mut &'a [u8], op_timed| match op == op_timed {
            true => decode_time(bytes).map(Some),
            false => Ok(None),
        };
        Ok(match op {
            OP_PUT_STRING | OP_PUT_EXPIRING => Effect::PutString {
                db: decode_database(bytes)?,
                key: decode_string(bytes)?,
                value: decode_string(bytes)?,
                expire_ms: decode_time(bytes, OP_PUT_EXPIRING)?,
            },
            OP_SET_EXPIRE | OP_CLEAR_EXPIRE => Effect::SetExpire {
                db: decode_database(bytes)?,
                key: decode_string(bytes)?,
                expire_ms: decode_time(bytes, OP_SET_EXPIRE)?,
            },
            OP_APPEND => Effect::Append {
                db: decode_database(bytes)?,
                key: decode_string(bytes)?,
                suffix: decode_string(bytes)?,
            },
            OP_SET_RANGE => {
                let (db, key) = (decode_database(bytes)?, decode_string(bytes)?);
                let (offset, range) = (varint::decode(bytes)?, decode_string(bytes)?);
                let size = u64::from(offset) + range.len() as u64;
                if (STRING_SIZE_MAX as u64) < size {
                    let size = u32::try_from(size).unwrap_or(u32::MAX);
                    return Err(DecodeError::StringTooLong { size });
                }
                Effect::SetRange { db, key, offset, bytes: range }
            }
            OP_DELETE => Effect::Delete { db: decode_database(bytes)?, key: decode_string(bytes)? },
            OP_FLUSH_DATABASE => Effect::FlushDatabase { db: decode_database(bytes)? },
            OP_FLUSH_ALL => Effect::FlushAll,
            OP_SWAP_DATABASES => Effect::SwapDatabases {
                first: decode_database(bytes)?,
                second: decode_database(bytes)?,
            },
            _ => return Self::decode_on_collection(op, bytes),
        })
    }

    /// The fields of the effects on values that are no strings.
    fn decode_on_collection(op: u8, bytes: &mut &'a [u8]) -> Result<Effect<'a>, DecodeError> {
        let (db, key) = (decode_database(bytes)?, decode_string(bytes)?);
        let end = match op {
            OP_LIST_PUSH_LEFT | OP_LIST_POP_LEFT => End::Left,
            _ => End::Right,
        };
        Ok(match op {
            OP_LIST_PUSH_LEFT | OP_LIST_PUSH_RIGHT => {
                Effect::ListPush { db, key, end, elements: Elements::decode(bytes, 1)? }
            }
            OP_LIST_POP_LEFT | OP_LIST_POP_RIGHT => {
                Effect::ListPop { db, key, end, count: varint::decode(bytes)? }
            }
            OP_LIST_SET => {
                let index = varint::decode(bytes)?;
                Effect::ListSet { db, key, index, element: decode_string(bytes)? }
            }
            OP_LIST_INSERT => {
                let index = varint::decode(bytes)?;
                Effect::ListInsert { db, key, index, element: decode_string(bytes)? }
            }
            OP_LIST_REMOVE => Effect::ListRemove { db, key, indexes: Elements::decode(bytes, 1)? },
            OP_SET_ADD => Effect::SetAdd { db, key, members: Elements::decode(bytes, 1)? },
            OP_SET_REMOVE => Effect::SetRemove { db, key, members: Elements::decode(bytes, 1)? },
            OP_HASH_SET | OP_HASH_SET_EXPIRING => {
                let pairs = Elements::decode(bytes, 2)?;
                let is_timed = op == OP_HASH_SET_EXPIRING;
                let expire_ms = is_timed.then(|| decode_time(bytes)).transpose()?;
                Effect::HashSet { db, key, pairs, expire_ms }
            }
            OP_HASH_REMOVE => Effect::HashRemove { db, key, fields: Elements::decode(bytes, 1)? },
            OP_HASH_EXPIRE | OP_HASH_PERSIST => {
                let fields = Elements::decode(bytes, 1)?;
                let is_timed = op == OP_HASH_EXPIRE;
                let expire_ms = is_timed.then(|| decode_time(bytes)).transpose()?;
                Effect::HashExpire { db, key, fields, expire_ms }
            }
            OP_ZSET_ADD => Effect::ZsetAdd { db, key, pairs: Elements::decode(bytes, 2)? },
            OP_ZSET_REMOVE => Effect::ZsetRemove { db, key, members: Elements::decode(bytes, 1)? },
            OP_ZSET_REMOVE_RANGE => {
                let (rank, count) = (varint::decode(bytes)?, varint::decode(bytes)?);
                Effect::ZsetRemoveRange { db, key, rank, count }
            }
            OP_PUT_VALUE | OP_PUT_VALUE_EXPIRING => {
                let payload = decode_payload(bytes)?;
                let is_timed = op == OP_PUT_VALUE_EXPIRING;
                let expire_ms = is_timed.then(|| decode_time(bytes)).transpose()?;
                Effect::PutValue { db, key, payload, expire_ms }
            }
            OP_RENAME => {
                let (new_db, new_key) = (decode_database(bytes)?, decode_string(bytes)?);
                Effect::Rename { db, key, new_db, new_key }
            }
            op => return Err(DecodeError::UnknownEffect { op }),
        })
    }
}

fn encode_place(db: u16, key: &[u8], into: &mut Vec<u8>) {
    encode_database(db, into);
    encode_string(key, into);
}

/// None has no bytes: the op says so.
fn encode_time(time_ms: Option<u64>, into: &mut Vec<u8>) {
    if let Some(time_ms) = time_ms {
        into.extend_from_slice(&time_ms.to_le_bytes());
    }
}

fn decode_time(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let (time_ms, rest) = bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*time_ms))
}

fn encode_database(db: u16, into: &mut Vec<u8>) {
    assert!(db < DATABASES);
    varint::encode(u32::from(db), into);
}

fn decode_database(bytes: &mut &[u8]) -> Result<u16, DecodeError> {
    let db = varint::decode(bytes)?;
    if db < u32::from(DATABASES) { Ok(db as u16) } else { Err(DecodeError::UnknownDatabase { db }) }
}

fn encode_string(string: &[u8], into: &mut Vec<u8>) {
    assert!(string.len() <= STRING_SIZE_MAX);
    varint::encode(string.len() as u32, into);
    into.extend_from_slice(string);
}

fn decode_string<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let size = varint::decode(bytes)?;
    if STRING_SIZE_MAX < size as usize {
        return Err(DecodeError::StringTooLong { size });
    }
    let (string, rest) = bytes.split_at_checked(size as usize).ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(string)
}

fn decode_payload<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let size = varint::decode(bytes)?;
    if ENTRY_SIZE_MAX < size as usize {
        return Err(DecodeError::PayloadTooLong { size });
    }
    let (payload, rest) = bytes.split_at_checked(size as usize).ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(payload)
}

const _: () = assert!(STRING_SIZE_MAX <= u32::MAX as usize);
const _: () = assert!(ENTRY_SIZE_MAX <= u32::MAX as usize);
