//! Starts from a damaged log: the start must notice, or lose nothing.

use wal::Recovered;

use super::World;
use crate::disk::BLOCK;
use crate::surviving::Surviving;

impl World {
    /// One block of the log is damaged. The start must notice, or lose nothing; then the block is
    /// repaired.
    pub(super) fn start_from_rot(&mut self) -> Result<(), String> {
        let core = self.prng.index(self.disks.len());
        let Some((file, offset)) = self.draw_rot(core) else { return Ok(()) };
        let whole = self.recover(false)?;
        self.trace.remark(|| format!("rot in {} at {offset}", file.name()));
        if self.prng.chance(20) {
            self.disks[core].set_unreadable(Some((file, offset)));
            let result = self.recover(false);
            self.disks[core].set_unreadable(None);
            return match result {
                Err(_) => {
                    self.report.count("rot: unreadable block refused");
                    Ok(())
                }
                // A segment before the log's start need not be.
                Ok(found)
                    if found.is_trimmed && found.surviving.has_entries_of(&whole.surviving) =>
                {
                    self.report.count("rot: unreadable block of a trimmed log");
                    Ok(())
                }
                Ok(_) => Err(format!("block {offset} of {} was not read", file.name())),
            };
        }
        let Some(rot) = self.disks[core].rot(file, offset, &mut self.prng) else { return Ok(()) };
        let result = self.recover(false);
        self.disks[core].undo_rot(rot);
        match result {
            Err(_) => self.report.count("rot: refused"),
            Ok(found) if !found.surviving.has_entries_of(&whole.surviving) => {
                return Err(format!(
                    "rot in {} at {offset} silently took entries: {} of {}; {:?}",
                    file.name(),
                    found.surviving.entry_count(),
                    whole.surviving.entry_count(),
                    found.logs
                ));
            }
            Ok(found) if forgets_vote(&found.logs[core], &whole.logs[core], &whole.surviving) => {
                return Err(format!(
                    "rot in {} at {offset} silently changed a vote: {:?} to {:?}",
                    file.name(),
                    whole.logs[core].hard_states,
                    found.logs[core].hard_states
                ));
            }
            Ok(_) => self.report.count("rot: data whole"),
        }
        Ok(())
    }

    /// A block whose damage must not go unnoticed.
    fn draw_rot(&mut self, core: usize) -> Option<(wal::LogFile, u64)> {
        if self.prng.chance(15) {
            let slot = self.prng.below(2) * wal::HARD_STATE_SLOT_SIZE as u64;
            let file = wal::LogFile::HardState;
            return self.disks[core]
                .list()
                .iter()
                .any(|(name, _)| *name == file)
                .then_some((file, slot));
        }
        let vouched: Vec<_> = self.disks[core].ledger.vouched().collect();
        if vouched.is_empty() {
            return None;
        }
        let (file, offset, size) = vouched[self.prng.index(vouched.len())];
        let block = self.prng.index(size / BLOCK) * BLOCK;
        Some((file, offset + block as u64))
    }
}

/// Is a vote gone that was used? The newest slot of the hard state may be taken for a torn one
/// until there is an entry of its term.
fn forgets_vote(found: &Recovered, whole: &Recovered, entries: &Surviving) -> bool {
    whole.hard_states.iter().any(|state| {
        let log = &entries.slices[usize::from(state.slice.0)];
        let used = log.entries.last().map_or(0, |entry| entry.term);
        let same = found.hard_states.iter().find(|other| other.slice == state.slice);
        match same {
            None => 0 < used,
            Some(other) if other.term == state.term => other.vote != state.vote,
            Some(other) => other.term.0 < used,
        }
    })
}
