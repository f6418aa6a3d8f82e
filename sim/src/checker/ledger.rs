//! The ledger: what was acknowledged or shown must be in the log at the next start.
//!
//! Values are unique, so a value in the log is the SET that made it. These checks find less than
//! the search for an order, but say plainly what is wrong, and hold across keys.

use std::collections::BTreeMap;

use crate::history::{Answer, EMPTY, Instant, Key, Level, Operation, Request, Value};
use crate::keys::WIDE;
use crate::surviving::Surviving;

/// Checks operations of the processes that ended before `surviving` was read. `clean` if the last
/// one was shut down: then nothing that was answered may be missing.
pub fn check_ledger(
    operations: &[Operation],
    first: usize,
    surviving: &Surviving,
    clean: bool,
) -> Result<(), String> {
    for (number, operation) in operations.iter().enumerate().skip(first) {
        let say = |what: &str| Err(format!("operation #{number} {what}: {operation:?}"));
        if let Request::Set { value, .. } = &operation.request
            && let Some(text) = unique(*value)
            && surviving.texts.contains_key(&text)
        {
            if operation.arrived.is_none() {
                return say("was logged before it had arrived");
            }
            if matches!(operation.answered, Some((_, Answer::Refused))) {
                return say("was refused and logged");
            }
        }
        if operation.level == Level::Memory && !clean {
            continue;
        }
        if let Some(text) = operation.says_set().and_then(unique)
            && !surviving.texts.contains_key(&text)
        {
            return say("was acknowledged and is lost");
        }
        if let Some((_, Answer::Value(value))) = &operation.answered
            && !matches!(operation.request, Request::Echo(_))
            && let Some(text) = unique(*value)
            && !surviving.texts.contains_key(&text)
        {
            return say("showed a value that is lost");
        }
    }
    Ok(())
}

/// Checks that texts are in the log of their slice in the order of real time: what was answered before another
/// arrived is before it in the log, and is not missing while the other is there. So what a crash
/// takes, at any level, is the end of the order.
pub fn check_order_of_texts(
    operations: &[Operation],
    first: usize,
    surviving: &Surviving,
    slice_of: &dyn Fn(Key) -> u16,
) -> Result<(), String> {
    let mut ended: Vec<(Instant, u16, u32, usize)> = Vec::new();
    let mut begun: Vec<(Instant, u16, u32, usize)> = Vec::new();
    for (number, operation) in operations.iter().enumerate().skip(first) {
        let Request::Set { key, value, .. } = &operation.request else { continue };
        let Some(text) = unique(*value) else { continue };
        // Elsewhere texts are moved about.
        if operation.database != WIDE {
            continue;
        }
        let slice = slice_of(*key);
        let place = surviving.texts.get(&text).map(|(_, place)| *place);
        if operation.says_set().is_some()
            && let Some((at, _)) = operation.answered
        {
            ended.push((at, slice, place.unwrap_or(u32::MAX), number));
        }
        if let (Some(arrived), Some(place)) = (operation.arrived, place) {
            begun.push((arrived, slice, place, number));
        }
    }
    ended.sort_unstable();
    begun.sort_unstable();
    let mut ended = ended.into_iter().peekable();
    let mut furthest_of: BTreeMap<u16, (u32, usize)> = BTreeMap::new();
    for (arrived, slice, place, number) in begun {
        while let Some((_, slice, place, number)) = ended.next_if(|(at, ..)| *at < arrived) {
            let furthest = furthest_of.entry(slice).or_default();
            *furthest = (*furthest).max((place, number));
        }
        let furthest = furthest_of.get(&slice).copied().unwrap_or_default();
        if place < furthest.0 {
            let (earlier, later) = (&operations[furthest.1], &operations[number]);
            let what = if furthest.0 == u32::MAX { "is missing from" } else { "is later in" };
            return Err(format!(
                "operation #{} {what} the log though it was answered before #{number}, which is \
                 there, arrived: {earlier:?} {later:?}",
                furthest.1
            ));
        }
    }
    Ok(())
}

