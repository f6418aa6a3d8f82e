//! Requests from other cores, and queued ones of this core's clients, that wait for room in the log.
//!
//! They wait in order; what comes from the same client for the same slice waits behind. Who waits is
//! counted, because a disk that stalls under load may hold up tens of thousands.
//!
//! # Invariants
//!
//! * `clients` and `places` count the requests in `queue`; neither holds a zero.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, Map, Set, SliceId};

use crate::parcel::WaitingRequest;
use crate::topology::SliceSet;

type ClientId = (CoreId, ConnectionId);

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Stalled {
    queue: VecDeque<StalledRequest>,
    clients: Map<ClientId, usize>,
    places: Map<(ClientId, SliceId), usize>,
    numbered: u64,
    /// Requests that wait for room themselves, not only behind others.
    without_room: Set<u64>,
    /// Room was set aside for one since the last pass.
    is_granted: bool,
}

#[derive(Debug)]
pub(crate) struct StalledRequest {
    number: u64,
    pub(crate) request: WaitingRequest,
    /// It was to wait for room itself.
    needs_room: bool,
}

impl StalledRequest {
    /// Room was set aside for it.
    pub(crate) fn is_granted(&self) -> bool {
        self.needs_room
    }
}

impl Stalled {
    /// Adds a request and returns its number. `needs_room`: it waits for room itself.
    pub(crate) fn push(&mut self, request: WaitingRequest, needs_room: bool) -> u64 {
        self.numbered += 1;
        if needs_room {
            self.without_room.insert(self.numbered);
        }
        self.put(StalledRequest { number: self.numbered, request, needs_room });
        self.numbered
    }

    /// Puts one that still waits back, behind those that were put back before.
    pub(crate) fn put(&mut self, stalled: StalledRequest) {
        let (client, slice) = place(&stalled.request);
        *self.clients.entry(client).or_default() += 1;
        *self.places.entry((client, slice)).or_default() += 1;
        self.queue.push_back(stalled);
    }

    /// Somebody may go on whom no pass has come to.
    pub(crate) fn is_granted(&self) -> bool {
        self.is_granted
    }

    /// There is room for the request of this number.
    pub(crate) fn grant(&mut self, number: u64) {
        self.is_granted |= self.without_room.remove(&number);
    }

    /// All requests in order, for a pass over them, if one of them was granted room.
    pub(crate) fn take(&mut self) -> VecDeque<StalledRequest> {
        if !std::mem::take(&mut self.is_granted) {
            return VecDeque::new();
        }
        self.clients.clear();
        self.places.clear();
        std::mem::take(&mut self.queue)
    }

    /// Does this request wait for room itself?
    pub(crate) fn waits(&self, stalled: &StalledRequest) -> bool {
        self.without_room.contains(&stalled.number)
    }

    /// Does any request of this connection wait here?
    pub(crate) fn has_client(&self, client: (CoreId, ConnectionId)) -> bool {
        !self.clients.is_empty() && self.clients.contains_key(&client)
    }

    /// Does a request of this connection for this slice wait here?
    pub(crate) fn has_place(&self, client: (CoreId, ConnectionId), slice: SliceId) -> bool {
        !self.places.is_empty() && self.places.contains_key(&(client, slice))
    }

    /// Does any request of one of these clients of `core` for one of these slices wait here?
    pub(crate) fn has_any(
        &self,
        core: CoreId,
        clients: &Set<ConnectionId>,
        slices: &SliceSet,
    ) -> bool {
        let waits =
            |id: &ConnectionId| slices.iter().any(|slice| self.has_place((core, *id), slice));
        !self.places.is_empty() && clients.iter().any(waits)
    }
}

fn place(request: &WaitingRequest) -> (ClientId, SliceId) {
    (request.address.client(), request.slice)
}
