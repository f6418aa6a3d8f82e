//! Hashes.

use super::{ChangeCx, Changed};
use crate::effect::Elements;
use crate::table::{Entry, EntryBox};

/// A large hash. Owner: entry.
#[derive(Debug)]
pub(crate) struct Fields;

/// What takes one change of [`Fields`] back.
#[derive(Debug)]
pub(crate) struct Undo;

impl Fields {
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

pub(crate) fn set(
    _entry: &mut EntryBox,
    _pairs: Elements<'_>,
    _expire_ms: Option<u64>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn remove(
    _entry: &mut EntryBox,
    _fields: Elements<'_>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn expire(
    _entry: &mut EntryBox,
    _fields: Elements<'_>,
    _expire_ms: Option<u64>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}
