//! Time, memory and clients are bounded: what expires goes, what is too much is evicted or
//! refused, and neither holds a core.

use base::SliceId;
use node::{MemoryPolicy, OutputLimit};

use crate::cores::Cores;
use crate::world::{World, config};

fn world() -> World {
    let mut world = World::new();
    world.connect(1);
    world.connect(2);
    world
}

fn cores(count: u16) -> Cores {
    let mut node = Cores::new(count, 4);
    for core in &mut node.cores {
        core.connect(1);
        core.connect(2);
    }
    node
}

/// Sends many requests in one piece and throws their replies away.
fn fill(world: &mut World, requests: impl Iterator<Item = String>) {
    let requests: Vec<String> = requests.collect();
    for some in requests.chunks(1000) {
        world.send(1, &some.join("\n"));
        world.run_until_asleep();
    }
    world.settle();
    world.received(1);
}

fn info(world: &mut World, field: &str) -> u64 {
    field_of(&world.ask(2, "info"), field)
}

fn field_of(text: &str, field: &str) -> u64 {
    let start = text.find(&format!(" {field}:")).expect("the field is there") + field.len() + 2;
    let number = text[start..].split(' ').next().expect("a number follows");
    number.parse().expect("it is a number")
}

/// Red when `run_upkeep` does not run the expiry.
#[test]
fn keys_that_nobody_asks_for_go_by_effects_that_a_restart_knows() {
    let mut world = world();
    fill(&mut world, (0..1000).map(|n| format!("set key:{n} v px 500")));
    fill(&mut world, (0..10).map(|n| format!("set stays:{n} v")));
    assert_eq!(world.node.key_count(0), 1010);
    world.pass(1_000_000);
    world.run_until_asleep();
    assert_eq!(world.node.key_count(0), 10);
    assert_eq!(info(&mut world, "expired_keys"), 1000);
    let digest = world.node.digest(SliceId(0));
    let restarted = world.restart();
    assert_eq!(restarted.node.key_count(0), 10, "they were deleted in the log");
    assert_eq!(restarted.node.digest(SliceId(0)), digest);
}

/// Red when a key found expired is only hidden: the reply left before the deletion was durable,
/// and a restart with an earlier clock showed the key again.
#[test]
fn a_read_that_finds_a_key_expired_waits_for_its_deletion() {
    let mut world = world();
    world.node.settings_mut().active_expire = false;
    assert_eq!(world.ask(1, "set key v px 500"), "+OK");
    world.pass(1_000_000);
    world.run_until_asleep();
    assert_eq!(world.node.key_count(0), 1, "nobody has looked");
    world.frames_stall = true;
    assert_eq!(world.ask(1, "get key"), "", "its deletion may still be lost");
    world.frames_stall = false;
    world.settle();
    assert_eq!(world.received(1), "$-1");
    // The clock of the tests starts where it did before: the key had not expired then.
    let mut restarted = world.restart();
    restarted.connect(1);
    assert_eq!(restarted.ask(1, "get key"), "$-1");
}

/// Red when the budget of a turn is without bound.
#[test]
fn a_hundred_thousand_keys_expire_over_many_turns() {
    let mut world = world();
    let count = 100_000;
    fill(&mut world, (0..count).map(|n| format!("set key:{n} v px 100000")));
    world.now.monotonic_us += 200_000_000;
    world.now.wall_ms += 200_000;
    let mut turns = 0;
    loop {
        let before = world.node.key_count(0);
        if before == 0 {
            break;
        }
        world.turn();
        turns += 1;
        let gone = before - world.node.key_count(0);
        assert!(gone <= 2000, "{gone} keys in one turn");
        assert!(turns < 100_000, "they do not go");
    }
    assert!(100 < turns);
    assert_eq!(info(&mut world, "expired_keys"), count);
}

/// Red when a pass that found nothing due asks for another turn at once.
#[test]
fn a_core_sleeps_until_the_next_key_is_due() {
    let mut world = world();
    assert_eq!(world.ask(1, "set key v px 3000\nset other v"), "+OK +OK");
    let mut wakes = 0;
    while world.node.key_count(0) == 2 {
        world.run_until_asleep();
        let at = world.node.poll_timeout().expect("something is due");
        world.pass(at.saturating_sub(world.now.monotonic_us));
        wakes += 1;
    }
    assert!(wakes < 10, "{wakes} wakes in three seconds");
    for _ in 0..4 {
        world.pass(1_000_000);
        world.run_until_asleep();
    }
    let next = world.node.poll_timeout();
    assert!(next.is_none_or(|at| world.now.monotonic_us + 1_000_000 < at), "{next:?}");
}

