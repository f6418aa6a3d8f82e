//! One core's running log: group commit with several frames in flight.
//!
//! A turn appends records to the open batch and closes it; the batch becomes one frame, or a run
//! of frames, at once given its number and its place. Frames leave in order and complete in any
//! order; `durable` is the contiguous prefix.
//!
//! ```text
//!   durable          in flight (at most W)       queued                  open batch
//!   ───────────┤├──────────────────────────┤├──────────────────────┤├─────────────────
//!   1 .. durable   durable+1 .. emitted        emitted+1 .. last        no number yet
//! ```
//!
//! A segment's header is written in its turn before the frames behind it, but they do not wait for
//! it: they only count once it is durable.
//!
//! # Invariants
//!
//! * Numbers are dense from `durable` through the frames in flight and queued to `last`.
//! * A queued frame has prepared room: it was found when the frame got its place.
//! * A hint names the last frame of a batch that is durable, and of no later one: recovery drops
//!   a run without its last, and must never have to drop what a hint vouched for.

use std::collections::VecDeque;

use base::{CoreId, FrameSequence, LogIndex, Map, Now, Prng, SliceId};

use crate::bytes::BLOCK;
use crate::config::Config;
use crate::file::LogFile;
use crate::frame::{HINTS_MAX, Identity};
use crate::holdings::{Held, Holdings};
use crate::output::{Chain, Event, Halt, IoError, Operation, Output, WriteRefusal};
use crate::planted::{Plant, Planted};
use crate::record::{HardState, Record};
use crate::recovery::Recovered;
use crate::wal::flight::Flight;
use crate::wal::plan::{Layout, OpenBatch, Queued};
use crate::wal::slots::Slots;
use crate::wal::spares::{Duty, Spares};
use crate::wal::trim::Trimming;

pub use crate::wal::stats::Stats;

mod emit;
mod flight;
mod plan;
mod slots;
mod spares;
mod stats;
mod trim;

/// Owner: core.
#[derive(Debug)]
pub struct Wal {
    config: Config,
    planted: Planted,
    prng: Prng,
    now: Now,
    boot: u64,
    log_start: FrameSequence,
    phase: Phase,
    tokens: u64,
    /// Operations in flight that are not frames.
    pending: Vec<(u64, Pending)>,
    duties: VecDeque<Duty>,

