//! What a connection is owed and how it is treated: PAUSE, REPLY, NO-EVICT, NO-TOUCH, tracking.

use engine::{Args, Arity, Command, CommandError, Flag, ReplySink, parse_integer};

use super::SUBCOMMAND;
use crate::ask::Question;
use crate::commands::SessionCx;
use crate::error::RequestError;
use crate::pause::PauseScope;
use crate::registry::{NodeRun, Run};
use crate::session::ReplyMode;

const ADMIN: &[Flag] = &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Dangerous];

pub(super) const CACHING: Command<Run> = Command {
    name: "client|caching",
    summary: "Refused: tracking is never on.",
    since: "6.0.0",
    arity: Arity::Exactly(3),
    run: Run::Session(|_, args| match args {
        [word] if is_one_of(word, &["yes", "no"]) => Err(RequestError::Static(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
             or OPTOUT mode enabled",
        )),
        _ => Err(CommandError::Syntax.into()),
    }),
    ..SUBCOMMAND
};

pub(super) const CAPA: Command<Run> = Command {
    name: "client|capa",
    summary: "Tells what the client is able to do. Nothing here depends on it.",
    since: "8.0.0",
    arity: Arity::AtLeast(3),
    run: Run::Session(|cx, words| {
        cx.client.knows_redirections |=
            words.iter().any(|word| word.eq_ignore_ascii_case(b"redirect"));
        cx.reply.simple("OK");
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const GETREDIR: Command<Run> = Command {
    name: "client|getredir",
    summary: "Returns -1: tracking is never on.",
    since: "6.0.0",
    run: Run::Session(|cx, _| {
        cx.reply.integer(-1);
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const NO_EVICT: Command<Run> = Command {
    name: "client|no-evict",
    summary: "Sets whether this connection is spared when clients use too much memory.",
    since: "7.0.0",
    arity: Arity::Exactly(3),
    flags: ADMIN,
    run: Run::Session(|cx, args| {
        cx.client.is_never_evicted = is_on(args)?;
        cx.reply.simple("OK");
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const NO_TOUCH: Command<Run> = Command {
    name: "client|no-touch",
    summary: "Sets whether this connection's commands leave the last use of keys as it was.",
    since: "7.2.0",
    arity: Arity::Exactly(3),
    run: Run::Session(|cx, args| {
        cx.client.touches = !is_on(args)?;
        cx.reply.simple("OK");
        Ok(())
    }),
    ..SUBCOMMAND
};

fn is_on(args: Args<'_>) -> Result<bool, RequestError> {
    match args {
        [word] if word.eq_ignore_ascii_case(b"on") => Ok(true),
        [word] if word.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(CommandError::Syntax.into()),
    }
}

fn is_one_of(word: &[u8], names: &[&str]) -> bool {
    names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

pub(super) const PAUSE: Command<Run> = Command {
    name: "client|pause",
    summary: "Holds the commands of all clients, or only writes, for some milliseconds.",
    since: "3.0.0",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    run: Run::Node(NodeRun {
        ask: pause,
        reply: |cx, _, _| {
            cx.reply.simple("OK");
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

fn pause(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<Question, RequestError> {
    let (timeout, scope) = match args {
        [timeout] => (timeout, PauseScope::All),
        [timeout, mode] if mode.eq_ignore_ascii_case(b"all") => (timeout, PauseScope::All),
        [timeout, mode] if mode.eq_ignore_ascii_case(b"write") => (timeout, PauseScope::Writes),
        [_, _] => {
            return Err(RequestError::Static("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
        _ => return Err(CommandError::Syntax.into()),
    };
    let milliseconds = parse_integer(timeout)
        .ok_or(RequestError::Static("ERR timeout is not an integer or out of range"))?;
    let milliseconds =
        u64::try_from(milliseconds).map_err(|_| RequestError::Static("ERR timeout is negative"))?;
    let until_us = cx.now.monotonic_us.saturating_add(milliseconds.saturating_mul(1000));
    Ok(Question::Pause { until_us, scope })
}

pub(super) const REPLY: Command<Run> = Command {
    name: "client|reply",
    summary: "Sets whether this connection gets replies: on, off, or skip the next.",
    since: "3.2.0",
    arity: Arity::Exactly(3),
    run: Run::Session(|cx, args| {
        let [mode] = args else { unreachable!("the arity is exact") };
        if mode.eq_ignore_ascii_case(b"on") {
            cx.client.reply_mode = ReplyMode::On;
            cx.reply.simple("OK");
        } else if mode.eq_ignore_ascii_case(b"off") {
            cx.client.reply_mode = ReplyMode::Off;
        } else if mode.eq_ignore_ascii_case(b"skip") {
            if cx.client.reply_mode != ReplyMode::Off {
                cx.client.reply_mode = ReplyMode::SkipNext;
            }
        } else {
            return Err(CommandError::Syntax.into());
        }
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const TRACKING: Command<Run> = Command {
    name: "client|tracking",
    summary: "Turns tracking off. It cannot be turned on.",
    since: "6.0.0",
    arity: Arity::AtLeast(3),
    run: Run::Session(|cx, args| match args {
        [word] if word.eq_ignore_ascii_case(b"off") => {
            cx.reply.simple("OK");
            Ok(())
        }
        [word, ..] if word.eq_ignore_ascii_case(b"on") => Err(RequestError::Static(
            "ERR CLIENT TRACKING ON is not supported by this server: it sends no invalidations, \
             so a client must not cache what it reads",
        )),
        _ => Err(CommandError::Syntax.into()),
    }),
    ..SUBCOMMAND
};

pub(super) const TRACKINGINFO: Command<Run> = Command {
    name: "client|trackinginfo",
    summary: "Describes tracking, which is off.",
    since: "6.2.0",
    run: Run::Session(|cx, _| {
        let reply = &mut cx.reply;
        reply.map(3);
        reply.bulk(b"flags");
        reply.set(1);
        reply.bulk(b"off");
        reply.bulk(b"redirect");
        reply.integer(-1);
        reply.bulk(b"prefixes");
        reply.array(0);
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const UNBLOCK: Command<Run> = Command {
    name: "client|unblock",
    summary: "Ends the wait of a blocked client. No command blocks yet.",
    since: "5.0.0",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    run: Run::Session(|cx, args| {
        match args {
            [_] => {}
            [_, reason] if is_one_of(reason, &["timeout", "error"]) => {}
            [_, _] => {
                return Err(RequestError::Static(
                    "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
                ));
            }
            _ => return Err(CommandError::WrongArity { name: "client|unblock" }.into()),
        }
        parse_integer(args[0]).ok_or(CommandError::NotAnInteger)?;
        cx.reply.integer(0);
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const UNPAUSE: Command<Run> = Command {
    name: "client|unpause",
    summary: "Ends CLIENT PAUSE.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of held clients.",
    flags: ADMIN,
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Unpause),
        reply: |cx, _, _| {
            cx.reply.simple("OK");
            Ok(())
        },
    }),
    ..SUBCOMMAND
};
