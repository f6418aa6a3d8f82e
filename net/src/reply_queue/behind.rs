//! A connection's vacancies, and the replies that wait behind the first of them.
//!
//! Replies of this core are in one [`Stream`], whatever vacancies lie between them; each vacancy
//! knows its position there. The tickets of vacancies are dense, so a ticket finds its vacancy by
//! counting. The first vacancy's reply goes straight to what is ready; only one that comes before
//! its turn is kept here: a small one behind other small ones in one buffer, a large one as it is.
//!
//! # Invariants
//!
//! * The first vacancy is not filled, and lies at the start of the stream; all lie in order.
//! * There is an early buffer if and only if a filled vacancy has bytes in it.

use std::collections::VecDeque;

use base::Gate;

use super::COPIED_SIZE_MAX;
use super::stream::{KEPT_COUNT_MAX, Stream};
use crate::BufferPool;

/// See the file's header. Owner: connection.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// This core's replies; each vacancy takes a position of it as well.
    pub(super) local: Stream,
    vacancies: VecDeque<Vacancy>,
    /// How many of the vacancies are not filled.
    vacant: usize,
    /// Small replies that came before their turn, one after the other; nothing if there are none.
    early: Vec<u8>,
    /// How many bytes of `early` are still waiting for their turn. At zero it starts again.
    early_size: usize,
}

#[derive(Debug)]
struct Vacancy {
    position: u64,
    filling: Filling,
}

#[derive(Debug)]
enum Filling {
    Vacant,
    /// A piece of the early buffer.
    Early {
        start: usize,
        size: usize,
        gates: Gates,
    },
    Owned {
        bytes: Vec<u8>,
        gates: Gates,
    },
}

/// The gates of a reply: mostly one or none.
#[derive(Debug)]
enum Gates {
    One(Gate),
    Many(Box<[Gate]>),
}

