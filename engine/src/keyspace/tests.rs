//! The keyspace against a model; replay and undo.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::batch::{Batch, BatchReader};
use crate::effect::tests::{Owned, effect};

/// What a keyspace is: the simplest thing that behaves like one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model(BTreeMap<(u16, Vec<u8>), ModelValue>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ModelValue {
    bytes: Vec<u8>,
    expire_ms: Option<u64>,
    raw: bool,
}

impl Model {
    /// False if the effect does not fit.
    fn apply(&mut self, effect: &Owned) -> bool {
        match effect {
            Owned::Put { db, key, value, expire_ms } => {
                let value = ModelValue { bytes: value.clone(), expire_ms: *expire_ms, raw: false };
                self.0.insert((*db, key.clone()), value);
            }
            Owned::SetExpire { db, key, expire_ms } => {
                let Some(value) = self.0.get_mut(&(*db, key.clone())) else { return false };
                value.expire_ms = *expire_ms;
            }
            Owned::Append { db, key, suffix } => {
                let Some(value) = self.0.get_mut(&(*db, key.clone())) else { return false };
                value.bytes.extend_from_slice(suffix);
                value.raw = true;
            }
            Owned::SetRange { db, key, offset, bytes } => {
                let value = self.0.entry((*db, key.clone())).or_default();
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                value.bytes.resize(value.bytes.len().max(end), 0);
                value.bytes[start..end].copy_from_slice(bytes);
                value.raw = true;
            }
            Owned::Delete { db, key } => return self.0.remove(&(*db, key.clone())).is_some(),
            Owned::FlushDatabase { db } => self.0.retain(|(other, _), _| other != db),
            Owned::FlushAll => self.0.clear(),
            Owned::SwapDatabases { first, second } => {
                let swapped = std::mem::take(&mut self.0).into_iter().map(|((db, key), value)| {
                    let db = if db == *first {
                        *second
                    } else if db == *second {
                        *first
                    } else {
                        db
                    };
                    ((db, key), value)
                });
                self.0 = swapped.collect();
            }
        }
        true
    }

    fn check(&self, keyspace: &Keyspace) {
        keyspace.check();
        for ((db, key), value) in &self.0 {
            let entry = keyspace.find(*db, key).expect("the model holds it");
            assert_eq!(entry.string(), Some(value.bytes.as_slice()));
            assert_eq!((entry.expire_ms(), entry.is_raw()), (value.expire_ms, value.raw));
        }
        for db in 0..DATABASES {
            let count = self.0.keys().filter(|(other, _)| *other == db).count();
            assert_eq!(keyspace.len(db), count);
        }
        let used: usize =
            self.0.iter().map(|((_, key), value)| key.len() + value.bytes.len()).sum();
        assert_eq!(keyspace.used_bytes(), used);
        assert_eq!(keyspace.is_empty(), self.0.is_empty());
    }

    fn keyspace(&self, seed: u64) -> Keyspace {
        let mut keyspace = Keyspace::new(seed, 0..SLOTS);
        for ((db, key), value) in self.0.iter().rev() {
            let (db, expire_ms) = (*db, value.expire_ms);
            let effect = Effect::PutString { db, key, value: &value.bytes, expire_ms };
            keyspace.replay(&effect).expect("a put always fits");
            if value.raw {
                let effect = Effect::Append { db, key, suffix: b"" };
                keyspace.replay(&effect).expect("it was just put");
            }
        }
        keyspace
    }
}

fn put(keyspace: &mut Keyspace, db: u16, key: &[u8], value: &[u8]) {
    let effect = Effect::PutString { db, key, value, expire_ms: None };
    keyspace.replay(&effect).expect("a put always fits");
}

fn effects() -> impl Strategy<Value = Vec<Owned>> {
    prop::collection::vec(effect(), 0..120)
}

/// Drops the deletes that would delete nothing.
fn only_fitting(effects: Vec<Owned>) -> Vec<Owned> {
    let mut model = Model::default();
    effects.into_iter().filter(|effect| model.apply(effect)).collect()
}

#[test]
fn a_delete_of_an_absent_key_is_refused_and_changes_nothing() {
    let mut keyspace = Keyspace::new(1, 0..SLOTS);
    put(&mut keyspace, 0, b"key", b"value");
    let before = keyspace.digest();
    for (db, key) in [(0, &b"other"[..]), (1, b"key")] {
        let error = keyspace.replay(&Effect::Delete { db, key }).expect_err("it is not there");
        assert_eq!(error, ReplayError::DeleteOfAbsentKey { db, size: key.len() });
    }
    assert_eq!(keyspace.digest(), before);
    let error = ReplayError::DeleteOfAbsentKey { db: 1, size: 3 };
    assert_eq!(
        error.to_string(),
        "an effect deletes a key of 3 bytes that database 1 does not hold"
    );
}

