//! MONITOR, which shows the commands of all clients.

use engine::{Acl, Arity, Command, Flag, Group, Keys, ReplySink};

use crate::error::RequestError;
use crate::pubsub::topics::Kind;
use crate::registry::Run;

pub(crate) const FAMILY: &[Command<Run>] = &[MONITOR];

const MONITOR: Command<Run> = Command {
    name: "monitor",
    summary: "Shows every command that clients send, until RESET or the end of the connection.",
    since: "1.0.0",
    complexity: "O(1) for each command shown.",
    group: Group::Server,
    arity: Arity::Exactly(1),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Channels(|cx, _| {
        if cx.in_transaction {
            return Err(RequestError::Static("ERR MONITOR isn't allowed for DENY BLOCKING client"));
        }
        // Whoever watches already gets no second answer.
        if !cx.session.client.subscriptions.contains(Kind::Monitor, b"") {
            cx.node.subscribe(cx.session, Kind::Monitor, b"");
            cx.reply.simple("OK");
        }
        Ok(())
    }),
};
