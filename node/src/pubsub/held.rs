//! Publications that wait until what they tell of can no longer be lost.
//!
//! A keyspace notification waits for the entry of its command, a message for the writes that its
//! publisher made before it. Publications of one core leave in their order as far as they are
//! settled: those of one slice, of one command and of one publisher never overtake each other.

use std::collections::VecDeque;

use base::Gate;
use engine::KeyEvent;

use super::Publication;
use crate::multi::add_gates;
use crate::parcel::Gates;

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Held {
    queue: VecDeque<One>,
    size: usize,
    /// The last number given.
    numbered: u64,
    /// Something may have become settled since the last `release`.
    pub(crate) is_new: bool,
}

#[derive(Debug)]
struct One {
    gates: Gates,
    body: Body,
    /// Rising.
    number: u64,
}

/// What is to be published.
#[derive(Debug)]
pub(crate) enum Body {
    Message(Publication),
    Event(KeyEvent),
}

impl Body {
    fn size(&self) -> usize {
        size_of::<One>()
            + match self {
                Self::Message(publication) => publication.size(),
                Self::Event(event) => event.key.len(),
            }
    }
}

impl Held {
    /// Keeps a publication until `gates` are settled. Returns its number.
    pub(crate) fn push(&mut self, gates: Gates, body: Body) -> u64 {
        self.size += body.size();
        self.numbered += 1;
        self.queue.push_back(One { gates, body, number: self.numbered });
        self.is_new = true;
        self.numbered
    }

    /// The number of the last publication that was kept.
    pub(crate) fn last(&self) -> u64 {
        self.numbered
    }

    /// What came behind the publication with number `since` waits for `gates` too: it tells of
    /// one transaction.
    pub(crate) fn join(&mut self, since: u64, gates: &[Gate]) {
        for one in self.queue.iter_mut().rev().take_while(|one| since < one.number) {
            add_gates(&mut one.gates, gates);
        }
    }

    /// Is the publication with this number, or one before it, still here?
    pub(crate) fn holds(&self, number: u64) -> bool {
        self.queue.front().is_some_and(|first| first.number <= number)
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Takes out what has become settled, in the order in which it came.
    pub(crate) fn release(&mut self, is_settled: impl Fn(Gate) -> bool) -> Vec<Body> {
        self.is_new = false;
        let mut released = Vec::new();
        let mut left = VecDeque::new();
        for one in std::mem::take(&mut self.queue) {
            if one.gates.iter().all(|gate| is_settled(*gate)) {
                self.size -= one.body.size();
                released.push(one.body);
            } else {
                left.push_back(one);
            }
        }
        self.queue = left;
        released
    }
}

#[cfg(test)]
mod tests {
    use base::{LogIndex, SliceId};

    use super::*;

    fn event(key: &str) -> Body {
        Body::Event(KeyEvent { name: "set", db: 0, key: key.as_bytes().into() })
    }

    fn gate(slice: u16, index: u64) -> Gate {
        Gate { slice: SliceId(slice), index: LogIndex(index) }
    }

    fn release(held: &mut Held, settled: &[u64]) -> String {
        let is_settled = |gate: Gate| gate.index.0 <= settled[usize::from(gate.slice.0)];
        let keys = held.release(is_settled).into_iter().map(|body| match body {
            Body::Event(event) => String::from_utf8_lossy(&event.key).into_owned(),
            Body::Message(_) => String::new(),
        });
        keys.collect()
    }

    /// Red when `release` looks at the first gate only.
    #[test]
    fn what_is_settled_leaves_in_its_order_and_nothing_else() {
        let mut held = Held::default();
        let first = held.push(Gates::from_slice(&[gate(0, 1), gate(1, 1)]), event("a"));
        held.push(Gates::from_slice(&[gate(0, 1)]), event("b"));
        held.push(Gates::from_slice(&[gate(0, 2)]), event("c"));
        let last = held.push(Gates::new(), event("d"));
        assert!(first < last);
        assert_eq!(release(&mut held, &[1, 0]), "bd");
        assert!(held.holds(first));
        assert_eq!(release(&mut held, &[2, 1]), "ac");
        assert!(!held.holds(last));
        assert_eq!(held.size(), 0);
        assert!(last < held.push(Gates::new(), event("e")), "no number comes twice");
    }
}
