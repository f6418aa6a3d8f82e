//! Reads values that anyone may have written.
//!
//! [`Value::decode`] reads the type and everything that is small or one piece; such pieces are
//! fully checked then. Elements of what is large are read one by one, by whom builds the value.
//! What cannot be: an empty collection, elements twice in one piece, a score that is no number,
//! bytes behind the value. That elements read one by one are there once is for the builder to see.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::string::Reader;
use super::ziplist::{ziplist_to_listpack, zipmap_to_listpack};
use super::{BadFormat, NODE_PACKED, NODE_PLAIN, kind};
use crate::intset::Intset;
use crate::listpack::{self, Item, Listpack, Offset, Scratch};

/// One value. Listpacks and intsets are checked, with nothing in them twice; a sorted set's is in
/// order.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    String(Cow<'a, [u8]>),
    List(Parts<'a>),
    IntSet(Cow<'a, [u8]>),
    SetPack(Cow<'a, [u8]>),
    Set(Strings<'a>),
    HashPack(Cow<'a, [u8]>),
    Hash(Pairs<'a>),
    ZsetPack(Cow<'a, [u8]>),
    Zset(Scores<'a>),
}

impl<'a> Value<'a> {
    /// The value that `bytes` begin, which are its type and its body and nothing else.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BadFormat> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        Ok(match kind {
            kind::STRING => Self::String(piece(reader)?),
            kind::LIST | kind::LIST_NODES | kind::LIST_ZIPLISTS => {
                let left = count(&mut reader)?;
                let layout = match kind {
                    kind::LIST => PartLayout::Element,
                    kind::LIST_NODES => PartLayout::Node,
                    _ => PartLayout::Ziplist,
                };
                Self::List(Parts { reader, left, layout, is_empty: true, scratch: Vec::new() })
            }
            kind::LIST_ZIPLIST => {
                let (left, layout) = (1, PartLayout::Ziplist);
                Self::List(Parts { reader, left, layout, is_empty: true, scratch: Vec::new() })
            }
            kind::SET => {
                let left = count(&mut reader)?;
                Self::Set(Strings { reader, left, scratch: Vec::new() })
            }
            kind::SET_INTSET => {
                let intset = piece(reader)?;
                Intset::validated(&intset).ok_or(BadFormat)?;
                Self::IntSet(intset)
            }
            kind::SET_LISTPACK => Self::SetPack(tuples(piece(reader)?, 1)?),
            kind::HASH => Self::Hash(Pairs::table(reader, Expiry::None)?),
            kind::HASH_EXPIRING => Self::Hash(Pairs::table(reader, Expiry::Absolute)?),
            kind::HASH_RELATIVE => {
                let first_ms = u64::from_le_bytes(reader.array()?);
                Self::Hash(Pairs::table(reader, Expiry::Relative { first_ms })?)
            }
            kind::HASH_LISTPACK_EXPIRING => {
                // When the first field expires: the fields tell that too.
                reader.bytes(8)?;
                Self::Hash(Pairs::triples(tuples(piece(reader)?, 3)?))
            }
            kind::HASH_LISTPACK => Self::HashPack(tuples(piece(reader)?, 2)?),
            kind::HASH_ZIPLIST => {
                Self::HashPack(tuples(ziplist_to_listpack(&piece(reader)?)?.into(), 2)?)
            }
            kind::HASH_ZIPMAP => {
                Self::HashPack(tuples(zipmap_to_listpack(&piece(reader)?)?.into(), 2)?)
            }
            kind::ZSET | kind::ZSET_TEXT => {
                let left = count(&mut reader)?;
                let is_text = kind == kind::ZSET_TEXT;
                Self::Zset(Scores(ScoreSource::Table { reader, left, is_text }, Vec::new()))
            }
            kind::ZSET_LISTPACK => zset(tuples(piece(reader)?, 2)?)?,
            kind::ZSET_ZIPLIST => zset(tuples(ziplist_to_listpack(&piece(reader)?)?.into(), 2)?)?,
            _ => return Err(BadFormat),
        })
    }
}

/// All that is left is one string.
fn piece(mut reader: Reader<'_>) -> Result<Cow<'_, [u8]>, BadFormat> {
    let string = reader.string()?.into_bytes()?;
    reader.end()?;
    Ok(string)
}

/// How many elements follow: at least one, and each takes a byte.
fn count(reader: &mut Reader<'_>) -> Result<usize, BadFormat> {
    reader.size().and_then(|count| if count == 0 { Err(BadFormat) } else { Ok(count) })
}

/// A listpack of tuples of `step` items, no two of which begin alike.
fn tuples(bytes: Cow<'_, [u8]>, step: usize) -> Result<Cow<'_, [u8]>, BadFormat> {
    let bytes = spelled(bytes)?;
    let listpack = Listpack::new(&bytes);
    let mut firsts: Vec<_> = listpack.iter().step_by(step).map(order_of).collect();
    if firsts.is_empty() || !listpack.len().is_multiple_of(step) {
        return Err(BadFormat);
    }
    firsts.sort_unstable();
    let is_twice = firsts.windows(2).any(|pair| pair[0] == pair[1]);
    if is_twice { Err(BadFormat) } else { Ok(bytes) }
}

/// A listpack as it would have been made here.
fn spelled(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, BadFormat> {
    if Listpack::validated(&bytes).is_some() {
        return Ok(bytes);
    }
    listpack::recoded(&bytes).map(Cow::Owned).ok_or(BadFormat)
}

/// Any order: equal items are then neighbours.
fn order_of(item: Item<'_>) -> (Option<i64>, &[u8]) {
    match item {
        Item::Integer(integer) => (Some(integer), b""),
        Item::Bytes(bytes) => (None, bytes),
    }
}

/// Members and scores, as a listpack if they are in order.
fn zset(listpack: Cow<'_, [u8]>) -> Result<Value<'_>, BadFormat> {
    let mut is_sorted = true;
    let mut last: Option<(Item<'_>, f64)> = None;
    for (member, score) in Listpack::new(&listpack).pairs() {
        let score = score_of(score)?;
        if let Some((last_member, last_score)) = last {
            let order = last_score.partial_cmp(&score).ok_or(BadFormat)?;
            let mut scratches = [Scratch::default(); 2];
            let [left, right] = &mut scratches;
            let order = order.then_with(|| last_member.bytes(left).cmp(member.bytes(right)));
            is_sorted &= order == Ordering::Less;
        }
        last = Some((member, score));
    }
    if is_sorted {
        return Ok(Value::ZsetPack(listpack));
    }
    Ok(Value::Zset(Scores(ScoreSource::Pack { listpack, at: Offset::FIRST }, Vec::new())))
}

fn score_of(item: Item<'_>) -> Result<f64, BadFormat> {
    match item {
        Item::Integer(score) => Ok(score as f64),
        Item::Bytes(text) => parse_score(text),
    }
}

fn parse_score(text: &[u8]) -> Result<f64, BadFormat> {
    let score: f64 =
        str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(BadFormat)?;
    number(score)
}

fn number(score: f64) -> Result<f64, BadFormat> {
    if score.is_nan() { Err(BadFormat) } else { Ok(score) }
}

/// A list, from its first element to its last.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    reader: Reader<'a>,
    left: usize,
    layout: PartLayout,
    is_empty: bool,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum PartLayout {
    Element,
    Node,
    Ziplist,
}

/// What comes next in a list.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    Element(&'a [u8]),
    /// An element that is a node of its own, because it is large.
    Node(&'a [u8]),
    /// A node that is a listpack with something in it.
    Packed(&'a [u8]),
}

impl Parts<'_> {
    /// The next part; `None` behind the last of a whole value.
    pub(crate) fn next(&mut self) -> Result<Option<Part<'_>>, BadFormat> {
        while 0 < self.left {
            self.left -= 1;
            let is_element = match self.layout {
                PartLayout::Element => true,
                PartLayout::Ziplist => false,
                PartLayout::Node => match self.reader.length()? {
                    NODE_PLAIN => true,
                    NODE_PACKED => false,
                    _ => return Err(BadFormat),
                },
            };
            let stored = self.reader.string()?;
            if is_element {
                self.is_empty = false;
                let element = stored.read(&mut self.scratch)?;
                if element.is_empty() && matches!(self.layout, PartLayout::Node) {
                    return Err(BadFormat);
                }
                return Ok(Some(match self.layout {
                    PartLayout::Node => Part::Node(element),
                    PartLayout::Element | PartLayout::Ziplist => Part::Element(element),
                }));
            }
            let bytes = match self.layout {
                PartLayout::Ziplist => Cow::Owned(ziplist_to_listpack(&stored.into_bytes()?)?),
                _ => spelled(stored.into_bytes()?)?,
            };
            // Old servers left empty nodes.
            if !Listpack::new(&bytes).is_empty() {
                self.is_empty = false;
                return Ok(Some(match bytes {
                    Cow::Borrowed(bytes) => Part::Packed(bytes),
                    Cow::Owned(bytes) => {
                        self.scratch = bytes;
                        Part::Packed(&self.scratch)
                    }
                }));
            }
        }
        self.reader.end()?;
        if self.is_empty { Err(BadFormat) } else { Ok(None) }
    }
}

/// The members of a set; one may come twice.
#[derive(Debug)]
pub(crate) struct Strings<'a> {
    reader: Reader<'a>,
    left: usize,
    scratch: Vec<u8>,
}

impl Strings<'_> {
    /// The next member; `None` behind the last of a whole value.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, BadFormat> {
        if self.left == 0 {
            self.reader.end()?;
            return Ok(None);
        }
        self.left -= 1;
        self.reader.string()?.read(&mut self.scratch).map(Some)
    }
}

/// The fields of a hash; one may come twice, unless they were in one piece.
#[derive(Debug)]
pub(crate) struct Pairs<'a> {
    source: PairSource<'a>,
    left: usize,
    field: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Debug)]
enum PairSource<'a> {
    Table {
        reader: Reader<'a>,
        expiry: Expiry,
    },
    /// A listpack of fields, values and expiries.
    Pack {
        listpack: Cow<'a, [u8]>,
        at: Offset,
    },
}

/// Where and how a field's expiry is written.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    None,
    /// Behind the value; -1 for none.
    Absolute,
    /// Before the field, behind that of the first one, plus 1; 0 for none.
    Relative {
        first_ms: u64,
    },
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) field: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) expire_ms: Option<u64>,
}

