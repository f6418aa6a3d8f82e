//! CLIENT across cores: who is listed, who is killed, who is held, who gets no replies.

use super::cores::Cores;
use super::world::World;

/// Two cores with a client each.
fn two() -> Cores {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect_from(1, "127.0.0.1:50001");
    node.cores[1].connect_from(2, "127.0.0.1:50002");
    node
}

/// Red when the other core is not asked, or the client that asks is left out.
#[test]
fn clients_of_all_cores_are_listed_once_each() {
    let mut node = two();
    assert_eq!(node.ask(1, 2, "CLIENT SETNAME other\nSELECT 3"), "+OK +OK");
    let list = node.ask(0, 1, "CLIENT LIST");
    assert_eq!(list.matches("id=").count(), 2, "{list}");
    assert!(list.contains("id=1 addr=127.0.0.1:50001 laddr=127.0.0.1:50001 fd=1 name= age=0"));
    assert!(list.contains("addr=127.0.0.1:50002"), "{list}");
    assert!(list.contains("name=other"), "{list}");
    assert!(list.contains("db=3 sub=0 psub=0 ssub=0 multi=-1"), "{list}");
    assert!(list.contains("cmd=client|list user=default redir=-1 resp=2 lib-name= lib-ver="));
    assert!(list.contains("cmd=select user=default"), "{list}");
    assert!(list.contains("io-thread=1"), "{list}");
    let other = node.ask(0, 1, "CLIENT LIST ID 2 77");
    assert!(other.contains("id=2 ") && !other.contains("id=1 "), "{other}");
    assert_eq!(node.ask(0, 1, "CLIENT LIST TYPE pubsub"), "$0");
    assert_eq!(node.ask(0, 1, "CLIENT LIST TYPE normal").matches("id=").count(), 2);
    assert_eq!(node.ask(0, 1, "CLIENT LIST TYPE x"), "-ERR Unknown client type 'x'");
    assert_eq!(node.ask(0, 1, "CLIENT LIST ID x"), "-ERR Invalid client ID");
    assert_eq!(node.ask(0, 1, "CLIENT LIST ID"), "-ERR syntax error");
    let own = node.ask(1, 2, "CLIENT INFO");
    assert!(own.contains("id=2 ") && own.contains("cmd=client|info"), "{own}");
}

/// Red when age or idle is not counted from the right moment.
#[test]
fn age_and_idle_are_seconds() {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    world.pass(5_000_000);
    assert_eq!(world.ask(2, "PING"), "+PONG");
    world.pass(2_000_000);
    let list = world.ask(1, "CLIENT LIST ID 2");
    assert!(list.contains("age=7 idle=2 flags=N"), "{list}");
    assert!(list.contains("tot-net-in=6 tot-net-out=7 tot-cmds=1"), "{list}");
}

/// Red when the other core is not told, or when a filter is not looked at.
#[test]
fn clients_of_all_cores_are_killed_by_what_they_are() {
    let mut node = two();
    assert_eq!(node.ask(0, 1, "CLIENT KILL 1.2.3.4:5"), "-ERR No such client");
    assert_eq!(node.ask(0, 1, "CLIENT KILL ID 99"), ":0");
    assert_eq!(node.ask(0, 1, "CLIENT KILL TYPE pubsub"), ":0");
    assert_eq!(node.ask(0, 1, "CLIENT KILL ID 0"), "-ERR client-id should be greater than 0");
    assert_eq!(node.ask(0, 1, "CLIENT KILL USER nobody"), "-ERR No such user 'nobody'");
    assert_eq!(node.ask(0, 1, "CLIENT KILL SKIPME maybe"), "-ERR syntax error");
    assert_eq!(node.ask(0, 1, "CLIENT KILL ID 2 ADDR 127.0.0.1:1"), ":0");
    assert_eq!(node.ask(0, 1, "CLIENT KILL ID 1"), ":0", "who asks is spared");
    assert!(!node.cores[1].clients[&2].closed);
    assert_eq!(node.ask(0, 1, "CLIENT KILL 127.0.0.1:50002"), "+OK");
    assert!(node.cores[1].clients[&2].closed);
    node.cores[1].connect_from(3, "127.0.0.1:50003");
    assert_eq!(node.ask(0, 1, "CLIENT KILL USER default"), ":1");
    assert!(node.cores[1].clients[&3].closed);
    assert_eq!(node.ask(0, 1, "CLIENT KILL ID 1 SKIPME no"), ":1");
    assert!(node.cores[0].clients[&1].closed, "with its reply");
}

