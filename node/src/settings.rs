//! What may be changed while the node runs (CONFIG SET). Every core has its own copy.

use engine::AccessPolicy;

use crate::config::Config;

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
    /// `maxmemory-policy`.
    pub memory_policy: MemoryPolicy,
    /// `maxmemory-samples`.
    pub memory_samples: usize,
    /// Clients of all cores together (`maxclients`).
    pub clients_max: usize,
    /// A client that sends nothing for so long is closed; zero: never (`timeout`).
    pub timeout_s: u64,
    /// `client-output-buffer-limit normal`.
    pub output_limit: OutputLimit,
    /// `client-output-buffer-limit pubsub`.
    pub pubsub_output_limit: OutputLimit,
    /// Bytes of requests a client may have sent that were not executed
    /// (`client-query-buffer-limit`).
    pub query_size_max: usize,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            active_expire: true,
            active_expire_effort: 1,
            memory_max: config.facts.total_memory / 100 * MEMORY_SHARE_PERCENT,
            memory_policy: MemoryPolicy::default(),
            memory_samples: 5,
            clients_max: config.clients_max,
            timeout_s: 0,
            output_limit: OutputLimit::default(),
            pubsub_output_limit: OutputLimit {
                hard: 32 * 1024 * 1024,
                soft: 8 * 1024 * 1024,
                soft_s: 60,
            },
            query_size_max: base::limits::QUERY_BUFFER_SIZE_MAX,
        }
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
