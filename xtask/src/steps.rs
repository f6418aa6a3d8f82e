//! The steps, each a call of a tool and a reading of what it did.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::counts::{closing_line, number_after, number_before, scratch, test_sums};
use crate::outcome::Outcome;
use crate::readme::SERVED_AT;
use crate::run::Run;

pub(crate) const TESTS: &str = "tests";
pub(crate) const SEEDS: &str = "simulated seeds";
pub(crate) const PLANTS: &str = "planted bugs found";
pub(crate) const ROUNDS: &str = "kill -9 rounds";
pub(crate) const ACKNOWLEDGED: &str = "acknowledged writes under kill -9";
pub(crate) const CUTS: &str = "power cuts";
pub(crate) const CLIENTS: &str = "client checks";
pub(crate) const CONFORMANCE: &str = "tests of the Valkey suite passed";
pub(crate) const COMPARED: &str = "commands compared with Valkey";

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn format(root: &Path) -> Result<Outcome, String> {
    cargo(root, &["fmt", "--all", "--check"]).run()?.succeeded()?;
    Ok(Outcome::one("rustfmt has nothing to change"))
}

pub(crate) fn clippy(root: &Path) -> Result<Outcome, String> {
    // What is planted for the simulator is behind a feature, and is code like any other.
    for features in [&[][..], &["--all-features"]] {
        let words = [&["clippy", "--locked", "--workspace", "--all-targets"], features].concat();
        let words = [&words[..], &["--", "-D", "warnings"]].concat();
        cargo(root, &words).run()?.succeeded()?;
    }
    Ok(Outcome::one("clippy has no warning"))
}

pub(crate) fn tidy(root: &Path) -> Result<Outcome, String> {
    let looked = crate::tidy::tidy(root)?;
    Ok(Outcome::one(format!("{looked} things looked at")))
}

pub(crate) fn documents(root: &Path) -> Result<Outcome, String> {
    let words = ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"];
    cargo(root, &words).env("RUSTDOCFLAGS", "-D warnings").run()?.succeeded()?;
    Ok(Outcome::one("rustdoc has no warning"))
}

/// Bans, licences and sources. Advisories come from elsewhere and are not fetched.
pub(crate) fn deny(root: &Path) -> Result<Outcome, String> {
    let words = ["deny", "--locked", "check", "bans", "licenses", "sources"];
    let ran = cargo(root, &words).run()?.succeeded().map_err(|error| {
        format!("{error}\n(cargo install cargo-deny --locked --version 0.20.2)")
    })?;
    // It calls a graph that it could not read in order, and says so only here.
    if let Some(line) = ran.text.lines().find(|line| line.contains("[ERROR]")) {
        return Err(format!("cargo deny: {line}"));
    }
    for check in ["bans ok", "licenses ok", "sources ok"] {
        if !ran.text.contains(check) {
            return Err(format!("cargo deny did not say `{check}`"));
        }
    }
    // With no licence allowed every crate must be refused, or none was looked at.
    let strict = scratch(root).join("deny-nothing.toml");
    fs::create_dir_all(scratch(root))
        .and_then(|()| fs::write(&strict, "[licenses]\nallow = []\n"))
        .map_err(|error| format!("{}: {error}", strict.display()))?;
    let strict = strict.to_str().ok_or("the target directory's name is not text")?;
    let words = ["deny", "--locked", "--config", strict, "check", "licenses"];
    if !cargo(root, &words).quietly().run()?.text.contains("licenses FAILED") {
        return Err("cargo deny allows a crate whose licence is not allowed".to_owned());
    }
    Ok(Outcome { passed: 3, note: "bans, licences, sources".to_owned(), ..Outcome::default() })
}

