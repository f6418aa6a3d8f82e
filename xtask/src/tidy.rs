//! The rules of the tree that no compiler checks.
//!
//! A rule looks at the whole tree and says what it found, and at how many things it looked: a rule
//! that looked at nothing has failed. Each has a test with a snippet it must refuse.

mod arrows;
mod names;
mod purity;
mod readme;
mod shape;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use std::fmt;
use std::path::Path;

pub(crate) use arrows::CRATES;
pub(crate) use readme::set_up_commands;
pub(crate) use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; zero is the file as a whole.
    line: usize,
    what: String,
}

/// What one rule saw.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Things looked at: files, manifests, functions.
    looked: usize,
    findings: Vec<Finding>,
}

type Rule = fn(&Tree) -> Report;

const RULES: &[(&str, Rule)] = &[
    ("crates use only what the arrows allow", arrows::arrows),
    ("pure crates use no crate that does I/O", arrows::pure_dependencies),
    ("every crate takes the workspace's lints", arrows::lints),
    ("every pure crate has clippy's settings for pure crates", arrows::clippy_links),
    ("every crate but engine and runtime forbids unsafe code", arrows::unsafe_code),
    ("pure crates do no I/O, read no clock and have no lock", purity::purity),
    ("base stays small", shape::base_size),
    ("no file is named mod.rs", shape::no_mod_rs),
    ("no file is too long", shape::file_size),
    ("no line is too long", shape::line_size),
    ("every file begins with what it owns", shape::header),
    ("nothing is left for later", words::unfinished),
    ("no test is ignored or expects a panic", words::weak_tests),
    ("nothing names the place it was made at", words::places),
    ("nothing is exported by glob", words::globs),
    ("the names of tests are sentences", names::tests_are_sentences),
    ("the README has exactly two set-up commands", readme::two_commands),
];

/// Runs every rule; returns the number of things looked at, or everything that is wrong.
pub(crate) fn tidy(root: &Path) -> Result<usize, String> {
    let tree = Tree::read(root).map_err(|error| format!("reading the tree: {error}"))?;
    let mut looked = 0;
    let mut wrong = Vec::new();
    for (name, rule) in RULES {
        let report = rule(&tree);
        looked += report.looked;
        if report.looked == 0 {
            wrong.push(format!("{name}: nothing was found to look at"));
        }
        wrong.extend(report.findings.iter().map(|finding| format!("{finding} ({name})")));
    }
    if wrong.is_empty() { Ok(looked) } else { Err(wrong.join("\n")) }
}

impl Report {
    fn find(&mut self, path: &str, line: usize, what: impl Into<String>) {
        self.findings.push(Finding { path: path.to_owned(), line, what: what.into() });
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}
