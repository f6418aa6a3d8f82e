//! A counted B+tree: the order of a sorted set, in which members are found by rank.
//!
//! Everything is done by rank. What is between two edges, such as scores, is what is between the
//! ranks of those edges; only finding the rank of an edge compares anything. There are no links
//! between leaves: from the end of one, the next is found by its rank, which costs a descent for
//! some forty members and leaves nothing to be kept right when nodes are split and joined.
//!
//! Members that arrive in order leave full leaves behind: what is appended to a full last leaf, or
//! put before a full first one, begins a new leaf alone.
//!
//! # Invariants
//!
//! * Members rise strictly by score and name.
//! * All leaves are equally deep. None is empty, and only nodes on the two edges of the tree may
//!   have fewer than a third of what there is room for.

use std::mem;

use super::member::{Member, Order};
use super::node::{INNER_MAX, Inner, LEAF_MAX, Leaf, Node, NodeMut, NodeRef};

/// Owner: a ranking.
#[derive(Default)]
pub(super) struct Tree {
    root: Option<Node>,
    len: usize,
    /// Bytes of all nodes.
    size: usize,
    /// Nodes still to be freed, of a tree that is dead.
    dead: Vec<Node>,
}

/// At which edges of the tree a node is.
#[derive(Clone, Copy)]
struct Edges {
    is_first: bool,
    is_last: bool,
}

