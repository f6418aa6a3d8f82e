//! Unions, intersections and differences of sorted sets and plain sets.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{Gathered, SORTED_SET, reply_members, store};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::commands::{check_size, integer_of, is_option};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::double::parse_double;
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::keyspace::Entry;
use crate::listpack::Item;
use crate::values::{self, Type, Zset};

pub(in crate::commands) const FAMILY: &[Command<Run>] =
    &[ZDIFF, ZDIFFSTORE, ZINTER, ZINTERCARD, ZINTERSTORE, ZUNION, ZUNIONSTORE];
const _: () = assert!(is_sorted(FAMILY));

const OPERANDS: &[KeyFlag] = &[KeyFlag::Ro, KeyFlag::Access];

const RETURNED: Command<Run> = Command {
    since: "6.2.0",
    arity: Arity::AtLeast(3),
    keys: Keys::Several(&[KeySpec::counted(1, OPERANDS)]),
    ..SORTED_SET
};

const STORED: Command<Run> = Command {
    since: "2.0.0",
    arity: Arity::AtLeast(4),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update]),
        KeySpec::counted(2, OPERANDS),
    ]),
    flags: &[Flag::DenyOom, Flag::Logs(Logs::Scores)],
    ..SORTED_SET
};

const UNION_COMPLEXITY: &str =
    "O(N)+O(M*log(M)) where N is the number of all members and M that of the outcome's.";
const INTER_COMPLEXITY: &str = "O(N*K)+O(M*log(M)) where N is the number of members of the \
                                smallest of K keys and M that of the outcome's.";
const DIFF_COMPLEXITY: &str = "O(L+(N-K)*log(N)) where L is the number of all members, N that of \
                               the first key's and K that of the outcome's.";

const ZUNION: Command<Run> = Command {
    name: "zunion",
    summary: "Returns the members of any of several keys, with their scores put together.",
    complexity: UNION_COMPLEXITY,
    run: Run::Read(|cx, args| reply(cx, args, Operation::Union, "zunion")),
    ..RETURNED
};

const ZUNIONSTORE: Command<Run> = Command {
    name: "zunionstore",
    summary: "Stores the members of any of several keys, with their scores put together.",
    complexity: UNION_COMPLEXITY,
    run: Run::Write(|cx, args| store_outcome(cx, args, Operation::Union, "zunionstore")),
    ..STORED
};

const ZINTER: Command<Run> = Command {
    name: "zinter",
    summary: "Returns the members of all of several keys, with their scores put together.",
    complexity: INTER_COMPLEXITY,
    run: Run::Read(|cx, args| reply(cx, args, Operation::Inter, "zinter")),
    ..RETURNED
};

const ZINTERSTORE: Command<Run> = Command {
    name: "zinterstore",
    summary: "Stores the members of all of several keys, with their scores put together.",
    complexity: INTER_COMPLEXITY,
    run: Run::Write(|cx, args| store_outcome(cx, args, Operation::Inter, "zinterstore")),
    ..STORED
};

const ZINTERCARD: Command<Run> = Command {
    name: "zintercard",
    summary: "Counts the members of all of several keys.",
    since: "7.0.0",
    complexity: "O(N*K) where N is the number of members of the smallest of K keys.",
    run: Run::Read(count),
    ..RETURNED
};

const ZDIFF: Command<Run> = Command {
    name: "zdiff",
    summary: "Returns the members of the first key that are in none of the others.",
    complexity: DIFF_COMPLEXITY,
    run: Run::Read(|cx, args| reply(cx, args, Operation::Diff, "zdiff")),
    ..RETURNED
};

const ZDIFFSTORE: Command<Run> = Command {
    name: "zdiffstore",
    summary: "Stores the members of the first key that are in none of the others.",
    since: "6.2.0",
    complexity: DIFF_COMPLEXITY,
    run: Run::Write(|cx, args| store_outcome(cx, args, Operation::Diff, "zdiffstore")),
    ..STORED
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// How scores of one member become one.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn combine(self, one: f64, two: f64) -> f64 {
        match self {
            Self::Sum => not_nan(one + two),
            Self::Min => {
                if two < one {
                    two
                } else {
                    one
                }
            }
            Self::Max => {
                if one < two {
                    two
                } else {
                    one
                }
            }
        }
    }
}

