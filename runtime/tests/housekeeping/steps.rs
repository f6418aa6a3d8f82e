//! What each step does to the disk, and what it says when it cannot.

use std::fs;
use std::io::ErrorKind;

use runtime::housekeeping::Step;

use crate::bench::{directory, one_core, read, rename, write};

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// Red when: padding stays behind; a piece is written at another's place; less than all is read.
#[test]
fn a_file_of_any_size_is_written_as_it_is_and_read_back() {
    let directory = directory();
    let (mut core, _thread) = one_core();
    for size in [0, 1, 4095, 4096, 4097, 262_144, 262_145, 1_500_000, 8 << 20] {
        let path = directory.path().join("chunk");
        let data = bytes(size);
        core.run(data.clone(), vec![write(&path)]).result.expect("the directory is writable");
        assert!(fs::read(&path).expect("it was written") == data, "{size}");
        let done = core.run(Vec::new(), vec![read(&path)]);
        done.result.expect("it is there");
        assert!(done.cargo == data, "{size}");
    }
}

/// Red when: a file that was longer keeps its end.
#[test]
fn a_file_that_was_there_is_written_anew() {
    let directory = directory();
    let (mut core, _thread) = one_core();
    let path = directory.path().join("chunk");
    fs::write(&path, bytes(300_000)).expect("the directory is writable");
    core.run(bytes(8192), vec![write(&path)]).result.expect("the directory is writable");
    assert!(fs::read(&path).expect("it was written") == bytes(8192));
}

#[test]
fn steps_of_a_job_are_carried_out_in_their_order() {
    let directory = directory();
    let (mut core, _thread) = one_core();
    let root = directory.path().join("snapshot");
    let (new, last) = (root.join("MANIFEST.new"), root.join("MANIFEST"));
    let steps = vec![
        Step::CreateDirectory { path: root.clone() },
        Step::CreateDirectory { path: root.clone() },
        write(&new),
        rename(&new, &last),
        Step::FlushDirectory { path: root.clone() },
        Step::FlushDirectory { path: directory.path().to_owned() },
    ];
    core.run(bytes(10), steps).result.expect("each step finds what it needs");
    assert!(!new.exists());
    assert_eq!(fs::read(&last).expect("it was renamed"), bytes(10));
    let steps = vec![
        Step::RemoveFile { path: last.clone() },
        Step::RemoveFile { path: last.clone() },
        Step::RemoveTree { path: root.clone() },
        Step::RemoveTree { path: root.clone() },
    ];
    core.run(Vec::new(), steps).result.expect("what is not there is as good as removed");
    assert!(!root.exists());
}

/// Red when: a failed step is passed over, or the cargo of a failed job is lost.
#[test]
fn the_first_step_that_fails_ends_the_job_and_is_named() {
    let directory = directory();
    let (mut core, _thread) = one_core();
    let path = |name: &str| directory.path().join(name);
    let (missing, after) = (path("missing/file"), path("after"));
    for (step, action, kind) in [
        (write(&missing), "write", ErrorKind::NotFound),
        (read(&missing), "read", ErrorKind::NotFound),
        (rename(&missing, &after), "rename to", ErrorKind::NotFound),
        (Step::CreateDirectory { path: missing.clone() }, "make", ErrorKind::NotFound),
        (Step::FlushDirectory { path: missing.clone() }, "flush", ErrorKind::NotFound),
        (write(directory.path()), "write", ErrorKind::IsADirectory),
        (Step::RemoveFile { path: directory.path().to_owned() }, "remove", ErrorKind::IsADirectory),
    ] {
        let done = core.run(bytes(3), vec![step, write(&after)]);
        let error = done.result.expect_err("there is no such place");
        assert!(error.action.starts_with(action), "{error}");
        assert_eq!(error.error.kind(), kind, "{error}");
        assert!(error.error.raw_os_error().is_some(), "the kernel's number is kept: {error}");
        assert!(error.to_string().contains(&*error.path.to_string_lossy()), "{error}");
        assert_eq!(done.cargo, bytes(3));
        assert!(!after.exists(), "the step after a failed one was carried out");
    }
}
