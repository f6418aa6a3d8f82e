//! The threads of a server: one for each core, tied to a processor.
//!
//! A ring belongs to the thread that opens it, and the logs are read only when every ring is open:
//! so a core's thread opens its ring, reports, and waits for what it is to serve. From then on it
//! is alone with its shell. A core that fails ends the process on the spot: the others must not go
//! on acknowledging while one of them is gone.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use base::CoreId;
use node::{Node, NodeStart, Parcel};
use runtime::files::DirectoryLock;
use runtime::mesh::{Port, mesh};
use runtime::{Options, Ring, Waker};

use crate::config::Config;
use crate::data_dir::{DataDir, Generation};
use crate::exit::{Failure, Status};
use crate::housekeeping::SnapshotWriter;
use crate::old_logs::Disposable;
use crate::planted::planted;
use crate::runner::Runner;
use crate::shell::{Banner, Beside, Clients, Shell, Welcome};
use crate::snapshots::{Candidates, Place};

/// Parcels that may be under way from one core to another; a full ring delays its sender.
const PARCELS_MAX: usize = 64;

/// Receive buffers of all cores together, and the fewest of one.
const RECEIVE_BUFFERS: u16 = 1024;
const RECEIVE_BUFFERS_MIN: u16 = 128;

/// What one core serves.
pub struct CoreStart {
    pub node: NodeStart,
    pub listeners: Vec<TcpListener>,
    /// The snapshots of its slices, and those that are damaged.
    pub whole: Candidates,
    pub damaged: Candidates,
}

/// What a core needs besides.
struct Work {
    start: CoreStart,
    port: Port<Parcel>,
    wakers: Vec<Waker>,
    beside: Beside,
    welcome: Arc<Welcome>,
    clients: Arc<Clients>,
}

/// A ring that is open.
struct Opened {
    core: CoreId,
    waker: Waker,
    connections_max: u32,
}

/// The threads, their rings open.
pub struct Cores {
    threads: Vec<(Sender<Work>, JoinHandle<()>)>,
    opened: Vec<Opened>,
    cpus: Vec<usize>,
}

impl Cores {
    /// Starts a thread for each core of `generation` and opens its ring. Cores beyond the number of
    /// processors share them.
    ///
    /// # Errors
    ///
    /// The first ring that cannot be opened.
    pub fn open(
        config: &Config,
        directory: &DataDir,
        generation: Generation,
        cpus: &[usize],
    ) -> Result<Self, Failure> {
        let (report, reports) = channel();
        let mut threads = Vec::new();
        let cpus: Vec<usize> =
            cpus.iter().copied().cycle().take(usize::from(generation.cores)).collect();
        for (core, &cpu) in generation.logs().zip(&cpus) {
            let options = options(config, generation.cores, directory.log_path(generation, core));
            let setup = Setup { core, cpu, options, lock: directory.lock() };
            let (work, works) = channel();
            let report = report.clone();
            let thread = Builder::new()
                .name(format!("core-{core}"))
                .spawn(move || run_core(&setup, &report, &works))
                .map_err(|cause| Failure::new(Status::Failed, cause))?;
            threads.push((work, thread));
        }
        // Each core reports once.
        let reports = reports.into_iter().take(threads.len());
        let mut opened = reports.collect::<Result<Vec<Opened>, Failure>>()?;
        opened.sort_by_key(|opened| opened.core);
        Ok(Self { threads, opened, cpus })
    }

    /// Where each core runs.
    pub fn cpus(&self) -> &[usize] {
        &self.cpus
    }

    /// Connections all rings together have places for.
    pub fn connections_max(&self) -> usize {
        self.opened.iter().map(|opened| opened.connections_max as usize).sum()
    }

