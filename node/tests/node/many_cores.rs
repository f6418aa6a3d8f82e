//! Several cores: hops, loans, transactions, and what a restart makes of them.

use crate::cores::Cores;

/// Keys of the slices 0 to 3 of four: with two cores, 0 and 2 are the first core's.
const KEYS: [&str; 4] = ["b", "k3", "foo", "a"];

fn cores(count: u16) -> Cores {
    let mut node = Cores::new(count, 4);
    for core in 0..usize::from(count) {
        node.cores[core].connect(1);
        node.cores[core].connect(2);
    }
    node
}

#[test]
fn the_keys_of_these_tests_are_in_different_slices() {
    let topology = node::Topology::new(2, 4);
    let slices = KEYS.map(|key| topology.slice_of(engine::slot_of(key.as_bytes())).0);
    assert_eq!(slices, [0, 1, 2, 3]);
}

#[test]
fn any_core_serves_any_key_and_a_pipeline_is_answered_in_order() {
    for count in [1, 2, 3, 4] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        let sent = "set b 1\nset k3 2\nget b\nping\nset foo 3\nset a 4\nget k3\nget a";
        let answered = "+OK +OK $1 1 +PONG +OK +OK $1 2 $1 4";
        assert_eq!(node.ask(0, 1, sent), answered);
        assert_eq!(node.ask(last, 1, "get b\nget k3\nget foo\nget a"), "$1 1 $1 2 $1 3 $1 4");
    }
}

/// Red when the gates of a hopped reply are dropped.
#[test]
fn a_hopped_write_is_answered_only_once_it_is_durable_on_its_core() {
    let mut node = cores(2);
    node.cores[1].frames_stall = true;
    assert_eq!(node.ask(0, 1, "set k3 1\nping"), "");
    assert_eq!(node.ask(0, 2, "set b 1"), "+OK", "the other core's disk is well");
    assert_eq!(node.ask(0, 2, "get k3"), "", "what could be lost is not shown");
    node.cores[1].frames_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "+OK +PONG");
    assert_eq!(node.cores[0].received(2), "$1 1");
}

#[test]
fn commands_over_slices_of_any_cores_are_executed_as_one() {
    for count in [1, 2, 4] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        assert_eq!(node.ask(0, 1, "set b 1\nset k3 2\nset a 3"), "+OK +OK +OK");
        assert_eq!(node.ask(last, 1, "exists b k3 foo a"), ":3");
        assert_eq!(node.ask(last, 1, "del b k3 foo\nexists b k3 foo a\nget a"), ":2 :1 $1 3");
        assert_eq!(node.ask(0, 2, "exists b k3 foo a"), ":1");
    }
}

#[test]
fn a_transaction_over_slices_of_any_cores_is_executed_as_one() {
    for count in [1, 2, 4] {
        let mut node = cores(count);
        let sent = "multi\nset b 1\nset k3 2\nset foo 3\nincr a\nget b\nping\nexec\nget a";
        let queued = "+OK +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED +QUEUED";
        let executed = "*6 +OK +OK +OK :1 $1 1 +PONG $1 1";
        assert_eq!(node.ask(0, 1, sent), format!("{queued} {executed}"));
        let last = usize::from(count) - 1;
        assert_eq!(node.ask(last, 1, "get b\nget k3\nget foo\nget a"), "$1 1 $1 2 $1 3 $1 1");
        assert_eq!(
            node.ask(last, 1, "multi\nnope\nset b 7\nexec\nget b").matches("EXECABORT").count(),
            1
        );
        assert_eq!(node.ask(last, 1, "get b"), "$1 1");
        assert_eq!(node.ask(last, 1, "multi\nset b 7\ndiscard\nget b"), "+OK +QUEUED +OK $1 1");
    }
}

/// Red when the slices that a question was about take part in the transaction: this core may not
/// have them.
#[test]
fn a_transaction_may_ask_about_slices_that_take_no_part() {
    let mut node = cores(2);
    node.cores[1].frames_stall = true;
    assert_eq!(node.ask(1, 2, "set k3 1\nset a 1"), "");
    assert_eq!(node.ask(0, 1, "multi\nset b 1\ndebug digest\nexec"), "+OK +QUEUED +QUEUED");
    node.cores[1].frames_stall = false;
    node.settle();
    let executed = node.cores[0].received(1);
    assert!(executed.starts_with("*2 +OK +"), "{executed}");
}

