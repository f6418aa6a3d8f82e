//! A simulated log directory: what was asked of it, what is readable, what survives.
//!
//! Three layers per file. *Durable* survives everything. *Volatile* is readable and dies at a
//! power cut: a device's write cache, blocks of a write whose process was killed before its
//! completion. *Pending* was submitted and has not completed.
//!
//! ```text
//!   submit ──> pending ──complete──> durable            (O_DIRECT + O_DSYNC)
//!                 │ kill: nothing, volatile or durable, by block
//!                 │ power cut: nothing, all, or any blocks, each whole or torn at 512 bytes
//!   volatile ──flush of its file──> durable             (a dsync write of other blocks does not)
//! ```
//!
//! The directory works alike: a file whose `Prepare` did not complete may be readable after a kill
//! and gone after a power cut, and a removed one may come back.
//!
//! Asking for what no log may ask for (writing outside of a prepared file, over a block that
//! holds a completed write, twice at a time into one block) is a violation, kept for the world to
//! report.

use std::collections::BTreeMap;

use base::Prng;
use wal::{HEADER_SIZE, IoError, LogFile, LogRead, ReadError};

pub use crate::disk::ledger::WriteLedger;
use crate::report::Report;

mod ledger;
mod loss;

pub const BLOCK: usize = base::limits::BLOCK_SIZE;
const SECTOR: usize = 512;

/// Names one operation on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

type Block = Box<[u8; BLOCK]>;
type Key = (u8, u32);

/// Owner: world.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<Key, File>,
    pending: BTreeMap<Ticket, Pending>,
    tickets: u64,
    pub violations: Vec<String>,
    /// Which writes recovery must be able to tell from a torn tail.
    pub ledger: WriteLedger,
    /// A block that cannot be read.
    unreadable: Option<(LogFile, u64)>,
}

#[derive(Debug)]
struct File {
    name: LogFile,
    /// What survives a power cut; shorter than `size` where growth is volatile.
    durable: Vec<u8>,
    /// Readable blocks that a power cut may take.
    volatile: BTreeMap<u32, Block>,
    size: u64,
    /// The directory entry survives a power cut.
    linked: bool,
    /// Unlinked, but a power cut may bring it back.
    unlinked: bool,
    /// Blocks that hold a completed write of this process. What an earlier one wrote may be dead;
    /// whether it was is for the other checks to find.
    written: Vec<bool>,
    released: bool,
}

#[derive(Debug)]
struct Pending {
    token: u64,
    file: LogFile,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Write { offset: u64, bytes: Vec<u8>, number: Option<u64> },
    Flush,
    Prepare { size: u64 },
    Remove,
}

/// What to do with an operation when its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Succeed,
    /// EIO: a write leaves any of its blocks, volatile; a flush loses any of the volatile ones.
    Fail,
}

impl Disk {
    /// One O_DIRECT + O_DSYNC write.
    pub fn submit_write(
        &mut self,
        token: u64,
        file: LogFile,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Ticket {
        self.judge_write(file, offset, &bytes);
        let number = matches!(file, LogFile::Segment(_))
            .then(|| self.ledger.note_submitted(file, offset, bytes.len()));
        self.submit(token, file, Action::Write { offset, bytes, number })
    }

    pub fn submit_flush(&mut self, token: u64, file: LogFile) -> Ticket {
        if self.visible(file).is_none() {
            self.violations.push(format!("a flush of {}, which is not there", file.name()));
        }
        self.submit(token, file, Action::Flush)
    }

    pub fn submit_prepare(&mut self, token: u64, file: LogFile, size: u64) -> Ticket {
        if !size.is_multiple_of(BLOCK as u64) {
            self.violations.push(format!("{} prepared with {size} bytes", file.name()));
        }
        self.refuse_overlap(file, 0, u64::MAX);
        self.submit(token, file, Action::Prepare { size })
    }

    pub fn submit_remove(&mut self, token: u64, file: LogFile) -> Ticket {
        self.refuse_overlap(file, 0, u64::MAX);
        self.submit(token, file, Action::Remove)
    }

    /// The file will not be written again by this process.
    pub fn release(&mut self, file: LogFile) {
        if let Some(file) = self.files.get_mut(&key(file)) {
            file.released = true;
        }
    }

    fn submit(&mut self, token: u64, file: LogFile, action: Action) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.pending.insert(ticket, Pending { token, file, action });
        ticket
    }

