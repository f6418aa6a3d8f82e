//! Good histories pass, and each kind of bad one is refused for what is wrong with it.

use super::*;

/// How every history starts.
const START: &str = "toroid-history 1\nslices 16\n";

fn check(lines: &str) -> Result<Checked, String> {
    check_recorded(&format!("{START}{}\n", lines.trim()))
}

/// It is refused, and says why with these words.
fn refused(lines: &str, why: &str) {
    let what = check(lines).expect_err("this history is bad");
    assert!(what.contains(why), "{what}");
}

/// Two writers, a transaction, a watch, a crash with something under way.
const GOOD: &str = "
op 1 0 10 30 one SET a 0000001; = ok
op 2 0 20 40 exec SET a 0000002; = ok | APPEND b 0000003; = :8
op 1 0 50 60 one GET a = $0000002;
op 1 0 50 70 one MGET a b = [ $0000002; $0000003; ]
op 2 0 50 80 exec WATCHED a = $0000002; | APPEND b 0000004; = :16 | GET b = $0000003;0000004;
op 3 0 75 90 aborted WATCHED b = $0000003; | SET b 0000005; = ?
op 3 0 100 - exec SET a 0000006; = ? | APPEND b 0000007; = ?
op 2 0 101 - one SET a 0000008; = ?
crash 0 200
op 1 1 300 310 one APPEND b 0000009; = :32
final 1 400 500 MGET a b = [ $0000006; $0000003;0000004;0000007;0000009; ]
";

#[test]
fn a_good_history_is_proved() {
    let checked = check(GOOD).expect("this history is good");
    let expected = Checked {
        operations: 10,
        transactions: 4,
        aborted: 1,
        unanswered: 2,
        unanswered_there: 1,
        crashes: 1,
    };
    assert_eq!(checked, expected);
}

#[test]
fn every_altered_reply_of_a_good_history_is_caught() {
    let alterations = [
        ("GET a = $0000002;", "GET a = $0000001;"),
        ("GET a = $0000002;", "GET a = nil"),
        ("[ $0000002; $0000003; ]", "[ $0000001; $0000003; ]"),
        ("[ $0000002; $0000003; ]", "[ $0000002; nil ]"),
        (":8", ":16"),
        (":16", ":8"),
        (":32", ":24"),
        ("GET b = $0000003;0000004;", "GET b = $0000003;"),
        ("exec WATCHED a = $0000002;", "exec WATCHED a = $0000001;"),
        ("[ $0000006;", "[ $0000002;"),
        ("[ $0000006;", "[ $0000001;"),
        ("[ $0000006;", "[ nil"),
        ("0000007;0000009; ]", "0000009; ]"),
        ("0000004;0000007;", "0000007;0000004;"),
        ("0000009; ]", "0000009;0000005; ]"),
    ];
    for (from, to) in alterations {
        let bad = GOOD.replacen(from, to, 1);
        assert_ne!(bad, GOOD, "{from} is in the history");
        assert!(check(&bad).is_err(), "{from} became {to} and nobody saw it");
    }
}

#[test]
fn half_a_transaction_is_refused() {
    let writes = "op 1 0 10 20 exec SET a 0000001; = ok | SET b 0000002; = ok\n";
    let after = "final 0 90 95 MGET a b = [ $0000001; $0000002; ]";
    let half = "op 2 0 12 14 one MGET a b = [ $0000001; nil ]\n";
    refused(&format!("{writes}{half}{after}"), "no order");
    let both = "op 2 0 12 14 one MGET a b = [ nil nil ]\n";
    check(&format!("{writes}{both}{after}")).expect("it saw none of it");
    // Two readers, each of which may be right alone.
    let readers = "
op 1 0 10 60 one SET a 0000001; = ok
op 2 0 10 60 one SET b 0000002; = ok
op 3 0 20 40 one MGET a b = [ $0000001; nil ]
op 4 0 20 40 one MGET a b = [ nil $0000002; ]
final 0 90 95 MGET a b = [ $0000001; $0000002; ]";
    refused(readers, "no order");
}

#[test]
fn half_of_an_unanswered_transaction_is_refused_after_a_crash() {
    let before = "op 1 0 10 20 one MSET a 0000001; b 0000002; = ok\n";
    let cut = "op 1 0 30 - exec SET a 0000003; = ? | SET b 0000004; = ?\ncrash 0 50\n";
    let finish = |a: u32, b: u32| format!("final 1 90 95 MGET a b = [ ${a:07}; ${b:07}; ]");
    for (a, b, is_good) in [(1, 2, true), (3, 4, true), (3, 2, false), (1, 4, false)] {
        let result = check(&format!("{before}{cut}{}", finish(a, b)));
        assert_eq!(result.is_ok(), is_good, "{a} {b}: {result:?}");
    }
}

