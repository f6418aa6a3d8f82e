//! Random sequences against a model: the list of replies, each with its bytes, if they have come,
//! and its gates.
//!
//! It goes red if a barrier at a vacancy's position counts as behind it, if a gate of another
//! slice implies one, if a filled vacancy does not wait for those before it, and if a chunk that
//! was cut keeps what has left.

use super::{CHUNK_SIZE, COPIED_SIZE_MAX, gate, pool};
use crate::{Front, ReplyQueue, Ticket};
use base::Gate;
use proptest::collection::vec;
use proptest::prelude::*;

const SLICES: u16 = 4;

#[derive(Clone, Debug)]
enum Step {
    Reply {
        bytes: Vec<u8>,
        gates: Vec<Gate>,
    },
    Reserve,
    Fill {
        which: usize,
        bytes: Vec<u8>,
        gates: Vec<Gate>,
        owned: bool,
    },
    Settle {
        slice: u16,
        by: u64,
    },
    /// One buffer.
    Take,
    /// All there is.
    Drain,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let near = |size| (any::<u8>(), size - 3..size + 3).prop_map(|(byte, size)| vec![byte; size]);
    prop_oneof![
        30 => vec(any::<u8>(), 0..20),
        2 => near(COPIED_SIZE_MAX / 2),
        1 => near(COPIED_SIZE_MAX),
        1 => near(2 * COPIED_SIZE_MAX),
        1 => near(CHUNK_SIZE - 10),
        1 => near(CHUNK_SIZE),
    ]
}

fn gates() -> impl Strategy<Value = Vec<Gate>> {
    let gate = (0..SLICES, 0..12_u64).prop_map(|(slice, index)| gate(slice, index));
    prop_oneof![2 => Just(Vec::new()), 3 => vec(gate.clone(), 1), 1 => vec(gate, 2..4)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (bytes(), gates()).prop_map(|(bytes, gates)| Step::Reply { bytes, gates }),
        3 => Just(Step::Reserve),
        4 => (any::<prop::sample::Index>(), bytes(), gates(), any::<bool>()).prop_map(
            |(which, bytes, gates, owned)| {
                let which = which.index(1000);
                Step::Fill { which, bytes, gates, owned }
            }
        ),
        2 => (0..SLICES, 0..4_u64).prop_map(|(slice, by)| Step::Settle { slice, by }),
        2 => Just(Step::Take),
        1 => Just(Step::Drain),
    ];
    vec(step, 0..120)
}

/// A reply that has not left, or of which a part has not.
#[derive(Debug)]
struct Expected {
    bytes: Vec<u8>,
    gates: Vec<Gate>,
    /// Of a vacancy.
    vacant: Option<Ticket>,
}

#[derive(Default)]
struct Model {
    replies: Vec<Expected>,
    settled: [u64; SLICES as usize],
}

impl Model {
    fn is_settled(&self) -> impl Fn(Gate) -> bool + use<> {
        let settled = self.settled;
        move |gate| gate.index.0 <= settled[usize::from(gate.slice.0)]
    }

    fn vacancies(&self) -> impl Iterator<Item = Ticket> {
        self.replies.iter().filter_map(|reply| reply.vacant)
    }

    /// How many of the first replies may leave.
    fn count(&self) -> usize {
        let is_settled = self.is_settled();
        let may = |reply: &Expected| {
            reply.vacant.is_none() && reply.gates.iter().all(|gate| is_settled(*gate))
        };
        self.replies.iter().position(|reply| !may(reply)).unwrap_or(self.replies.len())
    }

    fn released(&self) -> Vec<u8> {
        self.replies[..self.count()].iter().flat_map(|reply| reply.bytes.clone()).collect()
    }

    /// Takes `size` bytes off the front, and the replies that have left by then.
    fn drop_front(&mut self, mut size: usize) {
        for reply in &mut self.replies {
            let here = size.min(reply.bytes.len());
            reply.bytes.drain(..here);
            size -= here;
        }
        assert_eq!(size, 0);
        let count = self.count();
        let gone = self.replies[..count].iter().take_while(|reply| reply.bytes.is_empty()).count();
        self.replies.drain(..gone);
    }

    fn take(&mut self, queue: &mut ReplyQueue, pool: &mut crate::BufferPool) -> bool {
        let expected = self.released();
        assert_eq!(queue.has_released(self.is_settled()), !expected.is_empty());
        let taken = queue.take_released(self.is_settled(), pool);
        queue.check();
        assert_eq!(taken.is_some(), !expected.is_empty());
        let taken = taken.unwrap_or_default();
        assert!(expected.starts_with(&taken), "these bytes, in this order, and no more");
        assert!(
            taken.len() == expected.len() || CHUNK_SIZE < expected.len(),
            "up to the size of a chunk all comes at once"
        );
        self.drop_front(taken.len());
        let any = !taken.is_empty();
        pool.give(taken);
        any
    }

    fn check(&self, queue: &ReplyQueue) {
        queue.check();
        let size: usize = self.replies.iter().map(|reply| reply.bytes.len()).sum();
        assert_eq!(queue.len(), size);
        assert_eq!(queue.vacant(), self.vacancies().count());
    }

    /// After a take: the front is what it says.
    fn check_front(&self, queue: &ReplyQueue) {
        let is_settled = self.is_settled();
        assert_eq!(queue.is_empty(), self.replies.is_empty());
        match queue.front() {
            Front::Empty => assert!(self.replies.is_empty()),
            Front::Free => assert!(!self.released().is_empty()),
            Front::Vacant => {
                let vacant = self.replies.iter().position(|reply| reply.vacant.is_some());
                assert_eq!(vacant, Some(0));
            }
            Front::Waits(gate) => {
                assert!(!is_settled(gate) || !self.released().is_empty());
                let first = self.replies.first().expect("there is a reply that waits");
                assert!(first.vacant.is_none());
            }
        }
    }
}

proptest! {
    #[test]
    fn replies_leave_in_order_and_exactly_when_they_may(steps in steps()) {
        let (mut queue, mut pool, mut model) = (ReplyQueue::new(), pool(), Model::default());
        for step in steps {
            match step {
                Step::Reply { bytes, gates } => {
                    queue.begin(&mut pool).extend_from_slice(&bytes);
                    queue.commit(&gates, &mut pool);
                    model.replies.push(Expected { bytes, gates, vacant: None });
                }
                Step::Reserve => {
                    let vacant = Some(queue.reserve());
                    let (bytes, gates) = (Vec::new(), Vec::new());
                    model.replies.push(Expected { bytes, gates, vacant });
                }
                Step::Fill { which, bytes, gates, owned } => {
                    let count = model.vacancies().count();
                    if 0 < count {
                        let ticket = model.vacancies().nth(which % count).expect("it is there");
                        match owned {
                            true => queue.fill_owned(ticket, bytes.clone(), &gates, &mut pool),
                            false => queue.fill(ticket, &bytes, &gates, &mut pool),
                        }
                        let mut replies = model.replies.iter_mut();
                        let reply = replies.find(|reply| reply.vacant == Some(ticket));
                        let vacant = None;
                        *reply.expect("it is there") = Expected { bytes, gates, vacant };
                    }
                }
                Step::Settle { slice, by } => model.settled[usize::from(slice)] += by,
                Step::Take => {
                    model.take(&mut queue, &mut pool);
                    model.check_front(&queue);
                }
                Step::Drain => {
                    while model.take(&mut queue, &mut pool) {}
                    prop_assert!(queue.front() != Front::Free);
                    model.check_front(&queue);
                }
            }
            model.check(&queue);
        }
    }
}
