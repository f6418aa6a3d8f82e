//! Sessions: limits, order, endings.

use crate::world::{World, config};

#[test]
fn a_protocol_error_is_answered_and_ends_the_connection() {
    let mut world = World::new();
    world.connect(1);
    world.send_bytes(1, b"PING\r\n*1\r\n!bad\r\nPING\r\n");
    world.settle();
    assert_eq!(world.received(1), "+PONG -ERR Protocol error: expected '$', got '!'");
    assert!(world.clients[&1].closed);
    assert_eq!(world.node.client_count(), 0);
}

/// Red when `closing` does not wait for parked replies.
#[test]
fn quit_ends_the_connection_after_the_replies_before_it() {
    let mut world = World::new();
    world.connect(1);
    world.disk_stalls = true;
    world.send(1, "SET a 1\nQUIT\nPING");
    assert!(!world.clients[&1].closed);
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(1), "+OK +OK");
    assert!(world.clients[&1].closed);
}

#[test]
fn a_request_in_pieces_is_executed_once_it_is_whole() {
    let mut world = World::new();
    world.connect(1);
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nxyz\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n" {
        world.send_bytes(1, &[*byte]);
        world.turn();
    }
    world.settle();
    assert_eq!(world.received(1), "+OK $3 xyz");
}

/// Red when the share of a turn is not taken up again.
#[test]
fn a_long_pipeline_is_executed_over_several_turns() {
    let mut world = World::new();
    world.connect(1);
    world.send_bytes(1, &b"INCR n\r\n".repeat(20_000));
    world.settle();
    let replies = world.received(1);
    assert!(replies.ends_with(":20000"), "{}", replies.len());
    assert!(!world.clients[&1].stopped);
}

/// Red when the output of a client that does not read is not bounded.
#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut config = config();
    config.output_size_pause = 10_000;
    let mut world = World::with(config, Default::default());
    world.connect(1);
    assert_eq!(world.ask(1, &format!("SET a {}", "x".repeat(1000))), "+OK");
    world.clients.get_mut(&1).expect("it connected").stuck = true;
    for _ in 0..100 {
        world.send(1, "GET a\nGET a");
    }
    assert!(world.clients[&1].stopped);
    assert!(world.node.output_size() < 12_100, "{}", world.node.output_size());
    assert_eq!(world.node.waiting_count(), 1);
    world.connect(2);
    assert_eq!(world.ask(2, "PING"), "+PONG");
}

#[test]
fn too_many_clients_are_told_so() {
    let mut config = config();
    config.clients_max = 1;
    let mut world = World::with(config, Default::default());
    world.connect(1);
    world.connect(2);
    world.settle();
    assert_eq!(world.received(2), "-ERR max number of clients reached");
    assert!(world.clients[&2].closed);
    assert_eq!(world.ask(1, "PING"), "+PONG");
}

#[test]
fn without_a_password_strangers_are_refused() {
    let mut world = World::new();
    world.connect_from(1, "10.0.0.1:5000");
    world.settle();
    assert!(world.received(1).starts_with("-DENIED"));
    assert!(world.clients[&1].closed);
}

/// Red when dispatch does not look at `authenticated`.
#[test]
fn with_a_password_nothing_runs_before_authentication() {
    let mut config = config();
    config.password = Some(b"secret".to_vec());
    let mut world = World::with(config, Default::default());
    world.connect_from(1, "10.0.0.1:5000");
    for request in ["GET a", "SET a 1", "PING", "INFO", "FLUSHALL", "COMMAND"] {
        assert_eq!(world.ask(1, request), "-NOAUTH Authentication required.", "{request}");
    }
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(world.ask(1, "AUTH wrong"), wrong);
    assert_eq!(world.ask(1, "AUTH nobody secret"), wrong);
    assert!(world.ask(1, "HELLO 3").starts_with("-NOAUTH HELLO"));
    assert_eq!(world.ask(1, "AUTH secret"), "+OK");
    assert_eq!(world.ask(1, "GET a"), "$-1");
    world.connect_from(2, "10.0.0.1:5001");
    let hello = world.ask(2, "HELLO 3 AUTH default secret SETNAME me");
    assert!(hello.starts_with("%7 $6 server $5 redis"), "{hello}");
    assert_eq!(world.ask(2, "CLIENT GETNAME\nGET a"), "$2 me _");
}