#[test]
fn the_digest_tells_databases_keys_and_values_apart() {
    let mut digests = vec![Keyspace::new(1, 0..SLOTS).digest()];
    assert_eq!(digests, [0]);
    let places: &[(u16, &[u8], &[u8])] = &[
        (0, b"a", b"b"),
        (1, b"a", b"b"),
        (0, b"b", b"a"),
        (0, b"ab", b""),
        (0, b"", b"ab"),
        (0, b"a", b"c"),
        (0, b"a", b"b\0"),
    ];
    for (db, key, value) in places {
        let mut keyspace = Keyspace::new(1, 0..SLOTS);
        put(&mut keyspace, *db, key, value);
        digests.push(keyspace.digest());
    }
    // The halves are independent: each alone tells all of them apart.
    for half in [|digest: u128| digest as u64, |digest: u128| (digest >> 64) as u64] {
        let halves: std::collections::BTreeSet<_> = digests.iter().map(|it| half(*it)).collect();
        assert_eq!(halves.len(), digests.len());
    }
}

#[test]
fn the_hash_depends_on_the_seed_the_database_and_the_key_and_on_nothing_else() {
    let empty = Keyspace::new(1, 0..SLOTS);
    let mut other = Keyspace::new(1, 0..SLOTS);
    put(&mut other, 0, b"key", b"value");
    assert_eq!(empty.hash(0, b"key"), other.hash(0, b"key"));
    assert_ne!(empty.hash(0, b"key"), empty.hash(1, b"key"));
    assert_ne!(empty.hash(0, b"key"), empty.hash(0, b"kez"));
    assert_ne!(empty.hash(0, b""), empty.hash(0, b"\0"));
    assert_ne!(empty.hash(0, b"key"), Keyspace::new(2, 0..SLOTS).hash(0, b"key"));
}

proptest! {
    #[test]
    fn a_keyspace_behaves_like_a_sorted_map(effects in effects()) {
        let mut keyspace = Keyspace::new(3, 0..SLOTS);
        let mut model = Model::default();
        for effect in &effects {
            prop_assert_eq!(keyspace.replay(&effect.borrow()).is_ok(), model.apply(effect));
            model.check(&keyspace);
            if let Owned::Put { db, key, .. } | Owned::Delete { db, key } = effect {
                let expected = model.0.get(&(*db, key.clone()));
                let found = keyspace.find(*db, key).and_then(Entry::string);
                prop_assert_eq!(found, expected.map(|value| value.bytes.as_slice()));
            }
        }
    }

    #[test]
    fn equal_contents_have_equal_digests_whatever_the_seed_and_the_history(
        effects in effects(),
        seed: u64,
    ) {
        let mut keyspace = Keyspace::new(seed, 0..SLOTS);
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
    fn replaying_the_log_gives_the_digest_of_the_leader(effects in effects(), each in 1usize..9) {
        let mut leader = Keyspace::new(1, 0..SLOTS);
        let mut replica = Keyspace::new(2, 0..SLOTS);
        let mut batch = Batch::default();
        for turn in only_fitting(effects).chunks(each) {
            for effect in turn {
                let _inverse = leader.apply(&effect.borrow());
                batch.append(&effect.borrow(), &leader);
            }
            batch.take_touched();
            batch.take_floor();
            let mut body = Vec::new();
            batch.close_into(1, b"", &mut body);
            for effect in BatchReader::new(&body).expect("this build wrote it") {
                replica.replay(&effect.expect("this build wrote it")).expect("it fits");
            }
            prop_assert_eq!(leader.digest(), replica.digest());
            prop_assert_eq!(leader.used_bytes(), replica.used_bytes());
        }
    }

    #[test]
    fn undoing_in_reverse_goes_back_through_every_state(effects in effects()) {
        let mut keyspace = Keyspace::new(4, 0..SLOTS);
        let mut past = Vec::new();
        let mut model = Model::default();
        for effect in only_fitting(effects) {
            let state = (keyspace.digest(), keyspace.used_bytes(), model.clone());
            past.push((state, keyspace.apply(&effect.borrow())));
            model.apply(&effect);
            model.check(&keyspace);
        }
        while let Some(((digest, used_bytes, model), inverse)) = past.pop() {
            keyspace.undo(inverse);
            prop_assert_eq!(keyspace.digest(), digest);
            prop_assert_eq!(keyspace.used_bytes(), used_bytes);
            model.check(&keyspace);
        }
        prop_assert!(keyspace.is_empty());
    }
}
