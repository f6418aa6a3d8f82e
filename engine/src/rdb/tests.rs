//! Values of RDB files: round trips, known bytes, hostile ones.

use proptest::prelude::*;

use super::decode::{Part, Value};
use super::encode::{Compression, Encoder};
use super::{BadFormat, OpenError, crc64, kind, open, seal};
use crate::intset;
use crate::listpack::{Listpack, ListpackBuf};

/// A value with everything in it read.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    Hash(Vec<(Vec<u8>, Vec<u8>, Option<u64>)>),
    Zset(Vec<(Vec<u8>, f64)>),
}

fn items(listpack: &[u8]) -> Vec<Vec<u8>> {
    let listpack = Listpack::validated(listpack).expect("what is decoded is checked");
    listpack.iter().map(|item| item.to_vec()).collect()
}

fn read(bytes: &[u8]) -> Result<Plain, BadFormat> {
    Ok(match Value::decode(bytes)? {
        Value::String(string) => Plain::String(string.into_owned()),
        Value::List(mut parts) => {
            let mut elements = Vec::new();
            while let Some(part) = parts.next()? {
                match part {
                    Part::Element(element) | Part::Node(element) => {
                        elements.push(element.to_vec());
                    }
                    Part::Packed(listpack) => elements.extend(items(listpack)),
                }
            }
            Plain::List(elements)
        }
        Value::IntSet(bytes) => {
            let integers = intset::Intset::validated(&bytes).expect("what is decoded is checked");
            Plain::Set(integers.iter().map(|integer| integer.to_string().into_bytes()).collect())
        }
        Value::SetPack(bytes) => Plain::Set(items(&bytes)),
        Value::Set(mut members) => {
            let mut set = Vec::new();
            while let Some(member) = members.next()? {
                set.push(member.to_vec());
            }
            Plain::Set(set)
        }
        Value::HashPack(bytes) => {
            let fields = items(&bytes);
            let pairs = fields.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone(), None));
            Plain::Hash(pairs.collect())
        }
        Value::Hash(mut pairs) => {
            let mut hash = Vec::new();
            while let Some(pair) = pairs.next()? {
                hash.push((pair.field.to_vec(), pair.value.to_vec(), pair.expire_ms));
            }
            Plain::Hash(hash)
        }
        Value::ZsetPack(bytes) => {
            let score = |text: &[u8]| {
                let text = str::from_utf8(text).expect("what is decoded is checked");
                text.parse().expect("what is decoded is checked")
            };
            let members = items(&bytes);
            let pairs = members.chunks_exact(2).map(|pair| (pair[0].clone(), score(&pair[1])));
            Plain::Zset(pairs.collect())
        }
        Value::Zset(mut scores) => {
            let mut zset = Vec::new();
            while let Some((score, member)) = scores.next()? {
                assert!(!score.is_nan());
                zset.push((member.to_vec(), score));
            }
            Plain::Zset(zset)
        }
    })
}

fn pack(elements: &[&str]) -> Vec<u8> {
    let mut listpack = ListpackBuf::new();
    elements.iter().for_each(|element| listpack.push(element.as_bytes()));
    listpack.finish()
}

fn packed(kind: u8, piece: &[u8]) -> Vec<u8> {
    Encoder::new(Compression::None).packed_value(kind, piece)
}

fn texts(elements: &[&str]) -> Vec<Vec<u8>> {
    elements.iter().map(|element| element.as_bytes().to_vec()).collect()
}

