//! The housekeeping thread starts beside rings that have taken what memory may be locked.
//!
//! Alone in its process, because it lowers the process's limit and gives up its capabilities.

use std::path::Path;

use runtime::housekeeping::{Job, Step, start};
use runtime::{Options, Ring, SetupError, now};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1024 * 1024;

/// With CAP_IPC_LOCK the limit would not count (capabilities(7)).
fn give_up_capabilities() {
    let header = [0x2008_0522_u32, 0];
    let none = [0_u32; 6];
    // SAFETY: capset(2) reads a header and two triples of this version.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0, "a thread may give up what it has");
}

fn limit_locked_memory(bytes: u64) {
    let hard = getrlimit(Resource::Memlock).maximum;
    let limit = Rlimit { current: Some(bytes), maximum: hard };
    setrlimit(Resource::Memlock, limit).expect("a limit may be lowered");
}

fn write_and_read(ring: &mut Ring, directory: &Path) {
    let (thread, mut desks) = start(vec![ring.waker()]).expect("there is a way with less");
    let mut desk = desks.pop().expect("there is one");
    let path = directory.join("file");
    let steps = vec![
        Step::Write { path: path.clone(), make: Box::new(|cargo: &mut Vec<u8>| cargo.clone()) },
        Step::Read { path, keep: Box::new(|cargo, bytes| cargo.extend(bytes)) },
    ];
    desk.submit(Job { cargo: vec![5; 3 << 20], steps });
    let deadline = now().monotonic_us + 60_000_000;
    let done = loop {
        if let Some(done) = desk.poll() {
            break done;
        }
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        while ring.poll_event().is_some() {}
        assert!(now().monotonic_us < deadline, "nobody ended this sleep");
    };
    done.result.expect("the directory is writable");
    assert_eq!(done.cargo.len(), 6 << 20);
    drop(desk);
    thread.join().expect("the thread ends by itself");
}

/// Red when: the executor asks for as much as it does by itself and cannot go on with less.
#[test]
fn housekeeping_starts_when_the_cores_have_locked_their_share() {
    give_up_capabilities();
    limit_locked_memory(8 * MIB);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the target directory can be written");
    let mut rings: Vec<Ring> = (0..3)
        .map(|_| {
            let options = Options::new(directory.path().to_owned());
            Ring::open(options).expect("a ring takes what it gets")
        })
        .collect();
    assert!(!rings[2].notices().is_empty(), "three cores want more than there is");
    write_and_read(&mut rings[0], directory.path());
    drop(rings.drain(1..));
    write_and_read(&mut rings[0], directory.path());

    // Less than the executor starts with at all: the limit is named, with what to do.
    limit_locked_memory(MIB / 4);
    let error = start::<()>(vec![rings[0].waker()]).expect_err("it is too little");
    assert!(matches!(error, SetupError::Memory { .. }), "{error}");
    assert!(error.to_string().contains("ulimit -l"), "{error}");
}
