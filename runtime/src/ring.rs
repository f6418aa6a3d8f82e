//! A core's ring: its network, its log and its signals behind one wait.
//!
//! The shell alternates: carry out what the node wants (`send`, `write`, ...: nothing happens yet),
//! [`Ring::submit_and_wait`] (one system call), then [`Ring::poll_event`] until there is nothing.
//!
//! A send executes within the submitting call and answers only if it could not send everything, so
//! a successful send costs no completion. `ring/network.rs` has the argument why that is sound.
//!
//! # Invariants
//!
//! * What the kernel may still read or write is never freed: buffers leave their table only with
//!   the last completion of the operation they were lent to.
//! * Of each connection, the last event is one `Closed`, and there is at most one send on its way.
//! * The ring does not sleep while an event waits to be polled.

mod connections;
#[expect(unsafe_code, reason = "writes point to buffers the kernel reads later")]
mod disk;
#[expect(
    unsafe_code,
    reason = "sends point to buffers the kernel reads, accepts yield descriptors"
)]
mod network;
mod prepare;
#[expect(unsafe_code, reason = "operations point to memory the kernel uses later")]
mod queue;
#[expect(unsafe_code, reason = "the ring of provided buffers is shared with the kernel")]
mod receive;
#[expect(unsafe_code, reason = "sends point to buffers the kernel reads")]
mod selfcheck;
mod tag;
mod wake;

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use base::ConnectionId;
use io_uring::{opcode, types};

use crate::affinity::while_unpinned;
use crate::clock::monotonic_us;
use crate::error::{DiskError, RingError, SetupError};
use crate::probe::{KernelFacts, raise_open_files};
use crate::signals::{self, Signal};

use connections::Connections;
use disk::Disk;
use network::Listener;
use queue::{Completion, Queue, Wait};
use receive::ReceiveBuffers;
use tag::{INDEX_MAX, Tag};
use wake::Wakes;
pub use wake::{WakeBy, Waker};

/// Connections beyond the maximum that are still accepted, so that they can be told why they are
/// turned away.
const CONNECTIONS_SPARE: u32 = 32;

/// Log files that are registered at a time; more are used by plain descriptor.
const LOG_FILES_REGISTERED: u32 = 64;

/// How large a ring is, and where its log lies.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections served at a time; a few more are accepted to be turned away politely.
    pub connections_max: u32,
    /// Buffers to receive into: a power of two.
    pub receive_buffers: u16,
    /// The size of one of them in bytes.
    pub receive_buffer_size: u32,
    /// Registered buffers of [`base::limits::FRAME_SIZE_MAX`] bytes for log writes.
    pub log_buffers: usize,
    /// Must exist.
    pub log_directory: PathBuf,
}

impl Options {
    /// The sizes that fit 8 MB of locked memory.
    pub fn new(log_directory: PathBuf) -> Self {
        Self {
            connections_max: 10_000,
            receive_buffers: 1024,
            receive_buffer_size: 16 * 1024,
            log_buffers: 6,
            log_directory,
        }
    }
}

/// What the kernel has done.
#[derive(Debug)]
#[must_use]
pub enum Event<'a> {
    /// A client has connected.
    Accepted { id: ConnectionId, peer: SocketAddr, local: SocketAddr },
    /// Bytes have arrived; they are lent until the next poll.
    Received { id: ConnectionId, bytes: &'a [u8] },
    /// The whole buffer has been handed to the network.
    Sent { id: ConnectionId, buffer: Vec<u8> },
    /// The client sends no more, and may still read. It is for the receiver to close.
    Ended { id: ConnectionId },
    /// The connection is gone, by the peer, an error or [`Ring::close`]: the last event of its id.
    Closed { id: ConnectionId },
    /// A write, flush, preparation or removal is complete.
    Disk { token: u64, result: Result<(), DiskError> },
    /// Somebody asks the process to stop.
    Signal(Signal),
}

