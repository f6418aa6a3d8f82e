//! Effects on sets and hashes against a model, replayed, and taken back.

use super::*;
use crate::effect::Elements;
use crate::values::{EncodingLimits, Form, HashView, SetView};

/// Members or fields with values, few enough to meet often.
#[derive(Clone, Debug)]
enum Change {
    SetAdd(Vec<Vec<u8>>),
    SetRemove(Vec<Vec<u8>>),
    HashSet(Vec<Vec<u8>>, Option<u64>),
    HashRemove(Vec<Vec<u8>>),
    HashExpire(Vec<Vec<u8>>, Option<u64>),
    Delete,
    Expire(Option<u64>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>),
}

/// What keys hold, and when they expire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts(BTreeMap<Vec<u8>, (Value, Option<u64>)>);

impl Parts {
    /// False if the effect does not fit: it changes nothing then.
    fn apply(&mut self, key: &[u8], change: &Change) -> bool {
        let before = self.clone();
        let fits = self.change(key, change).is_some();
        if !fits {
            *self = before;
        }
        self.0.retain(|_, (value, _)| match value {
            Value::Set(members) => !members.is_empty(),
            Value::Hash(fields) => !fields.is_empty(),
        });
        fits
    }

    fn change(&mut self, key: &[u8], change: &Change) -> Option<()> {
        let held = self.0.contains_key(key);
        match change {
            Change::Delete => return self.0.remove(key).map(|_| ()),
            Change::Expire(time) => self.0.get_mut(key)?.1 = *time,
            Change::SetAdd(members) => {
                let empty = || (Value::Set(BTreeSet::new()), None);
                let Value::Set(set) = &mut self.0.entry(key.to_vec()).or_insert_with(empty).0
                else {
                    return None;
                };
                if !members.iter().all(|member| set.insert(member.clone())) {
                    return None;
                }
            }
            Change::SetRemove(members) => {
                let Value::Set(set) = &mut self.0.get_mut(key)?.0 else { return None };
                return members.iter().all(|member| set.remove(member)).then_some(());
            }
            Change::HashSet(pairs, time) => {
                let empty = || (Value::Hash(BTreeMap::new()), None);
                let Value::Hash(hash) = &mut self.0.entry(key.to_vec()).or_insert_with(empty).0
                else {
                    return None;
                };
                for pair in pairs.chunks(2) {
                    hash.insert(pair[0].clone(), (pair[1].clone(), *time));
                }
            }
            Change::HashRemove(fields) => {
                let Value::Hash(hash) = &mut self.0.get_mut(key)?.0 else { return None };
                return fields.iter().all(|field| hash.remove(field).is_some()).then_some(());
            }
            Change::HashExpire(fields, time) => {
                let Value::Hash(hash) = &mut self.0.get_mut(key)?.0 else { return None };
                for field in fields {
                    hash.get_mut(field)?.1 = *time;
                }
            }
        }
        assert!(held || self.0.contains_key(key));
        Some(())
    }

    /// Everything is there, and found in every way there is.
    fn check(&self, keyspace: &Keyspace) {
        keyspace.check();
        assert_eq!(keyspace.len(0), self.0.len());
        let hasher = keyspace.hasher();
        let mut timed = 0;
        for (key, (value, time)) in &self.0 {
            let entry = keyspace.find(0, key).expect("the model holds it");
            assert_eq!(entry.expire_ms(), *time);
            let due_ms = match value {
                Value::Set(members) => {
                    let view = SetView::of(entry, hasher).expect("it is a set");
                    let mut seen = BTreeSet::new();
                    view.for_each(&mut |member| assert!(seen.insert(member.to_vec())));
                    assert_eq!((&seen, view.len()), (members, members.len()));
                    assert!(members.iter().all(|member| view.contains(member)));
                    assert!(!view.contains(b"no such member"));
                    assert!(HashView::of(entry, hasher, 0).is_err());
                    None
                }
                Value::Hash(fields) => {
                    let view = HashView::of(entry, hasher, 0).expect("it is a hash");
                    let mut seen = BTreeMap::new();
                    view.for_each(&mut |field, value| {
                        let time = view.get(field).expect("it is visited").expire_ms;
                        seen.insert(field.to_vec(), (value.to_vec(), time));
                    });
                    assert_eq!((&seen, view.len()), (fields, fields.len()));
                    assert!(view.get(b"no such field").is_none());
                    timed += usize::from(fields.values().any(|(_, time)| time.is_some()));
                    // Whatever is over is not there.
                    let now_ms = 50;
                    let later = HashView::of(entry, hasher, now_ms).expect("it is a hash");
                    let is_live = |time: &Option<u64>| time.is_none_or(|time| now_ms <= time);
                    let live: Vec<_> =
                        fields.iter().filter(|(_, (_, time))| is_live(time)).collect();
                    assert_eq!(later.len(), live.len());
                    assert!(live.iter().all(|(field, _)| later.contains(field)));
                    fields.values().filter_map(|(_, time)| *time).min()
                }
            };
            let due_ms = due_ms.into_iter().chain(*time).min();
            assert_eq!(entry.due_ms().is_some(), due_ms.is_some());
            assert!(entry.due_ms() <= due_ms);
        }
        assert_eq!(keyspace.timed(0), timed);
    }
}

