//! Publications on their way into the replies of the subscribers of this core.
//!
//! A message lies between replies, behind those that are there already. Nothing is delivered
//! while a command executes: its own client, if it has subscribed, reads its reply first.

use std::sync::Arc;

use base::{CoreId, Now};
use net::{Encoder, Protocol};

use super::topics::Kind;
use super::{PubSub, Publication};
use crate::clients::queue_flush;
use crate::event::Pending;
use crate::node::Node;
use crate::session::Session;

/// Something for the subscribers of this core.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) publication: Arc<Publication>,
    /// The core it was published on.
    pub(crate) from: CoreId,
}

/// One publication for the subscribers of one topic, in each protocol that one of them speaks.
#[derive(Default)]
struct Encoded {
    by_protocol: [Vec<u8>; 2],
}

impl Encoded {
    fn get(
        &mut self,
        protocol: Protocol,
        kind: Kind,
        topic: &[u8],
        publication: &Publication,
    ) -> &[u8] {
        let out = &mut self.by_protocol[protocol as usize];
        if out.is_empty() {
            encode(out, protocol, kind, topic, publication);
        }
        out
    }
}

fn encode(
    out: &mut Vec<u8>,
    protocol: Protocol,
    kind: Kind,
    topic: &[u8],
    publication: &Publication,
) {
    let Publication { channel, payload, .. } = publication;
    let mut encoder = Encoder::new(out, protocol);
    match kind {
        Kind::Channel | Kind::ShardChannel => {
            encoder.push(3);
            encoder.bulk(if kind == Kind::Channel { b"message" } else { b"smessage" });
        }
        Kind::Pattern => {
            encoder.push(4);
            encoder.bulk(b"pmessage");
            encoder.bulk(topic);
        }
        Kind::Monitor => {
            out.push(b'+');
            out.extend_from_slice(payload);
            out.extend_from_slice(b"\r\n");
            return;
        }
    }
    encoder.bulk(channel);
    encoder.bulk(payload);
}

impl Node {
    /// Hands what was published to the subscribers of this core. `in_hand` is a session that is
    /// being worked on, if there is one.
    pub(crate) fn deliver_published(&mut self, mut in_hand: Option<&mut Session>, now: Now) {
        while let Some(Delivery { publication, from }) = self.pubsub.deliveries.pop_front() {
            let mut encoded = Encoded::default();
            let mut last: Option<Vec<u8>> = None;
            let Self { pubsub, sessions, pool, flush, output_size, outputs, stats, .. } = self;
            let PubSub { topics, slow, .. } = pubsub;
            let limit = self.settings.pubsub_output_limit;
            let Publication { kind, ref channel, .. } = *publication;
            topics.for_each_subscriber(kind, channel, from, |kind, topic, id| {
                if kind == Kind::Pattern && last.as_deref() != Some(topic) {
                    last = Some(topic.to_vec());
                    encoded = Encoded::default();
                }
                let session = match &mut in_hand {
                    Some(session) if session.id == id => Some(&mut **session),
                    _ => sessions.get_mut(id),
                };
                // Whoever is about to go gets nothing more, or it might never be done.
                let is_staying = |one: &&mut Session| !one.closed && !one.client.closing;
                let Some(session) = session.filter(is_staying) else { return };
                let protocol = session.client.protocol;
                let bytes = encoded.get(protocol, kind, topic, &publication);
                session.replies.begin(pool).extend_from_slice(bytes);
                session.replies.commit(&[], pool);
                *output_size += bytes.len();
                stats.messages_delivered += 1;
                let size = session.output_size();
                if limit.soft != 0 && limit.soft < size && session.slow_since_us.is_none() {
                    session.slow_since_us = Some(now.monotonic_us);
                    slow.push(id);
                }
                if limit.hard != 0 && limit.hard < size {
                    stats.subscribers_cut_off += 1;
                    cut_off(session);
                    outputs.push_back(Pending::Close { id });
                } else {
                    queue_flush(flush, session);
                }
            });
        }
    }

    /// Cuts off the subscribers that were over their soft limit for too long.
    pub(crate) fn cut_off_slow(&mut self, now: Now) {
        if self.pubsub.slow.is_empty() {
            return;
        }
        let Self { pubsub, sessions, outputs, stats, .. } = self;
        let PubSub { slow, .. } = pubsub;
        let limit = self.settings.pubsub_output_limit;
        slow.retain(|&id| {
            let Some(session) = sessions.get_mut(id) else { return false };
            if session.closed || limit.soft == 0 || session.output_size() <= limit.soft {
                session.slow_since_us = None;
                return false;
            }
            let since_us = session.slow_since_us.expect("it is among the slow");
            if now.monotonic_us < since_us.saturating_add(limit.soft_us()) {
                return true;
            }
            stats.subscribers_cut_off += 1;
            cut_off(session);
            outputs.push_back(Pending::Close { id });
            false
        });
    }

    /// When the next subscriber is to be cut off, unless it reads.
    pub(crate) fn slow_deadline_us(&self) -> Option<u64> {
        let slow = self.pubsub.slow.iter().filter_map(|id| self.sessions.get(*id)?.slow_since_us);
        Some(slow.min()?.saturating_add(self.settings.pubsub_output_limit.soft_us()))
    }
}

/// The connection ends with whatever is still in it.
fn cut_off(session: &mut Session) {
    session.closed = true;
    session.client.closing = true;
}
