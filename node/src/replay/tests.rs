//! Logs of several slices, written by hand, and what a start makes of them.

use base::{LogIndex, SliceId, Term};
use engine::{Effect, Keyspace, Space};
use wal::{HardState, Record};

use super::{LogReplay, SliceReplay, SliceStart, Uncovered, settle_replays};
use crate::attachment::{Attachment, Place};
use crate::topology::Topology;

const SLICES: u16 = 4;
const TERM: Term = Term(1);

/// The log of each slice as it is after a crash.
struct Logs {
    replays: Vec<LogReplay>,
    next: [u64; SLICES as usize],
}

/// What an entry is besides the value it puts.
#[derive(Default)]
struct Entry<'a> {
    participants: &'a [(u16, u64)],
    resolved: u64,
    void: Option<u64>,
}

impl Logs {
    /// Every slice with its leader's first entry, at index 1.
    fn new() -> Self {
        let topology = Topology::new(1, SLICES);
        let mut replays: Vec<_> = (0..SLICES)
            .map(|slice| LogReplay::new(vec![SliceReplay::new(SliceId(slice), 7, topology)]))
            .collect();
        for (slice, replay) in (0..SLICES).zip(&mut replays) {
            let (slice, index) = (SliceId(slice), LogIndex(1));
            let first = Record::Entry { slice, term: TERM, index, body: b"" };
            replay.replay(first).expect("it is the first");
        }
        Self { replays, next: [2; SLICES as usize] }
    }

    /// An entry that puts `value` at the slice's key.
    fn put(&mut self, slice: u16, value: &str, entry: Entry<'_>) -> Result<(), String> {
        let index = self.next[usize::from(slice)];
        self.next[usize::from(slice)] += 1;
        let place =
            |(slice, index)| Place { slice: SliceId(slice), term: TERM, index: LogIndex(index) };
        let attachment = Attachment {
            resolved: LogIndex(entry.resolved),
            fragment: entry.participants.iter().copied().map(place).collect(),
            void: entry.void.map(LogIndex),
            checksum: None,
        };
        let mut space = Space::new(Keyspace::new(7, 0..base::limits::SLOTS));
        if !value.is_empty() {
            let (key, value) = (KEYS[usize::from(slice)], value.as_bytes());
            let put = Effect::PutString { db: 0, key, value, expire_ms: None };
            space.keyspace.replay(&put).expect("a put fits");
            space.batch.append(&put, &space.keyspace);
            space.batch.take_touched();
        }
        let (mut attached, mut body) = (Vec::new(), Vec::new());
        attachment.encode(&mut attached);
        space.batch.close_into(1, &attached, &mut body);
        let record = Record::Entry {
            slice: SliceId(slice),
            term: TERM,
            index: LogIndex(index),
            body: &body,
        };
        self.replays[usize::from(slice)].replay(record)
    }

    fn settle(self) -> Result<Vec<SliceStart>, String> {
        let state = |slice| HardState {
            slice: SliceId(slice),
            term: TERM,
            vote: Some(1),
            commit: LogIndex::NONE,
        };
        let states: Vec<_> = (0..SLICES).map(state).collect();
        settle_replays(self.replays.into_iter().flat_map(LogReplay::into_slices).collect(), &states)
    }

    /// The value of each slice's key, and from where it is void.
    fn outcome(self) -> [(String, Option<u64>); SLICES as usize] {
        let mut starts = self.settle().expect("the logs agree").into_iter();
        std::array::from_fn(|slice| {
            let mut start = starts.next().expect("there are as many as slices");
            let entry = start.space.keyspace.find(0, KEYS[slice]);
            let value = entry.and_then(engine::Entry::string).unwrap_or_default();
            let value = String::from_utf8_lossy(value).into_owned();
            (value, start.group.take_void().map(|index| index.0))
        })
    }
}

/// A key of each of the four slices.
const KEYS: [&[u8]; SLICES as usize] = [b"b", b"bar", b"foo", b"a"];

fn part<'a>(participants: &'a [(u16, u64)]) -> Entry<'a> {
    Entry { participants, ..Entry::default() }
}

