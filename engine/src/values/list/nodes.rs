//! The nodes of a long list.
//!
//! How elements are divided into nodes follows Redis's quicklist, so that a list turns back into
//! one listpack where it does there. It never changes what the list holds.
//!
//! Every node has a label, which rises from left to right and stays while the node does. A walk
//! that goes on later finds its place by it. Nodes change in [`Nodes::node_mut`], come in
//! `insert_node` and go in `remove_node` and [`Nodes::remove`]: whoever must see a node before it
//! changes looks there.
//!
//! # Invariants
//!
//! * No node is empty. A packed one is a listpack that says how many items it has.
//! * `len` and `buffers` are the sums over the nodes.
//! * Labels rise strictly.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;

use super::node::{Body, Content, Node, NodeLimit, place};
use crate::effect::{Effect, Elements, End};
use crate::listpack::{self, Item, Listpack, ListpackBuf, Offset};

/// A long list. Owner: entry.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: VecDeque<Node>,
    len: usize,
    /// Bytes allocated by the nodes.
    buffers: usize,
    /// The snapshot that is to see every node once; what comes later is not for it.
    epoch: Cell<u32>,
    /// Times that labels were given anew.
    relabels: u32,
}

/// Bytes of a node that cost as much to free as an entry.
const BYTES_PER_ENTRY: usize = 4096;

/// What left an end of a list.
#[derive(Debug)]
pub(super) struct Taken {
    end: End,
    /// The outermost first.
    nodes: Vec<Node>,
    /// Items of the node that is at the end now.
    part: Option<Vec<u8>>,
}

impl Taken {
    /// The whole nodes of it.
    pub(super) fn into_nodes(self) -> Nodes {
        let mut nodes = Nodes::default();
        for node in self.nodes {
            nodes.insert_node(nodes.nodes.len(), node);
        }
        nodes
    }
}

/// Nodes that were in the place of others.
#[derive(Debug)]
pub(super) struct Replaced {
    at: usize,
    /// How many are there now.
    now: usize,
    before: Vec<Node>,
}

/// A node that lost elements, as it was.
#[derive(Debug)]
pub(super) struct Thinned {
    /// Its place among the nodes that were.
    at: usize,
    /// It lost all of them.
    is_gone: bool,
    node: Node,
}

/// So many nodes on either side of the one that an element is in may change with it.
const NEIGHBOURS: usize = 2;

/// The label of the first node.
const LABEL_MIDDLE: u64 = 1 << 63;
/// What the next one at an end is away.
const LABEL_STEP: u64 = 1 << 20;

impl Nodes {
    /// A list that is one listpack so far.
    pub(crate) fn of_packed(bytes: Vec<u8>) -> Self {
        let mut nodes = Self::default();
        nodes.push_packed(bytes);
        nodes
    }

    /// A listpack comes to the right end, if there is anything in it.
    pub(crate) fn push_packed(&mut self, bytes: Vec<u8>) {
        if !Listpack::new(&bytes).is_empty() {
            self.insert_node(self.nodes.len(), Node::packed(bytes));
        }
    }

    /// A large element comes to the right end, in a node of its own.
    pub(crate) fn push_plain(&mut self, element: Vec<u8>) {
        self.insert_node(self.nodes.len(), Node::plain(element));
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated. Is quick.
    pub(crate) fn size(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.buffers
    }

    /// The nodes from the left to the right.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Node> + DoubleEndedIterator {
        self.nodes.iter()
    }

    pub(super) fn node(&self, at: usize) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// The one listpack that the list is to become again, if it is.
    pub(super) fn shrunk(&self, limit: NodeLimit) -> Option<&[u8]> {
        self.packed().filter(|bytes| limit.is_low(bytes.len(), self.len))
    }

    /// The one listpack that the list could be from the start, if it could.
    pub(super) fn single(&self, limit: NodeLimit) -> Option<&[u8]> {
        self.packed().filter(|bytes| !limit.is_exceeded(bytes.len(), self.len))
    }

    /// The only node, if that is packed.
    fn packed(&self) -> Option<&[u8]> {
        match self.nodes.front().map(|node| &node.body) {
            Some(Body::Packed(bytes)) if self.nodes.len() == 1 => Some(bytes),
            _ => None,
        }
    }

