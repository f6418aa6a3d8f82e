//! The bytes of effects: round trips, and hostile ones.

use proptest::prelude::*;

use super::*;

/// An effect that owns its bytes, as generated for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Put { db: u16, key: Vec<u8>, value: Vec<u8>, expire_ms: Option<u64> },
    SetExpire { db: u16, key: Vec<u8>, expire_ms: Option<u64> },
    Append { db: u16, key: Vec<u8>, suffix: Vec<u8> },
    SetRange { db: u16, key: Vec<u8>, offset: u32, bytes: Vec<u8> },
    Delete { db: u16, key: Vec<u8> },
    FlushDatabase { db: u16 },
    FlushAll,
    SwapDatabases { first: u16, second: u16 },
}

impl Owned {
    pub(crate) fn borrow(&self) -> Effect<'_> {
        match self {
            Self::Put { db, key, value, expire_ms } => {
                Effect::PutString { db: *db, key, value, expire_ms: *expire_ms }
            }
            Self::SetExpire { db, key, expire_ms } => {
                Effect::SetExpire { db: *db, key, expire_ms: *expire_ms }
            }
            Self::Append { db, key, suffix } => Effect::Append { db: *db, key, suffix },
            Self::SetRange { db, key, offset, bytes } => {
                Effect::SetRange { db: *db, key, offset: *offset, bytes }
            }
            Self::Delete { db, key } => Effect::Delete { db: *db, key },
            Self::FlushDatabase { db } => Effect::FlushDatabase { db: *db },
            Self::FlushAll => Effect::FlushAll,
            Self::SwapDatabases { first, second } => {
                Effect::SwapDatabases { first: *first, second: *second }
            }
        }
    }
}

/// Few databases and few keys, so that effects meet; flushes are rare, so that something is there
/// to meet.
pub(crate) fn effect() -> impl Strategy<Value = Owned> {
    let db = prop_oneof![Just(0u16), Just(1), Just(DATABASES - 1)];
    let key = prop_oneof![
        20 => "[a-h]".prop_map(String::into_bytes),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 100..200),
    ];
    let value = prop::collection::vec(any::<u8>(), 0..300);
    let short = prop::collection::vec(any::<u8>(), 0..20);
    let time = prop_oneof![2 => Just(None), 1 => any::<u64>().prop_map(Some)];
    prop_oneof![
        20 => (db.clone(), key.clone(), value, time.clone())
            .prop_map(|(db, key, value, expire_ms)| Owned::Put { db, key, value, expire_ms }),
        5 => (db.clone(), key.clone(), time)
            .prop_map(|(db, key, expire_ms)| Owned::SetExpire { db, key, expire_ms }),
        5 => (db.clone(), key.clone(), short.clone())
            .prop_map(|(db, key, suffix)| Owned::Append { db, key, suffix }),
        5 => (db.clone(), key.clone(), 0u32..600, short)
            .prop_map(|(db, key, offset, bytes)| Owned::SetRange { db, key, offset, bytes }),
        10 => (db.clone(), key).prop_map(|(db, key)| Owned::Delete { db, key }),
        1 => db.clone().prop_map(|db| Owned::FlushDatabase { db }),
        1 => Just(Owned::FlushAll),
        1 => (db.clone(), db).prop_map(|(first, second)| Owned::SwapDatabases { first, second }),
    ]
}

