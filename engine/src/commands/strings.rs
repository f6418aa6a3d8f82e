//! Commands that read strings, put them, and write into them.

use base::limits::STRING_SIZE_MAX;

use super::{STRING, check_size, check_sizes, integer_of, range_of};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx, string_of};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] =
    &[APPEND, GET, GETDEL, GETRANGE, GETSET, MGET, MSET, MSETNX, SETRANGE, STRLEN, SUBSTR];
const _: () = assert!(is_sorted(FAMILY));

const APPEND: Command<Run> = Command {
    name: "append",
    summary: "Goes on with a string; an absent key is set.",
    since: "2.0.0",
    complexity: "O(1), amortized over appends of like size.",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Insert]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(append),
    ..STRING
};

fn append(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, suffix] = args else { unreachable!("the arity is exact") };
    check_sizes(args)?;
    let db = cx.db;
    let old_size = cx.string(Lookup::Change, key)?.map(<[u8]>::len);
    let size = old_size.unwrap_or(0) + suffix.len();
    if STRING_SIZE_MAX < size {
        return Err(CommandError::StringTooLong);
    }
    // Nothing fails below this line.
    cx.apply(match old_size {
        Some(_) => Effect::Append { db, key, suffix },
        None => Effect::PutString { db, key, value: suffix, expire_ms: None },
    });
    cx.notify(Class::String, "append", key);
    cx.reply.integer(size as i64);
    Ok(())
}

const GET: Command<Run> = Command {
    name: "get",
    summary: "Returns the string a key holds, or nil.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    flags: &[Flag::Fast],
    run: Run::Read(get),
    ..STRING
};

fn get(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    match cx.string(key)? {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    }
    Ok(())
}

/// Replies with what the key holds, which was looked at already.
pub(super) fn reply_with_value(cx: &mut WriteCx<'_>, key: &[u8]) {
    let entry = cx.spaces.live(cx.db, key, cx.now_ms);
    match entry.and_then(|entry| entry.string()) {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    }
}

const GETDEL: Command<Run> = Command {
    name: "getdel",
    summary: "Returns the string a key holds and removes the key.",
    since: "6.2.0",
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
    flags: &[Flag::Fast],
    run: Run::Write(get_and_delete),
    ..STRING
};

fn get_and_delete(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    let is_there = cx.string(Lookup::Read, key)?.is_some();
    reply_with_value(cx, key);
    if is_there {
        cx.apply(Effect::Delete { db: cx.db, key });
        cx.notify(Class::Generic, "del", key);
    }
    Ok(())
}

const GETRANGE: Command<Run> = Command {
    name: "getrange",
    summary: "Returns a part of a string, from one position to another.",
    since: "2.4.0",
    complexity: "O(N) where N is the size of the part.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(get_range),
    ..STRING
};

const SUBSTR: Command<Run> =
    Command { name: "substr", summary: "The former name of GETRANGE.", since: "1.0.0", ..GETRANGE };

fn get_range(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, start, last] = args else { unreachable!("the arity is exact") };
    let (start, last) = (integer_of(start)?, integer_of(last)?);
    let value = cx.string(key)?.unwrap_or_default();
    cx.reply.bulk(&value[range_of(start, last, value.len())]);
    Ok(())
}

const GETSET: Command<Run> = Command {
    name: "getset",
    summary: "Makes a key hold a string and returns what it held before.",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(get_and_set),
    ..STRING
};

fn get_and_set(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, value] = args else { unreachable!("the arity is exact") };
    check_sizes(args)?;
    cx.string(Lookup::Read, key)?;
    // Nothing fails below this line.
    reply_with_value(cx, key);
    cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms: None });
    cx.notify(Class::String, "set", key);
    Ok(())
}

const MGET: Command<Run> = Command {
    name: "mget",
    summary: "Returns the string of each key, nil for a key without one.",
    complexity: "O(N) in the keys.",
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Ro, KeyFlag::Access]),
    flags: &[Flag::Fast],
    tips: &["request_policy:multi_shard"],
    run: Run::Read(get_many),
    ..STRING
};

