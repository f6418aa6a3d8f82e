//! Hashes: few and short fields and values as a listpack of pairs, any as a table.
//!
//! A hash with a field that expires is a table, and a table never becomes a listpack again.

use std::borrow::Cow;

use base::Prng;

use super::parts::{self, Parts};
use super::{ChangeCx, Changed, EncodingLimits, Form, Object, Unfit};
use crate::cursor::Position;
use crate::effect::Elements;
use crate::error::CommandError;
use crate::listpack::{self, Item, Listpack, Offset, Scratch};
use crate::table::{Attributes, Entry, EntryBox, KeyHasher, Table};

const ABSENT: Unfit = Unfit("a field is absent");

/// A large hash. Owner: entry.
#[derive(Debug)]
pub(crate) struct Fields {
    parts: Parts,
}

/// What takes one change of [`Fields`] back.
#[derive(Debug)]
pub(crate) struct Undo(Vec<parts::Undo>);

impl Fields {
    pub(super) fn new() -> Self {
        Self { parts: Parts::new() }
    }

    pub(crate) fn table(&self) -> &Table {
        self.parts.table()
    }

    /// Adds a field that is not there.
    pub(super) fn insert(
        &mut self,
        field: &[u8],
        value: &[u8],
        expire_ms: Option<u64>,
        hasher: &KeyHasher,
    ) {
        self.parts.insert(field, value, expire_ms, hasher);
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn size(&self) -> usize {
        self.parts.size()
    }

    /// Fields that expire.
    pub(crate) fn timed(&self) -> usize {
        self.parts.table().expires()
    }

    /// No field expires before; None: none expires at all.
    pub(crate) fn first_expire_ms(&self) -> Option<u64> {
        self.parts.table().first_expire_ms()
    }

    /// Visits fields that have expired, all of them or more than `count`. False if there may be
    /// more.
    pub(crate) fn due<'a>(
        &'a self,
        now_ms: u64,
        count: usize,
        visit: &mut dyn FnMut(Entry<'a>),
    ) -> bool {
        self.parts.table().due_members(now_ms, count, visit)
    }

    pub(crate) fn free(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        self.parts.free(budget, large)
    }

    pub(crate) fn check(&self, hasher: &KeyHasher) {
        self.parts.check(hasher);
    }

    pub(crate) fn undo(&mut self, undo: Undo, cx: &mut ChangeCx<'_>) {
        self.parts.undo(undo.0, cx.hasher);
    }
}

/// The fields of a hash, to be read. Those whose time is over are not there.
#[derive(Clone, Copy)]
pub(crate) struct HashView<'a> {
    fields: Stored<'a>,
    now_ms: u64,
}

#[derive(Clone, Copy)]
enum Stored<'a> {
    Pack(Listpack<'a>),
    Table(&'a Fields, &'a KeyHasher),
}

/// A value and when its field expires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    /// What a table holds is never an integer here.
    pub(crate) item: Item<'a>,
    pub(crate) expire_ms: Option<u64>,
}

impl<'a> HashView<'a> {
    /// `hasher` is that of the entry's keyspace.
    pub(crate) fn of(
        entry: Entry<'a>,
        hasher: &'a KeyHasher,
        now_ms: u64,
    ) -> Result<Self, CommandError> {
        let fields = match (entry.form(), entry.object()) {
            (Form::HashPack, _) => {
                Stored::Pack(Listpack::new(entry.packed().expect("what is no object is bytes")))
            }
            (_, Some(Object::Hash(fields))) => Stored::Table(fields, hasher),
            _ => return Err(CommandError::WrongType),
        };
        Ok(Self { fields, now_ms })
    }

    pub(crate) fn len(self) -> usize {
        match self.fields {
            Stored::Pack(pack) => pack.len() / 2,
            Stored::Table(fields, _) if !self.may_hide() => fields.len(),
            Stored::Table(..) => {
                let mut count = 0;
                self.for_each(&mut |_, _| count += 1);
                count
            }
        }
    }

    /// Some fields may be over, and not yet be deleted.
    fn may_hide(self) -> bool {
        match self.fields {
            Stored::Pack(_) => false,
            Stored::Table(fields, _) => {
                fields.first_expire_ms().is_some_and(|first_ms| first_ms < self.now_ms)
            }
        }
    }

