//! CLIENT: what a connection is called, who made it, how durable its writes are, what it is owed;
//! who else is connected, and what becomes of them.

mod control;
mod roster;

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted};

use super::{SessionCx, help};
use crate::durability::Durability;
use crate::error::{RequestError, around};
use crate::registry::Run;

pub(crate) const FAMILY: &[Command<Run>] = &[CLIENT];

const SUBCOMMANDS: &[Command<Run>] = &[
    control::CACHING,
    control::CAPA,
    DURABILITY,
    GETNAME,
    control::GETREDIR,
    HELP,
    ID,
    roster::INFO,
    roster::KILL,
    roster::LIST,
    control::NO_EVICT,
    control::NO_TOUCH,
    control::PAUSE,
    control::REPLY,
    SETINFO,
    SETNAME,
    control::TRACKING,
    control::TRACKINGINFO,
    control::UNBLOCK,
    control::UNPAUSE,
];
const _: () = assert!(is_sorted(SUBCOMMANDS));

const CLIENT: Command<Run> = Command {
    name: "client",
    summary: "A container for commands about connections.",
    since: "2.4.0",
    complexity: "Depends on the subcommand.",
    group: Group::Connection,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
};

const FLAGS: &[Flag] = &[Flag::NoScript, Flag::Loading, Flag::Stale];

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "2.4.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: FLAGS,
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const DURABILITY: Command<Run> = Command {
    name: "client|durability",
    summary: "Returns or sets when this connection's writes are answered: local or memory.",
    since: "7.2.0",
    arity: Arity::AtLeast(2),
    run: Run::Session(durability),
    ..SUBCOMMAND
};

fn durability(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    match args {
        [] => cx.reply.bulk(cx.client.durability.to_string().as_bytes()),
        [level] => {
            let level = Durability::parse(level).ok_or(RequestError::Static(
                "ERR the durability of a connection is 'local' or 'memory'",
            ))?;
            let floor = cx.node.config.durability_floor;
            if level < floor {
                let text = format!(
                    "ERR this server allows no durability below '{floor}' (durability-floor)"
                );
                return Err(RequestError::Text(text.into_bytes()));
            }
            cx.client.durability = level;
            cx.reply.simple("OK");
        }
        _ => return Err(engine::CommandError::WrongArity { name: "client|durability" }.into()),
    }
    Ok(())
}

const GETNAME: Command<Run> = Command {
    name: "client|getname",
    summary: "Returns the name of this connection.",
    since: "2.6.9",
    run: Run::Session(|cx, _| {
        match cx.client.name.is_empty() {
            true => cx.reply.null(),
            false => cx.reply.bulk(&cx.client.name),
        }
        Ok(())
    }),
    ..SUBCOMMAND
};

const HELP: Command<Run> = Command {
    name: "client|help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    flags: &[Flag::Loading, Flag::Stale],
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "client", SUBCOMMANDS);
        Ok(())
    }),
    ..SUBCOMMAND
};

const ID: Command<Run> = Command {
    name: "client|id",
    summary: "Returns the number of this connection; no other has or had it.",
    since: "5.0.0",
    run: Run::Session(|cx, _| {
        cx.reply.integer(cx.client.number as i64);
        Ok(())
    }),
    ..SUBCOMMAND
};

const SETINFO: Command<Run> = Command {
    name: "client|setinfo",
    summary: "Tells the name or version of the library that made this connection.",
    since: "7.2.0",
    arity: Arity::Exactly(4),
    run: Run::Session(set_info),
    ..SUBCOMMAND
};

fn set_info(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let [option, value] = args else { unreachable!("the arity is exact") };
    let place = if option.eq_ignore_ascii_case(b"lib-name") {
        &mut cx.client.library_name
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        &mut cx.client.library_version
    } else {
        return Err(around("ERR Unrecognized option '", option, "'"));
    };
    if !is_printable(value) {
        let why = " cannot contain spaces, newlines or special characters.";
        return Err(around("ERR ", option, why));
    }
    *place = value.to_vec();
    cx.reply.simple("OK");
    Ok(())
}

const SETNAME: Command<Run> = Command {
    name: "client|setname",
    summary: "Names this connection.",
    since: "2.6.9",
    arity: Arity::Exactly(3),
    run: Run::Session(|cx, args| {
        let [name] = args else { unreachable!("the arity is exact") };
        check_name(name)?;
        cx.client.name = name.to_vec();
        cx.reply.simple("OK");
        Ok(())
    }),
    ..SUBCOMMAND
};

/// Says why a client may not be called `name`.
pub(super) fn check_name(name: &[u8]) -> Result<(), RequestError> {
    match is_printable(name) {
        true => Ok(()),
        false => Err(RequestError::Static(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        )),
    }
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}
