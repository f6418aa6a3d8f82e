//! Sorted sets.
//!
//! A small one is a listpack of members and scores in turn, in the order of the set; a score is
//! there as it prints. A large one is a [`Ranking`]. [`Zset`] reads both.

#[cfg(test)]
mod tests;

use super::{ChangeCx, Changed, Form, Object, Unfit};
use crate::effect::Elements;
use crate::listpack::{self, Item, Listpack, Offset, Scratch, Splice};
use crate::table::{Attributes, Edge, Entry, EntryBox, Ranks};
use base::Prng;
use base::double::Text;

pub(crate) use crate::table::Ranking;

/// What takes one change of a [`Ranking`] back: the scores that members had, none where they were
/// absent, in the order of the changes.
#[derive(Debug)]
pub(crate) struct Undo(Vec<(Box<[u8]>, Option<f64>)>);

impl Ranking {
    pub(crate) fn undo(&mut self, undo: Undo, _cx: &mut ChangeCx<'_>) {
        for (name, score) in undo.0.into_iter().rev() {
            let changed = match score {
                Some(score) => self.set(&name, score),
                None => self.remove(&name),
            };
            assert!(score.is_some() || changed.is_some(), "what was added is there");
        }
    }
}

/// A sorted set, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zset<'a> {
    Pack(Listpack<'a>),
    Tree(&'a Ranking),
}

/// A member, whose name is these bytes or this integer's text, with its score.
pub(crate) type Scored<'a> = (Item<'a>, f64);

impl<'a> Zset<'a> {
    /// None if the value is of another type.
    pub(crate) fn of(entry: Entry<'a>) -> Option<Self> {
        match entry.form() {
            Form::ZsetPack => entry.packed().map(|bytes| Self::Pack(Listpack::new(bytes))),
            Form::ZsetTree => match entry.object() {
                Some(Object::Zset(ranking)) => Some(Self::Tree(ranking)),
                _ => unreachable!("the form tells the object"),
            },
            _ => None,
        }
    }

    pub(crate) fn len(self) -> usize {
        match self {
            Self::Pack(pack) => pack.len() / 2,
            Self::Tree(ranking) => ranking.len(),
        }
    }

    pub(crate) fn score(self, name: &[u8]) -> Option<f64> {
        match self {
            Self::Pack(pack) => pack.find(Offset::FIRST, name, 1).map(|at| score_at(pack, at)),
            Self::Tree(ranking) => ranking.score(name),
        }
    }

    /// The rank of a member, counted from the lowest, and its score.
    pub(crate) fn rank(self, name: &[u8]) -> Option<(usize, f64)> {
        match self {
            Self::Pack(pack) => {
                let name = Item::of(name);
                let rank = pack.pairs().position(|(member, _)| member == name)?;
                let (_, score) = pack.pairs().nth(rank).expect("it was just there");
                Some((rank, score_of(score)))
            }
            Self::Tree(ranking) => ranking.rank(name),
        }
    }

    /// How many members are before an edge.
    pub(crate) fn rank_of_edge(self, edge: Edge<'_>) -> usize {
        match self {
            Self::Pack(pack) => pack.pairs().take_while(|pair| is_before(*pair, edge)).count(),
            Self::Tree(ranking) => ranking.rank_of_edge(edge),
        }
    }

    /// The members of these ranks, from both ends.
    ///
    /// # Panics
    ///
    /// If there are not that many.
    pub(crate) fn range(self, start: usize, end: usize) -> Range<'a> {
        match self {
            Self::Pack(pack) => {
                let pairs = pack.pairs().skip(start).take(end - start);
                let members: Vec<_> = pairs.map(|(name, score)| (name, score_of(score))).collect();
                assert!(members.len() == end - start);
                Range::Pack(members.into_iter())
            }
            Self::Tree(ranking) => Range::Tree(ranking.range(start, end)),
        }
    }

    /// All members, from both ends.
    pub(crate) fn iter(self) -> Range<'a> {
        self.range(0, self.len())
    }

    /// A member, each as likely as any other.
    pub(crate) fn random(self, prng: &mut Prng) -> Scored<'a> {
        let rank = prng.index(self.len());
        self.range(rank, rank + 1).next().expect("the rank is below the length")
    }
}

