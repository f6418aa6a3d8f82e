//! Commands on the fields of hashes.

use super::chosen::Chosen;
use super::scanning::{Scan, position_of, reply_with_cursor};
use super::{FIELDS, check_sizes, integer_of};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::{Effect, Elements};
use crate::error::CommandError;
use crate::extended::Extended;
use crate::integer::parse_integer;
use crate::listpack::{Item, Scratch};
use crate::notes::Class;
use crate::reply::ReplySink;
use crate::space::Spaces;
use crate::values::HashView;

mod random;

use random::HRANDFIELD;

pub(super) const FAMILY: &[Command<Run>] = &[
    HDEL,
    HEXISTS,
    HGET,
    HGETALL,
    HINCRBY,
    HINCRBYFLOAT,
    HKEYS,
    HLEN,
    HMGET,
    HMSET,
    HRANDFIELD,
    HSCAN,
    HSET,
    HSETNX,
    HSTRLEN,
    HVALS,
];
const _: () = assert!(is_sorted(FAMILY));

/// The hash a key holds, if it holds anything.
fn find<'a>(
    spaces: &'a Spaces<'_>,
    db: u16,
    key: &[u8],
    now_ms: u64,
) -> Result<Option<HashView<'a>>, CommandError> {
    let hasher = spaces.of(key).keyspace.hasher();
    spaces.live(db, key, now_ms).map(|entry| HashView::of(entry, hasher, now_ms)).transpose()
}

/// The hash a key holds, for a client to look at.
pub(super) fn look<'a>(
    cx: &mut ReadCx<'a>,
    lookup: Lookup,
    key: &[u8],
) -> Result<Option<HashView<'a>>, CommandError> {
    let spaces = cx.spaces;
    let hasher = spaces.of(key).keyspace.hasher();
    let now_ms = cx.now_ms;
    cx.look(lookup, key).map(|entry| HashView::of(entry, hasher, now_ms)).transpose()
}

/// The hash a key holds, which is about to change.
pub(super) fn look_to_change<'a>(
    cx: &'a mut WriteCx<'_>,
    key: &[u8],
) -> Result<Option<HashView<'a>>, CommandError> {
    cx.look(Lookup::Change, key);
    find(&cx.spaces, cx.db, key, cx.now_ms)
}

pub(super) fn reply_with(reply: &mut dyn ReplySink, item: Option<Item<'_>>) {
    match item {
        Some(item) => reply.bulk(item.bytes(&mut Scratch::default())),
        None => reply.null(),
    }
}

const HSET: Command<Run> = Command {
    name: "hset",
    summary: "Gives fields of a hash values and counts those that were not there.",
    complexity: "O(N) in the fields named.",
    arity: Arity::AtLeast(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(|cx, args| {
        let added = set(cx, args, "hset")?;
        cx.reply.integer(added as i64);
        Ok(())
    }),
    ..FIELDS
};

const HMSET: Command<Run> = Command {
    name: "hmset",
    summary: "Gives fields of a hash values.",
    run: Run::Write(|cx, args| {
        set(cx, args, "hmset")?;
        cx.reply.simple("OK");
        Ok(())
    }),
    ..HSET
};

/// Returns how many fields were not there.
fn set(cx: &mut WriteCx<'_>, args: Args<'_>, name: &'static str) -> Result<usize, CommandError> {
    let [key, pairs @ ..] = args else { unreachable!("the arity is at least four") };
    if !pairs.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity { name });
    }
    check_sizes(args)?;
    let hash = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let before = hash.map_or(0, HashView::len);
    cx.apply(Effect::HashSet { db: cx.db, key, pairs: Elements::Words(pairs), expire_ms: None });
    cx.notify(Class::Hash, "hset", key);
    let after = find(&cx.spaces, cx.db, key, cx.now_ms)?.map_or(0, HashView::len);
    Ok(after - before)
}

const HSETNX: Command<Run> = Command {
    name: "hsetnx",
    summary: "Gives a field of a hash a value if it is not there.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Insert]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(|cx, args| {
        check_sizes(args)?;
        let hash = look_to_change(cx, args[0])?;
        let is_there = hash.is_some_and(|hash| hash.contains(args[1]));
        // Nothing fails below this line.
        if !is_there {
            let (db, key, pairs) = (cx.db, args[0], Elements::Words(&args[1..]));
            cx.apply(Effect::HashSet { db, key, pairs, expire_ms: None });
            cx.notify(Class::Hash, "hset", key);
        }
        cx.reply.integer((!is_there).into());
        Ok(())
    }),
    ..FIELDS
};

