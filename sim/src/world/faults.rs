//! What goes wrong, and when: crashes by turn, everything else by time.

use super::{HEALING_US_MIN, Happening, Stage, World};
use crate::plan::Plan;

/// A time in which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Window {
    Full,
    Slow,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Kill,
    PowerCut,
}

/// What is wrong just now. Owner: world.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kinds: Vec<Kind>,
    /// Disk operations take up to this much longer: microseconds.
    pub(super) slow_us: u64,
    /// The next write or flush that completes, or the next preparation, fails.
    pub(super) fail_write: bool,
    pub(super) fail_prepare: bool,
    /// The next part of a snapshot that is written, or its publication, fails.
    pub(super) fail_snapshot: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fill,
    Slow,
    Fail,
    Jump,
    Pause,
    Shutdown,
}

impl Faults {
    pub(super) fn new(plan: &Plan) -> Self {
        let wanted = [
            (plan.fills, Kind::Fill),
            (plan.slows, Kind::Slow),
            (plan.fails, Kind::Fail),
            (plan.jumps, Kind::Jump),
            (plan.jumps, Kind::Pause),
            (true, Kind::Shutdown),
        ];
        let kinds = wanted.iter().filter(|(wanted, _)| *wanted).map(|(_, kind)| *kind).collect();
        Self { kinds, ..Self::default() }
    }
}

impl World {
    /// One of this seed's faults begins.
    pub(super) fn fault(&mut self) {
        if self.stage != Stage::Working {
            return;
        }
        let after = self.prng.below(2_000_000);
        self.schedule(after, Happening::Fault);
        let kind = self.faults.kinds[self.prng.index(self.faults.kinds.len())];
        self.note("fault", &[kind as u64]);
        match kind {
            Kind::Fill => {
                let segments = self.prng.below(2 + u64::from(self.cores));
                self.disk_free = Some(segments * self.plan.segment_size);
                let most = [3_000_000, 20_000_000][self.prng.index(2)];
                let after = self.prng.below(most);
                self.schedule(after, Happening::FaultEnd(Window::Full));
            }
            Kind::Slow => {
                self.report.count("fault: slow disk");
                self.faults.slow_us = [5_000, 100_000, 2_000_000][self.prng.index(3)];
                let after = self.prng.below(3_000_000);
                self.schedule(after, Happening::FaultEnd(Window::Slow));
            }
            Kind::Fail if self.prng.chance(30) => self.faults.fail_snapshot = true,
            Kind::Fail if self.prng.chance(70) => self.faults.fail_write = true,
            Kind::Fail => self.faults.fail_prepare = true,
            Kind::Jump => {
                self.report.count("wall clock jumped");
                let hours_ms = 7_200_000;
                self.wall_offset_ms += self.prng.below(2 * hours_ms) as i64 - hours_ms as i64;
            }
            Kind::Pause => {
                self.report.count("pause");
                self.time_us += self.prng.below(3_000_000);
            }
            Kind::Shutdown if self.prng.chance(30) => {
                self.schedule(0, Happening::Shutdown(self.incarnation));
            }
            Kind::Shutdown => {}
        }
    }

    pub(super) fn fault_ends(&mut self, window: Window) {
        match window {
            Window::Full => self.disk_free = None,
            Window::Slow => self.faults.slow_us = 0,
        }
    }

    /// Nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        self.note("heal", &[]);
        self.disk_free = None;
        self.faults = Faults::default();
        // Something to wake up for, when the node is at peace.
        self.schedule(HEALING_US_MIN, Happening::FaultEnd(Window::Slow));
        if let Some(process) = &mut self.process {
            process.crash_at_turn = u64::MAX;
        }
    }

    /// How long a disk operation of ordinarily `usual_us` takes.
    pub(super) fn disk_time(&mut self, usual_us: u64) -> u64 {
        let usual = usual_us / 2 + self.prng.below(usual_us);
        let odd = if self.prng.chance(2) { self.prng.below(20 * usual_us) } else { 0 };
        let slow = match self.faults.slow_us {
            0 => 0,
            most => self.prng.below(most),
        };
        usual + odd + slow
    }

    /// The process ends here and now.
    pub(super) fn crash(&mut self, crash: Crash) {
        let Some(process) = self.process.take() else { return };
        self.report.crashes += 1;
        if !process.is_listening() {
            self.report.count("crash: during recovery");
        }
        if process.shutting_down {
            self.report.count("crash: killed while shutting down");
        }
        self.note("crash", &[crash as u64, process.turns]);
        self.drop_links();
        match crash {
            Crash::Kill => {
                self.report.count("crash: kill");
                self.kill_disks();
                if self.prng.chance(20) {
                    self.cut_power();
                }
            }
            Crash::PowerCut => self.cut_power(),
        }
        let most = [2_000, 1_000_000][self.prng.index(2)];
        let after = 500 + self.prng.below(most);
        self.schedule(after, Happening::Start);
    }

    pub(super) fn cut_power(&mut self) {
        self.report.count("crash: power cut");
        self.shelf.kill(&mut self.prng, &mut self.report);
        self.saves.clear();
        self.note("power cut", &[]);
        for disk in self.older_disks.iter_mut().flatten().chain(&mut self.disks) {
            disk.cut_power(&mut self.prng, &mut self.report);
        }
    }

    /// All cores are one process and die together; what each had on its way is its own fate.
    pub(super) fn kill_disks(&mut self) {
        self.shelf.kill(&mut self.prng, &mut self.report);
        self.saves.clear();
        for disk in &mut self.disks {
            disk.kill(&mut self.prng, &mut self.report);
        }
    }
}
