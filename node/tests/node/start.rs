//! Starts, stops, and a disk that is full or fails.

use wal::IoError;

use crate::world::{World, config};

/// Red when `Listen` does not wait for the first own entry.
#[test]
fn nobody_is_served_before_what_was_recovered_is_our_own() {
    let mut world = World::started(config(), Default::default());
    world.disk_stalls = true;
    for _ in 0..20 {
        world.turn();
    }
    assert!(!world.listening);
    world.disk_stalls = false;
    world.settle();
    assert!(world.listening);
}

/// Red when `Exit` does not wait for parked replies.
#[test]
fn a_shutdown_finishes_what_was_accepted() {
    let mut world = World::new();
    world.connect(1);
    world.disk_stalls = true;
    world.send(1, "SET a 1");
    world.node.handle(node::Event::Shutdown, world.now);
    world.send(1, "SET a 2");
    world.settle();
    assert!(!world.exited);
    world.disk_stalls = false;
    world.settle();
    assert!(world.exited);
    assert_eq!(world.received(1), "+OK");
    let mut world = world.restart();
    world.connect(1);
    assert_eq!(world.ask(1, "GET a"), "$1 1");
}

/// Red when the turn that seals does not look whether the log is idle already: nothing would
/// come that starts another turn.
#[test]
fn an_idle_server_exits_in_the_turn_that_is_told_to() {
    let mut world = World::new();
    world.pass(10_000);
    world.settle();
    world.node.handle(node::Event::Shutdown, world.now);
    world.turn();
    assert!(world.exited);
}

#[test]
fn a_shutdown_does_not_wait_for_ever_for_a_client_that_does_not_read() {
    let mut world = World::new();
    world.connect(1);
    world.clients.get_mut(&1).expect("it connected").stuck = true;
    world.send(1, "PING");
    world.node.handle(node::Event::Shutdown, world.now);
    world.settle();
    assert!(!world.exited);
    world.pass(11_000_000);
    world.settle();
    assert!(world.exited);
}

/// Red when admission does not ask the log for room.
#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_recovers() {
    let mut world = World::new();
    world.connect(1);
    assert_eq!(world.ask(1, "SET a 1"), "+OK");
    world.prepare_result = Err(IoError::NoSpace);
    let value = "x".repeat(60_000);
    let mut accepted = 0;
    let refused = loop {
        let reply = world.ask(1, &format!("SET b {value}"));
        match reply.as_str() {
            "+OK" => accepted += 1,
            _ => break reply,
        }
        assert!(accepted < 1000);
    };
    assert!(refused.starts_with("-MISCONF"), "{refused}");
    assert!(0 < accepted);
    assert_eq!(world.ask(1, "GET a"), "$1 1");
    world.prepare_result = Ok(());
    world.pass(2_000_000);
    world.settle();
    assert_eq!(world.ask(1, "SET b small"), "+OK");
    let mut world = world.restart();
    world.connect(1);
    assert_eq!(world.ask(1, "GET b"), "$5 small");
}

/// Red when a large write does not wait for the segments it needs.
#[test]
fn a_value_larger_than_all_prepared_segments_is_written_once_there_is_room() {
    let mut world = World::new();
    world.connect(1);
    let value = "x".repeat(20 * 1024 * 1024);
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len());
    for piece in request.as_bytes().chunks(1 << 20) {
        world.send_bytes(1, piece);
        world.turn();
    }
    world.settle();
    assert_eq!(world.received(1), "+OK");
    let mut world = world.restart();
    world.connect(1);
    world.send(1, "GET a");
    world.settle();
    let reply = world.received(1);
    assert!(reply.starts_with(&format!("${} xxx", value.len())), "{}", &reply[..20]);
}

/// Red when writes that come later take the room that is prepared for a large one.
#[test]
fn a_large_write_is_not_starved_by_small_ones() {
    let mut config = config();
    config.clients_max = 10_000;
    let mut world = World::with(config, Default::default());
    world.connect(1);
    let large = "x".repeat(8 * 1024 * 1024);
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{large}\r\n", large.len());
    world.send_bytes(1, request.as_bytes());
    // In each turn more than the disk prepares in one, by clients that have not waited yet.
    let small = format!("SET b {}\r\n", "y".repeat(60_000));
    for turn in 0..200 {
        for index in 0..24 {
            world.connect(100 + 24 * turn + index);
            world.send_bytes(100 + 24 * turn + index, small.as_bytes());
        }
        world.turn();
        if world.received(1) == "+OK" {
            let answered = world.clients.values().filter(|client| !client.received.is_empty());
            assert!(answered.count() < 24 * 200);
            return;
        }
    }
    unreachable!("the large write was never executed");
}

