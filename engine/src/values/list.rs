//! Lists.

use super::{ChangeCx, Changed};
use crate::effect::{Elements, End};
use crate::table::{Entry, EntryBox};

/// A large list. Owner: entry.
#[derive(Debug)]
pub(crate) struct Nodes;

/// What takes one change of [`Nodes`] back.
#[derive(Debug)]
pub(crate) struct Undo;

impl Nodes {
    pub(crate) fn len(&self) -> usize {
        todo!()
    }

    pub(crate) fn size(&self) -> usize {
        todo!()
    }

    pub(crate) fn free(&mut self, _budget: &mut usize) -> bool {
        todo!()
    }

    pub(crate) fn check(&self) {
        todo!()
    }

    pub(crate) fn undo(&mut self, _undo: Undo, _cx: &mut ChangeCx<'_>) {
        todo!()
    }
}

pub(crate) fn empty(_key: &[u8]) -> EntryBox {
    todo!()
}

pub(crate) fn packed_len(_bytes: &[u8]) -> usize {
    todo!()
}

pub(crate) fn for_each_part(_entry: Entry<'_>, _visit: &mut dyn FnMut(&[&[u8]])) {
    todo!()
}

pub(crate) fn push(
    _entry: &mut EntryBox,
    _end: End,
    _elements: Elements<'_>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn pop(
    _entry: &mut EntryBox,
    _end: End,
    _count: usize,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn set(
    _entry: &mut EntryBox,
    _index: usize,
    _element: &[u8],
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn insert(
    _entry: &mut EntryBox,
    _index: usize,
    _element: &[u8],
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn remove(
    _entry: &mut EntryBox,
    _indexes: Elements<'_>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}
