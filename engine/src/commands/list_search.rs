//! Commands that find elements of a list by what they are.

use super::lists::{check_len, look, read, seen};
use super::{LIST, check_sizes, integer_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs, is_sorted};
use crate::context::{Args, ReadCx, Run, WriteCx};
use crate::effect::{Effect, ElementsBuf};
use crate::error::CommandError;
use crate::listpack::Item;
use crate::notes::Class;
use crate::values::{Direction, ListView};

pub(super) const FAMILY: &[Command<Run>] = &[LINSERT, LPOS, LREM];
const _: () = assert!(is_sorted(FAMILY));

const LINSERT: Command<Run> = Command {
    name: "linsert",
    summary: "Puts an element before or behind another one of a list.",
    since: "2.2.0",
    complexity: "O(N) in the elements before the other one.",
    arity: Arity::Exactly(5),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Insert]),
    flags: &[Flag::DenyOom],
    run: Run::Write(insert),
    ..LIST
};

fn insert(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, side, pivot, element] = args else { unreachable!("the arity is exact") };
    let is_behind = if is_option(side, "after") {
        true
    } else if is_option(side, "before") {
        false
    } else {
        return Err(CommandError::Syntax);
    };
    check_sizes(&[key, element])?;
    let Some(list) = look(cx, key)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let len = list.len() + 1;
    let pivot = Item::of(pivot);
    let Some(place) = list.iter().position(|item| item == pivot) else {
        cx.reply.integer(-1);
        return Ok(());
    };
    check_len(len)?;
    // Nothing fails below this line.
    let index = (place + usize::from(is_behind)) as u32;
    cx.apply(Effect::ListInsert { db: cx.db, key, index, element });
    cx.notify(Class::List, "linsert", key);
    cx.reply.integer(len as i64);
    Ok(())
}

const LREM: Command<Run> = Command {
    name: "lrem",
    summary: "Takes equal elements off a list: all, or so many from the left or the right.",
    complexity: "O(N) in the elements of the list.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Delete]),
    flags: &[Flag::Logs(Logs::Indexes)],
    run: Run::Write(remove),
    ..LIST
};

fn remove(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, count, element] = args else { unreachable!("the arity is exact") };
    let count = ranged_integer(count)?;
    if look(cx, key)?.is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    // Nothing fails below this line.
    let list = seen(cx, key);
    let len = list.len();
    let direction = if count < 0 { Direction::Backward } else { Direction::Forward };
    let wanted = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let mut found: Vec<usize> = matches(list, element, direction).take(wanted).collect();
    if direction == Direction::Backward {
        found.reverse();
    }
    if !found.is_empty() {
        let mut indexes = ElementsBuf::default();
        found.iter().for_each(|index| indexes.push(&(*index as u32).to_le_bytes()));
        cx.apply(Effect::ListRemove { db: cx.db, key, indexes: indexes.elements() });
        cx.notify(Class::List, "lrem", key);
        if found.len() == len {
            cx.notify(Class::Generic, "del", key);
        }
    }
    cx.reply.integer(found.len() as i64);
    Ok(())
}

/// The indexes of the elements that are `element`.
fn matches(
    list: ListView<'_>,
    element: &[u8],
    direction: Direction,
) -> impl Iterator<Item = usize> {
    let (len, element) = (list.len(), Item::of(element));
    let start = if direction == Direction::Forward { 0 } else { len.saturating_sub(1) };
    let found = list.iter_from(start, direction).enumerate();
    found.filter(move |(_, item)| *item == element).map(move |(steps, _)| match direction {
        Direction::Forward => steps,
        Direction::Backward => len - 1 - steps,
    })
}

/// Redis takes any integer but the smallest where a sign says from which end to count.
fn ranged_integer(word: &[u8]) -> Result<i64, CommandError> {
    let number = integer_of(word)?;
    let (min, max) = (-i64::MAX, i64::MAX);
    if number < min { Err(CommandError::OutOfRange { min, max }) } else { Ok(number) }
}

const LPOS: Command<Run> = Command {
    name: "lpos",
    summary: "Returns the index of an element of a list, or the indexes of equal ones.",
    since: "6.0.6",
    complexity: "O(N) in the elements that are looked at.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(positions),
    ..LIST
};

fn positions(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, element, options @ ..] = args else { unreachable!("the arity is at least three") };
    let (mut rank, mut wanted, mut looked_at) = (1, None, 0);
    for option in options.chunks(2) {
        let [option, value] = option else { return Err(CommandError::Syntax) };
        if is_option(option, "rank") {
            rank = ranged_integer(value)?;
            if rank == 0 {
                return Err(CommandError::RankZero);
            }
        } else if is_option(option, "count") {
            wanted = Some(not_negative(value, "COUNT")?);
        } else if is_option(option, "maxlen") {
            looked_at = not_negative(value, "MAXLEN")?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let Some(list) = read(cx, key)? else {
        match wanted {
            None => cx.reply.null(),
            Some(_) => cx.reply.array(0),
        }
        return Ok(());
    };
    let direction = if rank < 0 { Direction::Backward } else { Direction::Forward };
    let len = list.len();
    let steps = if looked_at == 0 { len } else { len.min(looked_at) };
    let first = rank.unsigned_abs() as usize - 1;
    let mut found = matches(list, element, direction)
        .take_while(|index| match direction {
            Direction::Forward => *index < steps,
            Direction::Backward => len - steps <= *index,
        })
        .skip(first);
    match wanted {
        None => match found.next() {
            Some(index) => cx.reply.integer(index as i64),
            None => cx.reply.null(),
        },
        Some(wanted) => {
            let wanted = if wanted == 0 { usize::MAX } else { wanted };
            let found: Vec<usize> = found.take(wanted).collect();
            cx.reply.array(found.len());
            found.iter().for_each(|index| cx.reply.integer(*index as i64));
        }
    }
    Ok(())
}

fn not_negative(word: &[u8], what: &'static str) -> Result<usize, CommandError> {
    let number = integer_of(word).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(CommandError::Negative { what })
}
