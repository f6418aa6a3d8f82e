//! The processor time the kernel has counted.

use std::mem::MaybeUninit;

/// Time spent in the kernel and outside: microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub system_us: u64,
    pub user_us: u64,
}

impl CpuTime {
    /// Of all threads of this process, ended ones too.
    pub fn of_process() -> Self {
        Self::of(libc::RUSAGE_SELF)
    }

    /// Of the thread that asks.
    pub fn of_thread() -> Self {
        Self::of(libc::RUSAGE_THREAD)
    }

    fn of(who: libc::c_int) -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: the pointer is to memory of this size, which the call fills.
        let result = unsafe { libc::getrusage(who, usage.as_mut_ptr()) };
        assert_eq!(result, 0, "getrusage fails for wrong arguments only");
        // SAFETY: the call succeeded, so it has filled it.
        let usage = unsafe { usage.assume_init() };
        Self { system_us: microseconds(usage.ru_stime), user_us: microseconds(usage.ru_utime) }
    }
}

fn microseconds(time: libc::timeval) -> u64 {
    let (seconds, rest) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
    seconds.expect("time spent is not negative") * 1_000_000
        + rest.expect("time spent is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when one is taken for the other, or either is not asked.
    #[test]
    fn work_is_counted_for_its_thread_and_for_the_process() {
        let spent = |time: CpuTime| time.system_us + time.user_us;
        let idle = std::thread::spawn(CpuTime::of_thread).join().expect("it does nothing");
        let before = spent(CpuTime::of_process());
        while spent(CpuTime::of_thread()) < 50_000 {
            std::hint::spin_loop();
        }
        assert!(before < spent(CpuTime::of_process()));
        assert!(spent(idle) < spent(CpuTime::of_thread()));
        let fresh = std::thread::spawn(CpuTime::of_thread).join().expect("it does nothing");
        assert!(spent(fresh) < spent(CpuTime::of_thread()));
    }
}
