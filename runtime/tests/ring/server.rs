//! A server thread around a ring, driven by a closure, and what tests need around it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base::ConnectionId;
use runtime::{Event, Options, Ring, Stats};
use tempfile::TempDir;

/// An event that owns its bytes, so that its handler may use the ring.
#[derive(Debug)]
pub(crate) enum Happened {
    Accepted(ConnectionId, SocketAddr),
    Received(ConnectionId, Vec<u8>),
    Sent(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
    Other,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Stats>,
}

impl Server {
    pub(crate) fn start<H>(change: impl FnOnce(&mut Options) + Send + 'static, handler: H) -> Self
    where
        H: FnMut(&mut Ring, Happened) + Send + 'static,
    {
        let listener = runtime::listen::first(SocketAddr::from(([127, 0, 0, 1], 0)), 4096)
            .expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let directory = directory();
            let mut options = options(&directory);
            change(&mut options);
            let mut ring = Ring::open(options).expect("this machine has io_uring");
            ring.listen(listener).expect("the listener can be used");
            run(&mut ring, &stopped, handler)
        });
        Self { address, stop, thread }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it is a socket");
        stream
    }

    /// Ends the server once no connection is left, and yields its counters.
    pub(crate) fn finish(self) -> Stats {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the server ends normally")
    }
}

fn run(ring: &mut Ring, stop: &AtomicBool, mut handler: impl FnMut(&mut Ring, Happened)) -> Stats {
    loop {
        let deadline = runtime::now().monotonic_us + 10_000;
        ring.submit_and_wait(Some(deadline)).expect("the ring works");
        for happened in take_events(ring) {
            handler(ring, happened);
        }
        let stats = ring.stats();
        if stop.load(Ordering::Relaxed) && stats.connections == 0 {
            return stats;
        }
    }
}

pub(crate) fn take_events(ring: &mut Ring) -> Vec<Happened> {
    let (mut events, mut ended) = (Vec::new(), Vec::new());
    while let Some(event) = ring.poll_event() {
        events.push(match event {
            Event::Ended { id } => {
                ended.push(id);
                Happened::Other
            }
            Event::Accepted { id, peer, .. } => Happened::Accepted(id, peer),
            Event::Received { id, bytes } => Happened::Received(id, bytes.to_vec()),
            Event::Sent { id, buffer } => Happened::Sent(id, buffer),
            Event::Closed { id } => Happened::Closed(id),
            Event::Disk { .. } | Event::Signal(_) => Happened::Other,
        });
    }
    ended.into_iter().for_each(|id| ring.close(id));
    events
}

/// A directory on the disk the tests are built on: the system's temporary one may be in memory.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written")
}

pub(crate) fn options(directory: &TempDir) -> Options {
    Options { connections_max: 3000, ..Options::new(directory.path().to_owned()) }
}

/// Bytes in which a shift, a loss or a repetition shows.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}
