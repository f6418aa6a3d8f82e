//! Torn tail or rot: the judgement about the first frame that is not there.

use crate::file::{LogFile, LogRead};
use crate::frame::{Fault, Identity};
use crate::recovery::evidence::{Evidence, find_headless, scan};
use crate::recovery::survey::{HeadlessState, OPEN_END, Survey};
use crate::recovery::walk::{Stop, Walk};
use crate::recovery::window::Window;
use crate::recovery::{Cut, FIRST_OFFSET, RecoveryError};

/// Looks at everything behind the stop that could prove more to have been durable. Returns the
/// whole frames found there that would have followed.
pub(crate) fn scan_beyond(
    reader: &mut dyn LogRead,
    identity: Identity,
    survey: &Survey,
    stop: &Stop,
    evidence: &mut Evidence,
) -> Result<u64, RecoveryError> {
    let Some(at) = stop.segment else { return Ok(0) };
    let newest = survey.segments.last().map_or(0, |segment| segment.header.boot);
    let mut window = Window::new();
    let mut dropped = 0;
    for (number, segment) in survey.segments.iter().enumerate() {
        // What an earlier boot wrote beyond a segment's end proves nothing the later boot's own
        // header does not.
        let is_behind = number == at || (at < number && segment.header.boot == newest);
        if !is_behind {
            continue;
        }
        let start = if number == at { stop.offset.max(FIRST_OFFSET) } else { FIRST_OFFSET };
        let file = segment.file();
        window.open(file, segment.readable());
        let salt = Some(segment.header.salt);
        scan(reader, &mut window, identity, start, salt, &mut |header, offset| {
            evidence.note_frame(header, identity, file, offset);
            let follows = stop.sequence <= header.sequence && header.sequence < segment.end;
            dropped += u64::from(follows);
        })?;
    }
    Ok(dropped)
}

/// The error to report if what is missing had been durable.
pub(crate) fn damage(
    reader: &mut dyn LogRead,
    identity: Identity,
    survey: &Survey,
    walk: &Walk,
    stop: &Stop,
    evidence: &Evidence,
) -> Result<Option<RecoveryError>, RecoveryError> {
    let (whole, _) = walk.whole();
    if evidence.durable <= whole {
        return Ok(None);
    }
    let mut damage = (stop.file, stop.offset, stop.sequence, stop.fault);
    if evidence.durable < stop.sequence {
        // A hint always names the last frame of a batch, so it cannot point into a run that
        // lacks its last. It is not a torn tail, then; the run is what contradicts it.
        let ((file, offset, sequence), _) =
            walk.assembly.unfinished().expect("only a run lies between the two");
        damage = (file, offset, sequence, Fault::Run);
    } else if let Some(file) = find_headless(reader, identity, survey, stop.sequence, walk.crc)? {
        damage = (file, 0, stop.sequence, Fault::Header);
    } else if let Some(file) = missing_header(survey, stop) {
        damage = (file, 0, stop.sequence, Fault::Header);
    }
    let (file, offset, sequence, reason) = damage;
    let (durable, evidence) = (evidence.durable, evidence.place);
    Ok(Some(RecoveryError::Damage { file, offset, sequence, reason, durable, evidence }))
}

/// A file with a damaged header is the likely place of what no segment holds.
fn missing_header(survey: &Survey, stop: &Stop) -> Option<LogFile> {
    let is_missing = matches!(stop.fault, Fault::Missing | Fault::Ends);
    let mut damaged = survey.headless.iter().filter(|file| file.state == HeadlessState::Damaged);
    match (damaged.next(), damaged.next()) {
        (Some(file), None) if is_missing => Some(LogFile::Segment(file.id)),
        _ => None,
    }
}

/// What is cut off, if anything is: a log that ends cleanly is not cut.
pub(crate) fn cut(survey: &Survey, walk: &Walk, stop: &Stop, dropped: u64) -> Option<Cut> {
    let unfinished = walk.assembly.unfinished();
    let is_open = stop.segment.is_some_and(|at| survey.segments[at].end == OPEN_END);
    let is_end =
        matches!(stop.fault, Fault::Zero | Fault::Ends | Fault::EarlierLife | Fault::Missing);
    if unfinished.is_none() && is_open && is_end && dropped == 0 || stop.segment.is_none() {
        return None;
    }
    let (place, voided) = match unfinished {
        Some((first, frames)) => {
            base::mark!("wal: a run without its last frame is void");
            (first, frames)
        }
        None => ((stop.file, stop.offset, stop.sequence), 0),
    };
    base::mark!("wal: a torn tail is cut");
    let (file, offset, sequence) = place;
    Some(Cut { file, offset, sequence, frames: dropped + voided, reason: stop.fault })
}