    fn judge_write(&mut self, name: LogFile, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if bytes.is_empty()
            || !bytes.len().is_multiple_of(BLOCK)
            || !offset.is_multiple_of(BLOCK as u64)
        {
            let size = bytes.len();
            self.violations.push(format!("unaligned: {size} at {offset} of {}", name.name()));
            return;
        }
        self.refuse_overlap(name, offset, end);
        let fault = match self.visible(name) {
            None => Some("is not there"),
            Some(file) if file.size < end => Some("is shorter"),
            // The mark of a spare begins another life of a file that was trimmed.
            Some(file) if file.released && !is_mark(offset, bytes) => Some("was released"),
            Some(file) => {
                let first = offset as usize / BLOCK;
                let blocks = &file.written[first..end as usize / BLOCK];
                // The place of the header holds a mark until the segment is opened.
                let is_frame = HEADER_SIZE as u64 <= offset;
                let rewrites =
                    is_frame && matches!(name, LogFile::Segment(_)) && blocks.contains(&true);
                rewrites.then_some("holds a completed write there")
            }
        };
        if let Some(fault) = fault {
            self.violations.push(format!("a write of {offset}..{end} of {} {fault}", name.name()));
        }
    }

    fn refuse_overlap(&mut self, name: LogFile, start: u64, end: u64) {
        let overlaps = self.pending.values().any(|pending| {
            pending.file == name
                && match &pending.action {
                    Action::Write { offset, bytes, .. } => {
                        *offset < end && start < offset + bytes.len() as u64
                    }
                    Action::Flush => false,
                    Action::Prepare { .. } | Action::Remove => true,
                }
        });
        if overlaps {
            self.violations.push(format!("two operations at a time on {}", name.name()));
        }
    }

    /// Carries out what `ticket` names and returns what its asker is told. If `free` is some, all
    /// disks share so much room: preparing takes from it and fails beyond it, removing gives back.
    pub fn complete(
        &mut self,
        ticket: Ticket,
        fate: Fate,
        free: &mut Option<u64>,
        prng: &mut Prng,
        report: &mut Report,
    ) -> wal::Event {
        let Pending { token, file, action } =
            self.pending.remove(&ticket).expect("an operation completes once");
        let result = match (action, fate) {
            (Action::Write { offset, bytes, number }, Fate::Succeed) => {
                self.land_durable(file, offset, &bytes);
                self.mark_written(file, offset, bytes.len());
                if is_mark(offset, &bytes) {
                    self.begin_life(file);
                }
                if let Some(number) = number {
                    self.ledger.note_completed(number);
                }
                Ok(())
            }
            (Action::Write { offset, bytes, .. }, Fate::Fail) => {
                self.land_some(file, offset, &bytes, prng);
                Err(IoError::Other(EIO))
            }
            (Action::Flush, Fate::Succeed) => {
                self.flush(file);
                Ok(())
            }
            (Action::Flush, Fate::Fail) => {
                // A failed fsync marks the pages clean: what was not written may be gone, and a
                // second one would succeed and lie (fsync(2); the PostgreSQL case of 2018).
                if let Some(file) = self.files.get_mut(&key(file)) {
                    file.volatile.retain(|_, _| prng.chance(50));
                }
                Err(IoError::Other(EIO))
            }
            (Action::Prepare { size }, Fate::Succeed) => {
                self.prepare(file, size, free, prng, report)
            }
            (Action::Prepare { size }, Fate::Fail) => {
                self.prepare_some(file, size, prng);
                Err(IoError::Other(EIO))
            }
            (Action::Remove, Fate::Succeed) => {
                self.remove(file, free);
                Ok(())
            }
            (Action::Remove, Fate::Fail) => Err(IoError::Other(EIO)),
        };
        wal::Event { token, result }
    }

