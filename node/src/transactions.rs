//! Which transactions over several slices are still open, as far as this core's slices take part.
//!
//! A participant says yes once its fragment is committed by Raft and everything before it is
//! settled (PROTOCOL 3.6). When all participants of a core have said yes, the core vouches for
//! them to the others; when all cores have, the transaction is committed (3.7). Participants of
//! one node all recover together, so none ever says no while it runs.
//!
//! # Invariants
//!
//! * A transaction is here from the first that is heard of it until it is decided.

use base::{CoreId, Map, SliceId};
use smallvec::SmallVec;

use crate::attachment::Place;
use crate::topology::Topology;

/// A name for a transaction among the cores of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TransactionId {
    /// The core that executed it.
    pub(crate) core: CoreId,
    pub(crate) number: u64,
}

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Transactions {
    core: CoreId,
    open: Map<TransactionId, Open>,
    numbered: u64,
    /// Vouchers to be sent to other cores.
    vouchers: Vec<(CoreId, TransactionId)>,
    decided: Vec<TransactionId>,
}

#[derive(Debug, Default)]
struct Open {
    /// Whether `begin` was called; a voucher may come first.
    is_known: bool,
    slices: SmallVec<[SliceId; 4]>,
    others: SmallVec<[CoreId; 4]>,
    /// Slices of this core that have said yes.
    yes: usize,
    /// Other cores that have vouched.
    vouched: usize,
}

impl Transactions {
    pub(crate) fn new(core: CoreId) -> Self {
        Self { core, open: Map::default(), numbered: 0, vouchers: Vec::new(), decided: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// A name for the transaction that is being executed here.
    pub(crate) fn name(&mut self) -> TransactionId {
        self.numbered += 1;
        TransactionId { core: self.core, number: self.numbered }
    }

    /// A fragment was proposed here; called for each of the core's participants.
    pub(crate) fn begin(&mut self, id: TransactionId, places: &[Place], topology: Topology) {
        let open = self.open.entry(id).or_default();
        if open.is_known {
            return;
        }
        open.is_known = true;
        for place in places {
            let owner = topology.owner(place.slice);
            if owner == self.core {
                open.slices.push(place.slice);
            } else if !open.others.contains(&owner) {
                open.others.push(owner);
            }
        }
        assert!(!open.slices.is_empty(), "a core that proposes a fragment takes part");
    }

    /// One of this core's participants says yes.
    pub(crate) fn note_yes(&mut self, id: TransactionId) {
        let open = self.open.get_mut(&id).expect("a participant's transaction is open");
        open.yes += 1;
        assert!(open.yes <= open.slices.len());
        if open.yes == open.slices.len() {
            self.vouchers.extend(open.others.iter().map(|core| (*core, id)));
        }
        self.decide(id);
    }

    /// Another core vouches for its participants.
    pub(crate) fn note_voucher(&mut self, id: TransactionId) {
        self.open.entry(id).or_default().vouched += 1;
        self.decide(id);
    }

    fn decide(&mut self, id: TransactionId) {
        let open = &self.open[&id];
        let is_decided =
            open.is_known && open.yes == open.slices.len() && open.vouched == open.others.len();
        if is_decided {
            self.decided.push(id);
        }
    }

    /// A voucher to send.
    pub(crate) fn poll_voucher(&mut self) -> Option<(CoreId, TransactionId)> {
        self.vouchers.pop()
    }

    /// A transaction that is committed, and this core's participants.
    pub(crate) fn poll_decided(&mut self) -> Option<(TransactionId, SmallVec<[SliceId; 4]>)> {
        let id = self.decided.pop()?;
        let open = self.open.remove(&id).expect("it was open until it was decided");
        Some((id, open.slices))
    }
}
