//! What took so long that somebody wants to know of it (LATENCY).

use std::collections::VecDeque;

/// Owner: core.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatencyLog {
    command: Series,
    fast_command: Series,
}

/// What took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LatencyEvent {
    Command,
    /// A command that should take constant or logarithmic time.
    FastCommand,
}

/// The latest of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Seconds since 1970 and milliseconds, the oldest first.
    samples: VecDeque<(u64, u64)>,
    max_ms: u64,
}

/// Samples kept of an event, as in Redis.
const SAMPLES_MAX: usize = 160;

impl LatencyEvent {
    pub(crate) const ALL: [Self; 2] = [Self::Command, Self::FastCommand];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::FastCommand => "fast-command",
        }
    }

    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|event| name.eq_ignore_ascii_case(event.name().as_bytes()))
    }
}

impl Series {
    pub(crate) fn samples(&self) -> impl Iterator<Item = (u64, u64)> {
        self.samples.iter().copied()
    }

    pub(crate) fn last(&self) -> Option<(u64, u64)> {
        self.samples.back().copied()
    }

    pub(crate) fn max_ms(&self) -> u64 {
        self.max_ms
    }

    /// One sample for each second: the longest.
    fn note(&mut self, ms: u64, time_s: u64) {
        self.max_ms = self.max_ms.max(ms);
        match self.samples.back_mut() {
            Some((last_s, longest)) if *last_s == time_s => *longest = ms.max(*longest),
            _ => self.samples.push_back((time_s, ms)),
        }
        if SAMPLES_MAX < self.samples.len() {
            self.samples.pop_front();
        }
    }
}

impl LatencyLog {
    pub(crate) fn note(&mut self, event: LatencyEvent, ms: u64, time_s: u64) {
        self.series_mut(event).note(ms, time_s);
    }

    pub(crate) fn series(&self, event: LatencyEvent) -> &Series {
        match event {
            LatencyEvent::Command => &self.command,
            LatencyEvent::FastCommand => &self.fast_command,
        }
    }

    fn series_mut(&mut self, event: LatencyEvent) -> &mut Series {
        match event {
            LatencyEvent::Command => &mut self.command,
            LatencyEvent::FastCommand => &mut self.fast_command,
        }
    }

    /// Forgets these events. Returns how many there were.
    pub(crate) fn reset(&mut self, events: &[LatencyEvent]) -> usize {
        let mut count = 0;
        for event in events {
            let series = std::mem::take(self.series_mut(*event));
            count += usize::from(series.last().is_some());
        }
        count
    }

    /// The series of several cores as one.
    pub(crate) fn merged(logs: &[Self]) -> Self {
        let mut all = Self::default();
        for event in LatencyEvent::ALL {
            let mut samples: Vec<_> =
                logs.iter().flat_map(|log| log.series(event).samples()).collect();
            samples.sort_unstable();
            for (time_s, ms) in samples {
                all.note(event, ms, time_s);
            }
            let max_ms = logs.iter().map(|log| log.series(event).max_ms).max();
            all.series_mut(event).max_ms = max_ms.unwrap_or_default();
        }
        all
    }
}
