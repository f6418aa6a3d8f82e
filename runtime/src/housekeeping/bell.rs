//! How cores, and jobs that end, call the housekeeping thread out of its sleep.
//!
//! The same two stores and two loads as in [`crate::mesh`]: who waits says so and then looks for
//! work; who brings work looks then whether somebody waits. The lock is taken to ring only when
//! the thread said that it waits, and held by the thread only while it begins to wait for the
//! first time, and at its end: a core does not wait for it.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Poll, Waker};

/// Owner: the housekeeping thread, its cores and its jobs.
#[derive(Debug, Default)]
pub(super) struct Bell {
    is_waiting: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

const HELD: &str = "nobody panics with the waker in hand";

impl Bell {
    /// Ends the wait, or keeps it from beginning. Called after the work was laid down.
    pub(super) fn ring(&self) {
        // The work before, the flag after. Pairs with the fence of `rung`.
        fence(Ordering::SeqCst);
        let waits = &self.is_waiting;
        if waits.load(Ordering::Relaxed)
            && waits.swap(false, Ordering::Relaxed)
            && let Some(waker) = &*self.waker.lock().expect(HELD)
        {
            waker.wake_by_ref();
        }
    }

    /// Waits until there is work. It is always the same task that waits.
    pub(super) async fn rung(&self, has_work: impl Fn() -> bool) {
        poll_fn(|_| {
            self.is_waiting.store(true, Ordering::Relaxed);
            // The flag before, the work after. Pairs with the fence of `ring`.
            fence(Ordering::SeqCst);
            if has_work() {
                self.is_waiting.store(false, Ordering::Relaxed);
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Lets others ring for the task that calls this.
    pub(super) async fn hang(&self) {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        *self.waker.lock().expect(HELD) = Some(waker);
    }

    /// Nobody waits from here on. The waker must be dropped on the thread it belongs to.
    pub(super) fn unhang(&self) {
        *self.waker.lock().expect(HELD) = None;
    }
}
