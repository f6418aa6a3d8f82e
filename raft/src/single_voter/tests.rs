//! What a slice of one replica may rely on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base::Prng;

use super::*;
use crate::ready::Ready;

const REPLICA: ReplicaId = ReplicaId(7);

/// A log as it was left: entries 1 to 5, the last of term 3.
const LEFT: Recovered = Recovered {
    term: Term(3),
    vote: Some(REPLICA),
    commit: LogIndex(4),
    last: LogIndex(5),
    last_term: Term(3),
};

fn poll(voter: &mut SingleVoter) -> Option<ReadyOf<SingleVoter>> {
    let mut ready = Ready::new();
    let some = voter.poll_ready(&mut ready);
    voter.check();
    some.then_some(ready)
}

fn persist(voter: &mut SingleVoter, ready: &ReadyOf<SingleVoter>) {
    voter.handle_persisted(ready.number);
    voter.check();
}

/// A leader whose first entry is committed, and nothing in flight.
fn ready_leader(recovered: Recovered) -> SingleVoter {
    let mut voter = SingleVoter::new(REPLICA, recovered);
    voter.tick();
    let ready = poll(&mut voter).expect("a new leader has its hard state to write");
    persist(&mut voter, &ready);
    assert!(voter.is_ready());
    voter
}

fn propose(voter: &mut SingleVoter, body: &[u8]) -> LogIndex {
    let index = voter.propose(voter.term(), body.to_vec()).expect("a ready leader appends");
    voter.check();
    index
}

fn panics(call: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(call)).is_err()
}

#[test]
fn nothing_happens_before_the_first_tick() {
    let mut voter = SingleVoter::new(REPLICA, LEFT);
    assert_eq!(voter.role(), Role::Follower);
    assert_eq!(voter.term(), Term(3));
    assert!(!voter.is_ready());
    assert!(poll(&mut voter).is_none());
}

#[test]
fn a_restart_raises_the_term_by_one_and_opens_it_with_a_control_entry() {
    let mut recovered = LEFT;
    for start in 1..=3 {
        let mut voter = SingleVoter::new(REPLICA, recovered);
        voter.tick();
        assert_eq!(voter.role(), Role::Leader);
        assert_eq!(voter.term(), Term(3 + start));

        let ready = poll(&mut voter).expect("a new leader has its hard state to write");
        let hard_state = ready.hard_state.expect("the term changed");
        assert_eq!(hard_state.term, voter.term());
        assert_eq!(hard_state.vote, Some(REPLICA));
        let first = Entry { term: Term(3 + start), index: LogIndex(5 + start), body: Vec::new() };
        assert_eq!(ready.entries, [first]);

        recovered = Recovered {
            term: hard_state.term,
            vote: hard_state.vote,
            commit: hard_state.commit,
            last: voter.last(),
            last_term: hard_state.term,
        };
    }
}

#[test]
fn the_first_log_of_all_starts_at_term_one_and_index_one() {
    let voter = ready_leader(Recovered::default());
    assert_eq!(voter.term(), Term(1));
    assert_eq!(voter.last(), LogIndex(1));
    assert_eq!(voter.commit(), LogIndex(1));
}

#[test]
fn later_ticks_change_nothing() {
    let mut voter = SingleVoter::new(REPLICA, LEFT);
    voter.tick();
    for _ in 0..100 {
        voter.tick();
        voter.check();
    }
    assert_eq!(voter.term(), Term(4));
    assert_eq!(voter.last(), LogIndex(6));
    let ready = poll(&mut voter).expect("a new leader has its hard state to write");
    voter.tick();
    persist(&mut voter, &ready);
    voter.tick();
    assert!(poll(&mut voter).is_none());
}

#[test]
fn what_was_recovered_commits_with_the_first_entry_of_the_new_term_and_not_before() {
    let mut voter = SingleVoter::new(REPLICA, LEFT);
    voter.tick();
    let ready = poll(&mut voter).expect("a new leader has its hard state to write");
    assert_eq!(voter.commit(), LogIndex(4));
    assert!(!voter.is_ready());
    persist(&mut voter, &ready);
    assert_eq!(voter.commit(), LogIndex(6));
    assert!(voter.is_ready());
}

#[test]
fn a_recovered_commit_ahead_of_the_log_is_clamped_to_its_last_entry() {
    let voter = SingleVoter::new(REPLICA, Recovered { commit: LogIndex(9), ..LEFT });
    assert_eq!(voter.commit(), LogIndex(5));
    voter.check();
}

