//! What one log is told when it starts, and the sizes that follow from it.

use base::CoreId;
use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX, SEGMENT_SIZE_MIN};

use crate::bytes::BLOCK;
use crate::segment::HEADER_SIZE;

/// Owner: core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub log: CoreId,
    pub node_uuid: [u8; 16],
    /// Of new segments; those on disk keep theirs.
    pub segment_size: u64,
    pub frames_in_flight: usize,
    /// Prepared segments to keep ready; below it, a full disk refuses writes.
    pub spare_segments: usize,
    pub seal_after_us: u64,
    /// Prepared segments that are kept beyond those, for a start on a full disk.
    pub ballast_segments: usize,
}

impl Config {
    pub(crate) fn check(&self) {
        assert!(SEGMENT_SIZE_MIN <= self.segment_size);
        assert!(self.segment_size.is_multiple_of(BLOCK));
        assert!(1 <= self.frames_in_flight);
        assert!(1 <= self.spare_segments);
    }

    /// Bytes of frames one segment takes.
    pub(crate) fn capacity(&self) -> u64 {
        self.segment_size - HEADER_SIZE as u64
    }

    /// A frame is at most as large as a segment's room.
    pub(crate) fn frame_size_max(&self) -> u64 {
        self.capacity().min(FRAME_SIZE_MAX as u64)
    }
}

const _: () = assert!(SEGMENT_SIZE_MIN > (HEADER_SIZE + BLOCK_SIZE) as u64);