impl Tree {
    /// A tree of members that rise strictly.
    pub(super) fn build(members: &[Member]) -> Self {
        let mut size = 0;
        let mut nodes: Vec<Node> = members
            .chunks(LEAF_MAX)
            .map(|chunk| counted(&mut size, Node::Leaf(Box::new(Leaf::new(chunk)))))
            .collect();
        while 1 < nodes.len() {
            let mut level = Vec::with_capacity(nodes.len().div_ceil(INNER_MAX));
            let mut below = nodes.into_iter().peekable();
            while below.peek().is_some() {
                let inner = Inner::new(below.by_ref().take(INNER_MAX));
                level.push(counted(&mut size, Node::Inner(Box::new(inner))));
            }
            nodes = level;
        }
        Self { root: nodes.pop(), len: members.len(), size, dead: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How many members are before an edge. `is_before` is true of these, and of none behind them;
    /// its first argument is the member's score, known without looking at the member.
    pub(super) fn rank_of_edge(&self, is_before: impl Fn(Order, &Member) -> bool) -> usize {
        let mut rank = 0;
        let mut node = self.root.as_ref().map(Node::as_ref);
        while let Some(NodeRef::Inner(inner)) = node {
            let index = inner.seek_edge(&is_before);
            rank += inner.count_before(index);
            node = Some(inner.child(index));
        }
        let Some(NodeRef::Leaf(leaf)) = node else { return 0 };
        rank + seek_member(leaf.members(), |member| is_before(member.order(), member))
    }

    /// The members from `rank` on that are in one leaf.
    pub(super) fn run_from(&self, rank: usize) -> &[Member] {
        let (leaf, index) = self.leaf_at(rank);
        &leaf.members()[index..]
    }

    /// The members up to and with `rank` that are in one leaf.
    pub(super) fn run_to(&self, rank: usize) -> &[Member] {
        let (leaf, index) = self.leaf_at(rank);
        &leaf.members()[..=index]
    }

    fn leaf_at(&self, rank: usize) -> (&Leaf, usize) {
        assert!(rank < self.len);
        let mut node = self.root.as_ref().map(Node::as_ref);
        let mut rank = rank;
        loop {
            match node.expect("a tree with members has a root") {
                NodeRef::Leaf(leaf) => return (leaf, rank),
                NodeRef::Inner(inner) => {
                    let (index, rest) = inner.seek(rank);
                    node = Some(inner.child(index));
                    rank = rest;
                }
            }
        }
    }

    /// Adds a member, which gets this rank: where the order wants it.
    pub(super) fn insert(&mut self, rank: usize, member: Member) {
        assert!(rank <= self.len);
        self.len += 1;
        let Some(mut root) = self.root.take() else {
            let leaf = Node::Leaf(Box::new(Leaf::new(&[member])));
            self.root = Some(counted(&mut self.size, leaf));
            return;
        };
        let edges = Edges { is_first: true, is_last: true };
        if let Some(right) = insert(root.as_mut(), rank, member, edges, &mut self.size) {
            let above = Node::Inner(Box::new(Inner::new([root, right])));
            root = counted(&mut self.size, above);
        }
        self.root = Some(root);
    }

    /// Removes up to `count` members from `rank` on, as many as are in one leaf, and appends them
    /// to `out`, of which there is at least one.
    pub(super) fn take(&mut self, rank: usize, count: usize, out: &mut Vec<Member>) {
        assert!(rank < self.len && 0 < count);
        let root = self.root.as_mut().expect("a tree with members has a root");
        self.len -= take(root.as_mut(), rank, count, out, &mut self.size);
        while let Some(Node::Inner(inner)) = &mut self.root
            && inner.len() < 2
        {
            self.size -= size_of::<Inner>();
            self.root = inner.pop();
        }
        if self.len == 0
            && let Some(root) = self.root.take()
        {
            self.size -= root.size();
        }
        assert!((self.len == 0) == (self.size == 0));
    }

    /// Frees some of a tree that is no longer used, without a look at the members. True if there
    /// is more of it.
    pub(super) fn free(&mut self, budget: &mut usize) -> bool {
        self.len = 0;
        self.dead.extend(self.root.take());
        while let Some(node) = self.dead.last_mut() {
            if *budget == 0 {
                return true;
            }
            *budget -= 1;
            if let Node::Inner(inner) = node
                && let Some(child) = inner.pop()
            {
                self.dead.push(child);
                continue;
            }
            self.size -= node.size();
            self.dead.pop();
        }
        self.dead = Vec::new();
        false
    }

    /// Asserts the invariants. Walks every member.
    pub(super) fn check(&self) {
        let mut walk = Walk::default();
        if let Some(root) = &self.root {
            walk.check(root.as_ref(), Edges { is_first: true, is_last: true }, 0);
            assert!(matches!(root, Node::Leaf(_)) || 1 < root.as_ref().len());
        }
        assert!(walk.len == self.len);
        assert!(walk.size == self.size || !self.dead.is_empty());
    }
}

fn counted(size: &mut usize, node: Node) -> Node {
    *size += node.size();
    node
}

/// Adds a member below a node. Returns what is to be the node behind that one.
fn insert(
    node: NodeMut<'_>,
    rank: usize,
    member: Member,
    edges: Edges,
    size: &mut usize,
) -> Option<Node> {
    match node {
        NodeMut::Leaf(leaf) => {
            let right = insert_into_leaf(leaf, rank, member, edges)?;
            Some(counted(size, Node::Leaf(Box::new(right))))
        }
        NodeMut::Inner(inner) => {
            let (index, rest) = inner.seek_gap(rank);
            let below = Edges {
                is_first: edges.is_first && index == 0,
                is_last: edges.is_last && index + 1 == inner.len(),
            };
            let split = insert(inner.child_mut(index), rest, member, below, size);
            inner.refresh(index);
            let right = insert_child(inner, index + 1, split?, edges)?;
            Some(counted(size, Node::Inner(Box::new(right))))
        }
    }
}

fn insert_into_leaf(leaf: &mut Leaf, rank: usize, member: Member, edges: Edges) -> Option<Leaf> {
    if !leaf.is_full() {
        leaf.insert(rank, member);
        return None;
    }
    if edges.is_last && rank == LEAF_MAX {
        return Some(Leaf::new(&[member]));
    }
    if edges.is_first && rank == 0 {
        return Some(mem::replace(leaf, Leaf::new(&[member])));
    }
    let middle = LEAF_MAX / 2;
    let mut right = leaf.split(middle);
    if rank <= middle {
        leaf.insert(rank, member);
    } else {
        right.insert(rank - middle, member);
    }
    Some(right)
}

fn insert_child(inner: &mut Inner, index: usize, child: Node, edges: Edges) -> Option<Inner> {
    if !inner.is_full() {
        inner.insert(index, child);
        return None;
    }
    if edges.is_last && index == INNER_MAX {
        return Some(Inner::new([child]));
    }
    // What splits off goes behind what it split from: before the first child there is none, so
    // the first is left alone where members arrive in falling order.
    let middle = if edges.is_first && index == 1 { 1 } else { INNER_MAX / 2 };
    let mut right = inner.split(middle);
    if index < middle {
        inner.insert(index, child);
    } else {
        right.insert(index - middle, child);
    }
    Some(right)
}

/// Removes up to `count` members from `rank` on, as many as are in one leaf below a node.
fn take(
    node: NodeMut<'_>,
    rank: usize,
    count: usize,
    out: &mut Vec<Member>,
    size: &mut usize,
) -> usize {
    let inner = match node {
        NodeMut::Leaf(leaf) => return leaf.take(rank, count, out),
        NodeMut::Inner(inner) => inner,
    };
    let (index, rest) = inner.seek(rank);
    let taken = take(inner.child_mut(index), rest, count, out, size);
    let emptied = if inner.child(index).len() == 0 {
        Some(inner.remove(index))
    } else {
        inner.refresh(index);
        if inner.child(index).is_small() { inner.mend_child(index) } else { None }
    };
    *size -= emptied.map_or(0, |node| node.size());
    taken
}

/// The first of `members` that is not before an edge, of which `is_before` tells.
///
/// The search halves a range whose size does not depend on what it finds, so that the seven
/// members that the next three steps may look at are known: these are loaded at once, as the
/// search mostly waits for memory.
fn seek_member(members: &[Member], is_before: impl Fn(&Member) -> bool) -> usize {
    let (mut base, mut size) = (0, members.len());
    let mut step = 0;
    while 1 < size {
        if step % 3 == 0 {
            prefetch_ways(&members[base..base + size]);
        }
        step += 1;
        let half = size / 2;
        if is_before(&members[base + half - 1]) {
            base += half;
        }
        size -= half;
    }
    base + usize::from(size == 1 && is_before(&members[base]))
}

fn prefetch_ways(members: &[Member]) {
    let one = members.len() / 2;
    let two = (members.len() - one) / 2;
    let three = (members.len() - one - two) / 2;
    let ends = [one, two, one + two, three, two + three, one + three, one + two + three];
    for end in ends {
        if let Some(member) = end.checked_sub(1).and_then(|index| members.get(index)) {
            member.prefetch();
        }
    }
}

/// Runs over members in the order of the tree, from both ends.
pub(super) struct Run<'a> {
    tree: &'a Tree,
    /// Ranks still to come.
    start: usize,
    end: usize,
    /// Those at `start`, and those before `end`, as far as they were looked up.
    front: &'a [Member],
    back: &'a [Member],
}

/// Members loaded ahead of the one that is visited.
const PREFETCHED: usize = 8;

impl<'a> Run<'a> {
    pub(super) fn new(tree: &'a Tree, start: usize, end: usize) -> Self {
        assert!(start <= end && end <= tree.len);
        Self { tree, start, end, front: &[], back: &[] }
    }
}

impl<'a> Iterator for Run<'a> {
    type Item = &'a Member;

