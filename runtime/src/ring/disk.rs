//! The log's files: direct writes from registered buffers, flushes, preparation, removal.
//!
//! Files are opened by name within the log directory when they are first used, with O_DIRECT and
//! O_DSYNC, and stay open until released: a completed write is on stable storage. Their descriptors
//! stay visible in /proc/PID/fdinfo; the ring itself uses them through its table of registered
//! files.
//!
//! Each thing asked for is a job. A job's completion carries the job's place in the table and a
//! detail of its own; its result is one event with the caller's token.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use base::Map;
use base::limits::{BLOCK_SIZE, FRAME_SIZE_MAX};
use io_uring::types::{Fd, Fixed, FsyncFlags};
use io_uring::{opcode, squeue};
use rustix::fs::{Mode, OFlags};

use super::prepare::{Prepare, WRITE_SIZE};
use super::queue::Queue;
use super::tag::Tag;
use super::{LOG_FILES_REGISTERED, Options, Ready, Ring};
use crate::error::{DiskError, SetupError};
use crate::memory::AlignedMemory;
use crate::probe::KernelFacts;

/// `OFlags::DSYNC` is O_SYNC in rustix's own backend, which also waits for time stamps.
const DSYNC: OFlags = OFlags::from_bits_retain(libc::O_DSYNC.cast_unsigned());

/// Unregistered buffers kept for the next time the registered ones are all in use.
const SPARE_BUFFERS_MAX: usize = 4;

pub(super) struct Disk {
    directory: OwnedFd,
    /// The registered buffers, all in one allocation; buffer i starts at i * FRAME_SIZE_MAX.
    registered: Option<AlignedMemory>,
    registered_free: Vec<u16>,
    spare: Vec<AlignedMemory>,
    /// Zeros to prepare files with, allocated when first needed.
    zeros: Option<AlignedMemory>,
    files: Vec<Option<LogFile>>,
    names: Map<Box<str>, usize>,
    /// Places in the table of registered files.
    places_free: Vec<u32>,
    jobs: Vec<Option<Job>>,
    jobs_free: Vec<u32>,
}

struct LogFile {
    name: Box<str>,
    file: OwnedFd,
    /// Its place in the table of registered files, if there was one.
    place: Option<u32>,
    /// Jobs using it.
    users: u32,
    /// To be closed when the last job is done.
    released: bool,
}

enum Buffer {
    Registered(u16),
    Spare(AlignedMemory),
}

enum Job {
    Write { token: u64, file: usize, buffer: Buffer, size: usize },
    Flush { token: u64, file: usize },
    Prepare(Prepare),
    Unlink { token: u64, _name: CString },
    SyncDirectory { token: u64 },
}

impl Disk {
    pub(super) fn open(
        queue: &Queue,
        options: &Options,
        place_first: u32,
        notices: &mut Vec<String>,
    ) -> Result<Self, SetupError> {
        let directory = open_directory(&options.log_directory).map_err(|error| {
            SetupError::LogDirectory { path: options.log_directory.clone(), error }
        })?;
        let (registered, count) = register_buffers(queue, options.log_buffers)?;
        if usize::from(count) < options.log_buffers {
            notices.push(format!(
                "{count} of {} log buffers are registered with the kernel: the limit on locked \
                 memory is too small for more. Writes work without, at a little more CPU. Raise \
                 it with `ulimit -l` or `LimitMEMLOCK=` ({})",
                options.log_buffers,
                KernelFacts::read()
            ));
        }
        Ok(Self {
            directory,
            registered,
            registered_free: (0..count).rev().collect(),
            spare: Vec::new(),
            zeros: None,
            files: Vec::new(),
            names: Map::default(),
            places_free: (place_first..place_first + LOG_FILES_REGISTERED).rev().collect(),
            jobs: Vec::new(),
            jobs_free: Vec::new(),
        })
    }

    fn begin(&mut self, job: Job) -> u32 {
        if let Some(index) = self.jobs_free.pop() {
            self.jobs[index as usize] = Some(job);
            return index;
        }
        self.jobs.push(Some(job));
        u32::try_from(self.jobs.len() - 1).expect("jobs are limited by what the log has in flight")
    }

    /// Takes a job out; its place is used again unless `resume` puts it back.
    fn take(&mut self, index: u32) -> Job {
        self.jobs[index as usize].take().expect("a completion belongs to a job that is under way")
    }

    fn resume(&mut self, index: u32, job: Job) {
        let place = &mut self.jobs[index as usize];
        assert!(place.is_none());
        *place = Some(job);
    }

