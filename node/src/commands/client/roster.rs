//! CLIENT LIST, INFO and KILL: who is connected to any of the cores.

use engine::{Args, Arity, Command, Flag, ReplySink, parse_integer};

use super::SUBCOMMAND;
use crate::ask::{Answer, AnswerBody, Question};
use crate::commands::SessionCx;
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};
use crate::roster::ClientFacts;
use crate::selection::Selection;

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
    run: Run::Node(NodeRun {
        ask: |cx, args| Ok(Question::Clients(listed(cx, args)?)),
        reply: list,
    }),
    ..SUBCOMMAND
};

fn listed(cx: &SessionCx<'_>, args: Args<'_>) -> Result<Selection, RequestError> {
    // Redis's words for what is not a number; CLIENT KILL has others.
    let is_id = |word: &[u8]| word.eq_ignore_ascii_case(b"id");
    if let [option, number, ..] = args
        && is_id(option)
        && parse_integer(number).is_none()
    {
        return Err(RequestError::Static("ERR Invalid client ID"));
    }
    Selection::parse(args, cx.client.number, false)
}

fn own_facts(cx: &SessionCx<'_>) -> ClientFacts {
    ClientFacts::of(cx.client, cx.standing, cx.node.core, cx.now)
}

fn list(cx: &mut SessionCx<'_>, args: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let mut clients = Vec::new();
    if listed(cx, args)?.holds(cx.client, cx.standing, cx.now) {
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
    match args {
        [address] => Ok(Selection::of_address(address)),
        _ => Selection::parse(args, cx.client.number, true),
    }
}

fn kill(cx: &mut SessionCx<'_>, args: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let mut count: usize = answers
        .iter()
        .map(|answer| match answer.body {
            AnswerBody::Count(count) => count,
            _ => 0,
        })
        .sum();
    if killed(cx, args)?.holds(cx.client, cx.standing, cx.now) {
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
