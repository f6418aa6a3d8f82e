//! A large value put together from its parts, as a snapshot holds them.

use std::collections::BTreeMap;

use super::{Fields, Form, Members, Nodes, Object, Ranking};
use crate::listpack::Listpack;
use crate::table::{KeyHasher, MEMBERS, Place, Table};

/// A node of a list: a listpack, or one large element.
pub(crate) const NODE_PACKED: u8 = 0;
pub(crate) const NODE_PLAIN: u8 = 1;

/// A large value that is not whole yet.
#[derive(Debug)]
pub(crate) enum Assembly {
    Set(Members),
    Hash(Fields),
    /// Members with their scores.
    Zset(Vec<(Box<[u8]>, f64)>),
    /// Nodes by their labels.
    List(BTreeMap<u64, (u8, Vec<u8>)>),
}

impl Assembly {
    /// # Panics
    ///
    /// If the form is none of an object.
    pub(crate) fn new(form: Form) -> Self {
        match form {
            Form::ListNodes => Self::List(BTreeMap::new()),
            Form::SetTable => Self::Set(Members::new()),
            Form::HashTable => Self::Hash(Fields::new()),
            Form::ZsetTree => Self::Zset(Vec::new()),
            _ => unreachable!("the form is one of an object"),
        }
    }

    /// False if it does not fit, or is there.
    pub(crate) fn add_member(
        &mut self,
        member: &[u8],
        value: &[u8],
        expire_ms: Option<u64>,
        hasher: &KeyHasher,
    ) -> bool {
        let is_in = |table: &Table| {
            table.find(Place { slot: MEMBERS, hash: hasher.hash(member) }, member).is_some()
        };
        match self {
            Self::Set(members) => {
                let fits = value.is_empty() && expire_ms.is_none() && !is_in(members.table());
                if fits {
                    members.insert(member, hasher);
                }
                fits
            }
            Self::Hash(fields) => {
                let fits = !is_in(fields.table());
                if fits {
                    fields.insert(member, value, expire_ms, hasher);
                }
                fits
            }
            Self::Zset(members) => match value.try_into().map(f64::from_le_bytes) {
                Ok(score) if expire_ms.is_none() => {
                    members.push((member.into(), score));
                    true
                }
                _ => false,
            },
            Self::List(_) => false,
        }
    }

    /// False if it does not fit, or is there.
    pub(crate) fn add_node(&mut self, label: u64, kind: u8, bytes: &[u8]) -> bool {
        let Self::List(nodes) = self else { return false };
        let fits = match kind {
            NODE_PACKED => Listpack::validated(bytes).is_some_and(|list| !list.is_empty()),
            NODE_PLAIN => true,
            _ => false,
        };
        fits && nodes.insert(label, (kind, bytes.to_vec())).is_none()
    }

    /// `None` if there is nothing, or something twice.
    pub(crate) fn finish(self, hasher: &KeyHasher) -> Option<Box<Object>> {
        let object = match self {
            Self::Set(members) => Object::Set(members),
            Self::Hash(fields) => Object::Hash(fields),
            Self::Zset(members) => {
                let members = members.iter().map(|(name, score)| (&**name, *score));
                Object::Zset(Ranking::build(members, hasher)?)
            }
            Self::List(parts) => {
                let mut nodes = Nodes::default();
                for (kind, bytes) in parts.into_values() {
                    match kind {
                        NODE_PACKED => nodes.push_packed(bytes),
                        _ => nodes.push_plain(bytes),
                    }
                }
                Object::List(nodes)
            }
        };
        (0 < object.len()).then(|| Box::new(object))
    }
}