/// A value as our writer spells it, in every layout it has for it.
fn written(plain: &Plain, compression: Compression) -> Vec<Vec<u8>> {
    let encoder = || Encoder::new(compression);
    let counted = |kind: u8, count: usize| {
        let mut encoder = encoder();
        encoder.kind(kind);
        encoder.count(count);
        encoder
    };
    let packed = |kind: u8, elements: &mut dyn Iterator<Item = &[u8]>| {
        let mut listpack = ListpackBuf::new();
        elements.for_each(|element| listpack.push(element));
        encoder().packed_value(kind, &listpack.finish())
    };
    match plain {
        Plain::String(string) => vec![encoder().string_value(string)],
        Plain::List(elements) => {
            let mut one_by_one = counted(kind::LIST, elements.len());
            elements.iter().for_each(|element| one_by_one.string(element));
            let nodes: Vec<_> = elements.chunks(3).collect();
            let mut in_nodes = counted(kind::LIST_NODES, nodes.len());
            for node in nodes {
                match node {
                    [element] if !element.is_empty() => in_nodes.plain_node(element),
                    elements => {
                        let mut listpack = ListpackBuf::new();
                        elements.iter().for_each(|element| listpack.push(&element[..]));
                        in_nodes.packed_node(&listpack.finish());
                    }
                }
            }
            vec![one_by_one.finish(), in_nodes.finish()]
        }
        Plain::Set(members) => {
            let mut set = counted(kind::SET, members.len());
            members.iter().for_each(|member| set.string(member));
            vec![set.finish(), packed(kind::SET_LISTPACK, &mut members.iter().map(|m| &m[..]))]
        }
        Plain::Hash(fields) => {
            let mut expiring = counted(kind::HASH_EXPIRING, fields.len());
            for (field, value, expire_ms) in fields {
                expiring.string(field);
                expiring.string(value);
                expiring.expiry(*expire_ms);
            }
            let mut all = vec![expiring.finish()];
            if fields.iter().all(|(_, _, expire_ms)| expire_ms.is_none()) {
                let mut hash = counted(kind::HASH, fields.len());
                for (field, value, _) in fields {
                    hash.string(field);
                    hash.string(value);
                }
                let mut pairs = fields.iter().flat_map(|(field, value, _)| [&field[..], value]);
                all.extend([hash.finish(), packed(kind::HASH_LISTPACK, &mut pairs)]);
            }
            all
        }
        Plain::Zset(members) => {
            let mut zset = counted(kind::ZSET, members.len());
            for (member, score) in members {
                zset.string(member);
                zset.score(*score);
            }
            let scores: Vec<_> = members.iter().map(|(_, score)| score.to_string()).collect();
            let mut pairs = (members.iter().zip(&scores))
                .flat_map(|((member, _), score)| [&member[..], score.as_bytes()]);
            vec![zset.finish(), packed(kind::ZSET_LISTPACK, &mut pairs)]
        }
    }
}

/// What Redis 7.0 and Valkey 9 give for values made with the commands beside them, without the
/// footer; version 11 has the same.
#[test]
fn a_dump_of_another_server_is_read() {
    let cases: &[(&[u8], Plain)] = &[
        // SET s hello
        (b"\x00\x05hello", Plain::String(b"hello".into())),
        // SET i -1234
        (b"\x00\xc1.\xfb", Plain::String(b"-1234".into())),
        // SET lz: thirty times ab
        (b"\x00\xc3\n<\x02aba\xe0.\x01\x01ab", Plain::String(b"ab".repeat(30))),
        // RPUSH l a 1 bbbbbbbbbb
        (
            b"\x12\x01\x02\x18\x18\0\0\0\x03\0\x81a\x02\x01\x01\x8abbbbbbbbbb\x0b\xff",
            Plain::List(texts(&["a", "1", "bbbbbbbbbb"])),
        ),
        // The same with two elements a node: RPUSH l2 a b c 300, and a hundred x
        (
            b"\x12\x03\x02\r\r\0\0\0\x02\0\x81a\x02\x81b\x02\xff\x02\r\r\0\0\0\x02\0\x81c\x02\xc1,\
              \x02\xff\x02\xc3\x10@n\x08n\0\0\0\x01\0\xe0dx\xe0Z\0\x01f\xff",
            Plain::List(texts(&["a", "b", "c", "300", &"x".repeat(100)])),
        ),
        // SADD si 1 2 70000
        (
            b"\x0b\x14\x04\0\0\0\x03\0\0\0\x01\0\0\0\x02\0\0\0p\x11\x01\0",
            Plain::Set(texts(&["1", "2", "70000"])),
        ),
        // SADD sl a b 7
        (
            b"\x14\x0f\x0f\0\0\0\x03\0\x81a\x02\x81b\x02\x07\x01\xff",
            Plain::Set(texts(&["a", "b", "7"])),
        ),
        // The same as a table
        (b"\x02\x03\xc0\x07\x01b\x01a", Plain::Set(texts(&["7", "b", "a"]))),
        // HSET hl f v n 12
        (
            b"\x10\x12\x12\0\0\0\x04\0\x81f\x02\x81v\x02\x81n\x02\x0c\x01\xff",
            Plain::Hash(vec![(b"f".into(), b"v".into(), None), (b"n".into(), b"12".into(), None)]),
        ),
        // HSET ht f v, as a table
        (b"\x04\x01\x01f\x01v", Plain::Hash(vec![(b"f".into(), b"v".into(), None)])),
        // HSET hx f v g w, HPEXPIREAT hx 4000000000000 FIELDS 1 f
        (
            b"\x16\x02\x01f\x01v\x00@\x94R\xa3\x03\0\0\x01g\x01w\xff\xff\xff\xff\xff\xff\xff\xff",
            Plain::Hash(vec![
                (b"f".into(), b"v".into(), Some(4_000_000_000_000)),
                (b"g".into(), b"w".into(), None),
            ]),
        ),
        // ZADD zl 1 a 1.5 b inf c 0.1 d 1e300 e 123456789012345678 f
        (
            b"\x11<<\0\0\0\x0c\0\x81d\x02\x830.1\x04\x81a\x02\x01\x01\x81b\x02\x831.5\x04\x81f\x02\
              \xf4P\xf30\xa6K\x9b\xb6\x01\t\x81e\x02\x861e+300\x07\x81c\x02\x83inf\x04\xff",
            Plain::Zset(vec![
                (b"d".into(), 0.1),
                (b"a".into(), 1.0),
                (b"b".into(), 1.5),
                (b"f".into(), 123_456_789_012_345_678.0),
                (b"e".into(), 1e300),
                (b"c".into(), f64::INFINITY),
            ]),
        ),
        // ZADD zt 2.5 m -1 n, as a tree
        (
            b"\x05\x02\x01m\0\0\0\0\0\0\x04@\x01n\0\0\0\0\0\0\xf0\xbf",
            Plain::Zset(vec![(b"m".into(), 2.5), (b"n".into(), -1.0)]),
        ),
    ];
    for (bytes, plain) in cases {
        assert_eq!(read(bytes).as_ref(), Ok(plain), "{}", bytes.escape_ascii());
    }
}

