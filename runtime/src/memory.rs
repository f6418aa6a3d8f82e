//! Zeroed, block-aligned memory outside Rust's references: what is lent to the kernel.
//!
//! Who may touch it at which time is decided by the owner of an operation; this type only makes
//! sure that it has the alignment O_DIRECT and registration need, and lives until it is dropped.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::slice;

use base::limits::BLOCK_SIZE;

/// An allocation of a multiple of [`BLOCK_SIZE`], aligned to it.
#[derive(Debug)]
pub(crate) struct AlignedMemory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: AlignedMemory owns its allocation alone, like a Box<[u8]>.
unsafe impl Send for AlignedMemory {}

impl AlignedMemory {
    /// Zeroed memory; `size` is rounded up to whole blocks.
    pub(crate) fn zeroed(size: usize) -> Self {
        assert!(0 < size);
        let layout = Layout::from_size_align(size.next_multiple_of(BLOCK_SIZE), BLOCK_SIZE)
            .expect("buffers are far smaller than the address space");
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, layout }
    }

    pub(crate) fn size(&self) -> usize {
        self.layout.size()
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// All of it. Only while the kernel holds no operation that writes to it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation is initialized (zeroed) and of this size; it lives as long as
        // self, and a unique borrow of self excludes this one.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    /// All of it. Only while the kernel holds no operation that reads or writes it.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in bytes(), and self is borrowed uniquely.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for AlignedMemory {
    fn drop(&mut self) {
        // SAFETY: start was allocated with this layout and is freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_aligned_and_of_whole_blocks() {
        let mut memory = AlignedMemory::zeroed(BLOCK_SIZE + 1);
        assert_eq!(memory.size(), 2 * BLOCK_SIZE);
        assert_eq!(memory.as_ptr().addr() % BLOCK_SIZE, 0);
        assert!(memory.bytes().iter().all(|&byte| byte == 0));
        memory.bytes_mut()[2 * BLOCK_SIZE - 1] = 7;
        assert_eq!(memory.bytes()[2 * BLOCK_SIZE - 1], 7);
    }
}
