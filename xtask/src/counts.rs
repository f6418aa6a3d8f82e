//! Numbers read from what programs print, and kept from run to run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Counts by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Which run the counts are of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Ci,
    ByHand,
}

/// The sums of every `test result:` line that cargo's tests print: passed, failed.
pub(crate) fn test_sums(text: &str) -> (u64, u64) {
    let results = text.lines().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, failed), line| {
        let count = |word| number_before(line, word).unwrap_or(0);
        (passed + count("passed"), failed + count("failed"))
    })
}

/// The last `N passed, N failed` line: the closing line of this project's scripts.
pub(crate) fn closing_line(text: &str) -> Option<(u64, u64)> {
    text.lines().rev().find_map(|line| {
        let (passed, failed) = line.trim().split_once(" passed, ")?;
        let passed = passed.split_whitespace().last()?;
        let failed = failed.strip_suffix(" failed")?;
        Some((passed.parse().ok()?, failed.parse().ok()?))
    })
}

/// The last number that stands right before `words`.
pub(crate) fn number_before(text: &str, words: &str) -> Option<u64> {
    text.rmatch_indices(words).find_map(|(at, _)| {
        let number = text[..at].trim_end().rsplit(|c: char| !c.is_ascii_digit()).next()?;
        number.parse().ok()
    })
}

/// The last number that stands right after `words`.
pub(crate) fn number_after(text: &str, words: &str) -> Option<u64> {
    text.rmatch_indices(words).find_map(|(at, _)| {
        let rest = text[at + words.len()..].trim_start();
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}

/// Where this program keeps what it may lose: inside cargo's own target directory.
pub(crate) fn scratch(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| root.join("target"), |target| root.join(target)).join("xtask")
}

/// The counts of the last run of a kind; empty if there was none here.
pub(crate) fn recall(root: &Path, kind: Kind) -> Counts {
    let text = fs::read_to_string(file(root, kind)).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, count) = line.split_once(" = ")?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect()
}

/// Keeps counts for `cargo xtask status`, beside those of other names.
pub(crate) fn remember(root: &Path, kind: Kind, counts: &Counts) -> Result<(), String> {
    let mut all = recall(root, kind);
    all.extend(counts.clone());
    let text: String = all.iter().map(|(name, count)| format!("{name} = {count}\n")).collect();
    let path = file(root, kind);
    let parent = path.parent().expect("the file is in a directory");
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Keeps the counts of a step that was started alone.
pub(crate) fn remember_by_hand(root: &Path, counts: &[(&str, u64)]) -> Result<(), String> {
    let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    remember(root, Kind::ByHand, &counts)
}

fn file(root: &Path, kind: Kind) -> PathBuf {
    scratch(root).join(match kind {
        Kind::Ci => "counts-ci",
        Kind::ByHand => "counts-by-hand",
    })
}

#[cfg(test)]
mod tests {
    //! Numbers are found where they are, and nowhere else.

    use super::*;

    #[test]
    fn the_sums_of_all_test_programs_are_added() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored\n\
                    test result: FAILED. 10 passed; 2 failed; 0 ignored\nnot: 7 passed; 7 failed\n";
        assert_eq!(test_sums(text), (13, 2));
        assert_eq!(test_sums("no tests"), (0, 0));
    }

    #[test]
    fn the_last_closing_line_counts_and_prose_does_not() {
        assert_eq!(
            closing_line("1 passed, 1 failed\nx\nclients: 12 passed, 0 failed\n"),
            Some((12, 0))
        );
        assert_eq!(closing_line("12 passed, 0 failed, or so\n"), None);
        assert_eq!(closing_line(""), None);
    }

    #[test]
    fn a_number_is_read_before_and_after_its_words() {
        let text = "a: 10 rounds\nkill9: 200 rounds and 7 kills; cuts 50, writes 12345\n";
        assert_eq!(number_before(text, "rounds"), Some(200));
        assert_eq!(number_before(text, "kills"), Some(7));
        assert_eq!(number_before(text, "writes"), None);
        assert_eq!(number_after(text, "cuts"), Some(50));
        assert_eq!(number_after(text, "writes"), Some(12345));
        assert_eq!(number_after(text, "absent"), None);
    }
}
