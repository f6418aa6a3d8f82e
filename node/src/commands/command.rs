//! COMMAND: the commands themselves, as their declarations say.

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, Runs, is_sorted};

use super::{SessionCx, help};
use crate::error::RequestError;
use crate::registry::{Registry, Run};

pub(crate) const FAMILY: &[Command<Run>] = &[COMMAND];

const SUBCOMMANDS: &[Command<Run>] = &[COUNT, DOCS, HELP, INFO, LIST];
const _: () = assert!(is_sorted(SUBCOMMANDS));

const COMMAND: Command<Run> = Command {
    name: "command",
    summary: "Describes every command.",
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands.",
    group: Group::Server,
    arity: Arity::AtLeast(1),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::Loading, Flag::Stale],
    tips: &["nondeterministic_output_order"],
    run: Run::Container { alone: Some(all), subcommands: SUBCOMMANDS },
};

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands.",
    group: Group::Server,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

/// COMMAND without a subcommand.
fn all(cx: &mut SessionCx<'_>, _: Args<'_>) -> Result<(), RequestError> {
    let commands = cx.node.registry.commands();
    cx.reply.array(commands.len());
    for command in commands {
        command.write_info(&mut cx.reply);
    }
    Ok(())
}

const COUNT: Command<Run> = Command {
    name: "command|count",
    summary: "Returns the number of commands.",
    complexity: "O(1)",
    run: Run::Session(|cx, _| {
        cx.reply.integer(cx.node.registry.commands().len() as i64);
        Ok(())
    }),
    ..SUBCOMMAND
};

const DOCS: Command<Run> = Command {
    name: "command|docs",
    summary: "Returns what the manual says of the commands named, or of all.",
    since: "7.0.0",
    arity: Arity::AtLeast(2),
    tips: &["nondeterministic_output_order"],
    run: Run::Session(docs),
    ..SUBCOMMAND
};

fn docs(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let found = if args.is_empty() {
        cx.node.registry.commands().iter().collect::<Vec<_>>()
    } else {
        args.iter().filter_map(|name| named(cx.node.registry, name)).collect()
    };
    cx.reply.map(found.len());
    found.iter().for_each(|command| command.write_docs(&mut cx.reply));
    Ok(())
}

const HELP: Command<Run> = Command {
    name: "command|help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    complexity: "O(1)",
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "command", SUBCOMMANDS);
        Ok(())
    }),
    ..SUBCOMMAND
};

const INFO: Command<Run> = Command {
    name: "command|info",
    summary: "Describes the commands named, or all.",
    arity: Arity::AtLeast(2),
    tips: &["nondeterministic_output_order"],
    run: Run::Session(info),
    ..SUBCOMMAND
};

fn info(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    if args.is_empty() {
        return all(cx, args);
    }
    cx.reply.array(args.len());
    for name in args {
        match named(cx.node.registry, name) {
            Some(command) => command.write_info(&mut cx.reply),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

const LIST: Command<Run> = Command {
    name: "command|list",
    summary: "Returns the names of all commands.",
    since: "7.0.0",
    tips: &["nondeterministic_output_order"],
    run: Run::Session(|cx, _| {
        let names: Vec<_> = cx
            .node
            .registry
            .commands()
            .iter()
            .flat_map(|command| {
                let subcommands = command.run.subcommands().iter().map(|one| one.name);
                std::iter::once(command.name).chain(subcommands)
            })
            .collect();
        cx.reply.array(names.len());
        names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
        Ok(())
    }),
    ..SUBCOMMAND
};

/// A command, or a subcommand as `container|name`.
fn named<'r>(registry: &'r Registry, name: &[u8]) -> Option<&'r Command<Run>> {
    match name.iter().position(|byte| *byte == b'|') {
        None => registry.find(name),
        Some(bar) => registry.find(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}