    open: OpenBatch,
    /// The last frame with records of each slice, the open batch not counted.
    slice_frames: Map<SliceId, FrameSequence>,
    /// Durable hints of other logs of the node. Never shorter: queued frames count on it.
    hints: Vec<(CoreId, FrameSequence)>,
    layout: Layout,
    queue: VecDeque<Queued>,
    /// The payloads of the batches in the queue.
    batches: VecDeque<Vec<u8>>,
    /// The first of `batches` has been lent to its end.
    is_batch_spent: bool,
    pool: Vec<Vec<u8>>,
    /// The last frame that has a number.
    last: FrameSequence,
    chain: Chain,
    flight: Flight,
    spares: Spares,
    slots: Slots,
    holdings: Holdings,
    trimming: Trimming,
    /// Segments that an earlier start gave up, and did not come to use again.
    trimmed: Vec<(u32, u64)>,
    seal: Seal,
    stats: Stats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Flushing what recovery read, so that it cannot be lost any more once it is used.
    Flushing {
        left: usize,
    },
    /// Waiting for a spare segment to open.
    Seeking,
    /// The header of the first segment of this boot is on its way.
    Opening,
    Running,
    Halted {
        told: Option<Halt>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Flush(LogFile),
    Prepare(LogFile),
    Remove(LogFile),
    /// A prepared segment becomes a spare.
    Mark(u32),
    /// A recovered segment in which nothing lives becomes a spare.
    Recycle(u32),
    Header(u32),
    Slot {
        generation: u64,
        offset: u64,
    },
}

/// The frame that says the log is durable to its end.
#[derive(Clone, Copy, Debug, Default)]
struct Seal {
    /// Nothing but a seal or this boot's first header was written last.
    is_sealed: bool,
    /// As soon as everything is durable.
    is_wanted: bool,
    /// When it is due, if nothing else is written until then.
    at_us: Option<u64>,
}

/// No such file or directory: a file half made, or removed by a start that died.
const ENOENT: i32 = 2;

/// Batches that wait for the disk hold at most this and one more batch: bytes.
const QUEUED_SIZE_MAX: usize = 64 * 1024 * 1024;

/// Buffers of batches kept for the next ones,
const POOL_MAX: usize = 8;
/// and their size at most.
const POOLED_SIZE_MAX: usize = 1024 * 1024;

impl Wal {
    /// Takes a recovered log over. It is not running yet: the tail is flushed and a new segment
    /// opened first.
    pub fn new(config: Config, recovered: Recovered, prng: Prng, now: Now) -> Self {
        config.check();
        let planted = recovered.planted;
        let files = recovered.files;
        let identity = Identity { node_uuid: config.node_uuid, log: config.log };
        let mut wal = Self {
            planted,
            prng,
            now,
            boot: recovered.boot + 1,
            log_start: recovered.start,
            phase: Phase::Flushing { left: 0 },
            tokens: 0,
            pending: Vec::new(),
            duties: VecDeque::new(),
            open: OpenBatch::default(),
            slice_frames: recovered.slice_frames,
            hints: Vec::new(),
            layout: Layout::default(),
            queue: VecDeque::new(),
            batches: VecDeque::new(),
            is_batch_spent: false,
            pool: Vec::new(),
            last: recovered.last,
            chain: Chain { crc: recovered.last_crc, lent: false },
            flight: Flight::new(recovered.proven, planted),
            spares: Spares::new(&config, &files),
            slots: Slots::new(identity, recovered.votes, recovered.start, recovered.generation),
            holdings: recovered.holdings,
            // A trim that was recorded may not have been carried out.
            trimming: Trimming::Due,
            trimmed: files.trimmed,
            seal: Seal::default(),
            stats: Stats::default(),
            config,
        };
        let mut left = 0;
        if !planted.is(Plant::UseTailUnflushed) {
            let tail = files.tail.iter().map(|id| LogFile::Segment(*id));
            for file in tail.chain(files.hard_state.then_some(LogFile::HardState)) {
                wal.duties.push_back(Duty::Flush(file));
                left += 1;
            }
        }
        // A spare's mark was read and is relied on too: were it in the cache only, a power cut
        // would bring back the header under it, whose boot number this boot may use again. For
        // the same reason a torn header is marked before the new one is written.
        for id in &files.spare {
            wal.duties.push_back(Duty::Flush(LogFile::Segment(*id)));
            left += 1;
        }
        for id in files.dead {
            wal.duties.push_back(Duty::Recycle(id));
            left += 1;
        }
        let unfit = files.unfit.into_iter().map(LogFile::Segment);
        for file in unfit.chain(files.has_ballast_file.then_some(LogFile::Ballast)) {
            wal.duties.push_back(Duty::Remove(file));
        }
        wal.phase = Phase::Flushing { left };
        if left == 0 {
            wal.use_tail();
        }
        wal.drive();
        wal
    }

    /// May records be appended? Not before what was recovered can no longer be lost.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running && self.spares.has_hard_state()
    }

    /// Adds a record to the open batch. Call only while running, and within [`room`](Self::room),
    /// but for the few records that must be written even on a full disk.
    pub fn append(&mut self, record: Record<'_>) {
        let slice = record.slice();
        let previous = self.slice_frames.get(&slice).copied().unwrap_or_default();
        let before = self.open.payload.len();
        record.encode(previous, &mut self.open.payload);
        let mut held = Held::default();
        if let Record::Entry { index, .. } = record {
            let size = (self.open.payload.len() - before) as u64;
            held = Held { last: index, size };
        } else {
            let noted = self.holdings.note(&record, self.last.next());
            assert!(noted.is_ok(), "a replica votes once in a term");
        }
        self.open.note(slice, held);
    }

    /// Turns the open batch into frames. The batch is durable when [`durable`](Self::durable) has
    /// reached the returned number. None if the batch is empty.
    pub fn close_batch(&mut self, now: Now) -> Option<FrameSequence> {
        self.now = now;
        self.record_trims();
        if self.open.record_count == 0 {
            // What was trimmed may need no record to go.
            self.drive_trim();
            return None;
        }
        if self.is_halted() {
            // Whoever asks learns of a number that will never be durable.
            self.open.clear();
            return Some(self.last.next());
        }
        assert!(self.is_running(), "nothing is written before the recovered tail is safe");
        let payload =
            std::mem::replace(&mut self.open.payload, self.pool.pop().unwrap_or_default());
        let first = self.last.next();
        self.stats.batches += 1;
        self.stats.records += u64::from(self.open.record_count);
        self.stats.record_bytes += payload.len() as u64;
        self.plan_batch(payload.len());
        self.batches.push_back(payload);
        for (slice, held) in self.open.slices.drain(..) {
            self.slice_frames.insert(slice, self.last);
            if held.last != LogIndex::NONE {
                self.holdings.add(slice, held, first);
            }
        }
        self.note_trims_closed();
        self.open.record_count = 0;
        self.seal.is_sealed = false;
        self.seal.at_us = None;
        self.drive();
        self.check();
        Some(self.last)
    }

