//! The effects of one slice gathered in one turn, and the body of the entry they become.
//!
//! ```text
//! byte 0       format version
//! bytes 1..9   the batch clock: milliseconds since 1970, little-endian
//! bytes 9..    effects, one after the other, to the end
//! ```
//!
//! The version covers the header and every effect's bytes. [`BatchReader`] reads bodies back; a
//! body of a version it does not know is refused, never guessed at.
//!
//! # Invariants
//!
//! * `bytes` is empty, or a header with a clock of zero and `effect_count` effects.
//! * Each key written since `take_touched` has its hash in `touched`.

use std::vec;

use crate::effect::{DecodeError, Effect};
use crate::keyspace::Keyspace;

#[cfg(test)]
mod tests;

/// Bytes before the first effect.
pub(crate) const HEADER_SIZE: usize = 1 + size_of::<u64>();

const VERSION: u8 = 1;

/// An open batch. Its buffers are used again. Owner: slice.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    effect_count: usize,
    touched: Vec<u64>,
    floor: bool,
}

impl Batch {
    /// Adds an effect that was just applied to `keyspace`.
    pub fn append(&mut self, effect: &Effect<'_>, keyspace: &Keyspace) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
            self.bytes.extend_from_slice(&[0; HEADER_SIZE - 1]);
        }
        effect.encode(&mut self.bytes);
        self.effect_count += 1;
        match *effect {
            Effect::PutString { db, key, .. }
            | Effect::SetExpire { db, key, .. }
            | Effect::Append { db, key, .. }
            | Effect::SetRange { db, key, .. }
            | Effect::Delete { db, key } => {
                self.touched.push(keyspace.hash(db, key));
            }
            // One floor for the whole slice: which keys were there is no longer known.
            Effect::FlushDatabase { .. } | Effect::FlushAll | Effect::SwapDatabases { .. } => {
                self.floor = true;
            }
        }
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

    /// Was anything flushed since the last call?
    pub fn take_floor(&mut self) -> bool {
        std::mem::take(&mut self.floor)
    }

    /// Stamps the batch and hands its bytes over as an entry's body; the batch is empty again.
    ///
    /// `body` is replaced; its buffer serves the next batch.
    ///
    /// # Panics
    ///
    /// If the batch is empty, or if the gate was not told of a key it wrote.
    pub fn close_into(&mut self, clock_ms: u64, body: &mut Vec<u8>) {
        assert!(!self.is_empty());
        assert!(self.touched.is_empty());
        assert!(!self.floor);
        self.bytes[1..HEADER_SIZE].copy_from_slice(&clock_ms.to_le_bytes());
        std::mem::swap(&mut self.bytes, body);
        self.clear();
    }

    /// Forgets everything gathered, as after an undo.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.effect_count = 0;
        self.touched.clear();
        self.floor = false;
    }
}

/// Reads an entry's body: the clock, then effect by effect. After an error there are no more.
#[derive(Clone, Debug)]
pub struct BatchReader<'a> {
    clock_ms: u64,
    rest: &'a [u8],
}

impl<'a> BatchReader<'a> {
    pub fn new(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (version, rest) = body.split_first().ok_or(DecodeError::Truncated)?;
        if *version != VERSION {
            return Err(DecodeError::UnknownVersion { version: *version, newest: VERSION });
        }
        let (clock, rest) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        Ok(Self { clock_ms: u64::from_le_bytes(*clock), rest })
    }

    /// The stamp the batch was closed with.
    pub fn clock_ms(&self) -> u64 {
        self.clock_ms
    }
}

impl<'a> Iterator for BatchReader<'a> {
    type Item = Result<Effect<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let effect = Effect::decode(&mut self.rest);
        if effect.is_err() {
            self.rest = &[];
        }
        Some(effect)
    }
}
