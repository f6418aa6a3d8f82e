//! Values to and from payloads: the bytes that an effect, a dump or a copy of a value holds.
//!
//! What is small goes in and out as it is stored. What is large is read element by element into
//! what grows, the way commands make it grow; an element that is there twice is seen when fewer
//! are there in the end than came.

use super::list::Content;
use super::{ChangeCx, EncodingLimits, Form, Nodes, Object, Type, Unfit, change, empty, len};
use crate::effect::{Effect, ElementsBuf, End};
use crate::intset::Intset;
use crate::listpack::{Item, Listpack, Scratch};
use crate::rdb::decode::{Part, Parts, Value};
use crate::rdb::{BadFormat, Compression, Encoder, kind};
use crate::table::{Attributes, Entry, EntryBox, KeyHasher};

const BAD_FORMAT: Unfit = Unfit("the payload is no value");

impl From<BadFormat> for Unfit {
    fn from(_: BadFormat) -> Self {
        BAD_FORMAT
    }
}

/// The value of a payload, under `key`, that never expires: its type as in RDB files, then what
/// that says. A payload may be anything; what is returned is a value like any other.
pub(crate) fn of_payload(
    key: &[u8],
    payload: &[u8],
    cx: &mut ChangeCx<'_>,
) -> Result<EntryBox, Unfit> {
    let limits = cx.limits;
    let packed = |form: Form, bytes: &[u8]| {
        EntryBox::packed(key, bytes, Attributes { form, ..Attributes::default() })
    };
    let growing = |kind: Type| Growing::of(empty(key, kind));
    match Value::decode(payload)? {
        Value::String(string) => Ok(packed(Form::String, &string)),
        Value::List(parts) => list_of(key, parts, cx),
        Value::IntSet(bytes) => {
            let intset = Intset::new(&bytes);
            if intset.len() <= limits.set_max_intset_entries {
                return Ok(packed(Form::IntSet, &bytes));
            }
            let mut set = growing(Type::Set);
            for integer in intset.iter() {
                set.put(&[Item::Integer(integer).bytes(&mut Scratch::default())], cx)?;
            }
            set.finish(cx)
        }
        Value::SetPack(bytes) => {
            let pack = Listpack::new(&bytes);
            let limits = (limits.set_max_listpack_entries, limits.set_max_listpack_value);
            if fits(pack, 1, limits) {
                return Ok(packed(Form::SetPack, &bytes));
            }
            let mut set = growing(Type::Set);
            for item in pack.iter() {
                set.put(&[item.bytes(&mut Scratch::default())], cx)?;
            }
            set.finish(cx)
        }
        Value::Set(mut members) => {
            let mut set = growing(Type::Set);
            while let Some(member) = members.next()? {
                set.put(&[member], cx)?;
            }
            set.finish(cx)
        }
        Value::HashPack(bytes) => {
            let pack = Listpack::new(&bytes);
            let limits = (limits.hash_max_listpack_entries, limits.hash_max_listpack_value);
            if fits(pack, 2, limits) {
                return Ok(packed(Form::HashPack, &bytes));
            }
            let mut hash = growing(Type::Hash);
            for (field, value) in pack.pairs() {
                let mut scratches = [Scratch::default(); 2];
                let [left, right] = &mut scratches;
                hash.put(&[field.bytes(left), value.bytes(right)], cx)?;
            }
            hash.finish(cx)
        }
        Value::Hash(mut pairs) => {
            let mut hash = growing(Type::Hash);
            while let Some(pair) = pairs.next()? {
                hash.expires(pair.expire_ms, cx)?;
                hash.put(&[pair.field, pair.value], cx)?;
            }
            hash.finish(cx)
        }
        Value::ZsetPack(bytes) => {
            let pack = Listpack::new(&bytes);
            if fits_zset(pack, limits) {
                return Ok(packed(Form::ZsetPack, &bytes));
            }
            let mut zset = growing(Type::Zset);
            for (member, score) in super::zset::members_of(pack) {
                let member = member.bytes(&mut Scratch::default()).to_vec();
                zset.put(&[&score.to_le_bytes(), &member], cx)?;
            }
            zset.finish(cx)
        }
        Value::Zset(mut scores) => {
            let mut zset = growing(Type::Zset);
            while let Some((score, member)) = scores.next()? {
                zset.put(&[&score.to_le_bytes(), member], cx)?;
            }
            zset.finish(cx)
        }
    }
}

