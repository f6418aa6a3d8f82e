//! Channels: who gets what, in which order, and who is told when.

use node::OutputLimit;

use crate::cores::Cores;

fn cores(count: u16) -> Cores {
    let mut node = Cores::new(count, 4);
    for core in 0..usize::from(count) {
        for client in 1..=3 {
            node.cores[core].connect(client);
        }
    }
    node
}

/// What a subscriber in RESP2 gets.
fn message(channel: &str, payload: &str) -> String {
    let (channel_size, payload_size) = (channel.len(), payload.len());
    format!("*3 $7 message ${channel_size} {channel} ${payload_size} {payload}")
}

/// Red when CLIENT REPLY OFF mutes the confirmations: clients wait for them for ever.
#[test]
fn who_wants_no_replies_is_told_what_it_subscribed_to() {
    let mut node = cores(1);
    let subscribed = "*3 $9 subscribe $1 a :1";
    assert_eq!(node.ask(0, 1, "client reply off\nping\nsubscribe a\nping"), subscribed);
    assert_eq!(node.ask(0, 2, "publish a x"), ":1");
    assert_eq!(node.cores[0].received(1), message("a", "x"));
    assert_eq!(node.ask(0, 1, "unsubscribe a\nping"), "*3 $11 unsubscribe $1 a :0");
    assert_eq!(node.ask(0, 3, "client reply off\npublish a x"), "");
}

#[test]
fn replies_have_the_shapes_of_redis() {
    for count in [1, 2, 3] {
        let mut node = cores(count);
        for (sent, answered) in [
            (
                "subscribe a b a\npsubscribe x*\nssubscribe s",
                "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 *3 $9 subscribe $1 a :2 \
                 *3 $10 psubscribe $2 x* :3 *3 $10 ssubscribe $1 s :1",
            ),
            ("ping\nping hi", "*2 $4 pong $0  *2 $4 pong $2 hi"),
            (
                "unsubscribe\npunsubscribe\nsunsubscribe q\nsunsubscribe\nunsubscribe\nping",
                "*3 $11 unsubscribe $1 a :2 *3 $11 unsubscribe $1 b :1 \
                 *3 $12 punsubscribe $2 x* :0 *3 $12 sunsubscribe $1 q :1 \
                 *3 $12 sunsubscribe $1 s :0 *3 $11 unsubscribe $-1 :0 +PONG",
            ),
            (
                "pubsub numpat x\npubsub channels a b\nsubscribe\npublish a",
                "-ERR wrong number of arguments for 'pubsub|numpat' command \
                 -ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB \
                 HELP. -ERR wrong number of arguments for 'subscribe' command \
                 -ERR wrong number of arguments for 'publish' command",
            ),
        ] {
            assert_eq!(node.ask(0, 1, sent), answered);
        }
        let hello = node.ask(0, 2, "hello 3");
        assert!(hello.starts_with("%7"), "{hello}");
        assert_eq!(
            node.ask(0, 2, "subscribe a\npsubscribe a*\nget x\npublish a hi\nping"),
            ">3 $9 subscribe $1 a :1 >3 $10 psubscribe $2 a* :2 _ :2 \
             >3 $7 message $1 a $2 hi >4 $8 pmessage $2 a* $1 a $2 hi +PONG"
        );
        assert_eq!(
            node.ask(0, 2, "spublish a x\nssubscribe a\nspublish a x\nunsubscribe b\nunsubscribe"),
            ":0 >3 $10 ssubscribe $1 a :1 :1 >3 $8 smessage $1 a $1 x \
             >3 $11 unsubscribe $1 b :2 >3 $11 unsubscribe $1 a :1"
        );
    }
}

/// Red when `resolve` lets every command through.
#[test]
fn a_subscriber_in_resp2_may_send_little_else() {
    let mut node = cores(2);
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        )
    };
    node.ask(0, 1, "ssubscribe a");
    for (sent, name) in [
        ("get x", "get"),
        ("client id", "client|id"),
        ("multi", "multi"),
        ("publish a b", "publish"),
        ("hello 3", "hello"),
    ] {
        assert_eq!(node.ask(0, 1, sent), refused(name));
    }
    assert_eq!(node.ask(0, 1, "reset\nget x"), "+RESET $-1");
    assert_eq!(node.ask(1, 1, "spublish a x"), ":0", "RESET has unsubscribed");
    assert_eq!(node.ask(0, 1, "subscribe a\nquit"), "*3 $9 subscribe $1 a :1 +OK");
    assert!(node.cores[0].clients[&1].closed);
}

