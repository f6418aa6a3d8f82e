//! Large values: written into in place, freed later.

use super::*;
use crate::effect::ElementsBuf;

const SIZE: usize = 8 * 1024 * 1024;

fn set_range(keyspace: &mut Keyspace, offset: u32, bytes: &[u8]) {
    let effect = Effect::SetRange { db: 0, key: b"key", offset, bytes };
    keyspace.replay(&effect).expect("it fits");
}

fn string(keyspace: &Keyspace) -> &[u8] {
    keyspace.get(0, b"key").expect("it is there")
}

/// Fails when a large value is copied by each write: its buffer then is another.
#[test]
fn a_large_string_is_written_into_in_place() {
    let mut keyspace = keyspace(1);
    set_range(&mut keyspace, SIZE as u32 - 1, b"x");
    let place = string(&keyspace).as_ptr();
    for offset in (0..SIZE).step_by(4000) {
        set_range(&mut keyspace, offset as u32, b"y");
        assert_eq!(string(&keyspace).as_ptr(), place);
    }
    assert_eq!(string(&keyspace).len(), SIZE);
    assert_eq!(string(&keyspace).iter().filter(|byte| **byte == b'y').count(), 2098);
}

/// Fails when the buffer grows to what it must hold only.
#[test]
fn appending_byte_by_byte_moves_the_string_few_times() {
    let mut keyspace = keyspace(1);
    put(&mut keyspace, 0, b"key", &[b'x'; 1024]);
    let (mut moves, mut capacity) = (0, 0);
    for _ in 0..100_000 {
        let effect = Effect::Append { db: 0, key: b"key", suffix: b"y" };
        keyspace.replay(&effect).expect("it fits");
        let size = keyspace.memory().entries;
        moves += usize::from(size != capacity);
        capacity = size;
    }
    assert_eq!(string(&keyspace).len(), 101_024);
    assert!(moves < 30, "{moves} moves");
    keyspace.check();
}

/// Fails when a large entry is dropped where it goes: nothing is left for later.
#[test]
fn large_values_and_databases_are_freed_in_steps() {
    let mut keyspace = keyspace(1);
    for number in 0..10 {
        put(&mut keyspace, 0, format!("large{number}").as_bytes(), &[b'x'; 100_000]);
    }
    for number in 0..10 {
        let key = format!("large{number}");
        let effect = Effect::Delete { db: 0, key: key.as_bytes() };
        keyspace.replay(&effect).expect("it fits");
    }
    assert_eq!(keyspace.memory().entries, 0);
    assert!(1_000_000 < keyspace.memory().garbage);
    let mut steps = 0;
    while keyspace.maintain(20) {
        steps += 1;
    }
    assert!(10 <= steps, "{steps} steps");
    assert_eq!(keyspace.memory(), Memory::default());

    for number in 0..20_000 {
        put(&mut keyspace, 1, format!("key{number}").as_bytes(), b"value");
    }
    keyspace.replay(&Effect::FlushDatabase { db: 1 }).expect("it fits");
    assert!(keyspace.is_empty());
    let mut garbage = keyspace.memory().garbage;
    assert!(20_000 * 32 < garbage);
    let mut steps = 0;
    while keyspace.maintain(100) {
        steps += 1;
        assert!(garbage < keyspace.memory().garbage + 100_000, "a step frees little");
        garbage = keyspace.memory().garbage;
        if steps % 50 == 0 {
            keyspace.check();
        }
    }
    assert!(100 < steps, "{steps} steps");
    assert_eq!(keyspace.memory(), Memory::default());
}

/// Red when what lies in a flushed table is dropped with it: a step frees a whole value.
/// Broken once so.
#[test]
fn large_values_of_a_flushed_database_are_freed_in_steps_too() {
    let mut keyspace = keyspace(1);
    for key in [&b"one"[..], b"two"] {
        let mut members = ElementsBuf::default();
        (0..20_000u32).for_each(|number| members.push(format!("member{number}").as_bytes()));
        let effect = Effect::SetAdd { db: 0, key, members: members.elements() };
        keyspace.replay(&effect).expect("it fits");
    }
    put(&mut keyspace, 0, b"large", &[b'x'; 100_000]);
    put(&mut keyspace, 0, b"small", b"x");
    keyspace.replay(&Effect::FlushAll).expect("it fits");
    let mut garbage = keyspace.memory().garbage;
    assert!(40_000 * 16 < garbage);
    let mut steps = 0;
    while keyspace.maintain(100) {
        steps += 1;
        let left = keyspace.memory().garbage;
        assert!(garbage < left + 400_000, "a step frees little: {garbage}, then {left}");
        garbage = left;
        keyspace.check();
    }
    assert!(50 < steps, "{steps} steps");
    assert_eq!(keyspace.memory(), Memory::default());
}

#[test]
fn a_string_above_the_limit_is_refused_and_changes_nothing() {
    let mut keyspace = keyspace(1);
    put(&mut keyspace, 0, b"key", b"value");
    let before = keyspace.digest();
    let effect = Effect::SetRange { db: 0, key: b"key", offset: 512 << 20, bytes: b"x" };
    let size = (512 << 20) + 1;
    assert_eq!(keyspace.replay(&effect), Err(ReplayError::StringTooLong { size }));
    assert_eq!(keyspace.digest(), before);
}
