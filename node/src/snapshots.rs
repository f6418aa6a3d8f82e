//! Snapshots of a core's own slices: when one is due, the walk, its publication.
//!
//! One slice at a time: what the walker yields goes out in chunks; when all of it is written and
//! the index it was taken at is settled, the snapshot is published, and only then counts. While a
//! slice is lent the walk rests. A snapshot that fails changes nothing: the log still holds all.
//!
//! # Invariants
//!
//! * A snapshot under way is of an own slice, and that slice's keyspace knows of it.
//! * Nothing is published at an index that is not settled (PROTOCOL I6).

mod saves;

use std::collections::VecDeque;

use base::{LogIndex, Now, SliceId};
use engine::Walk;
use wal::snapshot::Manifest;

use crate::event::Pending;
use crate::node::{Node, Phase};
use crate::planted::Plant;

use saves::Save;
pub(crate) use saves::Saves;

/// Chunks on their way to the disk.
const CHUNKS_MAX: usize = 4;
/// What is held of keys that change before they are walked, on one core: bytes, at most and at
/// least; in between a share of `maxmemory` for all cores.
const HELD_MAX: u64 = 64 * 1024 * 1024;
const HELD_MIN: u64 = 1024 * 1024;
const HELD_SHARE: u64 = 16;
/// After a failure the next is tried only so much later: microseconds.
const PATIENCE_US: u64 = 10_000_000;

/// How large the steps of a snapshot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotSteps {
    /// A chunk goes out when it has this size, or a little more: bytes.
    pub chunk_size: usize,
    /// Entries walked in one turn.
    pub entries_per_turn: usize,
}

impl Default for SnapshotSteps {
    fn default() -> Self {
        Self { chunk_size: 512 * 1024, entries_per_turn: 512 }
    }
}

/// Something to be done for a snapshot. Those of one snapshot are carried out in order. Attempts are
/// numbered by the core: one index may see several.
#[derive(Debug)]
pub enum SnapshotOutput {
    /// Write a chunk; numbers count from zero.
    Chunk { slice: SliceId, index: LogIndex, attempt: u32, number: u32, raw: Vec<u8> },
    /// Every chunk is written: make them a snapshot. Whose it is and which chunks it has is filled in
    /// where that is known.
    Publish { slice: SliceId, index: LogIndex, attempt: u32, manifest: Manifest },
    /// Forget the chunks of a snapshot that will not be published. `why` is for the operator.
    Discard { slice: SliceId, index: LogIndex, attempt: u32, why: Option<String> },
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum SnapshotEvent {
    /// The chunk is durable; its buffer comes back.
    ChunkWritten { slice: SliceId, index: LogIndex, attempt: u32, number: u32, raw: Vec<u8> },
    /// The snapshot and all it needs are on stable storage.
    Published { slice: SliceId, index: LogIndex, attempt: u32 },
    /// It is given up; what was there before is still there. Nothing more is said of it.
    Failed { slice: SliceId, index: LogIndex, attempt: u32, error: String },
}

/// A published snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub slice: SliceId,
    pub index: LogIndex,
    /// Bytes of its files.
    pub size: u64,
}

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Snapshots {
    steps: SnapshotSteps,
    taking: Option<Taking>,
    /// Attempts begun.
    attempts: u32,
    /// Attempts that were published or failed.
    pub(crate) ended: u64,
    /// Slices whose turn comes.
    queue: VecDeque<SliceId>,
    /// By slice of the node, of own ones.
    kept: Vec<Kept>,
    /// Nothing is begun before: microseconds of the monotonic clock.
    resting_us: u64,
    /// The slice whose snapshot failed last, until there is one.
    failed: Option<SliceId>,
    /// Bytes held for the snapshot under way, as of the last turn.
    memory: usize,
    /// A save that was asked for and is not complete.
    save: Option<Save>,
    pub(crate) saves: Saves,
    /// What is disposable has changed since it was last asked for.
    has_news: bool,
    buffers: Vec<Vec<u8>>,
}

