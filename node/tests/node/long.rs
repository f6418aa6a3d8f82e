//! Long commands: they run beside their core, on slices that are lent to them.

use node::{Config, Event, Topology};

use crate::cores::Cores;
use crate::world::{MemoryLog, config};

// The keys b, k3, foo and a are in the slices 0 to 3 of four; with two cores, 0 and 2 are the first
// core's.

/// Bytes of a value that a command looks at for long.
const SIZE: usize = 400_000;

fn short_patience() -> Config {
    Config { long_command_ns: 100_000, ..config() }
}

fn cores(count: u16) -> Cores {
    let logs = (0..count).map(|_| MemoryLog::default()).collect();
    let mut node = Cores::with(&short_patience(), Topology::new(count, 4), logs);
    for core in 0..usize::from(count) {
        (1..=3).for_each(|client| node.cores[core].connect(client));
    }
    for key in ["b", "k3"] {
        node.ask(0, 1, &format!("setrange {key} {} x", SIZE - 1));
    }
    assert_eq!(ran(&node), 0, "what was sent so far is short");
    node
}

fn ran(node: &Cores) -> usize {
    node.cores.iter().map(|core| core.long_ran).sum()
}

fn stall(node: &mut Cores, stalls: bool) {
    node.cores.iter_mut().for_each(|core| core.runner_stalls = stalls);
}

/// Red when a long command runs on its core: nothing is under way then. And when the slices of all
/// keys are lent for it.
#[test]
fn a_long_command_stops_its_slices_and_nothing_else() {
    for count in [1, 2] {
        let mut node = cores(count);
        stall(&mut node, true);
        assert_eq!(node.ask(0, 1, "bitcount b"), "");
        assert_eq!(node.ask(0, 2, "set k3 1\nget k3\nexists foo a"), "+OK $1 1 :0");
        assert_eq!(node.ask(0, 2, "strlen b"), "", "its slice is away");
        assert_eq!(node.ask(0, 3, "set foo 1"), "+OK");
        stall(&mut node, false);
        node.settle();
        assert_eq!(node.cores[0].received(1), ":4");
        assert_eq!(node.cores[0].received(2), format!(":{SIZE}"));
        assert_eq!(ran(&node), 1);
    }
}

/// Red when a request does not look whether its slice has left again while it waited.
#[test]
fn a_clients_requests_are_answered_in_their_order() {
    for (count, key) in [(1, "b"), (2, "b"), (2, "k3")] {
        let mut node = cores(count);
        stall(&mut node, true);
        let sent = format!(
            "bitcount {key}\nbitcount {key}\nset {key} 1\nget {key}\nget a\nexists a {key}\nping"
        );
        assert_eq!(node.ask(0, 1, &sent), "");
        stall(&mut node, false);
        node.settle();
        assert_eq!(node.cores[0].received(1), ":4 :4 +OK $1 1 $-1 :1 +PONG");
        assert_eq!(ran(&node), 2);
    }
}

/// Red when a second job is sent away while one is under way (the world asserts), and when nobody
/// wakes who waits for the runner.
#[test]
fn a_core_has_one_long_command_under_way_and_the_others_wait_their_turn() {
    let mut node = cores(2);
    assert_eq!(node.ask(0, 1, &format!("setrange foo {} x", SIZE - 1)), format!(":{SIZE}"));
    stall(&mut node, true);
    assert_eq!(node.ask(0, 1, "bitcount b"), "");
    assert_eq!(node.ask(0, 2, "bitcount foo\nget foo2"), "");
    assert_eq!(node.ask(1, 1, "bitcount foo"), "");
    assert_eq!(node.ask(1, 2, "bitcount k3"), "", "the other core runs its own");
    assert!(node.cores.iter().all(|core| core.long.is_some()));
    assert_eq!(node.ask(0, 3, "strlen foo"), format!(":{SIZE}"), "who waits holds up nobody");
    stall(&mut node, false);
    node.settle();
    assert_eq!(node.cores[0].received(1), ":4");
    assert_eq!(node.cores[0].received(2), ":4 $-1");
    assert_eq!(node.cores[1].received(1), ":4");
    assert_eq!(node.cores[1].received(2), ":4");
    assert_eq!(ran(&node), 4);
}

