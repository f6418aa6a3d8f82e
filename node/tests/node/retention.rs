//! Snapshots behind a slow disk: what they hold, how long the log gets, who waits.

use base::SliceId;
use node::{Event, SnapshotEvent, SnapshotSteps};

use crate::cores::Cores;

/// A node with two clients on each core and small chunks.
fn cores(count: u16, slices: u16) -> Cores {
    let mut node = Cores::new(count, slices);
    let steps = SnapshotSteps { chunk_size: 4096, entries_per_turn: 4 };
    for core in &mut node.cores {
        [1, 2].into_iter().for_each(|id| core.connect(id));
        core.node.set_snapshot_steps(steps);
    }
    node
}

/// Sets `count` keys with a tag to 10 KB each.
fn fill(node: &mut Cores, tag: &str, count: usize, round: usize) {
    for number in 0..count {
        node.send(0, 1, &format!("set {{{tag}}}{number} {round}:{}", "v".repeat(10_000)));
        (0..4).for_each(|_| node.turn());
    }
}

fn info(node: &mut Cores, field: &str) -> String {
    let info = node.ask(0, 2, "info");
    let found = info.split_once(&format!(" {field}:")).expect("INFO has it").1;
    found.split(' ').next().expect("there is a first").to_owned()
}

fn fail_what_is_on_its_way(node: &mut Cores) {
    let core = &mut node.cores[0];
    let Some(SnapshotEvent::ChunkWritten { slice, index, attempt, .. }) =
        core.chunks_written.last()
    else {
        unreachable!("a chunk is on its way");
    };
    let (slice, index, attempt, error) = (*slice, *index, *attempt, "for a test".to_owned());
    let failed = SnapshotEvent::Failed { slice, index, attempt, error };
    core.node.handle(Event::Snapshot(failed), core.now);
}

/// Red when the limit is not looked at.
#[test]
fn a_snapshot_that_holds_too_much_is_given_up_and_tried_again() {
    let mut node = cores(1, 1);
    assert_eq!(node.ask(0, 1, "config set maxmemory 16mb"), "+OK");
    fill(&mut node, "k", 200, 1);
    let before: usize = info(&mut node, "used_memory").parse().expect("a number");
    node.cores[0].chunks_stall = true;
    assert!(node.ask(0, 1, "bgsave").ends_with("+Background saving started"));
    let mut most = 0;
    for round in 2..4 {
        for number in 0..200 {
            let request = format!("set {{k}}{number} {round}:{}", "v".repeat(10_000));
            assert!(node.ask(0, 1, &request).ends_with("+OK"));
            let held: usize =
                info(&mut node, "mem_not_counted_for_evict").parse().expect("a number");
            let used: usize = info(&mut node, "used_memory").parse().expect("a number");
            assert!(before < used + 100_000 && used < before + 3_000_000, "{used}, {before}");
            most = most.max(held);
        }
    }
    assert!((500_000..1_300_000).contains(&most), "{most} bytes were held");
    assert_eq!(info(&mut node, "rdb_last_bgsave_status"), "err");
    let text = node.ask(0, 2, "info persistence");
    assert!(text.contains("Nothing is lost") && text.contains("Fix: a faster disk"), "{text}");
    assert!(node.cores[0].log.shelf.published(SliceId(0)).is_empty());

    node.cores[0].chunks_stall = false;
    node.settle();
    assert!(node.cores[0].log.shelf.published(SliceId(0)).is_empty(), "it rests");
    node.cores[0].pass(11_000_000);
    (0..10).for_each(|_| node.settle());
    assert_eq!(node.cores[0].log.shelf.published(SliceId(0)).len(), 1);
    assert_eq!(info(&mut node, "rdb_last_bgsave_status"), "ok");
    assert_eq!(info(&mut node, "mem_not_counted_for_evict"), "0");
    let digests = node.digests();
    assert_eq!(node.restart().digests(), digests);
}

