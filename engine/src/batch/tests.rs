//! The batch: what goes in comes out, stamped.

use proptest::prelude::*;

use super::*;
use crate::effect::tests::effect;

fn keyspace() -> Keyspace {
    Keyspace::new(7, 0..16384)
}

/// Tells the gate and closes.
fn close(batch: &mut Batch, clock_ms: u64) -> Vec<u8> {
    batch.take_touched();
    batch.take_floor();
    let mut body = Vec::new();
    batch.close_into(clock_ms, b"", &mut body);
    body
}

#[test]
fn the_bytes_of_a_batch_are_those_of_the_format() {
    let keyspace = keyspace();
    let mut batch = Batch::default();
    batch.append(&Effect::PutString { db: 0, key: b"k", value: b"v", expire_ms: None }, &keyspace);
    batch.append(&Effect::Delete { db: 15, key: b"gone" }, &keyspace);
    batch.append(&Effect::FlushDatabase { db: 1 }, &keyspace);
    batch.append(&Effect::FlushAll, &keyspace);
    let golden = b"\x03\x08\x07\x06\x05\x04\x03\x02\x01\x10\0\0\0\
                   \x01\x00\x01k\x01v\
                   \x02\x0f\x04gone\
                   \x03\x01\
                   \x04";
    assert_eq!(batch.len(), golden.len());
    assert_eq!(close(&mut batch, 0x0102_0304_0506_0708), golden);

    let mut reader = BatchReader::new(golden).expect("this build wrote it");
    assert_eq!(reader.clock_ms(), 0x0102_0304_0506_0708);
    assert_eq!(
        reader.next(),
        Some(Ok(Effect::PutString { db: 0, key: b"k", value: b"v", expire_ms: None }))
    );
    assert_eq!(reader.next(), Some(Ok(Effect::Delete { db: 15, key: b"gone" })));
    assert_eq!(reader.next(), Some(Ok(Effect::FlushDatabase { db: 1 })));
    assert_eq!(reader.next(), Some(Ok(Effect::FlushAll)));
    assert_eq!(reader.next(), None);
}

#[test]
fn a_body_of_version_1_is_read_to_its_end_without_an_attachment() {
    let body = b"\x01\x08\x07\x06\x05\x04\x03\x02\x01\
                 \x01\x00\x01k\x01v\
                 \x02\x0f\x04gone\
                 \x03\x01\
                 \x04";
    let mut reader = BatchReader::new(body).expect("an earlier build wrote it");
    assert_eq!(reader.clock_ms(), 0x0102_0304_0506_0708);
    assert_eq!(reader.attachment(), b"");
    let put = Effect::PutString { db: 0, key: b"k", value: b"v", expire_ms: None };
    assert_eq!(reader.next(), Some(Ok(put)));
    assert_eq!(reader.next(), Some(Ok(Effect::Delete { db: 15, key: b"gone" })));
    assert_eq!(reader.next(), Some(Ok(Effect::FlushDatabase { db: 1 })));
    assert_eq!(reader.next(), Some(Ok(Effect::FlushAll)));
    assert_eq!(reader.next(), None);
    // No build wrote a later effect into version 1.
    let body = b"\x01\0\0\0\0\0\0\0\0\x07\x00\x01k";
    let mut reader = BatchReader::new(body).expect("the header is whole");
    assert_eq!(reader.next(), Some(Err(DecodeError::UnknownEffect { op: 7 })));
}

#[test]
fn an_attachment_comes_back_with_effects_or_without() {
    let keyspace = keyspace();
    let mut batch = Batch::default();
    let mut body = Vec::new();
    batch.close_into(1, b"fragment", &mut body);
    let mut reader = BatchReader::new(&body).expect("this build wrote it");
    assert_eq!((reader.clock_ms(), reader.attachment()), (1, &b"fragment"[..]));
    assert_eq!(reader.next(), None);

    batch.append(&Effect::FlushAll, &keyspace);
    assert_ne!(batch.take_floor(), 0);
    batch.close_into(2, b"\x04", &mut body);
    assert_eq!(body, b"\x03\x02\0\0\0\0\0\0\0\x01\0\0\0\x04\x04");
    let mut reader = BatchReader::new(&body).expect("this build wrote it");
    assert_eq!(reader.attachment(), b"\x04");
    assert_eq!(reader.next(), Some(Ok(Effect::FlushAll)));
    assert_eq!(reader.next(), None);
}

#[test]
fn a_body_of_another_version_is_refused_by_its_number() {
    for version in [0, 4, 255] {
        let mut body = vec![version];
        body.extend_from_slice(&[0; 12]);
        let error = BatchReader::new(&body).expect_err("only versions 1 to 3 exist");
        assert_eq!(error, DecodeError::UnknownVersion { version, newest: 3 });
    }
    let error = DecodeError::UnknownVersion { version: 4, newest: 3 };
    assert_eq!(error.to_string(), "batch format version 4 is unknown; this build reads up to 3");
}

#[test]
fn a_body_shorter_than_its_header_says_is_refused() {
    let body = b"\x03\0\0\0\0\0\0\0\0\x02\0\0\0\x04\x04";
    for size in 0..body.len() {
        let error = BatchReader::new(&body[..size]).expect_err("it is cut");
        assert_eq!(error, DecodeError::Truncated);
    }
    for size in 0..9 {
        let error = BatchReader::new(&[1; 9][..size]).expect_err("the header is cut");
        assert_eq!(error, DecodeError::Truncated);
    }
    assert_eq!(BatchReader::new(body).expect("it is whole").count(), 2);
}

