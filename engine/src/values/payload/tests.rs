//! Payloads of every type: round trips, bounds, refusals.

use base::limits::SLOTS;
use proptest::prelude::*;

use super::*;
use crate::effect::Elements;
use crate::keyspace::Keyspace;

/// Values of one type, each as the elements it is made of.
#[derive(Clone, Debug)]
struct Made {
    kind: Type,
    tuples: Vec<Vec<Vec<u8>>>,
    expire_ms: Option<u64>,
}

fn keyspace() -> Keyspace {
    Keyspace::new(1, 0..SLOTS)
}

fn put(keyspace: &mut Keyspace, key: &[u8], made: &Made) {
    for tuple in &made.tuples {
        let words: Vec<&[u8]> = tuple.iter().map(Vec::as_slice).collect();
        let (db, words, expire_ms) = (0, Elements::Words(&words), made.expire_ms);
        let effect = match made.kind {
            Type::String => Effect::PutString { db, key, value: &tuple[0], expire_ms: None },
            Type::List => Effect::ListPush { db, key, end: End::Right, elements: words },
            Type::Set => Effect::SetAdd { db, key, members: words },
            Type::Hash => Effect::HashSet { db, key, pairs: words, expire_ms },
            Type::Zset => Effect::ZsetAdd { db, key, pairs: words },
        };
        keyspace.replay(&effect).expect("it fits");
    }
}

fn put_payload(keyspace: &mut Keyspace, payload: &[u8]) -> bool {
    let effect = Effect::PutValue { db: 0, key: b"key", payload, expire_ms: None };
    keyspace.replay(&effect).is_ok()
}

