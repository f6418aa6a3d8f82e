//! The start of a server: check, lock, listen, recover, run.
//!
//! What can be refused is refused before anything is changed, in the order in which a newcomer
//! meets it: the kernel, the directory, the address, the log.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Instant;

use base::CoreId;
use node::{Boot, Facts, Node};
use runtime::{Options, Ring, listen};
use tuning::Storage;
use wal::Recovered;

use crate::chance::random_bytes;
use crate::config::{Config, LogLevel};
use crate::data_dir::{DataDir, hex};
use crate::exit::{Failure, Status};
use crate::log_files::DirectLog;
use crate::shell::{Banner, Shell};

/// The core that serves.
const CORE: CoreId = CoreId(0);

/// An idle log is sealed after this long: microseconds.
const SEAL_AFTER_US: u64 = 5_000;

/// Serves until a signal or a failure.
pub fn run(config: &Config) -> Result<Status, Failure> {
    log_to_stderr(config.loglevel);
    runtime::block_signals().map_err(|cause| Failure::new(Status::Kernel, cause))?;
    if let Err(cause) = runtime::raise_open_files() {
        tracing::warn!("cannot raise the limit of open files: {cause}");
    }
    let directory = DataDir::open(&config.dir, config.slices)
        .map_err(|cause| Failure::new(Status::Directory, cause))?;
    let listeners = open_listeners(config)?;
    // The ring belongs to the thread that opens it.
    let core = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("core-0".to_owned())
            .spawn_scoped(scope, || run_core(config, &directory, listeners))
            .map_err(|cause| Failure::new(Status::Failed, cause))?;
        worker.join().map_err(|_| Failure::new(Status::Failed, "the core panicked"))?
    });
    if core.is_ok() {
        tracing::warn!("stopped: everything acknowledged is on the disk");
    }
    core
}

fn run_core(
    config: &Config,
    directory: &DataDir,
    listeners: Vec<TcpListener>,
) -> Result<Status, Failure> {
    let pinned = pin()?;
    let log_path = directory.log_path(CORE);
    std::fs::create_dir_all(&log_path).map_err(|cause| {
        let text = format!("cannot make the log directory {}: {cause}", log_path.display());
        Failure::new(Status::Directory, text)
    })?;
    std::fs::File::open(directory.path())
        .and_then(|opened| opened.sync_all())
        .map_err(|cause| Failure::new(Status::Directory, cause))?;
    let mut ring = Ring::open(Options {
        connections_max: config.maxclients,
        ..Options::new(log_path.clone())
    })
    .map_err(|cause| Failure::new(Status::Kernel, cause))?;
    for notice in ring.notices() {
        tracing::warn!("{notice}");
    }
    ring.hold(directory.lock()).map_err(|cause| Failure::new(Status::Kernel, cause))?;
    ring.watch_signals().map_err(|cause| Failure::new(Status::Kernel, cause))?;

    let mut node_config = node_config(config, directory)
        .map_err(|cause| Failure::new(Status::Failed, format!("no randomness: {cause}")))?;
    // The limit of open files may have lowered it; the ring's notice says so.
    node_config.clients_max = node_config.clients_max.min(ring.connections_max() as usize);
    let wal_config = node_config.wal.clone();
    let mut boot = Boot::new(node_config);
    let started = Instant::now();
    let mut log = DirectLog::new(&log_path);
    let recovered = wal::recover(&mut log, &wal_config, &mut |_, record| boot.replay(record))
        .map_err(|error| damage(directory, error))?;
    let recovery = Recovery::of(&recovered, &boot, started.elapsed().as_secs_f64());
    for warning in &recovered.warnings {
        tracing::warn!("recovery: {warning}");
    }
    let banner = banner(config, directory, recovery, pinned);
    let node =
        Node::new(boot, recovered, runtime::now()).map_err(|error| damage(directory, error))?;
    Shell::new(node, ring, listeners, banner).run()
}

fn damage(directory: &DataDir, error: impl std::fmt::Display) -> Failure {
    let path = directory.path().display();
    Failure::new(
        Status::Damage,
        format!(
            "the log cannot be recovered whole, so nothing is served from it and nothing was \
             changed: {error}\nLook at it with: toroid wal inspect {path}\nFix: restore the \
             directory from a copy, or repair the disk and start again."
        ),
    )
}

/// Pins this thread to the first core it may use; returns which.
fn pin() -> Result<usize, Failure> {
    let cpus = runtime::inherited_cpus().map_err(|cause| Failure::new(Status::Kernel, cause))?;
    let first = *cpus.first().expect("a running thread may use a core");
    runtime::pin(first).map_err(|cause| Failure::new(Status::Kernel, cause))?;
    Ok(first)
}

