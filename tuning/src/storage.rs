//! What lies under a directory: its file system, its mount and its block device.
//!
//! A flush is worth what the layers below make of it. A file system in memory keeps nothing, one
//! across a network promises something else, and one mounted without barriers, or a device whose
//! cache the kernel was told to ignore, acknowledges what a power cut takes away.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor, statfs};

use crate::finding::Finding;
use crate::host::Host;

/// A file system, known by its magic number (statfs(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    pub magic: u64,
    /// The name mount(8) uses; "unknown" for what is not in the table.
    pub name: &'static str,
    /// Why a database's directory should not be on it.
    pub objection: Option<&'static str>,
}

/// What the kernel believes about the device's cache (`queue/write_cache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCache {
    /// The cache loses its contents with the power; the kernel sends flushes.
    Volatile,
    /// There is none, or it keeps its contents; the kernel sends no flushes.
    None,
}

/// What lies under one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    pub file_system: FileSystem,
    /// The block device's name, when the file system has just one that can be seen.
    pub device: Option<String>,
    pub write_cache: Option<WriteCache>,
    /// Whether the device writes a block past its cache in one request; without it a durable
    /// write is a write and then a flush.
    pub forced_unit_access: Option<bool>,
    /// The mount option that turns flushes off, if one is set.
    pub barrier_off: Option<String>,
}

const VOLATILE: &str = "it is in memory and keeps nothing over a restart of the machine";
const NETWORK: &str = "its flushes end at another machine, whose promise is not known here";
const LAYERED: &str = "it is a container's layer: it goes with the container, and direct I/O \
                       there may be refused";
const COPYING: &str = "it writes every block to a new place, which makes durable writes slow; \
                       direct I/O may be emulated";
const USER_SPACE: &str = "a program serves it, and that program decides what a flush means";
const FOREIGN: &str = "it has no journal";

#[rustfmt::skip]
const FILE_SYSTEMS: &[(u64, &str, Option<&str>)] = &[
    (0x0000_EF53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0xF2F5_2010, "f2fs", None),
    (0x9123_683E, "btrfs", Some(COPYING)),
    (0x2FC1_2FC1, "zfs", Some(COPYING)),
    (0xCA45_1A4E, "bcachefs", Some(COPYING)),
    (0x0102_1994, "tmpfs", Some(VOLATILE)),
    (0x8584_58F6, "ramfs", Some(VOLATILE)),
    (0x794C_7630, "overlay", Some(LAYERED)),
    (0x0000_6969, "nfs", Some(NETWORK)),
    (0xFF53_4D42, "cifs", Some(NETWORK)),
    (0xFE53_4D42, "smb2", Some(NETWORK)),
    (0x0102_1997, "9p", Some(NETWORK)),
    (0x00C3_6400, "ceph", Some(NETWORK)),
    (0x6573_5546, "fuse", Some(USER_SPACE)),
    (0x0000_4D44, "vfat", Some(FOREIGN)),
    (0x2011_BAB0, "exfat", Some(FOREIGN)),
];

impl FileSystem {
    /// The file system with this magic number.
    pub fn of_magic(magic: u64) -> Self {
        match FILE_SYSTEMS.iter().find(|(known, ..)| *known == magic) {
            Some(&(_, name, objection)) => Self { magic, name, objection },
            None => Self { magic, name: "unknown", objection: None },
        }
    }
}

/// What lies under `directory`, which must exist.
pub fn storage(directory: &Path) -> io::Result<Storage> {
    // The magic is a signed word on some machines; the table holds its low 32 bits.
    let magic = u64::from(statfs(directory)?.f_type as u32);
    let device = fs::metadata(directory)?.dev();
    Ok(Host::default().storage(magic, major(device), minor(device)))
}

impl Host {
    /// What lies under a file system with this magic number on this device.
    fn storage(&self, magic: u64, major: u32, minor: u32) -> Storage {
        let file_system = FileSystem::of_magic(magic);
        let block = format!("/sys/dev/block/{major}:{minor}");
        // A partition has no queue of its own: its disk, the directory above, has.
        let queue = [format!("{block}/queue"), format!("{block}/../queue")]
            .into_iter()
            .find(|queue| self.exists(Path::new(queue)));
        let fact = |name: &str| self.text(&format!("{}/{name}", queue.as_ref()?));
        let write_cache = match fact("write_cache").as_deref() {
            Some("write back") => Some(WriteCache::Volatile),
            Some("write through") => Some(WriteCache::None),
            _ => None,
        };
        Storage {
            file_system,
            device: self.block_device(&block),
            write_cache,
            forced_unit_access: fact("fua").map(|fua| fua == "1"),
            barrier_off: self.barrier_off(major, minor),
        }
    }

    /// The name in the device's own `uevent` file.
    fn block_device(&self, block: &str) -> Option<String> {
        let event = self.text(&format!("{block}/uevent"))?;
        event.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(str::to_owned)
    }

    /// The option of the mount of this device that turns flushes off (proc_pid_mountinfo(5)).
    fn barrier_off(&self, major: u32, minor: u32) -> Option<String> {
        let mounts = self.text("/proc/self/mountinfo")?;
        let device = format!("{major}:{minor}");
        mounts.lines().filter(|line| line.split(' ').nth(2) == Some(&device)).find_map(|line| {
            let options = line.split(" - ").nth(1)?.split(' ').nth(2)?;
            options
                .split(',')
                .find(|option| matches!(*option, "nobarrier" | "barrier=0"))
                .map(str::to_owned)
        })
    }
}

