//! Effects on sorted sets, in both forms, against a map.

use std::collections::BTreeMap;

use base::limits::SLOTS;
use proptest::prelude::*;

use super::*;
use crate::effect::{Effect, ElementsBuf};
use crate::keyspace::Keyspace;
use crate::values::EncodingLimits;

const KEY: &[u8] = b"key";

#[derive(Clone, Debug)]
enum Change {
    Add(Vec<(Vec<u8>, f64)>),
    /// By their places among the members, whatever these are.
    Remove(Vec<prop::sample::Index>),
    RemoveRange(prop::sample::Index, prop::sample::Index),
}

/// What a sorted set should hold.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<Vec<u8>, f64>);

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut members: Vec<_> = self.0.clone().into_iter().collect();
        members.sort_by(|one, two| {
            one.1.partial_cmp(&two.1).expect("no score is NaN").then(one.0.cmp(&two.0))
        });
        members
    }

    fn check(&self, keyspace: &Keyspace) {
        keyspace.check();
        let Some(entry) = keyspace.find(0, KEY) else {
            assert!(self.0.is_empty());
            return;
        };
        let zset = Zset::of(entry).expect("it is a sorted set");
        let expected = self.sorted();
        assert!(!expected.is_empty());
        assert_eq!(zset.len(), expected.len());
        let owned = |(name, score): Scored<'_>| (name.to_vec(), score.to_bits());
        let members: Vec<_> = zset.iter().map(owned).collect();
        let bits: Vec<_> = expected.iter().map(|(n, s)| (n.clone(), s.to_bits())).collect();
        assert_eq!(members, bits);
        for (rank, (name, score)) in expected.iter().enumerate() {
            assert_eq!(zset.rank(name), Some((rank, *score)));
            assert_eq!(zset.score(name), Some(*score));
            let below = expected.iter().filter(|member| member.1 < *score).count();
            let upto = expected.iter().filter(|member| member.1 <= *score).count();
            assert_eq!(zset.rank_of_edge(Edge::BeforeScore(*score)), below);
            assert_eq!(zset.rank_of_edge(Edge::BehindScore(*score)), upto);
        }
        assert_eq!(zset.score(b"absent"), None);
    }

    /// What a change is of these members, and what it leaves of them; `None` if there is nothing
    /// to change.
    fn apply(&mut self, change: &Change) -> Option<Owned> {
        match change {
            Change::Add(pairs) => {
                let mut elements = ElementsBuf::default();
                for (name, score) in pairs {
                    elements.push(&score.to_le_bytes());
                    elements.push(name);
                    self.0.insert(name.clone(), *score);
                }
                Some(Owned::Add(elements))
            }
            _ if self.0.is_empty() => None,
            Change::Remove(indexes) => {
                let members: Vec<_> = self.0.keys().cloned().collect();
                let mut elements = ElementsBuf::default();
                for index in indexes {
                    let name = index.get(&members);
                    if self.0.remove(name).is_some() {
                        elements.push(name);
                    }
                }
                Some(Owned::Remove(elements))
            }
            Change::RemoveRange(one, two) => {
                let (one, two) = (one.index(self.0.len()), two.index(self.0.len()));
                let (start, end) = (one.min(two), one.max(two) + 1);
                for (name, _) in self.sorted().drain(start..end) {
                    self.0.remove(&name);
                }
                Some(Owned::RemoveRange(start as u32, (end - start) as u32))
            }
        }
    }
}

enum Owned {
    Add(ElementsBuf),
    Remove(ElementsBuf),
    RemoveRange(u32, u32),
}

impl Owned {
    fn effect(&self) -> Effect<'_> {
        match self {
            Owned::Add(pairs) => Effect::ZsetAdd { db: 0, key: KEY, pairs: pairs.elements() },
            Owned::Remove(members) => {
                Effect::ZsetRemove { db: 0, key: KEY, members: members.elements() }
            }
            Owned::RemoveRange(rank, count) => {
                Effect::ZsetRemoveRange { db: 0, key: KEY, rank: *rank, count: *count }
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let name = prop_oneof![
        6 => (0..60u32).prop_map(|number| format!("member:{number}").into_bytes()),
        3 => (-5..200i64).prop_map(|number| number.to_string().into_bytes()),
        1 => prop::sample::select(vec![vec![], vec![0; 3], vec![b'x'; 65], b"007".to_vec()]),
    ];
    let score = prop_oneof![
        6 => (-3i8..4).prop_map(f64::from),
        1 => prop::sample::select(vec![
            -0.0, 0.5, 1e17, -1e300, 4.7e18, 5e-324, f64::INFINITY, f64::NEG_INFINITY,
        ]),
        1 => any::<f64>().prop_filter("no score is NaN", |score| !score.is_nan()),
    ];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => prop::collection::vec((name, score), 1..20).prop_map(Change::Add),
        2 => prop::collection::vec(index(), 1..8).prop_map(Change::Remove),
        1 => (index(), index()).prop_map(|(one, two)| Change::RemoveRange(one, two)),
    ]
}

fn keyspace(seed: u64, entries: usize) -> Keyspace {
    let mut keyspace = Keyspace::new(seed, 0..SLOTS);
    let limits = EncodingLimits { zset_max_listpack_entries: entries, ..Default::default() };
    keyspace.set_limits(limits);
    keyspace
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 100 }))]

    /// Fails when a member that changes its score stays where it was in a listpack, when what
    /// undoes a change is in the order of the changes, and when the two zeros are one to a digest.
    #[test]
    fn sorted_sets_of_any_form_hold_the_same_and_go_back(
        changes in prop::collection::vec(change(), 1..if cfg!(miri) { 5 } else { 30 }),
        entries in prop::sample::select(vec![0usize, 5, 20]),
    ) {
        // Enough for any of these, but for the longest names.
        let (mut leader, mut replica) = (keyspace(1, entries), keyspace(2, 10_000));
        let mut model = Model::default();
        let mut past = Vec::new();
        for change in &changes {
            let before = (leader.digest(), model.clone());
            let Some(owned) = model.apply(change) else { continue };
            past.push((before, leader.apply(&owned.effect())));
            replica.replay(&owned.effect()).expect("it fits");
            model.check(&leader);
            model.check(&replica);
            prop_assert_eq!(leader.digest(), replica.digest());
        }
        while let Some(((digest, model), inverse)) = past.pop() {
            leader.undo(inverse);
            model.check(&leader);
            prop_assert_eq!(leader.digest(), digest);
        }
        prop_assert!(leader.is_empty());
        prop_assert_eq!(leader.memory().entries, 0);
    }
}