#[test]
fn a_log_with_a_newer_term_than_its_hard_state_is_an_assertion() {
    assert!(panics(|| {
        drop(SingleVoter::new(REPLICA, Recovered { term: Term(2), ..LEFT }));
    }));
}

#[test]
fn nothing_commits_before_it_is_persisted() {
    let mut voter = ready_leader(LEFT);
    let index = propose(&mut voter, b"batch");
    assert_eq!(voter.commit(), LogIndex(6));
    let ready = poll(&mut voter).expect("an entry is to be written");
    assert_eq!(voter.commit(), LogIndex(6));
    voter.tick();
    assert!(poll(&mut voter).is_none());
    assert_eq!(voter.commit(), LogIndex(6));
    persist(&mut voter, &ready);
    assert_eq!(voter.commit(), index);
}

#[test]
fn an_entry_proposed_after_a_poll_does_not_commit_with_that_ready() {
    let mut voter = ready_leader(LEFT);
    let polled = propose(&mut voter, b"polled");
    let ready = poll(&mut voter).expect("an entry is to be written");
    let unpolled = propose(&mut voter, b"unpolled");
    persist(&mut voter, &ready);
    assert_eq!(voter.commit(), polled);
    let ready = poll(&mut voter).expect("an entry is to be written");
    persist(&mut voter, &ready);
    assert_eq!(voter.commit(), unpolled);
}

#[test]
fn several_readies_may_be_in_flight_and_commit_one_after_the_other() {
    let mut voter = ready_leader(LEFT);
    let mut in_flight = Vec::new();
    for body in [b"a", b"b", b"c"] {
        let index = propose(&mut voter, body);
        in_flight.push((index, poll(&mut voter).expect("an entry is to be written")));
    }
    for (index, ready) in in_flight {
        assert_eq!(voter.commit().next(), index);
        persist(&mut voter, &ready);
        assert_eq!(voter.commit(), index);
    }
}

#[test]
fn entries_come_out_once_in_order_with_the_bodies_that_went_in() {
    let mut voter = ready_leader(LEFT);
    propose(&mut voter, b"a");
    propose(&mut voter, b"b");
    let ready = poll(&mut voter).expect("entries are to be written");
    assert!(ready.hard_state.is_none());
    let term = voter.term();
    assert_eq!(
        ready.entries,
        [
            Entry { term, index: LogIndex(7), body: b"a".to_vec() },
            Entry { term, index: LogIndex(8), body: b"b".to_vec() },
        ]
    );
    assert!(poll(&mut voter).is_none());
}

#[test]
fn a_proposal_is_refused_with_its_body_unless_the_ready_leader_of_its_term_is_asked() {
    let mut voter = SingleVoter::new(REPLICA, LEFT);
    let refuse = |voter: &mut SingleVoter, term, refusal| {
        let last = voter.last();
        let refused = voter.propose(term, b"batch".to_vec()).expect_err("it may not append");
        assert_eq!(refused, Refused { refusal, body: b"batch".to_vec() });
        assert_eq!(voter.last(), last);
        voter.check();
    };
    refuse(&mut voter, Term(3), Refusal::NotLeader);
    voter.tick();
    refuse(&mut voter, Term(3), Refusal::OtherTerm { current: Term(4) });
    refuse(&mut voter, Term(4), Refusal::NotReady);
    let ready = poll(&mut voter).expect("a new leader has its hard state to write");
    refuse(&mut voter, Term(4), Refusal::NotReady);
    persist(&mut voter, &ready);
    refuse(&mut voter, Term(3), Refusal::OtherTerm { current: Term(4) });
    refuse(&mut voter, Term(5), Refusal::OtherTerm { current: Term(4) });
    assert_eq!(voter.propose(Term(4), b"batch".to_vec()), Ok(LogIndex(7)));
}

#[test]
fn an_empty_proposal_is_an_assertion() {
    let mut voter = ready_leader(LEFT);
    let term = voter.term();
    assert!(panics(|| drop(voter.propose(term, Vec::new()))));
}