#[test]
fn nothing_is_read_after_an_effect_that_is_not_one() {
    let mut body = vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    body.extend_from_slice(&[4, 99, 4, 4]);
    let effects: Vec<_> = BatchReader::new(&body).expect("the header is whole").collect();
    assert_eq!(effects, [Ok(Effect::FlushAll), Err(DecodeError::UnknownEffect { op: 99 })]);
}

#[test]
fn the_gate_is_told_of_each_key_written_once() {
    let keyspace = keyspace();
    let mut batch = Batch::default();
    batch.append(&Effect::PutString { db: 1, key: b"a", value: b"", expire_ms: None }, &keyspace);
    batch.append(&Effect::Delete { db: 2, key: b"a" }, &keyspace);
    assert_eq!(batch.take_floor(), 0);
    let touched: Vec<_> = batch.take_touched().collect();
    assert_eq!(touched, [keyspace.hash(1, b"a"), keyspace.hash(2, b"a")]);
    assert_ne!(touched[0], touched[1]);
    assert_eq!(batch.take_touched().count(), 0);
    let swap = Effect::SwapDatabases { first: 0, second: 1 };
    let flush = Effect::FlushDatabase { db: 3 };
    for (effect, databases) in [(flush, 0b1000), (Effect::FlushAll, u16::MAX), (swap, 0b11)] {
        batch.append(&effect, &keyspace);
        assert_eq!(batch.take_touched().count(), 0);
        assert_eq!(batch.take_floor(), databases);
        assert_eq!(batch.take_floor(), 0);
    }
}

#[test]
fn a_body_of_version_2_is_read_without_the_effects_that_came_later() {
    let body = b"\x02\0\0\0\0\0\0\0\0\x02\0\0\0\x04\x04";
    assert_eq!(BatchReader::new(body).expect("it is whole").count(), 2);
    let push = b"\x02\0\0\0\0\0\0\0\0\x06\0\0\0\x0b\0\x01k\x01\0";
    let mut effects = BatchReader::new(push).expect("the size fits");
    assert_eq!(effects.next(), Some(Err(DecodeError::UnknownEffect { op: 11 })));
}

#[test]
fn a_closed_batch_is_empty_and_writes_into_the_buffer_it_was_given() {
    let keyspace = keyspace();
    let mut batch = Batch::default();
    assert!(batch.is_empty());
    batch.append(&Effect::FlushAll, &keyspace);
    assert_eq!((batch.is_empty(), batch.effect_count(), batch.len()), (false, 1, 14));
    assert_ne!(batch.take_floor(), 0);
    let mut body = Vec::with_capacity(1000);
    body.extend_from_slice(b"the body of an earlier entry");
    let buffer = body.as_ptr();
    batch.close_into(5, b"", &mut body);
    assert_eq!(body, b"\x03\x05\0\0\0\0\0\0\0\x01\0\0\0\x04");
    assert_eq!((batch.is_empty(), batch.effect_count(), batch.len()), (true, 0, 0));

    batch.append(&Effect::FlushAll, &keyspace);
    let body = close(&mut batch, 6);
    assert_eq!(body, b"\x03\x06\0\0\0\0\0\0\0\x01\0\0\0\x04");
    assert_eq!(body.as_ptr(), buffer);
}

#[test]
fn a_cleared_batch_forgets_effects_keys_and_floor() {
    let keyspace = keyspace();
    let mut batch = Batch::default();
    batch.append(&Effect::Delete { db: 0, key: b"a" }, &keyspace);
    batch.append(&Effect::FlushAll, &keyspace);
    batch.clear();
    assert!(batch.is_empty());
    assert_eq!(batch.len(), 0);
    assert_eq!(batch.take_touched().count(), 0);
    assert_eq!(batch.take_floor(), 0);
}

proptest! {
    #[test]
    fn a_batch_is_read_as_it_was_gathered(
        clock_ms: u64,
        effects in prop::collection::vec(effect(), 1..20),
    ) {
        let keyspace = keyspace();
        let mut batch = Batch::default();
        for effect in &effects {
            batch.append(&effect.borrow(), &keyspace);
        }
        prop_assert_eq!(batch.effect_count(), effects.len());
        let body = close(&mut batch, clock_ms);
        let reader = BatchReader::new(&body).expect("this build wrote it");
        prop_assert_eq!(reader.clock_ms(), clock_ms);
        let read: Result<Vec<_>, _> = reader.collect();
        let written: Vec<_> = effects.iter().map(|effect| effect.borrow()).collect();
        prop_assert_eq!(read, Ok(written));
    }

    #[test]
    fn any_body_is_read_to_its_end_or_to_one_error(
        tail in prop::collection::vec(prop_oneof![0u8..12, any::<u8>()], 0..200),
    ) {
        let mut body = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0, tail.len() as u8, 0, 0, 0];
        body.extend_from_slice(&tail);
        let effects: Vec<_> = BatchReader::new(&body).expect("the header is whole").collect();
        let errors = effects.iter().filter(|effect| effect.is_err()).count();
        prop_assert!(errors <= 1);
        if errors == 1 {
            prop_assert!(effects.last().is_some_and(Result::is_err));
        } else {
            let mut encoded = Vec::new();
            for effect in effects.into_iter().flatten() {
                effect.encode(&mut encoded);
            }
            prop_assert_eq!(encoded, tail);
        }
    }
}
