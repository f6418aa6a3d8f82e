//! A run of byte strings and integers in one piece of memory: small collections, and the nodes of
//! long lists.
//!
//! The bytes are exactly those of Redis's listpack, so that they go into an RDB value as they are:
//!
//! ```text
//! u32 LE   the size of everything
//! u16 LE   the number of items; 65535: to be counted
//! items    each: encoding (and length, and bytes), then its backlen
//! 0xff     the end
//!
//! 0xxxxxxx                 0..=127                      1111 0001  i16 LE
//! 10llllll bytes           up to 63 bytes               1111 0010  i24 LE
//! 110vvvvv vvvvvvvv        -4096..=4095                 1111 0011  i32 LE
//! 1110llll llllllll bytes  up to 4095 bytes             1111 0100  i64 LE
//! 11110000 u32 LE bytes    longer ones
//! ```
//!
//! The backlen is the size of the item before it, in groups of seven bits, the highest first and
//! all but the first byte with the high bit set, so that it can be read backwards.
//!
//! Reading allocates nothing. An edit makes room once, whatever it takes out and puts in.
//!
//! # Invariants
//!
//! * Every item has exactly one spelling: the shortest. What is the decimal spelling of a 64-bit
//!   integer is an integer. So equal items have equal bytes.
//! * Bytes that were not made here pass [`Listpack::validated`] first. What reads trusts them, and
//!   panics where it cannot go on.

use std::ops::Range;

use crate::integer::parse_integer;

#[cfg(test)]
mod tests;

const HEADER_SIZE: usize = 6;
const END: u8 = 0xff;
/// The count that says: go and count.
const UNCOUNTED: usize = u16::MAX as usize;
/// The longest encoding and length before an item's bytes, or of an integer.
const HEAD_SIZE_MAX: usize = 9;
const BACKLEN_SIZE_MAX: usize = 5;

/// A listpack is not to become larger than this; what would make it so takes another form first.
pub(crate) const SAFE_SIZE_MAX: usize = 1 << 30;

/// Room for the text of any integer.
pub(crate) type Scratch = [u8; 20];

/// An element as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Integer(i64),
    /// Not the spelling of an integer.
    Bytes(&'a [u8]),
}

impl<'a> Item<'a> {
    /// How a byte string is stored.
    #[inline]
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let is_likely = match bytes {
            [b'-' | b'0'..=b'9', ..] => bytes.len() <= size_of::<Scratch>(),
            _ => false,
        };
        match is_likely.then(|| parse_integer(bytes)).flatten() {
            Some(integer) => Self::Integer(integer),
            None => Self::Bytes(bytes),
        }
    }

    /// The byte string.
    #[inline]
    pub(crate) fn bytes<'b>(self, scratch: &'b mut Scratch) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Integer(integer) => {
                let mut buffer = itoa::Buffer::new();
                let text = buffer.format(integer).as_bytes();
                scratch[..text.len()].copy_from_slice(text);
                &scratch[..text.len()]
            }
        }
    }

    /// The length of the byte string.
    pub(crate) fn len(self) -> usize {
        self.bytes(&mut Scratch::default()).len()
    }

    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.bytes(&mut Scratch::default()).to_vec()
    }

    /// It is this byte string. To compare many with one, [`Item::of`] the one first.
    #[inline]
    pub(crate) fn eq_bytes(self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(own) => own == bytes,
            Self::Integer(_) => self == Item::of(bytes),
        }
    }

    /// The bytes it takes in a listpack.
    pub(crate) fn encoded_size(self) -> usize {
        let size = match self {
            Self::Integer(integer) => integer_size(integer),
            Self::Bytes(bytes) => string_head_size(bytes.len()) + bytes.len(),
        };
        size + backlen_size(size)
    }
}

impl<'a> From<&'a [u8]> for Item<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::of(bytes)
    }
}

impl From<i64> for Item<'_> {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

