//! Sorted sets: members and their scores, and what all commands on them have in common.

pub(super) mod algebra;
mod bounds;
pub(super) mod draws;
pub(super) mod pops;
pub(super) mod ranges;
pub(super) mod removals;

use std::collections::{BTreeMap, BTreeSet};

use super::{SORTED_SET, check_sizes, is_option};
use crate::command::{Arity, Command, Flag, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::double::parse_double;
use crate::effect::{Effect, Elements, ElementsBuf};
use crate::error::CommandError;
use crate::keyspace::Entry;
use crate::listpack::{Item, Scratch};
use crate::notes::Class;
use crate::reply::ReplySink;
use crate::values::{Scored, Zset};

pub(super) const FAMILY: &[Command<Run>] =
    &[ZADD, ZCARD, ZINCRBY, ZMSCORE, ZRANK, ZREM, ZREVRANK, ZSCORE];
const _: () = assert!(is_sorted(FAMILY));

/// The one key of a command that tells something of what it holds.
const ASKED: Keys = Keys::First(&[KeyFlag::Ro, KeyFlag::Access]);

/// The complexity of what finds one member by its order.
const LOGARITHMIC: &str = "O(log(N)) where N is the number of members.";

const ZADD: Command<Run> = Command {
    name: "zadd",
    summary: "Gives members scores, adding those that are absent.",
    complexity: "O(log(N)) for each member, where N is the number of members.",
    arity: Arity::AtLeast(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(|cx, args| add(cx, args, false)),
    ..SORTED_SET
};

const ZINCRBY: Command<Run> = Command {
    name: "zincrby",
    summary: "Adds to the score of a member; an absent member counts as zero.",
    complexity: LOGARITHMIC,
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update]),
    flags: &[Flag::DenyOom, Flag::Fast],
    run: Run::Write(|cx, args| add(cx, args, true)),
    ..SORTED_SET
};

/// What the words before the scores ask for.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    if_absent: bool,
    if_present: bool,
    if_greater: bool,
    if_less: bool,
    counts_changed: bool,
    is_increment: bool,
}

impl Conditions {
    /// Takes the options off the front of `words`.
    fn parse(words: &mut Args<'_>, is_increment: bool) -> Self {
        let mut conditions = Self { is_increment, ..Self::default() };
        while let [word, rest @ ..] = *words {
            let flag = match word.to_ascii_lowercase().as_slice() {
                b"nx" => &mut conditions.if_absent,
                b"xx" => &mut conditions.if_present,
                b"gt" => &mut conditions.if_greater,
                b"lt" => &mut conditions.if_less,
                b"ch" => &mut conditions.counts_changed,
                b"incr" => &mut conditions.is_increment,
                _ => break,
            };
            *flag = true;
            *words = rest;
        }
        conditions
    }

    fn check(self, words: usize) -> Result<(), CommandError> {
        if words == 0 || !words.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if self.if_absent && self.if_present {
            return Err(CommandError::AbsentAndPresent);
        }
        let exclusive = [self.if_absent, self.if_greater, self.if_less];
        if 1 < exclusive.into_iter().filter(|is| *is).count() {
            return Err(CommandError::GreaterLessAndAbsent);
        }
        if self.is_increment && 2 < words {
            return Err(CommandError::ManyIncrements);
        }
        Ok(())
    }

    /// The score that a member is to have; None if it is to stay as it is.
    fn decide(self, old: Option<f64>, given: f64) -> Result<Option<f64>, CommandError> {
        let Some(old) = old else { return Ok((!self.if_present).then_some(given)) };
        if self.if_absent {
            return Ok(None);
        }
        let score = if self.is_increment { old + given } else { given };
        if score.is_nan() {
            return Err(CommandError::ScoreNotANumber);
        }
        let is_refused = (self.if_less && old <= score) || (self.if_greater && score <= old);
        Ok((!is_refused).then_some(score))
    }
}

