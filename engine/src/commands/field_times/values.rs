//! Commands that read or set fields and their times at once.

use base::Set;

use super::{TIMES, Unit, check_count, clear_times, expires, fields_alone, split_at_fields};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs};
use crate::commands::chosen::Chosen;
use crate::commands::hashes::{look_to_change, reply_with, take};
use crate::commands::{check_sizes, is_option};
use crate::context::{Args, Run, WriteCx};
use crate::effect::{Effect, Elements, ElementsBuf};
use crate::error::CommandError;
use crate::notes::Class;
use crate::values::HashView;

pub(super) const HGETDEL: Command<Run> = Command {
    name: "hgetdel",
    summary: "Returns the values of fields and removes them.",
    since: "9.1.0",
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
    run: Run::Write(get_and_delete),
    ..TIMES
};

fn get_and_delete(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let key = args[0];
    let fields = fields_alone(args, CommandError::FieldCount)?;
    let hash = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let chosen = Chosen::of(fields, |field| hash.is_some_and(|hash| hash.contains(field)));
    let is_emptied = hash.is_some_and(|hash| hash.len() == chosen.len());
    reply_with_values(cx, key, fields, true)?;
    take(cx, key, &chosen, "hdel", is_emptied);
    Ok(())
}

/// Replies with the values of fields; those that go are there the first time only.
fn reply_with_values(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    fields: Args<'_>,
    are_gone: bool,
) -> Result<(), CommandError> {
    let hasher = cx.spaces.of(key).keyspace.hasher();
    let entry = cx.spaces.live(cx.db, key, cx.now_ms);
    let hash = entry.map(|entry| HashView::of(entry, hasher, cx.now_ms)).transpose()?;
    let mut seen: Set<&[u8]> = Set::default();
    cx.reply.array(fields.len());
    for field in fields {
        let is_there = !are_gone || fields.len() == 1 || seen.insert(field);
        let value = hash.filter(|_| is_there).and_then(|hash| hash.get(field));
        reply_with(cx.reply, value.map(|value| value.item));
    }
    Ok(())
}

/// What is to become of the time of fields.
#[derive(Clone, Copy)]
enum Time<'a> {
    At { number: &'a [u8], unit_ms: i64, is_relative: bool },
    Never,
    Keep,
}

/// Options of HGETEX and HSETEX.
#[derive(Default)]
struct Options<'a> {
    time: Option<Time<'a>>,
    /// How the time was told: another way does not go with it.
    told: Option<&'static str>,
    key_is_absent: bool,
    key_is_present: bool,
    fields_are_absent: bool,
    fields_are_present: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Set,
}

impl<'a> Options<'a> {
    fn parse(words: Args<'a>, kind: Kind) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let timed = TIMED.iter().find(|(name, ..)| is_option(word, name));
            if let Some((name, unit_ms, is_relative)) = timed {
                let number = words.next().ok_or(CommandError::Syntax)?;
                let (unit_ms, is_relative) = (*unit_ms, *is_relative);
                options.tell(name, Time::At { number, unit_ms, is_relative })?;
            } else if kind == Kind::Get && is_option(word, "persist") {
                options.tell("persist", Time::Never)?;
            } else if kind == Kind::Set && is_option(word, "keepttl") {
                options.tell("keepttl", Time::Keep)?;
            } else if kind == Kind::Set {
                options.condition(word)?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn tell(&mut self, name: &'static str, time: Time<'a>) -> Result<(), CommandError> {
        if self.told.is_some_and(|told| told != name) {
            return Err(CommandError::Syntax);
        }
        self.told = Some(name);
        self.time = Some(time);
        Ok(())
    }

    fn condition(&mut self, word: &[u8]) -> Result<(), CommandError> {
        let conditions = [
            ("nx", &mut self.key_is_absent),
            ("xx", &mut self.key_is_present),
            ("fnx", &mut self.fields_are_absent),
            ("fxx", &mut self.fields_are_present),
        ];
        let found = conditions.into_iter().find(|(option, _)| is_option(word, option));
        let (_, condition) = found.ok_or(CommandError::Syntax)?;
        *condition = true;
        let clash = self.key_is_absent && self.key_is_present
            || self.fields_are_absent && self.fields_are_present;
        if clash { Err(CommandError::Syntax) } else { Ok(()) }
    }

    /// When fields expire, if the options say a time.
    fn time_ms(&self, name: &'static str, now_ms: u64) -> Result<Option<u64>, CommandError> {
        let Some(Time::At { number, unit_ms, is_relative }) = self.time else { return Ok(None) };
        let base_ms = if is_relative { now_ms } else { 0 };
        Unit { name, ms: unit_ms }.time_ms(number, base_ms).map(Some)
    }
}

/// Options that tell a time: the name, the unit in milliseconds, is it counted from now?
const TIMED: [(&str, i64, bool); 4] =
    [("ex", 1000, true), ("px", 1, true), ("exat", 1000, false), ("pxat", 1, false)];

pub(super) const HGETEX: Command<Run> = Command {
    name: "hgetex",
    summary: "Returns the values of fields and changes when they expire.",
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    run: Run::Write(get_and_expire),
    ..TIMES
};

fn get_and_expire(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, rest @ ..] = args else { unreachable!("the arity is at least five") };
    let (options, count, fields) = split_at_fields(rest).ok_or(CommandError::FieldCount)?;
    let options = Options::parse(options, Kind::Get)?;
    check_count(count, fields, 1)?;
    let now_ms = cx.now_ms;
    let time_ms = options.time_ms("hgetex", now_ms)?;
    let hash = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let clears = matches!(options.time, Some(Time::Never));
    let is_over = time_ms.is_some_and(|time_ms| time_ms <= now_ms);
    let chosen = Chosen::of(fields, |field| match clears {
        true => expires(hash, field),
        false => hash.is_some_and(|hash| hash.contains(field)),
    });
    let is_emptied = hash.is_some_and(|hash| hash.len() == chosen.len());
    reply_with_values(cx, key, fields, is_over)?;
    if clears {
        clear_times(cx, key, &chosen);
    } else if is_over {
        take(cx, key, &chosen, "hexpired", is_emptied);
    } else if time_ms.is_some() && !chosen.is_empty() {
        let fields = chosen.elements();
        cx.apply(Effect::HashExpire { db: cx.db, key, fields, expire_ms: time_ms });
        cx.notify(Class::Hash, "hexpire", key);
    }
    Ok(())
}

pub(super) const HSETEX: Command<Run> = Command {
    name: "hsetex",
    summary: "Gives fields values and a time to expire, perhaps on a condition.",
    arity: Arity::AtLeast(6),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Insert]),
    flags: &[
        Flag::DenyOom,
        Flag::Fast,
        Flag::Logs(Logs::KeyPerArgument),
        Flag::Logs(Logs::ArgumentsTwice),
    ],
    run: Run::Write(set_and_expire),
    ..TIMES
};

