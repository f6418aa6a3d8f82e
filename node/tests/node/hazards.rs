//! Several cores when something else happens at the wrong time: disks that stall, clients that go
//! away, transactions larger than what the log has room for.

use node::Topology;

use crate::cores::Cores;
use crate::world::{MemoryLog, config};

/// Keys of the slices 0 to 3 of four, as in `many_cores`: with two cores, `b` and `foo` are the
/// first core's.
fn cores(count: u16) -> Cores {
    let mut node = Cores::new(count, 4);
    for core in 0..usize::from(count) {
        for client in 1..4 {
            node.cores[core].connect(client);
        }
    }
    node
}

/// Lends slice `b` of the first core to the second, which has not got it yet.
fn lend_first(node: &mut Cores) {
    node.send(1, 3, "exists b k3");
    node.cores[1].turn();
    node.carry();
    node.cores[0].turn();
}

/// A request with words of any size.
fn request(words: &[&str]) -> Vec<u8> {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let words: Vec<String> = words.collect();
    format!("*{}\r\n{}", words.len(), words.concat()).into_bytes()
}

/// Lets every core run for as long as its shell would, and carries what they send each other.
fn run_until_asleep(node: &mut Cores) {
    loop {
        node.carry();
        for core in &mut node.cores {
            core.turn();
            core.run_until_asleep();
        }
        if node.cores.iter().all(|core| core.parcels.is_empty()) {
            return;
        }
    }
}

/// Red when EXEC links slices that only the answers of other cores wait for.
#[test]
fn a_transaction_may_write_and_ask_about_cores_with_writes_in_flight() {
    let mut node = cores(2);
    node.cores[1].frames_stall = true;
    assert_eq!(node.ask(1, 1, "set k3 1"), "");
    assert_eq!(node.ask(0, 1, "multi\nset b 1\ndbsize\nexec"), "+OK +QUEUED +QUEUED");
    node.cores[1].frames_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "*2 +OK :2");
    assert_eq!(node.cores[1].received(1), "+OK");
}

/// Red when a core with jobs left sleeps: its own slices bring nothing that would wake it.
#[test]
fn a_core_does_not_sleep_over_jobs_that_wait() {
    let mut node = cores(2);
    lend_first(&mut node);
    let many = "exists b foo\n".repeat(1024);
    // Two sessions run in one turn; the third is the last client's alone.
    for client in 1..4 {
        node.cores[0].clients.get_mut(&client).expect("it connected").stuck = client < 3;
        node.send(0, client, many.trim_end());
    }
    node.cores[0].turn();
    run_until_asleep(&mut node);
    assert_eq!(node.cores[0].received(3).matches(":0").count(), 1024);
}

/// Red when what was proposed and not yet handed to the log is not counted: loan after loan would
/// take the same room.
#[test]
fn loans_wait_for_room_while_the_lenders_disk_stalls() {
    let mut node = cores(2);
    node.cores[1].frames_stall = true;
    let value = "x".repeat(700_000);
    for client in [1, 2] {
        for _ in 0..100 {
            node.cores[0].send_bytes(client, &request(&["mset", "b", "1", "k3", &value]));
            node.turn();
            node.turn();
            node.turn();
        }
    }
    node.cores[1].frames_stall = false;
    for _ in 0..40 {
        node.settle();
    }
    for client in [1, 2] {
        assert_eq!(node.cores[0].received(client).matches("+OK").count(), 100);
    }
    assert_eq!(node.ask(1, 1, "strlen k3"), ":700000");
}

fn watched_count(node: &Cores) -> usize {
    node.cores.iter().map(|core| format!("{:?}", core.node).matches("WatchedKey {").count()).sum()
}

/// Red when the watches of an EXEC that waits for slices are forgotten with its client.
#[test]
fn the_watches_of_a_client_that_goes_away_in_exec_are_forgotten() {
    let mut node = cores(2);
    assert_eq!(node.ask(0, 1, "watch b k3"), "+OK");
    assert_eq!(watched_count(&node), 2);
    node.send(0, 1, "multi\nset b 1\nexec");
    node.cores[0].close(1);
    node.settle();
    assert_eq!(watched_count(&node), 0);
    assert_eq!(node.ask(0, 2, "exists b"), ":0", "a client that is gone asks for nothing");
}

/// Red when EXEC forgets what a WATCH in front of it, which waits for slices, has yet to mark.
#[test]
fn a_transaction_that_is_refused_leaves_no_watches() {
    let mut node = cores(2);
    let answered = node.ask(0, 1, "watch b k3\nmulti\nnope\nexec");
    assert!(answered.contains("EXECABORT"), "{answered}");
    assert_eq!(watched_count(&node), 0);
}

