//! One request on its way: name, arity, right to run, admission, handler, gate.
//!
//! Whatever has no effect is a read of the keys it looked at: its reply waits for the last write
//! of those keys, errors included, because an error too tells what was seen (PROTOCOL F22).

use base::{LogIndex, Now};
use engine::{Args, Command, CommandError, Flag, KeyspaceWriter, ReadCx, WriteCx};
use net::ReplyQueue;
use smallvec::SmallVec;

use crate::commands::SessionCx;
use crate::durability::Durability;
use crate::error::RequestError;
use crate::node::Node;
use crate::planted::Plant;
use crate::registry::Run;
use crate::reply::ReplyWriter;
use crate::session::{Client, Session};

/// Arguments of one request, on the stack unless there are many.
type Arguments<'a> = SmallVec<[&'a [u8]; 16]>;

/// Executes one decoded request.
pub(crate) struct Dispatch<'n> {
    pub(crate) node: &'n mut Node,
    pub(crate) now: Now,
}

/// What became of a request.
pub(crate) struct Outcome {
    pub(crate) flow: Flow,
    /// The reply waits for this index.
    pub(crate) parked: Option<LogIndex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// There is a reply, now or later.
    Done,
    /// Nothing was executed: the log must have this many bytes of room first.
    NeedsRoom { needed: u64 },
    /// Nothing was executed: the open batch must be closed first.
    NeedsTurn,
}

/// What the reply saw.
enum Saw {
    /// Nothing that could be lost.
    Nothing,
    /// What this entry and all before it hold.
    Index(LogIndex),
    /// It was not executed.
    Not(Flow),
}

/// The parts of a session a request may touch while its bytes are being looked at.
struct Peer<'s> {
    client: &'s mut Client,
    replies: &'s mut ReplyQueue,
    /// Room was set aside for this request.
    granted: bool,
}

impl Peer<'_> {
    /// Where the reply is written.
    fn reply(&mut self) -> ReplyWriter<'_> {
        ReplyWriter::new(self.replies.buffer(), self.client.protocol)
    }
}

