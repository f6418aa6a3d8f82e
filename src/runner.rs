//! The runners: a thread for each core, for commands that would hold the core up.
//!
//! A core has one such command under way at a time (see `node`'s `long`), so a runner never has two
//! jobs, and the jobs of one core do not wait for those of another. A runner is tied to no processor
//! and yields to the cores: a command that is long anyway may take longer.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use node::LongJob;
use runtime::Waker;

use crate::exit::{Failure, Status};

/// How far a runner yields to the cores when they want the same processor (setpriority(2)).
const NICE: i32 = 5;

/// A core's end. Owner: core.
pub struct Runner {
    jobs: Sender<Box<LongJob>>,
    ran: Receiver<Box<LongJob>>,
}

impl Runner {
    /// Starts the thread of one core, whose ring `waker` wakes. It ends with the core's end. Call
    /// from a thread that is tied to no processor.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn start(core: usize, waker: Waker) -> Result<Self, Failure> {
        let (jobs, taken) = channel();
        let (done, ran) = channel();
        Builder::new()
            .name(format!("long-{core}"))
            .spawn(move || run(&taken, &done, &waker))
            .map_err(|cause| Failure::new(Status::Failed, cause))?;
        Ok(Self { jobs, ran })
    }

    /// Has a job run.
    pub fn submit(&self, job: Box<LongJob>) {
        // A panic there would end the process, as one here does.
        self.jobs.send(job).expect("the thread ends with the core");
    }

    /// The job that has run, if it has.
    pub fn poll(&self) -> Option<Box<LongJob>> {
        self.ran.try_recv().ok()
    }
}

fn run(jobs: &Receiver<Box<LongJob>>, done: &Sender<Box<LongJob>>, waker: &Waker) {
    if let Err(cause) = runtime::yield_to_others(NICE) {
        tracing::warn!("long commands do not yield to short ones: {cause}");
    }
    while let Ok(mut job) = jobs.recv() {
        job.run();
        if done.send(job).is_err() {
            return;
        }
        waker.wake();
    }
}