/// Where an item begins, or the end. It is of one listpack, until that changes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(usize);

impl Offset {
    /// Where the first item begins, if there is one.
    pub(crate) const FIRST: Self = Self(HEADER_SIZE);

    /// Bytes from the begin of the listpack.
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

/// The bytes of a listpack, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listpack<'a>(&'a [u8]);

impl<'a> Listpack<'a> {
    /// Bytes that were made here.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        debug_assert!(read_size(bytes) == bytes.len());
        Self(bytes)
    }

    /// Bytes of unknown origin, if they are exactly what would have been made here.
    pub(crate) fn validated(bytes: &'a [u8]) -> Option<Self> {
        let (&end, _) = bytes.split_last()?;
        if bytes.len() <= HEADER_SIZE || read_size(bytes) != bytes.len() || end != END {
            return None;
        }
        let last = bytes.len() - 1;
        let (mut at, mut count) = (HEADER_SIZE, 0);
        while at < last {
            let rest = &bytes[at..last];
            let size = checked_size(rest).filter(|size| *size <= rest.len())?;
            let (item, _) = decode(rest);
            let is_shortest = match item {
                Item::Integer(integer) => integer_size(integer) == size,
                Item::Bytes(text) => {
                    string_head_size(text.len()) + text.len() == size && Item::of(text) == item
                }
            };
            let backlen = Backlen::of(size);
            if !is_shortest || !rest[size..].starts_with(backlen.as_slice()) {
                return None;
            }
            at += size + backlen.as_slice().len();
            count += 1;
        }
        let said = read_count(bytes);
        (said == UNCOUNTED || said == count).then_some(Self(bytes))
    }

    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Its bytes.
    pub(crate) fn size(self) -> usize {
        self.0.len()
    }

    /// Its items.
    pub(crate) fn len(self) -> usize {
        match read_count(self.0) {
            UNCOUNTED => self.iter().count(),
            count => count,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0[HEADER_SIZE] == END
    }

    /// Another item of so many bytes may be added.
    pub(crate) fn is_safe_to_add(self, size: usize) -> bool {
        self.size() + size <= SAFE_SIZE_MAX
    }

    pub(crate) fn iter(self) -> Iter<'a> {
        Iter { bytes: self.0, front: HEADER_SIZE, back: self.end().0 }
    }