#[test]
fn clients_are_told_what_the_server_is() {
    let mut world = World::new();
    world.connect(1);
    assert_eq!(world.ask(1, "CONFIG GET append*"), "*2 $10 appendonly $3 yes");
    assert_eq!(world.ask(1, "CLIENT SETINFO lib-name test\nCLIENT ID"), "+OK :1");
    let info = world.ask(1, "INFO server");
    assert!(info.contains("redis_version:7.2.4"), "{info}");
    assert!(info.contains("toroid_version:"), "{info}");
    assert_eq!(world.ask(1, "SET a 1\nSET b 1"), "+OK +OK");
    assert!(world.ask(1, "INFO keyspace").contains("db0:keys=2,expires=0"));
    let count: usize = world.ask(1, "COMMAND COUNT")[1..].parse().expect("a number");
    assert!(10 < count);
    assert!(world.ask(1, "COMMAND").starts_with(&format!("*{count} ")));
    assert!(world.ask(1, "COMMAND DOCS get").starts_with("*2 $3 get *8 $7 summary"));
    let all = world.ask(1, "COMMAND DOCS\nECHO end");
    assert!(all.starts_with(&format!("*{} ", 2 * count)) && all.ends_with("$3 end"), "{all}");
    assert!(world.ask(1, "NOSUCH x").starts_with("-ERR unknown command 'NOSUCH'"));
}

/// Red when an end is taken for a close: `printf ... | nc -N` would read nothing.
#[test]
fn a_client_that_only_stops_sending_gets_its_replies() {
    let mut world = World::new();
    world.connect(1);
    world.disk_stalls = true;
    world.send(1, "SET a 1\nGET a");
    world.end(1);
    assert!(!world.clients[&1].closed);
    world.disk_stalls = false;
    world.settle();
    assert_eq!(world.received(1), "+OK $1 1");
    assert!(world.clients[&1].closed);
    assert_eq!(world.node.client_count(), 0);
}

/// Red when the budget of all holds up those who use none of it.
#[test]
fn clients_that_do_not_read_hold_up_nobody_else_and_are_given_up_in_the_end() {
    let mut config = config();
    config.output_size_pause = 400_000;
    config.output_budget = 1_000_000;
    let mut world = World::with(config, Default::default());
    world.connect(1);
    assert_eq!(world.ask(1, &format!("SET a {}", "x".repeat(50_000))), "+OK");
    for index in 10..20 {
        world.connect(index);
        world.clients.get_mut(&index).expect("it connected").stuck = true;
        for _ in 0..10 {
            world.send(index, "GET a");
        }
    }
    assert!(1_000_000 < world.node.output_size());
    assert!(world.node.output_size() < 2_000_000, "{}", world.node.output_size());
    assert_eq!(world.ask(1, "PING\nSET b 1"), "+PONG +OK");
    for _ in 0..200 {
        world.pass(100_000);
    }
    assert!(world.node.output_size() <= 1_000_000);
    let closed = world.clients.values().filter(|client| client.closed).count();
    assert!((1..10).contains(&closed), "{closed} given up");
    assert!(world.ask(1, "INFO stats").contains(&format!("clients_given_up:{closed}")));
}

/// Red when `post` and `host:` are commands like others: the body of a page would run.
#[test]
fn a_browser_is_not_listened_to() {
    let requests = [
        "POST / HTTP/1.1\nHost: 127.0.0.1:6379\n\nSET a hacked",
        "GET / HTTP/1.1\nHost: 127.0.0.1\n\nSET a hacked",
    ];
    for request in requests {
        let mut world = World::new();
        world.connect(1);
        world.send(1, request);
        world.settle();
        assert!(world.clients[&1].closed);
        world.connect(2);
        assert_eq!(world.ask(2, "GET a"), "$-1");
    }
}

#[test]
fn what_a_client_sent_is_shown_as_it_was_in_errors() {
    let mut world = World::new();
    world.connect(1);
    world.send_bytes(1, b"*1\r\n$2\r\n\xff\xfe\r\n");
    world.settle();
    let received = &world.clients[&1].received;
    assert!(received.starts_with(b"-ERR unknown command '\xff\xfe'"));
}

/// Red when a failed HELLO logs in.
#[test]
fn a_hello_that_fails_changes_nothing() {
    let mut config = config();
    config.password = Some(b"secret".to_vec());
    let mut world = World::with(config, Default::default());
    world.connect(1);
    let bytes = b"*6\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\nsecret\r\n";
    world.send_bytes(1, bytes);
    world.send_bytes(1, b"$7\r\nSETNAME\r\n");
    world.settle();
    assert!(world.received(1).starts_with("-ERR Syntax error in HELLO option"));
    assert_eq!(world.ask(1, "GET a"), "-NOAUTH Authentication required.");
    assert!(world.ask(1, "HELLO 3 AUTH default secret SETNAME \"a b\"").starts_with("-ERR Client"));
    assert_eq!(world.ask(1, "GET a"), "-NOAUTH Authentication required.");
}
