//! Channels: who has subscribed, what is published, and who gets it when.
//!
//! Subscriptions live on the core of their connection; every core knows how many each other core
//! has of each topic (see [`topics`]). So PUBLISH counts its receivers at once, delivers to those
//! of its own core, and sends one message to each core that has any.
//!
//! A subscription is confirmed only when every core counts it: the reply waits at a gate of its
//! own, behind the last slice, whose entries are tellings and which settles when all cores have
//! acknowledged. A publication that tells of writes in flight is held until they are settled (see
//! [`held`]); keyspace notifications always are.
//!
//! What is delivered is encoded once for each protocol and topic. A subscriber that does not keep
//! up is cut off at its limit, so that it costs nobody else anything.

pub(crate) mod deliver;
pub(crate) mod held;
pub(crate) mod topics;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use base::{ConnectionId, CoreId, Gate, LogIndex, Now, SliceId};
use engine::{Classes, KeyEvent};

use self::deliver::Delivery;
use self::held::{Body, Held};
use self::topics::{Count, Kind, Name, Receivers, Topics};
use crate::clients::queue_run;
use crate::multi::add_gates;
use crate::node::Node;
use crate::parcel::{Gates, Message};
use crate::session::Session;

/// Publications that wait for writes in flight, of a whole core: beyond it, a PUBLISH that would
/// add to them waits as well. Bytes.
const HELD_SIZE_MAX: usize = 64 * 1024 * 1024;

/// Publications on their way to one core: beyond it, PUBLISH waits. Bytes.
const AHEAD_SIZE_MAX: usize = 4 * 1024 * 1024;

/// Beyond it every command of this core's clients waits: notifications, and lines for those who
/// watch, are not asked for one by one. Bytes.
const FAR_AHEAD_SIZE_MAX: usize = 64 * 1024 * 1024;

/// A core acknowledges what it was sent in steps of so much: bytes.
const ACKNOWLEDGED_SIZE: usize = AHEAD_SIZE_MAX / 4;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct PubSub {
    pub(crate) topics: Topics,
    /// What the subscribers of this core are to get as soon as no session is worked on.
    deliveries: VecDeque<Delivery>,
    pub(crate) held: Held,
    /// By core: bytes sent to it that it has not acknowledged.
    ahead: Vec<usize>,
    /// Another core is so far behind that nothing may be added to it.
    pub(crate) is_far_ahead: bool,
    /// By core: bytes it has sent that were not acknowledged.
    owed: Vec<usize>,
    /// Clients that wait until less is held and less is on its way.
    waiting: Vec<ConnectionId>,
    /// Subscribers over their soft limit.
    slow: Vec<ConnectionId>,
}

/// Something published. Owner: whoever delivers it; it is shared.
#[derive(Debug)]
pub(crate) struct Publication {
    /// The kind of topic that gets it.
    pub(crate) kind: Kind,
    pub(crate) channel: Box<[u8]>,
    pub(crate) payload: Box<[u8]>,
}

/// What one client has subscribed to. Owner: session.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// By kind. Most clients have none.
    names: Option<Box<[BTreeSet<Name>; 4]>>,
    /// The telling that the other cores learn of the last change with.
    told: u64,
    /// The last publication of this client that was held.
    published: u64,
}

impl Publication {
    /// Bytes held, and what handling it costs besides.
    fn size(&self) -> usize {
        size_of::<Self>() + self.channel.len() + self.payload.len()
    }
}

impl Subscriptions {
    /// How many names of a kind.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.names.as_ref().map_or(0, |names| names[kind as usize].len())
    }

    /// The number that confirmations of this kind show.
    pub(crate) fn shown(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => self.len(Kind::Channel) + self.len(Kind::Pattern),
            Kind::ShardChannel | Kind::Monitor => self.len(kind),
        }
    }

    /// Has the client subscribed to channels or patterns of any kind?
    pub(crate) fn are_any(&self) -> bool {
        self.names.is_some() && 0 < self.shown(Kind::Channel) + self.shown(Kind::ShardChannel)
    }

    /// Does the client get what it has not asked for: messages, or the commands of others?
    pub(crate) fn is_listening(&self) -> bool {
        self.are_any() || 0 < self.len(Kind::Monitor)
    }

    pub(crate) fn contains(&self, kind: Kind, name: &[u8]) -> bool {
        self.names.as_ref().is_some_and(|names| names[kind as usize].contains(name))
    }

    /// The names of one kind, in their order.
    pub(crate) fn names(&self, kind: Kind) -> Vec<Name> {
        let names = self.names.as_ref().map(|names| names[kind as usize].iter().cloned());
        names.into_iter().flatten().collect()
    }
}

impl PubSub {
    pub(crate) fn new(core: CoreId, cores: u16) -> Self {
        Self {
            topics: Topics::new(core, cores),
            deliveries: VecDeque::new(),
            held: Held::default(),
            ahead: vec![0; usize::from(cores)],
            is_far_ahead: false,
            owed: vec![0; usize::from(cores)],
            waiting: Vec::new(),
            slow: Vec::new(),
        }
    }