/// Infinities that cancel out are nothing.
fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What one key holds.
struct Source<'a> {
    value: Value<'a>,
    weight: f64,
}

enum Value<'a> {
    Absent,
    Zset(Zset<'a>),
    /// A plain set, whose members score one each; gathered when one of them is looked for.
    Set(Entry<'a>, OnceCell<BTreeSet<Vec<u8>>>),
}

type Name<'a> = Cow<'a, [u8]>;

impl<'a> Value<'a> {
    fn of(entry: Option<Entry<'a>>) -> Result<Self, CommandError> {
        let Some(entry) = entry else { return Ok(Self::Absent) };
        match (Zset::of(entry), entry.kind()) {
            (Some(zset), _) => Ok(Self::Zset(zset)),
            (None, Type::Set) => Ok(Self::Set(entry, OnceCell::new())),
            (None, _) => Err(CommandError::WrongType),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Zset(zset) => zset.len(),
            Self::Set(entry, _) => values::len(*entry),
        }
    }

    fn members(&self) -> Vec<(Name<'a>, f64)> {
        match self {
            Self::Absent => Vec::new(),
            Self::Zset(zset) => {
                let name_of = |name| match name {
                    Item::Bytes(bytes) => Cow::Borrowed(bytes),
                    Item::Integer(_) => Cow::Owned(name.to_vec()),
                };
                zset.iter().map(|(name, score)| (name_of(name), score)).collect()
            }
            Self::Set(entry, _) => {
                let mut members = Vec::with_capacity(values::len(*entry));
                values::for_each_part(*entry, &mut |part| {
                    members.push((Cow::Owned(part[0].to_vec()), 1.0));
                });
                members
            }
        }
    }

    fn score(&self, name: &[u8]) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Zset(zset) => zset.score(name),
            Self::Set(_, gathered) => {
                let names = || self.members().into_iter().map(|(name, _)| name.into_owned());
                gathered.get_or_init(|| names().collect()).contains(name).then_some(1.0)
            }
        }
    }
}

/// What the words behind the keys say.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Zero: none.
    limit: usize,
}

/// What becomes of the outcome, and so which options there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Reply,
    Store,
    Count,
}

/// The keys, and what is behind them.
fn split_keys<'a>(
    args: Args<'a>,
    name: &'static str,
) -> Result<(Args<'a>, Args<'a>), CommandError> {
    let [count, rest @ ..] = args else { unreachable!("the arity asks for a count") };
    let count = integer_of(count)?;
    if count < 1 {
        return Err(CommandError::NoInputKey { name });
    }
    let count = usize::try_from(count).map_err(|_| CommandError::Syntax)?;
    rest.split_at_checked(count).ok_or(CommandError::Syntax)
}

