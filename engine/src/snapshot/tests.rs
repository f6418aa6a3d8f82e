//! What comes out of a snapshot is the keyspace of the moment it began, whatever happens meanwhile.

use proptest::prelude::*;

use super::*;
use crate::effect::Effect;
use crate::keyspace::Keyspace;
use crate::keyspace::tests::{Owned, effect};

mod collections;

pub(super) fn keyspace() -> Keyspace {
    Keyspace::new(7, 0..base::limits::SLOTS)
}

/// Applies what fits.
fn apply(keyspace: &mut Keyspace, effects: &[Owned]) {
    for effect in effects {
        let _does_not_fit = keyspace.replay(&effect.borrow());
    }
}

pub(super) fn load(chunks: &[Vec<u8>]) -> Keyspace {
    let mut loader = SnapshotLoader::new(keyspace());
    chunks.iter().for_each(|chunk| loader.load(chunk).expect("it was just made"));
    loader.finish().expect("it is whole")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    /// Red when: `save_before` is not called; a new key is not marked; `early` is not looked at;
    /// `take_flushed` hands every table back; blocks are not saved before SetRange.
    #[test]
    fn a_snapshot_is_the_keyspace_of_the_moment_it_began(
        before in prop::collection::vec(effect(), 0..60),
        during in prop::collection::vec(prop::collection::vec(effect(), 0..6), 0..40),
        budget in 1usize..20,
    ) {
        let mut changing = keyspace();
        apply(&mut changing, &before);
        let digest = changing.digest();
        changing.snapshot_begin();
        let mut chunks = Vec::new();
        let mut during = during.iter();
        loop {
            if let Some(effects) = during.next() {
                apply(&mut changing, effects);
            }
            let mut chunk = Vec::new();
            let walk = changing.snapshot_walk(budget, &mut chunk);
            chunks.push(chunk);
            changing.check();
            match walk {
                Walk::More => {}
                Walk::Done => break,
                Walk::Spoiled => prop_assert!(false, "nothing was taken back"),
            }
        }
        prop_assert!(!changing.has_snapshot());
        let restored = load(&chunks);
        restored.check();
        prop_assert_eq!(restored.digest(), digest);
    }

    /// Red when: a length is trusted beyond the bytes that are there; a key comes in twice.
    #[test]
    fn bytes_that_are_no_snapshot_are_refused_or_make_a_sound_table(
        effects in prop::collection::vec(effect(), 1..10),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut changing = keyspace();
        apply(&mut changing, &effects);
        changing.snapshot_begin();
        let mut chunk = Vec::new();
        while changing.snapshot_walk(1000, &mut chunk) == Walk::More {}
        if !chunk.is_empty() {
            let at = at.index(chunk.len());
            chunk[at] = byte;
        }
        let mut loader = SnapshotLoader::new(keyspace());
        if loader.load(&chunk).is_ok()
            && let Ok(restored) = loader.finish()
        {
            restored.check();
        }
    }
}

#[test]
fn undoing_what_a_snapshot_may_have_seen_spoils_it() {
    let mut keyspace = keyspace();
    let put = Effect::PutString { db: 0, key: b"k", value: b"v", expire_ms: None };
    let inverse = keyspace.apply(&put);
    keyspace.snapshot_begin();
    keyspace.undo(inverse);
    assert_eq!(keyspace.snapshot_walk(100, &mut Vec::new()), Walk::Spoiled);
    assert!(!keyspace.has_snapshot());
}

#[test]
fn a_deleted_large_value_is_kept_until_it_was_walked() {
    let mut keyspace = keyspace();
    let value = vec![b'v'; 10 * WHOLE_SIZE_MAX];
    let put = Effect::PutString { db: 0, key: b"k", value: &value, expire_ms: None };
    keyspace.replay(&put).expect("it fits");
    let digest = keyspace.digest();
    keyspace.snapshot_begin();
    keyspace.replay(&Effect::Delete { db: 0, key: b"k" }).expect("it is there");
    assert!(value.len() <= keyspace.snapshot_size());
    let mut chunk = Vec::new();
    while keyspace.snapshot_walk(1, &mut chunk) == Walk::More {}
    assert_eq!(load(&[chunk]).digest(), digest);
}
