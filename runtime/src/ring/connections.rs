//! The table of connections: which places are taken, and what the kernel still does for each.
//!
//! A place is used again only when every operation on it has completed and its socket has left the
//! table of registered files; until then its memory stays.
//!
//! ```text
//! Free -> Open -> Dying -> Releasing -> Free        the peer went, or close() with nothing unsent
//!            \-> Draining -> Dying                  close() with a send on its way
//! ```

use base::ConnectionId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Free,
    /// Accepted and not closed by either side.
    Open,
    /// Closed by us; a send is still on its way. Nothing more is received.
    Draining,
    /// Closed has been reported; operations are being cancelled.
    Dying,
    /// Nothing is on its way but the removal of the socket.
    Releasing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    Idle,
    Armed,
    Cancelling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    None,
    /// Executes within the submission of the operation with this sequence number.
    Inline {
        sequence: u64,
    },
    /// Waits for the peer.
    Waiting,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) generation: u32,
    pub(super) stage: Stage,
    pub(super) receive: Receive,
    /// Whether receiving should go on: false after stop_receive.
    pub(super) receive_wanted: bool,
    pub(super) send: Sending,
    /// What is being sent, and how much of it has been.
    pub(super) buffer: Vec<u8>,
    pub(super) sent: usize,
    /// Cancellations on their way.
    pub(super) cancels: u32,
}

pub(super) struct Connections {
    table: Vec<Connection>,
    /// Places to use next, the last one first.
    free: Vec<u32>,
}

impl Connections {
    pub(super) fn new(places: u32) -> Self {
        let place = |_| Connection {
            generation: 0,
            stage: Stage::Free,
            receive: Receive::Idle,
            receive_wanted: false,
            send: Sending::None,
            buffer: Vec::new(),
            sent: 0,
            cancels: 0,
        };
        Self { table: (0..places).map(place).collect(), free: (0..places).rev().collect() }
    }

    /// Takes a free place.
    pub(super) fn allocate(&mut self) -> Option<ConnectionId> {
        let index = self.free.pop()?;
        let connection = &mut self.table[index as usize];
        assert_eq!(connection.stage, Stage::Free);
        connection.stage = Stage::Open;
        connection.receive_wanted = true;
        Some(ConnectionId { index, generation: connection.generation })
    }

    /// Gives a place back, for users with the next generation.
    pub(super) fn release(&mut self, id: ConnectionId) {
        let connection = self.get(id).expect("a place is released once, by its user");
        assert_eq!(connection.receive, Receive::Idle);
        assert_eq!(connection.send, Sending::None);
        assert_eq!(connection.cancels, 0);
        connection.stage = Stage::Free;
        connection.generation = connection.generation.wrapping_add(1);
        self.free.push(id.index);
    }

    /// The connection, if `id` is its present user. A late completion finds nothing.
    pub(super) fn get(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.table
            .get_mut(id.index as usize)
            .filter(|c| c.generation == id.generation && c.stage != Stage::Free)
    }

    pub(super) fn places(&self) -> u32 {
        u32::try_from(self.table.len()).expect("places are counted in a u32")
    }

    pub(super) fn taken(&self) -> u32 {
        u32::try_from(self.table.len() - self.free.len()).expect("places are counted in a u32")
    }

    /// Forgets everything without freeing what the kernel may still read.
    pub(super) fn leak_buffers(&mut self) {
        for connection in &mut self.table {
            std::mem::forget(std::mem::take(&mut connection.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_used_again_has_another_generation() {
        let mut connections = Connections::new(1);
        let first = connections.allocate().expect("one place is free");
        assert!(connections.allocate().is_none());
        connections.release(first);
        assert_eq!(connections.taken(), 0);
        let second = connections.allocate().expect("it is free again");
        assert_eq!(first.index, second.index);
        assert_ne!(first.generation, second.generation);
        assert!(connections.get(first).is_none());
        assert!(connections.get(second).is_some());
    }
}
