//! Members of the lowest or the highest scores: returned and removed.

use super::removals::apply;
use super::{SORTED_SET, notify_removal, reply_name, zset_of};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, is_sorted};
use crate::commands::is_option;
use crate::context::{Args, Lookup, Run, WriteCx};
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::listpack::Item;
use crate::values::Zset;

pub(in crate::commands) const FAMILY: &[Command<Run>] = &[ZMPOP, ZPOPMAX, ZPOPMIN];
const _: () = assert!(is_sorted(FAMILY));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Lowest,
    Highest,
}

const ZPOPMIN: Command<Run> = Command {
    name: "zpopmin",
    summary: "Returns and removes the members of the lowest scores.",
    since: "5.0.0",
    complexity: "O(log(N)*M) where N is the number of members and M that of those returned.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(POPPED),
    flags: &[Flag::Fast],
    run: Run::Write(|cx, args| pop(cx, args, Which::Lowest)),
    ..SORTED_SET
};

const ZPOPMAX: Command<Run> = Command {
    name: "zpopmax",
    summary: "Returns and removes the members of the highest scores.",
    run: Run::Write(|cx, args| pop(cx, args, Which::Highest)),
    ..ZPOPMIN
};

const POPPED: &[KeyFlag] = &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete];

fn pop(cx: &mut WriteCx<'_>, args: Args<'_>, which: Which) -> Result<(), CommandError> {
    let (key, count) = match args {
        [key] => (key, None),
        [key, count] => {
            let count = parse_integer(count).and_then(|count| usize::try_from(count).ok());
            (key, Some(count.ok_or(CommandError::NotPositive)?))
        }
        _ => return Err(CommandError::Syntax),
    };
    let zset = zset_of(cx.look(Lookup::Change, key))?;
    let popped = zset.map_or(Vec::new(), |zset| members(zset, which, count.unwrap_or(1)));
    // Nothing fails below this line.
    if popped.is_empty() {
        cx.reply.array(0);
        return Ok(());
    }
    match count {
        None => cx.reply.array(2),
        Some(_) => cx.reply.pairs(popped.len()),
    }
    for (name, score) in &popped {
        if count.is_some() {
            cx.reply.pair();
        }
        cx.reply.bulk(name);
        cx.reply.double(*score);
    }
    remove(cx, key, which, popped.len());
    Ok(())
}

/// Copies of the members to go, in the order in which they go.
fn members(zset: Zset<'_>, which: Which, count: usize) -> Vec<(Vec<u8>, f64)> {
    let len = zset.len();
    let count = count.min(len);
    let owned = |(name, score): (Item<'_>, f64)| (name.to_vec(), score);
    match which {
        Which::Lowest => zset.range(0, count).map(owned).collect(),
        Which::Highest => zset.range(len - count, len).rev().map(owned).collect(),
    }
}

fn remove(cx: &mut WriteCx<'_>, key: &[u8], which: Which, count: usize) {
    let entry = cx.spaces.find(cx.db, key);
    let len = entry.and_then(Zset::of).map_or(0, Zset::len);
    let rank = if which == Which::Lowest { 0 } else { len - count };
    apply(cx, key, rank, count);
    let event = if which == Which::Lowest { "zpopmin" } else { "zpopmax" };
    notify_removal(cx, event, key, count == len);
}

const ZMPOP: Command<Run> = Command {
    name: "zmpop",
    summary: "Returns and removes members of the first of several keys that is there.",
    since: "7.0.0",
    complexity: "O(K)+O(M*log(N)) where K is the number of keys, N that of members and M that of \
                 those returned.",
    arity: Arity::AtLeast(4),
    keys: Keys::Several(&[KeySpec::counted(1, POPPED)]),
    run: Run::Write(pop_first),
    ..SORTED_SET
};

fn pop_first(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key_count, rest @ ..] = args else { unreachable!("the arity is at least four") };
    let key_count = above_zero(key_count).ok_or(CommandError::TooFewKeys)?;
    let (keys, options) = rest.split_at_checked(key_count).ok_or(CommandError::Syntax)?;
    let (which, count) = match options {
        [which] => (which, 1),
        [which, option, count] if is_option(option, "count") => {
            parse_which(which)?;
            (which, above_zero(count).ok_or(CommandError::CountTooSmall)?)
        }
        // The count is read before what is behind it is found to be too much.
        [which, option, count, ..] if is_option(option, "count") => {
            parse_which(which)?;
            above_zero(count).ok_or(CommandError::CountTooSmall)?;
            return Err(CommandError::Syntax);
        }
        _ => return Err(CommandError::Syntax),
    };
    let which = parse_which(which)?;
    let mut found = None;
    for key in keys {
        if let Some(zset) = zset_of(cx.look(Lookup::Change, key))? {
            found = Some((key, members(zset, which, count)));
            break;
        }
    }
    // Nothing fails below this line.
    let Some((key, popped)) = found else {
        cx.reply.null_array();
        return Ok(());
    };
    cx.reply.array(2);
    cx.reply.bulk(key);
    cx.reply.array(popped.len());
    for (name, score) in &popped {
        cx.reply.array(2);
        reply_name(cx.reply, Item::Bytes(name));
        cx.reply.double(*score);
    }
    remove(cx, key, which, popped.len());
    Ok(())
}

fn above_zero(word: &[u8]) -> Option<usize> {
    parse_integer(word).and_then(|number| usize::try_from(number).ok()).filter(|it| 0 < *it)
}

fn parse_which(word: &[u8]) -> Result<Which, CommandError> {
    if is_option(word, "min") {
        Ok(Which::Lowest)
    } else if is_option(word, "max") {
        Ok(Which::Highest)
    } else {
        Err(CommandError::Syntax)
    }
}
