//! Sets: integers alone as an intset, few and short members as a listpack, any as a table.
//!
//! Members of a listpack are in the order in which they came, as in Redis; those of an intset rise.

use base::Prng;

use super::parts::{self, Parts};
use super::{ChangeCx, Changed, EncodingLimits, Form, Object, Unfit};
use crate::cursor::Position;
use crate::effect::Elements;
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::intset::{self, Intset};
use crate::listpack::{self, Item, Listpack, Offset, Scratch};
use crate::table::{Attributes, Entry, EntryBox, KeyHasher, Table};

const THERE_ALREADY: Unfit = Unfit("a member to add is there already");
const ABSENT: Unfit = Unfit("a member to remove is absent");

/// A large set. Owner: entry.
#[derive(Debug)]
pub(crate) struct Members {
    parts: Parts,
    /// No member is longer.
    longest: usize,
}

/// What takes one change of [`Members`] back.
#[derive(Debug)]
pub(crate) struct Undo(Vec<parts::Undo>);

impl Members {
    pub(super) fn new() -> Self {
        Self { parts: Parts::new(), longest: 0 }
    }

    pub(crate) fn table(&self) -> &Table {
        self.parts.table()
    }

    pub(super) fn insert(&mut self, member: &[u8], hasher: &KeyHasher) {
        self.longest = self.longest.max(member.len());
        self.parts.insert(member, b"", None, hasher);
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn size(&self) -> usize {
        self.parts.size()
    }

    /// No member is longer.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    pub(crate) fn free(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        self.parts.free(budget, large)
    }

    pub(crate) fn check(&self, hasher: &KeyHasher) {
        self.parts.check(hasher);
        let longest = self.longest;
        self.parts.table().for_each(&mut |member| assert!(member.key().len() <= longest));
    }

    pub(crate) fn undo(&mut self, undo: Undo, cx: &mut ChangeCx<'_>) {
        self.parts.undo(undo.0, cx.hasher);
    }
}

/// The members of a set, to be read.
#[derive(Clone, Copy)]
pub(crate) enum SetView<'a> {
    Integers(Intset<'a>),
    Pack(Listpack<'a>),
    Table(&'a Members, &'a KeyHasher),
}

impl<'a> SetView<'a> {
    /// `hasher` is that of the entry's keyspace.
    pub(crate) fn of(entry: Entry<'a>, hasher: &'a KeyHasher) -> Result<Self, CommandError> {
        let packed = || entry.packed().expect("what is no object is bytes");
        match (entry.form(), entry.object()) {
            (Form::IntSet, _) => Ok(Self::Integers(Intset::new(packed()))),
            (Form::SetPack, _) => Ok(Self::Pack(Listpack::new(packed()))),
            (_, Some(Object::Set(members))) => Ok(Self::Table(members, hasher)),
            _ => Err(CommandError::WrongType),
        }
    }

    /// It is an intset or a listpack.
    pub(crate) fn is_packed(self) -> bool {
        !matches!(self, Self::Table(..))
    }

    pub(crate) fn len(self) -> usize {
        match self {
            Self::Integers(set) => set.len(),
            Self::Pack(pack) => pack.len(),
            Self::Table(members, _) => members.len(),
        }
    }

    #[inline]
    pub(crate) fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Integers(set) => parse_integer(member).is_some_and(|it| set.contains(it)),
            Self::Pack(pack) => pack.find(Offset::FIRST, member, 0).is_some(),
            Self::Table(members, hasher) => members.parts.find(member, hasher).is_some(),
        }
    }

    /// The members as they are stored: those of a table are never integers.
    pub(crate) fn items(self) -> Vec<Item<'a>> {
        let mut items = Vec::with_capacity(self.len());
        match self {
            Self::Integers(set) => items.extend(set.iter().map(Item::Integer)),
            Self::Pack(pack) => items.extend(pack.iter()),
            Self::Table(members, _) => {
                members.parts.table().for_each(&mut |member| items.push(Item::Bytes(member.key())));
            }
        }
        items
    }

    pub(crate) fn for_each(self, visit: &mut dyn FnMut(&[u8])) {
        let mut scratch = Scratch::default();
        match self {
            Self::Integers(set) => {
                set.iter().for_each(|it| visit(Item::Integer(it).bytes(&mut scratch)));
            }
            Self::Pack(pack) => pack.iter().for_each(|item| visit(item.bytes(&mut scratch))),
            Self::Table(members, _) => {
                members.parts.table().for_each(&mut |member| visit(member.key()));
            }
        }
    }

    /// A member by chance, each about as likely as any other.
    pub(crate) fn random(self, prng: &mut Prng) -> Option<Item<'a>> {
        match self {
            _ if self.len() == 0 => None,
            Self::Integers(set) => set.get(prng.index(set.len())).map(Item::Integer),
            Self::Pack(pack) => {
                let at = pack.at(prng.index(pack.len()) as isize)?;
                pack.get(at)
            }
            Self::Table(members, _) => {
                members.parts.table().random(prng).map(|member| Item::Bytes(member.key()))
            }
        }
    }

    /// Some members from a position on, and where to go on; what is not a table comes at once.
    pub(crate) fn scan(
        self,
        from: Position,
        count: usize,
        visit: &mut dyn FnMut(&[u8]),
    ) -> Option<Position> {
        match self {
            Self::Table(members, hasher) => {
                members.parts.scan(from, count, hasher, &mut |member| visit(member.key()))
            }
            _ => {
                self.for_each(visit);
                None
            }
        }
    }
}

