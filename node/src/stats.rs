//! Counters of one core, for INFO.

use base::Now;

/// Owner: core.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections_received: u64,
    pub(crate) connections_rejected: u64,
    pub(crate) commands_processed: u64,
    pub(crate) commands_failed: u64,
    pub(crate) net_input_bytes: u64,
    pub(crate) net_output_bytes: u64,
    pub(crate) protocol_errors: u64,
    pub(crate) writes_refused: u64,
    /// Clients that did not read while the memory for replies was used up.
    pub(crate) clients_given_up: u64,
    /// Turns that handled at least one event.
    pub(crate) turns: u64,
    /// Replies that had to wait for the log.
    pub(crate) replies_parked: u64,
    pub(crate) settles: u64,
    pub(crate) keyspace_hits: u64,
    pub(crate) keyspace_misses: u64,
    pub(crate) expired_keys: u64,
    /// Of hashes.
    pub(crate) expired_fields: u64,
    pub(crate) evicted_keys: u64,
    /// Clients closed because they were silent, and because they did not read.
    pub(crate) clients_idle_closed: u64,
    pub(crate) clients_output_closed: u64,
    /// Turns that took longer than they should, and the longest.
    pub(crate) stalls: u64,
    pub(crate) stall_max_us: u64,
    /// Requests sent to the core that has their slice.
    pub(crate) hops: u64,
    pub(crate) parcels_sent: u64,
    pub(crate) parcels_received: u64,
    /// Messages of channels, and lines of MONITOR, put among the replies of their clients.
    pub(crate) messages_delivered: u64,
    /// Subscribers that did not keep up.
    pub(crate) subscribers_cut_off: u64,
    /// Times slices of other cores were borrowed.
    pub(crate) loans: u64,
}

impl Stats {
    pub(crate) fn note_expired(&mut self, expired: engine::Expired) {
        self.expired_keys += expired.keys as u64;
        self.expired_fields += expired.fields as u64;
    }
}

/// How fast a core goes, from the counters of one moment and of a later one. Owner: core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    sampled_us: u64,
    commands: u64,
    input_bytes: u64,
    output_bytes: u64,
    rates: Rates,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) commands: u64,
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
}

/// A rate is of at least so long.
const SAMPLE_US: u64 = 1_000_000;

impl Pace {
    /// Takes a sample if the last one is old enough.
    pub(crate) fn sample(&mut self, stats: &Stats, now: Now) {
        if now.monotonic_us < self.sampled_us + SAMPLE_US {
            return;
        }
        *self = Self {
            sampled_us: now.monotonic_us,
            commands: stats.commands_processed,
            input_bytes: stats.net_input_bytes,
            output_bytes: stats.net_output_bytes,
            rates: self.rates(stats, now),
        };
    }

    /// A core that has slept meanwhile was slower than its last sample tells.
    pub(crate) fn rates(&self, stats: &Stats, now: Now) -> Rates {
        let elapsed_us = now.monotonic_us.saturating_sub(self.sampled_us);
        if elapsed_us < SAMPLE_US {
            return self.rates;
        }
        let rate = |now: u64, then: u64| {
            // The counters may have been set to zero.
            (u128::from(now.saturating_sub(then)) * 1_000_000 / u128::from(elapsed_us)) as u64
        };
        Rates {
            commands: rate(stats.commands_processed, self.commands),
            input_bytes: rate(stats.net_input_bytes, self.input_bytes),
            output_bytes: rate(stats.net_output_bytes, self.output_bytes),
        }
    }
}
