//! Which processors this process may use, tying a thread to one of them, and who goes first there.

use std::cell::Cell;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors the calling thread may run on, in ascending order: what the operator, the
/// container or `taskset` left us.
pub fn inherited_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

thread_local! {
    /// Where the calling thread could run before it was pinned.
    static UNPINNED: Cell<Option<CpuSet>> = const { Cell::new(None) };
}

/// Runs `start` with the calling thread free to run where it could before [`pin`].
///
/// Threads the kernel starts on behalf of this one inherit its processors at that moment and
/// cannot be moved later.
pub(crate) fn while_unpinned<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let Some(before) = UNPINNED.get() else { return Ok(start()) };
    let pinned = sched_getaffinity(None)?;
    sched_setaffinity(None, &before)?;
    let started = start();
    sched_setaffinity(None, &pinned)?;
    Ok(started)
}

/// Ties the calling thread to one processor.
pub fn pin(cpu: usize) -> io::Result<()> {
    if CpuSet::MAX_CPU <= cpu {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let before = sched_getaffinity(None)?;
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    UNPINNED.set(Some(UNPINNED.get().unwrap_or(before)));
    Ok(())
}

/// Lets the calling thread yield to others that want the same processor: the higher, the more
/// (setpriority(2), which on Linux is about one thread).
pub fn yield_to_others(nice: i32) -> io::Result<()> {
    Ok(rustix::process::setpriority_process(None, nice)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_processor_only() {
        let cpu = *inherited_cpus()
            .expect("the mask can be read")
            .last()
            .expect("a running thread has at least one processor");
        let inherited = std::thread::spawn(move || {
            pin(cpu).expect("a processor of the inherited mask can be pinned to");
            inherited_cpus().expect("the mask can be read")
        })
        .join()
        .expect("the pinned thread ends normally");
        assert_eq!(inherited, vec![cpu]);
    }

    #[test]
    fn a_processor_beyond_the_mask_type_is_refused() {
        assert!(pin(1 << 20).is_err());
    }
}
