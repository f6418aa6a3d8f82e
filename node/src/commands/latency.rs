//! LATENCY: what took long, and how long each command takes, of all cores.

use std::fmt::Write;

use engine::{Acl, Args, Arity, Command, Flag, Group, Keys, ReplySink, is_sorted};

use super::{SessionCx, help};
use crate::ask::{Answer, AnswerBody, Question};
use crate::error::{RequestError, around};
use crate::latency::{LatencyEvent, LatencyLog};
use crate::registry::{NodeRun, Run};
use crate::tally::{CommandTally, Tally};

pub(crate) const FAMILY: &[Command<Run>] = &[LATENCY];

const LATENCY: Command<Run> = Command {
    name: "latency",
    summary: "A container for commands about latency.",
    complexity: "Depends on the subcommand.",
    flags: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
    ..SUBCOMMAND
};

const SUBCOMMANDS: &[Command<Run>] = &[DOCTOR, GRAPH, HELP, HISTOGRAM, HISTORY, LATEST, RESET];
const _: () = assert!(is_sorted(SUBCOMMANDS));

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "2.8.13",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale],
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    run: Run::Container { alone: None, subcommands: &[] },
};

/// The series of all cores.
fn merged(answers: Vec<Answer>) -> LatencyLog {
    let logs = answers.into_iter().filter_map(|answer| match answer.body {
        AnswerBody::Latency(log) => Some(*log),
        _ => None,
    });
    LatencyLog::merged(&logs.collect::<Vec<_>>())
}

const DOCTOR: Command<Run> = Command {
    name: "latency|doctor",
    summary: "Says in words what took long and why that may be.",
    arity: Arity::Exactly(2),
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Latency),
        reply: |cx, _, answers| {
            let text = diagnosis(cx, &merged(answers));
            cx.reply.verbatim("txt", text.as_bytes());
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

fn diagnosis(cx: &SessionCx<'_>, log: &LatencyLog) -> String {
    let threshold = cx.node.settings.latency_threshold_ms;
    if threshold == 0 {
        return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this server. \
                You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to \
                enable it.\n"
            .to_owned();
    }
    let mut text = String::new();
    for event in LatencyEvent::ALL {
        let series = log.series(event);
        let Some((last_s, _)) = series.last() else { continue };
        let ago = (cx.now.wall_ms / 1000).saturating_sub(last_s);
        writeln!(
            text,
            "{}: {} latency spikes of {threshold} ms or more, the worst {} ms, the last {ago} s \
             ago. Look at SLOWLOG GET for the commands and at core-by-core counters in INFO \
             cores.",
            event.name(),
            series.samples().count(),
            series.max_ms(),
        )
        .expect("a string takes all");
    }
    match text.is_empty() {
        true => "Dave, no latency spike was observed during the lifetime of this instance, not in \
                 the slightest bit. I honestly think you ought to sit down calmly, take a stress \
                 pill, and think things over.\n"
            .to_owned(),
        false => text,
    }
}

const GRAPH: Command<Run> = Command {
    name: "latency|graph",
    summary: "Draws the samples of an event.",
    arity: Arity::Exactly(3),
    run: Run::Node(NodeRun { ask: |_, _| Ok(Question::Latency), reply: graph }),
    ..SUBCOMMAND
};

/// Lines of a graph, and samples it shows.
const GRAPH_ROWS: u64 = 4;
const GRAPH_COLUMNS: usize = 70;

fn graph(cx: &mut SessionCx<'_>, args: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let log = merged(answers);
    let series = LatencyEvent::parse(args[0]).map(|event| (event, log.series(event)));
    let Some((event, series)) = series.filter(|(_, series)| series.last().is_some()) else {
        return Err(around("ERR No samples available for event '", args[0], "'"));
    };
    let samples: Vec<(u64, u64)> = series.samples().collect();
    let shown = &samples[samples.len().saturating_sub(GRAPH_COLUMNS)..];
    let high = shown.iter().map(|(_, ms)| *ms).max().unwrap_or_default();
    let low = shown.iter().map(|(_, ms)| *ms).min().unwrap_or_default();
    let mut text = format!(
        "{} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.name(),
        series.max_ms(),
        "-".repeat(80)
    );
    for row in (1..=GRAPH_ROWS).rev() {
        for (_, ms) in shown {
            let height = (ms - low) * GRAPH_ROWS / (high - low).max(1);
            text.push(match height.max(1) {
                height if height == row => '_',
                height if row < height => '|',
                _ => ' ',
            });
        }
        text.push('\n');
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

const HELP: Command<Run> = Command {
    name: "latency|help",
    summary: "Lists the subcommands.",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "latency", SUBCOMMANDS);
        Ok(())
    }),
    ..SUBCOMMAND
};

