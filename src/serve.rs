//! The start of a server: check, lock, listen, recover, run.
//!
//! What can be refused is refused before anything is changed, in the order in which a newcomer
//! meets it: the kernel, the directory, the address, the log.

mod banner;
mod cores;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

use base::{CoreId, SliceId};
use node::{CpuTime, CpuTimes, Facts, NodeStart, Topology};
use runtime::listen;

use crate::chance::random_bytes;
use crate::config::{Config, LogLevel};
use crate::data_dir::{DataDir, DataDirError, hex};
use crate::exit::{Failure, Status};
use crate::old_logs;
use crate::recovery::{LogError, log_config};
use crate::replay::{Purpose, Replayed, Source, replay};
use crate::snapshots::{Candidates, Place};
use banner::Found;
use cores::{CoreStart, Cores};

/// An idle log is sealed after this long: microseconds.
const SEAL_AFTER_US: u64 = 5_000;

/// A command that is likely to take longer runs beside its core (ADR 8): half of what a turn may
/// take.
const LONG_COMMAND_NS: u64 = 250_000;

/// Serves until a signal or a failure.
pub fn run(config: &Config) -> Result<Status, Failure> {
    log_to_stderr(config.loglevel);
    runtime::block_signals().map_err(|cause| Failure::new(Status::Kernel, cause))?;
    if let Err(cause) = runtime::raise_open_files() {
        tracing::warn!("cannot raise the limit of open files: {cause}");
    }
    if config.disable_thp
        && let Err(cause) = runtime::allocator::disable_huge_pages()
    {
        tracing::warn!("transparent huge pages stay, and with them longer turns: {cause}");
    }
    let mut directory = DataDir::open(&config.dir, config.slices).map_err(no_directory)?;
    let cpus = runtime::inherited_cpus().map_err(|cause| Failure::new(Status::Kernel, cause))?;
    let topology = topology(config, &directory, cpus.len())?;
    // From here on the directives say what is in force.
    let config =
        Config { cores: Some(topology.cores()), slices: Some(topology.slices()), ..config.clone() };
    let listeners = open_listeners(&config, topology.cores())?;
    let generation = directory.generation_for(topology.cores());
    directory.make_logs(generation).map_err(no_directory)?;
    let cores = Cores::open(&config, &directory, generation, &cpus)?;

    let node_config = node_config(&config, &directory, topology)
        .map_err(|cause| Failure::new(Status::Failed, format!("no randomness: {cause}")))?;
    let started = Instant::now();
    let place = Place::new(directory.path(), directory.identity.uuid);
    let source = Source {
        place: &place,
        generations: directory.generations(),
        last: generation,
        topology,
        config: &node_config.wal,
        hash_seed: node_config.hash_seed,
    };
    let Replayed { starts, logs, older, snapshots, summary } =
        replay(&source, Purpose::Serve).map_err(|error| damage(directory.path(), &error))?;
    let seconds = started.elapsed().as_secs_f64();
    for warning in &summary.warnings {
        tracing::warn!("recovery: {warning}");
    }
    directory.begin(generation).map_err(no_directory)?;
    let found = Found { topology, generation, cpus: cores.cpus().to_vec(), summary, seconds };
    let welcome = banner::welcome(&config, &directory, found);
    let mut slices: Vec<Vec<_>> = (0..topology.cores()).map(|_| Vec::new()).collect();
    for (start, slice) in starts.into_iter().zip((0..).map(base::SliceId)) {
        slices[usize::from(topology.owner(slice).0)].push(start);
    }
    let parts = generation.logs().zip(slices).zip(logs.into_iter().zip(listeners));
    let starts: Vec<CoreStart> = parts
        .map(|((core, slices), (recovered, listeners))| {
            let mut config = node_config.clone();
            config.wal = log_config(&node_config.wal, generation, core);
            // The limit of open files may have lowered it; a notice said so.
            config.clients_max = config.clients_max.min(cores.connections_max());
            let is_own = |slice: &SliceId| topology.owner(*slice) == core;
            let published = snapshots.published.iter().filter(|one| is_own(&one.slice));
            let published = published.copied().collect();
            let of = |candidates: &Candidates| {
                let own = candidates.iter().filter(|(slice, _)| is_own(slice));
                own.map(|(slice, indexes)| (*slice, indexes.clone())).collect()
            };
            let (whole, damaged) = (of(&snapshots.whole), of(&snapshots.damaged));
            let node = NodeStart { core, topology, config, slices, recovered, published };
            CoreStart { node, listeners, whole, damaged }
        })
        .collect();
    let _lock = directory.lock();
    let old_logs = old_logs::watch(directory, &place, older)?;
    cores.run(starts, &place, old_logs, welcome)?;
    tracing::warn!("stopped: everything acknowledged is on the disk");
    Ok(Status::Done)
}