impl Change {
    fn with<R>(&self, key: &[u8], then: impl FnOnce(&Effect<'_>) -> R) -> R {
        let db = 0;
        let words: Vec<&[u8]> = match self {
            Self::SetAdd(words)
            | Self::SetRemove(words)
            | Self::HashSet(words, _)
            | Self::HashRemove(words)
            | Self::HashExpire(words, _) => words.iter().map(Vec::as_slice).collect(),
            Self::Delete | Self::Expire(_) => Vec::new(),
        };
        let all = Elements::Words(&words);
        then(&match self {
            Self::SetAdd(_) => Effect::SetAdd { db, key, members: all },
            Self::SetRemove(_) => Effect::SetRemove { db, key, members: all },
            Self::HashSet(_, time) => Effect::HashSet { db, key, pairs: all, expire_ms: *time },
            Self::HashRemove(_) => Effect::HashRemove { db, key, fields: all },
            Self::HashExpire(_, time) => {
                Effect::HashExpire { db, key, fields: all, expire_ms: *time }
            }
            Self::Delete => Effect::Delete { db, key },
            Self::Expire(time) => Effect::SetExpire { db, key, expire_ms: *time },
        })
    }
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => (0..12i64).prop_map(|number| number.to_string().into_bytes()),
        1 => prop::sample::select(vec![-1i64, 40_000, -5_000_000_000, i64::MAX])
            .prop_map(|number| number.to_string().into_bytes()),
        6 => "[a-d]".prop_map(String::into_bytes),
        1 => prop::sample::select(vec!["", "01", "longer than the limit"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn time() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 1 => (0u64..100).prop_map(Some)]
}

fn changes() -> impl Strategy<Value = Vec<(Vec<u8>, Change)>> {
    let words = || prop::collection::vec(word(), 1..6);
    let one = || prop::collection::vec(word(), 1);
    let pairs = || {
        let pair = (word(), word());
        prop::collection::vec(pair, 1..5)
            .prop_map(|pairs| pairs.into_iter().flat_map(|(field, value)| [field, value]).collect())
    };
    let on_set = prop_oneof![
        8 => words().prop_map(Change::SetAdd),
        8 => one().prop_map(Change::SetAdd),
        8 => one().prop_map(Change::SetRemove),
        2 => words().prop_map(Change::SetRemove),
        1 => Just(Change::Delete),
        1 => time().prop_map(Change::Expire),
    ];
    let on_hash = prop_oneof![
        12 => (pairs(), time()).prop_map(|(pairs, time)| Change::HashSet(pairs, time)),
        8 => one().prop_map(Change::HashRemove),
        2 => words().prop_map(Change::HashRemove),
        6 => (one(), time()).prop_map(|(fields, time)| Change::HashExpire(fields, time)),
        2 => (words(), time()).prop_map(|(fields, time)| Change::HashExpire(fields, time)),
        1 => Just(Change::Delete),
        1 => time().prop_map(Change::Expire),
    ];
    // A change for a set may meet a hash.
    let keys = |keys: &'static [&'static str]| prop::sample::select(keys);
    let change =
        prop_oneof![(keys(&["s", "t", "t", "t"]), on_set), (keys(&["s", "h", "h", "h"]), on_hash),];
    prop::collection::vec(change.prop_map(|(key, change)| (key.into(), change)), 0..80)
}

/// Changes are applied one by one, so that those fit that follow.
fn of_few(limit: usize) -> EncodingLimits {
    EncodingLimits {
        hash_max_listpack_entries: limit,
        hash_max_listpack_value: 12,
        set_max_intset_entries: limit + 2,
        set_max_listpack_entries: limit,
        set_max_listpack_value: 12,
        ..EncodingLimits::default()
    }
}

fn small_keyspace(seed: u64, limit: usize) -> Keyspace {
    let mut keyspace = keyspace(seed);
    keyspace.set_limits(of_few(limit));
    keyspace
}

fn check_forms(keyspace: &Keyspace, limits: &EncodingLimits) {
    keyspace.for_each(0, &mut |entry| {
        let len = values::len(entry);
        let max = match entry.form() {
            Form::IntSet => limits.set_max_intset_entries,
            Form::SetPack => limits.set_max_listpack_entries,
            Form::HashPack => limits.hash_max_listpack_entries,
            _ => usize::MAX,
        };
        assert!(0 < len && len <= max);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 }))]

    /// Broken once by adding to a table without looking whether the member is there, once by a
    /// hash that keeps a field's old time, once by a bound that knows the times of keys only.
    #[test]
    fn sets_and_hashes_behave_like_a_model(changes in changes(), limit in 0usize..8) {
        let mut keyspace = small_keyspace(3, limit);
        let mut model = Parts::default();
        for (key, change) in &changes {
            let before = keyspace.digest();
            let result = change.with(key, |effect| keyspace.replay(effect));
            let fits = model.apply(key, change);
            prop_assert_eq!(result.is_ok(), fits, "{:?} {:?}", change, result);
            if !fits {
                prop_assert_eq!(keyspace.digest(), before);
            }
            model.check(&keyspace);
            check_forms(&keyspace, &of_few(limit));
        }
    }

    /// What a value holds does not depend on how it is stored. Broken once by a digest of the
    /// bytes of a listpack.
    #[test]
    fn replaying_with_other_limits_gives_the_same(changes in changes(), limit in 0usize..8) {
        let (mut leader, mut replica) = (small_keyspace(1, limit), keyspace(2));
        let mut model = Parts::default();
        for (key, change) in &changes {
            if !model.apply(key, change) {
                continue;
            }
            let inverse = change.with(key, |effect| leader.apply(effect));
            leader.discard(inverse);
            change.with(key, |effect| replica.replay(effect)).expect("it fits");
            prop_assert_eq!(leader.digest(), replica.digest());
        }
        leader.check();
        replica.check();
        while leader.maintain(3) {}
        prop_assert_eq!(leader.memory().garbage, 0);
    }

    /// Broken once by undoing the changes of one effect in their order, once by an emptied set
    /// that comes back empty.
    #[test]
    fn undoing_parts_goes_back_through_every_state(changes in changes(), limit in 0usize..8) {
        let mut keyspace = small_keyspace(4, limit);
        let mut past = Vec::new();
        let mut model = Parts::default();
        for (key, change) in &changes {
            let before = model.clone();
            if !model.apply(key, change) {
                continue;
            }
            let state = (keyspace.digest(), before);
            past.push((state, change.with(key, |effect| keyspace.apply(effect))));
        }
        while let Some(((digest, model), inverse)) = past.pop() {
            keyspace.undo(inverse);
            prop_assert_eq!(keyspace.digest(), digest);
            model.check(&keyspace);
        }
        prop_assert!(keyspace.is_empty());
    }
}

