//! Listpacks against a list of strings, and hostile bytes.

use proptest::prelude::*;

use super::*;

fn built(elements: &[&[u8]]) -> Vec<u8> {
    let mut buffer = ListpackBuf::new();
    elements.iter().for_each(|element| buffer.push(*element));
    buffer.finish()
}

fn elements_of(list: &[u8]) -> Vec<Vec<u8>> {
    Listpack::validated(list)
        .expect("what was made here is valid")
        .iter()
        .map(Item::to_vec)
        .collect()
}

#[test]
fn every_kind_of_item_has_its_bytes() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"0", &[0x00]),
        (b"127", &[0x7f]),
        (b"128", &[0xc0, 0x80]),
        (b"-1", &[0xdf, 0xff]),
        (b"4095", &[0xcf, 0xff]),
        (b"-4096", &[0xd0, 0x00]),
        (b"4096", &[0xf1, 0x00, 0x10]),
        (b"-4097", &[0xf1, 0xff, 0xef]),
        (b"32767", &[0xf1, 0xff, 0x7f]),
        (b"32768", &[0xf2, 0x00, 0x80, 0x00]),
        (b"-8388608", &[0xf2, 0x00, 0x00, 0x80]),
        (b"8388608", &[0xf3, 0x00, 0x00, 0x80, 0x00]),
        (b"-2147483648", &[0xf3, 0x00, 0x00, 0x00, 0x80]),
        (b"2147483648", &[0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0]),
        (b"-9223372036854775808", &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        (b"", &[0x80]),
        (b"-0", &[0x82, b'-', b'0']),
        (b"+1", &[0x82, b'+', b'1']),
        (b"007", &[0x83, b'0', b'0', b'7']),
        (b"abc", &[0x83, b'a', b'b', b'c']),
    ];
    for (element, encoded) in cases {
        let list = built(&[element]);
        let mut expected = vec![(6 + encoded.len() + 2) as u8, 0, 0, 0, 1, 0];
        expected.extend_from_slice(encoded);
        expected.extend_from_slice(&[encoded.len() as u8, 0xff]);
        assert_eq!(list, expected, "{}", element.escape_ascii());
        assert_eq!(elements_of(&list), [element.to_vec()]);
        assert_eq!(Item::of(element).encoded_size(), encoded.len() + 1);
    }
    assert_eq!(empty(), [7, 0, 0, 0, 0, 0, 0xff]);
}

#[test]
fn lengths_and_backlens_grow_where_those_of_redis_do() {
    let cases: &[(usize, &[u8], &[u8])] = &[
        (63, &[0xbf], &[64]),
        (64, &[0xe0, 64], &[66]),
        (125, &[0xe0, 125], &[127]),
        (126, &[0xe0, 126], &[1, 0x80]),
        (4095, &[0xef, 0xff], &[0x20, 0x81]),
        (4096, &[0xf0, 0x00, 0x10, 0, 0], &[0x20, 0x85]),
        // The last two groups of bits could hold 16383, but Redis takes a third byte for it.
        (16_377, &[0xf0, 0xf9, 0x3f, 0, 0], &[0x7f, 0xfe]),
        (16_378, &[0xf0, 0xfa, 0x3f, 0, 0], &[0, 0xff, 0xff]),
        (2_097_145, &[0xf0, 0xf9, 0xff, 0x1f, 0], &[0x7f, 0xff, 0xfe]),
        (2_097_146, &[0xf0, 0xfa, 0xff, 0x1f, 0], &[0, 0xff, 0xff, 0xff]),
    ];
    for (size, head, backlen) in cases {
        let element = vec![b'x'; *size];
        let list = built(&[&element]);
        assert_eq!(list[6..6 + head.len()], **head, "{size}");
        assert_eq!(list[6 + head.len() + size..list.len() - 1], **backlen, "{size}");
        assert_eq!(elements_of(&list), [element]);
    }
}

