//! The commit gate: nothing that could still be lost is ever shown.

use crate::world::World;

/// A node with `a` = 1 settled, and a disk that stalls from here on.
fn stalled() -> World {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    assert_eq!(world.ask(1, "SET a 1"), "+OK");
    world.disk_stalls = true;
    world
}

/// Red when `Slice::settle` takes a frame for durable that was only written.
#[test]
fn a_write_is_answered_only_once_it_is_durable() {
    let mut world = stalled();
    for _ in 0..3 {
        world.send(1, "SET a 2");
        assert_eq!(world.received(1), "");
    }
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(1), "+OK +OK +OK");
}

/// Red when `Dispatch::saw` answers `Nothing`.
#[test]
fn a_read_waits_for_a_write_in_flight_of_its_key_and_of_no_other() {
    let mut world = stalled();
    world.send(1, "SET b 2");
    world.send(2, "GET a");
    assert_eq!(world.received(2), "$1 1");
    world.send(2, "GET b");
    assert_eq!(world.received(2), "");
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(2), "$1 2");
}

/// Red when misses do not look into the gate (PROTOCOL F23).
#[test]
fn the_absence_of_a_key_deleted_in_flight_is_not_shown() {
    let mut world = stalled();
    world.send(1, "DEL a");
    for request in ["GET a", "EXISTS a", "DBSIZE"] {
        world.connect(9);
        world.send(9, request);
        assert_eq!(world.received(9), "", "{request}");
        world.node.handle(node::Event::Closed { id: crate::world::id(9) }, world.now);
    }
}

/// Red when FLUSHALL raises no floor (PROTOCOL F23).
#[test]
fn after_a_flush_in_flight_every_key_waits() {
    let mut world = stalled();
    world.send(1, "FLUSHALL");
    world.send(2, "GET a");
    assert_eq!(world.received(2), "");
    world.send(2, "GET never-there");
    assert_eq!(world.received(2), "");
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(2), "$-1 $-1");
}

/// Red when a write without effect is answered at once (PROTOCOL F22).
#[test]
fn what_has_no_effect_waits_like_a_read() {
    let mut world = stalled();
    world.send(1, "SET b x");
    for request in ["SET b y NX", "INCR b", "SET b y NX GET"] {
        world.connect(9);
        world.send(9, request);
        assert_eq!(world.received(9), "", "{request}");
        world.node.handle(node::Event::Closed { id: crate::world::id(9) }, world.now);
    }
    world.send(2, "SET a y NX");
    assert_eq!(world.received(2), "$-1", "a is settled: the refusal shows nothing new");
}

#[test]
fn what_saw_nothing_of_the_keyspace_does_not_wait() {
    let mut world = stalled();
    world.send(1, "SET b x");
    for (request, reply) in [
        ("PING", "+PONG"),
        ("ECHO hello", "$5 hello"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("SELECT 99", "-ERR DB index is out of range"),
    ] {
        world.send(2, request);
        assert_eq!(world.received(2), reply, "{request}");
    }
}

/// Red when released replies overtake parked ones of the same client.
#[test]
fn replies_leave_in_the_order_of_the_requests() {
    let mut world = stalled();
    world.send(1, "PING\nSET b 1\nPING\nGET b\nINCR b");
    assert_eq!(world.received(1), "+PONG");
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(1), "+OK +PONG $1 1 :2");
}

/// Red when the level of the connection is not looked at.
#[test]
fn at_level_memory_replies_leave_at_execution_and_local_readers_still_wait() {
    let mut world = stalled();
    world.send(1, "CLIENT DURABILITY memory\nSET b 1\nGET b");
    assert_eq!(world.received(1), "+OK +OK $1 1");
    world.send(2, "GET b");
    assert_eq!(world.received(2), "");
    world.send(2, "CLIENT DURABILITY");
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(2), "$1 1 $5 local");
}

/// Red when `memory-durability-age` is not enforced.
#[test]
fn at_level_memory_writes_are_refused_when_the_log_falls_behind() {
    let mut world = stalled();
    world.send(1, "CLIENT DURABILITY memory\nSET b 1");
    assert_eq!(world.received(1), "+OK +OK");
    world.pass(2_000_000);
    world.send(1, "SET b 2\nGET b");
    let refused = world.received(1);
    assert!(refused.starts_with("-MISCONF"), "{refused}");
    assert!(refused.ends_with("$1 1"), "{refused}");
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.ask(1, "SET b 3"), "+OK");
}

/// Red when a batch is closed although the window is full: then each turn makes a frame.
#[test]
fn turns_gather_into_one_frame_while_the_window_is_full() {
    let mut world = stalled();
    let before = world.node.log_stats().frames;
    for _ in 0..100 {
        world.send(1, "INCR counter");
    }
    world.disk_stalls = false;
    world.settle();
    let replies = world.received(1);
    assert!(replies.ends_with(":100"), "{replies}");
    let frames = world.node.log_stats().frames - before;
    assert!(frames <= 6, "{frames} frames");
}

#[test]
fn everything_acknowledged_is_there_after_a_restart() {
    let mut world = World::new();
    world.connect(1);
    for number in 0..200 {
        assert_eq!(world.ask(1, &format!("SET key:{number} {number}")), "+OK");
    }
    assert_eq!(world.ask(1, "DEL key:7 key:8"), ":2");
    assert_eq!(world.ask(1, "SELECT 3\nSET other 1\nINCR other"), "+OK +OK :2");
    let digest = world.node.digest(base::SliceId(0));
    for _ in 0..3 {
        world = world.restart();
        assert_eq!(world.node.digest(base::SliceId(0)), digest);
    }
    world.connect(1);
    assert_eq!(world.ask(1, "DBSIZE\nGET key:199\nGET key:7"), ":198 $3 199 $-1");
}