    /// The items from one on. From both ends: the iterator does not go back behind that one.
    pub(crate) fn iter_from(self, from: Offset) -> Iter<'a> {
        Iter { bytes: self.0, front: from.0, back: self.end().0 }
    }

    /// The items before a place: for going backwards from there.
    pub(crate) fn iter_to(self, to: Offset) -> Iter<'a> {
        Iter { bytes: self.0, front: HEADER_SIZE, back: to.0 }
    }

    /// Two items at a time: fields and values, members and scores. An odd one at the end is left.
    pub(crate) fn pairs(self) -> impl DoubleEndedIterator<Item = (Item<'a>, Item<'a>)> {
        Pairs(self.iter())
    }

    /// Behind the last item.
    pub(crate) fn end(self) -> Offset {
        Offset(self.0.len() - 1)
    }

    pub(crate) fn last(self) -> Option<Offset> {
        self.previous(self.end())
    }

    /// The item that begins there; `None` at the end.
    #[inline]
    pub(crate) fn get(self, at: Offset) -> Option<Item<'a>> {
        let rest = &self.0[at.0..];
        (rest[0] != END).then(|| decode(rest).0)
    }

    /// The item that begins there and where the next one does; `None` at the end.
    #[inline]
    pub(crate) fn step(self, at: Offset) -> Option<(Item<'a>, Offset)> {
        let rest = &self.0[at.0..];
        if rest[0] == END {
            return None;
        }
        let (item, size) = decode(rest);
        Some((item, Offset(at.0 + size + backlen_size(size))))
    }

    /// Where the item behind the one there begins. There must be one there.
    #[inline]
    pub(crate) fn next(self, at: Offset) -> Offset {
        let size = encoded_size(&self.0[at.0..]);
        Offset(at.0 + size + backlen_size(size))
    }

    /// Where the item before a place begins; `None` if that is the first.
    #[inline]
    pub(crate) fn previous(self, at: Offset) -> Option<Offset> {
        (HEADER_SIZE < at.0).then(|| {
            let size = read_backlen(&self.0[..at.0]);
            Offset(at.0 - size - backlen_size(size))
        })
    }

    /// Where an item begins: counted from the left from 0, or from the right from -1.
    pub(crate) fn at(self, index: isize) -> Option<Offset> {
        let count = match read_count(self.0) {
            UNCOUNTED => return self.walk_to(index),
            count => count as isize,
        };
        let index = if index < 0 { count + index } else { index };
        if !(0..count).contains(&index) {
            None
        } else if index <= count / 2 {
            self.walk_to(index)
        } else {
            self.walk_to(index - count)
        }
    }

    fn walk_to(self, index: isize) -> Option<Offset> {
        if index < 0 {
            let mut at = self.last()?;
            for _ in index..-1 {
                at = self.previous(at)?;
            }
            return Some(at);
        }
        let mut at = Offset::FIRST;
        for _ in 0..index {
            if at == self.end() {
                return None;
            }
            at = self.next(at);
        }
        (at != self.end()).then_some(at)
    }

    /// The first item from a place on that is this one, looking at an item and leaving out `skip`
    /// of them in turn: the fields of a hash are found from the first on with `skip` 1.
    #[inline]
    pub(crate) fn find<'b>(
        self,
        from: Offset,
        item: impl Into<Item<'b>>,
        skip: usize,
    ) -> Option<Offset> {
        let (head, tail) = Head::of(item.into());
        let head = head.as_slice();
        let wanted = head.len() + tail.len();
        let mut at = from.0;
        loop {
            let mut rest = &self.0[at..];
            if rest[0] == END {
                return None;
            }
            let size = encoded_size(rest);
            // Equal items have equal bytes.
            if size == wanted && rest[..head.len()] == *head && rest[head.len()..size] == *tail {
                return Some(Offset(at));
            }
            at += size + backlen_size(size);
            for _ in 0..skip {
                rest = &self.0[at..];
                if rest[0] == END {
                    return None;
                }
                let size = encoded_size(rest);
                at += size + backlen_size(size);
            }
        }
    }
}

/// The items of a listpack, from either end.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl Iter<'_> {
    /// Where the item begins that `next` will return.
    pub(crate) fn offset(&self) -> Offset {
        Offset(self.front)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        if self.back <= self.front {
            return None;
        }
        let (item, size) = decode(&self.bytes[self.front..]);
        self.front += size + backlen_size(size);
        Some(item)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.back <= self.front {
            return None;
        }
        let size = read_backlen(&self.bytes[..self.back]);
        self.back -= size + backlen_size(size);
        Some(decode(&self.bytes[self.back..]).0)
    }
}

#[derive(Clone, Debug)]
struct Pairs<'a>(Iter<'a>);

impl<'a> Iterator for Pairs<'a> {
    type Item = (Item<'a>, Item<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let second = self.0.next_back()?;
        Some((self.0.next_back()?, second))
    }
}

/// An edit: items taken out and others put in where they were.
#[derive(Clone, Debug)]
pub(crate) struct Splice<I> {
    range: Range<usize>,
    removed: usize,
    items: I,
    added: usize,
    added_size: usize,
}

impl<'a, I: Iterator<Item = Item<'a>> + Clone> Splice<I> {
    /// Takes `removed` items out, which are the bytes of `range`, and puts `items` there.
    pub(crate) fn new(range: Range<Offset>, removed: usize, items: I) -> Self {
        let (mut added, mut added_size) = (0, 0);
        for item in items.clone() {
            added += 1;
            added_size += item.encoded_size();
        }
        Self { range: range.start.0..range.end.0, removed, items, added, added_size }
    }

