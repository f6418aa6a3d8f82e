//! The two queues shared with the kernel: pushing operations, entering, taking completions.
//!
//! Operations beyond the submission queue's size wait in a backlog and are submitted by further
//! calls of the same turn. Every enter carries GETEVENTS: with DEFER_TASKRUN the kernel completes
//! nothing outside of it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::tag::Tag;
use crate::error::{RingError, SetupError};
use crate::probe::{Denial, KernelFacts, missing_operations, supports_messages};

/// `IORING_ENTER_GETEVENTS` of io_uring_enter(2).
const ENTER_GETEVENTS: u32 = 1;

/// Sizes to try, larger first: submissions, completions.
const SIZES: [(u32, u32); 5] =
    [(4096, 16384), (2048, 8192), (1024, 4096), (512, 2048), (256, 1024)];

/// How long an enter may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    Forever,
    AtMost(Duration),
}

/// A completion, taken from its queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) tag: Tag,
    pub(super) result: i32,
    /// More completions of this operation will follow.
    pub(super) more: bool,
    /// The provided buffer that was used.
    pub(super) buffer: Option<u16>,
}

pub(super) struct Queue {
    ring: IoUring,
    backlog: VecDeque<squeue::Entry>,
    /// Operations ever pushed: the sequence number of the last one.
    pushed: u64,
    /// Operations that still owe us their last completion. Those that answer only when they fail
    /// owe none.
    unfinished: u64,
    enters: u64,
    /// Whether the kernel carries messages from ring to ring.
    has_messages: bool,
}