fn payload(keyspace: &Keyspace, compression: Compression) -> Vec<u8> {
    payload_of(keyspace.find(0, b"key").expect("it is there"), compression)
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0i64..3000).prop_map(|number| number.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(b'a'..=b'b', 60..70),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    let many = |size| prop_oneof![4 => Just(20usize), 1 => Just(size)];
    let score = prop_oneof![
        any::<f64>().prop_filter("a score is a number", |score| !score.is_nan()),
        (-5i32..5).prop_map(f64::from),
    ];
    let strings = many(1500).prop_flat_map(|count| prop::collection::vec(string(), 1..count));
    let set = many(600).prop_flat_map(|count| prop::collection::btree_set(string(), 1..count));
    let hash =
        many(600).prop_flat_map(|count| prop::collection::btree_map(string(), string(), 1..count));
    let zset = many(200)
        .prop_flat_map(move |count| prop::collection::btree_map(string(), score.clone(), 1..count));
    let single = |strings: Vec<Vec<u8>>| strings.into_iter().map(|one| vec![one]).collect();
    prop_oneof![
        string().prop_map(|one| Made {
            kind: Type::String,
            tuples: vec![vec![one]],
            expire_ms: None
        }),
        strings.prop_map(move |list| Made {
            kind: Type::List,
            tuples: single(list),
            expire_ms: None
        }),
        set.prop_map(move |set| Made {
            kind: Type::Set,
            tuples: single(set.into_iter().collect()),
            expire_ms: None
        }),
        (hash, prop::option::of(1u64..1 << 40)).prop_map(|(hash, expire_ms)| Made {
            kind: Type::Hash,
            tuples: hash.into_iter().map(|(field, value)| vec![field, value]).collect(),
            expire_ms
        }),
        zset.prop_map(|zset| {
            let tuple =
                |(member, score): (Vec<u8>, f64)| vec![score.to_le_bytes().to_vec(), member];
            Made {
                kind: Type::Zset,
                tuples: zset.into_iter().map(tuple).collect(),
                expire_ms: None,
            }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Broken once by a bound of no more than the bytes of a listpack.
    #[test]
    fn a_value_is_put_as_it_was_taken(made in made(), is_compressed: bool) {
        let mut original = keyspace();
        put(&mut original, b"key", &made);
        let compression = if is_compressed { Compression::Lzf } else { Compression::None };
        let bytes = payload(&original, compression);
        let size_max = original.find(0, b"key").expect("it is there").payload_size_max();
        prop_assert!(bytes.len() <= size_max);
        let mut copy = keyspace();
        prop_assert!(put_payload(&mut copy, &bytes));
        copy.check();
        prop_assert_eq!(copy.digest(), original.digest());
        let plain = |keyspace: &Keyspace| payload(keyspace, Compression::None).len();
        prop_assert_eq!(plain(&copy), plain(&original));
        // And back, over something else.
        let digest = copy.digest();
        let other = Encoder::new(Compression::None).string_value(b"other");
        let effect = Effect::PutValue { db: 0, key: b"key", payload: &other, expire_ms: Some(5) };
        let inverse = copy.apply(&effect);
        prop_assert!(copy.digest() != digest);
        copy.undo(inverse);
        prop_assert_eq!(copy.digest(), digest);
        copy.check();
    }

    /// What is not refused is a value like any other: it passes its checks, and its own payload is
    /// read again.
    #[test]
    fn whatever_is_changed_in_a_payload_is_a_value_or_refused(
        made in made(),
        is_compressed: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut original = keyspace();
        put(&mut original, b"key", &made);
        let compression = if is_compressed { Compression::Lzf } else { Compression::None };
        let mut bytes = payload(&original, compression);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let digest = original.digest();
        let mut copy = keyspace();
        let is_value = put_payload(&mut original, &bytes);
        prop_assert_eq!(is_value, put_payload(&mut copy, &bytes));
        original.check();
        if is_value {
            let again = payload(&copy, Compression::Lzf);
            prop_assert!(put_payload(&mut original, &again));
            prop_assert_eq!(copy.digest(), original.digest());
        } else {
            prop_assert_eq!(original.digest(), digest);
        }
    }
}

fn packed(kind: u8, elements: &[&str]) -> Vec<u8> {
    let mut pack = crate::listpack::ListpackBuf::new();
    elements.iter().for_each(|element| pack.push(element.as_bytes()));
    Encoder::new(Compression::None).packed_value(kind, &pack.finish())
}

fn counted(kind: u8, elements: &[&str]) -> Vec<u8> {
    let mut encoder = Encoder::new(Compression::None);
    encoder.kind(kind);
    encoder.count(if kind == kind::HASH { elements.len() / 2 } else { elements.len() });
    elements.iter().for_each(|element| encoder.string(element.as_bytes()));
    encoder.finish()
}

/// Broken once by not counting what came.
#[test]
fn what_is_there_twice_is_refused() {
    for payload in [
        counted(kind::SET, &["a", "b", "a"]),
        counted(kind::SET, &["1", "2", "1"]),
        counted(kind::HASH, &["a", "1", "a", "2"]),
        packed(kind::SET_LISTPACK, &["a", "a"]),
    ] {
        assert!(!is_payload(&payload), "{}", payload.escape_ascii());
        assert!(!put_payload(&mut keyspace(), &payload));
    }
    assert!(is_payload(&counted(kind::SET, &["a", "b", "1"])));
}

#[test]
fn a_value_has_the_form_its_limits_tell() {
    let long = "x".repeat(65);
    let form = |payload: &[u8]| {
        let mut keyspace = keyspace();
        assert!(put_payload(&mut keyspace, payload));
        keyspace.check();
        keyspace.find(0, b"key").expect("it was put").form()
    };
    assert_eq!(form(&packed(kind::ZSET_LISTPACK, &["a", "1"])), Form::ZsetPack);
    assert_eq!(form(&packed(kind::ZSET_LISTPACK, &[&long, "1"])), Form::ZsetTree);
    assert_eq!(form(&packed(kind::SET_LISTPACK, &["a", "1"])), Form::SetPack);
    assert_eq!(form(&packed(kind::SET_LISTPACK, &["a", &long])), Form::SetTable);
    assert_eq!(form(&packed(kind::HASH_LISTPACK, &["a", "1"])), Form::HashPack);
    assert_eq!(form(&packed(kind::HASH_LISTPACK, &["a", &long])), Form::HashTable);
    assert_eq!(form(&counted(kind::SET, &["a", "1"])), Form::SetPack);
    assert_eq!(form(&counted(kind::SET, &["1", "2"])), Form::IntSet);
    assert_eq!(form(&counted(kind::LIST, &["a", "1"])), Form::ListPack);
    assert_eq!(form(&counted(kind::HASH, &["a", "1"])), Form::HashPack);
}

/// A node that is larger than any server makes is read element by element.
/// Seen red when the reader refused the last time there is, and RENAME ended the server.
#[test]
fn a_field_that_expires_at_the_last_time_comes_back() {
    let made = Made {
        kind: Type::Hash,
        tuples: vec![vec![b"field".to_vec(), b"value".to_vec()]],
        expire_ms: Some(i64::MAX as u64),
    };
    let (mut from, mut to) = (keyspace(), keyspace());
    put(&mut from, b"key", &made);
    let taken = payload(&from, Compression::None);
    assert!(put_payload(&mut to, &taken));
    assert_eq!(payload(&to, Compression::None), taken);
}

#[test]
fn a_huge_node_comes_apart() {
    let elements: Vec<_> = (0..40_000).map(|number: u32| number.to_string()).collect();
    let mut pack = crate::listpack::ListpackBuf::new();
    elements.iter().for_each(|element| pack.push(element.as_bytes()));
    let mut encoder = Encoder::new(Compression::Lzf);
    encoder.kind(kind::LIST_NODES);
    encoder.count(3);
    encoder.plain_node(&[b'x'; 10_000]);
    encoder.packed_node(&pack.finish());
    encoder.plain_node(b"small");
    let mut keyspace = keyspace();
    assert!(put_payload(&mut keyspace, &encoder.finish()));
    keyspace.check();
    let entry = keyspace.find(0, b"key").expect("it was put");
    assert_eq!(len(entry), 40_002);
    let Some(Object::List(nodes)) = entry.object() else { panic!("it is a large list") };
    assert!(20 < nodes.iter().len());
    let mut found = Vec::new();
    super::super::for_each_part(entry, &mut |part| found.push(part[0].to_vec()));
    assert_eq!(found[0].len(), 10_000);
    assert_eq!(found[40_000], b"39999");
    assert_eq!(found[40_001], b"small");
}