    /// The size of the listpack when that is done.
    pub(crate) fn size(&self, list: &[u8]) -> usize {
        list.len() - self.range.len() + self.added_size
    }

    /// Writes what becomes of `list` into `out`, which is of exactly [`size`](Self::size) bytes.
    pub(crate) fn write(self, list: &[u8], out: &mut [u8]) {
        assert!(out.len() == self.size(list));
        let (before, behind) = (&list[..self.range.start], &list[self.range.end..]);
        out[..before.len()].copy_from_slice(before);
        let behind_start = out.len() - behind.len();
        out[behind_start..].copy_from_slice(behind);
        self.fill(read_count(list), out);
    }

    /// Changes `list` in place.
    pub(crate) fn apply(self, list: &mut Vec<u8>) {
        let (count, old_size, new_size) = (read_count(list), list.len(), self.size(list));
        let behind_start = self.range.start + self.added_size;
        if old_size < new_size {
            if list.capacity() < new_size {
                list.reserve_exact((new_size - old_size).max(old_size / GROWTH_SHARE));
            }
            list.resize(new_size, 0);
            list.copy_within(self.range.end..old_size, behind_start);
        } else {
            list.copy_within(self.range.end..old_size, behind_start);
            list.truncate(new_size);
            if new_size < list.capacity() / 2 {
                list.shrink_to(new_size + new_size / GROWTH_SHARE);
            }
        }
        self.fill(count, list);
    }

    /// Writes the items and the header; what is around the items is there.
    fn fill(self, old_count: usize, out: &mut [u8]) {
        let mut place = &mut out[self.range.start..self.range.start + self.added_size];
        for item in self.items {
            place = encode(item, place);
        }
        assert!(place.is_empty());
        let count = match old_count {
            UNCOUNTED => UNCOUNTED,
            count => count - self.removed + self.added,
        };
        write_header(out, count);
    }
}

/// A buffer that is full grows by at least one part in so many.
const GROWTH_SHARE: usize = 4;

/// A listpack without an item.
pub(crate) fn empty() -> Vec<u8> {
    ListpackBuf::new().finish()
}

pub(crate) fn push_back<'a>(list: &mut Vec<u8>, item: impl Into<Item<'a>>) {
    let end = Listpack::new(list).end();
    insert(list, end, item);
}

pub(crate) fn push_front<'a>(list: &mut Vec<u8>, item: impl Into<Item<'a>>) {
    insert(list, Offset::FIRST, item);
}

/// Puts an item before the one there.
pub(crate) fn insert<'a>(list: &mut Vec<u8>, at: Offset, item: impl Into<Item<'a>>) {
    insert_all(list, at, [item.into()].into_iter());
}

/// Puts items, in their order, before the one there: pairs, or many at an end.
pub(crate) fn insert_all<'a>(
    list: &mut Vec<u8>,
    at: Offset,
    items: impl Iterator<Item = Item<'a>> + Clone,
) {
    Splice::new(at..at, 0, items).apply(list);
}

/// Puts an item in the place of the one there.
pub(crate) fn replace<'a>(list: &mut Vec<u8>, at: Offset, item: impl Into<Item<'a>>) {
    let end = Listpack::new(list).next(at);
    Splice::new(at..end, 1, [item.into()].into_iter()).apply(list);
}

/// Takes `count` items out, from the one there on, or as many as there are. Returns how many.
/// What was behind them is at the same place now.
pub(crate) fn remove(list: &mut Vec<u8>, at: Offset, count: usize) -> usize {
    let view = Listpack::new(list);
    let (mut end, mut removed) = (at, 0);
    while removed < count && end != view.end() {
        end = view.next(end);
        removed += 1;
    }
    remove_range(list, at..end, removed);
    removed
}

