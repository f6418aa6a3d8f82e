//! Counters of one core, for INFO.

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
