//! CLUSTER, in the words Redis has for it where cluster mode is off.

use engine::{Acl, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted};

use crate::error::RequestError;
use crate::registry::Run;

pub(crate) const FAMILY: &[Command<Run>] = &[CLUSTER];

pub(super) const DISABLED: RequestError =
    RequestError::Static("ERR This instance has cluster support disabled");

const CLUSTER: Command<Run> = Command {
    name: "cluster",
    summary: "A container for commands about the cluster. Cluster mode is off.",
    since: "3.0.0",
    complexity: "Depends on the subcommand.",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
};

const SUBCOMMANDS: &[Command<Run>] = &[
    subcommand("cluster|addslots", Arity::AtLeast(3)),
    subcommand("cluster|addslotsrange", Arity::AtLeast(4)),
    subcommand("cluster|bumpepoch", Arity::Exactly(2)),
    subcommand("cluster|count-failure-reports", Arity::Exactly(3)),
    subcommand("cluster|countkeysinslot", Arity::Exactly(3)),
    subcommand("cluster|delslots", Arity::AtLeast(3)),
    subcommand("cluster|delslotsrange", Arity::AtLeast(4)),
    subcommand("cluster|failover", Arity::AtLeast(2)),
    subcommand("cluster|flushslots", Arity::Exactly(2)),
    subcommand("cluster|forget", Arity::Exactly(3)),
    subcommand("cluster|getkeysinslot", Arity::Exactly(4)),
    subcommand("cluster|help", Arity::Exactly(2)),
    subcommand("cluster|info", Arity::Exactly(2)),
    KEYSLOT,
    subcommand("cluster|links", Arity::Exactly(2)),
    subcommand("cluster|meet", Arity::AtLeast(4)),
    subcommand("cluster|myid", Arity::Exactly(2)),
    subcommand("cluster|myshardid", Arity::Exactly(2)),
    subcommand("cluster|nodes", Arity::Exactly(2)),
    subcommand("cluster|replicas", Arity::Exactly(3)),
    subcommand("cluster|replicate", Arity::Exactly(3)),
    subcommand("cluster|reset", Arity::AtLeast(2)),
    subcommand("cluster|saveconfig", Arity::Exactly(2)),
    subcommand("cluster|set-config-epoch", Arity::Exactly(3)),
    subcommand("cluster|setslot", Arity::AtLeast(4)),
    subcommand("cluster|shards", Arity::Exactly(2)),
    subcommand("cluster|slaves", Arity::Exactly(3)),
    subcommand("cluster|slots", Arity::Exactly(2)),
];
const _: () = assert!(is_sorted(SUBCOMMANDS));

const fn subcommand(name: &'static str, arity: Arity) -> Command<Run> {
    Command {
        name,
        summary: "Refused: cluster mode is off.",
        since: "3.0.0",
        complexity: "O(1)",
        group: Group::Server,
        arity,
        keys: Keys::None,
        acl: Acl::None,
        flags: &[Flag::Stale],
        tips: &[],
        run: Run::Session(|_, _| Err(DISABLED)),
    }
}

const KEYSLOT: Command<Run> = Command {
    summary: "Returns the hash slot of a key.",
    run: Run::Session(|cx, args| {
        let [key] = args else { unreachable!("the arity is exact") };
        cx.reply.integer(i64::from(engine::slot_of(key).0));
        Ok(())
    }),
    ..subcommand("cluster|keyslot", Arity::Exactly(3))
};
