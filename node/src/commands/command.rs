//! COMMAND: the commands themselves, as their declarations say.

use engine::{Acl, Args, Arity, Command, CommandError, Flag, Group, Keys, ReplySink, is_sorted};

use super::{SessionCx, help};
use crate::error::RequestError;
use crate::registry::{Registry, Run};

pub(crate) const FAMILY: &[Command<Run>] = &[COMMAND];

const SUBCOMMANDS: &[Command<Run>] = &[COUNT, DOCS, GETKEYS, GETKEYSANDFLAGS, HELP, INFO, LIST];
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

const GETKEYS: Command<Run> = Command {
    name: "command|getkeys",
    summary: "Returns the keys among the words of a request.",
    complexity: "O(N) where N is the number of words.",
    arity: Arity::AtLeast(3),
    run: Run::Session(|cx, words| {
        let keys = keys_of(cx.node.registry, words)?;
        cx.reply.array(keys.len());
        keys.iter().for_each(|key| cx.reply.bulk(key.name));
        Ok(())
    }),
    ..SUBCOMMAND
};

const GETKEYSANDFLAGS: Command<Run> = Command {
    name: "command|getkeysandflags",
    summary: "Returns the keys among the words of a request, and what is done to each.",
    since: "7.0.0",
    run: Run::Session(|cx, words| {
        let keys = keys_of(cx.node.registry, words)?;
        cx.reply.array(keys.len());
        for key in keys {
            cx.reply.array(2);
            cx.reply.bulk(key.name);
            cx.reply.set(key.flags.len());
            key.flags.iter().for_each(|flag| cx.reply.simple(flag.name()));
        }
        Ok(())
    }),
    ..GETKEYS
};

fn keys_of<'a>(
    registry: &'static Registry,
    words: Args<'a>,
) -> Result<Vec<engine::Key<'a>>, RequestError> {
    let (name, args) = words.split_first().expect("the arity asks for a name");
    if registry.find(name).is_none() {
        return Err(RequestError::Static("ERR Invalid command specified"));
    }
    let (command, args) = registry.resolve(name, args).map_err(|_| {
        RequestError::Static("ERR Invalid number of arguments specified for command")
    })?;
    let keys: Vec<_> = command.keys_and_flags(args).collect();
    if !keys.is_empty() {
        return Ok(keys);
    }
    Err(RequestError::Static(match command.keys {
        Keys::None => "ERR The command has no key arguments",
        _ => "ERR Invalid arguments specified for command",
    }))
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
    arity: Arity::AtLeast(2),
    run: Run::Session(list),
    ..SUBCOMMAND
};

fn list(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let registry = cx.node.registry;
    let names = match args {
        [] => super::names_of(registry, |_| true),
        [by, filter, value] if by.eq_ignore_ascii_case(b"filterby") => {
            if filter.eq_ignore_ascii_case(b"module") {
                Vec::new()
            } else if filter.eq_ignore_ascii_case(b"aclcat") {
                let is_in = |name: &str| {
                    name.as_bytes()[1..].eq_ignore_ascii_case(value) && name.starts_with('@')
                };
                super::names_of(registry, |command| {
                    command.acl_names().iter().any(|name| is_in(name))
                })
            } else if filter.eq_ignore_ascii_case(b"pattern") {
                super::names_of(registry, |command| {
                    engine::matches_glob(value, command.name.as_bytes(), true)
                })
            } else {
                return Err(CommandError::Syntax.into());
            }
        }
        _ => return Err(CommandError::Syntax.into()),
    };
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
    Ok(())
}

/// A command, or a subcommand as `container|name`.
fn named<'r>(registry: &'r Registry, name: &[u8]) -> Option<&'r Command<Run>> {
    match name.iter().position(|byte| *byte == b'|') {
        None => registry.find(name),
        Some(bar) => registry.find(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}
