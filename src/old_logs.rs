//! The logs of older generations go when snapshots hold what is in them.
//!
//! Each core tells up to which entry snapshots stand for its slices' logs: the rule that trims its
//! own log. When all slices are past what a generation holds, the snapshots that this rests on are
//! read back from the disk, and only then the generation is dropped. A thread of its own does it,
//! beside the cores; it ends with the last generation there was to drop.
//!
//! The process may end anywhere in between (`DataDir::drop_generations`).

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;

use base::{LogIndex, SliceId};

use crate::data_dir::DataDir;
use crate::exit::{Failure, Status};
use crate::replay::OldGeneration;
use crate::snapshots::{Place, SnapshotFault};

/// How far the thread yields to the cores (setpriority(2)).
const NICE: i32 = 10;

/// By slice, up to which entry its log is not needed.
pub type Disposable = Vec<(SliceId, LogIndex)>;

/// Owner: its thread.
struct OldLogs {
    directory: DataDir,
    place: Place,
    /// Oldest first.
    older: Vec<OldGeneration>,
    /// Of the slices that were told.
    disposable: BTreeMap<SliceId, LogIndex>,
}

/// Starts the thread, if `directory` has `older` generations; cores are to tell it what changes. Call
/// from a thread that is tied to no processor.
///
/// # Errors
///
/// The system has no thread to give.
pub fn watch(
    directory: DataDir,
    place: &Place,
    older: Vec<OldGeneration>,
) -> Result<Option<Sender<Disposable>>, Failure> {
    if older.is_empty() {
        return Ok(None);
    }
    let (tell, told) = channel();
    let disposable = BTreeMap::new();
    let mut old_logs = OldLogs { directory, place: place.clone(), older, disposable };
    Builder::new()
        .name("old-logs".to_owned())
        .spawn(move || old_logs.run(&told))
        .map_err(|cause| Failure::new(Status::Failed, cause))?;
    Ok(Some(tell))
}

impl OldLogs {
    fn run(&mut self, told: &Receiver<Disposable>) {
        if let Err(cause) = runtime::yield_to_others(NICE) {
            tracing::warn!("the removal of old logs does not yield to the cores: {cause}");
        }
        while !self.older.is_empty() {
            let Ok(news) = told.recv() else { return };
            self.disposable.extend(news);
            self.disposable.extend(told.try_iter().flatten());
            let count = self.covered();
            if count == 0 {
                continue;
            }
            if let Err((slice, fault)) = self.check_snapshots() {
                let index = self.disposable[&slice];
                self.disposable.extend(told.try_iter().flatten());
                // A newer one may have taken its place meanwhile: that is looked at next.
                if self.disposable[&slice] == index {
                    tracing::warn!(
                        "the logs of an older number of cores stay, a snapshot that is to stand \
                         for them is damaged: {fault}. It is looked at again after the next snapshot"
                    );
                }
                continue;
            }
            if let Err(cause) = self.drop_oldest(count) {
                tracing::warn!("the logs of an older number of cores stay: {cause}");
                return;
            }
        }
    }

    /// How many generations, from the oldest on, nobody needs.
    fn covered(&self) -> usize {
        // Every core serves then, and its own log has the terms and votes.
        if self.disposable.len() < usize::from(self.directory.identity.slices) {
            return 0;
        }
        let is_covered = |old: &&OldGeneration| {
            old.last_entries.iter().all(|(slice, last)| *last <= self.disposable[slice])
        };
        self.older.iter().take_while(is_covered).count()
    }

    /// Reads those that would stand alone for what goes.
    fn check_snapshots(&self) -> Result<(), (SliceId, SnapshotFault)> {
        self.disposable.iter().try_for_each(|(&slice, &index)| {
            let check = || {
                let manifest = self.place.manifest(slice, index)?;
                self.place.load(&manifest, |_| Ok(()))
            };
            check().map_err(|fault| (slice, fault))
        })
    }

    fn drop_oldest(&mut self, count: usize) -> Result<(), crate::data_dir::DataDirError> {
        let newest = self.older[count - 1].number;
        self.directory.drop_generations(newest)?;
        self.older.drain(..count);
        tracing::info!(
            "the logs up to generation {newest} are removed: snapshots hold what was in them"
        );
        Ok(())
    }
}
