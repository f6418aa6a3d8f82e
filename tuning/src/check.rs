//! The table of checks of the machine as a whole.
//!
//! Each check reads one fact and either is satisfied or returns the finding. A directory is
//! checked by [`Storage::findings`](crate::Storage::findings).

use crate::finding::Finding;
use crate::host::{Host, Limit};

/// What the server is about to ask of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// `maxclients`.
    pub connections: u64,
    /// Descriptors beside the clients': the log's, listeners, the ring.
    pub other_files: u64,
    /// Bytes of registered buffers and rings, which count against RLIMIT_MEMLOCK.
    pub locked_bytes: u64,
    /// The queue of connections not yet accepted that is asked of listen(2).
    pub backlog: u64,
    /// The process may get transparent huge pages.
    pub huge_pages: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            connections: 10_000,
            other_files: 128,
            locked_bytes: 8 * 1024 * 1024,
            backlog: 511,
            huge_pages: true,
        }
    }
}

/// Checks this machine for a server with these needs.
pub fn check(needs: &Needs) -> Vec<Finding> {
    Host::default().check(needs)
}

/// Clocks that are read without entering the kernel.
const FAST_CLOCKS: &[&str] =
    &["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

impl Host {
    /// Everything this machine has wrong for `needs`.
    pub fn check(&self, needs: &Needs) -> Vec<Finding> {
        [
            self.check_huge_pages(needs),
            self.check_overcommit(),
            self.check_swap(),
            self.check_governor(),
            self.check_clock(),
            self.check_backlog(needs),
            self.check_open_files(needs),
            self.check_locked_memory(needs),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn check_huge_pages(&self, needs: &Needs) -> Option<Finding> {
        if !needs.huge_pages {
            return None;
        }
        let path = "/sys/kernel/mm/transparent_hugepage/enabled";
        self.text(path)?.contains("[always]").then(|| {
            Finding::new(
                "transparent huge pages are `always`",
                "the kernel joins and splits pages behind the server's back: latency spikes and \
                 more resident memory than data",
                format!("echo madvise > {path}"),
            )
        })
    }

    fn check_overcommit(&self) -> Option<Finding> {
        (self.number("/proc/sys/vm/overcommit_memory")? == 2).then(|| {
            Finding::new(
                "vm.overcommit_memory is 2",
                "the kernel refuses allocations long before memory is used, and a refused \
                 allocation stops the server",
                "sysctl -w vm.overcommit_memory=1 (or 0)",
            )
        })
    }

    fn check_swap(&self) -> Option<Finding> {
        let swaps = self.text("/proc/swaps")?;
        let areas: Vec<&str> =
            swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        (!areas.is_empty()).then(|| {
            Finding::new(
                format!("swap is on ({})", areas.join(", ")),
                "a command that touches a page that was swapped out holds its whole core for \
                 milliseconds",
                "swapoff -a, or MemorySwapMax=0 in the systemd unit",
            )
        })
    }

    fn check_governor(&self) -> Option<Finding> {
        let cores = "/sys/devices/system/cpu";
        let slow: Vec<(String, String)> = self
            .names(cores)
            .into_iter()
            .filter_map(|core| {
                let path = format!("{cores}/{core}/cpufreq/scaling_governor");
                let governor = self.text(&path)?;
                (governor != "performance").then_some((core, governor))
            })
            .collect();
        let (core, governor) = slow.first()?;
        Some(Finding::new(
            format!(
                "the frequency governor of {} core(s) is not performance ({core}: {governor})",
                slow.len()
            ),
            "a core that was idle answers its first requests at a low clock",
            "cpupower frequency-set -g performance",
        ))
    }

    fn check_clock(&self) -> Option<Finding> {
        let directory = "/sys/devices/system/clocksource/clocksource0";
        let clock = self.text(&format!("{directory}/current_clocksource"))?;
        if FAST_CLOCKS.contains(&clock.as_str()) {
            return None;
        }
        let available =
            self.text(&format!("{directory}/available_clocksource")).unwrap_or_default();
        let fix = match available.split_whitespace().find(|name| FAST_CLOCKS.contains(name)) {
            Some(fast) => format!("echo {fast} > {directory}/current_clocksource"),
            None => "boot with clocksource=tsc; in a virtual machine ask the host for \
                     kvm-clock or an invariant TSC"
                .to_owned(),
        };
        Some(Finding::new(
            format!("the clock source is {clock}"),
            "each reading of the clock is a system call or a slow device access, and each turn \
             of a core reads it",
            fix,
        ))
    }

    fn check_backlog(&self, needs: &Needs) -> Option<Finding> {
        let allowed = self.number("/proc/sys/net/core/somaxconn")?;
        (allowed < needs.backlog).then(|| {
            Finding::new(
                format!("net.core.somaxconn is {allowed}"),
                "clients that connect in a burst are refused or wait a second for their retry",
                "sysctl -w net.core.somaxconn=4096",
            )
        })
    }

    fn check_open_files(&self, needs: &Needs) -> Option<Finding> {
        let Limit { soft, hard } = self.limit("Max open files")?;
        let wanted = needs.connections.saturating_add(needs.other_files);
        (soft < wanted).then(|| {
            let fix = if wanted <= hard {
                format!("ulimit -n {wanted}")
            } else {
                format!(
                    "LimitNOFILE={wanted} in the systemd unit, or a higher hard limit in \
                     /etc/security/limits.conf; or maxclients {}",
                    hard.saturating_sub(needs.other_files)
                )
            };
            Finding::new(
                format!("RLIMIT_NOFILE is {soft} (at most {hard})"),
                format!("{} clients and the server's own files need {wanted}", needs.connections),
                fix,
            )
        })
    }

    fn check_locked_memory(&self, needs: &Needs) -> Option<Finding> {
        let Limit { soft, .. } = self.limit("Max locked memory")?;
        (soft < needs.locked_bytes).then(|| {
            Finding::new(
                format!("RLIMIT_MEMLOCK is {soft} bytes"),
                format!("the rings and their registered buffers need {} bytes", needs.locked_bytes),
                "ulimit -l unlimited, or LimitMEMLOCK=infinity in the systemd unit",
            )
        })
    }
}

#[cfg(test)]
mod tests;
