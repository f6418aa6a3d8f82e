//! How much memory this process may use: the cgroup's limit or the machine's memory.
//!
//! The limit of a cgroup is the lowest on the way from the process's own group to the root
//! (cgroups(7); both versions, because a container may see either). In a container the path in
//! `/proc/self/cgroup` may be the host's and absent below `/sys/fs/cgroup`; then what the
//! container sees as its root is its own group, so the walk up finds it.

use std::path::Path;

use crate::host::Host;

/// The bytes this process may use, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    pub bytes: u64,
    /// "cgroup", with the file that holds the limit, or "memory of the machine".
    pub source: String,
}

/// The limit of this process on this machine; none if `/proc` tells nothing.
pub fn memory_limit() -> Option<MemoryLimit> {
    Host::default().memory_limit()
}

impl Host {
    /// The lower of the cgroup's limit and the machine's memory.
    pub fn memory_limit(&self) -> Option<MemoryLimit> {
        let machine = self
            .memory_total()
            .map(|bytes| MemoryLimit { bytes, source: "memory of the machine".to_owned() });
        machine.into_iter().chain(self.cgroup_limits()).min_by_key(|limit| limit.bytes)
    }

    fn memory_total(&self) -> Option<u64> {
        let text = self.text("/proc/meminfo")?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// Every limit on the way up from this process's groups.
    fn cgroup_limits(&self) -> Vec<MemoryLimit> {
        let mut limits = Vec::new();
        let groups = self.text("/proc/self/cgroup").unwrap_or_default();
        // Lines are `hierarchy:controllers:path`; version 2 is hierarchy 0 with no controllers.
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(group)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let places: &[(&str, &str)] = if controllers.is_empty() {
                &[("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/unified", "memory.max")]
            } else if controllers.split(',').any(|name| name == "memory") {
                &[("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]
            } else {
                &[]
            };
            for (mount, file) in places {
                for group in Path::new(group).ancestors() {
                    let group = group.to_string_lossy();
                    let path = format!("{mount}{}/{file}", group.trim_end_matches('/'));
                    // "max", the second version's word for none, is not a number; the first's is
                    // a number larger than any machine, which loses against the memory.
                    if let Some(bytes) = self.number(&path) {
                        limits.push(MemoryLimit { bytes, source: format!("cgroup ({path})") });
                    }
                }
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    //! A machine of files with one, both or no kind of cgroup.

    use super::*;
    use crate::host::tests::host;

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       8192 kB\nMemFree: 1 kB\n");

    #[test]
    fn without_a_cgroup_the_machine_is_the_limit() {
        let (host, _files) = host(&[MEMINFO]);
        let limit = host.memory_limit().expect("meminfo is there");
        assert_eq!((limit.bytes, limit.source.as_str()), (8 << 20, "memory of the machine"));
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_wins() {
        let (host, _files) = host(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "4194304\n"),
            ("sys/fs/cgroup/memory.max", "6291456\n"),
        ]);
        let limit = host.memory_limit().expect("meminfo is there");
        assert_eq!(limit.bytes, 4 << 20);
        assert_eq!(limit.source, "cgroup (/sys/fs/cgroup/a/memory.max)");
    }

    #[test]
    fn the_first_version_counts_too_and_its_word_for_none_does_not() {
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let groups = ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/x\n0::/\n");
        let limited = ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1048576\n");
        let (open, _open_files) = host(&[MEMINFO, groups, unlimited]);
        assert_eq!(open.memory_limit().expect("meminfo is there").bytes, 8 << 20);
        let (closed, _closed_files) = host(&[MEMINFO, groups, unlimited, limited]);
        assert_eq!(closed.memory_limit().expect("meminfo is there").bytes, 1 << 20);
    }

    #[test]
    fn a_group_of_the_host_that_a_container_cannot_see_falls_back_to_its_own_root() {
        let (host, _files) = host(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/system.slice/box.scope\n"),
            ("sys/fs/cgroup/memory.max", "2097152\n"),
        ]);
        assert_eq!(host.memory_limit().expect("meminfo is there").bytes, 2 << 20);
    }

    #[test]
    fn a_machine_that_tells_nothing_has_no_known_limit() {
        let (host, _files) = host(&[]);
        assert_eq!(host.memory_limit(), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(64 << 20 < memory_limit().expect("Linux has /proc/meminfo").bytes);
    }
}
