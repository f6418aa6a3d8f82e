//! Bytes per key of the table and the longest single insert, as the table grows.
//!
//! `cargo run --release -p bench --example table_memory [millions of keys]`

use std::time::{Duration, Instant};

use base::limits::SLOTS;
use engine::{Effect, Keyspace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).expect("the second number is the resident size");
    pages.parse::<usize>().expect("it is a number") * 4096
}

fn main() {
    let millions = std::env::args().nth(1).map_or(2, |arg| arg.parse().expect("a number"));
    for (name, slots, expire_ms) in [
        ("16384 slots", 0..SLOTS, None),
        ("16384 slots, TTL", 0..SLOTS, Some(u64::MAX)),
        ("one slot", 0..SLOTS, None),
    ] {
        let before = resident();
        let mut keyspace = Keyspace::new(1, slots);
        let mut longest = Duration::ZERO;
        let started = Instant::now();
        let count: usize = millions * 1_000_000;
        for number in 0..count {
            let key = match name {
                "one slot" => format!("{{k}}{number:013}"),
                _ => format!("key:{number:012}"),
            };
            let effect =
                Effect::PutString { db: 0, key: key.as_bytes(), value: &[b'x'; 100], expire_ms };
            let at = Instant::now();
            keyspace.replay(&effect).expect("a put fits");
            longest = longest.max(at.elapsed());
            let done = number + 1;
            if done % 250_000 == 0 && done.is_power_of_two()
                || done % 1_000_000 == 0
                || done == 100_000
            {
                let memory = keyspace.memory();
                println!(
                    "{name}: {done} keys: {:.1} resident, {:.1} entries + {:.1} tables + {:.1} \
                     directories per key; {} ns per insert, longest {longest:?}",
                    (resident() - before) as f64 / done as f64,
                    memory.entries as f64 / done as f64,
                    memory.tables as f64 / done as f64,
                    memory.directories as f64 / done as f64,
                    started.elapsed().as_nanos() / done as u128,
                );
            }
        }
        std::mem::forget(keyspace);
    }
}
