//! A disk in memory that carries a log's outputs out, and loses what was not flushed.
//!
//! A write that completed is durable (O_DSYNC). A write in flight may, at a crash, have reached
//! any of its blocks; after a kill those may be readable and still be lost by a power cut.

use std::collections::BTreeMap;

use base::Prng;
use wal::{Event, Halt, IoError, LogFile, LogRead, Output, ReadError, Wal};

pub const BLOCK: usize = 4096;

#[derive(Clone, Debug, Default)]
pub struct File {
    pub durable: Vec<u8>,
    /// Readable, but not on stable storage: block number and content.
    cached: BTreeMap<usize, Vec<u8>>,
    /// Its directory entry may be lost by a power cut: its preparation did not complete.
    is_unlinked: bool,
}

#[derive(Clone, Debug)]
pub enum Operation {
    Write { file: LogFile, offset: u64, bytes: Vec<u8> },
    Flush { file: LogFile },
    Prepare { file: LogFile, size: u64 },
    Remove { file: LogFile },
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub files: BTreeMap<LogFile, File>,
    /// Submitted, not completed; with tokens.
    pub in_flight: Vec<(u64, Operation)>,
    pub halted: Option<Halt>,
    /// What may still be allocated; preparing takes, removing gives back.
    pub free: Option<u64>,
    /// Every operation submitted so far, by kind and file.
    pub history: Vec<String>,
    /// The n-th prepare from now fails once with this.
    pub fail_prepare: Option<(u64, IoError)>,
    /// Bytes read since the last look.
    pub bytes_read: u64,
}

impl Disk {
    /// Takes every output the log has.
    pub fn submit_all(&mut self, wal: &mut Wal) {
        while let Some(output) = wal.poll_output() {
            self.submit(output);
        }
        assert!(!wal.has_output());
    }

    pub fn submit(&mut self, output: Output<'_>) {
        match output {
            Output::Write(write) => {
                let (token, file, offset) = (write.token, write.file, write.offset);
                let mut bytes = vec![0xee; write.size()];
                write.encode(&mut bytes);
                assert!(offset.is_multiple_of(BLOCK as u64) && bytes.len().is_multiple_of(BLOCK));
                let end = offset as usize + bytes.len();
                let held = self.files.get(&file).expect("a written file was prepared");
                assert!(end <= held.durable.len(), "writes stay within prepared room");
                self.history.push(format!("write {file} {offset} {}", bytes.len()));
                self.in_flight.push((token, Operation::Write { file, offset, bytes }));
            }
            Output::Flush { token, file } => {
                self.history.push(format!("flush {file}"));
                self.in_flight.push((token, Operation::Flush { file }));
            }
            Output::Prepare { token, file, size } => {
                self.history.push(format!("prepare {file} {size}"));
                self.in_flight.push((token, Operation::Prepare { file, size }));
            }
            Output::Remove { token, file } => {
                self.history.push(format!("remove {file}"));
                self.in_flight.push((token, Operation::Remove { file }));
            }
            Output::Release { file } => self.history.push(format!("release {file}")),
            Output::Halt(halt) => {
                assert!(self.halted.is_none(), "a log halts once");
                self.halted = Some(halt);
            }
        }
    }

    /// Carries out one operation in flight and says how it went.
    pub fn complete(&mut self, at: usize) -> Event {
        let (token, operation) = self.in_flight.swap_remove(at);
        let result = match operation {
            Operation::Write { file, offset, bytes } => {
                self.store(file, offset as usize, &bytes);
                Ok(())
            }
            Operation::Flush { file } => {
                let held = self.files.get_mut(&file).expect("only files that exist are flushed");
                for (block, bytes) in std::mem::take(&mut held.cached) {
                    held.durable[block * BLOCK..][..BLOCK].copy_from_slice(&bytes);
                }
                Ok(())
            }
            Operation::Prepare { file, size } => self.prepare(file, size),
            Operation::Remove { file } => {
                if let Some(removed) = self.files.remove(&file)
                    && let Some(free) = &mut self.free
                {
                    *free += removed.durable.len() as u64;
                }
                Ok(())
            }
        };
        Event { token, result }
    }

    fn prepare(&mut self, file: LogFile, size: u64) -> Result<(), IoError> {
        if let Some((left, error)) = &mut self.fail_prepare {
            *left -= 1;
            if *left == 0 {
                let error = *error;
                self.fail_prepare = None;
                return Err(error);
            }
        }
        let held = self.files.get(&file).map_or(0, |file| file.durable.len() as u64);
        let needed = size.saturating_sub(held);
        if let Some(free) = &mut self.free {
            if *free < needed {
                // What could be had is kept: half a file.
                let part = *free / BLOCK as u64 * BLOCK as u64;
                *free -= part;
                let size = (held + part) as usize;
                self.files.insert(file, File { durable: vec![0; size], ..File::default() });
                return Err(IoError::NoSpace);
            }
            *free -= needed;
        }
        self.files.insert(file, File { durable: vec![0; size as usize], ..File::default() });
        Ok(())
    }

