//! Lists: one listpack, or nodes.
//!
//! A list becomes nodes before it would exceed what one node may hold, and one listpack again when
//! it has lost so much that it is half of that, as in Redis.

use std::mem;

use super::{ChangeCx, Changed, Form, Object, Unfit};
use crate::effect::{Elements, End};
use crate::error::CommandError;
use crate::listpack::{self, Item, Listpack, Offset, Scratch};
use crate::table::{Attributes, Entry, EntryBox};

mod node;
mod nodes;
#[cfg(test)]
mod tests;

pub(crate) use node::Content;
use node::{NodeLimit, place};
pub(crate) use nodes::Nodes;
use nodes::{Replaced, Taken, Thinned, without};

/// The most elements of a list: effects count them in 32 bits.
pub(crate) const LEN_MAX: usize = u32::MAX as usize;

/// More popped elements than this may be in many nodes: they are freed later.
const FREED_MAX: usize = 1000;

/// The elements of a list, however it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListView<'a> {
    Packed(Listpack<'a>),
    Nodes(&'a Nodes),
}

/// Which way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

impl<'a> ListView<'a> {
    pub(crate) fn of(entry: Entry<'a>) -> Result<Self, CommandError> {
        match (entry.form(), entry.packed(), entry.object()) {
            (Form::ListPack, Some(bytes), _) => Ok(Self::Packed(Listpack::new(bytes))),
            (Form::ListNodes, _, Some(Object::List(nodes))) => Ok(Self::Nodes(nodes)),
            _ => Err(CommandError::WrongType),
        }
    }

    pub(crate) fn len(self) -> usize {
        match self {
            Self::Packed(list) => list.len(),
            Self::Nodes(nodes) => nodes.len(),
        }
    }

    /// The element at an index, counted from the left.
    pub(crate) fn get(self, index: usize) -> Option<Item<'a>> {
        match self {
            Self::Packed(list) => list.at(isize::try_from(index).ok()?).and_then(|at| list.get(at)),
            Self::Nodes(nodes) if index < nodes.len() => {
                let (at, within) = nodes.locate(index);
                nodes.node(at).map(|node| node.get(within))
            }
            Self::Nodes(_) => None,
        }
    }

    /// The element at an end.
    pub(crate) fn end(self, end: End) -> Option<Item<'a>> {
        match end {
            End::Left => self.get(0),
            End::Right => self.get(self.len().checked_sub(1)?),
        }
    }

    /// The elements from one on, that one first; none if there is none at the index.
    pub(crate) fn iter_from(self, index: usize, direction: Direction) -> Items<'a> {
        if self.len() <= index {
            return Items { nodes: None, at: 0, part: Part::Plain(None), direction };
        }
        match self {
            Self::Packed(list) => {
                let part = Part::of(Content::Packed(list), index, direction);
                Items { nodes: None, at: 0, part, direction }
            }
            Self::Nodes(nodes) => {
                let (at, within) = nodes.locate(index);
                let node = nodes.node(at).expect("it was just located");
                let part = Part::of(node.content(), within, direction);
                Items { nodes: Some(nodes), at, part, direction }
            }
        }
    }

    pub(crate) fn iter(self) -> Items<'a> {
        self.iter_from(0, Direction::Forward)
    }
}

/// Elements of a list one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Items<'a> {
    nodes: Option<&'a Nodes>,
    /// The node that `part` is of.
    at: usize,
    part: Part<'a>,
    direction: Direction,
}

