//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: commands that are executed as one.
//!
//! What is queued is executed on this core, with every slice it needs here; each command then is
//! ordinary code. WATCH leaves its mark in the slices of its keys, and EXEC finds there whether
//! one of them has changed.

use base::{Gate, Now};
use engine::{Args, Command, ExpiryLimit, Flag, Logs, ReplySink};
use net::Protocol;

use crate::ask::Asking;
use crate::commands::{ChannelsCx, SessionCx};
use crate::dispatch::Flow;
use crate::error::RequestError;
use crate::execute::{Admission, Executed, Scope, Task};
use crate::job::Work;
use crate::node::Node;
use crate::parcel::{Gates, Message, Words};
use crate::planted::Plant;
use crate::registry::{Control, Run};
use crate::reply::ReplyWriter;
use crate::session::Session;
use crate::tally::Who;
use crate::topology::SliceSet;
use crate::watches::WatchId;

/// What a client has queued since MULTI. Owner: session, then the job that executes it.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    commands: Vec<Queued>,
    /// A command could not be queued: EXEC refuses.
    pub(crate) has_failed: bool,
    size: usize,
}

#[derive(Debug)]
struct Queued {
    command: &'static Command<Run>,
    /// All of the request's.
    words: Words,
    /// How many of them are the command's name.
    name_words: usize,
    /// What the cores said, for a command that asks them.
    asking: Option<Asking>,
    /// It would ask the cores, but its arguments are wrong: the answers that come are another's.
    asks_nothing: bool,
}

impl Transaction {
    /// Keeps a request whose last `arg_count` words are the command's arguments.
    pub(crate) fn queue(
        &mut self,
        command: &'static Command<Run>,
        request: Args<'_>,
        arg_count: usize,
    ) {
        let words = Words::new(request);
        let name_words = request.len() - arg_count;
        self.size += words.size() + size_of::<Queued>();
        self.commands.push(Queued {
            command,
            words,
            name_words,
            asking: None,
            asks_nothing: false,
        });
    }

    pub(crate) fn has_write(&self) -> bool {
        self.commands.iter().any(|queued| queued.command.is_write())
    }

    /// The cores were asked already what some of it needs to know: EXEC has begun.
    pub(crate) fn has_asked(&self) -> bool {
        self.commands.iter().any(|queued| queued.asking.is_some())
    }

    /// Bytes held.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }
}

/// What a client watches. Owner: session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watching {
    pub(crate) id: WatchId,
    pub(crate) slices: SliceSet,
}

impl Node {
    pub(crate) fn run_control(
        &mut self,
        session: &mut Session,
        control: Control,
        args: Args<'_>,
        now: Now,
    ) -> Flow {
        // A WATCH that waits for slices must have left its marks before they can be taken away.
        let unwatches = matches!(control, Control::Discard | Control::Reset | Control::Unwatch);
        if unwatches && 0 < session.jobs {
            return Flow::NeedsReplies;
        }
        match control {
            Control::Multi => {
                if session.client.transaction.is_some() {
                    let nested = RequestError::Static("ERR MULTI calls can not be nested");
                    self.reply_error(session, &nested);
                } else {
                    session.client.transaction = Some(Box::default());
                    self.reply(session, |reply| reply.simple("OK"));
                }
                Flow::Done
            }
            Control::Discard => {
                if session.client.transaction.take().is_some() {
                    self.unwatch(session);
                    self.reply(session, |reply| reply.simple("OK"));
                } else {
                    let error = RequestError::Static("ERR DISCARD without MULTI");
                    self.reply_error(session, &error);
                }
                Flow::Done
            }
            Control::Unwatch => {
                self.unwatch(session);
                self.reply(session, |reply| reply.simple("OK"));
                Flow::Done
            }
            Control::Watch => self.watch(session, args, now),
            Control::Exec => self.exec(session, now),
            Control::Reset => {
                self.unwatch(session);
                self.unsubscribe_all(session);
                session.client.reset(&self.config);
                self.reply(session, |reply| reply.simple("RESET"));
                Flow::Done
            }
        }
    }

