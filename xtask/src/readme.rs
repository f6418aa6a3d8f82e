//! The README's first command, as a newcomer would run it: it must serve, and keep what it took.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::counts::{scratch, test_sums};
use crate::outcome::Outcome;
use crate::run::Run;
use crate::tidy::set_up_commands;

/// Where the README's server is started, inside the checkout.
pub(crate) const SERVED_AT: &str = "target/xtask/readme";
/// The server's own default.
const PORT: u16 = 6379;
/// A cold build of everything is inside this; `fresh` says how long it took.
const START_DEADLINE: Duration = Duration::from_secs(15 * 60);
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const BUILD_MINUTES_MAX: u64 = 4;

/// Runs the README's command in an empty directory, writes, stops, runs it again and reads.
pub(crate) fn serve(root: &Path) -> Result<Outcome, String> {
    // Cargo finds the workspace above, wherever it builds; the server's data goes to where it was
    // started.
    let at = root.join(SERVED_AT);
    empty(&at)?;
    serve_twice(root, &|| run_command(root, &at))
}

/// Both commands in a clone of what is committed, with nothing of this machine's environment.
pub(crate) fn fresh(root: &Path) -> Result<Outcome, String> {
    let at = scratch(root).join("fresh");
    empty(&at)?;
    let clone = at.join("clone");
    let (from, to) = (root.display().to_string(), clone.display().to_string());
    Run::new("git", &["clone", "--quiet", &from, &to], &at).run()?.succeeded()?;
    let home = at.join("home");
    fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let bare = |run: Run| -> Run {
        let mut run = run
            .without_environment()
            .env("HOME", &home)
            .env("CARGO_HOME", home.join("cargo"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // The toolchain is looked up by HOME, and is all that a new home lacks. A machine behind
        // a proxy hands down how the registry is reached.
        let rustup = std::env::var_os("RUSTUP_HOME").or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(Path::new(&home).join(".rustup").into_os_string())
        });
        if let Some(rustup) = rustup {
            run = run.env("RUSTUP_HOME", rustup);
        }
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                run = run.env(name, value);
            }
        }
        run
    };
    let started = Instant::now();
    let build = Run::new("cargo", &["build", "--release"], &clone);
    bare(build).run()?.succeeded()?;
    let took = started.elapsed();
    if Duration::from_secs(60 * BUILD_MINUTES_MAX) < took {
        return Err(format!("a cold build took {} s", took.as_secs()));
    }
    let served = serve_twice(root, &|| {
        let words = command(root, "cargo run")?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(bare(Run::new("cargo", &words, &clone)))
    })?;
    let words = command(root, "cargo test")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ran = bare(Run::new("cargo", &words, &clone)).run()?.succeeded()?;
    let (passed, failed) = test_sums(&ran.text);
    let note = format!("a cold build took {} s; {passed} tests passed", took.as_secs());
    Ok(Outcome { passed: served.passed + passed, failed, note, ..Outcome::default() })
}

/// Writes, stops, starts again and reads; each step is a check.
fn serve_twice(root: &Path, run: &dyn Fn() -> Result<Run, String>) -> Result<Outcome, String> {
    if ask(b"PING\r\n").is_ok() {
        return Err(format!("port {PORT} is in use: stop what serves there"));
    }
    let value = format!("kept-{}", std::process::id());
    let set = format!("SET xtask:readme {value}\r\n");
    let kept = format!("${}\r\n{value}\r\n", value.len());
    let mut server = Server::start(run()?)?;
    server.expect("PING\r\n", "+PONG\r\n")?;
    server.expect(&set, "+OK\r\n")?;
    server.stop()?;
    let mut server = Server::start(run()?)?;
    server.expect("GET xtask:readme\r\n", &kept)?;
    server.stop()?;
    let command = command(root, "cargo run")?.join(" ");
    let note = format!("`cargo {command}` served, stopped, served again and had kept its key");
    Ok(Outcome { passed: 5, note, ..Outcome::default() })
}

fn run_command(root: &Path, at: &Path) -> Result<Run, String> {
    let words = command(root, "cargo run")?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(Run::new("cargo", &words, at))
}

/// The words after `cargo` of the README's command that begins so.
fn command(root: &Path, start: &str) -> Result<Vec<String>, String> {
    let readme = fs::read_to_string(root.join("README.md"))
        .map_err(|error| format!("README.md: {error}"))?;
    let commands = set_up_commands(&readme);
    let command = commands.iter().find(|command| command.starts_with(start));
    let command = command.ok_or_else(|| format!("the README has no `{start}`"))?;
    Ok(command.split(' ').skip(1).map(str::to_owned).collect())
}

fn empty(at: &Path) -> Result<(), String> {
    if at.exists() {
        fs::remove_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))?;
    }
    fs::create_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))
}

/// A server that was started here and is ended here, whatever happens between.
#[derive(Debug)]
struct Server {
    child: Child,
}

impl Server {
    fn start(run: Run) -> Result<Self, String> {
        let mut server = Self { child: run.start()? };
        let end = Instant::now() + START_DEADLINE;
        loop {
            match ask(b"PING\r\n") {
                Ok(reply) if reply.starts_with(b"+PONG") => return Ok(server),
                _ if Instant::now() < end => thread::sleep(Duration::from_millis(100)),
                other => return Err(format!("no server answers on port {PORT}: {other:?}")),
            }
            if let Some(status) = server.status()? {
                return Err(format!("the server ended at its start: {status}"));
            }
        }
    }

    fn expect(&mut self, request: &str, expected: &str) -> Result<(), String> {
        let reply = ask(request.as_bytes()).map_err(|error| format!("{request:?}: {error}"))?;
        if reply != expected.as_bytes() {
            let reply = String::from_utf8_lossy(&reply).into_owned();
            return Err(format!("{request:?} was answered {reply:?}, not {expected:?}"));
        }
        Ok(())
    }

    /// SIGTERM, and the exit with 0 that is promised for it. Cargo becomes the program it runs, so
    /// the child is the server.
    fn stop(mut self) -> Result<(), String> {
        let id = self.child.id().to_string();
        Command::new("kill").arg(&id).status().map_err(|error| format!("kill: {error}"))?;
        let end = Instant::now() + STOP_DEADLINE;
        while Instant::now() < end {
            match self.status()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("after SIGTERM the server ended: {status}")),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(format!("the server runs {} s after SIGTERM", STOP_DEADLINE.as_secs()))
    }

    fn status(&mut self) -> Result<Option<std::process::ExitStatus>, String> {
        self.child.try_wait().map_err(|error| format!("waiting for the server: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, which is what a stopped one has done.
        if self.child.kill().is_ok() {
            let _status = self.child.wait();
        }
    }
}

/// One inline request on a connection of its own; the reply as far as it came in one piece.
fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], PORT));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request)?;
    let mut reply = Vec::new();
    let mut part = [0; 4096];
    loop {
        let size = match stream.read(&mut part) {
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        reply.extend_from_slice(&part[..size]);
        // A bulk string is two lines; its absence, and everything else asked for here, is one.
        let lines = reply.iter().filter(|byte| **byte == b'\n').count();
        let wanted = if reply.starts_with(b"$") && !reply.starts_with(b"$-") { 2 } else { 1 };
        if size == 0 || wanted <= lines {
            return Ok(reply);
        }
    }
}
