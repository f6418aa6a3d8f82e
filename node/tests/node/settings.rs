//! CONFIG, INFO's counters, SLOWLOG and LATENCY, on one core and on two.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cores::Cores;
use super::world::{World, config};

/// Nanoseconds; each look at it takes so many.
static STEP: AtomicU64 = AtomicU64::new(0);
static CLOCK: AtomicU64 = AtomicU64::new(0);

fn stopwatch() -> u64 {
    CLOCK.fetch_add(STEP.load(Ordering::Relaxed), Ordering::Relaxed)
}

/// Red when one of several is set though another cannot be, or a core is not told.
#[test]
fn settings_change_on_every_core_all_or_none() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    node.cores[1].connect(2);
    for (request, reply) in [
        ("CONFIG SET maxmemory 1gb maxmemory-policy allkeys-lru", "+OK"),
        (
            "CONFIG SET timeout 7 maxmemory-policy no-such-thing",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - \
             argument(s) must be one of the following: volatile-lru, volatile-lfu, \
             volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, \
             noeviction",
        ),
        ("CONFIG GET timeout", "*2 $7 timeout $1 0"),
        (
            "CONFIG SET maxmemory 1gb maxmemory 2gb",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate \
             parameter",
        ),
        (
            "CONFIG SET maxmemory abc",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must \
             be a memory value",
        ),
        ("CONFIG SET nope 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'"),
        ("CONFIG SET a", "-ERR wrong number of arguments for 'config|set' command"),
        ("CONFIG SET hz 10 timeout", "-ERR syntax error"),
        (
            "CONFIG SET hz abc",
            "-ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be \
             parsed into an integer",
        ),
        (
            "CONFIG SET slowlog-log-slower-than -2",
            "-ERR CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - \
             argument must be between -1 and 9223372036854775807 inclusive",
        ),
        (
            "CONFIG SET appendonly no",
            "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - can't set \
             immutable config",
        ),
        ("CONFIG SET appendonly yes", "+OK"),
        (
            "CONFIG SET notify-keyspace-events KEQ",
            "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - \
             Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ),
        ("CONFIG SET notify-keyspace-events KEA", "+OK"),
        (
            "CONFIG SET client-output-buffer-limit \"normal 1 2\"",
            "-ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') \
             - Wrong number of arguments in buffer limit configuration.",
        ),
        ("CONFIG SET client-output-buffer-limit \"normal 1mb 2mb 3\"", "+OK"),
        ("CONFIG SET list-max-ziplist-size -3", "+OK"),
        (
            "CONFIG SET durability memory durability-floor local",
            "-ERR CONFIG SET failed (possibly related to argument 'durability') - durability \
             may not be weaker than durability-floor",
        ),
        ("CONFIG REWRITE", "-ERR The server is running without a config file"),
        ("CONFIG NOPE", "-ERR unknown subcommand 'NOPE'. Try CONFIG HELP."),
    ] {
        assert_eq!(node.ask(0, 1, request), reply, "{request}");
    }
    for (core, client) in [(0, 1), (1, 2)] {
        let maxmemory = node.ask(core, client, "CONFIG GET maxmemory*");
        assert_eq!(
            maxmemory,
            "*6 $9 maxmemory $10 1073741824 $16 maxmemory-policy $11 allkeys-lru $17 \
             maxmemory-samples $1 5"
        );
        let events = node.ask(core, client, "CONFIG GET NOTIFY-* list-max-listpack-size");
        assert_eq!(events, "*4 $22 list-max-listpack-size $2 -3 $22 notify-keyspace-events $3 AKE");
        let limits = node.ask(core, client, "CONFIG GET client-output*");
        assert!(limits.ends_with(
            "normal 1048576 2097152 3 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        ));
    }
}

/// Red when the password of a core stays the old one.
#[test]
fn a_password_is_in_force_at_once_on_every_core() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    node.cores[1].connect(2);
    assert_eq!(node.ask(0, 1, "CONFIG SET requirepass secret"), "+OK");
    assert_eq!(node.ask(1, 2, "AUTH wrong").split(' ').next(), Some("-WRONGPASS"));
    assert_eq!(node.ask(1, 2, "GET a"), "$-1", "who was there goes on");
    node.cores[1].connect(3);
    assert_eq!(node.ask(1, 3, "GET a"), "-NOAUTH Authentication required.");
    assert_eq!(node.ask(1, 3, "AUTH secret"), "+OK");
    assert!(node.ask(0, 1, "ACL LIST").contains("user default on #(hidden)"));
}

/// Red when what the shell says is not told, or the settings are not those in force.
#[test]
fn the_configuration_file_is_written_by_the_shell() {
    let mut config = config();
    config.facts.config_file = "/etc/toroid.conf".to_owned();
    let mut world = World::with(config, Default::default());
    world.connect(1);
    assert_eq!(world.ask(1, "CONFIG SET timeout 9\nCONFIG REWRITE"), "+OK +OK");
    let settings = world.rewritten.pop().expect("it was to be written");
    let changed: Vec<_> = settings.iter().filter(|setting| setting.is_changed).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].name, &changed[0].value[..]), ("timeout", "9"));
    world.rewrite_result = Err("no space".to_owned());
    assert_eq!(world.ask(1, "CONFIG REWRITE"), "-ERR Rewriting config file: no space");
}