/// Of one slice.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// The two newest, the newest last.
    published: VecDeque<Published>,
    /// What the group had logged when the newest was begun.
    logged: u64,
    /// A save that came later than the newest found that nothing had happened since.
    is_idle: bool,
}

/// A snapshot under way.
#[derive(Debug)]
struct Taking {
    attempt: u32,
    manifest: Manifest,
    logged: u64,
    chunk: Vec<u8>,
    /// Chunks handed over.
    number: u32,
    /// Those that are not written yet.
    on_their_way: usize,
    /// Bytes of those.
    on_their_way_size: usize,
    size: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Walking,
    /// All was handed over; it waits for the disk, and for its index to settle.
    Walked,
    Publishing,
    /// The keyspace is to be told.
    Failed,
}

impl Snapshots {
    pub(crate) fn new(slices: u16, published: &[Published]) -> Self {
        let mut kept = vec![Kept::default(); usize::from(slices)];
        for one in published {
            kept[usize::from(one.slice.0)].add(*one);
        }
        Self {
            steps: SnapshotSteps::default(),
            taking: None,
            attempts: 0,
            ended: 0,
            queue: VecDeque::new(),
            kept,
            resting_us: 0,
            failed: None,
            memory: 0,
            save: None,
            has_news: true,
            saves: Saves::default(),
            buffers: Vec::new(),
        }
    }

    /// Bytes held for the snapshot under way.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Of the newest snapshot of a slice.
    pub(crate) fn newest(&self, slice: SliceId) -> Option<Published> {
        self.kept[usize::from(slice.0)].published.back().copied()
    }

    /// One is under way or may be begun: nothing has failed lately.
    pub(crate) fn are_at_work(&self, now: Now) -> bool {
        let is_wanted = self.taking.is_some() || !self.queue.is_empty();
        is_wanted && self.resting_us <= now.monotonic_us
    }

    pub(crate) fn enqueue(&mut self, slice: SliceId) {
        let is_taken = self.taking.as_ref().is_some_and(|taking| taking.manifest.slice == slice);
        if !is_taken && !self.queue.contains(&slice) {
            self.queue.push_back(slice);
        }
    }

    /// Hands the gathered chunk over.
    fn send_chunk(
        taking: &mut Taking,
        buffers: &mut Vec<Vec<u8>>,
        outputs: &mut VecDeque<Pending>,
    ) {
        let raw = std::mem::replace(&mut taking.chunk, buffers.pop().unwrap_or_default());
        taking.size += raw.len() as u64;
        taking.on_their_way += 1;
        taking.on_their_way_size += raw.len();
        let Manifest { slice, index, .. } = taking.manifest;
        let (attempt, number) = (taking.attempt, taking.number);
        taking.number += 1;
        let chunk = SnapshotOutput::Chunk { slice, index, attempt, number, raw };
        outputs.push_back(Pending::Snapshot(chunk));
    }
}

impl Taking {
    fn discard(&self, why: Option<String>) -> SnapshotOutput {
        let Manifest { slice, index, .. } = self.manifest;
        SnapshotOutput::Discard { slice, index, attempt: self.attempt, why }
    }
}

impl Kept {
    fn add(&mut self, published: Published) {
        if KEPT <= self.published.len() {
            self.published.pop_front();
        }
        assert!(self.published.back().is_none_or(|newest| newest.index < published.index));
        self.published.push_back(published);
        self.is_idle = false;
    }

    /// Up to where snapshots stand for the log: the older of two, for the newest may turn out to be
    /// damaged. A slice at rest never gets a second one.
    fn disposable(&self) -> LogIndex {
        let keeps = if self.is_idle { 1 } else { KEPT };
        let at = self.published.len().checked_sub(keeps);
        at.map_or(LogIndex::NONE, |at| self.published[at].index)
    }
}

/// Snapshots kept of a slice: if the newest turns out to be damaged there is one before it, and
/// the log that leads from it to now.
const KEPT: usize = 2;

impl Node {
    /// From now on snapshots are taken in such steps; smaller ones show a simulator more of what
    /// can happen between them.
    pub fn set_snapshot_steps(&mut self, steps: SnapshotSteps) {
        self.snapshots.steps = steps;
    }

