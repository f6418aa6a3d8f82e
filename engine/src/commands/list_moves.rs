//! Commands that take elements off one of several lists.

use super::lists::{check_len, end_of, look, push_event, seen, take_and_reply, tell_taken};
use super::{LIST, check_size, integer_of, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::context::{Args, Run, WriteCx};
use crate::effect::{Effect, Elements, End};
use crate::error::CommandError;
use crate::notes::Class;
use crate::values::ListView;

pub(super) const FAMILY: &[Command<Run>] = &[LMOVE, LMPOP, RPOPLPUSH];
const _: () = assert!(is_sorted(FAMILY));

const LMOVE: Command<Run> = Command {
    name: "lmove",
    summary: "Takes an element off an end of a list, puts it to an end of another, and returns it.",
    since: "6.2.0",
    arity: Arity::Exactly(5),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        KeySpec::at(2, &[KeyFlag::Rw, KeyFlag::Insert]),
    ]),
    flags: &[Flag::DenyOom, Flag::Logs(Logs::Element)],
    run: Run::Write(|cx, args| {
        let [source, target, from, to] = args else { unreachable!("the arity is exact") };
        let (from, to) = (end_of(from)?, end_of(to)?);
        move_element(cx, source, target, from, to)
    }),
    ..LIST
};

const RPOPLPUSH: Command<Run> = Command {
    name: "rpoplpush",
    summary: "Moves the last element of a list to the begin of another and returns it.",
    since: "1.2.0",
    arity: Arity::Exactly(3),
    run: Run::Write(|cx, args| {
        let [source, target] = args else { unreachable!("the arity is exact") };
        move_element(cx, source, target, End::Right, End::Left)
    }),
    ..LMOVE
};

fn move_element(
    cx: &mut WriteCx<'_>,
    source: &[u8],
    target: &[u8],
    from: End,
    to: End,
) -> Result<(), CommandError> {
    check_size(target)?;
    let db = cx.db;
    let Some(len) = look(cx, source)?.map(ListView::len) else {
        cx.reply.null();
        return Ok(());
    };
    check_len(look(cx, target)?.map_or(0, ListView::len) + usize::from(source != target))?;
    // Nothing fails below this line.
    let element = seen(cx, source).end(from).expect("a list has an element").to_vec();
    let elements = [element.as_slice()];
    let push = Effect::ListPush { db, key: target, end: to, elements: Elements::Words(&elements) };
    if source == target && len == 1 {
        // A list that gets its own and only element again never goes, but it counts as changed.
        cx.apply(Effect::ListSet { db, key: source, index: 0, element: &element });
    } else {
        cx.apply(Effect::ListPop { db, key: source, end: from, count: 1 });
        cx.apply(push);
    }
    cx.notify(Class::List, push_event(to), target);
    tell_taken(cx, source, from, source != target && len == 1);
    cx.reply.bulk(&element);
    Ok(())
}

const LMPOP: Command<Run> = Command {
    name: "lmpop",
    summary: "Takes elements off the first of several lists that is there and returns them.",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of keys and M that of the elements.",
    arity: Arity::AtLeast(4),
    keys: Keys::Several(&[KeySpec::counted(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete])]),
    run: Run::Write(pop_from_first),
    ..LIST
};

fn pop_from_first(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key_count, rest @ ..] = args else { unreachable!("the arity is at least four") };
    let key_count = above_zero(key_count, "numkeys")?;
    if rest.len() <= key_count {
        return Err(CommandError::Syntax);
    }
    let (keys, rest) = rest.split_at(key_count);
    let (end, options) = rest.split_first().expect("more words than keys were seen");
    let end = end_of(end)?;
    let wanted = match options {
        [] => 1,
        [option, count] if is_option(option, "count") => above_zero(count, "count")?,
        // The count is read before what is behind it is found to be too much.
        [option, count, ..] if is_option(option, "count") => {
            above_zero(count, "count")?;
            return Err(CommandError::Syntax);
        }
        _ => return Err(CommandError::Syntax),
    };
    for key in keys {
        if let Some(len) = look(cx, key)?.map(ListView::len) {
            // Nothing fails below this line.
            cx.reply.array(2);
            cx.reply.bulk(key);
            take_and_reply(cx, key, end, wanted.min(len), len);
            return Ok(());
        }
    }
    cx.reply.null_array();
    Ok(())
}

fn above_zero(word: &[u8], what: &'static str) -> Result<usize, CommandError> {
    let number = integer_of(word).ok().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| 0 < *number).ok_or(CommandError::NotAboveZero { what })
}
