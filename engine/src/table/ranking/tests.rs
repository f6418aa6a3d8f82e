//! Rankings against a set that the standard library keeps in order.

use std::collections::{BTreeMap, BTreeSet};

use base::Prng;
use proptest::prelude::*;

use super::node::{INNER_MAX, LEAF_MAX, Leaf};
use super::*;

/// A ranking and what it should hold.
struct Bench {
    ranking: Ranking,
    scores: BTreeMap<Vec<u8>, f64>,
    order: BTreeSet<(Order, Vec<u8>)>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Ranking::new(&KeyHasher::new(1)))
    }

    fn with(ranking: Ranking) -> Self {
        Self { ranking, scores: BTreeMap::new(), order: BTreeSet::new() }
    }

    fn set(&mut self, name: &[u8], score: f64) {
        let score = score + 0.0;
        let old = self.scores.insert(name.to_vec(), score);
        if let Some(old) = old {
            assert!(self.order.remove(&(Order::of(old), name.to_vec())));
        }
        self.order.insert((Order::of(score), name.to_vec()));
        let replaced = self.ranking.set(name, score);
        assert_eq!(replaced.map(f64::to_bits), old.map(f64::to_bits));
    }

    fn remove(&mut self, name: &[u8]) {
        let old = self.scores.remove(name);
        if let Some(old) = old {
            assert!(self.order.remove(&(Order::of(old), name.to_vec())));
        }
        assert_eq!(self.ranking.remove(name), old);
    }

    fn remove_range(&mut self, start: usize, end: usize) {
        let removed: Vec<_> = self.order.iter().skip(start).take(end - start).cloned().collect();
        let mut visited = Vec::new();
        self.ranking.remove_range(start, end, &mut |(name, score)| {
            visited.push((Order::of(score), name.to_vec()));
        });
        assert_eq!(visited, removed);
        for (order, name) in removed {
            self.scores.remove(&name);
            assert!(self.order.remove(&(order, name)));
        }
    }

    fn name_at(&self, rank: usize) -> Option<Vec<u8>> {
        let (name, _) =
            self.ranking.range(rank.min(self.ranking.len()), self.ranking.len()).next()?;
        Some(name.to_vec())
    }

    /// Compares everything.
    fn check(&self) {
        self.ranking.check();
        let names = |ranks: Vec<Scored<'_>>| -> Vec<Vec<u8>> {
            ranks.into_iter().map(|(name, _)| name.to_vec()).collect()
        };
        let expected: Vec<_> = self.order.iter().map(|(_, name)| name.clone()).collect();
        let len = self.ranking.len();
        assert_eq!(names(self.ranking.range(0, len).collect()), expected);
        let mut falling = names(self.ranking.range(0, len).rev().collect());
        falling.reverse();
        assert_eq!(falling, expected);
    }

    /// Compares what is asked at one rank.
    fn check_at(&self, rank: usize, length: usize) {
        let expected: Vec<_> = self.order.iter().skip(rank).take(length).collect();
        let end = self.ranking.len().min(rank + length);
        let mut range = self.ranking.range(rank.min(end), end);
        // From both ends in turn.
        let (mut front, mut back) = (Vec::new(), Vec::new());
        while let Some(member) = range.next() {
            front.push(member);
            back.extend(range.next_back());
        }
        front.extend(back.into_iter().rev());
        assert_eq!(front.len(), expected.len());
        for ((name, score), (order, expected)) in front.iter().zip(&expected) {
            assert_eq!((*name, Order::of(*score)), (expected.as_slice(), *order));
        }
        let Some((order, name)) = expected.first() else { return };
        let score = self.scores[name];
        let found = self.ranking.rank(name).expect("it is there");
        assert_eq!((found.0, found.1.to_bits()), (rank, score.to_bits()));
        let before = self.order.iter().filter(|member| member.0 < *order).count();
        let upto = self.order.iter().filter(|member| member.0 <= *order).count();
        assert_eq!(self.ranking.rank_of_edge(Edge::BeforeScore(score)), before);
        assert_eq!(self.ranking.rank_of_edge(Edge::BehindScore(score)), upto);
        if self.order.first().map(|m| m.0) == self.order.last().map(|m| m.0) {
            let before = self.ranking.rank_of_edge(Edge::BeforeName(name));
            let behind = self.ranking.rank_of_edge(Edge::BehindName(name));
            assert_eq!((before, behind), (rank, rank + 1));
        }
    }
}

fn name(number: usize) -> Vec<u8> {
    format!("member:{number:06}").into_bytes()
}

const MANY: usize = if cfg!(miri) { 300 } else { 40_000 };

/// Fails when the last leaf is split in halves: the fill falls to a half.
#[test]
fn members_that_come_in_order_fill_the_leaves() {
    for direction in [1.0, -1.0] {
        let mut bench = Bench::new();
        for number in 0..MANY {
            bench.set(&name(number), direction * number as f64);
        }
        bench.check();
        if !cfg!(miri) {
            let least = MANY.div_ceil(LEAF_MAX) * size_of::<Leaf>();
            let size = bench.ranking.order.size();
            assert!(size < least * 108 / 100, "{size} bytes for {least}");
        }
        bench.remove_range(0, MANY);
        bench.check();
        assert_eq!(bench.ranking.order.size(), 0);
    }
}

