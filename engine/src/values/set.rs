//! Sets.

use super::{ChangeCx, Changed, Form};
use crate::effect::Elements;
use crate::table::{Entry, EntryBox};

/// A large set. Owner: entry.
#[derive(Debug)]
pub(crate) struct Members;

/// What takes one change of [`Members`] back.
#[derive(Debug)]
pub(crate) struct Undo;

impl Members {
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

pub(crate) fn packed_len(_form: Form, _bytes: &[u8]) -> usize {
    todo!()
}

pub(crate) fn for_each_part(_entry: Entry<'_>, _visit: &mut dyn FnMut(&[&[u8]])) {
    todo!()
}

pub(crate) fn add(
    _entry: &mut EntryBox,
    _members: Elements<'_>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}

pub(crate) fn remove(
    _entry: &mut EntryBox,
    _members: Elements<'_>,
    _cx: &mut ChangeCx<'_>,
) -> Changed {
    todo!()
}
