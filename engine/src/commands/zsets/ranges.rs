//! Members of a sorted set that are next to each other: returned, counted, or stored.

use std::ops::Range;

use super::bounds::{Bounds, By};
use super::{ASKED, Gathered, SORTED_SET, read, reply_members, store, zset_of};
use crate::command::{Arity, Command, Flag, KeyFlag, KeySpec, Keys, Logs, is_sorted};
use crate::commands::{check_size, integer_of, is_option};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::error::CommandError;
use crate::listpack::Scratch;
use crate::values::Zset;

pub(in crate::commands) const FAMILY: &[Command<Run>] = &[
    ZCOUNT,
    ZLEXCOUNT,
    ZRANGE,
    ZRANGEBYLEX,
    ZRANGEBYSCORE,
    ZRANGESTORE,
    ZREVRANGE,
    ZREVRANGEBYLEX,
    ZREVRANGEBYSCORE,
];
const _: () = assert!(is_sorted(FAMILY));

const ZCOUNT: Command<Run> = Command {
    name: "zcount",
    summary: "Counts the members whose scores are in a range.",
    since: "2.0.0",
    complexity: "O(log(N)) where N is the number of members.",
    arity: Arity::Exactly(4),
    keys: ASKED,
    flags: &[Flag::Fast],
    run: Run::Read(|cx, args| count(cx, args, By::Score)),
    ..SORTED_SET
};

const ZLEXCOUNT: Command<Run> = Command {
    name: "zlexcount",
    summary: "Counts the members whose names are in a range; all scores are to be equal.",
    since: "2.8.9",
    run: Run::Read(|cx, args| count(cx, args, By::Name)),
    ..ZCOUNT
};

fn count(cx: &mut ReadCx<'_>, args: Args<'_>, by: By) -> Result<(), CommandError> {
    let [key, low, high] = args else { unreachable!("the arity is exact") };
    let bounds = Bounds::parse(by, low, high)?;
    let count = read(cx, key)?.map_or(0, |zset| bounds.ranks(zset, false).len());
    cx.reply.integer(count as i64);
    Ok(())
}

const ZRANGE: Command<Run> = Command {
    name: "zrange",
    summary: "Returns the members of a range of ranks, scores or names.",
    complexity: "O(log(N)+M) where N is the number of members and M that of those returned.",
    arity: Arity::AtLeast(4),
    keys: ASKED,
    run: Run::Read(|cx, args| range(cx, args, Query::default())),
    ..SORTED_SET
};

const ZRANGEBYSCORE: Command<Run> = Command {
    name: "zrangebyscore",
    summary: "Returns the members whose scores are in a range.",
    since: "1.0.5",
    run: Run::Read(|cx, args| range(cx, args, Query::of(By::Score, Direction::Rising))),
    ..ZRANGE
};

const ZRANGEBYLEX: Command<Run> = Command {
    name: "zrangebylex",
    summary: "Returns the members whose names are in a range; all scores are to be equal.",
    since: "2.8.9",
    run: Run::Read(|cx, args| range(cx, args, Query::of(By::Name, Direction::Rising))),
    ..ZRANGE
};

const ZREVRANGE: Command<Run> = Command {
    name: "zrevrange",
    summary: "Returns the members of a range of ranks, from the highest score down.",
    run: Run::Read(|cx, args| range(cx, args, Query::of(By::Rank, Direction::Falling))),
    ..ZRANGE
};

const ZREVRANGEBYSCORE: Command<Run> = Command {
    name: "zrevrangebyscore",
    summary: "Returns the members whose scores are in a range, from the highest score down.",
    since: "2.2.0",
    run: Run::Read(|cx, args| range(cx, args, Query::of(By::Score, Direction::Falling))),
    ..ZRANGE
};

const ZREVRANGEBYLEX: Command<Run> = Command {
    name: "zrevrangebylex",
    summary: "Returns the members whose names are in a range, from the last name back.",
    since: "2.8.9",
    run: Run::Read(|cx, args| range(cx, args, Query::of(By::Name, Direction::Falling))),
    ..ZRANGE
};

