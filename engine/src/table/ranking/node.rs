//! The nodes of a sorted set's tree: leaves of members, and inner nodes above them.
//!
//! An inner node knows of each child how many members are below it, the first of them, and that
//! one's score: a descent reads no entry but among equal scores, and the leaf at its end.
//!
//! # Invariants
//!
//! * What an inner node knows of a child is so, whenever the tree is not being changed.
//! * The children of one node are all leaves or all inner nodes.

use std::mem;

use super::member::{Member, Order};

/// Members of a leaf: 512 bytes.
pub(super) const LEAF_MAX: usize = 63;
/// Children of an inner node: just below 896 bytes.
pub(super) const INNER_MAX: usize = 31;

/// A node with fewer is joined with a neighbour, or gets some from it.
pub(super) const LEAF_MIN: usize = LEAF_MAX / 3;
pub(super) const INNER_MIN: usize = INNER_MAX / 3;

const _: () = assert!(size_of::<Leaf>() == 512);
const _: () = assert!(size_of::<Inner>() <= 896);

pub(super) enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

pub(super) enum NodeRef<'a> {
    Leaf(&'a Leaf),
    Inner(&'a Inner),
}

pub(super) enum NodeMut<'a> {
    Leaf(&'a mut Leaf),
    Inner(&'a mut Inner),
}

impl Node {
    pub(super) fn as_ref(&self) -> NodeRef<'_> {
        match self {
            Self::Leaf(leaf) => NodeRef::Leaf(leaf),
            Self::Inner(inner) => NodeRef::Inner(inner),
        }
    }

    pub(super) fn as_mut(&mut self) -> NodeMut<'_> {
        match self {
            Self::Leaf(leaf) => NodeMut::Leaf(leaf),
            Self::Inner(inner) => NodeMut::Inner(inner),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Leaf(_) => size_of::<Leaf>(),
            Self::Inner(_) => size_of::<Inner>(),
        }
    }
}

impl NodeRef<'_> {
    /// Members or children in the node itself.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len,
            Self::Inner(inner) => inner.len,
        }
    }

    /// Members at or below it.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len,
            Self::Inner(inner) => inner.count_before(inner.len),
        }
    }

    pub(super) fn is_small(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.len < LEAF_MIN,
            Self::Inner(inner) => inner.len < INNER_MIN,
        }
    }

    fn first(&self) -> Member {
        match self {
            Self::Leaf(leaf) => leaf.members[0],
            Self::Inner(inner) => inner.firsts[0],
        }
    }

    fn first_order(&self) -> Order {
        match self {
            Self::Leaf(leaf) => leaf.members[0].order(),
            Self::Inner(inner) => inner.orders[0],
        }
    }
}

pub(super) struct Leaf {
    len: usize,
    members: [Member; LEAF_MAX],
}

impl Leaf {
    /// # Panics
    ///
    /// If they are more than a leaf has room for.
    pub(super) fn new(members: &[Member]) -> Self {
        let mut leaf = Self { len: members.len(), members: [Member::NONE; LEAF_MAX] };
        leaf.members[..members.len()].copy_from_slice(members);
        leaf
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members[..self.len]
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == LEAF_MAX
    }

    pub(super) fn insert(&mut self, index: usize, member: Member) {
        self.members.copy_within(index..self.len, index + 1);
        self.members[index] = member;
        self.len += 1;
    }

    /// Removes up to `count` members from `index` on, and appends them to `out`.
    pub(super) fn take(&mut self, index: usize, count: usize, out: &mut Vec<Member>) -> usize {
        let end = self.len.min(index.saturating_add(count));
        out.extend_from_slice(&self.members[index..end]);
        self.members.copy_within(end..self.len, index);
        self.len -= end - index;
        end - index
    }

    /// The members from `index` on become a leaf of their own.
    pub(super) fn split(&mut self, index: usize) -> Self {
        let right = Self::new(&self.members[index..self.len]);
        self.len = index;
        right
    }

