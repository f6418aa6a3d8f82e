//! Commands on keys whatever they hold.

use crate::command::{Acl, Arity, Command, Flag, Group, KeyFlag, Keys, is_sorted};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::notes::Class;

pub(super) const FAMILY: &[Command<Run>] = &[DEL, EXISTS];
const _: () = assert!(is_sorted(FAMILY));

const DEL: Command<Run> = Command {
    name: "del",
    summary: "Removes keys and counts those that were there.",
    since: "1.0.0",
    complexity: "O(N) in the keys, and in the elements of a value that is not a string.",
    group: Group::Generic,
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Rm, KeyFlag::Delete]),
    acl: Acl::Keyspace,
    flags: &[],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    run: Run::Write(del),
};

fn del(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let mut count = 0;
    for key in args {
        if cx.spaces.live(cx.db, key, cx.now_ms).is_some() {
            cx.apply(Effect::Delete { db: cx.db, key });
            cx.notify(Class::Generic, "del", key);
            count += 1;
        }
    }
    cx.reply.integer(count);
    Ok(())
}

const EXISTS: Command<Run> = Command {
    name: "exists",
    summary: "Counts how many of the keys are there; a key named twice counts twice.",
    since: "1.0.0",
    complexity: "O(N) in the keys.",
    group: Group::Generic,
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Ro]),
    acl: Acl::Keyspace,
    flags: &[Flag::Fast],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    run: Run::Read(exists),
};

fn exists(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let count = args.iter().filter(|key| cx.look(Lookup::Ask, key).is_some()).count();
    cx.reply.integer(count as i64);
    Ok(())
}
