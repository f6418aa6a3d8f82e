//! The shell of a core: carries out what the node asks for and tells it what happened.
//!
//! It decides nothing. The one place where a node's Output becomes a call of `runtime` and a
//! completion, or another core's parcel, becomes an Event:
//!
//! ```text
//! loop { events -> node.handle; node.close_turn; outputs -> ring, mesh; one io_uring_enter }
//! ```

use std::collections::VecDeque;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CoreId, Now};
use node::{Event, Node, Output, Parcel};
use runtime::housekeeping::Desk;
use runtime::mesh::Port;
use runtime::{DiskError, Ring};
use wal::{Halt, IoError, Operation};

use crate::config;
use crate::exit::{Failure, Status};
use crate::housekeeping::{Cargo, SnapshotEvent, SnapshotOutput, SnapshotWriter};
use crate::old_logs::Disposable;
use crate::runner::Runner;

/// How soon a parcel that found its ring full is tried again: microseconds.
const LATE_US: u64 = 50;

/// A turn that took less by the clock cannot have taken more of a processor: microseconds.
const CPU_TIME_WORTH_US: u64 = 250;

/// So many freed bytes are worth giving back.
const FREED_SIZE: usize = 64 * 1024 * 1024;

/// One core at work. Owner: core.
pub struct Shell {
    node: Node,
    ring: Ring,
    port: Port<Parcel>,
    /// By core, what its ring has had no room for; nothing overtakes it.
    late: Vec<VecDeque<Box<Parcel>>>,
    /// By core, whether it must not sleep over what it was sent in this turn.
    to_wake: Vec<bool>,
    /// Bound, and accepted from once every core is ready.
    listeners: Vec<TcpListener>,
    runner: Runner,
    welcome: Arc<Welcome>,
    clients: Arc<Clients>,
    snapshots: SnapshotWriter<Desk<Cargo>>,
    /// Whoever removes logs of older generations, while there are any.
    old_logs: Option<Sender<Disposable>>,
    is_listening: bool,
    /// What the listeners' connections inherit: seconds.
    keepalive_s: Option<u64>,
    /// Asked to stop, and whether the node knows.
    stopping: Option<Stopping>,
    /// The most bytes the node held since freed memory was last given back.
    memory_peak: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Asked,
    Told,
}

/// What works for a core on other threads.
pub struct Beside {
    pub runner: Runner,
    pub snapshots: SnapshotWriter<Desk<Cargo>>,
    /// If there are any.
    pub old_logs: Option<Sender<Disposable>>,
}

/// What is printed when clients are welcome.
pub type Banner = Box<dyn FnOnce() + Send>;

/// Counts the cores that are ready. The last one prints, and from then on all accept: who is
/// answered finds the whole node. Owner: all cores.
pub struct Welcome {
    missing: AtomicUsize,
    banner: Mutex<Option<Banner>>,
    is_open: AtomicBool,
}

impl Welcome {
    pub fn new(cores: usize, banner: Banner) -> Self {
        let (missing, is_open) = (AtomicUsize::new(cores), AtomicBool::new(false));
        Self { missing, banner: Mutex::new(Some(banner)), is_open }
    }

    /// True for the last core, which has to tell the others.
    fn arrive(&self) -> bool {
        if self.missing.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        let banner = self.banner.lock().expect("only the last core takes it").take();
        banner.expect("only the last core takes it")();
        self.is_open.store(true, Ordering::Release);
        true
    }
}

/// The clients of each core, so that all together keep to `maxclients`. Owner: all cores.
pub struct Clients {
    counts: Vec<AtomicUsize>,
}