/// From this size of the first value on, the others are taken for as large, up to so many bytes of
/// all and of what is around each.
const LARGE_SIZE: usize = 64 * 1024;
const EXPECTED_SIZE_MAX: usize = 16 * 1024 * 1024;
const BULK_OVERHEAD: usize = 32;

fn get_many(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    cx.reply.array(args.len());
    for (at, key) in args.iter().enumerate() {
        match cx.look(Lookup::Read, key).and_then(|entry| entry.string()) {
            Some(value) => {
                // A buffer that doubles again and again takes fresh memory three times over.
                if at == 0 && LARGE_SIZE <= value.len() {
                    let size = (value.len() + BULK_OVERHEAD) * args.len();
                    cx.reply.expect(size.min(EXPECTED_SIZE_MAX));
                }
                cx.reply.bulk(value);
            }
            None => cx.reply.null(),
        }
    }
    Ok(())
}

const MSET: Command<Run> = Command {
    name: "mset",
    summary: "Makes each key hold the string after it, all at once.",
    since: "1.0.1",
    complexity: "O(N) in the keys.",
    arity: Arity::AtLeast(3),
    keys: Keys::Range { first: 1, last: -1, step: 2, flags: &[KeyFlag::Ow, KeyFlag::Update] },
    flags: &[Flag::DenyOom],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    run: Run::Write(set_many),
    ..STRING
};

fn set_many(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let pairs = pairs_of("mset", args)?;
    // Nothing fails below this line.
    put_all(cx, pairs);
    cx.reply.simple("OK");
    Ok(())
}

const MSETNX: Command<Run> = Command {
    name: "msetnx",
    summary: "Makes each key hold the string after it, if none of the keys is there.",
    keys: Keys::Range { first: 1, last: -1, step: 2, flags: &[KeyFlag::Ow, KeyFlag::Insert] },
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    run: Run::Write(set_many_absent),
    ..MSET
};

fn set_many_absent(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let pairs = pairs_of("msetnx", args)?;
    // Nothing fails below this line.
    for [key, _] in pairs {
        if cx.look(Lookup::Change, key).is_some() {
            cx.reply.integer(0);
            return Ok(());
        }
    }
    put_all(cx, pairs);
    cx.reply.integer(1);
    Ok(())
}

fn pairs_of<'a>(name: &'static str, args: Args<'a>) -> Result<&'a [[&'a [u8]; 2]], CommandError> {
    check_sizes(args)?;
    match args.as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(CommandError::WrongArity { name }),
    }
}

fn put_all(cx: &mut WriteCx<'_>, pairs: &[[&[u8]; 2]]) {
    for [key, value] in pairs {
        cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms: None });
        cx.notify(Class::String, "set", key);
    }
}

const SETRANGE: Command<Run> = Command {
    name: "setrange",
    summary: "Writes into a string from a position on; zeros fill what lies before.",
    since: "2.2.0",
    complexity: "O(N) where N is the size of what is written, and of the string if it must move.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    flags: &[Flag::DenyOom],
    run: Run::Write(set_range),
    ..STRING
};

fn set_range(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, offset, bytes] = args else { unreachable!("the arity is exact") };
    let offset = integer_of(offset)?;
    if offset < 0 {
        return Err(CommandError::OffsetOutOfRange);
    }
    check_size(key)?;
    let old_size = cx.look(Lookup::Change, key).map(string_of).transpose()?.map_or(0, <[u8]>::len);
    if bytes.is_empty() {
        cx.reply.integer(old_size as i64);
        return Ok(());
    }
    let end = offset as u64 + bytes.len() as u64;
    if (STRING_SIZE_MAX as u64) < end {
        return Err(CommandError::StringTooLong);
    }
    // Nothing fails below this line.
    cx.apply(Effect::SetRange { db: cx.db, key, offset: offset as u32, bytes });
    cx.notify(Class::String, "setrange", key);
    cx.reply.integer(old_size.max(end as usize) as i64);
    Ok(())
}

const STRLEN: Command<Run> = Command {
    name: "strlen",
    summary: "Returns the size of a string in bytes; an absent key has zero.",
    since: "2.2.0",
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    run: Run::Read(size),
    ..STRING
};

fn size(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    let value = cx.string(key)?.unwrap_or_default();
    cx.reply.integer(value.len() as i64);
    Ok(())
}
