//! Runs a program, shows what it says, keeps it, and ends it at its deadline.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of a failed program's output that its error repeats.
const TAIL_LINES: usize = 15;

/// A program to run, without standard input.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    name: String,
    deadline: Duration,
    quiet: bool,
}

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Standard output and standard error, line by line as they came.
    pub(crate) text: String,
    name: String,
    /// None if it was ended at its deadline.
    status: Option<ExitStatus>,
}

impl Run {
    pub(crate) fn new(program: &str, arguments: &[&str], at: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(at).stdin(Stdio::null());
        // What cargo tells this program about this package is not for the programs it starts.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name);
            }
        }
        let name = format!("{program} {}", arguments.join(" ")).trim().to_owned();
        Self { command, name, deadline: Duration::from_secs(30 * 60), quiet: false }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Hands down only what is set after this.
    pub(crate) fn without_environment(mut self) -> Self {
        self.command.env_clear();
        self
    }

    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Keeps what the program says without showing it.
    pub(crate) fn quietly(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Starts it in the background; the caller ends it.
    pub(crate) fn start(mut self) -> Result<Child, String> {
        self.command.spawn().map_err(|error| format!("{}: {error}", self.name))
    }

    /// Runs it to its end or its deadline. An error is a program that could not be started.
    pub(crate) fn run(mut self) -> Result<Ran, String> {
        // Its own process group, so that what it started ends with it at the deadline.
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        println!("$ {}", self.name);
        let mut child = self.command.spawn().map_err(|error| format!("{}: {error}", self.name))?;
        let text = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let readers = [
            keep_lines(stdout, Arc::clone(&text), self.quiet),
            keep_lines(stderr, Arc::clone(&text), self.quiet),
        ];
        let status = wait(&mut child, self.deadline)?;
        // A daemon that it left behind would hold the pipes open; its group is ended with it.
        end_group(child.id());
        for reader in readers {
            reader.join().expect("a reader only reads");
        }
        let text = text.lock().expect("no reader panicked").clone();
        Ok(Ran { text, name: self.name, status })
    }
}

impl Ran {
    /// Why it failed, with the end of what it said; none if it succeeded.
    pub(crate) fn failure(&self) -> Option<String> {
        let why = match self.status {
            Some(status) if status.success() => return None,
            Some(status) => status.to_string(),
            None => "ended at its deadline".to_owned(),
        };
        let lines: Vec<&str> = self.text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n    ");
        Some(format!("{}: {why}\n    {tail}", self.name))
    }

    pub(crate) fn succeeded(self) -> Result<Ran, String> {
        self.failure().map_or(Ok(self), Err)
    }
}

fn keep_lines(
    from: impl Read + Send + 'static,
    to: Arc<Mutex<String>>,
    quiet: bool,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        // A broken pipe is an end like any other: the exit status says what happened.
        while reader.read_until(b'\n', &mut line).is_ok_and(|size| 0 < size) {
            let said = String::from_utf8_lossy(&line);
            if !quiet {
                print!("{said}");
            }
            to.lock().expect("no reader panicked").push_str(&said);
            line.clear();
        }
    })
}

fn wait(child: &mut Child, deadline: Duration) -> Result<Option<ExitStatus>, String> {
    let end = Instant::now() + deadline;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                end_group(child.id());
                child.wait().map_err(|error| format!("waiting: {error}"))?;
                return Ok(None);
            }
            Err(error) => return Err(format!("waiting: {error}")),
        }
    }
}

/// Ends what is left of a program's process group; nothing being left is the usual case.
fn end_group(leader: u32) {
    let group = format!("-{leader}");
    let _nothing_left = Command::new("kill")
        .args(["-KILL", "--", &group])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    //! Success, failure, absence and the deadline are told apart.

    use super::*;

    fn shell(script: &str) -> Run {
        Run::new("sh", &["-c", script], Path::new("/")).quietly()
    }

    #[test]
    fn a_program_that_succeeds_keeps_its_words_of_both_kinds() {
        let ran = shell("echo out; echo err >&2").run().expect("sh is there");
        let ran = ran.succeeded().expect("it exits with 0");
        assert!(ran.text.contains("out\n") && ran.text.contains("err\n"), "{}", ran.text);
    }

    #[test]
    fn a_program_that_fails_is_a_failure_with_its_last_words() {
        let ran = shell("echo why; exit 3").run().expect("sh is there");
        let failure = ran.failure().expect("it exits with 3");
        assert!(failure.contains("3") && failure.contains("why"), "{failure}");
    }

    #[test]
    fn a_program_that_is_absent_is_an_error() {
        let error = Run::new("no-such-program-here", &[], Path::new("/")).quietly().run();
        assert!(error.expect_err("it is absent").contains("no-such-program-here"));
    }

    #[test]
    fn a_program_past_its_deadline_is_ended_with_its_children() {
        let script = "sleep 600 & echo started; wait";
        let ran = shell(script).within(Duration::from_millis(200)).run().expect("sh is there");
        assert!(ran.failure().expect("it was ended").contains("deadline"));
    }

    #[test]
    fn a_program_that_reads_its_input_finds_none() {
        let ran = shell("cat; echo end").run().expect("sh is there");
        assert_eq!(ran.succeeded().expect("cat finds the end").text, "end\n");
    }
}
