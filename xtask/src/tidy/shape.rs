//! How long, and how begun: the outside of files.

use crate::tidy::{Report, Tree};

const BASE_LINES_MAX: usize = 600;
const FILE_LINES_MAX: usize = 900;
const LINE_SIZE_MAX: usize = 120;

pub(super) fn base_size(tree: &Tree) -> Report {
    let looked = tree.rust().filter(|file| file.path.starts_with("base/src/")).count();
    let mut report = Report { looked, ..Report::default() };
    let lines = tree.lines_below("base/src");
    if BASE_LINES_MAX < lines {
        let what = format!("{lines} lines, more than {BASE_LINES_MAX}: it is not a place for code");
        report.find("base", 0, what);
    }
    report
}

pub(super) fn no_mod_rs(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        report.looked += 1;
        if file.path.ends_with("/mod.rs") {
            report.find(&file.path, 0, "name it after its directory");
        }
    }
    report
}

pub(super) fn file_size(tree: &Tree) -> Report {
    let mut report = Report::default();
    let code = [".rs", ".py", ".js", ".sh"];
    for file in tree.files().filter(|file| code.iter().any(|end| file.path.ends_with(end))) {
        report.looked += 1;
        let lines = file.text.lines().count();
        if FILE_LINES_MAX < lines {
            let what = format!("{lines} lines, more than {FILE_LINES_MAX}: is it still one idea?");
            report.find(&file.path, 0, what);
        }
    }
    report
}

pub(super) fn line_size(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        for (index, line) in file.text.lines().enumerate() {
            report.looked += 1;
            let size = line.chars().count();
            if LINE_SIZE_MAX < size {
                let what = format!("{size} characters, more than {LINE_SIZE_MAX}");
                report.find(&file.path, index + 1, what);
            }
        }
    }
    report
}

pub(super) fn header(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        report.looked += 1;
        if !file.text.starts_with("//!") {
            report.find(&file.path, 1, "begin with `//!` and what this file owns");
        }
    }
    report
}
