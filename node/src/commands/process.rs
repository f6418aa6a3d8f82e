//! The process: its clock, its end, its snapshots, its memory, its art.

use engine::{
    Acl, Args, Arity, Command, CommandError, Flag, Group, KeyFlag, Keys, ReadCx, ReplySink,
    is_sorted, parse_integer,
};

use super::{SessionCx, help, info};
use crate::ask::{Answer, AnswerBody, Question};
use crate::config::REDIS_VERSION;
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};

pub(crate) const FAMILY: &[Command<Run>] =
    &[BGREWRITEAOF, BGSAVE, LASTSAVE, LOLWUT, MEMORY, SAVE, SHUTDOWN, TIME];
const _: () = assert!(is_sorted(FAMILY));

/// What the commands here have in common.
const COMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::Exactly(1),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const BGREWRITEAOF: Command<Run> = Command {
    name: "bgrewriteaof",
    summary: "Refused: the log is not rewritten on demand.",
    arity: Arity::Exactly(1),
    flags: &[Flag::Admin, Flag::NoScript],
    run: Run::Session(|_, _| {
        Err(RequestError::Static(
            "ERR the log is not rewritten: snapshots trim it. See BGSAVE and snapshot-log-size",
        ))
    }),
    ..COMMAND
};

const BGSAVE: Command<Run> = Command {
    name: "bgsave",
    summary: "Begins a snapshot of every slice.",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Admin, Flag::NoScript],
    run: Run::Node(NodeRun {
        ask: |_, args| match args {
            [] => Ok(Question::Save { waits: false }),
            [word] if word.eq_ignore_ascii_case(b"schedule") => Ok(Question::Save { waits: false }),
            _ => Err(CommandError::Syntax.into()),
        },
        reply: |cx, args, answers| {
            let begun = answers.iter().any(|it| matches!(it.body, AnswerBody::IsSo(true)));
            if begun && args.is_empty() {
                cx.reply.simple("Background saving started");
            } else if begun {
                cx.reply.simple("Background saving scheduled");
            } else {
                return Err(IN_PROGRESS);
            }
            Ok(())
        },
    }),
    ..COMMAND
};

const IN_PROGRESS: RequestError = RequestError::Static("ERR Background save already in progress");

const SAVE: Command<Run> = Command {
    name: "save",
    summary: "Snapshots every slice; others are served meanwhile.",
    flags: &[Flag::Admin, Flag::NoScript, Flag::NoMulti],
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Save { waits: true }),
        reply: |cx, _, answers| {
            for answer in &answers {
                match &answer.body {
                    AnswerBody::IsSo(true) => {}
                    AnswerBody::IsSo(false) => return Err(IN_PROGRESS),
                    _ => {
                        return Err(RequestError::Static(
                            "ERR a snapshot could not be written; the server's log says why",
                        ));
                    }
                }
            }
            cx.reply.simple("OK");
            Ok(())
        },
    }),
    ..COMMAND
};

const LASTSAVE: Command<Run> = Command {
    name: "lastsave",
    summary: "Returns when the last snapshot of every slice was complete: seconds since 1970.",
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast, Flag::Admin, Flag::Dangerous],
    tips: &["nondeterministic_output"],
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Facts { with_histograms: false }),
        reply: |cx, _, answers| {
            cx.reply.integer(info::last_save_s(&answers) as i64);
            Ok(())
        },
    }),
    ..COMMAND
};

const LOLWUT: Command<Run> = Command {
    name: "lolwut",
    summary: "Draws a torus, and tells the version.",
    since: "5.0.0",
    arity: Arity::AtLeast(1),
    flags: &[Flag::Fast],
    run: Run::Session(|cx, _| {
        let version = &cx.node.config.facts.toroid_version;
        let text = format!("{}Redis ver. {REDIS_VERSION} (Toroid {version})\n", torus());
        cx.reply.verbatim("txt", text.as_bytes());
        Ok(())
    }),
    ..COMMAND
};

/// A ring seen from above, lighter towards its upper left.
fn torus() -> String {
    const SHADES: &[u8] = b"@%#*+=-:.";
    let mut text = String::new();
    for row in -8_i32..=8 {
        for column in -20_i32..=20 {
            let (x, y) = (f64::from(column) / 2.0, f64::from(row));
            let from_middle = (x * x + y * y).sqrt() - 6.0;
            let height = 4.0 - from_middle * from_middle;
            let shade = (height.max(0.0).sqrt() - (x + y) / 4.0 + 4.0).clamp(0.0, 8.0);
            let letter = SHADES[SHADES.len() - 1 - shade as usize];
            text.push(if 0.0 < height { char::from(letter) } else { ' ' });
        }
        text.push('\n');
    }
    text
}