/// A larger node comes in element by element: no change of a list is to move so many bytes.
const NODE_SIZE_MAX: usize = 64 * 1024;

/// A list whose nodes are those of the payload, or, where it has none, as they come about.
fn list_of(key: &[u8], mut parts: Parts<'_>, cx: &mut ChangeCx<'_>) -> Result<EntryBox, Unfit> {
    let limit = cx.limits.list_max_listpack_size;
    let mut nodes = Nodes::default();
    let mut list = None;
    while let Some(part) = parts.next()? {
        match (part, &mut list) {
            (Part::Packed(bytes), None) if bytes.len() <= NODE_SIZE_MAX => {
                nodes.push_packed(bytes.to_vec());
            }
            (Part::Node(element), None) => nodes.push_plain(element.to_vec()),
            (part, list) => {
                let list = list.get_or_insert_with(|| match nodes.len() {
                    0 => Growing::of(empty(key, Type::List)),
                    _ => {
                        let nodes = std::mem::take(&mut nodes);
                        Growing::of(super::list::of_nodes(key, nodes, limit))
                    }
                });
                match part {
                    Part::Element(element) | Part::Node(element) => list.put(&[element], cx)?,
                    Part::Packed(bytes) => {
                        for item in Listpack::new(bytes).iter() {
                            list.put(&[item.bytes(&mut Scratch::default())], cx)?;
                        }
                    }
                }
            }
        }
    }
    match list {
        Some(list) => list.finish(cx),
        None => Ok(super::list::of_nodes(key, nodes, limit)),
    }
}

/// Are these bytes a payload? Makes the value, and drops it.
pub(crate) fn is_payload(payload: &[u8]) -> bool {
    let (hasher, limits) = (&KeyHasher::new(0), &EncodingLimits::default());
    let mut cx = ChangeCx { hasher, limits, scratch: &mut Vec::new(), keeps: false };
    of_payload(b"", payload, &mut cx).is_ok()
}

/// A listpack of tuples of `step` items may stay one: with no more than so many tuples, and items
/// no longer than that.
fn fits(pack: Listpack<'_>, step: usize, (count_max, size_max): (usize, usize)) -> bool {
    pack.len() / step <= count_max && pack.iter().all(|item| item.len() <= size_max)
}

/// The text of a score may be of any length.
fn fits_zset(pack: Listpack<'_>, limits: &EncodingLimits) -> bool {
    let size_max = limits.zset_max_listpack_value;
    pack.len() / 2 <= limits.zset_max_listpack_entries
        && pack.pairs().all(|(member, _)| member.len() <= size_max)
}

/// A collection that gets its elements by and by.
struct Growing {
    kind: Type,
    entry: EntryBox,
    /// Elements to come into the entry together.
    words: ElementsBuf,
    size: usize,
    /// When the fields among them expire.
    expire_ms: Option<u64>,
    /// Tuples that came.
    count: usize,
}

/// So many bytes come into a value together.
const TOGETHER_SIZE: usize = 4096;

impl Growing {
    fn of(entry: EntryBox) -> Self {
        let (kind, count) = (entry.view().kind(), len(entry.view()));
        Self { kind, entry, words: ElementsBuf::default(), size: 0, expire_ms: None, count }
    }

    /// The fields that come now expire then.
    fn expires(&mut self, expire_ms: Option<u64>, cx: &mut ChangeCx<'_>) -> Result<(), Unfit> {
        if self.expire_ms != expire_ms {
            self.flush(cx)?;
            self.expire_ms = expire_ms;
        }
        Ok(())
    }

    /// An element, a member, a field and its value, or a score and its member.
    fn put(&mut self, tuple: &[&[u8]], cx: &mut ChangeCx<'_>) -> Result<(), Unfit> {
        tuple.iter().for_each(|word| self.words.push(word));
        self.size += tuple.iter().map(|word| word.len() + 1).sum::<usize>();
        self.count += 1;
        if TOGETHER_SIZE <= self.size { self.flush(cx) } else { Ok(()) }
    }

