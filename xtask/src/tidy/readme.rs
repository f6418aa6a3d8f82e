//! The README promises two commands; these are they, and nothing else sets Toroid up.

use crate::tidy::{Report, Tree};

/// The commands of the README's first block of shell.
pub(crate) fn set_up_commands(readme: &str) -> Vec<&str> {
    let Some((_, rest)) = readme.split_once("```sh\n") else { return Vec::new() };
    let block = rest.split("```").next().expect("a split has a first part");
    block
        .lines()
        .map(|line| line.split('#').next().expect("a split has a first part").trim())
        .filter(|line| !line.is_empty())
        .collect()
}

pub(super) fn two_commands(tree: &Tree) -> Report {
    let mut report = Report::default();
    let Some(readme) = tree.file("README.md") else { return report };
    report.looked += 1;
    let commands = set_up_commands(&readme.text);
    if commands != ["cargo run --release", "cargo test --workspace"] {
        report.find("README.md", 0, format!("the set-up commands are {commands:?}"));
    }
    report
}