const HDEL: Command<Run> = Command {
    name: "hdel",
    summary: "Removes fields of a hash and counts those that were there.",
    complexity: "O(N) in the fields named.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Delete]),
    flags: &[Flag::Fast],
    run: Run::Write(|cx, args| {
        let hash = look_to_change(cx, args[0])?;
        // Nothing fails below this line.
        let removed = match hash {
            None => 0,
            Some(hash) => {
                let fields = Chosen::of(&args[1..], |field| hash.contains(field));
                let is_emptied = fields.len() == hash.len();
                take(cx, args[0], &fields, "hdel", is_emptied);
                fields.len()
            }
        };
        cx.reply.integer(removed as i64);
        Ok(())
    }),
    ..FIELDS
};

/// Removes fields that are there. With the last of them the key goes.
pub(super) fn take(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    fields: &Chosen<'_>,
    event: &'static str,
    is_emptied: bool,
) {
    if fields.is_empty() {
        return;
    }
    cx.apply(Effect::HashRemove { db: cx.db, key, fields: fields.elements() });
    cx.notify(Class::Hash, event, key);
    if is_emptied {
        cx.notify(Class::Generic, "del", key);
    }
}

const HINCRBY: Command<Run> = Command {
    name: "hincrby",
    summary: "Adds a number to the integer of a field; an absent one counts as zero.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(add),
    ..FIELDS
};

fn add(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, field, summand] = args else { unreachable!("the arity is exact") };
    let summand = integer_of(summand)?;
    check_sizes(args)?;
    let old = look_to_change(cx, key)?.and_then(|hash| hash.get(field));
    let (number, expire_ms) = match old {
        None => (0, None),
        Some(value) => {
            let number = match value.item {
                Item::Integer(integer) => Some(integer),
                Item::Bytes(text) => parse_integer(text),
            };
            (number.ok_or(CommandError::HashNotAnInteger)?, value.expire_ms)
        }
    };
    let number = number.checked_add(summand).ok_or(CommandError::Overflow)?;
    // Nothing fails below this line.
    let mut digits = itoa::Buffer::new();
    let pairs: [&[u8]; 2] = [field, digits.format(number).as_bytes()];
    cx.apply(Effect::HashSet { db: cx.db, key, pairs: Elements::Words(&pairs), expire_ms });
    cx.notify(Class::Hash, "hincrby", key);
    cx.reply.integer(number);
    Ok(())
}

const HINCRBYFLOAT: Command<Run> = Command {
    name: "hincrbyfloat",
    summary: "Adds a decimal fraction to that of a field; an absent one counts as zero.",
    since: "2.6.0",
    flags: &[Flag::DenyOom, Flag::Fast, Flag::Logs(Logs::Fraction)],
    run: Run::Write(add_fraction),
    ..HINCRBY
};

fn add_fraction(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, field, summand] = args else { unreachable!("the arity is exact") };
    let summand = Extended::parse(summand).ok_or(CommandError::NotAFloat)?;
    if matches!(summand, Extended::Infinite { .. }) {
        return Err(CommandError::NotANumber);
    }
    check_sizes(args)?;
    let old = look_to_change(cx, key)?.and_then(|hash| hash.get(field));
    let (old, expire_ms) = match old {
        None => (Extended::Zero, None),
        Some(value) => {
            let mut scratch = Scratch::default();
            let number = Extended::parse(value.item.bytes(&mut scratch));
            (number.ok_or(CommandError::HashNotAFloat)?, value.expire_ms)
        }
    };
    let sum = match old.add(summand) {
        None | Some(Extended::Infinite { .. }) => return Err(CommandError::NotFinite),
        Some(sum) => sum.print(),
    };
    // Nothing fails below this line. The sum is logged as it prints: no replica adds again.
    let pairs: [&[u8]; 2] = [field, sum.as_bytes()];
    cx.apply(Effect::HashSet { db: cx.db, key, pairs: Elements::Words(&pairs), expire_ms });
    cx.notify(Class::Hash, "hincrbyfloat", key);
    cx.reply.bulk(sum.as_bytes());
    Ok(())
}

/// What commands that read one field have in common.
const READ_ONE: Command<Run> = Command {
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    ..FIELDS
};

const HGET: Command<Run> = Command {
    name: "hget",
    summary: "Returns the value of a field.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(|cx, args| {
        let value = look(cx, Lookup::Read, args[0])?.and_then(|hash| hash.get(args[1]));
        reply_with(cx.reply, value.map(|value| value.item));
        Ok(())
    }),
    ..READ_ONE
};