const SHUTDOWN: Command<Run> = Command {
    name: "shutdown",
    summary: "Ends the server once everything it has accepted is durable.",
    arity: Arity::AtLeast(1),
    flags: &[
        Flag::Admin,
        Flag::NoScript,
        Flag::Loading,
        Flag::Stale,
        Flag::NoMulti,
        Flag::AllowBusy,
    ],
    run: Run::Node(NodeRun {
        ask: shutdown,
        reply: |cx, _, _| {
            // As on Redis, the end of the connection is the reply.
            cx.client.closing = true;
            Ok(())
        },
    }),
    ..COMMAND
};

fn shutdown(_: &mut SessionCx<'_>, args: Args<'_>) -> Result<Question, RequestError> {
    let (mut saves, mut aborts) = (None, false);
    for arg in args {
        let is = |word: &[u8]| arg.eq_ignore_ascii_case(word);
        if is(b"abort") {
            aborts = true;
        } else if (is(b"save") && saves != Some(false)) || (is(b"nosave") && saves != Some(true)) {
            // Either way everything acknowledged is in the log.
            saves = Some(is(b"save"));
        } else if !is(b"now") && !is(b"force") {
            return Err(CommandError::Syntax.into());
        }
    }
    match (aborts, args.len()) {
        (true, 1) => Err(RequestError::Static("ERR No shutdown in progress.")),
        (true, _) => Err(CommandError::Syntax.into()),
        (false, _) => Ok(Question::Shutdown),
    }
}

const TIME: Command<Run> = Command {
    name: "time",
    summary: "Returns the time: seconds since 1970, and microseconds.",
    since: "2.6.0",
    flags: &[Flag::Loading, Flag::Stale, Flag::Fast],
    tips: &["nondeterministic_output"],
    run: Run::Session(|cx, _| {
        let now_ms = cx.now.wall_ms;
        cx.reply.array(2);
        cx.reply.bulk((now_ms / 1000).to_string().as_bytes());
        cx.reply.bulk((now_ms % 1000 * 1000).to_string().as_bytes());
        Ok(())
    }),
    ..COMMAND
};

const MEMORY: Command<Run> = Command {
    name: "memory",
    summary: "A container for commands about memory.",
    since: "4.0.0",
    complexity: "Depends on the subcommand.",
    arity: Arity::AtLeast(2),
    run: Run::Container { alone: None, subcommands: MEMORY_SUBCOMMANDS },
    ..COMMAND
};

const MEMORY_SUBCOMMAND: Command<Run> =
    Command { since: "4.0.0", arity: Arity::Exactly(2), ..COMMAND };

const MEMORY_SUBCOMMANDS: &[Command<Run>] = &[
    Command {
        name: "memory|doctor",
        summary: "Says in words what is wrong with the use of memory.",
        run: Run::Node(NodeRun {
            ask: |_, _| Ok(Question::Facts { with_histograms: false }),
            reply: doctor,
        }),
        ..MEMORY_SUBCOMMAND
    },
    Command {
        name: "memory|help",
        summary: "Lists the subcommands.",
        flags: &[Flag::Loading, Flag::Stale],
        run: Run::Session(|cx, _| {
            help(&mut cx.reply, "memory", MEMORY_SUBCOMMANDS);
            Ok(())
        }),
        ..MEMORY_SUBCOMMAND
    },
    Command {
        name: "memory|malloc-stats",
        summary: "Says that the allocator tells nothing.",
        tips: &["nondeterministic_output"],
        run: Run::Session(|cx, _| {
            cx.reply.verbatim("txt", b"Stats not supported for the current allocator");
            Ok(())
        }),
        ..MEMORY_SUBCOMMAND
    },
    Command {
        name: "memory|purge",
        summary: "Does nothing: the allocator gives memory back by itself.",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: Run::Session(|cx, _| {
            cx.reply.simple("OK");
            Ok(())
        }),
        ..MEMORY_SUBCOMMAND
    },
    Command {
        name: "memory|stats",
        summary: "Returns the use of memory by category.",
        tips: &["nondeterministic_output", "request_policy:all_shards"],
        run: Run::Node(NodeRun {
            ask: |_, _| Ok(Question::Facts { with_histograms: false }),
            reply: stats,
        }),
        ..MEMORY_SUBCOMMAND
    },
    Command {
        name: "memory|usage",
        summary: "Returns the bytes that a key and its value take.",
        complexity: "O(N) where N is the number of samples.",
        arity: Arity::AtLeast(3),
        keys: Keys::First(&[KeyFlag::Ro]),
        run: Run::Keys(engine::Run::Read(usage)),
        ..MEMORY_SUBCOMMAND
    },
];
const _: () = assert!(is_sorted(MEMORY_SUBCOMMANDS));