const HISTOGRAM: Command<Run> = Command {
    name: "latency|histogram",
    summary: "Returns how long the executions of each command took, in doubling steps.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands.",
    run: Run::Node(NodeRun { ask: |_, _| Ok(Question::Tally), reply: histogram }),
    ..SUBCOMMAND
};

fn histogram(
    cx: &mut SessionCx<'_>,
    args: Args<'_>,
    answers: Vec<Answer>,
) -> Result<(), RequestError> {
    let mut tally = Tally::default();
    for answer in answers {
        if let AnswerBody::Tally(more) = answer.body {
            tally.add(&more);
        }
    }
    let registry = cx.node.registry;
    let is_meant = |name: &str| {
        args.is_empty()
            || args.iter().any(|arg| {
                let container = name.split_once('|').map_or(name, |(container, _)| container);
                arg.eq_ignore_ascii_case(name.as_bytes())
                    || arg.eq_ignore_ascii_case(container.as_bytes())
            })
    };
    let meant: Vec<_> = tally
        .commands()
        .filter(|(_, tally)| tally.histogram.is_some())
        .map(|(number, tally)| (registry.name_of(number), tally))
        .filter(|(name, _)| is_meant(name))
        .collect();
    cx.reply.map(meant.len());
    for (name, tally) in meant {
        cx.reply.bulk(name.as_bytes());
        write_histogram(&mut cx.reply, tally);
    }
    Ok(())
}

fn write_histogram(reply: &mut dyn ReplySink, tally: &CommandTally) {
    let histogram = tally.histogram.as_ref().expect("only those that have one are meant");
    let mut steps = Vec::new();
    let mut count = 0;
    // Steps of 1024 ns and its doubles, as in Redis; those in which nothing falls are left out.
    for (at, step) in histogram.iter_log(1024, 2.0).enumerate() {
        let more = step.count_since_last_iteration();
        if 0 < more {
            count += more;
            steps.push((histogram.highest_equivalent(1024 << at) / 1000, count));
        }
    }
    reply.map(2);
    reply.bulk(b"calls");
    reply.integer(histogram.len() as i64);
    reply.bulk(b"histogram_usec");
    reply.map(steps.len());
    for (us, count) in steps {
        reply.integer(us as i64);
        reply.integer(count as i64);
    }
}

const HISTORY: Command<Run> = Command {
    name: "latency|history",
    summary: "Returns the times and milliseconds of an event.",
    arity: Arity::Exactly(3),
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Latency),
        reply: |cx, args, answers| {
            let log = merged(answers);
            let event = LatencyEvent::parse(args[0]);
            let samples: Vec<_> =
                event.into_iter().flat_map(|event| log.series(event).samples()).collect();
            cx.reply.array(samples.len());
            for (time_s, ms) in samples {
                cx.reply.array(2);
                cx.reply.integer(time_s as i64);
                cx.reply.integer(ms as i64);
            }
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

const LATEST: Command<Run> = Command {
    name: "latency|latest",
    summary: "Returns the last and the worst of every event.",
    arity: Arity::Exactly(2),
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::Latency),
        reply: |cx, _, answers| {
            let log = merged(answers);
            let known = LatencyEvent::ALL.map(|event| (event, log.series(event)));
            let known: Vec<_> = known
                .into_iter()
                .filter_map(|(event, series)| Some((event, series, series.last()?)))
                .collect();
            cx.reply.array(known.len());
            for (event, series, (time_s, ms)) in known {
                cx.reply.array(4);
                cx.reply.bulk(event.name().as_bytes());
                cx.reply.integer(time_s as i64);
                cx.reply.integer(ms as i64);
                cx.reply.integer(series.max_ms() as i64);
            }
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

const RESET: Command<Run> = Command {
    name: "latency|reset",
    summary: "Forgets events. Returns how many there were.",
    run: Run::Node(NodeRun {
        ask: |_, args| {
            let named = args.iter().filter_map(|arg| LatencyEvent::parse(arg));
            Ok(Question::ResetLatency(match args.is_empty() {
                true => LatencyEvent::ALL.to_vec(),
                false => named.collect(),
            }))
        },
        reply: |cx, _, answers| {
            let counts = answers.iter().map(|answer| match answer.body {
                AnswerBody::Count(count) => count,
                _ => 0,
            });
            // An event of several cores is one.
            cx.reply.integer(counts.max().unwrap_or_default() as i64);
            Ok(())
        },
    }),
    ..SUBCOMMAND
};