/// The layouts that no server writes any more, or Redis from 7.4 on, by their descriptions.
#[test]
fn a_layout_that_is_only_read_is_read() {
    let ziplist = b"\x13\0\0\0\x0f\0\0\0\x02\0\0\x03one\x05\xfe\x07\xff";
    let one = Plain::List(texts(&["one", "7"]));
    assert_eq!(read(&packed(kind::LIST_ZIPLIST, ziplist)), Ok(one.clone()));
    let mut lists = Encoder::new(Compression::Lzf);
    lists.kind(kind::LIST_ZIPLISTS);
    lists.count(2);
    lists.string(ziplist);
    lists.string(b"\x0b\0\0\0\x0a\0\0\0\0\0\xff");
    assert_eq!(read(&lists.finish()), Ok(one));
    let hash = Plain::Hash(vec![(b"one".into(), b"7".into(), None)]);
    assert_eq!(read(&packed(kind::HASH_ZIPLIST, ziplist)), Ok(hash.clone()));
    assert_eq!(read(&packed(kind::HASH_ZIPMAP, b"\x01\x03one\x01\x007\xff")), Ok(hash));
    let zset = Plain::Zset(vec![(b"one".into(), 7.0)]);
    assert_eq!(read(&packed(kind::ZSET_ZIPLIST, ziplist)), Ok(zset));

    let scores = b"\x03\x04\x01a\xff\x01b\x03-.5\x01c\x071e+0100\x01d\xfe";
    let expected = [("a", f64::NEG_INFINITY), ("b", -0.5), ("c", 1e100), ("d", f64::INFINITY)];
    let zset = expected.map(|(member, score)| (member.as_bytes().to_vec(), score));
    assert_eq!(read(scores), Ok(Plain::Zset(zset.into())));

    let expiring = Plain::Hash(vec![
        (b"f".into(), b"v".into(), Some(1000)),
        (b"g".into(), b"w".into(), None),
        (b"h".into(), b"x".into(), Some(1062)),
    ]);
    let relative = b"\x18\xe8\x03\0\0\0\0\0\0\x03\x01\x01f\x01v\0\x01g\x01w\x3f\x01h\x01x";
    assert_eq!(read(relative), Ok(expiring.clone()));
    let triples = pack(&["f", "v", "1000", "g", "w", "0", "h", "x", "1062"]);
    let mut bytes = vec![kind::HASH_LISTPACK_EXPIRING, 0xe8, 3, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&packed(0, &triples)[1..]);
    assert_eq!(read(&bytes), Ok(expiring));
}