fn check(logs: Logs, expected: [(&str, Option<u64>); SLICES as usize]) {
    let outcome = logs.outcome();
    let outcome: Vec<_> = outcome.iter().map(|(value, void)| (value.as_str(), *void)).collect();
    assert_eq!(outcome, expected);
}

#[test]
fn a_transaction_that_is_whole_counts() {
    let mut logs = Logs::new();
    for slice in [0, 1, 3] {
        logs.put(slice, "new", part(&[(0, 2), (1, 2), (3, 2)])).expect("it fits");
    }
    logs.put(0, "newer", Entry::default()).expect("it fits");
    check(logs, [("newer", None), ("new", None), ("", None), ("new", None)]);
}

#[test]
fn a_half_is_void_with_all_that_follows_it() {
    let mut logs = Logs::new();
    logs.put(0, "old", Entry::default()).expect("it fits");
    logs.put(0, "new", part(&[(0, 3), (1, 2)])).expect("it fits");
    logs.put(0, "newer", Entry::default()).expect("it fits");
    logs.put(2, "other", Entry::default()).expect("it fits");
    check(logs, [("old", Some(3)), ("", None), ("other", None), ("", None)]);
}

/// PROTOCOL F1: red when presence does not look at voids.
#[test]
fn what_follows_a_half_is_void_in_other_slices_too() {
    let mut logs = Logs::new();
    // The first, of slices 0 and 1, is not in slice 1; the second, of 0 and 2, is whole, and so
    // is the third, of 2 and 3.
    logs.put(0, "first", part(&[(0, 2), (1, 2)])).expect("it fits");
    logs.put(0, "second", part(&[(0, 3), (2, 2)])).expect("it fits");
    logs.put(2, "second", part(&[(0, 3), (2, 2)])).expect("it fits");
    logs.put(2, "third", part(&[(2, 3), (3, 2)])).expect("it fits");
    logs.put(3, "third", part(&[(2, 3), (3, 2)])).expect("it fits");
    logs.put(3, "alone", Entry::default()).expect("it fits");
    check(logs, [("", Some(2)), ("", None), ("", Some(2)), ("", Some(2))]);
}

#[test]
fn a_chain_of_whole_transactions_counts_in_any_order_of_slices() {
    let mut logs = Logs::new();
    logs.put(3, "third", part(&[(3, 2), (2, 2)])).expect("it fits");
    logs.put(2, "third", part(&[(3, 2), (2, 2)])).expect("it fits");
    logs.put(2, "second", part(&[(2, 3), (1, 2)])).expect("it fits");
    logs.put(1, "second", part(&[(2, 3), (1, 2)])).expect("it fits");
    logs.put(1, "first", part(&[(1, 3), (0, 2)])).expect("it fits");
    logs.put(0, "first", part(&[(1, 3), (0, 2)])).expect("it fits");
    check(logs, [("first", None), ("first", None), ("second", None), ("third", None)]);
}

/// Red when a void that the log tells of does not answer for its entries.
#[test]
fn a_void_that_is_logged_stays_void() {
    let mut logs = Logs::new();
    logs.put(0, "half", part(&[(0, 2), (1, 2)])).expect("it fits");
    logs.put(0, "behind", part(&[(0, 3), (2, 2)])).expect("it fits");
    logs.put(0, "", Entry { void: Some(2), ..Entry::default() }).expect("it fits");
    logs.put(0, "next", Entry::default()).expect("it fits");
    logs.put(2, "behind", part(&[(0, 3), (2, 2)])).expect("it fits");
    // The place in slice 1 was taken by something else.
    logs.put(1, "else", Entry::default()).expect("it fits");
    check(logs, [("next", None), ("else", None), ("", Some(2)), ("", None)]);
}

#[test]
fn what_is_said_to_be_resolved_is_applied_without_asking_but_must_be_there() {
    let mut logs = Logs::new();
    logs.put(0, "new", part(&[(0, 2), (1, 2)])).expect("it fits");
    logs.put(0, "newer", Entry { resolved: 2, ..Entry::default() }).expect("it fits");
    let error = logs.settle().expect_err("slice 1 lost its part");
    assert!(error.contains("log of slice 1 does not hold its part at entry 2"), "{error}");
}

