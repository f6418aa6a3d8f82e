//! What a step did, in numbers.

/// The result of one step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Numbers that are kept and may only grow, by name.
    pub(crate) counts: Vec<(&'static str, u64)>,
    /// One line for people.
    pub(crate) note: String,
}

impl Outcome {
    /// A step that is one check, and found it in order.
    pub(crate) fn one(note: impl Into<String>) -> Self {
        Self { passed: 1, note: note.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &'static str, count: u64) -> Self {
        self.counts.push((name, count));
        self
    }

    /// Refuses what failed, and what did nothing: a count of zero is a check that did not happen.
    pub(crate) fn settled(self) -> Result<Self, String> {
        if 0 < self.failed {
            return Err(format!("{} failed, {} passed", self.failed, self.passed));
        }
        if self.passed == 0 {
            return Err("nothing was checked".to_owned());
        }
        if let Some((name, _)) = self.counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("{name}: none"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    //! Neither a failure nor an empty run is a success.

    use super::*;

    #[test]
    fn a_failed_or_an_empty_outcome_is_refused() {
        let failed = Outcome { passed: 5, failed: 1, ..Outcome::default() };
        assert_eq!(failed.settled(), Err("1 failed, 5 passed".to_owned()));
        assert_eq!(Outcome::default().settled(), Err("nothing was checked".to_owned()));
        let none = Outcome::one("").with("rounds", 0);
        assert_eq!(none.settled(), Err("rounds: none".to_owned()));
        let good = Outcome::one("").with("rounds", 3).settled().expect("it did something");
        assert_eq!(good.counts, [("rounds", 3)]);
    }
}
