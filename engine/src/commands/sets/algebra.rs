//! What sets have in common, what they have together, and what tells them apart.

use base::Set;

use super::{MEMBERS, SetView, find, look};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::commands::{check_size, integer_of, is_option};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::{Effect, ElementsBuf};
use crate::error::CommandError;
use crate::listpack::{Item, Scratch};
use crate::notes::Class;

pub(crate) const FAMILY: &[Command<Run>] =
    &[SDIFF, SDIFFSTORE, SINTER, SINTERCARD, SINTERSTORE, SUNION, SUNIONSTORE];
const _: () = assert!(is_sorted(FAMILY));

/// What makes a set of several; an absent one is empty.
type Operation = fn(&[Option<SetView<'_>>], &mut dyn FnMut(&[u8]) -> bool);

/// What all that only read have in common.
const READ: Command<Run> = Command {
    complexity: "O(N) in the members of the sets.",
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output_order"],
    ..MEMBERS
};

/// What all that store have in common.
const STORE: Command<Run> = Command {
    complexity: "O(N) in the members of the sets.",
    arity: Arity::AtLeast(3),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update]),
        KeySpec::from(2, &[KeyFlag::Ro, KeyFlag::Access]),
    ]),
    flags: &[Flag::DenyOom, Flag::Logs(Logs::Parts)],
    ..MEMBERS
};

const SDIFF: Command<Run> = Command {
    name: "sdiff",
    summary: "Returns the members of the first set that no other has.",
    run: Run::Read(|cx, args| reply_with_all(cx, args, difference)),
    ..READ
};

const SDIFFSTORE: Command<Run> = Command {
    name: "sdiffstore",
    summary: "Stores the members of the first set that no other has, and counts them.",
    run: Run::Write(|cx, args| store(cx, args, difference, "sdiffstore")),
    ..STORE
};

const SINTER: Command<Run> = Command {
    name: "sinter",
    summary: "Returns the members that all sets have.",
    complexity: "O(N*M) where N is the members of the smallest set and M the number of sets.",
    run: Run::Read(|cx, args| reply_with_all(cx, args, intersection)),
    ..READ
};

const SINTERSTORE: Command<Run> = Command {
    name: "sinterstore",
    summary: "Stores the members that all sets have, and counts them.",
    complexity: "O(N*M) where N is the members of the smallest set and M the number of sets.",
    run: Run::Write(|cx, args| store(cx, args, intersection, "sinterstore")),
    ..STORE
};

const SUNION: Command<Run> = Command {
    name: "sunion",
    summary: "Returns the members that any of the sets has.",
    run: Run::Read(|cx, args| reply_with_all(cx, args, union)),
    ..READ
};

const SUNIONSTORE: Command<Run> = Command {
    name: "sunionstore",
    summary: "Stores the members that any of the sets has, and counts them.",
    run: Run::Write(|cx, args| store(cx, args, union, "sunionstore")),
    ..STORE
};

const SINTERCARD: Command<Run> = Command {
    name: "sintercard",
    summary: "Counts the members that all sets have, perhaps up to a limit.",
    since: "7.0.0",
    complexity: "O(N*M) where N is the members of the smallest set and M the number of sets.",
    arity: Arity::AtLeast(3),
    keys: Keys::Several(&[KeySpec::counted(1, &[KeyFlag::Ro, KeyFlag::Access])]),
    run: Run::Read(count_common),
    ..MEMBERS
};

/// The sets that keys hold.
fn look_all<'a>(
    cx: &mut ReadCx<'a>,
    keys: Args<'_>,
) -> Result<Vec<Option<SetView<'a>>>, CommandError> {
    keys.iter().map(|key| look(cx, Lookup::Read, key)).collect()
}

fn reply_with_all(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    operation: Operation,
) -> Result<(), CommandError> {
    let sets = look_all(cx, args)?;
    // The count comes first in the reply.
    let mut members = ElementsBuf::default();
    let mut count = 0;
    operation(&sets, &mut |member| {
        members.push(member);
        count += 1;
        true
    });
    cx.reply.set(count);
    if 0 < count {
        members.elements().iter().for_each(|member| cx.reply.bulk(member));
    }
    Ok(())
}