    /// Serves until every core has ended; a failure does not return.
    pub fn run(
        self,
        starts: Vec<CoreStart>,
        place: &Place,
        old_logs: Option<Sender<Disposable>>,
        banner: Banner,
    ) -> Result<(), Failure> {
        let count = self.threads.len();
        let welcome = Arc::new(Welcome::new(count, banner));
        let clients = Arc::new(Clients::new(count));
        let wakers: Vec<Waker> = self.opened.into_iter().map(|opened| opened.waker).collect();
        let (housekeeping, desks) = runtime::housekeeping::start(wakers.clone())
            .map_err(|cause| Failure::new(Status::Kernel, cause))?;
        let mut ended = Vec::new();
        let parts = starts.into_iter().zip(mesh(count, PARCELS_MAX)).zip(desks);
        for ((work, thread), ((start, port), desk)) in self.threads.into_iter().zip(parts) {
            let (welcome, clients) = (Arc::clone(&welcome), Arc::clone(&clients));
            let snapshots = SnapshotWriter::new(desk, place.clone(), &start.whole, &start.damaged);
            let core = port.own();
            let runner = Runner::start(core, wakers[core].clone())?;
            let beside = Beside { runner, snapshots, old_logs: old_logs.clone() };
            let wakers = wakers.clone();
            let sent = work.send(Work { start, port, wakers, welcome, clients, beside });
            sent.map_err(|_| Failure::new(Status::Failed, "a core ended before its start"))?;
            ended.push(thread);
        }
        for thread in ended {
            thread.join().map_err(|_| Failure::new(Status::Failed, "a core panicked"))?;
        }
        let joined = housekeeping.join();
        joined.map_err(|_| Failure::new(Status::Failed, "the housekeeping thread panicked"))?;
        Ok(())
    }
}

/// Of one core's thread.
struct Setup {
    core: CoreId,
    cpu: usize,
    options: Options,
    lock: Arc<DirectoryLock>,
}

/// Connections and buffers for one of `cores`. The kernel divides clients by a hash, so no core
/// gets all of many; twice its share and a thousand more is beyond what chance does.
fn options(config: &Config, cores: u16, log_directory: std::path::PathBuf) -> Options {
    let share = config.maxclients.div_ceil(u32::from(cores));
    let connections_max = match cores {
        1 => config.maxclients,
        _ => config.maxclients.min(2 * share + 1000),
    };
    let receive_buffers = (RECEIVE_BUFFERS / cores.next_power_of_two()).max(RECEIVE_BUFFERS_MIN);
    Options { connections_max, receive_buffers, ..Options::new(log_directory) }
}

fn run_core(setup: &Setup, report: &Sender<Result<Opened, Failure>>, works: &Receiver<Work>) {
    let (ring, opened) = match open_ring(setup) {
        Ok((ring, opened)) => (Some(ring), Ok(opened)),
        Err(failure) => (None, Err(failure)),
    };
    // Nobody listens any more when another core's ring could not be opened; the process ends then.
    let reported = report.send(opened).is_ok();
    let (Some(ring), true, Ok(work)) = (ring, reported, works.recv()) else { return };
    if let Err(failure) = serve(ring, work) {
        failure.exit();
    }
}

fn open_ring(setup: &Setup) -> Result<(Ring, Opened), Failure> {
    let kernel = |cause: std::io::Error| Failure::new(Status::Kernel, cause);
    runtime::pin(setup.cpu).map_err(kernel)?;
    let mut ring =
        Ring::open(setup.options.clone()).map_err(|cause| Failure::new(Status::Kernel, cause))?;
    for notice in ring.notices() {
        tracing::warn!("core {}: {notice}", setup.core);
    }
    ring.hold(&*setup.lock).map_err(kernel)?;
    if setup.core == CoreId(0) {
        ring.watch_signals().map_err(kernel)?;
    }
    let (core, waker, connections_max) = (setup.core, ring.waker(), ring.connections_max());
    Ok((ring, Opened { core, waker, connections_max }))
}

fn serve(mut ring: Ring, work: Work) -> Result<(), Failure> {
    let Work { start, port, wakers, welcome, clients, beside } = work;
    let CoreStart { node, listeners, .. } = start;
    for waker in wakers {
        ring.add_peer(waker);
    }
    let node = planted(Node::new(node, runtime::now()));
    Shell::new(node, ring, port, listeners, welcome, clients, beside).run()
}
