//! Requests from other cores that wait for a later turn, because this one has made enough replies.
//!
//! Only those of clients with large replies come here; the clients take turns.
//!
//! # Invariants
//!
//! * `turns` names every client with requests here once, and no lane is empty.
//! * While a request of a client is here, its later ones come behind it.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, Map, Set};

use crate::parcel::WaitingRequest;

type ClientId = (CoreId, ConnectionId);

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct PutOff {
    lanes: Map<ClientId, VecDeque<WaitingRequest>>,
    turns: VecDeque<ClientId>,
}

impl PutOff {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

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

    /// The first request of the client whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<WaitingRequest> {
        let client = self.turns.pop_front()?;
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
