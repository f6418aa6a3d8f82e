//! The slices a core has: its own, less those it has lent, and those it has borrowed.
//!
//! Effects gather in each slice's open batch; [`Slices::close`] makes one entry of each. Slices
//! on which one command has executed are *linked*: their open batches become the fragments of
//! one transaction, whole, so that they count together or not at all (PROTOCOL section 3). A
//! turn's commands over several slices thus cost one transaction, not one each.
//!
//! # Invariants
//!
//! * A slice is here as a whole: its `Slice` and its `Space` are both here or both away.
//! * A slice with effects in its open batch is in `dirty`; a linked slice is here.
//! * `open_size` is the sum of the open batches' sizes as their slices have noted them.
//! * `proposed_size` is the sum of the bodies proposed since the last `emit`.
//! * A group with anything on its way is in `active`.

use base::limits::DATABASES;
use base::{CoreId, FrameSequence, LogIndex, Now, SliceId};
use engine::{EncodingLimits, Space, Spaces};
use wal::Wal;

use crate::attachment::Attachment;
use crate::group::Group;
use crate::parcel::{Message, Outbox};
use crate::planted::{Plant, Planted};
use crate::replay::SliceStart;
use crate::slice::{Lent, Slice};
use crate::topology::{SliceSet, Topology};
use crate::transactions::{TransactionId, Transactions};

/// How much a slice holds, as INFO tells it.
#[derive(Clone, Debug)]
pub(crate) struct SpaceCounts {
    pub(crate) used_bytes: usize,
    /// By database.
    pub(crate) keys: [KeyCounts; DATABASES as usize],
}

/// How many keys a database has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyCounts {
    pub(crate) all: u64,
    pub(crate) expiring: u64,
    /// Hashes with fields that expire.
    pub(crate) timed: u64,
}

impl SpaceCounts {
    fn of(space: &Space) -> Self {
        let mut keys = [KeyCounts::default(); DATABASES as usize];
        for (database, keys) in (0..).zip(&mut keys) {
            keys.all = space.keyspace.len(database) as u64;
            keys.expiring = space.keyspace.expires(database) as u64;
            keys.timed = space.keyspace.timed(database) as u64;
        }
        Self { used_bytes: space.keyspace.used_bytes(), keys }
    }
}

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Slices {
    core: CoreId,
    topology: Topology,
    spaces: Vec<Option<Box<Space>>>,
    slices: Vec<Option<Box<Slice>>>,
    /// Of this core's own slices.
    groups: Vec<Option<Box<Group>>>,
    /// How far each slice of the node is settled, as far as this core knows; behind them, how far
    /// the other cores know of its subscribers.
    settled: Vec<LogIndex>,
    dirty: SliceSet,
    /// Own slices that changed since they were last looked at.
    written: SliceSet,
    linked: SliceSet,
    active: SliceSet,
    /// Of own slices that are away.
    counts_away: Vec<Option<SpaceCounts>>,
    /// Bytes in the open batches that are here.
    open_size: usize,
    /// Bytes in entries that are proposed and not yet handed to the log.
    proposed_size: usize,
    bodies: Vec<Vec<u8>>,
    /// Up to where the own slices store values in one piece.
    limits: EncodingLimits,
}

impl Slices {
    pub(crate) fn new(core: CoreId, topology: Topology, starts: Vec<SliceStart>) -> Self {
        let count = usize::from(topology.slices());
        let mut slices = Self {
            core,
            topology,
            spaces: (0..count).map(|_| None).collect(),
            slices: (0..count).map(|_| None).collect(),
            groups: (0..count).map(|_| None).collect(),
            settled: vec![LogIndex::NONE; count + 1],
            dirty: SliceSet::default(),
            written: SliceSet::default(),
            linked: SliceSet::default(),
            active: SliceSet::default(),
            counts_away: (0..count).map(|_| None).collect(),
            open_size: 0,
            proposed_size: 0,
            bodies: Vec::new(),
            limits: EncodingLimits::default(),
        };
        for SliceStart { slice, space, group } in starts {
            let id = slice.id;
            assert!(topology.owner(id) == core);
            let at = usize::from(id.0);
            slices.settled[at] = group.settled();
            slices.spaces[at] = Some(space);
            slices.slices[at] = Some(slice);
            slices.groups[at] = Some(group);
            slices.active.insert(id);
            slices.written.insert(id);
        }
        assert!(topology.slices_of(core).all(|id| slices.groups[usize::from(id.0)].is_some()));
        slices
    }