impl<'a> Pairs<'a> {
    fn table(mut reader: Reader<'a>, expiry: Expiry) -> Result<Self, BadFormat> {
        let left = count(&mut reader)?;
        let source = PairSource::Table { reader, expiry };
        Ok(Self { source, left, field: Vec::new(), value: Vec::new() })
    }

    fn triples(listpack: Cow<'a, [u8]>) -> Self {
        let left = Listpack::new(&listpack).len() / 3;
        let source = PairSource::Pack { listpack, at: Offset::FIRST };
        Self { source, left, field: Vec::new(), value: Vec::new() }
    }

    /// The next field; `None` behind the last of a whole value.
    pub(crate) fn next(&mut self) -> Result<Option<Pair<'_>>, BadFormat> {
        let Some(left) = self.left.checked_sub(1) else {
            if let PairSource::Table { reader, .. } = &self.source {
                reader.end()?;
            }
            return Ok(None);
        };
        self.left = left;
        match &mut self.source {
            PairSource::Table { reader, expiry } => {
                let relative = match expiry {
                    Expiry::Relative { first_ms } => match reader.length()? {
                        0 => None,
                        distance => Some(first_ms.checked_add(distance - 1).ok_or(BadFormat)?),
                    },
                    Expiry::None | Expiry::Absolute => None,
                };
                let field = reader.string()?.read(&mut self.field)?;
                let value = reader.string()?.read(&mut self.value)?;
                let expire_ms = match expiry {
                    Expiry::None => None,
                    Expiry::Relative { .. } => relative,
                    Expiry::Absolute => match i64::from_le_bytes(reader.array()?) {
                        -1 => None,
                        expire_ms => Some(u64::try_from(expire_ms).map_err(|_| BadFormat)?),
                    },
                };
                if expire_ms.is_some_and(|expire_ms| (i64::MAX as u64) < expire_ms) {
                    return Err(BadFormat);
                }
                Ok(Some(Pair { field, value, expire_ms }))
            }
            PairSource::Pack { listpack, at } => {
                let listpack = Listpack::new(listpack);
                let mut step = || {
                    let (item, next) = listpack.step(*at).expect("there are three items a field");
                    *at = next;
                    item
                };
                let (field, value, expiry) = (step(), step(), step());
                let expire_ms = match expiry {
                    Item::Integer(0) => None,
                    Item::Integer(expire_ms) => {
                        Some(u64::try_from(expire_ms).map_err(|_| BadFormat)?)
                    }
                    Item::Bytes(_) => return Err(BadFormat),
                };
                let field = text(field, &mut self.field);
                Ok(Some(Pair { field, value: text(value, &mut self.value), expire_ms }))
            }
        }
    }
}