    fn end(&mut self, index: u32) {
        assert!(self.jobs[index as usize].is_none());
        self.jobs_free.push(index);
    }

    fn take_buffer(&mut self) -> Buffer {
        match self.registered_free.pop() {
            Some(index) => Buffer::Registered(index),
            None => Buffer::Spare(
                self.spare.pop().unwrap_or_else(|| AlignedMemory::zeroed(FRAME_SIZE_MAX)),
            ),
        }
    }

    fn put_back_buffer(&mut self, buffer: Buffer) {
        match buffer {
            Buffer::Registered(index) => self.registered_free.push(index),
            Buffer::Spare(memory) if self.spare.len() < SPARE_BUFFERS_MAX => {
                self.spare.push(memory);
            }
            Buffer::Spare(_) => {}
        }
    }

    /// The bytes of a buffer that no operation uses.
    fn buffer_mut<'a>(&'a mut self, buffer: &'a mut Buffer) -> &'a mut [u8] {
        match buffer {
            Buffer::Registered(index) => {
                let start = usize::from(*index) * FRAME_SIZE_MAX;
                let memory = self.registered.as_ref().expect("a registered buffer was taken");
                assert!(start + FRAME_SIZE_MAX <= memory.size());
                // SAFETY: the buffer lies within the allocation.
                let start = unsafe { memory.as_ptr().add(start) };
                // SAFETY: the buffer was taken from the free ones, so no operation and no other
                // slice uses this part of the allocation; self is borrowed uniquely meanwhile.
                unsafe { std::slice::from_raw_parts_mut(start, FRAME_SIZE_MAX) }
            }
            Buffer::Spare(memory) => memory.bytes_mut(),
        }
    }

    /// Counts a further job on the open file of this name, opening it if need be.
    fn enter_file(&mut self, queue: &Queue, name: &str) -> Result<usize, DiskError> {
        if let Some(&index) = self.names.get(name) {
            let file = self.files[index].as_mut().expect("a named file is open");
            file.users += 1;
            file.released = false;
            return Ok(index);
        }
        let flags = OFlags::RDWR | OFlags::DIRECT | DSYNC | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        let place = self.places_free.pop().filter(|&place| {
            queue.submitter().register_files_update(place, &[file.as_raw_fd()]).is_ok()
        });
        let file = LogFile { name: name.into(), file, place, users: 1, released: false };
        let index = self.files.iter().position(Option::is_none).unwrap_or_else(|| {
            self.files.push(None);
            self.files.len() - 1
        });
        self.files[index] = Some(file);
        self.names.insert(name.into(), index);
        Ok(index)
    }

    fn leave_file(&mut self, queue: &Queue, index: usize) {
        let file = self.files[index].as_mut().expect("a job's file is open");
        file.users -= 1;
        self.close_if_released(queue, index);
    }

    fn close_if_released(&mut self, queue: &Queue, index: usize) {
        let slot = &mut self.files[index];
        let Some(file) = slot.take_if(|file| file.released && file.users == 0) else { return };
        self.names.remove(&file.name);
        if let Some(place) = file.place {
            let removed = queue.submitter().register_files_update(place, &[-1]);
            assert!(removed.is_ok(), "a registered file can be taken out of the table");
            self.places_free.push(place);
        }
    }

    fn file(&self, index: usize) -> &LogFile {
        self.files[index].as_ref().expect("a job's file is open")
    }

    /// Gives buffers up for good, because the kernel may still read them.
    pub(super) fn leak_buffers(&mut self) {
        std::mem::forget(self.registered.take());
        std::mem::forget(self.zeros.take());
        std::mem::forget(std::mem::take(&mut self.jobs));
    }
}

