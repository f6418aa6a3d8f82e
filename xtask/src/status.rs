//! `docs/STATUS.md`: the counts of the checks and the size of the crates.
//!
//! The file is generated and committed. A push that checks less than it says fails: counts go up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::counts::{self, Counts, Kind};
use crate::histories;
use crate::outcome::Outcome;
use crate::steps;
use crate::tidy::{CRATES, Tree};

const PATH: &str = "docs/STATUS.md";
const NAMES: &[&str] = &[
    steps::TESTS,
    steps::SEEDS,
    steps::PLANTS,
    steps::ROUNDS,
    histories::HISTORIES,
    steps::CUTS,
    steps::CLIENTS,
    steps::CONFORMANCE,
    steps::COMPARED,
];

/// The two columns of numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    ci: Counts,
    by_hand: Counts,
}

/// Writes the file from the last runs here; what was not run here keeps its number.
pub(crate) fn write(root: &Path) -> Result<Outcome, String> {
    let mut status = committed(root).unwrap_or_default();
    let ci = counts::recall(root, Kind::Ci);
    if ci.is_empty() {
        return Err("no run of `cargo xtask ci` is remembered here".to_owned());
    }
    let fallen = fallen(&status.ci, &ci);
    if !fallen.is_empty() {
        return Err(format!("the last run checked less than {PATH} says: {}", fallen.join(", ")));
    }
    let known = |(name, _): &(String, u64)| NAMES.contains(&name.as_str());
    status.ci.extend(ci.into_iter().filter(known));
    status.by_hand.extend(counts::recall(root, Kind::ByHand).into_iter().filter(known));
    let tree = Tree::read(root).map_err(|error| format!("reading the tree: {error}"))?;
    fs::write(root.join(PATH), text(&status, &tree)).map_err(|error| format!("{PATH}: {error}"))?;
    Ok(Outcome::one(format!("{PATH} written")))
}

/// Compares the committed file with the last run of `ci` here.
pub(crate) fn check_last(root: &Path) -> Result<Outcome, String> {
    check(root, &counts::recall(root, Kind::Ci))
}

/// Compares the committed file with what ran.
pub(crate) fn check(root: &Path, ran: &Counts) -> Result<Outcome, String> {
    let status = committed(root)?;
    let fallen = fallen(&status.ci, ran);
    if !fallen.is_empty() {
        return Err(format!("less was checked than {PATH} says: {}", fallen.join(", ")));
    }
    let passed = status.ci.len() as u64;
    let note = format!("{passed} counts have not fallen");
    Ok(Outcome { passed, note, ..Outcome::default() })
}

fn fallen(committed: &Counts, ran: &Counts) -> Vec<String> {
    let count = |name: &String| ran.get(name).copied().unwrap_or(0);
    committed
        .iter()
        .filter(|(name, said)| count(name) < **said)
        .map(|(name, said)| format!("{name} {} of {said}", count(name)))
        .collect()
}

fn committed(root: &Path) -> Result<Status, String> {
    let text = fs::read_to_string(root.join(PATH)).map_err(|error| format!("{PATH}: {error}"))?;
    let status = parse(&text);
    if status.ci.is_empty() {
        return Err(format!("{PATH} has no counts"));
    }
    Ok(status)
}

fn text(status: &Status, tree: &Tree) -> String {
    let mut text = String::from(
        "# Status\n\nWritten by `cargo xtask status` from what ran and passed; the counts may only grow.\n\n\
         | check | every push | by hand |\n|---|---:|---:|\n",
    );
    for name in NAMES {
        let cell = |counts: &Counts| counts.get(*name).map_or("–".to_owned(), u64::to_string);
        let (ci, by_hand) = (cell(&status.ci), cell(&status.by_hand));
        writeln!(text, "| {name} | {ci} | {by_hand} |").expect("a string takes all");
    }
    text.push_str("\n| crate | lines of Rust, tests included |\n|---|---:|\n");
    for krate in CRATES {
        let lines: usize = match krate.name {
            "toroid" => ["src", "tests"].iter().map(|part| tree.lines_below(part)).sum(),
            name => tree.lines_below(name),
        };
        writeln!(text, "| {} | {lines} |", krate.name).expect("a string takes all");
    }
    text
}

fn parse(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, ci, by_hand] = cells[..] else { continue };
        for (cell, counts) in [(ci, &mut status.ci), (by_hand, &mut status.by_hand)] {
            if let Ok(count) = cell.parse() {
                counts.insert(name.to_owned(), count);
            }
        }
    }
    status
}

#[cfg(test)]
mod tests {
    //! What is written is read back, and a count that fell is seen.

    use super::*;

    fn counts(list: &[(&str, u64)]) -> Counts {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let status = Status {
            ci: counts(&[(steps::TESTS, 412), (steps::SEEDS, 1000)]),
            by_hand: counts(&[(steps::SEEDS, 10_000), (steps::CUTS, 50)]),
        };
        let tree = Tree::of(&[("wal/src/lib.rs", "//! x\n"), ("tests/kill9.rs", "//! x\n\n")]);
        let text = text(&status, &tree);
        assert_eq!(parse(&text), status);
        assert!(text.contains("| wal | 1 |\n") && text.contains("| toroid | 2 |\n"), "{text}");
    }

    #[test]
    fn a_count_that_fell_or_went_missing_is_named_and_a_higher_one_is_not() {
        let committed = counts(&[("tests", 10), ("seeds", 5), ("rounds", 3)]);
        let ran = counts(&[("tests", 9), ("seeds", 6)]);
        assert_eq!(fallen(&committed, &ran), ["rounds 0 of 3", "tests 9 of 10"]);
        assert_eq!(fallen(&committed, &committed), Vec::<String>::new());
    }
}