/// How many cores serve how many slices.
fn topology(config: &Config, directory: &DataDir, cpus: usize) -> Result<Topology, Failure> {
    let slices = directory.identity.slices;
    let Some(cores) = config.cores else {
        let cores = u16::try_from(cpus).unwrap_or(u16::MAX).min(slices);
        return Ok(Topology::new(cores, slices));
    };
    if slices < cores {
        let text = format!(
            "cores is {cores}, but the data in {} has {slices} slices, and a slice is served by \
             one core.\nFix: set cores to {slices} or less. For more, start with an empty --dir \
             and --slices {}, and copy the data over.",
            directory.path().display(),
            cores.next_power_of_two()
        );
        return Err(Failure::new(Status::Usage, text));
    }
    if cpus < usize::from(cores) {
        tracing::warn!(
            "cores is {cores}, but this process may use {cpus} processors: cores that share one \
             wait for each other. Fix: set cores to {cpus} or less, or allow more processors \
             (taskset, CPUAffinity=, --cpuset-cpus)"
        );
    }
    Ok(Topology::new(cores, slices))
}

fn no_directory(error: DataDirError) -> Failure {
    Failure::new(Status::Directory, error)
}

fn damage(directory: &Path, error: &LogError) -> Failure {
    let path = directory.display();
    let fix = error.fix.as_deref();
    let fix =
        fix.unwrap_or("restore the directory from a copy, or repair the disk and start again.");
    Failure::new(
        Status::Damage,
        format!(
            "the log cannot be recovered whole, so nothing is served from it and nothing was \
             changed: {error}\nLook at it with: toroid wal inspect {path}\nLook at all of the \
             directory with: toroid verify {path}\nFix: {fix}"
        ),
    )
}

/// The listening sockets of each core. The first of an address is bound alone, so that an occupied
/// port is refused; the others join it, and the kernel divides the clients among them.
fn open_listeners(config: &Config, cores: u16) -> Result<Vec<Vec<TcpListener>>, Failure> {
    let mut listeners: Vec<Vec<TcpListener>> = (0..cores).map(|_| Vec::new()).collect();
    for bind in &config.bind {
        let address = SocketAddr::new(bind.address, config.port);
        match listen::first(address, config.tcp_backlog) {
            Ok(listener) => listeners[0].push(listener),
            Err(error) if bind.optional && is_missing(&error.error) => {
                tracing::info!("not listening on {address}: the host does not have it");
                continue;
            }
            Err(error) => return Err(Failure::new(Status::Address, error)),
        }
        for others in &mut listeners[1..] {
            let joined = listen::join(address, config.tcp_backlog);
            others.push(joined.map_err(|error| Failure::new(Status::Address, error))?);
        }
    }
    if listeners[0].is_empty() {
        let text = "none of the addresses of `bind` exists on this host.\nFix: set bind to one \
                    that does, for example --bind 127.0.0.1";
        return Err(Failure::new(Status::Address, text));
    }
    Ok(listeners)
}

/// The host does not have the address, or not the whole protocol.
fn is_missing(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// What is the same for all cores.
fn node_config(
    config: &Config,
    directory: &DataDir,
    topology: Topology,
) -> std::io::Result<node::Config> {
    let seed = u64::from_le_bytes(random_bytes()?);
    let run_id: [u8; 20] = random_bytes()?;
    let shown = |path: Option<std::path::PathBuf>| {
        path.map(|path| path.display().to_string()).unwrap_or_default()
    };
    Ok(node::Config {
        wal: wal::Config {
            log: CoreId(0),
            node_uuid: directory.identity.uuid,
            segment_size: config.wal_segment_size,
            frames_in_flight: config.wal_frames_in_flight,
            spare_segments: base::limits::SPARE_SEGMENTS,
            seal_after_us: SEAL_AFTER_US,
            ballast_segments: base::limits::BALLAST_SEGMENTS,
        },
        durability: config.durability,
        durability_floor: config.durability_floor,
        memory_durability_age_us: config.memory_durability_age_ms * 1000,
        password: config.requirepass.clone(),
        protected_mode: config.protected_mode,
        clients_max: config.maxclients as usize,
        output_size_pause: base::limits::OUTPUT_SIZE_PAUSE,
        output_budget: base::limits::OUTPUT_BUDGET / usize::from(topology.cores()),
        entry_size_max: base::limits::ENTRY_SIZE_MAX,
        long_command_ns: LONG_COMMAND_NS,
        given: config.given.clone(),
        stopwatch,
        cpu_times,
        settings: config.values(),
        facts: Facts {
            toroid_version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: hex(&run_id),
            node_uuid: hex(&directory.identity.uuid),
            process_id: std::process::id(),
            port: config.port,
            os: format!("Linux {}", runtime::KernelFacts::read().release),
            arch_bits: usize::BITS,
            executable: shown(std::env::current_exe().ok()),
            config_file: shown(config.file.clone()),
            total_memory: tuning::memory_limit().map_or(0, |limit| limit.bytes),
        },
        seed,
        hash_seed: directory.identity.hash_seed,
    })
}

fn log_to_stderr(level: LogLevel) {
    let level = match level {
        LogLevel::Debug => tracing::Level::TRACE,
        LogLevel::Verbose => tracing::Level::DEBUG,
        LogLevel::Notice => tracing::Level::INFO,
        LogLevel::Warning => tracing::Level::WARN,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}

fn cpu_times() -> CpuTimes {
    let of = |time: runtime::CpuTime| CpuTime { system_us: time.system_us, user_us: time.user_us };
    CpuTimes {
        process: of(runtime::CpuTime::of_process()),
        thread: of(runtime::CpuTime::of_thread()),
    }
}

/// Nanoseconds since the first call.
fn stopwatch() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
