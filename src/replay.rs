//! From the logs of a data directory to the slices of a node.

use std::path::Path;

use base::SliceId;
use node::{LogReplay, SliceReplay, SliceStart, Topology, settle_replays};
use wal::{Config, Recovered};

use crate::data_dir::{DataDir, Generation};
use crate::recovery::{LogError, recover_generation};

/// What a start has read.
pub struct Replayed {
    /// By slice.
    pub starts: Vec<SliceStart>,
    /// Of the generation that goes on, by core.
    pub logs: Vec<Recovered>,
    pub summary: Summary,
}

/// What was found, for the banner.
#[derive(Debug, Default)]
pub struct Summary {
    pub frames: u64,
    pub bytes: u64,
    pub effects: u64,
    pub keys: usize,
    pub cuts: Vec<String>,
    pub warnings: Vec<String>,
}

/// Reads every generation in order, `last` at the end, which may be a new one without anything.
///
/// # Errors
///
/// A log is damaged, or does not fit the others.
pub fn replay(
    directory: &DataDir,
    topology: Topology,
    last: Generation,
    config: &Config,
    hash_seed: u64,
) -> Result<Replayed, LogError> {
    let mut slices: Vec<SliceReplay> = (0..topology.slices())
        .map(|slice| SliceReplay::new(SliceId(slice), hash_seed, topology))
        .collect();
    let mut summary = Summary::default();
    let mut hard_states = Vec::new();
    let older = directory.generations().iter().filter(|generation| **generation != last);
    let mut logs = Vec::new();
    for &generation in older.chain([&last]) {
        let mut by_log: Vec<Vec<SliceReplay>> = generation.logs().map(|_| Vec::new()).collect();
        for slice in slices {
            by_log[usize::from(generation.log_of(slice.id()).0)].push(slice);
        }
        let mut receivers: Vec<LogReplay> = by_log.into_iter().map(LogReplay::new).collect();
        logs = recover_generation(
            directory.path(),
            generation,
            config,
            &mut receivers,
            LogReplay::replay,
        )?;
        if generation != last {
            flush_tails(directory.path(), generation, &logs)?;
        }
        for (core, log) in generation.logs().zip(&logs) {
            summary.add(&generation.log_name(core), log);
            hard_states.extend_from_slice(&log.hard_states);
        }
        slices = receivers.into_iter().flat_map(LogReplay::into_slices).collect();
    }
    summary.effects = slices.iter().map(SliceReplay::effect_count).sum();
    summary.keys = slices.iter().map(SliceReplay::key_count).sum();
    let starts = settle_replays(slices, &hard_states)
        .map_err(|message| LogError { path: directory.path().to_owned(), message })?;
    Ok(Replayed { starts, logs, summary })
}

/// What a killed process wrote may be readable and not yet on stable storage. A log that nobody
/// goes on with is flushed here, before anything of it is shown (PROTOCOL F11).
fn flush_tails(
    directory: &Path,
    generation: Generation,
    logs: &[Recovered],
) -> Result<(), LogError> {
    for (core, log) in generation.logs().zip(logs) {
        let path = directory.join(generation.log_name(core));
        for file in log.tail() {
            runtime::files::flush(&path.join(file.name())).map_err(|cause| LogError {
                path: path.clone(),
                message: format!("{file} cannot be flushed: {cause}"),
            })?;
        }
    }
    Ok(())
}

impl Summary {
    fn add(&mut self, name: &str, log: &Recovered) {
        self.frames += log.frames;
        self.bytes += log.bytes;
        self.cuts.extend(log.cut.iter().map(|cut| format!("{name}: {cut}")));
        self.warnings.extend(log.warnings.iter().map(|warning| format!("{name}: {warning}")));
    }
}