impl Dispatch<'_> {
    /// Executes the request the session's decoder found at the start of `request`.
    pub(crate) fn execute(&mut self, session: &mut Session, request: &[u8]) -> Outcome {
        let Session { decoder, client, replies, granted, .. } = session;
        let granted = std::mem::take(granted);
        let arguments: Arguments<'_> = decoder.arguments(request).collect();
        let (name, args) = arguments.split_first().expect("a request has at least its name");
        let settled = self.node.slice.settled();
        replies.begin(LogIndex::NONE, self.node.pool());
        let mut peer = Peer { client, replies, granted };

        let saw = match self.run(&mut peer, name, args) {
            Ok(saw) => saw,
            Err((error, saw)) => {
                self.node.stats.commands_failed += 1;
                peer.replies.restart();
                peer.reply().error_bytes(&error.text());
                saw
            }
        };
        let gate = match saw {
            Saw::Index(index) if settled < index => match peer.client.durability {
                Durability::Local => index,
                Durability::Memory => LogIndex::NONE,
            },
            Saw::Index(_) | Saw::Nothing => LogIndex::NONE,
            Saw::Not(flow) => {
                replies.restart();
                replies.commit(LogIndex::NONE, self.node.pool());
                return Outcome { flow, parked: None };
            }
        };
        self.node.stats.commands_processed += 1;
        replies.commit(gate, self.node.pool());
        // Replies behind a parked one wait with it.
        let parked = Some(replies.last_gate()).filter(|gate| settled < *gate);
        Outcome { flow: Flow::Done, parked }
    }

    fn run(
        &mut self,
        peer: &mut Peer<'_>,
        name: &[u8],
        args: Args<'_>,
    ) -> Result<Saw, (RequestError, Saw)> {
        let nothing = |error| (error, Saw::Nothing);
        let (command, args) = self.node.registry.resolve(name, args).map_err(nothing)?;
        if !peer.client.authenticated && !command.has_flag(Flag::NoAuth) {
            return Err(nothing(RequestError::NoAuth));
        }
        match command.run {
            Run::Session(handler) | Run::Container { alone: Some(handler), .. } => {
                let Peer { client, replies, .. } = peer;
                let reply = ReplyWriter::new(replies.buffer(), client.protocol);
                let mut cx = SessionCx { client, node: self.node, reply, now: self.now };
                handler(&mut cx, args).map(|()| Saw::Nothing).map_err(nothing)
            }
            Run::Container { alone: None, .. } => {
                unreachable!("the arity of a container asks for a subcommand")
            }
            Run::Slice(engine::Run::Read(handler)) | Run::FanOut(engine::Run::Read(handler)) => {
                let saw = self.saw(peer, command, args);
                let db = peer.client.database;
                let now_ms = self.node.slice.clock_ms(self.now);
                let keyspace = &self.node.slice.keyspace;
                let mut cx = ReadCx { keyspace, db, now_ms, reply: &mut peer.reply() };
                match handler(&mut cx, args) {
                    Ok(()) => Ok(saw),
                    Err(error) => Err((error.into(), saw)),
                }
            }
            Run::Slice(engine::Run::Write(handler)) | Run::FanOut(engine::Run::Write(handler)) => {
                if let Some(refusal) = self.refuses_write(peer) {
                    self.node.stats.writes_refused += 1;
                    return Err(nothing(refusal));
                }
                match self.find_room(peer, command.effect_size_max(args)) {
                    Ok(None) => self.write(peer, command, handler, args),
                    Ok(Some(flow)) => Ok(Saw::Not(flow)),
                    Err(refusal) => {
                        self.node.stats.writes_refused += 1;
                        Err(nothing(refusal))
                    }
                }
            }
        }
    }

    fn write(
        &mut self,
        peer: &mut Peer<'_>,
        command: &Command<Run>,
        handler: fn(&mut WriteCx<'_>, Args<'_>) -> Result<(), CommandError>,
        args: Args<'_>,
    ) -> Result<Saw, (RequestError, Saw)> {
        let slice = &mut self.node.slice;
        let before = slice.batch.effect_count();
        let now_ms = slice.clock_ms(self.now);
        let mut cx = WriteCx {
            keyspace: KeyspaceWriter::new(&mut slice.keyspace, &mut slice.batch),
            db: peer.client.database,
            now_ms,
            reply: &mut peer.reply(),
        };
        let result = handler(&mut cx, args);
        let wrote = before < slice.batch.effect_count();
        let drops = self.node.planted.is(Plant::DropEffect)
            && before == 0
            && self.node.stats.commands_processed.is_multiple_of(32);
        let saw = if wrote && drops {
            slice.batch.clear();
            Saw::Nothing
        } else if wrote {
            slice.note_effect(self.now, &self.node.planted);
            Saw::Index(slice.open_index())
        } else if self.node.planted.is(Plant::NoEffectUnparked) {
            Saw::Nothing
        } else {
            self.saw(peer, command, args)
        };
        match result {
            Ok(()) => Ok(saw),
            Err(error) => {
                assert!(!wrote, "a command that fails changes nothing");
                Err((error.into(), saw))
            }
        }
    }

    /// What a command that changes nothing must wait for.
    fn saw(&self, peer: &Peer<'_>, command: &Command<Run>, args: Args<'_>) -> Saw {
        let Node { slice, planted, .. } = &*self.node;
        if slice.is_settled() || planted.is(Plant::LeakUncommittedRead) {
            return Saw::Nothing;
        }
        if matches!(command.run, Run::FanOut(_)) {
            return Saw::Index(slice.gate.last_write_of_all());
        }
        let database = peer.client.database;
        let mut last = LogIndex::NONE;
        for key in command.keys(args) {
            let is_missing = || slice.keyspace.get(database, key).is_none();
            if planted.is(Plant::ForgetMissGate) && is_missing() {
                continue;
            }
            last = last.max(slice.gate.last_write(slice.keyspace.hash(database, key)));
        }
        Saw::Index(last)
    }

    fn refuses_write(&self, peer: &Peer<'_>) -> Option<RequestError> {
        let node = &*self.node;
        if let Some(refusal) = node.wal.refuses_writes() {
            return Some(RequestError::LogRefuses(refusal.to_string()));
        }
        if peer.client.durability == Durability::Memory {
            let oldest_us = node.slice.oldest_unsettled_us()?;
            let age_us = self.now.monotonic_us.saturating_sub(oldest_us);
            if node.config.memory_durability_age_us < age_us {
                return Some(RequestError::LogLags { age_ms: age_us / 1000 });
            }
        }
        None
    }

    /// Makes sure that what a command may log has room before it executes: None, or what must
    /// happen first.
    fn find_room(&mut self, peer: &Peer<'_>, size: usize) -> Result<Option<Flow>, RequestError> {
        let entry_room = self.node.config.entry_size_max - ROOM_MARGIN as usize;
        if entry_room < size {
            return Err(RequestError::Static("ERR the write is larger than the largest log entry"));
        }
        let Node { slice, wal, room, .. } = &mut *self.node;
        if entry_room < slice.batch.len() + size {
            return Ok(Some(Flow::NeedsTurn));
        }
        let needed = slice.batch.len() as u64 + size as u64 + ROOM_MARGIN;
        // Writes wait in the order in which they came, or a small one would always be in time to
        // take what is prepared for a large one.
        let is_turn = peer.granted || room.is_empty();
        if is_turn && needed <= wal.room() {
            return Ok(None);
        }
        match wal.refuses_room(needed) {
            Some(refusal) => Err(RequestError::LogRefuses(refusal.to_string())),
            None => Ok(Some(Flow::NeedsRoom { needed })),
        }
    }
}

/// Headers of the entry and its record, and the hard state that may share its frame: bytes.
const ROOM_MARGIN: u64 = 4096;