#[test]
fn a_lost_update_is_refused() {
    refused(
        "op 1 0 10 20 exec GET a = nil | SET a 0000001; = ok
op 2 0 10 20 exec GET a = nil | SET a 0000002; = ok
final 0 90 95 MGET a = [ $0000002; ]",
        "no order",
    );
    refused(
        "op 1 0 10 20 one SET a 0000001; = ok
op 2 0 30 50 exec WATCHED a = $0000001; | SET a 0000002; = ok
op 3 0 30 50 exec WATCHED a = $0000001; | SET a 0000003; = ok
final 0 90 95 MGET a = [ $0000003; ]",
        "no order",
    );
    refused(
        "op 1 0 10 20 one APPEND a 0000001; = :8
op 2 0 30 50 one APPEND a 0000002; = :16
op 3 0 30 50 one APPEND a 0000003; = :16
op 3 0 51 53 one GET a = $0000001;0000003;
final 0 90 95 MGET a = [ $0000001;0000003; ]",
        "no order",
    );
}

#[test]
fn a_stale_read_is_refused() {
    let writes = "op 1 0 10 20 one SET a 0000001; = ok\nop 1 0 30 40 one SET a 0000002; = ok\n";
    let after = "final 0 90 95 MGET a = [ $0000002; ]";
    let read = |start: u64, value| format!("op 2 0 {start} 50 one GET a = {value}\n");
    refused(&format!("{writes}{}{after}", read(45, "$0000001;")), "no order");
    refused(&format!("{writes}{}{after}", read(25, "nil")), "no order");
    check(&format!("{writes}{}{after}", read(35, "$0000001;"))).expect("it was under way");
    // Two reads of one client that go backwards.
    refused(
        "op 1 0 10 60 one SET a 0000001; = ok
op 2 0 20 30 one GET a = $0000001;
op 2 0 40 50 one GET a = nil
final 0 90 95 MGET a = [ $0000001; ]",
        "no order",
    );
}

#[test]
fn a_pipeline_keeps_its_order_on_a_key() {
    let first = "op 1 0 10 20 one SET a 0000001; = ok\n";
    let second = "op 1 0 10 30 one GET a = nil\n";
    let after = "final 0 90 95 MGET a = [ $0000001; ]";
    refused(&format!("{first}{second}{after}"), "no order");
    check(&format!("{second}{first}{after}")).expect("sent the other way round");
}

#[test]
fn a_lost_acknowledged_write_is_refused() {
    let run = |after: &str| {
        format!(
            "op 1 0 10 20 one SET a 0000001; = ok\nop 1 0 30 40 one APPEND b 0000002; = :8\n\
             crash 0 50\nfinal 1 90 95 MGET a b = [ {after} ]"
        )
    };
    check(&run("$0000001; $0000002;")).expect("everything is there");
    refused(&run("nil $0000002;"), "no order");
    refused(&run("$0000001; nil"), "no order");
    // What nobody overwrote was there before the crash and is gone after it.
    refused(
        "op 1 0 10 20 one SET a 0000001; = ok
op 1 0 30 - one SET a 0000002; = ?
op 2 0 32 40 one GET a = $0000002;
crash 0 50
final 1 90 95 MGET a = [ $0000001; ]",
        "no order",
    );
}

#[test]
fn an_operation_does_not_happen_after_the_end_of_its_process() {
    refused(
        "op 1 0 10 20 one SET a 0000001; = ok
op 1 0 30 - one SET a 0000002; = ?
crash 0 50
op 2 1 60 70 one GET a = $0000001;
final 1 90 95 MGET a = [ $0000002; ]",
        "no order",
    );
}

#[test]
fn what_a_watch_refused_leaves_nothing() {
    refused(
        "op 1 0 10 20 aborted WATCHED a = nil | SET a 0000001; = ?
final 0 90 95 MGET a = [ $0000001; ]",
        "nobody wrote that",
    );
}

#[test]
fn what_is_no_whole_history_is_refused() {
    refused("op 1 0 10 20 one SET a 0000001; = ok", "cut");
    refused("op 1 0 10 20 one SET a 0000001; = ok\nfinal 0 30 40 MGET b = [ nil ]", "lack a key");
    refused(
        "op 1 0 10 20 one SET a 0000001; = ok\nfinal 0 15 40 MGET a = [ nil ]",
        "before the end",
    );
    refused("op 1 0 10 20 one INCR a = :1\nfinal 0 30 40 MGET a = [ nil ]", "no such command");
    refused("op 1 0 10 20 one GET a = ?\nfinal 0 30 40 MGET a = [ nil ]", "without replies");
    refused("op 1 0 10 20 one GET a = $x\nfinal 0 30 40 MGET a = [ nil ]", "nobody made");
    assert!(check_recorded("").is_err());
}
