//! Jobs of several cores at once, answered to whom they belong, to the last.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;

use runtime::housekeeping::{JOBS_MAX, Job, Step, start};

use crate::bench::{Core, directory, one_core, open_ring, write};

/// Red when: a core is not woken; answers come to another desk; a job is lost when desks are full.
#[test]
fn each_core_gets_its_own_answers_and_is_woken_for_them() {
    const CORES: usize = 3;
    const JOBS: u32 = 60;
    let directory = directory();
    let root = directory.path();
    let (ready, desks) = (Barrier::new(CORES + 1), std::sync::Mutex::new(Vec::new()));
    let wakers = std::sync::Mutex::new(vec![None; CORES]);
    thread::scope(|scope| {
        for own in 0..CORES {
            let (ready, desks, wakers) = (&ready, &desks, &wakers);
            scope.spawn(move || {
                let ring = open_ring();
                wakers.lock().expect("no core panics")[own] = Some(ring.waker());
                ready.wait();
                ready.wait();
                let (_, desk) = {
                    let mut desks = desks.lock().expect("no core panics");
                    let mine = desks.iter().position(|(core, _)| *core == own);
                    desks.swap_remove(mine.expect("each core has a desk"))
                };
                let mut core = Core { desk, ring };
                let (mut sent, mut answered) = (0, vec![0; JOBS as usize]);
                while answered.contains(&0) {
                    while sent < JOBS && core.desk.has_room() {
                        let path = root.join(format!("{own}-{sent}"));
                        let cargo = vec![u8::try_from(own).expect("few"), sent as u8];
                        core.desk.submit(Job { cargo, steps: vec![write(&path)] });
                        sent += 1;
                    }
                    let done = core.wait();
                    done.result.expect("the directory is writable");
                    assert_eq!(usize::from(done.cargo[0]), own);
                    answered[usize::from(done.cargo[1])] += 1;
                }
                assert!(answered.iter().all(|count| *count == 1), "{answered:?}");
                assert_eq!(core.desk.unanswered(), 0);
            });
        }
        ready.wait();
        let wakers = wakers.lock().expect("no core panics").clone();
        let wakers = wakers.into_iter().map(|waker| waker.expect("each has set its own"));
        let (thread, made) = start(wakers.collect()).expect("this machine has io_uring");
        *desks.lock().expect("no core panics") = made.into_iter().enumerate().collect();
        ready.wait();
        thread.join().expect("the thread ends when the last desk is gone");
    });
    let files = fs::read_dir(root).expect("it can be listed").count();
    assert_eq!(files, CORES * JOBS as usize);
}

/// Red when: the thread ends before it has carried out what was submitted.
#[test]
fn what_was_submitted_is_done_although_the_core_has_gone() {
    let directory = directory();
    let (mut core, thread) = one_core();
    let paths: Vec<PathBuf> =
        (0..JOBS_MAX).map(|number| directory.path().join(number.to_string())).collect();
    for path in &paths {
        assert!(core.desk.has_room());
        core.desk.submit(Job { cargo: vec![1; 1 << 20], steps: vec![write(path)] });
    }
    assert!(!core.desk.has_room());
    drop(core);
    thread.join().expect("the thread ends by itself");
    for path in &paths {
        assert_eq!(fs::metadata(path).expect("it was written").len(), 1 << 20);
    }
}

/// Red when: jobs wait for each other, so that a slow one holds up those of other cores.
#[test]
fn a_job_that_waits_does_not_hold_up_another() {
    let directory = directory();
    let (mut core, _thread) = one_core();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is part of every system").success());
    // Opening a pipe to read waits until somebody opens it to write.
    let waiting = vec![Step::FlushDirectory { path: pipe.clone() }];
    core.desk.submit(Job { cargo: Vec::new(), steps: waiting });
    let other = directory.path().join("other");
    let done = core.run(vec![7; 4096], vec![write(&other)]);
    done.result.expect("the directory is writable");
    assert_eq!((done.cargo.len(), core.desk.unanswered()), (4096, 1));
    let writer = fs::OpenOptions::new().write(true).open(&pipe).expect("somebody reads");
    drop(writer);
    core.wait().result.expect_err("a pipe cannot be flushed");
}

/// Red when: a wake-up is lost between the look for work and the sleep.
#[test]
fn single_jobs_one_after_the_other_never_wait_for_ever() {
    let directory = directory();
    let (mut core, _thread) = one_core();
    let path = Arc::new(directory.path().join("missing/file"));
    for _ in 0..3000 {
        let done = core.run(Vec::new(), vec![crate::bench::read(&path)]);
        assert!(done.result.is_err());
    }
}
