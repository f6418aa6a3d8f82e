//! Fields of hashes that expire, and up to where values are stored in one piece.

use engine::Classes;

use crate::cores::Cores;
use crate::world::World;

fn world() -> World {
    let mut world = World::new();
    world.connect(1);
    world
}

/// Red when an expired field is only hidden: the reply left before the removal was durable, and a
/// restart with an earlier clock showed the field again.
#[test]
fn a_read_that_finds_a_field_expired_waits_for_its_removal() {
    let mut world = world();
    world.node.settings_mut().active_expire = false;
    assert_eq!(world.ask(1, "hset key a 1 b 2\nhpexpire key 500 fields 1 a"), ":2 *1 :1");
    world.pass(1_000_000);
    world.run_until_asleep();
    world.frames_stall = true;
    assert_eq!(world.ask(1, "hlen key"), "", "the removal may still be lost");
    world.frames_stall = false;
    world.settle();
    assert_eq!(world.received(1), ":1");
    // The clock of the tests starts where it did before: the field had not expired then.
    let mut restarted = world.restart();
    restarted.connect(1);
    assert_eq!(restarted.ask(1, "hmget key a b"), "*2 $-1 $1 2");
}

/// Red when a pass deletes all fields of a hash in one turn.
#[test]
fn many_fields_of_one_hash_expire_over_many_turns() {
    let mut world = world();
    let count = 20_000;
    for first in (0..count).step_by(1000) {
        let names = |value: &'static str| {
            (first..first + 1000).map(move |n| format!(" f{n}{value}")).collect::<String>()
        };
        let requests =
            format!("hset key{}\nhpexpire key 100000 fields 1000{}", names(" v"), names(""));
        world.ask(1, &requests);
    }
    assert_eq!(world.ask(1, "hset key stays v\nhlen key"), format!(":1 :{}", count + 1));
    world.settle();
    let digest_before = world.node.digest(base::SliceId(0));
    world.now.monotonic_us += 200_000_000;
    world.now.wall_ms += 200_000;
    let mut turns = 0;
    let mut digests = std::collections::BTreeSet::from([digest_before]);
    while turns < 2000 {
        world.turn();
        turns += 1;
        digests.insert(world.node.digest(base::SliceId(0)));
        world.now.monotonic_us += 1000;
    }
    assert!(10 < digests.len(), "they went in {} steps", digests.len());
    let info = world.ask(1, "info stats");
    assert!(info.contains(&format!("expired_fields:{count}")), "{info}");
    assert_eq!(world.ask(1, "hgetall key"), "*2 $5 stays $1 v");
    let next = world.node.poll_timeout();
    assert!(next.is_none_or(|at| world.now.monotonic_us + 1_000_000 < at), "{next:?}");
}

/// Red when a hash without a field that expires is still counted, or wakes the core.
#[test]
fn a_core_sleeps_until_the_next_field_is_due() {
    let mut world = world();
    assert_eq!(world.ask(1, "hset key a 1 b 2\nhpexpire key 3000 fields 1 a"), ":2 *1 :1");
    assert!(world.ask(1, "info keyspace").contains("keys_with_volatile_items=1"));
    let mut wakes = 0;
    while world.ask(1, "info stats").contains("expired_fields:0") {
        world.run_until_asleep();
        let at = world.node.poll_timeout().expect("something is due");
        world.pass(at.saturating_sub(world.now.monotonic_us));
        wakes += 1;
        assert!(wakes < 10, "it does not go");
    }
    for _ in 0..4 {
        world.pass(1_000_000);
        world.run_until_asleep();
    }
    assert!(world.ask(1, "info keyspace").contains("keys_with_volatile_items=0"));
    let next = world.node.poll_timeout();
    assert!(next.is_none_or(|at| world.now.monotonic_us + 1_000_000 < at), "{next:?}");
}

#[test]
fn fields_that_nobody_asks_for_are_told_of_when_they_go() {
    let mut node = Cores::new(1, 4);
    node.cores[0].connect(1);
    node.cores[0].connect(2);
    node.cores[0].node.set_notify_classes(Classes::parse(b"Eghx").expect("these are letters"));
    node.ask(0, 1, "psubscribe *");
    node.ask(0, 2, "hset h a 1 b 2\nhpexpire h 100 fields 1 a\nhpexpire h 5000 fields 1 b");
    node.cores[0].received(1);
    let mut heard = String::new();
    for _ in 0..10 {
        node.cores[0].pass(1_000_000);
        node.settle();
        heard += &node.cores[0].received(1);
    }
    let told = ["hexpired $1 h", "hexpired $1 h", "del $1 h"].map(|event| heard.find(event));
    assert!(told.iter().all(Option::is_some), "{heard}");
    assert_eq!(heard.matches("hexpired").count(), 2, "{heard}");
    assert_eq!(heard.matches("__:del").count(), 1, "{heard}");
    assert_eq!(node.ask(0, 2, "exists h"), ":0");
}

/// Red when a core does not hear of new limits.
#[test]
fn limits_of_encodings_reach_every_slice_of_every_core() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    node.cores[1].connect(2);
    let keys = ["b", "k3", "foo", "a"];
    let set = "config set hash-max-ziplist-entries 1 set-max-intset-entries 2 \
               set-max-listpack-value 1kb";
    assert_eq!(node.ask(0, 1, set), "+OK");
    for (number, key) in keys.into_iter().enumerate() {
        let core = number % 2;
        let client = core as u32 + 1;
        let long = "x".repeat(200);
        let asked = format!(
            "hset h{{{key}}} a 1 b 2\nsadd s{{{key}}} 1 2 3\nsadd t{{{key}}} {long}\n\
             object encoding h{{{key}}}\nobject encoding s{{{key}}}\nobject encoding t{{{key}}}"
        );
        let answered = node.ask(core, client, &asked);
        let expected = ":2 :3 :1 $9 hashtable $8 listpack $8 listpack";
        assert_eq!(answered, expected, "{key}");
    }
    let got = node.ask(1, 2, "config get hash-max-listpack-entries");
    assert_eq!(got, "*2 $25 hash-max-listpack-entries $1 1");
}

/// Red when a slice that was lent meanwhile keeps the old limits.
#[test]
fn a_slice_that_is_lent_learns_new_limits_when_it_comes_back() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    node.cores[1].connect(2);
    // The second core has lent its slices, and the first does not get them while parcels lie.
    node.send(0, 1, "mset b 1 k3 2 foo 3 a 4");
    node.cores[0].turn();
    node.carry();
    node.parcels_stall = true;
    node.cores[1].turn();
    node.send(1, 2, "config set hash-max-listpack-entries 1");
    node.cores[1].turn();
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "+OK");
    assert_eq!(node.cores[1].received(2), "+OK");
    for key in ["b", "k3", "foo", "a"] {
        let asked = format!("hset h{{{key}}} a 1 b 2\nobject encoding h{{{key}}}");
        assert_eq!(node.ask(1, 2, &asked), ":2 $9 hashtable", "{key}");
    }
}
