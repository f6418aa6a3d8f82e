//! Edits of listpacks, and making them.

use std::ops::Range;

use super::code::{Backlen, Head, encode};
use super::{END, HEADER_SIZE, Item, Listpack, Offset, UNCOUNTED, read_count, write_header};

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

/// Cuts a listpack before an item, which `count` items are before, and returns what was from there
/// on.
pub(crate) fn split_off(list: &mut Vec<u8>, at: Offset, count: usize) -> Vec<u8> {
    let view = Listpack::new(list);
    let behind_count = view.len() - count;
    let mut behind = Vec::with_capacity(HEADER_SIZE + list.len() - at.0);
    behind.resize(HEADER_SIZE, 0);
    behind.extend_from_slice(&list[at.0..]);
    write_header(&mut behind, behind_count);
    list.truncate(at.0);
    list.push(END);
    list.shrink_to_fit();
    write_header(list, count);
    behind
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
