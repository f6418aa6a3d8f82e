//! What a running log has done since it started.

/// Counters; they only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub batches: u64,
    pub records: u64,
    /// Of records, their headers included.
    pub record_bytes: u64,
    pub frames: u64,
    /// Of frames, headers and padding included.
    pub frame_bytes: u64,
    pub seals: u64,
    pub segments_opened: u64,
    /// Given up, because nobody needed anything in them.
    pub segments_trimmed: u64,
    pub hard_state_writes: u64,
    /// Preparations that found the disk full.
    pub no_space: u64,
    /// The most frames that were in flight together.
    pub in_flight_max: usize,
}
