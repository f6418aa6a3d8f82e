//! Commands that read lists, and change them by place.

use super::{LIST, check_sizes, integer_of, is_option, range_of};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::{Effect, Elements, End};
use crate::error::CommandError;
use crate::listpack::Scratch;
use crate::notes::Class;
use crate::reply::ReplySink;
use crate::values::{Direction, LIST_LEN_MAX, ListView};

pub(super) const FAMILY: &[Command<Run>] =
    &[LINDEX, LLEN, LPOP, LPUSH, LPUSHX, LRANGE, LSET, LTRIM, RPOP, RPUSH, RPUSHX];
const _: () = assert!(is_sorted(FAMILY));

/// The list a key holds, for a client to read.
pub(super) fn read<'a>(
    cx: &mut ReadCx<'a>,
    key: &[u8],
) -> Result<Option<ListView<'a>>, CommandError> {
    cx.look(Lookup::Read, key).map(ListView::of).transpose()
}

/// The list a key holds, to be changed.
pub(super) fn look<'c>(
    cx: &'c mut WriteCx<'_>,
    key: &[u8],
) -> Result<Option<ListView<'c>>, CommandError> {
    cx.look(Lookup::Change, key).map(ListView::of).transpose()
}

/// A list that was looked at already.
pub(super) fn seen<'c>(cx: &'c WriteCx<'_>, key: &[u8]) -> ListView<'c> {
    let entry = cx.spaces.live(cx.db, key, cx.now_ms);
    let list = entry.map(ListView::of).and_then(Result::ok);
    list.expect("the key was seen to hold a list")
}

/// Writes `count` elements from one on, that one first.
pub(super) fn reply_with(
    reply: &mut dyn ReplySink,
    list: ListView<'_>,
    index: usize,
    direction: Direction,
    count: usize,
) {
    reply.array(count);
    for item in list.iter_from(index, direction).take(count) {
        reply.bulk(item.bytes(&mut Scratch::default()));
    }
}

/// An index as clients give it, below zero counted from the end.
fn absolute(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

const LPUSH: Command<Run> = Command {
    name: "lpush",
    summary: "Puts elements before the first one of a list, creating it when absent.",
    complexity: "O(N) in the elements that come.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Insert]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(|cx, args| push(cx, args, End::Left, Absent::IsCreated)),
    ..LIST
};

const LPUSHX: Command<Run> = Command {
    name: "lpushx",
    summary: "Puts elements before the first one of a list, if there is one.",
    since: "2.2.0",
    run: Run::Write(|cx, args| push(cx, args, End::Left, Absent::StaysAbsent)),
    ..LPUSH
};

const RPUSH: Command<Run> = Command {
    name: "rpush",
    summary: "Puts elements behind the last one of a list, creating it when absent.",
    run: Run::Write(|cx, args| push(cx, args, End::Right, Absent::IsCreated)),
    ..LPUSH
};

const RPUSHX: Command<Run> = Command {
    name: "rpushx",
    summary: "Puts elements behind the last one of a list, if there is one.",
    since: "2.2.0",
    run: Run::Write(|cx, args| push(cx, args, End::Right, Absent::StaysAbsent)),
    ..LPUSH
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absent {
    IsCreated,
    StaysAbsent,
}

fn push(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    end: End,
    absent: Absent,
) -> Result<(), CommandError> {
    let [key, elements @ ..] = args else { unreachable!("the arity is at least three") };
    check_sizes(args)?;
    let old = look(cx, key)?.map(ListView::len);
    if old.is_none() && absent == Absent::StaysAbsent {
        cx.reply.integer(0);
        return Ok(());
    }
    let len = old.unwrap_or(0) + elements.len();
    check_len(len)?;
    // Nothing fails below this line.
    cx.apply(Effect::ListPush { db: cx.db, key, end, elements: Elements::Words(elements) });
    cx.notify(Class::List, push_event(end), key);
    cx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn check_len(len: usize) -> Result<(), CommandError> {
    if LIST_LEN_MAX < len { Err(CommandError::ListTooLong) } else { Ok(()) }
}

pub(super) fn push_event(end: End) -> &'static str {
    match end {
        End::Left => "lpush",
        End::Right => "rpush",
    }
}

const LPOP: Command<Run> = Command {
    name: "lpop",
    summary: "Takes the first element, or the first ones, off a list and returns them.",
    complexity: "O(N) in the elements that are returned.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
    flags: &[Flag::Fast],
    run: Run::Write(|cx, args| pop(cx, args, "lpop", End::Left)),
    ..LIST
};

const RPOP: Command<Run> = Command {
    name: "rpop",
    summary: "Takes the last element, or the last ones, off a list and returns them.",
    run: Run::Write(|cx, args| pop(cx, args, "rpop", End::Right)),
    ..LPOP
};

fn pop(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    name: &'static str,
    end: End,
) -> Result<(), CommandError> {
    let (key, wanted) = match args {
        [key] => (key, None),
        [key, count] => {
            let count = integer_of(count).ok().and_then(|count| usize::try_from(count).ok());
            (key, Some(count.ok_or(CommandError::NotPositive)?))
        }
        _ => return Err(CommandError::WrongArity { name }),
    };
    let Some(len) = look(cx, key)?.map(ListView::len) else {
        match wanted {
            None => cx.reply.null(),
            Some(_) => cx.reply.null_array(),
        }
        return Ok(());
    };
    // Nothing fails below this line.
    match wanted {
        None => {
            let element = seen(cx, key).end(end).expect("a list has an element").to_vec();
            take(cx, key, end, 1, len);
            cx.reply.bulk(&element);
        }
        Some(wanted) => take_and_reply(cx, key, end, wanted.min(len), len),
    }
    Ok(())
}

/// Takes `count` of `len` elements off a list and replies with them, the outermost first.
pub(super) fn take_and_reply(cx: &mut WriteCx<'_>, key: &[u8], end: End, count: usize, len: usize) {
    let (index, direction) = match end {
        End::Left => (0, Direction::Forward),
        End::Right => (len - 1, Direction::Backward),
    };
    let entry = cx.spaces.live(cx.db, key, cx.now_ms);
    let list = entry.map(ListView::of).and_then(Result::ok).expect("the key was seen");
    reply_with(cx.reply, list, index, direction, count);
    if 0 < count {
        take(cx, key, end, count, len);
    }
}

/// Takes `count` of `len` elements off a list; the last one takes the key with it.
pub(super) fn take(cx: &mut WriteCx<'_>, key: &[u8], end: End, count: usize, len: usize) {
    cx.apply(Effect::ListPop { db: cx.db, key, end, count: count as u32 });
    tell_taken(cx, key, end, count == len);
}

pub(super) fn tell_taken(cx: &mut WriteCx<'_>, key: &[u8], end: End, is_gone: bool) {
    let event = match end {
        End::Left => "lpop",
        End::Right => "rpop",
    };
    cx.notify(Class::List, event, key);
    if is_gone {
        cx.notify(Class::Generic, "del", key);
    }
}

const LLEN: Command<Run> = Command {
    name: "llen",
    summary: "Returns the number of elements of a list.",
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let [key] = args else { unreachable!("the arity is exact") };
        let len = read(cx, key)?.map_or(0, ListView::len);
        cx.reply.integer(len as i64);
        Ok(())
    }),
    ..LIST
};