/// Red when a filter is not looked at, when `not-` means nothing, or when one said again does not
/// replace what it said before.
#[test]
fn filters_say_who_is_meant_and_who_is_not() {
    let mut node = two();
    assert_eq!(
        node.ask(1, 2, "CLIENT SETNAME other\nSELECT 3\nCLIENT CAPA redirect"),
        "+OK +OK +OK"
    );
    assert_eq!(node.ask(1, 2, "CLIENT SETINFO lib-name lib\nCLIENT SETINFO lib-ver 2"), "+OK +OK");
    // The client with the number 2, and not the one that asks.
    let fit = [
        "NAME other",
        "NOT-ID 1",
        "ADDR 127.0.0.1:50002 IP 127.0.0.1",
        "NOT-LADDR 127.0.0.1:50001",
        "DB 0 DB 3",
        "NOT-DB 0",
        "CAPA r",
        "LIB-NAME lib LIB-VER 2",
        "SKIPME yes",
        "ID 1 ID 2 NOT-NAME x SKIPME yes",
        "ID 2 3 TYPE normal",
        "USER default NOT-LIB-NAME x NAME other",
        "FLAGS N NOT-CAPA r NAME x CAPA r NOT-CAPA r",
    ];
    for filters in &fit[..fit.len() - 1] {
        let list = node.ask(0, 1, &format!("CLIENT LIST {filters}"));
        assert!(list.contains("id=2 ") && !list.contains("id=1 "), "{filters}: {list}");
    }
    let nobody = [
        fit[fit.len() - 1],
        "NOT-USER default",
        "NOT-TYPE normal",
        "FLAGS x",
        "MAXAGE 99",
        "IDLE 9",
    ];
    for filters in nobody {
        assert_eq!(node.ask(0, 1, &format!("CLIENT LIST {filters}")), "$0", "{filters}");
    }
    assert!(node.ask(1, 2, "CLIENT INFO").contains("flags=N capa=r db=3"));
    for (filters, refusal) in [
        ("FLAGS Q", "-ERR Unknown flags found in the provided filter: Q"),
        ("CAPA z", "-ERR Unknown capa found in the provided filter: z"),
        ("DB 16", "-ERR DB number should be between 0 and 15"),
        ("DB x", "-ERR DB is not an integer or out of range"),
        ("MAXAGE x", "-ERR maxage is not an integer or out of range"),
        ("IDLE 0", "-ERR idle should be greater than 0"),
        ("NOT-IDLE 1", "-ERR syntax error"),
        ("NOT-USER x", "-ERR No such user 'x'"),
        ("ID 0", "-ERR client-id should be greater than 0"),
        ("ID 1 x", "-ERR syntax error"),
        ("NAME", "-ERR syntax error"),
    ] {
        assert_eq!(node.ask(0, 1, &format!("CLIENT LIST {filters}")), refusal, "{filters}");
    }
    assert_eq!(node.ask(0, 1, "CLIENT KILL NAME x NAME other DB 3"), ":1");
    assert!(node.cores[1].clients[&2].closed);
}

/// Red when a core does not pause, when a command overtakes another, or when nothing ends it.
#[test]
fn a_pause_holds_writes_on_every_core_and_lets_them_go_in_order() {
    let mut node = two();
    assert_eq!(node.ask(0, 1, "CLIENT PAUSE 60000 WRITE"), "+OK");
    assert_eq!(node.ask(1, 2, "GET a\nPING"), "$-1 +PONG", "reads go on");
    assert_eq!(node.ask(1, 2, "SET a 1\nGET a\nSET a 2\nGET a"), "");
    assert_eq!(node.ask(0, 1, "MULTI\nSET b 1"), "+OK");
    let list = node.ask(1, 2, "PING");
    assert_eq!(list, "", "what comes behind a held command waits");
    node.cores[0].connect(4);
    assert_eq!(node.ask(0, 4, "GET a"), "$-1");
    assert_eq!(node.ask(0, 4, "CLIENT UNPAUSE"), "+OK");
    assert_eq!(node.cores[1].received(2), "+OK $1 1 +OK $1 2 +PONG");
    assert_eq!(node.cores[0].received(1), "+QUEUED");
}

