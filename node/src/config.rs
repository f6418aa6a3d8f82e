//! What a node is told when it starts. Values only: the shell reads the files and the host.

use crate::durability::Durability;

/// Owner: node.
#[derive(Clone, Debug)]
pub struct Config {
    pub wal: wal::Config,
    pub durability: Durability,
    /// The weakest level CLIENT DURABILITY may choose.
    pub durability_floor: Durability,
    /// At level memory, writes are refused while the oldest unflushed one is older than this.
    pub memory_durability_age_us: u64,
    pub password: Option<Vec<u8>>,
    /// Without a password, only clients of this host are served.
    pub protected_mode: bool,
    pub clients_max: usize,
    /// A client with more bytes of replies waiting is not read from.
    pub output_size_pause: usize,
    /// All clients' replies together; above it, who has replies waiting is not read from.
    pub output_budget: usize,
    /// The most one entry of the log may hold, and so one command may write.
    pub entry_size_max: usize,
    /// A command that is likely to take longer than this runs beside the core: nanoseconds.
    pub long_command_ns: u64,
    /// Settings that were configured, by name; they were checked.
    pub given: Vec<(String, Vec<u8>)>,
    /// Directives that only take effect at the start and their values, for CONFIG GET.
    pub settings: Vec<(String, String)>,
    pub facts: Facts,
    /// The time for measuring how long a command takes: nanoseconds since whenever.
    pub stopwatch: fn() -> u64,
    /// The processor time spent so far.
    pub cpu_times: fn() -> CpuTimes,
    /// Chance of this process.
    pub seed: u64,
    /// The secret of the data directory that keys the hashes of its keys.
    pub hash_seed: u64,
}

/// The processor time spent by the process, and by the thread of the core that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTimes {
    pub process: CpuTime,
    pub thread: CpuTime,
}

/// Time spent in the kernel and outside: microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    pub system_us: u64,
    pub user_us: u64,
}

/// What INFO and HELLO tell about this process.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub toroid_version: String,
    pub run_id: String,
    pub node_uuid: String,
    pub process_id: u32,
    pub port: u16,
    pub os: String,
    pub arch_bits: u32,
    pub executable: String,
    pub config_file: String,
    pub total_memory: u64,
}

/// The version of Redis whose commands are spoken, for clients that choose by it.
pub const REDIS_VERSION: &str = "7.2.4";
