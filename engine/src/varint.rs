//! Numbers of one to five bytes: seven bits a byte, low bits first, the high bit says more follow.
//!
//! Every number has exactly one spelling here: a longer one than needed is refused, so equal
//! effects have equal bytes.

use crate::effect::DecodeError;

/// The longest encoding of a 32-bit number: bytes.
pub(crate) const SIZE_MAX: usize = 5;

pub(crate) fn encode(mut number: u32, into: &mut Vec<u8>) {
    while 0x80 <= number {
        into.push((number as u8) | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(crate) fn decode(bytes: &mut &[u8]) -> Result<u32, DecodeError> {
    let mut number: u64 = 0;
    for position in 0..SIZE_MAX {
        let (byte, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            if *byte == 0 && 0 < position {
                return Err(DecodeError::MalformedNumber);
            }
            return u32::try_from(number).map_err(|_| DecodeError::MalformedNumber);
        }
    }
    Err(DecodeError::MalformedNumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_has_one_spelling() {
        for (number, bytes) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 0x01]),
            (300, vec![0xac, 0x02]),
            (u32::MAX, vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut encoded = Vec::new();
            encode(number, &mut encoded);
            assert_eq!(encoded, bytes);
            assert_eq!(decode(&mut bytes.as_slice()), Ok(number));
        }
        for bad in [&[0x80, 0x00][..], &[0xff, 0xff, 0xff, 0xff, 0x1f], &[0x80; 6]] {
            assert_eq!(decode(&mut &*bad), Err(DecodeError::MalformedNumber), "{bad:x?}");
        }
        for cut in [&[][..], &[0x80], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decode(&mut &*cut), Err(DecodeError::Truncated), "{cut:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_and_nothing_more(number: u32, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            encode(number, &mut bytes);
            prop_assert!(bytes.len() <= SIZE_MAX);
            bytes.extend_from_slice(&tail);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(decode(&mut rest), Ok(number));
            prop_assert_eq!(rest, tail.as_slice());
        }
    }
}
