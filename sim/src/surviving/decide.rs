//! Which entries count: a second way to decide what recovery finds open (PROTOCOL 3.5 to 3.8).
//!
//! Where `node` decides one fragment after the other, oldest first, this starts from everything
//! being there and takes away what cannot be, until nothing more must go: a fragment whose
//! transaction lacks one, and everything behind it in its slice.

use super::SliceLog;
use super::attachment::Place;

/// Of each slice, the index from which on nothing counts; `u64::MAX` if everything does. Entries
/// that the log itself says are void count for nothing before that.
///
/// # Errors
///
/// A log says of a transaction that it is committed, and another lacks its part.
pub fn first_void(slices: &[SliceLog]) -> Result<Vec<u64>, String> {
    let mut first = vec![u64::MAX; slices.len()];
    loop {
        let mut has_changed = false;
        for (slice, log) in slices.iter().enumerate() {
            for entry in &log.entries {
                let open = entry.index < first[slice] && !log.is_void(entry.index);
                if entry.fragment.is_empty() || !open {
                    continue;
                }
                let missing = entry.fragment.iter().find(|place| !holds(slices, &first, place));
                let Some(missing) = missing else { continue };
                if entry.index <= log.resolved {
                    return Err(format!(
                        "entry {} of slice {slice} is resolved, but its transaction lacks \
                         {missing:?}",
                        entry.index
                    ));
                }
                first[slice] = entry.index;
                has_changed = true;
            }
        }
        if !has_changed {
            return Ok(first);
        }
    }
}

fn holds(slices: &[SliceLog], first: &[u64], place: &Place) -> bool {
    let slice = usize::from(place.slice);
    let Some(log) = slices.get(slice) else { return false };
    let is_there = log.entry(place.index).is_some_and(|entry| entry.term == place.term);
    is_there && place.index < first[slice] && !log.is_void(place.index)
}
