//! What tools ask of a server that is alone: its role, its users, its clock, its end.

use super::cores::Cores;
use super::world::World;

/// Requests and what each must be answered, whole.
const EXACT: &[(&str, &str)] = &[
    ("REPLICAOF NO ONE", "+OK"),
    ("SLAVEOF no one", "+OK"),
    ("REPLICAOF 127.0.0.1 x", "-ERR Invalid master port"),
    ("REPLICAOF a", "-ERR wrong number of arguments for 'replicaof' command"),
    ("READONLY", "+OK"),
    ("READWRITE", "+OK"),
    ("ASKING", "-ERR This instance has cluster support disabled"),
    ("FAILOVER", "-ERR FAILOVER requires connected replicas."),
    ("FAILOVER TO host 1 FORCE", "-ERR FAILOVER requires connected replicas."),
    ("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0"),
    ("FAILOVER FORCE FORCE", "-ERR syntax error"),
    ("FAILOVER TO host", "-ERR syntax error"),
    ("FAILOVER ABORT", "-ERR No failover in progress."),
    ("WAIT 0 100", ":0"),
    ("WAIT 1 0", ":0"),
    ("WAIT x 1", "-ERR value is not an integer or out of range"),
    ("WAIT 0 -1", "-ERR timeout is negative"),
    ("WAITAOF 0 0 0", "*2 :1 :0"),
    ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
    ("WAITAOF 0 x 0", "-ERR value is out of range, must be positive"),
    ("TIME x", "-ERR wrong number of arguments for 'time' command"),
    ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
    ("SHUTDOWN SAVE NOSAVE", "-ERR syntax error"),
    ("SHUTDOWN FOO", "-ERR syntax error"),
    ("ACL WHOAMI", "$7 default"),
    ("ACL USERS", "*1 $7 default"),
    ("ACL LIST", "*1 $51 user default on nopass sanitize-payload ~* &* +@all"),
    ("ACL CAT nope", "-ERR Unknown category 'nope'"),
    ("ACL CAT transaction", "*5 $7 discard $4 exec $5 multi $7 unwatch $5 watch"),
    ("ACL DELUSER default", "-ERR The 'default' user cannot be removed"),
    ("ACL DELUSER a", ":0"),
    ("ACL DRYRUN default GET a", "+OK"),
    ("ACL DRYRUN nobody GET a", "-ERR User 'nobody' not found"),
    ("ACL GETUSER nobody", "$-1"),
    ("ACL NOPE", "-ERR unknown subcommand 'NOPE'. Try ACL HELP."),
    ("MODULE LIST", "*0"),
    ("SCRIPT FLUSH", "+OK"),
    ("SCRIPT FLUSH FOO", "-ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
    ("SCRIPT EXISTS a b", "*2 :0 :0"),
    ("SCRIPT KILL", "-NOTBUSY No scripts in execution right now."),
    ("FUNCTION FLUSH ASYNC", "+OK"),
    ("FUNCTION FLUSH X", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
    ("FUNCTION LIST", "*0"),
    ("CLUSTER INFO", "-ERR This instance has cluster support disabled"),
    ("CLUSTER SLOTS", "-ERR This instance has cluster support disabled"),
    ("CLUSTER KEYSLOT a", ":15495"),
    ("CLUSTER SLOTS x", "-ERR wrong number of arguments for 'cluster|slots' command"),
    ("CLUSTER NOPE", "-ERR unknown subcommand 'NOPE'. Try CLUSTER HELP."),
    ("CLUSTER", "-ERR wrong number of arguments for 'cluster' command"),
    ("SENTINEL masters", "-ERR unknown command 'SENTINEL', with args beginning with: 'masters'"),
    ("COMMAND GETKEYS MSET a 1 b 2", "*2 $1 a $1 b"),
    ("COMMAND GETKEYS GET", "-ERR Invalid number of arguments specified for command"),
    ("COMMAND GETKEYS NOPE a", "-ERR Invalid command specified"),
    ("COMMAND GETKEYS PING a", "-ERR The command has no key arguments"),
    ("COMMAND GETKEYSANDFLAGS GET a", "*1 *2 $1 a *2 +RO +access"),
    ("COMMAND LIST FILTERBY PATTERN getr*", "*1 $8 getrange"),
    ("COMMAND LIST FILTERBY MODULE x", "*0"),
    ("COMMAND LIST FILTERBY X y", "-ERR syntax error"),
    ("COMMAND INFO nope", "*1 $-1"),
    (
        "CLIENT SETINFO Lib-Ver a\u{1}",
        "-ERR Lib-Ver cannot contain spaces, newlines or special characters.",
    ),
    ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1"),
    ("MEMORY USAGE nope", "$-1"),
    ("MEMORY PURGE", "+OK"),
    ("MEMORY NOPE", "-ERR unknown subcommand 'NOPE'. Try MEMORY HELP."),
    ("DEBUG PROTOCOL double", "$5 3.141"),
    ("DEBUG PROTOCOL map", "*6 :0 :0 :1 :1 :2 :0"),
    ("DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command"),
    ("DEBUG OBJECT nope", "-ERR no such key"),
    ("DEBUG STRINGMATCH-LEN 1000 a*a", ":1"),
    ("DEBUG STRINGMATCH-LEN 1000 b*", ":0"),
    ("DEBUG DIGEST", "+0000000000000000000000000000000000000000"),
    ("HELLO 4", "-NOPROTO unsupported protocol version"),
    ("SELECT 16", "-ERR DB index is out of range"),
    ("AUTH a b c", "-ERR syntax error"),
    ("GET", "-ERR wrong number of arguments for 'get' command"),
    ("NOPE", "-ERR unknown command 'NOPE', with args beginning with:"),
];

/// Red when a text or a shape of one of them changes.
#[test]
fn a_lone_server_answers_as_redis_does() {
    for cores in [1, 2] {
        let mut node = Cores::new(cores, 4);
        node.cores[0].connect(1);
        for (request, reply) in EXACT {
            assert_eq!(node.ask(0, 1, request), *reply, "{request} on {cores} cores");
        }
    }
}

#[test]
fn a_container_without_help_would_be_one_nobody_can_ask() {
    let mut world = World::new();
    world.connect(1);
    for container in
        ["ACL", "CLIENT", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "MEMORY", "MODULE", "SCRIPT"]
    {
        let help = world.ask(1, &format!("{container} HELP"));
        let title = format!("+{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands");
        assert!(help.contains(&title), "{help}");
    }
}

/// Red when the digest is of one core only, or of the order of writes.
#[test]
fn the_digest_is_of_all_keys() {
    let mut digests = Vec::new();
    for keys in [["a", "b", "c", "d"], ["d", "c", "b", "a"], ["a", "b", "c", "e"]] {
        let mut node = Cores::new(2, 4);
        node.cores[0].connect(1);
        for key in keys {
            assert_eq!(node.ask(0, 1, &format!("SET {key} v")), "+OK");
        }
        digests.push(node.ask(0, 1, "DEBUG DIGEST"));
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digests[2]);
    assert_eq!(digests[0].len(), 41);
}

/// Red when others wait for the sleeper, or the sleeper for nothing.
#[test]
fn a_sleep_holds_only_who_asked_for_it() {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    assert_eq!(world.ask(1, "DEBUG SLEEP 0.5\nPING"), "");
    assert_eq!(world.ask(2, "PING"), "+PONG");
    world.pass(499_000);
    world.settle();
    assert_eq!(world.received(1), "");
    world.pass(1_000);
    world.settle();
    assert_eq!(world.received(1), "+OK +PONG");
    assert_eq!(world.ask(1, "DEBUG SLEEP x"), "-ERR value is not a valid float");
}

/// Red when what is not durable is counted, or the end of the wait is not kept.
#[test]
fn waitaof_counts_what_is_durable() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    assert_eq!(node.ask(0, 1, "CLIENT DURABILITY memory"), "+OK");
    node.cores.iter_mut().for_each(|core| core.disk_stalls = true);
    for key in 0..8 {
        assert_eq!(node.ask(0, 1, &format!("SET k{key} v")), "+OK");
    }
    assert_eq!(node.ask(0, 1, "WAITAOF 0 0 0"), "*2 :0 :0");
    assert_eq!(node.ask(0, 1, "WAITAOF 1 0 50"), "");
    node.cores.iter_mut().for_each(|core| core.pass(50_000));
    node.settle();
    assert_eq!(node.cores[0].received(1), "*2 :0 :0");
    assert_eq!(node.ask(0, 1, "WAITAOF 1 0 0"), "");
    node.cores[0].disk_stalls = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "", "the other core's are not");
    node.cores[1].disk_stalls = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "*2 :1 :0");
}

