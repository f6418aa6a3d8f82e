//! Commands on the members of sets.

use super::chosen::Chosen;
use super::scanning::{Scan, position_of, reply_with_cursor};
use super::{MEMBERS, check_sizes};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::{Effect, Elements};
use crate::error::CommandError;
use crate::listpack::{Item, Scratch};
use crate::notes::Class;
use crate::reply::ReplySink;
use crate::space::Spaces;
use crate::values::SetView;

mod algebra;
mod random;

pub(super) use algebra::FAMILY as ALGEBRA;
use random::{SPOP, SRANDMEMBER};

pub(super) const FAMILY: &[Command<Run>] =
    &[SADD, SCARD, SISMEMBER, SMEMBERS, SMISMEMBER, SMOVE, SPOP, SRANDMEMBER, SREM, SSCAN];
const _: () = assert!(is_sorted(FAMILY));

/// The set a key holds, if it holds anything.
fn find<'a>(
    spaces: &'a Spaces<'_>,
    db: u16,
    key: &[u8],
    now_ms: u64,
) -> Result<Option<SetView<'a>>, CommandError> {
    let hasher = spaces.of(key).keyspace.hasher();
    spaces.live(db, key, now_ms).map(|entry| SetView::of(entry, hasher)).transpose()
}

/// The set a key holds, for a client to look at.
fn look<'a>(
    cx: &mut ReadCx<'a>,
    lookup: Lookup,
    key: &[u8],
) -> Result<Option<SetView<'a>>, CommandError> {
    let spaces = cx.spaces;
    let hasher = spaces.of(key).keyspace.hasher();
    cx.look(lookup, key).map(|entry| SetView::of(entry, hasher)).transpose()
}

/// The set a key holds, which is about to change.
fn look_to_change<'a>(
    cx: &'a mut WriteCx<'_>,
    key: &[u8],
) -> Result<Option<SetView<'a>>, CommandError> {
    cx.look(Lookup::Change, key);
    find(&cx.spaces, cx.db, key, cx.now_ms)
}

fn reply_with(reply: &mut dyn ReplySink, item: Item<'_>) {
    reply.bulk(item.bytes(&mut Scratch::default()));
}

const SADD: Command<Run> = Command {
    name: "sadd",
    summary: "Puts members into a set and counts those that were not there.",
    complexity: "O(N) in the members named.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Insert]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(add),
    ..MEMBERS
};

fn add(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, members @ ..] = args else { unreachable!("the arity is at least three") };
    check_sizes(args)?;
    let set = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let added = Chosen::of(members, |member| set.is_none_or(|set| !set.contains(member)));
    if !added.is_empty() {
        cx.apply(Effect::SetAdd { db: cx.db, key, members: added.elements() });
        cx.notify(Class::Set, "sadd", key);
    }
    cx.reply.integer(added.len() as i64);
    Ok(())
}

const SREM: Command<Run> = Command {
    name: "srem",
    summary: "Takes members out of a set and counts those that were there.",
    complexity: "O(N) in the members named.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Delete]),
    flags: &[Flag::Fast],
    run: Run::Write(remove),
    ..MEMBERS
};

fn remove(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, members @ ..] = args else { unreachable!("the arity is at least three") };
    let set = look_to_change(cx, key)?;
    // Nothing fails below this line.
    let Some(set) = set else {
        cx.reply.integer(0);
        return Ok(());
    };
    let removed = Chosen::of(members, |member| set.contains(member));
    let is_emptied = removed.len() == set.len();
    if !removed.is_empty() {
        take(cx, key, removed.elements(), "srem", is_emptied);
    }
    cx.reply.integer(removed.len() as i64);
    Ok(())
}

/// Takes members out that are there. With the last of them the key goes.
fn take(
    cx: &mut WriteCx<'_>,
    key: &[u8],
    members: Elements<'_>,
    event: &'static str,
    is_emptied: bool,
) {
    cx.apply(Effect::SetRemove { db: cx.db, key, members });
    cx.notify(Class::Set, event, key);
    if is_emptied {
        cx.notify(Class::Generic, "del", key);
    }
}

