//! Who is there, what it speaks, which database it works on.

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted, parse_integer};
use net::Protocol;

use super::SessionCx;
use super::client::check_name;
use crate::config::REDIS_VERSION;
use crate::error::{RequestError, around};
use crate::registry::{Control, Run};
use crate::reply::number_of;

pub(crate) const FAMILY: &[Command<Run>] = &[AUTH, ECHO, HELLO, PING, QUIT, RESET, SELECT];
const _: () = assert!(is_sorted(FAMILY));

const WRONG_PASS: RequestError =
    RequestError::Static("WRONGPASS invalid username-password pair or user is disabled.");

const AUTH: Command<Run> = Command {
    name: "auth",
    summary: "Authenticates the connection with a password, or a user and a password.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy],
    tips: &[],
    run: Run::Session(auth),
};

fn auth(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    match args {
        [_] if cx.node.config.password.is_none() => {
            return Err(RequestError::Static(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        [password] => log_in(cx, b"default", password)?,
        [user, password] => log_in(cx, user, password)?,
        _ => return Err(engine::CommandError::Syntax.into()),
    }
    cx.reply.simple("OK");
    Ok(())
}

/// Authenticates the client, or leaves it as it was.
fn log_in(cx: &mut SessionCx<'_>, user: &[u8], password: &[u8]) -> Result<(), RequestError> {
    let matches = match &cx.node.config.password {
        // Without a password the default user takes any.
        None => true,
        Some(expected) => is_equal(expected, password),
    };
    if user != b"default" || !matches {
        return Err(WRONG_PASS);
    }
    cx.client.authenticated = true;
    Ok(())
}

/// Compares in a time that depends on the lengths only.
fn is_equal(expected: &[u8], given: &[u8]) -> bool {
    let mut difference = usize::from(expected.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        let other = expected.get(at).copied().unwrap_or_default();
        difference |= usize::from(byte ^ other);
    }
    difference == 0
}

const ECHO: Command<Run> = Command {
    name: "echo",
    summary: "Returns its argument.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    tips: &[],
    run: Run::Session(echo),
};

fn echo(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let [message] = args else { unreachable!("the arity is exact") };
    cx.reply.bulk(message);
    Ok(())
}

const HELLO: Command<Run> = Command {
    name: "hello",
    summary: "Chooses the protocol, authenticates and names the connection in one step.",
    since: "6.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::AtLeast(1),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy],
    tips: &[],
    run: Run::Session(hello),
};

fn hello(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let (protocol, options) = match args.split_first() {
        None => (cx.client.protocol, args),
        Some((version, options)) => {
            let version = parse_integer(version).ok_or(RequestError::Static(
                "ERR Protocol version is not an integer or out of range",
            ))?;
            let protocol = match version {
                2 => Protocol::Resp2,
                3 => Protocol::Resp3,
                _ => return Err(RequestError::Static("NOPROTO unsupported protocol version")),
            };
            (protocol, options)
        }
    };
    let (mut login, mut name) = (None, None);
    let mut rest = options;
    while let Some((option, after)) = rest.split_first() {
        rest = match after {
            [user, password, after @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                login = Some((*user, *password));
                after
            }
            [wanted, after @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                check_name(wanted)?;
                name = Some(*wanted);
                after
            }
            _ => {
                return Err(around("ERR Syntax error in HELLO option '", option, "'"));
            }
        };
    }
    if let Some((user, password)) = login {
        log_in(cx, user, password)?;
    }
    if !cx.client.authenticated {
        return Err(RequestError::Static(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        cx.client.name = name.to_vec();
    }
    cx.client.protocol = protocol;
    let number = cx.client.number;
    let reply = &mut cx.reply;
    reply.set_protocol(protocol);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(number_of(protocol));
    reply.bulk(b"id");
    reply.integer(number as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

const PING: Command<Run> = Command {
    name: "ping",
    summary: "Answers PONG, or its argument.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::AtLeast(1),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::Fast],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    run: Run::Session(ping),
};

fn ping(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    // In RESP2 a reply must not be taken for a message: it looks like one.
    let is_listening = cx.client.protocol == Protocol::Resp2 && cx.client.subscriptions.are_any();
    match args {
        [] | [_] if is_listening => {
            cx.reply.array(2);
            cx.reply.bulk(b"pong");
            cx.reply.bulk(args.first().copied().unwrap_or_default());
        }
        [] => cx.reply.simple("PONG"),
        [message] => cx.reply.bulk(message),
        _ => return Err(engine::CommandError::WrongArity { name: "ping" }.into()),
    }
    Ok(())
}

const QUIT: Command<Run> = Command {
    name: "quit",
    summary: "Ends the connection once every reply before it has left.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::AtLeast(1),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::NoAuth, Flag::AllowBusy],
    tips: &[],
    run: Run::Session(quit),
};

fn quit(cx: &mut SessionCx<'_>, _: Args<'_>) -> Result<(), RequestError> {
    cx.client.closing = true;
    cx.reply.simple("OK");
    Ok(())
}

const RESET: Command<Run> = Command {
    name: "reset",
    summary: "Makes the connection as it was when it connected.",
    since: "6.2.0",
    arity: Arity::Exactly(1),
    run: Run::Control(Control::Reset),
    ..QUIT
};

const SELECT: Command<Run> = Command {
    name: "select",
    summary: "Chooses the database the connection works on.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::Connection,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    tips: &[],
    run: Run::Session(select),
};

fn select(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let [index] = args else { unreachable!("the arity is exact") };
    let index = parse_integer(index).ok_or(engine::CommandError::NotAnInteger)?;
    let databases = i64::from(base::limits::DATABASES);
    if !(0..databases).contains(&index) {
        return Err(RequestError::Static("ERR DB index is out of range"));
    }
    cx.client.database = index as u16;
    cx.reply.simple("OK");
    Ok(())
}

/// What a browser says when a page makes it talk to us, and no client of ours ever does: the
/// connection is closed before the requests that are hidden in the body can run.
pub(crate) const NOT_OURS: &[Command<Run>] = &[HTTP_HOST, HTTP_POST];

const HTTP_POST: Command<Run> = Command {
    name: "post",
    summary: "Closes the connection: it speaks HTTP.",
    since: "2.8.24",
    arity: Arity::AtLeast(1),
    run: Run::Session(|cx, _| {
        cx.client.closing = true;
        Ok(())
    }),
    ..QUIT
};

const HTTP_HOST: Command<Run> = Command { name: "host:", ..HTTP_POST };