/// Red when slices that are lent are not left alone: they are not here, and a core that looks
/// into them panics.
#[test]
fn expiry_leaves_lent_slices_alone_and_comes_back_to_them() {
    let mut node = cores(2);
    for key in ["b", "k3", "foo", "a"] {
        assert_eq!(node.ask(0, 1, &format!("set {key} v px 500")), "+OK");
    }
    // The first core asks for the second's slices and does not get them while parcels lie.
    node.send(0, 1, "mset b 1 k3 2 foo 3 a 4");
    node.cores[0].turn();
    node.carry();
    node.parcels_stall = true;
    for core in &mut node.cores {
        core.turn();
        core.pass(1_000_000);
        core.run_until_asleep();
    }
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "+OK");
    assert_eq!(node.ask(1, 1, "exists b k3 foo a"), ":4");
}

/// Writes far more than fits, and looks at what is left.
fn policy_keeps_memory(policy: MemoryPolicy, core_count: u16) {
    let mut node = cores(core_count);
    let value = "x".repeat(100);
    let lines: Vec<String> = (0..1000).map(|n| format!("set stays:{n} {value}")).collect();
    node.send(0, 1, &lines.join("\n"));
    node.settle();
    node.cores[0].received(1);
    let limit = 1_500_000 * u64::from(core_count);
    for core in &mut node.cores {
        let settings = core.node.settings_mut();
        settings.memory_max = limit;
        settings.memory_policy = policy;
    }
    let mut refused = 0;
    for round in 0..60 {
        for core in 0..usize::from(core_count) {
            let lines = (0..200).map(|n| {
                format!("set goes:{core}:{} {value} px {}", round * 200 + n, 1_000_000 + n)
            });
            let lines: Vec<String> = lines.collect();
            node.send(core, 1, &lines.join("\n"));
        }
        node.settle();
        for core in 0..usize::from(core_count) {
            refused += node.cores[core].received(1).matches("-OOM command not allowed").count();
        }
        let used: usize = node.cores.iter().map(|core| core.node.own_memory()).sum();
        assert!(used as u64 <= limit + limit / 16, "{policy:?}: {used} of {limit}");
    }
    let keys: usize = node.cores.iter().map(|core| core.node.key_count(0)).sum();
    assert!(1000 < keys && keys < 12_000 * usize::from(core_count), "{policy:?}: {keys} keys");
    let evicted = field_of(&node.ask(0, 2, "info"), "evicted_keys");
    match policy {
        MemoryPolicy::NoEviction => assert!(0 < refused && evicted == 0),
        _ => assert!(0 < evicted && refused == 0, "{policy:?}: {refused} refused"),
    }
    if policy.is_volatile() {
        let left = node.ask(0, 2, "info keyspace");
        let expires = left.split("expires=").nth(1).and_then(|rest| rest.split(',').next());
        let expires: usize = expires.expect("the field is there").parse().expect("a number");
        assert_eq!(keys - expires, 1000, "{policy:?}: what does not expire stays");
    }
    node.settle();
    let digests = node.digests();
    assert_eq!(node.restart().digests(), digests, "{policy:?}");
}

/// Red when `is_over_memory` is always false, when `evict_one` forgets `is_volatile`, and, on the
/// digests, when `evict_key` changes the keyspace without an effect.
#[test]
fn each_policy_keeps_memory_under_the_limit_and_evicts_what_it_may() {
    for policy in [
        MemoryPolicy::NoEviction,
        MemoryPolicy::AllKeysLru,
        MemoryPolicy::AllKeysLfu,
        MemoryPolicy::AllKeysRandom,
        MemoryPolicy::VolatileLru,
        MemoryPolicy::VolatileLfu,
        MemoryPolicy::VolatileRandom,
        MemoryPolicy::VolatileTtl,
    ] {
        policy_keeps_memory(policy, 1);
    }
}

