//! A disk that takes part of a file and no more: the write fails, by its cause, and nothing else does.
//!
//! Alone in its process, because it lowers the process's limit on the size of files, which is the
//! nearest thing to a full disk that needs no privileges.

use runtime::housekeeping::{Job, Step, start};
use runtime::{Options, Ring, now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const LIMIT: u64 = 300 * 1024;

/// Red when: a short write is taken for a whole one.
#[test]
fn a_file_that_does_not_fit_fails_alone() {
    // SAFETY: the signal's handler is none (setrlimit(2): SIGXFSZ ends the process otherwise).
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let hard = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: Some(LIMIT), maximum: hard })
        .expect("a limit may be lowered");
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the target directory can be written");
    let mut options = Options::new(directory.path().to_owned());
    options.connections_max = 4;
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    let (_thread, mut desks) = start(vec![ring.waker()]).expect("this machine has io_uring");
    let mut desk = desks.pop().expect("there is one");
    let sizes = [100_000_usize, 2_000_000, 200_000, 305_000, 307_200, 311_296];
    for size in sizes {
        let path = directory.path().join(size.to_string());
        let make = Box::new(|cargo: &mut usize| vec![1; *cargo]);
        desk.submit(Job { cargo: size, steps: vec![Step::Write { path, make }] });
    }
    let deadline = now().monotonic_us + 60_000_000;
    let mut failed = Vec::new();
    for _ in sizes {
        let done = loop {
            if let Some(done) = desk.poll() {
                break done;
            }
            ring.submit_and_wait(Some(deadline)).expect("the ring works");
            while ring.poll_event().is_some() {}
            assert!(now().monotonic_us < deadline, "nobody ended this sleep");
        };
        if let Err(error) = done.result {
            assert_eq!(error.error.raw_os_error(), Some(libc::EFBIG), "{error}");
            failed.push(done.cargo);
        }
    }
    failed.sort_unstable();
    assert_eq!(failed, [311_296, 2_000_000]);
}
