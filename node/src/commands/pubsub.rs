//! Channels: subscribing, publishing, and who has subscribed. `pubsub` does what they say.

use engine::{Acl, Args, Arity, Command, Flag, Group, KeyFlag, Keys, ReplySink, is_sorted};

use super::{ChannelsCx, SessionCx, help, too_many_words};
use crate::error::RequestError;
use crate::pubsub::Publication;
use crate::pubsub::topics::Kind;
use crate::registry::Run;

pub(crate) const FAMILY: &[Command<Run>] = &[
    PSUBSCRIBE,
    PUBLISH,
    PUBSUB,
    PUNSUBSCRIBE,
    SPUBLISH,
    SSUBSCRIBE,
    SUBSCRIBE,
    SUNSUBSCRIBE,
    UNSUBSCRIBE,
];
const _: () = assert!(is_sorted(FAMILY));

/// A client that has subscribed and speaks RESP2 may send these commands and no others.
pub(crate) fn is_for_subscribers(command: &Command<Run>) -> bool {
    matches!(
        command.name,
        "subscribe"
            | "psubscribe"
            | "ssubscribe"
            | "unsubscribe"
            | "punsubscribe"
            | "sunsubscribe"
            | "ping"
            | "quit"
            | "reset"
    )
}

const SUBSCRIBE: Command<Run> = Command {
    name: "subscribe",
    summary: "Listens to channels.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of channels.",
    group: Group::PubSub,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::PubSub,
    flags: &[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Channels(|cx, names| {
        subscribe(cx, names, Kind::Channel, "subscribe");
        Ok(())
    }),
};

const PSUBSCRIBE: Command<Run> = Command {
    name: "psubscribe",
    summary: "Listens to the channels that match patterns.",
    complexity: "O(N) where N is the number of patterns.",
    run: Run::Channels(|cx, names| {
        subscribe(cx, names, Kind::Pattern, "psubscribe");
        Ok(())
    }),
    ..SUBSCRIBE
};

const SSUBSCRIBE: Command<Run> = Command {
    name: "ssubscribe",
    summary: "Listens to shard channels.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels.",
    keys: Keys::All(&[KeyFlag::NotKey]),
    run: Run::Channels(|cx, names| {
        if cx.in_transaction {
            return Err(RequestError::Static(
                "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
            ));
        }
        subscribe(cx, names, Kind::ShardChannel, "ssubscribe");
        Ok(())
    }),
    ..SUBSCRIBE
};

fn subscribe(cx: &mut ChannelsCx<'_>, names: Args<'_>, kind: Kind, word: &str) {
    for name in names {
        cx.node.subscribe(cx.session, kind, name);
        confirm(cx, kind, word, Some(name));
    }
}

/// Says what a client has just subscribed to, or no longer, and to how many it still has.
fn confirm(cx: &mut ChannelsCx<'_>, kind: Kind, word: &str, name: Option<&[u8]>) {
    cx.confirms = true;
    cx.reply.push(3);
    cx.reply.bulk(word.as_bytes());
    match name {
        Some(name) => cx.reply.bulk(name),
        None => cx.reply.null(),
    }
    cx.reply.integer(cx.session.client.subscriptions.shown(kind) as i64);
}

const UNSUBSCRIBE: Command<Run> = Command {
    name: "unsubscribe",
    summary: "No longer listens to channels; without arguments, to any.",
    complexity: "O(N) where N is the number of channels.",
    arity: Arity::AtLeast(1),
    run: Run::Channels(|cx, names| {
        unsubscribe(cx, names, Kind::Channel, "unsubscribe");
        Ok(())
    }),
    ..SUBSCRIBE
};

const PUNSUBSCRIBE: Command<Run> = Command {
    name: "punsubscribe",
    summary: "No longer listens by patterns; without arguments, by any.",
    complexity: "O(N) where N is the number of patterns.",
    run: Run::Channels(|cx, names| {
        unsubscribe(cx, names, Kind::Pattern, "punsubscribe");
        Ok(())
    }),
    ..UNSUBSCRIBE
};

const SUNSUBSCRIBE: Command<Run> = Command {
    name: "sunsubscribe",
    summary: "No longer listens to shard channels; without arguments, to any.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels.",
    keys: Keys::All(&[KeyFlag::NotKey]),
    run: Run::Channels(|cx, names| {
        unsubscribe(cx, names, Kind::ShardChannel, "sunsubscribe");
        Ok(())
    }),
    ..UNSUBSCRIBE
};

fn unsubscribe(cx: &mut ChannelsCx<'_>, names: Args<'_>, kind: Kind, word: &str) {
    for name in names {
        cx.node.unsubscribe(cx.session, kind, name);
        confirm(cx, kind, word, Some(name));
    }
    if !names.is_empty() {
        return;
    }
    let all = cx.session.client.subscriptions.names(kind);
    for name in &all {
        cx.node.unsubscribe(cx.session, kind, name);
        confirm(cx, kind, word, Some(name));
    }
    if all.is_empty() {
        confirm(cx, kind, word, None);
    }
}

const PUBLISH: Command<Run> = Command {
    name: "publish",
    summary: "Sends a message to those who listen to a channel, and returns how many that are.",
    complexity: "O(N+M) where N is the number of receivers and M that of all patterns.",
    arity: Arity::Exactly(3),
    flags: &[Flag::PubSub, Flag::Loading, Flag::Stale, Flag::Fast],
    run: Run::Channels(|cx, args| {
        publish(cx, args, Kind::Channel);
        Ok(())
    }),
    ..SUBSCRIBE
};

const SPUBLISH: Command<Run> = Command {
    name: "spublish",
    summary: "Sends a message to those who listen to a shard channel, and returns how many.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of receivers.",
    keys: Keys::First(&[KeyFlag::NotKey]),
    run: Run::Channels(|cx, args| {
        publish(cx, args, Kind::ShardChannel);
        Ok(())
    }),
    ..PUBLISH
};

fn publish(cx: &mut ChannelsCx<'_>, args: Args<'_>, kind: Kind) {
    let [channel, payload] = args else { unreachable!("the arity is exact") };
    let count = cx.node.receivers(kind, channel).count;
    if 0 < count {
        let (channel, payload) = ((*channel).into(), (*payload).into());
        cx.publications.push(Publication { kind, channel, payload });
    }
    cx.reply.integer(count as i64);
}

const PUBSUB: Command<Run> = Command {
    name: "pubsub",
    summary: "A container for commands about channels.",
    since: "2.8.0",
    complexity: "Depends on the subcommand.",
    group: Group::PubSub,
    arity: Arity::AtLeast(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
};

const SUBCOMMANDS: &[Command<Run>] = &[CHANNELS, HELP, NUMPAT, NUMSUB, SHARDCHANNELS, SHARDNUMSUB];
const _: () = assert!(is_sorted(SUBCOMMANDS));

const CHANNELS: Command<Run> = Command {
    name: "pubsub|channels",
    summary: "Lists the channels that somebody listens to, all or those that match a pattern.",
    since: "2.8.0",
    complexity: "O(N) where N is the number of channels.",
    arity: Arity::AtLeast(2),
    flags: &[Flag::PubSub, Flag::Loading, Flag::Stale],
    run: Run::Session(|cx, args| channels(cx, args, Kind::Channel, "channels")),
    ..SUBSCRIBE
};

const SHARDCHANNELS: Command<Run> = Command {
    name: "pubsub|shardchannels",
    summary: "Lists the shard channels that somebody listens to.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of shard channels.",
    run: Run::Session(|cx, args| channels(cx, args, Kind::ShardChannel, "shardchannels")),
    ..CHANNELS
};

fn channels(
    cx: &mut SessionCx<'_>,
    args: Args<'_>,
    kind: Kind,
    word: &str,
) -> Result<(), RequestError> {
    let pattern = match args {
        [] => None,
        [pattern] => Some(*pattern),
        _ => return Err(too_many_words("pubsub", word)),
    };
    let names = cx.node.pubsub.topics.names(kind);
    let mut names: Vec<_> = names
        .filter(|name| pattern.is_none_or(|pattern| engine::matches_glob(pattern, name, false)))
        .collect();
    names.sort_unstable();
    cx.reply.array(names.len());
    for name in names {
        cx.reply.bulk(name);
    }
    Ok(())
}

const HELP: Command<Run> = Command {
    name: "pubsub|help",
    summary: "Lists the subcommands.",
    since: "6.2.0",
    complexity: "O(1)",
    arity: Arity::Exactly(2),
    acl: Acl::None,
    flags: &[Flag::Loading, Flag::Stale],
    run: Run::Session(|cx, _| {
        help(&mut cx.reply, "pubsub", SUBCOMMANDS);
        Ok(())
    }),
    ..SUBSCRIBE
};

const NUMPAT: Command<Run> = Command {
    name: "pubsub|numpat",
    summary: "Returns how many patterns somebody listens by.",
    complexity: "O(1)",
    arity: Arity::Exactly(2),
    run: Run::Session(|cx, _| {
        let count = cx.node.pubsub.topics.len(Kind::Pattern);
        cx.reply.integer(count as i64);
        Ok(())
    }),
    ..CHANNELS
};

const NUMSUB: Command<Run> = Command {
    name: "pubsub|numsub",
    summary: "Returns how many listen to each of the channels, patterns aside.",
    run: Run::Session(|cx, names| {
        count_subscribers(cx, names, Kind::Channel);
        Ok(())
    }),
    ..CHANNELS
};

const SHARDNUMSUB: Command<Run> = Command {
    name: "pubsub|shardnumsub",
    summary: "Returns how many listen to each of the shard channels.",
    run: Run::Session(|cx, names| {
        count_subscribers(cx, names, Kind::ShardChannel);
        Ok(())
    }),
    ..SHARDCHANNELS
};

fn count_subscribers(cx: &mut SessionCx<'_>, names: Args<'_>, kind: Kind) {
    cx.reply.array(2 * names.len());
    for name in names {
        cx.reply.bulk(name);
        cx.reply.integer(cx.node.pubsub.topics.subscribers(kind, name) as i64);
    }
}
