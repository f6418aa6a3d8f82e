//! Every bound of Toroid, with the relations between them asserted at build time.
//!
//! Configuration may lower a limit, never remove it.

/// The unit in which the log is written and in which a torn write can tear: bytes.
pub const BLOCK_SIZE: usize = 4096;

/// The largest frame, header and padding included: bytes.
pub const FRAME_SIZE_MAX: usize = 1024 * 1024;

/// The size of a log segment unless configured smaller: bytes.
pub const SEGMENT_SIZE: u64 = 64 * 1024 * 1024;

/// The smallest segment that can be configured: bytes.
pub const SEGMENT_SIZE_MIN: u64 = 64 * 1024;

/// Prepared segments a log keeps ahead; below this, writes are refused.
pub const SPARE_SEGMENTS: usize = 2;

/// Prepared segments beyond those, for starts on a full disk: one each, and never for a write.
pub const BALLAST_SEGMENTS: usize = 2;

/// Frames on their way to the disk at a time (W).
pub const FRAMES_IN_FLIGHT: usize = 4;

/// The largest entry, and so the most one command may write: bytes.
pub const ENTRY_SIZE_MAX: usize = 1024 * 1024 * 1024;

/// The largest string value and bulk argument (Redis: `proto-max-bulk-len`): bytes.
pub const STRING_SIZE_MAX: usize = 512 * 1024 * 1024;

/// The most bytes of requests a connection may hold unexecuted
/// (Redis: `client-query-buffer-limit`).
pub const QUERY_BUFFER_SIZE_MAX: usize = 1024 * 1024 * 1024;

/// The longest inline request, and the longest line of a request (Redis: `PROTO_INLINE_MAX_SIZE`).
pub const INLINE_SIZE_MAX: usize = 64 * 1024;

/// Arguments of one request (Redis: `INT_MAX`).
pub const ARGUMENT_COUNT_MAX: u64 = i32::MAX as u64;

/// A connection with this many bytes of replies waiting is not read from until they drain.
pub const OUTPUT_SIZE_PAUSE: usize = 64 * 1024 * 1024;

/// Parked and unsent replies of a whole core; above this, no socket is read.
pub const OUTPUT_BUDGET: usize = 1024 * 1024 * 1024;

/// The largest chunk of a snapshot before compression. A record is not divided: bytes.
pub const CHUNK_SIZE_MAX: usize = ENTRY_SIZE_MAX;

/// The databases SELECT can name.
pub const DATABASES: u16 = 16;

/// The slots keys are divided into (Redis Cluster: `CLUSTER_SLOTS`).
pub const SLOTS: u16 = 16384;

/// Slices a node may be divided into.
pub const SLICES_MAX: u16 = 1024;

const _: () = assert!(SLICES_MAX <= SLOTS);
const _: () = assert!(FRAME_SIZE_MAX.is_multiple_of(BLOCK_SIZE));
const _: () = assert!((STRING_SIZE_MAX as u64) < ENTRY_SIZE_MAX as u64);
const _: () = assert!(SEGMENT_SIZE_MIN <= SEGMENT_SIZE);
const _: () = assert!(STRING_SIZE_MAX < QUERY_BUFFER_SIZE_MAX);
const _: () = assert!(OUTPUT_SIZE_PAUSE < OUTPUT_BUDGET);
