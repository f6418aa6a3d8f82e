//! A large value put together from its parts, as a snapshot holds them.

use super::{Form, Object};
use crate::table::{Attributes, EntryBox, KeyHasher, MEMBERS, Place, Table};

/// A large value that is not whole yet.
#[derive(Debug)]
pub(crate) struct Assembly {
    form: Form,
    members: Table,
}

impl Assembly {
    pub(crate) fn new(form: Form) -> Self {
        assert!(form.is_object());
        Self { form, members: Table::of_members() }
    }

    /// False if it does not fit, or is there.
    pub(crate) fn add_member(
        &mut self,
        member: &[u8],
        value: &[u8],
        expire_ms: Option<u64>,
        hasher: &KeyHasher,
    ) -> bool {
        let place = Place { slot: MEMBERS, hash: hasher.hash(member) };
        if self.form == Form::ListNodes || self.members.find(place, member).is_some() {
            return false;
        }
        let attributes = Attributes { expire_ms, ..Attributes::default() };
        self.members.insert(place, EntryBox::packed(member, value, attributes), hasher);
        true
    }

    /// False if it does not fit.
    pub(crate) fn add_node(&mut self, _label: u64, _kind: u8, _bytes: &[u8]) -> bool {
        todo!()
    }

    /// `None` if something is missing.
    pub(crate) fn finish(self) -> Option<Box<Object>> {
        todo!()
    }
}