/// Red when `tell_memory` tells nothing.
#[test]
fn cores_keep_one_limit_together() {
    for policy in [MemoryPolicy::NoEviction, MemoryPolicy::AllKeysLru, MemoryPolicy::VolatileTtl] {
        policy_keeps_memory(policy, 2);
    }
}

/// Red when the score of an entry is a constant.
#[test]
fn the_keys_used_least_recently_go_first() {
    let mut world = world();
    let value = "x".repeat(1000);
    fill(&mut world, (0..2000).map(|n| format!("set key:{n} {value}")));
    world.pass(100_000_000);
    fill(&mut world, (0..1000).map(|n| format!("get key:{n}")));
    let used = world.node.memory_used() as u64;
    let settings = world.node.settings_mut();
    settings.memory_policy = MemoryPolicy::AllKeysLru;
    settings.memory_max = used - used / 4;
    fill(&mut world, std::iter::once("set one more".to_owned()));
    let exists = |world: &mut World, from: usize| {
        let keys: Vec<String> = (from..from + 1000).map(|n| format!("key:{n}")).collect();
        let answer = world.ask(2, &format!("exists {}", keys.join(" ")));
        answer[1..].parse::<usize>().expect("a number")
    };
    let (used, unused) = (exists(&mut world, 0), exists(&mut world, 1000));
    assert!(unused < 700, "{unused} of those not used are left");
    assert!(900 < used, "{used} of those used are left");
}

/// Red when a command that needs memory is queued whatever there is.
#[test]
fn a_transaction_without_memory_is_refused_as_a_whole() {
    let mut world = world();
    assert_eq!(world.ask(1, "set key v"), "+OK");
    world.node.settings_mut().memory_max = 1;
    const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
    assert_eq!(world.ask(1, "set key w"), format!("-{OOM}"));
    assert_eq!(world.ask(1, "get key\ndel nothing"), "$1 v :0");
    let discarded = "-EXECABORT Transaction discarded because of previous errors.";
    let sent = "multi\nget key\nset key w\nexec\nget key";
    let answer = world.ask(1, sent);
    assert_eq!(answer, format!("+OK +QUEUED -{OOM} {discarded} $1 v"));
    world.node.settings_mut().memory_max = 0;
    assert_eq!(world.ask(1, "multi\nset key w"), "+OK +QUEUED");
    world.node.settings_mut().memory_max = 1;
    let because = format!("-EXECABORT Transaction discarded because of: {OOM}");
    assert_eq!(world.ask(1, "exec\nget key"), format!("{because} $1 v"));
}

/// Red when freeing has no bound: one turn frees everything.
#[test]
fn what_is_flushed_is_freed_over_many_turns() {
    let mut world = world();
    fill(&mut world, (0..50_000).map(|n| format!("set key:{n} v")));
    let full = world.node.memory_used();
    world.send(1, "flushall");
    assert_eq!(world.node.key_count(0), 0);
    let mut turns = 0;
    let mut before = world.node.memory_used();
    assert!(full / 2 < before, "it is not freed at once");
    while 1_000_000 < world.node.memory_used() {
        assert!(world.node.poll_timeout() == Some(0), "there is more to do");
        world.turn();
        let now = world.node.memory_used();
        assert!(before.saturating_sub(now) < full / 20, "{} bytes in one turn", before - now);
        before = now;
        turns += 1;
    }
    assert!(20 < turns, "{turns}");
    world.run_until_asleep();
    assert_eq!(world.received(1), "+OK");
}

/// Red when `is_idle` is always false, and when it does not look at what waits.
#[test]
fn a_silent_client_is_closed_and_one_that_waits_is_not() {
    let mut world = world();
    world.node.settings_mut().timeout_s = 10;
    assert_eq!(world.ask(2, "set key v"), "+OK");
    world.pass(6_000_000);
    world.send(2, "ping");
    world.pass(6_000_000);
    world.run_until_asleep();
    assert!(world.clients[&1].closed, "it has sent nothing for 12 seconds");
    assert!(!world.clients[&2].closed);
    world.pass(6_000_000);
    world.run_until_asleep();
    assert!(world.clients[&2].closed);
    let delay = world.node.poll_timeout().map(|at| at.saturating_sub(world.now.monotonic_us));
    assert!(delay != Some(0), "nobody is left to look at");
}

