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
    subcommand("cluster|addslots"),
    subcommand("cluster|addslotsrange"),
    subcommand("cluster|bumpepoch"),
    subcommand("cluster|count-failure-reports"),
    subcommand("cluster|countkeysinslot"),
    subcommand("cluster|delslots"),
    subcommand("cluster|delslotsrange"),
    subcommand("cluster|failover"),
    subcommand("cluster|flushslots"),
    subcommand("cluster|forget"),
    subcommand("cluster|getkeysinslot"),
    subcommand("cluster|help"),
    subcommand("cluster|info"),
    KEYSLOT,
    subcommand("cluster|links"),
    subcommand("cluster|meet"),
    subcommand("cluster|myid"),
    subcommand("cluster|myshardid"),
    subcommand("cluster|nodes"),
    subcommand("cluster|replicas"),
    subcommand("cluster|replicate"),
    subcommand("cluster|reset"),
    subcommand("cluster|saveconfig"),
    subcommand("cluster|set-config-epoch"),
    subcommand("cluster|setslot"),
    subcommand("cluster|shards"),
    subcommand("cluster|slaves"),
    subcommand("cluster|slots"),
];
const _: () = assert!(is_sorted(SUBCOMMANDS));

const fn subcommand(name: &'static str) -> Command<Run> {
    Command {
        name,
        summary: "Refused: cluster mode is off.",
        since: "3.0.0",
        complexity: "O(1)",
        group: Group::Server,
        arity: Arity::AtLeast(2),
        keys: Keys::None,
        acl: Acl::None,
        flags: &[Flag::Stale],
        tips: &[],
        run: Run::Session(|_, _| Err(DISABLED)),
    }
}

const KEYSLOT: Command<Run> = Command {
    summary: "Returns the hash slot of a key.",
    arity: Arity::Exactly(3),
    run: Run::Session(|cx, args| {
        let [key] = args else { unreachable!("the arity is exact") };
        cx.reply.integer(i64::from(engine::slot_of(key).0));
        Ok(())
    }),
    ..subcommand("cluster|keyslot")
};
