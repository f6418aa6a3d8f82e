//! The housekeeping thread: what is bulky and not on the path of a command.
//!
//! One glommio executor on a thread of its own, tied to no processor and yielding to the cores. A
//! core lays a [`Job`] on its [`Desk`]: a few steps on files, which are carried out one after the
//! other until one fails. Jobs go on side by side, a job's steps never do. What is done comes back
//! to the same desk, and the core's ring is woken for it.
//!
//! ```text
//!   core:          desk.submit ──> bounded ring ──> (bell)        desk.poll <── bounded ring
//!   housekeeping:                       job: step, step, step ───────────────────────┘ wake
//! ```
//!
//! A job carries a cargo of the caller's type: its steps may read and change it (compress what is in
//! it, keep what was read), and it comes back in any case, also from a job that failed.
//!
//! Why glommio, and what of it is used: ADR 7.
//!
//! # Invariants
//!
//! * A job is answered exactly once.
//! * A desk never has more than [`JOBS_MAX`] jobs unanswered, so that there is room for each answer.
//! * A step that failed is not tried again, and no step after it is carried out.

mod bell;
mod desk;
mod steps;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle};

use crate::error::SetupError;
use crate::probe::KernelFacts;
use crate::ring::Waker;

use bell::Bell;
use desk::{Counter, counter};
pub use desk::{Desk, JOBS_MAX};
pub use steps::{Done, FileError, Job, Keep, Make, Step};

/// Memory that glommio registers with each of its three rings: the least it takes, because the logs
/// of the cores need what may be locked (RLIMIT_MEMLOCK).
const REGISTERED_SIZE: usize = 64 * 1024;

/// The least limit on locked memory that glommio starts under, however little it locks: bytes.
const LOCKED_SIZE_MIN: u64 = 512 * 1024;

const EXECUTOR: &str = "the housekeeping executor";

/// Operations of one of its rings.
const RING_DEPTH: usize = 64;

/// Of 1000: whatever else runs on this executor goes before files.
const FILE_SHARES: usize = 50;

/// How far the thread yields to the cores when they want the same processor (setpriority(2)).
const NICE: i32 = 10;

/// The thread. It ends when every desk is gone and every job is answered.
#[derive(Debug)]
pub struct Housekeeping {
    thread: JoinHandle<()>,
}

/// Starts the thread. There is a desk for each of `wakers`, in their order; each is woken when one of
/// its jobs is done.
///
/// # Errors
///
/// The executor cannot be had: what it wants of the kernel is refused.
pub fn start<T: Send + 'static>(
    wakers: Vec<Waker>,
) -> Result<(Housekeeping, Vec<Desk<T>>), SetupError> {
    let bell = Arc::new(Bell::default());
    let (desks, counters): (Vec<_>, Vec<_>) =
        wakers.into_iter().map(|waker| counter(waker, Arc::clone(&bell))).unzip();
    let (report, reports) = channel();
    let thread = Builder::new()
        .name("housekeeping".to_owned())
        .spawn(move || run(counters, bell, &report))
        .map_err(|error| failed("starting the housekeeping thread", error))?;
    let ended = || failed("the housekeeping thread", io::Error::other("it ended at its start"));
    reports.recv().unwrap_or_else(|_| Err(ended()))?;
    Ok((Housekeeping { thread }, desks))
}

impl Housekeeping {
    /// Waits for the end, which comes when the last desk is dropped.
    pub fn join(self) -> std::thread::Result<()> {
        self.thread.join()
    }
}

fn run<T: Send + 'static>(
    counters: Vec<Counter<T>>,
    bell: Arc<Bell>,
    report: &Sender<Result<(), SetupError>>,
) {
    let opened = open();
    let (executor, opened) = match opened {
        Ok(executor) => (Some(executor), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // Who started this waits for the report, unless it is gone, and then so are the desks.
    let reported = report.send(opened).is_ok();
    if let (Some(executor), true) = (executor, reported) {
        executor.run(serve(counters, bell));
    }
}

fn open() -> Result<LocalExecutor, SetupError> {
    let facts = KernelFacts::read();
    // It refuses to start with less, in words of its own.
    if facts.memlock.is_some_and(|limit| limit < LOCKED_SIZE_MIN) {
        return Err(SetupError::Memory { what: EXECUTOR, facts });
    }
    rustix::process::setpriority_process(None, NICE)
        .map_err(|errno| failed("yielding to the cores (setpriority)", errno.into()))?;
    LocalExecutorBuilder::new(Placement::Unbound)
        .name("housekeeping")
        .io_memory(REGISTERED_SIZE)
        .ring_depth(RING_DEPTH)
        .make()
        .map_err(|error| failed(EXECUTOR, steps::plain(error)))
}

fn failed(what: &'static str, error: io::Error) -> SetupError {
    let facts = KernelFacts::read();
    match error.raw_os_error() {
        Some(libc::ENOMEM) => SetupError::Memory { what, facts },
        _ => SetupError::Other { what, error, facts },
    }
}

/// Takes jobs off the desks until all desks are gone.
async fn serve<T: 'static>(counters: Vec<Counter<T>>, bell: Arc<Bell>) {
    bell.hang().await;
    let shares = Shares::Static(FILE_SHARES);
    let queue = glommio::executor().create_task_queue(shares, Latency::NotImportant, "files");
    let counters: Vec<_> = counters.into_iter().map(|one| Rc::new(RefCell::new(one))).collect();
    let hands = Rc::new(Cell::new(0_usize));
    loop {
        for counter in &counters {
            loop {
                let taken = counter.borrow_mut().take();
                let Some(job) = taken else { break };
                begin(job, counter, &hands, &bell, queue);
            }
        }
        let is_over =
            || hands.get() == 0 && counters.iter().all(|counter| counter.borrow().is_over());
        if is_over() {
            break;
        }
        let has_job = || counters.iter().any(|counter| counter.borrow().has_job());
        bell.rung(|| has_job() || is_over()).await;
    }
    bell.unhang();
}

/// Carries a job out beside the others.
fn begin<T: 'static>(
    mut job: Job<T>,
    counter: &Rc<RefCell<Counter<T>>>,
    hands: &Rc<Cell<usize>>,
    bell: &Arc<Bell>,
    queue: TaskQueueHandle,
) {
    let (counter, hands, bell) = (Rc::clone(counter), Rc::clone(hands), Arc::clone(bell));
    hands.set(hands.get() + 1);
    let work = async move {
        let result = steps::carry_out(&mut job).await;
        counter.borrow_mut().answer(Done { cargo: job.cargo, result });
        hands.set(hands.get() - 1);
        bell.ring();
    };
    glommio::spawn_local_into(work, queue).expect("the queue was made by this executor").detach();
}
