//! Seven entries and a byte of each one's hash, in one cache line.

use std::fmt;

use super::entry::EntryBox;

pub(super) const CELLS: usize = 7;

/// # Invariants
///
/// * A cell is empty exactly if its tag is zero.
#[repr(C, align(64))]
#[derive(Default)]
pub(super) struct Bucket {
    /// Byte zero counts the entries at home here that lie elsewhere; the others are the tags.
    tags: u64,
    cells: [Option<EntryBox>; CELLS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;
/// The high bits of the tags.
const TAGS: u64 = HIGH & !0xff;

/// A count that reached this no longer counts: it stays until the segment is built anew.
const SPILLED_MAX: u64 = 0xff;

/// The tag of a hash: bits that do not decide where the entry lies, and never zero.
fn tag_of(hash: u64) -> u64 {
    (hash & 0xff).max(1)
}

/// The cells whose byte has its high bit set in `bits`.
#[derive(Clone, Copy)]
pub(super) struct CellSet(u64);

impl Iterator for CellSet {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let cell = self.0.trailing_zeros() as usize / 8 - 1;
        self.0 &= self.0 - 1;
        Some(cell)
    }
}

/// The high bit of each byte that is zero.
fn zero_bytes(word: u64) -> u64 {
    !(((word & !HIGH) + !HIGH) | word | !HIGH)
}

impl Bucket {
    /// The cells that may hold an entry of this hash.
    pub(super) fn matches(&self, hash: u64) -> CellSet {
        CellSet(zero_bytes(self.tags ^ (LOW * tag_of(hash))) & TAGS)
    }

    pub(super) fn occupied(&self) -> CellSet {
        CellSet(!zero_bytes(self.tags) & TAGS)
    }

    pub(super) fn len(&self) -> usize {
        self.occupied().0.count_ones() as usize
    }

    pub(super) fn entry(&self, cell: usize) -> Option<&EntryBox> {
        self.cells[cell].as_ref()
    }

    pub(super) fn entry_mut(&mut self, cell: usize) -> Option<&mut EntryBox> {
        self.cells[cell].as_mut()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &EntryBox> {
        self.occupied().filter_map(|cell| self.cells[cell].as_ref())
    }

    /// Gives the entry back if the bucket is full.
    pub(super) fn place(&mut self, hash: u64, entry: EntryBox) -> Result<(), EntryBox> {
        let free = zero_bytes(self.tags) & TAGS;
        let Some(cell) = CellSet(free).next() else { return Err(entry) };
        self.tags |= tag_of(hash) << (8 * (cell + 1));
        self.cells[cell] = Some(entry);
        Ok(())
    }

    pub(super) fn take(&mut self, cell: usize) -> EntryBox {
        self.tags &= !(0xff << (8 * (cell + 1)));
        self.cells[cell].take().expect("only an occupied cell is taken")
    }

    /// Moves an entry of `other` into a cell of this bucket that was just taken.
    pub(super) fn refill(&mut self, cell: usize, other: &mut Self, from: usize) {
        let tag = (other.tags >> (8 * (from + 1))) & 0xff;
        assert!(self.cells[cell].is_none());
        self.cells[cell] = Some(other.take(from));
        self.tags |= tag << (8 * (cell + 1));
    }

    pub(super) fn has_spilled(&self) -> bool {
        self.tags & SPILLED_MAX != 0
    }

    pub(super) fn spill(&mut self) {
        if self.tags & SPILLED_MAX < SPILLED_MAX {
            self.tags += 1;
        }
    }

    pub(super) fn unspill(&mut self) {
        assert!(self.has_spilled());
        if self.tags & SPILLED_MAX < SPILLED_MAX {
            self.tags -= 1;
        }
    }

    /// `spilled` entries at home here lie elsewhere.
    pub(super) fn check(&self, spilled: usize) {
        for cell in 0..CELLS {
            let tag = (self.tags >> (8 * (cell + 1))) & 0xff;
            assert!((tag == 0) == self.cells[cell].is_none());
        }
        let count = (self.tags & SPILLED_MAX) as usize;
        assert!(count == spilled || count == SPILLED_MAX as usize);
    }

    /// The tag in a cell is that of this hash.
    pub(super) fn check_tag(&self, cell: usize, hash: u64) {
        assert!((self.tags >> (8 * (cell + 1))) & 0xff == tag_of(hash));
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({:016x})", self.tags)
    }
}