/// Red when admission does not look at the size of the open batch.
#[test]
fn an_entry_never_grows_beyond_its_limit() {
    let mut config = config();
    config.entry_size_max = 200_000;
    let mut world = World::with(config, Default::default());
    let value = "x".repeat(90_000);
    for index in 0..10 {
        world.connect(index);
        let bytes = format!("*3\r\n$3\r\nSET\r\n$1\r\n{index}\r\n$90000\r\n{value}\r\n");
        world.send_bytes(index, bytes.as_bytes());
    }
    world.settle();
    for index in 0..10 {
        assert_eq!(world.received(index), "+OK", "client {index}");
    }
    let bytes = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$250000\r\n{}\r\n", "x".repeat(250_000));
    world.send_bytes(1, bytes.as_bytes());
    world.settle();
    assert!(world.received(1).starts_with("-ERR the write is larger"));
}

/// Red when INFO waits for the disk: nobody could ask what is wrong with it. And when DBSIZE, which
/// is about data, does not.
#[test]
fn info_waits_for_no_disk_and_the_size_of_the_database_does() {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    for number in 0..50 {
        world.send(1, &format!("SET key:{number} 1"));
    }
    world.frames_stall = true;
    world.send(1, "SET another 1");
    world.send(2, "INFO keyspace");
    assert!(world.received(2).contains("db0:keys=51,"));
    world.send(2, "DBSIZE");
    assert_eq!(world.received(2), "");
    world.frames_stall = false;
    for number in 50..60 {
        world.send(1, &format!("SET key:{number} 1"));
    }
    assert_eq!(world.received(2), ":51");
}

/// Red when a deadline that is over stays the time of the next turn: the core would spin.
#[test]
fn a_shutdown_that_only_the_disk_holds_up_sleeps() {
    let mut world = World::new();
    world.connect(1);
    world.disk_stalls = true;
    world.send(1, "SET a 1");
    world.node.handle(node::Event::Shutdown, world.now);
    world.pass(11_000_000);
    world.pass(1_000);
    assert!(!world.exited);
    assert!(world.node.poll_timeout().is_none_or(|at| world.now.monotonic_us < at));
    world.disk_stalls = false;
    world.settle();
    assert!(world.exited);
}

/// Red when a write that found the disk full once is refused for ever.
#[test]
fn a_large_write_is_taken_once_there_is_space_again() {
    let mut world = World::new();
    world.connect(1);
    let value = "x".repeat(8 * 1024 * 1024);
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len());
    world.prepare_result = Err(IoError::NoSpace);
    world.send_bytes(1, request.as_bytes());
    world.settle();
    assert!(world.received(1).starts_with("-MISCONF"));
    assert_eq!(world.ask(1, "SET b small"), "+OK", "what there is room for is taken");
    world.prepare_result = Ok(());
    world.pass(2_000_000);
    world.send_bytes(1, request.as_bytes());
    world.settle();
    assert_eq!(world.received(1), "+OK");
}

/// Red when room is counted by what is prepared only: a disk that prepares and does not write
/// would let the queue in memory grow for ever.
#[test]
fn a_disk_that_does_not_write_stops_the_writers() {
    let mut world = World::new();
    let value = "x".repeat(1024 * 1024);
    let request = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len());
    world.connect(1);
    world.connect(2);
    world.frames_stall = true;
    for _ in 0..300 {
        world.send_bytes(1, request.as_bytes());
        world.turn();
    }
    assert!(world.clients[&1].stopped);
    let queued = world.node.log_queued_size();
    assert!((32 << 20..80 << 20).contains(&queued), "{queued}");
    world.send(2, "PING");
    assert_eq!(world.received(2), "+PONG");
    world.frames_stall = false;
    for _ in 0..20 {
        world.settle();
    }
    assert_eq!(world.received(1).matches("+OK").count(), 300);
}

/// Red when a write that comes to wait for room late in a turn does not ask for another turn:
/// with nothing under way the core would sleep for ever.
#[test]
fn a_large_write_behind_a_long_pipeline_is_not_forgotten() {
    let mut world = World::new();
    world.connect(1);
    world.settle();
    // It does not read, so nothing it is sent wakes the core.
    world.clients.get_mut(&1).expect("it connected").stuck = true;
    let value = "x".repeat(8 * 1024 * 1024);
    let large = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${}\r\n{value}\r\n", value.len());
    world.send_bytes(1, format!("{}{large}", "PING\r\n".repeat(4096)).as_bytes());
    world.turn();
    world.run_until_asleep();
    assert_eq!(world.node.key_count(0), 1);
}
