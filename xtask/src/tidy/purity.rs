//! Pure crates may not name what does I/O, reads a clock, draws chance, waits or locks.
//!
//! Clippy's `disallowed-methods` says the same of calls; this reads paths, so that a type, an
//! import or a function that nobody listed is seen too. It is a reader of text, not a compiler: a
//! macro could hide from it.

use crate::tidy::arrows::is_pure;
use crate::tidy::{Report, Tree};

/// Parts of `std` no pure crate may name; a path that begins so is refused.
const FORBIDDEN: &[&[&str]] = &[
    &["env"],
    &["fs"],
    &["hash", "RandomState"],
    &["io", "Stdin"],
    &["io", "copy"],
    &["io", "stderr"],
    &["io", "stdin"],
    &["io", "stdout"],
    &["os"],
    &["process"],
    &["sync", "Barrier"],
    &["sync", "Condvar"],
    &["sync", "Mutex"],
    &["sync", "RwLock"],
    &["sync", "atomic"],
    &["sync", "mpsc"],
    &["thread"],
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["time", "UNIX_EPOCH"],
];

/// Modules of which only these parts are plain values; the module itself may not be imported
/// whole, because what is then used of it cannot be seen.
const ONLY: &[(&str, &[&str])] = &[
    (
        "net",
        &[
            "AddrParseError",
            "IpAddr",
            "Ipv4Addr",
            "Ipv6Addr",
            "SocketAddr",
            "SocketAddrV4",
            "SocketAddrV6",
        ],
    ),
    ("time", &["Duration"]),
];

/// Words of code that mean the same as a forbidden path.
const WORDS: &[&str] = &["async", "await", "thread_rng", "tokio"];

/// Macros that do I/O. The simulator may print the trace of a seed: nothing reads it back.
const MACROS: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

pub(super) fn purity(tree: &Tree) -> Report {
    let mut report = Report::default();
    for file in tree.rust() {
        // The command line of the simulator is the one impure file of a pure crate. Tests outside
        // of `src` are programs of their own and may read their golden files.
        let library = file.path.split('/').nth(1) == Some("src");
        let command_line = file.path == "sim/src/main.rs" || file.path.starts_with("sim/src/bin/");
        if !is_pure(file.krate()) || !library || command_line {
            continue;
        }
        report.looked += 1;
        for (line, path) in std_paths(&file.code) {
            if is_forbidden(&path) {
                let what = format!("std::{} in a pure crate", path.join("::"));
                report.find(&file.path, line, what);
            }
        }
        let tokens = tokens(&file.code);
        for (index, (line, word)) in tokens.iter().enumerate() {
            let called = tokens.get(index + 1).is_some_and(|(_, next)| *next == "!");
            let prints = called && MACROS.contains(word) && file.krate() != "sim";
            if WORDS.contains(word) || prints {
                report.find(&file.path, *line, format!("`{word}` in a pure crate"));
            }
        }
    }
    report
}

fn is_forbidden(path: &[&str]) -> bool {
    let Some((module, rest)) = path.split_first() else {
        return true; // `use std as x`, `use std::*`: nothing can be seen.
    };
    let named = FORBIDDEN.iter().any(|forbidden| path.starts_with(forbidden));
    let only = ONLY.iter().find(|(only, _)| only == module);
    let outside = only.is_some_and(|(_, parts)| !rest.first().is_some_and(|p| parts.contains(p)));
    // `use std::sync;` or `use std::io::*;` hides what is used of a module of which a part is
    // forbidden.
    let whole = (path.len() == 1 && matches!(*module, "sync" | "time" | "net"))
        || path.last() == Some(&"*");
    named || outside || whole
}

/// Every path below `std`, `core` excepted, with its line: `use` trees are spread out.
fn std_paths(code: &str) -> Vec<(usize, Vec<&str>)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (index, (line, token)) in tokens.iter().enumerate() {
        let inside_a_path = 0 < index && tokens[index - 1].1 == "::" && {
            // `::std::fs` is a path of std; `our::std::fs` is not.
            1 < index
                && tokens[index - 2].1.starts_with(|c: char| c.is_alphanumeric())
                && tokens[index - 2].1 != "use"
        };
        if *token != "std" || inside_a_path {
            continue;
        }
        match tokens.get(index + 1).map(|(_, token)| *token) {
            Some("::") => {
                let mut prefix = Vec::new();
                spread(&tokens, index + 2, &mut prefix, &mut found);
            }
            Some("as") => found.push((*line, Vec::new())),
            _ => {}
        }
    }
    found
}

/// Reads one path or use tree at `at`, adds its leaves, returns the place after it.
fn spread<'a>(
    tokens: &[(usize, &'a str)],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    found: &mut Vec<(usize, Vec<&'a str>)>,
) -> usize {
    let depth = prefix.len();
    let mut line = 0;
    while let Some((here, token)) = tokens.get(at) {
        line = *here;
        match *token {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| *token != "}") {
                    let before = at;
                    at = spread(tokens, at, prefix, found);
                    if tokens.get(at).is_some_and(|(_, token)| *token == ",") {
                        at += 1;
                    }
                    // What cannot be read is stepped over, never looped on.
                    at = at.max(before + 1);
                }
                prefix.truncate(depth);
                return at + 1;
            }
            // `{self}` is the module itself.
            "self" => at += 1,
            "*" => {
                prefix.push("*");
                at += 1;
            }
            word if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                prefix.push(word);
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at).is_none_or(|(_, token)| *token != "::") {
            break;
        }
        at += 1;
    }
    found.push((line, prefix.clone()));
    prefix.truncate(depth);
    // A new name for the leaf.
    if tokens.get(at).is_some_and(|(_, token)| *token == "as") {
        at += 2;
    }
    at
}

/// Words, `::` and single signs, with their lines.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let size = if is_word(first) {
                rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((index + 1, &rest[..size]));
            rest = rest[size..].trim_start();
        }
    }
    tokens
}
