//! Members of a sorted set that are next to each other: removed.

use super::bounds::{Bounds, By};
use super::{SORTED_SET, notify_removal, zset_of};
use crate::command::{Arity, Command, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::values::Zset;

pub(in crate::commands) const FAMILY: &[Command<Run>] =
    &[ZREMRANGEBYLEX, ZREMRANGEBYRANK, ZREMRANGEBYSCORE];
const _: () = assert!(is_sorted(FAMILY));

const ZREMRANGEBYRANK: Command<Run> = Command {
    name: "zremrangebyrank",
    summary: "Removes the members of a range of ranks.",
    since: "2.0.0",
    complexity: "O(log(N)+M) where N is the number of members and M that of those removed.",
    arity: Arity::Exactly(4),
    keys: Keys::First(&[KeyFlag::Rw, KeyFlag::Delete]),
    run: Run::Write(|cx, args| remove_range(cx, args, By::Rank, "zremrangebyrank")),
    ..SORTED_SET
};

const ZREMRANGEBYSCORE: Command<Run> = Command {
    name: "zremrangebyscore",
    summary: "Removes the members whose scores are in a range.",
    since: "1.2.0",
    run: Run::Write(|cx, args| remove_range(cx, args, By::Score, "zremrangebyscore")),
    ..ZREMRANGEBYRANK
};

const ZREMRANGEBYLEX: Command<Run> = Command {
    name: "zremrangebylex",
    summary: "Removes the members whose names are in a range; all scores are to be equal.",
    since: "2.8.9",
    run: Run::Write(|cx, args| remove_range(cx, args, By::Name, "zremrangebylex")),
    ..ZREMRANGEBYRANK
};

fn remove_range(
    cx: &mut WriteCx<'_>,
    args: Args<'_>,
    by: By,
    event: &'static str,
) -> Result<(), CommandError> {
    let [key, low, high] = args else { unreachable!("the arity is exact") };
    let bounds = Bounds::parse(by, low, high)?;
    let zset = zset_of(cx.look(Lookup::Change, key))?;
    let ranks = zset.map_or(0..0, |zset| bounds.ranks(zset, false));
    let len = zset.map_or(0, Zset::len);
    // Nothing fails below this line.
    if !ranks.is_empty() {
        apply(cx, key, ranks.start, ranks.len());
        notify_removal(cx, event, key, ranks.len() == len);
    }
    cx.reply.integer(ranks.len() as i64);
    Ok(())
}

/// Removes `count` members from `rank` on.
pub(super) fn apply(cx: &mut WriteCx<'_>, key: &[u8], rank: usize, count: usize) {
    let number = |count| u32::try_from(count).expect("a sorted set has fewer members");
    let (rank, count) = (number(rank), number(count));
    cx.apply(Effect::ZsetRemoveRange { db: cx.db, key, rank, count });
}
