//! Commands that set strings under conditions and with times to expire.

use super::strings::reply_with_value;
use super::{STRING, check_sizes, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] = &[GETEX, PSETEX, SET, SETEX, SETNX];
const _: () = assert!(is_sorted(FAMILY));

const GETEX: Command<Run> = Command {
    name: "getex",
    summary: "Returns the string a key holds and changes when the key expires.",
    since: "6.2.0",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::Fast],
    run: Run::Write(get_and_expire),
    ..STRING
};

fn get_and_expire(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, options @ ..] = args else { unreachable!("the arity is at least two") };
    let options = Options::parse(options, Kind::Get)?;
    let (db, now_ms) = (cx.db, cx.now_ms);
    let Some(entry) = cx.look(Lookup::Read, key) else {
        cx.reply.null();
        return Ok(());
    };
    crate::context::string_of(entry)?;
    let has_time = entry.expire_ms().is_some();
    // A time is looked at only if the key is there.
    let expire_ms = match options.time {
        Some(time) => Some(time.at("getex", now_ms)?),
        None => None,
    };
    // Nothing fails below this line.
    reply_with_value(cx, key);
    let is_absolute = options.time.is_some_and(|time| !time.is_relative);
    if is_absolute && expire_ms.is_some_and(|expire_ms| expire_ms <= now_ms) {
        cx.apply(Effect::Delete { db, key });
        cx.notify(Class::Generic, "del", key);
    } else if expire_ms.is_some() {
        cx.apply(Effect::SetExpire { db, key, expire_ms });
        cx.notify(Class::Generic, "expire", key);
    } else if options.persists && has_time {
        cx.apply(Effect::SetExpire { db, key, expire_ms: None });
        cx.notify(Class::Generic, "persist", key);
    }
    Ok(())
}

const PSETEX: Command<Run> = Command {
    name: "psetex",
    summary: "Makes a key hold a string for some milliseconds.",
    since: "2.6.0",
    run: Run::Write(|cx, args| set_expiring("psetex", 1, cx, args)),
    ..SETEX
};

const SETEX: Command<Run> = Command {
    name: "setex",
    summary: "Makes a key hold a string for some seconds.",
    since: "2.0.0",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Ow, KeyFlag::Update]),
    flags: &[Flag::DenyOom],
    run: Run::Write(|cx, args| set_expiring("setex", 1000, cx, args)),
    ..STRING
};

fn set_expiring(
    name: &'static str,
    unit_ms: i64,
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
) -> Result<(), CommandError> {
    let [key, number, value] = args else { unreachable!("the arity is exact") };
    let expire_ms = Some(Time { number, unit_ms, is_relative: true }.at(name, cx.now_ms)?);
    check_sizes(args)?;
    // Nothing fails below this line.
    put(cx, key, value, expire_ms, true);
    cx.reply.simple("OK");
    Ok(())
}

fn put(cx: &mut WriteCx<'_>, key: &[u8], value: &[u8], expire_ms: Option<u64>, is_told: bool) {
    cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms });
    cx.notify(Class::String, "set", key);
    if is_told {
        cx.notify(Class::Generic, "expire", key);
    }
}

const SET: Command<Run> = Command {
    name: "set",
    summary: "Makes a key hold a string, whatever it held before.",
    arity: Arity::AtLeast(3),
    keys: Keys::FirstVarying {
        flags: &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update, KeyFlag::VariableFlags],
        of: |args| match args.iter().skip(2).any(|word| is_option(word, "get")) {
            true => &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update],
            false => &[KeyFlag::Ow, KeyFlag::Update],
        },
    },
    flags: &[Flag::DenyOom],
    run: Run::Write(set),
    ..STRING
};

