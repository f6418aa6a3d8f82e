//! CONFIG: the directives, as they are declared in `settings` and by the shell.

use engine::{
    Acl, Args, Arity, Command, CommandError, Flag, Group, Keys, ReplySink, is_sorted, matches_glob,
};

use super::{SessionCx, help};
use crate::ask::{Answer, AnswerBody, Question};
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};
use crate::settings::{SETTINGS, Setting, Settings};

pub(crate) const FAMILY: &[Command<Run>] = &[CONFIG];

const CONFIG: Command<Run> = Command {
    name: "config",
    summary: "A container for commands about the configuration.",
    complexity: "Depends on the subcommand.",
    flags: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
    ..SUBCOMMAND
};

const SUBCOMMANDS: &[Command<Run>] = &[GET, HELP, RESETSTAT, REWRITE, SET];
const _: () = assert!(is_sorted(SUBCOMMANDS));

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale, Flag::Dangerous],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const GET: Command<Run> = Command {
    name: "config|get",
    summary: "Returns the directives whose names match the patterns, with their values.",
    complexity: "O(N) where N is the number of directives.",
    arity: Arity::AtLeast(3),
    run: Run::Session(get),
    ..SUBCOMMAND
};

fn get(cx: &mut SessionCx<'_>, patterns: Args<'_>) -> Result<(), RequestError> {
    let settings = &cx.node.settings;
    let is_meant =
        |name: &str| patterns.iter().any(|pattern| matches_glob(pattern, name.as_bytes(), true));
    let mut found: Vec<(&str, String)> = Vec::new();
    for setting in SETTINGS {
        let names = [Some(setting.name), setting.alias];
        for name in names.into_iter().flatten().filter(|name| is_meant(name)) {
            found.push((name, setting.value(settings)));
        }
    }
    for (name, value) in &cx.node.config.settings {
        if is_meant(name) && Setting::find(name.as_bytes()).is_none() {
            found.push((name, value.clone()));
        }
    }
    found.sort_unstable();
    cx.reply.map(found.len());
    for (name, value) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

const HELP: Command<Run> = Command {
    name: "config|help",
    summary: "Lists the subcommands.",
    since: "5.0.0",
    arity: Arity::Exactly(2),
    flags: &[Flag::Loading, Flag::Stale],
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "config", SUBCOMMANDS);
        Ok(())
    }),
    ..SUBCOMMAND
};

const RESETSTAT: Command<Run> = Command {
    name: "config|resetstat",
    summary: "Sets the counters of INFO to zero.",
    arity: Arity::Exactly(2),
    run: Run::Node(NodeRun {
        ask: |_, _| Ok(Question::ResetStats),
        reply: |cx, _, _| {
            cx.reply.simple("OK");
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

const REWRITE: Command<Run> = Command {
    name: "config|rewrite",
    summary: "Writes the settings in force into the configuration file.",
    since: "2.8.0",
    arity: Arity::Exactly(2),
    run: Run::Node(NodeRun {
        ask: |cx, _| match cx.node.config.facts.config_file.is_empty() {
            true => Err(RequestError::Static("ERR The server is running without a config file")),
            false => Ok(Question::Rewrite),
        },
        reply: rewritten,
    }),
    ..SUBCOMMAND
};

fn rewritten(
    cx: &mut SessionCx<'_>,
    _: Args<'_>,
    answers: Vec<Answer>,
) -> Result<(), RequestError> {
    for answer in answers {
        if let AnswerBody::Failed(why) = answer.body {
            return Err(RequestError::Text(
                format!("ERR Rewriting config file: {why}").into_bytes(),
            ));
        }
    }
    cx.reply.simple("OK");
    Ok(())
}

const SET: Command<Run> = Command {
    name: "config|set",
    summary: "Changes directives while the server runs: all of them or none.",
    complexity: "O(N) where N is the number of directives.",
    arity: Arity::AtLeast(4),
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    run: Run::Node(NodeRun {
        ask: |cx, args| Ok(Question::Set(Box::new(changed(cx, args)?))),
        reply: |cx, _, _| {
            cx.reply.simple("OK");
            Ok(())
        },
    }),
    ..SUBCOMMAND
};

/// The settings as they will be, if every one can be set.
fn changed(cx: &SessionCx<'_>, args: Args<'_>) -> Result<Settings, RequestError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax.into());
    }
    let fail = |name: &[u8], why: &str| {
        let text: [&[u8]; 4] = [
            b"ERR CONFIG SET failed (possibly related to argument '",
            name,
            b"') - ",
            why.as_bytes(),
        ];
        Err(RequestError::Text(text.concat()))
    };
    let is_fixed = |name: &[u8]| {
        let mut known = cx.node.config.settings.iter();
        known.any(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let mut settings = cx.node.settings.clone();
    let mut seen: Vec<&str> = Vec::new();
    for pair in args.chunks(2) {
        let (name, value) = (pair[0], pair[1]);
        let Some(setting) = Setting::find(name) else {
            if !is_fixed(name) {
                let text: [&[u8]; 3] =
                    [b"ERR Unknown option or number of arguments for CONFIG SET - '", name, b"'"];
                return Err(RequestError::Text(text.concat()));
            }
            // What is in force already may be said again.
            let same = cx.node.config.settings.iter().any(|(known, shown)| {
                name.eq_ignore_ascii_case(known.as_bytes()) && *shown.as_bytes() == *value
            });
            match same {
                true => continue,
                false => return fail(name, "can't set immutable config"),
            }
        };
        if seen.contains(&setting.name) {
            return fail(name, "duplicate parameter");
        }
        seen.push(setting.name);
        if let Err(why) = setting.set(&mut settings, value) {
            return fail(name, &why);
        }
    }
    if settings.durability < settings.durability_floor {
        return fail(args[0], "durability may not be weaker than durability-floor");
    }
    Ok(settings)
}