    /// Goes on with the snapshot under way, or begins the next. After the batch was closed.
    pub(crate) fn run_snapshots(&mut self, now: Now) {
        if self.phase != Phase::Serving {
            self.give_snapshots_up();
            self.hold_writes_back(now);
            return;
        }
        self.enqueue_due();
        self.relieve_log(now);
        self.save_if_due(now);
        if self.snapshots.taking.is_none() {
            self.begin_snapshot(now);
        }
        self.walk_snapshot(now);
        self.publish_snapshot();
        self.limit_snapshot(now);
        self.hold_writes_back(now);
    }

    /// Up to which entry snapshots stand for the log of each own slice, whatever log that is; none if
    /// nothing has changed since this was last asked, and before it serves: what is older than this
    /// core's log may go only when its terms and votes are in there.
    pub fn take_disposable(&mut self) -> Option<Vec<(SliceId, LogIndex)>> {
        if self.phase != Phase::Serving || !std::mem::take(&mut self.snapshots.has_news) {
            return None;
        }
        let kept = |slice: SliceId| (slice, self.snapshots.kept[usize::from(slice.0)].disposable());
        Some(self.topology.slices_of(self.core).map(kept).collect())
    }

    /// When [`run_snapshots`](Self::run_snapshots) has something to do again, but for what events
    /// bring.
    pub(crate) fn snapshots_timeout(&self) -> Option<u64> {
        let Snapshots { taking, queue, resting_us, .. } = &self.snapshots;
        if self.phase != Phase::Serving {
            return None;
        }
        let own = match taking {
            Some(taking) => {
                let is_here = self.slices.is_here(taking.manifest.slice);
                let walks = taking.stage == Stage::Walking && taking.on_their_way < CHUNKS_MAX;
                ((walks || taking.stage == Stage::Failed) && is_here).then_some(0)
            }
            // A slice that comes back, or whose batch is logged, comes with an event.
            None => queue.iter().any(|slice| self.may_begin(*slice)).then_some(*resting_us),
        };
        [own, self.retention_timeout()].into_iter().flatten().min()
    }

    /// The slice is here, and all that was executed on it has its place in the log.
    fn may_begin(&self, slice: SliceId) -> bool {
        self.slices.is_here(slice) && self.slices.batch_is_new(slice)
    }

    /// Slices that have logged much since their last snapshot.
    fn enqueue_due(&mut self) {
        let growth = self.settings.snapshot_log_size / u64::from(self.topology.slices());
        for slice in self.topology.slices_of(self.core) {
            let kept = &self.snapshots.kept[usize::from(slice.0)];
            let newest = kept.published.back().map_or(0, |published| published.size);
            let logged = self.slices.group(slice).logged() - kept.logged;
            if growth.max(newest / 2) <= logged {
                self.snapshots.enqueue(slice);
            }
        }
    }

    fn begin_snapshot(&mut self, now: Now) {
        if now.monotonic_us < self.snapshots.resting_us {
            return;
        }
        let mut queue = self.snapshots.queue.iter();
        let Some(at) = queue.position(|slice| self.may_begin(*slice)) else { return };
        let slice = self.snapshots.queue.remove(at).expect("it was just found");
        let group = self.slices.group(slice);
        let (logged, index) = (group.logged(), group.last());
        let newest = self.snapshots.newest(slice);
        if newest.is_some_and(|newest| newest.index == index) {
            // Nothing has happened since.
            self.snapshots.kept[usize::from(slice.0)].is_idle = true;
            self.snapshots.has_news = true;
            self.finish_of_save(slice, now);
            return;
        }
        let known = self.slices.slice(slice);
        assert!(known.next == index.next(), "the open batch is empty");
        let term = group.history().term_at(index).expect("a slice that serves has entries");
        let attachment = group.history().encode(index, known.checksum().0);
        let clock_ms = known.clock_ms(now);
        let (node_uuid, chunks) = (Default::default(), Vec::new());
        let manifest = Manifest { node_uuid, slice, index, term, clock_ms, attachment, chunks };
        self.slices.space_mut(slice).keyspace.snapshot_begin();
        let chunk = self.snapshots.buffers.pop().unwrap_or_default();
        self.snapshots.attempts = self.snapshots.attempts.wrapping_add(1);
        self.snapshots.taking = Some(Taking {
            attempt: self.snapshots.attempts,
            manifest,
            logged,
            chunk,
            number: 0,
            on_their_way: 0,
            on_their_way_size: 0,
            size: 0,
            stage: Stage::Walking,
        });
    }