fn set_and_expire(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, rest @ ..] = args else { unreachable!("the arity is at least six") };
    let (options, count, pairs) = split_at_fields(rest).ok_or(CommandError::FieldCount)?;
    let options = Options::parse(options, Kind::Set)?;
    check_count(count, pairs, 2)?;
    check_sizes(args)?;
    let (db, now_ms) = (cx.db, cx.now_ms);
    let hash = look_to_change(cx, key)?;
    let is_present = hash.is_some();
    let may_set = !(options.key_is_absent && is_present || options.key_is_present && !is_present);
    if !may_set {
        cx.reply.integer(0);
        return Ok(());
    }
    let time_ms = options.time_ms("hsetex", now_ms)?;
    // Nothing fails below this line.
    let is_there = |field: &[u8]| hash.is_some_and(|hash| hash.contains(field));
    let mut named = pairs.iter().step_by(2);
    let may_set = match (options.fields_are_absent, options.fields_are_present) {
        (true, _) => !named.any(|field| is_there(field)),
        (_, true) => named.all(|field| is_there(field)),
        _ => true,
    };
    if !may_set {
        cx.reply.integer(0);
        return Ok(());
    }
    let is_over = time_ms.is_some_and(|time_ms| time_ms <= now_ms);
    let kept = match options.time {
        Some(Time::Keep) => Kept::of(hash, pairs),
        _ => Kept::default(),
    };
    let expire_ms = time_ms.filter(|_| !is_over);
    if kept.times.is_empty() {
        cx.apply(Effect::HashSet { db, key, pairs: Elements::Words(pairs), expire_ms });
    } else {
        for (expire_ms, pairs) in &kept.times {
            let pairs = pairs.elements();
            cx.apply(Effect::HashSet { db, key, pairs, expire_ms: *expire_ms });
        }
    }
    cx.notify(Class::Hash, "hset", key);
    if time_ms.is_some() {
        cx.notify(Class::Hash, "hexpire", key);
    }
    if is_over {
        let words: Vec<&[u8]> = pairs.iter().step_by(2).copied().collect();
        let chosen = Chosen::of(&words, |_| true);
        let hash = look_to_change(cx, key)?;
        let is_emptied = hash.is_some_and(|hash| hash.len() == chosen.len());
        take(cx, key, &chosen, "hexpired", is_emptied);
    }
    cx.reply.integer(1);
    Ok(())
}

/// Fields with their values, by the times that they keep.
#[derive(Default)]
struct Kept {
    times: Vec<(Option<u64>, ElementsBuf)>,
}

impl Kept {
    /// Nothing if none of the fields has a time.
    fn of(hash: Option<HashView<'_>>, pairs: Args<'_>) -> Self {
        let mut kept = Self::default();
        let words = || pairs.iter().step_by(2).zip(pairs.iter().skip(1).step_by(2));
        if !words().any(|(field, _)| expires(hash, field)) {
            return kept;
        }
        for (field, value) in words() {
            let time = hash.and_then(|hash| hash.get(field)).and_then(|value| value.expire_ms);
            let known = kept.times.iter().position(|(known, _)| *known == time);
            let at = known.unwrap_or_else(|| {
                kept.times.push((time, ElementsBuf::default()));
                kept.times.len() - 1
            });
            kept.times[at].1.push(field);
            kept.times[at].1.push(value);
        }
        kept
    }
}
