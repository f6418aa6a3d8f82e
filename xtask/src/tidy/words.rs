//! Words that may not stay in the tree.
//!
//! The words are put together at build time, so that this file does not find itself.

use crate::tidy::{Report, Tree};

const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const UNFINISHED_CALLS: &[&str] = &["dbg!", "todo!", "unimplemented!"];
const WEAK: &[&str] = &["#[ignore", "#[should_panic"];

/// Paths of the machines the project is made on, and hosts of package registries.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tmp/", "toroid"),
    concat!("/ro", "ot/"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("debian", ".org"),
];

pub(super) fn unfinished(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.files() {
        report.looked += 1;
        for (index, line) in file.text.lines().enumerate() {
            for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if UNFINISHED.contains(&word) {
                    report.find(&file.path, index + 1, format!("{word}: finish it, or file it"));
                }
            }
        }
        find_in_code(file, UNFINISHED_CALLS, "finish it", &mut report);
    }
    report
}

pub(super) fn weak_tests(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        report.looked += 1;
        find_in_code(file, WEAK, "a test runs, and states what it expects", &mut report);
    }
    report
}

pub(super) fn places(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.files() {
        report.looked += 1;
        for (index, line) in file.text.lines().enumerate() {
            if let Some(place) = PLACES.iter().find(|place| line.contains(**place)) {
                report.find(&file.path, index + 1, format!("names {place}"));
            }
        }
    }
    report
}

pub(super) fn globs(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        report.looked += 1;
        for (index, line) in file.code.lines().enumerate() {
            let line = line.trim();
            let exports = line.starts_with("pub use") || line.starts_with("pub(crate) use");
            if exports && line.contains('*') {
                report.find(&file.path, index + 1, "name what is exported");
            }
        }
    }
    report
}

fn find_in_code(
    file: &crate::tidy::source::Source,
    words: &[&str],
    advice: &str,
    report: &mut Report,
) {
    for (index, line) in file.code.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            report.find(&file.path, index + 1, format!("{word}: {advice}"));
        }
    }
}