/// What is left of a node.
#[derive(Clone, Debug)]
enum Part<'a> {
    Packed(listpack::Iter<'a>),
    Plain(Option<&'a [u8]>),
}

impl<'a> Part<'a> {
    /// From an index of the node on.
    fn of(content: Content<'a>, index: usize, direction: Direction) -> Self {
        match (content, direction) {
            (Content::Plain(bytes), _) => Self::Plain(Some(bytes)),
            (Content::Packed(list), Direction::Forward) => {
                Self::Packed(list.iter_from(place(list, index)))
            }
            (Content::Packed(list), Direction::Backward) => {
                Self::Packed(list.iter_to(place(list, index + 1)))
            }
        }
    }

    fn whole(content: Content<'a>) -> Self {
        match content {
            Content::Plain(bytes) => Self::Plain(Some(bytes)),
            Content::Packed(list) => Self::Packed(list.iter()),
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let item = match &mut self.part {
                Part::Plain(bytes) => bytes.take().map(Item::Bytes),
                Part::Packed(items) => match self.direction {
                    Direction::Forward => items.next(),
                    Direction::Backward => items.next_back(),
                },
            };
            if item.is_some() {
                return item;
            }
            self.at = match self.direction {
                Direction::Forward => self.at + 1,
                Direction::Backward => self.at.checked_sub(1)?,
            };
            self.part = Part::whole(self.nodes?.node(self.at)?.content());
        }
    }
}

/// What takes one change of a list back that was nodes.
#[derive(Debug)]
pub(crate) struct Undo(Change);

#[derive(Debug)]
enum Change {
    Pushed {
        end: End,
        count: usize,
    },
    Popped(Taken),
    Replaced(Replaced),
    Removed(Vec<Thinned>),
    /// And then it became one listpack; these are the nodes that it was.
    Shrunk {
        nodes: Box<Object>,
        change: Box<Change>,
    },
}

impl Undo {
    pub(super) fn into_object(self) -> Option<Box<Object>> {
        let change = match self.0 {
            Change::Shrunk { change, .. } => *change,
            change => change,
        };
        match change {
            Change::Popped(taken) => Some(Box::new(Object::List(taken.into_nodes()))),
            _ => None,
        }
    }
}

pub(crate) fn undo(entry: &mut EntryBox, undo: Undo) {
    let change = match undo.0 {
        Change::Shrunk { nodes, change } => {
            entry.set_object(nodes);
            *change
        }
        change => change,
    };
    let nodes = nodes_mut(entry).expect("it was nodes before the change");
    match change {
        Change::Pushed { end, count } => drop(nodes.pop(end, count, false)),
        Change::Popped(taken) => nodes.put_back(taken),
        Change::Replaced(replaced) => nodes.restore(replaced),
        Change::Removed(thinned) => nodes.put_nodes_back(thinned),
        Change::Shrunk { .. } => unreachable!("a change shrinks a list once"),
    }
}

pub(crate) fn empty(key: &[u8]) -> EntryBox {
    let attributes = Attributes { form: Form::ListPack, ..Attributes::default() };
    EntryBox::packed(key, &listpack::empty(), attributes)
}

pub(crate) fn packed_len(bytes: &[u8]) -> usize {
    Listpack::new(bytes).len()
}

pub(crate) fn for_each_part(entry: Entry<'_>, visit: &mut dyn FnMut(&[&[u8]])) {
    let list = ListView::of(entry).expect("the entry holds a list");
    for item in list.iter() {
        visit(&[item.bytes(&mut Scratch::default())]);
    }
}

/// A list of nodes that were read somewhere, in the form it is to have.
pub(crate) fn of_nodes(key: &[u8], nodes: Nodes, limit_setting: i64) -> EntryBox {
    let mut entry = empty(key);
    entry.set_object(Box::new(Object::List(nodes)));
    let Some(Object::List(nodes)) = entry.view().object() else {
        unreachable!("it was just put there")
    };
    if let Some(bytes) = nodes.single(NodeLimit::of(limit_setting)) {
        let bytes = bytes.to_vec();
        entry.set_packed(Form::ListPack, &bytes);
    }
    entry
}

pub(crate) fn push(
    entry: &mut EntryBox,
    end: End,
    elements: Elements<'_>,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    let count = elements.len();
    if LEN_MAX - len(entry) < count {
        return Err(Unfit("a list of more than 32 bits can count"));
    }
    let limit = limit_of(cx);
    let was_nodes = !make_room(entry, count, elements.iter().map(<[u8]>::len).sum(), limit);
    if let Some(nodes) = nodes_mut(entry) {
        elements.iter().for_each(|element| nodes.push(end, element, limit));
        let undo = Undo(Change::Pushed { end, count });
        return Ok((was_nodes && cx.keeps).then_some(super::Undo::List(undo)));
    }
    entry.edit(cx.scratch, |list| match end {
        End::Right => {
            let behind = Listpack::new(list).end();
            listpack::insert_all(list, behind, elements.iter().map(Item::of));
        }
        End::Left if count == 1 => {
            elements.iter().for_each(|element| listpack::push_front(list, element));
        }
        // Each comes before the one that came before it.
        End::Left => {
            let items: Vec<Item<'_>> = elements.iter().map(Item::of).collect();
            listpack::insert_all(list, Offset::FIRST, items.into_iter().rev());
        }
    });
    Ok(None)
}

pub(crate) fn pop(entry: &mut EntryBox, end: End, count: usize, cx: &mut ChangeCx<'_>) -> Changed {
    let len = len(entry);
    if count == 0 || len < count {
        return Err(Unfit("elements leave a list that are not in it"));
    }
    if let Some(nodes) = nodes_mut(entry) {
        let keeps = cx.keeps || FREED_MAX < count;
        let change = nodes.pop(end, count, keeps).map(Change::Popped);
        return Ok(shrink(entry, change, cx));
    }
    entry.edit(cx.scratch, |list| {
        let view = Listpack::new(list);
        let range = match end {
            End::Left => Offset::FIRST..place(view, count),
            End::Right => place(view, len - count)..view.end(),
        };
        listpack::remove_range(list, range, count);
    });
    Ok(None)
}

pub(crate) fn set(
    entry: &mut EntryBox,
    index: usize,
    element: &[u8],
    cx: &mut ChangeCx<'_>,
) -> Changed {
    if len(entry) <= index {
        return Err(Unfit("an element is replaced behind the end of a list"));
    }
    let limit = limit_of(cx);
    let was_nodes = !make_room(entry, 1, element.len(), limit);
    if let Some(nodes) = nodes_mut(entry) {
        let replaced = nodes.set(index, element, limit, was_nodes && cx.keeps);
        return Ok(shrink(entry, replaced.map(Change::Replaced), cx));
    }
    entry.edit(cx.scratch, |list| {
        let at = place(Listpack::new(list), index);
        listpack::replace(list, at, element);
    });
    Ok(None)
}

pub(crate) fn insert(
    entry: &mut EntryBox,
    index: usize,
    element: &[u8],
    cx: &mut ChangeCx<'_>,
) -> Changed {
    let len = len(entry);
    if len < index {
        return Err(Unfit("an element is inserted behind the end of a list"));
    }
    if len == LEN_MAX {
        return Err(Unfit("a list of more than 32 bits can count"));
    }
    let limit = limit_of(cx);
    let was_nodes = !make_room(entry, 1, element.len(), limit);
    if let Some(nodes) = nodes_mut(entry) {
        let replaced = nodes.insert(index, element, limit, was_nodes && cx.keeps);
        let undo = |replaced| super::Undo::List(Undo(Change::Replaced(replaced)));
        return Ok(replaced.map(undo));
    }
    entry.edit(cx.scratch, |list| {
        let at = place(Listpack::new(list), index);
        listpack::insert(list, at, element);
    });
    Ok(None)
}

pub(crate) fn remove(
    entry: &mut EntryBox,
    indexes: Elements<'_>,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    let len = len(entry);
    let mut lowest = 0;
    for index in indexes.iter() {
        let index = index_of(index).ok_or(Unfit("an index is not four bytes"))?;
        if index < lowest || len <= index {
            return Err(Unfit("indexes do not rise, or are behind the end of a list"));
        }
        lowest = index + 1;
    }
    let indexes = indexes.iter().map(|index| index_of(index).expect("they were just read"));
    if let Some(nodes) = nodes_mut(entry) {
        let thinned = nodes.remove(indexes, cx.keeps);
        return Ok(shrink(entry, cx.keeps.then_some(Change::Removed(thinned)), cx));
    }
    entry.edit(cx.scratch, |list| without(list, &indexes.collect::<Vec<_>>()));
    Ok(None)
}

/// An index as [`Effect::ListRemove`](crate::effect::Effect::ListRemove) holds it.
fn index_of(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

fn limit_of(cx: &ChangeCx<'_>) -> NodeLimit {
    NodeLimit::of(cx.limits.list_max_listpack_size)
}

fn nodes_mut(entry: &mut EntryBox) -> Option<&mut Nodes> {
    match entry.object_mut()? {
        Object::List(nodes) => Some(nodes),
        _ => unreachable!("the entry holds a list"),
    }
}

fn len(entry: &EntryBox) -> usize {
    ListView::of(entry.view()).expect("the entry holds a list").len()
}

/// Makes a listpack nodes before elements of so many bytes come to it, if they might be too many.
/// True if the list was a listpack.
fn make_room(entry: &mut EntryBox, count: usize, size: usize, limit: NodeLimit) -> bool {
    let Some(bytes) = entry.view().packed() else { return false };
    if limit.is_exceeded(bytes.len() + size, packed_len(bytes) + count) {
        let nodes = Nodes::of_packed(bytes.to_vec());
        entry.set_object(Box::new(Object::List(nodes)));
    }
    true
}

/// Makes nodes one listpack again if the list has become short. `change` takes back what made it
/// so.
fn shrink(
    entry: &mut EntryBox,
    change: Option<Change>,
    cx: &mut ChangeCx<'_>,
) -> Option<super::Undo> {
    let limit = limit_of(cx);
    let list = |change| super::Undo::List(Undo(change));
    let Some(bytes) = nodes_mut(entry).and_then(|nodes| nodes.shrunk(limit)) else {
        return change.map(list);
    };
    cx.scratch.clear();
    cx.scratch.extend_from_slice(bytes);
    let nodes = entry.take_object().expect("it was just looked at");
    entry.set_packed(Form::ListPack, cx.scratch);
    if let Some(change) = change {
        return Some(list(Change::Shrunk { nodes, change: Box::new(change) }));
    }
    mem::drop(nodes);
    None
}
