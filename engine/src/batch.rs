//! The effects of one slice gathered in one turn, and the body of the entry they become.
//!
//! ```text
//! byte 0        format version, 3
//! bytes 1..9    the batch clock: milliseconds since 1970, little-endian
//! bytes 9..13   the size of all effects, little-endian
//! bytes 13..    effects, one after the other
//! then          the attachment, to the end
//! ```
//!
//! The attachment is the node's; the engine does not look inside. Older
//! versions are read and no longer written: 2 has fewer effects; 1 has neither the size nor an
//! attachment, its effects go to the end.
//!
//! The version covers the header and every effect's bytes. [`BatchReader`] reads bodies back; a
//! body of a version it does not know is refused, never guessed at.
//!
//! # Invariants
//!
//! * `bytes` is empty, or a header of zeros but for the version, and `effect_count` effects.
//! * Each key written since `take_touched` has its hash in `touched`.

use std::vec;

use crate::effect::{DecodeError, Effect, OP_MAX, OP_MAX_VERSION_1, OP_MAX_VERSION_2};
use crate::keyspace::Keyspace;

#[cfg(test)]
mod tests;

/// Bytes before the first effect.
pub(crate) const HEADER_SIZE: usize = 1 + size_of::<u64>() + size_of::<u32>();

const VERSION: u8 = 3;

/// An open batch. Its buffers are used again. Owner: slice.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    effect_count: usize,
    touched: Vec<u64>,
    /// Databases that were flushed or swapped, by bit.
    floor: u16,
}

impl Batch {
    /// Adds an effect that was just applied to `keyspace`.
    pub fn append(&mut self, effect: &Effect<'_>, keyspace: &Keyspace) {
        if self.bytes.is_empty() {
            self.begin();
        }
        effect.encode(&mut self.bytes);
        self.effect_count += 1;
        match effect.place() {
            Some((db, key)) => self.touched.push(keyspace.hash(db, key)),
            // One floor for the whole slice: which keys were there is no longer known.
            None => self.floor |= databases_of(effect),
        }
        if let Some((db, key)) = effect.second_place() {
            self.touched.push(keyspace.hash(db, key));
        }
    }

    fn begin(&mut self) {
        self.bytes.push(VERSION);
        self.bytes.extend_from_slice(&[0; HEADER_SIZE - 1]);
    }

    /// Nothing was appended since the last close.
    pub fn is_empty(&self) -> bool {
        self.effect_count == 0
    }

    /// Bytes of the body, as far as it has come.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn effect_count(&self) -> usize {
        self.effect_count
    }

    /// The hashes of the keys written since the last call, for the commit gate.
    pub fn take_touched(&mut self) -> vec::Drain<'_, u64> {
        self.touched.drain(..)
    }

    /// The databases that were flushed or swapped since the last call, by bit; zero if none was.
    pub fn take_floor(&mut self) -> u16 {
        std::mem::take(&mut self.floor)
    }

    /// Stamps the batch and hands its bytes over as an entry's body; the batch is empty again.
    ///
    /// `body` is replaced; its buffer serves the next batch.
    ///
    /// # Panics
    ///
    /// If there are neither effects nor an attachment, or if the gate was not told of a key that
    /// was written.
    pub fn close_into(&mut self, clock_ms: u64, attachment: &[u8], body: &mut Vec<u8>) {
        assert!(!self.is_empty() || !attachment.is_empty());
        assert!(self.touched.is_empty());
        assert!(self.floor == 0);
        if self.bytes.is_empty() {
            self.begin();
        }
        let size = self.bytes.len() - HEADER_SIZE;
        let size = u32::try_from(size).expect("what a command may log is bounded by an entry");
        self.bytes[1..9].copy_from_slice(&clock_ms.to_le_bytes());
        self.bytes[9..HEADER_SIZE].copy_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(attachment);
        std::mem::swap(&mut self.bytes, body);
        self.clear();
    }

    /// Forgets everything gathered, as after an undo.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.effect_count = 0;
        self.touched.clear();
        self.floor = 0;
    }
}

/// The databases whose keys an effect on no single key may take or bring, by bit.
fn databases_of(effect: &Effect<'_>) -> u16 {
    match *effect {
        Effect::FlushDatabase { db } => 1 << db,
        Effect::SwapDatabases { first, second } => 1 << first | 1 << second,
        _ => u16::MAX,
    }
}

const _: () = assert!(base::limits::DATABASES <= 16, "databases are bits");

/// Reads an entry's body: the clock, then effect by effect. After an error there are no more.
#[derive(Clone, Debug)]
pub struct BatchReader<'a> {
    clock_ms: u64,
    /// The last effect of the body's version.
    op_max: u8,
    rest: &'a [u8],
    attachment: &'a [u8],
}

impl<'a> BatchReader<'a> {
    pub fn new(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (version, rest) = body.split_first().ok_or(DecodeError::Truncated)?;
        let op_max = match *version {
            1 => OP_MAX_VERSION_1,
            2 => OP_MAX_VERSION_2,
            VERSION => OP_MAX,
            version => return Err(DecodeError::UnknownVersion { version, newest: VERSION }),
        };
        let (clock, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let clock_ms = u64::from_le_bytes(*clock);
        if *version == 1 {
            return Ok(Self { clock_ms, op_max, rest, attachment: &[] });
        }
        let (size, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (rest, attachment) = rest.split_at_checked(size).ok_or(DecodeError::Truncated)?;
        Ok(Self { clock_ms, op_max, rest, attachment })
    }

    /// The stamp the batch was closed with.
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }

    /// The bytes of the effects that were not read yet.
    pub fn effects(&self) -> &'a [u8] {
        self.rest
    }

    /// What the node added; often nothing.
    pub fn attachment(&self) -> &'a [u8] {
        self.attachment
    }
}

impl<'a> Iterator for BatchReader<'a> {
    type Item = Result<Effect<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let effect = Effect::decode(&mut self.rest, self.op_max);
        if effect.is_err() {
            self.rest = &[];
        }
        Some(effect)
    }
}