#[test]
fn more_items_than_the_header_counts_are_counted() {
    let mut buffer = ListpackBuf::new();
    (0..65_534).for_each(|_| buffer.push(1));
    let mut list = buffer.finish();
    assert_eq!(list[4..6], [0xfe, 0xff]);
    for count in [65_535, 65_536] {
        push_back(&mut list, 1);
        assert_eq!(list[4..6], [0xff, 0xff]);
        let view = Listpack::validated(&list).expect("an unknown count is valid");
        assert_eq!(view.len(), count);
        assert_eq!(view.at(-1), view.last());
        assert_eq!(view.at(count as isize - 1), view.last());
        assert_eq!(view.at(count as isize), None);
        assert_eq!(view.at(-(count as isize)), Some(Offset::FIRST));
        assert_eq!(view.at(-(count as isize) - 1), None);
    }
    let last = Listpack::new(&list).last().expect("there are many");
    remove(&mut list, last, 1);
    assert_eq!(Listpack::new(&list).len(), 65_535);
}

#[test]
fn what_is_not_canonical_is_not_valid() {
    let wrapped = |items: &[u8], count: u8| {
        let mut bytes = vec![items.len() as u8 + 7, 0, 0, 0, count, 0];
        bytes.extend_from_slice(items);
        bytes.push(0xff);
        bytes
    };
    let is_valid = |bytes: &[u8]| Listpack::validated(bytes).is_some();
    assert!(is_valid(&wrapped(&[5, 1], 1)));
    assert!(is_valid(&wrapped(&[], 0)));
    let cases: &[(&str, &[u8], u8)] = &[
        ("a small integer in 13 bits", &[0xc0, 5, 2], 1),
        ("a small integer in 16 bits", &[0xf1, 5, 0, 3], 1),
        ("a small integer in 64 bits", &[0xf4, 5, 0, 0, 0, 0, 0, 0, 0, 9], 1),
        ("an integer as bytes", &[0x81, b'5', 2], 1),
        ("a short string with a longer length", &[0xe0, 1, b'a', 3], 1),
        ("a short string with the longest length", &[0xf0, 1, 0, 0, 0, b'a', 6], 1),
        ("an encoding that does not exist", &[0xf5, 1], 1),
        ("the end in the middle", &[0xff, 1], 1),
        ("a backlen that is too small", &[0x81, b'a', 1], 1),
        ("a backlen that is longer than needed", &[0x81, b'a', 0, 0x82], 1),
        ("no backlen", &[5], 1),
        ("a string that goes beyond the end", &[0x84, b'a', 2], 1),
        ("a length that goes beyond the end", &[0xf0, 1], 1),
        ("a length near 4 GiB", &[0xf0, 0xff, 0xff, 0xff, 0xff, b'a', 6], 1),
        ("an integer that goes beyond the end", &[0xf4, 1, 2], 1),
        ("fewer items than said", &[5, 1], 2),
        ("more items than said", &[5, 1], 0),
    ];
    for (name, items, count) in cases {
        assert!(!is_valid(&wrapped(items, *count)), "{name}");
    }
    let good = wrapped(&[5, 1], 1);
    for size in 0..good.len() {
        assert!(!is_valid(&good[..size]), "cut at {size}");
    }
    for place in [0, 1, 2, 3, 4, 5, 8] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        assert!(!is_valid(&bad), "changed at {place}");
    }
    let longer = [good.as_slice(), &[0xff]].concat();
    assert!(!is_valid(&longer));
}

#[test]
fn what_others_spell_differently_is_recoded() {
    let wrapped = |items: &[u8], count: u8| {
        let size = (items.len() as u32 + 7).to_le_bytes();
        [&size, [count, 0].as_slice(), items, &[0xff]].concat()
    };
    let long = vec![b'x'; 16_378];
    let valkey = [&[0xf0, 0xfa, 0x3f, 0, 0], long.as_slice(), &[0x7f, 0xff]].concat();
    let cases: &[(&[u8], &[u8])] = &[
        (&[0xf4, 5, 0, 0, 0, 0, 0, 0, 0, 9], b"5"),
        (&[0x81, b'5', 2], b"5"),
        (&[0xf0, 1, 0, 0, 0, b'a', 6], b"a"),
        (&valkey, &long),
    ];
    for (items, element) in cases {
        assert_eq!(recoded(&wrapped(items, 1)), Some(built(&[element])));
    }
    let sound = built(&[b"1", b"a", &long]);
    assert_eq!(recoded(&sound), Some(sound));
    let wrong_backlen = [&[0xe0, 200], vec![b'x'; 200].as_slice(), &[202 & 0x7f]].concat();
    let cases: &[&[u8]] = &[&[5, 2], &[0x81, b'a', 0, 0x82], &[0xf5, 1], &wrong_backlen];
    for items in cases {
        assert_eq!(recoded(&wrapped(items, 1)), None, "{items:x?}");
    }
}