/// Fails when small nodes are left as they are.
#[test]
fn a_tree_shrinks_with_its_members() {
    let mut bench = Bench::new();
    let mut prng = Prng::from_seed(1);
    for number in 0..MANY {
        bench.set(&name(number), prng.below(1 << 40) as f64);
    }
    bench.check();
    let mut steps = 0;
    while 0 < bench.ranking.len() {
        let rank = prng.index(bench.ranking.len());
        let name = bench.name_at(rank).expect("it is below the length");
        bench.remove(&name);
        steps += 1;
        if steps % (MANY / 10) == 0 {
            bench.check();
            let full = bench.ranking.len().div_ceil(LEAF_MAX) * size_of::<Leaf>();
            assert!(bench.ranking.order.size() < 4 * full + 8192);
        }
    }
    assert_eq!(bench.ranking.order.size(), 0);
}

/// Fails when a build forgets the last of a level.
#[test]
fn what_is_built_from_members_in_any_order_is_the_same() {
    let levels = [0, 1, LEAF_MAX, LEAF_MAX + 1, INNER_MAX * LEAF_MAX, INNER_MAX * LEAF_MAX + 1];
    let sizes = if cfg!(miri) { &levels[..4] } else { &levels[..] };
    for size in sizes {
        for turn in 0..3 {
            let hasher = KeyHasher::new(1);
            let mut members: Vec<_> =
                (0..*size).map(|number| (name(number), (number / 3) as f64)).collect();
            match turn {
                0 => {}
                1 => members.reverse(),
                _ => Prng::from_seed(7).shuffle(&mut members),
            }
            let borrowed = members.iter().map(|(name, score)| (name.as_slice(), *score));
            let ranking = Ranking::build(borrowed, &hasher).expect("names differ");
            let mut bench = Bench::with(ranking);
            for (name, score) in members {
                bench.order.insert((Order::of(score), name.clone()));
                bench.scores.insert(name, score);
            }
            bench.check();
            bench.set(b"one more", 1.0);
            bench.check();
        }
    }
    let hasher = KeyHasher::new(1);
    assert!(Ranking::build([(&b"a"[..], 1.0), (b"a", 2.0)], &hasher).is_none());
    assert!(Ranking::build([(&b"a"[..], f64::NAN)], &hasher).is_none());
}

/// Fails when the two zeros are two scores.
#[test]
fn both_zeros_are_one_score() {
    let mut bench = Bench::new();
    bench.set(b"b", 0.0);
    bench.set(b"a", -0.0);
    bench.set(b"c", -0.0);
    bench.set(b"b", -0.0);
    bench.check();
    let all: Vec<_> = bench.ranking.range(0, 3).collect();
    assert_eq!(all, [(&b"a"[..], 0.0), (b"b", 0.0), (b"c", 0.0)]);
    assert!(all.iter().all(|(_, score)| score.is_sign_positive()));
    assert_eq!(bench.ranking.rank_of_edge(Edge::BeforeScore(-0.0)), 0);
    assert_eq!(bench.ranking.rank_of_edge(Edge::BehindScore(-0.0)), 3);
}

/// Fails when a budget is not kept, and when what is freed stays counted.
#[test]
fn a_large_ranking_is_freed_in_small_steps() {
    let mut bench = Bench::new();
    for number in 0..MANY / 4 {
        bench.set(&name(number * 7919 % MANY), (number % 100) as f64);
    }
    let mut ranking = bench.ranking;
    let mut steps = 0;
    let mut size = ranking.size();
    while ranking.free(&mut { 100 }, &mut Vec::new()) {
        steps += 1;
        assert!(ranking.size() <= size && size - ranking.size() < 200_000);
        size = ranking.size();
    }
    assert!(MANY / 4 / 1000 <= steps, "{steps} steps");
    assert_eq!(ranking.size(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Scores {
    Equal,
    Few,
    Rising,
    Falling,
    Any,
}

impl Scores {
    fn draw(self, number: usize, prng: &mut Prng) -> f64 {
        match self {
            Self::Equal => 0.0,
            Self::Few => prng.below(5) as f64 - 2.0,
            Self::Rising => number as f64,
            Self::Falling => -(number as f64),
            Self::Any => match prng.below(20) {
                0 => f64::INFINITY,
                1 => f64::NEG_INFINITY,
                2 => -0.0,
                3 => f64::from_bits(prng.below(1 << 52)),
                _ => (prng.bits() as i64) as f64 / 1024.0,
            },
        }
    }
}

const PHASE: usize = if cfg!(miri) { 90 } else { 1500 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 60 }))]

    /// Fails when nodes are not looked at again after a change below them, when a split puts a
    /// member into the wrong half, and when a range ends a leaf too early.
    #[test]
    fn a_ranking_is_as_a_sorted_set(
        phases in prop::collection::vec(
            (
                prop_oneof![
                    Just(Scores::Equal), Just(Scores::Few), Just(Scores::Rising),
                    Just(Scores::Falling), Just(Scores::Any),
                ],
                0..PHASE,
                0..PHASE,
                0..3usize,
            ),
            1..4,
        ),
        seed: u64,
    ) {
        let mut bench = Bench::new();
        let mut prng = Prng::from_seed(seed);
        for (scores, sets, removes, ranges) in phases {
            for number in 0..sets {
                let name = name(prng.index(2 * PHASE));
                bench.set(&name, scores.draw(number, &mut prng));
            }
            bench.check();
            for _ in 0..removes {
                match bench.name_at(prng.index(PHASE)) {
                    Some(name) => bench.remove(&name),
                    None => bench.remove(&name(prng.index(PHASE))),
                }
            }
            bench.check();
            for _ in 0..ranges {
                let len = bench.ranking.len();
                let start = prng.index(len + 1);
                let end = start + prng.index(len - start + 1);
                bench.remove_range(start, end);
                bench.check();
            }
            for _ in 0..20 {
                bench.check_at(prng.index(bench.ranking.len() + 1), prng.index(200));
            }
        }
    }
}
