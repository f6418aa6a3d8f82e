//! A small set of integers, sorted, in one piece of memory.
//!
//! The bytes are exactly those of Redis's intset, so that they go into an RDB value as they are:
//!
//! ```text
//! u32 LE   the width of an integer: 2, 4 or 8 bytes
//! u32 LE   how many there are
//! then     the integers, LE, rising
//! ```
//!
//! The width grows when an integer needs it, and never becomes less, as in Redis.
//!
//! # Invariants
//!
//! * The integers rise strictly, and the header describes them.
//! * Bytes that were not made here pass [`Intset::validated`] first.

#[cfg(test)]
mod tests;

const HEADER_SIZE: usize = 8;

/// The bytes of an intset, to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intset<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Intset<'a> {
    /// Bytes that were made here.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let set = Self { bytes, width: read(bytes, 0) as usize };
        debug_assert!(set.is_sized());
        set
    }

    /// Bytes of unknown origin, if they are an intset with something in it.
    pub(crate) fn validated(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= HEADER_SIZE {
            return None;
        }
        let width = read(bytes, 0) as usize;
        let set = Self { bytes, width };
        let is_valid = matches!(width, 2 | 4 | 8)
            && set.is_sized()
            && (1..set.len()).all(|index| set.at(index - 1) < set.at(index));
        is_valid.then_some(set)
    }

    fn is_sized(self) -> bool {
        self.len().checked_mul(self.width) == self.bytes.len().checked_sub(HEADER_SIZE)
    }

    pub(crate) fn len(self) -> usize {
        read(self.bytes, 4) as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The integer at a position in their order.
    pub(crate) fn get(self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.at(index))
    }

    #[inline]
    fn at(self, index: usize) -> i64 {
        let start = HEADER_SIZE + index * self.width;
        read_integer(&self.bytes[start..start + self.width])
    }

    pub(crate) fn first(self) -> Option<i64> {
        self.get(0)
    }

    pub(crate) fn last(self) -> Option<i64> {
        self.get(self.len().wrapping_sub(1))
    }

    /// Where an integer is, or where it would be.
    #[inline]
    pub(crate) fn find(self, integer: i64) -> Result<usize, usize> {
        if self.width < width_of(integer) {
            return Err(if integer < 0 { 0 } else { self.len() });
        }
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.at(middle).cmp(&integer) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    pub(crate) fn contains(self, integer: i64) -> bool {
        self.find(integer).is_ok()
    }

    pub(crate) fn iter(self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone {
        self.bytes[HEADER_SIZE..].chunks_exact(self.width).map(read_integer)
    }
}

/// An intset with nothing in it.
pub(crate) fn empty() -> Vec<u8> {
    let mut set = vec![0; HEADER_SIZE];
    write(&mut set, 0, 2);
    set
}

/// Puts an integer in; false if it is there already.
pub(crate) fn insert(set: &mut Vec<u8>, integer: i64) -> bool {
    let view = Intset::new(set);
    let (count, width) = (view.len(), view.width);
    let Err(index) = view.find(integer) else { return false };
    let needed = width_of(integer);
    if width < needed {
        // What needs more room is before or behind all that did not.
        let old = view.iter();
        let (before, behind) =
            if integer < 0 { (Some(integer), None) } else { (None, Some(integer)) };
        let mut wider = Vec::with_capacity(HEADER_SIZE + (count + 1) * needed);
        wider.extend_from_slice(&set[..HEADER_SIZE]);
        for integer in before.into_iter().chain(old).chain(behind) {
            wider.extend_from_slice(&integer.to_le_bytes()[..needed]);
        }
        *set = wider;
        write(set, 0, needed as u32);
    } else {
        let (start, end) = (HEADER_SIZE + index * width, set.len());
        if set.capacity() < end + width {
            set.reserve_exact(width.max(end / GROWTH_SHARE));
        }
        set.resize(end + width, 0);
        set.copy_within(start..end, start + width);
        set[start..start + width].copy_from_slice(&integer.to_le_bytes()[..width]);
    }
    write(set, 4, count as u32 + 1);
    true
}

/// Takes an integer out; false if it is not there.
pub(crate) fn remove(set: &mut Vec<u8>, integer: i64) -> bool {
    let Ok(index) = Intset::new(set).find(integer) else { return false };
    remove_at(set, index);
    true
}

/// Takes the integer at a position out.
pub(crate) fn remove_at(set: &mut Vec<u8>, index: usize) {
    let view = Intset::new(set);
    let (count, width) = (view.len(), view.width);
    assert!(index < count);
    let start = HEADER_SIZE + index * width;
    set.drain(start..start + width);
    if set.len() < set.capacity() / 2 {
        set.shrink_to(set.len() + set.len() / GROWTH_SHARE);
    }
    write(set, 4, count as u32 - 1);
}

/// A buffer that is full grows by at least one part in so many.
const GROWTH_SHARE: usize = 4;

fn width_of(integer: i64) -> usize {
    if i64::from(integer as i16) == integer {
        2
    } else if i64::from(integer as i32) == integer {
        4
    } else {
        8
    }
}

fn read(bytes: &[u8], at: usize) -> u32 {
    let field = bytes[at..].first_chunk().expect("the header is there");
    u32::from_le_bytes(*field)
}

fn write(set: &mut [u8], at: usize, field: u32) {
    set[at..at + 4].copy_from_slice(&field.to_le_bytes());
}

/// An integer of 2, 4 or 8 bytes.
#[inline]
fn read_integer(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => unreachable!("an intset has no such width"),
    }
}
