//! A pinned core's ring does its slow work elsewhere: the kernel's worker is not pinned with it.
//!
//! Alone in its process, because it looks at the process's threads.

use std::fs;

use runtime::{Event, Options, Ring};

/// The processors of every thread the kernel runs on behalf of `thread`'s rings.
fn worker_cpus(thread: i32) -> Vec<String> {
    let name = format!("Name:\tiou-wrk-{thread}");
    fs::read_dir("/proc/self/task")
        .expect("our own threads can be listed")
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
        .filter(|status| status.lines().next() == Some(&name))
        .filter_map(|status| cpus(&status))
        .collect()
}

fn cpus(status: &str) -> Option<String> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

#[test]
fn the_worker_of_a_pinned_ring_keeps_the_inherited_processors() {
    let status = fs::read_to_string("/proc/thread-self/status").expect("it can be read");
    let inherited = cpus(&status).expect("every thread has processors");
    let cpu = runtime::inherited_cpus().expect("the mask can be read")[0];
    runtime::pin(cpu).expect("an inherited processor can be pinned to");

    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the target directory can be written");
    let options = Options::new(directory.path().to_owned());
    let mut ring = Ring::open(options).expect("this machine has io_uring");
    let pinned = fs::read_to_string("/proc/thread-self/status").expect("it can be read");
    assert_eq!(cpus(&pinned), Some(cpu.to_string()));

    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    ring.prepare(1, "segment", 16 << 20);
    let mut seen = Vec::new();
    let done = loop {
        let deadline = runtime::now().monotonic_us + 60_000_000;
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        seen.extend(worker_cpus(thread));
        if let Some(event) = ring.poll_event() {
            break matches!(event, Event::Disk { token: 1, result: Ok(()) });
        }
    };
    assert!(done);
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|cpus| *cpus == inherited), "{seen:?}, inherited {inherited}");
}
