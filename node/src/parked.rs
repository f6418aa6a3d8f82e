//! Which clients wait for which entry.
//!
//! Entries in flight are few: one list for each that somebody waits for, in their order.
//!
//! # Invariants
//!
//! * `lists` is sorted by index, and no list is empty.

use std::collections::VecDeque;

use base::{ConnectionId, LogIndex};

/// Owner: core, one for each slice.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    lists: VecDeque<(LogIndex, Vec<ConnectionId>)>,
    spare: Vec<Vec<ConnectionId>>,
}

/// Empty lists kept.
const SPARE_MAX: usize = 16;

impl Parked {
    /// `id` has a reply that waits for `index`.
    pub(crate) fn park(&mut self, index: LogIndex, id: ConnectionId) {
        // Later replies mostly wait for later entries.
        let position = match self.lists.back() {
            Some((last, _)) if index <= *last => {
                self.lists.partition_point(|(known, _)| *known < index)
            }
            _ => self.lists.len(),
        };
        if self.lists.get(position).is_none_or(|(known, _)| *known != index) {
            let list = self.spare.pop().unwrap_or_default();
            self.lists.insert(position, (index, list));
        }
        let (_, list) = &mut self.lists[position];
        // One client's replies of one turn come in a row.
        if list.last() != Some(&id) {
            list.push(id);
        }
    }

    /// Hands every client that waits for an index up to `settled` to `release`.
    pub(crate) fn settle(&mut self, settled: LogIndex, mut release: impl FnMut(ConnectionId)) {
        while let Some((_, mut list)) = self.lists.pop_front_if(|(index, _)| *index <= settled) {
            list.drain(..).for_each(&mut release);
            if self.spare.len() < SPARE_MAX {
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
        let mut parked = Parked::default();
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