impl Clients {
    pub fn new(cores: usize) -> Self {
        Self { counts: (0..cores).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// Those of the others, a moment ago.
    fn elsewhere(&self, core: usize) -> usize {
        let others = self.counts.iter().enumerate().filter(|(other, _)| *other != core);
        others.map(|(_, count)| count.load(Ordering::Acquire)).sum()
    }
}

impl Shell {
    pub fn new(
        node: Node,
        ring: Ring,
        port: Port<Parcel>,
        listeners: Vec<TcpListener>,
        welcome: Arc<Welcome>,
        clients: Arc<Clients>,
        beside: Beside,
    ) -> Self {
        let Beside { runner, snapshots, old_logs } = beside;
        Self {
            node,
            ring,
            memory_peak: 0,
            late: (0..port.cores()).map(|_| VecDeque::new()).collect(),
            to_wake: vec![false; port.cores()],
            port,
            listeners,
            runner,
            welcome,
            clients,
            snapshots,
            old_logs,
            is_listening: false,
            keepalive_s: None,
            stopping: None,
        }
    }

    /// Runs until the node has nothing more to do or the log fails.
    pub fn run(mut self) -> Result<(), Failure> {
        let mut is_done = false;
        // The last parcels of a node that is done still have to reach the others.
        while !is_done || self.is_late() {
            let now = runtime::now();
            let cpu_us = runtime::thread_cpu_us();
            self.take_parcels(now);
            self.take_events(now)?;
            // After the wake-ups were taken: what comes later brings another.
            if let Some(job) = self.runner.poll() {
                self.node.handle(Event::Ran(job), now);
            }
            self.take_snapshot_events(now);
            self.node.close_turn(now);
            self.tell_disposable();
            // Before anybody is told that it is set.
            self.set_keepalive()?;
            is_done |= self.carry_out()?;
            self.wake_others();
            self.give_memory_back();
            let time_us = runtime::now().monotonic_us.saturating_sub(now.monotonic_us);
            self.node.note_turn_time(time_us);
            if CPU_TIME_WORTH_US < time_us {
                self.node.note_turn_cpu_time(runtime::thread_cpu_us() - cpu_us);
            }
            let deadline = if is_done { Some(now.monotonic_us + LATE_US) } else { self.deadline() };
            self.sleep(deadline)?;
        }
        Ok(())
    }

    /// After much was freed, the kernel gets it: nothing else may ask the allocator for long.
    fn give_memory_back(&mut self) {
        let used = self.node.own_memory();
        if used + FREED_SIZE < self.memory_peak {
            runtime::allocator::give_back();
            self.memory_peak = used;
        }
        self.memory_peak = self.memory_peak.max(used);
    }

    fn take_parcels(&mut self, now: Now) {
        while let Some((from, parcel)) = self.port.poll() {
            let from = CoreId(u16::try_from(from).expect("a node has a few cores"));
            self.node.handle(Event::Parcel { from, parcel }, now);
        }
    }

    fn take_snapshot_events(&mut self, now: Now) {
        while let Some(event) = self.snapshots.poll_event() {
            if let SnapshotEvent::Failed { slice, index, error, .. } = &event {
                tracing::error!(
                    "the snapshot of slice {slice} at entry {index} failed: {error}. Nothing is \
                     lost, the log holds everything; it is tried again in a while. Fix: look at \
                     the disk (df, dmesg)"
                );
            }
            self.node.handle(Event::Snapshot(event), now);
        }
    }

    fn tell_disposable(&mut self) {
        if let Some(old_logs) = &self.old_logs
            && let Some(disposable) = self.node.take_disposable()
            && old_logs.send(disposable).is_err()
        {
            // They are gone.
            self.old_logs = None;
        }
    }

    fn take_events(&mut self, now: Now) -> Result<(), Failure> {
        let Self { node, ring, port, clients, stopping, .. } = self;
        while let Some(event) = ring.poll_event() {
            let event = match event {
                runtime::Event::Accepted { id, peer, local } => {
                    node.set_clients_elsewhere(clients.elsewhere(port.own()));
                    Event::Accepted { id, peer, local }
                }
                runtime::Event::Received { id, bytes } => Event::Received { id, bytes },
                runtime::Event::Sent { id, buffer } => Event::Sent { id, buffer },
                runtime::Event::Ended { id } => Event::Ended { id },
                runtime::Event::Closed { id } => Event::Closed { id },
                runtime::Event::Disk { token, result } => {
                    Event::Log(wal::Event { token, result: result.map_err(io_error) })
                }
                runtime::Event::Signal(signal) => {
                    if stopping.is_some() {
                        let text = format!("{signal:?} again: not waiting for clients or the log");
                        return Err(Failure::new(Status::Forced, text));
                    }
                    *stopping = Some(Stopping::Asked);
                    tracing::warn!("{signal:?}: finishing what was accepted, then exiting");
                    continue;
                }
            };
            let is_crowd = matches!(event, Event::Accepted { .. } | Event::Closed { .. });
            node.handle(event, now);
            if is_crowd {
                clients.counts[port.own()].store(node.client_count(), Ordering::Release);
            }
        }
        // A core that stops in the middle of its start would leave the others waiting for it.
        if *stopping == Some(Stopping::Asked) && (self.is_listening || port.cores() == 1) {
            *stopping = Some(Stopping::Told);
            node.handle(Event::Shutdown, now);
        }
        Ok(())
    }

    /// True if the node is done.
    fn carry_out(&mut self) -> Result<bool, Failure> {
        let Self { node, ring, port, late, to_wake, runner, snapshots, .. } = self;
        for (to, late) in late.iter_mut().enumerate() {
            while let Some(parcel) = late.pop_front() {
                to_wake[to] = true;
                if let Err(parcel) = port.send(to, parcel) {
                    late.push_front(parcel);
                    break;
                }
            }
        }
        let (mut welcome, mut is_done) = (false, false);
        let mut rewritten = Vec::new();
        while let Some(output) = node.poll_output() {
            match output {
                Output::Send { id, buffer } => ring.send(id, buffer),
                Output::Close { id } => ring.abort(id),
                Output::StopReceive { id } => ring.stop_receive(id),
                Output::StartReceive { id } => ring.start_receive(id),
                Output::Log(output) => carry_out_log(ring, output)?,
                Output::Parcel { to, parcel, wake } => {
                    let to = usize::from(to.0);
                    to_wake[to] |= wake;
                    if !late[to].is_empty() {
                        late[to].push_back(parcel);
                    } else if let Err(parcel) = port.send(to, parcel) {
                        // Whoever lets its ring fill must not sleep over it.
                        to_wake[to] = true;
                        late[to].push_back(parcel);
                    }
                }
                Output::Run(job) => runner.submit(job),
                Output::RewriteConfig { file, settings } => {
                    // An administrator asks for it, and may wait for the disk; so may who shares
                    // the core.
                    rewritten.push(config::rewrite(Path::new(&file), &settings));
                }
                Output::Snapshot(output) => {
                    if let SnapshotOutput::Discard { slice, index, why: Some(why), .. } = &output {
                        tracing::error!(
                            "the snapshot of slice {slice} at entry {index} is given up and tried \
                             again in a while: {why}"
                        );
                    }
                    snapshots.carry_out(output);
                }
                Output::Listen => welcome = true,
                Output::Exit => is_done = true,
            }
        }
        let now = runtime::now();
        for result in rewritten {
            node.handle(Event::ConfigRewritten { result }, now);
        }
        if welcome && self.welcome.arrive() {
            // Each looks at the door in its next turn; a wake-up is never lost.
            (0..port.cores()).filter(|&core| core != port.own()).for_each(|core| ring.wake(core));
        }
        if !self.is_listening && self.welcome.is_open.load(Ordering::Acquire) {
            for listener in self.listeners.drain(..) {
                ring.listen(listener).map_err(|cause| Failure::new(Status::Address, cause))?;
            }
            self.is_listening = true;
        }
        Ok(is_done)
    }

    fn set_keepalive(&mut self) -> Result<(), Failure> {
        let wanted = Some(self.node.tcp_keepalive_s());
        if self.keepalive_s == wanted {
            return Ok(());
        }
        self.keepalive_s = wanted;
        let time = wanted.filter(|seconds| 0 < *seconds).map(Duration::from_secs);
        let mut waiting = self.listeners.iter();
        let set = waiting.try_for_each(|listener| runtime::listen::set_keepalive(listener, time));
        let set = set.and_then(|()| self.ring.set_keepalive(time));
        set.map_err(|cause| Failure::new(Status::Kernel, cause))
    }

    /// Who sleeps over what it was sent is woken, by this turn's submission.
    fn wake_others(&mut self) {
        let Self { ring, port, to_wake, .. } = self;
        for (core, wake) in to_wake.iter_mut().enumerate() {
            if std::mem::take(wake) && port.must_wake(core) {
                ring.wake(core);
            }
        }
    }

    fn deadline(&self) -> Option<u64> {
        let late = self.is_late().then(|| runtime::now().monotonic_us + LATE_US);
        let asked = self.stopping == Some(Stopping::Asked) && self.is_listening;
        let asked = (asked || self.snapshots.has_event()).then_some(0);
        [self.node.poll_timeout(), late, asked].into_iter().flatten().min()
    }

    fn is_late(&self) -> bool {
        self.late.iter().any(|late| !late.is_empty())
    }

    /// Submits what was asked for; sleeps unless there is a parcel to take.
    fn sleep(&mut self, deadline: Option<u64>) -> Result<(), Failure> {
        let deadline = if self.port.try_sleep() { deadline } else { Some(0) };
        let entered = self.ring.submit_and_wait(deadline);
        self.port.wake_up();
        entered.map_err(|cause| Failure::new(Status::Kernel, cause))
    }
}

fn carry_out_log(ring: &mut Ring, output: wal::Output<'_>) -> Result<(), Failure> {
    match output {
        wal::Output::Write(write) => {
            let (token, offset, size) = (write.token, write.offset, write.size());
            let name = write.file.name();
            ring.write(token, &name, offset, size, |into| write.encode(into));
        }
        wal::Output::Flush { token, file } => ring.flush(token, &file.name()),
        wal::Output::Prepare { token, file, size } => ring.prepare(token, &file.name(), size),
        wal::Output::Remove { token, file } => ring.remove(token, &file.name()),
        wal::Output::Release { file } => ring.release(&file.name()),
        wal::Output::Halt(
            halt @ Halt { operation: Operation::Prepare, error: IoError::NoSpace, .. },
        ) => {
            let text = format!(
                "the disk is too full to start: {halt}.\nThe log of each core begins every start \
                 with a segment of its own, and what was kept for starts on a full disk is used \
                 up. Nothing is lost, and nothing was changed.\nFix: free {} bytes for each core \
                 where --dir is, better several times that, then start toroid again.",
                halt.size
            );
            return Err(Failure::new(Status::Directory, text));
        }
        wal::Output::Halt(halt) => {
            let text = format!(
                "{halt}\nNothing is acknowledged from here on; the process ends. A failed write \
                 or flush is never tried again, because the kernel may have dropped the data.\n\
                 Fix: look at the disk (dmesg, smartctl), then start toroid again; it will read \
                 back what did reach the disk."
            );
            return Err(Failure::new(Status::Log, text));
        }
    }
    Ok(())
}

fn io_error(error: DiskError) -> IoError {
    match error {
        DiskError::NoSpace => IoError::NoSpace,
        DiskError::Os(errno) => IoError::Other(errno),
    }
}
