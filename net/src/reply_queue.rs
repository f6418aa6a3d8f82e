//! A connection's replies in the order of its requests, held back until they may be shown.
//!
//! A reply may depend on log entries that are not yet settled, of several slices: it is *parked*
//! at its *gates* and *released* when all of them are settled. It may also be made on another
//! core: then its place is *vacant* until the bytes come. Replies leave in the order of the
//! requests, so what is behind a parked reply or a vacancy waits with it.
//!
//! ```text
//!   ready                               behind
//!   | +PONG $1 v | +OK +OK | +OK |      vacancy 5 | +OK | vacancy 6 (filled) | vacancy 7 | $1 w |
//!   '- released -'- a:7 ---'- b:3 -'
//! ```
//!
//! A reply is encoded where it is sent from, before its gates are known: `begin` lends the buffer,
//! `commit` says the gates. In front of the first vacancy, which is everything for a connection
//! that uses the slices of its own core, nothing is copied, and nothing is noted but where a new
//! gate begins; when all is released, the buffer leaves as it is. What is behind a vacancy waits
//! in buffers of its own, and follows when the vacancy is filled.
//!
//! Buffers come from a pool and go to the socket as they are. A connection without replies holds
//! none.
//!
//! # Invariants
//!
//! * The first vacancy is not filled: when it is, all up to the next that is not becomes ready.
//! * Without vacancies nothing is behind.
//! * `size` is the sum of all bytes of committed replies and of filled vacancies.

mod behind;
mod stream;

use base::Gate;

use self::behind::Behind;
use self::stream::Stream;
use crate::BufferPool;

/// A chunk that has reached this size is not appended to, and chunks are not put together beyond
/// it: bytes. It bounds what is copied when a buffer grows.
pub const CHUNK_SIZE: usize = 128 * 1024;

/// A reply from another core is copied among the others up to this size: bytes. Beyond it, its
/// buffer is taken as it is.
const COPIED_SIZE_MAX: usize = 16 * 1024;

/// The replies of one connection. Owner: connection.
///
/// Whoever asks says what is settled, as a function. It must not take anything back, and must not
/// call a position settled while one before it in the same slice is not.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    /// What is in front of the first vacancy.
    ready: Stream,
    /// The vacancies and what is behind the first. Most connections never have one.
    behind: Option<Box<Behind>>,
    /// Bytes of all committed replies and filled vacancies.
    size: usize,
    /// The ticket of the next vacancy.
    next_ticket: u64,
    /// Where in the last chunk the reply starts that is being encoded.
    open: Option<usize>,
}

/// The right to fill one vacancy of one connection's replies, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// A place within the reply that is being encoded, to go back to.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Mark(usize);

/// What the first thing in the queue waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// There is nothing.
    Empty,
    /// Another core's reply.
    Vacant,
    /// This gate, and maybe others; after `take_released` one that is not settled.
    Waits(Gate),
    /// Nothing but to be taken.
    Free,
}

impl ReplyQueue {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a reply and lends the buffer to append it to.
    #[inline]
    pub fn begin(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        assert!(self.open.is_none(), "one reply at a time");
        let Self { ready, behind, open, .. } = self;
        let bytes = back(ready, behind).begin(pool);
        *open = Some(bytes.len());
        bytes
    }

