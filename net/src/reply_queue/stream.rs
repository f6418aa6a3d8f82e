//! Replies in a row: bytes in the buffers they were encoded into, and the gates among them.
//!
//! ```text
//!   chunks    | +PONG +OK +OK +OK $1 v | $200000 .. |
//!   positions   ^0    ^5  ^10                       ^end
//!   barriers          a:7 b:3
//! ```
//!
//! A *barrier* says that nothing from its position on may leave before its gate is settled. So a
//! reply without a gate costs no bookkeeping, several gates of one reply are several barriers at
//! one position, and a gate that an earlier barrier implies is not noted at all.
//!
//! A [`ReplyQueue`](super::ReplyQueue) has one stream of what comes before its first vacancy, and
//! one of what was executed here behind it. In that one, a vacancy takes one position itself:
//! whatever is at or below that position comes before it, whatever is above comes behind it.
//!
//! # Invariants
//!
//! * Outside of a begun reply no chunk is empty but the last, and that one has no memory then.
//! * Barriers rise by position, from `start` to `end`, and none is of no gate.
//! * Each slice with a barrier has its bit in `slices`; without barriers none has.
//! * Of a chunk, less than [`CHUNK_SIZE`] has left already.

use std::collections::VecDeque;

use base::Gate;

use super::{CHUNK_SIZE, COPIED_SIZE_MAX};
use crate::BufferPool;

/// See the file's header. Owner: connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The chunks before the last: seldom any.
    full: VecDeque<Chunk>,
    /// Where replies are appended. It has no memory if there is nothing in it.
    last: Chunk,
    barriers: VecDeque<Barrier>,
    /// Position of the first byte that is still here.
    start: u64,
    /// Position behind the last byte of the last committed reply.
    end: u64,
    /// A bit for each slice, modulo 64, that may have a barrier.
    slices: u64,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// How many of its bytes have left already.
    left: usize,
}

#[derive(Debug)]
struct Barrier {
    position: u64,
    gate: Gate,
}

/// So many barriers are looked at for one that implies a new gate. It is no use to look further:
/// a turn's replies wait for at most one position of each slice of a core.
const BARRIER_SCAN_COUNT: usize = 16;

/// A chunk's bytes that have left are kept up to this size, whatever is behind them: bytes. A
/// buffer from the pool is about as large.
const CUT_SIZE_MIN: usize = 4 * 1024;

/// A queue that grew beyond this and was emptied gives its memory back: items.
pub(super) const KEPT_COUNT_MAX: usize = 64;