/// Red when the answers to one command are taken for those to one before it.
#[test]
fn a_command_with_wrong_arguments_gets_no_answers_meant_for_the_next() {
    let mut node = cores(2);
    let answer = node.ask(0, 1, "multi\nwaitaof 0 -1 0\ninfo nosuch\nexec");
    let wrong = "-ERR value is out of range, must be positive";
    assert!(answer.starts_with(&format!("+OK +QUEUED +QUEUED *2 {wrong} ")), "{answer}");
}

/// Red when such a command is queued, and when EXEC executes the others all the same.
#[test]
fn some_commands_have_no_place_in_a_transaction() {
    let mut node = cores(1);
    let refused = "-ERR Command not allowed inside a transaction";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    for command in ["save", "shutdown abort"] {
        let answer = node.ask(0, 1, &format!("multi\nset b 1\n{command}\nexec\nexists b"));
        assert_eq!(answer, format!("+OK +QUEUED {refused} {aborted} :0"));
    }
}

/// Red when a refused EXEC leaves the transaction open, or the keys watched.
#[test]
fn an_exec_with_arguments_ends_the_transaction() {
    let aborted = "-EXECABORT Transaction discarded because of: wrong number of arguments for \
                   'exec' command";
    for count in [1, 2] {
        let mut node = cores(count);
        let asked = node.ask(0, 1, "watch k3 b\nmulti\nset b 7\nexec x\nget b");
        assert_eq!(asked, format!("+OK +OK +QUEUED {aborted} $-1"));
        assert_eq!(node.ask(0, 2, "set b 1\nset k3 1"), "+OK +OK");
        assert_eq!(node.ask(0, 1, "multi\nget b\nexec"), "+OK +QUEUED *1 $1 1");
        assert_eq!(node.ask(0, 1, "exec x\nexec"), format!("{aborted} -ERR EXEC without MULTI"));
    }
}

/// Red when what one command wrote in several slices is logged without fragments, and when a
/// slice says yes before its fragment is committed.
#[test]
fn a_transaction_is_answered_only_once_all_its_cores_have_it_on_disk() {
    let mut node = cores(2);
    node.cores[1].frames_stall = true;
    let queued = "+OK +QUEUED +QUEUED";
    assert_eq!(node.ask(0, 1, "multi\nset b 1\nset k3 1\nexec"), queued);
    assert_eq!(node.ask(0, 2, "get b"), "", "its other half is not on disk");
    node.cores[1].frames_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "*2 +OK +OK");
    assert_eq!(node.cores[0].received(2), "$1 1");
}

/// Red when recovery takes a fragment for committed without looking at the others.
#[test]
fn half_a_transaction_is_void_after_a_restart_and_what_came_before_is_not() {
    for (stalled, key, other) in [(1, "b", "k3"), (0, "k3", "b")] {
        let mut node = cores(2);
        node.ask(0, 1, &format!("set {key} old\nset {other} old"));
        node.cores[stalled].frames_stall = true;
        let log = node.cores[stalled].log.clone();
        let sent = format!("multi\nset {key} new\nset {other} new\nexec\nset {key} newer");
        assert_eq!(node.ask(0, 1, &sent), "+OK +QUEUED +QUEUED");
        // The stalled disk never got anything of it.
        node.cores[stalled].log = log;
        let mut node = node.restart();
        for _ in 0..2 {
            for core in 0..2 {
                node.cores[core].connect(1);
                assert_eq!(node.ask(core, 1, &format!("get {key}\nget {other}")), "$3 old $3 old");
            }
            node = node.restart();
        }
        // Its place is taken by what comes next, and stays so.
        node.cores[0].connect(1);
        node.ask(0, 1, &format!("set {key} next\nset {other} next"));
        let mut node = node.restart();
        node.cores[1].connect(1);
        assert_eq!(node.ask(1, 1, &format!("get {key}\nget {other}")), "$4 next $4 next");
    }
}

#[test]
fn a_restart_finds_all_that_was_executed() {
    let mut node = cores(3);
    for round in 0..20 {
        let core = round % 3;
        let sent = format!(
            "multi\nset b {round}\nincr k3\nset foo {round}\nexec\nset a {round}\ndel foo b nope"
        );
        node.ask(core, 1, &sent);
    }
    let digests = node.digests();
    let node = node.restart();
    assert_eq!(node.digests(), digests);
    let node = node.restart();
    assert_eq!(node.digests(), digests);
}

