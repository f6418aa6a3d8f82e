//! Snapshots: what they hold, what starts from them, who waits for them.

use crate::cores::Cores;

/// A node with a client or two on each core.
fn cores(count: u16, slices: u16) -> Cores {
    let mut node = Cores::new(count, slices);
    connect(&mut node);
    node
}

fn connect(node: &mut Cores) {
    node.cores.iter_mut().for_each(|core| [1, 2].into_iter().for_each(|id| core.connect(id)));
}

fn restarted(node: Cores) -> Cores {
    let mut node = node.restart();
    connect(&mut node);
    node
}

/// Writes until the log has more than a few segments.
fn fill(node: &mut Cores, round: usize) {
    for number in 0..200 {
        let value = "v".repeat(500 + number);
        node.send(0, 1, &format!("set key:{number} {round}:{value}"));
        if number % 20 == 0 {
            node.settle();
        }
    }
    node.settle();
    let _replies = node.cores[0].received(1);
}

fn saved(node: &mut Cores) -> String {
    node.ask(0, 1, "save")
}

/// Red when: the snapshot is not published; a start ignores it; entries it holds are applied
/// again; the place of the next entry is not behind it.
#[test]
fn a_start_goes_on_from_a_snapshot_and_the_log_behind_it() {
    for count in [1, 2] {
        let mut node = cores(count, 4);
        fill(&mut node, 1);
        assert_eq!(saved(&mut node), "+OK");
        fill(&mut node, 2);
        assert_eq!(node.ask(0, 1, "incr counter\ndel key:7\nexpire key:8 100"), ":1 :1 :1");
        let digests = node.digests();
        let mut node = restarted(node);
        assert_eq!(node.digests(), digests);
        assert_eq!(node.ask(0, 1, "incr counter\nexists key:7\nttl key:8"), ":2 :0 :100");
        assert_eq!(saved(&mut node), "+OK");
        assert_eq!(saved(&mut node), "+OK");
        let digests = node.digests();
        let mut node = restarted(node);
        assert_eq!(node.digests(), digests);
        assert_eq!(node.ask(0, 1, "incr counter"), ":3");
    }
}

/// Red when a snapshot shows what was written after it began.
#[test]
fn writes_during_a_snapshot_are_not_in_it() {
    let mut node = cores(2, 4);
    fill(&mut node, 1);
    node.send(0, 1, "bgsave");
    for round in 2..6 {
        node.turn();
        node.send(1, 2, &format!("set key:{round} changed\nset new:{round} x\ndel key:1{round}"));
    }
    node.settle();
    assert!(node.cores[0].received(1).starts_with("+Background saving started"));
    assert_eq!(node.ask(0, 1, "bgsave").lines().count(), 1);
    let digests = node.digests();
    let mut node = restarted(node);
    assert_eq!(node.digests(), digests);
    assert_eq!(node.ask(0, 1, "get key:3\nget new:4\nexists key:12"), "$7 changed $1 x :0");
}

/// Red when SAVE answers before every core is done, or LASTSAVE does not move.
#[test]
fn a_save_tells_when_it_was_complete() {
    let mut node = cores(2, 4);
    fill(&mut node, 1);
    let before = node.ask(0, 1, "lastsave");
    node.cores.iter_mut().for_each(|core| core.pass(5_000_000));
    assert_eq!(saved(&mut node), "+OK");
    assert_ne!(node.ask(0, 1, "lastsave"), before);
    let info = node.ask(0, 1, "info persistence");
    for line in
        ["rdb_bgsave_in_progress:0", "rdb_last_bgsave_status:ok", "rdb_changes_since_last_save:0"]
    {
        assert!(info.contains(line), "{line} in {info}");
    }
    node.ask(0, 1, "set a 1\nset b 2");
    assert!(node.ask(0, 1, "info persistence").contains("rdb_changes_since_last_save:2"));
}

/// Red when the growth of the log, or a save point, begins nothing.
#[test]
fn the_growth_of_the_log_and_save_points_begin_snapshots() {
    let mut node = cores(1, 1);
    assert_eq!(node.ask(0, 1, "config set snapshot-log-size 65536"), "+OK");
    fill(&mut node, 1);
    node.settle();
    let slice = base::SliceId(0);
    assert!(!node.cores[0].log.shelf.published(slice).is_empty());
    let mut node = cores(1, 1);
    assert_eq!(node.ask(0, 1, "config set save \"10 5\"\nset a 1\nset b 2"), "+OK +OK +OK");
    node.cores[0].pass(11_000_000);
    node.settle();
    assert!(node.cores[0].log.shelf.published(slice).is_empty(), "two changes are not five");
    assert_eq!(node.ask(0, 1, "mset c 1 d 2 e 3"), "+OK");
    node.settle();
    assert_eq!(node.cores[0].log.shelf.published(slice).len(), 1);
}

/// Red when a snapshot that cannot begin yet asks for turn after turn.
#[test]
fn a_snapshot_that_waits_for_the_log_lets_the_core_sleep() {
    let mut node = cores(1, 1);
    fill(&mut node, 1);
    let core = &mut node.cores[0];
    core.frames_stall = true;
    core.send(1, &format!("set large {}", "v".repeat(3000)));
    core.turn();
    core.send(1, "set small 1");
    core.send(2, "bgsave");
    (0..10).for_each(|_| core.turn());
    let wants = core.node.poll_timeout();
    assert!(wants.is_none_or(|at| core.now.monotonic_us < at), "{wants:?}");
    core.frames_stall = false;
    node.settle();
    assert_eq!(node.cores[0].log.shelf.published(base::SliceId(0)).len(), 1);
}
