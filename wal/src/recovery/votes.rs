//! Terms and votes: of the double slot, of the log's records, and both together.

use crate::bytes::is_zero;
use crate::file::{LogFile, LogRead};
use crate::frame::Identity;
use crate::hard_state::{HARD_STATE_SLOT_SIZE, Slot, SlotRead};
use crate::record::HardState;
use crate::recovery::survey::{Survey, refuse_foreign};
use crate::recovery::{HardStates, RecoveryError};

const FILE: LogFile = LogFile::HardState;

/// Both slots.
#[derive(Debug)]
pub(crate) struct Slots {
    /// The file is there, and was written to since it was prepared.
    pub(crate) present: bool,
    pub(crate) reads: [SlotRead; 2],
    /// The valid slot with the highest generation.
    pub(crate) newest: Option<Slot>,
}

/// Two different votes in one term.
#[derive(Debug)]
pub(crate) struct TwoVotes(pub(crate) String);

/// Reads both slots; a newer format or another owner is an error.
pub(crate) fn read_slots(
    reader: &mut dyn LogRead,
    survey: &Survey,
    identity: Option<Identity>,
) -> Result<Slots, RecoveryError> {
    let missing = Slots { present: false, reads: [SlotRead::Zero, SlotRead::Zero], newest: None };
    let Some(size) = survey.hard_state else { return Ok(missing) };
    let mut bytes = vec![0; 2 * HARD_STATE_SLOT_SIZE];
    let readable = crate::bytes::whole_blocks(size).min(bytes.len() as u64) as usize;
    if 0 < readable {
        reader.read_at(FILE, 0, &mut bytes[..readable])?;
    }
    // Without a write to it, it may be half prepared: its directory entry could still be lost.
    if is_zero(&bytes) {
        return Ok(missing);
    }
    if readable < bytes.len() {
        let reason = format!("the file was cut to {size} bytes");
        return Err(RecoveryError::HardState { offset: size, reason });
    }
    let (one, two) = bytes.split_at(HARD_STATE_SLOT_SIZE);
    let mut reads = [Slot::decode(one), Slot::decode(two)];
    let mut newest: Option<Slot> = None;
    for (at, read) in reads.iter_mut().enumerate() {
        match read {
            SlotRead::Newer(version) => {
                let offset = (at * HARD_STATE_SLOT_SIZE) as u64;
                let version = *version;
                return Err(RecoveryError::NewerFormat { file: FILE, offset, version });
            }
            SlotRead::Valid(slot) => {
                if let Some(identity) = identity {
                    refuse_foreign(FILE, identity, slot.identity)?;
                }
                if slot.generation % 2 != at as u64 || slot.generation == 0 {
                    *read = SlotRead::Damaged;
                } else if newest.as_ref().is_none_or(|n| n.generation < slot.generation) {
                    newest = Some(slot.clone());
                }
            }
            SlotRead::Zero | SlotRead::Damaged => {}
        }
    }
    Ok(Slots { present: true, reads, newest })
}

/// The generation to go on from. `durable` is one that was durable, as the log says.
pub(crate) fn judge(
    slots: &Slots,
    durable: u64,
    warnings: &mut Vec<String>,
) -> Result<u64, RecoveryError> {
    let generation = slots.newest.as_ref().map_or(0, |slot| slot.generation);
    let bad = |offset: u64, reason: String| Err(RecoveryError::HardState { offset, reason });
    if generation < durable {
        let offset = durable % 2 * HARD_STATE_SLOT_SIZE as u64;
        return bad(offset, format!("generation {durable} was durable and is damaged or missing"));
    }
    let is_bad = |read: &SlotRead| matches!(read, SlotRead::Damaged);
    match &slots.newest {
        Some(newest) => {
            let other = &slots.reads[usize::from(newest.generation.is_multiple_of(2))];
            // Generation 1 is the first: the other slot was never written.
            let lost = is_bad(other) || (1 < generation && matches!(other, SlotRead::Zero));
            if lost {
                base::mark!("wal: one slot of the hard state is damaged");
                warnings.push(format!(
                    "one slot of {FILE} is damaged; generation {generation} in the other one is \
                     whole, and nothing proves that a later one was acknowledged"
                ));
            }
            Ok(generation)
        }
        // The first write goes to the second slot, and may have been torn.
        None if is_bad(&slots.reads[0]) => bad(0, "terms and votes are damaged".to_owned()),
        None if is_bad(&slots.reads[1]) => {
            warnings.push(format!("the first write of {FILE} was torn; it held no vote before"));
            Ok(0)
        }
        None => Ok(0),
    }
}

/// Slot and log together: the highest term of each slice, and its vote.
pub(crate) fn merge(slot: Option<&Slot>, logged: &HardStates) -> Result<HardStates, RecoveryError> {
    let mut states = logged.clone();
    for state in slot.into_iter().flat_map(Slot::states) {
        let offset = slot.map_or(0, Slot::offset);
        note(&mut states, state)
            .map_err(|TwoVotes(reason)| RecoveryError::HardState { offset, reason })?;
    }
    Ok(states)
}

/// Adds what one place says of a slice.
pub(crate) fn note(states: &mut HardStates, state: HardState) -> Result<(), TwoVotes> {
    note_state(states.entry(state.slice).or_insert(state), state)
}

/// Adds what one place says to what is known of the same slice.
pub(crate) fn note_state(known: &mut HardState, state: HardState) -> Result<(), TwoVotes> {
    known.commit = known.commit.max(state.commit);
    if known.term < state.term {
        *known = HardState { commit: known.commit, ..state };
    } else if known.term == state.term {
        match (known.vote, state.vote) {
            (Some(one), Some(two)) if one != two => {
                let HardState { slice, term, .. } = state;
                return Err(TwoVotes(format!(
                    "slice {slice} voted for replicas {one} and {two} in term {term}"
                )));
            }
            (None, vote) => known.vote = vote,
            _ => {}
        }
    }
    Ok(())
}
