//! Commands on the time at which a key expires.

use super::{GENERIC, integer_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::{CommandError, until_nul};
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] =
    &[EXPIRE, EXPIREAT, EXPIRETIME, PERSIST, PEXPIRE, PEXPIREAT, PEXPIRETIME, PTTL, TTL];
const _: () = assert!(is_sorted(FAMILY));

const EXPIRE: Command<Run> = Command {
    name: "expire",
    summary: "Lets a key expire in some seconds.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    flags: &[Flag::Fast],
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "expire", ms: 1000 }, cx.now_ms)),
    ..GENERIC
};

const EXPIREAT: Command<Run> = Command {
    name: "expireat",
    summary: "Lets a key expire at a second since 1970.",
    since: "1.2.0",
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "expireat", ms: 1000 }, 0)),
    ..EXPIRE
};

const PEXPIRE: Command<Run> = Command {
    name: "pexpire",
    summary: "Lets a key expire in some milliseconds.",
    since: "2.6.0",
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "pexpire", ms: 1 }, cx.now_ms)),
    ..EXPIRE
};

const PEXPIREAT: Command<Run> = Command {
    name: "pexpireat",
    summary: "Lets a key expire at a millisecond since 1970.",
    since: "2.6.0",
    run: Run::Write(|cx, args| expire(cx, args, Unit { name: "pexpireat", ms: 1 }, 0)),
    ..EXPIRE
};

/// In what a command tells times, and the name it complains in.
struct Unit {
    name: &'static str,
    ms: i64,
}

/// `base_ms` is what the time is counted from.
fn expire(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    unit: Unit,
    base_ms: u64,
) -> Result<(), CommandError> {
    let [key, number, options @ ..] = args else { unreachable!("the arity is at least three") };
    let conditions = Conditions::parse(options)?;
    let time_ms = integer_of(number)?.checked_mul(unit.ms);
    let time_ms = time_ms.and_then(|time_ms| time_ms.checked_add_unsigned(base_ms));
    let time_ms = time_ms.ok_or(CommandError::InvalidExpireTime { name: unit.name })?;
    // Nothing fails below this line.
    let (db, now_ms) = (cx.db, cx.now_ms);
    let old = cx.look(Lookup::Change, key).map(|entry| entry.expire_ms());
    if !old.is_some_and(|old| conditions.hold(old, time_ms)) {
        cx.reply.integer(0);
        return Ok(());
    }
    match u64::try_from(time_ms) {
        Ok(time_ms) if now_ms < time_ms => {
            cx.apply(Effect::SetExpire { db, key, expire_ms: Some(time_ms) });
            cx.notify(Class::Generic, "expire", key);
        }
        // Its time is over already.
        _ => {
            cx.apply(Effect::Delete { db, key });
            cx.notify(Class::Generic, "del", key);
        }
    }
    cx.reply.integer(1);
    Ok(())
}

/// Under what the time is set.
#[derive(Default)]
pub(super) struct Conditions {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
}

impl Conditions {
    pub(super) fn parse(words: Args<'_>) -> Result<Self, CommandError> {
        let mut conditions = Self::default();
        for word in words {
            let condition = [
                ("nx", &mut conditions.absent),
                ("xx", &mut conditions.present),
                ("gt", &mut conditions.greater),
                ("lt", &mut conditions.less),
            ];
            match condition.into_iter().find(|(option, _)| is_option(word, option)) {
                Some((_, condition)) => *condition = true,
                None => {
                    let option = until_nul(word).into();
                    return Err(CommandError::UnsupportedOption { option });
                }
            }
        }
        let Self { absent, present, greater, less } = conditions;
        if absent && (present || greater || less) {
            return Err(CommandError::AbsentAndOther);
        }
        if greater && less {
            return Err(CommandError::GreaterAndLess);
        }
        Ok(conditions)
    }

    /// `old` is when the key expires; never is later than any time.
    pub(super) fn hold(&self, old: Option<u64>, time_ms: i64) -> bool {
        let later = |old: u64| i128::from(old) < i128::from(time_ms);
        let earlier = |old: u64| i128::from(time_ms) < i128::from(old);
        (!self.absent || old.is_none())
            && (!self.present || old.is_some())
            && (!self.greater || old.is_some_and(later))
            && (!self.less || old.is_none_or(earlier))
    }
}

const PERSIST: Command<Run> = Command {
    name: "persist",
    summary: "Lets a key stay that was to expire.",
    since: "2.2.0",
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    flags: &[Flag::Fast],
    run: Run::Write(persist),
    ..GENERIC
};

fn persist(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    let expires = cx.look(Lookup::Change, key).is_some_and(|entry| entry.expire_ms().is_some());
    if expires {
        cx.apply(Effect::SetExpire { db: cx.db, key, expire_ms: None });
        cx.notify(Class::Generic, "persist", key);
    }
    cx.reply.integer(expires.into());
    Ok(())
}

const TTL: Command<Run> = Command {
    name: "ttl",
    summary: "Tells in how many seconds a key expires.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    flags: &[Flag::Fast],
    tips: &["nondeterministic_output"],
    run: Run::Read(|cx, args| tell(cx, args, cx.now_ms, seconds)),
    ..GENERIC
};

const PTTL: Command<Run> = Command {
    name: "pttl",
    summary: "Tells in how many milliseconds a key expires.",
    since: "2.6.0",
    run: Run::Read(|cx, args| tell(cx, args, cx.now_ms, |time_ms| time_ms)),
    ..TTL
};

const EXPIRETIME: Command<Run> = Command {
    name: "expiretime",
    summary: "Tells at what second since 1970 a key expires.",
    since: "7.0.0",
    tips: &[],
    run: Run::Read(|cx, args| tell(cx, args, 0, seconds)),
    ..TTL
};

const PEXPIRETIME: Command<Run> = Command {
    name: "pexpiretime",
    summary: "Tells at what millisecond since 1970 a key expires.",
    run: Run::Read(|cx, args| tell(cx, args, 0, |time_ms| time_ms)),
    ..EXPIRETIME
};

/// Rounded to the nearest.
pub(super) fn seconds(time_ms: u64) -> u64 {
    time_ms.saturating_add(500) / 1000
}

/// -2 if the key is absent, -1 if it does not expire.
fn tell(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    base_ms: u64,
    unit: fn(u64) -> u64,
) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    let answer = match cx.look(Lookup::Ask, key).map(|entry| entry.expire_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(expire_ms)) => unit(expire_ms.saturating_sub(base_ms)) as i64,
    };
    cx.reply.integer(answer);
    Ok(())
}