/// Red when the lenders' permits stay with a session whose long job is under way.
#[test]
fn a_long_command_over_several_cores_keeps_its_slices_only() {
    let mut node = cores(2);
    stall(&mut node, true);
    assert_eq!(node.ask(0, 1, "bitop or b b k3"), "");
    assert_eq!(node.ask(0, 2, "mset foo 1 a 2\nexists foo a"), "+OK :2");
    assert_eq!(node.ask(1, 2, "mset foo 3 a 4\nexists foo a"), "+OK :2");
    assert_eq!(node.ask(1, 1, "exists b k3"), "", "its slices are away");
    assert_eq!(node.ask(0, 3, "exists foo a"), ":2", "who wants others goes past");
    stall(&mut node, false);
    node.settle();
    assert_eq!(node.cores[0].received(1), format!(":{SIZE}"));
    assert_eq!(node.cores[1].received(1), ":2");
    assert_eq!(ran(&node), 1);
}

/// Red when what a job wrote is not noted when it lands: the log then does not have it.
#[test]
fn what_a_long_command_writes_is_durable_when_it_is_answered() {
    for (count, command) in [(1, "bitop not a b"), (2, "bitop not a b"), (2, "copy k3 foo")] {
        let mut node = cores(count);
        node.cores.iter_mut().for_each(|core| core.frames_stall = true);
        assert_eq!(node.ask(0, 1, command), "", "it is not durable");
        assert_eq!(ran(&node), 1);
        node.cores.iter_mut().for_each(|core| core.frames_stall = false);
        node.settle();
        assert_ne!(node.cores[0].received(1), "");
        let digests = node.digests();
        let mut node = node.restart();
        assert_eq!(node.digests(), digests);
        node.cores[0].connect(1);
        let expected = if command.starts_with("copy") { ":0 :400000" } else { ":400000 :0" };
        assert_eq!(node.ask(0, 1, "strlen a\nstrlen foo"), expected);
    }
}

/// Red when a job whose client is gone is dropped where it lands.
#[test]
fn a_client_that_leaves_takes_nothing_back() {
    for count in [1, 2] {
        let mut node = cores(count);
        stall(&mut node, true);
        assert_eq!(node.ask(0, 1, "bitop not a b\nset foo behind"), "");
        node.cores[0].close(1);
        stall(&mut node, false);
        node.settle();
        assert_eq!(node.ask(0, 2, "strlen a"), format!(":{SIZE}"));
        let digests = node.digests();
        assert_eq!(node.restart().digests(), digests);
    }
}

/// Red when a core seals its log while one of its slices is away.
#[test]
fn a_shutdown_waits_for_what_is_under_way() {
    for count in [1, 2] {
        let mut node = cores(count);
        stall(&mut node, true);
        assert_eq!(node.ask(0, 1, "bitop not a b"), "");
        let now = node.cores[0].now;
        node.cores[0].node.handle(Event::Shutdown, now);
        node.settle();
        assert!(node.cores.iter().all(|core| !core.exited));
        stall(&mut node, false);
        node.settle();
        assert_eq!(node.cores[0].received(1), format!(":{SIZE}"));
        assert!(node.cores.iter().all(|core| core.exited));
        let mut node = node.restart();
        node.cores[0].connect(1);
        assert_eq!(node.ask(0, 1, "strlen a"), format!(":{SIZE}"));
    }
}

/// Red when EXEC does not wait for a client's own long command, and when what it executes is sent
/// away from between the rest.
#[test]
fn a_transaction_comes_behind_a_long_command_and_holds_none_up() {
    for count in [1, 2] {
        let mut node = cores(count);
        stall(&mut node, true);
        let sent = "bitcount b\nmulti\nbitcount b\nset a 1\nbitcount k3\nexec\nget a";
        assert_eq!(node.ask(0, 1, sent), "");
        assert_eq!(node.ask(0, 2, "get a"), "$-1");
        stall(&mut node, false);
        node.settle();
        let answered = ":4 +OK +QUEUED +QUEUED +QUEUED *3 :4 +OK :4 $1 1";
        assert_eq!(node.cores[0].received(1), answered);
        assert_eq!(ran(&node), 1, "an EXEC stays on its core");
    }
}

