//! The server as a whole: its configuration, its size, its state.

use engine::{Acl, Arity, Command, Flag, Group, Keys, ReplySink};

use super::info;
use crate::ask::{AnswerBody, Question};
use crate::registry::{NodeRun, Run};

pub(crate) const FAMILY: &[Command<Run>] = &[INFO];

const INFO: Command<Run> = Command {
    name: "info",
    summary: "Returns facts and counters, by section.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::AtLeast(1),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Loading, Flag::Stale, Flag::Dangerous],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    run: Run::Node(NodeRun {
        ask: |_, args| {
            let with_histograms = info::asks_for_histograms(args);
            Ok(Question::Facts { with_histograms })
        },
        reply: |cx, args, answers| {
            let facts = answers.into_iter().filter_map(|answer| match answer.body {
                AnswerBody::Facts(facts) => Some(*facts),
                _ => None,
            });
            let facts: Vec<_> = facts.collect();
            let text = info::text(cx.node, &facts, args, cx.now);
            cx.reply.verbatim("txt", text.as_bytes());
            Ok(())
        },
    }),
};
