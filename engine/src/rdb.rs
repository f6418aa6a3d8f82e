//! One value as bytes, in the format of Redis's snapshot files: what DUMP gives and RESTORE takes.
//!
//! A value is a byte that names its [type and layout](kind), then a body. A *payload* of DUMP has
//! ten more bytes behind it: the version of the format and a checksum of everything before.
//! Small collections are whole listpacks and intsets, large ones a count and their elements.
//!
//! The format is that of Redis 7.2, version 11, byte for byte, except that the elements of a large
//! set or hash come in the order of our table. Only a hash with fields that expire has a later
//! one, Valkey 9's. Layouts that older and newer servers wrote are read.
//!
//! Nothing that is read is trusted: a [`Value`](decode::Value) allocates no more than a fixed
//! multiple of the bytes that are there, checks every layout to its end, and gives elements one by
//! one, so that no second copy of a large value is made.

mod crc64;
pub(crate) mod decode;
mod encode;
mod lzf;
mod string;
#[cfg(test)]
mod tests;
mod ziplist;

pub(crate) use encode::{Compression, Encoder};

/// The first byte of a value: its type and layout. The numbers are Redis's.
pub(crate) mod kind {
    pub(crate) const STRING: u8 = 0;
    pub(crate) const LIST: u8 = 1;
    pub(crate) const SET: u8 = 2;
    /// Scores are decimal text.
    pub(crate) const ZSET_TEXT: u8 = 3;
    pub(crate) const HASH: u8 = 4;
    pub(crate) const ZSET: u8 = 5;
    pub(crate) const HASH_ZIPMAP: u8 = 9;
    pub(crate) const LIST_ZIPLIST: u8 = 10;
    pub(crate) const SET_INTSET: u8 = 11;
    pub(crate) const ZSET_ZIPLIST: u8 = 12;
    pub(crate) const HASH_ZIPLIST: u8 = 13;
    pub(crate) const LIST_ZIPLISTS: u8 = 14;
    pub(crate) const HASH_LISTPACK: u8 = 16;
    pub(crate) const ZSET_LISTPACK: u8 = 17;
    pub(crate) const LIST_NODES: u8 = 18;
    pub(crate) const SET_LISTPACK: u8 = 20;
    /// Fields with an absolute expiry behind each value, from Valkey 9 on. Release candidates of
    /// Redis 7.4 wrote another layout under the same number.
    pub(crate) const HASH_EXPIRING: u8 = 22;
    /// Fields with an expiry before each, relative to the first one, from Redis 7.4 on.
    pub(crate) const HASH_RELATIVE: u8 = 24;
    /// A listpack of fields, values and expiries, from Redis 7.4 on.
    pub(crate) const HASH_LISTPACK_EXPIRING: u8 = 25;
}

/// What the nodes of a list are.
const NODE_PLAIN: u64 = 1;
const NODE_PACKED: u64 = 2;

/// The bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFormat;

/// Behind a value: the version, 16 bits, and the checksum, 64 bits, little-endian.
const FOOTER_SIZE: usize = 10;

/// The format of Redis 7.2.
const VERSION: u16 = 11;

/// The newest format of Redis with layouts that are known here.
const VERSION_MAX: u16 = 13;

/// The first format of Valkey's own; those between are Redis's.
const VALKEY_VERSION: u16 = 80;

/// The newest format of Valkey with layouts that are known here.
const VALKEY_VERSION_MAX: u16 = 80;

/// Makes a payload of a value: appends the version its layout has come with, and the checksum.
pub(crate) fn seal(mut value: Vec<u8>) -> Vec<u8> {
    let is_expiring = value.first() == Some(&kind::HASH_EXPIRING);
    let version = if is_expiring { VALKEY_VERSION } else { VERSION };
    value.extend_from_slice(&version.to_le_bytes());
    let checksum = crc64::checksum(&value);
    value.extend_from_slice(&checksum.to_le_bytes());
    value
}

/// Why a payload is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// It is damaged, or of a version that is not known here.
    Footer,
    /// It is whole, but its layout does not exist in its version.
    Kind,
}

/// The value in a payload. Its number alone then tells the layout.
pub(crate) fn open(payload: &[u8]) -> Result<&[u8], OpenError> {
    let end = payload.len().checked_sub(FOOTER_SIZE).ok_or(OpenError::Footer)?;
    let (value, footer) = payload.split_at(end);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let is_known = (1..=VERSION_MAX).contains(&version)
        || (VALKEY_VERSION..=VALKEY_VERSION_MAX).contains(&version);
    let (checked, checksum) = payload.split_at(payload.len() - 8);
    if !is_known || crc64::checksum(checked).to_le_bytes() != checksum {
        return Err(OpenError::Footer);
    }
    let is_valkey = VALKEY_VERSION <= version;
    match value.first() {
        Some(&kind::HASH_EXPIRING) if !is_valkey => Err(OpenError::Kind),
        Some(&(kind::HASH_RELATIVE | kind::HASH_LISTPACK_EXPIRING)) if is_valkey => {
            Err(OpenError::Kind)
        }
        Some(_) => Ok(value),
        None => Err(OpenError::Kind),
    }
}