#[test]
fn readies_acknowledged_out_of_order_twice_or_unpolled_are_assertions() {
    let two_in_flight = || {
        let mut voter = ready_leader(LEFT);
        propose(&mut voter, b"a");
        let first = poll(&mut voter).expect("an entry is to be written").number;
        propose(&mut voter, b"b");
        let second = poll(&mut voter).expect("an entry is to be written").number;
        (voter, first, second)
    };
    let (mut voter, _, second) = two_in_flight();
    assert!(panics(|| voter.handle_persisted(second)), "the first one is still in flight");

    let (mut voter, first, second) = two_in_flight();
    voter.handle_persisted(first);
    assert!(panics(|| voter.handle_persisted(first)), "acknowledged twice");

    let (mut voter, first, _) = two_in_flight();
    voter.handle_persisted(first);
    voter.handle_persisted(second);
    propose(&mut voter, b"c");
    let unpolled = ReadyNumber(second.0 + 1);
    assert!(panics(|| voter.handle_persisted(unpolled)), "never polled");
}

#[test]
fn a_steady_load_keeps_using_the_same_two_vectors() {
    let mut voter = ready_leader(LEFT);
    let mut ready = Ready::new();
    let mut places = Vec::new();
    for turn in 0..100 {
        for _ in 0..16 {
            propose(&mut voter, b"batch");
        }
        assert!(voter.poll_ready(&mut ready));
        assert_eq!(ready.entries.len(), 16);
        if 2 <= turn {
            let place = (ready.entries.as_ptr(), ready.entries.capacity());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        voter.handle_persisted(ready.number);
    }
    assert_eq!(places.len(), 2);
}

#[test]
fn a_poll_with_nothing_to_do_leaves_an_empty_ready() {
    let mut voter = ready_leader(LEFT);
    propose(&mut voter, b"batch");
    let mut ready = Ready::new();
    assert!(voter.poll_ready(&mut ready));
    assert!(ready.has_records());
    assert!(!voter.poll_ready(&mut ready));
    assert!(!ready.has_records());
    assert!(ready.messages.is_empty());
}

/// Crashes at any moment keep a prefix of what was polled that reaches at least the commit; every
/// entry ever committed must be there, with the term it was committed under, at the end.
#[test]
fn any_interleaving_with_crashes_keeps_every_committed_entry() {
    let mut commits = 0;
    let mut crashes = 0;
    for seed in 0..300 {
        let mut prng = Prng::from_seed(seed);
        let mut disk: Vec<Term> = Vec::new(); // what a crash may keep, in part
        let mut hard_state = HardState { term: Term(0), vote: None, commit: LogIndex::NONE };
        let mut voter = SingleVoter::new(REPLICA, Recovered::default());
        let mut in_flight = VecDeque::new();
        let mut committed: Vec<Term> = Vec::new();
        for _ in 0..400 {
            match prng.below(100) {
                0..10 => voter.tick(),
                10..50 => match voter.propose(voter.term(), vec![1]) {
                    Ok(index) => assert_eq!(index, voter.last()),
                    Err(refused) => assert!(!voter.is_ready(), "{}", refused.refusal),
                },
                50..75 => {
                    let ready = poll(&mut voter);
                    in_flight.extend(ready);
                }
                75..98 => {
                    if let Some(ready) = in_flight.pop_front() {
                        hard_state = ready.hard_state.unwrap_or(hard_state);
                        disk.extend(ready.entries.iter().map(|entry| entry.term));
                        persist(&mut voter, &ready);
                        assert_eq!(voter.commit().0, disk.len() as u64);
                    }
                }
                _ => {
                    // Frames in flight may have reached the disk without anybody hearing of it.
                    let reached = prng.index(in_flight.len() + 1);
                    for ready in in_flight.drain(..).take(reached) {
                        hard_state = ready.hard_state.unwrap_or(hard_state);
                        disk.extend(ready.entries.iter().map(|entry| entry.term));
                    }
                    crashes += 1;
                    voter = SingleVoter::new(
                        REPLICA,
                        Recovered {
                            term: hard_state.term,
                            vote: hard_state.vote,
                            commit: hard_state.commit,
                            last: LogIndex(disk.len() as u64),
                            last_term: disk.last().copied().unwrap_or_default(),
                        },
                    );
                }
            }
            voter.check();
            let commit = usize::try_from(voter.commit().0).expect("the test's logs are short");
            if committed.len() < commit {
                commits += commit - committed.len();
                committed = disk[..commit].to_vec();
            }
            assert_eq!(committed, disk[..committed.len()], "seed {seed}");
        }
    }
    assert!(10_000 < commits, "only {commits} entries were committed");
    assert!(1_000 < crashes, "only {crashes} crashes happened");
}