/// Members in their order, with their scores.
pub(crate) enum Range<'a> {
    Pack(std::vec::IntoIter<Scored<'a>>),
    Tree(Ranks<'a>),
}

impl<'a> Iterator for Range<'a> {
    type Item = Scored<'a>;

    fn next(&mut self) -> Option<Scored<'a>> {
        match self {
            Self::Pack(members) => members.next(),
            Self::Tree(ranks) => ranks.next().map(|(name, score)| (Item::Bytes(name), score)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Pack(members) => members.size_hint(),
            Self::Tree(ranks) => ranks.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Range<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Pack(members) => members.next_back(),
            Self::Tree(ranks) => ranks.next_back().map(|(name, score)| (Item::Bytes(name), score)),
        }
    }
}

impl ExactSizeIterator for Range<'_> {}

fn is_before((name, score): (Item<'_>, Item<'_>), edge: Edge<'_>) -> bool {
    match edge {
        Edge::Start => false,
        Edge::End => true,
        Edge::BeforeScore(bound) => score_of(score) < bound,
        Edge::BehindScore(bound) => score_of(score) <= bound,
        Edge::BeforeName(bound) => name.bytes(&mut Scratch::default()) < bound,
        Edge::BehindName(bound) => name.bytes(&mut Scratch::default()) <= bound,
    }
}

fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Integer(score) => score as f64,
        Item::Bytes(text) => {
            let score = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            score.expect("every second item is the text of a score")
        }
    }
}

