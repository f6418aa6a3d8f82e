//! What a slice remembers of entries that its log no longer holds.
//!
//! It lies in the manifest of a snapshot. Term starts and void ranges answer for fragments of
//! trimmed entries (PROTOCOL F3, 3.6); the checksum is that of all effects up to the snapshot, so
//! that a replay on top of it can be compared with what was logged.
//!
//! ```text
//! byte 0   format version, 1
//! then     the checksum, 4 bytes little-endian
//! then     the replicas that vote: their index of configuration, their count, each
//! then     the count of terms, of each its number and the index of its first entry
//! then     the count of void ranges, of each its first index and the one behind its last
//! ```
//!
//! Numbers but for the first two are LEB128, as in attachments.

use std::ops::Range;

use base::{LogIndex, Term};

use crate::attachment::{decode_number, encode_number};

const VERSION: u8 = 1;

/// Owner: the replay of a slice, later its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// The first index of each term, oldest first.
    pub(crate) terms: Vec<(Term, LogIndex)>,
    pub(crate) voids: Vec<Range<u64>>,
}

impl History {
    /// The term of the last entry that is known of.
    pub(crate) fn last_term(&self) -> Term {
        self.terms.last().map_or(Term(0), |(term, _)| *term)
    }

    /// The term of an entry, which is there.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        let mut terms = self.terms.iter().rev();
        terms.find(|(_, first)| *first <= index).map(|(term, _)| *term)
    }

    pub(crate) fn is_void(&self, index: LogIndex) -> bool {
        self.voids.iter().any(|void| void.contains(&index.0))
    }

    /// What a snapshot at `index` keeps.
    pub(crate) fn encode(&self, index: LogIndex, checksum: u32) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&checksum.to_le_bytes());
        // A sole voter, there from the beginning.
        [0, 1, 1].into_iter().for_each(|number| encode_number(number, &mut bytes));
        let terms = || self.terms.iter().filter(|(_, first)| *first <= index);
        encode_number(terms().count() as u64, &mut bytes);
        for (term, first) in terms() {
            encode_number(term.0, &mut bytes);
            encode_number(first.0, &mut bytes);
        }
        let voids = || self.voids.iter().filter(|void| void.start <= index.0);
        encode_number(voids().count() as u64, &mut bytes);
        for void in voids() {
            encode_number(void.start, &mut bytes);
            encode_number(void.end, &mut bytes);
        }
        bytes
    }

    /// The history and the checksum.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, u32), String> {
        let (version, rest) = bytes.split_first().ok_or("the history of a slice is empty")?;
        if *version != VERSION {
            return Err(format!(
                "the history of a slice has format version {version}; this build reads {VERSION}"
            ));
        }
        let short = "the history of a slice ends inside its checksum";
        let (checksum, mut rest) = rest.split_first_chunk().ok_or(short)?;
        let rest = &mut rest;
        let (_, voters) = (decode_number(rest)?, decode_number(rest)?);
        for _ in 0..voters {
            decode_number(rest)?;
        }
        let mut history = Self::default();
        for _ in 0..decode_number(rest)? {
            let (term, first) = (Term(decode_number(rest)?), LogIndex(decode_number(rest)?));
            if term <= history.last_term() {
                return Err("the terms of a slice's history do not rise".to_owned());
            }
            history.terms.push((term, first));
        }
        for _ in 0..decode_number(rest)? {
            history.voids.push(decode_number(rest)?..decode_number(rest)?);
        }
        if !rest.is_empty() {
            return Err("bytes follow the history of a slice".to_owned());
        }
        Ok((history, u32::from_le_bytes(*checksum)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_back_up_to_the_index_of_its_snapshot() {
        let term = |term, first| (Term(term), LogIndex(first));
        let history = History {
            terms: vec![term(1, 1), term(4, 300), term(5, 301)],
            voids: vec![7..9, 290..300, 310..320],
        };
        let kept = History { terms: vec![term(1, 1), term(4, 300)], voids: vec![7..9, 290..300] };
        let bytes = history.encode(LogIndex(300), 0xdead_beef);
        assert_eq!(History::decode(&bytes), Ok((kept, 0xdead_beef)));
        for size in 0..bytes.len() {
            assert!(History::decode(&bytes[..size]).is_err(), "{size}");
        }
    }
}