/// Checks the promise of level memory: while an effect older than `age_us` could still be lost, no
/// write is taken in its slice. Cores have disks of their own.
pub fn check_memory_age(
    operations: &[Operation],
    first: usize,
    surviving: &Surviving,
    age_us: u64,
    slice_of: &dyn Fn(Key) -> u16,
) -> Result<(), String> {
    let mut slices: BTreeMap<u16, (Option<&Operation>, Option<&Operation>)> = BTreeMap::new();
    for operation in &operations[first..] {
        let Some(text) = operation.says_set().and_then(unique) else { continue };
        let Request::Set { key, .. } = &operation.request else { continue };
        if operation.level != Level::Memory {
            continue;
        }
        let (lost, newest) = slices.entry(slice_of(*key)).or_default();
        let is_lost = !surviving.texts.contains_key(&text);
        if is_lost && lost.is_none_or(|lost| operation.answered_us < lost.answered_us) {
            *lost = Some(operation);
        }
        if newest.is_none_or(|newest| newest.arrived_us < operation.arrived_us) {
            *newest = Some(operation);
        }
    }
    for pair in slices.into_values() {
        if let (Some(lost), Some(newest)) = pair
            && lost.answered_us + age_us < newest.arrived_us
        {
            return Err(format!(
                "a write was taken while an older one was unflushed for more than {age_us} us: \
                 {lost:?} {newest:?}"
            ));
        }
    }
    Ok(())
}

fn unique(value: Value) -> Option<u32> {
    match value {
        EMPTY | Value::Number(_) | Value::Chain(_) => None,
        Value::Text(text) => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Condition;

    fn set(text: u32, level: Level, arrived: u64, answer: Option<(u64, Answer)>) -> Operation {
        Operation {
            connection: 1,
            database: 0,
            level,
            request: Request::Set {
                key: Key(0),
                value: Value::Text(text),
                condition: Condition::Always,
                get: false,
            },
            arrived: (0 < arrived).then_some(Instant(arrived)),
            answered: answer.map(|(at, answer)| (Instant(at), answer)),
            arrived_us: 10 * arrived,
            answered_us: 10 * arrived + 1,
        }
    }

    fn log(texts: &[u32]) -> Surviving {
        let mut surviving = Surviving::new(node::Topology::new(1, 1), false);
        surviving.texts = texts.iter().zip(1..).map(|(text, place)| (*text, (0, place))).collect();
        surviving
    }

    #[test]
    fn what_was_acknowledged_is_in_the_log() {
        let local = [set(1, Level::Local, 1, Some((2, Answer::Ok)))];
        assert!(check_ledger(&local, 0, &log(&[1]), false).is_ok());
        assert!(check_ledger(&local, 0, &log(&[]), false).is_err());
        assert!(check_ledger(&local, 1, &log(&[]), false).is_ok());
        let memory = [set(1, Level::Memory, 1, Some((2, Answer::Ok)))];
        assert!(check_ledger(&memory, 0, &log(&[]), false).is_ok());
        assert!(check_ledger(&memory, 0, &log(&[]), true).is_err());
    }

    #[test]
    fn at_level_memory_nothing_is_taken_once_the_oldest_loss_is_too_old() {
        let level = Level::Memory;
        let run =
            [set(1, level, 1, Some((2, Answer::Ok))), set(2, level, 9, Some((10, Answer::Ok)))];
        let check =
            |texts: &[u32], age_us| check_memory_age(&run, 0, &log(texts), age_us, &|_| 0).is_ok();
        assert!(check(&[1, 2], 10));
        assert!(check(&[1], 10));
        assert!(check(&[], 100));
        assert!(!check(&[], 10));
    }

    #[test]
    fn what_was_shown_is_in_the_log() {
        let mut read = set(1, Level::Local, 1, Some((2, Answer::Value(Value::Text(7)))));
        read.request = Request::Get(Key(0));
        assert!(check_ledger(&[read.clone()], 0, &log(&[7]), false).is_ok());
        assert!(check_ledger(&[read], 0, &log(&[1]), false).is_err());
    }

    #[test]
    fn what_was_refused_or_never_arrived_is_not_in_the_log() {
        let refused = [set(1, Level::Local, 1, Some((2, Answer::Refused)))];
        assert!(check_ledger(&refused, 0, &log(&[1]), false).is_err());
        assert!(check_ledger(&refused, 0, &log(&[]), false).is_ok());
        assert!(check_ledger(&[set(1, Level::Local, 0, None)], 0, &log(&[1]), false).is_err());
    }

    #[test]
    fn a_crash_takes_the_end_and_nothing_before_it() {
        let level = Level::Memory;
        let run = [
            set(1, level, 1, Some((2, Answer::Ok))),
            set(2, level, 3, Some((6, Answer::Ok))),
            set(3, level, 4, Some((5, Answer::Ok))),
            set(4, level, 7, None),
        ];
        let check = |texts: &[u32]| check_order_of_texts(&run, 0, &log(texts), &|_| 0).is_ok();
        for fine in [&[1, 2, 3, 4][..], &[1, 3, 2, 4], &[1, 3], &[1, 2], &[]] {
            assert!(check(fine), "{fine:?}");
        }
        for wrong in [&[2, 1][..], &[2, 3], &[1, 2, 4], &[1, 4, 2, 3]] {
            assert!(!check(wrong), "{wrong:?}");
        }
    }
}
