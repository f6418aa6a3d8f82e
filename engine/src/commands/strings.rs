//! Commands on strings, and on the numbers strings can spell.

use base::limits::STRING_SIZE_MAX;

use crate::command::{Acl, Arity, Command, Flag, Group, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx, string_of};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] = &[GET, INCR, SET];
const _: () = assert!(is_sorted(FAMILY));

const GET: Command<Run> = Command {
    name: "get",
    summary: "Returns the string a key holds, or nil.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: Arity::Exactly(2),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    acl: Acl::String,
    flags: &[Flag::Fast],
    tips: &[],
    run: Run::Read(get),
};

fn get(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    match cx.string(key)? {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    }
    Ok(())
}

const INCR: Command<Run> = Command {
    name: "incr",
    summary: "Adds one to the integer a key holds; an absent key counts as zero.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: Arity::Exactly(2),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    acl: Acl::String,
    flags: &[Flag::DenyOom, Flag::Fast],
    tips: &[],
    run: Run::Write(incr),
};

fn incr(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key] = args else { unreachable!("the arity is exact") };
    check_size(key)?;
    let (old, expire_ms) = match cx.look(Lookup::Change, key) {
        Some(entry) => {
            let old = parse_integer(string_of(entry)?).ok_or(CommandError::NotAnInteger)?;
            (old, entry.expire_ms())
        }
        None => (0, None),
    };
    let number = old.checked_add(1).ok_or(CommandError::Overflow)?;
    // Nothing fails below this line.
    let mut digits = itoa::Buffer::new();
    let value = digits.format(number).as_bytes();
    cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms });
    cx.notify(Class::String, "incrby", key);
    cx.reply.integer(number);
    Ok(())
}

const SET: Command<Run> = Command {
    name: "set",
    summary: "Makes a key hold a string, whatever it held before.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update, KeyFlag::VariableFlags]),
    acl: Acl::String,
    flags: &[Flag::DenyOom],
    tips: &[],
    run: Run::Write(set),
};

fn set(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, value, options @ ..] = args else { unreachable!("the arity is at least three") };
    let options = SetOptions::parse(options)?;
    check_size(key)?;
    check_size(value)?;
    // Nothing fails below this line.
    let old = cx.spaces.live(cx.db, key, cx.now_ms).map(string_of).transpose()?;
    let is_allowed = match options.condition {
        None => true,
        Some(Condition::Absent) => old.is_none(),
        Some(Condition::Present) => old.is_some(),
    };
    // The reply is made before the change: it may show the old value.
    match old {
        Some(old) if options.reply == SetReply::Old => cx.reply.bulk(old),
        None if options.reply == SetReply::Old => cx.reply.null(),
        _ if is_allowed => cx.reply.simple("OK"),
        _ => cx.reply.null(),
    }
    if is_allowed {
        cx.apply(Effect::PutString { db: cx.db, key, value, expire_ms: None });
        cx.notify(Class::String, "set", key);
    }
    Ok(())
}

/// What follows the value of SET: words in any order and any case, repeated at will.
struct SetOptions {
    condition: Option<Condition>,
    reply: SetReply,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Absent,
    Present,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SetReply {
    /// Whether the key was set.
    Outcome,
    /// What the key held before, set or not.
    Old,
}

impl SetOptions {
    fn parse(words: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self { condition: None, reply: SetReply::Outcome };
        for word in words {
            let condition = if word.eq_ignore_ascii_case(b"nx") {
                Condition::Absent
            } else if word.eq_ignore_ascii_case(b"xx") {
                Condition::Present
            } else if word.eq_ignore_ascii_case(b"get") {
                options.reply = SetReply::Old;
                continue;
            } else {
                return Err(CommandError::Syntax);
            };
            if options.condition.is_some_and(|other| other != condition) {
                return Err(CommandError::Syntax);
            }
            options.condition = Some(condition);
        }
        Ok(options)
    }
}

/// What may become a key or a value: no effect holds longer ones.
fn check_size(string: &[u8]) -> Result<(), CommandError> {
    if STRING_SIZE_MAX < string.len() { Err(CommandError::StringTooLong) } else { Ok(()) }
}
