//! What a key can hold besides a string, and how it is stored.
//!
//! A value that is small is bytes, the very bytes that Redis stores: a listpack or an intset. One
//! that is large is an object of its own. Which of them it is never changes what it holds; a value
//! becomes an object while an effect is applied, by the limits of its keyspace.

mod assembly;
mod hash;
mod limits;
mod list;
mod parts;
mod payload;
mod set;
mod zset;

use crate::effect::Effect;
use crate::table::{Entry, EntryBox, KeyHasher, Table};

pub(crate) use assembly::{Assembly, NODE_PACKED, NODE_PLAIN};
pub(crate) use hash::{Fields, HashView};
pub use limits::EncodingLimits;
pub(crate) use list::{Content, Direction, LEN_MAX as LIST_LEN_MAX, ListView, Nodes};
pub(crate) use payload::{is_payload, of_payload, payload_of};
pub(crate) use set::{Members, SetView};
pub(crate) use zset::{Ranking, Scored, Zset};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    String,
    List,
    Set,
    Hash,
    Zset,
}

impl Type {
    /// As TYPE calls it.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::Hash => "hash",
            Type::Zset => "zset",
        }
    }
}

/// What a value is and how it is stored: four bits of its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Form {
    #[default]
    String = 0,
    ListPack,
    ListNodes,
    IntSet,
    SetPack,
    SetTable,
    HashPack,
    HashTable,
    ZsetPack,
    ZsetTree,
}

/// Every form by its number.
const FORMS: [Form; 10] = [
    Form::String,
    Form::ListPack,
    Form::ListNodes,
    Form::IntSet,
    Form::SetPack,
    Form::SetTable,
    Form::HashPack,
    Form::HashTable,
    Form::ZsetPack,
    Form::ZsetTree,
];

impl Form {
    /// # Panics
    ///
    /// If no form has this number.
    #[inline]
    pub(crate) fn of(number: u8) -> Self {
        FORMS[usize::from(number)]
    }

    /// The form of a number that was stored, if there is one.
    pub(crate) fn read(number: u8) -> Option<Self> {
        FORMS.get(usize::from(number)).copied()
    }

    #[inline]
    pub(crate) fn kind(self) -> Type {
        match self {
            Form::String => Type::String,
            Form::ListPack | Form::ListNodes => Type::List,
            Form::IntSet | Form::SetPack | Form::SetTable => Type::Set,
            Form::HashPack | Form::HashTable => Type::Hash,
            Form::ZsetPack | Form::ZsetTree => Type::Zset,
        }
    }

    /// It is stored as an object, not as bytes.
    pub(crate) fn is_object(self) -> bool {
        matches!(self, Form::ListNodes | Form::SetTable | Form::HashTable | Form::ZsetTree)
    }

    /// As OBJECT ENCODING calls it. A string's depends on what it spells.
    pub(crate) fn encoding(self) -> Option<&'static str> {
        match self {
            Form::String => None,
            Form::ListPack | Form::SetPack | Form::HashPack | Form::ZsetPack => Some("listpack"),
            Form::ListNodes => Some("quicklist"),
            Form::IntSet => Some("intset"),
            Form::SetTable | Form::HashTable => Some("hashtable"),
            Form::ZsetTree => Some("skiplist"),
        }
    }
}

/// A large value.
#[derive(Debug)]
pub(crate) enum Object {
    List(Nodes),
    Set(Members),
    Hash(Fields),
    Zset(Ranking),
}

impl Object {
    pub(crate) fn form(&self) -> Form {
        match self {
            Object::List(_) => Form::ListNodes,
            Object::Set(_) => Form::SetTable,
            Object::Hash(_) => Form::HashTable,
            Object::Zset(_) => Form::ZsetTree,
        }
    }

    /// Elements, members, or pairs.
    pub(crate) fn len(&self) -> usize {
        match self {
            Object::List(nodes) => nodes.len(),
            Object::Set(members) => members.len(),
            Object::Hash(fields) => fields.len(),
            Object::Zset(ranking) => ranking.len(),
        }
    }

