//! Which crate may use which, and what each crate must declare.

use crate::tidy::source::Source;
use crate::tidy::{Report, Tree};

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    /// The crates of ours it may use.
    uses: &'static [&'static str],
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Events in, outputs out: no I/O, no clock, no chance, no lock.
    Pure,
    Impure,
}

use Kind::{Impure, Pure};

/// The arrows. They point down only; siblings do not know each other.
///
/// `toroid` stands on top: besides `node` and `runtime`, which its shell introduces to each other,
/// it uses `wal` for recovery and the offline tools, and `net` and `engine` for what they print
/// and read. `sim` takes the place of the shell, and so of `runtime`.
#[rustfmt::skip]
pub(crate) const CRATES: &[Crate] = &[
    Crate { name: "base", uses: &[], kind: Pure },
    Crate { name: "engine", uses: &["base"], kind: Pure },
    Crate { name: "wal", uses: &["base"], kind: Pure },
    Crate { name: "raft", uses: &["base"], kind: Pure },
    Crate { name: "net", uses: &["base"], kind: Pure },
    Crate { name: "node", uses: &["base", "engine", "wal", "raft", "net"], kind: Pure },
    Crate { name: "sim", uses: &["base", "engine", "wal", "raft", "net", "node"], kind: Pure },
    Crate { name: "runtime", uses: &["base"], kind: Impure },
    Crate { name: "tuning", uses: &[], kind: Impure },
    Crate { name: "bench", uses: &["base", "engine", "wal", "net", "runtime"], kind: Impure },
    Crate { name: "toroid", kind: Impure,
            uses: &["base", "bench", "engine", "net", "node", "runtime", "tuning", "wal"] },
    Crate { name: "xtask", uses: &[], kind: Impure },
];

/// Crates of others that do I/O, read clocks or draw chance; none is for a pure crate.
const IMPURE_CRATES: &[&str] = &[
    "async-std",
    "crossbeam",
    "futures",
    "getrandom",
    "glommio",
    "io-uring",
    "libc",
    "memmap2",
    "mimalloc",
    "mio",
    "nix",
    "parking_lot",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tracing-subscriber",
    "windows-sys",
];

/// Where unsafe code may be, module by module.
const MAY_BE_UNSAFE: &[&str] = &["engine", "runtime"];

pub(super) fn arrows(tree: &Tree) -> Report {
    let mut report = Report::default();
    for manifest in manifests(tree) {
        let Some(krate) = krate(manifest) else {
            report.find(&manifest.path, 0, "this crate is not in the table of the arrows");
            continue;
        };
        for (line, dependency) in dependencies(&manifest.text) {
            report.looked += 1;
            let ours = CRATES.iter().any(|other| other.name == dependency);
            if ours && !krate.uses.contains(&dependency) {
                let what = format!("{} may not use {dependency}", krate.name);
                report.find(&manifest.path, line, what);
            }
        }
    }
    for krate in CRATES {
        if tree.file("Cargo.toml").is_some() && !manifests(tree).any(|m| m.krate() == krate.name) {
            report.find("Cargo.toml", 0, format!("{} is in the arrows but not here", krate.name));
        }
    }
    report
}

pub(super) fn pure_dependencies(tree: &Tree) -> Report {
    let mut report = Report::default();
    for manifest in manifests(tree).filter(|manifest| is_pure(manifest.krate())) {
        report.looked += 1;
        for (line, dependency) in dependencies(&manifest.text) {
            if IMPURE_CRATES.contains(&dependency) {
                report.find(&manifest.path, line, format!("{dependency} is not for a pure crate"));
            }
        }
    }
    report
}

pub(super) fn lints(tree: &Tree) -> Report {
    let mut report = Report::default();
    for manifest in manifests(tree) {
        report.looked += 1;
        let takes = section(&manifest.text, "lints").any(|(_, line)| line == "workspace = true");
        if !takes {
            report.find(&manifest.path, 0, "[lints] workspace = true is missing");
        }
    }
    report
}

pub(super) fn clippy_links(tree: &Tree) -> Report {
    let mut report = Report::default();
    let Some(settings) = tree.file("pure.clippy.toml") else {
        return report;
    };
    for krate in CRATES.iter().filter(|krate| krate.kind == Pure) {
        report.looked += 1;
        let path = format!("{}/clippy.toml", krate.name);
        if tree.file(&path).is_none_or(|file| file.text != settings.text) {
            report.find(&path, 0, "must be a link to ../pure.clippy.toml");
        }
    }
    report
}

pub(super) fn unsafe_code(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust().filter(|file| !MAY_BE_UNSAFE.contains(&file.krate())) {
        let inside = file.path.strip_prefix(file.krate()).unwrap_or(&file.path);
        if !matches!(inside.trim_start_matches('/'), "src/lib.rs" | "src/main.rs") {
            continue;
        }
        report.looked += 1;
        if !file.code.contains("#![forbid(unsafe_code)]") {
            report.find(&file.path, 1, "#![forbid(unsafe_code)] is missing");
        }
    }
    report
}

pub(super) fn is_pure(krate: &str) -> bool {
    CRATES.iter().any(|other| other.name == krate && other.kind == Pure)
}

fn krate(manifest: &Source) -> Option<&'static Crate> {
    CRATES.iter().find(|krate| krate.name == manifest.krate())
}

/// The workspace's manifests. A directory that is a workspace of its own (the fuzzers, which need
/// another compiler) is not one of its crates.
fn manifests(tree: &Tree) -> impl Iterator<Item = &Source> {
    tree.files().filter(|file| {
        let below = file.path.strip_suffix("/Cargo.toml").is_some_and(|at| !at.contains('/'));
        let own = file.text.lines().any(|line| line.trim() == "[workspace]");
        file.path == "Cargo.toml" || (below && !own)
    })
}

/// The crates a manifest names in any section of dependencies, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            // The workspace's table is a list to choose from, not a choice. A dependency may also
            // be a section: `[dependencies.name]`.
            let names = |kind: &str| -> Option<Option<&str>> {
                let rest = header.rsplit_once(kind)?.1;
                Some(rest.strip_prefix('.'))
            };
            let named = ["dependencies"].iter().find_map(|kind| names(kind));
            inside = named == Some(None) && header != "workspace.dependencies";
            if let (Some(Some(name)), false) = (named, header.starts_with("workspace.")) {
                found.push((index + 1, name.trim_matches('"')));
            }
            continue;
        }
        if inside && !line.is_empty() && !line.starts_with('#') {
            // A renamed dependency counts under its own name.
            let renamed =
                line.split_once("package = \"").and_then(|(_, rest)| rest.split('"').next());
            let name = line.split(['=', '.', ' ']).next().expect("a split has a first part");
            found.push((index + 1, renamed.unwrap_or(name).trim_matches('"')));
        }
    }
    found
}

/// The lines of one section of a TOML file.
fn section<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']) == name;
            return None;
        }
        inside.then_some((index + 1, line))
    })
}
