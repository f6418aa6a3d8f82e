//! What a completion belongs to, packed into the 64 bits the kernel carries back unread.
//!
//! ```text
//! 63      56 55            32 31                           0
//! +---------+----------------+------------------------------+
//! | kind    | index          | generation or detail         |
//! +---------+----------------+------------------------------+
//! ```

use base::ConnectionId;

/// Indexes above this do not fit.
pub(super) const INDEX_MAX: u32 = (1 << 24) - 1;

/// Which kind of operation was submitted, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// Multishot accept on a listener.
    Accept {
        listener: u32,
    },
    CancelAccept {
        listener: u32,
    },
    /// Multishot receive.
    Receive(ConnectionId),
    CancelReceive(ConnectionId),
    /// A send that completes within the submission and answers only when it failed.
    SendInline(ConnectionId),
    /// A send that waits for the peer and always answers.
    SendWaiting(ConnectionId),
    /// Cancels all operations of a connection.
    CancelAll(ConnectionId),
    /// Takes a connection's socket out of the table of registered files.
    CloseSocket(ConnectionId),
    /// Poll of the signalfd.
    Signals,
    /// The first work of the kernel's worker: nothing.
    Worker,
    /// A message of another ring, which wants this one awake.
    Woken,
    /// Poll of the eventfd by which others wake this ring.
    WakePoll,
    /// A message to another ring, which answers only when it failed.
    Message {
        peer: u32,
    },
    /// A step of a job; `detail` is the job's own.
    Disk {
        job: u32,
        detail: u32,
    },
}

impl Tag {
    pub(super) fn encode(self) -> u64 {
        let (kind, index, low) = match self {
            Self::Accept { listener } => (1, listener, 0),
            Self::CancelAccept { listener } => (2, listener, 0),
            Self::Receive(id) => (3, id.index, id.generation),
            Self::CancelReceive(id) => (4, id.index, id.generation),
            Self::SendInline(id) => (5, id.index, id.generation),
            Self::SendWaiting(id) => (6, id.index, id.generation),
            Self::CancelAll(id) => (7, id.index, id.generation),
            Self::CloseSocket(id) => (8, id.index, id.generation),
            Self::Signals => (9, 0, 0),
            Self::Disk { job, detail } => (10, job, detail),
            Self::Worker => (11, 0, 0),
            Self::Woken => (12, 0, 0),
            Self::WakePoll => (13, 0, 0),
            Self::Message { peer } => (14, peer, 0),
        };
        assert!(index <= INDEX_MAX);
        (kind << 56) | (u64::from(index) << 32) | u64::from(low)
    }

    /// Whether a success of this operation has no completion.
    pub(super) fn answers_only_failure(self) -> bool {
        matches!(self, Self::SendInline(_) | Self::Message { .. })
    }

    pub(super) fn decode(user_data: u64) -> Self {
        let index = (user_data >> 32) as u32 & INDEX_MAX;
        let low = user_data as u32;
        let id = ConnectionId { index, generation: low };
        match user_data >> 56 {
            1 => Self::Accept { listener: index },
            2 => Self::CancelAccept { listener: index },
            3 => Self::Receive(id),
            4 => Self::CancelReceive(id),
            5 => Self::SendInline(id),
            6 => Self::SendWaiting(id),
            7 => Self::CancelAll(id),
            8 => Self::CloseSocket(id),
            9 => Self::Signals,
            10 => Self::Disk { job: index, detail: low },
            11 => Self::Worker,
            12 => Self::Woken,
            13 => Self::WakePoll,
            14 => Self::Message { peer: index },
            kind => unreachable!("only encoded tags are submitted, not kind {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_the_trip_through_the_kernel() {
        let id = ConnectionId { index: INDEX_MAX, generation: u32::MAX };
        for tag in [
            Tag::Accept { listener: 3 },
            Tag::CancelAccept { listener: 3 },
            Tag::Receive(id),
            Tag::CancelReceive(id),
            Tag::SendInline(id),
            Tag::SendWaiting(id),
            Tag::CancelAll(id),
            Tag::CloseSocket(id),
            Tag::Signals,
            Tag::Worker,
            Tag::Woken,
            Tag::WakePoll,
            Tag::Message { peer: 1023 },
            Tag::Disk { job: 5, detail: 1 << 31 },
        ] {
            assert_eq!(Tag::decode(tag.encode()), tag);
        }
    }
}