/// Red when one core goes on.
#[test]
fn shutdown_ends_every_core_and_loses_nothing() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    node.cores[1].connect(2);
    for key in 0..8 {
        node.send(1, 2, &format!("SET k{key} v"));
    }
    assert_eq!(node.ask(0, 1, "SHUTDOWN NOSAVE"), "");
    assert_eq!(node.cores[1].received(2).matches("+OK").count(), 8);
    assert!(node.cores.iter().all(|core| core.exited));
    let mut node = node.restart();
    node.cores[0].connect(1);
    assert_eq!(node.ask(0, 1, "DBSIZE"), ":8");
}

#[test]
fn facts_about_memory_and_time_have_their_shapes() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    assert_eq!(node.ask(0, 1, "SET a 1\nSET b 1\nHELLO 2").split(' ').next(), Some("+OK"));
    assert_eq!(node.ask(0, 1, "TIME"), "*2 $10 1700000000 $1 0");
    let role = node.ask(0, 1, "ROLE");
    assert!(role.starts_with("*3 $6 master :") && role.ends_with("*0"), "{role}");
    let usage = node.ask(0, 1, "MEMORY USAGE a SAMPLES 0");
    assert!(usage[1..].parse::<u32>().is_ok_and(|bytes| 0 < bytes), "{usage}");
    let stats = node.ask(0, 1, "MEMORY STATS");
    assert!(stats.contains("$10 keys.count :2"), "{stats}");
    assert!(stats.contains("$4 db.0 *4 $23 overhead.hashtable.main :16"), "{stats}");
    assert!(node.ask(0, 1, "MEMORY DOCTOR").contains("Hi Sam"));
    assert!(node.ask(0, 1, "LOLWUT").contains("Redis ver. 7.2.4"));
    let object = node.ask(0, 1, "DEBUG OBJECT a");
    assert!(object.starts_with("+Value at:") && object.contains("encoding:int"), "{object}");
    assert!(object.contains("lru_seconds_idle:0") && !object.contains("lru:0"), "{object}");
    assert!(node.ask(0, 1, "ACL GETUSER default").starts_with("*12 $5 flags *3 $2 on"));
    assert!(node.ask(0, 1, "ACL CAT").starts_with("*21 $8 keyspace"));
}
