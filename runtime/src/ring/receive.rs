//! The buffers the kernel receives into: one group, handed over through a shared ring.
//!
//! The kernel takes a buffer from the ring's head when data arrives and names it in the completion;
//! we read it and put it back at the tail. Idle connections hold none.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::memory::AlignedMemory;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

pub(super) struct ReceiveBuffers {
    /// The ring of descriptors shared with the kernel.
    ring: AlignedMemory,
    data: AlignedMemory,
    count: u16,
    size: usize,
    /// Buffers ever handed over, as the kernel counts: wraps.
    tail: u16,
}

impl ReceiveBuffers {
    /// Registers `count` buffers of `size` bytes. `count` is a power of two up to 32768.
    pub(super) fn register(
        submitter: &Submitter<'_>,
        count: u16,
        size: usize,
    ) -> std::io::Result<Self> {
        assert!(count.is_power_of_two());
        assert!(0 < size);
        let ring = AlignedMemory::zeroed(usize::from(count) * size_of::<BufRingEntry>());
        let data = AlignedMemory::zeroed(usize::from(count) * size);
        // SAFETY: the ring of descriptors is page-aligned, zeroed, holds `count` entries, and is
        // dropped only after the io_uring that uses it (field order of Ring).
        unsafe {
            submitter.register_buf_ring_with_flags(ring.as_ptr().addr() as u64, count, GROUP, 0)?;
        }
        let mut buffers = Self { ring, data, count, size, tail: 0 };
        for buffer in 0..count {
            buffers.put_back(buffer);
        }
        Ok(buffers)
    }

    /// What was received into `buffer`; it must have been named by a completion and not put back.
    pub(super) fn bytes(&self, buffer: u16, size: usize) -> &[u8] {
        assert!(buffer < self.count);
        assert!(size <= self.size);
        let start = usize::from(buffer) * self.size;
        // SAFETY: the range lies within the allocation: buffer < count.
        let start = unsafe { self.data.as_ptr().add(start) };
        // SAFETY: the memory is initialized (zeroed at first), and the kernel does not write to a
        // buffer between naming it in a completion and its being put back; put_back needs a unique
        // borrow of self.
        unsafe { std::slice::from_raw_parts(start, size) }
    }

    /// Hands `buffer` to the kernel.
    pub(super) fn put_back(&mut self, buffer: u16) {
        assert!(buffer < self.count);
        let start = self.data.as_ptr().addr() + usize::from(buffer) * self.size;
        let entries: NonNull<BufRingEntry> =
            NonNull::new(self.ring.as_ptr().cast()).expect("allocations are not null");
        let place = usize::from(self.tail & (self.count - 1));
        // SAFETY: place < count, so the entry lies within the allocation.
        let mut entry = unsafe { entries.add(place) };
        // SAFETY: the kernel does not read entries at or beyond the tail, and the tail itself,
        // which shares memory with an unused field of entry 0, is only written by us.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(start as u64);
        entry.set_len(u32::try_from(self.size).expect("receive buffers are small"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: entries points to a registered ring of at least one entry.
        let tail = unsafe { BufRingEntry::tail(entries.as_ptr()) };
        // SAFETY: the tail is an aligned u16 in our allocation, shared with the kernel only.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entry is visible to the kernel before the tail that covers it.
        tail.store(self.tail, Ordering::Release);
    }

    /// Gives the memory up for good, because the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        for memory in [&mut self.ring, &mut self.data] {
            std::mem::forget(std::mem::replace(memory, AlignedMemory::zeroed(1)));
        }
    }
}