    /// Writes terms and votes to the double slot; slices not named keep theirs. Returns the
    /// generation that holds them. The commit is not stored here.
    pub fn write_hard_states(&mut self, states: &[HardState]) -> u64 {
        self.slots.write(states)
    }

    /// The generation of the double slot known to be durable.
    pub fn hard_state_durable(&self) -> u64 {
        self.slots.durable()
    }

    /// The contiguous durable prefix.
    pub fn durable(&self) -> FrameSequence {
        self.flight.durable()
    }

    /// What other logs may vouch for: the last frame of the last durable batch. The frames of a run
    /// are durable one by one, but without its last recovery drops them all.
    pub fn hint(&self) -> FrameSequence {
        self.flight.hint()
    }

    /// Are all frames in flight that may be, so that closing a batch would only queue it?
    pub fn window_is_full(&self) -> bool {
        self.config.frames_in_flight <= self.flight.len() + self.queue.len()
    }

    /// Bytes of records, their headers included, that may still be appended to the open batch.
    ///
    /// One spare segment is held back, for records that must be written even on a full disk.
    /// None while the disk is far behind: what waits for it is in memory.
    pub fn room(&self) -> u64 {
        if QUEUED_SIZE_MAX < self.queued_size() { 0 } else { self.prepared_room() }
    }

    /// Bytes of closed batches that are not wholly on their way yet.
    pub fn queued_size(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }

    fn prepared_room(&self) -> u64 {
        if !self.is_running() {
            return 0;
        }
        let Some(spares) = self.spares.ready().checked_sub(1) else { return 0 };
        let active = plan::payload_room(self.layout.left(), &self.config);
        let spare = plan::payload_room(self.config.capacity(), &self.config);
        (active + spares as u64 * spare).saturating_sub(self.open.payload.len() as u64)
    }

    /// Prepares segments until `bytes` of records have room, or the disk has none.
    pub fn request_room(&mut self, bytes: u64) {
        self.spares.want_room(bytes);
        self.drive();
    }

    /// Some while the disk is full and fewer segments than the minimum are prepared.
    pub fn refuses_writes(&self) -> Option<&WriteRefusal> {
        self.spares.refusal()
    }

    /// Some if `bytes` of records have no room and the disk is too full to make it: the answer to
    /// a [`request_room`](Self::request_room) that will not be met.
    pub fn refuses_room(&self, bytes: u64) -> Option<&WriteRefusal> {
        let refusal = self.spares.refusal().or(self.spares.room_refusal());
        refusal.filter(|_| self.room() < bytes)
    }

    /// Notes how far another log of the node is durable; the next frames say so.
    pub fn note_hint(&mut self, log: CoreId, durable: FrameSequence) {
        assert!(log != self.config.log, "every frame carries its own log's hint anyway");
        if let Some((_, known)) = self.hints.iter_mut().find(|(known, _)| *known == log) {
            *known = durable.max(*known);
        } else if self.hints.len() < HINTS_MAX {
            self.hints.push((log, durable));
        }
    }

    /// Takes a completion.
    ///
    /// # Panics
    ///
    /// If the token is not in flight: then a completion was told twice or invented.
    pub fn handle(&mut self, event: Event, now: Now) {
        self.now = now;
        if self.is_halted() {
            return;
        }
        if let Some(place) = self.flight.find(event.token) {
            match event.result {
                Ok(()) => self.flight.complete(event.token),
                Err(error) => {
                    let (file, offset) = place;
                    return self.halt(Operation::Write, LogFile::Segment(file), offset, error);
                }
            }
        } else {
            let at = self.pending.iter().position(|(token, _)| *token == event.token);
            let at = at.expect("a completion belongs to an operation in flight");
            let (_, pending) = self.pending.swap_remove(at);
            self.complete(pending, event.result);
        }
        self.advance();
    }

