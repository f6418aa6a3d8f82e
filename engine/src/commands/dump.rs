//! Values as bytes: DUMP and RESTORE.

use super::{GENERIC, check_size, integer_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::keyspace::AccessPolicy;
use crate::notes::Class;
use crate::rdb::{self, Compression, OpenError};
use crate::values;

pub(super) const FAMILY: &[Command<Run>] = &[DUMP, RESTORE];
const _: () = assert!(is_sorted(FAMILY));

const DUMP: Command<Run> = Command {
    name: "dump",
    summary: "Gives a value as bytes that RESTORE takes, here or at another server.",
    since: "2.6.0",
    complexity: "O(N) in the size of the value.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output"],
    run: Run::Read(dump),
    ..GENERIC
};

fn dump(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    match cx.look(Lookup::Read, key) {
        Some(entry) => cx.reply.bulk(&rdb::seal(values::payload_of(entry, Compression::Lzf))),
        None => cx.reply.null(),
    }
    Ok(())
}

const RESTORE: Command<Run> = Command {
    name: "restore",
    summary: "Makes a key hold the value that DUMP gave as bytes.",
    since: "2.6.0",
    complexity: "O(N) in the size of the value; O(N*log(N)) for a sorted set.",
    arity: Arity::AtLeast(4),
    keys: Keys::First(&[KeyFlag::Ow, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Dangerous],
    run: Run::Write(restore),
    ..GENERIC
};

/// What RESTORE is told besides the value.
#[derive(Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(options: Args<'_>) -> Result<Self, CommandError> {
        let mut parsed = Self::default();
        let mut options = options.iter();
        while let Some(option) = options.next() {
            if is_option(option, "replace") {
                parsed.replaces = true;
            } else if is_option(option, "absttl") {
                parsed.is_absolute = true;
            } else if is_option(option, "idletime")
                && parsed.frequency.is_none()
                && let Some(seconds) = options.next()
            {
                let seconds = integer_of(seconds)?;
                if seconds < 0 {
                    return Err(CommandError::InvalidIdleTime);
                }
                parsed.idle_seconds = Some(seconds);
            } else if is_option(option, "freq")
                && parsed.idle_seconds.is_none()
                && let Some(frequency) = options.next()
            {
                let frequency = u8::try_from(integer_of(frequency)?);
                parsed.frequency = Some(frequency.map_err(|_| CommandError::InvalidFrequency)?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(parsed)
    }
}

fn restore(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, time, payload, options @ ..] = args else {
        unreachable!("the arity is at least four")
    };
    let options = Options::parse(options)?;
    check_size(key)?;
    let is_there = cx.look(Lookup::Change, key).is_some();
    if is_there && !options.replaces {
        return Err(CommandError::BusyKey);
    }
    let time = integer_of(time)?;
    let time = u64::try_from(time).map_err(|_| CommandError::InvalidTimeToLive)?;
    let payload = rdb::open(payload).map_err(|error| match error {
        OpenError::Footer => CommandError::BadPayload,
        OpenError::Kind => CommandError::BadDataFormat,
    })?;
    let expire_ms = match time {
        0 => None,
        time if options.is_absolute => Some(time),
        time => Some(cx.now_ms.saturating_add(time)),
    };
    let db = cx.db;
    if expire_ms.is_some_and(|expire_ms| expire_ms <= cx.now_ms) {
        // It must be a value all the same.
        if !values::is_payload(payload) {
            return Err(CommandError::BadDataFormat);
        }
        if is_there {
            cx.apply(Effect::Delete { db, key });
            cx.notify(Class::Generic, "del", key);
        }
        cx.reply.simple("OK");
        return Ok(());
    }
    // Whether it is a value is found while it is made; what is none changes nothing.
    cx.try_apply(Effect::PutValue { db, key, payload, expire_ms })
        .map_err(|_| CommandError::BadDataFormat)?;
    if is_there {
        cx.notify(Class::New, "new", key);
    }
    let (now_ms, policy) = (cx.now_ms, cx.access.policy);
    let entry = cx.spaces.find(db, key).expect("it was just put");
    match (policy, options.frequency, options.idle_seconds) {
        (AccessPolicy::Lfu, Some(frequency), _) => entry.set_frequency(now_ms, frequency),
        (AccessPolicy::Lru, _, Some(seconds)) => entry.set_idle(now_ms, seconds.unsigned_abs()),
        _ => {}
    }
    cx.notify(Class::Generic, "restore", key);
    cx.reply.simple("OK");
    Ok(())
}