/// Red when EXEC does not look at its watches.
#[test]
fn a_watched_key_that_changes_fails_the_transaction() {
    for count in [1, 2] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        assert_eq!(node.ask(0, 1, "watch b k3 a\nmulti\nset foo 1"), "+OK +OK +QUEUED");
        assert_eq!(node.ask(last, 2, "set k3 1"), "+OK");
        assert_eq!(node.ask(0, 1, "exec\nget foo"), "*-1 $-1");
        assert_eq!(node.ask(0, 1, "multi\nset foo 1\nexec"), "+OK +QUEUED *1 +OK");
        assert_eq!(node.ask(0, 1, "watch b k3 a"), "+OK");
        assert_eq!(node.ask(last, 2, "set foo 5\ndel nope"), "+OK :0");
        assert_eq!(node.ask(0, 1, "multi\nget foo\nexec"), "+OK +QUEUED *1 $1 5");
        assert_eq!(node.ask(0, 1, "watch b\nunwatch"), "+OK +OK");
        assert_eq!(node.ask(last, 2, "set b 5"), "+OK");
        assert_eq!(node.ask(0, 1, "multi\nget b\nexec"), "+OK +QUEUED *1 $1 5");
    }
}

/// What happens before WATCH a and after it, and whether EXEC then goes on, as Redis 7 and Valkey do.
/// Red when every watched key that is there fails at any flush or swap, when a swap that brings a
/// key fails nobody, and when one that comes with its time over counts as brought.
#[test]
fn a_flush_or_a_swap_fails_those_who_watch_keys_it_takes_or_brings() {
    let expired = "select 1\nset a 1 px 20";
    let cases = [
        ("set a 1\nselect 5\nset a 2", "swapdb 5 6", true),
        ("set a 1", "swapdb 0 1", false),
        ("set a 1\nselect 1\nset a 1", "swapdb 1 0", false),
        ("select 1\nset a 1", "swapdb 0 1", false),
        ("set b 1\nselect 1\nset b 1", "swapdb 0 1", true),
        ("set a 1", "swapdb 0 0", true),
        ("set a 1", "swapdb 0 1\nswapdb 0 1", false),
        ("select 1\nset a 1", "swapdb 0 1\nswapdb 0 1", false),
        ("set a 1\nselect 5\nset a 2", "select 5\nflushdb", true),
        ("set a 1", "flushdb", false),
        ("set b 1", "flushdb", true),
        ("set b 1", "flushall", true),
        ("set a 1", "flushall", false),
        (expired, "swapdb 0 1", true),
        (expired, "swapdb 0 1\nswapdb 0 1", true),
        (expired, "swapdb 0 1\ndel a", true),
        (expired, "swapdb 0 1\nget a", true),
        (expired, "swapdb 0 1\nflushdb", true),
        (expired, "swapdb 0 1\nset a 3", false),
        ("set a 1 px 20", "flushdb", true),
        ("set a 1 px 20\nselect 1\nset a 2", "swapdb 0 1", false),
    ];
    for (before, after, goes_on) in cases {
        let mut node = cores(2);
        node.cores.iter_mut().for_each(|core| core.node.settings_mut().active_expire = false);
        node.ask(0, 2, &format!("{before}\nselect 0"));
        node.cores.iter_mut().for_each(|core| core.pass(50_000));
        assert_eq!(node.ask(1, 1, "watch a"), "+OK");
        node.ask(0, 2, after);
        let expected = if goes_on { "+OK +QUEUED *1 +PONG" } else { "+OK +QUEUED *-1" };
        assert_eq!(node.ask(1, 1, "multi\nping\nexec"), expected, "{before:?} {after:?}");
    }
}

/// Red when SHUTDOWN is queued: an EXEC would end the server in its midst.
#[test]
fn what_no_transaction_may_hold_fails_it() {
    let mut node = cores(2);
    let refused = "-ERR Command not allowed inside a transaction";
    let text = format!(
        "+OK {refused} {refused} -EXECABORT Transaction discarded because of previous errors."
    );
    assert_eq!(node.ask(0, 1, "multi\nshutdown\nsave\nexec"), text);
    assert_eq!(node.ask(0, 1, "ping"), "+PONG");
}