/// Red when a core's counts are left out, or a failure is counted as a rejection.
#[test]
fn calls_failures_and_errors_are_counted_over_all_cores() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect(1);
    node.cores[1].connect(2);
    for key in 0..8 {
        assert_eq!(node.ask(0, 1, &format!("SET k{key} v")), "+OK");
        assert_eq!(node.ask(1, 2, &format!("GET k{key}")), "$1 v");
    }
    assert!(node.ask(0, 1, "INCR k1\nINCR k2\nGET\nNOPE").starts_with("-ERR value is not"));
    assert_eq!(node.ask(0, 1, "MULTI\nSET k1 w\nSET k2 w\nEXEC").matches("+OK").count(), 3);
    let info = node.ask(1, 2, "INFO commandstats errorstats");
    for line in [
        "cmdstat_set:calls=10,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0",
        "cmdstat_get:calls=8,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0",
        "cmdstat_incr:calls=2,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=2",
        "cmdstat_exec:calls=1,",
        "errorstat_ERR:count=4",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
    let usual = node.ask(1, 2, "INFO");
    assert!(!usual.contains("# Commandstats") && usual.contains("# Errorstats"));
    let all = node.ask(1, 2, "INFO all");
    for field in [
        "redis_version:7.",
        "redis_mode:standalone",
        "used_memory_human:",
        "maxmemory_policy:",
        "mem_fragmentation_ratio:",
        "rdb_last_bgsave_status:ok",
        "aof_enabled:1",
        "instantaneous_ops_per_sec:",
        "total_net_input_bytes:",
        "expired_keys:0",
        "evicted_keys:0",
        "role:master",
        "master_replid:",
        "cluster_enabled:0",
        "latency_percentiles_usec_set:p50=",
        "db0:keys=8,expires=0",
    ] {
        assert!(all.contains(field), "{field} in {all}");
    }
    assert_eq!(node.ask(0, 1, "CONFIG RESETSTAT"), "+OK");
    let info = node.ask(1, 2, "INFO commandstats errorstats stats");
    assert!(!info.contains("cmdstat_set") && !info.contains("errorstat"), "{info}");
    assert!(info.contains("keyspace_hits:0"), "{info}");
}

