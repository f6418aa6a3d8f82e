//! Who has subscribed to what: the connections of this core, and how many each other core has.
//!
//! Every core tells the others how many subscribers it has of each topic, as often as that
//! changes, at most once a turn: a *telling*. Tellings of one core are numbered and acknowledged,
//! so a core knows which of its subscriptions the others count. A publication of another core goes
//! only to those that it counted, so that its count is what was delivered.
//!
//! # Invariants
//!
//! * A topic has a subscriber on this core or on another.
//! * What is in `changed` was not told since it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{ConnectionId, CoreId, Map};
use engine::matches_glob;
use smallvec::SmallVec;

/// A channel's name, or a pattern.
pub(crate) type Name = Arc<[u8]>;

/// What is subscribed to. Names of different kinds do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    ShardChannel,
    /// All commands of the node (MONITOR). It has one topic, without a name.
    Monitor,
}

const KINDS: usize = 4;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Topics {
    by_kind: [Map<Name, Topic>; KINDS],
    /// Counts that the other cores do not know yet.
    changed: BTreeSet<(Kind, Name)>,
    /// The telling that the next change will be in.
    open: u64,
    /// By core: its last acknowledgement. This core's own is beyond every telling.
    known: Vec<u64>,
}

#[derive(Debug, Default)]
struct Topic {
    /// With the telling in which the other cores learn of each.
    local: BTreeMap<ConnectionId, u64>,
    remote: SmallVec<[(CoreId, u32); 2]>,
}

/// A core's number of subscribers of one topic.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
    pub(crate) subscribers: u32,
}

/// Where a publication goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receivers {
    /// Subscriptions it is delivered to, on all cores.
    pub(crate) count: usize,
    pub(crate) are_here: bool,
    /// The other cores that have some.
    pub(crate) cores: SmallVec<[CoreId; 4]>,
}

impl Topics {
    pub(crate) fn new(core: CoreId, cores: u16) -> Self {
        let mut known = vec![0; usize::from(cores)];
        known[usize::from(core.0)] = u64::MAX;
        Self { by_kind: Default::default(), changed: BTreeSet::new(), open: 1, known }
    }

    /// Adds a subscriber, and returns the telling that the other cores learn of it with; zero if
    /// there are none. It must not be one already.
    pub(crate) fn add(&mut self, kind: Kind, name: &Name, id: ConnectionId) -> u64 {
        let topic = self.by_kind[kind as usize].entry(Arc::clone(name)).or_default();
        let before = topic.local.insert(id, self.open);
        assert!(before.is_none(), "a connection subscribes once to a topic");
        self.note_change(kind, name)
    }

    /// Removes a subscriber, and returns the telling that the other cores learn of it with.
    pub(crate) fn remove(&mut self, kind: Kind, name: &Name, id: ConnectionId) -> u64 {
        let topics = &mut self.by_kind[kind as usize];
        let topic = topics.get_mut(name).expect("it has a subscriber");
        let telling = topic.local.remove(&id);
        assert!(telling.is_some(), "the connection has subscribed");
        if topic.is_empty() {
            topics.remove(name);
        }
        self.note_change(kind, name)
    }

    fn note_change(&mut self, kind: Kind, name: &Name) -> u64 {
        if self.known.len() == 1 {
            return 0;
        }
        self.changed.insert((kind, Arc::clone(name)));
        self.open
    }

    /// The next telling, if anything has changed: its number and what it says.
    pub(crate) fn take_telling(&mut self) -> Option<(u64, Vec<Count>)> {
        if self.changed.is_empty() {
            return None;
        }
        let changed = std::mem::take(&mut self.changed);
        let counts = changed.into_iter().map(|(kind, name)| {
            let topic = self.by_kind[kind as usize].get(&name);
            let subscribers = topic.map_or(0, |topic| topic.local.len() as u32);
            Count { kind, name, subscribers }
        });
        let counts = counts.collect();
        self.open += 1;
        Some((self.open - 1, counts))
    }

    /// Another core has told.
    pub(crate) fn note_count(&mut self, core: CoreId, count: &Count) {
        let Count { kind, name, subscribers } = count;
        let topics = &mut self.by_kind[*kind as usize];
        let topic = topics.entry(Arc::clone(name)).or_default();
        topic.remote.retain(|(known, _)| *known != core);
        if 0 < *subscribers {
            topic.remote.push((core, *subscribers));
        }
        if topic.is_empty() {
            topics.remove(name);
        }
    }

    /// Another core has acknowledged. Returns the last telling that all have.
    pub(crate) fn note_known(&mut self, core: CoreId, telling: u64) -> u64 {
        let known = &mut self.known[usize::from(core.0)];
        assert!(*known < telling);
        *known = telling;
        self.known.iter().copied().min().expect("there is a core")
    }

    /// Nobody has subscribed to anything that is published.
    pub(crate) fn is_silent(&self) -> bool {
        [Kind::Channel, Kind::Pattern].iter().all(|kind| self.by_kind[*kind as usize].is_empty())
    }

    /// Somebody watches the commands.
    pub(crate) fn has_monitors(&self) -> bool {
        !self.by_kind[Kind::Monitor as usize].is_empty()
    }

