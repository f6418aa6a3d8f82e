//! Keyspace notifications: which, in which order, and when.

use engine::Classes;

use crate::cores::Cores;

fn cores(count: u16, classes: &str) -> Cores {
    let mut node = Cores::new(count, 4);
    let classes = Classes::parse(classes.as_bytes()).expect("these are letters");
    for core in &mut node.cores {
        for client in 1..=3 {
            core.connect(client);
        }
        core.node.set_notify_classes(classes);
    }
    node
}

/// What a subscriber received, as `channel=payload` for each message of a pattern.
fn heard(node: &mut Cores, core: usize, client: u32) -> Vec<String> {
    let received = node.cores[core].received(client);
    let messages = received.split("$8 pmessage ").skip(1);
    let messages = messages.map(|message| {
        let words: Vec<_> = message.split(' ').collect();
        format!("{}={}", words[3], words[5])
    });
    messages.collect()
}

#[test]
fn events_are_published_by_key_and_by_name_on_every_core() {
    for count in [1, 2, 3] {
        let mut node = cores(count, "KEA");
        let last = usize::from(count) - 1;
        node.ask(0, 1, "psubscribe __key*");
        for (key, core) in [("b", 0), ("k3", last), ("foo", last), ("a", 0)] {
            assert_eq!(node.ask(core, 2, &format!("set {key} 1\nincr {key}")), "+OK :2");
            let expected = ["set", "incrby"].map(|name| {
                [format!("__keyspace@0__:{key}={name}"), format!("__keyevent@0__:{name}={key}")]
            });
            assert_eq!(heard(&mut node, 0, 1), expected.concat());
        }
        assert_eq!(node.ask(last, 2, "select 3\ndel nothing\nset b 1\ndel b"), "+OK :0 +OK :1");
        let expected = ["set", "del"]
            .map(|name| [format!("__keyspace@3__:b={name}"), format!("__keyevent@3__:{name}=b")]);
        assert_eq!(heard(&mut node, 0, 1), expected.concat());
    }
}

#[test]
fn only_what_is_configured_is_published() {
    let mut node = cores(2, "Eg");
    node.ask(0, 1, "psubscribe *");
    assert_eq!(node.ask(1, 2, "set b 1\ndel b"), "+OK :1");
    assert_eq!(heard(&mut node, 0, 1), ["__keyevent@0__:del=b"]);
    for core in &mut node.cores {
        core.node.set_notify_classes(Classes::default());
    }
    assert_eq!(node.ask(1, 2, "set b 1\ndel b"), "+OK :1");
    assert_eq!(heard(&mut node, 0, 1), [""; 0]);
}

/// Red when `take_events` pushes no gates.
#[test]
fn a_notification_is_not_seen_before_its_write_is_durable() {
    for count in [1, 2] {
        let mut node = cores(count, "EA");
        let last = usize::from(count) - 1;
        node.ask(0, 1, "psubscribe *");
        // The key is the last core's.
        let key = ["b", "k3"][last];
        node.cores[last].frames_stall = true;
        assert_eq!(node.ask(0, 2, &format!("set {key} 1")), "");
        assert_eq!(node.ask(last, 3, &format!("client durability memory\nset {key} 2")), "+OK +OK");
        assert_eq!(heard(&mut node, 0, 1), [""; 0]);
        node.cores[last].frames_stall = false;
        node.settle();
        let expected = format!("__keyevent@0__:set={key}");
        assert_eq!(heard(&mut node, 0, 1), [expected.clone(), expected]);
    }
}

#[test]
fn an_expired_key_is_told_of_when_its_absence_is_seen() {
    let mut node = cores(1, "EA");
    node.ask(0, 1, "psubscribe *");
    node.ask(0, 2, "set b 1 px 10");
    assert_eq!(heard(&mut node, 0, 1)[0], "__keyevent@0__:set=b");
    node.cores[0].pass(20_000);
    node.cores[0].frames_stall = true;
    assert_eq!(node.ask(0, 2, "get b"), "");
    assert_eq!(heard(&mut node, 0, 1), [""; 0]);
    node.cores[0].frames_stall = false;
    node.settle();
    assert_eq!(node.cores[0].received(2), "$-1");
    assert_eq!(heard(&mut node, 0, 1), ["__keyevent@0__:expired=b"]);
}

#[test]
fn the_events_of_a_transaction_come_in_its_order_and_behind_its_reply() {
    for count in [1, 2, 3] {
        let mut node = cores(count, "EA");
        node.ask(0, 1, "hello 3\npsubscribe *");
        // Keys of slices of several cores, and of one.
        let sent = "multi\nset b 1\nset k3 1\nset foo 1\nset a 1\ndel k3\nexec";
        let answered = node.ask(0, 1, sent);
        let (_, rest) = answered.split_once("*5 +OK +OK +OK +OK :1 ").expect("the reply is first");
        assert_eq!(rest.matches("pmessage").count(), 5);
        let keys: Vec<_> = rest
            .split(" $18 __keyevent@0__:")
            .skip(1)
            .map(|event| event.split(' ').nth(2).expect("it has a key"))
            .collect();
        assert_eq!(keys.concat(), "bk3fooak3", "{rest}");
    }
}