/// Red, that is much too slow, when each key watched is compared with all others.
#[test]
fn a_great_many_keys_are_watched_and_watched_again() {
    let mut node = cores(1);
    // An inline request takes some thousands.
    let requests = (0..50_000).step_by(5_000).map(|first| {
        let words: String = (first..first + 5_000).map(|key| format!(" key{key}")).collect();
        format!("watch{words}\n")
    });
    let watch: String = requests.collect();
    let replies = ["+OK"; 10].join(" ");
    assert_eq!(node.ask(0, 1, &watch), replies);
    assert_eq!(node.ask(0, 1, &watch), replies);
    assert_eq!(node.ask(0, 2, "set key49999 1"), "+OK");
    assert_eq!(node.ask(0, 1, "multi\nping\nexec"), "+OK +QUEUED *-1");
}

#[test]
fn a_lent_slice_keeps_the_order_of_what_comes_for_it() {
    let mut node = cores(2);
    // Commands of one client behind a loan, and of another in the middle of it.
    node.send(0, 1, "set k3 1\nexists b k3 a\nincr k3\nincr k3\nset b 1\nexists b k3\nget k3");
    node.send(0, 2, "incr k3");
    for _ in 0..3 {
        node.turn();
        node.send(1, 1, "incr k3\nget nope");
    }
    node.settle();
    let first = node.cores[0].received(1);
    assert!(first.starts_with("+OK :1 "), "{first}");
    let counts: Vec<&str> = first.split(' ').collect();
    let [_, _, one, two, ok, exists, _, last] = counts[..] else { panic!("{first}") };
    let number = |text: &str| text.trim_start_matches(':').parse::<u32>().expect("a number");
    assert_eq!((ok, exists), ("+OK", ":2"));
    assert!(number(one) < number(two), "{first}");
    assert!(number(two) <= number(last), "{first}");
    let mut node_counts = vec![number(one), number(two)];
    for text in [node.cores[0].received(2), node.cores[1].received(1)] {
        node_counts.extend(text.split(' ').filter(|word| word.starts_with(':')).map(number));
    }
    node_counts.sort_unstable();
    assert_eq!(node_counts.len(), 6);
    node_counts.dedup();
    assert_eq!(node_counts.len(), 6, "each INCR counts once");
}

#[test]
fn every_core_seals_its_log_before_the_node_ends() {
    let mut node = cores(3);
    node.ask(0, 1, "set b 1\nset k3 1\nset foo 1");
    let now = node.cores[0].now;
    node.cores[0].node.handle(node::Event::Shutdown, now);
    node.settle();
    assert!(node.cores.iter().all(|core| core.exited));
}

/// Red when a borrower does not learn what settled while it had the slice.
#[test]
fn what_settles_while_a_slice_is_lent_releases_its_readers() {
    let mut node = cores(2);
    assert_eq!(node.ask(1, 1, "set k3 1"), "+OK");
    node.cores[1].frames_stall = true;
    node.send(1, 1, "set k3 2");
    node.send(0, 1, "exists b k3");
    // The loan is asked for and granted; the flush comes back while the slice is away.
    node.turn();
    node.turn();
    node.cores[1].frames_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), ":1");
    assert_eq!(node.cores[1].received(1), "+OK");
}

/// Red when commands behind an EXEC that waits for slices do not wait for it.
#[test]
fn what_follows_a_transaction_follows_it() {
    let mut node = cores(2);
    let sent = "multi\nset b 1\nset k3 1\nexec\nselect 5\nset b 5\nselect 0\nget b\nget k3";
    let answered = "+OK +QUEUED +QUEUED *2 +OK +OK +OK +OK +OK $1 1 $1 1";
    assert_eq!(node.ask(0, 1, sent), answered);
    // What the client selects behind EXEC is not where it executes.
    let sent = "multi\nset b 2\nset k3 2\nexec\nselect 5";
    assert_eq!(node.ask(0, 1, sent), "+OK +QUEUED +QUEUED *2 +OK +OK +OK");
    assert_eq!(node.ask(0, 1, "select 0\nget b\nset k3 1"), "+OK $1 2 +OK");
    let sent = "watch k3\nunwatch\nwatch b k3\nset k3 2\nmulti\nget k3\nexec\nget k3";
    let answered = "+OK +OK +OK +OK +OK +QUEUED *-1 $1 2";
    assert_eq!(node.ask(0, 1, sent), answered);
}