    /// Joins the next leaf, or, if both do not fit in one, makes them equally large. True if the
    /// next one is empty.
    fn mend(&mut self, next: &mut Self) -> bool {
        let total = self.len + next.len;
        let goal = if total <= LEAF_MAX { total } else { total / 2 };
        if self.len < goal {
            let moved = goal - self.len;
            self.members[self.len..goal].copy_from_slice(&next.members[..moved]);
            next.members.copy_within(moved..next.len, 0);
        } else {
            let moved = self.len - goal;
            next.members.copy_within(0..next.len, moved);
            next.members[..moved].copy_from_slice(&self.members[goal..self.len]);
        }
        (self.len, next.len) = (goal, total - goal);
        next.len == 0
    }
}

type Boxes<T> = [Option<Box<T>>; INNER_MAX];

enum Children {
    Leaves(Boxes<Leaf>),
    Inners(Boxes<Inner>),
}

pub(super) struct Inner {
    len: usize,
    /// The scores of `firsts`.
    orders: [Order; INNER_MAX],
    /// The first member below each child.
    firsts: [Member; INNER_MAX],
    /// How many are below each child.
    counts: [u32; INNER_MAX],
    children: Children,
}

impl Inner {
    /// A node above `children`, which are alike.
    ///
    /// # Panics
    ///
    /// If there are none, or more than it has room for.
    pub(super) fn new(children: impl IntoIterator<Item = Node>) -> Self {
        let mut children = children.into_iter().peekable();
        let mut inner = Self {
            len: 0,
            orders: [Order::NONE; INNER_MAX],
            firsts: [Member::NONE; INNER_MAX],
            counts: [0; INNER_MAX],
            children: match children.peek().expect("a node has children") {
                Node::Leaf(_) => Children::Leaves(Boxes::default()),
                Node::Inner(_) => Children::Inners(Boxes::default()),
            },
        };
        for child in children {
            inner.insert(inner.len, child);
        }
        inner
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == INNER_MAX
    }

