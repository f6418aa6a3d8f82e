//! The words of transactions; `multi` does what they say.

use engine::{Acl, Arity, Command, Flag, Group, KeyFlag, Keys, is_sorted};

use crate::registry::{Control, Run};

pub(crate) const FAMILY: &[Command<Run>] = &[DISCARD, EXEC, MULTI, UNWATCH, WATCH];
const _: () = assert!(is_sorted(FAMILY));

const DISCARD: Command<Run> = Command {
    name: "discard",
    summary: "Forgets what was queued since MULTI, and what is watched.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of queued commands.",
    group: Group::Transactions,
    arity: Arity::Exactly(1),
    keys: Keys::None,
    acl: Acl::Transaction,
    flags: &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::AllowBusy],
    tips: &[],
    run: Run::Control(Control::Discard),
};

const EXEC: Command<Run> = Command {
    name: "exec",
    summary: "Executes what was queued since MULTI as one, unless a watched key has changed.",
    since: "1.2.0",
    complexity: "That of the queued commands.",
    flags: &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::AllowBusy],
    run: Run::Control(Control::Exec),
    ..DISCARD
};

const MULTI: Command<Run> = Command {
    name: "multi",
    summary: "Begins a transaction: commands are queued until EXEC.",
    since: "1.2.0",
    complexity: "O(1)",
    run: Run::Control(Control::Multi),
    ..DISCARD
};

const UNWATCH: Command<Run> = Command {
    name: "unwatch",
    summary: "Forgets what is watched.",
    since: "2.2.0",
    complexity: "O(N) where N is the number of watched keys.",
    run: Run::Control(Control::Unwatch),
    ..DISCARD
};

const WATCH: Command<Run> = Command {
    name: "watch",
    summary: "Makes the next EXEC fail if one of the keys changes before it.",
    since: "2.2.0",
    complexity: "O(N) where N is the number of keys.",
    arity: Arity::AtLeast(2),
    keys: Keys::All(&[KeyFlag::Ro]),
    run: Run::Control(Control::Watch),
    ..DISCARD
};
