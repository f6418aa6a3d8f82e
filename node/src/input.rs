//! Bytes a client sent that were not executed yet.
//!
//! # Invariants
//!
//! * `start` is at most half of the buffer, or the buffer is empty: what was executed is given
//!   back in steps that grow with the buffer, so a long pipeline costs linear time.

/// A buffer that fills at its end and is consumed from its start. Owner: connection.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
}

/// A buffer larger than this is given back once it is not needed: bytes.
const KEPT_SIZE_MAX: usize = 64 * 1024;

impl Input {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// What was not executed.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Bytes that are allocated and hold nothing.
    pub(crate) fn free(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Adds what came; `more` bytes at least are known to follow.
    pub(crate) fn keep(&mut self, bytes: &[u8], more: usize) {
        self.bytes.extend_from_slice(bytes);
        if 0 < more && !self.bytes.is_empty() {
            net::reserve(&mut self.bytes, more);
        }
    }

    /// The first `size` bytes were executed; `more` bytes at least are known to follow.
    pub(crate) fn consume(&mut self, size: usize, more: usize) {
        self.start += size;
        assert!(self.start <= self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
            if KEPT_SIZE_MAX < self.bytes.capacity() {
                self.bytes = Vec::new();
            }
        } else if self.bytes.len() / 2 < self.start {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.keep(&[], more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_and_memory_is_given_back() {
        let mut input = Input::default();
        let sent: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        let mut received = Vec::new();
        for (turn, piece) in sent.chunks(777).enumerate() {
            input.keep(piece, 0);
            let size = input.rest().len().min(turn * 13 % 1500);
            received.extend_from_slice(&input.rest()[..size]);
            input.consume(size, 0);
        }
        received.extend_from_slice(input.rest());
        input.consume(input.rest().len(), 0);
        assert_eq!(received, sent);
        assert!(input.is_empty());
        assert!(input.bytes.capacity() <= KEPT_SIZE_MAX);
    }
}
