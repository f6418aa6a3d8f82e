//! One request of a client on its way: name, right to run, and where it runs.
//!
//! A command on keys of one slice goes to the core that has it; a command on several slices runs
//! here, at once if all are here, else as a job once they are borrowed. A pipeline keeps its order
//! per slice: hops to one core keep theirs, and while a job of a client waits, its later commands
//! on keys become jobs behind it.

use base::Now;
use engine::{Args, Command, Flag};
use net::Protocol;

use crate::ask::Asking;
use crate::caller::Caller;
use crate::commands::{ChannelsCx, SessionCx, is_for_subscribers};
use crate::error::RequestError;
use crate::eviction::OUT_OF_MEMORY;
use crate::execute::{Admission, Executed, Scope, Task};
use crate::job::{Job, Work};
use crate::loans::Claim;
use crate::node::Node;
use crate::parcel::{BorrowedWords, Gates, Request, ReturnAddress, Words};
use crate::registry::{ChannelsHandler, Control, NodeRun, Run, SessionHandler};
use crate::reply::ReplyWriter;
use crate::session::Session;
use crate::tally::Who;
use crate::topology::SliceSet;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// There is a reply, now or later.
    Done,
    /// Nothing was executed: the log must have this many bytes of room first.
    NeedsRoom { needed: u64 },
    /// Nothing was executed: the open batch must be closed first.
    NeedsBatch,
    /// Nothing was executed: the next turn goes on with what must happen first.
    NeedsTurn,
    /// Nothing was executed: replies from other cores must come first.
    NeedsReplies,
    /// Nothing was executed: too many replies from other cores are under way.
    NeedsVacancies,
    /// Nothing was executed: the other cores are being asked.
    NeedsAnswers,
    /// Nothing was executed: CLIENT PAUSE must end.
    NeedsUnpause,
    /// Nothing was executed: snapshots must be written first.
    NeedsSnapshots,
    /// Nothing was executed: the runner must be free.
    NeedsRunner,
}

/// Replies of one client that may be under way from other cores.
const VACANT_MAX: usize = 1024;

/// Words of a request that a transaction may queue, of one client: bytes.
const TRANSACTION_SIZE_MAX: usize = base::limits::QUERY_BUFFER_SIZE_MAX;

impl Node {
    /// Executes one request, or finds out what it must wait for.
    pub(crate) fn dispatch(
        &mut self,
        session: &mut Session,
        words: &BorrowedWords<'_>,
        now: Now,
    ) -> Flow {
        if session.is_executing {
            return Flow::NeedsReplies;
        }
        let flow = self.dispatch_words(session, words, now);
        if flow == Flow::Done {
            session.client.commands += 1;
            session.client.reply_mode = session.client.reply_mode.next();
        }
        flow
    }

    fn dispatch_words(
        &mut self,
        session: &mut Session,
        words: &BorrowedWords<'_>,
        now: Now,
    ) -> Flow {
        let (name, args) = words.split_first().expect("a request has at least its name");
        match self.resolve(session, name, args) {
            Ok((command, _)) if self.is_paused(session, command, now) => Flow::NeedsUnpause,
            Ok((command, _)) if self.is_held_back(session, command) => Flow::NeedsSnapshots,
            Ok((command, _))
                if session.client.transaction.is_some() && command.has_flag(Flag::NoMulti) =>
            {
                self.refuse(session, &RequestError::Static(NOT_IN_TRANSACTION));
                Flow::Done
            }
            Ok((command, args)) => match &mut session.client.transaction {
                Some(transaction) if is_queued(command) => {
                    if self.lacks_memory(command, now) {
                        transaction.has_failed = true;
                        self.reply_error(session, &OUT_OF_MEMORY);
                        return Flow::Done;
                    }
                    transaction.queue(command, words, args.len());
                    if TRANSACTION_SIZE_MAX < transaction.size() {
                        session.client.closing = true;
                    }
                    self.reply(session, |reply| engine::ReplySink::simple(reply, "QUEUED"));
                    Flow::Done
                }
                _ => {
                    session.client.last_command = Some(command);
                    let jobs = session.jobs;
                    let flow = self.dispatch_command(session, command, args, now);
                    // An EXEC that waits for slices is shown behind what it executes.
                    let is_later =
                        jobs < session.jobs && matches!(command.run, Run::Control(Control::Exec));
                    if flow == Flow::Done && !is_later {
                        self.feed_monitors(&session.client, command, words, now);
                    }
                    flow
                }
            },
            Err(error) => {
                let is_exec =
                    self.registry.find(name).is_some_and(|command| command.name == "exec");
                if is_exec && 0 < session.jobs {
                    // Its WATCH is still leaving marks, which this takes away.
                    return Flow::NeedsReplies;
                }
                if let Some(number) = self.registry.number_of(name, args) {
                    self.tally.note_rejected(number);
                }
                if is_exec {
                    self.abort_transaction(session, &error);
                } else {
                    self.refuse(session, &error);
                }
                Flow::Done
            }
        }
    }