    fn walk_snapshot(&mut self, now: Now) {
        let Self { snapshots, slices, outputs, .. } = self;
        let Snapshots { taking: Some(taking), buffers, steps, .. } = snapshots else { return };
        let slice = taking.manifest.slice;
        if !slices.is_here(slice) {
            return;
        }
        let keyspace = &mut slices.space_mut(slice).keyspace;
        if taking.stage == Stage::Failed {
            keyspace.snapshot_abort();
            self.snapshots.taking = None;
            self.untidy.insert(slice);
            return;
        }
        if taking.stage != Stage::Walking || CHUNKS_MAX <= taking.on_their_way {
            return;
        }
        match keyspace.snapshot_walk(steps.entries_per_turn, &mut taking.chunk) {
            Walk::More => {
                if steps.chunk_size <= taking.chunk.len() {
                    Snapshots::send_chunk(taking, buffers, outputs);
                }
            }
            Walk::Done => {
                if !taking.chunk.is_empty() {
                    Snapshots::send_chunk(taking, buffers, outputs);
                }
                taking.stage = Stage::Walked;
                self.untidy.insert(slice);
            }
            Walk::Spoiled => {
                outputs.push_back(Pending::Snapshot(taking.discard(None)));
                self.snapshots.taking = None;
                self.snapshots.resting_us = now.monotonic_us;
                self.snapshots.enqueue(slice);
            }
        }
    }

    fn publish_snapshot(&mut self) {
        let Self { snapshots, slices, outputs, planted, .. } = self;
        let Some(taking) = &mut snapshots.taking else { return };
        let is_settled = taking.manifest.index <= slices.settled(taking.manifest.slice);
        let is_settled = is_settled || planted.is(Plant::PublishUnsettled);
        if taking.stage == Stage::Walked && taking.on_their_way == 0 && is_settled {
            taking.stage = Stage::Publishing;
            let manifest = taking.manifest.clone();
            let (slice, index, attempt) = (manifest.slice, manifest.index, taking.attempt);
            let publish = SnapshotOutput::Publish { slice, index, attempt, manifest };
            outputs.push_back(Pending::Snapshot(publish));
        }
    }

    /// Something that was asked for is done, or failed.
    pub(crate) fn note_snapshot(&mut self, event: SnapshotEvent, now: Now) {
        let (slice, index, attempt) = match &event {
            SnapshotEvent::ChunkWritten { slice, index, attempt, .. }
            | SnapshotEvent::Published { slice, index, attempt }
            | SnapshotEvent::Failed { slice, index, attempt, .. } => (*slice, *index, *attempt),
        };
        let is_it = |taking: &&mut Taking| taking.attempt == attempt;
        // What was given up may still be answered, and tried again at the same index.
        let Some(taking) = self.snapshots.taking.as_mut().filter(is_it) else { return };
        assert!((taking.manifest.slice, taking.manifest.index) == (slice, index));
        match event {
            SnapshotEvent::ChunkWritten { mut raw, .. } => {
                taking.on_their_way -= 1;
                taking.on_their_way_size -= raw.len();
                self.retention.note_written(raw.len(), now);
                raw.clear();
                // One that took much that was saved is not kept.
                let is_usual = raw.capacity() <= 4 * self.snapshots.steps.chunk_size;
                if is_usual && self.snapshots.buffers.len() < CHUNKS_MAX {
                    self.snapshots.buffers.push(raw);
                }
            }
            SnapshotEvent::Published { .. } => {
                assert!(taking.stage == Stage::Publishing);
                let (size, logged) = (taking.size, taking.logged);
                self.snapshots.taking = None;
                self.snapshots.ended += 1;
                self.retention.note_written(0, now);
                if self.snapshots.failed == Some(slice) {
                    self.snapshots.failed = None;
                    self.snapshots.saves.has_failed = false;
                    self.snapshots.saves.error = None;
                }
                let kept = &mut self.snapshots.kept[usize::from(slice.0)];
                kept.add(Published { slice, index, size });
                kept.logged = logged;
                if let [older, _] = kept.published.make_contiguous() {
                    self.wal.trim(slice, older.index);
                }
                self.snapshots.has_news = true;
                self.finish_of_save(slice, now);
            }
            SnapshotEvent::Failed { error, .. } => {
                let is_walked = matches!(taking.stage, Stage::Walked | Stage::Publishing);
                taking.stage = Stage::Failed;
                if is_walked {
                    self.snapshots.taking = None;
                }
                self.note_failure_of(slice, error, now);
            }
        }
    }