/// Red when a command of another core is lost, or a secret is shown.
#[test]
fn slow_commands_are_remembered_with_whose_they_were() {
    let mut node = Cores::new(2, 4);
    node.cores[0].connect_from(1, "127.0.0.1:50001");
    assert_eq!(node.ask(0, 1, "SLOWLOG GET"), "*0");
    assert_eq!(
        node.ask(0, 1, "CLIENT SETNAME me\nCONFIG SET slowlog-log-slower-than 0"),
        "+OK +OK"
    );
    for key in 0..4 {
        assert_eq!(node.ask(0, 1, &format!("SET k{key} v")), "+OK");
    }
    assert_eq!(node.ask(0, 1, "HELLO 2 AUTH default secret").split(' ').next(), Some("*14"));
    assert_eq!(node.ask(0, 1, &format!("ECHO {}", "x".repeat(200))).len(), 205);
    assert_eq!(node.ask(0, 1, "CONFIG SET slowlog-log-slower-than -1"), "+OK");
    let log = node.ask(0, 1, "SLOWLOG GET -1");
    for key in 0..4 {
        let entry = format!(":1700000000 :0 *3 $3 set $2 k{key} $1 v $15 127.0.0.1:50001 $2 me");
        assert!(log.contains(&entry), "{entry} in {log}");
    }
    assert!(log.contains("*5 $5 hello $10 (redacted)") && !log.contains("secret"), "{log}");
    assert!(log.contains("... (72 more bytes)"), "{log}");
    let count: usize = node.ask(0, 1, "SLOWLOG LEN")[1..].parse().expect("a number");
    assert!(6 <= count, "{count}");
    assert!(node.ask(0, 1, "SLOWLOG GET 2").starts_with("*2 *6 :"));
    assert_eq!(node.ask(0, 1, "CONFIG SET slowlog-max-len 3\nSLOWLOG LEN"), "+OK :3");
    assert_eq!(node.ask(0, 1, "SLOWLOG RESET\nSLOWLOG LEN"), "+OK :0");
    assert_eq!(
        node.ask(0, 1, "SLOWLOG GET -2"),
        "-ERR count should be greater than or equal to -1"
    );
}

/// Red when the time is not that between the looks at the stopwatch.
#[test]
fn how_long_commands_take_is_told_in_every_way() {
    let mut config = config();
    config.stopwatch = stopwatch;
    let mut world = World::with(config, Default::default());
    world.connect(1);
    assert_eq!(world.ask(1, "CONFIG SET latency-monitor-threshold 1\nLATENCY LATEST"), "+OK *0");
    STEP.store(2_000_000, Ordering::Relaxed);
    assert_eq!(world.ask(1, "SET a 1\nSET a 2"), "+OK +OK");
    STEP.store(0, Ordering::Relaxed);
    assert_eq!(world.ask(1, "LATENCY LATEST"), "*1 *4 $7 command :1700000000 :2 :2");
    assert_eq!(world.ask(1, "LATENCY HISTORY command"), "*1 *2 :1700000000 :2");
    assert_eq!(world.ask(1, "LATENCY HISTORY nope"), "*0");
    let histogram = world.ask(1, "LATENCY HISTOGRAM set");
    assert_eq!(histogram, "*2 $3 set *4 $5 calls :2 $14 histogram_usec *2 :2113 :2");
    let info = world.ask(1, "INFO latencystats commandstats");
    assert!(info.contains("cmdstat_set:calls=2,usec=4000,usec_per_call=2000.00"), "{info}");
    assert!(info.contains("latency_percentiles_usec_set:p50=200"), "{info}");
    assert!(world.ask(1, "LATENCY GRAPH command").contains("command - high 2 ms, low 2 ms"));
    assert!(world.ask(1, "LATENCY DOCTOR").contains("the worst 2 ms"));
    assert_eq!(world.ask(1, "LATENCY RESET\nLATENCY LATEST"), ":1 *0");
    assert_eq!(world.ask(1, "CONFIG SET latency-tracking no\nCONFIG RESETSTAT"), "+OK +OK");
    assert_eq!(world.ask(1, "SET a 3\nLATENCY HISTOGRAM set"), "+OK *0");
}

/// Red when a sleep is not slow.
#[test]
fn a_sleep_is_a_slow_command() {
    let mut world = World::new();
    world.connect(1);
    assert_eq!(world.ask(1, "DEBUG SLEEP 0.02"), "");
    world.pass(20_000);
    world.settle();
    assert_eq!(world.received(1), "+OK");
    let log = world.ask(1, "SLOWLOG GET");
    assert!(log.starts_with("*1 *6 :0 :1700000000 :20"), "{log}");
    assert!(log.contains("*3 $5 debug $5 sleep $4 0.02"), "{log}");
}
