//! The bugs that must be found, or the simulator is broken.

use crate::plan::Planting;

/// One bug.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    pub name: &'static str,
    pub planting: Planting,
    /// Not found within so many seeds is a failure.
    pub seeds_max: u64,
}

/// Every bug; none without the feature `planted`.
pub const PLANTS: &[Planted] = plants();

#[cfg(not(feature = "planted"))]
const fn plants() -> &'static [Planted] {
    &[]
}

#[cfg(feature = "planted")]
const fn plants() -> &'static [Planted] {
    use node::Plant as Node;
    use wal::Plant as Wal;

    const fn in_node(name: &'static str, plant: Node) -> Planted {
        Planted { name, planting: Planting { node: Some(plant), wal: None }, seeds_max: 300 }
    }

    const fn in_wal(name: &'static str, plant: Wal) -> Planted {
        Planted { name, planting: Planting { node: None, wal: Some(plant) }, seeds_max: 1_500 }
    }

    const ALL: &[Planted] = &[
        in_node("reply-before-commit", Node::ReplyBeforeCommit),
        in_node("leak-uncommitted-read", Node::LeakUncommittedRead),
        in_node("forget-miss-gate", Node::ForgetMissGate),
        in_node("forget-floor", Node::ForgetFloor),
        in_node("no-effect-unparked", Node::NoEffectUnparked),
        in_node("forget-fragment", Node::ForgetFragment),
        Planted { seeds_max: 3_000, ..in_node("forget-read-fragment", Node::ForgetReadFragment) },
        in_node("say-yes-early", Node::SayYesEarly),
        in_node("show-committed", Node::ShowCommitted),
        Planted { seeds_max: 1_500, ..in_node("forget-void", Node::ForgetVoid) },
        in_node("short-void", Node::ShortVoid),
        Planted { seeds_max: 3_000, ..in_node("answer-early", Node::AnswerEarly) },
        in_node("forget-watch", Node::ForgetWatch),
        in_node("drop-effect", Node::DropEffect),
        in_node("publish-unsettled", Node::PublishUnsettled),
        in_node("forget-save", Node::ForgetSave),
        Planted { seeds_max: 3_000, ..in_node("sleep-over-room", Node::SleepOverRoom) },
        in_node("skip-behind-snapshot", Node::SkipBehindSnapshot),
        in_wal("ack-before-durable", Wal::AckBeforeDurable),
        in_wal("count-out-of-order", Wal::CountOutOfOrder),
        in_wal("use-tail-unflushed", Wal::UseTailUnflushed),
        in_wal("cut-at-first-bad", Wal::CutAtFirstBad),
        in_wal("same-salt", Wal::SameSalt),
        in_wal("ignore-header", Wal::IgnoreHeader),
        in_wal("lost-hint", Wal::LostHint),
    ];
    ALL
}
