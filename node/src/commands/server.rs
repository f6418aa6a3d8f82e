//! The server as a whole: its configuration, its size, its state.

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted};

use super::{SessionCx, help, info};
use crate::ask::{AnswerBody, Question};
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};

pub(crate) const FAMILY: &[Command<Run>] = &[CONFIG, INFO];
const _: () = assert!(is_sorted(FAMILY));

const CONFIG: Command<Run> = Command {
    name: "config",
    summary: "A container for commands about the configuration.",
    since: "2.0.0",
    complexity: "Depends on the subcommand.",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: CONFIG_SUBCOMMANDS },
};

const CONFIG_SUBCOMMANDS: &[Command<Run>] = &[CONFIG_GET, CONFIG_HELP];
const _: () = assert!(is_sorted(CONFIG_SUBCOMMANDS));

/// What all subcommands of CONFIG have in common.
const CONFIG_SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "2.0.0",
    complexity: "",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const CONFIG_GET: Command<Run> = Command {
    name: "config|get",
    summary: "Returns the directives whose names match the patterns, with their values.",
    complexity: "O(N) where N is the number of directives.",
    arity: Arity::AtLeast(3),
    flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Dangerous],
    run: Run::Session(config_get),
    ..CONFIG_SUBCOMMAND
};

fn config_get(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let matches = |name: &str| args.iter().any(|arg| engine::matches_glob(arg, name.as_bytes(), true));
    let settings = &cx.node.config.settings;
    let found: Vec<_> = settings.iter().filter(|(name, _)| matches(name)).collect();
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

const CONFIG_HELP: Command<Run> = Command {
    name: "config|help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale],
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "config", CONFIG_SUBCOMMANDS);
        Ok(())
    }),
    ..CONFIG_SUBCOMMAND
};

const INFO: Command<Run> = Command {
    name: "info",
    summary: "Returns facts and counters, by section.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::AtLeast(1),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Loading, Flag::Stale, Flag::Dangerous],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Facts),
        reply: |cx, args, answers| {
            let facts = answers.into_iter().map(|answer| match answer.body {
                AnswerBody::Facts(facts) => *facts,
            });
            let facts: Vec<_> = facts.collect();
            let text = info::text(cx.node, &facts, args, cx.now);
            cx.reply.verbatim("txt", text.as_bytes());
            Ok(())
        },
    }),
};
