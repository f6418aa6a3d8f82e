//! The server under test: started, waited for by polling, killed by its process id, always reaped.

use std::fs::{File, read_to_string};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Chance, Client, HostLock, Reply};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// How to start a server. `Server::start` is the short way.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    port: u16,
    data: PathBuf,
    logs: PathBuf,
    arguments: Vec<String>,
    is_alone: bool,
}

impl Start {
    pub(crate) fn new(data: &Path) -> Start {
        let logs = data.parent().expect("the data directory is inside the test's").to_path_buf();
        Start {
            port: free_port(),
            data: data.to_path_buf(),
            logs,
            arguments: Vec::new(),
            is_alone: false,
        }
    }

    pub(crate) fn port(mut self, port: u16) -> Start {
        self.port = port;
        self
    }

    pub(crate) fn with(mut self, arguments: &[&str]) -> Start {
        self.arguments.extend(arguments.iter().map(|&word| word.to_owned()));
        self
    }

    /// No other server of these tests runs at the same time.
    pub(crate) fn alone(mut self) -> Start {
        self.is_alone = true;
        self
    }

    /// Where stdout and stderr go, when not beside the data.
    pub(crate) fn logs(mut self, logs: &Path) -> Start {
        self.logs = logs.to_path_buf();
        self
    }

    /// Starts the process and does not wait for it.
    pub(crate) fn spawn(&self) -> Server {
        let lock = if self.is_alone { HostLock::alone() } else { HostLock::shared() };
        let stdout = self.logs.join(format!("server-{}.stdout", self.port));
        let stderr = self.logs.join(format!("server-{}.stderr", self.port));
        let child = toroid()
            .arg("serve")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"])
            .arg(&self.data)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("the test's directory can be written"))
            .stderr(File::create(&stderr).expect("the test's directory can be written"))
            .spawn()
            .expect("the binary under test can be run");
        Server { child, start: self.clone(), stdout, stderr, _lock: lock }
    }

    /// Starts the process and waits until it answers, or says why it does not serve.
    pub(crate) fn run(&self) -> Result<Server, Refusal> {
        self.spawn().wait_until_ready()
    }

    /// Starts a server that is expected to refuse.
    pub(crate) fn refused(&self) -> Refusal {
        match self.run() {
            Err(refusal) => refusal,
            Ok(server) => panic!("it serves instead of refusing\n{}", server.says()),
        }
    }
}

/// A server that ended instead of serving.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
    pub(crate) stdout: String,
}

impl Refusal {
    /// It ended by itself with a failure status, and its words contain all of these, in any case.
    pub(crate) fn says(&self, words: &[&str]) {
        assert!(self.status.code().is_some(), "it was killed instead of refusing: {self:?}");
        assert!(!self.status.success(), "a refusal ends with a failure status: {self:?}");
        assert!(!self.stderr.contains("panicked"), "a refusal is not a panic: {}", self.stderr);
        let stderr = self.stderr.to_lowercase();
        for word in words {
            assert!(
                stderr.contains(&word.to_lowercase()),
                "stderr lacks {word:?}:\n{}",
                self.stderr
            );
        }
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    start: Start,
    stdout: PathBuf,
    stderr: PathBuf,
    _lock: HostLock,
}

impl Server {
    /// A server with a durable log in `data`, ready to answer.
    pub(crate) fn start(data: &Path) -> Server {
        Start::new(data).run().expect("the server starts")
    }

    pub(crate) fn port(&self) -> u16 {
        self.start.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port()).expect("a running server accepts")
    }

    pub(crate) fn wait_until_ready(mut self) -> Result<Server, Refusal> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return Err(Refusal { status, stderr: self.stderr(), stdout: self.stdout() });
            }
            if let Ok(mut client) = Client::connect(self.port())
                && let Ok(Reply::Simple(text)) = client.call(&[b"PING"])
                && text == "PONG"
            {
                return Ok(self);
            }
            assert!(Instant::now() < deadline, "it neither serves nor ends\n{}", self.says());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// kill -9, and the child is reaped.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// The end of a server that must not start, when its port answers for somebody else.
    pub(crate) fn refusal(&mut self) -> Refusal {
        let status = self.wait(READY_WITHIN);
        Refusal { status, stderr: self.stderr(), stdout: self.stdout() }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_none()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .expect("there is a shell");
        assert!(status.success(), "the signal {name} was sent");
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        wait_for("the server's end", within, || self.child.try_wait().expect("the child is ours"))
    }

    /// SIGTERM, and exit status 0.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait(READY_WITHIN);
        assert!(status.success(), "SIGTERM ends a server with 0, not {status}\n{}", self.says());
    }

    pub(crate) fn stdout(&self) -> String {
        read_to_string(&self.stdout).expect("the server's stdout is text")
    }

    pub(crate) fn stderr(&self) -> String {
        read_to_string(&self.stderr).expect("the server's stderr is text")
    }

    pub(crate) fn says(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the child has been reaped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test; TOROID_BIN names another one.
pub(crate) fn toroid() -> Command {
    match std::env::var_os("TOROID_BIN") {
        Some(path) => Command::new(path),
        None => Command::new(env!("CARGO_BIN_EXE_toroid")),
    }
}

/// `toroid wal verify` finds nothing in the log of `data`.
pub(crate) fn verify_log(data: &Path) {
    let Output { status, stdout, stderr } = toroid()
        .args(["wal", "verify"])
        .arg(data)
        .output()
        .expect("the binary under test can be run");
    assert!(
        status.success(),
        "toroid wal verify {} ended with {status}:\n{}{}",
        data.display(),
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}

/// A free port below the range of outgoing connections, so that no client sits on it when the
/// server comes back, and no client connects to itself while it is away.
pub(crate) fn free_port() -> u16 {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut chance = Chance::new(u64::from(std::process::id()) << 32 | number);
    loop {
        let port = 20_000 + chance.below(12_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Polls until `condition` has a value.
pub(crate) fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