/// Takes out the items of `range`, of which there are `count`.
pub(crate) fn remove_range(list: &mut Vec<u8>, range: Range<Offset>, count: usize) {
    Splice::new(range, count, std::iter::empty()).apply(list);
}

/// Keeps the first `count` items.
pub(crate) fn truncate(list: &mut Vec<u8>, count: usize) {
    let view = Listpack::new(list);
    let Ok(index) = isize::try_from(count) else { return };
    if let Some(at) = view.at(index) {
        let (end, removed) = (view.end(), view.len() - count);
        remove_range(list, at..end, removed);
    }
}

/// Puts all items of `other` behind those of `list`.
pub(crate) fn append(list: &mut Vec<u8>, other: Listpack<'_>) {
    let items = &other.0[HEADER_SIZE..];
    let count = (read_count(list) + read_count(other.0)).min(UNCOUNTED);
    list.pop();
    list.reserve_exact(items.len());
    list.extend_from_slice(items);
    write_header(list, count);
}

/// Makes a listpack from the left to the right.
#[derive(Clone, Debug)]
pub(crate) struct ListpackBuf {
    /// Without the end.
    bytes: Vec<u8>,
    count: usize,
}

impl ListpackBuf {
    pub(crate) fn new() -> Self {
        Self::with_capacity(HEADER_SIZE + 1)
    }

    /// With room for a listpack of `size` bytes.
    pub(crate) fn with_capacity(size: usize) -> Self {
        let mut bytes = Vec::with_capacity(size.max(HEADER_SIZE + 1));
        bytes.resize(HEADER_SIZE, 0);
        Self { bytes, count: 0 }
    }

    #[inline]
    pub(crate) fn push<'a>(&mut self, item: impl Into<Item<'a>>) {
        let (head, tail) = Head::of(item.into());
        let backlen = Backlen::of(head.as_slice().len() + tail.len());
        self.bytes.extend_from_slice(head.as_slice());
        self.bytes.extend_from_slice(tail);
        self.bytes.extend_from_slice(backlen.as_slice());
        self.count += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of the listpack if it is finished now.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + 1
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        write_header(&mut self.bytes, self.count);
        self.bytes
    }
}

fn read_size(bytes: &[u8]) -> usize {
    match bytes.first_chunk() {
        Some(size) => u32::from_le_bytes(*size) as usize,
        None => 0,
    }
}

/// What the header says; `UNCOUNTED` if that is not how many there are.
fn read_count(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[4], bytes[5]]))
}

fn write_header(bytes: &mut [u8], count: usize) {
    let size = u32::try_from(bytes.len()).expect("a listpack stays below the safe size");
    bytes[..4].copy_from_slice(&size.to_le_bytes());
    bytes[4..HEADER_SIZE].copy_from_slice(&(count.min(UNCOUNTED) as u16).to_le_bytes());
}

/// The size of the item there, without its backlen.
#[inline]
fn encoded_size(rest: &[u8]) -> usize {
    let first = rest[0];
    match first {
        0x00..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(rest[1])),
        0xf0 => 5 + u32::from_le_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        0xf5..=0xff => unreachable!("a listpack has no such item"),
    }
}

/// As `encoded_size`, of bytes that may end anywhere and be anything.
fn checked_size(rest: &[u8]) -> Option<usize> {
    let head_size = match rest.first()? {
        0xe0..=0xef => 2,
        0xf0 => 5,
        0xf5..=0xff => return None,
        _ => 1,
    };
    (head_size <= rest.len()).then(|| encoded_size(rest))
}