fn add(cx: &mut WriteCx<'_>, args: Args<'_>, is_increment: bool) -> Result<(), CommandError> {
    let [key, words @ ..] = args else { unreachable!("the arity is at least four") };
    let mut words = words;
    let conditions = Conditions::parse(&mut words, is_increment);
    conditions.check(words.len())?;
    let parse = |word| parse_double(word).ok_or(CommandError::NotAFloat);
    let given = words.chunks_exact(2).map(|pair| Ok((parse(pair[0])?, pair[1])));
    let given = given.collect::<Result<Vec<_>, CommandError>>()?;
    check_sizes(args)?;
    let zset = zset_of(cx.look(Lookup::Change, key))?;

    let (mut added, mut changed) = (0, 0);
    let mut outcome = None;
    let mut elements = ElementsBuf::default();
    // What became of members that may be given again.
    let mut seen = BTreeMap::new();
    for (score, member) in &given {
        let before = seen.get(member).copied();
        let old = before.or_else(|| zset.and_then(|zset| zset.score(member)));
        outcome = conditions.decide(old, *score)?;
        let Some(score) = outcome.filter(|score| old != Some(*score)) else { continue };
        added += i64::from(old.is_none());
        changed += i64::from(old.is_some());
        elements.push(&score.to_le_bytes());
        elements.push(member);
        if 1 < given.len() {
            seen.insert(*member, score);
        }
    }
    // Nothing fails below this line.
    if !elements.is_empty() {
        cx.apply(Effect::ZsetAdd { db: cx.db, key, pairs: elements.elements() });
        let event = if conditions.is_increment { "zincr" } else { "zadd" };
        cx.notify(Class::SortedSet, event, key);
    }
    match (conditions.is_increment, outcome) {
        (true, Some(score)) => cx.reply.double(score),
        (true, None) => cx.reply.null(),
        (false, _) if conditions.counts_changed => cx.reply.integer(added + changed),
        (false, _) => cx.reply.integer(added),
    }
    Ok(())
}

const ZREM: Command<Run> = Command {
    name: "zrem",
    summary: "Removes members; the last one takes the key along.",
    complexity: "O(M*log(N)) where N is the number of members and M that of those to remove.",
    arity: Arity::AtLeast(3),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Delete]),
    flags: &[Flag::Fast],
    run: Run::Write(remove),
    ..SORTED_SET
};

fn remove(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, members @ ..] = args else { unreachable!("the arity is at least three") };
    let zset = zset_of(cx.look(Lookup::Change, key))?;
    let mut seen = BTreeSet::new();
    let mut removed = Vec::new();
    for member in members {
        let is_there = zset.is_some_and(|zset| zset.score(member).is_some());
        if is_there && seen.insert(*member) {
            removed.push(*member);
        }
    }
    let is_emptied = zset.is_some_and(|zset| zset.len() == removed.len());
    // Nothing fails below this line.
    if !removed.is_empty() {
        let members = Elements::Words(&removed);
        cx.apply(Effect::ZsetRemove { db: cx.db, key, members });
        notify_removal(cx, "zrem", key, is_emptied);
    }
    cx.reply.integer(removed.len() as i64);
    Ok(())
}

const ZCARD: Command<Run> = Command {
    name: "zcard",
    summary: "Returns the number of members.",
    keys: Keys::First(&[KeyFlag::Ro]),
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let zset = read(cx, args[0])?;
        cx.reply.integer(zset.map_or(0, Zset::len) as i64);
        Ok(())
    }),
    ..SORTED_SET
};

const ZSCORE: Command<Run> = Command {
    name: "zscore",
    summary: "Returns the score of a member.",
    arity: Arity::Exactly(3),
    keys: ASKED,
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let zset = read(cx, args[0])?;
        reply_score(cx.reply, zset.and_then(|zset| zset.score(args[1])));
        Ok(())
    }),
    ..SORTED_SET
};

const ZMSCORE: Command<Run> = Command {
    name: "zmscore",
    summary: "Returns the scores of members.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of members asked for.",
    arity: Arity::AtLeast(3),
    keys: ASKED,
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| {
        let [key, members @ ..] = args else { unreachable!("the arity is at least three") };
        let zset = read(cx, key)?;
        cx.reply.array(members.len());
        for member in members {
            reply_score(cx.reply, zset.and_then(|zset| zset.score(member)));
        }
        Ok(())
    }),
    ..SORTED_SET
};

