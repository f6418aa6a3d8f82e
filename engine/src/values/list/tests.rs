//! Lists against a deque: effects, and what takes them back.

use super::*;

fn elements(nodes: &Nodes) -> Vec<Vec<u8>> {
    ListView::Nodes(nodes).iter().map(Item::to_vec).collect()
}

/// `check` looks at the labels. Broken once by a middle of two labels that was the first of them.
#[test]
fn nodes_that_come_to_one_place_get_labels_between_their_neighbours() {
    let limit = NodeLimit::of(1);
    let mut nodes = Nodes::default();
    let mut model = Vec::new();
    for number in 0..200 {
        let element = number.to_string().into_bytes();
        let index = model.len().min(1);
        nodes.insert(index, &element, limit, false);
        model.insert(index, element);
        nodes.check();
    }
    assert_eq!(elements(&nodes), model);
    assert_eq!(nodes.iter().len(), 200);
}

#[test]
fn a_node_is_limited_by_bytes_or_by_elements() {
    for (setting, size, count) in [
        (-1, 4096, usize::MAX),
        (-2, 8192, usize::MAX),
        (-5, 65_536, usize::MAX),
        (-6, 65_536, usize::MAX),
        (i64::MIN, 65_536, usize::MAX),
        (0, 8192, 1),
        (3, 8192, 3),
    ] {
        let limit = NodeLimit::of(setting);
        assert!(!limit.is_exceeded(size, 1), "{setting}");
        assert!(limit.is_exceeded(size + 1, 1), "{setting}");
        assert!(!limit.is_exceeded(1, count), "{setting}");
        assert!(count == usize::MAX || limit.is_exceeded(1, count + 1), "{setting}");
    }
}

#[test]
fn a_large_element_is_alone_in_its_node_and_leaves_it_again() {
    let limit = NodeLimit::of(-2);
    let mut nodes = Nodes::default();
    let large = vec![b'l'; 8193];
    for element in [&b"a"[..], b"b", b"c"] {
        nodes.push(End::Right, element, limit);
    }
    nodes.set(1, &large, limit, false);
    let plain = |nodes: &Nodes| -> Vec<bool> {
        nodes.iter().map(|node| matches!(node.content(), Content::Plain(_))).collect()
    };
    assert_eq!(plain(&nodes), [false, true, false]);
    nodes.check();
    nodes.set(1, b"small", limit, false);
    assert_eq!(plain(&nodes), [false, false]);
    nodes.check();
    assert_eq!(elements(&nodes), [b"a".to_vec(), b"small".to_vec(), b"c".to_vec()]);
}

/// What is read from elsewhere has the form it would have here.
#[test]
fn nodes_that_were_read_become_one_listpack_if_they_could_be() {
    let list = |elements: &[&[u8]]| {
        let mut list = listpack::ListpackBuf::new();
        elements.iter().for_each(|element| list.push(*element));
        list.finish()
    };
    let mut nodes = Nodes::of_packed(list(&[b"a", b"b"]));
    let entry = of_nodes(b"key", nodes, -2);
    assert_eq!(entry.view().form(), Form::ListPack);
    nodes = Nodes::of_packed(list(&[b"a", b"b"]));
    nodes.push_plain(b"c".to_vec());
    nodes.push_packed(list(&[b"d"]));
    let entry = of_nodes(b"key", nodes, -2);
    assert_eq!(entry.view().form(), Form::ListNodes);
    let Some(Object::List(nodes)) = entry.view().object() else { panic!("it is nodes") };
    nodes.check();
    assert_eq!(ListView::of(entry.view()).map(ListView::len), Ok(4));
    let entry = of_nodes(b"key", Nodes::of_packed(list(&[b"a", b"b", b"c"])), 2);
    assert_eq!(entry.view().form(), Form::ListNodes);
}
