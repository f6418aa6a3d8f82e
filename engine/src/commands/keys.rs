//! Commands on keys whatever they hold.

use super::{GENERIC, check_sizes, database_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::keyspace::Entry;
use crate::notes::Class;
use crate::rdb::Compression;
use crate::values::{self, Type};

pub(super) const FAMILY: &[Command<Run>] =
    &[COPY, DEL, EXISTS, MOVE, RENAME, RENAMENX, TOUCH, TYPE, UNLINK];
const _: () = assert!(is_sorted(FAMILY));

const COPY: Command<Run> = Command {
    name: "copy",
    summary: "Makes a key hold what another holds, with the same time to expire.",
    since: "6.2.0",
    complexity: "O(N) in the size of the value.",
    arity: Arity::AtLeast(3),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access]),
        KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Update]),
    ]),
    flags: &[Flag::DenyOom, Flag::Logs(Logs::Values)],
    run: Run::Write(copy),
    ..GENERIC
};

fn copy(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [source, target, options @ ..] = args else { unreachable!("the arity is at least three") };
    let (mut target_db, mut replaces) = (cx.db, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if is_option(option, "replace") {
            replaces = true;
        } else if is_option(option, "db")
            && let Some(number) = options.next()
        {
            target_db = database_of(number)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if target_db == cx.db && source == target {
        return Err(CommandError::SameObject);
    }
    check_sizes(&args[..2])?;
    if cx.look(Lookup::Read, source).is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    // Nothing fails below this line.
    if is_taken(cx, target_db, target) {
        if !replaces {
            cx.reply.integer(0);
            return Ok(());
        }
        cx.apply(Effect::Delete { db: target_db, key: target });
    }
    let held = Held::of(cx.spaces.find(cx.db, source).expect("it was just found"));
    held.put(cx, target_db, target);
    cx.notify_in(target_db, Class::Generic, "copy_to", target);
    cx.reply.integer(1);
    Ok(())
}

/// Is there something at a target, perhaps in another database than the client's?
fn is_taken(cx: &mut WriteCx<'_>, db: u16, key: &[u8]) -> bool {
    if db != cx.db {
        cx.notes.also_seen.push((db, key.into()));
    }
    cx.look_in(db, Lookup::Change, key).is_some()
}

/// What a key holds, on its way to another key.
enum Held {
    String { value: Vec<u8>, expire_ms: Option<u64>, is_raw: bool },
    Other { payload: Vec<u8>, expire_ms: Option<u64> },
}

impl Held {
    fn of(entry: Entry<'_>) -> Self {
        let expire_ms = entry.expire_ms();
        match entry.string() {
            Some(value) => {
                Self::String { value: value.to_vec(), expire_ms, is_raw: entry.is_raw() }
            }
            None => {
                Self::Other { payload: values::payload_of(entry, Compression::None), expire_ms }
            }
        }
    }

    /// As it was, with the way it is stored as far as clients see it.
    fn put(&self, cx: &mut WriteCx<'_>, db: u16, key: &[u8]) {
        match self {
            Self::String { value, expire_ms, is_raw } => {
                cx.apply(Effect::PutString { db, key, value, expire_ms: *expire_ms });
                if *is_raw {
                    cx.apply(Effect::Append { db, key, suffix: b"" });
                }
            }
            Self::Other { payload, expire_ms } => {
                cx.apply(Effect::PutValue { db, key, payload, expire_ms: *expire_ms });
            }
        }
    }
}

/// Takes what a key holds to another, absent key.
fn take(cx: &mut WriteCx<'_>, (db, key): (u16, &[u8]), (new_db, new_key): (u16, &[u8])) {
    let entry = cx.spaces.find(db, key).expect("what is taken was found");
    // A string is small, or moves seldom; anything else goes as it is where it can.
    if entry.kind() != Type::String && cx.spaces.are_together(key, new_key) {
        cx.apply(Effect::Rename { db, key, new_db, new_key });
        cx.notify_in(new_db, Class::New, "new", new_key);
    } else {
        Held::of(entry).put(cx, new_db, new_key);
        cx.apply(Effect::Delete { db, key });
    }
}

const DEL: Command<Run> = Command {
    name: "del",
    summary: "Removes keys and counts those that were there.",
    complexity: "O(N) in the keys, and in the elements of a value that is not a string.",
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Rm, KeyFlag::Delete]),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    run: Run::Write(delete),
    ..GENERIC
};

