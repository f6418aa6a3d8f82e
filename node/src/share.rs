//! How much of a turn goes into replies: who asks for much lets the others go first.
//!
//! To make a large reply takes a core as long as thousands of small ones. So a turn makes so many
//! bytes of replies and no more for the clients whose replies are large; the rest of what they
//! asked for goes on in the next turn. At least one of them is served in each.

/// A turn makes so many bytes of replies before clients with large ones wait for the next.
pub(crate) const REPLIES_PER_TURN: usize = 1024 * 1024;

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// Bytes of replies made in this turn.
    pub(crate) replied: usize,
    /// One client with large replies is served although the turn is full.
    pub(crate) owes_one: bool,
}

impl Share {
    pub(crate) fn is_full(&self) -> bool {
        REPLIES_PER_TURN <= self.replied
    }

    /// May a client with large replies be served now?
    pub(crate) fn admits(&mut self) -> bool {
        !self.is_full() || std::mem::take(&mut self.owes_one)
    }
}
