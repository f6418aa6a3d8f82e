//! SLOWLOG: the commands that took long, of all cores.

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted, parse_integer};

use super::{SessionCx, help, too_many_words};
use crate::ask::{Answer, AnswerBody, Question};
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};
use crate::slow_log::SlowEntry;

pub(crate) const FAMILY: &[Command<Run>] = &[SLOWLOG];

const SLOWLOG: Command<Run> = Command {
    name: "slowlog",
    summary: "A container for commands about slow commands.",
    complexity: "Depends on the subcommand.",
    flags: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
    ..SUBCOMMAND
};

const SUBCOMMANDS: &[Command<Run>] = &[GET, HELP, LEN, RESET];
const _: () = assert!(is_sorted(SUBCOMMANDS));

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries.",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Admin, Flag::Loading, Flag::Stale],
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    run: Run::Container { alone: None, subcommands: &[] },
};

const GET: Command<Run> = Command {
    name: "slowlog|get",
    summary: "Returns the latest slow commands of all cores.",
    run: Run::Node(NodeRun {
        ask: |_, args| {
            count(args)?;
            Ok(Question::SlowLog)
        },
        reply: get,
    }),
    ..SUBCOMMAND
};

/// How many entries are asked for; None: all.
fn count(args: Args<'_>) -> Result<Option<usize>, RequestError> {
    let count = match args {
        [] => return Ok(Some(10)),
        // What is no number is answered like what is too low.
        [count] => parse_integer(count).unwrap_or(-2),
        _ => return Err(too_many_words("slowlog", "get")),
    };
    match count {
        -1 => Ok(None),
        0.. => Ok(Some(count as usize)),
        _ => Err(RequestError::Static("ERR count should be greater than or equal to -1")),
    }
}

/// The entries of all cores, the latest first, as many as one core would keep.
fn merged(cx: &SessionCx<'_>, answers: Vec<Answer>) -> Vec<SlowEntry> {
    let mut entries = Vec::new();
    for answer in answers {
        if let AnswerBody::SlowLog(more) = answer.body {
            entries.extend(more);
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.time_ms, entry.number)));
    entries.truncate(cx.node.settings.slowlog_len_max);
    entries
}

fn get(cx: &mut SessionCx<'_>, args: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let mut entries = merged(cx, answers);
    entries.truncate(count(args)?.unwrap_or(usize::MAX));
    let reply = &mut cx.reply;
    reply.array(entries.len());
    for SlowEntry { number, time_ms, us, words, peer, name } in entries {
        reply.array(6);
        reply.integer(number as i64);
        reply.integer((time_ms / 1000) as i64);
        reply.integer(us as i64);
        reply.array(words.len());
        words.iter().for_each(|word| reply.bulk(word));
        reply.bulk(peer.as_bytes());
        reply.bulk(&name);
    }
    Ok(())
}

const HELP: Command<Run> = Command {
    name: "slowlog|help",
    summary: "Lists the subcommands.",
    complexity: "O(1)",
    arity: Arity::Exactly(2),
    tips: &[],
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "slowlog", SUBCOMMANDS);
        Ok(())
    }),
    ..SUBCOMMAND
};

const LEN: Command<Run> = Command {
    name: "slowlog|len",
    summary: "Returns how many slow commands are remembered.",
    arity: Arity::Exactly(2),
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::SlowLog),
        reply: |cx, _, answers| {
            let count = merged(cx, answers).len();
            cx.reply.integer(count as i64);
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

const RESET: Command<Run> = Command {
    name: "slowlog|reset",
    summary: "Forgets the slow commands.",
    arity: Arity::Exactly(2),
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::ResetSlowLog),
        reply: |cx, _, _| {
            cx.reply.simple("OK");
            Ok(())
        },
    }),
    ..SUBCOMMAND
};