    #[inline]
    pub(crate) fn get(self, field: &[u8]) -> Option<Value<'a>> {
        match self.fields {
            Stored::Pack(pack) => {
                let at = pack.find(Offset::FIRST, field, 1)?;
                let item = pack.get(pack.next(at)).expect("a field has a value");
                Some(Value { item, expire_ms: None })
            }
            Stored::Table(fields, hasher) => {
                let found = fields.parts.find(field, hasher)?;
                (!found.is_expired(self.now_ms)).then(|| value_of(found))
            }
        }
    }

    /// It is a listpack.
    pub(crate) fn is_packed(self) -> bool {
        matches!(self.fields, Stored::Pack(_))
    }

    pub(crate) fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    pub(crate) fn for_each(self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        match self.fields {
            Stored::Pack(pack) => {
                let (mut field_text, mut value_text) = (Scratch::default(), Scratch::default());
                for (field, value) in pack.pairs() {
                    visit(field.bytes(&mut field_text), value.bytes(&mut value_text));
                }
            }
            Stored::Table(fields, _) => fields.parts.table().for_each(&mut |field| {
                if !field.is_expired(self.now_ms) {
                    visit(field.key(), bytes_of(field));
                }
            }),
        }
    }

    /// Fields with their values, as they are stored.
    pub(crate) fn items(self) -> Vec<(Item<'a>, Item<'a>)> {
        match self.fields {
            Stored::Pack(pack) => pack.pairs().collect(),
            Stored::Table(fields, _) => {
                let mut items = Vec::with_capacity(fields.len());
                fields.parts.table().for_each(&mut |field| {
                    if !field.is_expired(self.now_ms) {
                        items.push(pair_of(field));
                    }
                });
                items
            }
        }
    }

    /// A field by chance, each about as likely as any other, with its value.
    pub(crate) fn random(self, prng: &mut Prng) -> Option<(Item<'a>, Item<'a>)> {
        match self.fields {
            Stored::Pack(pack) => {
                let count = pack.len() / 2;
                let at = pack.at(2 * prng.index(count) as isize)?;
                Some((pack.get(at)?, pack.get(pack.next(at))?))
            }
            Stored::Table(..) if self.may_hide() => {
                let items = self.items();
                (!items.is_empty()).then(|| items[prng.index(items.len())])
            }
            Stored::Table(fields, _) => fields.parts.table().random(prng).map(pair_of),
        }
    }

    /// Some fields with their values from a position on, and where to go on; what is not a table
    /// comes at once.
    pub(crate) fn scan(
        self,
        from: Position,
        count: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Option<Position> {
        let Stored::Table(fields, hasher) = self.fields else {
            self.for_each(visit);
            return None;
        };
        fields.parts.scan(from, count, hasher, &mut |field| {
            if !field.is_expired(self.now_ms) {
                visit(field.key(), bytes_of(field));
            }
        })
    }
}

fn bytes_of(field: Entry<'_>) -> &[u8] {
    field.string().expect("a value is a string")
}

