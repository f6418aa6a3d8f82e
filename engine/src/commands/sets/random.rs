//! Members by chance.

use base::{Prng, Set};

use super::{MEMBERS, SetView, find, look, look_to_change, reply_with, take};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, Logs};
use crate::commands::integer_of;
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::{Effect, Elements, ElementsBuf};
use crate::error::CommandError;
use crate::listpack::{Item, Scratch};
use crate::notes::Class;

pub(super) const SPOP: Command<Run> = Command {
    name: "spop",
    summary: "Takes one or some members out of a set by chance and returns them.",
    complexity: "O(N) in the members returned.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Delete]),
    flags: &[Flag::Fast, Flag::Logs(Logs::Drawn)],
    tips: &["nondeterministic_output"],
    run: Run::Write(pop),
    ..MEMBERS
};

fn pop(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, count) = match args {
        [key] => (*key, None),
        [key, count] => {
            let count = integer_of(count).ok().and_then(|count| usize::try_from(count).ok());
            (*key, Some(count.ok_or(CommandError::NotPositive)?))
        }
        _ => return Err(CommandError::Syntax),
    };
    let size = look_to_change(cx, key)?.map(SetView::len);
    // Nothing fails below this line.
    let (Some(size), 1..) = (size, count.unwrap_or(1)) else {
        match count {
            None => cx.reply.null(),
            Some(_) => cx.reply.set(0),
        }
        return Ok(());
    };
    let set = find(&cx.spaces, cx.db, key, cx.now_ms)?.expect("it was just found");
    let Some(count) = count else {
        let member = set.random(cx.prng).expect("a set is not empty").to_vec();
        let member: &[u8] = &member;
        take(cx, key, Elements::Words(&[member]), "spop", size == 1);
        cx.reply.bulk(member);
        return Ok(());
    };
    if size <= count {
        cx.reply.set(size);
        set.for_each(&mut |member| cx.reply.bulk(member));
        cx.apply(Effect::Delete { db: cx.db, key });
        cx.notify(Class::Set, "spop", key);
        cx.notify(Class::Generic, "del", key);
        return Ok(());
    }
    let mut members = ElementsBuf::default();
    let mut scratch = Scratch::default();
    let drawn = draw(set, count, cx.prng);
    drawn.iter().for_each(|item| members.push(item.bytes(&mut scratch)));
    take(cx, key, members.elements(), "spop", false);
    cx.reply.set(count);
    members.elements().iter().for_each(|member| cx.reply.bulk(member));
    Ok(())
}

/// As many different members as asked for, by chance, of more.
fn draw<'a>(set: SetView<'a>, count: usize, prng: &mut Prng) -> Vec<Item<'a>> {
    assert!(count < set.len());
    if set.len() / DRAWN_SHARE < count || !matches!(set, SetView::Table(..)) {
        let mut items = set.items();
        for place in 0..count {
            let other = place + prng.index(items.len() - place);
            items.swap(place, other);
        }
        items.truncate(count);
        return items;
    }
    let mut drawn = Vec::with_capacity(count);
    let mut seen: Set<&[u8]> = Set::default();
    while drawn.len() < count {
        match set.random(prng) {
            Some(Item::Bytes(member)) if seen.insert(member) => drawn.push(Item::Bytes(member)),
            _ => {}
        }
    }
    drawn
}

/// Members are drawn one by one if they are at most one in so many.
const DRAWN_SHARE: usize = 4;

pub(super) const SRANDMEMBER: Command<Run> = Command {
    name: "srandmember",
    summary: "Returns one or some members of a set by chance.",
    complexity: "O(N) in the members returned.",
    arity: Arity::AtLeast(2),
    keys: Keys::First(&[KeyFlag::Ro, KeyFlag::Access]),
    tips: &["nondeterministic_output"],
    run: Run::Read(random_member),
    ..MEMBERS
};

fn random_member(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (key, count) = match args {
        [key] => (*key, None),
        [key, count] => {
            let count = integer_of(count)?;
            if count == i64::MIN {
                return Err(CommandError::OutOfRange { min: -i64::MAX, max: i64::MAX });
            }
            (*key, Some(count))
        }
        _ => return Err(CommandError::Syntax),
    };
    let set = look(cx, Lookup::Read, key)?;
    let Some(count) = count else {
        match set.and_then(|set| set.random(cx.prng)) {
            Some(member) => reply_with(cx.reply, member),
            None => cx.reply.null(),
        }
        return Ok(());
    };
    let (Some(set), true) = (set, count != 0) else {
        cx.reply.array(0);
        return Ok(());
    };
    if count < 0 {
        cx.reply.array(count.unsigned_abs() as usize);
        for _ in 0..count.unsigned_abs() {
            reply_with(cx.reply, set.random(cx.prng).expect("a set is not empty"));
        }
    } else if set.len() <= count as usize {
        cx.reply.array(set.len());
        set.for_each(&mut |member| cx.reply.bulk(member));
    } else {
        let drawn = draw(set, count as usize, cx.prng);
        cx.reply.array(drawn.len());
        drawn.into_iter().for_each(|item| reply_with(cx.reply, item));
    }
    Ok(())
}
