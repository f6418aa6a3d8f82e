//! The floor under every request: answers `+PONG` to each `PING` and does nothing else.
//!
//! `cargo run --release -p runtime --example floor_echo [PORT] [CPU] [prompt]`, then for example
//! `redis-benchmark -p PORT -t ping_mbulk -c 50 -P 16 -n 1000000`. It counts the PINGs a chunk
//! completes, so the figures are those of the ring, the sockets and the loop alone. With `prompt`
//! it asks for every Sent at once, as a server that always waits for it would. SIGINT or SIGTERM
//! ends it and prints its CPU time per request.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;

use base::ConnectionId;
use runtime::{Event, Options, Ring};

const PING: &[u8] = b"\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";
/// redis-benchmark asks for two settings first and waits for the answers, whatever they are.
const CONFIG: &[u8] = b"\r\nCONFIG\r\n";
const NO_CONFIG: &[u8] = b"-ERR this is the floor: there is nothing to configure\r\n";

#[derive(Default)]
struct Client {
    /// The end of the last chunk: a PING may be cut anywhere.
    tail: Vec<u8>,
    replies: Vec<u8>,
    sending: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    runtime::block_signals()?;
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(6390), |text| text.parse())?;
    let cpu: Option<usize> = arguments.next().map(|text| text.parse()).transpose()?;
    let prompt = arguments.next().is_some_and(|word| word == "prompt");
    if let Some(cpu) = cpu {
        runtime::pin(cpu)?;
    }
    let directory = std::env::temp_dir();
    let mut ring = Ring::open(Options::new(directory))?;
    for notice in ring.notices() {
        eprintln!("{notice}");
    }
    ring.watch_signals()?;
    let listener = runtime::listen::first(SocketAddr::from(([127, 0, 0, 1], port)), 511)?;
    eprintln!("listening on {}", listener.local_addr()?);
    ring.listen(listener)?;
    let (requests, turns) = serve(&mut ring, prompt)?;
    let stats = ring.stats();
    let cpu_ns = cpu_nanoseconds();
    println!(
        "{requests} requests, {turns} turns, {} enters, {} ns of CPU per request, {stats:?}",
        stats.enters,
        cpu_ns / requests.max(1)
    );
    Ok(())
}

fn serve(ring: &mut Ring, prompt: bool) -> Result<(u64, u64), Box<dyn Error>> {
    let mut clients: HashMap<ConnectionId, Client> = HashMap::new();
    let (mut touched, mut gone) = (Vec::new(), Vec::new());
    let mut free: Vec<Vec<u8>> = Vec::new();
    let (mut requests, mut turns) = (0, 0);
    loop {
        turns += 1;
        ring.submit_and_wait(None)?;
        while let Some(event) = ring.poll_event() {
            match event {
                Event::Accepted { id, .. } => {
                    clients.insert(id, Client::default());
                }
                Event::Received { id, bytes } => {
                    let client = clients.get_mut(&id).expect("it was accepted");
                    for _ in 0..count(bytes, CONFIG) {
                        client.replies.extend_from_slice(NO_CONFIG);
                    }
                    let pings = count_pings(&mut client.tail, bytes);
                    requests += pings as u64;
                    for _ in 0..pings {
                        client.replies.extend_from_slice(PONG);
                    }
                    touched.push(id);
                }
                Event::Sent { id, mut buffer } => {
                    clients.get_mut(&id).expect("it was accepted").sending = false;
                    buffer.clear();
                    free.push(buffer);
                    touched.push(id);
                }
                Event::Ended { id } => gone.push(id),
                Event::Closed { id } => {
                    clients.remove(&id);
                }
                Event::Disk { .. } => {}
                Event::Signal(_) => return Ok((requests, turns)),
            }
        }
        for id in gone.drain(..) {
            ring.close(id);
        }
        for id in touched.drain(..) {
            let Some(client) = clients.get_mut(&id) else { continue };
            if client.sending || client.replies.is_empty() {
                continue;
            }
            client.sending = true;
            let next = free.pop().unwrap_or_default();
            let replies = std::mem::replace(&mut client.replies, next);
            if prompt {
                ring.send(id, replies);
            } else {
                ring.send_relaxed(id, replies);
            }
        }
    }
}

/// How many PINGs end within `bytes`, given the end of what came before.
fn count_pings(tail: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let keep = PING.len() - 1;
    tail.extend_from_slice(&bytes[..bytes.len().min(keep)]);
    let across = count(tail, PING);
    let within = count(bytes, PING);
    if keep <= bytes.len() {
        tail.clear();
        tail.extend_from_slice(&bytes[bytes.len() - keep..]);
    } else {
        // All of a short chunk was counted with the tail.
        let excess = tail.len().saturating_sub(keep);
        tail.drain(..excess);
        return across;
    }
    across + within
}

fn count(bytes: &[u8], word: &[u8]) -> usize {
    bytes.windows(word.len()).filter(|window| *window == word).count()
}

fn cpu_nanoseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