    fn flush(&mut self, cx: &mut ChangeCx<'_>) -> Result<(), Unfit> {
        if self.words.is_empty() {
            return Ok(());
        }
        // The change of a value does not look at where it is.
        let (db, key, words) = (0, &b""[..], self.words.elements());
        let effect = match self.kind {
            Type::List => Effect::ListPush { db, key, end: End::Right, elements: words },
            Type::Set => Effect::SetAdd { db, key, members: words },
            Type::Hash => Effect::HashSet { db, key, pairs: words, expire_ms: self.expire_ms },
            Type::Zset => Effect::ZsetAdd { db, key, pairs: words },
            Type::String => unreachable!("a string does not grow by elements"),
        };
        let ChangeCx { hasher, limits, .. } = *cx;
        let mut cx = ChangeCx { hasher, limits, scratch: &mut *cx.scratch, keeps: false };
        change(&mut self.entry, &effect, &mut cx)?;
        self.words.clear();
        self.size = 0;
        Ok(())
    }

    fn finish(mut self, cx: &mut ChangeCx<'_>) -> Result<EntryBox, Unfit> {
        self.flush(cx)?;
        let is_whole = len(self.entry.view()) == self.count;
        if is_whole { Ok(self.entry) } else { Err(Unfit("the payload has an element twice")) }
    }
}

/// The payload of a value: what [`of_payload`] reads. Its time to expire is not part of it.
pub(crate) fn payload_of(entry: Entry<'_>, compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::with_capacity(compression, entry.size().min(CAPACITY_MAX));
    let packed = || entry.packed().expect("a value that is no object is bytes");
    match entry.form() {
        Form::String => return encoder.string_value(packed()),
        Form::IntSet => return encoder.packed_value(kind::SET_INTSET, packed()),
        Form::SetPack => return encoder.packed_value(kind::SET_LISTPACK, packed()),
        Form::HashPack => return encoder.packed_value(kind::HASH_LISTPACK, packed()),
        Form::ZsetPack => return encoder.packed_value(kind::ZSET_LISTPACK, packed()),
        Form::ListPack => {
            encoder.kind(kind::LIST_NODES);
            encoder.count(1);
            encoder.packed_node(packed());
        }
        Form::ListNodes => put_list(entry, &mut encoder),
        Form::SetTable => {
            encoder.kind(kind::SET);
            encoder.count(len(entry));
            super::for_each_part(entry, &mut |part| encoder.string(part[0]));
        }
        Form::HashTable => put_hash(entry, &mut encoder),
        Form::ZsetTree => {
            encoder.kind(kind::ZSET);
            encoder.count(len(entry));
            let zset = super::zset::Zset::of(entry).expect("the form is a sorted set's");
            // From the highest: where that is put into a list in order, each comes to its front.
            for (member, score) in zset.iter().rev() {
                encoder.string(member.bytes(&mut Scratch::default()));
                encoder.score(score);
            }
        }
    }
    encoder.finish()
}

/// More is not set aside for a payload before it is there.
const CAPACITY_MAX: usize = 1 << 20;

fn put_list(entry: Entry<'_>, encoder: &mut Encoder) {
    let Some(Object::List(nodes)) = entry.object() else {
        unreachable!("the form is a large list's")
    };
    encoder.kind(kind::LIST_NODES);
    encoder.count(nodes.iter().len());
    for node in nodes.iter() {
        match node.content() {
            Content::Packed(listpack) => encoder.packed_node(listpack.as_bytes()),
            Content::Plain(element) => encoder.plain_node(element),
        }
    }
}

fn put_hash(entry: Entry<'_>, encoder: &mut Encoder) {
    let mut expires = false;
    super::for_each_part(entry, &mut |part| expires |= !part[2].is_empty());
    encoder.kind(if expires { kind::HASH_EXPIRING } else { kind::HASH });
    encoder.count(len(entry));
    super::for_each_part(entry, &mut |part| {
        encoder.string(part[0]);
        encoder.string(part[1]);
        if expires {
            let expire_ms = part[2].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            encoder.expiry(expire_ms);
        }
    });
}

impl Entry<'_> {
    /// The most bytes a payload of this value has, or of any value made of its elements.
    pub fn payload_size_max(self) -> usize {
        match self.packed() {
            // An integer of two bytes may become one of six digits; a score of one byte, eight.
            Some(bytes) if self.form() != Form::String => PAYLOAD_OVERHEAD + 6 * bytes.len(),
            Some(bytes) => PAYLOAD_OVERHEAD + bytes.len(),
            // Each element has an entry, whose header is longer than what a payload adds.
            None => PAYLOAD_OVERHEAD + 2 * self.size(),
        }
    }
}

/// A type, counts, sizes.
const PAYLOAD_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests;
