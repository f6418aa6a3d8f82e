//! What an entry says beside its effects: fragments, resolutions, voids (PROTOCOL section 3).
//!
//! It lies behind the effects of a batch, where the engine does not look. Items, each at most
//! once, numbers as LEB128 (least significant seven bits first):
//!
//! ```text
//! tag  meaning   fields
//!  1   resolved  index: every fragment of this slice up to there is decided, committed or void
//!  2   fragment  count, then slice, term, index of each participant, this slice among them
//!  3   void      first: the entries from there up to this one carry no effects
//!  4   checksum  of all effects before this entry
//! ```

use base::{LogIndex, SliceId, Term};
use smallvec::SmallVec;

/// A participant's place in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub slice: SliceId,
    pub term: Term,
    pub index: LogIndex,
}

/// The participants of a transaction.
pub(crate) type Places = SmallVec<[Place; 4]>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) resolved: LogIndex,
    /// Empty if the entry is no fragment.
    pub(crate) fragment: Places,
    pub(crate) void: Option<LogIndex>,
    pub(crate) checksum: Option<u32>,
}

const TAG_RESOLVED: u8 = 1;
const TAG_FRAGMENT: u8 = 2;
const TAG_VOID: u8 = 3;
const TAG_CHECKSUM: u8 = 4;

impl Attachment {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.clear();
        if self.resolved != LogIndex::NONE {
            into.push(TAG_RESOLVED);
            encode_number(self.resolved.0, into);
        }
        if !self.fragment.is_empty() {
            into.push(TAG_FRAGMENT);
            encode_number(self.fragment.len() as u64, into);
            for place in &self.fragment {
                encode_number(u64::from(place.slice.0), into);
                encode_number(place.term.0, into);
                encode_number(place.index.0, into);
            }
        }
        if let Some(first) = self.void {
            into.push(TAG_VOID);
            encode_number(first.0, into);
        }
        if let Some(checksum) = self.checksum {
            into.push(TAG_CHECKSUM);
            encode_number(checksum.into(), into);
        }
    }

    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, String> {
        let mut attachment = Self::default();
        while let Some((tag, rest)) = bytes.split_first() {
            bytes = rest;
            match *tag {
                TAG_RESOLVED => attachment.resolved = LogIndex(decode_number(&mut bytes)?),
                TAG_FRAGMENT => {
                    let count = decode_number(&mut bytes)?;
                    for _ in 0..count {
                        let slice = decode_number(&mut bytes)?;
                        let slice = u16::try_from(slice)
                            .map_err(|_| format!("a fragment names slice {slice}"))?;
                        attachment.fragment.push(Place {
                            slice: SliceId(slice),
                            term: Term(decode_number(&mut bytes)?),
                            index: LogIndex(decode_number(&mut bytes)?),
                        });
                    }
                }
                TAG_VOID => attachment.void = Some(LogIndex(decode_number(&mut bytes)?)),
                TAG_CHECKSUM => {
                    let checksum = u32::try_from(decode_number(&mut bytes)?);
                    let checksum = checksum.map_err(|_| "a checksum has more than 32 bits")?;
                    attachment.checksum = Some(checksum);
                }
                tag => {
                    return Err(format!(
                        "an entry holds an item {tag} that this build does not know; a newer one \
                         may have written it"
                    ));
                }
            }
        }
        Ok(attachment)
    }
}

pub(crate) fn encode_number(mut number: u64, into: &mut Vec<u8>) {
    while 0x80 <= number {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(crate) fn decode_number(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("an entry ends inside a number")?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number of an entry does not fit 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_is_read_back() {
        let place = |slice, term, index| Place {
            slice: SliceId(slice),
            term: Term(term),
            index: LogIndex(index),
        };
        let attachments = [
            Attachment::default(),
            Attachment { resolved: LogIndex(u64::MAX), ..Attachment::default() },
            Attachment { void: Some(LogIndex(7)), ..Attachment::default() },
            Attachment {
                resolved: LogIndex(300),
                fragment: [place(0, 1, 2), place(1023, 1 << 40, 1 << 50)].into_iter().collect(),
                void: None,
                checksum: Some(u32::MAX),
            },
        ];
        for attachment in attachments {
            let mut bytes = vec![9];
            attachment.encode(&mut bytes);
            assert_eq!(Attachment::decode(&bytes), Ok(attachment.clone()));
            for size in 1..bytes.len() {
                assert_ne!(Attachment::decode(&bytes[..size]), Ok(attachment.clone()));
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for bytes in [
            &[9][..],
            &[1],
            &[1, 0x80],
            &[4, 255, 255, 255, 255, 127],
            &[1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        ] {
            assert!(Attachment::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
