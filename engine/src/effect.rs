//! The only ways a keyspace changes, and their bytes.
//!
//! An effect is absolute and deterministic: it holds the outcome, not the command, so replaying
//! it needs no clock, no chance and no condition. Its bytes are part of the log's entries and
//! change only with the batch's format version:
//!
//! ```text
//! op  meaning          fields, numbers as varints
//!  1  put string       db, key size, key, value size, value
//!  2  delete           db, key size, key
//!  3  flush database   db
//!  4  flush all
//! ```

use base::limits::{DATABASES, STRING_SIZE_MAX};

use crate::varint;

#[cfg(test)]
pub(crate) mod tests;

/// One change of a keyspace, borrowing its bytes from a request or from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The key holds this string, whatever it held.
    PutString { db: u16, key: &'a [u8], value: &'a [u8], expire_ms: Option<u64> },
    /// The key, which is there, expires then or no longer.
    SetExpire { db: u16, key: &'a [u8], expire_ms: Option<u64> },
    /// The string of the key, which is there, grows at its end.
    Append { db: u16, key: &'a [u8], suffix: &'a [u8] },
    /// A part of the key's string changes; an absent one is empty, zeros fill what is missing.
    SetRange { db: u16, key: &'a [u8], offset: u32, bytes: &'a [u8] },
    /// The keys of two databases change places.
    SwapDatabases { first: u16, second: u16 },
    /// The key, which is there, goes.
    Delete { db: u16, key: &'a [u8] },
    /// Every key of one database goes, if there is any.
    FlushDatabase { db: u16 },
    /// Every key of every database goes, if there is any.
    FlushAll,
}

const OP_PUT_STRING: u8 = 1;
const OP_DELETE: u8 = 2;
const OP_FLUSH_DATABASE: u8 = 3;
const OP_FLUSH_ALL: u8 = 4;

/// The most an effect is longer than the bytes of its key and value: op, database, two sizes.
pub(crate) const EFFECT_OVERHEAD_MAX: usize = 1 + 3 * varint::SIZE_MAX;

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
    /// Appends the effect's bytes.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match *self {
            Effect::PutString { db, key, value, expire_ms: None } => {
                into.push(OP_PUT_STRING);
                encode_database(db, into);
                encode_string(key, into);
                encode_string(value, into);
            }
            Effect::Delete { db, key } => {
                into.push(OP_DELETE);
                encode_database(db, into);
                encode_string(key, into);
            }
            Effect::FlushDatabase { db } => {
                into.push(OP_FLUSH_DATABASE);
                encode_database(db, into);
            }
            Effect::FlushAll => into.push(OP_FLUSH_ALL),
            _ => unreachable!("no command makes these yet"),
        }
    }

    /// Takes one effect off the front of `bytes`.
    pub fn decode(bytes: &mut &'a [u8]) -> Result<Effect<'a>, DecodeError> {
        let (op, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        *bytes = rest;
        match *op {
            OP_PUT_STRING => Ok(Effect::PutString {
                db: decode_database(bytes)?,
                key: decode_string(bytes)?,
                value: decode_string(bytes)?,
                expire_ms: None,
            }),
            OP_DELETE => {
                Ok(Effect::Delete { db: decode_database(bytes)?, key: decode_string(bytes)? })
            }
            OP_FLUSH_DATABASE => Ok(Effect::FlushDatabase { db: decode_database(bytes)? }),
            OP_FLUSH_ALL => Ok(Effect::FlushAll),
            op => Err(DecodeError::UnknownEffect { op }),
        }
    }
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
