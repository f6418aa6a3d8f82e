//! A node with a disk in memory and clients that are vectors of bytes, for tests and benchmarks.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::limits::{ENTRY_SIZE_MAX, OUTPUT_BUDGET, OUTPUT_SIZE_PAUSE, SEGMENT_SIZE_MIN};
use base::{ConnectionId, CoreId, Now, SliceId};
use node::{
    Config, CpuTimes, Durability, Event, Facts, InForce, LogReplay, LongJob, Node, NodeStart,
    Output, Parcel, SliceReplay, SnapshotEvent, SnapshotOutput, Topology, settle_replays,
};
use wal::{IoError, LogFile, LogRead, ReadError};

use crate::shelf::Shelf;

/// The files of a log. What was written is there; nothing is ever lost.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    files: BTreeMap<String, Vec<u8>>,
    pub shelf: Shelf,
}

impl LogRead for MemoryLog {
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError> {
        let known = self.files.iter();
        Ok(known
            .filter_map(|(name, bytes)| Some((LogFile::parse(name)?, bytes.len() as u64)))
            .collect())
    }

    fn read_at(&mut self, file: LogFile, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let bytes = &self.files[&file.name()];
        let start = offset as usize;
        match bytes.get(start..start + into.len()) {
            Some(bytes) => {
                into.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(ReadError { file: Some(file), offset, message: "beyond its end".into() }),
        }
    }
}

/// A core, its disk, its clients.
#[derive(Debug)]
pub struct World {
    pub node: Node,
    pub log: MemoryLog,
    pub now: Now,
    /// While true, nothing the log asks for completes.
    pub disk_stalls: bool,
    /// While true, writes of frames do not complete, and everything else does.
    pub frames_stall: bool,
    /// While true, nothing is told of chunks of snapshots: what would be is kept.
    pub chunks_stall: bool,
    pub chunks_written: Vec<SnapshotEvent>,
    /// What every preparation of a file is answered.
    pub prepare_result: Result<(), IoError>,
    /// While true, the runner runs nothing.
    pub runner_stalls: bool,
    /// What it is to run: at most one job.
    pub long: Option<Box<LongJob>>,
    /// Jobs that ran.
    pub long_ran: usize,
    pub listening: bool,
    pub exited: bool,
    pub halted: bool,
    pub clients: BTreeMap<u32, TestClient>,
    /// What was to be written into the configuration file, and what comes of it.
    pub rewritten: Vec<Vec<InForce>>,
    pub rewrite_result: Result<(), String>,
    /// What the other cores are to get.
    pub parcels: Vec<(CoreId, Box<Parcel>)>,
    pending: Vec<u64>,
    frames: Vec<u64>,
    /// Something happened that the node has not closed a turn over.
    is_woken: bool,
}

/// Turns within which everything that tests ask for is done.
const TURNS_MAX: usize = 100_000;

/// What a client has received.
#[derive(Debug, Default)]
pub struct TestClient {
    pub received: Vec<u8>,
    pub closed: bool,
    pub stopped: bool,
    /// A client that does not read: its sends never complete.
    pub stuck: bool,
    /// Sends on their way; two would be a fault.
    pub sending: usize,
}

pub fn config() -> Config {
    Config {
        wal: wal::Config {
            log: CoreId(0),
            node_uuid: [7; 16],
            segment_size: 16 * SEGMENT_SIZE_MIN,
            frames_in_flight: 4,
            spare_segments: 2,
            seal_after_us: 5_000,
            ballast_segments: 0,
        },
        durability: Durability::Local,
        durability_floor: Durability::Memory,
        memory_durability_age_us: 1_000_000,
        password: None,
        protected_mode: true,
        clients_max: 100,
        output_size_pause: OUTPUT_SIZE_PAUSE,
        output_budget: OUTPUT_BUDGET,
        entry_size_max: ENTRY_SIZE_MAX,
        long_command_ns: 250_000,
        given: Vec::new(),
        stopwatch: || 0,
        cpu_times: CpuTimes::default,
        settings: vec![("appendonly".into(), "yes".into()), ("databases".into(), "16".into())],
        facts: Facts::default(),
        seed: 42,
        hash_seed: 42,
    }
}

pub fn id(index: u32) -> ConnectionId {
    ConnectionId { index, generation: 1 }
}

impl World {
    pub fn new() -> Self {
        Self::with(config(), MemoryLog::default())
    }

    /// A node on what `log` holds, recovered and listening.
    pub fn with(config: Config, log: MemoryLog) -> Self {
        let mut world = Self::started(config, log);
        for _ in 0..100 {
            if world.listening {
                return world;
            }
            world.turn();
        }
        unreachable!("a node on a healthy disk comes to listen");
    }