fn value_of(field: Entry<'_>) -> Value<'_> {
    Value { item: Item::Bytes(bytes_of(field)), expire_ms: field.expire_ms() }
}

fn pair_of(field: Entry<'_>) -> (Item<'_>, Item<'_>) {
    (Item::Bytes(field.key()), Item::Bytes(bytes_of(field)))
}

pub(crate) fn empty(key: &[u8]) -> EntryBox {
    let attributes = Attributes { form: Form::HashPack, ..Attributes::default() };
    EntryBox::packed(key, &listpack::empty(), attributes)
}

pub(crate) fn packed_len(bytes: &[u8]) -> usize {
    Listpack::new(bytes).len() / 2
}

pub(crate) fn for_each_part(entry: Entry<'_>, visit: &mut dyn FnMut(&[&[u8]])) {
    if let Some(Object::Hash(fields)) = entry.object() {
        fields.parts.table().for_each(&mut |field| match field.expire_ms() {
            Some(time) => visit(&[field.key(), bytes_of(field), &time.to_le_bytes()]),
            None => visit(&[field.key(), bytes_of(field), b""]),
        });
        return;
    }
    let (mut field_text, mut value_text) = (Scratch::default(), Scratch::default());
    for (field, value) in Listpack::new(entry.packed().expect("what is no object is bytes")).pairs()
    {
        visit(&[field.bytes(&mut field_text), value.bytes(&mut value_text), b""]);
    }
}

pub(crate) fn set(
    entry: &mut EntryBox,
    pairs: Elements<'_>,
    expire_ms: Option<u64>,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    if entry.view().form() == Form::HashPack {
        if expire_ms.is_none() && may_pack(entry.view(), pairs, cx.limits) {
            let limit = cx.limits.hash_max_listpack_entries;
            let is_small = entry.edit(cx.scratch, |pack| {
                pairs.pairs().for_each(|(field, value)| set_in_pack(pack, field, value));
                packed_len(pack) <= limit
            });
            if !is_small {
                unpack(entry, cx.hasher);
            }
            return Ok(None);
        }
        unpack(entry, cx.hasher);
        put(fields_of(entry), pairs, expire_ms, false, cx.hasher);
        return Ok(None);
    }
    let undo = put(fields_of(entry), pairs, expire_ms, cx.keeps, cx.hasher);
    Ok(cx.keeps.then(|| super::Undo::Hash(Undo(undo))))
}

/// May all of these go into a listpack? Redis guesses that no two fields are equal.
fn may_pack(entry: Entry<'_>, pairs: Elements<'_>, limits: &EncodingLimits) -> bool {
    let pack = Listpack::new(entry.packed().expect("what is no object is bytes"));
    let mut total = 0;
    let are_short = pairs.iter().all(|word| {
        total += word.len();
        word.len() <= limits.hash_max_listpack_value
    });
    are_short && pairs.len() / 2 <= limits.hash_max_listpack_entries && pack.is_safe_to_add(total)
}

fn set_in_pack(pack: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    let view = Listpack::new(pack);
    match view.find(Offset::FIRST, field, 1) {
        Some(at) => {
            let at = view.next(at);
            listpack::replace(pack, at, value);
        }
        None => {
            let end = view.end();
            listpack::insert_all(pack, end, [Item::of(field), Item::of(value)].into_iter());
        }
    }
}

fn put(
    fields: &mut Fields,
    pairs: Elements<'_>,
    expire_ms: Option<u64>,
    keeps: bool,
    hasher: &KeyHasher,
) -> Vec<parts::Undo> {
    let put = |(field, value)| fields.parts.put(field, value, expire_ms, keeps, hasher);
    pairs.pairs().filter_map(put).collect()
}

fn fields_of(entry: &mut EntryBox) -> &mut Fields {
    match entry.object_mut() {
        Some(Object::Hash(fields)) => fields,
        _ => unreachable!("the effect is one on a hash that is a table"),
    }
}

/// Makes a listpack a table.
fn unpack(entry: &mut EntryBox, hasher: &KeyHasher) {
    let mut fields = Fields::new();
    let (mut field_text, mut value_text) = (Scratch::default(), Scratch::default());
    let pack = Listpack::new(entry.view().packed().expect("what is no object is bytes"));
    for (field, value) in pack.pairs() {
        let (field, value) = (field.bytes(&mut field_text), value.bytes(&mut value_text));
        fields.parts.insert(field, value, None, hasher);
    }
    entry.set_object(Box::new(Object::Hash(fields)));
}

pub(crate) fn remove(entry: &mut EntryBox, fields: Elements<'_>, cx: &mut ChangeCx<'_>) -> Changed {
    if entry.view().form() == Form::HashTable {
        let removed = fields_of(entry).parts.remove_all(fields.iter(), ABSENT, cx.hasher)?;
        return Ok(cx.keeps.then(|| super::Undo::Hash(Undo(removed))));
    }
    let bytes = entry.view().packed().expect("what is no object is bytes");
    let mut changed = Cow::Borrowed(bytes);
    for field in fields.iter() {
        let at = Listpack::new(&changed).find(Offset::FIRST, field, 1).ok_or(ABSENT)?;
        listpack::remove(changed.to_mut(), at, 2);
    }
    let changed = changed.into_owned();
    entry.set_packed(Form::HashPack, &changed);
    Ok(None)
}

pub(crate) fn expire(
    entry: &mut EntryBox,
    fields: Elements<'_>,
    expire_ms: Option<u64>,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    // Nothing is changed unless all of them are there.
    let view = HashView::of(entry.view(), cx.hasher, 0).expect("the effect is one on a hash");
    if !fields.iter().all(|field| view.contains(field)) {
        return Err(ABSENT);
    }
    let was_packed = entry.view().form() == Form::HashPack;
    if was_packed {
        if expire_ms.is_none() {
            return Ok(None);
        }
        unpack(entry, cx.hasher);
    }
    let parts = &mut fields_of(entry).parts;
    let changes = fields.iter().filter_map(|field| parts.set_expire(field, expire_ms, cx.hasher));
    let undo: Vec<_> = changes.collect();
    Ok((cx.keeps && !was_packed).then(|| super::Undo::Hash(Undo(undo))))
}