    /// Somebody of this core is to get something.
    pub(crate) fn has_deliveries(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// Something may have become settled.
    pub(crate) fn note_settled(&mut self) {
        self.held.is_new = true;
    }

    /// The most that is on its way to one core.
    fn ahead(&self) -> usize {
        self.ahead.iter().copied().max().expect("there is a core")
    }

    /// `id` is to go on when less is held and less is on its way.
    pub(crate) fn wait(&mut self, id: ConnectionId) {
        self.waiting.push(id);
    }
}

impl Node {
    /// From here on these keyspace notifications are wanted (`notify-keyspace-events`). To be
    /// called on every core.
    pub fn set_notify_classes(&mut self, classes: Classes) {
        self.notify_classes = classes;
    }

    /// Subscribes a client; nothing happens if it has.
    pub(crate) fn subscribe(&mut self, session: &mut Session, kind: Kind, name: &[u8]) {
        let subscriptions = &mut session.client.subscriptions;
        if subscriptions.contains(kind, name) {
            return;
        }
        let name: Name = name.into();
        subscriptions.told = self.pubsub.topics.add(kind, &name, session.id);
        subscriptions.names.get_or_insert_default()[kind as usize].insert(name);
    }

    /// Ends a subscription; nothing happens if there is none.
    pub(crate) fn unsubscribe(&mut self, session: &mut Session, kind: Kind, name: &[u8]) {
        let subscriptions = &mut session.client.subscriptions;
        let Some(names) = &mut subscriptions.names else { return };
        if let Some(name) = names[kind as usize].take(name) {
            subscriptions.told = self.pubsub.topics.remove(kind, &name, session.id);
            if names.iter().all(BTreeSet::is_empty) {
                subscriptions.names = None;
            }
        }
    }

    /// Ends all subscriptions of a client, and its watching of commands.
    pub(crate) fn unsubscribe_all(&mut self, session: &mut Session) {
        let Some(names) = session.client.subscriptions.names.take() else { return };
        let kinds = [Kind::Channel, Kind::Pattern, Kind::ShardChannel, Kind::Monitor];
        for (kind, names) in kinds.into_iter().zip(*names) {
            for name in names {
                let told = self.pubsub.topics.remove(kind, &name, session.id);
                session.client.subscriptions.told = told;
            }
        }
    }

    /// The slice behind the last: its entries are this core's tellings.
    fn telling_slice(&self) -> SliceId {
        SliceId(self.topology.slices())
    }

    /// What the confirmation of a client's subscriptions waits for.
    pub(crate) fn telling_gate(&self, session: &Session) -> Option<Gate> {
        let gate = Gate {
            slice: self.telling_slice(),
            index: LogIndex(session.client.subscriptions.told),
        };
        (self.slices.settled(gate.slice) < gate.index).then_some(gate)
    }

    /// Tells the other cores how many subscribers this one has, where that has changed.
    pub(crate) fn tell_topics(&mut self) {
        let Some((number, counts)) = self.pubsub.topics.take_telling() else { return };
        let counts: Arc<[Count]> = counts.into();
        for core in self.topology.others(self.core) {
            let counts = Arc::clone(&counts);
            self.outbox.to(core).add_message(Message::Told { number, counts });
        }
    }

    /// Another core tells how many subscribers it has.
    pub(crate) fn note_told(&mut self, core: CoreId, number: u64, counts: &[Count]) {
        for count in counts {
            self.pubsub.topics.note_count(core, count);
        }
        self.outbox.to(core).add_message(Message::Known { number });
    }

    /// Another core counts this one's subscribers.
    pub(crate) fn note_known(&mut self, core: CoreId, number: u64) {
        let known = LogIndex(self.pubsub.topics.note_known(core, number));
        let slice = self.telling_slice();
        if self.slices.settled(slice) < known {
            self.slices.note_settled(slice, known);
            self.release_parked(slice, known);
        }
    }

    /// Must a PUBLISH of this client wait because too much is held, or on its way?
    pub(crate) fn must_wait_to_publish(&mut self, session: &Session) -> bool {
        let is_held_up =
            HELD_SIZE_MAX < self.pubsub.held.size() && !self.gates_before(session).is_empty();
        let must_wait = is_held_up || AHEAD_SIZE_MAX < self.pubsub.ahead();
        if must_wait {
            self.pubsub.wait(session.id);
        }
        must_wait
    }

    /// The writes in flight that a client's replies wait for.
    fn gates_before(&self, session: &Session) -> Gates {
        let slices = self.topology.slices();
        let in_flight =
            |gate: &Gate| gate.slice.0 < slices && self.slices.settled(gate.slice) < gate.index;
        session.replies.gates().filter(in_flight).collect()
    }

    /// Whom a publication would reach now.
    pub(crate) fn receivers(&self, kind: Kind, channel: &[u8]) -> Receivers {
        self.pubsub.topics.receivers(kind, channel)
    }

