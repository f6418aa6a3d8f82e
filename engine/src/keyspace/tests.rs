//! The keyspace against a model; replay and undo.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::effect::Effect;

mod large;
mod lists;

/// An effect that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Owned {
    Put { db: u16, key: Vec<u8>, value: Vec<u8>, expire_ms: Option<u64> },
    Expire { db: u16, key: Vec<u8>, expire_ms: Option<u64> },
    Append { db: u16, key: Vec<u8>, suffix: Vec<u8> },
    SetRange { db: u16, key: Vec<u8>, offset: u32, bytes: Vec<u8> },
    Delete { db: u16, key: Vec<u8> },
    Flush { db: u16 },
    FlushAll,
    Swap { first: u16, second: u16 },
}

impl Owned {
    pub(crate) fn borrow(&self) -> Effect<'_> {
        match self {
            Self::Put { db, key, value, expire_ms } => {
                Effect::PutString { db: *db, key, value, expire_ms: *expire_ms }
            }
            Self::Expire { db, key, expire_ms } => {
                Effect::SetExpire { db: *db, key, expire_ms: *expire_ms }
            }
            Self::Append { db, key, suffix } => Effect::Append { db: *db, key, suffix },
            Self::SetRange { db, key, offset, bytes } => {
                Effect::SetRange { db: *db, key, offset: *offset, bytes }
            }
            Self::Delete { db, key } => Effect::Delete { db: *db, key },
            Self::Flush { db } => Effect::FlushDatabase { db: *db },
            Self::FlushAll => Effect::FlushAll,
            Self::Swap { first, second } => {
                Effect::SwapDatabases { first: *first, second: *second }
            }
        }
    }
}