    /// Bytes allocated for it, its own among them. Is quick.
    pub(crate) fn size(&self) -> usize {
        let contents = match self {
            Object::List(nodes) => nodes.size(),
            Object::Set(members) => members.size(),
            Object::Hash(fields) => fields.size(),
            Object::Zset(ranking) => ranking.size(),
        };
        size_of::<Self>() + contents
    }

    /// Frees as much as the budget, in entries, reaches; true if there is more. Only for what has
    /// left the keyspace: nothing but this is called afterwards.
    pub(crate) fn free(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        match self {
            Object::List(nodes) => nodes.free(budget),
            Object::Set(members) => members.free(budget, large),
            Object::Hash(fields) => fields.free(budget, large),
            Object::Zset(ranking) => ranking.free(budget, large),
        }
    }

    /// Its members, with what belongs to each, unless it is a list.
    pub(crate) fn table(&self) -> Option<&Table> {
        match self {
            Object::List(_) => None,
            Object::Set(members) => Some(members.table()),
            Object::Hash(fields) => Some(fields.table()),
            Object::Zset(ranking) => Some(ranking.table()),
        }
    }

    /// Asserts the invariants. Walks everything.
    pub(crate) fn check(&self, hasher: &KeyHasher) {
        match self {
            Object::List(nodes) => nodes.check(),
            Object::Set(members) => members.check(hasher),
            Object::Hash(fields) => fields.check(hasher),
            Object::Zset(ranking) => ranking.check(),
        }
    }
}

/// What the change of a value needs besides the value.
pub(crate) struct ChangeCx<'a> {
    pub(crate) hasher: &'a KeyHasher,
    pub(crate) limits: &'a EncodingLimits,
    /// For bytes that are built and copied.
    pub(crate) scratch: &'a mut Vec<u8>,
    /// The change may be taken back: an object returns how.
    pub(crate) keeps: bool,
}

/// What takes back the change of an object that was one before and is one afterwards. A value
/// that is bytes before the change is kept whole, by the caller.
#[derive(Debug)]
pub(crate) enum Undo {
    List(list::Undo),
    Set(set::Undo),
    Hash(hash::Undo),
    Zset(zset::Undo),
}

impl Undo {
    /// What it holds that may be large, to be freed later.
    pub(crate) fn into_object(self) -> Option<Box<Object>> {
        match self {
            Undo::List(undo) => undo.into_object(),
            Undo::Set(_) | Undo::Hash(_) | Undo::Zset(_) => None,
        }
    }
}

/// The effect does not fit the value; it says why. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

/// `None` if nothing is to be kept, or if the value was bytes. What is too large to be freed at
/// once may be returned whatever is to be kept.
pub(crate) type Changed = Result<Option<Undo>, Unfit>;

/// The type an effect on one value changes, and whether it makes a value where there is none;
/// `None` for effects on strings and on whole keys.
pub(crate) fn target_of(effect: &Effect<'_>) -> Option<(Type, bool)> {
    Some(match effect {
        Effect::ListPush { .. } => (Type::List, true),
        Effect::ListPop { .. }
        | Effect::ListSet { .. }
        | Effect::ListInsert { .. }
        | Effect::ListRemove { .. } => (Type::List, false),
        Effect::SetAdd { .. } => (Type::Set, true),
        Effect::SetRemove { .. } => (Type::Set, false),
        Effect::HashSet { .. } => (Type::Hash, true),
        Effect::HashRemove { .. } | Effect::HashExpire { .. } => (Type::Hash, false),
        Effect::ZsetAdd { .. } => (Type::Zset, true),
        Effect::ZsetRemove { .. } | Effect::ZsetRemoveRange { .. } => (Type::Zset, false),
        _ => return None,
    })
}