    /// Does what is due: the seal of an idle log, the retry of a failed preparation.
    pub fn handle_time(&mut self, now: Now) {
        self.now = now;
        if self.is_halted() {
            return;
        }
        if self.seal.at_us.is_some_and(|at| at <= now.monotonic_us) {
            self.seal.is_wanted = true;
        }
        self.advance();
    }

    /// When `handle_time` has something to do.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.is_halted() {
            return None;
        }
        [self.seal.at_us, self.spares.poll_timeout()].into_iter().flatten().min()
    }

    pub fn has_output(&self) -> bool {
        match self.phase {
            Phase::Halted { told } => told.is_some(),
            _ => !self.duties.is_empty() || self.may_write_slot() || self.may_emit(),
        }
    }

    /// The next thing to do. A write is encoded before anything else is asked of the log.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        assert!(!self.chain.lent, "the write lent before was not encoded");
        self.recycle_spent();
        if let Phase::Halted { told } = &mut self.phase {
            return told.take().map(Output::Halt);
        }
        if let Some(duty) = self.duties.pop_front() {
            return Some(self.carry(duty));
        }
        if self.may_write_slot() {
            return Some(self.write_slot());
        }
        if self.may_emit() { Some(self.emit()) } else { None }
    }

    /// Seals the log as soon as everything is durable: a clean end. Then wait for
    /// [`is_idle`](Self::is_idle).
    pub fn seal(&mut self, now: Now) {
        self.now = now;
        self.seal.is_wanted = true;
        self.advance();
    }

    /// Nothing is queued and nothing in flight but the making of spare files. Never true of a
    /// halted log: what it could not write must not pass for a clean end.
    pub fn is_idle(&self) -> bool {
        let waits =
            |pending: &Pending| !matches!(pending, Pending::Prepare(_) | Pending::Remove(_));
        !self.is_halted()
            && self.queue.is_empty()
            && self.flight.is_empty()
            && self.slots.is_idle()
            && (self.seal.is_sealed || !self.seal.is_wanted)
            && !self.pending.iter().any(|(_, pending)| waits(pending))
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Plants a bug.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
        self.flight.plant(planted);
    }

    fn is_halted(&self) -> bool {
        matches!(self.phase, Phase::Halted { .. })
    }

    /// Final: a later success of the disk means nothing any more (fsync(2)).
    fn halt(&mut self, operation: Operation, file: LogFile, offset: u64, error: IoError) {
        assert!(!self.is_halted());
        base::mark!("wal: halted");
        let size = if operation == Operation::Prepare { self.spares.size(file) } else { 0 };
        self.phase = Phase::Halted { told: Some(Halt { operation, file, offset, size, error }) };
        self.seal = Seal::default();
        self.duties.clear();
        self.queue.clear();
    }

    fn complete(&mut self, pending: Pending, result: Result<(), IoError>) {
        let now_us = self.now.monotonic_us;
        match (pending, result) {
            (Pending::Prepare(file), Err(IoError::NoSpace)) => {
                self.stats.no_space += 1;
                let duty = self.spares.note_no_space(file, now_us);
                self.duties.extend(duty);
                let is_starting = !self.has_segment() || !self.spares.has_hard_state();
                if is_starting && self.spares.is_hopeless(now_us) {
                    base::mark!("wal: no space for a start");
                    self.halt(Operation::Prepare, file, 0, IoError::NoSpace);
                }
            }
            // What was to be removed stays, which harms nothing; or it was not there.
            (Pending::Remove(_), Ok(()) | Err(IoError::NoSpace | IoError::Other(ENOENT))) => {}
            (Pending::Flush(file), Err(error)) => self.halt(Operation::Flush, file, 0, error),
            (Pending::Prepare(file), Err(error)) => self.halt(Operation::Prepare, file, 0, error),
            (Pending::Remove(file), Err(error)) => self.halt(Operation::Remove, file, 0, error),
            (Pending::Mark(id) | Pending::Recycle(id) | Pending::Header(id), Err(error)) => {
                self.halt(Operation::Write, LogFile::Segment(id), 0, error);
            }
            (Pending::Slot { offset, .. }, Err(error)) => {
                self.halt(Operation::Write, LogFile::HardState, offset, error);
            }
            (Pending::Flush(file), Ok(())) => {
                let is_spare = matches!(file, LogFile::Segment(id) if self.spares.is_spare(id));
                if file != LogFile::HardState && !is_spare {
                    self.duties.push_back(Duty::Release(file));
                }
                self.count_down();
            }
            (Pending::Prepare(file), Ok(())) => self.duties.extend(self.spares.note_prepared(file)),
            (Pending::Mark(id), Ok(())) => self.spares.note_marked(id),
            (Pending::Recycle(id), Ok(())) => {
                self.spares.note_marked(id);
                self.count_down();
            }
            (Pending::Header(id), Ok(())) => {
                self.flight.note_header(id);
                if self.phase == Phase::Opening {
                    self.phase = Phase::Running;
                    // The header's hint says what a seal would say.
                    self.seal.is_sealed = true;
                }
            }
            (Pending::Slot { generation, .. }, Ok(())) => self.slots.complete(generation),
        }
    }

    /// One more thing is durable that recovery read, or that hides what it did not.
    fn count_down(&mut self) {
        let Phase::Flushing { left } = &mut self.phase else {
            unreachable!("only a start flushes and recycles");
        };
        *left -= 1;
        if *left == 0 {
            self.use_tail();
        }
    }

    /// What was recovered can no longer be lost.
    fn use_tail(&mut self) {
        self.flight.set_durable(self.last);
        self.slots.flushed();
        self.phase = Phase::Seeking;
        // The slot that says so is durable only now.
        for (id, size) in std::mem::take(&mut self.trimmed) {
            self.duties.push_back(self.spares.recycle(id, size));
        }
    }

    /// Draws the consequences of what has just happened.
    fn advance(&mut self) {
        if self.is_halted() {
            return;
        }
        self.flight.advance();
        while let Some(file) = self.flight.pop_segment() {
            self.duties.push_back(Duty::Release(LogFile::Segment(file)));
            self.note_segment_filled();
        }
        self.drive_trim();
        self.drive_seal();
        self.drive();
        self.check();
    }

    fn drive_seal(&mut self) {
        let all_durable = self.phase == Phase::Running
            && self.queue.is_empty()
            && self.flight.is_empty()
            && self.durable() == self.last;
        if self.seal.is_sealed || !all_durable {
            return;
        }
        if !self.seal.is_wanted {
            let due = self.now.monotonic_us + self.config.seal_after_us;
            self.seal.at_us.get_or_insert(due);
            return;
        }
        self.seal = Seal { is_sealed: true, is_wanted: false, at_us: None };
        // On a full disk the last block is worth more than a seal.
        if BLOCK <= self.layout.left() || 0 < self.spares.ready() {
            base::mark!("wal: seal");
            self.stats.seals += 1;
            self.plan_seal();
        }
    }

    /// Opens the first segment, and asks for the files that are wanted.
    fn drive(&mut self) {
        if self.is_halted() {
            return;
        }
        if self.phase == Phase::Seeking && self.spares.has_any() {
            self.phase = Phase::Opening;
            self.open_segment();
        }
        let wanted =
            if self.has_segment() { self.wanted_spares() } else { self.config.spare_segments + 1 };
        let is_running = self.phase == Phase::Running;
        let duty = self.spares.next_duty(wanted, self.now.monotonic_us, is_running);
        self.duties.extend(duty);
    }

    fn has_segment(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Running)
    }

    /// Spare segments to have ready, with those a big write asked for.
    fn wanted_spares(&mut self) -> usize {
        let least = self.config.spare_segments;
        let missing = self.spares.wanted_room().saturating_sub(self.prepared_room());
        if missing == 0 {
            self.spares.want_no_room();
            return least;
        }
        let each = plan::payload_room(self.config.capacity(), &self.config);
        let held = self.spares.ready().max(1) as u64;
        least.max((held + missing.div_ceil(each)) as usize)
    }

    fn check(&self) {
        assert!(self.flight.len() <= self.config.frames_in_flight);
        assert!(self.flight.hint() <= self.flight.durable());
        assert!(self.flight.durable() <= self.last);
        assert!(self.layout.offset <= self.layout.end);
        if self.is_halted() || self.planted != Planted::none() {
            return;
        }
        if self.phase == Phase::Running {
            let queued = self.queue.iter().filter(|q| matches!(q, Queued::Frame(_))).count();
            let numbered = self.flight.durable().0 + (self.flight.len() + queued) as u64;
            // Durable frames leave the flight at once, so that the numbers are dense.
            assert!(numbered == self.last.0);
        }
        #[cfg(debug_assertions)]
        self.flight.check();
        #[cfg(debug_assertions)]
        self.holdings.check(self.log_start);
    }
}