fn open_listeners(config: &Config) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for bind in &config.bind {
        let address = SocketAddr::new(bind.address, config.port);
        match listen::first(address, config.tcp_backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) if bind.optional && is_missing(&error.error) => {
                tracing::info!("not listening on {address}: the host does not have it");
            }
            Err(error) => return Err(Failure::new(Status::Address, error)),
        }
    }
    if listeners.is_empty() {
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

fn node_config(config: &Config, directory: &DataDir) -> std::io::Result<node::Config> {
    let seed = u64::from_le_bytes(random_bytes()?);
    let run_id: [u8; 20] = random_bytes()?;
    let shown = |path: Option<std::path::PathBuf>| {
        path.map(|path| path.display().to_string()).unwrap_or_default()
    };
    Ok(node::Config {
        wal: wal::Config {
            log: CORE,
            node_uuid: directory.identity.uuid,
            segment_size: config.wal_segment_size,
            frames_in_flight: config.wal_frames_in_flight,
            spare_segments: base::limits::SPARE_SEGMENTS,
            seal_after_us: SEAL_AFTER_US,
            ballast_size: 2 * config.wal_segment_size,
        },
        durability: config.durability,
        durability_floor: config.durability_floor,
        memory_durability_age_us: config.memory_durability_age_ms * 1000,
        password: config.requirepass.clone(),
        protected_mode: config.protected_mode,
        clients_max: config.maxclients as usize,
        output_size_pause: base::limits::OUTPUT_SIZE_PAUSE,
        output_budget: base::limits::OUTPUT_BUDGET,
        entry_size_max: base::limits::ENTRY_SIZE_MAX,
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
    })
}

/// What recovery found, for the banner.
struct Recovery {
    frames: u64,
    bytes: u64,
    effects: u64,
    keys: usize,
    cut: Option<String>,
    seconds: f64,
}

impl Recovery {
    fn of(recovered: &Recovered, boot: &Boot, seconds: f64) -> Self {
        Self {
            frames: recovered.frames,
            bytes: recovered.bytes,
            effects: boot.effect_count(),
            keys: boot.key_count(),
            cut: recovered.cut.as_ref().map(ToString::to_string),
            seconds,
        }
    }
}

fn banner(config: &Config, directory: &DataDir, recovery: Recovery, cpu: usize) -> Banner {
    let durability = match config.durability {
        node::Durability::Local => {
            "local: a write is answered once it is on stable storage".to_owned()
        }
        node::Durability::Memory => format!(
            "memory: a write is answered at execution; a crash may lose at most the last {} ms",
            config.memory_durability_age_ms
        ),
    };
    let addresses: Vec<IpAddr> = config.bind.iter().map(|bind| bind.address).collect();
    let (port, path, is_new) = (config.port, directory.path().to_owned(), directory.is_new);
    let storage = tuning::storage(&path).ok();
    let mut findings = tuning::check();
    findings.extend(storage.iter().flat_map(Storage::findings));
    Box::new(move |_| {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            text.push_str(&format!("{name:>12}  {value}\n"));
        };
        line("toroid", env!("CARGO_PKG_VERSION"));
        line("cores", &format!("1 (cpu {cpu}), 1 slice"));
        line("directory", &format!("{}{}", path.display(), if is_new { " (new)" } else { "" }));
        if let Some(storage) = &storage {
            line("disk", &storage.summary());
        }
        line("durability", &durability);
        line(
            "recovered",
            &format!(
                "{} keys by {} effects from {} frames ({:.1} MiB) in {:.3} s",
                recovery.keys,
                recovery.effects,
                recovery.frames,
                recovery.bytes as f64 / f64::from(1 << 20),
                recovery.seconds
            ),
        );
        if let Some(cut) = &recovery.cut {
            line("torn tail", &format!("{cut}; nothing acknowledged was in it"));
        }
        for finding in &findings {
            line("warning", &finding.to_string());
        }
        for address in &addresses {
            line("listening", &SocketAddr::new(*address, port).to_string());
        }
        let host = addresses.first().map(ToString::to_string).unwrap_or_default();
        line("connect", &format!("redis-cli -h {host} -p {port}"));
        line("ready", &format!("pid {}", std::process::id()));
        let mut out = std::io::stdout().lock();
        // A closed standard output is not a reason to stop serving.
        let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(cause) = printed {
            tracing::warn!("cannot print the banner: {cause}");
        }
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