#[test]
fn the_bytes_of_every_effect_are_those_of_the_format() {
    let long = vec![b'v'; 300];
    let mut long_bytes = vec![1, 0, 1, b'k', 0xac, 0x02];
    long_bytes.extend_from_slice(&long);
    for (effect, bytes) in [
        (
            Effect::PutString { db: 3, key: b"key", value: b"value", expire_ms: None },
            b"\x01\x03\x03key\x05value".to_vec(),
        ),
        (Effect::PutString { db: 0, key: b"k", value: &long, expire_ms: None }, long_bytes),
        (Effect::PutString { db: 15, key: b"", value: b"", expire_ms: None }, vec![1, 15, 0, 0]),
        (
            Effect::PutString { db: 3, key: b"key", value: b"v", expire_ms: Some(0x0102) },
            b"\x05\x03\x03key\x01v\x02\x01\0\0\0\0\0\0".to_vec(),
        ),
        (
            Effect::SetExpire { db: 1, key: b"k", expire_ms: Some(u64::MAX) },
            b"\x06\x01\x01k\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        (Effect::SetExpire { db: 1, key: b"k", expire_ms: None }, b"\x07\x01\x01k".to_vec()),
        (Effect::Append { db: 2, key: b"k", suffix: b"tail" }, b"\x08\x02\x01k\x04tail".to_vec()),
        (
            Effect::SetRange { db: 2, key: b"k", offset: 300, bytes: b"in" },
            b"\x09\x02\x01k\xac\x02\x02in".to_vec(),
        ),
        (Effect::SwapDatabases { first: 0, second: 15 }, vec![10, 0, 15]),
        (Effect::Delete { db: 1, key: b"key" }, b"\x02\x01\x03key".to_vec()),
        (Effect::FlushDatabase { db: 2 }, vec![3, 2]),
        (Effect::FlushAll, vec![4]),
    ] {
        let mut encoded = Vec::new();
        effect.encode(&mut encoded);
        assert_eq!(encoded, bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(Effect::decode(&mut rest, OP_MAX), Ok(effect));
        assert!(rest.is_empty());
    }
}

#[test]
fn bytes_that_are_not_an_effect_are_refused_with_the_reason() {
    for (bytes, error) in [
        (&b""[..], DecodeError::Truncated),
        (b"\x00", DecodeError::UnknownEffect { op: 0 }),
        (b"\x1f\x00", DecodeError::UnknownEffect { op: 31 }),
        (b"\x06\x00\x01k\0\0\0\0\0\0\0", DecodeError::Truncated),
        (
            b"\x09\x00\x01k\x80\x80\x80\x80\x02\x01b",
            DecodeError::StringTooLong { size: STRING_SIZE_MAX as u32 + 1 },
        ),
        (b"\x03\x10", DecodeError::UnknownDatabase { db: 16 }),
        (b"\x03\x80\x80\x04", DecodeError::UnknownDatabase { db: 65536 }),
        (b"\x03\x80\x00", DecodeError::MalformedNumber),
        (b"\x02\x00\x03ke", DecodeError::Truncated),
        (b"\x01\x00\x01k", DecodeError::Truncated),
        (
            b"\x02\x00\x81\x80\x80\x80\x02k",
            DecodeError::StringTooLong { size: STRING_SIZE_MAX as u32 + 1 },
        ),
    ] {
        assert_eq!(Effect::decode(&mut &*bytes, OP_MAX), Err(error), "{bytes:x?}");
    }
    let text = DecodeError::UnknownEffect { op: 9 }.to_string();
    assert_eq!(text, "effect 9 is unknown to this build; a newer one may have written it");
}

proptest! {
    #[test]
    fn an_effect_is_decoded_as_it_was_encoded(effects in prop::collection::vec(effect(), 0..8)) {
        let mut bytes = Vec::new();
        for effect in &effects {
            let before = bytes.len();
            effect.borrow().encode(&mut bytes);
            let strings = match effect {
                Owned::Put { key, value, .. } => key.len() + value.len(),
                Owned::Append { key, suffix, .. } => key.len() + suffix.len(),
                Owned::SetRange { key, bytes, .. } => key.len() + bytes.len(),
                Owned::Delete { key, .. } | Owned::SetExpire { key, .. } => key.len(),
                _ => 0,
            };
            prop_assert!(bytes.len() - before <= strings + EFFECT_OVERHEAD_MAX);
        }
        let mut rest = bytes.as_slice();
        for effect in &effects {
            prop_assert_eq!(Effect::decode(&mut rest, OP_MAX), Ok(effect.borrow()));
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_cut_effect_is_truncated_wherever_it_is_cut(effect in effect()) {
        let mut bytes = Vec::new();
        effect.borrow().encode(&mut bytes);
        for size in 0..bytes.len() {
            prop_assert_eq!(Effect::decode(&mut &bytes[..size], OP_MAX), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_are_the_bytes_of_the_effect_they_decode_to(
        op in 0u8..13,
        tail in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..40),
    ) {
        let mut bytes = vec![op];
        bytes.extend_from_slice(&tail);
        let mut rest = bytes.as_slice();
        if let Ok(effect) = Effect::decode(&mut rest, OP_MAX) {
            let mut encoded = Vec::new();
            effect.encode(&mut encoded);
            prop_assert_eq!(encoded.as_slice(), &bytes[..bytes.len() - rest.len()]);
        }
    }
}
