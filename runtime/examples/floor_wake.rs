//! The floor under every hop: one core wakes another that sleeps in its ring.
//!
//! `cargo run --release -p runtime --example floor_wake [ROUNDS] [CPU] [CPU]`: two pinned threads,
//! each with a ring, and the mesh between them. *Ping-pong*: each answers what it gets, so every
//! message finds a sleeper; half a round trip is one way with its wake-up. *One way*: one thread
//! sends a message each 30 us and idles, the other sleeps meanwhile; the message carries the time,
//! so its delay shows, and the CPU of sender and receiver per wake-up. Both are measured for
//! messages (IORING_OP_MSG_RING) and for eventfds.

use std::error::Error;
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use runtime::mesh::{Port, mesh};
use runtime::{Options, Ring, WakeBy, Waker};
use rustix::time::{ClockId, clock_gettime};

/// Between two messages of the one way: longer than the other takes to fall asleep again.
const SPACE: Duration = Duration::from_micros(30);

/// The time it was sent; none ends the other's part.
type Note = Option<Instant>;

struct Core {
    ring: Ring,
    port: Port<Note>,
}

/// One thread's part: the times it measured, in nanoseconds.
type Part = fn(&mut Core, usize) -> Vec<u64>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let mut cpus: Vec<usize> = arguments.map(|text| text.parse()).collect::<Result<_, _>>()?;
    if cpus.len() != 2 {
        let allowed = runtime::inherited_cpus()?;
        cpus = vec![allowed[0], allowed[allowed.len() - 1]];
    }
    println!("{rounds} rounds on processors {cpus:?}");
    for _ in 0..3 {
        for by in [WakeBy::Message, WakeBy::Eventfd] {
            measure("ping-pong", by, rounds, &cpus, [ping, pong]);
            measure("one way", by, rounds / 4, &cpus, [send_spaced, take]);
        }
    }
    Ok(())
}

fn measure(name: &str, by: WakeBy, rounds: usize, cpus: &[usize], parts: [Part; 2]) {
    let barrier = Barrier::new(2);
    let wakers = [OnceLock::<Waker>::new(), OnceLock::new()];
    let run = |own: usize, port: Port<Note>| {
        runtime::pin(cpus[own]).expect("the processor is ours");
        let mut ring = Ring::open(Options::new(std::env::temp_dir())).expect("a ring opens");
        ring.set_wake_by(by);
        wakers[own].set(ring.waker()).expect("each core has its place");
        barrier.wait();
        for waker in &wakers {
            ring.add_peer(waker.get().expect("both have come").clone());
        }
        let mut core = Core { ring, port };
        let before = thread_cpu();
        let times = parts[own](&mut core, rounds);
        let cpu = thread_cpu() - before;
        barrier.wait();
        (times, cpu, core.ring.stats().wakes_sent)
    };
    let (first, second) = std::thread::scope(|scope| {
        let mut ports = mesh(2, 64).into_iter();
        let mut spawn = |own| {
            let port = ports.next().expect("there are two");
            scope.spawn(move || run(own, port))
        };
        let (first, second) = (spawn(0), spawn(1));
        (first.join().expect("it ends"), second.join().expect("it ends"))
    });
    let mut times = [first.0, second.0].concat();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100] as f64 / 1000.0;
    let per = |cpu: Duration| cpu.as_nanos() as f64 / rounds as f64 / 1000.0;
    println!(
        "{name:>9} by {by:?}: p50 {:.2} us, p90 {:.2} us, p99 {:.2} us; CPU per round {:.2} and \
         {:.2} us; {} and {} wake-ups",
        at(50),
        at(90),
        at(99),
        per(first.1),
        per(second.1),
        first.2,
        second.2,
    );
}

impl Core {
    fn other(&self) -> usize {
        1 - self.port.own()
    }

    fn send(&mut self, note: Note) {
        let other = self.other();
        self.port.send(other, Box::new(note)).expect("one is under way at a time");
        if self.port.must_wake(other) {
            self.ring.wake(other);
        }
    }

    /// Sleeps until a note has come.
    fn receive(&mut self) -> Note {
        loop {
            if let Some((_, note)) = self.port.poll() {
                return *note;
            }
            let deadline = if self.port.try_sleep() { None } else { Some(0) };
            self.turn(deadline);
            self.port.wake_up();
        }
    }

    fn turn(&mut self, deadline: Option<u64>) {
        self.ring.submit_and_wait(deadline).expect("the ring works");
        while self.ring.poll_event().is_some() {}
    }
}

/// Half of each round trip.
fn ping(core: &mut Core, rounds: usize) -> Vec<u64> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        core.send(Some(start));
        core.receive();
        times.push(nanoseconds(start) / 2);
    }
    core.send(None);
    core.turn(Some(0));
    times
}

fn pong(core: &mut Core, _: usize) -> Vec<u64> {
    while let Some(sent) = core.receive() {
        core.send(Some(sent));
    }
    Vec::new()
}

fn send_spaced(core: &mut Core, rounds: usize) -> Vec<u64> {
    for _ in 0..rounds {
        let start = Instant::now();
        core.send(Some(start));
        core.turn(Some(0));
        std::thread::sleep(SPACE);
    }
    core.send(None);
    core.turn(Some(0));
    Vec::new()
}

fn take(core: &mut Core, rounds: usize) -> Vec<u64> {
    let mut times = Vec::with_capacity(rounds);
    while let Some(sent) = core.receive() {
        times.push(nanoseconds(sent));
    }
    times
}

fn nanoseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).expect("a run is short")
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
