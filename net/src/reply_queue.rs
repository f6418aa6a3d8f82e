//! A connection's replies in the order of its requests, held back until the log has caught up.
//!
//! A reply may depend on an entry of the log that is not yet settled: it is *parked* at that
//! entry's index, its *gate*, and *released* when the settled index reaches it. Replies leave in
//! the order of the requests, so a reply behind a parked one waits with it, whatever its own gate.
//! Therefore the queue is a few chunks of bytes, each with one gate, and the gates rise from front
//! to back:
//!
//! ```text
//!   front                                back
//!   | gate 0: +PONG $1 v | gate 7: +OK +OK +PONG | gate 9: +OK |
//!   '-- released --------'---- parked: settled is 6 -----------'
//! ```
//!
//! A reply is encoded before its gate is known: `begin` lends the buffer of the last chunk,
//! `commit` says the gate. If that is not above the chunk's, the bytes are where they belong: the
//! case of every reply that waits for nothing, and of all but the first that wait for one batch.
//! Otherwise the bytes of this one reply move into a chunk of their own.
//!
//! Buffers come from a pool and go to the socket as they are. A connection without replies holds
//! none.
//!
//! # Invariants
//!
//! * Between `commit` and `begin` no chunk is empty, and each gate is at least the one before it.
//! * `len` is the sum of the chunks' bytes.

use std::collections::VecDeque;

use base::LogIndex;

use crate::BufferPool;

/// A chunk that has reached this size is not appended to, and chunks are not put together beyond
/// it: bytes. It bounds what is copied when a buffer grows.
pub const CHUNK_SIZE: usize = 128 * 1024;

/// The replies of one connection. Owner: connection.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    chunks: VecDeque<Chunk>,
    /// Bytes of all committed replies.
    size: usize,
    /// Where in the last chunk the reply starts that is being encoded.
    open: Option<usize>,
}

#[derive(Debug)]
struct Chunk {
    gate: LogIndex,
    bytes: Vec<u8>,
}

/// A place within the reply that is being encoded, to go back to.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Mark(usize);

impl ReplyQueue {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a reply and lends the buffer to append it to.
    ///
    /// `floor` is what is known of its gate, `LogIndex::NONE` if nothing; a good one saves the
    /// move at `commit`.
    pub fn begin(&mut self, floor: LogIndex, pool: &mut BufferPool) -> &mut Vec<u8> {
        assert!(self.open.is_none(), "one reply at a time");
        let fits = |chunk: &Chunk| floor <= chunk.gate && chunk.bytes.len() < CHUNK_SIZE;
        if !self.chunks.back().is_some_and(fits) {
            let gate = self.last_gate().max(floor);
            self.chunks.push_back(Chunk { gate, bytes: pool.take() });
        }
        let bytes = &mut self.chunks.back_mut().expect("there is one now").bytes;
        self.open = Some(bytes.len());
        bytes
    }

    /// The buffer of the reply that was begun.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        assert!(self.open.is_some(), "a reply was begun");
        &mut self.chunks.back_mut().expect("a begun reply has a chunk").bytes
    }

    /// The place reached in the reply that was begun.
    pub fn mark(&self) -> Mark {
        assert!(self.open.is_some(), "a reply was begun");
        Mark(self.chunks.back().expect("a begun reply has a chunk").bytes.len())
    }

    /// Takes back what was encoded since `mark`; the reply goes on from there.
    pub fn rollback(&mut self, mark: Mark) -> &mut Vec<u8> {
        let start = self.open.expect("a reply was begun");
        let bytes = &mut self.chunks.back_mut().expect("a begun reply has a chunk").bytes;
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

    /// Ends the reply that was begun: it may leave when `gate` is settled, and all before it have
    /// left. A reply without bytes is no reply.
    pub fn commit(&mut self, gate: LogIndex, pool: &mut BufferPool) {
        let start = self.open.take().expect("a reply was begun");
        let last = self.chunks.back_mut().expect("a begun reply has a chunk");
        assert!(start <= last.bytes.len(), "only the reply's own bytes were taken back");
        let size = last.bytes.len() - start;
        self.size += size;
        if last.bytes.is_empty() {
            let chunk = self.chunks.pop_back().expect("it was looked at above");
            pool.give(chunk.bytes);
        } else if 0 < size && last.gate < gate {
            if start == 0 {
                last.gate = gate;
            } else {
                base::mark!("net: a reply moves behind its gate");
                let mut bytes = pool.take();
                bytes.extend_from_slice(&last.bytes[start..]);
                last.bytes.truncate(start);
                self.chunks.push_back(Chunk { gate, bytes });
            }
        }
    }

    /// The next bytes to send, if any may leave: all that is released, or the first part of it.
    ///
    /// Chunks of up to [`CHUNK_SIZE`] together become one buffer. What is left comes with the next
    /// call: the caller asks again when this buffer was sent.
    pub fn take_released(&mut self, settled: LogIndex, pool: &mut BufferPool) -> Option<Vec<u8>> {
        assert!(self.open.is_none(), "no reply is half encoded");
        let mut bytes = self.pop_released(settled, usize::MAX)?;
        while let Some(more) = self.pop_released(settled, CHUNK_SIZE.saturating_sub(bytes.len())) {
            base::mark!("net: released chunks leave together");
            bytes.extend_from_slice(&more);
            pool.give(more);
        }
        self.size -= bytes.len();
        Some(bytes)
    }

    /// Whether any bytes may leave.
    pub fn has_released(&self, settled: LogIndex) -> bool {
        self.chunks.front().is_some_and(|chunk| chunk.gate <= settled)
    }

    /// The bytes that wait, parked or released. A reply that is being encoded does not count.
    pub fn len(&self) -> usize {
        self.size
    }

    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// What the last reply waits for; `LogIndex::NONE` if it waits for nothing or there is none.
    pub fn last_gate(&self) -> LogIndex {
        self.chunks.back().map_or(LogIndex::NONE, |chunk| chunk.gate)
    }

    /// Drops all replies, a begun one too: their client is gone.
    pub fn clear(&mut self, pool: &mut BufferPool) {
        for chunk in self.chunks.drain(..) {
            pool.give(chunk.bytes);
        }
        self.size = 0;
        self.open = None;
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        assert!(self.open.is_none(), "no reply is half encoded");
        assert!(self.chunks.iter().all(|chunk| !chunk.bytes.is_empty()));
        assert!(self.chunks.iter().is_sorted_by_key(|chunk| chunk.gate));
        assert!(self.chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>() == self.size);
    }

    fn pop_released(&mut self, settled: LogIndex, size_max: usize) -> Option<Vec<u8>> {
        let front = self.chunks.front()?;
        if front.gate <= settled && front.bytes.len() <= size_max {
            self.chunks.pop_front().map(|chunk| chunk.bytes)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
