//! What neither the snapshots nor the logs hold: told with every file that was looked at, and what
//! to do about it.

use std::collections::BTreeMap;

use base::SliceId;
use node::{SliceReplay, Uncovered};

use crate::recovery::LogError;
use crate::snapshots::{Listing, Place, SnapshotFault};

/// The first slice that lacks something, in full, and which others do.
pub(super) fn find(
    place: &Place,
    listing: &Listing,
    faults: &BTreeMap<SliceId, Vec<SnapshotFault>>,
    slices: &[SliceReplay],
) -> Option<LogError> {
    let faults = |slice| faults.get(&slice).map_or(&[][..], Vec::as_slice);
    let uncovered: Vec<Uncovered> = slices.iter().filter_map(SliceReplay::uncovered).collect();
    let Some(first) = uncovered.first() else {
        return slices.iter().find_map(|slice| shorter(place, listing, slice, faults(slice.id())));
    };
    let mut message = account(place, listing, first, faults(first.slice));
    let others: Vec<String> =
        uncovered[1..].iter().map(|uncovered| uncovered.slice.to_string()).collect();
    if !others.is_empty() {
        message.push_str(&format!(
            "\n  So it is with {} more of the slices: {}",
            others.len(),
            others.join(", ")
        ));
    }
    let fix = format!(
        "put the snapshots back under {}, whole directories with their MANIFEST, from a backup or \
         another copy of this directory, then start again.",
        place.root().display()
    );
    Some(LogError { path: place.of_slice(first.slice), message, fix: Some(fix) })
}

/// How far the log was trimmed, and why no snapshot will do.
fn account(
    place: &Place,
    listing: &Listing,
    uncovered: &Uncovered,
    faults: &[SnapshotFault],
) -> String {
    let Uncovered { slice, trimmed, .. } = *uncovered;
    let mut text = format!(
        "the log was trimmed to entry {trimmed} of slice {slice}, because snapshots held what it \
         did up to there, and no sound snapshot covers that. What was looked at:"
    );
    let mut line = |path: &std::path::Path, why: &str| {
        text.push_str(&format!("\n  {}: {why}", path.display()));
    };
    for SnapshotFault { path, message } in faults {
        line(path, message);
    }
    for index in &listing.published(slice)[faults.len()..] {
        line(&place.of(slice, *index), &format!("it ends with entry {index}"));
    }
    let unpublished = listing.0.get(&slice).map_or(&[][..], |listed| &listed.unpublished);
    for path in unpublished {
        line(path, "it has no MANIFEST: it was never finished, or the file is gone");
    }
    if faults.is_empty() && unpublished.is_empty() && listing.published(slice).is_empty() {
        let path = place.of_slice(slice);
        let why = if path.is_dir() { "it holds no snapshot" } else { "it is not there" };
        line(&path, why);
    }
    text
}

/// A snapshot is published when its entry is durable: a log that ends before it has lost some, and
/// without the snapshot nobody has them.
fn shorter(
    place: &Place,
    listing: &Listing,
    slice: &SliceReplay,
    faults: &[SnapshotFault],
) -> Option<LogError> {
    let newest = *listing.published(slice.id()).first()?;
    let fault = faults.first().filter(|_| slice.last() < newest)?;
    let message = format!(
        "the log ends with entry {} of slice {}, and a snapshot was published at entry {newest}, \
         which is damaged: what was acknowledged after the log's end is nowhere else. {fault}",
        slice.last(),
        slice.id()
    );
    Some(LogError::new(place.of_slice(slice.id()), message))
}
