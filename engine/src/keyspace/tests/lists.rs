//! Effects on lists against a list of byte strings; replay and undo.

use proptest::prelude::*;

use super::*;
use crate::effect::{Elements, ElementsBuf, End};
use crate::values::{Direction, EncodingLimits, ListView, Object};

/// An effect on a list; indexes and counts are taken by the list's length.
#[derive(Clone, Debug)]
enum Edit {
    Push(End, Vec<Vec<u8>>),
    Pop(End, usize),
    Set(usize, Vec<u8>),
    Insert(usize, Vec<u8>),
    Remove(Vec<usize>),
    /// All but so many go.
    Trim(End, usize),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..8),
        4 => any::<i32>().prop_map(|number| number.to_string().into_bytes()),
        4 => (any::<u8>(), 0usize..400).prop_map(|(byte, size)| vec![byte; size]),
        3 => (any::<u8>(), 1000usize..4200).prop_map(|(byte, size)| vec![byte; size]),
        1 => (any::<u8>(), 8000usize..8400).prop_map(|(byte, size)| vec![byte; size]),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let end = || prop_oneof![Just(End::Left), Just(End::Right)];
    prop_oneof![
        8 => (end(), prop::collection::vec(element(), 1..12))
            .prop_map(|(end, elements)| Edit::Push(end, elements)),
        3 => (end(), 1usize..6).prop_map(|(end, count)| Edit::Pop(end, count)),
        4 => (any::<usize>(), element()).prop_map(|(index, element)| Edit::Set(index, element)),
        4 => (any::<usize>(), element()).prop_map(|(index, element)| Edit::Insert(index, element)),
        2 => prop::collection::vec(any::<usize>(), 1..10).prop_map(Edit::Remove),
        1 => (end(), 0usize..4).prop_map(|(end, count)| Edit::Trim(end, count)),
    ]
}

const KEY: &[u8] = b"list";

