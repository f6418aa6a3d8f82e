//! Time as a value: read once per turn by the shell, handed to everything below it.

/// The clocks of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds of CLOCK_BOOTTIME: never goes back, counts suspension. For deadlines.
    pub monotonic_us: u64,
    /// Milliseconds since 1970 (CLOCK_REALTIME): may jump either way. For batch stamps only.
    pub wall_ms: u64,
}
