//! Clients that cost and do nothing: those silent for long, those that do not read.

use base::Now;

use crate::event::Pending;
use crate::node::Node;
use crate::session::Session;
use crate::settings::OutputLimit;

/// How often the clients are looked over: microseconds.
const INTERVAL_US: u64 = 1_000_000;

/// Places of clients looked at in one turn.
const PER_TURN: usize = 512;

const SECOND_US: u64 = 1_000_000;

/// Where the look over the clients stands. Owner: core.
#[derive(Debug, Default)]
pub(crate) struct IdleCheck {
    /// The next place; None: all were looked at.
    at: Option<usize>,
    next_us: u64,
}

impl Node {
    /// When the clients must be looked at next.
    pub(crate) fn idle_timeout(&self) -> Option<u64> {
        if !self.checks_clients() {
            None
        } else if self.idle.at.is_some() {
            Some(0)
        } else {
            Some(self.idle.next_us)
        }
    }

    /// Is there any limit that time brings about?
    fn checks_clients(&self) -> bool {
        let settings = &self.settings;
        let has_soft = 0 < settings.output_limit.soft;
        0 < self.sessions.len() && (0 < settings.timeout_s || has_soft)
    }

    /// Looks at some of the clients.
    pub(crate) fn run_idle_check(&mut self, now: Now) {
        if !self.checks_clients() {
            self.idle.at = None;
            return;
        }
        let at = match self.idle.at {
            Some(at) => at,
            None if self.idle.next_us <= now.monotonic_us => {
                self.idle.next_us = now.monotonic_us + INTERVAL_US;
                0
            }
            None => return,
        };
        let end = at + PER_TURN;
        self.idle.at = (end < self.sessions.places()).then_some(end);
        for place in at..end {
            let Some(id) = self.sessions.id_at(place) else { continue };
            let Some(mut session) = self.sessions.take(id) else { continue };
            if self.is_idle(&session, now) {
                self.stats.clients_idle_closed += 1;
                self.close_now(&mut session);
            } else {
                self.limit_output(&mut session, now);
            }
            self.sessions.put_back(session);
        }
    }

    /// Has the client been silent for longer than it may, with nothing under way for it?
    fn is_idle(&self, session: &Session, now: Now) -> bool {
        let timeout_us = self.settings.timeout_s.saturating_mul(SECOND_US);
        let last_us = session.received_us.max(session.progress_us);
        let is_waiting = session.held.is_some() || 0 < session.jobs;
        let owes = 0 < session.replies.vacant();
        0 < timeout_us
            && !session.closed
            && !is_waiting
            && !owes
            && last_us.saturating_add(timeout_us) < now.monotonic_us
    }

    /// Closes a client with more replies waiting than it may have.
    pub(crate) fn limit_output(&mut self, session: &mut Session, now: Now) {
        let limit = self.settings.output_limit;
        let OutputLimit { hard, soft, .. } = limit;
        let size = session.output_size();
        if size <= soft || soft == 0 {
            session.over_soft_us = None;
        } else if session.over_soft_us.is_none() {
            session.over_soft_us = Some(now.monotonic_us);
        }
        let is_over_soft = session
            .over_soft_us
            .is_some_and(|since| since.saturating_add(limit.soft_us()) <= now.monotonic_us);
        let is_over = (0 < hard && hard < size) || is_over_soft;
        if is_over && !session.closed {
            self.stats.clients_output_closed += 1;
            self.close_now(session);
        }
    }

    /// Closes a connection with what it is owed.
    pub(crate) fn close_now(&mut self, session: &mut Session) {
        session.closed = true;
        self.outputs.push_back(Pending::Close { id: session.id });
    }

    /// Keeps the count of the bytes of requests that wait.
    pub(crate) fn count_input(&mut self, session: &mut Session) {
        let transaction = session.client.transaction.as_ref();
        let queued = transaction.map_or(0, |transaction| transaction.size());
        let size = session.input.rest().len() + session.decoder.allocated() + queued;
        self.input_size = self.input_size - session.counted_input + size;
        session.counted_input = size;
    }
}