const LINDEX: Command<Run> = Command {
    name: "lindex",
    summary: "Returns the element at an index, or nil if there is none.",
    complexity: "O(N) in the nodes before it; O(1) for the first and the last element.",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(index),
    ..LIST
};

fn index(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, index] = args else { unreachable!("the arity is exact") };
    // Redis looks at the key first: what it holds is the first thing that can be wrong.
    let list = read(cx, key)?;
    let Some(list) = list else {
        cx.reply.null();
        return Ok(());
    };
    let index = absolute(integer_of(index)?, list.len());
    match index.and_then(|index| list.get(index)) {
        Some(item) => cx.reply.bulk(item.bytes(&mut Scratch::default())),
        None => cx.reply.null(),
    }
    Ok(())
}

const LRANGE: Command<Run> = Command {
    name: "lrange",
    summary: "Returns the elements from one index to another.",
    complexity: "O(S+N) where S is the distance of the first from the nearer end, in nodes, and N \
                 the number of elements.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    run: Run::Read(range),
    ..LIST
};

fn range(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, start, last] = args else { unreachable!("the arity is exact") };
    let (start, last) = (integer_of(start)?, integer_of(last)?);
    match read(cx, key)? {
        Some(list) => {
            let range = range_of(start, last, list.len());
            reply_with(cx.reply, list, range.start, Direction::Forward, range.len());
        }
        None => cx.reply.array(0),
    }
    Ok(())
}

const LSET: Command<Run> = Command {
    name: "lset",
    summary: "Replaces the element at an index.",
    complexity: "O(N) in the nodes before it; O(1) for the first and the last element.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    flags: &[Flag::DenyOom],
    run: Run::Write(set),
    ..LIST
};

fn set(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, index, element] = args else { unreachable!("the arity is exact") };
    check_sizes(args)?;
    let len = look(cx, key)?.ok_or(CommandError::NoSuchKey)?.len();
    let index = absolute(integer_of(index)?, len).ok_or(CommandError::IndexOutOfRange)?;
    // Nothing fails below this line.
    cx.apply(Effect::ListSet { db: cx.db, key, index: index as u32, element });
    cx.notify(Class::List, "lset", key);
    cx.reply.simple("OK");
    Ok(())
}

const LTRIM: Command<Run> = Command {
    name: "ltrim",
    summary: "Keeps the elements from one index to another and takes the others off a list.",
    complexity: "O(N) in the elements that go.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Delete]),
    // Both ends may lose elements.
    flags: &[Flag::Logs(Logs::KeyPerArgument)],
    run: Run::Write(trim),
    ..LIST
};

fn trim(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, start, last] = args else { unreachable!("the arity is exact") };
    let (db, start, last) = (cx.db, integer_of(start)?, integer_of(last)?);
    if let Some(len) = look(cx, key)?.map(ListView::len) {
        // Nothing fails below this line.
        let kept = range_of(start, last, len);
        if kept.is_empty() {
            cx.apply(Effect::Delete { db, key });
        } else {
            for (end, count) in [(End::Left, kept.start), (End::Right, len - kept.end)] {
                if 0 < count {
                    cx.apply(Effect::ListPop { db, key, end, count: count as u32 });
                }
            }
        }
        cx.notify(Class::List, "ltrim", key);
        if kept.is_empty() {
            cx.notify(Class::Generic, "del", key);
        }
    }
    cx.reply.simple("OK");
    Ok(())
}

/// A side of a list, as commands name it.
pub(super) fn end_of(word: &[u8]) -> Result<End, CommandError> {
    if is_option(word, "left") {
        Ok(End::Left)
    } else if is_option(word, "right") {
        Ok(End::Right)
    } else {
        Err(CommandError::Syntax)
    }
}
