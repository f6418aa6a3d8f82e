//! What goes out: duties, slots, and the frames and headers of the queue in their order.

use base::FrameSequence;

use super::flight::Flying;
use super::plan::{Queued, QueuedFrame};
use super::spares::Duty;
use super::{POOL_MAX, POOLED_SIZE_MAX, Pending, Phase, Wal};
use crate::file::LogFile;
use crate::frame::{FrameHeader, Identity};
use crate::output::{Content, Output, Write};
use crate::planted::Plant;
use crate::segment::{HEADER_SIZE, SegmentHeader};

impl Wal {
    fn token(&mut self, pending: Pending) -> u64 {
        self.tokens += 1;
        self.pending.push((self.tokens, pending));
        self.tokens
    }

    pub(super) fn carry(&mut self, duty: Duty) -> Output<'static> {
        match duty {
            Duty::Flush(file) => Output::Flush { token: self.token(Pending::Flush(file)), file },
            Duty::Prepare(file, size) => {
                Output::Prepare { token: self.token(Pending::Prepare(file)), file, size }
            }
            Duty::Remove(file) => Output::Remove { token: self.token(Pending::Remove(file)), file },
            Duty::Release(file) => Output::Release { file },
            Duty::Mark(id) => self.write_mark(id, Pending::Mark(id)),
            Duty::Recycle(id) => self.write_mark(id, Pending::Recycle(id)),
        }
    }

    fn write_mark(&mut self, id: u32, pending: Pending) -> Output<'static> {
        Output::Write(Write {
            token: self.token(pending),
            file: LogFile::Segment(id),
            offset: 0,
            size: HEADER_SIZE,
            content: Content::Mark(self.identity()),
        })
    }

    pub(super) fn may_write_slot(&self) -> bool {
        !matches!(self.phase, Phase::Flushing { .. } | Phase::Halted { .. })
            && self.spares.has_hard_state()
            && self.slots.may_write()
    }

    pub(super) fn write_slot(&mut self) -> Output<'static> {
        let slot = self.slots.take(self.flight.hint());
        let (offset, size) = (slot.offset(), slot.size());
        let token = self.token(Pending::Slot { generation: slot.generation, offset });
        self.stats.hard_state_writes += 1;
        Output::Write(Write {
            token,
            file: LogFile::HardState,
            offset,
            size,
            content: Content::Slot(slot),
        })
    }

    pub(super) fn may_emit(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Running)
            && !self.queue.is_empty()
            && self.flight.len() < self.config.frames_in_flight
    }

    /// Lends the next queued frame or header.
    pub(super) fn emit(&mut self) -> Output<'_> {
        let queued = self.queue.pop_front().expect("something is queued");
        match queued {
            Queued::Header { file, salt, first_sequence, created_ms } => {
                let header = SegmentHeader {
                    node_uuid: self.config.node_uuid,
                    log: self.config.log,
                    boot: self.boot,
                    salt,
                    segment_size: self.config.segment_size,
                    first_sequence,
                    previous_crc: self.chain.crc,
                    created_ms,
                    durable_hint: self.flight.hint(),
                    log_start: self.log_start,
                };
                self.stats.segments_opened += 1;
                Output::Write(Write {
                    token: self.token(Pending::Header(file)),
                    file: LogFile::Segment(file),
                    offset: 0,
                    size: HEADER_SIZE,
                    content: Content::Header(header),
                })
            }
            Queued::Frame(frame) => self.emit_frame(frame),
        }
    }

    fn emit_frame(&mut self, frame: QueuedFrame) -> Output<'_> {
        let QueuedFrame { sequence, file, offset, salt, run, is_seal, .. } = frame;
        let mut durable_hint = self.flight.hint();
        if self.planted.is(Plant::LostHint) {
            let ahead = durable_hint.0 + self.config.frames_in_flight as u64;
            durable_hint = FrameSequence(ahead.min(sequence.0 - 1));
        }
        let header = FrameHeader {
            sequence,
            salt,
            payload_size: u32::try_from(frame.end - frame.start).expect("a frame is at most 1 MiB"),
            run,
            is_seal,
            previous_crc: self.chain.crc,
            record_count: frame.record_count,
            durable_hint,
            timestamp_ms: frame.timestamp_ms,
            hard_state_generation: self.slots.durable(),
            hints: self.hints[..frame.hint_count].to_vec(),
            crc: 0,
        };
        self.tokens += 1;
        let token = self.tokens;
        let ends_batch = run.ends_batch();
        self.flight.submit(Flying { token, sequence, file, offset, ends_batch, is_done: false });
        self.stats.frames += 1;
        self.stats.frame_bytes += frame.size;
        self.stats.in_flight_max = self.stats.in_flight_max.max(self.flight.len());
        self.is_batch_spent = ends_batch && !is_seal;
        self.chain.lent = true;
        let payload: &[u8] = if is_seal { &[] } else { &self.batches[0][frame.start..frame.end] };
        let seed = self.identity().seed(salt);
        Output::Write(Write {
            token,
            file: LogFile::Segment(file),
            offset,
            size: usize::try_from(frame.size).expect("a frame is at most 1 MiB"),
            content: Content::Frame { header, seed, payload, chain: &mut self.chain },
        })
    }

    /// Takes back the buffer of a batch whose last frame was lent.
    pub(super) fn recycle_spent(&mut self) {
        if !std::mem::take(&mut self.is_batch_spent) {
            return;
        }
        let mut spent = self.batches.pop_front().expect("a spent batch is the first");
        if self.pool.len() < POOL_MAX && spent.capacity() <= POOLED_SIZE_MAX {
            spent.clear();
            self.pool.push(spent);
        }
    }

    fn identity(&self) -> Identity {
        Identity { node_uuid: self.config.node_uuid, log: self.config.log }
    }
}
