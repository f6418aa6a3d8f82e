//! What a disk loses: at a kill, at a power cut, by rot.

use base::Prng;
use wal::LogFile;

use super::{Action, BLOCK, Block, Disk, Pending, SECTOR, key};
use crate::report::Report;

impl Disk {
    /// The process died; the machine lives. No write reaches the device after this: the lock of
    /// the directory outlasts the I/O of the process that holds it, as `wal::recover` demands.
    pub fn kill(&mut self, prng: &mut Prng, report: &mut Report) {
        for (_, Pending { file, action, .. }) in std::mem::take(&mut self.pending) {
            match action {
                Action::Write { offset, bytes, .. } => match prng.below(100) {
                    0..30 => report.count("kill: write not carried out"),
                    30..50 => {
                        report.count("kill: write durable, nobody told");
                        self.land_durable(file, offset, &bytes);
                    }
                    50..75 => {
                        report.count("kill: write left in the cache");
                        self.land_volatile(file, offset, &bytes);
                    }
                    _ => {
                        report.count("kill: some blocks of a write");
                        self.land_some(file, offset, &bytes, prng);
                    }
                },
                Action::Flush if prng.chance(50) => self.flush(file),
                Action::Flush => {}
                Action::Prepare { size } => {
                    report.count("kill: file prepared in part");
                    self.prepare_some(file, size, prng);
                }
                Action::Remove if prng.chance(70) => {
                    report.count("kill: file removed, directory not flushed");
                    if let Some(file) = self.files.get_mut(&key(file)) {
                        file.unlinked = true;
                    }
                }
                Action::Remove => {}
            }
        }
        self.forget_process();
    }

    /// The machine stopped: everything volatile may be gone, everything pending may be torn.
    pub fn cut_power(&mut self, prng: &mut Prng, report: &mut Report) {
        for (_, Pending { file, action, .. }) in std::mem::take(&mut self.pending) {
            match action {
                Action::Write { offset, bytes, .. } => {
                    self.tear(file, offset, &bytes, prng, report);
                }
                Action::Flush => {}
                Action::Prepare { size } => {
                    report.count("cut: file prepared in part");
                    self.prepare_some(file, size, prng);
                }
                Action::Remove => {
                    report.count("cut: file removed or not");
                    if prng.chance(50) {
                        self.files.remove(&key(file));
                    }
                }
            }
        }
        let kept_share = [0, 0, 0, 50, 90][prng.index(5)];
        for file in self.files.values_mut() {
            file.unlinked = file.unlinked && prng.chance(50);
            for (at, block) in std::mem::take(&mut file.volatile) {
                let start = at as usize * BLOCK;
                if prng.chance(kept_share) {
                    if file.durable.len() < start + BLOCK {
                        file.durable.resize(start + BLOCK, 0);
                    }
                    file.durable[start..start + BLOCK].copy_from_slice(&block[..]);
                } else {
                    report.count("cut: cached block lost");
                }
            }
            // The size of a file is metadata: it may have grown without its blocks.
            let durable = (file.durable.len() / BLOCK) as u64;
            let size = durable + prng.below((file.size / BLOCK as u64).saturating_sub(durable) + 1);
            file.size = size * BLOCK as u64;
            file.durable.resize(file.size as usize, 0);
        }
        self.files.retain(|_, file| {
            let stays = !file.unlinked && (file.linked || prng.chance(30));
            if !stays {
                report.count("cut: unflushed directory entry lost");
            }
            file.linked = true;
            stays
        });
        self.forget_process();
    }

    /// An unfinished write at a power cut.
    fn tear(
        &mut self,
        file: LogFile,
        offset: u64,
        bytes: &[u8],
        prng: &mut Prng,
        report: &mut Report,
    ) {
        match prng.below(4) {
            0 => report.count("cut: write lost"),
            1 => {
                report.count("cut: write whole, nobody told");
                self.land_durable(file, offset, bytes);
            }
            _ => {
                report.count("cut: some blocks of a write");
                let whole_share = prng.below(101);
                for (at, block) in bytes.chunks_exact(BLOCK).enumerate() {
                    let start = offset + (at * BLOCK) as u64;
                    if prng.chance(whole_share) {
                        self.land_durable(file, start, block);
                    } else if prng.chance(50) {
                        report.count("cut: block torn between sectors");
                        let mut torn = [0; BLOCK];
                        self.read_visible(file, start, &mut torn);
                        for (old, new) in
                            torn.chunks_exact_mut(SECTOR).zip(block.chunks_exact(SECTOR))
                        {
                            if prng.chance(50) {
                                old.copy_from_slice(new);
                            }
                        }
                        self.land_durable(file, start, &torn);
                    }
                }
            }
        }
    }

    fn forget_process(&mut self) {
        for file in self.files.values_mut() {
            file.released = false;
            file.written = vec![false; file.size as usize / BLOCK];
        }
        self.ledger.forget_submitted();
    }

    /// Flips one to three bits of one block and returns how to undo it.
    pub fn rot(&mut self, file: LogFile, offset: u64, prng: &mut Prng) -> Option<Rot> {
        let stored = self.files.get_mut(&key(file))?;
        let start = offset as usize / BLOCK * BLOCK;
        let block = stored.durable.get_mut(start..start + BLOCK)?;
        let before: [u8; BLOCK] = (&*block).try_into().expect("a whole block");
        if prng.chance(20) {
            // A sector of another place: a misdirected write, or a drive that lost one.
            let at = prng.index(BLOCK / SECTOR) * SECTOR;
            prng.fill(&mut block[at..at + SECTOR]);
        } else {
            for _ in 0..=prng.below(3) {
                block[prng.index(BLOCK)] ^= 1 << prng.below(8);
            }
        }
        let changed = before != *block;
        changed.then(|| Rot { file, start, before: Box::new(before) })
    }

    pub fn undo_rot(&mut self, rot: Rot) {
        if let Some(file) = self.files.get_mut(&key(rot.file)) {
            file.durable[rot.start..rot.start + BLOCK].copy_from_slice(&rot.before[..]);
        }
    }
}

/// One damaged block, to be repaired.
#[derive(Debug)]
pub struct Rot {
    pub file: LogFile,
    pub start: usize,
    before: Block,
}
