//! Members of a sorted set by chance, and all of them in steps.

use std::collections::BTreeSet;

use base::double::Text;

use super::{ASKED, SORTED_SET, read, reply_members, reply_name, zset_of};
use crate::command::{Arity, Command, is_sorted};
use crate::commands::databases::{SCAN_COUNT, parse_cursor};
use crate::commands::{integer_of, is_option};
use crate::context::{Args, Lookup, ReadCx, Run};
use crate::double::print_in_full;
use crate::error::CommandError;
use crate::glob::matches_glob;
use crate::listpack::{Item, Scratch};
use crate::values::{Scored, Zset};

pub(in crate::commands) const FAMILY: &[Command<Run>] = &[ZRANDMEMBER, ZSCAN];
const _: () = assert!(is_sorted(FAMILY));

const ZRANDMEMBER: Command<Run> = Command {
    name: "zrandmember",
    summary: "Returns members by chance.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members returned.",
    arity: Arity::AtLeast(2),
    keys: ASKED,
    tips: &["nondeterministic_output"],
    run: Run::Read(random_members),
    ..SORTED_SET
};

fn random_members(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, count, with_scores) = match args {
        [key] => {
            match read(cx, key)? {
                None => cx.reply.null(),
                Some(zset) => {
                    let (name, _) = zset.random(cx.prng);
                    reply_name(cx.reply, name);
                }
            }
            return Ok(());
        }
        [key, count, options @ ..] => {
            let count = integer_of(count)?;
            let (min, max) = (-i64::MAX, i64::MAX);
            if count < min {
                return Err(CommandError::OutOfRange { min, max });
            }
            match options {
                [] => (key, count, false),
                [option] if is_option(option, "withscores") => {
                    if count < -i64::MAX / 2 || i64::MAX / 2 < count {
                        return Err(CommandError::BeyondRange);
                    }
                    (key, count, true)
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        [] => unreachable!("the arity is at least two"),
    };
    let Some(zset) = read(cx, key)?.filter(|_| count != 0) else {
        cx.reply.array(0);
        return Ok(());
    };
    match usize::try_from(count) {
        Err(_) => {
            let wanted = usize::try_from(count.unsigned_abs()).expect("sizes have 64 bits");
            let prng = &mut *cx.prng;
            let draws = (0..wanted).map(|_| zset.random(prng));
            reply_members(cx.reply, draws, with_scores);
        }
        Ok(wanted) if zset.len() <= wanted => reply_members(cx.reply, zset.iter(), with_scores),
        Ok(wanted) => {
            let drawn = distinct(cx, zset, wanted);
            reply_members(cx.reply, drawn.into_iter(), with_scores);
        }
    }
    Ok(())
}

/// So many different members, fewer than there are, in any order.
fn distinct<'a>(cx: &mut ReadCx<'_>, zset: Zset<'a>, wanted: usize) -> Vec<Scored<'a>> {
    if zset.len() < 3 * wanted || matches!(zset, Zset::Pack(_)) {
        let mut members: Vec<_> = zset.iter().collect();
        cx.prng.shuffle(&mut members);
        members.truncate(wanted);
        return members;
    }
    let mut drawn = Vec::with_capacity(wanted);
    let mut seen = BTreeSet::new();
    while drawn.len() < wanted {
        let rank = cx.prng.index(zset.len());
        if seen.insert(rank) {
            drawn.extend(zset.range(rank, rank + 1));
        }
    }
    drawn
}

const ZSCAN: Command<Run> = Command {
    name: "zscan",
    summary: "Returns some members with their scores, and a cursor with which to ask for more.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole iteration, where N is the number of members.",
    arity: Arity::AtLeast(3),
    keys: ASKED,
    tips: &["nondeterministic_output"],
    run: Run::Read(scan),
    ..SORTED_SET
};

fn scan(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, cursor, options @ ..] = args else { unreachable!("the arity is at least three") };
    let cursor = parse_cursor(cursor).ok_or(CommandError::InvalidCursor)?;
    let Some(zset) = zset_of(cx.look(Lookup::Read, key))? else {
        // Redis looks at the options only if there is something to scan.
        cx.reply.array(2);
        cx.reply.bulk(b"0");
        cx.reply.array(0);
        return Ok(());
    };
    let (mut count, mut pattern) = (SCAN_COUNT, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(CommandError::Syntax)?;
        if is_option(option, "count") {
            count = integer_of(value)?;
            if count < 1 {
                return Err(CommandError::Syntax);
            }
        } else if is_option(option, "match") {
            pattern = Some(*value).filter(|pattern| *pattern != b"*");
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let cursors = cx.spaces.of(key).keyspace.cursor();
    let mut found: Vec<Scored<'_>> = Vec::new();
    let next = match zset {
        Zset::Pack(_) => {
            found.extend(zset.iter());
            None
        }
        Zset::Tree(ranking) => cursors.decode(cursor).and_then(|from| {
            let visit = &mut |(name, score)| found.push((Item::Bytes(name), score));
            ranking.scan(from, count as usize, visit)
        }),
    };
    if let Some(pattern) = pattern {
        let mut scratch = Scratch::default();
        found.retain(|(name, _)| matches_glob(pattern, name.bytes(&mut scratch), false));
    }
    let mut digits = itoa::Buffer::new();
    let next = next.map_or(0, |next| cursors.encode(next));
    cx.reply.array(2);
    cx.reply.bulk(digits.format(next).as_bytes());
    cx.reply.array(2 * found.len());
    for (name, score) in found {
        reply_name(cx.reply, name);
        match zset {
            Zset::Pack(_) => cx.reply.bulk(Text::new(score).as_bytes()),
            // Redis prints these in another way than all others.
            Zset::Tree(_) => cx.reply.bulk(print_in_full(score).as_bytes()),
        }
    }
    Ok(())
}
