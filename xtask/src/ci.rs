//! Runs the steps one after the other, times them, and adds up.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::counts::{self, Counts, Kind};
use crate::outcome::Outcome;
use crate::{histories, lint, readme, status, steps};

/// How much of each a push runs, and how much is run by hand before an issue closes.
const SEEDS_CI: u64 = 1_000;
const ROUNDS_CI: u64 = 10;
const HISTORIES_CI: u64 = 6;
const COMMANDS_CI: u64 = 50_000;
const COMMANDS_SEED: u64 = 52_000_000;
pub(crate) const SEEDS_LONG: u64 = 10_000;
pub(crate) const ROUNDS_LONG: u64 = 200;
pub(crate) const HISTORIES_LONG: u64 = 30;
pub(crate) const CUTS_LONG: u64 = 50;
pub(crate) const COMMANDS_LONG: u64 = 200_000;

type Step = (&'static str, fn(&Path) -> Result<Outcome, String>);

/// The cheap ones first.
const CI: &[Step] = &[
    ("format", steps::format),
    ("tidy", steps::tidy),
    ("deny", steps::deny),
    ("clippy", steps::clippy),
    ("clippy's plants", lint::clippy_plants),
    ("rustdoc", steps::documents),
    ("tests", steps::tests),
    ("README", readme::serve),
    ("simulator", |root| steps::sim(root, SEEDS_CI)),
    ("simulator's plants", steps::plants),
    ("durability", |root| steps::durability(root, ROUNDS_CI)),
    ("histories", |root| histories::histories(root, HISTORIES_CI)),
    ("clients", steps::clients),
    ("conformance", steps::conformance),
    ("differential", |root| steps::differential(root, COMMANDS_CI, Some(COMMANDS_SEED))),
    ("logs left behind", steps::verify_logs),
];

const LONG: &[Step] = &[
    ("simulator", |root| steps::sim(root, SEEDS_LONG)),
    ("simulator's plants", steps::plants),
    ("durability", |root| steps::durability(root, ROUNDS_LONG)),
    ("histories", |root| histories::histories(root, HISTORIES_LONG)),
    ("power cuts", |root| steps::powercut(root, CUTS_LONG)),
    ("rigs", steps::rigs),
    ("clients", steps::clients),
    ("conformance", steps::conformance_full),
    ("differential", |root| steps::differential(root, COMMANDS_LONG, None)),
    ("fresh clone", readme::fresh),
];

/// One step that was run.
#[derive(Debug)]
struct Line {
    name: &'static str,
    result: Result<Outcome, String>,
    took: Duration,
}

pub(crate) fn ci(root: &Path) -> ExitCode {
    let mut lines: Vec<Line> = CI.iter().map(|step| run(root, *step)).collect();
    let counts = counts_of(&lines);
    let started = Instant::now();
    let kept = counts::remember(root, Kind::Ci, &counts);
    let result = kept.and_then(|()| status::check(root, &counts));
    lines.push(Line { name: "status", result, took: started.elapsed() });
    close(&lines)
}

pub(crate) fn long(root: &Path) -> ExitCode {
    let mut lines: Vec<Line> = LONG.iter().map(|step| run(root, *step)).collect();
    let kept = counts::remember(root, Kind::ByHand, &counts_of(&lines));
    let result = kept.map(|()| Outcome::one("cargo xtask status writes them down"));
    lines.push(Line { name: "counts kept", result, took: Duration::ZERO });
    close(&lines)
}

fn run(root: &Path, (name, step): Step) -> Line {
    println!("\n=== {name}");
    let started = Instant::now();
    // An outcome with failures keeps its numbers for the sum; an empty one becomes an error.
    let result = step(root).and_then(|outcome| match outcome.failed {
        0 => outcome.settled(),
        _ => Ok(outcome),
    });
    if let Err(error) = &result {
        println!("FAILED: {error}");
    }
    Line { name, result, took: started.elapsed() }
}

/// The counts of the steps that passed.
fn counts_of(lines: &[Line]) -> Counts {
    let outcomes = lines.iter().filter_map(|line| line.result.as_ref().ok());
    outcomes
        .filter(|outcome| outcome.failed == 0)
        .flat_map(|outcome| &outcome.counts)
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

/// Prints the table and the closing line with the sums.
fn close(lines: &[Line]) -> ExitCode {
    print!("\n{}", table(lines));
    let (passed, failed) = sums(lines);
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn table(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { name, result, took } in lines {
        let (word, note) = match result {
            Ok(outcome) if outcome.failed == 0 => ("ok", outcome.note.as_str()),
            Ok(outcome) => ("FAILED", &*format!("{} failed: {}", outcome.failed, outcome.note)),
            Err(error) => ("FAILED", error.lines().next().unwrap_or_default()),
        };
        let seconds = took.as_secs_f64();
        text.push_str(&format!("{name:20} {word:6} {seconds:7.1} s  {note}\n"));
    }
    let total: f64 = lines.iter().map(|line| line.took.as_secs_f64()).sum();
    text.push_str(&format!("{:20} {:6} {total:7.1} s\n", "together", ""));
    text
}

/// The sums over all steps; a step that could not be run is one failure.
fn sums(lines: &[Line]) -> (u64, u64) {
    lines.iter().fold((0, 0), |(passed, failed), line| match &line.result {
        Ok(outcome) => (passed + outcome.passed, failed + outcome.failed),
        Err(_) => (passed, failed + 1),
    })
}

#[cfg(test)]
mod tests {
    //! The sum is of all steps, and nothing that failed is left out.

    use super::*;

    fn line(result: Result<Outcome, String>) -> Line {
        Line { name: "x", result, took: Duration::from_millis(1500) }
    }

    #[test]
    fn the_sums_hold_every_step_and_each_broken_one_as_a_failure() {
        let outcome = Outcome { passed: 7, failed: 2, ..Outcome::default() }.with("tests", 7);
        let lines = [line(Ok(outcome)), line(Err("broken".into())), line(Ok(Outcome::one("fine")))];
        assert_eq!(sums(&lines), (8, 3));
        assert!(counts_of(&lines).is_empty());
        let table = table(&lines);
        assert_eq!(table.matches("FAILED").count(), 2, "{table}");
        assert!(table.contains("1.5 s  broken"), "{table}");
        assert!(table.contains("4.5 s\n"), "{table}");
    }

    #[test]
    fn a_step_that_did_nothing_has_failed() {
        let nothing = run(Path::new("/"), ("nothing", |_| Ok(Outcome::default())));
        assert_eq!(sums(&[nothing]), (0, 1));
        let some = run(Path::new("/"), ("some", |_| Ok(Outcome { failed: 3, ..Outcome::one("") })));
        assert_eq!(sums(&[some]), (1, 3));
    }
}
