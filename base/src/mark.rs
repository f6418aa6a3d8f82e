//! Counts how often a rare branch was taken, so that tests can prove they reach it.
//!
//! `base::mark!("name")` costs nothing unless the feature `marks` is on, which only the simulator
//! turns on. The counters belong to the thread: one thread runs one simulated node at a time and
//! takes its counts with [`take`] afterwards. No code may read a count to decide anything.

#[cfg(feature = "marks")]
use std::{cell::RefCell, collections::BTreeMap};

#[cfg(feature = "marks")]
thread_local! {
    static COUNTS: RefCell<BTreeMap<&'static str, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Counts one passage through a rare branch.
#[macro_export]
macro_rules! mark {
    ($name:literal) => {
        $crate::mark::hit($name)
    };
}

/// Adds one to the count of `name`; called by `mark!`.
#[cfg(feature = "marks")]
pub fn hit(name: &'static str) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(name).or_insert(0) += 1);
}

/// Does nothing: the feature `marks` is off.
#[cfg(not(feature = "marks"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

/// The counts of this thread since the last call, which starts them again at zero.
#[cfg(feature = "marks")]
#[must_use]
pub fn take() -> BTreeMap<&'static str, u64> {
    COUNTS.with_borrow_mut(std::mem::take)
}

#[cfg(all(test, feature = "marks"))]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_counted_once_per_passage_and_taken_once() {
        for _ in 0..3 {
            crate::mark!("a rare branch");
        }
        assert_eq!(take().get("a rare branch"), Some(&3));
        assert!(take().is_empty());
    }
}
