//! A sorted set of many members: a table that finds a member's score, and a tree that knows the
//! order.
//!
//! A member is one entry of the table: its key is the name, its value the eight bytes of the
//! score. The tree holds pointers to entries. Members are in the order of their scores, equal ones
//! in that of their names.
//!
//! # Invariants
//!
//! * The tree has exactly the table's entries, and each where its score and name want it.
//! * An entry is out of the tree while it is changed, and before it is freed.

#![allow(unsafe_code, reason = "the tree points to entries that the table beside it owns")]

mod member;
mod node;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt;

use super::entry::{Attributes, Entry, EntryBox};
use super::{KeyHasher, MEMBERS, Place, Table};
use crate::cursor::Position;
use member::{Member, Order, SCORE_SIZE, score_of};
use tree::{Run, Tree};

/// A place between members, or before or behind all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Edge<'a> {
    Start,
    End,
    BeforeScore(f64),
    BehindScore(f64),
    /// By names alone: for members of equal scores.
    BeforeName(&'a [u8]),
    BehindName(&'a [u8]),
}

/// A member with its score.
pub(crate) type Scored<'a> = (&'a [u8], f64);

/// Owner: the object of a key.
pub(crate) struct Ranking {
    members: Table,
    order: Tree,
    /// That of the keyspace.
    hasher: KeyHasher,
}

// SAFETY: the pointers of the tree are to entries of the table, which moves along with it.
unsafe impl Send for Ranking {}

impl Ranking {
    pub(crate) fn new(hasher: &KeyHasher) -> Self {
        Self { members: Table::of_members(), order: Tree::default(), hasher: hasher.clone() }
    }