    fn watch(&mut self, session: &mut Session, args: Args<'_>, now: Now) -> Flow {
        if session.client.transaction.is_some() {
            let error = RequestError::Static("ERR WATCH inside MULTI is not allowed");
            self.reply_error(session, &error);
            return Flow::Done;
        }
        if self.vacant_max(session) <= session.replies.vacant() {
            return Flow::NeedsVacancies;
        }
        if self.has_requests_here(session) {
            return Flow::NeedsReplies;
        }
        let mut slices = SliceSet::default();
        for key in args {
            slices.insert(self.topology.slice_of(engine::slot_of(key)));
        }
        let id = match &mut session.watching {
            Some(watching) => {
                watching.slices.extend(&slices);
                watching.id
            }
            None => {
                self.watches_numbered = self.watches_numbered.wrapping_add(1);
                let (core, connection) = (self.core, session.id);
                let id = WatchId { core, connection, number: self.watches_numbered };
                session.watching = Some(Watching { id, slices });
                id
            }
        };
        let database = session.client.database;
        if session.jobs == 0 && self.is_here(&Scope::Many(slices)) {
            self.watch_here(id, database, args, Admission::Own { granted: false }, now);
            self.reply(session, |reply| reply.simple("OK"));
        } else {
            let work = Work::Watch { watch: id, database, words: Words::new(args) };
            self.add_job(session, slices, 0, work);
        }
        Flow::Done
    }

    /// Watches keys whose slices are here.
    pub(crate) fn watch_here(
        &mut self,
        id: WatchId,
        database: u16,
        keys: Args<'_>,
        admission: Admission<'_>,
        now: Now,
    ) {
        for key in keys {
            let slice = self.topology.slice_of(engine::slot_of(key));
            let now_ms = self.slices.slice(slice).clock_ms(now);
            let spare = self.spare_size(&Scope::One(slice), admission);
            // One that stays although its time has come fails the EXEC, no more.
            self.expire_watched(slice, database, key, spare, now_ms, now);
            let (slice, space) = self.slices.both(slice);
            slice.watches.add(id, space, (database, key), now_ms);
        }
    }

    /// A key that time has taken is gone for its watchers too. False if it should go and there are
    /// no `spare` bytes to log that.
    fn expire_watched(
        &mut self,
        slice: base::SliceId,
        database: u16,
        key: &[u8],
        spare: usize,
        now_ms: u64,
        now: Now,
    ) -> bool {
        let hides = self.is_pausing(now);
        let Self { slices, notes, notify_classes, .. } = self;
        let mut spaces = slices.one(slice);
        let before = spaces.effect_count();
        let limit = ExpiryLimit { fields: usize::MAX, bytes: spare };
        let hide = if hides { engine::hide_key } else { engine::expire_key };
        let wanted = *notify_classes;
        let expired = hide(&mut spaces, database, key, now_ms, limit, wanted, notes);
        if before < spaces.effect_count() {
            self.stats.note_expired(expired);
            self.slices.note_effects(slice, now, &self.planted);
        }
        !expired.is_more
    }

    /// Forgets what the client watches.
    pub(crate) fn unwatch(&mut self, session: &mut Session) {
        let Some(Watching { id, slices }) = session.watching.take() else { return };
        let mut away: Vec<(base::CoreId, Vec<base::SliceId>)> = Vec::new();
        for slice in slices.iter() {
            if self.slices.is_here(slice) {
                self.slices.slice_mut(slice).watches.remove(id);
                continue;
            }
            let owner = self.topology.owner(slice);
            match away.iter_mut().find(|(core, _)| *core == owner) {
                Some((_, slices)) => slices.push(slice),
                None => away.push((owner, vec![slice])),
            }
        }
        for (owner, slices) in away {
            if owner == self.core {
                self.note_unwatched(id, slices);
            } else {
                self.outbox.to(owner).add_message(Message::Unwatched { watch: id, slices });
            }
        }
    }

    /// A client of any core no longer watches keys of these slices, which are this core's.
    pub(crate) fn note_unwatched(&mut self, watch: WatchId, slices: Vec<base::SliceId>) {
        for slice in slices {
            if self.slices.is_here(slice) {
                self.slices.slice_mut(slice).watches.remove(watch);
            } else {
                self.unwatched.push((slice, watch));
            }
        }
    }

