//! The spelling of one item.

use super::Item;

/// The longest encoding and length before an item's bytes, or of an integer.
const HEAD_SIZE_MAX: usize = 9;
const BACKLEN_SIZE_MAX: usize = 5;

/// The size of the item there, without its backlen.
#[inline]
pub(super) fn encoded_size(rest: &[u8]) -> usize {
    let first = rest[0];
    match first {
        0x00..=0x7f => 1,
        0x80..=0xbf => 1 + usize::from(first & 0x3f),
        0xc0..=0xdf => 2,
        0xe0..=0xef => 2 + (usize::from(first & 0x0f) << 8 | usize::from(rest[1])),
        0xf0 => 5 + u32::from_le_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        0xf5..=0xff => unreachable!("a listpack has no such item"),
    }
}

/// As `encoded_size`, of bytes that may end anywhere and be anything.
pub(super) fn checked_size(rest: &[u8]) -> Option<usize> {
    let head_size = match rest.first()? {
        0xe0..=0xef => 2,
        0xf0 => 5,
        0xf5..=0xff => return None,
        _ => 1,
    };
    (head_size <= rest.len()).then(|| encoded_size(rest))
}

/// The item there, and its size without the backlen.
#[inline]
pub(super) fn decode(rest: &[u8]) -> (Item<'_>, usize) {
    let size = encoded_size(rest);
    let first = rest[0];
    let item = match first {
        0x00..=0x7f => Item::Integer(i64::from(first)),
        0x80..=0xbf => Item::Bytes(&rest[1..size]),
        // The 13 bits are moved to the top of 16, so that moving them back keeps the sign.
        0xc0..=0xdf => Item::Integer(i64::from(
            i16::from_be_bytes([first << 3 | rest[1] >> 5, rest[1] << 3]) >> 3,
        )),
        0xe0..=0xef => Item::Bytes(&rest[2..size]),
        0xf0 => Item::Bytes(&rest[5..size]),
        _ => {
            let mut bytes = [0; 8];
            bytes[..size - 1].copy_from_slice(&rest[1..size]);
            let unused = 64 - 8 * (size as u32 - 1);
            Item::Integer(i64::from_le_bytes(bytes) << unused >> unused)
        }
    };
    (item, size)
}

/// Writes an item at the begin of `out` and returns the rest of it.
pub(super) fn encode<'o>(item: Item<'_>, out: &'o mut [u8]) -> &'o mut [u8] {
    let (head, tail) = Head::of(item);
    let backlen = Backlen::of(head.as_slice().len() + tail.len());
    let mut rest = out;
    for part in [head.as_slice(), tail, backlen.as_slice()] {
        let (place, behind) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    rest
}

pub(super) fn integer_size(integer: i64) -> usize {
    match integer {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    }
}

pub(super) fn string_head_size(size: usize) -> usize {
    match size {
        0..=63 => 1,
        64..=4095 => 2,
        _ => 5,
    }
}

/// What is before an item's bytes: all of an integer.
pub(super) struct Head {
    bytes: [u8; HEAD_SIZE_MAX],
    size: u8,
}

impl Head {
    #[inline]
    pub(super) fn of(item: Item<'_>) -> (Self, &[u8]) {
        let mut bytes = [0; HEAD_SIZE_MAX];
        let (size, tail) = match item {
            Item::Integer(integer) => {
                let size = integer_size(integer);
                let low = integer.to_le_bytes();
                match size {
                    1 => bytes[0] = low[0],
                    2 => (bytes[0], bytes[1]) = (0xc0 | (low[1] & 0x1f), low[0]),
                    _ => {
                        bytes[0] = match size {
                            3 => 0xf1,
                            4 => 0xf2,
                            5 => 0xf3,
                            _ => 0xf4,
                        };
                        bytes[1..size].copy_from_slice(&low[..size - 1]);
                    }
                }
                (size, &[][..])
            }
            Item::Bytes(text) => {
                let length = u32::try_from(text.len()).expect("a string is far below 4 GiB");
                let low = length.to_le_bytes();
                let size = string_head_size(text.len());
                match size {
                    1 => bytes[0] = 0x80 | low[0],
                    2 => (bytes[0], bytes[1]) = (0xe0 | low[1], low[0]),
                    _ => {
                        bytes[0] = 0xf0;
                        bytes[1..5].copy_from_slice(&low);
                    }
                }
                (size, text)
            }
        };
        (Self { bytes, size: size as u8 }, tail)
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// The size of an item, to be read from behind.
pub(super) struct Backlen {
    bytes: [u8; BACKLEN_SIZE_MAX],
    size: u8,
}

impl Backlen {
    #[inline]
    pub(super) fn of(item_size: usize) -> Self {
        Self::spelled(item_size, backlen_size(item_size))
    }

    /// In so many bytes. If they are too few, they say another size.
    #[inline]
    pub(super) fn spelled(item_size: usize, size: usize) -> Self {
        let mut bytes = [0; BACKLEN_SIZE_MAX];
        for (place, byte) in bytes[..size].iter_mut().enumerate() {
            let group = (item_size >> (7 * (size - 1 - place))) as u8 & 0x7f;
            *byte = if place == 0 { group } else { group | 0x80 };
        }
        Self { bytes, size: size as u8 }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

/// The bytes of a backlen. Redis's limits are one below what the bits could hold, except the
/// first; the bytes are to be the same.
#[inline]
pub(super) fn backlen_size(item_size: usize) -> usize {
    match item_size {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The size of the item whose backlen is at the end of `bytes`.
#[inline]
pub(super) fn read_backlen(bytes: &[u8]) -> usize {
    let mut size = 0;
    for (position, byte) in bytes.iter().rev().take(BACKLEN_SIZE_MAX).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return size;
        }
    }
    unreachable!("a listpack has no such backlen")
}
