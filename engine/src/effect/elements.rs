//! Byte strings that one effect holds many of: the words of a request, or a run of bytes that the
//! log holds.

use std::fmt;

use super::{DecodeError, decode_string, encode_string};
use crate::varint;

/// Some byte strings, borrowed from a request or from the log.
#[derive(Clone, Copy)]
pub enum Elements<'a> {
    Words(&'a [&'a [u8]]),
    Packed(Packed<'a>),
}

/// Byte strings one after the other, each with its size in front: made by [`ElementsBuf`] and read
/// back from the log.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Elements<'a> {
    pub fn len(self) -> usize {
        match self {
            Elements::Words(words) => words.len(),
            Elements::Packed(packed) => packed.count,
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn iter(self) -> Iter<'a> {
        Iter(self)
    }

    /// Two at a time: fields with values, scores with members.
    pub fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        assert!(self.len().is_multiple_of(2));
        let mut elements = self.iter();
        std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
    }

    pub(super) fn encode(self, into: &mut Vec<u8>) {
        let count = u32::try_from(self.len()).expect("a request has fewer words");
        varint::encode(count, into);
        match self {
            Elements::Words(words) => words.iter().for_each(|word| encode_string(word, into)),
            Elements::Packed(packed) => into.extend_from_slice(packed.bytes),
        }
    }

    /// Takes `count` and so many strings off the front; a multiple of `multiple`, not none.
    pub(super) fn decode(bytes: &mut &'a [u8], multiple: u32) -> Result<Self, DecodeError> {
        let count = varint::decode(bytes)?;
        if count == 0 || !count.is_multiple_of(multiple) {
            return Err(DecodeError::MalformedCount { count });
        }
        let start = *bytes;
        for _ in 0..count {
            decode_string(bytes)?;
        }
        let size = start.len() - bytes.len();
        Ok(Elements::Packed(Packed { count: count as usize, bytes: &start[..size] }))
    }
}

/// See [`Elements::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(Elements<'a>);

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Elements::Words(words) => {
                let (first, rest) = words.split_first()?;
                *words = rest;
                Some(first)
            }
            Elements::Packed(Packed { count, bytes }) => {
                *count = count.checked_sub(1)?;
                Some(decode_string(bytes).expect("the run was checked when it was made"))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl fmt::Debug for Packed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Elements::Packed(*self).fmt(f)
    }
}

impl PartialEq for Elements<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Elements<'_> {}

impl fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements = self.iter().map(|element| element.escape_ascii().to_string());
        f.debug_list().entries(elements).finish()
    }
}

/// Gathers byte strings for one effect. Its buffer is used again.
#[derive(Debug, Default)]
pub struct ElementsBuf {
    count: usize,
    bytes: Vec<u8>,
}

impl ElementsBuf {
    pub fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }

    pub fn push(&mut self, element: &[u8]) {
        encode_string(element, &mut self.bytes);
        self.count += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn elements(&self) -> Elements<'_> {
        Elements::Packed(Packed { count: self.count, bytes: &self.bytes })
    }
}