    /// A node on what `log` holds, before its first turn.
    pub fn started(config: Config, log: MemoryLog) -> Self {
        let topology = Topology::new(1, 1);
        let mut worlds = Self::started_cores(&config, topology, vec![log]);
        worlds.pop().expect("there is one")
    }

    /// The cores of a node on what `logs` hold, before their first turns.
    pub fn started_cores(config: &Config, topology: Topology, logs: Vec<MemoryLog>) -> Vec<Self> {
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        let mut replays = Vec::new();
        let mut hard_states = Vec::new();
        let mut cores = Vec::new();
        for (core, mut log) in (0..topology.cores()).map(CoreId).zip(logs) {
            let mut config = config.clone();
            config.wal.log = core;
            let slices = topology.slices_of(core);
            let slices = slices.map(|slice| {
                log.shelf.restored(SliceReplay::new(slice, config.hash_seed, topology))
            });
            let mut replay = LogReplay::new(slices.collect());
            let mut take = |_: base::FrameSequence, record: wal::Record<'_>| replay.replay(record);
            let recovered =
                wal::recover(&mut log, &config.wal, &mut take).expect("the log is whole");
            hard_states.extend_from_slice(&recovered.hard_states);
            replays.extend(replay.into_slices());
            cores.push((core, config, log, recovered));
        }
        let starts = settle_replays(replays, &hard_states).expect("the logs agree");
        let mut starts: Vec<_> = starts.into_iter().map(Some).collect();
        let worlds = cores.into_iter().map(|(core, config, log, recovered)| {
            let slices = topology.slices_of(core).map(|SliceId(slice)| {
                starts[usize::from(slice)].take().expect("a slice has one core")
            });
            let slices = slices.collect();
            let own = topology.slices_of(core);
            let published = own.flat_map(|slice| {
                let mut published = log.shelf.published(slice);
                published.split_off(published.len().saturating_sub(2))
            });
            let published = published.collect();
            let start = NodeStart { core, topology, config, slices, recovered, published };
            Self::over(Node::new(start, now), log, now)
        });
        worlds.collect()
    }