    fn next(&mut self) -> Option<&'a Member> {
        if self.start == self.end {
            return None;
        }
        if self.front.is_empty() {
            self.front = self.tree.run_from(self.start);
            self.front.iter().take(PREFETCHED).for_each(Member::prefetch);
        }
        let (member, rest) = self.front.split_first().expect("a run has a member");
        if let Some(ahead) = rest.get(PREFETCHED - 1) {
            ahead.prefetch();
        }
        self.front = rest;
        self.start += 1;
        Some(member)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.start, Some(self.end - self.start))
    }

    fn nth(&mut self, count: usize) -> Option<&'a Member> {
        let skipped = count.min(self.end - self.start);
        self.start += skipped;
        self.front = self.front.get(skipped..).unwrap_or(&[]);
        self.next()
    }
}

impl DoubleEndedIterator for Run<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start == self.end {
            return None;
        }
        if self.back.is_empty() {
            self.back = self.tree.run_to(self.end - 1);
            self.back.iter().rev().take(PREFETCHED).for_each(Member::prefetch);
        }
        let (member, rest) = self.back.split_last().expect("a run has a member");
        if let Some(ahead) = rest.len().checked_sub(PREFETCHED) {
            rest[ahead].prefetch();
        }
        self.back = rest;
        self.end -= 1;
        Some(member)
    }
}

impl ExactSizeIterator for Run<'_> {}

/// What a check has seen so far.
#[derive(Default)]
struct Walk {
    len: usize,
    size: usize,
    last: Option<Member>,
    leaf_depth: Option<usize>,
}

impl Walk {
    fn check(&mut self, node: NodeRef<'_>, edges: Edges, depth: usize) {
        assert!(0 < node.len());
        assert!(!node.is_small() || edges.is_first || edges.is_last);
        match node {
            NodeRef::Leaf(leaf) => {
                assert!(*self.leaf_depth.get_or_insert(depth) == depth);
                for member in leaf.members() {
                    assert!(self.last.is_none_or(|last| last.cmp(member).is_lt()));
                    self.last = Some(*member);
                    self.len += 1;
                }
                self.size += size_of::<Leaf>();
            }
            NodeRef::Inner(inner) => {
                inner.check();
                for index in 0..inner.len() {
                    let below = Edges {
                        is_first: edges.is_first && index == 0,
                        is_last: edges.is_last && index + 1 == inner.len(),
                    };
                    self.check(inner.child(index), below, depth + 1);
                }
                self.size += size_of::<Inner>();
            }
        }
    }
}
