//! Which slice a key is in, and what an effect on all of them does.

use super::*;

fn spaces(count: u16) -> Vec<Option<Box<Space>>> {
    let size = SLOTS / count;
    let slots = (0..count).map(|slice| slice * size..(slice + 1) * size);
    slots.map(|slots| Some(Box::new(Space::new(Keyspace::new(1, slots))))).collect()
}

fn put(key: &[u8]) -> Effect<'_> {
    Effect::PutString { db: 0, key, value: b"v", expire_ms: Some(5) }
}

#[test]
fn a_key_is_in_the_slice_of_its_slot_whatever_their_number() {
    for count in [1, 2, 16] {
        let mut many = spaces(count);
        for number in 0..100 {
            let key = format!("key {number}");
            let mut spaces = Spaces::many(&mut many, count);
            spaces.apply(&put(key.as_bytes()));
            let found = spaces.of(key.as_bytes()).keyspace.slots();
            assert!(found.contains(&slot_of(key.as_bytes()).0));
            assert!(spaces.reborrow().find(0, key.as_bytes()).is_some());
        }
        let spaces = Spaces::many(&mut many, count);
        assert_eq!(spaces.iter().map(|keyspace| keyspace.len(0)).sum::<usize>(), 100);
        assert_eq!(spaces.effect_count(), 100);
    }
}

#[test]
fn only_the_slices_of_the_keys_need_to_be_there() {
    let mut many = spaces(16);
    let slice = usize::from(slot_of(b"key").0 / (SLOTS / 16));
    for (place, space) in many.iter_mut().enumerate() {
        if place != slice {
            *space = None;
        }
    }
    let mut spaces = Spaces::many(&mut many, 16);
    spaces.apply(&put(b"key"));
    assert!(spaces.live(0, b"{key}other", 0).is_none());
    assert_eq!(spaces.effect_count(), 1);
}

#[test]
fn a_live_key_has_not_expired() {
    let mut space = Space::new(Keyspace::new(1, 0..SLOTS));
    let mut spaces = Spaces::one(&mut space);
    spaces.apply(&put(b"key"));
    assert!(spaces.live(0, b"key", 4).is_some());
    assert!(spaces.live(0, b"key", 6).is_none());
    assert!(spaces.find(0, b"key").is_some());
}

#[test]
fn an_effect_on_all_keys_is_logged_where_it_changes_something() {
    let mut many = spaces(4);
    let mut spaces = Spaces::many(&mut many, 4);
    spaces.apply(&put(b"key"));
    spaces.apply_to_all(&Effect::FlushAll, |keyspace| !keyspace.is_empty());
    assert_eq!(spaces.effect_count(), 2);
    assert!(spaces.iter().all(Keyspace::is_empty));
    spaces.apply_to_all(&Effect::FlushAll, |keyspace| !keyspace.is_empty());
    assert_eq!(spaces.effect_count(), 2);
}
