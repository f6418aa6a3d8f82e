//! Writes values.

use super::kind;
use super::lzf::Compressor;
use super::string::{put_length, put_string};

/// What is done with strings of more than twenty bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// As Redis does by default.
    Lzf,
    /// Nothing: what the value goes into is compressed as a whole, or is not kept for long.
    None,
}

/// Writes one value, from its type to its last element. Owner: the command or the effect.
///
/// The counts come first, so a caller knows them first.
#[derive(Debug)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    compression: Compression,
    /// Made when the first string needs it: it is large.
    compressor: Option<Compressor>,
}

impl Encoder {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { bytes: Vec::new(), compression, compressor: None }
    }

    pub(crate) fn with_capacity(compression: Compression, size: usize) -> Self {
        Self { bytes: Vec::with_capacity(size), ..Self::new(compression) }
    }

    /// A string.
    pub(crate) fn string_value(mut self, string: &[u8]) -> Vec<u8> {
        self.kind(kind::STRING);
        self.string(string);
        self.bytes
    }

    /// A collection whose body is one listpack or intset.
    pub(crate) fn packed_value(mut self, kind: u8, packed: &[u8]) -> Vec<u8> {
        self.kind(kind);
        self.string(packed);
        self.bytes
    }

    /// The first byte of a value.
    pub(crate) fn kind(&mut self, kind: u8) {
        debug_assert!(self.bytes.is_empty());
        self.bytes.push(kind);
    }

    /// How many elements, pairs or nodes follow.
    pub(crate) fn count(&mut self, count: usize) {
        put_length(&mut self.bytes, count as u64);
    }

    pub(crate) fn string(&mut self, string: &[u8]) {
        let compressor = match self.compression {
            Compression::Lzf if 20 < string.len() => {
                Some(self.compressor.get_or_insert_with(Compressor::new))
            }
            _ => None,
        };
        put_string(&mut self.bytes, string, compressor);
    }

    /// A score, behind its member.
    pub(crate) fn score(&mut self, score: f64) {
        self.bytes.extend_from_slice(&score.to_le_bytes());
    }

    /// When a field expires, behind its value, in a hash where some do.
    pub(crate) fn expiry(&mut self, expire_ms: Option<u64>) {
        let expire_ms = expire_ms.map_or(-1, |expire_ms| expire_ms.min(i64::MAX as u64) as i64);
        self.bytes.extend_from_slice(&expire_ms.to_le_bytes());
    }

    /// A node of a list: one element that is too large for a listpack.
    pub(crate) fn plain_node(&mut self, element: &[u8]) {
        put_length(&mut self.bytes, super::NODE_PLAIN);
        self.string(element);
    }

    /// A node of a list: a listpack of elements.
    pub(crate) fn packed_node(&mut self, listpack: &[u8]) {
        put_length(&mut self.bytes, super::NODE_PACKED);
        self.string(listpack);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
