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

use crate::integer::parse_integer;

mod code;
mod edit;
#[cfg(test)]
mod tests;

use code::{
    Backlen, Head, backlen_size, checked_size, decode, encoded_size, integer_size, read_backlen,
    string_head_size,
};
pub(crate) use edit::{
    ListpackBuf, Splice, append, empty, insert, insert_all, push_back, push_front, remove,
    remove_range, replace, split_off, truncate,
};

const HEADER_SIZE: usize = 6;
const END: u8 = 0xff;
/// The count that says: go and count.
const UNCOUNTED: usize = u16::MAX as usize;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listpack<'a>(&'a [u8]);

impl<'a> Listpack<'a> {
    /// Bytes that were made here.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        debug_assert!(read_size(bytes) == bytes.len());
        Self(bytes)
    }

    /// Bytes of unknown origin, if they are exactly what would have been made here. What is not
    /// may still be [`recoded`].
    pub(crate) fn validated(bytes: &'a [u8]) -> Option<Self> {
        check_items(bytes, |item, size, rest| {
            let is_shortest = match item {
                Item::Integer(integer) => integer_size(integer) == size,
                Item::Bytes(text) => {
                    string_head_size(text.len()) + text.len() == size && Item::of(text) == item
                }
            };
            (is_shortest && rest.starts_with(Backlen::of(size).as_slice()))
                .then(|| backlen_size(size))
        })?;
        Some(Self(bytes))
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

/// The listpack that holds the same as one of unknown origin, if that is one at all: with items
/// spelled longer than needed, or with the backlens of Valkey 9, which are shorter where Redis
/// leaves a value of their bits unused.
pub(crate) fn recoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut list = ListpackBuf::with_capacity(bytes.len());
    check_items(bytes, |item, size, rest| {
        match item {
            Item::Integer(_) => list.push(item),
            Item::Bytes(text) => list.push(text),
        }
        let own = Backlen::of(size);
        let shorter = Backlen::spelled(size, own.as_slice().len() - 1);
        let found = [own, shorter].into_iter().find(|backlen| {
            let bytes = backlen.as_slice();
            !bytes.is_empty() && read_backlen(bytes) == size && rest.starts_with(bytes)
        })?;
        Some(found.as_slice().len())
    })?;
    Some(list.finish())
}

/// Walks over bytes of unknown origin. `check` gets each item, its size, and what is behind it; it
/// returns the size of the backlen there, or `None` to refuse.
fn check_items<'a>(
    bytes: &'a [u8],
    mut check: impl FnMut(Item<'a>, usize, &[u8]) -> Option<usize>,
) -> Option<()> {
    let (&end, _) = bytes.split_last()?;
    if bytes.len() <= HEADER_SIZE || read_size(bytes) != bytes.len() || end != END {
        return None;
    }
    let mut rest = &bytes[HEADER_SIZE..bytes.len() - 1];
    let mut count = 0;
    while !rest.is_empty() {
        let size = checked_size(rest).filter(|size| *size <= rest.len())?;
        let (item, _) = decode(rest);
        rest = &rest[size..];
        rest = &rest[check(item, size, rest)?..];
        count += 1;
    }
    let said = read_count(bytes);
    (said == UNCOUNTED || said == count).then_some(())
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
