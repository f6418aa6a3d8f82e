//! Every rule refuses what it is for, lets the like pass, and the tree itself is tidy.

use super::*;
use crate::root;

/// The findings of one rule, as `path:line`.
fn places(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    let report = rule(&Tree::of(files));
    assert_ne!(report.looked, 0, "the rule looked at nothing");
    report.findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}

#[track_caller]
fn refuses(rule: Rule, path: &str, bad: &str) {
    assert_ne!(places(rule, &[(path, bad)]), Vec::<String>::new(), "{bad}");
}

#[track_caller]
fn passes(rule: Rule, path: &str, good: &str) {
    assert_eq!(places(rule, &[(path, good)]), Vec::<String>::new(), "{good}");
}

#[test]
fn the_tree_is_tidy() {
    match tidy(&root()) {
        Ok(looked) => assert_ne!(looked, 0),
        Err(wrong) => panic!("the tree is not tidy:\n{wrong}"),
    }
}

#[test]
fn a_rule_that_finds_nothing_to_look_at_fails() {
    let empty = std::env::temp_dir().join(format!("xtask-empty-{}", std::process::id()));
    std::fs::create_dir_all(&empty).expect("the temporary directory can be written");
    let wrong = tidy(&empty).expect_err("there is nothing to look at");
    std::fs::remove_dir(&empty).expect("nothing was put there");
    assert_eq!(wrong.lines().count(), RULES.len(), "{wrong}");
}

#[test]
fn an_arrow_that_points_up_or_aside_is_refused_in_every_spelling() {
    for (path, manifest) in [
        ("engine/Cargo.toml", "[dependencies]\nwal.workspace = true\n"),
        ("engine/Cargo.toml", "[dependencies]\nbase = { path = \"../base\" }\nnode = \"1\"\n"),
        ("engine/Cargo.toml", "[dev-dependencies]\nnode = { workspace = true }\n"),
        ("wal/Cargo.toml", "[build-dependencies]\nruntime.workspace = true\n"),
        ("wal/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nruntime.workspace = true\n"),
        ("wal/Cargo.toml", "[dependencies.engine]\nworkspace = true\n"),
        ("net/Cargo.toml", "[dependencies]\nother = { package = \"node\", path = \"../node\" }\n"),
        ("base/Cargo.toml", "[dependencies]\nraft.workspace = true\n"),
        ("runtime/Cargo.toml", "[dependencies]\nnode.workspace = true\n"),
        ("rest/Cargo.toml", "[dependencies]\nbase.workspace = true\n"),
    ] {
        // The crate that nobody knows has no arrows to look at, so a known one stands beside it.
        let beside = ("xtask/Cargo.toml", "[dependencies]\nserde = \"1\"\n");
        let found = places(arrows::arrows, &[(path, manifest), beside]);
        assert_eq!(found.len(), 1, "{manifest}: {found:?}");
        assert!(found[0].starts_with(path), "{found:?}");
    }
    let good = "[workspace.dependencies]\nnode = { path = \"node\" }\n\
                [dependencies]\nbase.workspace = true\ncrc32fast.workspace = true\n\
                [lints]\nworkspace = true\n";
    passes(arrows::arrows, "wal/Cargo.toml", good);
}

#[test]
fn a_crate_of_the_table_that_is_gone_is_noticed() {
    let root = ("Cargo.toml", "[dependencies]\nnode.workspace = true\n");
    let missing = places(arrows::arrows, &[root]);
    assert_eq!(missing.len(), CRATES.len() - 1, "all but the binary's own: {missing:?}");
}

#[test]
fn a_pure_crate_with_an_impure_dependency_is_refused() {
    let manifest = "[dependencies]\nrustix.workspace = true\n";
    refuses(arrows::pure_dependencies, "wal/Cargo.toml", manifest);
    let both = [("runtime/Cargo.toml", manifest), ("wal/Cargo.toml", "[dependencies]\n")];
    assert_eq!(places(arrows::pure_dependencies, &both), Vec::<String>::new());
}