    /// Up to where the own slices store values in one piece from now on. Those that are lent learn
    /// it when they come back.
    pub(crate) fn set_limits(&mut self, limits: EncodingLimits) {
        self.limits = limits;
        for (space, group) in self.spaces.iter_mut().zip(&self.groups) {
            if let (Some(space), Some(_)) = (space, group) {
                space.keyspace.set_limits(limits);
            }
        }
    }

    /// May commands execute on `slice` on this core now?
    pub(crate) fn is_here(&self, slice: SliceId) -> bool {
        self.slices[usize::from(slice.0)].is_some()
    }

    /// Does a long command have the slice, which is this core's?
    pub(crate) fn is_at_runner(&self, slice: SliceId) -> bool {
        self.group(slice).lent_to == Some(self.core)
    }

    pub(crate) fn slice(&self, id: SliceId) -> &Slice {
        self.slices[usize::from(id.0)].as_deref().expect("the slice is here")
    }

    pub(crate) fn slice_mut(&mut self, id: SliceId) -> &mut Slice {
        self.slices[usize::from(id.0)].as_deref_mut().expect("the slice is here")
    }

    pub(crate) fn space(&self, id: SliceId) -> &Space {
        self.spaces[usize::from(id.0)].as_deref().expect("the slice is here")
    }

    pub(crate) fn space_mut(&mut self, id: SliceId) -> &mut Space {
        self.spaces[usize::from(id.0)].as_deref_mut().expect("the slice is here")
    }

    /// The slice with its space.
    pub(crate) fn both(&mut self, id: SliceId) -> (&mut Slice, &mut Space) {
        let at = usize::from(id.0);
        let slice = self.slices[at].as_deref_mut().expect("the slice is here");
        (slice, self.spaces[at].as_deref_mut().expect("the slice is here"))
    }