#[test]
fn publishers_of_any_core_reach_subscribers_of_all_and_count_them() {
    for count in [1, 2, 3] {
        let mut node = cores(count);
        for core in 0..usize::from(count) {
            node.ask(core, 1, "subscribe news");
            node.ask(core, 2, "psubscribe n[aeiou]ws *\nsubscribe other");
        }
        let each = 3 * count;
        for core in 0..usize::from(count) {
            assert_eq!(node.ask(core, 3, "publish news hi"), format!(":{each}"));
            for listener in 0..usize::from(count) {
                assert_eq!(node.cores[listener].received(1), message("news", "hi"));
                let received = node.cores[listener].received(2);
                assert_eq!(received.matches("pmessage").count(), 2, "{received}");
            }
            let facts = "pubsub channels\npubsub channels o*\npubsub numpat\npubsub numsub news x";
            assert_eq!(
                node.ask(core, 3, facts),
                format!("*2 $4 news $5 other *1 $5 other :2 *4 $4 news :{count} $1 x :0")
            );
        }
        node.ask(0, 2, "punsubscribe *");
        assert_eq!(node.ask(usize::from(count) - 1, 3, "publish news x"), format!(":{}", each - 1));
        for core in 0..usize::from(count) {
            node.cores[core].close(1);
            node.cores[core].close(2);
        }
        node.settle();
        assert_eq!(node.ask(0, 3, "publish news hi\npubsub channels\npubsub numpat"), ":0 *0 :0");
    }
}

/// Red when a confirmation is committed without the gate of its telling.
#[test]
fn a_subscription_is_confirmed_only_once_every_core_counts_it() {
    let mut node = cores(3);
    node.parcels_stall = true;
    assert_eq!(node.ask(0, 1, "subscribe a"), "", "nobody knows of it");
    assert_eq!(node.ask(2, 1, "publish a early"), ":0");
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), "*3 $9 subscribe $1 a :1");
    for core in 0..3 {
        assert_eq!(node.ask(core, 1 + u32::from(core == 0), "publish a late"), ":1");
        assert_eq!(node.cores[0].received(1), message("a", "late"));
    }
}

/// A message that was not counted for a subscriber must not reach it either: it was published
/// before the subscription. Red when `for_each_subscriber` looks at no telling.
#[test]
fn a_subscriber_gets_nothing_from_before_its_subscription() {
    let mut node = cores(2);
    node.ask(0, 1, "subscribe a");
    node.parcels_stall = true;
    assert_eq!(node.ask(1, 1, "publish a one"), ":1");
    assert_eq!(node.ask(0, 2, "subscribe a"), "");
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(1), message("a", "one"));
    assert_eq!(node.cores[0].received(2), "*3 $9 subscribe $1 a :1");
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    for count in [1, 2, 3] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        node.ask(0, 1, "psubscribe c*");
        let mut expected = Vec::new();
        let mut sent = Vec::new();
        for number in 100..160 {
            // Writes before some of them hold those back, and so must hold back the others.
            if number % 7 == 0 {
                sent.push(format!("set {number} 1"));
            }
            let channel = if number % 2 == 0 { "c0" } else { "c1" };
            sent.push(format!("publish {channel} {number}"));
            expected.push(format!("*4 $8 pmessage $2 c* $2 {channel} $3 {number}"));
        }
        node.send(last, 3, &sent.join("\n"));
        node.settle();
        assert_eq!(node.cores[0].received(1), expected.join(" "));
    }
}

/// Red when `publish_of` does not ask whether something of its client is still held.
#[test]
fn a_message_does_not_overtake_one_that_was_held_until_now() {
    let mut node = cores(2);
    node.ask(0, 1, "subscribe a");
    node.cores[1].frames_stall = true;
    assert_eq!(node.ask(0, 3, "set k3 1\npublish a 0"), "");
    node.cores[1].frames_stall = false;
    // One of these is sent when the write is known to be settled and nothing was done about it.
    for number in 1..9 {
        node.turn();
        node.send(0, 3, &format!("publish a {number}"));
    }
    node.settle();
    let expected: Vec<_> = (0..9).map(|number| message("a", &number.to_string())).collect();
    assert_eq!(node.cores[0].received(1), expected.join(" "));
}

/// Red when `publish_of` looks at no gates.
#[test]
fn a_message_waits_for_the_writes_that_its_publisher_made_before_it() {
    for count in [1, 2] {
        let mut node = cores(count);
        node.ask(0, 1, "subscribe a");
        for sent in ["set b 1\npublish a x", "multi\npublish a x\nset b 2\nexec"] {
            node.cores[0].frames_stall = true;
            assert_eq!(node.ask(0, 3, sent).matches(':').count(), 0);
            assert_eq!(node.cores[0].received(1), "", "the write could still be lost");
            assert_eq!(node.ask(0, 2, "publish a free"), ":1", "others do not wait");
            assert_eq!(node.cores[0].received(1), message("a", "free"));
            node.cores[0].frames_stall = false;
            node.settle();
            assert!(node.cores[0].received(3).contains(":1"));
            assert_eq!(node.cores[0].received(1), message("a", "x"));
        }
    }
}

