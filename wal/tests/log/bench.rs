//! A log on a disk in memory, driven by hand.

use base::{CoreId, FrameSequence, LogIndex, Now, Prng, SliceId, Term};
use wal::{Config, Event, IoError, Record, Recovered, RecoveryError, Wal, recover};

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
        ballast_size: 0,
    }
}

/// Recovers and gathers the entries.
pub fn read_log(disk: &mut Disk, config: &Config) -> Result<(Recovered, Vec<Entry>), RecoveryError> {
    let mut entries = Vec::new();
    let recovered = recover(disk, config, &mut |sequence, record| {
        if let Record::Entry { slice, term, index, body } = record {
            entries.push((sequence, slice, term, index, body.to_vec()));
        }
        Ok(())
    })?;
    Ok((recovered, entries))
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
    pub fn starting(mut disk: Disk, config: Config) -> Self {
        let (recovered, entries) = read_log(&mut disk, &config).expect("the log is whole");
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

    /// Completes everything that is no write.
    pub fn settle_files(&mut self) {
        self.submit();
        let is_write = |(_, operation): &(u64, Operation)| matches!(operation, Operation::Write { .. });
        while let Some(at) = self.disk.in_flight.iter().position(|pending| !is_write(pending)) {
            self.complete(at);
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
