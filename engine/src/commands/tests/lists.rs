//! Long lists and large elements: what scripts would be too long for.

use super::*;

fn words<'a>(name: &'a str, key: &'a str, elements: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
    let elements = elements.iter().map(Vec::as_slice);
    [name.as_bytes(), key.as_bytes()].into_iter().chain(elements).collect()
}

fn reply(bench: &mut Bench, request: &str) -> String {
    let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    bench.execute(&words).reply
}

/// The bench asserts that a command logs no more than it said. Broken once by indexes that were
/// taken for four bytes, and by a move that logged an element it had not counted.
#[test]
fn commands_on_long_lists_log_no_more_than_they_say() {
    for slices in [1, 4] {
        let mut bench = Bench::new(slices);
        let many = vec![b"x".to_vec(); 5000];
        for removed in ["0", "4000", "-4000"] {
            bench.execute(&words("rpush", "k", &many));
            let reply = reply(&mut bench, &format!("lrem k {removed} x"));
            assert_eq!(reply, if removed == "0" { ":5000" } else { ":4000" });
            bench.execute(&[b"del", b"k"]);
        }
        let large = [vec![b'l'; 100_000], b"small".to_vec(), vec![b'r'; 20_000]];
        bench.execute(&words("rpush", "k", &large));
        let moved = reply(&mut bench, "rpoplpush k other");
        assert_eq!(moved, format!("${}", "r".repeat(20_000)));
        let moved = reply(&mut bench, "lmove k k left right");
        assert_eq!(moved, format!("${}", "l".repeat(100_000)));
        assert_eq!(reply(&mut bench, "lmove k other left left"), "$small");
        assert_eq!(reply(&mut bench, "llen other"), ":2");
    }
}

/// What one command may log of a long list is what it takes from it, not all of it.
#[test]
fn a_move_from_a_long_list_asks_for_room_for_its_element_only() {
    let mut bench = Bench::new(1);
    let elements = vec![vec![b'x'; 100]; 20_000];
    bench.execute(&words("rpush", "k", &elements));
    let space = bench.spaces[0].as_ref().expect("there is one slice");
    let entry = space.keyspace.find(0, b"k").expect("it was just put");
    let bound = |name: &[u8], args: Args<'_>| {
        let command = find(name).expect("it exists");
        command.effect_size_max(args, &|_| command.logged_size(args, entry))
    };
    assert!(2_000_000 < entry.size());
    assert!(bound(b"rpoplpush", &[b"k", b"l"]) < 400);
    assert!(bound(b"lrem", &[b"k", b"1", b"x"]) < 400);
    assert!((100_000..101_000).contains(&bound(b"lrem", &[b"k", b"0", b"x"])));
}

#[test]
fn a_list_is_stored_as_redis_would_store_it() {
    let mut bench = Bench::new(1);
    let encoding = |bench: &mut Bench| reply(bench, "object encoding k");
    bench.execute(&words("rpush", "k", &[vec![b'x'; 8185]]));
    assert_eq!(encoding(&mut bench), "$listpack");
    bench.execute(&words("rpush", "k", &[b"y".to_vec()]));
    assert_eq!(encoding(&mut bench), "$quicklist");
    reply(&mut bench, "lpop k");
    assert_eq!(encoding(&mut bench), "$listpack");
    bench.execute(&words("rpush", "new", &[vec![b'x'; 8186]]));
    assert_eq!(reply(&mut bench, "object encoding new"), "$quicklist");
    reply(&mut bench, "lset new 0 small");
    assert_eq!(reply(&mut bench, "object encoding new"), "$listpack");
    bench.execute(&words("lpush", "many", &vec![vec![b'm'; 80]; 200]));
    assert_eq!(reply(&mut bench, "object encoding many"), "$quicklist");
    for (request, expected) in [
        ("linsert many before x y", ":-1"),
        ("ltrim many 20 60", "+OK"),
        ("object encoding many", "$listpack"),
        ("llen many", ":41"),
    ] {
        assert_eq!(reply(&mut bench, request), expected, "{request}");
    }
}
