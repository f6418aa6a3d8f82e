//! The dial: when a write's reply may leave (DESIGN section 6).

use std::fmt;

use crate::parcel::Gates;

/// When a write is answered. Ordered from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// At execution. The effect is in the log within the configured age; a crash may lose it.
    Memory,
    /// Once the effect is on this node's stable storage.
    Local,
}

impl Durability {
    /// The level called `name`, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"local") {
            Some(Self::Local)
        } else if name.eq_ignore_ascii_case(b"memory") {
            Some(Self::Memory)
        } else {
            None
        }
    }
}

impl Durability {
    /// What a reply waits for that shows what these gates guard: at level memory, nothing.
    pub(crate) fn waits_for(self, gates: Gates) -> Gates {
        match self {
            Self::Local => gates,
            Self::Memory => Gates::new(),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Local => "local",
        })
    }
}