#[test]
fn a_crate_without_the_lints_of_the_workspace_is_refused() {
    refuses(arrows::lints, "wal/Cargo.toml", "[lints.rust]\nworkspace = true\n");
    passes(arrows::lints, "wal/Cargo.toml", "[lints]\nworkspace = true\n");
}

#[test]
fn a_pure_crate_without_its_clippy_settings_is_refused() {
    let settings = "disallowed-methods = []\n";
    let mut paths: Vec<String> = Vec::new();
    for krate in CRATES.iter().filter(|krate| krate.kind == arrows::Kind::Pure) {
        paths.push(format!("{}/clippy.toml", krate.name));
    }
    let mut files = vec![("pure.clippy.toml", settings)];
    files.extend(paths.iter().map(|path| (path.as_str(), settings)));
    assert_eq!(places(arrows::clippy_links, &files), Vec::<String>::new());
    let last = files.len() - 1;
    files[last].1 = "";
    assert_eq!(places(arrows::clippy_links, &files), [format!("{}:0", files[last].0)]);
    files.pop();
    assert_eq!(places(arrows::clippy_links, &files).len(), 1);
}

#[test]
fn a_crate_that_does_not_forbid_unsafe_code_is_refused() {
    refuses(arrows::unsafe_code, "wal/src/lib.rs", "//! x\n// #![forbid(unsafe_code)]\n");
    refuses(arrows::unsafe_code, "src/main.rs", "//! x\n");
    passes(arrows::unsafe_code, "wal/src/lib.rs", "//! x\n#![forbid(unsafe_code)]\n");
    let runtime = ("runtime/src/lib.rs", "//! x\n");
    let wal = ("wal/src/lib.rs", "#![forbid(unsafe_code)]");
    assert_eq!(places(arrows::unsafe_code, &[runtime, wal]), Vec::<String>::new());
}

#[test]
fn whatever_is_impure_is_refused_in_a_pure_crate() {
    for bad in [
        "use std::fs;",
        "use std::fs::File;",
        "use std::{fmt, fs};",
        "use std::{fmt, net::{IpAddr, TcpStream}};",
        "use std::{\n    io::{self, Write},\n    time::{\n        Duration, Instant,\n    },\n};",
        "use std::net::TcpListener;",
        "use std::net::{self, SocketAddr};",
        "use std::net::*;",
        "use std::time;",
        "use std::time::SystemTime as Clock;",
        "use std as anything;",
        "use ::std::thread;",
        "fn f() { ::std::env::var(name); }",
        "fn f() { let t = std::time::Instant::now(); }",
        "fn f() { std::thread::sleep(d) }",
        "fn f() { std::process::exit(1) }",
        "static S: std::sync::Mutex<u8> = x;",
        "use std::sync::atomic::AtomicU64;",
        "use std::sync::{Arc, RwLock};",
        "fn f() { std::io::stdout().flush() }",
        "use std::os::unix::net::UnixStream;",
        "async fn f() {}",
        "fn f() { g().await }",
        "fn f() { tokio::spawn(g()) }",
        "fn f() { rand::thread_rng() }",
        "fn f() { println!(\"{x}\") }",
        "fn f() { dbg!(x) }",
    ] {
        refuses(purity::purity, "wal/src/frame.rs", bad);
    }
}

#[test]
fn plain_values_of_std_and_prose_pass_in_a_pure_crate() {
    for good in [
        "use std::net::{IpAddr, SocketAddr};",
        "use std::time::Duration;",
        "use std::{collections::VecDeque, fmt::{self, Write as _}, io};",
        "use std::sync::Arc;",
        "// std::fs is for the shell",
        "fn f() { log(\"std::fs::read, println!, async\") }",
        "fn f(fs: u8) { self.env.process(fs) }",
        "fn print() { print() }",
        "use crate::time::Instant;",
        "fn f() { our::std::fs::x() }",
    ] {
        passes(purity::purity, "wal/src/frame.rs", good);
    }
}

