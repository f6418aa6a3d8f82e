//! The mesh between cores: a bounded ring of messages for each ordered pair, and who sleeps.
//!
//! Each core holds one [`Port`]. Messages of one pair arrive in the order they were sent; a full
//! ring gives the message back. A core that is about to block says so first, and whoever sends to
//! it then owes it a wake-up, once:
//!
//! ```text
//!   sleeper                                 sender
//!   asleep <- true                          ring <- message
//!   fence                                   fence
//!   ring empty? then block                  asleep? then asleep <- false, and wake
//! ```
//!
//! The two fences are what makes it safe (store buffering, Dekker's pattern): of the two loads at
//! least one sees the other side's store, so either the sleeper finds the message or the sender
//! finds the sleeper. How a wake-up travels is not known here: see [`crate::Ring::wake`].
//!
//! # Invariants
//!
//! * No core blocks while a message lies in one of its rings whose sender was told not to wake it.
//! * A sleep is ended by at most one wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// One core's end of the mesh. Owner: core.
#[derive(Debug)]
pub struct Port<T> {
    own: usize,
    /// By core; none to itself.
    outbound: Vec<Option<Producer<Box<T>>>>,
    inbound: Vec<Option<Consumer<Box<T>>>>,
    asleep: Arc<[Flag]>,
    /// The inbound ring to look into next, so that none is last for ever.
    next: usize,
}

/// A flag on cache lines of its own: it is read by others at each of their sends.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Flag(AtomicBool);

/// The ports of `cores` cores, in their order, with room for `capacity` messages per ordered pair.
pub fn mesh<T>(cores: usize, capacity: usize) -> Vec<Port<T>> {
    assert!(0 < cores);
    assert!(0 < capacity);
    let asleep: Arc<[Flag]> = (0..cores).map(|_| Flag::default()).collect();
    let mut ports: Vec<Port<T>> = (0..cores)
        .map(|own| Port {
            own,
            outbound: (0..cores).map(|_| None).collect(),
            inbound: (0..cores).map(|_| None).collect(),
            asleep: Arc::clone(&asleep),
            next: 0,
        })
        .collect();
    for source in 0..cores {
        for target in (0..cores).filter(|&target| target != source) {
            let (producer, consumer) = RingBuffer::new(capacity);
            ports[source].outbound[target] = Some(producer);
            ports[target].inbound[source] = Some(consumer);
        }
    }
    ports
}

impl<T> Port<T> {
    /// Whose port it is.
    pub fn own(&self) -> usize {
        self.own
    }

    /// Cores of the mesh.
    pub fn cores(&self) -> usize {
        self.asleep.len()
    }

    /// Hands a message to another core. It comes back if the ring to that core is full; a core that
    /// is gone takes everything.
    ///
    /// # Errors
    ///
    /// The message, which the ring had no room for.
    pub fn send(&mut self, to: usize, message: Box<T>) -> Result<(), Box<T>> {
        let ring = self.outbound[to].as_mut().expect("a core sends to others only");
        match ring.push(message) {
            Err(PushError::Full(message)) if !ring.is_abandoned() => Err(message),
            Ok(()) | Err(PushError::Full(_)) => Ok(()),
        }
    }

    /// Whether the core must be woken to find what was sent to it. Asked after the last `send`; to
    /// whom it says yes, a wake-up is owed.
    #[must_use = "the other core sleeps, and nobody else will wake it"]
    pub fn must_wake(&self, core: usize) -> bool {
        assert_ne!(core, self.own);
        // The messages before, the flag after. Pairs with the fence of `try_sleep`.
        fence(Ordering::SeqCst);
        let flag = &self.asleep[core].0;
        // Only looking leaves the line with all who look, which is the common case.
        flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed)
    }

    /// The next message of any core, and who sent it.
    pub fn poll(&mut self) -> Option<(usize, Box<T>)> {
        for _ in 0..self.inbound.len() {
            let source = self.next;
            if let Some(ring) = &mut self.inbound[source]
                && let Ok(message) = ring.pop()
            {
                return Some((source, message));
            }
            self.next = (source + 1) % self.inbound.len();
        }
        None
    }

    /// Announces that this core is about to block. False if there is a message after all: then it
    /// must not. [`Port::wake_up`] follows in either case.
    #[must_use = "blocking in spite of a message delays it for ever"]
    pub fn try_sleep(&self) -> bool {
        self.asleep[self.own].0.store(true, Ordering::Relaxed);
        // The flag before, the rings after. Pairs with the fence of `must_wake`.
        fence(Ordering::SeqCst);
        self.inbound.iter().flatten().all(Consumer::is_empty)
    }

    /// This core is awake, however it came about: nobody owes it a wake-up now.
    pub fn wake_up(&self) {
        self.asleep[self.own].0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