#[test]
fn a_sorted_set_that_is_not_in_order_is_read_member_by_member() {
    let sorted = packed(kind::ZSET_LISTPACK, &pack(&["b", "1", "a", "2", "c", "2"]));
    assert!(matches!(Value::decode(&sorted), Ok(Value::ZsetPack(_))));
    for unsorted in [["b", "2", "a", "2"], ["a", "2", "b", "1"]] {
        let bytes = packed(kind::ZSET_LISTPACK, &pack(&unsorted));
        assert!(matches!(Value::decode(&bytes), Ok(Value::Zset(_))));
        assert!(matches!(read(&bytes), Ok(Plain::Zset(members)) if members.len() == 2));
    }
}

#[test]
fn what_is_no_value_is_refused() {
    let twice = pack(&["a", "1", "a", "2"]);
    let not_a_number = pack(&["a", "nan"]);
    let empty = pack(&[]);
    let odd = pack(&["a", "1", "b"]);
    let mut cases = vec![
        b"".to_vec(),
        b"\x00".to_vec(),
        b"\x00\x01ab".to_vec(),    // a byte behind it
        b"\x01\0".to_vec(),        // no elements
        b"\x01\x02\x01a".to_vec(), // one is missing
        b"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), // more than can be
        b"\x02\xc0".to_vec(),      // a count that is an integer
        b"\x04\x01\x01f".to_vec(),
        b"\x05\x01\x01m\0\0\0\0\0\0\xf8\x7f".to_vec(), // no number
        b"\x03\x01\x01m\xfd".to_vec(),
        b"\x03\x01\x01m\x03abc".to_vec(),
        b"\x12\x01\x03\x01a".to_vec(), // an unknown kind of node
        b"\x12\x01\x01\0".to_vec(),    // an empty node
        b"\x12\0".to_vec(),
        b"\x16\x01\x01f\x01v\xfe\xff\xff\xff\xff\xff\xff\xff".to_vec(), // before all time
        b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x01\x3f\x01f\x01v".to_vec(), // behind all time
        packed(kind::SET_LISTPACK, &twice[..twice.len() - 1]),
        packed(kind::SET_LISTPACK, &pack(&["1", "a", "1"])),
        packed(kind::HASH_LISTPACK, &twice),
        packed(kind::ZSET_LISTPACK, &twice),
        packed(kind::ZSET_LISTPACK, &not_a_number),
        packed(kind::HASH_LISTPACK, &odd),
        packed(kind::SET_INTSET, b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0"), // falling
        packed(kind::SET_INTSET, b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0"), // the same twice
        packed(kind::SET_INTSET, b"\x02\0\0\0\0\0\0\0"),
    ];
    // Streams and modules, what is free, and what no server has had.
    cases.extend([6u8, 7, 8, 15, 19, 21, 23, 26, 255].map(|kind| packed(kind, &pack(&["a"]))));
    cases.extend([16u8, 17, 18, 20, 25].map(|kind| packed(kind, &empty)));
    for bytes in cases {
        assert_eq!(read(&bytes), Err(BadFormat), "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_old_node_with_nothing_in_it_is_passed_over() {
    let nodes = |packs: &[&[u8]]| {
        let mut encoder = Encoder::new(Compression::None);
        encoder.kind(kind::LIST_NODES);
        encoder.count(packs.len());
        packs.iter().for_each(|pack| encoder.packed_node(pack));
        encoder.finish()
    };
    let (empty, full) = (pack(&[]), pack(&["a"]));
    let list = Plain::List(texts(&["a"]));
    assert_eq!(read(&nodes(&[&empty, &full, &empty])), Ok(list));
    assert_eq!(read(&nodes(&[&empty, &empty])), Err(BadFormat));
}

/// The checksum is that of Redis 7.0's dump of the same string: of its version, 10.
#[test]
fn a_large_string_is_compressed_to_the_bytes_redis_gives() {
    let numbers: Vec<_> = (0..2000).map(|number: u32| number.to_string()).collect();
    let mut value = Encoder::new(Compression::Lzf).string_value(numbers.join(" ").as_bytes());
    assert_eq!(value.len() + 10, 6578);
    value.extend_from_slice(&10u16.to_le_bytes());
    assert_eq!(crc64::checksum(&value), 0xaa66_6981_2c4b_3baf);
}

#[test]
fn a_payload_is_sealed_with_its_version_and_checksum() {
    let payload = seal(b"\x00\x05hello".to_vec());
    assert_eq!(&payload[..9], b"\x00\x05hello\x0b\0");
    assert_eq!(open(&payload), Ok(&b"\x00\x05hello"[..]));
    for place in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[place] ^= 1;
        assert_eq!(open(&damaged), Err(OpenError::Footer));
        assert_eq!(open(&payload[..place]), Err(OpenError::Footer));
    }
    // As Valkey 9 gives it.
    let valkey = b"\x00\x05helloP\x00\xacX\x16\xe7\xfbfG\xfe";
    assert_eq!(open(valkey), Ok(&b"\x00\x05hello"[..]));
    // As Redis 7.0 gives it.
    assert_eq!(open(b"\x00\x05hello\n\x00cr\xdfve4 \n"), Ok(&b"\x00\x05hello"[..]));
}

#[test]
fn one_number_is_a_layout_of_valkey_or_one_of_redis() {
    let versioned = |value: &[u8], version: u16| {
        let mut payload = [value, &version.to_le_bytes()].concat();
        let checksum = crc64::checksum(&payload);
        payload.extend_from_slice(&checksum.to_le_bytes());
        payload
    };
    let cases = [
        (11, kind::HASH, None),
        (80, kind::HASH, None),
        (80, kind::HASH_EXPIRING, None),
        (12, kind::HASH_EXPIRING, Some(OpenError::Kind)),
        (12, kind::HASH_RELATIVE, None),
        (80, kind::HASH_RELATIVE, Some(OpenError::Kind)),
        (80, kind::HASH_LISTPACK_EXPIRING, Some(OpenError::Kind)),
        (0, kind::HASH, Some(OpenError::Footer)),
        (79, kind::HASH, Some(OpenError::Footer)),
        (81, kind::HASH, Some(OpenError::Footer)),
    ];
    for (version, kind, error) in cases {
        let payload = versioned(&[kind, 1], version);
        assert_eq!(open(&payload).err(), error, "version {version}, kind {kind}");
    }
    assert_eq!(open(&versioned(b"", 11)), Err(OpenError::Kind));
    assert_eq!(seal(vec![kind::HASH_EXPIRING])[1..3], [80, 0]);
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-300i64..300).prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(b'a'..=b'b', 0..200),
    ]
}

fn plain() -> impl Strategy<Value = Plain> {
    let expiry = prop::option::of(0..u64::MAX / 4);
    let hash = prop::collection::btree_map(string(), (string(), expiry), 1..12);
    let score = prop_oneof![any::<f64>(), any::<i32>().prop_map(f64::from)];
    let score = score.prop_filter("a score is a number", |score| !score.is_nan());
    let zset = prop::collection::btree_map(string(), score, 1..12);
    prop_oneof![
        string().prop_map(Plain::String),
        prop::collection::vec(string(), 1..12).prop_map(Plain::List),
        prop::collection::btree_set(string(), 1..12)
            .prop_map(|set| Plain::Set(set.into_iter().collect())),
        (hash, any::<bool>()).prop_map(|(hash, has_expiries)| {
            let expiry = |expire_ms: Option<u64>| expire_ms.filter(|_| has_expiries);
            let pair = |(field, (value, expire_ms))| (field, value, expiry(expire_ms));
            Plain::Hash(hash.into_iter().map(pair).collect())
        }),
        zset.prop_map(|zset| Plain::Zset(zset.into_iter().collect())),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(plain in plain(), is_compressed: bool) {
        let compression = if is_compressed { Compression::Lzf } else { Compression::None };
        for bytes in written(&plain, compression) {
            let back = read(&bytes);
            prop_assert_eq!(back.as_ref(), Ok(&plain));
            for end in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..end]), Err(BadFormat));
            }
        }
    }

    /// It need not be refused: it may be another value. It must be readable again as it was read.
    #[test]
    fn whatever_is_changed_in_a_value_is_read_or_refused(
        plain in plain(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for mut bytes in written(&plain, Compression::Lzf) {
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            if let Ok(plain) = read(&bytes) {
                prop_assert_eq!(read(&written(&plain, Compression::Lzf)[0]), Ok(plain));
            }
        }
    }

    #[test]
    fn any_bytes_of_any_kind_are_read_or_refused(kind in 0u8..30, body: Vec<u8>) {
        let _ = read(&[&[kind], &body[..]].concat());
        let _ = read(&packed(kind, &body));
    }
}
