//! The rare branches of the product that many seeds must have taken.

/// Every `mark!` of the crates that run in the simulator and that it can reach; a test compares
/// this with their sources.
pub const MARKS: &[&str] = &[
    "net: a chunk behind a vacancy changes hands",
    "net: a chunk is cut behind what leaves",
    "net: a chunk is cut in front of what stays",
    "net: an early reply's turn comes",
    "net: an argument comes in pieces",
    "net: released chunks leave together",
    "node: recovery holds an entry in doubt",
    "node: recovery voids a fragment",
    "retention: writes are held back, or go on",
    "wal: a frame waits for its segment's header",
    "wal: a run of frames",
    "wal: a run without its last frame is void",
    "wal: a segment of the ballast is used",
    "wal: a segment with a torn header is recycled",
    "wal: a segment without live frames is recycled",
    "wal: a torn tail is cut",
    "wal: the log begins in the middle of a batch",
    "wal: a trimmed segment is removed",
    "wal: a segment before the log's start is given up",
    "wal: frames completed out of order",
    "wal: halted",
    "wal: no space for a big write",
    "wal: no space for a segment",
    "wal: no space for a start",
    "wal: one slot of the hard state is damaged",
    "wal: seal",
];

/// Marks that only other tests reach, with the reason.
pub const UNREACHED: &[(&str, &str)] =
    &[("wal: no room to trim", FULL), ("snapshot: given up, it held too much", SMALL)];

const FULL: &str = "a log that is full is rarely trimmed; wal/tests/log/trim.rs does";

const SMALL: &str =
    "a simulated keyspace is far below a mebibyte; node/tests/node/retention.rs does";
