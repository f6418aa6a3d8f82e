//! Long commands run beside the cores: others are served meanwhile, and no core is held up.

#[path = "support/support.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::{Client, Directory, Reply, Server, Start, encode};

const KEYS: usize = 1_000_000;
const KEYS_PER_REQUEST: usize = 500;

/// Bits are counted in a string of so many bytes, so often.
const SIZE: usize = 64 * 1024 * 1024;
const COUNTS: usize = 20;

/// Keys of different slices of sixteen.
const LARGE: &[u8] = b"foo";
const SMALL: &[u8] = b"a";

/// One turn of a core may take so much of a processor: microseconds.
const TURN_US: u64 = 500;

fn call(client: &mut Client, words: &[&[u8]]) -> Reply {
    client.call(words).expect("a running server answers")
}

/// A figure of INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let Reply::Bulk(text) = call(client, &[b"INFO", b"everything"]) else {
        panic!("INFO answers text");
    };
    let text = String::from_utf8(text).expect("INFO is text");
    let prefix = format!("{name}:");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix)).expect("INFO has it");
    value.trim().parse().expect("it is a number")
}

/// What the detector says of the turns since it was set to zero: (long commands, longest turn that
/// took too much of a processor).
fn judge(server: &Server, expected: u64) {
    let mut client = server.client();
    let long = figure(&mut client, "long_commands");
    let (stalls, longest_us) =
        (figure(&mut client, "cpu_stalls"), figure(&mut client, "cpu_stall_max_usec"));
    println!(
        "{long} long commands, {stalls} turns above {TURN_US} us of CPU, most {longest_us} us"
    );
    assert_eq!(long, expected);
}

/// Red when: what is long runs on its core (no command is counted as long).
#[test]
fn bits_are_counted_while_others_are_served() {
    let directory = Directory::new("long-bits");
    let server = Start::new(&directory.data()).with(&["--cores", "1"]).run().expect("it starts");
    let mut counting = server.client();
    let last = (SIZE - 1).to_string();
    let set = call(&mut counting, &[b"SETRANGE", LARGE, last.as_bytes(), b"x"]);
    assert_eq!(set, Reply::Integer(SIZE as i64));
    call(&mut counting, &[b"SET", SMALL, b"1"]);
    call(&mut counting, &[b"CONFIG", b"RESETSTAT"]);
    let is_over = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut client = server.client();
            let mut served = 0;
            while !is_over.load(Ordering::Acquire) {
                assert_eq!(call(&mut client, &[b"GET", SMALL]), Reply::bulk(b"1"));
                served += 1;
            }
            served
        });
        for _ in 0..COUNTS {
            assert_eq!(call(&mut counting, &[b"BITCOUNT", LARGE]), Reply::Integer(4));
        }
        is_over.store(true, Ordering::Release);
        others.join().expect("every GET was answered")
    });
    println!("{served} GETs while bits were counted {COUNTS} times");
    judge(&server, COUNTS as u64);
    server.stop();
}

/// Red when: KEYS runs on its core, or its reply is copied there.
#[test]
fn every_key_is_listed_while_others_wait_for_it_only() {
    let directory = Directory::new("long-keys");
    let server = Start::new(&directory.data()).with(&["--cores", "1"]).run().expect("it starts");
    let mut client = server.client();
    for first in (0..KEYS).step_by(KEYS_PER_REQUEST) {
        let names: Vec<String> =
            (first..first + KEYS_PER_REQUEST).map(|number| format!("key:{number}")).collect();
        let mut words: Vec<&[u8]> = vec![b"MSET"];
        names.iter().for_each(|name| words.extend([name.as_bytes(), b"1"]));
        client.send(&encode(&words)).expect("a running server takes it");
        assert_eq!(client.receive().expect("it answers"), Reply::ok());
    }
    call(&mut client, &[b"CONFIG", b"RESETSTAT"]);
    for _ in 0..3 {
        let Reply::Array(keys) = call(&mut client, &[b"KEYS", b"*"]) else {
            panic!("KEYS answers an array");
        };
        assert_eq!(keys.len(), KEYS);
    }
    judge(&server, 3);
    server.stop();
}
