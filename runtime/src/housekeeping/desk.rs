//! The two ends between a core and the housekeeping thread: jobs one way, answers the other.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::housekeeping::bell::Bell;
use crate::housekeeping::{Done, Job};
use crate::ring::Waker;

/// Jobs a desk may have unanswered.
pub const JOBS_MAX: usize = 8;

/// A core's end. Owner: core.
#[derive(Debug)]
pub struct Desk<T> {
    jobs: Option<Producer<Job<T>>>,
    done: Consumer<Done<T>>,
    unanswered: usize,
    bell: Arc<Bell>,
}

/// The housekeeping thread's end of a desk.
#[derive(Debug)]
pub(super) struct Counter<T> {
    jobs: Consumer<Job<T>>,
    done: Producer<Done<T>>,
    waker: Waker,
}

pub(super) fn counter<T>(waker: Waker, bell: Arc<Bell>) -> (Desk<T>, Counter<T>) {
    let (jobs, taken) = RingBuffer::new(JOBS_MAX);
    let (answers, done) = RingBuffer::new(JOBS_MAX);
    let desk = Desk { jobs: Some(jobs), done, unanswered: 0, bell };
    (desk, Counter { jobs: taken, done: answers, waker })
}

impl<T> Desk<T> {
    /// Whether [`Desk::submit`] takes a job.
    pub fn has_room(&self) -> bool {
        self.unanswered < JOBS_MAX
    }

    /// Jobs whose answers [`Desk::poll`] still owes.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Has a job carried out. There must be room.
    pub fn submit(&mut self, job: Job<T>) {
        assert!(self.has_room());
        self.unanswered += 1;
        let jobs = self.jobs.as_mut().expect("it is given up only with the desk");
        let pushed = jobs.push(job);
        assert!(pushed.is_ok(), "the ring has room for every unanswered job");
        self.bell.ring();
    }

    /// The next job that is done, however it ended.
    pub fn poll(&mut self) -> Option<Done<T>> {
        let done = self.done.pop().ok()?;
        self.unanswered -= 1;
        Some(done)
    }
}

impl<T> Drop for Desk<T> {
    /// The thread has to see that no more is coming.
    fn drop(&mut self) {
        self.jobs = None;
        self.bell.ring();
    }
}

impl<T> Counter<T> {
    pub(super) fn take(&mut self) -> Option<Job<T>> {
        self.jobs.pop().ok()
    }

    pub(super) fn has_job(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The desk is gone, and everything that was laid on it was taken.
    pub(super) fn is_over(&self) -> bool {
        // In this order: what was laid down before the desk went is seen after that.
        self.jobs.is_abandoned() && self.jobs.is_empty()
    }

    /// Hands a job back. A desk that is gone does not miss it.
    pub(super) fn answer(&mut self, done: Done<T>) {
        let pushed = self.done.push(done);
        assert!(pushed.is_ok() || self.done.is_abandoned(), "a desk waits for few enough jobs");
        self.waker.wake();
    }
}
