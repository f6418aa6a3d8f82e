//! One connection between a client and the node: bytes on their way, in both directions, and the
//! requests that wait for a reply.

use std::collections::VecDeque;

use std::fmt;

use base::{ConnectionId, Prng};

use crate::resp::{Malformed, Reply, parse};
use crate::workload::Standing;

/// One end of a connection: every core names its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    pub core: u16,
    pub id: ConnectionId,
}

impl Peer {
    /// For the trace.
    pub fn numbers(self) -> [u64; 3] {
        [u64::from(self.core), u64::from(self.id.index), u64::from(self.id.generation)]
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "core {} {}", self.core, self.id)
    }
}

/// How a client behaves on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub pieces: Pieces,
    pub reads_slowly: bool,
}

/// How the client's bytes reach the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// A byte or few at a time, at first.
    Crumbs,
    Random,
    /// As much as a receive buffer takes.
    Whole,
}

/// Owner: world.
#[derive(Debug)]
pub struct Link {
    /// The client it belongs to.
    pub client: usize,
    /// Names the connection in the history.
    pub number: u32,
    pub style: Style,
    pub standing: Standing,
    pub accepted: bool,
    /// The node wants no more bytes for now.
    pub stopped: bool,
    /// A buffer is on its way to the client.
    pub sending: Option<Vec<u8>>,
    /// `Closed` is on its way to the node, or was asked for.
    pub closing: bool,
    /// A delivery is scheduled.
    pub delivering: bool,
    inbound: VecDeque<u8>,
    sent: u64,
    delivered: u64,
    waiting: VecDeque<Waiting>,
    /// How many of `waiting` reached the node.
    arrived: usize,
    tap: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    operation: usize,
    /// The request is whole once this many bytes were delivered.
    end: u64,
}

/// Bytes one receive takes at most.
const RECEIVE_MAX: usize = 16 * 1024;

impl Link {
    pub fn new(client: usize, number: u32, style: Style, standing: Standing) -> Self {
        Self {
            client,
            number,
            style,
            standing,
            accepted: false,
            stopped: false,
            sending: None,
            closing: false,
            delivering: false,
            inbound: VecDeque::new(),
            sent: 0,
            delivered: 0,
            waiting: VecDeque::new(),
            arrived: 0,
            tap: Vec::new(),
        }
    }

    /// The client sends a request. With `whole` false it never sends the rest.
    pub fn push(&mut self, operation: usize, bytes: &[u8], whole: bool) {
        self.inbound.extend(bytes);
        self.sent += bytes.len() as u64;
        let end = if whole { self.sent } else { u64::MAX };
        self.waiting.push_back(Waiting { operation, end });
    }

    pub fn has_inbound(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// The next bytes the node receives, into `bytes`; and the requests they complete.
    pub fn deliver(&mut self, prng: &mut Prng, bytes: &mut Vec<u8>) -> Vec<usize> {
        let most = self.inbound.len().min(RECEIVE_MAX);
        assert!(0 < most);
        let size = match self.style.pieces {
            Pieces::Crumbs if self.inbound.len() < 200 => 1 + prng.index(most.min(3)),
            Pieces::Crumbs | Pieces::Random => 1 + prng.index(most),
            Pieces::Whole => most,
        };
        bytes.clear();
        bytes.extend(self.inbound.drain(..size));
        self.delivered += size as u64;
        let mut completed = Vec::new();
        while let Some(next) = self.waiting.get(self.arrived)
            && next.end <= self.delivered
        {
            completed.push(next.operation);
            self.arrived += 1;
        }
        completed
    }

    /// Bytes left the node.
    pub fn tap(&mut self, bytes: &[u8]) {
        self.tap.extend_from_slice(bytes);
    }

    /// The next whole reply among the bytes that left, and its bytes.
    pub fn next_reply(&mut self) -> Result<Option<(Reply, Vec<u8>)>, Malformed> {
        if self.tap.is_empty() {
            return Ok(None);
        }
        let Some((reply, size)) = parse(&self.tap)? else { return Ok(None) };
        let bytes = self.tap.drain(..size).collect();
        Ok(Some((reply, bytes)))
    }

    /// The operation that the next reply answers; an error if it had not arrived.
    pub fn answered(&mut self) -> Result<usize, &'static str> {
        if self.arrived == 0 {
            return Err(match self.waiting.is_empty() {
                true => "a reply to nothing",
                false => "a reply to a request that is not whole",
            });
        }
        self.arrived -= 1;
        Ok(self.waiting.pop_front().expect("what arrived waits").operation)
    }

    /// Requests that reached the node and have no reply.
    pub fn arrived(&self) -> usize {
        self.arrived
    }

    /// Requests without a reply, whole or not.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
