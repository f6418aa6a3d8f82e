//! Which clients wait for which entry.
//!
//! Only indexes in flight are waited for, and those are few and dense: one list for each, in a
//! ring that starts just above the settled index.
//!
//! # Invariants
//!
//! * The list at position `p` belongs to index `settled + 1 + p`.

use std::collections::VecDeque;

use base::{ConnectionId, LogIndex};

/// Owner: slice.
#[derive(Debug)]
pub(crate) struct Parked {
    lists: VecDeque<Vec<ConnectionId>>,
    spare: Vec<Vec<ConnectionId>>,
    settled: LogIndex,
}

impl Parked {
    pub(crate) fn new(settled: LogIndex) -> Self {
        Self { lists: VecDeque::new(), spare: Vec::new(), settled }
    }

    /// `id` has a reply that waits for `index`.
    pub(crate) fn park(&mut self, index: LogIndex, id: ConnectionId) {
        assert!(self.settled < index);
        let position = usize::try_from(index.0 - self.settled.0 - 1).expect("a small distance");
        while self.lists.len() <= position {
            self.lists.push_back(self.spare.pop().unwrap_or_default());
        }
        let list = &mut self.lists[position];
        // One client's replies of one turn come in a row.
        if list.last() != Some(&id) {
            list.push(id);
        }
    }

    /// Hands every client that waits for an index up to `settled` to `release`.
    pub(crate) fn settle(&mut self, settled: LogIndex, mut release: impl FnMut(ConnectionId)) {
        assert!(self.settled <= settled);
        while self.settled < settled {
            self.settled = self.settled.next();
            if let Some(mut list) = self.lists.pop_front() {
                list.drain(..).for_each(&mut release);
                self.spare.push(list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> ConnectionId {
        ConnectionId { index, generation: 1 }
    }

    #[test]
    fn clients_are_released_with_their_index_and_not_before() {
        let mut parked = Parked::new(LogIndex(10));
        parked.park(LogIndex(12), id(1));
        parked.park(LogIndex(11), id(2));
        parked.park(LogIndex(11), id(2));
        let mut released = Vec::new();
        parked.settle(LogIndex(11), |id| released.push(id));
        assert_eq!(released, [id(2)]);
        parked.settle(LogIndex(13), |id| released.push(id));
        assert_eq!(released, [id(2), id(1)]);
        parked.park(LogIndex(14), id(3));
        parked.settle(LogIndex(14), |id| released.push(id));
        assert_eq!(released, [id(2), id(1), id(3)]);
    }
}
