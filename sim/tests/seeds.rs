//! A fixed set of seeds, the promise that a seed is one history, and the list of marks.

#![expect(clippy::disallowed_methods, reason = "a test reads the sources it is about")]

use std::collections::BTreeSet;
use std::path::Path;

use sim::{CRASHES_MIN, MARKS, OPERATIONS_MIN, Planting, UNREACHED, VIRTUAL_US_MIN, run_seed};

/// Seen red with `wal` made to count a frame durable when it is submitted.
#[test]
fn twenty_seeds_find_nothing() {
    for seed in 0..20 {
        let outcome = run_seed(seed, Planting::default(), false);
        assert!(outcome.finding.is_none(), "{:?}", outcome.finding);
        let report = outcome.report;
        assert!(OPERATIONS_MIN <= report.operations, "seed {seed}");
        assert!(CRASHES_MIN <= report.crashes, "seed {seed}");
        assert!(VIRTUAL_US_MIN <= report.virtual_us, "seed {seed}");
    }
}

/// Seen red with std's randomly seeded hasher in the simulated disk's choice of what to tear.
#[test]
fn a_seed_is_one_history() {
    let run = |seed| {
        let outcome = run_seed(seed, Planting::default(), false);
        (outcome.trace_hash, outcome.report)
    };
    let runs: Vec<_> = (0..8).map(run).collect();
    for (seed, first) in (0..8).zip(&runs) {
        assert_eq!(*first, run(seed), "seed {seed}");
    }
    assert_ne!(runs[0].0, runs[1].0);
}

/// Seen red with a name taken out of the list.
#[test]
fn the_list_of_marks_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for crate_name in ["engine", "net", "node", "raft", "wal"] {
        collect(&root.join(crate_name).join("src"), &mut found);
    }
    let listed = MARKS.iter().copied().chain(UNREACHED.iter().map(|(name, _)| *name));
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(found, listed);
}

fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a crate has sources") {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source is text");
            for part in text.split("mark!(\"").skip(1) {
                let (name, _) = part.split_once('"').expect("a name ends");
                found.insert(name.to_owned());
            }
        }
    }
}