/// Red when the pause holds who asks for it: once the other core has answered, it would wait for
/// the end of its own pause.
#[test]
fn a_pause_does_not_hold_the_command_or_the_transaction_that_began_it() {
    let mut node = two();
    assert_eq!(node.ask(0, 1, "CLIENT PAUSE 60000 ALL"), "+OK");
    assert_eq!(node.ask(0, 1, "CLIENT UNPAUSE"), "+OK");
    let queued = "+OK +QUEUED +QUEUED +QUEUED";
    assert_eq!(node.ask(0, 1, "MULTI\nSET a 1\nCLIENT PAUSE 60000 WRITE\nSET b 2"), queued);
    assert_eq!(node.ask(0, 1, "EXEC\nGET b"), "*3 +OK +OK +OK $1 2");
    assert_eq!(node.ask(0, 1, "SET a 2"), "");
    assert_eq!(node.ask(1, 2, "GET a\nCLIENT UNPAUSE"), "$1 1 +OK");
    assert_eq!(node.cores[0].received(1), "+OK");
}

/// Red when the end of a pause is not waited for, or when reads run in a pause of all.
#[test]
fn a_pause_of_all_ends_by_itself() {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    let end_us = world.now.monotonic_us + 100_000;
    assert_eq!(world.ask(1, "CLIENT PAUSE 100"), "+OK");
    assert_eq!(world.ask(2, "GET a"), "");
    world.pass(50_000);
    world.settle();
    assert_eq!(world.node.poll_timeout(), Some(end_us), "nothing else wakes an idle node");
    world.pass(49_000);
    assert_eq!(world.received(2), "");
    world.pass(1_000);
    world.settle();
    assert_eq!(world.received(2), "$-1");
    assert_eq!(world.ask(1, "CLIENT PAUSE x"), "-ERR timeout is not an integer or out of range");
    assert_eq!(world.ask(1, "CLIENT PAUSE -1"), "-ERR timeout is negative");
    let mode = "-ERR CLIENT PAUSE mode must be WRITE or ALL";
    assert_eq!(world.ask(1, "CLIENT PAUSE 1 X"), mode);
}

/// Red when a reply of another core, or one of the client's own, is sent all the same.
#[test]
fn who_wants_no_replies_gets_none_from_any_core() {
    let mut node = two();
    let writes: String = (0..16).map(|key| format!("SET k{key} v\n")).collect();
    let text = format!("CLIENT REPLY OFF\n{writes}MGET k1 k2 k3\nCLIENT REPLY ON\nGET k7");
    assert_eq!(node.ask(0, 1, &text), "+OK $1 v");
    assert_eq!(node.ask(1, 2, "CLIENT REPLY SKIP\nGET k1\nGET k2"), "$1 v");
    assert_eq!(node.ask(1, 2, "CLIENT REPLY SKIP\nNOPE\nECHO b"), "$1 b");
    assert_eq!(node.ask(1, 2, "CLIENT REPLY x"), "-ERR syntax error");
    assert_eq!(node.ask(1, 2, "CLIENT REPLY OFF\nRESET\nPING"), "+RESET +PONG");
}

#[test]
fn what_a_client_may_be_is_said_as_redis_says_it() {
    let mut world = World::new();
    world.connect(1);
    for (request, reply) in [
        ("CLIENT NO-EVICT on", "+OK"),
        ("CLIENT NO-TOUCH on", "+OK"),
        ("CLIENT NO-TOUCH x", "-ERR syntax error"),
        ("CLIENT GETREDIR", ":-1"),
        ("CLIENT CAPA redirect", "+OK"),
        ("CLIENT TRACKING off", "+OK"),
        ("CLIENT TRACKINGINFO", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
        ("CLIENT UNBLOCK 12", ":0"),
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
        (
            "CLIENT MAINT_NOTIFICATIONS on",
            "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
        ),
        ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
        ("CLIENT INFO x", "-ERR wrong number of arguments for 'client|info' command"),
    ] {
        assert_eq!(world.ask(1, request), reply, "{request}");
    }
    assert!(world.ask(1, "CLIENT LIST").contains("flags=eT "));
    assert!(world.ask(1, "CLIENT TRACKING on").starts_with("-ERR CLIENT TRACKING ON is not"));
    assert_eq!(world.ask(1, "MULTI\nCLIENT LIST\nEXEC").matches("multi=").count(), 1);
}