    fn exec(&mut self, session: &mut Session, now: Now) -> Flow {
        // It waits until all before it have executed, on whatever slices.
        if 0 < session.replies.vacant() {
            return Flow::NeedsReplies;
        }
        let Some(mut transaction) = session.client.transaction.take() else {
            let error = RequestError::Static("ERR EXEC without MULTI");
            self.reply_error(session, &error);
            return Flow::Done;
        };
        let is_refused = transaction.has_failed || self.transaction_lacks_memory(&transaction, now);
        // A WATCH that waits for slices must have left its marks before they can be taken away.
        if is_refused && 0 < session.jobs {
            session.client.transaction = Some(transaction);
            return Flow::NeedsReplies;
        }
        if transaction.has_failed {
            self.unwatch(session);
            let error =
                RequestError::Static("EXECABORT Transaction discarded because of previous errors.");
            self.reply_error(session, &error);
            return Flow::Done;
        }
        if is_refused {
            self.unwatch(session);
            let error = RequestError::Static(EXEC_OUT_OF_MEMORY);
            self.reply_error(session, &error);
            return Flow::Done;
        }
        if !self.ask_for(session, &mut transaction, now) {
            session.client.transaction = Some(transaction);
            let waits_for_replies = session.asking.is_none();
            return if waits_for_replies { Flow::NeedsReplies } else { Flow::NeedsAnswers };
        }
        if self.has_requests_here(session) {
            session.client.transaction = Some(transaction);
            return Flow::NeedsReplies;
        }
        let mut slices = SliceSet::default();
        let mut room = 0;
        for queued in &transaction.commands {
            if let Run::Keys(run) = queued.command.run {
                let words = queued.words.borrow();
                let args = &words[queued.name_words..];
                slices.extend(&self.scope(run.with(args), queued.command, args).to_set());
                room += queued.command.effect_size_max(args, &|_| 0) as u64;
            }
        }
        let watching = session.watching.take();
        if let Some(watching) = watching {
            slices.extend(&watching.slices);
        }
        if self.is_here(&Scope::Many(slices)) {
            let admission = Admission::Own { granted: std::mem::take(&mut session.granted) };
            let before = session.replies.len();
            let mut out = std::mem::take(&mut self.scratch);
            let result = self.exec_here(
                session,
                &mut transaction,
                watching,
                &slices,
                admission,
                now,
                &mut out,
            );
            let flow = match result {
                Executed::Done(gates) => {
                    let mut gates = session.client.durability.waits_for(gates);
                    gates.extend(self.telling_gate(session));
                    session.replies.begin(&mut self.pool).extend_from_slice(&out);
                    session.commit(&gates, &mut self.pool);
                    self.note_made(session, before);
                    Flow::Done
                }
                executed => {
                    // Nothing was executed: EXEC comes again.
                    session.client.transaction = Some(transaction);
                    session.watching = watching;
                    match executed {
                        Executed::NeedsRoom { needed } => Flow::NeedsRoom { needed },
                        Executed::NeedsBatch => Flow::NeedsBatch,
                        Executed::NeedsTurn | Executed::Done(_) => Flow::NeedsTurn,
                    }
                }
            };
            out.clear();
            self.scratch = out;
            return flow;
        }
        session.is_executing = true;
        let work = Work::Exec { transaction, watching };
        self.add_job(session, slices, room, work);
        Flow::Done
    }

    /// An EXEC that is refused, even one without MULTI, ends the transaction.
    pub(crate) fn abort_transaction(&mut self, session: &mut Session, error: &RequestError) {
        session.client.transaction = None;
        self.unwatch(session);
        let text = error.text();
        let because = text.strip_prefix(b"ERR ").unwrap_or(&text);
        let because = [b"EXECABORT Transaction discarded because of: ", because].concat();
        self.reply_error(session, &RequestError::Text(because));
    }

