//! From the logs of a data directory to the slices of a node.

use std::path::Path;

use base::SliceId;
use node::{LogReplay, Published, SliceReplay, SliceRestore, SliceStart, Topology, settle_replays};
use wal::snapshot::Manifest;
use wal::{Config, Recovered};

use crate::data_dir::{DataDir, Generation};
use crate::recovery::{LogError, recover_generation};
use crate::snapshots::{Candidates, Loaded, Place, SnapshotFault};

/// What a start has read.
pub struct Replayed {
    /// By slice.
    pub starts: Vec<SliceStart>,
    /// Of the generation that goes on, by core.
    pub logs: Vec<Recovered>,
    pub snapshots: FoundSnapshots,
    pub summary: Summary,
}

/// The snapshots of a data directory, as a start has found them.
#[derive(Debug, Default)]
pub struct FoundSnapshots {
    pub whole: Candidates,
    pub damaged: Candidates,
    /// Those that are kept of each slice, the newest last.
    pub published: Vec<Published>,
}

/// What was found, for the banner.
#[derive(Debug, Default)]
pub struct Summary {
    pub frames: u64,
    pub bytes: u64,
    /// Bytes of the snapshots that were loaded.
    pub restored: u64,
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
    place: &Place,
    topology: Topology,
    last: Generation,
    config: &Config,
    hash_seed: u64,
) -> Result<Replayed, LogError> {
    let mut summary = Summary::default();
    let (mut slices, snapshots) = restore(place, topology, hash_seed, &mut summary)?;
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
    Ok(Replayed { starts, logs, snapshots, summary })
}

/// Every slice from its newest snapshot that is whole, or empty; as many at a time as there are cores.
fn restore(
    place: &Place,
    topology: Topology,
    hash_seed: u64,
    summary: &mut Summary,
) -> Result<(Vec<SliceReplay>, FoundSnapshots), LogError> {
    let fault = |fault: SnapshotFault| LogError { path: fault.path, message: fault.message };
    let candidates = place.open().map_err(fault)?;
    let load = |slice: SliceId| -> Result<Restored, SnapshotFault> {
        let begin =
            |manifest: &Manifest| SliceReplay::new(slice, hash_seed, topology).restore(manifest);
        let indexes = candidates.get(&slice).map_or(&[][..], Vec::as_slice);
        // Whether the log goes on from an older one shows when it is read.
        let loaded = place.load_newest(slice, indexes, |_| true, begin, SliceRestore::load)?;
        let Some(Loaded { manifest, state, damaged }) = loaded else {
            let replay = SliceReplay::new(slice, hash_seed, topology);
            return Ok(Restored { replay, manifest: None, damaged: Vec::new() });
        };
        let path = place.of(slice, manifest.index);
        let replay = state.finish().map_err(|message| SnapshotFault { path, message })?;
        Ok(Restored { replay, manifest: Some(manifest), damaged })
    };
    let cores = topology.cores();
    let restored: Vec<Result<Vec<Restored>, SnapshotFault>> = std::thread::scope(|scope| {
        let load = &load;
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let own = topology.slices_of(base::CoreId(core));
                scope.spawn(move || own.map(load).collect())
            })
            .collect();
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().expect("loading reports what it finds")).collect()
    });
    let mut found = FoundSnapshots::default();
    let mut replays = Vec::new();
    for restored in restored {
        for Restored { replay, manifest, damaged } in restored.map_err(fault)? {
            let slice = replay.id();
            summary.warnings.extend(damaged.iter().map(ToString::to_string));
            let mut indexes = candidates.get(&slice).cloned().unwrap_or_default();
            let whole = indexes.split_off(damaged.len().min(indexes.len()));
            if let Some(manifest) = manifest {
                summary.restored += manifest.raw_size();
                found.published.extend(whole.iter().take(2).rev().map(|index| {
                    let size = if *index == manifest.index { manifest.raw_size() } else { 0 };
                    Published { slice, index: *index, size }
                }));
            }
            found.whole.insert(slice, whole);
            found.damaged.insert(slice, indexes);
            replays.push(replay);
        }
    }
    replays.sort_by_key(SliceReplay::id);
    Ok((replays, found))
}

/// A slice as its snapshot has it.
struct Restored {
    replay: SliceReplay,
    manifest: Option<Manifest>,
    damaged: Vec<SnapshotFault>,
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