/// A table of members grows, shrinks, is scanned and drawn from like any other.
#[test]
fn a_large_set_grows_and_shrinks_with_its_memory() {
    let mut keyspace = keyspace(5);
    let members: Vec<String> = (0..5000).map(|number| format!("member {number}")).collect();
    let words: Vec<&[u8]> = members.iter().map(String::as_bytes).collect();
    let (db, key) = (0, &b"key"[..]);
    let all = Elements::Words(&words);
    keyspace.replay(&Effect::SetAdd { db, key, members: all }).expect("it fits");
    keyspace.check();
    let full = keyspace.memory().entries;
    for word in &words[10..] {
        let members = Elements::Words(std::slice::from_ref(word));
        keyspace.replay(&Effect::SetRemove { db, key, members }).expect("it fits");
    }
    keyspace.check();
    assert!(keyspace.memory().entries * 50 < full, "segments become fewer with their members");
    let rest = Elements::Words(&words[..10]);
    keyspace.replay(&Effect::SetRemove { db, key, members: rest }).expect("it fits");
    assert!(keyspace.is_empty());
    keyspace.replay(&Effect::SetAdd { db, key, members: all }).expect("it fits");
    keyspace.replay(&Effect::Delete { db, key }).expect("it fits");
    assert!(full <= keyspace.memory().garbage);
    while keyspace.maintain(16) {
        keyspace.check();
    }
    assert_eq!(keyspace.memory().garbage, 0);
}
