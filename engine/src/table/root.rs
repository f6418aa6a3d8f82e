//! One slot of a table: nothing, one segment, or a directory of segments.
//!
//! # Invariants
//!
//! * `link` is null; or the word of a segment of depth zero; or, with its top bit set, the
//!   address of a directory of `1 << depth` words, the depth beside it.
//! * A segment of depth `d` is in exactly the words of a directory that share its first `d` bits:
//!   those are the only owners of it, together.
//! * `entries` is the sum over the segments; no entry expires before `min_expire` says.

#![allow(unsafe_code, reason = "several words of a directory share a segment")]

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::slice;

use super::segment::{DEPTH_MAX, SegmentBox};

/// The bits of a segment's word, which is not owned where it stands.
type Word = NonNull<u8>;

const _: () = assert!(size_of::<Word>() == size_of::<SegmentBox>());

const DIRECTORY: usize = 1 << 63;
const DEPTH_SHIFT: u32 = 56;
const ADDRESS_MASK: usize = (1 << DEPTH_SHIFT) - 1;

/// Owner: a table.
#[repr(C)]
pub(super) struct Root {
    link: *mut u8,
    entries: u32,
    /// In units of 1024 ms, so that it fits: `u32::MAX` if none expires.
    min_expire: Cell<u32>,
}

const _: () = assert!(size_of::<Root>() == 16);

// SAFETY: it owns its segments alone, and they may move between threads.
unsafe impl Send for Root {}

impl Default for Root {
    fn default() -> Self {
        Self { link: ptr::null_mut(), entries: 0, min_expire: Cell::new(u32::MAX) }
    }
}

fn into_word(segment: SegmentBox) -> Word {
    let segment = ManuallyDrop::new(segment);
    // SAFETY: a segment is one pointer that is not null.
    unsafe { ptr::from_ref(&*segment).cast::<Word>().read() }
}

impl Root {
    pub(super) fn len(&self) -> usize {
        self.entries as usize
    }

    pub(super) fn add_len(&mut self, more: usize) {
        let more = u32::try_from(more).expect("one operation adds few");
        self.entries = self.entries.checked_add(more).expect("memory ends before the count");
    }

    pub(super) fn subtract_len(&mut self, fewer: usize) {
        self.entries -= u32::try_from(fewer).expect("one operation removes few");
    }

    /// No entry expires before: milliseconds since 1970, `u64::MAX` if none expires.
    pub(super) fn min_expire_ms(&self) -> u64 {
        match self.min_expire.get() {
            u32::MAX => u64::MAX,
            bound => u64::from(bound) << 10,
        }
    }

    pub(super) fn set_min_expire_ms(&self, bound: u64) {
        self.min_expire.set(match bound {
            u64::MAX => u32::MAX,
            bound => (bound >> 10).min(u64::from(u32::MAX - 1)) as u32,
        });
    }

    /// The first bits of the hash that tell its segments apart.
    pub(super) fn depth(&self) -> u32 {
        if self.is_directory() {
            ((self.link.addr() & !DIRECTORY) >> DEPTH_SHIFT) as u32
        } else {
            0
        }
    }

    fn is_directory(&self) -> bool {
        self.link.addr() & DIRECTORY != 0
    }

    fn directory(&self) -> *mut Word {
        self.link.map_addr(|address| address & ADDRESS_MASK).cast()
    }

    /// The segment of each value of the first `depth` bits of the hash; nothing in an empty slot.
    #[inline]
    pub(super) fn segments(&self) -> &[SegmentBox] {
        if self.is_directory() {
            let first = self.directory().cast::<SegmentBox>();
            // SAFETY: a directory is so many words, each that of a segment that lives as long as
            // the directory is borrowed. A word has the form of what it owns.
            unsafe { slice::from_raw_parts(first, 1 << self.depth()) }
        } else if self.link.is_null() {
            &[]
        } else {
            let first = ptr::from_ref(&self.link).cast::<SegmentBox>();
            // SAFETY: a link that is neither is the word of a segment.
            unsafe { slice::from_raw_parts(first, 1) }
        }
    }

    #[inline]
    pub(super) fn index_of(&self, hash: u64) -> usize {
        // Two shifts, since by 64 is none.
        ((hash >> 1) >> (63 - self.depth())) as usize
    }

    pub(super) fn segment_mut(&mut self, index: usize) -> &mut SegmentBox {
        assert!(index < self.segments().len());
        let place = if self.is_directory() {
            self.directory().wrapping_add(index).cast::<SegmentBox>()
        } else {
            (&raw mut self.link).cast::<SegmentBox>()
        };
        // SAFETY: it is the word of a segment, of which no other word is borrowed with the root.
        unsafe { &mut *place }
    }

    /// The first word of the segment and their count.
    pub(super) fn words_of(&self, index: usize) -> (usize, usize) {
        let span = 1 << (self.depth() - self.segments()[index].depth());
        (index & !(span - 1), span)
    }