    /// Is this operation a write or a flush? Those fail for good; preparing may be tried again.
    pub fn is_write_or_flush(&self, ticket: Ticket) -> bool {
        matches!(
            self.pending.get(&ticket).map(|pending| &pending.action),
            Some(Action::Write { .. } | Action::Flush)
        )
    }

    pub fn is_flush(&self, ticket: Ticket) -> bool {
        matches!(self.pending.get(&ticket).map(|pending| &pending.action), Some(Action::Flush))
    }

    /// How many log writes are on their way.
    pub fn writes_pending(&self) -> usize {
        self.pending.values().filter(|p| matches!(p.action, Action::Write { .. })).count()
    }

    fn prepare(
        &mut self,
        name: LogFile,
        size: u64,
        free: &mut Option<u64>,
        prng: &mut Prng,
        report: &mut Report,
    ) -> Result<(), IoError> {
        let held = self.visible(name).map_or(0, |file| file.size);
        if let Some(free) = free {
            let needed = size.saturating_sub(held);
            if *free < needed {
                report.count("fault: no space");
                // A file that could only be made in part may stay.
                self.prepare_some(name, size / 2 / BLOCK as u64 * BLOCK as u64, prng);
                return Err(IoError::NoSpace);
            }
            *free -= needed;
        }
        self.files.insert(
            key(name),
            File {
                name,
                durable: vec![0; size as usize],
                volatile: BTreeMap::new(),
                size,
                linked: true,
                unlinked: false,
                written: vec![false; size as usize / BLOCK],
                released: false,
            },
        );
        Ok(())
    }

    /// A part of a `Prepare`, all of it volatile, its name too.
    fn prepare_some(&mut self, name: LogFile, size: u64, prng: &mut Prng) {
        let blocks = size / BLOCK as u64;
        if self.visible(name).is_none() {
            if prng.chance(30) {
                return;
            }
            let blocks = match prng.below(10) {
                0..3 => blocks,
                3..6 => 0,
                _ => prng.below(blocks + 1),
            };
            let old = self.files.remove(&key(name));
            let was_linked = old.as_ref().is_some_and(|file| file.linked);
            let linked = was_linked || prng.chance(30);
            self.files.insert(
                key(name),
                File {
                    name,
                    durable: old.map(|file| file.durable).unwrap_or_default(),
                    volatile: (0..blocks as u32).map(|at| (at, zeros())).collect(),
                    size: blocks * BLOCK as u64,
                    linked,
                    unlinked: false,
                    written: vec![false; blocks as usize],
                    released: false,
                },
            );
            return;
        }
        let file = self.files.get_mut(&key(name)).expect("it is visible");
        for at in 0..blocks.min(file.size / BLOCK as u64) {
            if prng.chance(50) {
                file.volatile.insert(at as u32, zeros());
            }
        }
    }

    fn remove(&mut self, name: LogFile, free: &mut Option<u64>) {
        self.ledger.forget_file(name);
        if let Some(file) = self.files.remove(&key(name))
            && let Some(free) = free
        {
            *free += file.size;
        }
    }

    fn flush(&mut self, name: LogFile) {
        let Some(file) = self.files.get_mut(&key(name)) else { return };
        file.durable.resize(file.size as usize, 0);
        for (at, block) in std::mem::take(&mut file.volatile) {
            let start = at as usize * BLOCK;
            file.durable[start..start + BLOCK].copy_from_slice(&block[..]);
        }
    }

    /// Everything readable survives from now on.
    pub fn flush_all(&mut self) {
        for name in self.files.values().map(|file| file.name).collect::<Vec<_>>() {
            self.flush(name);
        }
        self.files.values_mut().for_each(|file| file.linked = true);
    }

    fn land_durable(&mut self, name: LogFile, offset: u64, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(&key(name)) else { return };
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if file.durable.len() < end {
            file.durable.resize(end, 0);
        }
        file.size = file.size.max(end as u64);
        file.durable[start..end].copy_from_slice(bytes);
        for at in start / BLOCK..end / BLOCK {
            file.volatile.remove(&(at as u32));
        }
    }

    /// A segment became a spare: what was written to it is dead.
    fn begin_life(&mut self, name: LogFile) {
        self.ledger.forget_file(name);
        if let Some(file) = self.files.get_mut(&key(name)) {
            file.written.fill(false);
            file.released = false;
        }
    }

