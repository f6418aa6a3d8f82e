//! Little-endian integers at fixed places of a block.

use base::limits::BLOCK_SIZE;

pub(crate) const BLOCK: u64 = BLOCK_SIZE as u64;

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has the array's length")
}

pub(crate) fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Is there nothing but zeros?
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let mut words = bytes.chunks_exact(8);
    words.by_ref().all(|word| u64_at(word, 0) == 0) && words.remainder().iter().all(|b| *b == 0)
}

/// The end of whole blocks that hold `size` bytes.
pub(crate) fn to_blocks(size: u64) -> u64 {
    size.next_multiple_of(BLOCK)
}

/// The part of `size` bytes that is whole blocks.
pub(crate) fn whole_blocks(size: u64) -> u64 {
    size / BLOCK * BLOCK
}
