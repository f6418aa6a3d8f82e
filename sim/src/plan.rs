//! What a seed decides before anything happens: configuration of the node, nature of its disk, how
//! often what goes wrong.

use base::{CoreId, Prng};

/// Owner: world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Cores of the first start.
    pub cores: u16,
    /// Later starts may have another number of cores.
    pub cores_change: bool,
    pub slices: u16,
    pub segment_size: u64,
    pub frames_in_flight: usize,
    pub spare_segments: usize,
    pub seal_after_us: u64,
    pub ballast_segments: usize,
    pub output_size_pause: usize,
    pub memory_durability_age_us: u64,
    /// What takes longer runs beside the core: nanoseconds. Zero: every command on keys.
    pub long_command_ns: u64,
    pub clients: usize,
    pub pipeline_max: u64,
    /// The time of an ordinary write: microseconds.
    pub write_us: u64,
    /// Events of a turn lie at most this far apart: microseconds.
    pub turn_window_us: u64,
    pub rots: bool,
    pub fails: bool,
    pub fills: bool,
    pub slows: bool,
    pub jumps: bool,
    /// Processes often die while they start.
    pub restless: bool,
    /// The setting `snapshot-log-size`.
    pub snapshot_log_size: u64,
    /// The setting `save`.
    pub save_points: &'static str,
    pub snapshot_steps: node::SnapshotSteps,
    pub seed: u64,
}

/// Which bug is planted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planting {
    pub node: Option<node::Plant>,
    #[cfg(feature = "planted")]
    pub wal: Option<wal::Plant>,
}

impl Plan {
    pub fn draw(seed: u64, prng: &mut Prng) -> Self {
        const KIB: u64 = 1024;
        let segments = [64, 64, 128, 256, 1024];
        let segment_size = segments[prng.index(segments.len())] * KIB;
        let slices = [1, 4, 16, 16][prng.index(4)];
        let cores = (1 + prng.below(4) as u16).min(slices);
        Self {
            cores,
            cores_change: prng.chance(30),
            slices,
            segment_size,
            frames_in_flight: 1 + prng.index(8),
            spare_segments: 2 + prng.index(2),
            seal_after_us: [1_000, 20_000, 300_000][prng.index(3)],
            ballast_segments: prng.index(3),
            output_size_pause: [4 * KIB as usize, 64 * 1024, 64 * 1024 * 1024][prng.index(3)],
            memory_durability_age_us: [2_000, 100_000, 1_000_000][prng.index(3)],
            // Of its own stream, so that what else a seed draws is as it was.
            long_command_ns: [u64::MAX, 250_000, 400, 0][Prng::from_seed(seed ^ 0x10f6).index(4)],
            clients: 4 + prng.index(7),
            pipeline_max: [1, 5, 20][prng.index(3)],
            write_us: [50, 200, 2_000][prng.index(3)],
            turn_window_us: [0, 20, 100, 500][prng.index(4)],
            rots: prng.chance(20),
            fails: prng.chance(25),
            fills: prng.chance(30),
            slows: prng.chance(40),
            jumps: prng.chance(50),
            restless: prng.chance(30),
            snapshot_log_size: [64, 64, 256, 4096][prng.index(4)] * KIB,
            save_points: ["", "", "2 100"][prng.index(3)],
            snapshot_steps: node::SnapshotSteps {
                chunk_size: [256, 4096, 512 * 1024][prng.index(3)],
                entries_per_turn: [16, 64, 512][prng.index(3)],
            },
            seed,
        }
    }

    pub fn wal_config(&self, core: u16) -> wal::Config {
        wal::Config {
            log: CoreId(core),
            node_uuid: *b"a simulated node",
            segment_size: self.segment_size,
            frames_in_flight: self.frames_in_flight,
            spare_segments: self.spare_segments,
            seal_after_us: self.seal_after_us,
            ballast_segments: self.ballast_segments,
        }
    }

    pub fn node_config(&self, core: u16, incarnation: u64) -> node::Config {
        node::Config {
            wal: self.wal_config(core),
            durability: node::Durability::Local,
            durability_floor: node::Durability::Memory,
            memory_durability_age_us: self.memory_durability_age_us,
            password: None,
            protected_mode: true,
            clients_max: 1000,
            output_size_pause: self.output_size_pause,
            output_budget: 16 * self.output_size_pause,
            entry_size_max: base::limits::ENTRY_SIZE_MAX,
            long_command_ns: self.long_command_ns,
            given: vec![
                ("snapshot-log-size".to_owned(), self.snapshot_log_size.to_string().into_bytes()),
                ("save".to_owned(), self.save_points.into()),
            ],
            stopwatch: || 0,
            cpu_times: node::CpuTimes::default,
            settings: Vec::new(),
            facts: node::Facts::default(),
            seed: self.seed ^ incarnation.wrapping_mul(0x2545_f491_4f6c_dd1d),
            hash_seed: self.seed,
        }
    }
}