    /// Each segment once, with the index of its first word.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, &SegmentBox)> {
        let mut index = 0;
        std::iter::from_fn(move || {
            let segment = self.segments().get(index)?;
            let at = index;
            index += self.words_of(index).1;
            Some((at, segment))
        })
    }

    /// Bytes of the directory.
    pub(super) fn size(&self) -> usize {
        if self.is_directory() { size_of::<Word>() << self.depth() } else { 0 }
    }

    /// A slot that was empty gets its segment.
    pub(super) fn begin(&mut self, segment: SegmentBox) {
        assert!(self.link.is_null());
        assert!(segment.depth() == 0);
        self.link = into_word(segment).as_ptr();
    }

    /// Another segment in the place of one of the same depth.
    pub(super) fn replace(&mut self, index: usize, segment: SegmentBox) {
        assert!(segment.depth() == self.segments()[index].depth());
        let (first, span) = self.words_of(index);
        self.rewrite(first, span, &[segment.depth()], [segment]);
    }

    /// Two segments, one deeper, in the place of one.
    pub(super) fn split(&mut self, index: usize, halves: [SegmentBox; 2]) {
        let depth = self.segments()[index].depth() + 1;
        assert!(halves.iter().all(|half| half.depth() == depth));
        let mut index = index;
        if self.depth() < depth {
            self.double();
            index *= 2;
        }
        let (first, span) = self.words_of(index);
        self.rewrite(first, span, &[depth - 1], halves);
    }

    /// One segment in the place of two buddies.
    pub(super) fn merge(&mut self, index: usize, merged: SegmentBox) {
        let depth = merged.depth() + 1;
        let span = 1 << (self.depth() - merged.depth());
        let first = index & !(span - 1);
        self.rewrite(first, span, &[depth, depth], [merged]);
    }

    /// Drops the segments of some words, whose depths are given, and divides the words among
    /// others.
    fn rewrite<const N: usize>(
        &mut self,
        first: usize,
        span: usize,
        old_depths: &[u32],
        new: [SegmentBox; N],
    ) {
        assert!(span.is_multiple_of(N) && span.is_multiple_of(old_depths.len()));
        let old_span = span / old_depths.len();
        for (number, depth) in old_depths.iter().enumerate() {
            let place = first + number * old_span;
            assert!(self.segments()[place].depth() == *depth);
            let segment: *mut SegmentBox = self.segment_mut(place);
            // SAFETY: all words of this segment are written below, before anything reads them.
            unsafe { segment.drop_in_place() };
        }
        let words = self.words_mut();
        for (number, segment) in new.into_iter().enumerate() {
            let word = into_word(segment);
            words[first + number * (span / N)..][..span / N].fill(word);
        }
    }

    fn words_mut(&mut self) -> &mut [Word] {
        let (first, count) = if self.is_directory() {
            (self.directory(), 1 << self.depth())
        } else {
            ((&raw mut self.link).cast::<Word>(), usize::from(!self.link.is_null()))
        };
        // SAFETY: so many words are there, none of them null, and borrowed with the root.
        unsafe { slice::from_raw_parts_mut(first, count) }
    }

    /// Twice the words, for the same segments.
    fn double(&mut self) {
        let words = self.words_mut().iter().flat_map(|word| [*word, *word]).collect();
        self.set_directory(words);
    }

    /// Half the words as often as no segment needs all. True if it changed anything.
    pub(super) fn halve(&mut self) -> bool {
        let depth = self.depth();
        let needed = self.each().map(|(_, segment)| segment.depth()).max().unwrap_or(0);
        if needed == depth {
            return false;
        }
        let step = 1 << (depth - needed);
        let words: Vec<Word> = self.words_mut().iter().step_by(step).copied().collect();
        self.set_directory(words);
        true
    }

    fn set_directory(&mut self, words: Vec<Word>) {
        self.free_directory();
        if let [word] = words[..] {
            self.link = word.as_ptr();
            return;
        }
        let depth = words.len().ilog2();
        assert!(words.len().is_power_of_two() && depth <= DEPTH_MAX);
        let directory = Box::into_raw(words.into_boxed_slice()).cast::<u8>();
        assert!(directory.addr() & !ADDRESS_MASK == 0);
        let tag = DIRECTORY | (depth as usize) << DEPTH_SHIFT;
        self.link = directory.map_addr(|address| address | tag);
    }

    /// Frees the words, not the segments: the link must be set next.
    fn free_directory(&mut self) {
        if self.is_directory() {
            let words = ptr::slice_from_raw_parts_mut(self.directory(), 1 << self.depth());
            // SAFETY: a directory was a box of so many words, and the link is its only owner.
            drop(unsafe { Box::from_raw(words) });
        }
    }

    /// Drops all segments.
    pub(super) fn clear(&mut self) {
        let mut index = 0;
        while index < self.segments().len() {
            let span = self.words_of(index).1;
            let segment: *mut SegmentBox = self.segment_mut(index);
            // SAFETY: no word of this segment is read again.
            unsafe { segment.drop_in_place() };
            index += span;
        }
        self.free_directory();
        self.link = ptr::null_mut();
        self.entries = 0;
        self.min_expire.set(u32::MAX);
    }

    pub(super) fn check(&self) {
        let mut entries = 0;
        for (index, segment) in self.each() {
            let (first, span) = self.words_of(index);
            assert!(first == index);
            let address = segment.home_address(0);
            let words = &self.segments()[first..first + span];
            assert!(words.iter().all(|word| word.home_address(0) == address));
            assert!(self.min_expire_ms() <= segment.min_expire_ms());
            entries += segment.len();
        }
        assert!(entries == self.len());
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("entries", &self.entries).finish_non_exhaustive()
    }
}
