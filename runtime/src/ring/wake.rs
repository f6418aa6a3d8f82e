//! Waking a ring that sleeps, from the ring of another core.
//!
//! Two ways lead there. A *message* (IORING_OP_MSG_RING) is one more operation of the submission
//! that ends the sender's turn. An *eventfd*, which the sleeper polls for good, costs the sender a
//! system call of its own. Measured with `examples/floor_wake.rs` (Linux 6.18, two virtual
//! processors, three runs): one way to a sleeping core takes 21 to 23 us by message, 27 to 29 us by
//! eventfd; a wake-up and the sleep after it cost either side 14 to 16 us of CPU by message, 18 to
//! 23 us by eventfd. So messages are preferred where they can be relied on.
//!
//! Neither loses a wake-up: what arrives while the ring is awake is a completion that the next wait
//! finds. Whether the other core sleeps at all, and so needs one, is for [`crate::mesh`] to tell.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use rustix::event::EventfdFlags;

use super::Ring;
use super::queue::{Completion, Queue};
use super::tag::Tag;
use crate::probe::KernelFacts;

/// How a ring wakes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeBy {
    /// By a message, with the next submission.
    Message,
    /// By a write to its eventfd, at once.
    Eventfd,
}

/// The oldest kernel whose messages are relied on. 6.1 has them, but was reported to miss wake-ups
/// of the targets we use (DEFER_TASKRUN) until fixes reached its stable releases, which a release
/// number does not tell.
const MESSAGES_SINCE: (u32, u32) = (6, 6);

/// What others need to wake a ring. Cheap to clone, for any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    target: Arc<Target>,
}

#[derive(Debug)]
struct Target {
    /// The descriptor's number. A ring that is closed must not live on in its peers, or the memory
    /// lent to it would; a message to whatever has the number then fails, or wakes a ring of ours
    /// for nothing.
    ring: RawFd,
    event: OwnedFd,
}

impl Waker {
    /// Wakes the ring from a thread that has none of its own: one system call.
    pub fn wake(&self) {
        match rustix::io::write(&self.target.event, &1_u64.to_ne_bytes()) {
            Ok(_) => {}
            // The counter is full: 2^64 wake-ups that nobody has read, and the last one counts.
            Err(rustix::io::Errno::AGAIN) => {}
            Err(errno) => unreachable!("an eventfd takes eight bytes (eventfd(2)): {errno}"),
        }
    }
}

pub(super) struct Wakes {
    own: Waker,
    by: WakeBy,
    peers: Vec<Waker>,
}

impl Wakes {
    pub(super) fn open(queue: &Queue, facts: &KernelFacts) -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let by = match queue.has_messages() && facts.is_since(MESSAGES_SINCE) {
            true => WakeBy::Message,
            false => WakeBy::Eventfd,
        };
        let own = Waker { target: Arc::new(Target { ring: queue.descriptor(), event }) };
        Ok(Self { own, by, peers: Vec::new() })
    }
}

impl Ring {
    /// What other cores need to wake this ring.
    pub fn waker(&self) -> Waker {
        self.wakes.own.clone()
    }

    /// Makes another ring known. Returns its number for [`Ring::wake`]: dense from zero.
    pub fn add_peer(&mut self, waker: Waker) -> usize {
        self.wakes.peers.push(waker);
        self.wakes.peers.len() - 1
    }

    /// Ends the sleep of another ring, or keeps it from its next: at the latest when this ring's
    /// `submit_and_wait` submits.
    pub fn wake(&mut self, peer: usize) {
        self.stats.wakes_sent += 1;
        let waker = &self.wakes.peers[peer];
        match self.wakes.by {
            WakeBy::Eventfd => waker.wake(),
            WakeBy::Message => {
                let data = Tag::Woken.encode();
                let target = Fd(waker.target.ring);
                let message = opcode::MsgRingData::new(target, 0, data, None)
                    .build()
                    .flags(squeue::Flags::SKIP_SUCCESS);
                let peer = u32::try_from(peer).expect("a node has a few cores");
                self.queue.push_pointerless(message, Tag::Message { peer });
            }
        }
    }

    pub fn wakes_by(&self) -> WakeBy {
        self.wakes.by
    }

    /// Chooses how to wake others, to compare the ways. A message needs a kernel that has them.
    pub fn set_wake_by(&mut self, by: WakeBy) {
        assert!(by == WakeBy::Eventfd || self.queue.has_messages());
        self.wakes.by = by;
    }

    /// Each write to the eventfd yields one completion or is covered by a later one, so nobody
    /// reads it (poll(2) semantics are edge-triggered for a multishot poll, io_uring_enter(2)).
    pub(super) fn arm_wake_poll(&mut self) {
        let event = Fd(self.wakes.own.target.event.as_raw_fd());
        let poll = opcode::PollAdd::new(event, libc::POLLIN as u32).multi(true).build();
        self.queue.push_pointerless(poll, Tag::WakePoll);
    }

    pub(super) fn handle_wake_poll(&mut self, completion: Completion) {
        if completion.result == -libc::ECANCELED {
            return;
        }
        self.stats.wakes_received += 1;
        if !completion.more {
            // It ends when the completion queue overflows. Reading first keeps the new poll from
            // answering for what this one has told already.
            let mut count = [0; 8];
            let _ = rustix::io::read(&self.wakes.own.target.event, &mut count);
            self.arm_wake_poll();
        }
    }

    /// A message that did not get through is replaced by the eventfd: no wake-up may be lost.
    pub(super) fn handle_message_failure(&mut self, peer: u32) {
        self.wakes.peers[peer as usize].wake();
    }
}