/// Red when the other participants are asked before: what they miss is no damage of the log.
#[test]
fn a_snapshot_that_a_trimmed_log_needs_is_missed_first() {
    let mut logs = Logs::new();
    logs.put(0, "new", part(&[(0, 2), (1, 2)])).expect("it fits");
    logs.put(0, "newer", Entry { resolved: 2, ..Entry::default() }).expect("it fits");
    let trim = Record::Trim { slice: SliceId(1), last: LogIndex(2) };
    logs.replays[1].replay(trim).expect("its log was trimmed");
    let error = logs.settle().expect_err("slice 1 lost its snapshot");
    assert!(error.contains("was trimmed up to entry 2 of slice 1"), "{error}");
}

#[test]
fn what_contradicts_the_log_is_refused() {
    let mut logs = Logs::new();
    assert!(logs.put(0, "new", part(&[(1, 2), (2, 2)])).is_err(), "a fragment of others");
    let mut logs = Logs::new();
    logs.put(0, "new", Entry::default()).expect("it fits");
    assert!(logs.put(0, "", Entry { void: Some(2), ..Entry::default() }).is_err(), "it is applied");
    let mut logs = Logs::new();
    logs.next[0] = 3;
    assert!(logs.put(0, "new", Entry::default()).is_err(), "an entry is missing");
}

/// Red when what a snapshot holds must be in the logs without a gap.
#[test]
fn a_newer_generation_may_be_trimmed_while_an_older_one_is_there() {
    let mut replay = SliceReplay::new(SliceId(0), 7, Topology::new(1, 1));
    (replay.base, replay.last) = (LogIndex(9), LogIndex(9));
    replay.history.terms.push((Term(1), LogIndex(1)));
    for index in [1, 2, 7, 8, 9, 10] {
        assert_eq!(replay.entry(Term(1), LogIndex(index), &[]), Ok(()), "{index}");
    }
    assert!(replay.entry(Term(1), LogIndex(12), &[]).is_err());
}

/// Red when: a log that begins behind the snapshot is replayed on top of it; what is behind the gap
/// counts; the entries that are gone are not told.
#[test]
fn a_log_that_was_trimmed_beyond_the_snapshot_is_told_at_its_end() {
    let topology = Topology::new(1, 1);
    let slice = SliceId(0);
    let settle = |replay: SliceReplay| settle_replays(vec![replay], &[]).map(|_| ());
    let mut replay = SliceReplay::new(slice, 7, topology);
    for index in [12, 13] {
        assert_eq!(replay.entry(Term(1), LogIndex(index), &[]), Ok(()), "{index}");
    }
    let uncovered = Uncovered { slice, covered: LogIndex::NONE, trimmed: LogIndex(11) };
    assert_eq!(replay.uncovered(), Some(uncovered));
    let mut replays = LogReplay::new(vec![replay]);
    let trim = Record::Trim { slice, last: LogIndex(12) };
    replays.replay(trim).expect("it is of a slice of this log");
    let replay = replays.into_slices().pop().expect("there is one");
    let uncovered = Uncovered { trimmed: LogIndex(12), ..uncovered };
    assert_eq!(replay.uncovered(), Some(uncovered));
    let refused = settle(replay).expect_err("entries are missing");
    assert!(refused.contains("up to entry 12 of slice 0, and no sound snapshot"), "{refused}");

    let mut replay = SliceReplay::new(slice, 7, topology);
    (replay.base, replay.last) = (LogIndex(9), LogIndex(9));
    replay.history.terms.push((Term(1), LogIndex(1)));
    replay.trimmed = LogIndex(9);
    assert_eq!(replay.uncovered(), None);
    assert_eq!(replay.entry(Term(1), LogIndex(11), &[]), Ok(()));
    let refused = settle(replay).expect_err("entry 10 is missing");
    assert!(refused.contains("up to entry 10 of slice 0, and its newest"), "{refused}");
}