    pub(super) fn child(&self, index: usize) -> NodeRef<'_> {
        match &self.children {
            Children::Leaves(leaves) => NodeRef::Leaf(there(leaves[index].as_deref())),
            Children::Inners(inners) => NodeRef::Inner(there(inners[index].as_deref())),
        }
    }

    pub(super) fn child_mut(&mut self, index: usize) -> NodeMut<'_> {
        match &mut self.children {
            Children::Leaves(leaves) => NodeMut::Leaf(there(leaves[index].as_deref_mut())),
            Children::Inners(inners) => NodeMut::Inner(there(inners[index].as_deref_mut())),
        }
    }

    /// How many are below the children before one.
    pub(super) fn count_before(&self, index: usize) -> usize {
        self.counts[..index].iter().map(|count| *count as usize).sum()
    }

    /// The child that holds the one of this rank, and the rank below that child.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub(super) fn seek(&self, rank: usize) -> (usize, usize) {
        let mut rest = rank;
        for (index, count) in self.counts[..self.len].iter().enumerate() {
            match rest.checked_sub(*count as usize) {
                None => return (index, rest),
                Some(less) => rest = less,
            }
        }
        panic!("the rank is below the count");
    }

    /// The child that gets what is to be of this rank, and the rank below that child: rather the
    /// last of a child than the first of the next, whose first member then stays.
    pub(super) fn seek_gap(&self, rank: usize) -> (usize, usize) {
        match rank.checked_sub(1) {
            None => (0, 0),
            Some(before) => {
                let (index, rest) = self.seek(before);
                (index, rest + 1)
            }
        }
    }

    /// The child that holds the last one that is before an edge, or else the first child.
    pub(super) fn seek_edge(&self, is_before: impl Fn(Order, &Member) -> bool) -> usize {
        let (mut start, mut end) = (0, self.len);
        while start + 1 < end {
            let middle = usize::midpoint(start, end);
            if is_before(self.orders[middle], &self.firsts[middle]) {
                start = middle;
            } else {
                end = middle;
            }
        }
        start
    }

    /// Looks again at what is below a child.
    pub(super) fn refresh(&mut self, index: usize) {
        let child = self.child(index);
        let (first, count) = (child.first(), child.count());
        // Another first member is the rare case, and the only one that reads an entry.
        let order = (first != self.firsts[index]).then(|| child.first_order());
        self.counts[index] = u32::try_from(count).expect("memory ends before the count");
        if let Some(order) = order {
            (self.firsts[index], self.orders[index]) = (first, order);
        }
    }

    pub(super) fn insert(&mut self, index: usize, child: Node) {
        self.orders.copy_within(index..self.len, index + 1);
        self.firsts.copy_within(index..self.len, index + 1);
        self.counts.copy_within(index..self.len, index + 1);
        match (&mut self.children, child) {
            (Children::Leaves(leaves), Node::Leaf(leaf)) => put(leaves, self.len, index, leaf),
            (Children::Inners(inners), Node::Inner(inner)) => put(inners, self.len, index, inner),
            _ => unreachable!("children are alike"),
        }
        self.len += 1;
        self.firsts[index] = Member::NONE;
        self.refresh(index);
    }

    pub(super) fn remove(&mut self, index: usize) -> Node {
        self.orders.copy_within(index + 1..self.len, index);
        self.firsts.copy_within(index + 1..self.len, index);
        self.counts.copy_within(index + 1..self.len, index);
        self.len -= 1;
        match &mut self.children {
            Children::Leaves(leaves) => Node::Leaf(pull(leaves, self.len, index)),
            Children::Inners(inners) => Node::Inner(pull(inners, self.len, index)),
        }
    }

    /// The children from `index` on, of which there are some, get a node of their own.
    pub(super) fn split(&mut self, index: usize) -> Self {
        let moved: Vec<_> = (index..self.len).rev().map(|last| self.remove(last)).collect();
        Self::new(moved.into_iter().rev())
    }

    /// Takes the last child out, if there is one.
    pub(super) fn pop(&mut self) -> Option<Node> {
        let last = self.len.checked_sub(1)?;
        Some(self.remove(last))
    }

    /// Joins a small child with a neighbour, or makes the two equally large. Returns the node that
    /// became empty. An only child stays as it is.
    pub(super) fn mend_child(&mut self, index: usize) -> Option<Node> {
        if self.len < 2 {
            return None;
        }
        let left = index.saturating_sub(1);
        let is_joined = match &mut self.children {
            Children::Leaves(leaves) => {
                let (one, two) = neighbours(leaves, left);
                one.mend(two)
            }
            Children::Inners(inners) => {
                let (one, two) = neighbours(inners, left);
                one.mend(two)
            }
        };
        self.refresh(left);
        if is_joined {
            return Some(self.remove(left + 1));
        }
        self.refresh(left + 1);
        None
    }

    /// As [`Leaf::mend`].
    fn mend(&mut self, next: &mut Self) -> bool {
        let total = self.len + next.len;
        let goal = if total <= INNER_MAX { total } else { total / 2 };
        while self.len < goal {
            let child = next.remove(0);
            self.insert(self.len, child);
        }
        while goal < self.len {
            let child = self.remove(self.len - 1);
            next.insert(0, child);
        }
        next.len == 0
    }

    /// Asserts what it knows of its children.
    pub(super) fn check(&self) {
        assert!(0 < self.len);
        for index in 0..self.len {
            let child = self.child(index);
            assert!(child.first() == self.firsts[index]);
            assert!(child.first_order() == self.orders[index]);
            assert!(child.first().order() == self.orders[index]);
            assert!(child.count() == self.counts[index] as usize);
        }
    }
}

fn there<T>(child: Option<T>) -> T {
    child.expect("a child is in each cell below the length")
}

fn put<T>(boxes: &mut Boxes<T>, len: usize, index: usize, child: Box<T>) {
    let cell = boxes[index..=len].last_mut().expect("the cell behind the last is empty");
    assert!(cell.is_none());
    *cell = Some(child);
    boxes[index..=len].rotate_right(1);
}

fn pull<T>(boxes: &mut Boxes<T>, last: usize, index: usize) -> Box<T> {
    boxes[index..=last].rotate_left(1);
    there(mem::take(&mut boxes[last]))
}

fn neighbours<T>(boxes: &mut Boxes<T>, left: usize) -> (&mut T, &mut T) {
    let [one, two] = boxes.get_disjoint_mut([left, left + 1]).expect("both are below the length");
    (there(one.as_deref_mut()), there(two.as_deref_mut()))
}
