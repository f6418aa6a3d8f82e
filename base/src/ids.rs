//! A newtype for every number that means a place or an identity, so that none is mistaken for
//! another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A core of this node, and with it the log that core writes. Dense from zero.
    CoreId(u16)
}
id! {
    /// One of the parts into which keys are divided, as in Redis Cluster: below `limits::SLOTS`.
    Slot(u16)
}
id! {
    /// A contiguous range of slots: one keyspace, one Raft group, owned by one core.
    SliceId(u16)
}
id! {
    /// A term of one slice's Raft group (Raft §5.1). Zero means none.
    Term(u64)
}
id! {
    /// A position in one slice's Raft log. The first entry is 1; zero means none.
    LogIndex(u64)
}
id! {
    /// The dense number of a frame in one core's log. The first frame is 1; zero means none.
    FrameSequence(u64)
}

impl LogIndex {
    /// Before the first entry.
    pub const NONE: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl FrameSequence {
    /// Before the first frame.
    pub const NONE: Self = Self(0);

    /// The number of the frame after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What a reply waits for: until `index` of `slice` is settled, what it shows could still be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gate {
    pub slice: SliceId,
    pub index: LogIndex,
}

impl Gate {
    /// Nothing is waited for.
    pub const NONE: Self = Self { slice: SliceId(0), index: LogIndex::NONE };

    pub fn is_none(self) -> bool {
        self.index == LogIndex::NONE
    }
}

/// One client connection of one core.
///
/// `index` is a place in a table and is used again after a close; `generation` tells the users of
/// one place apart, so that a late completion never reaches the wrong client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub index: u32,
    pub generation: u32,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}
