//! CLIENT LIST, INFO and KILL: who is connected to any of the cores.

use engine::{Args, Arity, Command, CommandError, Flag, ReplySink, parse_integer};

use super::SUBCOMMAND;
use crate::ask::{Answer, AnswerBody, Question};
use crate::commands::SessionCx;
use crate::error::{RequestError, around};
use crate::registry::{NodeRun, Run};
use crate::roster::{ClientFacts, Kind, Selection};

const ADMIN: &[Flag] = &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Dangerous];

pub(super) const INFO: Command<Run> = Command {
    name: "client|info",
    summary: "Describes this connection as CLIENT LIST does.",
    since: "6.2.0",
    tips: &["nondeterministic_output"],
    run: Run::Session(|cx, _| {
        let own = own_facts(cx);
        cx.reply.verbatim("txt", format!("{}\n", own.line()).as_bytes());
        Ok(())
    }),
    ..SUBCOMMAND
};

pub(super) const LIST: Command<Run> = Command {
    name: "client|list",
    summary: "Describes the connections of all cores, a line each.",
    complexity: "O(N) where N is the number of connections.",
    arity: Arity::AtLeast(2),
    flags: ADMIN,
    tips: &["nondeterministic_output"],
    run: Run::Node(NodeRun { ask: |_, args| Ok(Question::Clients(listed(args)?)), reply: list }),
    ..SUBCOMMAND
};

fn listed(args: Args<'_>) -> Result<Selection, RequestError> {
    let mut selection = Selection::default();
    match args {
        [] => {}
        [option, kind] if option.eq_ignore_ascii_case(b"type") => {
            selection.kind = Some(kind_of(kind)?);
        }
        [option, numbers @ ..] if option.eq_ignore_ascii_case(b"id") && !numbers.is_empty() => {
            for number in numbers {
                let number = parse_integer(number).and_then(|number| u64::try_from(number).ok());
                let number = number.ok_or(RequestError::Static("ERR Invalid client ID"))?;
                selection.numbers.push(number);
            }
        }
        _ => return Err(CommandError::Syntax.into()),
    }
    Ok(selection)
}

fn kind_of(name: &[u8]) -> Result<Kind, RequestError> {
    Kind::parse(name).ok_or_else(|| around("ERR Unknown client type '", name, "'"))
}

fn own_facts(cx: &SessionCx<'_>) -> ClientFacts {
    ClientFacts::of(cx.client, cx.standing, cx.node.core, cx.now)
}

fn list(cx: &mut SessionCx<'_>, args: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let mut clients = Vec::new();
    if listed(args)?.holds(cx.client, cx.standing) {
        clients.push(own_facts(cx));
    }
    for answer in answers {
        if let AnswerBody::Clients(more) = answer.body {
            clients.extend(more);
        }
    }
    clients.sort_by_key(|client| client.number);
    let mut text = String::new();
    for client in &clients {
        text.push_str(client.line());
        text.push('\n');
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

pub(super) const KILL: Command<Run> = Command {
    name: "client|kill",
    summary: "Ends connections of any core.",
    complexity: "O(N) where N is the number of connections.",
    arity: Arity::AtLeast(3),
    flags: ADMIN,
    run: Run::Node(NodeRun { ask: |cx, args| Ok(Question::Kill(killed(cx, args)?)), reply: kill }),
    ..SUBCOMMAND
};

fn killed(cx: &SessionCx<'_>, args: Args<'_>) -> Result<Selection, RequestError> {
    let mut selection = Selection::default();
    if let [address] = args {
        selection.address = Some(address.to_vec());
        return Ok(selection);
    }
    let mut skips_itself = true;
    for pair in args.chunks(2) {
        let [filter, value] = pair else { return Err(CommandError::Syntax.into()) };
        let is = |name: &[u8]| filter.eq_ignore_ascii_case(name);
        if is(b"id") {
            let number = parse_integer(value).filter(|number| 0 < *number);
            let number =
                number.ok_or(RequestError::Static("ERR client-id should be greater than 0"))?;
            selection.numbers.push(number as u64);
        } else if is(b"type") {
            selection.kind = Some(kind_of(value)?);
        } else if is(b"addr") {
            selection.address = Some(value.to_vec());
        } else if is(b"laddr") {
            selection.local_address = Some(value.to_vec());
        } else if is(b"user") {
            if **value != *b"default" {
                return Err(around("ERR No such user '", value, "'"));
            }
            // Who has not authenticated is nobody's client yet; on Redis it is the default user's.
        } else if is(b"skipme") && value.eq_ignore_ascii_case(b"yes") {
            skips_itself = true;
        } else if is(b"skipme") && value.eq_ignore_ascii_case(b"no") {
            skips_itself = false;
        } else {
            return Err(CommandError::Syntax.into());
        }
    }
    selection.except = skips_itself.then_some(cx.client.number);
    Ok(selection)
}

fn kill(cx: &mut SessionCx<'_>, args: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let mut count: usize = answers
        .iter()
        .map(|answer| match answer.body {
            AnswerBody::Count(count) => count,
            _ => 0,
        })
        .sum();
    if killed(cx, args)?.holds(cx.client, cx.standing) {
        // It still gets its reply.
        cx.client.closing = true;
        count += 1;
    }
    match (args, count) {
        ([_], 0) => return Err(RequestError::Static("ERR No such client")),
        ([_], _) => cx.reply.simple("OK"),
        _ => cx.reply.integer(count as i64),
    }
    Ok(())
}