/// Red when attempts are told apart by their index only: what was written for the first counts for
/// the second.
#[test]
fn what_is_told_of_a_given_up_attempt_does_not_count_for_the_next_at_its_index() {
    let mut node = cores(1, 1);
    fill(&mut node, "k", 100, 1);
    node.cores[0].chunks_stall = true;
    node.ask(0, 1, "bgsave");
    fail_what_is_on_its_way(&mut node);
    let late = std::mem::take(&mut node.cores[0].chunks_written);
    assert_eq!(late.len(), 4);
    node.cores[0].pass(11_000_000);
    node.settle();
    let core = &mut node.cores[0];
    assert_eq!(core.chunks_written.len(), 4, "there is a second attempt");
    for event in late {
        core.node.handle(Event::Snapshot(event), core.now);
    }
    node.settle();
    assert_eq!(node.cores[0].chunks_written.len(), 4, "and nothing of it is written");
    node.cores[0].chunks_stall = false;
    (0..4).for_each(|_| node.settle());
    assert_eq!(node.cores[0].log.shelf.published(SliceId(0)).len(), 1);
}

/// Red when: nobody is called to look at the log; somebody is called although there is nothing to
/// do.
#[test]
fn an_idle_core_lets_go_of_a_long_log_and_sleeps() {
    let mut node = cores(1, 2);
    assert_eq!(node.ask(0, 1, "config set snapshot-log-size 131072"), "+OK");
    let of = |node: &Cores, tag: &str| node.topology.slice_of(engine::slot_of(tag.as_bytes()));
    let tags = ["a", "b", "c", "d", "e", "f"];
    let cold = *tags.iter().find(|tag| of(&node, tag) == SliceId(0)).expect("one of them");
    let busy = *tags.iter().find(|tag| of(&node, tag) == SliceId(1)).expect("one of them");
    fill(&mut node, cold, 1, 1);
    fill(&mut node, busy, 400, 1);
    node.settle();
    assert!(node.cores[0].log.shelf.published(SliceId(0)).len() < 2);
    let core = &mut node.cores[0];
    let trimmed = core.node.log_stats().segments_trimmed;
    let began_us = core.now.monotonic_us;
    let mut looks = 0;
    // Nothing comes but what the core asks for.
    loop {
        core.run_until_asleep();
        let Some(at) = core.node.poll_timeout().filter(|at| *at < began_us + 5_000_000) else {
            break;
        };
        core.pass(at.saturating_sub(core.now.monotonic_us));
        looks += 1;
        assert!(looks < 100, "it does not come to rest");
    }
    assert!(trimmed + 2 <= core.node.log_stats().segments_trimmed);
    assert_eq!(core.log.shelf.published(SliceId(0)).len(), 1);
    let wants = core.node.poll_timeout();
    assert!(wants.is_none_or(|at| core.now.monotonic_us + 1_000_000 < at), "{wants:?}");
}

/// What ends the wait.
#[derive(Clone, Copy, Debug)]
enum End {
    Written,
    Failed,
    Nothing,
}

/// Red when: writes are never held; the cores are not told; those who
/// wait are not called when chunks are written, when the snapshot fails, or after ten seconds in
/// which nothing happens.
#[test]
fn writes_wait_for_snapshots_that_are_far_behind_and_not_for_ever() {
    for (count, end) in [(1, End::Written), (1, End::Failed), (1, End::Nothing), (2, End::Written)]
    {
        let mut node = cores(count, 2);
        let last = usize::from(count) - 1;
        assert_eq!(node.ask(0, 1, "config set snapshot-log-size 65536"), "+OK");
        let tags = ["a", "b", "c", "d", "e", "f"];
        let is_last = |tag: &&&str| {
            usize::from(node.topology.slice_of(engine::slot_of(tag.as_bytes())).0) == last
        };
        let tag = *tags.iter().find(is_last).expect("one of them");
        node.cores[last].chunks_stall = true;
        fill(&mut node, tag, 700, 1);
        let answered = node.cores[0].received(1).matches("+OK").count();
        assert!((300..500).contains(&answered), "{answered} writes with 4 MiB of log");
        assert_eq!(node.ask(0, 2, &format!("get {{{tag}}}x")), "$-1", "reads go on");
        assert_eq!(node.cores[0].node.waiting_count(), 1);
        node.settle();
        assert_eq!(node.cores[0].received(1), "");
        match end {
            End::Written => node.cores[last].chunks_stall = false,
            End::Failed => fail_what_is_on_its_way(&mut node),
            End::Nothing => node.cores[0].pass(10_000_000),
        }
        (0..100).for_each(|_| node.settle());
        let rest = node.cores[0].received(1).matches("+OK").count();
        assert_eq!(answered + rest, 700, "{end:?}");
    }
}
