//! Commands on the time at which fields of hashes expire.

use base::Set;

use super::chosen::Chosen;
use super::expiry::{Conditions, seconds};
use super::hashes::{look, look_to_change, take};
use super::{FIELDS, integer_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::notes::Class;
use crate::values::HashView;

mod values;

use values::{HGETDEL, HGETEX, HSETEX};

pub(super) const FAMILY: &[Command<Run>] = &[
    HEXPIRE,
    HEXPIREAT,
    HEXPIRETIME,
    HGETDEL,
    HGETEX,
    HPERSIST,
    HPEXPIRE,
    HPEXPIREAT,
    HPEXPIRETIME,
    HPTTL,
    HSETEX,
    HTTL,
];
const _: () = assert!(is_sorted(FAMILY));

/// What all of them have in common.
const TIMES: Command<Run> = Command {
    since: "9.0.0",
    complexity: "O(N) in the fields named.",
    arity: Arity::AtLeast(5),
    flags: &[Flag::Fast],
    ..FIELDS
};

const HEXPIRE: Command<Run> = Command {
    name: "hexpire",
    summary: "Lets fields expire in some seconds.",
    arity: Arity::AtLeast(6),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "hexpire", ms: 1000 }, cx.now_ms)),
    ..TIMES
};

const HEXPIREAT: Command<Run> = Command {
    name: "hexpireat",
    summary: "Lets fields expire at a second since 1970.",
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "hexpireat", ms: 1000 }, 0)),
    ..HEXPIRE
};

const HPEXPIRE: Command<Run> = Command {
    name: "hpexpire",
    summary: "Lets fields expire in some milliseconds.",
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "hpexpire", ms: 1 }, cx.now_ms)),
    ..HEXPIRE
};

const HPEXPIREAT: Command<Run> = Command {
    name: "hpexpireat",
    summary: "Lets fields expire at a millisecond since 1970.",
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "hpexpireat", ms: 1 }, 0)),
    ..HEXPIRE
};

/// In what a command tells times, and the name it complains in.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    ms: i64,
}

impl Unit {
    /// `base_ms` is what the time is counted from.
    fn time_ms(self, number: &[u8], base_ms: u64) -> Result<u64, CommandError> {
        let invalid = CommandError::InvalidExpireTime { name: self.name };
        let number = integer_of(number)?;
        let time_ms = number.checked_mul(self.ms).filter(|_| 0 <= number);
        let time_ms = time_ms.and_then(|time_ms| time_ms.checked_add_unsigned(base_ms));
        time_ms.map(i64::unsigned_abs).ok_or(invalid)
    }
}

/// The options before the word FIELDS, and the words behind the count that follows it.
fn split_at_fields<'a>(words: Args<'a>) -> Option<(Args<'a>, &'a [u8], Args<'a>)> {
    let at = words.iter().position(|word| is_option(word, "fields"))?;
    let (options, rest) = words.split_at(at);
    let [_, count, fields @ ..] = rest else { return None };
    Some((options, count, fields))
}

/// The count of fields is `per_field` times that of the words.
fn check_count(count: &[u8], words: Args<'_>, per_field: usize) -> Result<(), CommandError> {
    let count = usize::try_from(integer_of(count)?).ok().filter(|count| 0 < *count);
    let wanted = count.and_then(|count| count.checked_mul(per_field));
    if wanted == Some(words.len()) { Ok(()) } else { Err(CommandError::FieldCount) }
}

