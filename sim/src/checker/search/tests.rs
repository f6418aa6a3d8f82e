//! The search finds what is wrong and nothing else.

use super::*;
use crate::history::{Answer, Condition, Value};

const NONE: State = [None; PLACES];

fn set(text: u32) -> Act {
    Act::Set { key: 0, value: Value::Text(text), condition: Condition::Always, get: false }
}

fn got(text: u32) -> Told {
    Told::Answer(Answer::Value(Value::Text(text)))
}

fn ok() -> Told {
    Told::Answer(Answer::Ok)
}

/// (lane, from, to, what, reply); level local.
fn local(lane: u32, arrived: u64, answered: u64, act: Act, told: Told) -> Step {
    Step {
        lane,
        act,
        told,
        level: Level::Local,
        arrived,
        answered,
        seems_refused: false,
        operation: 0,
    }
}

fn memory(lane: u32, arrived: u64, answered: u64, act: Act, told: Told) -> Step {
    Step { level: Level::Memory, ..local(lane, arrived, answered, act, told) }
}

fn unknown(lane: u32, arrived: u64, act: Act) -> Step {
    local(lane, arrived, u64::MAX, act, Told::Nothing)
}

fn puts(texts: &[u32]) -> Vec<Change> {
    texts.iter().map(|text| (0, Some(Value::Text(*text)))).collect()
}

#[track_caller]
fn check(steps: &[Step], log: &[Change], end: End, linearizable: bool) {
    let verdict = search(steps, NONE, log, &[0; PLACES], end);
    assert_eq!(verdict == Verdict::Linearizable, linearizable, "{verdict:?}");
}

#[test]
fn a_read_sees_the_last_write_that_was_answered() {
    let steps = |text| {
        [
            local(1, 1, 2, set(1), ok()),
            local(2, 3, 4, set(2), ok()),
            local(3, 5, 6, Act::Get(0), got(text)),
        ]
    };
    check(&steps(2), &puts(&[1, 2]), End::Clean, true);
    check(&steps(1), &puts(&[1, 2]), End::Clean, false);
    check(&steps(2), &puts(&[2, 1]), End::Clean, false);
    check(&steps(2), &puts(&[1]), End::Clean, false);
}

#[test]
fn writes_at_the_same_time_may_take_either_order_but_only_one() {
    let steps = |first, second| {
        [
            local(1, 1, 9, set(1), ok()),
            local(2, 1, 9, set(2), ok()),
            local(3, 10, 11, Act::Get(0), got(first)),
            local(3, 12, 13, Act::Get(0), got(second)),
        ]
    };
    check(&steps(1, 1), &puts(&[2, 1]), End::Clean, true);
    check(&steps(2, 2), &puts(&[1, 2]), End::Clean, true);
    check(&steps(1, 1), &puts(&[1, 2]), End::Clean, false);
    check(&steps(1, 2), &puts(&[1, 2]), End::Clean, false);
}

#[test]
fn an_unanswered_write_may_have_happened_or_not_or_late() {
    let steps = [unknown(1, 1, set(1)), local(2, 2, 3, set(2), ok())];
    for log in [&[1, 2][..], &[2, 1], &[2]] {
        check(&steps, &puts(log), End::Crash, true);
    }
    for log in [&[1][..], &[], &[2, 3], &[2, 1, 1]] {
        check(&steps, &puts(log), End::Crash, false);
    }
}

#[test]
fn one_of_several_unanswered_writes_may_have_been_refused() {
    let steps = [unknown(1, 1, set(1)), unknown(1, 1, set(2)), unknown(1, 1, set(3))];
    check(&steps, &puts(&[1, 3]), End::Crash, true);
    check(&steps, &puts(&[3, 1]), End::Crash, false);
}

#[test]
fn an_acknowledged_write_does_not_get_lost_at_level_local_and_may_at_level_memory() {
    check(&[local(1, 1, 2, set(1), ok())], &[], End::Crash, false);
    check(&[memory(1, 1, 2, set(1), ok())], &[], End::Crash, true);
    check(&[memory(1, 1, 2, set(1), ok())], &[], End::Clean, false);
}

#[test]
fn nobody_sees_at_level_local_what_is_lost() {
    let seen = |level: fn(u32, u64, u64, Act, Told) -> Step| {
        [unknown(1, 1, set(1)), level(2, 2, 3, Act::Get(0), got(1))]
    };
    check(&seen(local), &[], End::Crash, false);
    check(&seen(local), &puts(&[1]), End::Crash, true);
    check(&seen(memory), &[], End::Crash, true);
}

#[test]
fn nobody_misses_at_level_local_what_comes_back() {
    let steps = [
        local(1, 1, 2, set(1), ok()),
        unknown(1, 3, Act::Delete(vec![0])),
        local(2, 4, 5, Act::Get(0), Told::Answer(Answer::Nil)),
    ];
    check(&steps, &[puts(&[1])[0], (0, None)], End::Crash, true);
    check(&steps, &puts(&[1]), End::Crash, false);
}

fn set_other(text: u32) -> Act {
    Act::Set { key: 1, value: Value::Text(text), condition: Condition::Always, get: false }
}

#[test]
fn what_is_lost_is_the_end_of_the_order() {
    let steps = [memory(1, 1, 2, set(1), ok()), memory(1, 3, 4, set_other(2), ok())];
    let other = (1, Some(Value::Text(2)));
    check(&steps, &[puts(&[1])[0], other], End::Crash, true);
    check(&steps, &puts(&[1]), End::Crash, true);
    check(&steps, &[other], End::Crash, false);
}

#[test]
fn a_local_reader_of_another_key_is_not_bothered_by_what_is_lost() {
    let steps =
        [memory(1, 1, 2, set(1), ok()), local(2, 3, 4, Act::Get(1), Told::Answer(Answer::Nil))];
    check(&steps, &[], End::Crash, true);
    let steps = [
        memory(1, 1, 2, set(1), ok()),
        local(2, 3, 4, Act::Size(0), Told::Answer(Answer::Integer(1))),
    ];
    check(&steps, &[], End::Crash, false);
}

#[test]
fn commands_over_several_keys_are_one_step() {
    let steps = |count| {
        [
            local(1, 1, 2, set(1), ok()),
            local(1, 3, 4, set_other(2), ok()),
            local(2, 5, 9, Act::Delete(vec![0, 1]), Told::Answer(Answer::Integer(2))),
            local(3, 5, 9, Act::Exists(vec![0, 1]), Told::Answer(Answer::Integer(count))),
        ]
    };
    let log = [puts(&[1])[0], (1, Some(Value::Text(2))), (0, None), (1, None)];
    check(&steps(2), &log, End::Clean, true);
    check(&steps(0), &log, End::Clean, true);
    check(&steps(1), &log, End::Clean, false);
    // Half of a command survived.
    check(&steps(2), &log[..3], End::Crash, false);
}
