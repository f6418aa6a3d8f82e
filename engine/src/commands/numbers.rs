//! Commands on the numbers that strings spell.

use super::{STRING, check_size, integer_of};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, Run, WriteCx, string_of};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::extended::Extended;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] = &[DECR, DECRBY, INCR, INCRBY, INCRBYFLOAT];
const _: () = assert!(is_sorted(FAMILY));

/// What all of them have in common.
const NUMBER: Command<Run> = Command {
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Fast],
    ..STRING
};

const DECR: Command<Run> = Command {
    name: "decr",
    summary: "Takes one from the integer a key holds; an absent key counts as zero.",
    run: Run::Write(|cx, args| add(cx, args[0], -1)),
    ..NUMBER
};

const DECRBY: Command<Run> = Command {
    name: "decrby",
    summary: "Takes a number from the integer a key holds; an absent key counts as zero.",
    arity: Arity::Exactly(3),
    run: Run::Write(|cx, args| {
        let number = integer_of(args[1])?;
        add(cx, args[0], number.checked_neg().ok_or(CommandError::DecrementOverflow)?)
    }),
    ..NUMBER
};

const INCR: Command<Run> = Command {
    name: "incr",
    summary: "Adds one to the integer a key holds; an absent key counts as zero.",
    run: Run::Write(|cx, args| add(cx, args[0], 1)),
    ..NUMBER
};

const INCRBY: Command<Run> = Command {
    name: "incrby",
    summary: "Adds a number to the integer a key holds; an absent key counts as zero.",
    arity: Arity::Exactly(3),
    run: Run::Write(|cx, args| add(cx, args[0], integer_of(args[1])?)),
    ..NUMBER
};

fn add(cx: &mut WriteCx<'_>, key: &[u8], summand: i64) -> Result<(), CommandError> {
    check_size(key)?;
    let (old, expire_ms) = match cx.look(Lookup::Change, key) {
        Some(entry) => (integer_of(string_of(entry)?)?, entry.expire_ms()),
        None => (0, None),
    };
    let number = old.checked_add(summand).ok_or(CommandError::Overflow)?;
    // Nothing fails below this line.
    let mut digits = itoa::Buffer::new();
    let value = digits.format(number).as_bytes();
    cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms });
    cx.notify(Class::String, "incrby", key);
    cx.reply.integer(number);
    Ok(())
}

const INCRBYFLOAT: Command<Run> = Command {
    name: "incrbyfloat",
    summary: "Adds a decimal fraction to the one a key holds; an absent key counts as zero.",
    since: "2.6.0",
    arity: Arity::Exactly(3),
    flags: &[Flag::DenyOom, Flag::Fast, Flag::Logs(Logs::Fraction)],
    run: Run::Write(add_fraction),
    ..NUMBER
};

fn add_fraction(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, summand] = args else { unreachable!("the arity is exact") };
    check_size(key)?;
    let parse = |text| Extended::parse(text).ok_or(CommandError::NotAFloat);
    let (old, expire_ms) = match cx.look(Lookup::Change, key) {
        Some(entry) => (parse(string_of(entry)?)?, entry.expire_ms()),
        None => (Extended::Zero, None),
    };
    let sum = match old.add(parse(summand)?) {
        None | Some(Extended::Infinite { .. }) => return Err(CommandError::NotFinite),
        Some(sum) => sum.print(),
    };
    // Nothing fails below this line. The sum is logged as it prints: no replica adds again.
    let value = sum.as_bytes();
    cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms });
    cx.notify(Class::String, "incrbyfloat", key);
    cx.reply.bulk(value);
    Ok(())
}