    /// A request that is not executed, nor queued: EXEC will refuse.
    fn refuse(&mut self, session: &mut Session, error: &RequestError) {
        if let Some(transaction) = &mut session.client.transaction {
            transaction.has_failed = true;
        }
        self.reply_error(session, error);
    }

    fn resolve<'a>(
        &self,
        session: &Session,
        name: &[u8],
        args: Args<'a>,
    ) -> Result<(&'static Command<Run>, Args<'a>), RequestError> {
        let (command, args) = self.registry.resolve(name, args)?;
        if !session.client.authenticated && !command.has_flag(Flag::NoAuth) {
            return Err(RequestError::NoAuth);
        }
        let is_listening =
            session.client.protocol == Protocol::Resp2 && session.client.subscriptions.are_any();
        if is_listening && !is_for_subscribers(command) {
            let text = format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                command.name
            );
            return Err(RequestError::Text(text.into_bytes()));
        }
        Ok((command, args))
    }

    fn dispatch_command(
        &mut self,
        session: &mut Session,
        command: &'static Command<Run>,
        args: Args<'_>,
        now: Now,
    ) -> Flow {
        match command.run {
            Run::Session(handler) | Run::Container { alone: Some(handler), .. } => {
                self.run_session(session, command, handler, args, now);
                Flow::Done
            }
            Run::Container { alone: None, .. } => {
                unreachable!("the arity of a container asks for a subcommand")
            }
            Run::Control(control) => {
                let failures = self.stats.commands_failed;
                let flow = self.run_control(session, control, args, now);
                if flow == Flow::Done {
                    let failed = failures != self.stats.commands_failed;
                    self.finish_call(command, args, Who::Own(&session.client), failed, now);
                }
                flow
            }
            Run::Node(run) => self.run_node(session, command, run, args, now),
            Run::Channels(handler) => {
                let failures = self.stats.commands_failed;
                let flow = self.run_channels(session, handler, args);
                if flow == Flow::Done {
                    let failed = failures != self.stats.commands_failed;
                    self.finish_call(command, args, Who::Own(&session.client), failed, now);
                }
                flow
            }
            Run::Keys(run) => self.run_keys(session, command, run.with(args), args, now),
        }
    }

    /// Runs a command on the connection and facts of this core.
    pub(crate) fn run_session(
        &mut self,
        session: &mut Session,
        command: &'static Command<Run>,
        handler: SessionHandler,
        args: Args<'_>,
        now: Now,
    ) {
        let before = session.replies.len();
        session.replies.begin(&mut self.pool);
        let standing = session.standing();
        let Session { client, replies, .. } = session;
        let reply = ReplyWriter::new(replies.buffer(), client.protocol);
        let mut cx = SessionCx { client, standing, node: self, reply, now };
        let result = handler(&mut cx, args);
        if let Err(error) = &result {
            self.note_failure(session, error);
        }
        session.commit(&[], &mut self.pool);
        self.note_reply(session, before);
        self.finish_call(command, args, Who::Own(&session.client), result.is_err(), now);
    }

    /// Runs a command that needs to know something of every core: asks first, answers then.
    fn run_node(
        &mut self,
        session: &mut Session,
        command: &'static Command<Run>,
        run: NodeRun,
        args: Args<'_>,
        now: Now,
    ) -> Flow {
        // It waits until all before it have executed.
        if 0 < session.replies.vacant() {
            return Flow::NeedsReplies;
        }
        let mut waited_us = 0;
        let answers = match session.asking.take() {
            Some(asking) => {
                waited_us = now.monotonic_us.saturating_sub(asking.asked_us);
                asking.into_answers()
            }
            None => {
                let mut ignored = Vec::new();
                let mut cx = SessionCx {
                    standing: session.standing(),
                    client: &mut session.client,
                    node: self,
                    reply: ReplyWriter::new(&mut ignored, Protocol::Resp2),
                    now,
                };
                let question = match (run.ask)(&mut cx, args) {
                    Ok(question) => question,
                    Err(error) => {
                        self.reply_error(session, &error);
                        self.finish_call(command, args, Who::Own(&session.client), true, now);
                        return Flow::Done;
                    }
                };
                let asking = self.ask(session.id, question, now);
                if !asking.is_complete() {
                    session.asking = Some(asking);
                    return Flow::NeedsAnswers;
                }
                asking.into_answers()
            }
        };
        let before = session.replies.len();
        session.replies.begin(&mut self.pool);
        let standing = session.standing();
        let Session { client, replies, .. } = session;
        let gates: Gates = answers.iter().flat_map(|answer| answer.gates.iter().copied()).collect();
        let reply = ReplyWriter::new(replies.buffer(), client.protocol);
        let mut cx = SessionCx { client, standing, node: self, reply, now };
        let result = (run.reply)(&mut cx, args, answers);
        if let Err(error) = &result {
            self.note_failure(session, error);
        }
        session.commit(&gates, &mut self.pool);
        self.note_reply(session, before);
        let who = Who::Own(&session.client);
        if command.name == "debug|sleep" {
            // To sleep is what it does; the others only wait for the cores they ask.
            self.finish_call_of(command, args, who, result.is_err(), waited_us * 1000, now);
        } else {
            self.finish_call(command, args, who, result.is_err(), now);
        }
        Flow::Done
    }

    /// Runs a command on channels.
    fn run_channels(
        &mut self,
        session: &mut Session,
        handler: ChannelsHandler,
        args: Args<'_>,
    ) -> Flow {
        // It waits until all before it have executed.
        if 0 < session.replies.vacant() || self.must_wait_to_publish(session) {
            return Flow::NeedsReplies;
        }
        let before = session.replies.len();
        let mut out = std::mem::take(&mut self.scratch);
        let mut publications = Vec::new();
        let reply = ReplyWriter::new(&mut out, session.client.protocol);
        let mut cx = ChannelsCx {
            node: self,
            session,
            reply,
            publications: &mut publications,
            in_transaction: false,
            confirms: false,
        };
        let result = handler(&mut cx, args);
        let confirms = cx.confirms;
        if let Err(error) = result {
            self.stats.commands_failed += 1;
            self.tally.note_error(&error.text());
            out.clear();
            ReplyWriter::new(&mut out, session.client.protocol).error_bytes(&error.text());
        }
        self.publish_of(session, publications, &[]);
        let gate = self.telling_gate(session);
        session.replies.begin(&mut self.pool).extend_from_slice(&out);
        match confirms {
            true => session.replies.commit(gate.as_slice(), &mut self.pool),
            false => session.commit(gate.as_slice(), &mut self.pool),
        }
        self.note_reply(session, before);
        out.clear();
        self.scratch = out;
        Flow::Done
    }

    fn run_keys(
        &mut self,
        session: &mut Session,
        command: &'static Command<Run>,
        run: engine::Run,
        args: Args<'_>,
        now: Now,
    ) -> Flow {
        if self.vacant_max(session) <= session.replies.vacant() {
            return Flow::NeedsVacancies;
        }
        if self.has_requests_here(session) {
            return Flow::NeedsReplies;
        }
        let scope = self.scope(run, command, args);
        if session.jobs == 0 && self.is_here(&scope) {
            return self.run_here(session, command, run, args, &scope, now);
        }
        // Room that was set aside for it here is for others.
        session.granted = false;
        if session.jobs == 0
            && let Scope::One(slice) = scope
        {
            if session.is_slow() {
                self.trickle.note(session.reply_size);
            }
            let address = self.reserve(session);
            let caller = session.caller();
            self.send_request(&Request { caller, address, command, slice, args });
            return Flow::Done;
        }
        let caller = session.caller();
        let work = Work::Command { caller, command, words: Words::new(args) };
        let room = command.effect_size_max(args, &|_| 0) as u64;
        self.add_job(session, scope.to_set(), room, work);
        Flow::Done
    }

    /// Do requests of this client for this core's slices wait for something other than the slices?
    pub(crate) fn has_requests_here(&self, session: &Session) -> bool {
        let client = (self.core, session.id);
        self.stalled.has_client(client) || self.put_off.has_client(client)
    }

    /// Replies of a client that may be under way: fewer when those that came were large, so
    /// that all together do not exceed by much what it may have waiting.
    pub(crate) fn vacant_max(&self, session: &Session) -> usize {
        let fitting = self.config.output_size_pause / session.reply_size.max(1);
        fitting.clamp(1, VACANT_MAX)
    }

    fn run_here(
        &mut self,
        session: &mut Session,
        command: &'static Command<Run>,
        run: engine::Run,
        args: Args<'_>,
        scope: &Scope,
        now: Now,
    ) -> Flow {
        let before = session.replies.len();
        session.replies.begin(&mut self.pool);
        let caller = session.caller();
        let admission = Admission::Own { granted: std::mem::take(&mut session.granted) };
        let task = Task { caller, command, run, args, scope, admission };
        let failures = self.stats.commands_failed;
        match self.execute(&task, now, session.replies.buffer()) {
            Executed::Done(gates) => {
                let gates = session.client.durability.waits_for(gates);
                session.commit(&gates, &mut self.pool);
                self.stats.replies_parked += u64::from(!gates.is_empty());
                self.note_reply(session, before);
                let failed = failures != self.stats.commands_failed;
                self.finish_call(command, args, Who::Own(&session.client), failed, now);
                Flow::Done
            }
            executed @ (Executed::NeedsRoom { .. }
            | Executed::NeedsBatch
            | Executed::NeedsTurn
            | Executed::Long { .. }) => {
                session.replies.restart();
                session.replies.commit(&[], &mut self.pool);
                match executed {
                    Executed::NeedsRoom { needed } => Flow::NeedsRoom { needed },
                    Executed::NeedsBatch => Flow::NeedsBatch,
                    Executed::NeedsTurn | Executed::Done(_) => Flow::NeedsTurn,
                    Executed::Long { room } if self.may_launch() => {
                        let address = self.reserve(session);
                        self.launch(&task, address, room, now);
                        Flow::Done
                    }
                    Executed::Long { .. } => Flow::NeedsRunner,
                }
            }
        }
    }

    /// May a command on these slices execute now? Not while one is lent, nor before the requests
    /// that came for it meanwhile.
    pub(crate) fn is_here(&self, scope: &Scope) -> bool {
        let is_here = |slice| {
            self.topology.owner(slice) == self.core
                && self.slices.is_here(slice)
                && self.slices.group(slice).queue.is_empty()
        };
        match scope {
            Scope::One(slice) => is_here(*slice),
            Scope::Many(set) => set.iter().all(is_here),
        }
    }

    /// Leaves a place among the client's replies.
    pub(crate) fn reserve(&mut self, session: &mut Session) -> ReturnAddress {
        let ticket = session.replies.reserve();
        let is_muted = session.client.reply_mode.is_muted();
        ReturnAddress { core: self.core, connection: session.id, ticket, is_muted }
    }

    pub(crate) fn add_job(
        &mut self,
        session: &mut Session,
        slices: SliceSet,
        room: u64,
        work: Work,
    ) {
        // What needs more is refused when it runs.
        let room = room.min(self.config.entry_size_max as u64);
        let is_prompt = self.output_rule().claim(Some(session)) == Claim::Prompt;
        let may_join = is_prompt && session.replies.vacant() == session.jobs;
        let address = self.reserve(session);
        session.jobs += 1;
        self.loans.add_job(Job { address, slices, room, work }, may_join);
    }

    /// Writes one reply that waits for nothing.
    pub(crate) fn reply(
        &mut self,
        session: &mut Session,
        write: impl FnOnce(&mut ReplyWriter<'_>),
    ) {
        let before = session.replies.len();
        let out = session.replies.begin(&mut self.pool);
        write(&mut ReplyWriter::new(out, session.client.protocol));
        session.commit(&[], &mut self.pool);
        self.note_reply(session, before);
    }

    pub(crate) fn reply_error(&mut self, session: &mut Session, error: &RequestError) {
        self.stats.commands_failed += 1;
        self.tally.note_error(&error.text());
        self.reply(session, |reply| reply.error_bytes(&error.text()));
    }

    /// Puts an error in place of the reply that was begun.
    fn note_failure(&mut self, session: &mut Session, error: &RequestError) {
        self.stats.commands_failed += 1;
        self.tally.note_error(&error.text());
        let out = session.replies.restart();
        ReplyWriter::new(out, session.client.protocol).error_bytes(&error.text());
    }

    fn note_reply(&mut self, session: &mut Session, before: usize) {
        self.stats.commands_processed += 1;
        self.note_made(session, before);
    }

    /// A reply was made here: there were `before` bytes of them.
    pub(crate) fn note_made(&mut self, session: &mut Session, before: usize) {
        let size = session.replies.len() - before;
        if session.is_slow() {
            self.trickle.note(size);
        }
        session.note_reply_size(size);
        self.output_size += size;
        self.share.replied += size;
    }
}

/// Is the command kept for EXEC when it comes after MULTI?
const NOT_IN_TRANSACTION: &str = "ERR Command not allowed inside a transaction";

fn is_queued(command: &Command<Run>) -> bool {
    match command.run {
        Run::Control(control) => control == Control::Unwatch,
        _ => command.name != "quit",
    }
}

impl Session {
    /// What travels with this client's requests.
    pub(crate) fn caller(&self) -> Caller {
        let client = &self.client;
        Caller {
            is_patient: self.is_patient(),
            database: client.database,
            protocol: client.protocol,
            durability: client.durability,
            touches: client.touches,
        }
    }
}

impl Asking {
    /// Every core has answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }
}
