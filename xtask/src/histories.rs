//! Histories recorded from the real binary, judged by the simulator's checkers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::counts::{number_before, scratch};
use crate::outcome::Outcome;
use crate::run::Run;
use crate::steps::{binary, build_release, cargo};

pub(crate) const HISTORIES: &str = "recorded histories";
pub(crate) const OPERATIONS: &str = "operations in recorded histories";

/// Records histories and judges each; then each again with a reply altered, which must be refused.
pub(crate) fn histories(root: &Path, count: u64) -> Result<Outcome, String> {
    build_release(root)?;
    cargo(root, &["build", "--locked", "--release", "-p", "sim"]).run()?.succeeded()?;
    let to = scratch(root).join("histories");
    if to.exists() {
        fs::remove_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    let words = ["test", "--locked", "--release", "--test", "histories", "--", "--nocapture"];
    cargo(root, &words)
        .env("TOROID_HISTORIES", count.to_string())
        .env("TOROID_HISTORIES_TO", &to)
        .within(Duration::from_secs(60 * 60))
        .run()?
        .succeeded()?;
    let (mut operations, mut refused) = (0, 0);
    for number in 0..count {
        let path = to.join(format!("{number}.history"));
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let said =
            check(root, &path)?.map_err(|finding| format!("{finding} (the file is kept)"))?;
        operations +=
            number_before(&said, " operations, ").ok_or("the check named no operations")?;
        for (what, altered) in altered(&text)? {
            let path = to.join(format!("{number}-{what}.history"));
            fs::write(&path, altered).map_err(|error| format!("{}: {error}", path.display()))?;
            if let Ok(said) = check(root, &path)? {
                return Err(format!("a history with an altered {what} was accepted: {said}"));
            }
            refused += 1;
        }
    }
    let note = format!(
        "{count} histories, {operations} operations, strictly serializable; {refused} altered ones \
         refused"
    );
    let outcome = Outcome { passed: count + refused, note, ..Outcome::default() };
    Ok(outcome.with(HISTORIES, count).with(OPERATIONS, operations))
}

/// What the check says of a file it accepts, or of one it refuses. An error is neither.
fn check(root: &Path, path: &Path) -> Result<Result<String, String>, String> {
    let sim = binary(root).with_file_name("sim");
    let sim = sim.to_str().ok_or("the target directory's name is not text")?;
    let path = path.to_str().ok_or("the target directory's name is not text")?;
    let ran = Run::new(sim, &["check", path], root).quietly().run()?;
    let Some(failure) = ran.failure() else { return Ok(Ok(ran.text)) };
    let finding = ran.text.lines().find(|line| line.starts_with("finding: "));
    match finding {
        Some(_) => Ok(Err(failure)),
        None => Err(failure),
    }
}

/// The same history with one reply that is not what was answered, in several ways.
fn altered(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    // In the last lines every key was written long before, so that nothing is no right answer.
    let ways = [
        ("final", "final ", " $", "nil"),
        ("read", " one GET ", "= $", "nil"),
        ("transaction", " exec ", "= $", "nil"),
        ("size", " one APPEND ", "= :", ":0"),
    ];
    let mut all = Vec::new();
    for (what, line, reply, instead) in ways {
        let lines: Vec<&str> = text.lines().collect();
        // What has no reply may have what was read under WATCH, which then proves nothing.
        let is_told = |text: &str| !text.contains(" - ");
        let matches = |text: &str| text.contains(line) && text.contains(reply) && is_told(text);
        let at = lines.iter().rposition(|text| matches(text));
        let at = at.ok_or_else(|| format!("the history has no {what} to alter"))?;
        let start = lines[at].find(reply).expect("the line has it") + reply.len() - 1;
        let end = lines[at][start..].find(' ').map_or(lines[at].len(), |size| start + size);
        let mut altered: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        altered[at].replace_range(start..end, instead);
        all.push((what, altered.join("\n") + "\n"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    //! What is altered is one reply.

    use super::*;

    #[test]
    fn each_way_alters_the_last_reply_of_its_kind() {
        let text = "op 1 0 1 2 one GET a = $0000001;\nop 1 0 3 4 one GET a = $0000002;\n\
                    op 1 0 5 6 exec SET a 0000003; = ok | GET b = $0000004; | GET c = nil\n\
                    op 1 0 7 8 one APPEND b 0000005; = :16\nfinal 0 9 10 MGET a = [ $0000003; ]\n";
        let altered = altered(text).expect("there is one of each");
        let lines = |at: usize| altered[at].1.lines().collect::<Vec<_>>();
        assert_eq!(lines(0)[4], "final 0 9 10 MGET a = [ nil ]");
        assert_eq!(lines(1)[0], "op 1 0 1 2 one GET a = $0000001;");
        assert_eq!(lines(1)[1], "op 1 0 3 4 one GET a = nil");
        assert!(lines(2)[2].ends_with("| GET b = nil | GET c = nil"), "{:?}", lines(2));
        assert_eq!(lines(3)[3], "op 1 0 7 8 one APPEND b 0000005; = :0");
        assert!(super::altered("final 0 9 10 MGET a = [ nil ]\n").is_err());
    }
}