/// Red when the values that a transaction makes are not counted before it makes them: a log
/// entry without room ends the process.
#[test]
fn a_transaction_never_logs_more_than_it_has_room_for() {
    for count in [1, 2] {
        let mut node = cores(count);
        let sent = "multi\nsetrange b 6000000 x\ncopy b {b}1\ncopy b {b}2\ncopy b {b}3\nexec\nping";
        let answered = node.ask(0, 1, sent);
        assert!(answered.ends_with("+PONG"), "{answered}");
        let value = "x".repeat(900_000);
        node.ask(0, 1, "select 1");
        for at in 0..40 {
            node.cores[0].send_bytes(1, &request(&["set", &format!("{{b}}{at}"), &value]));
            node.settle();
            assert_eq!(node.cores[0].received(1), "+OK");
        }
        let renames: String = (0..40).map(|at| format!("rename {{b}}{at} {{b}}n{at}\n")).collect();
        let sent = format!("select 0\nmulti\nselect 1\n{renames}exec\nping");
        let answered = node.ask(0, 1, &sent);
        assert!(answered.ends_with("+PONG"), "{}", &answered[answered.len() - 200..]);
    }
}

/// Red when the keys that a transaction finds expired are deleted without room in the log.
#[test]
fn what_expires_under_a_transaction_or_a_watch_has_room_in_the_log() {
    for command in ["watch", "get"] {
        let mut node = cores(2);
        let key = |at: usize| format!("{{b}}{at}{}", "y".repeat(60_000));
        for at in 0..600 {
            node.send(0, 1, &format!("set {} 1 px 1000", key(at)));
            node.turn();
        }
        node.settle();
        assert_eq!(node.cores[0].received(1).matches("+OK").count(), 600);
        for core in &mut node.cores {
            core.now.wall_ms += 2000;
        }
        let mut sent = String::from("multi\n");
        if command == "watch" {
            let keys: Vec<String> = (0..600).map(key).collect();
            let words: Vec<&str> =
                std::iter::once("watch").chain(keys.iter().map(String::as_str)).collect();
            node.cores[0].send_bytes(1, &request(&words));
            node.settle();
            assert_eq!(node.cores[0].received(1), "+OK");
        } else {
            for at in 0..600 {
                sent.push_str(&format!("get {}\n", key(at)));
            }
            node.send(0, 1, &format!("{sent}exec"));
            node.settle();
            assert_eq!(node.cores[0].received(1).matches("$-1").count(), 600);
        }
        assert_eq!(node.ask(0, 2, "ping"), "+PONG");
    }
}

/// A watch of many keys is no work for minutes. Red when each key is compared with all before.
#[test]
fn many_keys_are_watched_at_once() {
    let mut node = cores(2);
    let count = 200_000;
    let keys: Vec<String> = (0..count).map(|at| format!("{{b}}{at:06}")).collect();
    let words: Vec<&str> =
        std::iter::once("watch").chain(keys.iter().map(String::as_str)).collect();
    node.cores[0].send_bytes(1, &request(&words));
    node.settle();
    assert_eq!(node.cores[0].received(1), "+OK");
    assert_eq!(node.ask(0, 2, "set {b}000007 1"), "+OK");
    assert_eq!(node.ask(0, 1, "multi\nping\nexec"), "+OK +QUEUED *-1");
}

/// Red when an offset that is refused counts as if it made a value.
#[test]
fn a_transaction_with_an_impossible_offset_is_executed() {
    let mut node = Cores::new(1, 4);
    node.cores[0].connect(1);
    let sent = "multi\nsetrange a 9223372036854775000 x\nset b 1\nexec";
    let answer = node.ask(0, 1, sent);
    assert!(answer.contains("*2 -ERR string exceeds"), "{answer}");
    assert!(answer.ends_with("+OK"), "{answer}");
}

/// Red when who waits for the batch to be closed is asked again in every turn, which does nothing
/// until a frame completes: the core spun at full load. Once for its own clients, once for those of
/// the other core.
#[test]
fn a_core_sleeps_while_the_window_is_full_and_the_batch_too() {
    let mut config = config();
    config.entry_size_max = 64 * 1024;
    for from in [0, 1] {
        let logs = vec![MemoryLog::default(); 2];
        let mut node = Cores::with(&config, Topology::new(2, 4), logs);
        node.cores[0].connect(1);
        node.cores[from].connect(2);
        node.cores[0].frames_stall = true;
        // Four frames are on their way, and what comes then gathers behind them.
        for size in [20_000, 20_000, 20_000, 20_000, 25_000] {
            let set = request(&["SET", "b", &"v".repeat(size)]);
            node.cores[0].send_bytes(1, &set);
            node.turn();
        }
        node.cores[from].send_bytes(2, &request(&["SET", "b", &"w".repeat(40_000)]));
        for _ in 0..10 {
            node.turn();
        }
        let core = &node.cores[0];
        let next_us = core.node.poll_timeout();
        assert!(next_us.is_none_or(|at| core.now.monotonic_us < at), "a turn at {next_us:?}");
        assert_eq!(node.cores[from].received(2), "");
        node.cores[0].frames_stall = false;
        run_until_asleep(&mut node);
        assert_eq!(node.cores[from].received(2), "+OK");
    }
}