    fn transaction_lacks_memory(&mut self, transaction: &Transaction, now: Now) -> bool {
        let needs = transaction.commands.iter().find(|one| one.command.has_flag(Flag::DenyOom));
        needs.is_some_and(|one| self.lacks_memory(one.command, now))
    }

    /// Asks the cores what the queued commands need to know. False until all have answered.
    fn ask_for(&mut self, session: &mut Session, transaction: &mut Transaction, now: Now) -> bool {
        for queued in &mut transaction.commands {
            if matches!(queued.command.run, Run::Channels(_))
                && (0 < session.replies.vacant() || self.must_wait_to_publish(session))
            {
                return false;
            }
            let Run::Node(run) = queued.command.run else { continue };
            if queued.asking.is_some() || queued.asks_nothing {
                continue;
            }
            if 0 < session.replies.vacant() {
                return false;
            }
            let asking = match session.asking.take() {
                Some(asking) => asking,
                None => {
                    let words = queued.words.borrow();
                    let args = &words[queued.name_words..];
                    let mut ignored = Vec::new();
                    let mut cx = SessionCx {
                        standing: session.standing(),
                        client: &mut session.client,
                        node: self,
                        reply: ReplyWriter::new(&mut ignored, Protocol::Resp2),
                        now,
                    };
                    // What is wrong with the request is said when it is executed.
                    let Ok(question) = (run.ask)(&mut cx, args) else {
                        queued.asks_nothing = true;
                        continue;
                    };
                    self.ask(session.id, question, now)
                }
            };
            if !asking.is_complete() {
                session.asking = Some(asking);
                return false;
            }
            queued.asking = Some(asking);
        }
        true
    }

    /// Executes a transaction whose slices are all here, and writes its reply.
    #[expect(clippy::too_many_arguments, reason = "who asks, what, on what, and where to")]
    pub(crate) fn exec_here(
        &mut self,
        session: &mut Session,
        transaction: &mut Transaction,
        watching: Option<Watching>,
        slices: &SliceSet,
        admission: Admission<'_>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Executed {
        let mut gates = Gates::new();
        match self.find_exec_room(session, transaction, slices, admission, now) {
            Ok(None) => {}
            Ok(Some(executed)) => return executed,
            Err(refusal) => {
                self.stats.writes_refused += 1;
                if let Some(watching) = watching {
                    self.forget_watches(&watching);
                }
                ReplyWriter::new(out, session.client.protocol).error_bytes(&refusal.text());
                return Executed::Done(gates);
            }
        }
        let before = self.slices.effect_count(slices);
        let open = self.slices.open_size();
        let spare = self.spare_size(&Scope::Many(*slices), admission);
        if let Some(watching) = watching {
            let is_dirty = self.take_watches(&watching, &mut gates, spare, now);
            if is_dirty && !self.planted.is(Plant::ForgetWatch) {
                let mut reply = ReplyWriter::new(out, session.client.protocol);
                reply.null_array();
                self.stats.commands_processed += 1;
                return Executed::Done(gates);
            }
        }
        self.stats.commands_processed += 1;
        ReplyWriter::new(out, session.client.protocol).array(transaction.len());
        let mut publications = Vec::new();
        let held = self.pubsub.held.last();
        for queued in &mut transaction.commands {
            let words = queued.words.borrow();
            let args = &words[queued.name_words..];
            let start = out.len();
            let failures = self.stats.commands_failed;
            match queued.command.run {
                Run::Keys(run) => {
                    let run = run.with(args);
                    let scope = self.scope(run, queued.command, args);
                    let caller = session.caller();
                    let task = Task {
                        caller,
                        command: queued.command,
                        run,
                        args,
                        scope: &scope,
                        admission: Admission::Sure {
                            left: spare.saturating_sub(self.slices.open_size() - open),
                        },
                    };
                    match self.execute(&task, now, out) {
                        Executed::Done(more) => add_gates(&mut gates, &more),
                        Executed::NeedsRoom { .. } | Executed::NeedsBatch | Executed::NeedsTurn => {
                            unreachable!("what is sure waits for nothing")
                        }
                    }
                }
                Run::Session(handler) | Run::Container { alone: Some(handler), .. } => {
                    let standing = session.standing();
                    let client = &mut session.client;
                    let reply = ReplyWriter::new(out, client.protocol);
                    let mut cx = SessionCx { client, standing, node: self, reply, now };
                    let result = handler(&mut cx, args);
                    self.finish_queued(session, result, start, out);
                }
                Run::Node(run) => {
                    let standing = session.standing();
                    let client = &mut session.client;
                    let result = match queued.asking.take() {
                        Some(asking) => {
                            let answers = asking.into_answers();
                            answers.iter().for_each(|one| add_gates(&mut gates, &one.gates));
                            let reply = ReplyWriter::new(out, client.protocol);
                            let mut cx = SessionCx { client, standing, node: self, reply, now };
                            (run.reply)(&mut cx, args, answers)
                        }
                        None => {
                            let reply = ReplyWriter::new(out, client.protocol);
                            let mut cx = SessionCx { client, standing, node: self, reply, now };
                            (run.ask)(&mut cx, args).map(|_| ())
                        }
                    };
                    self.finish_queued(session, result, start, out);
                }
                Run::Channels(handler) => {
                    let reply = ReplyWriter::new(out, session.client.protocol);
                    let mut cx = ChannelsCx {
                        node: self,
                        session,
                        reply,
                        publications: &mut publications,
                        in_transaction: true,
                        confirms: false,
                    };
                    let result = handler(&mut cx, args);
                    self.finish_queued(session, result, start, out);
                }
                Run::Control(Control::Unwatch) => {
                    ReplyWriter::new(out, session.client.protocol).simple("OK");
                }
                Run::Control(_) | Run::Container { alone: None, .. } => {
                    unreachable!("it is never queued")
                }
            }
            let failed = failures != self.stats.commands_failed;
            self.finish_call(queued.command, args, Who::Own(&session.client), failed, now);
            self.feed_monitors(&session.client, queued.command, &words, now);
        }
        let waits = session.client.durability.waits_for(gates.clone());
        self.publish_of(session, publications, &waits);
        self.pubsub.held.join(held, &gates);
        let has_written = before < self.slices.effect_count(slices);
        if has_written && 1 < gates.len() {
            // What was written is in flight, as is what was read of the slices that are gates.
            // What other cores were asked beforehand is of slices that take no part.
            let mut participants = SliceSet::default();
            let taking_part = gates.iter().filter(|gate| slices.contains(gate.slice));
            taking_part.for_each(|gate| participants.insert(gate.slice));
            self.slices.link(&participants);
        }
        Executed::Done(gates)
    }

