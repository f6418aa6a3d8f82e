//! The checks of the project: `cargo xtask ci` runs what every push must pass.
//!
//! A step that is missing, fails, or did nothing has failed. The tools a step calls are written
//! elsewhere (the simulator, the tests of the binary, the scripts below `tests/`); here is only how
//! they are called and what their output must say.

#![forbid(unsafe_code)]

mod ci;
mod counts;
mod histories;
mod lint;
mod outcome;
mod readme;
mod run;
mod status;
mod steps;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::outcome::Outcome;

const USAGE: &str = "\
cargo xtask ci                    everything a push must pass
cargo xtask tidy                  the rules no compiler checks
cargo xtask lint                  proof that clippy refuses what a pure crate may not call
cargo xtask status [--check]      writes docs/STATUS.md from the last run of ci; or compares
cargo xtask sim [--seeds N]       the simulator, 10000 seeds by default, and its planted bugs
cargo xtask durability [--rounds N]   kill -9 under load, 200 rounds by default
cargo xtask histories [--count N] what clients were answered, judged; 30 histories by default
cargo xtask powercut [--cuts N]   cuts on a disk that loses what was not flushed, 50 by default
cargo xtask rigs                  order of flush and reply; slow, failing and full disks
cargo xtask clients               real clients against the server
cargo xtask conformance [--full]  the Valkey suite: no less than recorded; or records it anew
cargo xtask differential [--commands N]   random commands, compared with Valkey, 200000 by default
cargo xtask fresh                 the README's commands in a fresh clone with nothing inherited
cargo xtask long                  all of these at full length, before an issue closes
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let number = |option: &str, default: u64| match &words[1..] {
        [] => Ok(default),
        [name, value] if *name == option => {
            value.parse().map_err(|_| format!("{option} {value}: not a number"))
        }
        rest => Err(format!("unexpected: {}", rest.join(" "))),
    };
    let result = match words.split_first() {
        Some((&"ci", [])) => return ci::ci(&root),
        Some((&"long", [])) => return ci::long(&root),
        Some((&"tidy", [])) => steps::tidy(&root),
        Some((&"lint", [])) => lint::clippy_plants(&root),
        Some((&"status", [])) => status::write(&root),
        Some((&"status", ["--check"])) => status::check_last(&root),
        Some((&"sim", _)) => {
            number("--seeds", ci::SEEDS_LONG).and_then(|n| steps::sim_and_plants(&root, n))
        }
        Some((&"durability", _)) => {
            number("--rounds", ci::ROUNDS_LONG).and_then(|n| steps::durability(&root, n))
        }
        Some((&"histories", _)) => {
            number("--count", ci::HISTORIES_LONG).and_then(|n| histories::histories(&root, n))
        }
        Some((&"powercut", _)) => {
            number("--cuts", ci::CUTS_LONG).and_then(|n| steps::powercut(&root, n))
        }
        Some((&"rigs", [])) => steps::rigs(&root),
        Some((&"clients", [])) => steps::clients(&root),
        Some((&"conformance", [])) => steps::conformance(&root),
        Some((&"conformance", ["--full"])) => steps::conformance_full(&root),
        Some((&"differential", _)) => number("--commands", ci::COMMANDS_LONG)
            .and_then(|n| steps::differential(&root, n, None)),
        Some((&"fresh", [])) => readme::fresh(&root),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    end(result.and_then(Outcome::settled).and_then(|outcome| {
        counts::remember_by_hand(&root, &outcome.counts)?;
        Ok(outcome)
    }))
}

fn end(result: Result<Outcome, String>) -> ExitCode {
    match result {
        Ok(outcome) => {
            println!("ok: {}", outcome.note);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the checkout: the directory above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("this crate is a directory of the workspace").to_owned()
}