#[test]
fn the_impure_are_free_and_so_is_the_command_line_of_the_simulator() {
    let beside = ("sim/src/lib.rs", "//! x");
    for path in ["runtime/src/clock.rs", "sim/src/main.rs", "src/shell.rs", "wal/tests/golden.rs"] {
        let found = places(purity::purity, &[(path, "use std::fs;"), beside]);
        assert_eq!(found, Vec::<String>::new(), "{path}");
    }
    refuses(purity::purity, "sim/src/disk.rs", "use std::fs;");
}

#[test]
fn the_shapes_that_are_refused_are_refused() {
    refuses(shape::no_mod_rs, "wal/src/log/mod.rs", "//! x\n");
    refuses(shape::file_size, "wal/src/log.rs", &"x\n".repeat(901));
    passes(shape::file_size, "wal/src/log.rs", &"x\n".repeat(900));
    refuses(shape::file_size, "tests/clients.py", &"x\n".repeat(901));
    refuses(shape::line_size, "wal/src/log.rs", &"é".repeat(121));
    passes(shape::line_size, "wal/src/log.rs", &"é".repeat(120));
    refuses(shape::header, "wal/src/log.rs", "// x\n");
    refuses(shape::header, "wal/src/log.rs", "\n//! x\n");
    refuses(shape::base_size, "base/src/ids.rs", &"x\n".repeat(601));
    passes(shape::base_size, "base/src/ids.rs", &"x\n".repeat(600));
}

#[test]
fn the_words_that_may_not_stay_are_refused() {
    for word in ["TO\u{200b}DO", "FIX\u{200b}ME", "XX\u{200b}X"] {
        let word = word.replace('\u{200b}', "");
        refuses(words::unfinished, "docs/x.md", &format!("see {word}: later"));
        passes(words::unfinished, "docs/x.md", &format!("A{word}, {word}S"));
    }
    refuses(words::unfinished, "wal/src/log.rs", "fn f() { dbg!(x) }");
    refuses(words::unfinished, "wal/src/log.rs", "fn f() { todo!() }");
    refuses(words::weak_tests, "wal/src/log.rs", "#[test]\n#[ignore]\nfn f() {}");
    refuses(words::weak_tests, "wal/src/log.rs", "#[ignore = \"slow\"]\nfn f() {}");
    refuses(words::weak_tests, "wal/src/log.rs", "#[should_panic]\nfn f() {}");
    passes(words::weak_tests, "wal/src/log.rs", "// #[ignore] is refused");
    for place in [["/wo", "rk/x"], ["/tmp/", "toroid/x"], ["crates", ".io"], ["pypi", ".org"]] {
        refuses(words::places, "docs/x.md", &place.concat());
    }
    passes(words::places, "docs/x.md", "the work of a worker: network/x");
    refuses(words::globs, "wal/src/lib.rs", "pub use log::*;");
    refuses(words::globs, "wal/src/lib.rs", "pub use log::{Frame, kinds::*};");
    passes(words::globs, "wal/src/lib.rs", "use super::*;\npub use log::Log;");
}

#[test]
fn a_test_with_a_word_for_a_name_is_refused() {
    refuses(names::tests_are_sentences, "wal/src/log.rs", "#[test]\nfn it_works() {}");
    refuses(names::tests_are_sentences, "wal/src/log.rs", "#[test]\n// x\nfn test() {}");
    let good = "fn f() {}\n#[test]\nfn a_cut_log_keeps_its_records() {}\nfn g() {}";
    passes(names::tests_are_sentences, "wal/src/log.rs", good);
}

#[test]
fn a_readme_with_other_commands_than_its_two_is_refused() {
    let readme = |block: &str| format!("# Toroid\n\n```sh\n{block}```\n\n```sh\nredis-cli\n```\n");
    let good = readme("cargo run --release      # serves\ncargo test --workspace   # tests\n");
    passes(readme::two_commands, "README.md", &good);
    for bad in [
        "cargo run --release\n",
        "cargo run --release\nmake\ncargo test --workspace\n",
        "cargo run\ncargo test\n",
    ] {
        refuses(readme::two_commands, "README.md", &readme(bad));
    }
    refuses(readme::two_commands, "README.md", "# Toroid\n");
}