pub(crate) fn empty(key: &[u8]) -> EntryBox {
    EntryBox::packed(
        key,
        &intset::empty(),
        Attributes { form: Form::IntSet, ..Attributes::default() },
    )
}

pub(crate) fn packed_len(form: Form, bytes: &[u8]) -> usize {
    match form {
        Form::IntSet => Intset::new(bytes).len(),
        _ => Listpack::new(bytes).len(),
    }
}

pub(crate) fn for_each_part(entry: Entry<'_>, visit: &mut dyn FnMut(&[&[u8]])) {
    let mut scratch = Scratch::default();
    if let Some(Object::Set(members)) = entry.object() {
        members.parts.table().for_each(&mut |member| visit(&[member.key()]));
        return;
    }
    let bytes = entry.packed().expect("what is no object is bytes");
    match entry.form() {
        Form::IntSet => {
            Intset::new(bytes)
                .iter()
                .for_each(|it| visit(&[Item::Integer(it).bytes(&mut scratch)]));
        }
        _ => Listpack::new(bytes).iter().for_each(|item| visit(&[item.bytes(&mut scratch)])),
    }
}

pub(crate) fn add(entry: &mut EntryBox, members: Elements<'_>, cx: &mut ChangeCx<'_>) -> Changed {
    if let Some(object) = entry.object_mut() {
        let Object::Set(set) = object else { unreachable!("the effect is one on a set") };
        return add_to_table(set, members, cx);
    }
    let mut names = members.iter();
    if let (Some(member), None) = (names.next(), names.next())
        && add_in_place(entry, member, cx)?
    {
        return Ok(None);
    }
    let mut built = Built::of(entry.view(), members, cx);
    for member in members.iter() {
        built.add(member, cx)?;
    }
    match built {
        Built::Integers(set) => entry.set_packed(Form::IntSet, &set),
        Built::Pack(pack) => entry.set_packed(Form::SetPack, &pack),
        Built::Table(set) => entry.set_object(Box::new(Object::Set(set))),
    }
    Ok(None)
}

/// Adds one member to a set that is not empty and keeps its form; false if that would change.
fn add_in_place(entry: &mut EntryBox, member: &[u8], cx: &mut ChangeCx<'_>) -> Result<bool, Unfit> {
    let limits = cx.limits;
    let view = entry.view();
    let bytes = view.packed().expect("what is no object is bytes");
    match view.form() {
        Form::IntSet => {
            let set = Intset::new(bytes);
            let integer = parse_integer(member);
            let is_room = !set.is_empty() && set.len() < limits.set_max_intset_entries;
            let Some(integer) = integer.filter(|_| is_room) else { return Ok(false) };
            if set.contains(integer) {
                return Err(THERE_ALREADY);
            }
            entry.edit(cx.scratch, |set| intset::insert(set, integer));
        }
        _ => {
            let pack = Listpack::new(bytes);
            if pack.is_empty() || !has_room(pack, member, limits) {
                return Ok(false);
            }
            if pack.find(Offset::FIRST, member, 0).is_some() {
                return Err(THERE_ALREADY);
            }
            entry.edit(cx.scratch, |pack| listpack::push_back(pack, member));
        }
    }
    Ok(true)
}

fn has_room(pack: Listpack<'_>, member: &[u8], limits: &EncodingLimits) -> bool {
    pack.len() < limits.set_max_listpack_entries
        && member.len() <= limits.set_max_listpack_value
        && pack.is_safe_to_add(member.len())
}

fn add_to_table(set: &mut Members, members: Elements<'_>, cx: &mut ChangeCx<'_>) -> Changed {
    for (index, member) in members.iter().enumerate() {
        if set.parts.find(member, cx.hasher).is_some() {
            for added in members.iter().take(index) {
                set.parts.remove(added, cx.hasher).expect("it was just added");
            }
            return Err(THERE_ALREADY);
        }
        set.insert(member, cx.hasher);
    }
    let undo = || Undo(members.iter().map(|it| parts::Undo::Remove(it.into())).collect());
    Ok(cx.keeps.then(|| super::Undo::Set(undo())))
}