#[test]
fn one_edit_takes_out_and_puts_in() {
    let mut list = built(&[b"a", b"12", b"b", b"c"]);
    let view = Listpack::new(&list);
    let (start, end) = (view.at(1).expect("there are four"), view.at(3).expect("there are four"));
    let items = [Item::of(b"4711"), Item::of(b"long enough to move what is behind")];
    Splice::new(start..end, 2, items.into_iter()).apply(&mut list);
    assert_eq!(list, built(&[b"a", b"4711", b"long enough to move what is behind", b"c"]));
}

#[test]
fn fields_are_found_and_values_are_not() {
    let list = built(&[b"name", b"5", b"5", b"name", b"10000", b"x"]);
    let view = Listpack::new(&list);
    let index_of = |needle: &[u8], skip| {
        let found = view.find(Offset::FIRST, needle, skip)?;
        Some(view.iter_to(found).count())
    };
    assert_eq!(index_of(b"name", 1), Some(0));
    assert_eq!(index_of(b"5", 1), Some(2));
    assert_eq!(index_of(b"10000", 1), Some(4));
    assert_eq!(index_of(b"x", 1), None);
    assert_eq!(index_of(b"5", 0), Some(1));
    assert_eq!(index_of(b"x", 0), Some(5));
    assert_eq!(index_of(b"05", 0), None);
    let pairs: Vec<_> = view.pairs().map(|(field, value)| (field.to_vec(), value.len())).collect();
    assert_eq!(pairs, [(b"name".to_vec(), 1), (b"5".to_vec(), 4), (b"10000".to_vec(), 1)]);
    assert_eq!(view.pairs().next_back(), Some((Item::Integer(10_000), Item::Bytes(b"x"))));
}

#[derive(Clone, Debug)]
enum Edit {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(usize, Vec<Vec<u8>>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    Append(Vec<Vec<u8>>),
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..6),
        4 => any::<i64>().prop_flat_map(|n| (0u32..64).prop_map(move |bits| (n >> bits).to_string().into_bytes())),
        1 => "-?[0-9]{0,22}".prop_map(String::into_bytes),
        1 => (0usize..200).prop_map(|size| vec![b'm'; size]),
        1 => prop_oneof![4090usize..4100, 16_370usize..16_390].prop_map(|size| vec![b'l'; size]),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let elements = || proptest::collection::vec(element(), 0..4);
    prop_oneof![
        element().prop_map(Edit::PushBack),
        element().prop_map(Edit::PushFront),
        (0usize..40, elements()).prop_map(|(at, elements)| Edit::Insert(at, elements)),
        (0usize..40, element()).prop_map(|(at, element)| Edit::Replace(at, element)),
        (0usize..40, 0usize..4).prop_map(|(at, count)| Edit::Remove(at, count)),
        elements().prop_map(Edit::Append),
    ]
}

/// The place of an index, or the end.
fn place(list: &[u8], index: usize) -> Offset {
    let view = Listpack::new(list);
    view.at(index as isize).unwrap_or(view.end())
}