impl Behind {
    /// Without vacancies nothing is behind them.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.vacancies.is_empty()
    }

    /// How many vacancies there are, filled or not.
    pub(super) fn len(&self) -> usize {
        self.vacancies.len()
    }

    pub(super) fn vacant(&self) -> usize {
        self.vacant
    }

    /// Whether it grew so much that it is not worth keeping when it is empty.
    pub(super) fn is_oversized(&self) -> bool {
        KEPT_COUNT_MAX < self.vacancies.capacity()
    }

    pub(super) fn reserve(&mut self) {
        let position = self.local.push_vacancy();
        self.vacancies.push_back(Vacancy { position, filling: Filling::Vacant });
        self.vacant += 1;
    }

    /// Fills a vacancy before its turn.
    pub(super) fn fill(
        &mut self,
        place: usize,
        bytes: &[u8],
        gates: &[Gate],
        pool: &mut BufferPool,
    ) {
        let filling = if self.early.len() + bytes.len() <= COPIED_SIZE_MAX {
            self.keep_early(bytes, gates, pool)
        } else {
            Filling::Owned { bytes: bytes.to_vec(), gates: Gates::new(gates) }
        };
        self.set(place, filling);
    }

    /// Fills a vacancy before its turn, and keeps the buffer if it is large.
    pub(super) fn fill_owned(
        &mut self,
        place: usize,
        bytes: Vec<u8>,
        gates: &[Gate],
        pool: &mut BufferPool,
    ) {
        let filling = if self.early.len() + bytes.len() <= COPIED_SIZE_MAX {
            let filling = self.keep_early(&bytes, gates, pool);
            pool.give(bytes);
            filling
        } else {
            Filling::Owned { bytes, gates: Gates::new(gates) }
        };
        self.set(place, filling);
    }

    /// The first vacancy's reply is ready: what follows it, up to the next vacancy that is not
    /// filled, becomes ready as well.
    pub(super) fn move_ready(&mut self, ready: &mut Stream, pool: &mut BufferPool) {
        let first = self.vacancies.pop_front().expect("a vacancy was filled");
        assert!(matches!(first.filling, Filling::Vacant), "the first vacancy is not filled");
        self.vacant -= 1;
        self.local.pop_vacancy();
        loop {
            let next = self.vacancies.front().map_or(self.local.end(), |next| next.position);
            ready.append_from(&mut self.local, next, pool);
            let is_filled = |vacancy: &mut Vacancy| !matches!(vacancy.filling, Filling::Vacant);
            let Some(vacancy) = self.vacancies.pop_front_if(is_filled) else { break };
            base::mark!("net: an early reply's turn comes");
            self.local.pop_vacancy();
            match vacancy.filling {
                Filling::Vacant => unreachable!("it is filled"),
                Filling::Early { start, size, gates } => {
                    ready.gates(gates.as_slice());
                    ready.append(&self.early[start..start + size], pool);
                    self.early_size -= size;
                    if self.early_size == 0 {
                        pool.give(std::mem::take(&mut self.early));
                    }
                }
                Filling::Owned { bytes, gates } => {
                    ready.gates(gates.as_slice());
                    ready.append_owned(bytes, pool);
                }
            }
        }
    }

    /// Gives all buffers back.
    pub(super) fn clear(&mut self, pool: &mut BufferPool) {
        self.local.clear(pool);
        for vacancy in self.vacancies.drain(..) {
            if let Filling::Owned { bytes, .. } = vacancy.filling {
                pool.give(bytes);
            }
        }
        pool.give(std::mem::take(&mut self.early));
        self.vacant = 0;
        self.early_size = 0;
    }

    /// Asserts the invariants. Returns how many bytes are here.
    pub(super) fn check(&self) -> usize {
        let (mut vacant, mut early_size, mut owned_size) = (0, 0, 0);
        for vacancy in &self.vacancies {
            match &vacancy.filling {
                Filling::Vacant => vacant += 1,
                Filling::Early { start, size, .. } => {
                    assert!(start + size <= self.early.len());
                    early_size += size;
                }
                Filling::Owned { bytes, .. } => owned_size += bytes.len(),
            }
        }
        assert!(vacant == self.vacant);
        assert!(early_size == self.early_size);
        assert!((early_size == 0) == self.early.is_empty());
        assert!(self.early.len() <= COPIED_SIZE_MAX);
        match self.vacancies.front() {
            None => assert!(self.local.is_empty()),
            Some(first) => {
                assert!(matches!(first.filling, Filling::Vacant));
                assert!(first.position == self.local.start());
            }
        }
        assert!(self.vacancies.iter().is_sorted_by(|one, next| one.position < next.position));
        self.local.check(self.vacancies.len()) + early_size + owned_size
    }

    fn keep_early(&mut self, bytes: &[u8], gates: &[Gate], pool: &mut BufferPool) -> Filling {
        if bytes.is_empty() {
            return Filling::Early { start: 0, size: 0, gates: Gates::new(gates) };
        }
        if self.early.is_empty() {
            self.early = pool.take();
        }
        let start = self.early.len();
        self.early.extend_from_slice(bytes);
        self.early_size += bytes.len();
        Filling::Early { start, size: bytes.len(), gates: Gates::new(gates) }
    }

    fn set(&mut self, place: usize, filling: Filling) {
        let vacancy = self.vacancies.get_mut(place).expect("the place was looked up");
        assert!(matches!(vacancy.filling, Filling::Vacant), "a vacancy is filled once");
        vacancy.filling = filling;
        self.vacant -= 1;
    }
}

impl Gates {
    fn new(gates: &[Gate]) -> Self {
        match gates {
            [] => Self::One(Gate::NONE),
            [gate] => Self::One(*gate),
            _ => Self::Many(gates.into()),
        }
    }

    fn as_slice(&self) -> &[Gate] {
        match self {
            Self::One(gate) => std::slice::from_ref(gate),
            Self::Many(gates) => gates,
        }
    }
}