const UNLINK: Command<Run> = Command {
    name: "unlink",
    summary: "Removes keys and counts those that were there; their memory is freed later.",
    since: "4.0.0",
    complexity: "O(N) in the keys.",
    flags: &[Flag::Fast],
    ..DEL
};

fn delete(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut count = 0;
    for key in args {
        if cx.spaces.live(cx.db, key, cx.now_ms).is_some() {
            cx.apply(Effect::Delete { db: cx.db, key });
            cx.notify(Class::Generic, "del", key);
            count += 1;
        }
    }
    cx.reply.integer(count);
    Ok(())
}

const EXISTS: Command<Run> = Command {
    name: "exists",
    summary: "Counts how many of the keys are there; a key named twice counts twice.",
    complexity: "O(N) in the keys.",
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    run: Run::Read(|cx, args| count(Lookup::Ask, cx, args)),
    ..GENERIC
};

const TOUCH: Command<Run> = Command {
    name: "touch",
    summary: "Notes that keys were used and counts those that are there.",
    since: "3.2.1",
    run: Run::Read(|cx, args| count(Lookup::Read, cx, args)),
    ..EXISTS
};

fn count(lookup: Lookup, cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = args.iter().filter(|key| cx.look(lookup, key).is_some()).count();
    cx.reply.integer(count as i64);
    Ok(())
}

const MOVE: Command<Run> = Command {
    name: "move",
    summary: "Moves a key to another database, if it is absent there.",
    complexity: "O(N) in the size of the value.",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::Fast, Flag::Logs(Logs::Values)],
    run: Run::Write(move_key),
    ..GENERIC
};

fn move_key(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, number] = args else { unreachable!("the arity is exact") };
    let (db, target_db) = (cx.db, database_of(number)?);
    if db == target_db {
        return Err(CommandError::SameObject);
    }
    if cx.look(Lookup::Change, key).is_none() || is_taken(cx, target_db, key) {
        cx.reply.integer(0);
        return Ok(());
    }
    take(cx, (db, key), (target_db, key));
    cx.notify(Class::Generic, "move_from", key);
    cx.notify_in(target_db, Class::Generic, "move_to", key);
    cx.reply.integer(1);
    Ok(())
}

const RENAME: Command<Run> = Command {
    name: "rename",
    summary: "Gives what a key holds to another key, whatever that held.",
    complexity: "O(N) in the size of the value.",
    arity: Arity::Exactly(3),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Update]),
    ]),
    flags: &[Flag::Logs(Logs::Values)],
    run: Run::Write(|cx, args| {
        rename(cx, args, Target::Any)?;
        cx.reply.simple("OK");
        Ok(())
    }),
    ..GENERIC
};

const RENAMENX: Command<Run> = Command {
    name: "renamenx",
    summary: "Gives what a key holds to another key, if that is absent.",
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        KeySpec::at(2, &[KeyFlag::Ow, KeyFlag::Insert]),
    ]),
    flags: &[Flag::Fast, Flag::Logs(Logs::Values)],
    run: Run::Write(|cx, args| {
        let is_renamed = rename(cx, args, Target::Absent)?;
        cx.reply.integer(is_renamed.into());
        Ok(())
    }),
    ..RENAME
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Any,
    Absent,
}

fn rename(cx: &mut WriteCx<'_>, args: Args<'_>, kind: Target) -> Result<bool, CommandError> {
    let [source, target] = args else { unreachable!("the arity is exact") };
    check_sizes(args)?;
    let db = cx.db;
    if cx.look(Lookup::Change, source).is_none() {
        return Err(CommandError::NoSuchKey);
    }
    // Nothing fails below this line.
    if source == target {
        return Ok(false);
    }
    if cx.look(Lookup::Change, target).is_some() {
        if kind == Target::Absent {
            return Ok(false);
        }
        cx.apply(Effect::Delete { db, key: target });
    }
    take(cx, (db, source), (db, target));
    cx.notify(Class::Generic, "rename_from", source);
    cx.notify(Class::Generic, "rename_to", target);
    Ok(true)
}

const TYPE: Command<Run> = Command {
    name: "type",
    summary: "Tells what kind of value a key holds.",
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    run: Run::Read(type_of_key),
    ..GENERIC
};

fn type_of_key(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    let name = cx.look(Lookup::Ask, key).map_or("none", type_name);
    cx.reply.simple(name);
    Ok(())
}

/// As TYPE and SCAN call it.
pub(super) fn type_name(entry: Entry<'_>) -> &'static str {
    entry.kind().name()
}