    /// What a command over one slice works on.
    pub(crate) fn one(&mut self, id: SliceId) -> Spaces<'_> {
        Spaces::one(self.space_mut(id))
    }

    /// What a command over any slices that are here works on.
    pub(crate) fn many(&mut self) -> Spaces<'_> {
        Spaces::many(&mut self.spaces, self.topology.slices())
    }

    pub(crate) fn group(&self, id: SliceId) -> &Group {
        self.groups[usize::from(id.0)].as_deref().expect("the slice is this core's")
    }

    pub(crate) fn group_mut(&mut self, id: SliceId) -> &mut Group {
        self.groups[usize::from(id.0)].as_deref_mut().expect("the slice is this core's")
    }

    /// This core's own slices.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter_map(Option::as_deref)
    }

    /// The spaces that are here.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.iter().filter_map(Option::as_deref)
    }

    /// Are all own slices here?
    pub(crate) fn are_here(&self) -> bool {
        self.groups().all(|group| group.lent_to.is_none())
    }

    /// What own slices hold; those that are away, as they left.
    pub(crate) fn counts(&self) -> impl Iterator<Item = SpaceCounts> {
        self.topology.slices_of(self.core).map(|SliceId(slice)| {
            let at = usize::from(slice);
            match &self.spaces[at] {
                Some(space) => SpaceCounts::of(space),
                None => self.counts_away[at].clone().expect("it was counted as it left"),
            }
        })
    }

    pub(crate) fn settled(&self, slice: SliceId) -> LogIndex {
        self.settled[usize::from(slice.0)]
    }

    /// Another core says how far its slice is settled.
    pub(crate) fn note_settled(&mut self, slice: SliceId, settled: LogIndex) {
        let known = &mut self.settled[usize::from(slice.0)];
        assert!(*known <= settled, "what is settled stays settled");
        *known = settled;
    }

    /// Effects were just added to the open batch of `slice`.
    pub(crate) fn note_effects(&mut self, slice: SliceId, now: Now, planted: &Planted) {
        self.dirty.insert(slice);
        if self.groups[usize::from(slice.0)].is_some() {
            self.written.insert(slice);
        }
        let (slice, space) = self.both(slice);
        let grown = slice.note_effects(space, now, planted);
        self.open_size += grown;
    }

    /// The own slices that changed since the last call.
    pub(crate) fn take_written(&mut self) -> SliceSet {
        std::mem::take(&mut self.written)
    }

    /// What one command wrote, and what it read that is not settled, counts together.
    pub(crate) fn link(&mut self, participants: &SliceSet) {
        self.linked.extend(participants);
    }

    /// Effects in the open batches of these slices.
    pub(crate) fn effect_count(&self, slices: &SliceSet) -> usize {
        slices.iter().map(|slice| self.space(slice).batch.effect_count()).sum()
    }

    /// Has the open batch of `slice` only what was executed last?
    pub(crate) fn batch_is_new(&self, slice: SliceId) -> bool {
        !self.dirty.contains(slice)
    }

    /// The most bytes that what a key of a slice that is here holds takes in the log.
    pub(crate) fn value_size(&self, database: u16, key: &[u8]) -> usize {
        let slice = self.topology.slice_of(engine::slot_of(key));
        let entry = self.space(slice).keyspace.find(database, key);
        entry.map_or(0, |entry| entry.payload_size_max())
    }

    /// Bytes in the open batch of `slice`.
    pub(crate) fn batch_size(&self, slice: SliceId) -> usize {
        self.space(slice).batch.len()
    }

    /// Bytes in the open batches that are here.
    pub(crate) fn open_size(&self) -> usize {
        self.open_size
    }

    /// Bytes in entries that are made, here or by a borrower, and not yet handed to the log.
    pub(crate) fn proposed_size(&self) -> usize {
        self.proposed_size
    }

    /// Bytes that the log must have room for and has not got yet.
    pub(crate) fn unlogged_size(&self) -> usize {
        self.open_size + self.proposed_size
    }

    /// The largest open batch.
    pub(crate) fn batch_size_max(&self) -> usize {
        self.dirty.iter().map(|slice| self.batch_size(slice)).max().unwrap_or(0)
    }

    /// Lets the groups that do not lead yet campaign.
    pub(crate) fn tick(&mut self) {
        for slice in self.active.iter() {
            self.group_mut(slice).tick();
        }
    }

    /// Everything recovered is this core's own: its slices may execute. Call once.
    pub(crate) fn open(&mut self, now: Now) {
        for id in self.topology.slices_of(self.core) {
            let group = self.groups[usize::from(id.0)].as_deref_mut().expect("it is this core's");
            assert!(group.is_ready());
            let slice = self.slices[usize::from(id.0)].as_deref_mut().expect("nothing is lent yet");
            slice.term = group.term();
            slice.next = group.last().next();
            slice.gate.settle(group.settled());
            group.note_term();
            if let Some(first) = group.take_void() {
                let void = Attachment { void: Some(first), ..Attachment::default() };
                let space = self.spaces[usize::from(id.0)].as_deref_mut().expect("it is here");
                let closed = slice.close(space, &void, None, Vec::new(), now);
                group.propose(closed);
                self.active.insert(id);
            }
        }
    }

    /// All own slices lead and have committed an entry of their term.
    pub(crate) fn are_ready(&self) -> bool {
        self.groups().all(Group::is_ready)
    }

    /// Makes an entry of every open batch; linked ones become one transaction.
    pub(crate) fn close(&mut self, transactions: &mut Transactions, now: Now, planted: &Planted) {
        self.close_linked(transactions, now, planted);
        let dirty = std::mem::take(&mut self.dirty);
        for slice in dirty.iter() {
            self.close_slice(slice, Attachment::default(), None, now, transactions);
        }
    }

    /// Makes the linked open batches one transaction.
    pub(crate) fn close_linked(
        &mut self,
        transactions: &mut Transactions,
        now: Now,
        planted: &Planted,
    ) {
        let linked = std::mem::take(&mut self.linked);
        if linked.len() < 2 {
            return;
        }
        let places = linked.iter().map(|slice| self.slice(slice).place()).collect();
        let attachment = Attachment { fragment: places, ..Attachment::default() };
        let name = transactions.name();
        let is_planted = planted.is(Plant::ForgetFragment);
        for slice in linked.iter() {
            self.dirty.remove(slice);
            if is_planted {
                self.close_slice(slice, Attachment::default(), None, now, transactions);
            } else {
                self.close_slice(slice, attachment.clone(), Some(name), now, transactions);
            }
        }
    }

    fn close_slice(
        &mut self,
        id: SliceId,
        mut attachment: Attachment,
        transaction: Option<TransactionId>,
        now: Now,
        transactions: &mut Transactions,
    ) {
        let at = usize::from(id.0);
        let slice = self.slices[at].as_deref_mut().expect("a slice with an open batch is here");
        let space = self.spaces[at].as_deref_mut().expect("a slice with an open batch is here");
        if space.batch.is_empty() && transaction.is_none() {
            return;
        }
        self.open_size -= slice.open_size();
        let body = self.bodies.pop().unwrap_or_default();
        match self.groups[at].as_deref_mut() {
            None => {
                let closed = slice.close(space, &attachment, transaction, body, now);
                slice.keep_closed(closed);
            }
            Some(group) => {
                attachment.resolved = group.take_resolved();
                let closed = slice.close(space, &attachment, transaction, body, now);
                if let Some((id, places)) = &closed.fragment {
                    transactions.begin(*id, places, self.topology);
                }
                self.proposed_size += closed.body.len();
                group.propose(closed);
                self.active.insert(id);
            }
        }
    }

    /// Appends what is to be persisted to the log's open batch.
    pub(crate) fn emit(&mut self, wal: &mut Wal) -> SliceSet {
        self.proposed_size = 0;
        let mut emitted = SliceSet::default();
        for slice in self.active.iter() {
            let group = self.groups[usize::from(slice.0)].as_deref_mut().expect("it is active");
            if group.emit(wal, &mut self.bodies) {
                emitted.insert(slice);
            }
        }
        emitted
    }

    /// What `emitted` appended is durable once `frame` is.
    pub(crate) fn note_frame(&mut self, emitted: &SliceSet, frame: FrameSequence) {
        for slice in emitted.iter() {
            self.group_mut(slice).note_frame(frame);
        }
    }

    /// Learns what is durable and decided; hands every slice whose settled index moved to
    /// `moved`, with where it was.
    pub(crate) fn settle(
        &mut self,
        wal: &Wal,
        transactions: &mut Transactions,
        outbox: &mut Outbox,
        planted: &Planted,
        mut moved: impl FnMut(SliceId, LogIndex),
    ) {
        for slice in self.active.iter() {
            self.group_mut(slice).note_durable(wal);
        }
        if !transactions.is_empty() {
            self.decide(transactions, outbox, planted);
        }
        let mut still_active = SliceSet::default();
        for id in self.active.iter() {
            let at = usize::from(id.0);
            let group = self.groups[at].as_deref_mut().expect("it is active");
            let before = group.settled();
            if group.settle(planted) {
                let settled = group.settled();
                self.settled[at] = settled;
                if let Some(slice) = self.slices[at].as_deref_mut() {
                    slice.gate.settle(settled);
                }
                group.take_interested(before, |core| outbox.to(core).add_settled(id, settled));
                moved(id, settled);
            }
            if !group.is_settled() || !group.is_ready() {
                still_active.insert(id);
            }
        }
        self.active = still_active;
    }

    /// Lets participants say yes, and tells those whose transaction is decided, until no more
    /// follows from it.
    fn decide(&mut self, transactions: &mut Transactions, outbox: &mut Outbox, planted: &Planted) {
        loop {
            for slice in self.active.iter() {
                let group = self.groups[usize::from(slice.0)].as_deref_mut();
                let group = group.expect("it is active");
                while let Some(transaction) = group.poll_yes(planted) {
                    transactions.note_yes(transaction);
                }
            }
            while let Some((core, transaction)) = transactions.poll_voucher() {
                outbox.to(core).add_message(Message::Vouched(transaction));
            }
            let mut progress = false;
            while let Some((transaction, slices)) = transactions.poll_decided() {
                progress = true;
                for slice in slices {
                    self.group_mut(slice).decide(transaction);
                }
            }
            if !progress {
                return;
            }
        }
    }

    /// Takes own slices out to lend them to `borrower`: another core, or this one for its runner.
    pub(crate) fn lend(
        &mut self,
        slices: &SliceSet,
        borrower: CoreId,
        transactions: &mut Transactions,
        now: Now,
        planted: &Planted,
    ) -> Vec<Lent> {
        // What is linked counts together: it must not be torn apart.
        if slices.iter().any(|slice| self.linked.contains(slice)) {
            self.close_linked(transactions, now, planted);
        }
        let mut lent = Vec::with_capacity(slices.len());
        for id in slices.iter() {
            // The entry that is open is this core's: replies of its clients wait for it.
            if self.dirty.contains(id) {
                self.dirty.remove(id);
                self.close_slice(id, Attachment::default(), None, now, transactions);
            }
            let group = self.group_mut(id);
            assert!(group.lent_to.is_none());
            group.lent_to = Some(borrower);
            let settled = group.settled();
            let oldest_us = group.oldest_unsettled_us();
            let at = usize::from(id.0);
            let mut slice = self.slices[at].take().expect("a slice that is not lent is here");
            let space = self.spaces[at].take().expect("a slice that is not lent is here");
            self.counts_away[at] = Some(SpaceCounts::of(&space));
            slice.lent_oldest_us = oldest_us;
            lent.push(Lent { slice, space, settled });
        }
        lent
    }

    /// A slice comes back from its borrower: what was executed on it is proposed, and the borrower
    /// learns what it may wait for.
    pub(crate) fn take_back(
        &mut self,
        lent: Lent,
        transactions: &mut Transactions,
        outbox: &mut Outbox,
    ) {
        let Lent { mut slice, mut space, settled } = lent;
        space.keyspace.set_limits(self.limits);
        let id = slice.id;
        let at = usize::from(id.0);
        assert!(space.batch.is_empty(), "a borrower closes what it executed");
        assert!(self.slices[at].is_none());
        let group = self.groups[at].as_deref_mut().expect("the slice is this core's");
        let borrower = group.lent_to.take().expect("only what was lent comes back");
        for closed in slice.take_closed() {
            if let Some((id, places)) = &closed.fragment {
                transactions.begin(*id, places, self.topology);
            }
            self.proposed_size += closed.body.len();
            group.propose(closed);
            self.active.insert(id);
        }
        assert!(slice.next == group.last().next());
        slice.gate.settle(group.settled());
        slice.lent_oldest_us = None;
        if settled < group.settled() {
            outbox.to(borrower).add_settled(id, group.settled());
        }
        if !group.is_settled() {
            group.note_interest(borrower, group.last());
        }
        self.slices[at] = Some(slice);
        self.spaces[at] = Some(space);
        self.written.insert(id);
    }

    /// A slice of this core's comes back from its runner. What was executed on it is in its open
    /// batch.
    pub(crate) fn take_home(&mut self, lent: Lent) {
        let Lent { mut slice, mut space, .. } = lent;
        space.keyspace.set_limits(self.limits);
        let id = slice.id;
        let at = usize::from(id.0);
        assert!(self.slices[at].is_none());
        let group = self.groups[at].as_deref_mut().expect("the slice is this core's");
        let borrower = group.lent_to.take();
        assert!(borrower == Some(self.core), "it was lent to the runner");
        assert!(slice.next == group.last().next());
        slice.gate.settle(group.settled());
        slice.lent_oldest_us = None;
        self.slices[at] = Some(slice);
        self.spaces[at] = Some(space);
        self.written.insert(id);
    }

    /// Slices of other cores are here for a while.
    pub(crate) fn borrow(&mut self, lent: Vec<Lent>) {
        for Lent { slice, space, settled } in lent {
            let at = usize::from(slice.id.0);
            // What settled since may have arrived first.
            self.settled[at] = settled.max(self.settled[at]);
            assert!(self.groups[at].is_none());
            assert!(self.slices[at].is_none());
            self.slices[at] = Some(slice);
            self.spaces[at] = Some(space);
        }
    }

    /// Takes a borrowed slice out to give it back.
    pub(crate) fn give_back(&mut self, id: SliceId) -> Lent {
        let at = usize::from(id.0);
        assert!(self.groups[at].is_none());
        assert!(!self.linked.contains(id));
        self.dirty.remove(id);
        let slice = self.slices[at].take().expect("it was borrowed");
        let space = self.spaces[at].take().expect("it was borrowed");
        let settled = self.settled[at];
        Lent { slice, space, settled }
    }

    /// Everything executed on this core's slices can no longer be lost.
    pub(crate) fn are_settled(&self) -> bool {
        self.dirty.is_empty()
            && self.groups().all(|group| group.is_settled() && group.lent_to.is_none())
    }

    /// When the oldest effect that could still be lost was executed.
    pub(crate) fn oldest_unsettled_us(&self) -> Option<u64> {
        let active = self.active.iter();
        let proposed = active.filter_map(|slice| self.group(slice).oldest_unsettled_us()).min();
        let lent = self.slices.iter().flatten().filter_map(|slice| slice.lent_oldest_us).min();
        let dirty = self.dirty.iter();
        let open = dirty.filter_map(|slice| self.slice(slice).opened_us()).min();
        [proposed, lent, open].into_iter().flatten().min()
    }
}
