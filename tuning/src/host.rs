//! The machine as a tree of small files: `/proc` and `/sys` below a root.
//!
//! What is absent is `None`, never an error: containers and virtual machines hide much, and a
//! check that cannot be made is no finding.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `/proc` and `/sys` are read. Tests point it at a fixture.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// A resource limit: what holds, and how far the process may raise it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// `u64::MAX` is unlimited.
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Host {
    /// The machine whose `proc` and `sys` are in `root`; `/` is this one.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The trimmed text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, sorted; none if it is absent.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.root.join(path.strip_prefix("/").unwrap_or(path)).exists()
    }

    /// A line of `/proc/self/limits`, such as "Max open files" (proc_pid_limits(5)).
    pub(crate) fn limit(&self, name: &str) -> Option<Limit> {
        let limits = self.text("/proc/self/limits")?;
        let line = limits.lines().find(|line| line.starts_with(name))?;
        let mut words = line[name.len()..].split_whitespace();
        let mut size = || match words.next()? {
            "unlimited" => Some(u64::MAX),
            digits => digits.parse().ok(),
        };
        Some(Limit { soft: size()?, hard: size()? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! A machine made of files, for the tests of this crate.

    use super::*;

    /// A host with these files; the directory lives as long as the second value.
    pub(crate) fn host(files: &[(&str, &str)]) -> (Host, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        for (path, text) in files {
            let path = directory.path().join(path);
            let parent = path.parent().expect("a file of the fixture has a directory");
            fs::create_dir_all(parent).expect("the fixture is writable");
            fs::write(&path, text).expect("the fixture is writable");
        }
        (Host::at(directory.path()), directory)
    }

    #[test]
    fn a_limit_is_read_with_its_unlimited_and_its_absence() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 1048576              files\n\
                      Max locked memory         unlimited            unlimited            bytes\n";
        let (host, _files) = host(&[("proc/self/limits", limits)]);
        assert_eq!(host.limit("Max open files"), Some(Limit { soft: 1024, hard: 1_048_576 }));
        let unlimited = Limit { soft: u64::MAX, hard: u64::MAX };
        assert_eq!(host.limit("Max locked memory"), Some(unlimited));
        assert_eq!(host.limit("Max file locks"), None);
    }
}