    /// Publishes what a client has, once its writes before it, and `gates`, are settled.
    pub(crate) fn publish_of(
        &mut self,
        session: &mut Session,
        publications: Vec<Publication>,
        gates: &[Gate],
    ) {
        if publications.is_empty() {
            return;
        }
        let mut all = session.client.durability.waits_for(self.gates_before(session));
        add_gates(&mut all, gates);
        let is_behind = self.pubsub.held.holds(session.client.subscriptions.published);
        for publication in publications {
            if all.is_empty() && !is_behind {
                self.publish(publication);
            } else {
                let body = Body::Message(publication);
                let number = self.pubsub.held.push(all.clone(), body);
                session.client.subscriptions.published = number;
            }
        }
    }

    /// Sends a publication to the cores that have subscribers, now.
    pub(crate) fn publish(&mut self, publication: Publication) {
        let receivers = self.receivers(publication.kind, &publication.channel);
        if receivers.count == 0 {
            return;
        }
        let publication = Arc::new(publication);
        for core in &receivers.cores {
            let publication = Arc::clone(&publication);
            let ahead = &mut self.pubsub.ahead[usize::from(core.0)];
            *ahead += publication.size();
            self.pubsub.is_far_ahead |= FAR_AHEAD_SIZE_MAX < *ahead;
            self.outbox.to(*core).add_message(Message::Published(publication));
        }
        if receivers.are_here {
            self.deliver_later(publication, self.core);
        }
    }

    /// Another core has published something.
    pub(crate) fn take_published(&mut self, from: CoreId, publication: Arc<Publication>, now: Now) {
        let owed = &mut self.pubsub.owed[usize::from(from.0)];
        *owed += publication.size();
        if ACKNOWLEDGED_SIZE <= *owed {
            let size = std::mem::take(owed);
            self.outbox.to(from).add_message(Message::Delivered { size });
        }
        self.deliver_later(publication, from);
        self.deliver_published(None, now);
    }

    /// Another core has delivered so many bytes of what this one sent it.
    pub(crate) fn note_delivered(&mut self, core: CoreId, size: usize) {
        self.pubsub.ahead[usize::from(core.0)] -= size;
        self.pubsub.is_far_ahead = FAR_AHEAD_SIZE_MAX < self.pubsub.ahead();
        self.wake_publishers();
    }

    /// Lets those go on that waited until less is held and less is on its way.
    fn wake_publishers(&mut self) {
        let Self { pubsub, sessions, runnable, .. } = self;
        if HELD_SIZE_MAX / 2 < pubsub.held.size() || AHEAD_SIZE_MAX / 2 < pubsub.ahead() {
            return;
        }
        for id in std::mem::take(&mut pubsub.waiting) {
            if let Some(session) = sessions.get_mut(id) {
                queue_run(runnable, session);
            }
        }
    }

    /// The subscribers of this core get a publication of `from`.
    fn deliver_later(&mut self, publication: Arc<Publication>, from: CoreId) {
        self.pubsub.deliveries.push_back(Delivery { publication, from });
    }

    /// Takes the keyspace notifications that were just gathered; they tell of what waits for
    /// `gates`, or of the last writes of their keys.
    ///
    /// Whoever changes keys outside of a command calls it behind that.
    pub(crate) fn take_events(&mut self, gates: &[Gate]) {
        if self.notes.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.notes.events);
        if !self.pubsub.topics.is_silent() {
            for event in events.drain(..) {
                let mut gates = Gates::from_slice(gates);
                let slice = self.topology.slice_of(engine::slot_of(&event.key));
                if self.slices.is_here(slice) {
                    let hash = self.slices.space(slice).keyspace.hash(event.db, &event.key);
                    let index = self.slices.slice(slice).gate.last_write(hash);
                    if self.slices.settled(slice) < index {
                        add_gates(&mut gates, &[Gate { slice, index }]);
                    }
                }
                self.pubsub.held.push(gates, Body::Event(event));
            }
        }
        events.clear();
        self.notes.events = events;
    }

    /// Publishes what has become settled.
    pub(crate) fn release_held(&mut self, now: Now) {
        if self.pubsub.held.is_new {
            let Self { pubsub, slices, .. } = self;
            let is_settled = |gate: Gate| gate.index <= slices.settled(gate.slice);
            for body in pubsub.held.release(is_settled) {
                match body {
                    Body::Message(publication) => self.publish(publication),
                    Body::Event(event) => self.publish_event(&event),
                }
            }
            self.wake_publishers();
        }
        if self.pubsub.has_deliveries() {
            self.deliver_published(None, now);
        }
    }

    fn publish_event(&mut self, event: &KeyEvent) {
        let KeyEvent { name, db, key } = event;
        let classes = self.notify_classes;
        let mut publish = |channel: &[&[u8]], payload: &[u8]| {
            let channel = channel.concat().into();
            self.publish(Publication { kind: Kind::Channel, channel, payload: payload.into() });
        };
        let db = db.to_string();
        if classes.on_keyspace() {
            publish(&[b"__keyspace@", db.as_bytes(), b"__:", key], name.as_bytes());
        }
        if classes.on_keyevent() {
            publish(&[b"__keyevent@", db.as_bytes(), b"__:", name.as_bytes()], key);
        }
    }
}
