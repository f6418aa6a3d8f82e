//! The whole surface of the node: what can happen to it, what it asks to be done.

use std::net::SocketAddr;

use base::{ConnectionId, CoreId};

use crate::long::LongJob;
use crate::parcel::Parcel;
use crate::snapshots::{SnapshotEvent, SnapshotOutput};

/// A setting for the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    pub name: &'static str,
    pub value: String,
    /// It was changed since the start: the file has to have it even if it had not.
    pub is_changed: bool,
}

/// Something that happened. Bytes are lent for the call.
#[derive(Debug)]
pub enum Event<'a> {
    /// A client connected.
    Accepted { id: ConnectionId, peer: SocketAddr, local: SocketAddr },
    /// A client sent bytes.
    Received { id: ConnectionId, bytes: &'a [u8] },
    /// All of a `Send`'s buffer went out; the buffer comes back.
    Sent { id: ConnectionId, buffer: Vec<u8> },
    /// A client sends no more, and may still read what it is owed.
    Ended { id: ConnectionId },
    /// A connection is gone, whoever closed it. The last event with this id.
    Closed { id: ConnectionId },
    /// An output of the log is done.
    Log(wal::Event),
    /// Another core sent this. Parcels of one core come in the order in which it sent them.
    Parcel { from: CoreId, parcel: Box<Parcel> },
    /// What became of a `Snapshot`.
    Snapshot(SnapshotEvent),
    /// A `Run` has run.
    Ran(Box<LongJob>),
    /// A `RewriteConfig` is done, or why it is not.
    ConfigRewritten { result: Result<(), String> },
    /// Finish what was accepted, then exit.
    Shutdown,
}

/// Something to be done. Outputs may be carried out in any order, except that sends of one
/// connection leave in the order they were polled.
#[derive(Debug)]
#[must_use = "a dropped output is a lost write or a client left waiting"]
pub enum Output<'a> {
    /// Recovery is complete: accept clients.
    Listen,
    /// Send all of `buffer`. No second send of this connection is emitted before `Sent`.
    Send { id: ConnectionId, buffer: Vec<u8> },
    /// Close the connection at once, whatever is still being sent to it.
    Close { id: ConnectionId },
    /// Take no more bytes from this client for now.
    StopReceive { id: ConnectionId },
    /// Take bytes from this client again.
    StartReceive { id: ConnectionId },
    /// Something for the disk.
    Log(wal::Output<'a>),
    /// Hand this to another core. If it sleeps it is to be woken, but only if `wake`.
    Parcel { to: CoreId, parcel: Box<Parcel>, wake: bool },
    /// Something for the files of a snapshot; done beside the core, and told when done.
    Snapshot(SnapshotOutput),
    /// Run this beside the core, whatever time it takes, and hand it back with `Ran`.
    Run(Box<LongJob>),
    /// Write these settings into the configuration file, and tell with `ConfigRewritten`.
    RewriteConfig { file: String, settings: Vec<InForce> },
    /// Everything acknowledged is durable and everything sent has left: exit with success.
    Exit,
}

/// The outputs that are neither the log's nor another core's.
#[derive(Debug)]
pub(crate) enum Pending {
    Snapshot(SnapshotOutput),
    Run(Box<LongJob>),
    Listen,
    Send { id: ConnectionId, buffer: Vec<u8> },
    Close { id: ConnectionId },
    StopReceive { id: ConnectionId },
    StartReceive { id: ConnectionId },
    RewriteConfig { file: String, settings: Vec<InForce> },
    Exit,
}