/// The README's own command.
pub(crate) fn tests(root: &Path) -> Result<Outcome, String> {
    let readme = fs::read_to_string(root.join("README.md"))
        .map_err(|error| format!("README.md: {error}"))?;
    let commands = crate::tidy::set_up_commands(&readme);
    let command = commands.iter().find(|command| command.starts_with("cargo test"));
    let command = command.ok_or("the README has no test command")?;
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let ran = cargo(root, &words).run()?;
    let (passed, failed) = test_sums(&ran.text);
    if let (Some(failure), 0) = (ran.failure(), failed) {
        return Err(failure); // It did not build, or a test ended the process.
    }
    let note = format!("`{command}`");
    Ok(Outcome { passed, failed, note, ..Outcome::default() }.with(TESTS, passed))
}

pub(crate) fn sim(root: &Path, seeds: u64) -> Result<Outcome, String> {
    let jobs = thread::available_parallelism().map_or(1, |cores| cores.get()).to_string();
    let count = seeds.to_string();
    let mut words = vec!["run", "--locked", "--release", "-p", "sim", "--", "run"];
    words.extend(["--seeds", &count, "--jobs", &jobs]);
    let ran = cargo(root, &words).within(MINUTE * 170).run()?.succeeded()?;
    let done = number_before(&ran.text, " seeds, ").ok_or("the simulator named no seeds")?;
    if done < seeds {
        return Err(format!("{seeds} seeds were asked for and {done} run"));
    }
    Ok(Outcome::one(format!("{done} seeds without a finding")).with(SEEDS, done))
}

/// Each bug that is planted must be found, or the simulator finds nothing.
pub(crate) fn plants(root: &Path) -> Result<Outcome, String> {
    let words =
        ["run", "--locked", "--release", "-p", "sim", "--features", "planted", "--", "plants"];
    let ran = cargo(root, &words).run()?;
    let (found, missed) = plants_of(&ran.text);
    if let (Some(failure), 0) = (ran.failure(), missed) {
        return Err(failure);
    }
    let note = format!("{found} of {} planted bugs found", found + missed);
    let outcome = Outcome { passed: found, failed: missed, note, ..Outcome::default() };
    Ok(outcome.with(PLANTS, found))
}

/// The planted bugs found and missed: the simulator prints a line for each.
fn plants_of(text: &str) -> (u64, u64) {
    let count = |words| text.lines().filter(|line| line.contains(words)).count() as u64;
    (count(" found: "), count(" NOT FOUND in "))
}

pub(crate) fn sim_and_plants(root: &Path, seeds: u64) -> Result<Outcome, String> {
    let plants = plants(root)?.settled()?;
    let mut outcome = sim(root, seeds)?.settled()?;
    outcome.note = format!("{}; {}", outcome.note, plants.note);
    outcome.counts.extend(plants.counts);
    outcome.passed += plants.passed;
    Ok(outcome)
}

pub(crate) fn durability(root: &Path, rounds: u64) -> Result<Outcome, String> {
    let words = ["test", "--locked", "--release", "--test", "kill9", "--", "--nocapture"];
    let ran = cargo(root, &words)
        .env("TOROID_ROUNDS", rounds.to_string())
        .within(MINUTE * 60)
        .run()?
        .succeeded()?;
    let (passed, failed) = test_sums(&ran.text);
    let count = |words| number_before(&ran.text, words);
    let done = count(" rounds and").ok_or("the test named no number of rounds")?;
    let acked = count(" acknowledged writes").ok_or("the test named no acknowledged writes")?;
    if done < rounds {
        return Err(format!("{rounds} rounds were asked for and {done} run"));
    }
    let note = format!("{done} kills, {acked} acknowledged writes, none lost");
    let outcome = Outcome { passed, failed, note, ..Outcome::default() };
    Ok(outcome.with(ROUNDS, done).with(ACKNOWLEDGED, acked))
}

pub(crate) fn powercut(root: &Path, cuts: u64) -> Result<Outcome, String> {
    let planted = build_planted(root)?;
    let planted = planted.to_str().ok_or("the target directory's name is not text")?;
    let cuts_text = cuts.to_string();
    let text = rig(root, "powercut", &["--cuts", &cuts_text, "--planted", planted])?;
    let done = number_after(&text, "\ncuts").ok_or("the rig named no number of cuts")?;
    if done < cuts {
        return Err(format!("{cuts} cuts were asked for and {done} made"));
    }
    Ok(Outcome::one(format!("{done} power cuts, nothing missing")).with(CUTS, done))
}

