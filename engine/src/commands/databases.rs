//! Commands on whole databases: they run on every slice.
//!
//! Those that name keys they find pass over keys that have expired, and note them as hidden: the
//! node deletes them by effects before the reply goes.

use base::Slot;

use super::keys::type_name;
use super::{GENERIC, SERVER, integer_of, is_option};
use crate::command::{Arity, Command, Flag, is_sorted};
use crate::context::{Args, ReadCx, Run, WriteCx};
use crate::cursor::Position;
use crate::effect::Effect;
use crate::error::CommandError;
use crate::glob::matches_glob;
use crate::keyspace::{Entry, Keyspace};

pub(super) const FAMILY: &[Command<Run>] =
    &[DBSIZE, FLUSHALL, FLUSHDB, KEYS, RANDOMKEY, SCAN, SWAPDB];
const _: () = assert!(is_sorted(FAMILY));

const DBSIZE: Command<Run> = Command {
    name: "dbsize",
    summary: "Returns the number of keys in the database.",
    arity: Arity::Exactly(1),
    flags: &[Flag::Fast],
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    run: Run::ReadAll(|cx, _| {
        // Expired keys count until they are deleted, as in Redis: so nothing is hidden.
        let count: usize = cx.spaces.iter().map(|keyspace| keyspace.len(cx.db)).sum();
        cx.reply.integer(count as i64);
        Ok(())
    }),
    ..SERVER
};

const FLUSHALL: Command<Run> = Command {
    name: "flushall",
    summary: "Removes every key of every database.",
    complexity: "O(N) where N is the number of keys.",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Dangerous],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    run: Run::WriteAll(|cx, args| {
        flush(cx, args, Effect::FlushAll, |keyspace| !keyspace.is_empty())
    }),
    ..SERVER
};

const FLUSHDB: Command<Run> = Command {
    name: "flushdb",
    summary: "Removes every key of the database.",
    run: Run::WriteAll(|cx, args| {
        let db = cx.db;
        flush(cx, args, Effect::FlushDatabase { db }, |keyspace| 0 < keyspace.len(db))
    }),
    ..FLUSHALL
};

/// Memory is always freed later, whether a client asks for that or not: nobody waits for it.
fn flush(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    effect: Effect<'_>,
    is_changed: impl Fn(&Keyspace) -> bool,
) -> Result<(), CommandError> {
    match args {
        [] => {}
        [how] if is_option(how, "async") || is_option(how, "sync") => {}
        _ => return Err(CommandError::Syntax),
    }
    // Nothing fails below this line.
    cx.spaces.apply_to_all(&effect, is_changed);
    cx.reply.simple("OK");
    Ok(())
}

const KEYS: Command<Run> = Command {
    name: "keys",
    summary: "Returns all keys that match a pattern.",
    complexity: "O(N) where N is the number of keys in the database.",
    arity: Arity::Exactly(2),
    flags: &[Flag::Dangerous],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    run: Run::ReadAll(keys),
    ..GENERIC
};

fn keys(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [pattern] = args else { unreachable!("the arity is exact") };
    let filter = Filter { pattern: Some(pattern), type_of: None };
    let mut found = Vec::new();
    for keyspace in cx.spaces.iter() {
        keyspace.for_each(cx.db, &mut |entry| {
            if filter.admits(entry) {
                found.push(entry);
            }
        });
    }
    reply_with_keys(cx, found);
    Ok(())
}

/// Replies with the keys of those that have not expired.
fn reply_with_keys(cx: &mut ReadCx<'_>, mut found: Vec<Entry<'_>>) {
    let (db, now_ms) = (cx.db, cx.now_ms);
    let hidden = found.extract_if(.., |entry| entry.is_expired(now_ms));
    cx.notes.hidden.extend(hidden.map(|entry| (db, entry.key().into())));
    cx.reply.array(found.len());
    for entry in found {
        cx.reply.bulk(entry.key());
    }
}

/// Which keys of a database are wanted.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    type_of: Option<&'a [u8]>,
}

impl Filter<'_> {
    fn admits(&self, entry: Entry<'_>) -> bool {
        // A lone star is everything, even the empty key, which it does not match.
        let pattern = self.pattern.filter(|pattern| *pattern != b"*");
        pattern.is_none_or(|pattern| matches_glob(pattern, entry.key(), false))
            && self.type_of.is_none_or(|wanted| is_option(wanted, type_name(entry)))
    }
}

const RANDOMKEY: Command<Run> = Command {
    name: "randomkey",
    summary: "Returns a key by chance, or nil if there is none.",
    arity: Arity::Exactly(1),
    tips: &["request_policy:all_shards", "nondeterministic_output"],
    run: Run::ReadAll(random_key),
    ..GENERIC
};

/// Draws of expired keys after which all keys are looked at.
const EXPIRED_DRAWS_MAX: usize = 100;