/// Fails when what does not fit is applied in part.
#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    for entries in [0, 128] {
        let mut keyspace = keyspace(1, entries);
        let (one, two) = (1f64.to_le_bytes(), f64::NAN.to_le_bytes());
        let a = Elements::Words(&[&one, b"a"]);
        keyspace.replay(&Effect::ZsetAdd { db: 0, key: KEY, pairs: a }).expect("it fits");
        let digest = keyspace.digest();
        for effect in [
            Effect::ZsetAdd { db: 0, key: KEY, pairs: Elements::Words(&[&one, b"b", &two, b"c"]) },
            Effect::ZsetAdd {
                db: 0,
                key: KEY,
                pairs: Elements::Words(&[&one, b"b", b"1.5", b"c"]),
            },
            Effect::ZsetRemove { db: 0, key: KEY, members: Elements::Words(&[b"a", b"b"]) },
            Effect::ZsetRemoveRange { db: 0, key: KEY, rank: 0, count: 2 },
            Effect::ZsetRemoveRange { db: 0, key: KEY, rank: u32::MAX, count: u32::MAX },
        ] {
            assert!(keyspace.replay(&effect).is_err());
            assert_eq!(keyspace.digest(), digest);
        }
        keyspace.check();
    }
}

/// Fails when the limits are those of another type.
#[test]
fn a_sorted_set_grows_at_the_limits_and_stays_large() {
    let mut keyspace = keyspace(1, 2);
    let form = |keyspace: &Keyspace| keyspace.find(0, KEY).expect("it is there").form();
    let add = |keyspace: &mut Keyspace, name: &[u8]| {
        let score = 1f64.to_le_bytes();
        let pairs = Elements::Words(&[&score, name]);
        keyspace.replay(&Effect::ZsetAdd { db: 0, key: KEY, pairs }).expect("it fits");
    };
    add(&mut keyspace, b"a");
    add(&mut keyspace, &[b'x'; 64]);
    add(&mut keyspace, b"a");
    assert_eq!(form(&keyspace), Form::ZsetPack);
    add(&mut keyspace, b"b");
    assert_eq!(form(&keyspace), Form::ZsetTree);
    keyspace.replay(&Effect::ZsetRemoveRange { db: 0, key: KEY, rank: 0, count: 2 }).expect("ok");
    assert_eq!(form(&keyspace), Form::ZsetTree);
    keyspace.replay(&Effect::Delete { db: 0, key: KEY }).expect("it is there");
    add(&mut keyspace, b"a");
    assert_eq!(form(&keyspace), Form::ZsetPack);
    add(&mut keyspace, &[b'x'; 65]);
    assert_eq!(form(&keyspace), Form::ZsetTree);
    keyspace.check();
}

/// Fails when a large one is freed where it goes.
#[test]
fn a_large_sorted_set_is_freed_in_steps() {
    let mut keyspace = keyspace(1, 0);
    let mut pairs = ElementsBuf::default();
    for number in 0..20_000u32 {
        pairs.push(&f64::from(number % 100).to_le_bytes());
        pairs.push(&number.to_le_bytes());
    }
    let effect = Effect::ZsetAdd { db: 0, key: KEY, pairs: pairs.elements() };
    keyspace.replay(&effect).expect("it fits");
    keyspace.check();
    keyspace.replay(&Effect::Delete { db: 0, key: KEY }).expect("it is there");
    assert!(1_000_000 < keyspace.memory().garbage);
    let mut steps = 0;
    while keyspace.maintain(100) {
        steps += 1;
    }
    assert!(50 < steps, "{steps} steps");
    assert_eq!(keyspace.memory().entries + keyspace.memory().garbage, 0);
}
