//! Buffers that go round: from a reply queue to the socket and back.

/// A bounded stock of empty buffers. Owner: core.
///
/// The one given back last is taken first, because its memory is in the cache.
#[derive(Debug)]
pub struct BufferPool {
    buffers: Vec<Vec<u8>>,
    count_max: usize,
    capacity_first: usize,
    capacity_max: usize,
}

impl BufferPool {
    /// A pool that keeps at most `count_max` buffers of at most `capacity_max` bytes each, and
    /// makes new ones with `capacity_first`.
    pub fn new(count_max: usize, capacity_first: usize, capacity_max: usize) -> Self {
        assert!(capacity_first <= capacity_max);
        Self { buffers: Vec::with_capacity(count_max), count_max, capacity_first, capacity_max }
    }

    /// An empty buffer.
    pub fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(self.capacity_first));
        debug_assert!(buffer.is_empty());
        buffer
    }

    /// Keeps the memory of `buffer` for later, if there is room and it is of a usual size.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let is_usual = self.capacity_first <= buffer.capacity()
            && buffer.capacity() <= self.capacity_max
            && 0 < buffer.capacity();
        if is_usual && self.buffers.len() < self.count_max {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// How many buffers are kept.
    pub fn len(&self) -> usize {
        self.buffers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }
}

/// Makes room in a query buffer for the `more` bytes a request still needs, without trusting them.
///
/// `more` is what a client declared. The room made ahead of received bytes is at most as much as
/// has been received, or 64 KiB; so a declared 512 MB costs nothing until it comes. When it comes,
/// the buffer doubles, and the last step is exact.
pub fn reserve(buffer: &mut Vec<u8>, more: usize) {
    if buffer.capacity() - buffer.len() < more.min(PIECE_SIZE) {
        buffer.reserve_exact(more.min(buffer.len().max(AHEAD_MIN)));
    }
}

/// Room that may be made for a client that has sent next to nothing: bytes.
const AHEAD_MIN: usize = 64 * 1024;

/// About what one receive brings; with less room than that, more is made: bytes.
const PIECE_SIZE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::{BufferPool, reserve};

    #[test]
    fn a_pool_keeps_so_many_buffers_and_no_more() {
        let mut pool = BufferPool::new(2, 16, 64);
        for _ in 0..3 {
            pool.give(Vec::with_capacity(32));
        }
        assert_eq!(pool.len(), 2);
        assert_eq!(pool.take().capacity(), 32);
        assert_eq!(pool.take().capacity(), 32);
        assert!(pool.is_empty());
        assert_eq!(pool.take().capacity(), 16);
    }

    #[test]
    fn a_pool_drops_what_is_too_big_or_too_small_and_empties_what_it_keeps() {
        let mut pool = BufferPool::new(8, 16, 64);
        pool.give(Vec::with_capacity(65));
        pool.give(Vec::with_capacity(15));
        pool.give(Vec::new());
        assert!(pool.is_empty());
        let mut buffer = Vec::with_capacity(64);
        buffer.push(1);
        pool.give(buffer);
        assert_eq!(pool.len(), 1);
        assert!(pool.take().is_empty());
    }

    #[test]
    fn room_is_made_for_what_came_and_not_for_what_was_declared() {
        let mut buffer = Vec::new();
        reserve(&mut buffer, 512 * 1024 * 1024);
        assert_eq!(buffer.capacity(), 64 * 1024);

        let size = 10 * 1024 * 1024;
        let mut moves = 0;
        while buffer.len() < size {
            let capacity = buffer.capacity();
            let more = size - buffer.len();
            reserve(&mut buffer, more);
            moves += usize::from(buffer.capacity() != capacity);
            assert!(buffer.capacity() <= buffer.len() + buffer.len().max(64 * 1024));
            buffer.resize(buffer.len() + more.min(16 * 1024), b'x');
        }
        assert_eq!(buffer.capacity(), size);
        assert!(moves <= 10, "{moves} moves of a buffer that doubles");
    }
}