impl Storage {
    /// What stands in the way of durable writes here.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(objection) = self.file_system.objection {
            findings.push(Finding::new(
                format!("the directory is on {}", self.file_system.name),
                objection,
                "--dir DIRECTORY on ext4 or xfs on a local disk",
            ));
        }
        if let Some(option) = &self.barrier_off {
            findings.push(Finding::new(
                format!("the file system is mounted with {option}"),
                "flushes never reach the disk, and a power cut takes acknowledged writes away",
                "mount -o remount,barrier=1 (unless the disk's cache survives a power cut)",
            ));
        }
        findings
    }

    /// One line for people: file system, device, and what a durable write costs there.
    pub fn summary(&self) -> String {
        let mut text = self.file_system.name.to_owned();
        if let Some(device) = &self.device {
            text.push_str(" on ");
            text.push_str(device);
        }
        text.push_str(match (self.write_cache, self.forced_unit_access) {
            (Some(WriteCache::Volatile), Some(true)) => {
                ", volatile write cache (one forced write per flush)"
            }
            (Some(WriteCache::Volatile), _) => ", volatile write cache (write, then flush)",
            (Some(WriteCache::None), _) => ", no volatile write cache (no flush is sent)",
            (None, _) => "",
        });
        text
    }
}

#[cfg(test)]
mod tests {
    //! Disks, partitions and mounts made of files.

    use super::*;
    use crate::host::tests::host;

    const EXT4: u64 = 0xEF53;
    const DISK: &[(&str, &str)] = &[
        ("sys/dev/block/254:0/uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n"),
        ("sys/dev/block/254:0/queue/write_cache", "write back\n"),
        ("sys/dev/block/254:0/queue/fua", "0\n"),
    ];

    #[test]
    fn a_disk_tells_its_name_its_cache_and_its_forced_writes() {
        let (host, _files) = host(DISK);
        let storage = host.storage(EXT4, 254, 0);
        assert_eq!(storage.device.as_deref(), Some("vda"));
        assert_eq!(storage.write_cache, Some(WriteCache::Volatile));
        assert_eq!(storage.forced_unit_access, Some(false));
        assert_eq!(storage.summary(), "ext4 on vda, volatile write cache (write, then flush)");
        assert_eq!(storage.findings(), []);
    }

    #[test]
    fn a_partition_is_asked_for_its_disk() {
        // As in sysfs, the partition's directory is inside the disk's.
        let (host, files) = host(&[
            ("sys/block/nvme0n1/queue/write_cache", "write through\n"),
            ("sys/block/nvme0n1/queue/fua", "1\n"),
            ("sys/block/nvme0n1/nvme0n1p1/uevent", "DEVNAME=nvme0n1p1\n"),
            ("sys/dev/block/here", ""),
        ]);
        std::os::unix::fs::symlink(
            files.path().join("sys/block/nvme0n1/nvme0n1p1"),
            files.path().join("sys/dev/block/259:1"),
        )
        .expect("the fixture is writable");
        let storage = host.storage(EXT4, 259, 1);
        assert_eq!(storage.device.as_deref(), Some("nvme0n1p1"));
        assert_eq!(storage.write_cache, Some(WriteCache::None));
        assert_eq!(storage.forced_unit_access, Some(true));
    }

    #[test]
    fn a_mount_without_barriers_is_found_and_only_on_its_own_device() {
        let mounts = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,barrier=0\n\
                      28 1 254:16 / /data rw,relatime - xfs /dev/vdb rw,nobarrier,attr2\n\
                      29 1 254:32 / /safe rw,relatime - ext4 /dev/vdc rw\n";
        let (host, _files) = host(&[("proc/self/mountinfo", mounts)]);
        let whats = |minor| -> Vec<String> {
            let findings = host.storage(EXT4, 254, minor).findings();
            findings.into_iter().map(|finding| finding.what).collect()
        };
        assert_eq!(whats(0), ["the file system is mounted with barrier=0"]);
        assert_eq!(whats(16), ["the file system is mounted with nobarrier"]);
        assert_eq!(whats(32), Vec::<String>::new());
    }

    #[test]
    fn file_systems_that_lose_or_move_data_are_objected_to() {
        for name in ["tmpfs", "overlay", "nfs", "btrfs", "fuse"] {
            let (magic, ..) = FILE_SYSTEMS
                .iter()
                .find(|(_, known, _)| *known == name)
                .expect("the table has this file system");
            let (host, _files) = host(&[]);
            let findings = host.storage(*magic, 0, 99).findings();
            assert_eq!(findings.len(), 1, "{name}");
            assert!(findings[0].what.ends_with(name), "{}", findings[0]);
            assert!(findings[0].fix.contains("--dir"), "{}", findings[0]);
        }
        assert_eq!(FileSystem::of_magic(0x5846_5342).objection, None, "xfs");
        assert_eq!(FileSystem::of_magic(0x1234).name, "unknown");
    }

    #[test]
    fn a_real_directory_has_a_file_system_and_a_missing_one_is_an_error() {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let storage = storage(directory.path()).expect("the directory exists");
        assert_ne!(storage.file_system.magic, 0);
        let missing = super::storage(&directory.path().join("missing"));
        assert_eq!(missing.expect_err("it is not there").kind(), io::ErrorKind::NotFound);
    }
}
