//! What this kernel is and allows, and why it refused.
//!
//! A refusal of io_uring has half a dozen causes that look alike from the error number; the facts
//! that tell them apart are read here, so that the message names the cause and the fix.

use std::fmt;
use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The oldest kernel with DEFER_TASKRUN, multishot receive and provided-buffer rings.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// What was found out about the kernel and our rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// As in `uname -r`.
    pub release: String,
    /// `kernel.io_uring_disabled`, where the kernel has it (6.6 and newer).
    pub io_uring_disabled: Option<u32>,
    /// The mode of the calling thread: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u32>,
    /// The limit on locked memory in bytes; none means unlimited.
    pub memlock: Option<u64>,
}

/// What forbids io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// `kernel.io_uring_disabled` is 1 or 2.
    Sysctl(u32),
    /// A seccomp filter, as container runtimes install one.
    Seccomp,
    /// The kernel was built without io_uring.
    NotBuilt,
    /// A security module (SELinux, AppArmor).
    SecurityModule,
    /// None of the known causes fits.
    Unknown,
}

impl Denial {
    /// The cause that explains `errno` best.
    pub(crate) fn find(errno: i32, facts: &KernelFacts) -> Self {
        // The sysctl answers EPERM (io_uring_setup(2)); a filter answers what it was told to,
        // docker's and podman's EPERM or ENOSYS.
        match (errno, facts.io_uring_disabled, facts.seccomp) {
            (libc::EPERM, Some(value @ 1..), _) => Self::Sysctl(value),
            (_, _, Some(1..)) => Self::Seccomp,
            (libc::ENOSYS, ..) => Self::NotBuilt,
            (libc::EACCES, ..) => Self::SecurityModule,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(value) => write!(
                f,
                "The system disables it: kernel.io_uring_disabled is {value}. \
                 Allow it with `sysctl -w kernel.io_uring_disabled=0`{}",
                if *value == 1 {
                    ", or add this user's group to kernel.io_uring_group"
                } else {
                    ""
                }
            ),
            Self::Seccomp => write!(
                f,
                "A seccomp filter forbids it, as the default profile of containers does. Allow \
                 io_uring_setup, io_uring_enter and io_uring_register: for docker and podman with \
                 `--security-opt seccomp=<profile.json>` (or `seccomp=unconfined`), for Kubernetes \
                 with a Localhost seccompProfile, for systemd with `SystemCallFilter=@io-event` \
                 added"
            ),
            Self::NotBuilt => {
                write!(f, "The kernel was built without it. Boot a kernel with CONFIG_IO_URING=y")
            }
            Self::SecurityModule => write!(
                f,
                "A security module (SELinux or AppArmor) forbids it. Look for the refusal in the \
                 audit log (`ausearch -m avc`, `journalctl -k`) and allow the io_uring class for \
                 this program"
            ),
            Self::Unknown => write!(
                f,
                "Neither kernel.io_uring_disabled nor a seccomp filter explains it. Look into the \
                 kernel's log (`dmesg`) and at the container's or sandbox's settings"
            ),
        }
    }
}

impl KernelFacts {
    /// Reads the facts; what cannot be read is left out.
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self {
            release: uname.release().to_string_lossy().into_owned(),
            io_uring_disabled: fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            seccomp: seccomp_mode(&status),
            memlock: getrlimit(Resource::Memlock).current,
        }
    }

    /// Whether the kernel is new enough. A release that cannot be parsed is given the benefit of
    /// the doubt: the operations are probed anyway.
    pub(crate) fn is_new_enough(&self) -> bool {
        version(&self.release).is_none_or(|version| KERNEL_MIN <= version)
    }

    /// Whether the kernel is known to be this new.
    pub(crate) fn is_since(&self, wanted: (u32, u32)) -> bool {
        version(&self.release).is_some_and(|version| wanted <= version)
    }
}

impl fmt::Display for KernelFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}, kernel.io_uring_disabled ", self.release)?;
        match self.io_uring_disabled {
            Some(value) => write!(f, "{value}")?,
            None => write!(f, "absent")?,
        }
        match self.seccomp {
            Some(0) => write!(f, ", no seccomp filter")?,
            Some(mode) => write!(f, ", seccomp mode {mode}")?,
            None => write!(f, ", seccomp unknown")?,
        }
        match self.memlock {
            Some(bytes) => write!(f, ", locked memory limit {bytes} bytes"),
            None => write!(f, ", locked memory unlimited"),
        }
    }
}

