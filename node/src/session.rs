//! One client's session: who it is, what it has sent and not yet had executed, what it waits for.
//!
//! # Invariants
//!
//! * At most one send is on its way.
//! * `input` starts at the first byte of the first request that was not executed.

use std::net::SocketAddr;

use base::{ConnectionId, Gate};
use engine::Command;
use net::{BufferPool, Decoder, Front, Protocol, ReplyQueue, Ticket};

use crate::ask::Asking;
use crate::durability::Durability;
use crate::input::Input;
use crate::multi::{Transaction, Watching};
use crate::pubsub::Subscriptions;
use crate::pubsub::topics::Kind;
use crate::registry::Run;
use crate::share::UNREAD_SIZE;

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ConnectionId,
    pub(crate) client: Client,
    pub(crate) decoder: Decoder,
    /// Bytes received and not executed.
    pub(crate) input: Input,
    pub(crate) replies: ReplyQueue,
    /// Bytes of the buffer that is on its way; None if there is none.
    pub(crate) sending: Option<usize>,
    /// When the client last sent something, and when a buffer last left or was taken:
    /// microseconds.
    pub(crate) received_us: u64,
    pub(crate) progress_us: u64,
    /// Since when more replies wait than the soft limit allows.
    pub(crate) over_soft_us: Option<u64>,
    /// About the size of the largest of the last replies: bytes.
    pub(crate) reply_size: usize,
    /// Bytes of requests that are counted for this client.
    pub(crate) counted_input: usize,
    /// Since when so much waits for it that it is to be cut off if that lasts: microseconds.
    pub(crate) slow_since_us: Option<u64>,
    /// The client sends no more: once its input is executed, the session ends.
    pub(crate) ended: bool,
    /// Room in the log was set aside for the request that waited for it.
    pub(crate) granted: bool,
    /// The kernel was told to take no more bytes from the client.
    pub(crate) stopped: bool,
    /// Why the input is not being executed.
    pub(crate) held: Option<Held>,
    /// Commands that wait for slices of other cores.
    pub(crate) jobs: usize,
    /// One of them is EXEC: what comes after it depends on it.
    pub(crate) is_executing: bool,
    /// The last of them that ran.
    pub(crate) last_job: Option<Ticket>,
    /// What the other cores were asked, until the last has answered.
    pub(crate) asking: Option<Asking>,
    pub(crate) watching: Option<Watching>,
    /// The gate that the session is to be woken at.
    pub(crate) parked_at: Gate,
    /// In the list of sessions whose replies may leave.
    pub(crate) flush_queued: bool,
    /// In the list of sessions with input to go on with.
    pub(crate) run_queued: bool,
    /// Close was asked for; only `Closed` is still to come.
    pub(crate) closed: bool,
}

/// What commands see and set of the client they serve.
#[derive(Debug)]
pub(crate) struct Client {
    /// What CLIENT ID answers.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    /// The address of ours that it connected to.
    pub(crate) local: SocketAddr,
    pub(crate) connected_us: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) library_name: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
    pub(crate) database: u16,
    pub(crate) protocol: Protocol,
    pub(crate) authenticated: bool,
    pub(crate) durability: Durability,
    /// Reads count as uses of keys.
    pub(crate) touches: bool,
    /// CLIENT NO-EVICT.
    pub(crate) is_never_evicted: bool,
    /// READONLY: it would read from a replica.
    pub(crate) is_read_only: bool,
    /// CLIENT CAPA redirect: it could be sent to another node.
    pub(crate) knows_redirections: bool,
    pub(crate) reply_mode: ReplyMode,
    pub(crate) last_command: Option<&'static Command<Run>>,
    pub(crate) commands: u64,
    pub(crate) net_input_bytes: u64,
    pub(crate) net_output_bytes: u64,
    /// What was queued since MULTI.
    pub(crate) transaction: Option<Box<Transaction>>,
    pub(crate) subscriptions: Subscriptions,
    /// Nothing more is read; the connection ends once every reply has left.
    pub(crate) closing: bool,
}

/// Which replies a client wants (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// Not the next command's.
    SkipNext,
    /// Not that of the command being executed.
    Skip,
}

impl ReplyMode {
    pub(crate) fn is_muted(self) -> bool {
        self != Self::On
    }

    /// The mode for the command after this one.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::On | Self::Skip => Self::On,
            Self::Off => Self::Off,
            Self::SkipNext => Self::Skip,
        }
    }
}

/// What of its session a command may want to show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// The place of the connection in its core's table.
    pub(crate) place: u32,
    /// When the client last sent something.
    pub(crate) received_us: u64,
    pub(crate) query_size: usize,
    pub(crate) query_free: usize,
    pub(crate) output_size: usize,
    pub(crate) subscriptions: usize,
    pub(crate) patterns: usize,
    pub(crate) shard_subscriptions: usize,
    /// Whether keys are watched: how many is known to their slices only.
    pub(crate) watched: u8,
    pub(crate) is_sending: bool,
    pub(crate) is_held: bool,
    pub(crate) is_monitor: bool,
}