    fn store(&mut self, file: LogFile, offset: usize, bytes: &[u8]) {
        let held = self.files.get_mut(&file).expect("the file is there");
        held.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
        for block in offset / BLOCK..(offset + bytes.len()) / BLOCK {
            held.cached.remove(&block);
        }
    }

    /// The process dies. Writes in flight reach any of their blocks, which are readable from now
    /// on; whether they survive a power cut is open.
    pub fn kill(&mut self, prng: &mut Prng) {
        for (_, operation) in std::mem::take(&mut self.in_flight) {
            match operation {
                Operation::Write { file, offset, bytes } => {
                    let share = prng.below(101);
                    for (at, block) in bytes.chunks(BLOCK).enumerate() {
                        if prng.chance(share) {
                            let held = self.files.get_mut(&file).expect("the file is there");
                            held.cached.insert(offset as usize / BLOCK + at, block.to_vec());
                        }
                    }
                }
                Operation::Prepare { file, size } => self.prepare_part(file, size, prng),
                Operation::Remove { file } if prng.chance(50) => {
                    self.files.remove(&file);
                }
                Operation::Flush { .. } | Operation::Remove { .. } => {}
            }
        }
        self.halted = None;
    }

    /// The process dies; of its writes in flight these blocks, by file and number, are readable.
    pub fn kill_leaving(&mut self, blocks: &[(LogFile, usize)]) {
        for (_, operation) in std::mem::take(&mut self.in_flight) {
            let Operation::Write { file, offset, bytes } = operation else { continue };
            for (at, content) in bytes.chunks(BLOCK).enumerate() {
                let block = offset as usize / BLOCK + at;
                if blocks.contains(&(file, block)) {
                    let held = self.files.get_mut(&file).expect("the file is there");
                    held.cached.insert(block, content.to_vec());
                }
            }
        }
    }

    /// The power fails, and nothing survives that was not flushed.
    pub fn cut_power_losing_all(&mut self) {
        self.in_flight.clear();
        for file in self.files.values_mut() {
            file.cached.clear();
        }
    }

    /// The power fails: of what was not flushed, any blocks survive.
    pub fn cut_power(&mut self, prng: &mut Prng) {
        self.kill(prng);
        self.files.retain(|_, file| !file.is_unlinked || prng.chance(30));
        for file in self.files.values_mut() {
            file.is_unlinked = false;
            let share = prng.below(101);
            for (block, bytes) in std::mem::take(&mut file.cached) {
                if prng.chance(share) {
                    file.durable[block * BLOCK..][..BLOCK].copy_from_slice(&bytes);
                } else if prng.chance(10) {
                    // A torn block: some of its sectors are new.
                    for (at, sector) in bytes.chunks(512).enumerate() {
                        if prng.chance(50) {
                            file.durable[block * BLOCK + at * 512..][..512].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
    }

    fn prepare_part(&mut self, file: LogFile, size: u64, prng: &mut Prng) {
        let held = self.files.get(&file).map_or(0, |file| file.durable.len());
        let blocks = size / BLOCK as u64;
        let blocks = if prng.chance(30) { blocks } else { prng.below(blocks + 1) } as usize;
        if 0 < held {
            let size = held.max(blocks * BLOCK);
            self.files.entry(file).or_default().durable.resize(size, 0);
        } else if prng.chance(70) {
            let durable = vec![0; blocks * BLOCK];
            self.files.insert(file, File { durable, is_unlinked: true, ..File::default() });
        }
    }

    /// The bytes a reader sees of a file.
    pub fn bytes(&self, file: LogFile) -> Vec<u8> {
        let held = &self.files[&file];
        let mut bytes = held.durable.clone();
        for (block, content) in &held.cached {
            bytes[block * BLOCK..][..BLOCK].copy_from_slice(content);
        }
        bytes
    }

    pub fn durable_mut(&mut self, file: LogFile) -> &mut Vec<u8> {
        &mut self.files.get_mut(&file).expect("the file is there").durable
    }
}

impl LogRead for Disk {
    fn files(&mut self) -> Result<Vec<(LogFile, u64)>, ReadError> {
        Ok(self.files.iter().map(|(name, file)| (*name, file.durable.len() as u64)).collect())
    }

    fn read_at(&mut self, file: LogFile, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        assert!(offset.is_multiple_of(BLOCK as u64) && into.len().is_multiple_of(BLOCK));
        self.bytes_read += into.len() as u64;
        let held = self.files.get(&file).expect("only files that exist are read");
        let start = offset as usize;
        into.copy_from_slice(&held.durable[start..start + into.len()]);
        for (block, content) in held.cached.range(start / BLOCK..(start + into.len()) / BLOCK) {
            into[block * BLOCK - start..][..BLOCK].copy_from_slice(content);
        }
        Ok(())
    }
}
