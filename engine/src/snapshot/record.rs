//! The records of a snapshot, written and read.

use crate::effect::DecodeError;
use crate::table::{Attributes, Entry};
use crate::values::{Content, Form, NODE_PACKED, NODE_PLAIN};
use crate::varint;

use super::TableId;

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Whole = 1,
    Blocks = 2,
    Members = 3,
    Nodes = 4,
}

const EXPIRES: u8 = 1;
const RAW: u8 = 2;

/// What a record is of: a key, and what it has besides its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) db: TableId,
    pub(super) key: Box<[u8]>,
    pub(super) attributes: Attributes,
}

impl Head {
    pub(super) fn of(db: TableId, entry: Entry<'_>) -> Self {
        Self { db, key: entry.key().into(), attributes: entry.attributes() }
    }

    pub(super) fn encode(&self, tag: Tag, into: &mut Vec<u8>) {
        encode_head(tag, self.db, &self.key, self.attributes, into);
    }
}

/// A key with a value that is not taken apart.
pub(super) fn encode_whole(db: TableId, entry: Entry<'_>, value: &[u8], into: &mut Vec<u8>) {
    encode_head(Tag::Whole, db, entry.key(), entry.attributes(), into);
    encode_bytes(value, into);
}

fn encode_head(tag: Tag, db: TableId, key: &[u8], attributes: Attributes, into: &mut Vec<u8>) {
    let Attributes { expire_ms, is_raw, access, form } = attributes;
    let flags = if expire_ms.is_some() { EXPIRES } else { 0 } | if is_raw { RAW } else { 0 };
    into.extend_from_slice(&[tag as u8, db as u8, flags, form as u8]);
    into.extend_from_slice(&access.to_le_bytes());
    encode_bytes(key, into);
    if let Some(expire_ms) = expire_ms {
        into.extend_from_slice(&expire_ms.to_le_bytes());
    }
}

pub(super) fn encode_bytes(bytes: &[u8], into: &mut Vec<u8>) {
    varint::encode(bytes.len() as u32, into);
    into.extend_from_slice(bytes);
}

/// A member with its value and its time.
pub(super) fn encode_member(entry: Entry<'_>, into: &mut Vec<u8>) {
    let expire_ms = entry.expire_ms();
    into.push(if expire_ms.is_some() { EXPIRES } else { 0 });
    encode_bytes(entry.key(), into);
    encode_bytes(entry.string().expect("members hold bytes"), into);
    if let Some(expire_ms) = expire_ms {
        into.extend_from_slice(&expire_ms.to_le_bytes());
    }
}

/// A node of a list with its label.
pub(super) fn encode_node(label: u64, content: Content<'_>, into: &mut Vec<u8>) {
    into.extend_from_slice(&label.to_le_bytes());
    match content {
        Content::Packed(list) => {
            into.push(NODE_PACKED);
            encode_bytes(list.as_bytes(), into);
        }
        Content::Plain(bytes) => {
            into.push(NODE_PLAIN);
            encode_bytes(bytes, into);
        }
    }
}

/// Takes the parts of records off the front of a chunk.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn number(&mut self) -> Result<usize, DecodeError> {
        varint::decode(&mut self.0).map(|number| number as usize)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(size).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// `None` for a tag, a database or a form that there is not.
    pub(super) fn head(&mut self) -> Result<Option<(Tag, u16, &'a [u8], Attributes)>, DecodeError> {
        let [tag, db, flags, form] = self.array()?;
        let access = u32::from_le_bytes(self.array()?);
        let key = self.bytes()?;
        let expire_ms = self.time(flags)?;
        let tag = match tag {
            1 => Tag::Whole,
            2 => Tag::Blocks,
            3 => Tag::Members,
            4 => Tag::Nodes,
            _ => return Ok(None),
        };
        let Some(form) = Form::read(form) else { return Ok(None) };
        if base::limits::DATABASES <= u16::from(db) {
            return Ok(None);
        }
        let attributes = Attributes { expire_ms, is_raw: flags & RAW != 0, access, form };
        Ok(Some((tag, db.into(), key, attributes)))
    }

    /// A member, its value and its time.
    pub(super) fn member(&mut self) -> Result<(&'a [u8], &'a [u8], Option<u64>), DecodeError> {
        let flags = self.byte()?;
        let (member, value) = (self.bytes()?, self.bytes()?);
        Ok((member, value, self.time(flags)?))
    }

    fn time(&mut self, flags: u8) -> Result<Option<u64>, DecodeError> {
        if flags & EXPIRES == 0 { Ok(None) } else { self.u64().map(Some) }
    }
}
