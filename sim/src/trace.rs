//! The history of one seed as a hash, and as text for whoever replays it.

use std::hash::{BuildHasher, Hasher};

use base::Map;

/// Everything that happened, in order. Owner: world.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// Lines are printed as they come: a panic must not swallow what led to it.
    verbose: bool,
}

impl Trace {
    pub fn new(verbose: bool) -> Self {
        Self { hash: 0, verbose }
    }

    /// Notes one thing that happened.
    pub fn note(&mut self, time_us: u64, what: &'static str, numbers: &[u64]) {
        let mut hasher = hasher();
        hasher.write_u64(self.hash);
        hasher.write_u64(time_us);
        hasher.write(what.as_bytes());
        for number in numbers {
            hasher.write_u64(*number);
        }
        self.hash = hasher.finish();
        if self.verbose {
            println!("{:>12.3} ms  {what} {numbers:?}", time_us as f64 / 1000.0);
        }
    }

    /// Adds a remark for readers; it is no part of the hash.
    pub fn remark(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            println!("                 | {}", text());
        }
    }

    /// Two runs of a seed are the same run if their hashes are equal.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// A hash of bytes, equal in every run.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = hasher();
    hasher.write(bytes);
    hasher.finish()
}

fn hasher() -> impl Hasher {
    Map::<u64, u64>::default().hasher().build_hasher()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_everything_that_was_noted_and_its_order() {
        let run = |notes: &[(u64, &'static str, &[u64])]| {
            let mut trace = Trace::new(false);
            for (time, what, numbers) in notes {
                trace.note(*time, what, numbers);
            }
            trace.hash()
        };
        let base = run(&[(1, "a", &[1]), (2, "b", &[])]);
        assert_eq!(base, run(&[(1, "a", &[1]), (2, "b", &[])]));
        for other in [
            run(&[(1, "a", &[2]), (2, "b", &[])]),
            run(&[(1, "a", &[1]), (3, "b", &[])]),
            run(&[(2, "b", &[]), (1, "a", &[1])]),
            run(&[(1, "a", &[1])]),
        ] {
            assert_ne!(base, other);
        }
    }
}