    fn mark_written(&mut self, name: LogFile, offset: u64, size: usize) {
        if let Some(file) = self.files.get_mut(&key(name)) {
            let first = offset as usize / BLOCK;
            for at in first..first + size / BLOCK {
                if let Some(written) = file.written.get_mut(at) {
                    *written = true;
                }
            }
        }
    }

    /// Any of the blocks of a write: absent, volatile or durable.
    fn land_some(&mut self, name: LogFile, offset: u64, bytes: &[u8], prng: &mut Prng) {
        let durable_share = [0, 30, 60][prng.index(3)];
        for (at, block) in bytes.chunks_exact(BLOCK).enumerate() {
            let start = offset + (at * BLOCK) as u64;
            match prng.below(100) {
                draw if draw < durable_share => self.land_durable(name, start, block),
                draw if draw < 80 => self.land_volatile(name, start, block),
                _ => {}
            }
        }
    }

    fn land_volatile(&mut self, name: LogFile, offset: u64, bytes: &[u8]) {
        let Some(file) = self.files.get_mut(&key(name)) else { return };
        for (at, block) in bytes.chunks_exact(BLOCK).enumerate() {
            let at = (offset as usize / BLOCK + at) as u32;
            file.volatile.insert(at, Box::new(block.try_into().expect("a whole block")));
        }
    }

    /// Reads of this block fail until it is healed.
    pub fn set_unreadable(&mut self, block: Option<(LogFile, u64)>) {
        self.unreadable = block;
    }

    /// Every file there is, with its size.
    pub fn list(&self) -> Vec<(LogFile, u64)> {
        self.files.values().filter(|f| !f.unlinked).map(|file| (file.name, file.size)).collect()
    }

    fn visible(&self, name: LogFile) -> Option<&File> {
        self.files.get(&key(name)).filter(|file| !file.unlinked)
    }

    /// Bytes that are readable now; whatever is beyond the durable part and never written is zero.
    fn read_visible(&self, name: LogFile, offset: u64, into: &mut [u8]) {
        let Some(file) = self.visible(name) else { return };
        let start = offset as usize;
        let durable = file.durable.len().clamp(start, start + into.len()) - start;
        if 0 < durable {
            into[..durable].copy_from_slice(&file.durable[start..start + durable]);
        }
        into[durable..].fill(0);
        let first = (start / BLOCK) as u32;
        let end = (start + into.len()).div_ceil(BLOCK) as u32;
        for (at, block) in file.volatile.range(first..end) {
            let place = *at as usize * BLOCK - start;
            into[place..place + BLOCK].copy_from_slice(&block[..]);
        }
    }
}

const EIO: i32 = 5;

/// Is it the mark of a spare segment?
fn is_mark(offset: u64, bytes: &[u8]) -> bool {
    offset == 0 && bytes.starts_with(b"TOROIDSP")
}

/// Reads the directory as the process that starts sees it.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a Disk);

impl LogRead for Reader<'_> {
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError> {
        Ok(self.0.list())
    }

    fn read_at(&mut self, file: LogFile, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        let error =
            |message: &str| ReadError { file: Some(file), offset, message: message.to_owned() };
        assert!(offset.is_multiple_of(BLOCK as u64), "direct reads are aligned");
        assert!(into.len().is_multiple_of(BLOCK), "direct reads are aligned");
        let Some(found) = self.0.visible(file) else { return Err(error("no such file")) };
        let end = offset + into.len() as u64;
        if found.size < end {
            return Err(error("the file is shorter"));
        }
        if let Some((bad, at)) = self.0.unreadable
            && bad == file
            && (offset..end).contains(&at)
        {
            return Err(error("input/output error"));
        }
        self.0.read_visible(file, offset, into);
        Ok(())
    }
}

fn key(file: LogFile) -> Key {
    match file {
        LogFile::Segment(number) => (0, number),
        LogFile::HardState => (1, 0),
        LogFile::Ballast => (2, 0),
    }
}

fn zeros() -> Block {
    Box::new([0; BLOCK])
}

#[cfg(test)]
mod tests;