/// The members of a listpack with their scores.
pub(super) fn members_of(pack: Listpack<'_>) -> impl Iterator<Item = Scored<'_>> {
    pack.pairs().map(|(name, score)| (name, score_of(score)))
}

/// The score of the member there.
fn score_at(pack: Listpack<'_>, member: Offset) -> f64 {
    score_of(pack.get(pack.next(member)).expect("a score is behind its member"))
}

pub(crate) fn empty(key: &[u8]) -> EntryBox {
    let attributes = Attributes { form: Form::ZsetPack, ..Attributes::default() };
    EntryBox::packed(key, &listpack::empty(), attributes)
}

pub(crate) fn packed_len(bytes: &[u8]) -> usize {
    Listpack::new(bytes).len() / 2
}

pub(crate) fn for_each_part(entry: Entry<'_>, visit: &mut dyn FnMut(&[&[u8]])) {
    let zset = Zset::of(entry).expect("the value is a sorted set");
    for (name, score) in zset.iter() {
        visit(&[name.bytes(&mut Scratch::default()), &score.to_le_bytes()]);
    }
}

fn parse_score(bytes: &[u8]) -> Result<f64, Unfit> {
    let bytes = bytes.try_into().map_err(|_| Unfit("a score has eight bytes"))?;
    let score = f64::from_le_bytes(bytes);
    if score.is_nan() { Err(Unfit("a score is not a number")) } else { Ok(score) }
}

fn ranking_of(entry: &mut EntryBox) -> &mut Ranking {
    match entry.object_mut() {
        Some(Object::Zset(ranking)) => ranking,
        _ => unreachable!("a sorted set that is no listpack is a ranking"),
    }
}

pub(crate) fn add(entry: &mut EntryBox, pairs: Elements<'_>, cx: &mut ChangeCx<'_>) -> Changed {
    pairs.pairs().try_for_each(|(score, _)| parse_score(score).map(drop))?;
    let scored = |(score, name)| (parse_score(score).expect("all were checked"), name);
    let mut rest = pairs.pairs().map(scored);
    if entry.view().form() == Form::ZsetPack {
        let limits = cx.limits;
        let overflowing = entry.edit(cx.scratch, |pack| {
            rest.find(|(score, name)| {
                let is_fitting = name.len() <= limits.zset_max_listpack_value;
                let room = if is_fitting { limits.zset_max_listpack_entries } else { 0 };
                !set_in_pack(pack, name, *score, room)
            })
        });
        let Some((score, name)) = overflowing else { return Ok(None) };
        grow(entry, cx);
        let ranking = ranking_of(entry);
        ranking.set(name, score);
        for (score, name) in rest {
            ranking.set(name, score);
        }
        return Ok(None);
    }
    let ranking = ranking_of(entry);
    let mut undo = Vec::new();
    for (score, name) in rest {
        let old = ranking.set(name, score);
        if cx.keeps {
            undo.push((name.into(), old));
        }
    }
    Ok(kept(undo, cx))
}

fn kept(undo: Vec<(Box<[u8]>, Option<f64>)>, cx: &ChangeCx<'_>) -> Option<super::Undo> {
    cx.keeps.then_some(super::Undo::Zset(Undo(undo)))
}

/// Gives a member a score, unless it is new and there are as many as there is room for.
fn set_in_pack(pack: &mut Vec<u8>, name: &[u8], score: f64, room: usize) -> bool {
    let view = Listpack::new(pack);
    let text = Text::new(score);
    let items = [Item::of(name), Item::of(text.as_bytes())];
    match view.find(Offset::FIRST, name, 1) {
        Some(at) => {
            listpack::remove(pack, at, 2);
        }
        None => {
            let size = items.iter().map(|item| item.encoded_size()).sum();
            if room <= view.len() / 2 || !view.is_safe_to_add(size) {
                return false;
            }
        }
    }
    let at = place_in_pack(Listpack::new(pack), name, score);
    listpack::insert_all(pack, at, items.into_iter());
    true
}

/// Where a member of this name and score is to be.
fn place_in_pack(pack: Listpack<'_>, name: &[u8], score: f64) -> Offset {
    let mut at = Offset::FIRST;
    while let Some((other, score_at)) = pack.step(at) {
        let (other_score, next) = pack.step(score_at).expect("a score is behind its member");
        let other_score = score_of(other_score);
        let is_behind = score < other_score
            || (score == other_score && name < other.bytes(&mut Scratch::default()));
        if is_behind {
            return at;
        }
        at = next;
    }
    at
}

/// Makes a ranking of a listpack.
fn grow(entry: &mut EntryBox, cx: &mut ChangeCx<'_>) {
    let pack = Listpack::new(entry.view().packed().expect("it is a listpack"));
    let members: Vec<_> =
        pack.pairs().map(|(name, score)| (name.to_vec(), score_of(score))).collect();
    let members = members.iter().map(|(name, score)| (name.as_slice(), *score));
    let ranking = Ranking::build(members, cx.hasher).expect("the members of a set differ");
    entry.set_object(Box::new(Object::Zset(ranking)));
}

pub(crate) fn remove(
    entry: &mut EntryBox,
    members: Elements<'_>,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    let zset = Zset::of(entry.view()).expect("the value is a sorted set");
    if members.iter().any(|name| zset.score(name).is_none()) {
        return Err(Unfit("a member to remove is absent"));
    }
    if entry.view().form() == Form::ZsetPack {
        entry.edit(cx.scratch, |pack| {
            for name in members.iter() {
                // A member that is named twice has gone.
                if let Some(at) = Listpack::new(pack).find(Offset::FIRST, name, 1) {
                    listpack::remove(pack, at, 2);
                }
            }
        });
        return Ok(None);
    }
    let ranking = ranking_of(entry);
    let mut undo = Vec::new();
    for name in members.iter() {
        if let Some(score) = ranking.remove(name)
            && cx.keeps
        {
            undo.push((name.into(), Some(score)));
        }
    }
    Ok(kept(undo, cx))
}

pub(crate) fn remove_range(
    entry: &mut EntryBox,
    rank: usize,
    count: usize,
    cx: &mut ChangeCx<'_>,
) -> Changed {
    let len = super::len(entry.view());
    let end = rank.checked_add(count).filter(|end| *end <= len);
    let end = end.ok_or(Unfit("there are fewer members to remove"))?;
    if entry.view().form() == Form::ZsetPack {
        entry.edit(cx.scratch, |pack| {
            let view = Listpack::new(pack);
            let offset_of = |rank: usize| view.at(2 * rank as isize).unwrap_or(view.end());
            let range = offset_of(rank)..offset_of(end);
            Splice::new(range, 2 * count, std::iter::empty()).apply(pack);
        });
        return Ok(None);
    }
    let mut undo = Vec::new();
    let keeps = cx.keeps;
    ranking_of(entry).remove_range(rank, end, &mut |(name, score)| {
        if keeps {
            undo.push((name.into(), Some(score)));
        }
    });
    Ok(kept(undo, cx))
}