/// The other rigs: each is one check.
pub(crate) fn rigs(root: &Path) -> Result<Outcome, String> {
    const RIGS: &[&str] = &["order", "slowdisk", "failstop", "failsnapshot", "fulldisk", "crowd"];
    for name in RIGS {
        rig(root, name, &[])?;
    }
    let passed = RIGS.len() as u64;
    Ok(Outcome { passed, note: RIGS.join(", "), ..Outcome::default() })
}

/// Runs one rig; a rig that cannot run here ends with a status of its own, which is a failure.
fn rig(root: &Path, name: &str, more: &[&str]) -> Result<String, String> {
    build_release(root)?;
    let (script, binary) = (format!("tests/rigs/{name}.py"), binary(root));
    let binary = binary.to_str().ok_or("the target directory's name is not text")?;
    let words = [&[script.as_str(), "--toroid", binary], more].concat();
    Ok(Run::new("python3", &words, root).within(MINUTE * 60).run()?.succeeded()?.text)
}

/// Other people's clients, then their queues and caches, which PyPI and npm bring.
pub(crate) fn clients(root: &Path) -> Result<Outcome, String> {
    let (mut outcome, _) = script(root, "tests/clients.py", &[])?;
    let (libraries, _) = script(root, "tests/libraries.py", &[])?;
    outcome.passed += libraries.passed;
    outcome.failed += libraries.failed;
    outcome.note = format!("{}; {}", outcome.note, libraries.note);
    let passed = outcome.passed;
    Ok(outcome.with(CLIENTS, passed))
}

/// The Valkey suite against the counts that are recorded; needs Debian's mirror for the suite.
pub(crate) fn conformance(root: &Path) -> Result<Outcome, String> {
    suite(root, "--quick")
}

/// The same against stock Valkey on one core and on two; writes docs/conformance.md.
pub(crate) fn conformance_full(root: &Path) -> Result<Outcome, String> {
    suite(root, "--full")
}

fn suite(root: &Path, mode: &str) -> Result<Outcome, String> {
    let (outcome, _) = script(root, "tests/conformance.py", &[mode])?;
    let passed = outcome.passed;
    Ok(outcome.with(CONFORMANCE, passed))
}

/// Random commands to this server and to Valkey, after the canary. Without a seed chance chooses
/// one: a push is judged by commands that are the same each time.
pub(crate) fn differential(
    root: &Path,
    commands: u64,
    seed: Option<u64>,
) -> Result<Outcome, String> {
    let (count, seed) = (commands.to_string(), seed.map(|seed| seed.to_string()));
    let mut words = vec!["--commands", &count];
    if let Some(seed) = &seed {
        words.extend(["--seed", seed]);
    }
    let (outcome, text) = script(root, "tests/differential.py", &words)?;
    let compared = number_before(&text, " commands compared in ");
    let compared = compared.ok_or("the script named no number of commands")?;
    if outcome.failed == 0 && compared < commands {
        return Err(format!("{commands} commands were asked for and {compared} compared"));
    }
    // The last round goes over the number asked for by a part that chance decides.
    Ok(outcome.with(COMPARED, commands))
}

/// A script that closes with `N passed, N failed`; with what it said.
fn script(root: &Path, path: &str, words: &[&str]) -> Result<(Outcome, String), String> {
    if !root.join(path).is_file() {
        return Err(format!("{path} is missing"));
    }
    build_release(root)?;
    let words = [&[path], words].concat();
    let ran = Run::new("python3", &words, root).env("TOROID_BIN", binary(root)).run()?;
    let sums = closing_line(&ran.text);
    let Some((passed, failed)) = sums else {
        return Err(ran.failure().unwrap_or_else(|| format!("{path} closed without its sums")));
    };
    if let (Some(failure), 0) = (ran.failure(), failed) {
        return Err(failure);
    }
    let note = words.join(" ");
    Ok((Outcome { passed, failed, note, ..Outcome::default() }, ran.text))
}

