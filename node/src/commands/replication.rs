//! What there is to say about replicas: there are none. WAIT and WAITAOF count what is settled.

use engine::{
    Acl, Args, Arity, Command, CommandError, Flag, Group, Keys, ReplySink, is_sorted, parse_integer,
};

use super::SessionCx;
use crate::ask::{Answer, AnswerBody, Question};
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};

pub(crate) const FAMILY: &[Command<Run>] =
    &[ASKING, FAILOVER, READONLY, READWRITE, REPLICAOF, ROLE, SLAVEOF, WAIT, WAITAOF];
const _: () = assert!(is_sorted(FAMILY));

/// What the commands here have in common.
const COMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::Exactly(1),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const ASKING: Command<Run> = Command {
    name: "asking",
    summary: "Refused: cluster mode is off.",
    acl: Acl::Connection,
    flags: &[Flag::Fast],
    run: Run::Session(|_, _| Err(super::cluster::DISABLED)),
    ..COMMAND
};

const FAILOVER: Command<Run> = Command {
    name: "failover",
    summary: "Refused: there is no replica.",
    since: "6.2.0",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Admin, Flag::NoScript, Flag::Stale],
    run: Run::Session(fail_over),
    ..COMMAND
};

fn fail_over(_: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    if let [word] = args
        && word.eq_ignore_ascii_case(b"abort")
    {
        return Err(RequestError::Static("ERR No failover in progress."));
    }
    let (mut rest, mut timed, mut aimed, mut forced) = (args, false, false, false);
    while let [word, more @ ..] = rest {
        let is = |option: &[u8]| word.eq_ignore_ascii_case(option);
        rest = match more {
            [milliseconds, more @ ..] if is(b"timeout") && !timed => {
                timed = true;
                if parse_integer(milliseconds).ok_or(CommandError::NotAnInteger)? <= 0 {
                    let error = "ERR FAILOVER timeout must be greater than 0";
                    return Err(RequestError::Static(error));
                }
                more
            }
            [_, port, more @ ..] if is(b"to") && !aimed => {
                aimed = true;
                parse_integer(port).ok_or(CommandError::NotAnInteger)?;
                more
            }
            more if is(b"force") && !forced => {
                forced = true;
                more
            }
            _ => return Err(CommandError::Syntax.into()),
        };
    }
    Err(RequestError::Static("ERR FAILOVER requires connected replicas."))
}

const READONLY: Command<Run> = Command {
    name: "readonly",
    summary: "Says that this connection would read from a replica.",
    acl: Acl::Connection,
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    run: Run::Session(|cx, _| {
        cx.client.is_read_only = true;
        cx.reply.simple("OK");
        Ok(())
    }),
    ..COMMAND
};

const READWRITE: Command<Run> = Command {
    name: "readwrite",
    summary: "Takes READONLY back.",
    run: Run::Session(|cx, _| {
        cx.client.is_read_only = false;
        cx.reply.simple("OK");
        Ok(())
    }),
    ..READONLY
};

const REPLICAOF: Command<Run> = Command {
    name: "replicaof",
    summary: "NO ONE is true already; anything else is refused.",
    since: "5.0.0",
    arity: Arity::Exactly(3),
    flags: &[Flag::Admin, Flag::NoScript, Flag::Stale],
    run: Run::Session(replica_of),
    ..COMMAND
};

const SLAVEOF: Command<Run> = Command { name: "slaveof", since: "1.0.0", ..REPLICAOF };

fn replica_of(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let [host, port] = args else { unreachable!("the arity is exact") };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        cx.reply.simple("OK");
        return Ok(());
    }
    if parse_integer(port).is_none_or(|port| !(0..=65_535).contains(&port)) {
        return Err(RequestError::Static("ERR Invalid master port"));
    }
    Err(RequestError::Static(
        "ERR this server cannot be a replica of another: it replicates by Raft, not by PSYNC",
    ))
}

const ROLE: Command<Run> = Command {
    name: "role",
    summary: "Returns the role of this server, which is master.",
    since: "2.8.12",
    flags: &[Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Fast, Flag::Admin, Flag::Dangerous],
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Facts { with_histograms: false }),
        reply: |cx, _, answers| {
            let offset = answers
                .iter()
                .map(|answer| match &answer.body {
                    AnswerBody::Facts(facts) => facts.settled(),
                    _ => 0,
                })
                .sum::<u64>();
            cx.reply.array(3);
            cx.reply.bulk(b"master");
            cx.reply.integer(offset as i64);
            cx.reply.array(0);
            Ok(())
        },
    }),
    ..COMMAND
};

const WAIT: Command<Run> = Command {
    name: "wait",
    summary: "Returns how many replicas have this connection's writes: none, as there are none.",
    group: Group::Generic,
    arity: Arity::Exactly(3),
    flags: &[Flag::NoScript],
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    run: Run::Session(|cx, args| {
        let [replicas, timeout] = args else { unreachable!("the arity is exact") };
        parse_integer(replicas).ok_or(CommandError::NotAnInteger)?;
        timeout_us(cx, timeout)?;
        cx.reply.integer(0);
        Ok(())
    }),
    ..COMMAND
};

/// When a wait of `timeout` milliseconds ends; None: never, which is what 0 means.
fn timeout_us(cx: &SessionCx<'_>, timeout: &[u8]) -> Result<Option<u64>, RequestError> {
    let milliseconds = parse_integer(timeout)
        .ok_or(RequestError::Static("ERR timeout is not an integer or out of range"))?;
    let milliseconds =
        u64::try_from(milliseconds).map_err(|_| RequestError::Static("ERR timeout is negative"))?;
    let until_us = cx.now.monotonic_us.saturating_add(milliseconds.saturating_mul(1000));
    Ok((0 < milliseconds).then_some(until_us))
}

const WAITAOF: Command<Run> = Command {
    name: "waitaof",
    summary: "Waits until this connection's writes are on stable storage here.",
    since: "7.2.0",
    arity: Arity::Exactly(4),
    run: Run::Node(NodeRun { ask: wait_aof, reply: count_aof }),
    ..WAIT
};

fn wait_aof(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<Question, RequestError> {
    let [local, replicas, timeout] = args else { unreachable!("the arity is exact") };
    let local = parse_integer(local).ok_or(CommandError::NotAnInteger)?;
    if !(0..=1).contains(&local) {
        return Err(RequestError::Static("ERR value is out of range, value must between 0 and 1"));
    }
    // What is no number is answered like what is too low.
    if parse_integer(replicas).is_none_or(|replicas| replicas < 0) {
        return Err(RequestError::Static("ERR value is out of range, must be positive"));
    }
    let until_us = timeout_us(cx, timeout)?;
    // Who waits for nothing is told how it is now.
    Ok(Question::Settle { until_us: if local == 0 { Some(0) } else { until_us } })
}

fn count_aof(
    cx: &mut SessionCx<'_>,
    _: Args<'_>,
    answers: Vec<Answer>,
) -> Result<(), RequestError> {
    let is_settled = answers.iter().all(|answer| matches!(answer.body, AnswerBody::IsSo(true)));
    cx.reply.array(2);
    cx.reply.integer(i64::from(is_settled));
    cx.reply.integer(0);
    Ok(())
}
