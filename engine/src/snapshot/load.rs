//! From the records of a snapshot back to a keyspace.

use base::Map;
use base::limits::STRING_SIZE_MAX;

use super::record::{Reader, Tag};
use crate::effect::DecodeError;
use crate::keyspace::Keyspace;
use crate::table::{Attributes, EntryBox};
use crate::values::{Assembly, Form};

/// Bytes that are no records of a snapshot, or not of this slice, or not of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error("a record has a tag, a database or a form that this build does not know")]
    UnknownRecord,
    #[error("a record is of a key of slot {slot}, which this slice does not hold")]
    SlotOfAnotherSlice { slot: u16 },
    #[error("a key of {size} bytes is there twice")]
    KeyTwice { size: usize },
    #[error("a part of the value of a key of {size} bytes does not fit the others")]
    PartUnfit { size: usize },
    #[error("the value of a key of {size} bytes is not whole")]
    ValueNotWhole { size: usize },
}

/// Fills an empty keyspace with the records of one snapshot, in any order. Owner: who reads it.
#[derive(Debug)]
pub struct SnapshotLoader {
    keyspace: Keyspace,
    /// Values that come in parts.
    open: Map<(u16, Box<[u8]>), Open>,
}

#[derive(Debug)]
struct Open {
    attributes: Attributes,
    value: Value,
}

#[derive(Debug)]
enum Value {
    /// A string, and how many of its bytes are there.
    Blocks {
        string: Vec<u8>,
        filled: usize,
    },
    Object(Assembly),
}

impl SnapshotLoader {
    /// # Panics
    ///
    /// If the keyspace is not empty.
    pub fn new(keyspace: Keyspace) -> Self {
        assert!(keyspace.is_empty());
        Self { keyspace, open: Map::default() }
    }

    /// Takes whole records.
    pub fn load(&mut self, records: &[u8]) -> Result<(), LoadError> {
        let mut reader = Reader(records);
        while !reader.is_empty() {
            let head = reader.head()?.ok_or(LoadError::UnknownRecord)?;
            self.record(head, &mut reader)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        (tag, db, key, attributes): (Tag, u16, &[u8], Attributes),
        reader: &mut Reader<'_>,
    ) -> Result<(), LoadError> {
        let size = key.len();
        let unfit = LoadError::PartUnfit { size };
        let is_object = attributes.form.is_object();
        if tag == Tag::Whole {
            if is_object {
                return Err(unfit);
            }
            let entry = EntryBox::packed(key, reader.bytes()?, attributes);
            return self.put(db, entry);
        }
        if is_object != (tag != Tag::Blocks) || !is_object && attributes.form != Form::String {
            return Err(unfit);
        }
        let name = (db, key.into());
        let new = || Open {
            attributes,
            value: match tag {
                Tag::Blocks => Value::Blocks { string: Vec::new(), filled: 0 },
                _ => Value::Object(Assembly::new(attributes.form)),
            },
        };
        let open = self.open.entry(name).or_insert_with(new);
        if open.attributes != attributes {
            return Err(unfit);
        }
        match (tag, &mut open.value) {
            (Tag::Blocks, Value::Blocks { string, filled }) => {
                let (total, offset, bytes) = (reader.number()?, reader.number()?, reader.bytes()?);
                let range = offset..offset + bytes.len();
                if STRING_SIZE_MAX < total || total < range.end {
                    return Err(unfit);
                }
                if string.is_empty() {
                    string.resize(total, 0);
                }
                if string.len() != total {
                    return Err(unfit);
                }
                string[range].copy_from_slice(bytes);
                *filled += bytes.len();
            }
            (Tag::Members, Value::Object(assembly)) => {
                for _ in 0..reader.number()? {
                    let (member, value, expire_ms) = reader.member()?;
                    let hasher = self.keyspace.hasher();
                    if !assembly.add_member(member, value, expire_ms, hasher) {
                        return Err(unfit);
                    }
                }
            }
            (Tag::Nodes, Value::Object(assembly)) => {
                for _ in 0..reader.number()? {
                    let (label, kind, bytes) = (reader.u64()?, reader.byte()?, reader.bytes()?);
                    if !assembly.add_node(label, kind, bytes) {
                        return Err(unfit);
                    }
                }
            }
            _ => return Err(unfit),
        }
        Ok(())
    }

    /// All records were taken.
    pub fn finish(mut self) -> Result<Keyspace, LoadError> {
        for ((db, key), Open { attributes, value }) in std::mem::take(&mut self.open) {
            let not_whole = LoadError::ValueNotWhole { size: key.len() };
            let entry = match value {
                Value::Blocks { string, filled } if filled == string.len() => {
                    if string.len() <= super::WHOLE_SIZE_MAX {
                        return Err(not_whole);
                    }
                    EntryBox::large(&key, string, attributes)
                }
                Value::Blocks { .. } => return Err(not_whole),
                Value::Object(assembly) => {
                    let object = assembly.finish(self.keyspace.hasher()).ok_or(not_whole)?;
                    EntryBox::object(&key, object, attributes)
                }
            };
            self.put(db, entry)?;
        }
        Ok(self.keyspace)
    }

    fn put(&mut self, db: u16, entry: EntryBox) -> Result<(), LoadError> {
        let key = entry.view().key();
        let slot = crate::slot::slot_of(key).0;
        if !self.keyspace.slots().contains(&slot) {
            return Err(LoadError::SlotOfAnotherSlice { slot });
        }
        if self.keyspace.find(db, key).is_some() {
            return Err(LoadError::KeyTwice { size: key.len() });
        }
        self.keyspace.restore(db, entry);
        Ok(())
    }
}