#[test]
fn a_transaction_may_publish_and_subscribe() {
    for count in [1, 2, 3] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        node.ask(last, 1, "subscribe a");
        let sent = "multi\nsubscribe z\npublish a 1\nset b 1\nset k3 2\npublish z 2\n\
                    ssubscribe q\nmonitor\nexec";
        let executed = "*7 *3 $9 subscribe $1 z :1 :1 +OK +OK :1 \
                        -ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client \
                        -ERR MONITOR isn't allowed for DENY BLOCKING client";
        let answered = node.ask(0, 3, sent);
        let (_, rest) = answered.rsplit_once("+QUEUED ").expect("all were queued");
        assert_eq!(rest, format!("{executed} {}", message("z", "2")));
        assert_eq!(node.cores[last].received(1), message("a", "1"));
        assert_eq!(node.ask(last, 2, "publish z hi"), ":1");
    }
}

/// Red when `run_channels` does not wait for vacancies.
#[test]
fn a_publish_waits_until_what_was_sent_before_it_has_executed() {
    let mut node = cores(2);
    node.ask(0, 1, "subscribe a");
    node.parcels_stall = true;
    node.send(0, 3, "set k3 1\npublish a x");
    node.settle();
    assert_eq!(node.cores[0].received(1), "", "the key is the other core's");
    node.parcels_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(3), "+OK :1");
    assert_eq!(node.cores[0].received(1), message("a", "x"));
}

/// Red when `deliver_published` cuts nobody off.
#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_holds_nobody_up() {
    for count in [1, 2] {
        let mut node = cores(count);
        let last = usize::from(count) - 1;
        let limit = OutputLimit { hard: 10_000, soft: 2_000, soft_s: 1 };
        node.cores[0].node.settings_mut().pubsub_output_limit = limit;
        for client in 1..=3 {
            node.ask(0, client, "subscribe a");
        }
        node.cores[0].clients.get_mut(&1).expect("it connected").stuck = true;
        let payload = "x".repeat(1000);
        let publish = format!("publish a {payload}");
        node.cores[last].connect(4);
        for round in 0..8 {
            assert_eq!(node.ask(last, 4, &publish), ":3");
            assert_eq!(node.cores[0].received(2), message("a", &payload), "round {round}");
            assert!(!node.cores[0].clients[&1].closed);
        }
        for _ in 0..3 {
            node.ask(last, 4, &publish);
        }
        assert!(node.cores[0].clients[&1].closed, "it was over the hard limit");
        assert_eq!(node.ask(last, 4, &publish), ":2");
        assert_eq!(node.cores[0].received(3).matches("message").count(), 12);

        node.cores[0].clients.get_mut(&2).expect("it connected").stuck = true;
        for _ in 0..4 {
            node.ask(last, 4, &publish);
        }
        node.cores[0].pass(900_000);
        assert!(!node.cores[0].clients[&2].closed);
        node.cores[0].pass(200_000);
        assert!(node.cores[0].clients[&2].closed, "it was over the soft limit for too long");
        assert!(!node.cores[0].clients[&3].closed);
        node.settle();
        assert_eq!(node.ask(last, 4, "publish a x"), ":1");
        node.cores[0].close(3);
        node.settle();
        assert_eq!(node.cores[0].node.output_size(), 0, "nothing is left of them");
    }
}

/// Red when `must_wait_to_publish` does not look at what is on its way.
#[test]
fn a_core_that_does_not_keep_up_holds_publishers_back_and_loses_nothing() {
    let mut node = cores(2);
    node.ask(0, 1, "subscribe a");
    node.parcels_stall = true;
    let payload = "x".repeat(60_000);
    let sent: Vec<_> = (0..200).map(|_| format!("publish a {payload}")).collect();
    node.send(1, 3, &sent.join("\n"));
    node.settle();
    let before = node.cores[1].received(3).matches(":1").count();
    assert!((1..100).contains(&before), "{before} were sent");
    assert_eq!(node.ask(1, 2, "ping"), "+PONG", "others go on");
    node.parcels_stall = false;
    node.settle();
    node.settle();
    assert_eq!(before + node.cores[1].received(3).matches(":1").count(), 200);
    assert_eq!(node.cores[0].received(1).matches("message").count(), 200);
}

/// Red when a node starts with no classes.
#[test]
fn notifications_that_the_configuration_asks_for_are_published_from_the_start() {
    let mut config = crate::world::config();
    config.given.push(("notify-keyspace-events".into(), b"KEA".to_vec()));
    let topology = node::Topology::new(1, 4);
    let mut node = Cores::with(&config, topology, vec![crate::world::MemoryLog::default()]);
    node.cores[0].connect(1);
    node.cores[0].connect(2);
    node.ask(0, 1, "psubscribe *");
    assert_eq!(node.ask(0, 2, "set b 1"), "+OK");
    assert_eq!(node.cores[0].received(1).matches("pmessage").count(), 2);
}
