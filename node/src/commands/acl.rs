//! ACL for the one user there is, `default`, who may do everything.

use engine::{Acl, Args, Arity, Command, CommandError, Flag, Group, Keys, ReplySink, is_sorted};

use super::{SessionCx, help, too_many_words};
use crate::error::{RequestError, around};
use crate::registry::Run;

pub(crate) const FAMILY: &[Command<Run>] = &[ACL];

const ACL: Command<Run> = Command {
    name: "acl",
    summary: "A container for commands about users. There is one, called default.",
    since: "6.0.0",
    complexity: "Depends on the subcommand.",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
};

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "6.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const OPEN: &[Flag] = &[Flag::NoScript, Flag::Loading, Flag::Stale];

const NO_FILE: RequestError = RequestError::Static(
    "ERR This instance is not configured to use an ACL file. You may want to specify users via \
     the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis \
     configuration file set) in order to store users in the Redis configuration.",
);

const ONE_USER: RequestError = RequestError::Static(
    "ERR this server has one user, default, who may do everything; set its password with CONFIG \
     SET requirepass",
);

const SUBCOMMANDS: &[Command<Run>] = &[
    Command {
        name: "acl|cat",
        summary: "Returns the categories, or the commands of one.",
        arity: Arity::AtLeast(2),
        flags: OPEN,
        run: Run::Session(cat),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|deluser",
        summary: "Deletes users, of which only default is there and cannot be deleted.",
        arity: Arity::AtLeast(3),
        run: Run::Session(|cx, args| {
            if args.contains(&&b"default"[..]) {
                return Err(RequestError::Static("ERR The 'default' user cannot be removed"));
            }
            cx.reply.integer(0);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|dryrun",
        summary: "Tells whether a user may run a command: default may.",
        since: "7.0.0",
        arity: Arity::AtLeast(4),
        run: Run::Session(dry_run),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|getuser",
        summary: "Describes a user.",
        arity: Arity::Exactly(3),
        run: Run::Session(get_user),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|help",
        summary: "Lists the subcommands.",
        flags: &[Flag::Loading, Flag::Stale],
        run: Run::Session(|cx, _| {
            help(&mut cx.reply, "acl", SUBCOMMANDS);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|list",
        summary: "Returns the rules of every user.",
        run: Run::Session(|cx, _| {
            let password = if has_password(cx) { "#(hidden)" } else { "nopass" };
            let rules = format!("user default on {password} sanitize-payload ~* &* +@all");
            cx.reply.array(1);
            cx.reply.bulk(rules.as_bytes());
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|load",
        summary: "Refused: there is no file of users.",
        run: Run::Session(|_, _| Err(NO_FILE)),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|log",
        summary: "Returns what users were denied: nothing is kept.",
        arity: Arity::AtLeast(2),
        run: Run::Session(|cx, args| {
            match args {
                [] => cx.reply.array(0),
                [word] if word.eq_ignore_ascii_case(b"reset") => cx.reply.simple("OK"),
                [count] => {
                    engine::parse_integer(count).ok_or(CommandError::NotAnInteger)?;
                    cx.reply.array(0);
                }
                _ => return Err(too_many_words("acl", "log")),
            }
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|save",
        summary: "Refused: there is no file of users.",
        run: Run::Session(|_, _| Err(NO_FILE)),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|setuser",
        summary: "Refused: there is one user, and what it may do does not change.",
        arity: Arity::AtLeast(3),
        run: Run::Session(|_, _| Err(ONE_USER)),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|users",
        summary: "Returns the names of the users.",
        run: Run::Session(|cx, _| {
            cx.reply.array(1);
            cx.reply.bulk(b"default");
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "acl|whoami",
        summary: "Returns the name of this connection's user.",
        flags: OPEN,
        run: Run::Session(|cx, _| {
            cx.reply.bulk(b"default");
            Ok(())
        }),
        ..SUBCOMMAND
    },
];
const _: () = assert!(is_sorted(SUBCOMMANDS));

/// Redis's categories, in its order.
const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Whether the category `name` is one.
pub(super) fn is_category(name: &[u8]) -> bool {
    CATEGORIES.iter().any(|category| name.eq_ignore_ascii_case(category.as_bytes()))
}

fn cat(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    match args {
        [] => {
            cx.reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|category| cx.reply.bulk(category.as_bytes()));
        }
        [category] if is_category(category) => {
            let names = super::names_of(cx.node.registry, |command| {
                command.acl_names().iter().any(|name| {
                    name.strip_prefix('@')
                        .is_some_and(|name| category.eq_ignore_ascii_case(name.as_bytes()))
                })
            });
            cx.reply.array(names.len());
            names.iter().for_each(|name| cx.reply.bulk(name.as_bytes()));
        }
        [category] => return Err(around("ERR Unknown category '", category, "'")),
        _ => return Err(too_many_words("acl", "cat")),
    }
    Ok(())
}

fn has_password(cx: &SessionCx<'_>) -> bool {
    cx.node.config.password.is_some()
}

fn dry_run(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let [user, name, args @ ..] = args else { unreachable!("the arity asks for more") };
    if **user != *b"default" {
        return Err(around("ERR User '", user, "' not found"));
    }
    if cx.node.registry.find(name).is_none() {
        return Err(around("ERR Command '", name, "' not found"));
    }
    cx.node.registry.resolve(name, args)?;
    cx.reply.simple("OK");
    Ok(())
}

fn get_user(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    if *args != [b"default"] {
        cx.reply.null();
        return Ok(());
    }
    let has_password = has_password(cx);
    let reply = &mut cx.reply;
    reply.map(6);
    reply.bulk(b"flags");
    let flags: &[&[u8]] = match has_password {
        true => &[b"on", b"sanitize-payload"],
        false => &[b"on", b"nopass", b"sanitize-payload"],
    };
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag));
    reply.bulk(b"passwords");
    reply.array(usize::from(has_password));
    if has_password {
        reply.bulk(b"(hidden)");
    }
    for (field, rules) in [("commands", "+@all"), ("keys", "~*"), ("channels", "&*")] {
        reply.bulk(field.as_bytes());
        reply.bulk(rules.as_bytes());
    }
    reply.bulk(b"selectors");
    reply.array(0);
    Ok(())
}