fn usage(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    for option in args[1..].chunks(2) {
        let [word, samples] = option else { return Err(CommandError::Syntax) };
        if !word.eq_ignore_ascii_case(b"samples") {
            return Err(CommandError::Syntax);
        }
        let samples = parse_integer(samples).ok_or(CommandError::NotAnInteger)?;
        if samples < 0 {
            return Err(CommandError::Syntax);
        }
    }
    let entry = cx.spaces.find(cx.db, args[0]).filter(|entry| !entry.is_expired(cx.now_ms));
    match entry {
        Some(entry) => cx.reply.integer(entry.size() as i64),
        None => cx.reply.null(),
    }
    Ok(())
}

fn facts(answers: Vec<Answer>) -> Vec<info::CoreFacts> {
    let facts = answers.into_iter().filter_map(|answer| match answer.body {
        AnswerBody::Facts(facts) => Some(*facts),
        _ => None,
    });
    facts.collect()
}

fn doctor(cx: &mut SessionCx<'_>, _: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let memory = info::Memory::of(&facts(answers));
    let total = cx.node.config.facts.total_memory;
    let mut text = String::new();
    if memory.dataset < 5 * 1024 * 1024 {
        text.push_str(
            "Hi Sam, this instance is empty or is using very little memory, my issue detector \
             can't be used in these conditions. Please, leave for your mission on Earth and fill \
             it with some data. The new Sam and I will be back to our programming as soon as I \
             finished rebooting.\n",
        );
    } else if 0 < total && total / 10 * 9 < memory.used as u64 {
        text.push_str(&format!(
            "{} of the {total} bytes this process may use are in use. Fix: set maxmemory, delete \
             keys, or give it more memory.\n",
            memory.used
        ));
    } else if memory.dataset < memory.output {
        text.push_str(&format!(
            "Replies that clients do not read take {} bytes, more than the data. Fix: find the \
             clients with the largest omem in CLIENT LIST.\n",
            memory.output
        ));
    } else {
        text.push_str("I cannot find any memory issue in this instance.\n");
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn stats(cx: &mut SessionCx<'_>, _: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let memory = info::Memory::of(&facts(answers));
    let keys = memory.keys.max(1);
    let databases: Vec<_> =
        memory.databases.iter().enumerate().filter(|(_, keys)| 0 < **keys).collect();
    let share = |part: usize| match memory.used {
        0 => 0.0,
        used => part as f64 * 100.0 / used as f64,
    };
    let reply = &mut cx.reply;
    let integers: [(&str, usize); 16] = [
        ("peak.allocated", memory.used),
        ("total.allocated", memory.used),
        ("startup.allocated", 0),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", memory.output),
        ("cluster.links", 0),
        ("aof.buffer", memory.log_queued),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("overhead.total", memory.used - memory.dataset),
        ("keys.count", memory.keys),
        ("keys.bytes-per-key", memory.dataset / keys),
        ("dataset.bytes", memory.dataset),
        ("allocator.allocated", memory.used),
        ("allocator.active", memory.used),
    ];
    reply.map(integers.len() + databases.len() + 3);
    for (name, value) in integers {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
    for (database, keys) in databases {
        reply.bulk(format!("db.{database}").as_bytes());
        reply.map(2);
        reply.bulk(b"overhead.hashtable.main");
        // Eight bytes of a bucket for each key.
        reply.integer(8 * *keys as i64);
        reply.bulk(b"overhead.hashtable.expires");
        reply.integer(0);
    }
    for (name, value) in [
        ("dataset.percentage", share(memory.dataset)),
        ("peak.percentage", share(memory.used)),
        ("fragmentation", 1.0),
    ] {
        reply.bulk(name.as_bytes());
        reply.double(value);
    }
    Ok(())
}