/// The value that `effect` is first applied to where there is none: it is empty.
pub(crate) fn empty(key: &[u8], kind: Type) -> EntryBox {
    match kind {
        Type::String => unreachable!("a string is put, not changed"),
        Type::List => list::empty(key),
        Type::Set => set::empty(key),
        Type::Hash => hash::empty(key),
        Type::Zset => zset::empty(key),
    }
}

/// Applies an effect to a value of the type it is for.
pub(crate) fn change(entry: &mut EntryBox, effect: &Effect<'_>, cx: &mut ChangeCx<'_>) -> Changed {
    match *effect {
        Effect::ListPush { end, elements, .. } => list::push(entry, end, elements, cx),
        Effect::ListPop { end, count, .. } => list::pop(entry, end, count as usize, cx),
        Effect::ListSet { index, element, .. } => list::set(entry, index as usize, element, cx),
        Effect::ListInsert { index, element, .. } => {
            list::insert(entry, index as usize, element, cx)
        }
        Effect::ListRemove { indexes, .. } => list::remove(entry, indexes, cx),
        Effect::SetAdd { members, .. } => set::add(entry, members, cx),
        Effect::SetRemove { members, .. } => set::remove(entry, members, cx),
        Effect::HashSet { pairs, expire_ms, .. } => hash::set(entry, pairs, expire_ms, cx),
        Effect::HashRemove { fields, .. } => hash::remove(entry, fields, cx),
        Effect::HashExpire { fields, expire_ms, .. } => hash::expire(entry, fields, expire_ms, cx),
        Effect::ZsetAdd { pairs, .. } => zset::add(entry, pairs, cx),
        Effect::ZsetRemove { members, .. } => zset::remove(entry, members, cx),
        Effect::ZsetRemoveRange { rank, count, .. } => {
            zset::remove_range(entry, rank as usize, count as usize, cx)
        }
        _ => unreachable!("the effect is one on a value that is no string"),
    }
}

/// Takes the last change of an object back.
pub(crate) fn undo(entry: &mut EntryBox, undo: Undo, cx: &mut ChangeCx<'_>) {
    // A list that lost much may be bytes now.
    let undo = match undo {
        Undo::List(undo) => return list::undo(entry, undo),
        undo => undo,
    };
    let object = entry.object_mut().expect("an object stays one until its change is undone");
    match (object, undo) {
        (Object::Set(members), Undo::Set(undo)) => members.undo(undo, cx),
        (Object::Hash(fields), Undo::Hash(undo)) => fields.undo(undo, cx),
        (Object::Zset(ranking), Undo::Zset(undo)) => ranking.undo(undo, cx),
        _ => unreachable!("a value keeps its type until its change is undone"),
    }
}

/// Elements, members, or pairs; one for a string.
pub(crate) fn len(entry: Entry<'_>) -> usize {
    if let Some(object) = entry.object() {
        return object.len();
    }
    let bytes = entry.packed().expect("what is no object is bytes");
    match entry.form() {
        Form::String => 1,
        Form::ListPack => list::packed_len(bytes),
        Form::IntSet | Form::SetPack => set::packed_len(entry.form(), bytes),
        Form::HashPack => hash::packed_len(bytes),
        Form::ZsetPack => zset::packed_len(bytes),
        Form::ListNodes | Form::SetTable | Form::HashTable | Form::ZsetTree => {
            unreachable!("an object form has an object")
        }
    }
}

/// Visits what a value holds, in any order but that of a list, each part as what makes it up: a
/// string; an element; a member; a field, its value and its time to expire (8 bytes, or none); a
/// member and its score (8 bytes).
pub(crate) fn for_each_part(entry: Entry<'_>, visit: &mut dyn FnMut(&[&[u8]])) {
    match entry.kind() {
        Type::String => visit(&[entry.string().expect("a string is bytes")]),
        Type::List => list::for_each_part(entry, visit),
        Type::Set => set::for_each_part(entry, visit),
        Type::Hash => hash::for_each_part(entry, visit),
        Type::Zset => zset::for_each_part(entry, visit),
    }
}
