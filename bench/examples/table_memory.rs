//! Bytes per key of the table and the longest single insert, as the table grows.
//!
//! `cargo run --release -p bench --example table_memory [millions of keys]`

use std::time::Instant;

use base::limits::SLOTS;
use engine::{Effect, Keyspace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).expect("the second number is the resident size");
    pages.parse::<usize>().expect("it is a number") * 4096
}

/// How long an insert took: what half, 99, 99.9, 99.99 percent and all stay below, in ns.
fn quantiles(times: &mut Vec<u32>) -> [u32; 5] {
    times.sort_unstable();
    let last = times.len() - 1;
    let quantiles = [5000, 9900, 9990, 9999, 10_000].map(|share| times[last * share / 10_000]);
    times.clear();
    quantiles
}

fn main() {
    let millions = std::env::args().nth(1).map_or(2, |arg| arg.parse().expect("a number"));
    for (name, slots, expire_ms) in [
        ("16384 slots", 0..SLOTS, None),
        ("16384 slots, TTL", 0..SLOTS, Some(u64::MAX)),
        ("one slot", 0..SLOTS, None),
    ] {
        // Written to, so that it is resident before the table is.
        let mut times = vec![1u32; 1_000_000];
        times.clear();
        let before = resident();
        let mut keyspace = Keyspace::new(1, slots);
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
            times.push(at.elapsed().as_nanos() as u32);
            let done = number + 1;
            if done % 250_000 == 0 && done.is_power_of_two()
                || done % 1_000_000 == 0
                || done == 100_000
            {
                let memory = keyspace.memory();
                println!(
                    "{name}: {done} keys: {:.1} resident, {:.1} entries + {:.1} tables + {:.1} \
                     directories per key; {:?}, on average {} ns",
                    (resident() - before) as f64 / done as f64,
                    memory.entries as f64 / done as f64,
                    memory.tables as f64 / done as f64,
                    memory.directories as f64 / done as f64,
                    quantiles(&mut times),
                    started.elapsed().as_nanos() / done as u128,
                );
            }
        }
        std::mem::forget(keyspace);
    }
}