fn store(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    operation: Operation,
    event: &'static str,
) -> Result<(), CommandError> {
    let [target, keys @ ..] = args else { unreachable!("the arity is at least three") };
    check_size(target)?;
    let (db, now_ms) = (cx.db, cx.now_ms);
    for key in keys {
        cx.look(Lookup::Read, key);
    }
    let mut members = ElementsBuf::default();
    let mut count = 0;
    {
        let sets: Result<Vec<_>, _> =
            keys.iter().map(|key| find(&cx.spaces, db, key, now_ms)).collect();
        operation(&sets?, &mut |member| {
            members.push(member);
            count += 1;
            true
        });
    }
    // Nothing fails below this line.
    let is_taken = cx.look(Lookup::Change, target).is_some();
    if is_taken {
        cx.apply(Effect::Delete { db, key: target });
    }
    if 0 < count {
        let effect = Effect::SetAdd { db, key: target, members: members.elements() };
        if is_taken {
            // To whoever listens for new keys it is none.
            cx.spaces.apply(&effect);
            cx.look(Lookup::Change, target);
        } else {
            cx.apply(effect);
        }
        cx.notify(Class::Set, event, target);
    } else if is_taken {
        cx.notify(Class::Generic, "del", target);
    }
    cx.reply.integer(count);
    Ok(())
}

fn count_common(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = integer_of(args[0]).ok().filter(|count| 0 < *count);
    let count = count.ok_or(CommandError::TooFewKeys)?;
    let rest = &args[1..];
    let keys = usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count));
    let (keys, mut options) = keys.ok_or(CommandError::TooManyKeys)?;
    let mut limit = 0;
    while let [option, value, more @ ..] = options
        && is_option(option, "limit")
    {
        let number = integer_of(value).ok().and_then(|number| usize::try_from(number).ok());
        limit = number.ok_or(CommandError::NegativeLimit)?;
        options = more;
    }
    if !options.is_empty() {
        return Err(CommandError::Syntax);
    }
    let sets = look_all(cx, keys)?;
    let mut found = 0;
    intersection(&sets, &mut |_| {
        found += 1;
        found != limit
    });
    cx.reply.integer(found as i64);
    Ok(())
}

fn intersection(sets: &[Option<SetView<'_>>], visit: &mut dyn FnMut(&[u8]) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let [smallest, others @ ..] = &sets[..] else { return };
    let mut scratch = Scratch::default();
    for item in smallest.items() {
        let member = item.bytes(&mut scratch);
        if others.iter().all(|set| set.contains(member)) && !visit(member) {
            return;
        }
    }
}

/// From so many sets on, members that were there already are remembered instead of looked for.
const MANY: usize = 5;

fn union(sets: &[Option<SetView<'_>>], visit: &mut dyn FnMut(&[u8]) -> bool) {
    let sets: Vec<SetView<'_>> = sets.iter().flatten().copied().collect();
    let mut seen: Set<Vec<u8>> = Set::default();
    let mut scratch = Scratch::default();
    for (index, set) in sets.iter().enumerate() {
        for item in set.items() {
            let member = item.bytes(&mut scratch);
            let is_new = match sets.len() {
                ..MANY => !sets[..index].iter().any(|set| set.contains(member)),
                _ => seen.insert(member.to_vec()),
            };
            if is_new && !visit(member) {
                return;
            }
        }
    }
}

fn difference(sets: &[Option<SetView<'_>>], visit: &mut dyn FnMut(&[u8]) -> bool) {
    let [Some(first), others @ ..] = sets else { return };
    let others: Vec<SetView<'_>> = others.iter().flatten().copied().collect();
    let work: usize = others.iter().map(|set| set.len()).sum();
    let mut scratch = Scratch::default();
    // Either each member is looked for in the others, or all of theirs are gathered.
    if work < first.len().saturating_mul(others.len()) / 2 {
        let mut gone: Set<Vec<u8>> = Set::default();
        for set in &others {
            set.for_each(&mut |member| {
                gone.insert(member.to_vec());
            });
        }
        for item in first.items() {
            let member: &[u8] = item.bytes(&mut scratch);
            if !gone.contains(member) && !visit(member) {
                return;
            }
        }
        return;
    }
    for item in first.items() {
        let member = Item::bytes(item, &mut scratch);
        if !others.iter().any(|set| set.contains(member)) && !visit(member) {
            return;
        }
    }
}
