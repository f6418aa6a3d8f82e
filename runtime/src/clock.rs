//! The clocks of a turn.

use base::Now;
use rustix::time::{ClockId, clock_gettime};

/// Reads both clocks. Called once per turn by the shell.
pub fn now() -> Now {
    let wall = clock_gettime(ClockId::Realtime);
    Now {
        monotonic_us: monotonic_us(),
        // A wall clock set before 1970 reads as 1970: it is only a lower bound for batch stamps.
        wall_ms: u64::try_from(wall.tv_sec).unwrap_or(0) * 1_000 + nanoseconds(&wall) / 1_000_000,
    }
}

/// Microseconds of CLOCK_BOOTTIME.
pub(crate) fn monotonic_us() -> u64 {
    let boot = clock_gettime(ClockId::Boottime);
    u64::try_from(boot.tv_sec).expect("CLOCK_BOOTTIME starts at zero") * 1_000_000
        + nanoseconds(&boot) / 1_000
}

/// The processor time this thread has taken so far: microseconds.
pub fn thread_cpu_us() -> u64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(spent.tv_sec).expect("time spent is not negative") * 1_000_000
        + nanoseconds(&spent) / 1_000
}

fn nanoseconds(time: &rustix::time::Timespec) -> u64 {
    u64::try_from(time.tv_nsec).expect("nanoseconds within a second are not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when the clock of the whole process is read.
    #[test]
    fn a_threads_time_is_its_own() {
        let spin = || while thread_cpu_us() < 20_000 {};
        std::thread::spawn(spin).join().expect("it spins");
        let fresh = std::thread::spawn(thread_cpu_us).join().expect("it only looks");
        assert!(fresh < 20_000);
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back_and_the_wall_clock_is_past_2020() {
        let first = now();
        let second = now();
        assert!(first.monotonic_us <= second.monotonic_us);
        assert!(1_577_836_800_000 < second.wall_ms);
    }
}