pub(crate) fn effect() -> impl Strategy<Value = Owned> {
    let db = || prop_oneof![3 => Just(0u16), 2 => Just(1), 1 => Just(DATABASES - 1)];
    let key = || {
        prop_oneof![
            20 => "[a-h]".prop_map(String::into_bytes),
            10 => "\\{t\\}[0-9][0-9]".prop_map(String::into_bytes),
            1 => Just(Vec::new()),
            1 => (65530usize..65540).prop_map(|size| vec![b'k'; size]),
        ]
    };
    let value = || {
        prop_oneof![
            10 => prop::collection::vec(any::<u8>(), 0..60),
            3 => prop::collection::vec(any::<u8>(), 1000..1100),
            1 => (any::<u8>(), 65000usize..70000).prop_map(|(byte, size)| vec![byte; size]),
        ]
    };
    let expire = || prop_oneof![2 => Just(None), 1 => any::<u64>().prop_map(Some)];
    prop_oneof![
        20 => (db(), key(), value(), expire())
            .prop_map(|(db, key, value, expire_ms)| Owned::Put { db, key, value, expire_ms }),
        8 => (db(), key(), expire())
            .prop_map(|(db, key, expire_ms)| Owned::Expire { db, key, expire_ms }),
        8 => (db(), key(), value())
            .prop_map(|(db, key, suffix)| Owned::Append { db, key, suffix }),
        8 => (db(), key(), prop_oneof![0u32..100, 900u32..3000], value())
            .prop_map(|(db, key, offset, bytes)| Owned::SetRange { db, key, offset, bytes }),
        10 => (db(), key()).prop_map(|(db, key)| Owned::Delete { db, key }),
        1 => db().prop_map(|db| Owned::Flush { db }),
        1 => Just(Owned::FlushAll),
        1 => (db(), db()).prop_map(|(first, second)| Owned::Swap { first, second }),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    string: Vec<u8>,
    expire_ms: Option<u64>,
    is_raw: bool,
}

/// What a keyspace is: the simplest thing that behaves like one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model(BTreeMap<(u16, Vec<u8>), Held>);

impl Model {
    /// False if the effect does not fit.
    fn apply(&mut self, effect: &Owned) -> bool {
        match effect.clone() {
            Owned::Put { db, key, value, expire_ms } => {
                self.0.insert((db, key), Held { string: value, expire_ms, is_raw: false });
            }
            Owned::Expire { db, key, expire_ms } => match self.0.get_mut(&(db, key)) {
                Some(held) => held.expire_ms = expire_ms,
                None => return false,
            },
            Owned::Append { db, key, suffix } => match self.0.get_mut(&(db, key)) {
                Some(held) => {
                    held.string.extend(suffix);
                    held.is_raw = true;
                }
                None => return false,
            },
            Owned::SetRange { db, key, offset, bytes } => {
                let absent = Held { string: Vec::new(), expire_ms: None, is_raw: true };
                let held = self.0.entry((db, key)).or_insert(absent);
                let range = offset as usize..offset as usize + bytes.len();
                held.string.resize(held.string.len().max(range.end), 0);
                held.string[range].copy_from_slice(&bytes);
                held.is_raw = true;
            }
            Owned::Delete { db, key } => return self.0.remove(&(db, key)).is_some(),
            Owned::Flush { db } => self.0.retain(|(other, _), _| *other != db),
            Owned::FlushAll => self.0.clear(),
            Owned::Swap { first, second } => {
                let swapped = |db| match db {
                    db if db == first => second,
                    db if db == second => first,
                    db => db,
                };
                let old = std::mem::take(&mut self.0);
                self.0 = old.into_iter().map(|((db, key), it)| ((swapped(db), key), it)).collect();
            }
        }
        true
    }

    fn check(&self, keyspace: &Keyspace) {
        if cfg!(miri) && !self.0.len().is_multiple_of(8) {
            return;
        }
        keyspace.check();
        for ((db, key), held) in &self.0 {
            let entry = keyspace.find(*db, key).expect("the model holds it");
            assert_eq!(entry.key(), key);
            assert_eq!(entry.string(), Some(held.string.as_slice()));
            assert_eq!((entry.expire_ms(), entry.is_raw()), (held.expire_ms, held.is_raw));
        }
        let mut slots = BTreeMap::new();
        for db in 0..DATABASES {
            let held = || self.0.iter().filter(|((other, _), _)| *other == db);
            assert_eq!(keyspace.len(db), held().count());
            let expires = held().filter(|(_, held)| held.expire_ms.is_some()).count();
            assert_eq!(keyspace.expires(db), expires);
            let mut seen = BTreeSet::new();
            keyspace.for_each(db, &mut |entry| assert!(seen.insert(entry.key().to_vec())));
            assert_eq!(seen.len(), keyspace.len(db));
        }
        for (_, key) in self.0.keys().filter(|(db, _)| *db == 0) {
            *slots.entry(slot_of(key)).or_insert(0) += 1;
        }
        slots.iter().for_each(|(slot, len)| assert_eq!(keyspace.slot_len(*slot), *len));
        assert_eq!(keyspace.is_empty(), self.0.is_empty());
    }

    fn keyspace(&self, seed: u64) -> Keyspace {
        let mut keyspace = keyspace(seed);
        for ((db, key), held) in self.0.iter().rev() {
            let (db, value) = (*db, held.string.as_slice());
            let mut replay = |effect| keyspace.replay(&effect).expect("it fits");
            replay(Effect::PutString { db, key, value, expire_ms: held.expire_ms });
            if held.is_raw {
                replay(Effect::Append { db, key, suffix: b"" });
            }
        }
        keyspace
    }
}

fn keyspace(seed: u64) -> Keyspace {
    Keyspace::new(seed, 0..SLOTS)
}

fn put(keyspace: &mut Keyspace, db: u16, key: &[u8], value: &[u8]) {
    let effect = Effect::PutString { db, key, value, expire_ms: None };
    keyspace.replay(&effect).expect("a put always fits");
}

fn effects() -> impl Strategy<Value = Vec<Owned>> {
    prop::collection::vec(effect(), 0..80)
}

/// Drops what does not fit.
fn only_fitting(effects: Vec<Owned>) -> Vec<Owned> {
    let mut model = Model::default();
    effects.into_iter().filter(|effect| model.apply(effect)).collect()
}

#[test]
fn an_effect_on_an_absent_key_is_refused_and_changes_nothing() {
    let mut keyspace = keyspace(1);
    put(&mut keyspace, 0, b"key", b"value");
    let before = keyspace.digest();
    for (db, key) in [(0, &b"other"[..]), (1, b"key")] {
        let size = key.len();
        for (effect, error) in [
            (Effect::Delete { db, key }, ReplayError::DeleteOfAbsentKey { db, size }),
            (
                Effect::SetExpire { db, key, expire_ms: None },
                ReplayError::ExpireOfAbsentKey { db, size },
            ),
            (Effect::Append { db, key, suffix: b"x" }, ReplayError::AppendToAbsentKey { db, size }),
        ] {
            assert_eq!(keyspace.replay(&effect), Err(error));
        }
    }
    assert_eq!(keyspace.digest(), before);
    let error = ReplayError::DeleteOfAbsentKey { db: 1, size: 3 };
    assert_eq!(
        error.to_string(),
        "an effect deletes a key of 3 bytes that database 1 does not hold"
    );
}

/// Fails when `change` does not look at the slot: the table then panics, or holds the key.
#[test]
fn an_effect_on_a_key_of_another_slice_is_refused() {
    let slot = slot_of(b"key").0;
    let mut other = Keyspace::new(1, slot + 1..SLOTS);
    for effect in [
        Effect::PutString { db: 0, key: b"key", value: b"", expire_ms: None },
        Effect::SetRange { db: 0, key: b"key", offset: 0, bytes: b"x" },
        Effect::Delete { db: 0, key: b"key" },
    ] {
        assert_eq!(other.replay(&effect), Err(ReplayError::SlotOfAnotherSlice { slot }));
    }
    let mut own = Keyspace::new(1, slot..slot + 1);
    put(&mut own, 0, b"key", b"value");
    assert_eq!(own.get(0, b"key"), Some(&b"value"[..]));
    assert_eq!(own.slot_len(Slot(slot)), 1);
    own.check();
}

#[test]
fn the_digest_tells_databases_keys_values_expiries_and_raw_apart() {
    let mut digests = vec![keyspace(1).digest()];
    assert_eq!(digests, [0]);
    let places = [
        (0, &b"a"[..], &b"b"[..], None),
        (0, b"a", b"b", Some(0)),
        (0, b"a", b"b", Some(1)),
        (0, b"a", b"b", Some(u64::MAX)),
        (1, b"a", b"b", None),
        (0, b"b", b"a", None),
        (0, b"ab", b"", None),
        (0, b"", b"ab", None),
        (0, b"a", b"c", None),
        (0, b"a", b"b\0", None),
    ];
    for (db, key, value, expire_ms) in places {
        let mut keyspace = keyspace(1);
        let effect = Effect::PutString { db, key, value, expire_ms };
        keyspace.replay(&effect).expect("it fits");
        digests.push(keyspace.digest());
        keyspace.replay(&Effect::Append { db, key, suffix: b"" }).expect("it fits");
        digests.push(keyspace.digest());
    }
    // The halves are independent: each alone tells all of them apart.
    for half in [|digest: u128| digest as u64, |digest: u128| (digest >> 64) as u64] {
        let halves: BTreeSet<_> = digests.iter().map(|it| half(*it)).collect();
        assert_eq!(halves.len(), digests.len());
    }
}

#[test]
fn the_hash_depends_on_the_seed_the_database_and_the_key_and_on_nothing_else() {
    let empty = keyspace(1);
    let mut other = Keyspace::new(1, 5..SLOTS);
    put(&mut other, 0, b"key", b"value");
    assert_eq!(empty.hash(0, b"key"), other.hash(0, b"key"));
    assert_ne!(empty.hash(0, b"key"), empty.hash(1, b"key"));
    assert_ne!(empty.hash(0, b"key"), empty.hash(0, b"kez"));
    assert_ne!(empty.hash(0, b""), empty.hash(0, b"\0"));
    assert_ne!(empty.hash(0, b"key"), keyspace(2).hash(0, b"key"));
}

/// Fails when a database allocates its slots at once, and when flushing keeps them.
#[test]
fn an_empty_database_costs_nothing() {
    let mut keyspace = keyspace(1);
    assert_eq!(keyspace.memory(), Memory::default());
    for db in 0..DATABASES {
        put(&mut keyspace, db, b"key", b"value");
    }
    let slots = usize::from(SLOTS) * 16;
    assert!(usize::from(DATABASES) * slots < keyspace.memory().directories);
    keyspace.replay(&Effect::FlushAll).expect("it fits");
    assert!(usize::from(DATABASES) * slots < keyspace.memory().garbage);
    while keyspace.maintain(1) {
        keyspace.check();
    }
    assert_eq!(keyspace.memory(), Memory::default());
}

#[test]
fn a_use_is_noted_in_the_access_word_and_nowhere_else() {
    let mut keyspace = keyspace(1);
    put(&mut keyspace, 0, b"key", b"value");
    let digest = keyspace.digest();
    let now_ms = 1_700_000_000_000;
    let minute = 60_000;
    let touch = |now_ms, policy, chance| {
        let entry = keyspace.find(0, b"key").expect("it was just put");
        keyspace.touch(entry, now_ms, policy, chance);
        entry
    };
    assert_eq!(touch(now_ms, AccessPolicy::Lru, 0).idle_ms(now_ms + 5300), 5000);
    // From here on, the word is a count: a new key begins with five.
    keyspace.find(0, b"key").expect("it is there").set_access_for_tests(0);
    assert_eq!(touch(now_ms, AccessPolicy::Lfu, 1).frequency(now_ms), 5);
    assert_eq!(touch(now_ms, AccessPolicy::Lfu, 1).frequency(now_ms), 6);
    // One in eleven draws raises it further.
    assert_eq!(touch(now_ms, AccessPolicy::Lfu, 1).frequency(now_ms), 6);
    assert_eq!(touch(now_ms, AccessPolicy::Lfu, 11).frequency(now_ms), 7);
    assert_eq!(touch(now_ms, AccessPolicy::Lfu, 1).frequency(now_ms + 3 * minute), 4);
    assert_eq!(keyspace.digest(), digest);
    keyspace.check();
    // A new value keeps it.
    let access = keyspace.find(0, b"key").expect("it is there").access();
    put(&mut keyspace, 0, b"key", &[b'x'; 500]);
    assert_eq!(keyspace.find(0, b"key").expect("it is there").access(), access);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 60 }))]

    #[test]
    fn a_keyspace_behaves_like_a_sorted_map(effects in effects()) {
        let mut keyspace = keyspace(3);
        let mut model = Model::default();
        for effect in &effects {
            prop_assert_eq!(keyspace.replay(&effect.borrow()).is_ok(), model.apply(effect));
            model.check(&keyspace);
        }
        while keyspace.maintain(3) {}
        model.check(&keyspace);
        prop_assert_eq!(keyspace.memory().garbage, 0);
    }

    #[test]
    fn equal_contents_have_equal_digests_whatever_the_seed_and_the_history(
        effects in effects(),
        seed: u64,
    ) {
        let mut keyspace = keyspace(seed);
        let mut model = Model::default();
        for effect in only_fitting(effects) {
            keyspace.replay(&effect.borrow()).expect("it fits");
            model.apply(&effect);
        }
        prop_assert_eq!(keyspace.digest(), model.keyspace(!seed).digest());
        put(&mut keyspace, 5, b"one more", b"");
        prop_assert_ne!(keyspace.digest(), model.keyspace(seed).digest());
    }

    #[test]
    fn replaying_gives_what_applying_gave(effects in effects()) {
        let (mut leader, mut replica) = (keyspace(1), keyspace(2));
        for effect in only_fitting(effects) {
            let inverse = leader.apply(&effect.borrow());
            leader.discard(inverse);
            replica.replay(&effect.borrow()).expect("it fits");
            prop_assert_eq!(leader.digest(), replica.digest());
        }
        leader.check();
        replica.check();
    }

    #[test]
    fn undoing_in_reverse_goes_back_through_every_state(effects in effects()) {
        let mut keyspace = keyspace(4);
        let mut past = Vec::new();
        let mut model = Model::default();
        for effect in only_fitting(effects) {
            let state = (keyspace.digest(), keyspace.memory().entries, model.clone());
            past.push((state, keyspace.apply(&effect.borrow())));
            model.apply(&effect);
            model.check(&keyspace);
        }
        while let Some(((digest, entries, model), inverse)) = past.pop() {
            keyspace.undo(inverse);
            prop_assert_eq!(keyspace.digest(), digest);
            prop_assert_eq!(keyspace.memory().entries, entries);
            model.check(&keyspace);
        }
        prop_assert!(keyspace.is_empty());
    }
}
