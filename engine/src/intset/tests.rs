//! Intsets against a set of integers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn the_bytes_are_those_of_redis() {
    let mut set = empty();
    assert_eq!(set, [2, 0, 0, 0, 0, 0, 0, 0]);
    for integer in [3, -1, 300] {
        assert!(insert(&mut set, integer));
        assert!(!insert(&mut set, integer));
    }
    assert_eq!(set, [2, 0, 0, 0, 3, 0, 0, 0, 0xff, 0xff, 3, 0, 0x2c, 1]);
    assert!(insert(&mut set, -40_000));
    let wide = [
        [4, 0, 0, 0, 4, 0, 0, 0].as_slice(),
        &(-40_000i32).to_le_bytes(),
        &(-1i32).to_le_bytes(),
        &3i32.to_le_bytes(),
        &300i32.to_le_bytes(),
    ];
    assert_eq!(set, wide.concat());
    assert!(remove(&mut set, -40_000));
    assert!(!remove(&mut set, -40_000));
    assert_eq!(set[0], 4, "an intset stays as wide as it was");
    assert!(insert(&mut set, i64::MAX));
    assert_eq!(set[0], 8);
    assert_eq!(Intset::new(&set).iter().collect::<Vec<_>>(), [-1, 3, 300, i64::MAX]);
}

#[test]
fn what_is_not_sorted_or_sized_is_not_valid() {
    let is_valid = |bytes: &[u8]| Intset::validated(bytes).is_some();
    assert!(is_valid(&[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0]));
    let cases: &[(&str, &[u8])] = &[
        ("nothing", &[]),
        ("no integer", &[2, 0, 0, 0, 0, 0, 0, 0]),
        ("a strange width", &[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
        ("no width", &[0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("equal ones", &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0]),
        ("falling ones", &[2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0]),
        ("too few", &[2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 2, 0]),
        ("too many", &[2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 2, 0]),
        ("more than there can be", &[8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 2, 0]),
        ("half an integer", &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2]),
    ];
    for (name, bytes) in cases {
        assert!(!is_valid(bytes), "{name}");
    }
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -20i64..20,
        1 => any::<i64>().prop_flat_map(|n| (0u32..64).prop_map(move |bits| n >> bits)),
        1 => prop::sample::select(vec![
            i64::from(i16::MIN), i64::from(i16::MAX), i64::from(i16::MIN) - 1,
            i64::from(i16::MAX) + 1, i64::from(i32::MIN), i64::from(i32::MAX),
            i64::from(i32::MIN) - 1, i64::from(i32::MAX) + 1, i64::MIN, i64::MAX,
        ]),
    ]
}

proptest! {
    #[test]
    fn any_edits_do_what_they_do_to_a_sorted_set(
        edits in proptest::collection::vec((any::<bool>(), integer()), 1..60),
    ) {
        let (mut set, mut model) = (empty(), BTreeSet::new());
        let mut width = 2;
        for (is_insert, integer) in edits {
            if is_insert {
                prop_assert_eq!(insert(&mut set, integer), model.insert(integer));
                width = width.max(width_of(integer));
            } else {
                prop_assert_eq!(remove(&mut set, integer), model.remove(&integer));
            }
            prop_assert_eq!(usize::from(set[0]), width);
            prop_assert_eq!(Intset::validated(&set).is_some(), !model.is_empty());
            let view = Intset::new(&set);
            prop_assert_eq!(view.len(), model.len());
            prop_assert!(view.iter().eq(model.iter().copied()));
            prop_assert!(view.iter().rev().eq(model.iter().rev().copied()));
            prop_assert_eq!(view.first(), model.first().copied());
            prop_assert_eq!(view.last(), model.last().copied());
            for (index, integer) in model.iter().enumerate() {
                prop_assert_eq!(view.find(*integer), Ok(index));
                prop_assert_eq!(view.get(index), Some(*integer));
            }
            prop_assert_eq!(view.get(model.len()), None);
            prop_assert_eq!(view.contains(integer), model.contains(&integer));
        }
    }
}