impl Stream {
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Neither bytes nor a barrier.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end && self.barriers.is_empty()
    }

    /// The buffer to encode the next reply into.
    #[inline]
    pub(super) fn begin(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        self.make_room(CHUNK_SIZE - 1, pool);
        &mut self.last.bytes
    }

    /// The buffer that `begin` lent.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.last.bytes
    }

    /// How much the buffer holds that `begin` lent.
    pub(super) fn buffer_size(&self) -> usize {
        self.last.bytes.len()
    }

    /// Ends the reply that starts at `start` of the buffer. Returns its size.
    #[inline]
    pub(super) fn commit(&mut self, start: usize, gates: &[Gate], pool: &mut BufferPool) -> usize {
        let buffer_size = self.last.bytes.len();
        assert!(start <= buffer_size, "only the reply's own bytes were taken back");
        self.gates(gates);
        self.end += (buffer_size - start) as u64;
        if buffer_size == 0 {
            pool.give(std::mem::take(&mut self.last.bytes));
        }
        buffer_size - start
    }

    /// What comes from here on waits for all of `gates`.
    #[inline]
    pub(super) fn gates(&mut self, gates: &[Gate]) {
        for gate in gates {
            self.barrier(self.end, *gate);
        }
    }

    /// The gates that something here waits for, in the order of what waits.
    pub(super) fn gates_ahead(&self) -> impl Iterator<Item = Gate> {
        self.barriers.iter().map(|barrier| barrier.gate)
    }

    /// Copies a whole reply behind what is here.
    pub(super) fn append(&mut self, bytes: &[u8], pool: &mut BufferPool) {
        if bytes.is_empty() {
            return;
        }
        self.make_room(CHUNK_SIZE.saturating_sub(bytes.len()), pool);
        self.last.bytes.extend_from_slice(bytes);
        self.end += bytes.len() as u64;
    }

    /// Puts a whole reply behind what is here, and copies it only if that is the cheaper way.
    pub(super) fn append_owned(&mut self, bytes: Vec<u8>, pool: &mut BufferPool) {
        if bytes.len() <= COPIED_SIZE_MAX {
            self.append(&bytes, pool);
            pool.give(bytes);
        } else {
            self.end += bytes.len() as u64;
            self.push(Chunk { bytes, left: 0 });
        }
    }

    /// A vacancy: takes a position, which it returns.
    pub(super) fn push_vacancy(&mut self) -> u64 {
        self.end += 1;
        self.end - 1
    }

    /// The vacancy at the front was filled: its position is gone.
    pub(super) fn pop_vacancy(&mut self) {
        self.start += 1;
        assert!(self.start <= self.end, "the vacancy took a position");
    }

    /// Moves what is in front of position `end` of `source` behind what is here. Large chunks, and
    /// all if nothing is here, change hands; the others are copied.
    pub(super) fn append_from(&mut self, source: &mut Self, end: u64, pool: &mut BufferPool) {
        while let Some(barrier) = source.barriers.pop_front_if(|barrier| barrier.position <= end) {
            self.barrier(self.end + (barrier.position - source.start), barrier.gate);
        }
        source.tidy();
        while source.start < end {
            let here = source.front().here();
            let size = here.len().min(usize_of(end - source.start));
            let is_whole = size == here.len();
            if is_whole && (COPIED_SIZE_MAX < size || self.start == self.end) {
                base::mark!("net: a chunk behind a vacancy changes hands");
                let chunk = source.pop_front();
                self.push(chunk);
                self.end += size as u64;
                source.start += size as u64;
            } else {
                self.append(&here[..size], pool);
                source.drop_front(size, pool);
            }
        }
    }

    /// What waits at the front, if no byte may leave before.
    pub(super) fn front_gate(&self) -> Option<Gate> {
        let barrier = self.barriers.front()?;
        (barrier.position == self.start).then_some(barrier.gate)
    }

    /// Whether any bytes may leave.
    pub(super) fn has_released(&self, is_settled: impl Fn(Gate) -> bool) -> bool {
        for barrier in &self.barriers {
            if self.start < barrier.position {
                return true;
            }
            if !is_settled(barrier.gate) {
                return false;
            }
        }
        self.start < self.end
    }

    /// The next bytes to send, if any may leave.
    pub(super) fn take_released(
        &mut self,
        is_settled: impl Fn(Gate) -> bool,
        pool: &mut BufferPool,
    ) -> Option<Vec<u8>> {
        while self.barriers.pop_front_if(|barrier| is_settled(barrier.gate)).is_some() {}
        self.tidy();
        let end = self.barriers.front().map_or(self.end, |barrier| barrier.position);
        let mut bytes = self.take_front(end, pool)?;
        while self.start < end {
            let here = self.front().here();
            let size = here.len().min(usize_of(end - self.start));
            if CHUNK_SIZE < bytes.len() + size {
                break;
            }
            base::mark!("net: released chunks leave together");
            bytes.extend_from_slice(&here[..size]);
            self.drop_front(size, pool);
        }
        Some(bytes)
    }

    /// Drops everything, what was begun as well.
    pub(super) fn clear(&mut self, pool: &mut BufferPool) {
        for chunk in self.full.drain(..) {
            pool.give(chunk.bytes);
        }
        pool.give(std::mem::take(&mut self.last).bytes);
        self.barriers.clear();
        self.start = self.end;
        self.tidy();
    }

    /// Asserts the invariants. Returns how many bytes are here; `vacant` positions are none.
    pub(super) fn check(&self, vacant: usize) -> usize {
        let size = |chunk: &Chunk| {
            assert!(chunk.left < chunk.bytes.len(), "a chunk that has left is gone");
            assert!(chunk.left < CHUNK_SIZE);
            chunk.bytes.len() - chunk.left
        };
        let full: usize = self.full.iter().map(size).sum();
        let total = full + if self.last.bytes.capacity() == 0 { 0 } else { size(&self.last) };
        assert!((total + vacant) as u64 == self.end - self.start);
        assert!(self.barriers.iter().is_sorted_by_key(|barrier| barrier.position));
        assert!(!self.barriers.is_empty() || self.slices == 0);
        for Barrier { position, gate } in &self.barriers {
            assert!(!gate.is_none());
            assert!(self.start <= *position && *position <= self.end);
            assert!(self.slices & bit(*gate) != 0);
        }
        total
    }

    #[cfg(test)]
    pub(super) fn barriers_count(&self) -> usize {
        self.barriers.len()
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.full.iter().chain([&self.last]).map(|chunk| chunk.bytes.capacity()).sum()
    }

    #[cfg(test)]
    pub(super) fn front_address(&self) -> *const u8 {
        self.front().bytes.as_ptr()
    }

    #[inline]
    fn barrier(&mut self, position: u64, gate: Gate) {
        if gate.is_none() {
            return;
        }
        let is_implied =
            |last: &Barrier| last.gate.slice == gate.slice && gate.index <= last.gate.index;
        if !self.barriers.back().is_some_and(is_implied) && !self.is_covered(position, gate) {
            self.slices |= bit(gate);
            self.barriers.push_back(Barrier { position, gate });
        }
    }

    /// Whether one of the last barriers stands for one at `position` too, or was made to.
    #[inline]
    fn is_covered(&mut self, position: u64, gate: Gate) -> bool {
        if self.slices & bit(gate) == 0 {
            return false;
        }
        let of_slice = |barrier: &&mut Barrier| barrier.gate.slice == gate.slice;
        match self.barriers.iter_mut().rev().take(BARRIER_SCAN_COUNT).find(of_slice) {
            Some(before) if gate.index <= before.gate.index => true,
            Some(before) if before.position == position => {
                before.gate = gate;
                true
            }
            _ => false,
        }
    }

    /// Sees to it that the last chunk is there, and holds no more than `size_max`.
    #[inline]
    fn make_room(&mut self, size_max: usize, pool: &mut BufferPool) {
        if size_max < self.last.bytes.len() {
            self.full.push_back(std::mem::take(&mut self.last));
        }
        if self.last.bytes.capacity() == 0 {
            self.last.bytes = pool.take();
        }
    }

    fn push(&mut self, chunk: Chunk) {
        let before = std::mem::replace(&mut self.last, chunk);
        if !before.bytes.is_empty() {
            self.full.push_back(before);
        }
    }

    fn front(&self) -> &Chunk {
        self.full.front().unwrap_or(&self.last)
    }

    fn front_mut(&mut self) -> &mut Chunk {
        self.full.front_mut().unwrap_or(&mut self.last)
    }

    fn pop_front(&mut self) -> Chunk {
        self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.last))
    }

    /// Takes what the first chunk holds in front of position `end`; there may be nothing.
    #[inline]
    fn take_front(&mut self, end: u64, pool: &mut BufferPool) -> Option<Vec<u8>> {
        if self.start == end {
            return None;
        }
        let chunk = self.full.front_mut().unwrap_or(&mut self.last);
        let here = chunk.here();
        let size = here.len().min(usize_of(end - self.start));
        let rest = here.len() - size;
        if chunk.left == 0 && rest < size {
            if 0 < rest {
                base::mark!("net: a chunk is cut behind what leaves");
                let mut bytes = pool.take();
                bytes.extend_from_slice(&here[size..]);
                chunk.bytes.truncate(size);
                self.start += size as u64;
                return Some(std::mem::replace(&mut chunk.bytes, bytes));
            }
        } else if 0 < rest {
            base::mark!("net: a chunk is cut in front of what stays");
            let mut bytes = pool.take();
            bytes.extend_from_slice(&here[..size]);
            self.drop_front(size, pool);
            return Some(bytes);
        }
        self.start += size as u64;
        let Chunk { mut bytes, left } = self.pop_front();
        if 0 < left {
            bytes.drain(..left);
        }
        Some(bytes)
    }

    /// Drops the first `size` bytes, all of the first chunk.
    fn drop_front(&mut self, size: usize, pool: &mut BufferPool) {
        self.start += size as u64;
        let chunk = self.front_mut();
        chunk.left += size;
        let rest = chunk.here();
        if rest.is_empty() {
            pool.give(self.pop_front().bytes);
        } else if CUT_SIZE_MIN <= chunk.left && rest.len() < chunk.left {
            // More has left than is held: the copy is paid for by the bytes it gives back.
            let mut bytes = pool.take();
            bytes.extend_from_slice(rest);
            pool.give(std::mem::replace(&mut chunk.bytes, bytes));
            chunk.left = 0;
        }
    }

    /// Forgets what only matters while there are barriers, and gives back what is not needed.
    #[inline]
    fn tidy(&mut self) {
        if KEPT_COUNT_MAX < self.full.capacity() && self.full.is_empty() {
            self.full = VecDeque::new();
        }
        if self.barriers.is_empty() {
            self.slices = 0;
            if KEPT_COUNT_MAX < self.barriers.capacity() {
                self.barriers = VecDeque::new();
            }
        }
    }
}

impl Chunk {
    /// What has not left.
    fn here(&self) -> &[u8] {
        &self.bytes[self.left..]
    }
}

fn bit(gate: Gate) -> u64 {
    1 << (gate.slice.0 % 64)
}

fn usize_of(size: u64) -> usize {
    usize::try_from(size).expect("it is held in memory")
}