impl Options {
    fn parse(
        words: Args<'_>,
        key_count: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Self, CommandError> {
        let mut options = Self {
            weights: vec![1.0; key_count],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let combines = operation != Operation::Diff && purpose != Purpose::Count;
        let mut words = words;
        while let [option, rest @ ..] = words {
            if combines && is_option(option, "weights") && key_count <= rest.len() {
                for (weight, word) in options.weights.iter_mut().zip(rest) {
                    *weight = parse_double(word).ok_or(CommandError::WeightNotAFloat)?;
                }
                words = &rest[key_count..];
            } else if combines
                && is_option(option, "aggregate")
                && let [how, rest @ ..] = rest
            {
                options.aggregate = match how.to_ascii_lowercase().as_slice() {
                    b"sum" => Aggregate::Sum,
                    b"min" => Aggregate::Min,
                    b"max" => Aggregate::Max,
                    _ => return Err(CommandError::Syntax),
                };
                words = rest;
            } else if purpose == Purpose::Reply && is_option(option, "withscores") {
                options.with_scores = true;
                words = rest;
            } else if purpose == Purpose::Count
                && is_option(option, "limit")
                && let [limit, rest @ ..] = rest
            {
                let limit = parse_integer(limit).and_then(|limit| usize::try_from(limit).ok());
                options.limit = limit.ok_or(CommandError::NegativeLimit)?;
                words = rest;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// The sources, for an operation whose outcome does not depend on their order from the smallest
/// on: sums are rounded, so that their order counts.
fn sources<'a>(values: Vec<Value<'a>>, options: &Options, operation: Operation) -> Vec<Source<'a>> {
    let weighted = values.into_iter().zip(&options.weights);
    let mut sources: Vec<_> =
        weighted.map(|(value, weight)| Source { value, weight: *weight }).collect();
    if operation != Operation::Diff {
        sources.sort_by_key(|source| source.value.len());
    }
    sources
}

/// The members of the outcome in their order.
fn outcome<'a>(
    sources: &[Source<'a>],
    operation: Operation,
    aggregate: Aggregate,
) -> Vec<(Name<'a>, f64)> {
    let mut members = match operation {
        Operation::Union => union(sources, aggregate),
        Operation::Inter => {
            let (first, others) = sources.split_first().expect("there is a key");
            let common = first.value.members().into_iter().filter_map(|(name, score)| {
                let score = intersect(first, others, aggregate, &name, score)?;
                Some((name, score))
            });
            common.collect()
        }
        Operation::Diff => {
            let (first, others) = sources.split_first().expect("there is a key");
            let mut members = first.value.members();
            members.retain(|(name, _)| others.iter().all(|it| it.value.score(name).is_none()));
            members
        }
    };
    members.sort_by(|(name, score), (other, other_score)| {
        let by_score = score.partial_cmp(other_score).expect("no score is NaN");
        by_score.then_with(|| name.cmp(other))
    });
    members
}

fn union<'a>(sources: &[Source<'a>], aggregate: Aggregate) -> Vec<(Name<'a>, f64)> {
    let mut scores: BTreeMap<Name<'a>, f64> = BTreeMap::new();
    for source in sources {
        for (name, score) in source.value.members() {
            let score = not_nan(source.weight * score);
            let combined = scores.get(&name).map_or(score, |old| aggregate.combine(*old, score));
            scores.insert(name, combined);
        }
    }
    scores.into_iter().collect()
}

/// The score of a member of the first source that is in all others; None if it is not.
fn intersect(
    first: &Source<'_>,
    others: &[Source<'_>],
    aggregate: Aggregate,
    name: &[u8],
    score: f64,
) -> Option<f64> {
    let mut combined = not_nan(first.weight * score);
    for other in others {
        let score = other.weight * other.value.score(name)?;
        combined = aggregate.combine(combined, score);
    }
    Some(combined)
}

fn reply(
    cx: &mut ReadCx<'_>,
    args: Args<'_>,
    operation: Operation,
    name: &'static str,
) -> Result<(), CommandError> {
    let (keys, words) = split_keys(args, name)?;
    let values = keys.iter().map(|key| Value::of(cx.look(Lookup::Read, key)));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let options = Options::parse(words, keys.len(), operation, Purpose::Reply)?;
    let sources = sources(values, &options, operation);
    let members = outcome(&sources, operation, options.aggregate);
    let members = members.iter().map(|(name, score)| (Item::Bytes(name), *score));
    reply_members(cx.reply, members, options.with_scores);
    Ok(())
}

fn count(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let (keys, words) = split_keys(args, "zintercard")?;
    let values = keys.iter().map(|key| Value::of(cx.look(Lookup::Read, key)));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let options = Options::parse(words, keys.len(), Operation::Inter, Purpose::Count)?;
    let sources = sources(values, &options, Operation::Inter);
    let (first, others) = sources.split_first().expect("there is a key");
    let members = first.value.members();
    let common = members
        .iter()
        .filter(|(name, score)| intersect(first, others, Aggregate::Sum, name, *score).is_some());
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    cx.reply.integer(common.take(limit).count() as i64);
    Ok(())
}

fn store_outcome(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    operation: Operation,
    name: &'static str,
) -> Result<(), CommandError> {
    let [target, args @ ..] = args else { unreachable!("the arity is at least four") };
    let (keys, words) = split_keys(args, name)?;
    for key in keys {
        Value::of(cx.look(Lookup::Read, key))?;
    }
    let options = Options::parse(words, keys.len(), operation, Purpose::Store)?;
    check_size(target)?;
    let values = keys.iter().map(|key| Value::of(cx.spaces.live(cx.db, key, cx.now_ms)));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let mut gathered = Gathered::default();
    for (name, score) in
        outcome(&sources(values, &options, operation), operation, options.aggregate)
    {
        gathered.push(&name, score);
    }
    // Nothing fails below this line.
    store(cx, target, &gathered, name);
    Ok(())
}