fn range(cx: &mut ReadCx<'_>, args: Args<'_>, query: Query) -> Result<(), CommandError> {
    let [key, bounds_and_options @ ..] = args else { unreachable!("the arity is at least four") };
    let (query, bounds) = query.parse(bounds_and_options, Target::Reply)?;
    let Some(zset) = read(cx, key)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(bounds, zset);
    let members = zset.range(ranks.start, ranks.end);
    if query.is_reverse() {
        reply_members(cx.reply, members.rev(), query.with_scores);
    } else {
        reply_members(cx.reply, members, query.with_scores);
    }
    Ok(())
}

const ZRANGESTORE: Command<Run> = Command {
    name: "zrangestore",
    summary: "Stores the members of a range of ranks, scores or names in another key.",
    since: "6.2.0",
    complexity: "O(log(N)+M) where N is the number of members and M that of those stored.",
    arity: Arity::AtLeast(5),
    keys: Keys::Several(&[
        KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update]),
        KeySpec::at(2, &[KeyFlag::Ro, KeyFlag::Access]),
    ]),
    flags: &[Flag::DenyOom, Flag::Logs(Logs::Scores)],
    run: Run::Write(range_store),
    ..SORTED_SET
};

fn range_store(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [target, source, bounds_and_options @ ..] = args else {
        unreachable!("the arity is at least five")
    };
    check_size(target)?;
    let (query, bounds) = Query::default().parse(bounds_and_options, Target::Key)?;
    let mut members = Gathered::default();
    if let Some(zset) = zset_of(cx.look(Lookup::Read, source))? {
        let ranks = query.ranks(bounds, zset);
        for (name, score) in zset.range(ranks.start, ranks.end) {
            members.push(name.bytes(&mut Scratch::default()), score);
        }
    }
    // Nothing fails below this line.
    store(cx, target, &members, "zrangestore");
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Rising,
    Falling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Reply,
    Key,
}

/// What is asked for besides the bounds. What the command's name does not tell, its options may.
#[derive(Clone, Copy, Debug)]
struct Query {
    by: Option<By>,
    direction: Option<Direction>,
    with_scores: bool,
    offset: i64,
    /// Below zero: all.
    limit: i64,
}

impl Default for Query {
    fn default() -> Self {
        Self { by: None, direction: None, with_scores: false, offset: 0, limit: -1 }
    }
}

impl Query {
    fn of(by: By, direction: Direction) -> Self {
        Self { by: Some(by), direction: Some(direction), ..Self::default() }
    }

    fn is_reverse(self) -> bool {
        self.direction == Some(Direction::Falling)
    }

    /// Reads two bounds and options behind them.
    fn parse<'a>(
        mut self,
        words: Args<'a>,
        target: Target,
    ) -> Result<(Self, Bounds<'a>), CommandError> {
        let [first, second, options @ ..] = words else { unreachable!("there are two bounds") };
        let mut options = options;
        while let [option, rest @ ..] = options {
            options = rest;
            if target == Target::Reply && is_option(option, "withscores") {
                self.with_scores = true;
            } else if is_option(option, "limit")
                && let [offset, limit, rest @ ..] = rest
            {
                (self.offset, self.limit) = (integer_of(offset)?, integer_of(limit)?);
                options = rest;
            } else if self.direction.is_none() && is_option(option, "rev") {
                self.direction = Some(Direction::Falling);
            } else if self.by.is_none() && is_option(option, "bylex") {
                self.by = Some(By::Name);
            } else if self.by.is_none() && is_option(option, "byscore") {
                self.by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let by = self.by.unwrap_or(By::Rank);
        if self.limit != -1 && by == By::Rank {
            return Err(CommandError::LimitOfRanks);
        }
        if self.with_scores && by == By::Name {
            return Err(CommandError::ScoresOfLexRange);
        }
        // A falling range of scores or names is told from its upper bound.
        let is_swapped = self.is_reverse() && by != By::Rank;
        let (low, high) = if is_swapped { (second, first) } else { (first, second) };
        Ok((self, Bounds::parse(by, low, high)?))
    }

    /// The ranks that are asked for, counted from the lowest.
    fn ranks(self, bounds: Bounds<'_>, zset: Zset<'_>) -> Range<usize> {
        let Range { start, end } = bounds.ranks(zset, self.is_reverse());
        if matches!(bounds, Bounds::Ranks(..)) {
            return start..end;
        }
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX).min(end - start);
        let count = end - start - offset;
        let count = usize::try_from(self.limit).map_or(count, |limit| limit.min(count));
        if self.is_reverse() {
            end - offset - count..end - offset
        } else {
            start + offset..start + offset + count
        }
    }
}