fn text<'s>(item: Item<'_>, scratch: &'s mut Vec<u8>) -> &'s [u8] {
    scratch.clear();
    scratch.extend_from_slice(item.bytes(&mut Scratch::default()));
    scratch
}

/// The members of a sorted set with their scores, in any order; one may come twice, unless they
/// were in one piece.
#[derive(Debug)]
pub(crate) struct Scores<'a>(ScoreSource<'a>, Vec<u8>);

#[derive(Debug)]
enum ScoreSource<'a> {
    Table { reader: Reader<'a>, left: usize, is_text: bool },
    Pack { listpack: Cow<'a, [u8]>, at: Offset },
}

impl Scores<'_> {
    /// The next member; `None` behind the last of a whole value.
    pub(crate) fn next(&mut self) -> Result<Option<(f64, &[u8])>, BadFormat> {
        let scratch = &mut self.1;
        match &mut self.0 {
            ScoreSource::Table { reader, left: 0, .. } => {
                reader.end()?;
                Ok(None)
            }
            ScoreSource::Table { reader, left, is_text } => {
                *left -= 1;
                let member = reader.string()?.read(scratch)?;
                let score = match is_text {
                    true => text_score(reader)?,
                    false => number(f64::from_le_bytes(reader.array()?))?,
                };
                Ok(Some((score, member)))
            }
            ScoreSource::Pack { listpack, at } => {
                let listpack = Listpack::new(listpack);
                let Some((member, next)) = listpack.step(*at) else { return Ok(None) };
                let (score, next) = listpack.step(next).expect("a score is behind each member");
                *at = next;
                Ok(Some((score_of(score)?, text(member, scratch))))
            }
        }
    }
}

/// A byte that says it all, or the size of decimal text.
fn text_score(reader: &mut Reader<'_>) -> Result<f64, BadFormat> {
    match reader.byte()? {
        253 => Err(BadFormat),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        size => parse_score(reader.bytes(size.into())?),
    }
}
