//! One thing the host has wrong, as a value that can be printed.

use std::fmt;

/// Something about the host that costs durability, speed or memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, and what it is now.
    pub what: String,
    /// What it does to the database.
    pub cause: String,
    /// The command or setting that mends it.
    pub fix: String,
}

impl Finding {
    pub(crate) fn new(
        what: impl Into<String>,
        cause: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), cause: cause.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. Fix: {}", self.what, self.cause, self.fix)
    }
}