    fn over(node: Node, log: MemoryLog, now: Now) -> Self {
        Self {
            node,
            log,
            now,
            disk_stalls: false,
            frames_stall: false,
            chunks_stall: false,
            chunks_written: Vec::new(),
            frames: Vec::new(),
            is_woken: false,
            prepare_result: Ok(()),
            runner_stalls: false,
            long: None,
            long_ran: 0,
            listening: false,
            exited: false,
            halted: false,
            clients: BTreeMap::new(),
            rewritten: Vec::new(),
            rewrite_result: Ok(()),
            parcels: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Stops the node without warning and starts another on its disk.
    pub fn restart(self) -> Self {
        Self::with(config(), self.log)
    }

    pub fn connect(&mut self, index: u32) {
        self.connect_from(index, "127.0.0.1:50000");
    }

    pub fn connect_from(&mut self, index: u32, peer: &str) {
        let peer: SocketAddr = peer.parse().expect("an address");
        self.clients.insert(index, TestClient::default());
        self.node.handle(Event::Accepted { id: id(index), peer, local: peer }, self.now);
    }

    /// Sends `text` with each line ended as an inline request, then lets one turn pass.
    pub fn send(&mut self, index: u32, text: &str) {
        let bytes = text.replace('\n', "\r\n") + "\r\n";
        self.send_bytes(index, bytes.as_bytes());
        self.turn();
    }

    pub fn send_bytes(&mut self, index: u32, bytes: &[u8]) {
        self.node.handle(Event::Received { id: id(index), bytes }, self.now);
    }

    /// What the client received since the last call, lines joined by blanks.
    pub fn received(&mut self, index: u32) -> String {
        let client = self.clients.get_mut(&index).expect("it connected");
        let bytes = std::mem::take(&mut client.received);
        String::from_utf8_lossy(&bytes).trim_end().replace("\r\n", " ")
    }

    /// Sends, lets everything settle, returns what came back.
    pub fn ask(&mut self, index: u32, text: &str) -> String {
        self.send(index, text);
        self.settle();
        self.received(index)
    }

    /// Turns until the disk has nothing to do.
    pub fn settle(&mut self) {
        for _ in 0..64 {
            self.turn();
        }
    }

    /// The client sends no more, and goes on reading.
    pub fn end(&mut self, index: u32) {
        self.node.handle(Event::Ended { id: id(index) }, self.now);
        self.turn();
    }

    /// The client is gone.
    pub fn close(&mut self, index: u32) {
        self.node.handle(Event::Closed { id: id(index) }, self.now);
        self.turn();
    }

    /// Turns for as long as the shell would take them: until it would sleep.
    pub fn run_until_asleep(&mut self) {
        for _ in 0..TURNS_MAX {
            let is_running = self.long.is_some() && !self.runner_stalls;
            let has_completions = !self.pending.is_empty() || !self.frames.is_empty() || is_running;
            let is_due = self.node.poll_timeout().is_some_and(|at| at <= self.now.monotonic_us);
            if !has_completions && !is_due && !self.is_woken {
                return;
            }
            self.turn();
        }
        unreachable!("a core with nothing to do sleeps");
    }

    /// Lets `us` microseconds pass.
    pub fn pass(&mut self, us: u64) {
        self.now.monotonic_us += us;
        self.now.wall_ms += us / 1000;
        self.turn();
    }

    /// One turn: completions, close, outputs.
    pub fn turn(&mut self) {
        if !self.frames_stall {
            self.pending.append(&mut self.frames);
        }
        if !self.disk_stalls {
            for token in std::mem::take(&mut self.pending) {
                self.node.handle(Event::Log(wal::Event { token, result: Ok(()) }), self.now);
            }
        }
        if !self.runner_stalls
            && let Some(mut job) = self.long.take()
        {
            job.run();
            self.long_ran += 1;
            self.node.handle(Event::Ran(job), self.now);
        }
        if !self.chunks_stall {
            for event in std::mem::take(&mut self.chunks_written) {
                self.node.handle(Event::Snapshot(event), self.now);
            }
        }
        self.node.close_turn(self.now);
        let mut events = Vec::new();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Listen => self.listening = true,
                Output::Exit => self.exited = true,
                Output::RewriteConfig { settings, .. } => {
                    self.rewritten.push(settings);
                    let result = self.rewrite_result.clone();
                    events.push(Event::ConfigRewritten { result });
                }
                Output::Run(job) => {
                    let other = self.long.replace(job);
                    assert!(other.is_none(), "one long command at a time");
                }
                Output::Snapshot(output) => {
                    let is_chunk = matches!(output, SnapshotOutput::Chunk { .. });
                    let event = self.log.shelf.carry_out(output);
                    if is_chunk && self.chunks_stall {
                        self.chunks_written.extend(event);
                    } else {
                        events.extend(event.map(Event::Snapshot));
                    }
                }
                Output::Send { id, buffer } => {
                    let client = self.clients.get_mut(&id.index).expect("it connected");
                    client.sending += 1;
                    assert!(client.sending == 1, "two sends of one client are on their way");
                    if !client.stuck {
                        client.sending = 0;
                        client.received.extend_from_slice(&buffer);
                        events.push(Event::Sent { id, buffer });
                    }
                }
                Output::Close { id } => {
                    self.clients.get_mut(&id.index).expect("it connected").closed = true;
                    events.push(Event::Closed { id });
                }
                Output::StopReceive { id } => {
                    self.clients.get_mut(&id.index).expect("it connected").stopped = true;
                }
                Output::StartReceive { id } => {
                    self.clients.get_mut(&id.index).expect("it connected").stopped = false;
                }
                Output::Parcel { to, parcel, .. } => self.parcels.push((to, parcel)),
                Output::Log(output) => match output {
                    wal::Output::Write(write) => {
                        let (token, offset) = (write.token, write.offset as usize);
                        let file = self.log.files.entry(write.file.name()).or_default();
                        let end = offset + write.size();
                        if file.len() < end {
                            file.resize(end, 0);
                        }
                        // Headers and marks are at the start of their file.
                        let is_frame = 0 < offset;
                        write.encode(&mut file[offset..end]);
                        if is_frame {
                            self.frames.push(token);
                        } else {
                            self.pending.push(token);
                        }
                    }
                    wal::Output::Flush { token, .. } => self.pending.push(token),
                    wal::Output::Prepare { token, file, size } => {
                        let result = self.prepare_result;
                        if result.is_ok() {
                            self.log.files.insert(file.name(), vec![0; size as usize]);
                        }
                        events.push(Event::Log(wal::Event { token, result }));
                    }
                    wal::Output::Remove { token, file } => {
                        self.log.files.remove(&file.name());
                        self.pending.push(token);
                    }
                    wal::Output::Release { .. } => {}
                    wal::Output::Halt(_) => self.halted = true,
                },
            }
        }
        self.is_woken = !events.is_empty();
        for event in events {
            self.node.handle(event, self.now);
        }
    }
}
