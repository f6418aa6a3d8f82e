//! Which completed log writes are vouched for by a later one.
//!
//! A frame carries the durable prefix as of its making. So damage to a write is detectable once a
//! later write, made when that one and all before it had completed, has itself completed. Only
//! such writes are rotted: damage to the rest looks like a torn tail, on every design.

use wal::{HEADER_SIZE, LogFile};

/// Owner: disk.
#[derive(Debug, Default)]
pub struct WriteLedger {
    /// Segment writes in the order of the log.
    writes: Vec<Noted>,
    /// All writes before this one have completed, or belong to a dead process.
    prefix: usize,
    /// Writes vouched for by one that completed.
    vouched: usize,
}

#[derive(Debug)]
struct Noted {
    file: LogFile,
    offset: u64,
    size: usize,
    completed: bool,
    /// The file has begun another life since.
    dead: bool,
    /// How many writes this one vouches for.
    vouches: usize,
}

impl WriteLedger {
    pub fn note_submitted(&mut self, file: LogFile, offset: u64, size: usize) -> u64 {
        // Marks of spare segments carry no durable prefix.
        let vouches = if HEADER_SIZE as u64 <= offset { self.prefix } else { 0 };
        self.writes.push(Noted { file, offset, size, completed: false, dead: false, vouches });
        self.writes.len() as u64 - 1
    }

    pub fn note_completed(&mut self, number: u64) {
        let write = &mut self.writes[number as usize];
        write.completed = true;
        self.vouched = self.vouched.max(write.vouches);
        while self.writes.get(self.prefix).is_some_and(|write| write.completed) {
            self.prefix += 1;
        }
    }

    /// What was written to the file is part of the log no more.
    pub fn forget_file(&mut self, file: LogFile) {
        self.writes.iter_mut().filter(|write| write.file == file).for_each(|write| {
            write.dead = true;
        });
    }

    /// The process died. What it had not completed is nobody's promise.
    pub fn forget_submitted(&mut self) {
        self.prefix = self.writes.len();
    }

    /// Completed writes whose damage must be noticed.
    pub fn vouched(&self) -> impl Iterator<Item = (LogFile, u64, usize)> {
        self.writes[..self.vouched]
            .iter()
            .filter(|write| write.completed && !write.dead)
            .map(|write| (write.file, write.offset, write.size))
    }
}