/// Red when the watches of a slice are not told what a job wrote.
#[test]
fn a_watch_sees_what_a_long_command_writes() {
    for count in [1, 2] {
        let mut node = cores(count);
        assert_eq!(node.ask(0, 1, "watch a\nmulti\nset foo 1"), "+OK +OK +QUEUED");
        assert_eq!(node.ask(0, 2, "bitop not a b"), format!(":{SIZE}"));
        assert_eq!(ran(&node), 1);
        assert_eq!(node.ask(0, 1, "exec\nexists foo"), "*-1 :0");
    }
}

/// Red when a watch that ends while its slice is away stays there.
#[test]
fn a_watch_may_end_while_its_slice_is_away() {
    let mut node = cores(1);
    assert_eq!(node.ask(0, 1, "watch b"), "+OK");
    stall(&mut node, true);
    assert_eq!(node.ask(0, 2, "bitcount b"), "");
    assert_eq!(node.ask(0, 1, "unwatch"), "+OK");
    stall(&mut node, false);
    node.settle();
    assert_eq!(node.ask(0, 1, "watch a\nmulti\nping"), "+OK +OK +QUEUED");
    assert_eq!(node.ask(0, 3, "set b 1"), "+OK");
    assert_eq!(node.ask(0, 1, "exec"), "*1 +PONG");
}

/// Red when a reply that is cut off at its limit is sent.
#[test]
fn a_large_reply_is_made_beside_the_core_and_is_whole() {
    for (count, key) in [(1, "b"), (2, "b"), (2, "k3")] {
        let mut node = cores(count);
        let sent = format!("get {key}\nstrlen {key}\ninfo commandstats");
        let answered = node.ask(0, 1, &sent);
        let whole = format!("${SIZE} {}x :{SIZE} ", "\0".repeat(SIZE - 1));
        assert!(answered.starts_with(&whole));
        assert!(answered.contains("cmdstat_get:calls=1,"), "it is counted once");
        assert_eq!(ran(&node), 1);
        let wide = ["mget", "k3", "b", "foo"].join(" ");
        let answered = node.ask(0, 1, &wide);
        let value = format!("${SIZE} {}x", "\0".repeat(SIZE - 1));
        assert_eq!(answered, format!("*3 {value} {value} $-1"));
        assert_eq!(ran(&node), 2);
    }
}

/// Red when KEYS counts the keys of one slice only, and when expired keys that it passed over are
/// not deleted where they are.
#[test]
fn every_key_is_listed_beside_the_core_and_expired_ones_go() {
    for count in [1, 2] {
        let mut node = cores(count);
        for first in (0..2000).step_by(100) {
            let keys = (first..first + 100).map(|key| format!("set key{key} 1 px 100000"));
            node.ask(0, 1, &keys.collect::<Vec<_>>().join("\n"));
        }
        stall(&mut node, true);
        let last = usize::from(count) - 1;
        assert_eq!(node.ask(last, 2, "keys key*"), "");
        stall(&mut node, false);
        node.settle();
        let listed = node.cores[last].received(2);
        assert_eq!(listed.matches("key").count(), 2000);
        assert_eq!(ran(&node), 1);
        node.ask(0, 1, "debug set-active-expire 0");
        node.cores.iter_mut().for_each(|core| core.pass(200_000_000));
        assert_eq!(node.ask(last, 2, "keys *").matches('$').count(), 2);
        assert_eq!(ran(&node), 2);
        let counts = node.cores.iter().map(|core| core.node.key_count(0));
        assert_eq!(counts.sum::<usize>(), 2);
    }
}

/// Red when a slice that is away counts for nothing, and when the digest is of those that are here.
#[test]
fn what_a_node_tells_of_itself_includes_slices_that_are_away() {
    for count in [1, 2] {
        let mut node = cores(count);
        let digest = node.ask(0, 2, "debug digest");
        stall(&mut node, true);
        assert_eq!(node.ask(0, 1, "bitcount b"), "");
        assert!(node.ask(0, 2, "info keyspace").contains("db0:keys=2,"));
        assert_eq!(node.ask(0, 2, "debug digest"), "");
        stall(&mut node, false);
        node.settle();
        assert_eq!(node.cores[0].received(2), digest);
    }
}