/// Red when `is_idle` does not ask whether the client listens.
#[test]
fn a_client_that_listens_may_be_silent() {
    let mut world = world();
    world.connect(3);
    world.node.settings_mut().timeout_s = 10;
    assert!(world.ask(1, "subscribe news").contains("subscribe"));
    assert_eq!(world.ask(2, "monitor"), "+OK");
    for _ in 0..4 {
        world.pass(6_000_000);
        world.run_until_asleep();
    }
    assert!(!world.clients[&1].closed && !world.clients[&2].closed);
    assert!(world.clients[&3].closed);
}

/// Red when `close_turn` does not take the events of what the core did by itself.
#[test]
fn what_expires_or_is_evicted_is_published_once_it_is_settled() {
    let mut world = world();
    let classes = engine::Classes::parse(b"Exe").expect("all letters are known");
    world.node.set_notify_classes(classes);
    world.ask(2, "subscribe __keyevent@0__:expired __keyevent@0__:evicted");
    assert_eq!(world.ask(1, "set gone v px 500\nset out v"), "+OK +OK");
    world.frames_stall = true;
    world.pass(1_000_000);
    world.settle();
    assert_eq!(world.node.key_count(0), 1);
    assert_eq!(world.received(2), "", "its deletion may still be lost");
    world.frames_stall = false;
    world.settle();
    assert!(world.received(2).ends_with("expired $4 gone"));
    let settings = world.node.settings_mut();
    settings.memory_policy = MemoryPolicy::AllKeysRandom;
    settings.memory_max = 1;
    world.ask(1, "set more v");
    world.settle();
    assert!(world.received(2).ends_with("evicted $3 out"));
}

/// Red when `limit_output` closes nobody, and when it forgets since when.
#[test]
fn a_client_that_does_not_read_is_closed_at_its_limits() {
    for (limit, after_us) in [
        (OutputLimit { hard: 100_000, soft: 0, soft_s: 0 }, 0),
        (OutputLimit { hard: 0, soft: 100_000, soft_s: 5 }, 7_000_000),
    ] {
        let mut world = world();
        assert_eq!(world.ask(2, &format!("set key {}", "x".repeat(50_000))), "+OK");
        world.node.settings_mut().output_limit = limit;
        world.clients.get_mut(&1).expect("it connected").stuck = true;
        world.send(1, "get key");
        world.send(1, "get key\nget key");
        if 0 < after_us {
            world.pass(3_000_000);
            world.run_until_asleep();
            assert!(!world.clients[&1].closed, "{limit:?}");
            world.pass(after_us - 3_000_000);
        }
        world.run_until_asleep();
        assert!(world.clients[&1].closed, "{limit:?}");
        assert!(!world.clients[&2].closed);
    }
}

/// Red when `receive` compares with a thousand times the limit.
#[test]
fn a_request_that_never_ends_is_cut_off() {
    let mut world = world();
    world.node.settings_mut().query_size_max = 100_000;
    world.send_bytes(1, b"*3\r\n$3\r\nset\r\n$3\r\nkey\r\n$30000000\r\n");
    for _ in 0..20 {
        world.send_bytes(1, &[b'x'; 10_000]);
        let short = format!("set key {}", "x".repeat(10_000));
        assert_eq!(world.ask(2, &short), "+OK");
    }
    world.run_until_asleep();
    assert!(world.clients[&1].closed);
    assert!(!world.clients[&2].closed, "what was executed does not count");
}

/// Red when the default is not derived from what the host has.
#[test]
fn the_limit_is_a_share_of_what_there_is_unless_set() {
    let mut config = config();
    config.facts.total_memory = 1000 * 1_000_000;
    let mut world = World::with(config, Default::default());
    assert_eq!(world.node.settings_mut().memory_max, 800 * 1_000_000);
    world.connect(2);
    assert_eq!(info(&mut world, "maxmemory"), 800 * 1_000_000);
}

/// Red when a turn of any length counts.
#[test]
fn long_turns_are_counted() {
    let mut world = world();
    for time_us in [10, 499, 2000, 700] {
        world.node.note_turn_time(time_us);
    }
    assert_eq!(info(&mut world, "stalls"), 2);
    assert_eq!(info(&mut world, "stall_max_usec"), 2000);
}