const HEXISTS: Command<Run> = Command {
    name: "hexists",
    summary: "Tells whether a hash has a field.",
    run: Run::Read(|cx, args| {
        let hash = look(cx, Lookup::Read, args[0])?;
        cx.reply.integer(hash.is_some_and(|hash| hash.contains(args[1])).into());
        Ok(())
    }),
    ..READ_ONE
};

const HSTRLEN: Command<Run> = Command {
    name: "hstrlen",
    summary: "Returns the length of the value of a field.",
    since: "3.2.0",
    run: Run::Read(|cx, args| {
        let value = look(cx, Lookup::Read, args[0])?.and_then(|hash| hash.get(args[1]));
        cx.reply.integer(value.map_or(0, |value| value.item.len()) as i64);
        Ok(())
    }),
    ..READ_ONE
};

const HMGET: Command<Run> = Command {
    name: "hmget",
    summary: "Returns the values of fields.",
    complexity: "O(N) in the fields named.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(|cx, args| {
        let hash = look(cx, Lookup::Read, args[0])?;
        cx.reply.array(args.len() - 1);
        for field in &args[1..] {
            let value = hash.and_then(|hash| hash.get(field));
            reply_with(cx.reply, value.map(|value| value.item));
        }
        Ok(())
    }),
    ..READ_ONE
};

const HLEN: Command<Run> = Command {
    name: "hlen",
    summary: "Counts the fields of a hash.",
    arity: Arity::Exactly(2),
    run: Run::Read(|cx, args| {
        let hash = look(cx, Lookup::Read, args[0])?;
        cx.reply.integer(hash.map_or(0, HashView::len) as i64);
        Ok(())
    }),
    ..READ_ONE
};

/// What commands that read all fields have in common.
const READ_ALL: Command<Run> = Command {
    complexity: "O(N) in the fields of the hash.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output_order"],
    ..FIELDS
};

const HGETALL: Command<Run> = Command {
    name: "hgetall",
    summary: "Returns the fields of a hash with their values.",
    run: Run::Read(|cx, args| {
        let hash = look(cx, Lookup::Read, args[0])?;
        cx.reply.map(hash.map_or(0, HashView::len));
        if let Some(hash) = hash {
            hash.for_each(&mut |field, value| {
                cx.reply.bulk(field);
                cx.reply.bulk(value);
            });
        }
        Ok(())
    }),
    ..READ_ALL
};

const HKEYS: Command<Run> = Command {
    name: "hkeys",
    summary: "Returns the fields of a hash.",
    run: Run::Read(|cx, args| {
        let hash = look(cx, Lookup::Read, args[0])?;
        cx.reply.array(hash.map_or(0, HashView::len));
        if let Some(hash) = hash {
            hash.for_each(&mut |field, _| cx.reply.bulk(field));
        }
        Ok(())
    }),
    ..READ_ALL
};

const HVALS: Command<Run> = Command {
    name: "hvals",
    summary: "Returns the values of a hash.",
    run: Run::Read(|cx, args| {
        let hash = look(cx, Lookup::Read, args[0])?;
        cx.reply.array(hash.map_or(0, HashView::len));
        if let Some(hash) = hash {
            hash.for_each(&mut |_, value| cx.reply.bulk(value));
        }
        Ok(())
    }),
    ..READ_ALL
};

const HSCAN: Command<Run> = Command {
    name: "hscan",
    summary: "Returns some fields of a hash, and a cursor with which to ask for more.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole iteration, where N is the number of fields.",
    arity: Arity::AtLeast(3),
    tips: &["nondeterministic_output"],
    run: Run::Read(scan),
    ..READ_ALL
};

fn scan(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, cursor, options @ ..] = args else { unreachable!("the arity is at least three") };
    let from = position_of(cx, key, cursor)?;
    let Some(hash) = look(cx, Lookup::Read, key)? else {
        reply_with_cursor(cx, key, None, 0);
        return Ok(());
    };
    let scan = Scan::parse(options, true)?;
    let mut found = Vec::new();
    let next = from.and_then(|from| {
        hash.scan(from, scan.count, &mut |field, value| {
            if scan.admits(field) {
                found.push(field.to_vec());
                if !scan.omits_values {
                    found.push(value.to_vec());
                }
            }
        })
    });
    reply_with_cursor(cx, key, next, found.len());
    found.iter().for_each(|word| cx.reply.bulk(word));
    Ok(())
}