impl Ring {
    /// Writes `size` bytes, which `encode` fills in at once, at `offset` of a file that exists.
    /// Both are multiples of the block size. Durable when its event arrives without an error.
    pub fn write(
        &mut self,
        token: u64,
        file: &str,
        offset: u64,
        size: usize,
        encode: impl FnOnce(&mut [u8]),
    ) {
        assert!(0 < size && size <= FRAME_SIZE_MAX);
        assert!(size.is_multiple_of(BLOCK_SIZE));
        assert!(offset.is_multiple_of(BLOCK_SIZE as u64));
        let file = match self.disk.enter_file(&self.queue, file) {
            Ok(file) => file,
            Err(error) => {
                // The bytes are taken over all the same: who lends them counts on it.
                encode(&mut vec![0; size]);
                return self.complete(token, Err(error));
            }
        };
        let mut buffer = self.disk.take_buffer();
        let bytes = &mut self.disk.buffer_mut(&mut buffer)[..size];
        encode(bytes);
        let start = bytes.as_ptr();
        let length = u32::try_from(size).expect("a frame is small");
        let target = self.disk.file(file);
        let entry = match (&buffer, target.place) {
            (Buffer::Registered(index), Some(place)) => {
                opcode::WriteFixed::new(Fixed(place), start, length, *index).offset(offset).build()
            }
            (Buffer::Registered(index), None) => {
                let fd = Fd(target.file.as_raw_fd());
                opcode::WriteFixed::new(fd, start, length, *index).offset(offset).build()
            }
            (Buffer::Spare(_), Some(place)) => {
                opcode::Write::new(Fixed(place), start, length).offset(offset).build()
            }
            (Buffer::Spare(_), None) => {
                let fd = Fd(target.file.as_raw_fd());
                opcode::Write::new(fd, start, length).offset(offset).build()
            }
        };
        if matches!(buffer, Buffer::Spare(_)) {
            self.stats.writes_unregistered += 1;
        }
        // A write sets the file's time, for which ext4 may wait until its journal is written. On a slow
        // disk that is seconds, and must be a worker's time, not the core's.
        let entry = entry.flags(squeue::Flags::ASYNC);
        let job = self.disk.begin(Job::Write { token, file, buffer, size });
        // SAFETY: the job owns the buffer until the write's completion has been taken.
        unsafe { self.queue.push(entry, Tag::Disk { job, detail: 0 }) };
    }

    /// Keeps a file open for as long as this ring's operations go on, even beyond the end of the
    /// process: the kernel closes a ring's files when the last of them has completed.
    ///
    /// With the lock of a directory, a process that was killed holds it until no write of its
    /// can reach the disk any more, so that who recovers reads what stays.
    pub fn hold(&mut self, file: &impl AsFd) -> io::Result<()> {
        let place = self.disk.places_free.pop().ok_or(io::ErrorKind::OutOfMemory)?;
        let registered = [file.as_fd().as_raw_fd()];
        self.queue.submitter().register_files_update(place, &registered).map(drop)
    }

    /// Makes what was written to a file durable (fdatasync).
    pub fn flush(&mut self, token: u64, file: &str) {
        let file = match self.disk.enter_file(&self.queue, file) {
            Ok(file) => file,
            Err(error) => return self.complete(token, Err(error)),
        };
        let target = self.disk.file(file);
        let entry = match target.place {
            Some(place) => opcode::Fsync::new(Fixed(place)).flags(FsyncFlags::DATASYNC).build(),
            None => sync_data(target.file.as_raw_fd()),
        };
        let job = self.disk.begin(Job::Flush { token, file });
        self.queue.push_pointerless(entry, Tag::Disk { job, detail: 0 });
    }

    /// Creates a file if it is missing, writes zeros over `size` bytes of it, cuts it there, and
    /// makes it and its name durable. Any content is lost; if the disk fails midway, the file is
    /// removed.
    pub fn prepare(&mut self, token: u64, file: &str, size: u64) {
        assert!(0 < size && size.is_multiple_of(BLOCK_SIZE as u64));
        self.disk.zeros.get_or_insert_with(|| AlignedMemory::zeroed(WRITE_SIZE));
        match Prepare::start(&self.disk.directory, token, file, size) {
            Ok(prepare) => {
                let job = self.disk.begin(Job::Prepare(prepare));
                self.step_prepare(job);
            }
            Err(error) => self.complete(token, Err(error)),
        }
    }

    /// Removes a file and makes the removal durable. A file that is open for a write stays usable
    /// for it.
    pub fn remove(&mut self, token: u64, file: &str) {
        self.release(file);
        let name = CString::new(file).expect("names of log files contain no zero byte");
        let start = name.as_ptr();
        let job = self.disk.begin(Job::Unlink { token, _name: name });
        let directory = Fd(self.disk.directory.as_raw_fd());
        let entry = opcode::UnlinkAt::new(directory, start).build();
        // SAFETY: the job owns the name, whose bytes do not move, until the completion.
        unsafe { self.queue.push(entry, Tag::Disk { job, detail: 0 }) };
    }

    /// Closes a file once nothing is being written to it. Later use opens it again.
    pub fn release(&mut self, file: &str) {
        if let Some(&index) = self.disk.names.get(file) {
            self.disk.files[index].as_mut().expect("a named file is open").released = true;
            self.disk.close_if_released(&self.queue, index);
        }
    }