const SMOVE: Command<Run> = Command {
    name: "smove",
    summary: "Takes a member out of one set and puts it into another.",
    arity: Arity::Exactly(4),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
        KeySpec::at(2, &[KeyFlag::Rw, KeyFlag::Insert]),
    ]),
    flags: &[Flag::Fast, Flag::Logs(Logs::ArgumentsTwice)],
    run: Run::Write(move_member),
    ..MEMBERS
};

fn move_member(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [source, target, member] = args else { unreachable!("the arity is exact") };
    check_sizes(args)?;
    let Some(set) = look_to_change(cx, source)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let (is_there, is_emptied) = (set.contains(member), set.len() == 1);
    let is_in_target = look_to_change(cx, target)?.is_some_and(|set| set.contains(member));
    // Nothing fails below this line.
    if is_there && source != target {
        let members = Elements::Words(std::slice::from_ref(member));
        take(cx, source, members, "srem", is_emptied);
        if !is_in_target {
            cx.apply(Effect::SetAdd { db: cx.db, key: target, members });
            cx.notify(Class::Set, "sadd", target);
        }
    }
    cx.reply.integer(is_there.into());
    Ok(())
}

const SISMEMBER: Command<Run> = Command {
    name: "sismember",
    summary: "Tells whether a set has a member.",
    arity: Arity::Exactly(3),
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let set = look(cx, Lookup::Read, args[0])?;
        cx.reply.integer(set.is_some_and(|set| set.contains(args[1])).into());
        Ok(())
    }),
    ..MEMBERS
};

const SMISMEMBER: Command<Run> = Command {
    name: "smismember",
    summary: "Tells of each member whether a set has it.",
    since: "6.2.0",
    complexity: "O(N) in the members named.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let set = look(cx, Lookup::Read, args[0])?;
        cx.reply.array(args.len() - 1);
        for member in &args[1..] {
            cx.reply.integer(set.is_some_and(|set| set.contains(member)).into());
        }
        Ok(())
    }),
    ..MEMBERS
};

const SCARD: Command<Run> = Command {
    name: "scard",
    summary: "Counts the members of a set.",
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let set = look(cx, Lookup::Read, args[0])?;
        cx.reply.integer(set.map_or(0, SetView::len) as i64);
        Ok(())
    }),
    ..MEMBERS
};

const SMEMBERS: Command<Run> = Command {
    name: "smembers",
    summary: "Returns the members of a set.",
    complexity: "O(N) in the members of the set.",
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output_order"],
    run: Run::Read(|cx, args| {
        let set = look(cx, Lookup::Read, args[0])?;
        cx.reply.set(set.map_or(0, SetView::len));
        if let Some(set) = set {
            set.for_each(&mut |member| cx.reply.bulk(member));
        }
        Ok(())
    }),
    ..MEMBERS
};

const SSCAN: Command<Run> = Command {
    name: "sscan",
    summary: "Returns some members of a set, and a cursor with which to ask for more.",
    since: "2.8.0",
    complexity: "O(1) for a call, O(N) for a whole iteration, where N is the number of members.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output"],
    run: Run::Read(scan),
    ..MEMBERS
};

fn scan(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, cursor, options @ ..] = args else { unreachable!("the arity is at least three") };
    let from = position_of(cx, key, cursor)?;
    let Some(set) = look(cx, Lookup::Read, key)? else {
        reply_with_cursor(cx, key, None, 0);
        return Ok(());
    };
    let scan = Scan::parse(options, false)?;
    let mut found = Vec::new();
    let next = from.and_then(|from| {
        set.scan(from, scan.count, &mut |member| {
            if scan.admits(member) {
                found.push(member.to_vec());
            }
        })
    });
    reply_with_cursor(cx, key, next, found.len());
    found.iter().for_each(|member| cx.reply.bulk(member));
    Ok(())
}
