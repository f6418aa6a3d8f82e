//! What may be changed while the node runs (CONFIG SET). Every core has its own copy.

mod table;

use std::collections::BTreeMap;

use engine::{AccessPolicy, Classes, EncodingLimits};

use crate::config::Config;
use crate::durability::Durability;

pub use table::{Effect, SETTINGS, Setting};

/// Owner: core.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Keys whose time has come are looked for (DEBUG SET-ACTIVE-EXPIRE); what a command names
    /// expires all the same.
    pub active_expire: bool,
    /// How much of a turn that may take, 1 to 10 (`active-expire-effort`).
    pub active_expire_effort: u32,
    /// Bytes all cores may use together; zero: as many as there are (`maxmemory`).
    pub memory_max: u64,
    /// Bytes of log of all slices together after which snapshots are taken (`snapshot-log-size`).
    pub snapshot_log_size: u64,
    /// Seconds, and changes after which a save is begun when they are over (`save`).
    pub save_points: Vec<(u64, u64)>,
    /// `maxmemory-policy`.
    pub memory_policy: MemoryPolicy,
    /// `maxmemory-samples`.
    pub memory_samples: usize,
    /// Clients of all cores together (`maxclients`).
    pub clients_max: usize,
    /// A client that sends nothing for so long is closed; zero: never (`timeout`).
    pub timeout_s: u64,
    /// A client whose host is silent for so long is asked for a sign of life; zero: never
    /// (`tcp-keepalive`).
    pub tcp_keepalive_s: u64,
    /// `client-output-buffer-limit normal`.
    pub output_limit: OutputLimit,
    /// `client-output-buffer-limit pubsub`.
    pub pubsub_output_limit: OutputLimit,
    /// Bytes of requests a client may have sent that were not executed
    /// (`client-query-buffer-limit`).
    pub query_size_max: usize,
    /// When a write is answered, for clients that connect from now on (`durability`).
    pub durability: Durability,
    /// `durability-floor`.
    pub durability_floor: Durability,
    /// `memory-durability-age`.
    pub memory_durability_age_ms: u64,
    /// `requirepass`.
    pub password: Option<Vec<u8>>,
    /// `protected-mode`.
    pub protected_mode: bool,
    /// A command that takes so long is remembered; below zero: none (`slowlog-log-slower-than`).
    pub slowlog_slower_than_us: i64,
    /// How many are (`slowlog-max-len`).
    pub slowlog_len_max: usize,
    /// The time of each execution is recorded by command (`latency-tracking`).
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`.
    pub latency_percentiles: Vec<f64>,
    /// What takes so long is remembered; zero: nothing (`latency-monitor-threshold`).
    pub latency_threshold_ms: u64,
    /// Keyspace notifications that are published (`notify-keyspace-events`).
    pub notify_classes: Classes,
    /// Up to where values are stored in one piece (`hash-max-listpack-entries` and the like).
    pub encodings: EncodingLimits,
    /// What is accepted because another server needs it, or will be needed, by name.
    pub kept: BTreeMap<&'static str, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            active_expire: true,
            active_expire_effort: 1,
            memory_max: 0,
            snapshot_log_size: 256 * 1024 * 1024,
            save_points: Vec::new(),
            memory_policy: MemoryPolicy::default(),
            memory_samples: 5,
            clients_max: 10_000,
            timeout_s: 0,
            tcp_keepalive_s: 300,
            output_limit: OutputLimit::default(),
            pubsub_output_limit: OutputLimit {
                hard: 32 * 1024 * 1024,
                soft: 8 * 1024 * 1024,
                soft_s: 60,
            },
            query_size_max: base::limits::QUERY_BUFFER_SIZE_MAX,
            durability: Durability::Local,
            durability_floor: Durability::Memory,
            memory_durability_age_ms: 1000,
            password: None,
            protected_mode: true,
            slowlog_slower_than_us: 10_000,
            slowlog_len_max: 128,
            latency_tracking: true,
            latency_percentiles: vec![50.0, 99.0, 99.9],
            latency_threshold_ms: 0,
            notify_classes: Classes::default(),
            encodings: EncodingLimits::default(),
            kept: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The settings a node starts with.
    pub(crate) fn new(config: &Config) -> Self {
        let mut settings = Self {
            memory_max: config.facts.total_memory / 100 * MEMORY_SHARE_PERCENT,
            clients_max: config.clients_max,
            durability: config.durability,
            durability_floor: config.durability_floor,
            memory_durability_age_ms: config.memory_durability_age_us / 1000,
            password: config.password.clone(),
            protected_mode: config.protected_mode,
            ..Self::default()
        };
        for (name, value) in &config.given {
            let setting = Setting::find(name.as_bytes()).expect("what was given was checked");
            setting.set(&mut settings, value).expect("what was given was checked");
        }
        settings
    }
}

/// The share of the host's or the container's memory that is used unless configured.
const MEMORY_SHARE_PERCENT: u64 = 80;

/// When a client that does not read its replies is closed; zero: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// At once, above so many bytes.
    pub hard: usize,
    /// After `soft_s` seconds in a row above so many bytes.
    pub soft: usize,
    pub soft_s: u64,
}

impl OutputLimit {
    /// How long a client may be above `soft`: microseconds.
    pub(crate) fn soft_us(self) -> u64 {
        self.soft_s.saturating_mul(1_000_000)
    }
}

/// What goes when memory is short (`maxmemory-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryPolicy {
    #[default]
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
}

const POLICIES: [(&str, MemoryPolicy); 8] = [
    ("noeviction", MemoryPolicy::NoEviction),
    ("allkeys-lru", MemoryPolicy::AllKeysLru),
    ("allkeys-lfu", MemoryPolicy::AllKeysLfu),
    ("allkeys-random", MemoryPolicy::AllKeysRandom),
    ("volatile-lru", MemoryPolicy::VolatileLru),
    ("volatile-lfu", MemoryPolicy::VolatileLfu),
    ("volatile-random", MemoryPolicy::VolatileRandom),
    ("volatile-ttl", MemoryPolicy::VolatileTtl),
];

impl MemoryPolicy {
    /// The policy of that name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let found = POLICIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, policy)| *policy)
    }

    pub fn name(self) -> &'static str {
        let found = POLICIES.iter().find(|(_, policy)| *policy == self);
        found.expect("every policy has a name").0
    }

    /// Only keys with a time to expire go.
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl
        )
    }

    /// What is to be remembered of accesses for it.
    pub fn access_policy(self) -> AccessPolicy {
        match self {
            Self::AllKeysLfu | Self::VolatileLfu => AccessPolicy::Lfu,
            Self::NoEviction
            | Self::AllKeysLru
            | Self::AllKeysRandom
            | Self::VolatileLru
            | Self::VolatileRandom
            | Self::VolatileTtl => AccessPolicy::Lru,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_one_name_that_names_it() {
        for (name, policy) in POLICIES {
            assert_eq!(policy.name(), name);
            assert_eq!(MemoryPolicy::parse(&name.to_ascii_uppercase()), Some(policy));
            assert_eq!(policy.is_volatile(), name.starts_with("volatile-"));
        }
        assert_eq!(MemoryPolicy::parse("allkeys"), None);
    }
}
