//! The part of a slice that moves: what executes on it needs this and its [`Space`], nothing else.
//!
//! A command over slices of several cores borrows them: the owner hands over the slice itself, a
//! pointer, and what the borrower executes comes back as closed entries. The slice's consensus
//! stays with the owner (see `group`); nothing is appended to it meanwhile, so the place of the
//! next entry is known wherever the slice is (PROTOCOL 3.3).
//!
//! # Invariants
//!
//! * Effects in the open batch will be at (`term`, `next`).

use base::{LogIndex, Now, SliceId, Term};
use engine::{BatchReader, Space};

use crate::attachment::{Attachment, Place};
use crate::gate::SliceGate;
use crate::planted::{Plant, Planted};
use crate::transactions::TransactionId;
use crate::watches::Watches;

/// Owner: the core that has it, its own or the one it is lent to.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) id: SliceId,
    pub(crate) gate: SliceGate,
    pub(crate) watches: Watches,
    /// Where the open batch will be.
    pub(crate) term: Term,
    pub(crate) next: LogIndex,
    /// When the first effect of the open batch was executed, and the bytes of it so far.
    opened_us: Option<u64>,
    open_size: usize,
    /// While it is lent: when the oldest effect was executed that its owner has not settled.
    pub(crate) lent_oldest_us: Option<u64>,
    /// The clock of the last batch: it never goes back (DESIGN section 4).
    clock_ms: u64,
    /// Of all effects in closed batches.
    checksum: Checksum,
    /// Entries made while the slice is lent, for its owner to propose.
    closed: Vec<Closed>,
}

/// One in so many entries tells the checksum of all effects before it.
const CHECKSUM_INTERVAL: u64 = 256;

/// The running checksum of a slice's effects, in the order of the log: CRC-32 of the last one and
/// the next batch's effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checksum(pub(crate) u32);

impl Checksum {
    /// Adds the effects of a batch's body.
    pub(crate) fn add(&mut self, body: &[u8]) {
        let batch = BatchReader::new(body).expect("a body that was made or read is a batch");
        if !batch.effects().is_empty() {
            let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
            hasher.update(batch.effects());
            self.0 = hasher.finalize();
        }
    }
}

/// A slice on its way to or from a borrower.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) slice: Box<Slice>,
    pub(crate) space: Box<Space>,
    /// How far it was settled when it was lent.
    pub(crate) settled: LogIndex,
}

/// An entry that is made and not yet proposed.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) term: Term,
    pub(crate) index: LogIndex,
    pub(crate) body: Vec<u8>,
    /// How many effects it holds.
    pub(crate) effects: usize,
    pub(crate) opened_us: u64,
    /// What it is a fragment of, and the places of all participants.
    pub(crate) fragment: Option<(TransactionId, Vec<Place>)>,
}

impl Slice {
    pub(crate) fn new(
        id: SliceId,
        term: Term,
        next: LogIndex,
        clock_ms: u64,
        checksum: Checksum,
    ) -> Self {
        Self {
            id,
            gate: SliceGate::default(),
            watches: Watches::default(),
            term,
            next,
            opened_us: None,
            lent_oldest_us: None,
            open_size: 0,
            clock_ms,
            checksum,
            closed: Vec::new(),
        }
    }

    /// The state machine's only clock: the stamp of the open batch.
    pub(crate) fn clock_ms(&self, now: Now) -> u64 {
        self.clock_ms.max(now.wall_ms)
    }

    /// Of all effects but those of the open batch.
    pub(crate) fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// When the first effect of the open batch was executed.
    pub(crate) fn opened_us(&self) -> Option<u64> {
        self.opened_us
    }

    /// Where the open batch will be, as a participant's place.
    pub(crate) fn place(&self) -> Place {
        Place { slice: self.id, term: self.term, index: self.next }
    }

    /// Bytes of the open batch, as far as they were noted.
    pub(crate) fn open_size(&self) -> usize {
        self.open_size
    }

    /// Effects were just added to the open batch: whoever looks at those keys waits for it.
    /// Returns by how many bytes it has grown.
    pub(crate) fn note_effects(&mut self, space: &mut Space, now: Now, planted: &Planted) -> usize {
        self.opened_us.get_or_insert(now.monotonic_us);
        let floor = space.batch.take_floor();
        if floor != 0 {
            if !planted.is(Plant::ForgetFloor) {
                self.gate.raise_floor(self.next);
            }
            if !self.watches.is_empty() {
                self.watches.note_floor(space, floor, self.clock_ms(now));
            }
        }
        if self.watches.is_empty() {
            space.batch.take_touched().for_each(|hash| self.gate.mark(hash, self.next));
        } else {
            let touched: Vec<u64> = space.batch.take_touched().collect();
            for hash in touched {
                self.gate.mark(hash, self.next);
                self.watches.note_write(space, hash);
            }
        }
        let before = std::mem::replace(&mut self.open_size, space.batch.len());
        self.open_size - before
    }

    /// Makes an entry of the open batch and of what is attached to it. The next effects open
    /// another.
    pub(crate) fn close(
        &mut self,
        space: &mut Space,
        attachment: &Attachment,
        transaction: Option<TransactionId>,
        mut body: Vec<u8>,
        now: Now,
    ) -> Closed {
        let mut attached = Vec::new();
        if self.next.0.is_multiple_of(CHECKSUM_INTERVAL) {
            let checksum = Some(self.checksum.0);
            Attachment { checksum, ..attachment.clone() }.encode(&mut attached);
        } else {
            attachment.encode(&mut attached);
        }
        self.clock_ms = self.clock_ms(now);
        let effects = space.batch.effect_count();
        space.batch.close_into(self.clock_ms, &attached, &mut body);
        self.checksum.add(&body);
        let fragment = transaction.map(|id| (id, attachment.fragment.to_vec()));
        self.open_size = 0;
        let opened_us = self.opened_us.take().unwrap_or(now.monotonic_us);
        let (term, index) = (self.term, self.next);
        self.next = self.next.next();
        Closed { term, index, body, effects, opened_us, fragment }
    }

    /// Keeps an entry for the owner to propose.
    pub(crate) fn keep_closed(&mut self, closed: Closed) {
        self.closed.push(closed);
    }

    /// The entries a borrower made, oldest first.
    pub(crate) fn take_closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.closed)
    }
}
