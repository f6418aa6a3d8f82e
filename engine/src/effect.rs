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
//! ```
//!
//! A time is when a key expires: milliseconds since 1970.

use base::limits::{DATABASES, STRING_SIZE_MAX};

use crate::varint;

#[cfg(test)]
pub(crate) mod tests;

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

/// The last effect of batch format version 1.
pub(crate) const OP_MAX_VERSION_1: u8 = OP_FLUSH_ALL;
pub(crate) const OP_MAX: u8 = OP_SWAP_DATABASES;

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
}

impl<'a> Effect<'a> {
    /// The database and the key, if the effect is about one key.
    pub fn place(&self) -> Option<(u16, &'a [u8])> {
        match *self {
            Effect::PutString { db, key, .. }
            | Effect::SetExpire { db, key, .. }
            | Effect::Append { db, key, .. }
            | Effect::SetRange { db, key, .. }
            | Effect::Delete { db, key } => Some((db, key)),
            Effect::FlushDatabase { .. } | Effect::FlushAll | Effect::SwapDatabases { .. } => None,
        }
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
        }
    }

    /// Takes one effect off the front of `bytes`; `op_max` is the last of the batch's version.
    pub(crate) fn decode(bytes: &mut &'a [u8], op_max: u8) -> Result<Effect<'a>, DecodeError> {
        let (op, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        let op = *op;
        if op_max < op {
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

const _: () = assert!(STRING_SIZE_MAX <= u32::MAX as usize);
