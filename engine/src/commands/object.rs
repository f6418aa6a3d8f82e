//! OBJECT: how a value is stored, as far as clients may ask.

use super::GENERIC;
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run};
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::keyspace::{AccessPolicy, Entry};

pub(super) const FAMILY: &[Command<Run>] = &[OBJECT];

const SUBCOMMANDS: &[Command<Run>] = &[ENCODING, FREQ, HELP, IDLETIME, REFCOUNT];
const _: () = assert!(is_sorted(SUBCOMMANDS));

const OBJECT: Command<Run> = Command {
    name: "object",
    summary: "A container for commands about the way values are stored.",
    since: "2.2.3",
    complexity: "Depends on the subcommand.",
    arity: Arity::AtLeast(2),
    acl: crate::command::Acl::None,
    run: Run::Container(SUBCOMMANDS),
    ..GENERIC
};

const SUBCOMMAND: Command<Run> = Command {
    since: "2.2.3",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Ro]),
    tips: &["nondeterministic_output"],
    ..GENERIC
};

const ENCODING: Command<Run> = Command {
    name: "object|encoding",
    summary: "Tells how a value is encoded.",
    run: Run::Read(|cx, args| {
        if let Some(entry) = found(cx, args) {
            cx.reply.bulk(encoding(entry).as_bytes());
        }
        Ok(())
    }),
    ..SUBCOMMAND
};

const FREQ: Command<Run> = Command {
    name: "object|freq",
    summary: "Tells how frequently a key is used, on a logarithmic scale.",
    since: "4.0.0",
    run: Run::Read(frequency),
    ..SUBCOMMAND
};

fn frequency(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let now_ms = cx.now_ms;
    match (look(cx, args), cx.access.policy) {
        (None, _) => cx.reply.null(),
        (Some(_), AccessPolicy::Lru) => return Err(CommandError::FrequencyNotTracked),
        (Some(entry), AccessPolicy::Lfu) => cx.reply.integer(entry.frequency(now_ms).into()),
    }
    Ok(())
}

const HELP: Command<Run> = Command {
    name: "object|help",
    summary: "Lists the subcommands.",
    since: "6.2.0",
    arity: Arity::Exactly(2),
    keys: Keys::None,
    flags: &[Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Plain(|reply| help(reply, "object", SUBCOMMANDS)),
    ..SUBCOMMAND
};

/// The lines that HELP prints for a container.
fn help(reply: &mut dyn crate::ReplySink, container: &str, subcommands: &[Command<Run>]) {
    reply.array(2 * subcommands.len() + 1);
    let title = container.to_ascii_uppercase();
    reply.simple(&format!("{title} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for subcommand in subcommands {
        let (_, name) = subcommand.name.split_once('|').expect("it names its container");
        let argument = if subcommand.keys.is_none() { "" } else { " <key>" };
        reply.simple(&format!("{}{argument}", name.to_ascii_uppercase()));
        reply.simple(&format!("    {}", subcommand.summary));
    }
}

const IDLETIME: Command<Run> = Command {
    name: "object|idletime",
    summary: "Tells for how many seconds a key has not been used.",
    run: Run::Read(idle_time),
    ..SUBCOMMAND
};

fn idle_time(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let now_ms = cx.now_ms;
    match (look(cx, args), cx.access.policy) {
        (None, _) => cx.reply.null(),
        (Some(_), AccessPolicy::Lfu) => return Err(CommandError::IdleTimeNotTracked),
        (Some(entry), AccessPolicy::Lru) => {
            cx.reply.integer((entry.idle_ms(now_ms) / 1000) as i64);
        }
    }
    Ok(())
}

const REFCOUNT: Command<Run> = Command {
    name: "object|refcount",
    summary: "Tells how many keys share a value; small integers are shared by all.",
    run: Run::Read(|cx, args| {
        if let Some(entry) = found(cx, args) {
            let value = entry.string().filter(|_| encoding(entry) == "int");
            let number = value.and_then(parse_integer);
            let is_shared = number.is_some_and(|number| (0..SHARED_INTEGERS).contains(&number));
            cx.reply.integer(if is_shared { i32::MAX.into() } else { 1 });
        }
        Ok(())
    }),
    ..SUBCOMMAND
};

/// Integers below this are one object in Redis (`OBJ_SHARED_INTEGERS`).
const SHARED_INTEGERS: i64 = 10_000;

fn look<'a>(cx: &mut ReadCx<'a>, args: Args<'_>) -> Option<Entry<'a>> {
    let [key] = args else { unreachable!("the arity is exact") };
    cx.look(Lookup::AskQuietly, key)
}

/// Replies with nil if the key is absent.
fn found<'a>(cx: &mut ReadCx<'a>, args: Args<'_>) -> Option<Entry<'a>> {
    let entry = look(cx, args);
    if entry.is_none() {
        cx.reply.null();
    }
    entry
}

/// The longest string that Redis stores beside its header (`OBJ_ENCODING_EMBSTR_SIZE_LIMIT`).
const EMBEDDED_SIZE_MAX: usize = 44;

/// What Redis would tell: a string that was changed in place is raw, whatever it spells.
pub fn encoding(entry: Entry<'_>) -> &'static str {
    if let Some(encoding) = entry.form().encoding() {
        return encoding;
    }
    match entry.string() {
        Some(_) if entry.is_raw() => "raw",
        Some(value) if parse_integer(value).is_some() => "int",
        Some(value) if value.len() <= EMBEDDED_SIZE_MAX => "embstr",
        _ => "raw",
    }
}
