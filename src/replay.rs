//! From the logs of a data directory to the slices of a node.

mod lacks;

use std::collections::BTreeMap;
use std::path::Path;

use base::{LogIndex, SliceId};
use node::{LogReplay, Published, SliceReplay, SliceStart, Topology, settle_replays};
use wal::snapshot::Manifest;
use wal::{Config, Recovered};

use crate::data_dir::Generation;
use crate::recovery::{LogError, recover_generation};
use crate::snapshots::{Candidates, Listing, Loaded, Place, SnapshotFault, newest_whole};

/// What a start has read.
pub struct Replayed {
    /// By slice.
    pub starts: Vec<SliceStart>,
    /// Of the generation that goes on, by core.
    pub logs: Vec<Recovered>,
    /// The generations before that, oldest first.
    pub older: Vec<OldGeneration>,
    pub snapshots: FoundSnapshots,
    pub summary: Summary,
}

/// The snapshots of a data directory, as a start has found them.
#[derive(Debug, Default)]
pub struct FoundSnapshots {
    pub whole: Candidates,
    pub damaged: Candidates,
    /// What is wrong with the damaged ones, in their order.
    pub faults: BTreeMap<SliceId, Vec<SnapshotFault>>,
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

/// What is to be read: the data directory of `place`, its logs, and as whose.
pub struct Source<'a> {
    pub place: &'a Place,
    /// The older ones are read first.
    pub generations: &'a [Generation],
    /// At the end; it may be a new one without anything.
    pub last: Generation,
    pub topology: Topology,
    /// Of each log but for whose it is.
    pub config: &'a Config,
    pub hash_seed: u64,
}

/// What is read is to be served, or only looked at: then nothing is changed, and nothing flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Serve,
    Look,
}

/// Reads snapshots and every generation in order.
///
/// # Errors
///
/// A log is damaged, or does not fit the others.
pub fn replay(source: &Source<'_>, purpose: Purpose) -> Result<Replayed, LogError> {
    let Source { place, last, config, .. } = *source;
    let directory = place.directory();
    let mut summary = Summary::default();
    let listing = place.list().map_err(log_error)?;
    let (mut slices, snapshots) = restore(source, &listing, &mut summary);
    let mut hard_states = Vec::new();
    let older = source.generations.iter().filter(|generation| **generation != last);
    let (mut logs, mut covers) = (Vec::new(), Vec::new());
    for &generation in older.chain([&last]) {
        let mut by_log: Vec<Vec<SliceReplay>> = generation.logs().map(|_| Vec::new()).collect();
        for slice in slices {
            by_log[usize::from(generation.log_of(slice.id()).0)].push(slice);
        }
        let mut receivers: Vec<LogReplay> = by_log.into_iter().map(LogReplay::new).collect();
        logs =
            recover_generation(directory, generation, config, &mut receivers, LogReplay::replay)?;
        if generation != last {
            covers.push(OldGeneration::new(generation, &logs));
            if purpose == Purpose::Serve {
                flush_tails(directory, generation, &logs)?;
            }
        }
        for (core, log) in generation.logs().zip(&logs) {
            summary.add(&generation.log_name(core), log);
            hard_states.extend_from_slice(&log.hard_states);
        }
        slices = receivers.into_iter().flat_map(LogReplay::into_slices).collect();
    }
    slices.sort_by_key(SliceReplay::id);
    if let Some(error) = lacks::find(place, &listing, &snapshots.faults, &slices) {
        return Err(error);
    }
    summary.effects = slices.iter().map(SliceReplay::effect_count).sum();
    summary.keys = slices.iter().map(SliceReplay::key_count).sum();
    let starts = settle_replays(slices, &hard_states)
        .map_err(|message| LogError::new(directory.to_owned(), message))?;
    if purpose == Purpose::Serve {
        place.tidy(&listing).map_err(log_error)?;
    }
    Ok(Replayed { starts, logs, older: covers, snapshots, summary })
}

fn log_error(fault: SnapshotFault) -> LogError {
    LogError::new(fault.path, fault.message)
}

/// Loads one snapshot of a slice, every byte of which is checked.
///
/// # Errors
///
/// The first damage, with its place.
pub fn load_snapshot(
    source: &Source<'_>,
    slice: SliceId,
    index: LogIndex,
) -> Result<Restored, SnapshotFault> {
    let Source { place, topology, hash_seed, .. } = *source;
    let manifest = place.manifest(slice, index)?;
    let fault = |message| SnapshotFault { path: place.of(slice, index), message };
    let empty = SliceReplay::new(slice, hash_seed, topology);
    let mut restore = empty.restore(&manifest).map_err(fault)?;
    place.load(&manifest, |chunk| restore.load(chunk))?;
    let replay = restore.finish().map_err(fault)?;
    Ok(Restored { replay, manifest })
}

/// Every slice from its newest snapshot that is whole, or empty; as many at a time as there are cores.
fn restore(
    source: &Source<'_>,
    listing: &Listing,
    summary: &mut Summary,
) -> (Vec<SliceReplay>, FoundSnapshots) {
    let Source { topology, hash_seed, .. } = *source;
    let load = |slice: SliceId| {
        let load = |index| load_snapshot(source, slice, index);
        (slice, newest_whole(listing.published(slice), load))
    };
    let loaded: Vec<Vec<(SliceId, Loaded<Restored>)>> = std::thread::scope(|scope| {
        let load = &load;
        let threads: Vec<_> = (0..topology.cores())
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
    for (slice, Loaded { state, damaged }) in loaded.into_iter().flatten() {
        summary.warnings.extend(damaged.iter().map(ToString::to_string));
        let mut indexes = listing.published(slice).to_vec();
        let whole = indexes.split_off(damaged.len());
        let replay = match state {
            None => SliceReplay::new(slice, hash_seed, topology),
            Some(Restored { replay, manifest }) => {
                summary.restored += manifest.raw_size();
                found.published.extend(whole.iter().take(2).rev().map(|index| {
                    let size = if *index == manifest.index { manifest.raw_size() } else { 0 };
                    Published { slice, index: *index, size }
                }));
                replay
            }
        };
        found.whole.insert(slice, whole);
        found.damaged.insert(slice, indexes);
        found.faults.insert(slice, damaged);
        replays.push(replay);
    }
    (replays, found)
}

/// A slice as its snapshot has it.
pub struct Restored {
    pub replay: SliceReplay,
    pub manifest: Manifest,
}

/// A generation that is only read, and what it holds.
#[derive(Clone, Debug)]
pub struct OldGeneration {
    pub number: u32,
    /// By slice, the last entry that it may be needed for.
    pub last_entries: BTreeMap<SliceId, LogIndex>,
}

impl OldGeneration {
    fn new(generation: Generation, logs: &[Recovered]) -> Self {
        let mut last_entries = BTreeMap::new();
        for (slice, index) in logs.iter().flat_map(|log| log.last_entries.iter().chain(&log.trims))
        {
            let last = last_entries.entry(*slice).or_insert(*index);
            *last = (*last).max(*index);
        }
        Self { number: generation.number, last_entries }
    }
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
            runtime::files::flush(&path.join(file.name())).map_err(|cause| {
                LogError::new(path.clone(), format!("{file} cannot be flushed: {cause}"))
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
