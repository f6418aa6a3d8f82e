//! A core with a ring and a desk, as the shell has them.

use std::path::{Path, PathBuf};

use runtime::housekeeping::{Desk, Done, Housekeeping, Job, Step, start};
use runtime::{Options, Ring, now};
use tempfile::TempDir;

/// Longer than any job takes, shorter than who waits for the tests.
const PATIENCE_US: u64 = 60_000_000;

pub struct Core {
    pub desk: Desk<Vec<u8>>,
    pub ring: Ring,
}

pub fn open_ring() -> Ring {
    let mut options = Options::new(std::env::temp_dir());
    options.connections_max = 4;
    Ring::open(options).expect("this machine has io_uring")
}

/// One core beside its housekeeping thread.
pub fn one_core() -> (Core, Housekeeping) {
    let ring = open_ring();
    let (thread, mut desks) = start(vec![ring.waker()]).expect("this machine has io_uring");
    (Core { desk: desks.pop().expect("there is one"), ring }, thread)
}

pub fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}

impl Core {
    /// Sleeps in the ring until a job is done; panics if the sleep was not ended by it.
    pub fn wait(&mut self) -> Done<Vec<u8>> {
        let deadline = now().monotonic_us + PATIENCE_US;
        loop {
            if let Some(done) = self.desk.poll() {
                return done;
            }
            self.ring.submit_and_wait(Some(deadline)).expect("the ring works");
            while self.ring.poll_event().is_some() {}
            assert!(now().monotonic_us < deadline, "nobody ended this sleep");
        }
    }

    pub fn run(&mut self, cargo: Vec<u8>, steps: Vec<Step<Vec<u8>>>) -> Done<Vec<u8>> {
        self.desk.submit(Job { cargo, steps });
        self.wait()
    }
}

/// Writes the cargo.
pub fn write(path: &Path) -> Step<Vec<u8>> {
    Step::Write { path: path.to_owned(), make: Box::new(|cargo| cargo.clone()) }
}

/// Reads into the cargo.
pub fn read(path: &Path) -> Step<Vec<u8>> {
    Step::Read { path: path.to_owned(), keep: Box::new(|cargo, bytes| *cargo = bytes) }
}

pub fn rename(from: &Path, to: &Path) -> Step<Vec<u8>> {
    Step::Rename { from: PathBuf::from(from), to: PathBuf::from(to) }
}