    /// The buffer of the reply that was begun.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        assert!(self.open.is_some(), "a reply was begun");
        back(&mut self.ready, &mut self.behind).buffer()
    }

    /// The place reached in the reply that was begun.
    pub fn mark(&self) -> Mark {
        assert!(self.open.is_some(), "a reply was begun");
        let stream = match &self.behind {
            Some(behind) if !behind.is_empty() => &behind.local,
            _ => &self.ready,
        };
        Mark(stream.buffer_size())
    }

    /// Takes back what was encoded since `mark`; the reply goes on from there.
    pub fn rollback(&mut self, mark: Mark) -> &mut Vec<u8> {
        let start = self.open.expect("a reply was begun");
        let bytes = back(&mut self.ready, &mut self.behind).buffer();
        assert!(start <= mark.0, "the mark is of this reply");
        assert!(mark.0 <= bytes.len(), "the mark is not ahead");
        bytes.truncate(mark.0);
        bytes
    }

    /// Takes back the whole reply that was begun, to encode another in its place.
    pub fn restart(&mut self) -> &mut Vec<u8> {
        let start = self.open.expect("a reply was begun");
        self.rollback(Mark(start))
    }

    /// Ends the reply that was begun: it may leave when all of `gates` are settled, and all before
    /// it have left. A reply without bytes is no reply, but what comes behind it still waits for
    /// its gates.
    #[inline]
    pub fn commit(&mut self, gates: &[Gate], pool: &mut BufferPool) {
        let start = self.open.take().expect("a reply was begun");
        self.size += back(&mut self.ready, &mut self.behind).commit(start, gates, pool);
    }

    /// Leaves a place for a reply that another core makes.
    pub fn reserve(&mut self) -> Ticket {
        assert!(self.open.is_none(), "no reply is half encoded");
        self.behind.get_or_insert_default().reserve();
        self.next_ticket += 1;
        Ticket(self.next_ticket - 1)
    }

    /// Puts a reply at its place, to wait there for all of `gates`. Without bytes it is no reply,
    /// as with `commit`.
    pub fn fill(&mut self, ticket: Ticket, bytes: &[u8], gates: &[Gate], pool: &mut BufferPool) {
        let place = self.place(ticket);
        self.size += bytes.len();
        let behind = self.behind.as_mut().expect("there is a vacancy");
        if place == 0 {
            self.ready.gates(gates);
            self.ready.append(bytes, pool);
            self.follow(pool);
        } else {
            behind.fill(place, bytes, gates, pool);
        }
    }

    /// Like `fill`, and keeps the buffer of a large reply.
    pub fn fill_owned(
        &mut self,
        ticket: Ticket,
        bytes: Vec<u8>,
        gates: &[Gate],
        pool: &mut BufferPool,
    ) {
        let place = self.place(ticket);
        self.size += bytes.len();
        let behind = self.behind.as_mut().expect("there is a vacancy");
        if place == 0 {
            self.ready.gates(gates);
            self.ready.append_owned(bytes, pool);
            self.follow(pool);
        } else {
            behind.fill_owned(place, bytes, gates, pool);
        }
    }

    /// The gates that replies in front of the first vacancy wait for. Some may be settled: they
    /// count until `take_released` finds that.
    pub fn gates(&self) -> impl Iterator<Item = Gate> {
        self.ready.gates_ahead()
    }

    /// What is to be waited for until something can leave.
    pub fn front(&self) -> Front {
        if let Some(gate) = self.ready.front_gate() {
            Front::Waits(gate)
        } else if !self.ready.is_empty() {
            Front::Free
        } else if self.behind.as_ref().is_some_and(|behind| !behind.is_empty()) {
            Front::Vacant
        } else {
            Front::Empty
        }
    }

    /// The next bytes to send, if any may leave: all that is released, or the first part of it.
    ///
    /// Up to [`CHUNK_SIZE`] bytes come as one buffer. What is left comes with the next call: the
    /// caller asks again when this buffer was sent.
    pub fn take_released(
        &mut self,
        is_settled: impl Fn(Gate) -> bool,
        pool: &mut BufferPool,
    ) -> Option<Vec<u8>> {
        assert!(self.open.is_none(), "no reply is half encoded");
        let bytes = self.ready.take_released(is_settled, pool)?;
        self.size -= bytes.len();
        Some(bytes)
    }

    /// Whether any bytes may leave.
    pub fn has_released(&self, is_settled: impl Fn(Gate) -> bool) -> bool {
        self.ready.has_released(is_settled)
    }

    /// The bytes that wait, parked or released or filled in. A reply that is being encoded does
    /// not count.
    pub fn len(&self) -> usize {
        self.size
    }

    /// How many vacancies are not filled.
    pub fn vacant(&self) -> usize {
        self.behind.as_ref().map_or(0, |behind| behind.vacant())
    }

    /// Whether there is nothing to wait for: no bytes, no gates, no vacancies. A gate counts until
    /// `take_released` finds it settled.
    pub fn is_empty(&self) -> bool {
        self.front() == Front::Empty
    }

    /// Drops all replies, a begun one too, and the vacancies: their client is gone.
    pub fn clear(&mut self, pool: &mut BufferPool) {
        self.ready.clear(pool);
        if let Some(mut behind) = self.behind.take() {
            behind.clear(pool);
        }
        self.size = 0;
        self.open = None;
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert!(self.open.is_none(), "no reply is half encoded");
        let behind = self.behind.as_ref().map_or(0, |behind| behind.check());
        assert!(self.ready.check(0) + behind == self.size);
    }

    /// The place of a vacancy among those that are there.
    fn place(&self, ticket: Ticket) -> usize {
        assert!(self.open.is_none(), "no reply is half encoded");
        assert!(ticket.0 < self.next_ticket, "the ticket is of this connection");
        let count = self.behind.as_ref().map_or(0, |behind| behind.len());
        let from_back = usize::try_from(self.next_ticket - ticket.0).unwrap_or(usize::MAX);
        assert!(from_back <= count, "a vacancy is filled once");
        count - from_back
    }

    /// The first vacancy was filled: what is behind it, up to the next, follows.
    fn follow(&mut self, pool: &mut BufferPool) {
        let behind = self.behind.as_mut().expect("a vacancy was filled");
        behind.move_ready(&mut self.ready, pool);
        if behind.is_empty() && behind.is_oversized() {
            self.behind = None;
        }
    }
}

/// Where the reply goes that is begun next, or was begun.
#[inline]
fn back<'q>(ready: &'q mut Stream, behind: &'q mut Option<Box<Behind>>) -> &'q mut Stream {
    match behind {
        Some(behind) if !behind.is_empty() => &mut behind.local,
        _ => ready,
    }
}

#[cfg(test)]
mod tests;
