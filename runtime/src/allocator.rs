//! What the allocator takes from the kernel, and what it keeps of what was freed.
//!
//! mimalloc gives freed pages back to the kernel a little later, when the same thread allocates
//! again. A core that has just freed a gigabyte of replies may then sleep for hours.

/// Keeps transparent huge pages away from this process from here on (prctl(2), PR_SET_THP_DISABLE).
/// The allocator asks for them by itself; to clear one takes as long as a turn may.
///
/// # Errors
///
/// The kernel refuses.
pub fn disable_huge_pages() -> std::io::Result<()> {
    // SAFETY: the call takes four numbers and changes a flag of the process.
    let result = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Gives what this thread has freed back to the kernel (`mi_collect`). Takes a few milliseconds
/// for a gigabyte.
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