/// Verifies every log that earlier steps left behind.
pub(crate) fn verify_logs(root: &Path) -> Result<Outcome, String> {
    build_release(root)?;
    let target = scratch(root);
    let target = target.parent().expect("the scratch directory is below the target directory");
    let mut logs = Vec::new();
    for below in [target.join("xtask"), target.join("tmp"), root.join(SERVED_AT)] {
        find_logs(&below, &mut logs);
    }
    logs.sort();
    logs.dedup();
    let binary = binary(root);
    let binary = binary.to_str().ok_or("the target directory's name is not text")?;
    for log in &logs {
        let log = log.to_str().ok_or("a log directory's name is not text")?;
        Run::new(binary, &["wal", "verify", log], root).run()?.succeeded()?;
    }
    let note = format!("{} logs verified", logs.len());
    Ok(Outcome { passed: logs.len() as u64, note, ..Outcome::default() })
}

/// The data directories below `at`: those above a directory with segments.
fn find_logs(at: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(at) else { return };
    let mut is_log = false;
    for entry in entries.filter_map(Result::ok) {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find_logs(&entry.path(), found),
            _ => is_log |= entry.path().extension().is_some_and(|ending| ending == "segment"),
        }
    }
    if let (true, Some(data)) = (is_log, at.parent()) {
        // One data directory holds the log of every core.
        if found.last().is_none_or(|last| last != data) {
            found.push(data.to_owned());
        }
    }
}

pub(crate) fn build_release(root: &Path) -> Result<(), String> {
    cargo(root, &["build", "--locked", "--release", "--bin", "toroid"]).run()?.succeeded()?;
    Ok(())
}

/// Builds the server whose bugs a rig must find, apart from the sound one.
fn build_planted(root: &Path) -> Result<PathBuf, String> {
    let target = scratch(root).with_file_name("planted");
    let apart = target.to_str().ok_or("the target directory's name is not text")?;
    let mut words = vec!["build", "--locked", "--release", "--bin", "toroid"];
    words.extend(["--features", "planted", "--target-dir", apart]);
    cargo(root, &words).run()?.succeeded()?;
    Ok(target.join("release").join("toroid"))
}

pub(crate) fn binary(root: &Path) -> PathBuf {
    scratch(root).with_file_name("release").join("toroid")
}

pub(crate) fn cargo(root: &Path, words: &[&str]) -> Run {
    Run::new("cargo", words, root)
}

#[cfg(test)]
mod tests {
    //! What the tools print is read as they print it.

    use super::*;

    #[test]
    fn the_plants_are_counted_by_their_lines() {
        let text = "ack_early    found: seed 3: lost\nvote_twice   NOT FOUND in 500 seeds\n\
                    leak_read    found: seed 9: stale\n";
        assert_eq!(plants_of(text), (2, 1));
        assert_eq!(plants_of("nothing to plant\n"), (0, 0));
    }

    #[test]
    fn a_script_that_is_missing_is_an_error() {
        let error = script(Path::new("/"), "tests/no-such-script.py", &[]);
        assert_eq!(error, Err("tests/no-such-script.py is missing".to_owned()));
    }

    #[test]
    fn logs_are_found_by_their_segments() {
        let at = std::env::temp_dir().join(format!("xtask-logs-{}", std::process::id()));
        let data = at.join("a/data");
        fs::create_dir_all(at.join("b")).expect("the temporary directory can be written");
        for log in ["log-00", "log-01"] {
            fs::create_dir_all(data.join(log)).expect("the temporary directory can be written");
            let segment = data.join(log).join("00000001.segment");
            fs::write(segment, "").expect("the directory was made");
        }
        let mut found = Vec::new();
        find_logs(&at, &mut found);
        fs::remove_dir_all(&at).expect("the directory was made");
        assert_eq!(found, [data]);
    }
}