/// Red when EXEC runs as soon as its own slices are here, whatever is under way at other cores.
#[test]
fn a_transaction_waits_for_what_its_client_sent_before_it() {
    let mut node = cores(2);
    node.parcels_stall = true;
    node.send(0, 1, "set k3 1\nmulti\nset b 1\nexec\nmulti\nexec\nset foo 1");
    for _ in 0..3 {
        node.turn();
    }
    assert_eq!(node.ask(0, 2, "get b\nget foo"), "$-1 $-1");
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "+OK +OK +QUEUED *1 +OK +OK *0 +OK");
    assert_eq!(node.ask(0, 2, "get b\nget foo"), "$1 1 $1 1");
}

/// Red when a command overtakes one of its client that waits for room in the log.
#[test]
fn what_waits_for_room_after_a_loan_is_not_overtaken() {
    let mut node = cores(2);
    node.cores[0].frames_stall = true;
    // The first core's slice 0 is lent; its client's commands for it queue.
    node.parcels_stall = true;
    node.send(1, 1, "exists b k3");
    node.cores[1].turn();
    node.parcels_stall = false;
    node.carry();
    node.cores[0].turn();
    node.send(0, 1, "incr b\nincr b");
    // A large write of another client waits for room, and all writes behind it.
    node.cores[0].connect(7);
    let size = 40 << 20;
    let head = format!("*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n${size}\r\n");
    let large = [head.into_bytes(), vec![b'x'; size], b"\r\n".to_vec()].concat();
    node.cores[0].send_bytes(7, &large);
    node.turn();
    node.turn();
    // A read would need no room.
    node.send(0, 1, "get b\nincr b\nexists b\nincr b");
    node.cores[0].frames_stall = false;
    for _ in 0..20 {
        node.settle();
    }
    assert_eq!(node.cores[0].received(1), ":1 :2 $1 2 :3 :1 :4");
    assert_eq!(node.cores[0].received(7), "+OK");
}

/// Red when a request of another core does not wait behind one of its client and slice that waits
/// for room, and when a loan does not.
#[test]
fn what_waits_for_room_on_another_core_is_not_overtaken() {
    let mut node = cores(2);
    node.cores[1].frames_stall = true;
    node.cores[1].connect(7);
    let size = 40 << 20;
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${size}\r\n");
    let large = [head.into_bytes(), vec![b'x'; size], b"\r\n".to_vec()].concat();
    node.cores[1].send_bytes(7, &large);
    node.send(0, 1, "incr k3\nget k3\nexists b k3");
    node.turn();
    node.turn();
    node.cores[1].frames_stall = false;
    for _ in 0..20 {
        node.settle();
    }
    assert_eq!(node.cores[0].received(1), ":1 $1 1 :1");
    assert_eq!(node.cores[1].received(7), "+OK");
}

/// Red when a slice that was only read takes no part in the transaction (PROTOCOL F4).
#[test]
fn what_was_made_of_a_lost_write_is_lost_with_it() {
    let mut node = cores(2);
    let log = node.cores[1].log.clone();
    node.cores[1].frames_stall = true;
    assert_eq!(node.ask(1, 1, "set k3 1"), "");
    assert_eq!(node.ask(0, 1, "copy k3 b"), "", "what could be lost is not shown");
    // The stalled disk never got anything of it.
    node.cores[1].log = log;
    let mut node = node.restart();
    node.cores[0].connect(1);
    assert_eq!(node.ask(0, 1, "exists b k3"), ":0");
}

/// Red when what is told to the core of a client is sent to that core by itself: a core sends to
/// others only.
#[test]
fn a_slow_command_that_waited_for_its_slice_is_noted_where_its_client_is() {
    let mut node = cores(2);
    assert_eq!(node.ask(0, 1, "config set slowlog-log-slower-than 0"), "+OK");
    node.send(1, 1, "mget b k3");
    node.turn();
    // The first core lends its slice, and nobody hears of it yet.
    node.parcels_stall = true;
    node.turn();
    node.send(0, 2, "get b");
    node.turn();
    assert_eq!(node.cores[0].received(2), "", "its slice is away");
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(2), "$-1");
    assert_eq!(node.cores[1].received(1), "*2 $-1 $-1");
    let noted = node.ask(0, 1, "slowlog get -1");
    assert!(noted.contains("$3 get $1 b"), "{noted}");
}