/// Red when an error of a long command is taken for a reply like others.
#[test]
fn an_error_is_answered_and_counted() {
    let mut node = cores(1);
    let answered = node.ask(0, 1, &format!("bitcount b 0 x\nget b\nbitcount b 0 {SIZE} nope"));
    assert!(answered.starts_with("-ERR value is not an integer"));
    assert!(answered.ends_with("-ERR syntax error"));
    let stats = node.ask(0, 1, "info commandstats");
    let counted = stats.split(' ').find(|line| line.contains("bitcount")).expect("it was called");
    assert!(counted.contains("failed_calls=2"), "{counted}");
}

/// Red when its clients wait although the other half of a node has nothing to do with them.
#[test]
fn random_long_and_short_commands_agree_with_a_core_that_knows_no_long_ones() {
    let mut prng = base::Prng::from_seed(7);
    let keys = ["b", "k3", "foo", "a"];
    for count in [1, 2, 4] {
        let topology = Topology::new(count, 4);
        let logs = |count| (0..count).map(|_| MemoryLog::default()).collect::<Vec<_>>();
        let all_long = Config { long_command_ns: 0, ..config() };
        let none_long = Config { long_command_ns: u64::MAX, ..config() };
        let mut nodes = [
            Cores::with(&all_long, topology, logs(count)),
            Cores::with(&none_long, topology, logs(count)),
        ];
        nodes.iter_mut().for_each(|node| node.cores[0].connect(1));
        for round in 0..40 {
            let mut sent = String::new();
            for _ in 0..1 + prng.index(12) {
                let mut key = || keys[prng.index(4)];
                let (one, other, third) = (key(), key(), key());
                let number = prng.index(100);
                sent += &match prng.index(9) {
                    0 => format!("set {one} {number}\n"),
                    1 => format!("append {one} {number}\n"),
                    2 => format!("bitop xor {one} {other} {third}\n"),
                    3 => format!("mget {one} {other} {third}\n"),
                    4 => format!("mset {one} 1 {other} {number}\n"),
                    5 => format!("multi\nget {one}\ncopy {one} {other} replace\nexec\n"),
                    6 => "keys *\ndbsize\n".to_owned(),
                    7 => format!("lcs {one} {other}\n"),
                    _ => format!("rename {one} {other}\nget {other}\n"),
                };
            }
            let answered = nodes.each_mut().map(|node| {
                node.send(0, 1, sent.trim_end());
                // One long command after the other, each with a session of its own.
                (0..16).for_each(|_| node.settle());
                node.cores[0].received(1)
            });
            assert_eq!(answered[0], answered[1], "round {round} of {count} cores: {sent}");
        }
        assert!(200 < ran(&nodes[0]));
        assert_eq!(ran(&nodes[1]), 0);
        assert_eq!(nodes[0].digests(), nodes[1].digests());
        let [node, _] = nodes;
        let digests = node.digests();
        assert_eq!(node.restart().digests(), digests);
    }
}

/// Red when a command whose words say how it runs is not told apart by them before it leaves.
#[test]
fn a_long_sort_runs_beside_its_core_with_and_without_store() {
    for count in [1, 2] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        let words: Vec<String> = (0..60).map(|number| format!("{number:030}")).collect();
        for _ in 0..60 {
            node.ask(0, 1, &format!("rpush foo {}", words.join(" ")));
        }
        let before = ran(&node);
        let sorted = node.ask(last, 2, "sort foo by w* alpha limit 0 1");
        assert_eq!(sorted, format!("*1 $30 {}", words[0]));
        assert_eq!(node.ask(last, 2, "sort foo by w* alpha store a"), ":3600");
        assert_eq!(node.ask(last, 2, "llen a"), ":3600");
        assert_eq!(ran(&node), before + 2, "both were long");
    }
}