    /// One of these members, in linear time if they rise or fall. None if a name is twice among
    /// them, or a score is not a number.
    pub(crate) fn build<'a>(
        members: impl IntoIterator<Item = Scored<'a>>,
        hasher: &KeyHasher,
    ) -> Option<Self> {
        let mut ranking = Self::new(hasher);
        let mut pointers = Vec::new();
        for (name, score) in members {
            let place = place_of(name, hasher);
            if score.is_nan() || ranking.members.find(place, name).is_some() {
                return None;
            }
            pointers.push(ranking.add_entry(place, name, score + 0.0));
        }
        if pointers.is_sorted_by(|one, two| one.cmp(two).is_gt()) {
            pointers.reverse();
        } else if !pointers.is_sorted_by(|one, two| one.cmp(two).is_lt()) {
            pointers.sort_unstable_by(Member::cmp);
        }
        ranking.order = Tree::build(&pointers);
        Some(ranking)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The members, each with its score in 8 bytes.
    pub(crate) fn table(&self) -> &Table {
        &self.members
    }

    /// Bytes allocated behind this struct.
    pub(crate) fn size(&self) -> usize {
        self.members.memory().total() + self.order.size()
    }

    pub(crate) fn score(&self, name: &[u8]) -> Option<f64> {
        self.members.find(place_of(name, &self.hasher), name).map(score_of)
    }

    /// The rank of a member, counted from the lowest, and its score.
    pub(crate) fn rank(&self, name: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(name)?;
        Some((self.rank_of(score, name), score))
    }

    /// How many members are before one of this score and name.
    fn rank_of(&self, score: f64, name: &[u8]) -> usize {
        let order = Order::of(score);
        self.order.rank_of_edge(|at, member| at < order || (at == order && member.name() < name))
    }

    /// How many members are before an edge.
    pub(crate) fn rank_of_edge(&self, edge: Edge<'_>) -> usize {
        match edge {
            Edge::Start => 0,
            Edge::End => self.len(),
            Edge::BeforeScore(score) => {
                let order = Order::of(score);
                self.order.rank_of_edge(|at, _| at < order)
            }
            Edge::BehindScore(score) => {
                let order = Order::of(score);
                self.order.rank_of_edge(|at, _| at <= order)
            }
            Edge::BeforeName(name) => self.order.rank_of_edge(|_, member| member.name() < name),
            Edge::BehindName(name) => self.order.rank_of_edge(|_, member| member.name() <= name),
        }
    }

    /// The members of these ranks, from both ends.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub(crate) fn range(&self, start: usize, end: usize) -> Ranks<'_> {
        Ranks(Run::new(&self.order, start, end))
    }

    /// Gives a member a score; returns the one that it had. A negative zero becomes zero.
    pub(crate) fn set(&mut self, name: &[u8], score: f64) -> Option<f64> {
        assert!(!score.is_nan());
        let score = score + 0.0;
        let place = place_of(name, &self.hasher);
        let Some(old) = self.members.find(place, name).map(score_of) else {
            let rank = self.rank_of(score, name);
            let member = self.add_entry(place, name, score);
            self.order.insert(rank, member);
            return None;
        };
        if old.to_bits() != score.to_bits() {
            self.move_member(place, name, old, score);
        }
        Some(old)
    }

    fn move_member(&mut self, place: Place, name: &[u8], old: f64, score: f64) {
        let member = self.take(self.rank_of(old, name));
        assert!(member.name() == name);
        let overwrite = |entry: &mut EntryBox| {
            let is_done = entry.overwrite(&score.to_le_bytes(), None);
            assert!(is_done, "a score takes the place of a score");
        };
        self.members.update(place, name, overwrite).expect("it was found");
        self.order.insert(self.rank_of(score, name), member);
    }

    fn add_entry(&mut self, place: Place, name: &[u8], score: f64) -> Member {
        let fill = |value: &mut [u8]| value.copy_from_slice(&score.to_le_bytes());
        let entry = EntryBox::inline(name, SCORE_SIZE, Attributes::default(), fill);
        // SAFETY: the entry is put into the table, which moves no entry, and stays as it is until
        // the member has been taken out of the tree.
        let member = unsafe { Member::new(entry.view()) };
        self.members.insert(place, entry, &self.hasher);
        member
    }

    /// Takes the member of a rank out of the tree.
    fn take(&mut self, rank: usize) -> Member {
        let mut taken = Vec::with_capacity(1);
        self.order.take(rank, 1, &mut taken);
        taken.pop().expect("there is a member of this rank")
    }

    /// Removes a member; returns the score that it had.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<f64> {
        let place = place_of(name, &self.hasher);
        let score = self.members.find(place, name).map(score_of)?;
        let member = self.take(self.rank_of(score, name));
        assert!(member.name() == name);
        self.members.remove(place, name).expect("it was found");
        self.condense(1);
        Some(score)
    }

    /// Removes the members of these ranks, and visits each, from the lowest.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub(crate) fn remove_range(
        &mut self,
        start: usize,
        end: usize,
        visit: &mut dyn FnMut(Scored<'_>),
    ) {
        assert!(start <= end && end <= self.len());
        let mut rest = end - start;
        let mut taken = Vec::new();
        while 0 < rest {
            self.order.take(start, rest, &mut taken);
            rest -= taken.len();
            taken.iter().for_each(Member::prefetch);
            for member in taken.drain(..) {
                let place = place_of(member.name(), &self.hasher);
                let removed = self.members.remove(place, member.name());
                let entry = removed.expect("what is in the tree is in the table");
                visit((entry.view().key(), score_of(entry.view())));
            }
        }
        self.condense(end - start);
    }

    /// Visits members in the order of their hashes, as [`Table::scan`].
    pub(crate) fn scan<'a>(
        &'a self,
        from: Position,
        count: usize,
        visit: &mut dyn FnMut(Scored<'a>),
    ) -> Option<Position> {
        let visit = &mut |entry: Entry<'a>| visit((entry.key(), score_of(entry)));
        self.members.scan(&self.hasher, from, count, visit)
    }

    /// Makes the table smaller where members were removed: a little more than that costs.
    fn condense(&mut self, removed: usize) {
        self.members.maintain(&mut (removed * CONDENSED_SHARE), &self.hasher);
    }

    /// Frees some of a ranking that is no longer used. True if there is more of it.
    pub(crate) fn free(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        self.order.free(budget) || self.members.free(budget, large)
    }

    /// Asserts the invariants. Walks every member.
    pub(crate) fn check(&self) {
        self.members.check(&self.hasher);
        self.order.check();
        assert!(self.order.len() == self.members.len());
        for (name, score) in self.range(0, self.len()) {
            assert!(!score.is_nan());
            let found = self.score(name).expect("what is in the tree is in the table");
            assert!(found.to_bits() == score.to_bits());
        }
    }
}

/// Of a budget in entries, for each member removed: a table is looked over when an eighth of it
/// was removed, and then moves as many entries as it has at most.
const CONDENSED_SHARE: usize = 32;

fn place_of(name: &[u8], hasher: &KeyHasher) -> Place {
    Place { slot: MEMBERS, hash: hasher.hash(name) }
}

impl fmt::Debug for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranking").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Members in their order, with their scores.
pub(crate) struct Ranks<'a>(Run<'a>);

impl<'a> Iterator for Ranks<'a> {
    type Item = Scored<'a>;

    fn next(&mut self) -> Option<Scored<'a>> {
        self.0.next().map(scored)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Ranks<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(scored)
    }
}

impl ExactSizeIterator for Ranks<'_> {}

fn scored(member: &Member) -> Scored<'_> {
    (member.name(), member.score())
}