    /// A snapshot has failed: a save that waits for it has, too. It is tried again after a rest.
    fn note_failure_of(&mut self, slice: SliceId, error: String, now: Now) {
        let snapshots = &mut self.snapshots;
        snapshots.ended += 1;
        snapshots.failed = Some(slice);
        snapshots.queue.clear();
        snapshots.queue.push_back(slice);
        snapshots.save = None;
        snapshots.saves.is_running = false;
        snapshots.saves.has_failed = true;
        snapshots.saves.error = Some(error);
        snapshots.resting_us = now.monotonic_us + PATIENCE_US;
    }

    /// Learns what the snapshot under way holds, and gives it up if that is too much: keys change
    /// faster than the disk takes them as they were.
    fn limit_snapshot(&mut self, now: Now) {
        let max = self.snapshot_memory_max();
        let Self { snapshots, slices, outputs, .. } = self;
        let Some(taking) = &mut snapshots.taking else {
            snapshots.memory = 0;
            return;
        };
        let slice = taking.manifest.slice;
        if !slices.is_here(slice) {
            return;
        }
        let keyspace = &mut slices.space_mut(slice).keyspace;
        let held = keyspace.snapshot_size();
        snapshots.memory = held + taking.chunk.len() + taking.on_their_way_size;
        if taking.stage != Stage::Walking || held <= max {
            return;
        }
        base::mark!("snapshot: given up, it held too much");
        keyspace.snapshot_abort();
        let why = format!(
            "{held} bytes of keys were held as they had been, because they changed before they \
             could be written; the limit is {max}. Nothing is lost, the log holds everything. Fix: \
             a faster disk for the data directory, fewer writes, or a larger maxmemory"
        );
        outputs.push_back(Pending::Snapshot(taking.discard(Some(why.clone()))));
        snapshots.taking = None;
        snapshots.memory = 0;
        self.untidy.insert(slice);
        self.note_failure_of(slice, why, now);
    }

    /// Bytes that may be held for the snapshot under way of this core.
    fn snapshot_memory_max(&self) -> usize {
        let share = match self.settings.memory_max {
            0 => HELD_MAX,
            max => max / HELD_SHARE / u64::from(self.topology.cores()),
        };
        usize::try_from(share.clamp(HELD_MIN, HELD_MAX)).expect("it is a few megabytes")
    }

    /// The server ends: what is under way is of no use.
    fn give_snapshots_up(&mut self) {
        self.snapshots.queue.clear();
        // Who waits for it is told.
        if self.snapshots.save.take().is_some() {
            self.snapshots.saves.is_running = false;
            self.snapshots.saves.has_failed = true;
        }
        let Some(taking) = &self.snapshots.taking else { return };
        let slice = taking.manifest.slice;
        if self.slices.is_here(slice) {
            let discard = taking.discard(None);
            self.slices.space_mut(slice).keyspace.snapshot_abort();
            self.snapshots.taking = None;
            self.snapshots.memory = 0;
            self.outputs.push_back(Pending::Snapshot(discard));
        }
    }
}
