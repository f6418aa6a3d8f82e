//! Frames: records appended, a batch closed and encoded into the buffer the disk takes.

use std::hint::black_box;

use base::{CoreId, LogIndex, Now, Prng, SliceId, Term};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wal::{Config, Event, LogFile, LogRead, Output, ReadError, Record, Wal};

/// A directory with nothing in it.
struct Empty;

impl LogRead for Empty {
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError> {
        Ok(Vec::new())
    }

    fn read_at(&mut self, file: LogFile, offset: u64, _: &mut [u8]) -> Result<(), ReadError> {
        Err(ReadError { file: Some(file), offset, message: "the directory is empty".to_owned() })
    }
}

/// A running log whose every operation completes at once; what it writes goes to `buffer`.
struct Bench {
    wal: Wal,
    now: Now,
    index: LogIndex,
    buffer: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let config = Config {
            log: CoreId(0),
            node_uuid: [1; 16],
            segment_size: base::limits::SEGMENT_SIZE,
            frames_in_flight: 4,
            spare_segments: 2,
            seal_after_us: 5_000,
            ballast_segments: 0,
        };
        let recovered =
            wal::recover(&mut Empty, &config, &mut |_, _| Ok(())).expect("nothing is damaged");
        let now = Now { monotonic_us: 1, wall_ms: 1 };
        let wal = Wal::new(config, recovered, Prng::from_seed(1), now);
        let buffer = vec![0; base::limits::FRAME_SIZE_MAX];
        let mut bench = Self { wal, now, index: LogIndex::NONE, buffer };
        while !bench.wal.is_running() {
            bench.carry_out();
        }
        bench
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.wal.poll_output() {
            let token = match output {
                Output::Write(write) => {
                    let (token, size) = (write.token, write.size());
                    write.encode(&mut self.buffer[..size]);
                    black_box(&self.buffer[..size]);
                    token
                }
                Output::Flush { token, .. }
                | Output::Prepare { token, .. }
                | Output::Remove { token, .. } => token,
                Output::Release { .. } => continue,
                Output::Halt(halt) => unreachable!("nothing fails here: {halt}"),
            };
            self.wal.handle(Event { token, result: Ok(()) }, self.now);
        }
    }

    fn commit(&mut self, body: &[u8]) {
        self.index = self.index.next();
        self.wal.append(Record::Entry {
            slice: SliceId(0),
            term: Term(1),
            index: self.index,
            body,
        });
        let frame = self.wal.close_batch(self.now).expect("the batch holds a record");
        self.carry_out();
        assert!(frame <= self.wal.durable());
    }
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames");
    for size in [150, 2_400, 64 * 1024] {
        let body = vec![b'x'; size];
        let mut bench = Bench::new();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("append_close_encode_{size}"), |b| {
            b.iter(|| bench.commit(black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