    /// Whom a publication on `name` reaches.
    pub(crate) fn receivers(&self, kind: Kind, name: &[u8]) -> Receivers {
        let mut receivers = Receivers::default();
        self.for_each_match(kind, name, |_, _, topic| {
            receivers.count += topic.local.len();
            receivers.are_here |= !topic.local.is_empty();
            for (core, subscribers) in &topic.remote {
                receivers.count += *subscribers as usize;
                if !receivers.cores.contains(core) {
                    receivers.cores.push(*core);
                }
            }
        });
        receivers
    }

    /// Hands every subscriber of this core that a publication of `from` is for to `take`, with
    /// the topic it subscribed to.
    pub(crate) fn for_each_subscriber(
        &self,
        kind: Kind,
        name: &[u8],
        from: CoreId,
        mut take: impl FnMut(Kind, &[u8], ConnectionId),
    ) {
        let counted = self.known[usize::from(from.0)];
        self.for_each_match(kind, name, |kind, name, topic| {
            for (id, telling) in &topic.local {
                if *telling <= counted {
                    take(kind, name, *id);
                }
            }
        });
    }

    fn for_each_match(&self, kind: Kind, name: &[u8], mut take: impl FnMut(Kind, &[u8], &Topic)) {
        if let Some(topic) = self.by_kind[kind as usize].get(name) {
            take(kind, name, topic);
        }
        if kind == Kind::Channel {
            for (pattern, topic) in &self.by_kind[Kind::Pattern as usize] {
                if matches_glob(pattern, name, false) {
                    take(Kind::Pattern, pattern, topic);
                }
            }
        }
    }

    /// The names of a kind that somebody has subscribed to.
    pub(crate) fn names(&self, kind: Kind) -> impl Iterator<Item = &Name> {
        self.by_kind[kind as usize].keys()
    }

    /// How many names of a kind somebody has subscribed to.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.by_kind[kind as usize].len()
    }

    /// How many have subscribed to one name, on all cores.
    pub(crate) fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.by_kind[kind as usize].get(name).map_or(0, Topic::len)
    }
}

impl Topic {
    fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }

    fn len(&self) -> usize {
        let remote = self.remote.iter().map(|(_, subscribers)| *subscribers as usize);
        self.local.len() + remote.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> ConnectionId {
        ConnectionId { index, generation: 1 }
    }

    fn name(text: &str) -> Name {
        text.as_bytes().into()
    }

    fn reached(topics: &Topics, channel: &str, from: u16) -> Vec<u32> {
        let mut reached = Vec::new();
        let take = |_: Kind, _: &[u8], id: ConnectionId| reached.push(id.index);
        topics.for_each_subscriber(Kind::Channel, channel.as_bytes(), CoreId(from), take);
        reached
    }

    #[test]
    fn receivers_are_counted_on_all_cores_and_by_patterns_too() {
        let mut topics = Topics::new(CoreId(0), 3);
        topics.add(Kind::Channel, &name("news"), id(1));
        topics.add(Kind::Pattern, &name("n*"), id(1));
        topics.add(Kind::ShardChannel, &name("news"), id(2));
        let told =
            |core, kind, name, subscribers| (CoreId(core), Count { kind, name, subscribers });
        for (core, count) in [
            told(1, Kind::Channel, name("news"), 2),
            told(2, Kind::Pattern, name("*s"), 3),
            told(2, Kind::Pattern, name("*t"), 5),
        ] {
            topics.note_count(core, &count);
        }
        let receivers = topics.receivers(Kind::Channel, b"news");
        assert_eq!(receivers.count, 1 + 1 + 2 + 3);
        assert!(receivers.are_here);
        assert_eq!(&receivers.cores[..], [CoreId(1), CoreId(2)]);
        let (core, count) = told(1, Kind::Channel, name("news"), 0);
        topics.note_count(core, &count);
        assert_eq!(topics.subscribers(Kind::Channel, b"news"), 1);
        assert_eq!(topics.receivers(Kind::ShardChannel, b"news").count, 1);
    }

    /// Red when `for_each_subscriber` delivers to all.
    #[test]
    fn a_publication_reaches_only_those_that_its_core_has_counted() {
        let mut topics = Topics::new(CoreId(0), 2);
        assert_eq!(topics.add(Kind::Channel, &name("a"), id(1)), 1);
        let (telling, counts) = topics.take_telling().expect("there is a subscriber");
        assert_eq!((telling, counts[0].subscribers), (1, 1));
        assert_eq!(topics.add(Kind::Channel, &name("a"), id(2)), 2);
        assert_eq!(reached(&topics, "a", 0), [1, 2]);
        assert_eq!(reached(&topics, "a", 1), [0; 0]);
        assert_eq!(topics.note_known(CoreId(1), 1), 1);
        assert_eq!(reached(&topics, "a", 1), [1]);
    }

    #[test]
    fn what_nobody_subscribes_to_is_forgotten() {
        let mut topics = Topics::new(CoreId(0), 1);
        assert_eq!(topics.add(Kind::Pattern, &name("x"), id(1)), 0);
        assert!(!topics.is_silent());
        topics.remove(Kind::Pattern, &name("x"), id(1));
        assert!(topics.is_silent());
        assert!(topics.take_telling().is_none(), "there is no other core");
    }
}