fn set(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, value, options @ ..] = args else { unreachable!("the arity is at least three") };
    let options = Options::parse(options, Kind::Set)?;
    let mut expire_ms = match options.time {
        Some(time) => Some(time.at("set", cx.now_ms)?),
        None => None,
    };
    check_sizes(&args[..2])?;
    let mut is_allowed = true;
    if options.shows_old {
        cx.string(Lookup::Read, key)?;
        reply_with_value(cx, key);
    }
    // Nothing fails below this line.
    if options.condition.is_some() || options.keeps_time {
        let old = cx.look(Lookup::Change, key);
        let (is_there, old_expire_ms) = (old.is_some(), old.and_then(|old| old.expire_ms()));
        is_allowed = match options.condition {
            None => true,
            Some(Condition::Absent) => !is_there,
            Some(Condition::Present) => is_there,
        };
        if options.keeps_time {
            expire_ms = old_expire_ms;
        }
    }
    if is_allowed {
        put(cx, key, value, expire_ms, options.time.is_some());
    }
    match (options.shows_old, is_allowed) {
        (true, _) => {}
        (false, true) => cx.reply.simple("OK"),
        (false, false) => cx.reply.null(),
    }
    Ok(())
}

const SETNX: Command<Run> = Command {
    name: "setnx",
    summary: "Makes a key hold a string if the key is absent.",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Ow, KeyFlag::Insert]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(set_absent),
    ..STRING
};

fn set_absent(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, value] = args else { unreachable!("the arity is exact") };
    check_sizes(args)?;
    // Nothing fails below this line.
    let is_absent = cx.look(Lookup::Change, key).is_none();
    if is_absent {
        put(cx, key, value, None, false);
    }
    cx.reply.integer(is_absent.into());
    Ok(())
}

/// What follows the key of GETEX and the value of SET: words in any order and any case.
struct Options<'a> {
    condition: Option<Condition>,
    /// The reply is what the key held before, set or not.
    shows_old: bool,
    /// The key keeps its time to expire.
    keeps_time: bool,
    /// The key loses its time to expire.
    persists: bool,
    time: Option<Time<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Set,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

/// When a key is to expire, as a client said it.
#[derive(Clone, Copy)]
struct Time<'a> {
    number: &'a [u8],
    unit_ms: i64,
    /// To the clock; else it is since 1970.
    is_relative: bool,
}

impl<'a> Options<'a> {
    /// An option may be said twice; what contradicts another is refused.
    fn parse(words: Args<'a>, kind: Kind) -> Result<Self, CommandError> {
        let mut options = Self {
            condition: None,
            shows_old: false,
            keeps_time: false,
            persists: false,
            time: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let is = |option| is_option(word, option);
            if kind == Kind::Set && is("nx") && options.condition != Some(Condition::Present) {
                options.condition = Some(Condition::Absent);
            } else if kind == Kind::Set && is("xx") && options.condition != Some(Condition::Absent)
            {
                options.condition = Some(Condition::Present);
            } else if kind == Kind::Set && is("get") {
                options.shows_old = true;
            } else if kind == Kind::Set && is("keepttl") && options.time.is_none() {
                options.keeps_time = true;
            } else if kind == Kind::Get && is("persist") && options.time.is_none() {
                options.persists = true;
            } else if let Some((unit_ms, is_relative)) = unit_of(word)
                && !options.keeps_time
                && !options.persists
                && options.time.is_none_or(|time| time.is_in(unit_ms, is_relative))
                && let Some(number) = words.next()
            {
                options.time = Some(Time { number, unit_ms, is_relative });
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// Of the options that tell a time: the unit, and whether it is relative.
fn unit_of(word: &[u8]) -> Option<(i64, bool)> {
    let units = [("ex", 1000, true), ("px", 1, true), ("exat", 1000, false), ("pxat", 1, false)];
    let found = units.into_iter().find(|(option, ..)| is_option(word, option))?;
    Some((found.1, found.2))
}

impl Time<'_> {
    fn is_in(self, unit_ms: i64, is_relative: bool) -> bool {
        (self.unit_ms, self.is_relative) == (unit_ms, is_relative)
    }

    /// Milliseconds since 1970. `name` is the command's.
    fn at(self, name: &'static str, now_ms: u64) -> Result<u64, CommandError> {
        let invalid = CommandError::InvalidExpireTime { name };
        let number = parse_integer(self.number).ok_or(CommandError::NotAnInteger)?;
        if number <= 0 {
            return Err(invalid);
        }
        let time_ms = number.checked_mul(self.unit_ms);
        let time_ms = match self.is_relative {
            true => time_ms.and_then(|time_ms| time_ms.checked_add_unsigned(now_ms)),
            false => time_ms,
        };
        time_ms.map(i64::unsigned_abs).ok_or(invalid)
    }
}