    /// Makes sure that all commands of a transaction can be executed: None, or why not.
    fn find_exec_room(
        &mut self,
        session: &Session,
        transaction: &Transaction,
        slices: &SliceSet,
        admission: Admission<'_>,
        now: Now,
    ) -> Result<Option<Executed>, RequestError> {
        let caller = session.caller();
        let scope = Scope::Many(*slices);
        let now_ms = self.clock_ms(&scope, now);
        // A value that one command made may be copied by the next.
        let mut values = transaction.size();
        let mut expired = 0;
        let mut write = None;
        let mut database = caller.database;
        for queued in &transaction.commands {
            let words = queued.words.borrow();
            let args = &words[queued.name_words..];
            let Run::Keys(run) = queued.command.run else {
                database = selected(queued.command, args).unwrap_or(database);
                continue;
            };
            if queued.command.is_write() {
                values += grown_size(queued.command, args);
                for key in queued.command.keys(args) {
                    values += self.slices.value_size(database, key);
                }
                write = Some((queued.command, run.with(args)));
            }
            let spaces = self.slices.many();
            expired += engine::expire_size_max(&spaces, queued.command, args, database, now_ms);
            // What a command before it makes is among the values.
            let gathered =
                engine::gathered_size_max(&spaces, queued.command, args, database, now_ms);
            values += gathered;
        }
        let Some((command, run)) = write else {
            return match expired {
                0 => Ok(None),
                // What only expires is read all the same.
                _ => Ok(self.find_room(&scope, admission, expired).unwrap_or(None)),
            };
        };
        let mut size = expired;
        for queued in &transaction.commands {
            if let Run::Keys(_) = queued.command.run {
                let words = queued.words.borrow();
                let args = &words[queued.name_words..];
                // Elements of two bytes each may be there, and an index takes five.
                let logs = |logs| queued.command.has_flag(Flag::Logs(logs));
                let is_by_part = logs(Logs::Parts) || logs(Logs::Drawn) || logs(Logs::Indexes);
                let values = if is_by_part { values.saturating_mul(4) } else { values };
                size += queued.command.effect_size_max(args, &|_| values);
                size += args.iter().map(|word| word.len() + KEY_OVERHEAD).sum::<usize>();
            }
        }
        let task = Task { caller, command, run, args: &[], scope: &scope, admission };
        if let Some(refusal) = self.refuses_write(&task, now) {
            return Err(refusal);
        }
        self.find_room(&scope, admission, size)
    }