    /// The node that holds an index, and the index in it. The index is in the list.
    pub(super) fn locate(&self, index: usize) -> (usize, usize) {
        if index < self.len / 2 {
            let mut start = 0;
            for (at, node) in self.nodes.iter().enumerate() {
                let end = start + node.count as usize;
                if index < end {
                    return (at, index - start);
                }
                start = end;
            }
        } else {
            let mut start = self.len;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                start -= node.count as usize;
                if start <= index {
                    return (at, index - start);
                }
            }
        }
        unreachable!("the index is in the list")
    }

    /// A snapshot begins to look at the list: it is to see each node that is there now.
    pub(crate) fn begin_epoch(&self, epoch: u32) {
        self.epoch.set(epoch);
    }

    /// Times that labels were given anew: what was seen before has others.
    pub(crate) fn relabels(&self) -> u32 {
        self.relabels
    }

    /// Visits the nodes of a range that the snapshot has not seen, with their labels.
    pub(crate) fn see(&self, range: Range<usize>, visit: &mut dyn FnMut(u64, Content<'_>)) {
        let epoch = self.epoch.get();
        for node in self.nodes.range(range) {
            if node.epoch.replace(epoch) != epoch {
                visit(node.label, node.content());
            }
        }
    }

    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The first node whose label is not below this one.
    pub(crate) fn node_from(&self, label: u64) -> usize {
        self.nodes.partition_point(|node| node.label < label)
    }

    /// The label of a node.
    pub(crate) fn label_of(&self, at: usize) -> Option<u64> {
        self.nodes.get(at).map(|node| node.label)
    }

    /// Visits ranges of nodes that an effect may change, or make the only one.
    pub(crate) fn touched(&self, effect: &Effect<'_>, visit: &mut dyn FnMut(Range<usize>)) {
        let count = self.nodes.len();
        let around = |at: usize| at.saturating_sub(NEIGHBOURS)..(at + NEIGHBOURS + 1).min(count);
        if count <= 2 * NEIGHBOURS + 1 {
            return visit(0..count);
        }
        match *effect {
            Effect::ListPush { end: End::Left, .. } => visit(around(0)),
            Effect::ListPush { end: End::Right, .. } => visit(around(count - 1)),
            Effect::ListPop { end: End::Left, count: popped, .. } => {
                let last = (popped as usize).min(self.len - 1);
                visit(0..around(self.locate(last).0).end);
            }
            Effect::ListPop { end: End::Right, count: popped, .. } => {
                let first = self.len - (popped as usize).clamp(1, self.len);
                visit(around(self.locate(first).0).start..count);
            }
            Effect::ListSet { index, .. } | Effect::ListInsert { index, .. } => {
                visit(around(self.locate((index as usize).min(self.len - 1)).0));
            }
            Effect::ListRemove { indexes, .. } => self.thinned(indexes, visit),
            _ => unreachable!("it is an effect on a list"),
        }
    }

    /// The nodes that the elements of these indexes are in; all of them if few others are left.
    fn thinned(&self, indexes: Elements<'_>, visit: &mut dyn FnMut(Range<usize>)) {
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX);
        let mut indexes = indexes.iter().map(|bytes| number(bytes) as usize).peekable();
        let (mut end, mut touched) = (0, 0);
        for (at, node) in self.nodes.iter().enumerate() {
            end += node.count as usize;
            let before = indexes.len();
            while indexes.next_if(|index| *index < end).is_some() {}
            if indexes.len() < before {
                touched += 1;
                visit(at..at + 1);
            }
        }
        if self.nodes.len() <= touched + 1 {
            visit(0..self.nodes.len());
        }
    }

    /// Every change of a node that stays.
    fn node_mut<R>(&mut self, at: usize, change: impl FnOnce(&mut Node) -> R) -> R {
        let node = &mut self.nodes[at];
        self.len -= node.count as usize;
        self.buffers -= node.buffer();
        let result = change(node);
        self.len += node.count as usize;
        self.buffers += node.buffer();
        result
    }

    fn insert_node(&mut self, at: usize, mut node: Node) {
        node.label = match self.label(at) {
            Some(label) => label,
            None => {
                self.relabel();
                self.label(at).expect("there is room between labels that were just given")
            }
        };
        node.epoch.set(self.epoch.get());
        self.len += node.count as usize;
        self.buffers += node.buffer();
        self.nodes.insert(at, node);
    }

    fn remove_node(&mut self, at: usize) -> Node {
        let node = self.nodes.remove(at).expect("the node is there");
        self.len -= node.count as usize;
        self.buffers -= node.buffer();
        if self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
        node
    }

    /// A label for a node that comes before the one there.
    fn label(&self, at: usize) -> Option<u64> {
        let before = at.checked_sub(1).map(|at| self.nodes[at].label);
        let behind = self.nodes.get(at).map(|node| node.label);
        match (before, behind) {
            (None, None) => Some(LABEL_MIDDLE),
            (Some(before), None) => before.checked_add(LABEL_STEP),
            (None, Some(behind)) => behind.checked_sub(LABEL_STEP),
            (Some(before), Some(behind)) => {
                Some(before.midpoint(behind)).filter(|label| before < *label)
            }
        }
    }

    /// Spreads the labels evenly.
    fn relabel(&mut self) {
        self.relabels += 1;
        let step = u64::MAX / (self.nodes.len() as u64 + 1);
        for at in 0..self.nodes.len() {
            self.node_mut(at, |node| node.label = (at as u64 + 1) * step - step / 2);
        }
    }

    pub(super) fn push(&mut self, end: End, element: &[u8], limit: NodeLimit) {
        let (last, behind) = match end {
            End::Left => (0, 0),
            End::Right => (self.nodes.len().saturating_sub(1), self.nodes.len()),
        };
        match self.nodes.get(last) {
            Some(node) if node.allows(element.len(), limit) => {
                let index = if end == End::Left { 0 } else { node.count as usize };
                self.node_mut(last, |node| node.insert(index, element, limit));
            }
            _ => self.insert_node(behind, Node::of(element, limit)),
        }
    }

    /// Takes `count` elements, which are there, off an end.
    pub(super) fn pop(&mut self, end: End, count: usize, keeps: bool) -> Option<Taken> {
        assert!(count <= self.len);
        let mut taken = Taken { end, nodes: Vec::new(), part: None };
        let mut left = count;
        while 0 < left {
            let at = if end == End::Left { 0 } else { self.nodes.len() - 1 };
            let held = self.nodes[at].count as usize;
            if held <= left {
                let node = self.remove_node(at);
                left -= held;
                if keeps {
                    taken.nodes.push(node);
                }
                continue;
            }
            let range = if end == End::Left { 0..left } else { held - left..held };
            taken.part = keeps.then(|| copy(&self.nodes[at], range.clone()));
            self.node_mut(at, |node| node.remove_range(range));
            left = 0;
        }
        keeps.then_some(taken)
    }

    pub(super) fn put_back(&mut self, taken: Taken) {
        let Taken { end, nodes, part } = taken;
        if let Some(part) = part {
            let at = if end == End::Left { 0 } else { self.nodes.len() - 1 };
            self.node_mut(at, |node| {
                let part = Listpack::new(&part);
                node.count += part.len() as u32;
                let list = node.list_mut();
                match end {
                    End::Left => listpack::insert_all(list, Offset::FIRST, part.iter()),
                    End::Right => listpack::append(list, part),
                }
            });
        }
        for node in nodes.into_iter().rev() {
            let at = if end == End::Left { 0 } else { self.nodes.len() };
            self.insert_node(at, node);
        }
    }

    /// Makes a new element the one at an index, which is in the list or behind it.
    pub(super) fn insert(
        &mut self,
        index: usize,
        element: &[u8],
        limit: NodeLimit,
        keeps: bool,
    ) -> Option<Replaced> {
        let (at, within) = match index {
            index if index == self.len => (self.nodes.len().saturating_sub(1), usize::MAX),
            index => self.locate(index),
        };
        self.replacing(at, keeps, |nodes| {
            if index == nodes.len {
                nodes.push(End::Right, element, limit);
            } else if index == 0 {
                nodes.push(End::Left, element, limit);
            } else {
                nodes.insert_within(at, within, element, limit);
            }
        })
    }

    /// Before an element that is not the first of all.
    fn insert_within(&mut self, at: usize, within: usize, element: &[u8], limit: NodeLimit) {
        let allows = |node: &Node| node.allows(element.len(), limit);
        if within == 0 && allows(&self.nodes[at - 1]) {
            let end = self.nodes[at - 1].count as usize;
            self.node_mut(at - 1, |node| node.insert(end, element, limit));
        } else if allows(&self.nodes[at]) {
            self.node_mut(at, |node| node.insert(within, element, limit));
        } else if within == 0 {
            self.insert_node(at, Node::of(element, limit));
        } else {
            let behind = self.node_mut(at, |node| node.split_off(within));
            self.insert_node(at + 1, behind);
            if self.nodes[at].allows(element.len(), limit) {
                self.node_mut(at, |node| node.insert(within, element, limit));
                self.merge(at + 1, limit);
            } else {
                self.insert_node(at + 1, Node::of(element, limit));
                self.merge(at + 2, limit);
            }
            self.merge_with_previous(at, limit);
        }
    }

    /// Replaces the element at an index.
    pub(super) fn set(
        &mut self,
        index: usize,
        element: &[u8],
        limit: NodeLimit,
        keeps: bool,
    ) -> Option<Replaced> {
        let (at, within) = self.locate(index);
        self.replacing(at, keeps, |nodes| nodes.set_within(at, within, element, limit))
    }

    /// Divides the elements around the new one as Redis does.
    fn set_within(&mut self, at: usize, within: usize, element: &[u8], limit: NodeLimit) {
        let node = &self.nodes[at];
        let is_large = limit.is_large(element.len());
        match node.content() {
            Content::Plain(_) if is_large => {
                self.node_mut(at, |node| node.body = Body::Plain(element.to_vec()));
            }
            Content::Plain(_) => {
                let next = self.nodes.get(at + 1);
                if next.is_some_and(|next| next.allows(element.len(), limit)) {
                    self.node_mut(at + 1, |next| next.insert(0, element, limit));
                } else {
                    self.insert_node(at + 1, Node::of(element, limit));
                }
                self.remove_node(at);
            }
            Content::Packed(list) => {
                let item = Item::of(element);
                let rest = list.size() - node.get(within).encoded_size();
                let size = rest + item.encoded_size();
                // Redis lets a node grow by this as much as it will.
                if !is_large && (size <= list.size() || size <= limit.set_size_max()) {
                    let offset = place(list, within);
                    self.node_mut(at, |node| listpack::replace(node.list_mut(), offset, item));
                } else {
                    self.set_apart(at, within, Node::of(element, limit), limit);
                }
            }
        }
    }

    /// Replaces an element by a node of its own.
    fn set_apart(&mut self, at: usize, within: usize, node: Node, limit: NodeLimit) {
        if within + 1 < self.nodes[at].count as usize {
            let behind = self.node_mut(at, |node| node.split_off(within + 1));
            self.insert_node(at + 1, behind);
        }
        self.insert_node(at + 1, node);
        if within == 0 {
            self.remove_node(at);
        } else {
            self.node_mut(at, |node| node.remove_range(within..within + 1));
            self.merge(at + 2, limit);
            self.merge_with_previous(at, limit);
        }
    }

    fn merge_with_previous(&mut self, at: usize, limit: NodeLimit) {
        if let Some(previous) = at.checked_sub(1) {
            self.merge(previous, limit);
        }
    }

    /// Makes a node and the one behind it one, if that is within the limit.
    fn merge(&mut self, at: usize, limit: NodeLimit) {
        let (Some(node), Some(next)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return };
        let (Content::Packed(list), Content::Packed(behind)) = (node.content(), next.content())
        else {
            return;
        };
        let count = node.count as usize + next.count as usize;
        if limit.is_exceeded(list.size() + behind.size() - listpack::empty().len(), count) {
            return;
        }
        let next = self.remove_node(at + 1);
        self.node_mut(at, |node| {
            let Content::Packed(behind) = next.content() else {
                unreachable!("it was just looked at")
            };
            listpack::append(node.list_mut(), behind);
            node.count += next.count;
        });
    }

    /// Makes a change that touches a node and its neighbours at most, and keeps what they were.
    fn replacing(
        &mut self,
        at: usize,
        keeps: bool,
        change: impl FnOnce(&mut Self),
    ) -> Option<Replaced> {
        if !keeps {
            change(self);
            return None;
        }
        // A node that comes behind the last element parts it from two that may then be merged.
        let range = at.saturating_sub(1)..(at + 3).min(self.nodes.len());
        let before: Vec<Node> = self.nodes.range(range.clone()).cloned().collect();
        let others = self.nodes.len() - before.len();
        change(self);
        Some(Replaced { at: range.start, now: self.nodes.len() - others, before })
    }

    pub(super) fn restore(&mut self, replaced: Replaced) {
        let Replaced { at, now, before } = replaced;
        for _ in 0..now {
            self.remove_node(at);
        }
        for (place, node) in before.into_iter().enumerate() {
            self.insert_node(at + place, node);
        }
    }

    /// Takes out the elements at these indexes, which rise and are in the list. Returns what the
    /// nodes were that changed.
    pub(super) fn remove(
        &mut self,
        indexes: impl Iterator<Item = usize>,
        keeps: bool,
    ) -> Vec<Thinned> {
        let mut indexes = indexes.peekable();
        let (mut at, mut start, mut changed, mut is_any_empty) = (0, 0, Vec::new(), false);
        let mut within = Vec::new();
        while let Some(next) = indexes.peek().copied() {
            let end = start + self.nodes[at].count as usize;
            if end <= next {
                (at, start) = (at + 1, end);
                continue;
            }
            within.clear();
            within.extend(std::iter::from_fn(|| indexes.next_if(|index| *index < end)));
            let is_gone = within.len() == end - start;
            if keeps {
                changed.push(Thinned { at, is_gone, node: self.nodes[at].clone() });
            }
            if is_gone {
                is_any_empty = true;
                self.node_mut(at, |node| *node = Node { count: 0, ..Node::plain(Vec::new()) });
            } else {
                within.iter_mut().for_each(|index| *index -= start);
                self.node_mut(at, |node| {
                    without(node.list_mut(), &within);
                    node.count -= within.len() as u32;
                });
            }
            (at, start) = (at + 1, end);
        }
        if is_any_empty {
            self.nodes.retain(|node| 0 < node.count);
            self.nodes.shrink_to(2 * self.nodes.len());
        }
        changed
    }

    /// Puts nodes back where [`remove`](Self::remove) changed them.
    pub(super) fn put_nodes_back(&mut self, changed: Vec<Thinned>) {
        let mut left = std::mem::take(&mut self.nodes).into_iter().peekable();
        let mut changed = changed.into_iter().peekable();
        let mut is_crowded = false;
        (self.len, self.buffers) = (0, 0);
        loop {
            let at = self.nodes.len();
            let node = match changed.next_if(|thinned| thinned.at == at) {
                Some(Thinned { is_gone: false, node, .. }) => {
                    let label = left.next().expect("some of it was left").label;
                    Node { label, ..node }
                }
                Some(Thinned { node, .. }) => {
                    let before = self.nodes.back().map_or(0, |node| node.label);
                    let behind = left.peek().map_or(u64::MAX, |node| node.label);
                    let label = before.midpoint(behind);
                    is_crowded |= label == before;
                    Node { label, ..node }
                }
                None => match left.next() {
                    Some(node) => node,
                    None => break,
                },
            };
            self.len += node.count as usize;
            self.buffers += node.buffer();
            self.nodes.push_back(node);
        }
        assert!(changed.next().is_none());
        if is_crowded {
            self.relabel();
        }
    }

    /// Frees nodes; true if there are more.
    pub(crate) fn free(&mut self, budget: &mut usize) -> bool {
        while 0 < *budget {
            let Some(node) = self.nodes.pop_back() else { return false };
            self.len -= node.count as usize;
            self.buffers -= node.buffer();
            *budget = budget.saturating_sub(1 + node.buffer() / BYTES_PER_ENTRY);
        }
        !self.nodes.is_empty()
    }

    pub(crate) fn check(&self) {
        let counts = self.nodes.iter().map(|node| node.count as usize);
        assert!(counts.sum::<usize>() == self.len);
        assert!(self.nodes.iter().map(Node::buffer).sum::<usize>() == self.buffers);
        assert!(self.nodes.iter().all(|node| 0 < node.count));
        let labels = || self.nodes.iter().map(|node| node.label);
        assert!(labels().zip(labels().skip(1)).all(|(label, next)| label < next));
        for node in &self.nodes {
            match node.content() {
                Content::Plain(_) => assert!(node.count == 1),
                Content::Packed(list) => {
                    assert!(Listpack::validated(list.as_bytes()).is_some());
                    assert!(list.len() == node.count as usize);
                }
            }
        }
    }
}

/// Items of a node, on their own.
fn copy(node: &Node, range: Range<usize>) -> Vec<u8> {
    let Content::Packed(list) = node.content() else {
        unreachable!("a large element is alone in its node")
    };
    let mut part = ListpackBuf::new();
    list.iter_from(place(list, range.start)).take(range.len()).for_each(|item| part.push(item));
    part.finish()
}

/// Takes out the items at these indexes, which rise.
pub(super) fn without(list: &mut Vec<u8>, indexes: &[usize]) {
    if let [index] = indexes {
        let at = place(Listpack::new(list), *index);
        listpack::remove(list, at, 1);
        return;
    }
    let mut kept = ListpackBuf::with_capacity(list.len());
    let mut indexes = indexes.iter().peekable();
    for (index, item) in Listpack::new(list).iter().enumerate() {
        if indexes.next_if(|removed| **removed == index).is_none() {
            kept.push(item);
        }
    }
    *list = kept.finish();
    list.shrink_to_fit();
}