fn change(list: &mut Vec<u8>, model: &mut Vec<Vec<u8>>, edit: Edit) {
    match edit {
        Edit::PushBack(element) => {
            push_back(list, element.as_slice());
            model.push(element);
        }
        Edit::PushFront(element) => {
            push_front(list, element.as_slice());
            model.insert(0, element);
        }
        Edit::Insert(at, elements) => {
            let at = at % (model.len() + 1);
            let items = elements.iter().map(|element| Item::of(element));
            insert_all(list, place(list, at), items);
            model.splice(at..at, elements);
        }
        Edit::Replace(at, element) if !model.is_empty() => {
            let at = at % model.len();
            replace(list, place(list, at), element.as_slice());
            model[at] = element;
        }
        Edit::Remove(at, count) => {
            let at = at % (model.len() + 1);
            let end = model.len().min(at + count);
            assert_eq!(remove(list, place(list, at), count), end - at);
            model.drain(at..end);
        }
        Edit::Append(elements) => {
            let slices: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            append(list, Listpack::new(&built(&slices)));
            model.extend(elements);
        }
        Edit::Replace(..) => {}
    }
}

fn compare(list: &[u8], model: &[Vec<u8>]) {
    assert_eq!(elements_of(list), model);
    let slices: Vec<&[u8]> = model.iter().map(Vec::as_slice).collect();
    assert_eq!(list, built(&slices), "however it came to be, the bytes are the same");
    let view = Listpack::new(list);
    assert_eq!(
        (view.len(), view.is_empty(), view.size()),
        (model.len(), model.is_empty(), list.len())
    );
    let mut backwards: Vec<_> = view.iter().rev().map(Item::to_vec).collect();
    backwards.reverse();
    assert_eq!(backwards, model);
    let mut at = Offset::FIRST;
    for (index, element) in model.iter().enumerate() {
        assert_eq!(view.at(index as isize), Some(at));
        assert_eq!(view.at(index as isize - model.len() as isize), Some(at));
        let (item, next) = view.step(at).expect("there is an item");
        assert_eq!(view.get(at), Some(item));
        assert!(item == Item::of(element) && item.len() == element.len());
        let first = model.iter().position(|other| other == element).expect("it is there");
        let found = view.find(Offset::FIRST, element.as_slice(), 0).expect("it is there");
        assert_eq!(view.iter_to(found).count(), first);
        assert_eq!(view.find(at, element.as_slice(), 1), Some(at));
        assert_eq!(view.next(at), next);
        assert_eq!(view.previous(next), Some(at));
        at = next;
    }
    assert_eq!(at, view.end());
    assert_eq!((view.get(at), view.step(at), view.at(model.len() as isize)), (None, None, None));
    assert_eq!(view.find(Offset::FIRST, b"never there, as it is long".as_slice(), 0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_edits_do_what_they_do_to_a_list_of_byte_strings(
        edits in proptest::collection::vec(edit(), 1..24),
    ) {
        let (mut list, mut model) = (empty(), Vec::new());
        for edit in edits {
            change(&mut list, &mut model, edit);
            compare(&list, &model);
        }
    }

    #[test]
    fn bytes_that_pass_are_those_that_are_made_of_their_elements(
        edits in proptest::collection::vec(edit(), 1..6),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let (mut list, mut model) = (empty(), Vec::new());
        edits.into_iter().for_each(|edit| change(&mut list, &mut model, edit));
        for (place, byte) in damages {
            let place = place.index(list.len());
            list[place] = byte;
        }
        if let Some(view) = Listpack::validated(&list) {
            let mut again = ListpackBuf::with_capacity(list.len());
            view.iter().for_each(|item| again.push(item));
            let mut again = again.finish();
            if list[4..6] == [0xff, 0xff] {
                again[4..6].copy_from_slice(&[0xff, 0xff]);
            }
            prop_assert_eq!(again, list);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = bytes;
        if 7 <= bytes.len() {
            let size = bytes.len() as u32;
            bytes[..4].copy_from_slice(&size.to_le_bytes());
            bytes[4..6].copy_from_slice(&[0xff, 0xff]);
            *bytes.last_mut().expect("it is not empty") = 0xff;
        }
        if let Some(view) = Listpack::validated(&bytes) {
            prop_assert_eq!(view.iter().count(), view.iter().rev().count());
        }
        if let Some(list) = recoded(&bytes) {
            prop_assert!(Listpack::validated(&list).is_some());
        }
    }
}