impl Queue {
    /// Sets up a ring as large as the limits allow; a notice says when that is less than wanted.
    pub(super) fn open(notices: &mut Vec<String>) -> Result<Self, SetupError> {
        let facts = KernelFacts::read();
        for (attempt, (submissions, completions)) in SIZES.into_iter().enumerate() {
            match build(submissions, completions) {
                Ok(ring) => {
                    if 0 < attempt {
                        notices.push(format!(
                            "the ring has {submissions} submissions and {completions} completions \
                             instead of {} and {}: the limit on locked memory is too small ({facts})",
                            SIZES[0].0, SIZES[0].1
                        ));
                    }
                    return Self::checked(ring, facts);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {}
                Err(error) => return Err(refused(error, facts)),
            }
        }
        Err(SetupError::Memory { what: "the ring", facts })
    }

    fn checked(ring: IoUring, facts: KernelFacts) -> Result<Self, SetupError> {
        match missing_operations(&ring) {
            Err(error) => {
                return Err(SetupError::Other { what: "probing io_uring", error, facts });
            }
            Ok(names) if !names.is_empty() => {
                return Err(SetupError::OperationsMissing { names, facts });
            }
            Ok(_) => {}
        }
        let has_messages = supports_messages(&ring);
        let backlog = VecDeque::new();
        Ok(Self { ring, backlog, pushed: 0, unfinished: 0, enters: 0, has_messages })
    }

    /// Whether the kernel knows how to send a message from ring to ring.
    pub(super) fn has_messages(&self) -> bool {
        self.has_messages
    }

    /// The ring's descriptor, for those who send it messages.
    pub(super) fn descriptor(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Has the kernel start the worker that will flush and allocate. It stays, and inherits the
    /// processors the calling thread may use now.
    pub(super) fn start_worker(&mut self) -> Result<(), RingError> {
        let nothing = opcode::Nop::new().build().flags(squeue::Flags::ASYNC);
        self.push_pointerless(nothing, Tag::Worker);
        while 0 < self.unfinished {
            self.enter(Wait::Forever)?;
            while self.next_completion().is_some() {}
        }
        Ok(())
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// Queues an operation and returns its sequence number. It is submitted by the next enter.
    ///
    /// # Safety
    ///
    /// What the operation points to must stay valid, and unshared as the operation demands, until
    /// its last completion has been taken (or, for an inline send, until it is settled).
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry, tag: Tag) -> u64 {
        let entry = entry.user_data(tag.encode());
        if !tag.answers_only_failure() {
            self.unfinished += 1;
        }
        self.pushed += 1;
        if !self.backlog.is_empty() {
            self.backlog.push_back(entry);
            return self.pushed;
        }
        // SAFETY: the caller vouches for what the entry points to.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        if pushed.is_err() {
            self.backlog.push_back(entry);
        }
        self.pushed
    }

    /// Queues an operation that points to nothing.
    pub(super) fn push_pointerless(&mut self, entry: squeue::Entry, tag: Tag) -> u64 {
        const POINTERLESS: [u8; 9] = [
            opcode::Nop::CODE,
            opcode::AcceptMulti::CODE,
            opcode::RecvMulti::CODE,
            opcode::AsyncCancel2::CODE,
            opcode::Close::CODE,
            opcode::PollAdd::CODE,
            opcode::Fsync::CODE,
            opcode::Fallocate::CODE,
            opcode::MsgRingData::CODE,
        ];
        assert!(POINTERLESS.iter().any(|&code| u32::from(code) == entry.get_opcode()));
        // SAFETY: as built by the crate, these operations carry no address: accepts ask for no
        // name, receives take their memory from the group of provided buffers.
        unsafe { self.push(entry, tag) }
    }

    /// The sequence number of the last operation the kernel has taken.
    pub(super) fn submitted(&mut self) -> u64 {
        let waiting = self.backlog.len() + self.ring.submission().len();
        self.pushed - waiting as u64
    }

    /// Submits everything, runs deferred completions and sleeps as asked: one system call, unless
    /// more operations were pushed than the submission queue holds.
    pub(super) fn enter(&mut self, wait: Wait) -> Result<(), RingError> {
        let first = if self.backlog.is_empty() { wait } else { Wait::No };
        self.enter_once(first)?;
        while !self.backlog.is_empty() {
            let before = self.backlog.len();
            self.refill();
            self.enter_once(Wait::No)?;
            if self.backlog.len() == before {
                break; // The kernel takes nothing now; the next turn tries again.
            }
        }
        Ok(())
    }

    fn refill(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever pushed the entry vouched for what it points to.
            let pushed = unsafe { submission.push(entry) };
            if pushed.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
    }

    fn enter_once(&mut self, wait: Wait) -> Result<(), RingError> {
        self.enters += 1;
        let to_submit = self.ring.submission().len();
        let submitter = self.ring.submitter();
        let result = match wait {
            Wait::No => {
                let to_submit = u32::try_from(to_submit).expect("the queue's size fits a u32");
                // SAFETY: no argument is passed, and the entries were vouched for when pushed.
                unsafe { submitter.enter::<libc::sigset_t>(to_submit, 0, ENTER_GETEVENTS, None) }
            }
            Wait::Forever => submitter.submit_and_wait(1),
            Wait::AtMost(duration) => {
                let timeout = Timespec::from(duration);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Interrupted, or the time is over.
                Some(libc::EINTR | libc::ETIME) => Ok(()),
                // The completion queue is full, or memory is short for a moment: completions have
                // to be taken before more can be submitted.
                Some(libc::EBUSY | libc::EAGAIN) => Ok(()),
                Some(libc::EBADR) => Err(RingError::CompletionsLost),
                _ => Err(RingError::Enter(error)),
            },
        }
    }

    /// Takes the next completion.
    pub(super) fn next_completion(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let tag = Tag::decode(entry.user_data());
        let more = cqueue::more(entry.flags());
        // A message of another ring was never pushed here.
        if !more && !tag.answers_only_failure() && tag != Tag::Woken {
            self.unfinished = self
                .unfinished
                .checked_sub(1)
                .expect("an operation completes once, after it was pushed");
        }
        Some(Completion {
            tag,
            result: entry.result(),
            more,
            buffer: cqueue::buffer_select(entry.flags()),
        })
    }

    pub(super) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Completions wait inside the kernel because the queue was full; the next enter delivers them.
    pub(super) fn has_overflown(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    pub(super) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    pub(super) fn enters(&self) -> u64 {
        self.enters
    }
}

fn build(submissions: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(completions)
        .dontfork();
    let mut without_array = builder.clone();
    without_array.setup_no_sqarray();
    match without_array.build(submissions) {
        // Before Linux 6.6 there is no such flag.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(submissions),
        other => other,
    }
}

fn refused(error: io::Error, facts: KernelFacts) -> SetupError {
    match error.raw_os_error() {
        Some(libc::EINVAL) if !facts.is_new_enough() => SetupError::KernelTooOld { facts },
        Some(errno @ (libc::EPERM | libc::EACCES | libc::ENOSYS)) => {
            SetupError::Denied { denial: Denial::find(errno, &facts), errno, facts }
        }
        _ => SetupError::Other { what: "setting up a ring", error, facts },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Queue {
        let ring = build(4, 8).expect("this machine has io_uring");
        let backlog = VecDeque::new();
        Queue { ring, backlog, pushed: 0, unfinished: 0, enters: 0, has_messages: false }
    }

    fn failing(queue: &mut Queue, number: u32) {
        // No file is registered, so each fails at once with a completion.
        let close = opcode::Close::new(io_uring::types::Fixed(7)).build();
        queue.push_pointerless(close, Tag::Disk { job: number, detail: 0 });
    }

    #[test]
    fn more_operations_than_the_queues_hold_all_complete_once() {
        const COUNT: u32 = 1000;
        let mut queue = small();
        for number in 0..COUNT {
            failing(&mut queue, number);
        }
        assert_eq!(queue.unfinished(), u64::from(COUNT));
        let mut completed = vec![0; COUNT as usize];
        let mut overflown = false;
        while 0 < queue.unfinished() {
            queue.enter(Wait::No).expect("the ring works");
            overflown |= queue.has_overflown();
            while let Some(completion) = queue.next_completion() {
                let Tag::Disk { job, .. } = completion.tag else { unreachable!("only these") };
                assert!(completion.result < 0);
                completed[job as usize] += 1;
            }
        }
        assert!(overflown, "the completion queue was too small for this");
        assert!(completed.iter().all(|&count| count == 1));
        assert_eq!(queue.submitted(), u64::from(COUNT));
    }

    #[test]
    fn what_fits_the_queue_is_submitted_by_one_call() {
        let mut queue = small();
        for number in 0..4 {
            failing(&mut queue, number);
        }
        assert_eq!(queue.submitted(), 0);
        queue.enter(Wait::Forever).expect("the ring works");
        assert_eq!((queue.submitted(), queue.enters()), (4, 1));
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let mut queue = small();
        queue.enter(Wait::AtMost(Duration::from_millis(5))).expect("a timeout is no error");
        assert!(!queue.has_completions());
    }

    #[test]
    fn the_refusal_of_an_old_kernel_is_not_called_a_denial() {
        let mut facts = KernelFacts::read();
        facts.release = "5.15.0".to_owned();
        let error = io::Error::from_raw_os_error(libc::EINVAL);
        assert!(matches!(refused(error, facts), SetupError::KernelTooOld { .. }));
    }
}
