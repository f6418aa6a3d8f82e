//! SCRIPT, FUNCTION and MODULE on nothing: there are no scripts, functions or modules, and what
//! tools ask about them is answered so.

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted};

use super::{SessionCx, help};
use crate::error::RequestError;
use crate::registry::Run;

pub(crate) const FAMILY: &[Command<Run>] = &[FUNCTION, MODULE, SCRIPT];
const _: () = assert!(is_sorted(FAMILY));

const NOT_BUSY: RequestError = RequestError::Static("NOTBUSY No scripts in execution right now.");

const fn container(
    name: &'static str,
    summary: &'static str,
    subcommands: &'static [Command<Run>],
) -> Command<Run> {
    Command {
        name,
        summary,
        since: "7.0.0",
        complexity: "Depends on the subcommand.",
        group: Group::Server,
        arity: Arity::AtLeast(2),
        keys: Keys::None,
        acl: Acl::None,
        flags: &[],
        tips: &[],
        run: Run::Container { alone: None, subcommands },
    }
}

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    arity: Arity::Exactly(2),
    complexity: "O(1)",
    flags: &[Flag::NoScript],
    ..container("", "", &[])
};

const FUNCTION: Command<Run> =
    container("function", "A container for commands about functions. There are none.", FUNCTIONS);

const FUNCTIONS: &[Command<Run>] = &[
    Command {
        name: "function|delete",
        summary: "Refused: there is no library.",
        arity: Arity::Exactly(3),
        run: Run::Session(|_, _| Err(RequestError::Static("ERR Library not found"))),
        ..SUBCOMMAND
    },
    Command {
        name: "function|flush",
        summary: "Deletes all libraries, of which there are none.",
        arity: Arity::AtLeast(2),
        run: Run::Session(|cx, args| {
            flush(cx, args, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "function|help",
        summary: "Lists the subcommands.",
        run: Run::Session(|cx, _| {
            help(&mut cx.reply, "function", FUNCTIONS);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "function|kill",
        summary: "Refused: no function is running.",
        run: Run::Session(|_, _| Err(NOT_BUSY)),
        ..SUBCOMMAND
    },
    Command {
        name: "function|list",
        summary: "Returns all libraries, of which there are none.",
        arity: Arity::AtLeast(2),
        run: Run::Session(|cx, _| {
            cx.reply.array(0);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "function|stats",
        summary: "Returns what runs, which is nothing, and the engines, of which there are none.",
        run: Run::Session(|cx, _| {
            cx.reply.map(2);
            cx.reply.bulk(b"running_script");
            cx.reply.null();
            cx.reply.bulk(b"engines");
            cx.reply.map(0);
            Ok(())
        }),
        ..SUBCOMMAND
    },
];
const _: () = assert!(is_sorted(FUNCTIONS));

fn flush(
    cx: &mut SessionCx<'_>,
    args: Args<'_>,
    refusal: &'static str,
) -> Result<(), RequestError> {
    match args {
        [] => {}
        [word] if word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async") => {}
        _ => return Err(RequestError::Static(refusal)),
    }
    cx.reply.simple("OK");
    Ok(())
}

const MODULE: Command<Run> =
    container("module", "A container for commands about modules. There are none.", MODULES);

const MODULES: &[Command<Run>] = &[
    Command {
        name: "module|help",
        summary: "Lists the subcommands.",
        run: Run::Session(|cx, _| {
            help(&mut cx.reply, "module", MODULES);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "module|list",
        summary: "Returns all modules, of which there are none.",
        since: "4.0.0",
        flags: &[Flag::Admin, Flag::NoScript],
        run: Run::Session(|cx, _| {
            cx.reply.array(0);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "module|load",
        summary: "Refused: this server loads no modules.",
        since: "4.0.0",
        arity: Arity::AtLeast(3),
        flags: &[Flag::Admin, Flag::NoScript],
        run: Run::Session(|_, _| Err(RequestError::Static("ERR this server loads no modules"))),
        ..SUBCOMMAND
    },
    Command {
        name: "module|unload",
        summary: "Refused: no module is loaded.",
        since: "4.0.0",
        arity: Arity::Exactly(3),
        flags: &[Flag::Admin, Flag::NoScript],
        run: Run::Session(|_, _| {
            Err(RequestError::Static("ERR Error unloading module: no such module with that name"))
        }),
        ..SUBCOMMAND
    },
];
const _: () = assert!(is_sorted(MODULES));

const SCRIPT: Command<Run> =
    container("script", "A container for commands about scripts. There are none.", SCRIPTS);

const SCRIPTS: &[Command<Run>] = &[
    Command {
        name: "script|exists",
        summary: "Tells which of the scripts are there: none.",
        since: "2.6.0",
        arity: Arity::AtLeast(3),
        run: Run::Session(|cx, args| {
            cx.reply.array(args.len());
            args.iter().for_each(|_| cx.reply.integer(0));
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "script|flush",
        summary: "Deletes all scripts, of which there are none.",
        since: "2.6.0",
        arity: Arity::AtLeast(2),
        run: Run::Session(|cx, args| {
            flush(cx, args, "ERR SCRIPT FLUSH only support SYNC|ASYNC option")
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "script|help",
        summary: "Lists the subcommands.",
        since: "5.0.0",
        run: Run::Session(|cx, _| {
            help(&mut cx.reply, "script", SCRIPTS);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "script|kill",
        summary: "Refused: no script is running.",
        since: "2.6.0",
        run: Run::Session(|_, _| Err(NOT_BUSY)),
        ..SUBCOMMAND
    },
    Command {
        name: "script|load",
        summary: "Refused: this server runs no scripts yet.",
        since: "2.6.0",
        arity: Arity::Exactly(3),
        run: Run::Session(|_, _| -> Result<(), RequestError> {
            Err(RequestError::Static("ERR this server runs no scripts yet"))
        }),
        ..SUBCOMMAND
    },
];
const _: () = assert!(is_sorted(SCRIPTS));
