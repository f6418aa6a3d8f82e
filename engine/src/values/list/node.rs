//! A node of a long list: a listpack of bounded size, or one large element.

use std::cell::Cell;
use std::ops::Range;

use crate::listpack::{self, Item, Listpack, ListpackBuf, Offset};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(super) body: Body,
    pub(super) count: u32,
    pub(super) label: u64,
    /// The last snapshot that has seen it, or that it came too late for.
    pub(super) epoch: Cell<u32>,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Packed(Vec<u8>),
    Plain(Vec<u8>),
}

/// What a node holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Packed(Listpack<'a>),
    /// One large element.
    Plain(&'a [u8]),
}

/// What a packed node is not to exceed.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeLimit {
    size: usize,
    count: usize,
}

/// The limit on a node's bytes if its elements are limited.
const COUNTED_SIZE_MAX: usize = 8192;

/// A node in which elements are replaced by longer ones may exceed the limit by this factor.
const SET_LIMITS_MAX: usize = 4;

/// Redis takes an element for this much larger than its bytes.
const ELEMENT_OVERHEAD: usize = 8;

impl NodeLimit {
    /// From `list-max-listpack-size`.
    pub(super) fn of(setting: i64) -> Self {
        match setting {
            0.. => Self { size: COUNTED_SIZE_MAX, count: setting.max(1) as usize },
            _ => {
                let level = setting.unsigned_abs().min(5) - 1;
                Self { size: 4096 << level, count: usize::MAX }
            }
        }
    }

    pub(super) fn is_exceeded(self, size: usize, count: usize) -> bool {
        self.size < size || self.count < count
    }

    /// Bytes of a node in which elements are replaced by longer ones.
    pub(super) fn set_size_max(self) -> usize {
        SET_LIMITS_MAX * self.size
    }

    /// An element of `size` bytes gets a node of its own.
    pub(super) fn is_large(self, size: usize) -> bool {
        self.size < size
    }

    /// So little is left in one node that the list is one listpack again: half of what would have
    /// made it nodes, so that it does not go back and forth.
    pub(super) fn is_low(self, size: usize, count: usize) -> bool {
        match self.count {
            usize::MAX => size <= self.size / 2,
            limit => count <= limit / 2,
        }
    }
}

impl Node {
    pub(super) fn of(element: &[u8], limit: NodeLimit) -> Self {
        if limit.is_large(element.len()) {
            return Self::plain(element.to_vec());
        }
        let mut list = ListpackBuf::new();
        list.push(element);
        Self::packed(list.finish())
    }

    pub(super) fn packed(bytes: Vec<u8>) -> Self {
        let count = Listpack::new(&bytes).len() as u32;
        Self { body: Body::Packed(bytes), count, label: 0, epoch: Cell::new(0) }
    }

    pub(super) fn plain(bytes: Vec<u8>) -> Self {
        Self { body: Body::Plain(bytes), count: 1, label: 0, epoch: Cell::new(0) }
    }

    pub(crate) fn content(&self) -> Content<'_> {
        match &self.body {
            Body::Packed(bytes) => Content::Packed(Listpack::new(bytes)),
            Body::Plain(bytes) => Content::Plain(bytes),
        }
    }

    pub(super) fn buffer(&self) -> usize {
        match &self.body {
            Body::Packed(bytes) | Body::Plain(bytes) => bytes.capacity(),
        }
    }

    /// An element of `size` bytes may come to it.
    pub(super) fn allows(&self, size: usize, limit: NodeLimit) -> bool {
        match &self.body {
            Body::Packed(bytes) => {
                let grown = bytes.len() + size + ELEMENT_OVERHEAD;
                !limit.is_large(size) && !limit.is_exceeded(grown, self.count as usize + 1)
            }
            Body::Plain(_) => false,
        }
    }

    /// The element at an index.
    pub(super) fn get(&self, index: usize) -> Item<'_> {
        match self.content() {
            Content::Plain(bytes) => Item::Bytes(bytes),
            Content::Packed(list) => list.get(place(list, index)).expect("the index is in it"),
        }
    }

    pub(super) fn list_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.body {
            Body::Packed(bytes) => bytes,
            Body::Plain(_) => unreachable!("a large element is not changed in place"),
        }
    }

    pub(super) fn insert(&mut self, index: usize, element: &[u8], limit: NodeLimit) {
        let item = Item::of(element);
        let list = self.list_mut();
        let needed = list.len() + item.encoded_size();
        if list.capacity() < needed {
            // It will hardly grow beyond the limit.
            let room = (needed + needed / GROWTH_SHARE).min(limit.size).max(needed);
            list.reserve_exact(room - list.len());
        }
        let at = place(Listpack::new(list), index);
        listpack::insert(list, at, item);
        self.count += 1;
    }

    /// Takes items out, which are not all.
    pub(super) fn remove_range(&mut self, range: Range<usize>) {
        let list = self.list_mut();
        let view = Listpack::new(list);
        let offsets = place(view, range.start)..place(view, range.end);
        listpack::remove_range(list, offsets, range.len());
        self.count -= range.len() as u32;
    }

    /// Keeps the first items and returns a node of the others. Neither are none.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let list = self.list_mut();
        let at = place(Listpack::new(list), index);
        let behind = Self::packed(listpack::split_off(list, at, index));
        self.count = index as u32;
        behind
    }
}

/// A buffer that is full grows by one part in so many.
const GROWTH_SHARE: usize = 4;

/// Where the item at an index begins, or the end.
pub(super) fn place(list: Listpack<'_>, index: usize) -> Offset {
    list.at(index as isize).unwrap_or(list.end())
}