/// Red when the replies that may be under way do not depend on their size.
#[test]
fn a_client_gets_few_large_replies_at_a_time_from_other_cores() {
    let mut node = cores(2);
    assert_eq!(node.ask(1, 1, "setrange k3 4000000 x"), ":4000001");
    node.ask(0, 1, "get k3");
    node.cores[0].clients.get_mut(&1).expect("it connected").stuck = true;
    node.send(0, 1, &vec!["get k3"; 1000].join("\n"));
    node.settle();
    let held = node.cores[0].node.output_size();
    assert!(held <= 2 * base::limits::OUTPUT_SIZE_PAUSE + 4_000_000, "{held}");
}

/// Red when the expiry runs in a pause, when a read deletes, or when the end of the pause wakes
/// nobody.
#[test]
fn what_expires_in_a_pause_is_hidden_and_stays_until_its_end() {
    for (mode, ends_early) in [("WRITE", false), ("ALL", false), ("WRITE", true)] {
        let mut world = world();
        fill(&mut world, (0..100).map(|n| format!("set key:{n} v px 500")));
        assert_eq!(world.ask(1, "watch key:0"), "+OK");
        assert_eq!(world.ask(2, &format!("client pause 60000 {mode}")), "+OK");
        world.pass(1_000_000);
        world.run_until_asleep();
        assert_eq!(world.node.key_count(0), 100, "{mode}");
        let next_us = world.node.poll_timeout().expect("the pause ends");
        assert!(world.now.monotonic_us + 50_000_000 < next_us, "the core sleeps");
        if mode == "WRITE" {
            let read = "get key:1\nexists key:1 key:2\nttl key:3\nmget key:4\nkeys *";
            assert_eq!(world.ask(2, read), "$-1 :0 :-2 *1 $-1 *0");
            assert_eq!(world.ask(1, "multi\nping\nexec"), "+OK +QUEUED *-1", "it has changed");
            assert_eq!(world.ask(1, "watch key:0\nmulti\nping\nexec"), "+OK +OK +QUEUED *1 +PONG");
            assert_eq!(info(&mut world, "expired_keys"), 0);
            assert_eq!(world.node.key_count(0), 100);
        }
        if ends_early {
            assert_eq!(world.ask(2, "client unpause"), "+OK");
        } else {
            world.pass(next_us - world.now.monotonic_us);
        }
        world.run_until_asleep();
        assert_eq!(world.node.key_count(0), 0);
        assert_eq!(info(&mut world, "expired_keys"), 100);
    }
}

/// Red when a key is hidden in a pause and nothing is logged: the reply left before anything was
/// durable, and a restart with an earlier clock showed the key again.
#[test]
fn what_a_pause_hides_is_hidden_from_every_later_clock() {
    let mut world = world();
    assert_eq!(world.ask(1, "set key v px 500\nset other v px 500"), "+OK +OK");
    assert_eq!(world.ask(2, "client pause 60000 write"), "+OK");
    world.pass(1_000_000);
    world.frames_stall = true;
    assert_eq!(world.ask(1, "get key"), "", "that it is gone may still be lost");
    world.frames_stall = false;
    world.settle();
    assert_eq!(world.received(1), "$-1");
    // The clock of the tests starts where it did before: nothing had expired then.
    let mut restarted = world.restart();
    restarted.connect(1);
    assert_eq!(restarted.ask(1, "get key"), "$-1");
}

/// Red when a key is evicted in a pause, or when the pause refuses for lack of memory.
#[test]
fn nothing_is_evicted_in_a_pause() {
    let mut world = world();
    fill(&mut world, (0..1000).map(|n| format!("set key:{n} {}", "v".repeat(100))));
    assert_eq!(world.ask(2, "multi\nclient pause 60000 write"), "+OK +QUEUED");
    assert_eq!(world.ask(2, "config set maxmemory-policy allkeys-lru maxmemory 1"), "+QUEUED");
    assert_eq!(world.ask(2, "set more v\nexec"), "+QUEUED *3 +OK +OK +OK");
    world.run_until_asleep();
    assert_eq!(world.node.key_count(0), 1001);
    assert_eq!(info(&mut world, "evicted_keys"), 0);
    assert_eq!(world.ask(2, "client unpause"), "+OK");
    world.run_until_asleep();
    assert_eq!(world.node.key_count(0), 0);
    assert_eq!(info(&mut world, "evicted_keys"), 1001);
}
