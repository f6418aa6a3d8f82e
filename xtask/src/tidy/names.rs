//! A test's name says what is true when it passes.

use crate::tidy::{Report, Tree};

/// The fewest words that make a sentence.
const WORDS_MIN: usize = 3;

pub(super) fn tests_are_sentences(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        let mut is_test = false;
        for (index, line) in file.code.lines().enumerate() {
            let line = line.trim();
            if line == "#[test]" {
                is_test = true;
                continue;
            }
            let Some(rest) = line.strip_prefix("fn ") else { continue };
            if std::mem::take(&mut is_test) {
                report.looked += 1;
                let name = rest.split(['(', '<']).next().expect("a split has a first part");
                if name.split('_').count() < WORDS_MIN {
                    let what = format!("{name}: name the test with a sentence");
                    report.find(&file.path, index + 1, what);
                }
            }
        }
    }
    report
}
