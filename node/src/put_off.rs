//! Requests from other cores that wait for a later turn, because this one has made enough replies, or
//! because a long command has their slice.
//!
//! Only those of clients with large replies come here; the clients take turns.
//!
//! # Invariants
//!
//! * `turns` names every client with requests here once, and no lane is empty.
//! * While a request of a client is here, its later ones come behind it.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, Map, Set, SliceId};

use crate::parcel::WaitingRequest;

type ClientId = (CoreId, ConnectionId);

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct PutOff {
    lanes: Map<ClientId, VecDeque<WaitingRequest>>,
    turns: VecDeque<ClientId>,
}

impl PutOff {
    pub(crate) fn push(&mut self, request: WaitingRequest) {
        let client = request.address.client();
        let lane = self.lanes.entry(client).or_default();
        if lane.is_empty() {
            self.turns.push_back(client);
        }
        lane.push_back(request);
    }

    /// Puts requests that came before all that are here ahead of those of their clients.
    pub(crate) fn push_ahead(&mut self, requests: Vec<WaitingRequest>) {
        for request in requests.into_iter().rev() {
            let client = request.address.client();
            let lane = self.lanes.entry(client).or_default();
            if lane.is_empty() {
                self.turns.push_back(client);
            }
            lane.push_front(request);
        }
    }

    /// Is there anything that can run?
    pub(crate) fn has_ready(&self, is_here: impl Fn(SliceId) -> bool) -> bool {
        self.turns.iter().any(|client| is_here(self.lanes[client][0].slice))
    }

    /// The first request of the first client in turn whose slice is here.
    pub(crate) fn pop(&mut self, is_here: impl Fn(SliceId) -> bool) -> Option<WaitingRequest> {
        let is_ready = |client: &ClientId| is_here(self.lanes[client][0].slice);
        let at = self.turns.iter().position(is_ready)?;
        let client = self.turns.remove(at)?;
        let lane = self.lanes.get_mut(&client).expect("a client in turn has a lane");
        let request = lane.pop_front().expect("no lane is empty");
        if lane.is_empty() {
            self.lanes.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        assert!(self.turns.len() == self.lanes.len());
        Some(request)
    }

    pub(crate) fn has_client(&self, client: ClientId) -> bool {
        !self.lanes.is_empty() && self.lanes.contains_key(&client)
    }

    /// Does any request of one of these clients of `core` wait here?
    pub(crate) fn has_any(&self, core: CoreId, clients: &Set<ConnectionId>) -> bool {
        !self.lanes.is_empty() && clients.iter().any(|id| self.lanes.contains_key(&(core, *id)))
    }
}
