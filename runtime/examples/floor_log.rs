//! The floor under every durable write: 4 KiB frames written over and over into prepared segments.
//!
//! `cargo run --release -p runtime --example floor_log [DIRECTORY] [SECONDS] [CPU]`. Writes at
//! depth 1 and 4 (and larger frames) through the same calls the log uses, each of them O_DIRECT and
//! O_DSYNC, and prints operations per second and the latency's median and 99th percentile.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runtime::{Event, Options, Ring};

const SEGMENT: &str = "floor_log.segment";
const SEGMENT_SIZE: u64 = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    if let Some(cpu) = arguments.next() {
        runtime::pin(cpu.parse()?)?;
    }
    runtime::files::check_direct_writes(&directory)?;
    let mut ring = Ring::open(Options::new(directory))?;
    for notice in ring.notices() {
        eprintln!("{notice}");
    }
    let started = Instant::now();
    ring.prepare(0, SEGMENT, SEGMENT_SIZE);
    wait_for_one(&mut ring)?;
    println!("{} MiB prepared in {:.1?}", SEGMENT_SIZE >> 20, started.elapsed());
    for (size, depth) in
        [(4 << 10, 1), (4 << 10, 2), (4 << 10, 4), (16 << 10, 4), (64 << 10, 4), (1 << 20, 4)]
    {
        measure(&mut ring, size, depth, Duration::from_secs(seconds))?;
    }
    ring.remove(0, SEGMENT);
    wait_for_one(&mut ring)?;
    Ok(())
}

fn wait_for_one(ring: &mut Ring) -> Result<(), Box<dyn Error>> {
    loop {
        if let Some(Event::Disk { result, .. }) = ring.poll_event() {
            return Ok(result?);
        }
        ring.submit_and_wait(None)?;
    }
}

fn measure(
    ring: &mut Ring,
    size: usize,
    depth: usize,
    length: Duration,
) -> Result<(), Box<dyn Error>> {
    let places = SEGMENT_SIZE / size as u64;
    let mut submitted = vec![Instant::now(); depth];
    let mut latencies_us: Vec<u64> = Vec::new();
    let mut position = 0;
    let cpu_before = cpu();
    let started = Instant::now();
    let mut write = |ring: &mut Ring, token: usize| {
        let offset = position % places * size as u64;
        position += 1;
        ring.write(token as u64, SEGMENT, offset, size, |into| into.fill(position as u8));
    };
    for (token, time) in submitted.iter_mut().enumerate() {
        *time = Instant::now();
        write(ring, token);
    }
    let mut under_way = depth;
    while 0 < under_way {
        ring.submit_and_wait(None)?;
        let mut done = Vec::with_capacity(depth);
        while let Some(event) = ring.poll_event() {
            if let Event::Disk { token, result } = event {
                result?;
                done.push(usize::try_from(token)?);
            }
        }
        for token in done {
            let latency = submitted[token].elapsed();
            latencies_us.push(u64::try_from(latency.as_micros())?);
            if started.elapsed() < length {
                submitted[token] = Instant::now();
                write(ring, token);
            } else {
                under_way -= 1;
            }
        }
    }
    let elapsed = started.elapsed();
    let count = latencies_us.len();
    latencies_us.sort_unstable();
    println!(
        "{:>5} KiB, depth {depth}: {:>6.0} ops/s, p50 {:>4} us, p99 {:>4} us, {:>5.1} us of CPU",
        size >> 10,
        count as f64 / elapsed.as_secs_f64(),
        latencies_us[count / 2],
        latencies_us[count * 99 / 100],
        (cpu() - cpu_before).as_secs_f64() * 1e6 / count as f64,
    );
    Ok(())
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