/// What must happen before a session's input is executed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Its turn's share of commands is used up.
    Turn,
    /// The open batch has no place for its write and must be closed first.
    Batch,
    /// The log must have this many bytes of room for a write.
    Room { needed: u64 },
    /// Too many bytes of replies wait.
    Output,
    /// Replies of other cores must come first: all of them,
    Replies,
    /// or enough that there are not too many.
    Vacancies,
    /// Other cores were asked something.
    Answers,
    /// CLIENT PAUSE must end.
    Pause,
    /// The log is too long: snapshots must be written.
    Snapshots,
    /// Another long command must be done.
    Runner,
}

/// What a reply of another core is taken for until some have come: a first burst of requests may be
/// for large values. Bytes.
const REPLY_SIZE_UNKNOWN: usize = 1024 * 1024;

/// A client whose replies are larger than this lets the others go first: bytes.
const PATIENT_SIZE: usize = 64 * 1024;

impl Session {
    pub(crate) fn new(id: ConnectionId, client: Client) -> Self {
        Self {
            id,
            client,
            decoder: Decoder::new(),
            input: Input::default(),
            replies: ReplyQueue::default(),
            sending: None,
            received_us: 0,
            progress_us: 0,
            over_soft_us: None,
            reply_size: REPLY_SIZE_UNKNOWN,
            counted_input: 0,
            slow_since_us: None,
            ended: false,
            granted: false,
            stopped: false,
            held: None,
            jobs: 0,
            is_executing: false,
            last_job: None,
            asking: None,
            watching: None,
            parked_at: Gate::NONE,
            flush_queued: false,
            run_queued: false,
            closed: false,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        let subscriptions = &self.client.subscriptions;
        Standing {
            place: self.id.index,
            received_us: self.received_us,
            query_size: self.input.rest().len(),
            query_free: self.input.free() + self.decoder.allocated(),
            output_size: self.output_size(),
            subscriptions: subscriptions.len(Kind::Channel),
            patterns: subscriptions.len(Kind::Pattern),
            shard_subscriptions: subscriptions.len(Kind::ShardChannel),
            watched: u8::from(self.watching.is_some()),
            is_sending: self.sending.is_some(),
            is_held: matches!(self.held, Some(Held::Pause)),
            is_monitor: 0 < subscriptions.len(Kind::Monitor),
        }
    }

    /// Ends the reply that was begun. A client that wants none gets none.
    pub(crate) fn commit(&mut self, gates: &[Gate], pool: &mut BufferPool) {
        if self.client.reply_mode.is_muted() {
            self.replies.restart();
            self.replies.commit(&[], pool);
        } else {
            self.replies.commit(gates, pool);
        }
    }

    /// Everything this client was promised has left.
    pub(crate) fn is_drained(&self) -> bool {
        self.replies.is_empty() && self.sending.is_none()
    }

    /// It forgets a large one over some small ones.
    pub(crate) fn note_reply_size(&mut self, size: usize) {
        self.reply_size = size.max(self.reply_size - self.reply_size / 8);
    }

    /// Are its replies large?
    pub(crate) fn is_patient(&self) -> bool {
        PATIENT_SIZE < self.reply_size
    }

    /// Does it leave large replies lying?
    pub(crate) fn is_slow(&self) -> bool {
        self.is_patient() && UNREAD_SIZE < self.output_size()
    }

    /// Something is there that leaves as soon as its client takes it.
    pub(crate) fn has_front(&self) -> bool {
        self.sending.is_some() || !matches!(self.replies.front(), Front::Vacant | Front::Empty)
    }

    /// Bytes of replies that have not been taken by the client's kernel.
    pub(crate) fn output_size(&self) -> usize {
        self.replies.len() + self.sending.unwrap_or(0)
    }
}

/// The sessions of one core, by the index of their connection.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    table: Vec<Option<Box<Session>>>,
    count: usize,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(&mut self, session: Box<Session>) {
        let index = session.id.index as usize;
        if self.table.len() <= index {
            self.table.resize_with(index + 1, || None);
        }
        let place = &mut self.table[index];
        assert!(place.is_none(), "a connection's place is free before it is used again");
        *place = Some(session);
        self.count += 1;
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Session> {
        let session = self.table.get(id.index as usize)?.as_deref()?;
        (session.id == id).then_some(session)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Session> {
        let session = self.table.get_mut(id.index as usize)?.as_deref_mut()?;
        (session.id == id).then_some(session)
    }

    /// Takes a session out to work on it; [`put_back`](Self::put_back) returns it.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Option<Box<Session>> {
        let place = self.table.get_mut(id.index as usize)?;
        if place.as_ref()?.id != id {
            return None;
        }
        place.take()
    }

    pub(crate) fn put_back(&mut self, session: Box<Session>) {
        let index = session.id.index as usize;
        assert!(self.table[index].is_none());
        self.table[index] = Some(session);
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Session>> {
        let session = self.take(id)?;
        self.count -= 1;
        Some(session)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.table.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// Places there are, taken or not.
    pub(crate) fn places(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn id_at(&self, place: usize) -> Option<ConnectionId> {
        Some(self.table.get(place)?.as_ref()?.id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.table.iter().filter_map(Option::as_deref)
    }
}