/// The fields of a command that has no options: `error` if there are more or fewer than it says.
fn fields_alone(args: Args<'_>, error: CommandError) -> Result<Args<'_>, CommandError> {
    let [_, word, count, fields @ ..] = args else { unreachable!("the arity is at least five") };
    if !is_option(word, "fields") {
        return Err(CommandError::Syntax);
    }
    check_count(count, fields, 1).map_err(|found| match found {
        CommandError::FieldCount => error,
        found => found,
    })?;
    Ok(fields)
}

/// What became of a field.
const ABSENT: i64 = -2;
const NEVER_EXPIRES: i64 = -1;
const CONDITION_NOT_MET: i64 = 0;
const DONE: i64 = 1;
const GONE: i64 = 2;

fn expire(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    unit: Unit,
    base_ms: u64,
) -> Result<(), CommandError> {
    let [key, number, rest @ ..] = args else { unreachable!("the arity is at least six") };
    let (options, count, fields) = split_at_fields(rest).ok_or(CommandError::FieldCount)?;
    let conditions = Conditions::parse(options)?;
    check_count(count, fields, 1)?;
    let time_ms = unit.time_ms(number, base_ms)?;
    let is_over = time_ms <= cx.now_ms;
    let hash = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let is_meant = |field: &[u8]| {
        let value = hash.and_then(|hash| hash.get(field));
        value.is_some_and(|value| conditions.hold(value.expire_ms, time_ms as i64))
    };
    let mut done: Set<&[u8]> = Set::default();
    let mut codes = Vec::with_capacity(fields.len());
    for field in fields {
        // A field named twice is what the first made of it.
        codes.push(match hash.and_then(|hash| hash.get(field)) {
            None => ABSENT,
            Some(_) if done.contains(field) && is_over => ABSENT,
            Some(_) if done.contains(field) => {
                if conditions.hold(Some(time_ms), time_ms as i64) {
                    DONE
                } else {
                    CONDITION_NOT_MET
                }
            }
            Some(_) if is_meant(field) => {
                done.insert(field);
                if is_over { GONE } else { DONE }
            }
            Some(_) => CONDITION_NOT_MET,
        });
    }
    let chosen = Chosen::of(fields, is_meant);
    let is_emptied = hash.is_some_and(|hash| hash.len() == chosen.len());
    if is_over {
        take(cx, key, &chosen, "hexpired", is_emptied);
    } else if !chosen.is_empty() {
        let expire_ms = Some(time_ms);
        cx.apply(Effect::HashExpire { db: cx.db, key, fields: chosen.elements(), expire_ms });
        cx.notify(Class::Hash, "hexpire", key);
    }
    cx.reply.array(codes.len());
    codes.into_iter().for_each(|code| cx.reply.integer(code));
    Ok(())
}

const HPERSIST: Command<Run> = Command {
    name: "hpersist",
    summary: "Lets fields stay that were to expire.",
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    run: Run::Write(persist),
    ..TIMES
};

fn persist(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let key = args[0];
    let fields = fields_alone(args, CommandError::FieldCount)?;
    let hash = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let mut done: Set<&[u8]> = Set::default();
    let mut codes = Vec::with_capacity(fields.len());
    for field in fields {
        codes.push(match hash.and_then(|hash| hash.get(field)).map(|value| value.expire_ms) {
            None => ABSENT,
            Some(None) => NEVER_EXPIRES,
            Some(Some(_)) if done.insert(field) => DONE,
            Some(Some(_)) => NEVER_EXPIRES,
        });
    }
    let chosen = Chosen::of(fields, |field| expires(hash, field));
    clear_times(cx, key, &chosen);
    cx.reply.array(codes.len());
    codes.into_iter().for_each(|code| cx.reply.integer(code));
    Ok(())
}

fn expires(hash: Option<HashView<'_>>, field: &[u8]) -> bool {
    let value = hash.and_then(|hash| hash.get(field));
    value.is_some_and(|value| value.expire_ms.is_some())
}

/// Lets fields stay that are there.
fn clear_times(cx: &mut WriteCx<'_>, key: &[u8], chosen: &Chosen<'_>) {
    if !chosen.is_empty() {
        let fields = chosen.elements();
        cx.apply(Effect::HashExpire { db: cx.db, key, fields, expire_ms: None });
        cx.notify(Class::Hash, "hpersist", key);
    }
}

const HTTL: Command<Run> = Command {
    name: "httl",
    summary: "Tells in how many seconds fields expire.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(|cx, args| tell(cx, args, cx.now_ms, seconds)),
    ..TIMES
};

const HPTTL: Command<Run> = Command {
    name: "hpttl",
    summary: "Tells in how many milliseconds fields expire.",
    run: Run::Read(|cx, args| tell(cx, args, cx.now_ms, |time_ms| time_ms)),
    ..HTTL
};

const HEXPIRETIME: Command<Run> = Command {
    name: "hexpiretime",
    summary: "Tells at what second since 1970 fields expire.",
    run: Run::Read(|cx, args| tell(cx, args, 0, seconds)),
    ..HTTL
};

const HPEXPIRETIME: Command<Run> = Command {
    name: "hpexpiretime",
    summary: "Tells at what millisecond since 1970 fields expire.",
    run: Run::Read(|cx, args| tell(cx, args, 0, |time_ms| time_ms)),
    ..HTTL
};

fn tell(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    base_ms: u64,
    unit: fn(u64) -> u64,
) -> Result<(), CommandError> {
    let fields = fields_alone(args, CommandError::Syntax)?;
    let hash = look(cx, Lookup::Read, args[0])?;
    cx.reply.array(fields.len());
    for field in fields {
        let value = hash.and_then(|hash| hash.get(field));
        cx.reply.integer(match value.map(|value| value.expire_ms) {
            None => ABSENT,
            Some(None) => NEVER_EXPIRES,
            Some(Some(expire_ms)) => unit(expire_ms.saturating_sub(base_ms)) as i64,
        });
    }
    Ok(())
}
