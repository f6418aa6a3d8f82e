//! Seeded chance: the only source of randomness outside the shell.

/// A deterministic generator; equal seeds give equal streams.
///
/// Not for secrets.
#[derive(Clone, Debug)]
pub struct Prng(fastrand::Rng);

impl Prng {
    pub fn from_seed(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// An independent generator for a part of the work, so that one part's draws do not shift
    /// another's.
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(0 < bound);
        self.0.u64(..bound)
    }

    /// A position in something of `len` items.
    pub fn index(&mut self, len: usize) -> usize {
        assert!(0 < len);
        self.0.usize(..len)
    }

    /// True in `percent` of 100 draws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
