//! Memory that was freed and that the allocator keeps.
//!
//! mimalloc gives freed pages back to the kernel a little later, when the same thread allocates
//! again. A core that has just freed a gigabyte of replies may then sleep for hours.

/// Gives what this thread has freed back to the kernel (`mi_collect`). Takes a few milliseconds
/// for a gigabyte.
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