/// Changes the model and hands the effect, if it fits, to `apply`.
fn change(model: &mut Vec<Vec<u8>>, edit: &Edit, apply: &mut dyn FnMut(&Effect<'_>)) {
    let (db, key, len) = (0, KEY, model.len());
    match edit {
        Edit::Push(end, elements) => {
            let words: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            apply(&Effect::ListPush { db, key, end: *end, elements: Elements::Words(&words) });
            for element in elements {
                let at = if *end == End::Left { 0 } else { model.len() };
                model.insert(at, element.clone());
            }
        }
        Edit::Pop(..) | Edit::Trim(..) if len == 0 => {}
        Edit::Pop(end, count) => pop(model, *end, (*count).min(len), apply),
        Edit::Trim(end, kept) => pop(model, *end, len - (*kept).min(len - 1), apply),
        Edit::Set(index, element) if 0 < len => {
            let index = index % len;
            apply(&Effect::ListSet { db, key, index: index as u32, element });
            model[index] = element.clone();
        }
        Edit::Insert(index, element) if 0 < len => {
            let index = index % (len + 1);
            apply(&Effect::ListInsert { db, key, index: index as u32, element });
            model.insert(index, element.clone());
        }
        Edit::Remove(indexes) if 0 < len => {
            let indexes: BTreeSet<usize> = indexes.iter().map(|index| index % len).collect();
            let mut packed = ElementsBuf::default();
            indexes.iter().for_each(|index| packed.push(&(*index as u32).to_le_bytes()));
            apply(&Effect::ListRemove { db, key, indexes: packed.elements() });
            let mut index = 0;
            model.retain(|_| {
                index += 1;
                !indexes.contains(&(index - 1))
            });
        }
        Edit::Set(..) | Edit::Insert(..) | Edit::Remove(..) => {}
    }
}

fn pop(model: &mut Vec<Vec<u8>>, end: End, count: usize, apply: &mut dyn FnMut(&Effect<'_>)) {
    apply(&Effect::ListPop { db: 0, key: KEY, end, count: count as u32 });
    match end {
        End::Left => drop(model.drain(..count)),
        End::Right => model.truncate(model.len() - count),
    }
}

fn compare(keyspace: &Keyspace, model: &[Vec<u8>]) {
    keyspace.check();
    let Some(entry) = keyspace.find(0, KEY) else {
        assert!(model.is_empty());
        return;
    };
    let list = ListView::of(entry).expect("it is a list");
    assert_eq!(list.len(), model.len());
    assert!(!model.is_empty(), "an empty list goes");
    for start in [0, model.len() / 3, model.len() - 1, model.len()] {
        let forward = list.iter_from(start, Direction::Forward).map(|item| item.to_vec());
        assert!(forward.eq(model[start..].iter().cloned()));
        let backward = list.iter_from(start, Direction::Backward).map(|item| item.to_vec());
        let end = if start < model.len() { start + 1 } else { 0 };
        assert!(backward.eq(model[..end].iter().rev().cloned()));
        assert_eq!(list.get(start).map(|item| item.to_vec()), model.get(start).cloned());
    }
    let sizes = list.iter().map(|item| item.len());
    assert!(sizes.eq(model.iter().map(Vec::len)));
}

fn limited(seed: u64, list_max_listpack_size: i64) -> Keyspace {
    let mut keyspace = keyspace(seed);
    keyspace.set_limits(EncodingLimits { list_max_listpack_size, ..EncodingLimits::default() });
    keyspace
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Broken once by an undo that put popped nodes back in the order they went.
    #[test]
    fn lists_do_what_lists_of_byte_strings_do(
        setting in prop::sample::select(vec![-5i64, -2, -1, 0, 1, 2, 5, 30]),
        edits in prop::collection::vec(edit(), 1..60),
    ) {
        let (mut replayed, mut applied) = (limited(1, setting), limited(2, setting));
        let (mut model, mut inverses) = (Vec::new(), Vec::new());
        for edit in &edits {
            change(&mut model, edit, &mut |effect| {
                replayed.replay(effect).expect("it fits");
                inverses.push((applied.digest(), applied.apply(effect)));
            });
            compare(&replayed, &model);
            applied.check();
            prop_assert_eq!(replayed.digest(), applied.digest());
        }
        // Another way of storing it has the same digest.
        let mut other = limited(3, -2);
        change(&mut Vec::new(), &Edit::Push(End::Right, model), &mut |effect| {
            if !replayed.is_empty() {
                other.replay(effect).expect("it fits");
            }
        });
        prop_assert_eq!(other.digest(), replayed.digest());
        while let Some((digest, inverse)) = inverses.pop() {
            applied.undo(inverse);
            applied.check();
            prop_assert_eq!(applied.digest(), digest);
        }
        prop_assert!(applied.is_empty());
    }

    /// What is taken back in between leaves no trace in what comes later.
    #[test]
    fn what_is_taken_back_has_never_been(
        setting in prop::sample::select(vec![-1i64, 1, 5]),
        edits in prop::collection::vec((edit(), prop::collection::vec(edit(), 0..8)), 1..20),
    ) {
        let (mut straight, mut detoured) = (limited(1, setting), limited(1, setting));
        let mut model = Vec::new();
        for (edit, detour) in &edits {
            let (mut inverses, mut elsewhere) = (Vec::new(), model.clone());
            for edit in detour {
                change(&mut elsewhere, edit, &mut |effect| inverses.push(detoured.apply(effect)));
            }
            while let Some(inverse) = inverses.pop() {
                detoured.undo(inverse);
            }
            change(&mut model, edit, &mut |effect| {
                straight.replay(effect).expect("it fits");
                detoured.replay(effect).expect("it fits");
            });
            compare(&detoured, &model);
            prop_assert_eq!(detoured.digest(), straight.digest());
        }
    }
}

#[test]
fn an_effect_that_does_not_fit_a_list_is_refused_and_changes_nothing() {
    for setting in [-2, 1] {
        let mut keyspace = limited(1, setting);
        let words: [&[u8]; 3] = [b"a", b"b", b"c"];
        let (db, key, elements) = (0, KEY, Elements::Words(&words));
        let push = Effect::ListPush { db, key, end: End::Right, elements };
        keyspace.replay(&push).expect("it fits");
        let before = keyspace.digest();
        let index = |index: u32| index.to_le_bytes();
        let (zero, one, three) = (index(0), index(1), index(3));
        let [falling, equal, behind, short]: [[&[u8]; 2]; 4] =
            [[&one, &zero], [&one, &one], [&one, &three], [&one, b"xyz"]];
        let remove = |indexes| Effect::ListRemove { db, key, indexes: Elements::Words(indexes) };
        for effect in [
            Effect::ListPop { db, key, end: End::Left, count: 0 },
            Effect::ListPop { db, key, end: End::Left, count: 4 },
            Effect::ListSet { db, key, index: 3, element: b"x" },
            Effect::ListInsert { db, key, index: 4, element: b"x" },
            remove(&falling),
            remove(&equal),
            remove(&behind),
            remove(&short),
        ] {
            let refused = keyspace.replay(&effect);
            assert!(matches!(refused, Err(ReplayError::UnfitForValue { .. })), "{effect:?}");
        }
        let absent = Effect::ListPop { db: 1, key, end: End::Left, count: 1 };
        let error = ReplayError::ChangeOfAbsentKey { db: 1, size: KEY.len() };
        assert_eq!(keyspace.replay(&absent), Err(error));
        assert_eq!(keyspace.digest(), before);
        put(&mut keyspace, 1, KEY, b"string");
        let refused = keyspace.replay(&absent);
        assert!(matches!(refused, Err(ReplayError::WrongType { .. })));
    }
}

#[test]
fn a_long_list_is_freed_in_parts() {
    let mut keyspace = limited(1, 1);
    let words: Vec<&[u8]> = vec![b"element"; 10_000];
    let (db, key, elements) = (0, KEY, Elements::Words(&words));
    let push = Effect::ListPush { db, key, end: End::Right, elements };
    keyspace.replay(&push).expect("it fits");
    keyspace.replay(&Effect::Delete { db, key }).expect("it is there");
    let mut turns = 0;
    while keyspace.maintain(100) {
        keyspace.check();
        turns += 1;
    }
    assert!((50..200).contains(&turns), "{turns}");
    assert_eq!(keyspace.memory().garbage, 0);
}

/// Redis turns back at half of what made it turn.
#[test]
fn a_list_becomes_nodes_and_one_listpack_again_where_redis_turns() {
    let mut keyspace = limited(1, -2);
    let (db, key) = (0, KEY);
    let is_nodes = |keyspace: &Keyspace| {
        let entry = keyspace.find(db, key).expect("it is there");
        matches!(entry.object(), Some(Object::List(_)))
    };
    // 7 bytes are around the items; each takes 100 and 3 more.
    let element = [b'x'; 100];
    let words: [&[u8]; 1] = [&element];
    let push = Effect::ListPush { db, key, end: End::Right, elements: Elements::Words(&words) };
    let mut count = 0;
    while count == 0 || !is_nodes(&keyspace) {
        keyspace.replay(&push).expect("it fits");
        count += 1;
    }
    // Before it came, 78 of them were 8041 bytes, and 100 more are not too many; 79 are.
    assert_eq!(count, 80);
    while is_nodes(&keyspace) {
        let pop = Effect::ListPop { db, key, end: End::Right, count: 1 };
        keyspace.replay(&pop).expect("it fits");
        count -= 1;
    }
    assert_eq!(count, 39, "40 of them are 4127 bytes, above half of 8192");
}