    fn finish_queued(
        &mut self,
        session: &Session,
        result: Result<(), RequestError>,
        start: usize,
        out: &mut Vec<u8>,
    ) {
        self.stats.commands_processed += 1;
        if let Err(error) = result {
            self.stats.commands_failed += 1;
            self.tally.note_error(&error.text());
            out.truncate(start);
            ReplyWriter::new(out, session.client.protocol).error_bytes(&error.text());
        }
    }

    /// Takes the marks of a watch out of its slices, which are here.
    pub(crate) fn forget_watches(&mut self, watching: &Watching) {
        for id in watching.slices.iter() {
            self.slices.slice_mut(id).watches.remove(watching.id);
        }
    }

    /// Takes the marks of a watch out of its slices. True if a key has changed, or has expired and
    /// there are no `spare` bytes to say so in the log.
    fn take_watches(
        &mut self,
        watching: &Watching,
        gates: &mut Gates,
        spare: usize,
        now: Now,
    ) -> bool {
        let mut is_dirty = false;
        let open = self.slices.open_size();
        for id in watching.slices.iter() {
            for (database, key) in self.slices.slice(id).watches.keys(watching.id) {
                let now_ms = self.slices.slice(id).clock_ms(now);
                let left = spare.saturating_sub(self.slices.open_size() - open);
                is_dirty |= !self.expire_watched(id, database, &key, left, now_ms, now);
                // Whether it changed shows what was written: the reply waits for that.
                let hash = self.slices.space(id).keyspace.hash(database, &key);
                let index = self.slices.slice(id).gate.last_write(hash);
                if self.slices.settled(id) < index {
                    add_gates(gates, &[Gate { slice: id, index }]);
                }
            }
            is_dirty |= self.slices.slice(id).watches.is_dirty(watching.id);
        }
        self.forget_watches(watching);
        is_dirty
    }
}

/// The database that a queued command selects.
fn selected(command: &Command<Run>, args: Args<'_>) -> Option<u16> {
    let [number] = args else { return None };
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    (command.name == "select" && number < base::limits::DATABASES).then_some(number)
}

/// By how much more than its words a command may make a value grow: bytes.
fn grown_size(command: &Command<Run>, args: Args<'_>) -> usize {
    let offset = || std::str::from_utf8(args.get(1)?).ok()?.parse::<usize>().ok();
    let size = match command.name {
        "setrange" => offset().unwrap_or(0),
        "setbit" => offset().unwrap_or(0) / 8,
        _ => 0,
    };
    // A command that would make a longer value is refused when it comes to it.
    if size < base::limits::STRING_SIZE_MAX { size } else { 0 }
}

const EXEC_OUT_OF_MEMORY: &str = "EXECABORT Transaction discarded because of: OOM command not \
                                  allowed when used memory > 'maxmemory'.";

/// What the deletion of an expired key logs beside the key, at most: bytes.
const KEY_OVERHEAD: usize = 32;

/// Puts gates together, one for each slice.
pub(crate) fn add_gates(gates: &mut Gates, more: &[Gate]) {
    for gate in more {
        match gates.iter_mut().find(|known| known.slice == gate.slice) {
            Some(known) => known.index = known.index.max(gate.index),
            None => gates.push(*gate),
        }
    }
}
