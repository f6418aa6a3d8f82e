//! Writes that wait for room in the log, in the order in which they came.
//!
//! A large write waits until segments are prepared for it. If smaller ones were let past it, they
//! would take each segment as it comes, and the large one would wait for as long as there is
//! load. So the first waiter gets room first, and later writes queue behind it.

use std::collections::VecDeque;

use base::ConnectionId;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// A client of this core.
    Client(ConnectionId),
    /// A request of another core, by its number.
    Request(u64),
}

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct RoomQueue {
    waiters: VecDeque<Waiting>,
    /// Somebody came since the last `grant`.
    is_new: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: Waiter,
    /// Bytes.
    needed: u64,
}

impl RoomQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Somebody waits whom no `grant` has looked at: nothing may be under way that ends the wait.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// What the first one needs: bytes.
    pub(crate) fn first_needed(&self) -> Option<u64> {
        self.waiters.front().map(|waiting| waiting.needed)
    }

    pub(crate) fn push(&mut self, id: Waiter, needed: u64) {
        debug_assert!(self.waiters.iter().all(|waiter| waiter.id != id));
        self.waiters.push_back(Waiting { id, needed });
        self.is_new = true;
    }

    pub(crate) fn remove(&mut self, id: Waiter) {
        self.waiters.retain(|waiter| waiter.id != id);
    }

    /// Hands the waiters that `room` suffices for, or that are refused, to `grant`. Returns what
    /// the first of the others needs.
    pub(crate) fn grant(
        &mut self,
        mut room: u64,
        is_refused: impl Fn(u64) -> bool,
        mut grant: impl FnMut(Waiter),
    ) -> Option<u64> {
        self.is_new = false;
        while let Some(Waiting { id, needed }) = self.waiters.front().copied() {
            if needed <= room {
                room -= needed;
            } else if !is_refused(needed) {
                return Some(needed);
            }
            self.waiters.pop_front();
            grant(id);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> Waiter {
        match index {
            0 => Waiter::Request(0),
            index => Waiter::Client(ConnectionId { index, generation: 1 }),
        }
    }

    fn granted(queue: &mut RoomQueue, room: u64) -> (Vec<u32>, Option<u64>) {
        let mut granted = Vec::new();
        let rest = queue.grant(
            room,
            |needed| needed == 666,
            |id| {
                granted.push(match id {
                    Waiter::Client(id) => id.index,
                    Waiter::Request(number) => number as u32,
                });
            },
        );
        (granted, rest)
    }

    #[test]
    fn nobody_overtakes_the_first_and_room_is_given_once() {
        let mut queue = RoomQueue::default();
        queue.push(id(1), 100);
        queue.push(id(2), 10);
        queue.push(id(3), 10);
        assert_eq!(granted(&mut queue, 50), (vec![], Some(100)));
        assert_eq!(granted(&mut queue, 115), (vec![1, 2], Some(10)));
        assert_eq!(granted(&mut queue, 10), (vec![3], None));
        assert!(queue.is_empty());
    }

    #[test]
    fn the_refused_and_the_gone_do_not_hold_others_up() {
        let mut queue = RoomQueue::default();
        queue.push(id(1), 666);
        queue.push(id(2), 500);
        queue.push(id(3), 5);
        queue.remove(id(2));
        assert_eq!(granted(&mut queue, 5), (vec![1, 3], None));
    }
}