fn reply_score(reply: &mut dyn ReplySink, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

const ZRANK: Command<Run> = Command {
    name: "zrank",
    summary: "Returns how many members are before one, counted from the lowest score.",
    since: "2.0.0",
    complexity: LOGARITHMIC,
    arity: Arity::AtLeast(3),
    keys: ASKED,
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| rank(cx, args, "zrank", |rank, _| rank)),
    ..SORTED_SET
};

const ZREVRANK: Command<Run> = Command {
    name: "zrevrank",
    summary: "Returns how many members are before one, counted from the highest score.",
    run: Run::Read(|cx, args| rank(cx, args, "zrevrank", |rank, len| len - 1 - rank)),
    ..ZRANK
};

fn rank(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    name: &'static str,
    count: fn(usize, usize) -> usize,
) -> Result<(), CommandError> {
    let (key, member, with_score) = match args {
        [key, member] => (key, member, false),
        [key, member, option] if is_option(option, "withscore") => (key, member, true),
        [_, _, _] => return Err(CommandError::Syntax),
        _ => return Err(CommandError::WrongArity { name }),
    };
    let found = read(cx, key)?.and_then(|zset| Some((zset.rank(member)?, zset.len())));
    match found {
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
        Some(((rank, score), len)) => {
            if with_score {
                cx.reply.array(2);
            }
            cx.reply.integer(count(rank, len) as i64);
            if with_score {
                cx.reply.double(score);
            }
        }
    }
    Ok(())
}

/// The sorted set a key holds, for a client to read.
fn read<'a>(cx: &mut ReadCx<'a>, key: &[u8]) -> Result<Option<Zset<'a>>, CommandError> {
    zset_of(cx.look(Lookup::Read, key))
}

fn zset_of(entry: Option<Entry<'_>>) -> Result<Option<Zset<'_>>, CommandError> {
    entry.map(|entry| Zset::of(entry).ok_or(CommandError::WrongType)).transpose()
}

fn notify_removal(cx: &mut WriteCx<'_>, event: &'static str, key: &[u8], is_emptied: bool) {
    cx.notify(Class::SortedSet, event, key);
    if is_emptied {
        cx.notify(Class::Generic, "del", key);
    }
}

/// Scored members, gathered for a key.
#[derive(Debug, Default)]
struct Gathered {
    pairs: ElementsBuf,
    count: usize,
}

impl Gathered {
    fn push(&mut self, name: &[u8], score: f64) {
        self.pairs.push(&score.to_le_bytes());
        self.pairs.push(name);
        self.count += 1;
    }
}

/// Makes a key hold these members, or removes it if there are none, and replies with their number.
fn store(cx: &mut WriteCx<'_>, key: &[u8], members: &Gathered, event: &'static str) {
    let db = cx.db;
    let was_there = cx.look(Lookup::Change, key).is_some();
    if was_there {
        cx.apply(Effect::Delete { db, key });
    }
    if 0 < members.count {
        let effect = Effect::ZsetAdd { db, key, pairs: members.pairs.elements() };
        if was_there {
            // To clients the key is not a new one.
            cx.replace(effect);
        } else {
            cx.apply(effect);
        }
        cx.notify(Class::SortedSet, event, key);
    } else if was_there {
        cx.notify(Class::Generic, "del", key);
    }
    cx.reply.integer(members.count as i64);
}

fn reply_name(reply: &mut dyn ReplySink, name: Item<'_>) {
    reply.bulk(name.bytes(&mut Scratch::default()));
}

fn reply_members<'a>(
    reply: &mut dyn ReplySink,
    members: impl ExactSizeIterator<Item = Scored<'a>>,
    with_scores: bool,
) {
    if !with_scores {
        reply.array(members.len());
        members.for_each(|(name, _)| reply_name(reply, name));
        return;
    }
    reply.pairs(members.len());
    for (name, score) in members {
        reply.pair();
        reply_name(reply, name);
        reply.double(score);
    }
}