/// Raises this process's soft limit on open files to the hard one. Returns the limit in force;
/// none means unlimited.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum)
}

/// The operations of io_uring that are used and missing here.
pub(crate) fn missing_operations(ring: &IoUring) -> io::Result<Vec<&'static str>> {
    const NEEDED: [(u8, &str); 11] = [
        (opcode::AcceptMulti::CODE, "accept"),
        (opcode::RecvMulti::CODE, "recv"),
        (opcode::Send::CODE, "send"),
        (opcode::AsyncCancel2::CODE, "cancel"),
        (opcode::Close::CODE, "close"),
        (opcode::PollAdd::CODE, "poll"),
        (opcode::Write::CODE, "write"),
        (opcode::WriteFixed::CODE, "write from a registered buffer"),
        (opcode::Fsync::CODE, "fsync"),
        (opcode::Fallocate::CODE, "fallocate"),
        (opcode::UnlinkAt::CODE, "unlinkat"),
    ];
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let parameters = ring.params();
    let features = [
        (parameters.is_feature_ext_arg(), "waiting with a timeout"),
        (parameters.is_feature_skip_cqe_on_success(), "completions for failures only"),
        (parameters.is_feature_fast_poll(), "polling without threads"),
        (parameters.is_feature_nodrop(), "keeping completions that overflow"),
    ];
    let operations = NEEDED.iter().map(|&(code, name)| (probe.is_supported(code), name));
    Ok(operations
        .chain(features)
        .filter(|(supported, _)| !supported)
        .map(|(_, name)| name)
        .collect())
}

/// Whether a ring may send a message to another. The oldest supported kernel may, but a message is
/// a convenience: whoever restricts it costs us little.
pub(crate) fn supports_messages(ring: &IoUring) -> bool {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).is_ok()
        && probe.is_supported(opcode::MsgRingData::CODE)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn seccomp_mode(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(disabled: Option<u32>, seccomp: Option<u32>) -> KernelFacts {
        KernelFacts {
            release: "6.8.0-31-generic".to_owned(),
            io_uring_disabled: disabled,
            seccomp,
            memlock: Some(8 << 20),
        }
    }

    #[test]
    fn the_cause_of_a_denial_is_told_from_the_facts() {
        let find = |errno, disabled, seccomp| Denial::find(errno, &facts(disabled, seccomp));
        assert_eq!(find(libc::EPERM, Some(2), Some(2)), Denial::Sysctl(2));
        assert_eq!(find(libc::EPERM, Some(0), Some(2)), Denial::Seccomp);
        assert_eq!(find(libc::ENOSYS, Some(0), Some(2)), Denial::Seccomp);
        assert_eq!(find(libc::ENOSYS, None, Some(0)), Denial::NotBuilt);
        assert_eq!(find(libc::EACCES, Some(0), Some(0)), Denial::SecurityModule);
        assert_eq!(find(libc::EPERM, Some(0), Some(0)), Denial::Unknown);
    }

    #[test]
    fn a_denial_names_the_fix() {
        assert!(Denial::Sysctl(2).to_string().contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(Denial::Sysctl(1).to_string().contains("kernel.io_uring_group"));
        assert!(Denial::Seccomp.to_string().contains("--security-opt seccomp="));
        assert!(Denial::NotBuilt.to_string().contains("CONFIG_IO_URING"));
    }

    #[test]
    fn releases_are_compared_by_their_first_two_numbers() {
        assert_eq!(version("6.1.0"), Some((6, 1)));
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("5.15-generic"), Some((5, 15)));
        assert_eq!(version("unknown"), None);
        let mut old = facts(None, None);
        assert!(old.is_new_enough());
        old.release = "5.15.0-100-generic".to_owned();
        assert!(!old.is_new_enough());
    }

    #[test]
    fn the_seccomp_mode_is_found_in_the_status() {
        let status = "Name:\tx\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(seccomp_mode(status), Some(2));
        assert_eq!(seccomp_mode("Name:\tx\n"), None);
    }

    #[test]
    fn the_facts_of_this_machine_can_be_read() {
        let facts = KernelFacts::read();
        assert!(version(&facts.release).is_some());
        assert!(facts.seccomp.is_some());
        assert!(facts.to_string().contains(&facts.release));
    }
}