    pub(super) fn handle_disk(&mut self, index: u32, detail: u32, result: i32) {
        match self.disk.take(index) {
            Job::Write { token, file, buffer, size } => {
                self.disk.put_back_buffer(buffer);
                self.disk.leave_file(&self.queue, file);
                self.finish(index, token, check_size(result, size));
            }
            Job::Flush { token, file } => {
                self.disk.leave_file(&self.queue, file);
                self.finish(index, token, check(result));
            }
            Job::Unlink { token, _name } => match check(result) {
                Ok(()) => {
                    self.disk.resume(index, Job::SyncDirectory { token });
                    self.push_sync_directory(index);
                }
                Err(error) => self.finish(index, token, Err(error)),
            },
            Job::SyncDirectory { token } => self.finish(index, token, check(result)),
            Job::Prepare(mut prepare) => {
                prepare.handle_completion(detail, result);
                self.disk.resume(index, Job::Prepare(prepare));
                self.step_prepare(index);
            }
        }
    }

    /// Submits what a preparation can do next, or reports its end.
    fn step_prepare(&mut self, index: u32) {
        let Some(Job::Prepare(mut prepare)) = self.disk.jobs[index as usize].take() else {
            unreachable!("only preparations are stepped");
        };
        let zeros = self.disk.zeros.as_ref().expect("they were allocated with the first job");
        while let Some((entry, detail)) = prepare.poll_operation(&self.disk.directory, zeros) {
            // SAFETY: the operation points to the zeros, which live as long as the ring, or to the
            // name, which the job owns until it has ended; neither moves.
            unsafe { self.queue.push(entry, Tag::Disk { job: index, detail }) };
        }
        match prepare.outcome() {
            Some(result) => {
                let token = prepare.token();
                self.finish(index, token, result);
            }
            None => self.disk.resume(index, Job::Prepare(prepare)),
        }
    }

    fn push_sync_directory(&mut self, job: u32) {
        let directory = Fd(self.disk.directory.as_raw_fd());
        let entry = opcode::Fsync::new(directory).build();
        self.queue.push_pointerless(entry, Tag::Disk { job, detail: 0 });
    }

    fn finish(&mut self, job: u32, token: u64, result: Result<(), DiskError>) {
        self.disk.end(job);
        self.complete(token, result);
    }

    fn complete(&mut self, token: u64, result: Result<(), DiskError>) {
        self.ready.push_back(Ready::Disk { token, result });
    }
}

/// What a result that carries no count means.
pub(super) fn check(result: i32) -> Result<(), DiskError> {
    if result < 0 { Err(DiskError::from_errno(-result)) } else { Ok(()) }
}

pub(super) fn sync_data(fd: std::os::fd::RawFd) -> squeue::Entry {
    opcode::Fsync::new(Fd(fd)).flags(FsyncFlags::DATASYNC).build()
}

/// A write that wrote less than everything has failed: the kernel found an error after a part.
fn check_size(result: i32, size: usize) -> Result<(), DiskError> {
    match usize::try_from(result) {
        Ok(written) if written == size => Ok(()),
        Ok(_) => Err(DiskError::Os(libc::EIO)),
        Err(_) => check(result),
    }
}

fn open_directory(path: &Path) -> std::io::Result<OwnedFd> {
    let directory = File::open(path)?;
    if !directory.metadata()?.is_dir() {
        return Err(std::io::Error::from_raw_os_error(libc::ENOTDIR));
    }
    Ok(directory.into())
}

/// Registers as many of the wanted buffers as the limit on locked memory allows.
fn register_buffers(
    queue: &Queue,
    wanted: usize,
) -> Result<(Option<AlignedMemory>, u16), SetupError> {
    let mut count = u16::try_from(wanted).expect("log buffers are few");
    while 0 < count {
        let memory = AlignedMemory::zeroed(usize::from(count) * FRAME_SIZE_MAX);
        let buffers: Vec<libc::iovec> = (0..usize::from(count))
            .map(|index| libc::iovec {
                iov_base: memory.as_ptr().wrapping_add(index * FRAME_SIZE_MAX).cast(),
                iov_len: FRAME_SIZE_MAX,
            })
            .collect();
        // SAFETY: the buffers lie within the allocation, which outlives the ring (field order).
        let registered = unsafe { queue.submitter().register_buffers(&buffers) };
        match registered {
            Ok(()) => return Ok((Some(memory), count)),
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => count -= 1,
            Err(error) => {
                let facts = KernelFacts::read();
                return Err(SetupError::Other { what: "registering log buffers", error, facts });
            }
        }
    }
    Ok((None, 0))
}
