//! A log on a disk in memory, driven by hand.

use base::{CoreId, FrameSequence, LogIndex, Now, Prng, SliceId, Term};
use wal::{Config, Event, IoError, Planted, Record, Recovered, RecoveryError, Wal};

use crate::disk::{Disk, Operation};

pub const UUID: [u8; 16] = *b"a node of a test";

/// An entry as it was replayed: the last frame of its batch, slice, term, index, body.
pub type Entry = (FrameSequence, SliceId, Term, LogIndex, Vec<u8>);

pub fn config() -> Config {
    Config {
        log: CoreId(0),
        node_uuid: UUID,
        segment_size: 64 * 1024,
        frames_in_flight: 4,
        spare_segments: 2,
        seal_after_us: 5_000,
        ballast_segments: 0,
    }
}

/// Recovers and gathers the entries.
pub fn read_log(
    disk: &mut Disk,
    config: &Config,
) -> Result<(Recovered, Vec<Entry>), RecoveryError> {
    read_planted(disk, config, Planted::none())
}

pub fn read_planted(
    disk: &mut Disk,
    config: &Config,
    planted: Planted,
) -> Result<(Recovered, Vec<Entry>), RecoveryError> {
    let mut entries = Vec::new();
    let recovered = recover(disk, config, planted, &mut |sequence, record| {
        if let Record::Entry { slice, term, index, body } = record {
            entries.push((sequence, slice, term, index, body.to_vec()));
        }
        Ok(())
    })?;
    Ok((recovered, entries))
}

/// With planted bugs, if they are built in.
pub fn recover(
    disk: &mut Disk,
    config: &Config,
    planted: Planted,
    replay: &mut dyn FnMut(FrameSequence, Record<'_>) -> Result<(), String>,
) -> Result<Recovered, RecoveryError> {
    #[cfg(feature = "planted")]
    return wal::recover_planted(disk, config, planted, replay);
    #[cfg(not(feature = "planted"))]
    {
        assert_eq!(planted, Planted::none());
        wal::recover(disk, config, replay)
    }
}

pub struct Bench {
    pub config: Config,
    pub disk: Disk,
    pub wal: Wal,
    pub now: Now,
    pub next_index: u64,
}

impl Bench {
    /// A new log, running.
    pub fn new(config: Config) -> Self {
        Self::on(Disk::default(), config)
    }

    /// The log of a disk, running.
    pub fn on(disk: Disk, config: Config) -> Self {
        let mut bench = Self::starting(disk, config);
        bench.settle();
        assert!(bench.wal.is_running());
        bench
    }

    /// The log of a disk, recovered and not yet given any completion.
    pub fn starting(disk: Disk, config: Config) -> Self {
        Self::starting_planted(disk, config, Planted::none())
    }

    pub fn starting_planted(mut disk: Disk, config: Config, planted: Planted) -> Self {
        let (recovered, entries) =
            read_planted(&mut disk, &config, planted).expect("the log is whole");
        let next_index = entries.len() as u64 + 1;
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        let seed = recovered.boot;
        let wal = Wal::new(config.clone(), recovered, Prng::from_seed(seed), now);
        let mut bench = Self { config, disk, wal, now, next_index };
        bench.submit();
        bench
    }

    pub fn submit(&mut self) {
        self.disk.submit_all(&mut self.wal);
    }

    pub fn tell(&mut self, event: Event) {
        self.wal.handle(event, self.now);
        self.submit();
    }

    pub fn complete(&mut self, at: usize) {
        let event = self.disk.complete(at);
        self.tell(event);
    }

    /// Fails an operation in flight; what it did is not carried out.
    pub fn fail(&mut self, at: usize, error: IoError) {
        let (token, _) = self.disk.in_flight.swap_remove(at);
        self.tell(Event { token, result: Err(error) });
    }

    /// Completes everything until nothing is in flight.
    pub fn settle(&mut self) {
        self.submit();
        while !self.disk.in_flight.is_empty() && self.disk.halted.is_none() {
            self.complete(0);
        }
    }

    pub fn append(&mut self, body: &[u8]) {
        let (slice, term, index) = (SliceId(0), Term(1), LogIndex(self.next_index));
        self.wal.append(Record::Entry { slice, term, index, body });
        self.next_index += 1;
    }

    /// One entry as a batch of its own, submitted.
    pub fn batch(&mut self, body: &[u8]) -> FrameSequence {
        self.append(body);
        let last = self.wal.close_batch(self.now).expect("the batch has a record");
        self.submit();
        last
    }

    pub fn wait(&mut self, us: u64) {
        self.now.monotonic_us += us;
        self.now.wall_ms += us / 1000;
        self.wal.handle_time(self.now);
        self.submit();
    }

    /// Seals and ends cleanly; returns the disk.
    pub fn shut_down(mut self) -> Disk {
        self.wal.seal(self.now);
        self.settle();
        assert!(self.wal.is_idle());
        self.disk
    }

    /// Positions of writes in flight, oldest first.
    pub fn writes(&self) -> Vec<usize> {
        let mut writes: Vec<(u64, usize)> = Vec::new();
        for (at, (token, operation)) in self.disk.in_flight.iter().enumerate() {
            if matches!(operation, Operation::Write { .. }) {
                writes.push((*token, at));
            }
        }
        writes.sort_unstable();
        writes.into_iter().map(|(_, at)| at).collect()
    }
}

/// A body of `size` bytes that is different for each `number`.
pub fn body(number: u64, size: usize) -> Vec<u8> {
    (0..size).map(|at| (number as usize * 31 + at * 7 + at / 251) as u8 | 1).collect()
}