/// What becomes of a set that is bytes, apart from its entry.
enum Built {
    Integers(Vec<u8>),
    Pack(Vec<u8>),
    Table(Members),
}

impl Built {
    /// A set as it is. An empty one gets the form that suits what comes.
    fn of(entry: Entry<'_>, members: Elements<'_>, cx: &ChangeCx<'_>) -> Self {
        let bytes = entry.packed().expect("what is no object is bytes");
        let form = entry.form();
        if packed_len(form, bytes) != 0 {
            return match form {
                Form::IntSet => Self::Integers(bytes.to_vec()),
                _ => Self::Pack(bytes.to_vec()),
            };
        }
        let first = members.iter().next();
        let count = members.len();
        if count <= cx.limits.set_max_intset_entries
            && first.is_some_and(|it| parse_integer(it).is_some())
        {
            Self::Integers(intset::empty())
        } else if count <= cx.limits.set_max_listpack_entries {
            Self::Pack(listpack::empty())
        } else {
            Self::Table(Members::new())
        }
    }

    /// As Redis decides it, member by member.
    fn add(&mut self, member: &[u8], cx: &ChangeCx<'_>) -> Result<(), Unfit> {
        let limits = cx.limits;
        match self {
            Self::Integers(set) => {
                let Some(integer) = parse_integer(member) else {
                    *self = Self::of_integers(set, member, cx);
                    return self.add(member, cx);
                };
                if !intset::insert(set, integer) {
                    return Err(THERE_ALREADY);
                }
                if limits.set_max_intset_entries < Intset::new(set).len() {
                    let set = Intset::new(set);
                    *self = Self::table_of(set.iter().map(Item::Integer), cx);
                }
            }
            Self::Pack(pack) => {
                let view = Listpack::new(pack);
                if view.find(Offset::FIRST, member, 0).is_some() {
                    return Err(THERE_ALREADY);
                }
                if has_room(view, member, limits) {
                    listpack::push_back(pack, member);
                } else {
                    *self = Self::table_of(view.iter(), cx);
                    return self.add(member, cx);
                }
            }
            Self::Table(set) => {
                if set.parts.find(member, cx.hasher).is_some() {
                    return Err(THERE_ALREADY);
                }
                set.insert(member, cx.hasher);
            }
        }
        Ok(())
    }

    /// Integers in the form that takes `member`, which is none.
    fn of_integers(set: &[u8], member: &[u8], cx: &ChangeCx<'_>) -> Self {
        let set = Intset::new(set);
        let text_size = |integer: Option<i64>| integer.map_or(0, |it| Item::Integer(it).len());
        let longest = text_size(set.first()).max(text_size(set.last())).max(member.len());
        let fits = set.len() < cx.limits.set_max_listpack_entries
            && longest <= cx.limits.set_max_listpack_value;
        if !fits {
            return Self::table_of(set.iter().map(Item::Integer), cx);
        }
        let mut pack = listpack::ListpackBuf::new();
        set.iter().for_each(|integer| pack.push(integer));
        Self::Pack(pack.finish())
    }

    fn table_of<'i>(items: impl Iterator<Item = Item<'i>>, cx: &ChangeCx<'_>) -> Self {
        let mut members = Members::new();
        let mut scratch = Scratch::default();
        items.for_each(|item| members.insert(item.bytes(&mut scratch), cx.hasher));
        Self::Table(members)
    }
}

pub(crate) fn remove(
    entry: &mut EntryBox,
    members: Elements<'_>,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    if let Some(object) = entry.object_mut() {
        let Object::Set(set) = object else { unreachable!("the effect is one on a set") };
        let removed = set.parts.remove_all(members.iter(), ABSENT, cx.hasher)?;
        return Ok(cx.keeps.then(|| super::Undo::Set(Undo(removed))));
    }
    let form = entry.view().form();
    let bytes = entry.view().packed().expect("what is no object is bytes");
    let mut changed = bytes.to_vec();
    for member in members.iter() {
        let is_removed = match form {
            Form::IntSet => {
                parse_integer(member).is_some_and(|it| intset::remove(&mut changed, it))
            }
            _ => match Listpack::new(&changed).find(Offset::FIRST, member, 0) {
                Some(at) => listpack::remove(&mut changed, at, 1) == 1,
                None => false,
            },
        };
        if !is_removed {
            return Err(ABSENT);
        }
    }
    entry.set_packed(form, &changed);
    Ok(None)
}