fn random_key(cx: &mut ReadCx<'_>, _: Args<'_>) -> Result<(), CommandError> {
    let (db, now_ms) = (cx.db, cx.now_ms);
    let mut hidden = Vec::new();
    let mut chosen = None;
    for _ in 0..EXPIRED_DRAWS_MAX {
        let Some(entry) = draw(cx) else { break };
        if !entry.is_expired(now_ms) {
            chosen = Some(entry);
            break;
        }
        hidden.push(entry.key());
    }
    if chosen.is_none() && !hidden.is_empty() {
        // Nearly all have expired. What is there is found for sure, if by less chance.
        for keyspace in cx.spaces.iter() {
            keyspace.for_each(db, &mut |entry| match entry.is_expired(now_ms) {
                true => hidden.push(entry.key()),
                false => chosen = Some(entry),
            });
        }
    }
    hidden.sort_unstable();
    hidden.dedup();
    cx.notes.hidden.extend(hidden.into_iter().map(|key| (db, key.into())));
    match chosen {
        Some(entry) => cx.reply.bulk(entry.key()),
        None => cx.reply.null(),
    }
    Ok(())
}

/// An entry of any slice, each about as likely as any other.
fn draw<'a>(cx: &mut ReadCx<'a>) -> Option<Entry<'a>> {
    let db = cx.db;
    let count: usize = cx.spaces.iter().map(|keyspace| keyspace.len(db)).sum();
    if count == 0 {
        return None;
    }
    let mut place = cx.prng.index(count);
    let keyspace = cx.spaces.iter().find(|keyspace| match place.checked_sub(keyspace.len(db)) {
        None => true,
        Some(rest) => {
            place = rest;
            false
        }
    });
    keyspace.and_then(|keyspace| keyspace.random(db, cx.prng))
}

const SCAN: Command<Run> = Command {
    name: "scan",
    summary: "Returns some keys, and a cursor with which to ask for more.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole iteration, where N is the number of keys.",
    arity: Arity::AtLeast(2),
    tips: &["nondeterministic_output", "request_policy:special"],
    run: Run::ReadAll(scan),
    ..GENERIC
};

/// Keys a call looks at unless COUNT says otherwise.
pub(super) const SCAN_COUNT: i64 = 10;

fn scan(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [cursor, options @ ..] = args else { unreachable!("the arity is at least two") };
    let cursor = parse_cursor(cursor).ok_or(CommandError::InvalidCursor)?;
    let mut filter = Filter { pattern: None, type_of: None };
    let mut count = SCAN_COUNT;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(CommandError::Syntax)?;
        if is_option(option, "count") {
            count = integer_of(value)?;
            if count < 1 {
                return Err(CommandError::Syntax);
            }
        } else if is_option(option, "match") {
            filter.pattern = Some(value);
        } else if is_option(option, "type") {
            filter.type_of = Some(value);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    // Nothing fails below this line.
    let (next, found) = scan_from(cx, cursor, count as usize, &filter);
    let mut digits = itoa::Buffer::new();
    cx.reply.array(2);
    cx.reply.bulk(digits.format(next).as_bytes());
    reply_with_keys(cx, found);
    Ok(())
}

/// The cursor to go on with, zero at the end, and the entries found.
fn scan_from<'a>(
    cx: &ReadCx<'a>,
    cursor: u64,
    count: usize,
    filter: &Filter<'_>,
) -> (u64, Vec<Entry<'a>>) {
    let mut found = Vec::new();
    let first = cx.spaces.iter().next().expect("there is at least one slice");
    let cursors = first.cursor();
    // A number that never was a cursor is behind the end.
    let Some(mut from) = cursors.decode(cursor) else { return (0, found) };
    let mut left = count;
    for keyspace in cx.spaces.iter() {
        let slots = keyspace.slots();
        if slots.end <= from.slot().0 {
            continue;
        }
        if from.slot().0 < slots.start {
            from = Position::of_slot(Slot(slots.start));
        }
        if left == 0 {
            return (cursors.encode(from), found);
        }
        let mut visited = 0;
        let next = keyspace.scan(cx.db, from, left, &mut |entry| {
            visited += 1;
            if filter.admits(entry) {
                found.push(entry);
            }
        });
        if let Some(next) = next {
            return (cursors.encode(next), found);
        }
        left = left.saturating_sub(visited);
    }
    (0, found)
}

/// As C's `strtoul` reads it: perhaps a sign before it, and nothing at all is zero.
pub(super) fn parse_cursor(word: &[u8]) -> Option<u64> {
    let (is_negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return word.is_empty().then_some(0);
    }
    let mut number: u64 = 0;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if is_negative { number.wrapping_neg() } else { number })
}

const SWAPDB: Command<Run> = Command {
    name: "swapdb",
    summary: "Exchanges the keys of two databases.",
    since: "4.0.0",
    arity: Arity::Exactly(3),
    flags: &[Flag::Fast, Flag::Dangerous],
    run: Run::WriteAll(swap),
    ..SERVER
};

fn swap(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [first, second] = args else { unreachable!("the arity is exact") };
    let number_of =
        |word, error| integer_of(word).ok().and_then(|it| i32::try_from(it).ok()).ok_or(error);
    let first = number_of(first, CommandError::InvalidFirstDatabase)?;
    let second = number_of(second, CommandError::InvalidSecondDatabase)?;
    let is_there = |number: i32| (0..i32::from(base::limits::DATABASES)).contains(&number);
    if !is_there(first) || !is_there(second) {
        return Err(CommandError::DatabaseOutOfRange);
    }
    // Nothing fails below this line.
    let (first, second) = (first as u16, second as u16);
    if first != second {
        let effect = Effect::SwapDatabases { first, second };
        cx.spaces.apply_to_all(&effect, |keyspace| 0 < keyspace.len(first) + keyspace.len(second));
    }
    cx.reply.simple("OK");
    Ok(())
}