/// Counters since the ring was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Sends that could not be completed at once and waited for the peer.
    pub sends_waiting: u64,
    /// Times the receive buffers ran dry.
    pub receive_buffers_exhausted: u64,
    /// Connections closed at once because no place was free.
    pub connections_refused: u64,
    /// Failed accepts.
    pub accept_errors: u64,
    /// Log writes that found no registered buffer.
    pub writes_unregistered: u64,
    /// Other rings woken, and times others wanted this one awake.
    pub wakes_sent: u64,
    pub wakes_received: u64,
    /// Places in the table of connections that are in use, closing ones included.
    pub connections: u32,
}

/// An event without the loan: what waits to be polled.
#[derive(Debug)]
enum Ready {
    Accepted { id: ConnectionId, peer: SocketAddr, local: SocketAddr },
    Received { id: ConnectionId, buffer: u16, size: usize },
    Sent { id: ConnectionId, buffer: Vec<u8> },
    Ended { id: ConnectionId },
    Closed { id: ConnectionId },
    Disk { token: u64, result: Result<(), DiskError> },
    Signal(Signal),
}

/// One core's ring. Lives on the thread that opened it.
///
/// The field order matters: the queue closes the ring before the memory it uses is freed.
pub struct Ring {
    queue: Queue,
    receive: ReceiveBuffers,
    connections: Connections,
    listeners: Vec<Listener>,
    disk: Disk,
    signals: Option<OwnedFd>,
    wakes: Wakes,
    /// Events that are known but not polled yet.
    ready: VecDeque<Ready>,
    /// Inline sends in submission order, until they are settled.
    inline_sends: VecDeque<(u64, ConnectionId)>,
    /// A send of this turn whose completion the node waits for: the next enter must not sleep.
    prompt: bool,
    /// Whether this kernel reports a short inline send; otherwise every send answers.
    inline: bool,
    /// The receive buffer lent by the last poll.
    lent: Option<u16>,
    notices: Vec<String>,
    stats: Stats,
    /// SINGLE_ISSUER: only the opening thread may use the ring.
    thread: PhantomData<*const ()>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Ring {
    /// Opens a ring on the calling thread, which alone may use it. Raises the limit on open files.
    pub fn open(options: Options) -> Result<Self, SetupError> {
        assert!(0 < options.connections_max);
        let facts = KernelFacts::read();
        if !facts.is_new_enough() {
            return Err(SetupError::KernelTooOld { facts });
        }
        let mut notices = Vec::new();
        let mut queue = Queue::open(&mut notices)?;
        // The worker must not take its time from the core this thread is pinned to.
        while_unpinned(|| queue.start_worker())
            .and_then(|started| started.map_err(|error| io::Error::other(error.to_string())))
            .map_err(|error| SetupError::Other {
                what: "starting the kernel's worker",
                error,
                facts: facts.clone(),
            })?;
        let inline = selfcheck::inline_sends_report_what_is_left(&mut queue).map_err(|error| {
            SetupError::Other { what: "the trial send", error, facts: facts.clone() }
        })?;
        if !inline {
            notices.push(format!(
                "this kernel does not report short sends of the kind Toroid prefers; sends cost \
                 a completion each ({facts})"
            ));
        }
        let places = register_files(&queue, options.connections_max, &facts, &mut notices)?;
        let receive = ReceiveBuffers::register(
            &queue.submitter(),
            options.receive_buffers,
            options.receive_buffer_size as usize,
        )
        .map_err(|error| out_of_memory_or("the receive buffers", error, &facts))?;
        let disk = Disk::open(&queue, &options, places, &mut notices)?;
        let wakes = Wakes::open(&queue, &facts).map_err(|error| SetupError::Other {
            what: "the eventfd",
            error,
            facts,
        })?;
        let mut ring = Self {
            queue,
            receive,
            connections: Connections::new(places),
            listeners: Vec::new(),
            disk,
            signals: None,
            wakes,
            ready: VecDeque::new(),
            inline_sends: VecDeque::new(),
            prompt: false,
            inline,
            lent: None,
            notices,
            stats: Stats::default(),
            thread: PhantomData,
        };
        ring.arm_wake_poll();
        Ok(ring)
    }

    /// What was set up smaller or slower than wanted, and why. For the log at start-up.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Connections that can be served at a time: as wanted, or fewer if the limit on open files is
    /// low.
    pub fn connections_max(&self) -> u32 {
        self.connections.places() - CONNECTIONS_SPARE
    }

    pub fn stats(&self) -> Stats {
        Stats { enters: self.queue.enters(), connections: self.connections.taken(), ..self.stats }
    }

    /// Turns SIGTERM and SIGINT into [`Event::Signal`]. See [`crate::block_signals`].
    pub fn watch_signals(&mut self) -> io::Result<()> {
        assert!(self.signals.is_none(), "signals are watched by one ring, once");
        self.signals = Some(signals::open()?);
        self.arm_signals();
        Ok(())
    }

    /// Submits what was asked for and sleeps until something completes or the deadline
    /// (CLOCK_BOOTTIME) has passed. Does not sleep while an event can be polled.
    pub fn submit_and_wait(&mut self, deadline_monotonic_us: Option<u64>) -> Result<(), RingError> {
        self.take_back_lent();
        let deadline = match (deadline_monotonic_us, self.rearm_listeners()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let wait = if self.must_not_sleep() {
            Wait::No
        } else {
            match deadline {
                None => Wait::Forever,
                Some(deadline) => match deadline.saturating_sub(monotonic_us()) {
                    0 => Wait::No,
                    us => Wait::AtMost(Duration::from_micros(us)),
                },
            }
        };
        self.prompt = false;
        self.queue.enter(wait)
    }

    /// The next thing that has happened. Poll until None before the next `submit_and_wait`.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        self.take_back_lent();
        let ready = loop {
            if let Some(ready) = self.ready.pop_front() {
                break ready;
            }
            match self.queue.next_completion() {
                Some(completion) => {
                    if let Some(ready) = self.handle_completion(completion) {
                        break ready;
                    }
                }
                None => break self.settle_inline_send()?,
            }
        };
        Some(match ready {
            Ready::Received { id, buffer, size } => {
                self.lent = Some(buffer);
                Event::Received { id, bytes: self.receive.bytes(buffer, size) }
            }
            Ready::Accepted { id, peer, local } => Event::Accepted { id, peer, local },
            Ready::Sent { id, buffer } => Event::Sent { id, buffer },
            Ready::Ended { id } => Event::Ended { id },
            Ready::Closed { id } => Event::Closed { id },
            Ready::Disk { token, result } => Event::Disk { token, result },
            Ready::Signal(signal) => Event::Signal(signal),
        })
    }

    fn handle_completion(&mut self, completion: Completion) -> Option<Ready> {
        match completion.tag {
            Tag::Accept { listener } => self.handle_accept(listener, completion),
            Tag::CancelAccept { .. } | Tag::Worker => None,
            Tag::Receive(id) => self.handle_receive(id, completion),
            Tag::CancelReceive(id) | Tag::CancelAll(id) => {
                self.handle_cancel(id, completion);
                None
            }
            Tag::SendInline(id) => self.handle_inline_failure(id, completion.result),
            Tag::SendWaiting(id) => self.handle_send(id, completion.result),
            Tag::CloseSocket(id) => {
                self.connections.release(id);
                None
            }
            Tag::Signals => self.handle_signals(completion),
            Tag::Woken => {
                self.stats.wakes_received += 1;
                None
            }
            Tag::WakePoll => {
                self.handle_wake_poll(completion);
                None
            }
            Tag::Message { peer } => {
                self.handle_message_failure(peer);
                None
            }
            Tag::Disk { job, detail } => {
                self.handle_disk(job, detail, completion.result);
                None
            }
        }
    }

    fn must_not_sleep(&mut self) -> bool {
        if self.prompt || !self.ready.is_empty() || self.queue.has_completions() {
            return true;
        }
        let submitted = self.queue.submitted();
        self.inline_sends.front().is_some_and(|&(sequence, _)| sequence <= submitted)
            || self.queue.has_overflown()
    }

    fn take_back_lent(&mut self) {
        if let Some(buffer) = self.lent.take() {
            self.receive.put_back(buffer);
        }
    }

    fn arm_signals(&mut self) {
        let Some(signalfd) = &self.signals else { return };
        let readable = libc::POLLIN as u32;
        let poll = opcode::PollAdd::new(types::Fd(signalfd.as_raw_fd()), readable).multi(true);
        self.queue.push_pointerless(poll.build(), Tag::Signals);
    }

    fn handle_signals(&mut self, completion: Completion) -> Option<Ready> {
        if completion.result == -libc::ECANCELED {
            return None;
        }
        if !completion.more {
            self.arm_signals();
        }
        let signalfd = self.signals.as_ref()?;
        while let Some(signal) = signals::take(signalfd) {
            self.ready.push_back(Ready::Signal(signal));
        }
        self.ready.pop_front()
    }
}

impl Drop for Ring {
    /// Cancels what waits and lets log writes finish, so that no memory is freed under the kernel.
    fn drop(&mut self) {
        const PATIENCE_US: u64 = 5_000_000;
        let deadline = monotonic_us() + PATIENCE_US;
        self.take_back_lent();
        let mut entered = self.queue.enter(Wait::No);
        // Nothing to cancel is no error; a cancellation that does not arrive shows below.
        let second = types::Timespec::new().sec(1);
        let _ =
            self.queue.submitter().register_sync_cancel(Some(second), types::CancelBuilder::any());
        while entered.is_ok() && monotonic_us() < deadline {
            while self.queue.next_completion().is_some() {}
            if self.queue.unfinished() == 0 {
                return;
            }
            entered = self.queue.enter(Wait::AtMost(Duration::from_millis(10)));
        }
        if self.queue.unfinished() != 0 {
            self.connections.leak_buffers();
            self.receive.leak();
            self.disk.leak_buffers();
        }
    }
}

/// Makes the table of registered files as large as wanted, or as the limit on open files allows.
/// Returns the places for connections.
fn register_files(
    queue: &Queue,
    connections_max: u32,
    facts: &KernelFacts,
    notices: &mut Vec<String>,
) -> Result<u32, SetupError> {
    let limit = raise_open_files().map_err(|error| SetupError::Other {
        what: "raising the limit on open files",
        error,
        facts: facts.clone(),
    })?;
    let limit = limit.unwrap_or(u64::MAX).min(u64::from(INDEX_MAX));
    let places = fitting_places(connections_max, limit)?;
    if places < connections_max.saturating_add(CONNECTIONS_SPARE) {
        notices.push(format!(
            "{} connections are served at most instead of {connections_max}: the hard limit on \
             open files is {limit}. Raise it with `ulimit -Hn` or `LimitNOFILE=`",
            places - CONNECTIONS_SPARE
        ));
    }
    queue
        .submitter()
        .register_files_sparse(places + LOG_FILES_REGISTERED)
        .map_err(|error| out_of_memory_or("the table of registered files", error, facts))?;
    Ok(places)
}

fn fitting_places(connections_max: u32, limit: u64) -> Result<u32, SetupError> {
    let wanted = connections_max.saturating_add(CONNECTIONS_SPARE);
    let least = CONNECTIONS_SPARE + 1;
    let fitting = limit.saturating_sub(u64::from(LOG_FILES_REGISTERED));
    if fitting < u64::from(least) {
        return Err(SetupError::OpenFiles { wanted: least + LOG_FILES_REGISTERED, limit });
    }
    Ok(wanted.min(u32::try_from(fitting).unwrap_or(u32::MAX)))
}

fn out_of_memory_or(what: &'static str, error: io::Error, facts: &KernelFacts) -> SetupError {
    let facts = facts.clone();
    if error.raw_os_error() == Some(libc::ENOMEM) {
        SetupError::Memory { what, facts }
    } else {
        SetupError::Other { what, error, facts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_on_open_files_lowers_the_number_of_connections() {
        let fitting = |wanted, limit| fitting_places(wanted, limit).ok();
        assert_eq!(fitting(10_000, 1 << 20), Some(10_000 + CONNECTIONS_SPARE));
        assert_eq!(fitting(10_000, 4096), Some(4096 - LOG_FILES_REGISTERED));
        assert_eq!(fitting(u32::MAX, u64::MAX), Some(u32::MAX));
        assert_eq!(fitting(1, 97), Some(1 + CONNECTIONS_SPARE));
        assert_eq!(fitting(1, 96), None);
    }
}