/// The item there, and its size without the backlen.
#[inline]
fn decode(rest: &[u8]) -> (Item<'_>, usize) {
    let size = encoded_size(rest);
    let first = rest[0];
    let item = match first {
        0x00..=0x7f => Item::Integer(i64::from(first)),
        0x80..=0xbf => Item::Bytes(&rest[1..size]),
        // The 13 bits are moved to the top of 16, so that moving them back keeps the sign.
        0xc0..=0xdf => Item::Integer(i64::from(
            i16::from_be_bytes([first << 3 | rest[1] >> 5, rest[1] << 3]) >> 3,
        )),
        0xe0..=0xef => Item::Bytes(&rest[2..size]),
        0xf0 => Item::Bytes(&rest[5..size]),
        _ => {
            let mut bytes = [0; 8];
            bytes[..size - 1].copy_from_slice(&rest[1..size]);
            let unused = 64 - 8 * (size as u32 - 1);
            Item::Integer(i64::from_le_bytes(bytes) << unused >> unused)
        }
    };
    (item, size)
}

/// Writes an item at the begin of `out` and returns the rest of it.
fn encode<'o>(item: Item<'_>, out: &'o mut [u8]) -> &'o mut [u8] {
    let (head, tail) = Head::of(item);
    let backlen = Backlen::of(head.as_slice().len() + tail.len());
    let mut rest = out;
    for part in [head.as_slice(), tail, backlen.as_slice()] {
        let (place, behind) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    rest
}

fn integer_size(integer: i64) -> usize {
    match integer {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    }
}

fn string_head_size(size: usize) -> usize {
    match size {
        0..=63 => 1,
        64..=4095 => 2,
        _ => 5,
    }
}

/// What is before an item's bytes: all of an integer.
struct Head {
    bytes: [u8; HEAD_SIZE_MAX],
    size: u8,
}

impl Head {
    #[inline]
    fn of(item: Item<'_>) -> (Self, &[u8]) {
        let mut bytes = [0; HEAD_SIZE_MAX];
        let (size, tail) = match item {
            Item::Integer(integer) => {
                let size = integer_size(integer);
                let low = integer.to_le_bytes();
                match size {
                    1 => bytes[0] = low[0],
                    2 => (bytes[0], bytes[1]) = (0xc0 | (low[1] & 0x1f), low[0]),
                    _ => {
                        bytes[0] = match size {
                            3 => 0xf1,
                            4 => 0xf2,
                            5 => 0xf3,
                            _ => 0xf4,
                        };
                        bytes[1..size].copy_from_slice(&low[..size - 1]);
                    }
                }
                (size, &[][..])
            }
            Item::Bytes(text) => {
                let length = u32::try_from(text.len()).expect("a string is far below 4 GiB");
                let low = length.to_le_bytes();
                let size = string_head_size(text.len());
                match size {
                    1 => bytes[0] = 0x80 | low[0],
                    2 => (bytes[0], bytes[1]) = (0xe0 | low[1], low[0]),
                    _ => {
                        bytes[0] = 0xf0;
                        bytes[1..5].copy_from_slice(&low);
                    }
                }
                (size, text)
            }
        };
        (Self { bytes, size: size as u8 }, tail)
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// The size of an item, to be read from behind.
struct Backlen {
    bytes: [u8; BACKLEN_SIZE_MAX],
    size: u8,
}

impl Backlen {
    #[inline]
    fn of(item_size: usize) -> Self {
        let size = backlen_size(item_size);
        let mut bytes = [0; BACKLEN_SIZE_MAX];
        for (place, byte) in bytes[..size].iter_mut().enumerate() {
            let group = (item_size >> (7 * (size - 1 - place))) as u8 & 0x7f;
            *byte = if place == 0 { group } else { group | 0x80 };
        }
        Self { bytes, size: size as u8 }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// The bytes of a backlen. Redis's limits are one below what the bits could hold, except the
/// first; the bytes are to be the same.
#[inline]
fn backlen_size(item_size: usize) -> usize {
    match item_size {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The size of the item whose backlen is at the end of `bytes`.
#[inline]
fn read_backlen(bytes: &[u8]) -> usize {
    let mut size = 0;
    for (position, byte) in bytes.iter().rev().take(BACKLEN_SIZE_MAX).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return size;
        }
    }
    unreachable!("a listpack has no such backlen")
}
