//! Every entry that was ever durable, whether the logs still hold it or were trimmed.
//!
//! What a snapshot covers may be trimmed as soon as it is published, so the logs are read when a
//! publication is asked for, and at every start. A start is judged by the archive and what the
//! logs hold: together, the log that was never trimmed.

use std::collections::BTreeMap;

use base::{LogIndex, SliceId, Term};
use wal::Record;

/// Owner: world.
#[derive(Debug)]
pub struct Archive {
    /// By slice, then by index.
    slices: Vec<BTreeMap<u64, (Term, Vec<u8>)>>,
}

/// Makes whole logs of trimmed ones. Owner: whoever reads them.
#[derive(Debug)]
pub struct Completion<'a> {
    archive: &'a Archive,
    /// The last entry of each slice that was handed on.
    last: Vec<u64>,
    /// Of each slice, up to which entry the archive was used.
    filled: Vec<u64>,
}

impl Archive {
    pub fn new(slices: u16) -> Self {
        Self { slices: vec![BTreeMap::new(); usize::from(slices)] }
    }

    /// An entry is durable. A later one in the same place is the one that counts.
    pub fn add(&mut self, slice: SliceId, term: Term, index: LogIndex, body: &[u8]) {
        self.slices[usize::from(slice.0)].insert(index.0, (term, body.to_vec()));
    }

    pub fn complete(&self) -> Completion<'_> {
        let none = vec![0; self.slices.len()];
        Completion { archive: self, last: none.clone(), filled: none }
    }
}

impl Completion<'_> {
    /// Did a log lack what the archive has?
    pub fn is_trimmed(&self) -> bool {
        self.filled.iter().any(|filled| 0 < *filled)
    }

    /// Takes a record as a start hands it over, and hands on what the whole log would hold there.
    ///
    /// # Errors
    ///
    /// An entry is in no log and in no archive, or what `next` reports.
    pub fn take(
        &mut self,
        record: &Record<'_>,
        next: &mut dyn FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        match *record {
            Record::Entry { slice, term, index, body } => {
                let at = usize::from(slice.0);
                if index.0 <= self.filled[at] {
                    let archived = &self.archive.slices[at][&index.0];
                    return match archived.0 == term && archived.1 == body {
                        true => Ok(()),
                        false => Err(format!("entry {index} of slice {slice} is another now")),
                    };
                }
                self.fill(slice, index.0.saturating_sub(1), next)?;
                self.last[at] = index.0;
                next(Record::Entry { slice, term, index, body })
            }
            Record::Trim { slice, last } => self.fill(slice, last.0, next),
            ref other => next(*other),
        }
    }

    fn fill(
        &mut self,
        slice: SliceId,
        up_to: u64,
        next: &mut dyn FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let at = usize::from(slice.0);
        for index in self.last[at] + 1..=up_to {
            let (term, body) = self.archive.slices[at].get(&index).ok_or_else(|| {
                format!("entry {index} of slice {slice} is in no log, and was never durable")
            })?;
            next(Record::Entry { slice, term: *term, index: LogIndex(index), body })?;
            (self.last[at], self.filled[at]) = (index, index);
        }
        Ok(())
    }
}
