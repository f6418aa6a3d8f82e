//! Commands over slices of several cores: who has lent what to whom, and what waits for it.
//!
//! A borrower gathers the commands of its clients that need slices of other cores as *jobs*, and
//! serves all of them with one *session*: it asks each core for the slices it needs, in the order
//! of the cores, its own among them, runs the jobs as ordinary code, and gives the slices back. A
//! core lends to one session at a time, itself included: that and the fixed order exclude
//! deadlock. While a session is under way the next jobs gather.
//!
//! Clients take turns: those whose replies are small come first, those whose replies are large
//! share a fixed size of them, and who has not taken the replies it has gets no more.
//!
//! # Invariants
//!
//! * A core's slices are all here unless its permit is another core's, or a long command has them
//!   (see `long`).
//! * The jobs of one client run in the order in which they came.
//! * `turns` names every client with jobs that wait once, and no lane is empty.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, Map, Set};

use crate::job::Job;
use crate::slice::Lent;
use crate::topology::{SliceSet, Topology};

/// Asks a core for some of its slices.
#[derive(Clone, Debug)]
pub(crate) struct LoanRequest {
    pub(crate) borrower: CoreId,
    pub(crate) slices: SliceSet,
    /// Bytes that the log must have room for: what the borrower may write to these slices.
    pub(crate) room: u64,
    /// Clients of the jobs that sent other requests before, which come before.
    pub(crate) clients: Set<ConnectionId>,
}

/// Whether a request for slices that are here can be met.
#[derive(Clone, Debug)]
pub(crate) enum LoanStanding {
    Fits,
    /// The log takes no writes, and why: lent all the same.
    Refused(String),
    /// The log must have this many bytes of room first.
    NeedsRoom {
        needed: u64,
    },
    /// What its clients sent before has not been executed yet.
    Early,
}

/// The slices a core was asked for.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) lender: CoreId,
    pub(crate) lent: Vec<Lent>,
    /// The lender's log takes no writes, and why.
    pub(crate) refusal: Option<String>,
}

/// Owner: core.
#[derive(Debug)]
pub(crate) struct Loans {
    core: CoreId,
    topology: Topology,
    /// The core whose session has this core's slices, or may have them.
    permit: Option<Permit>,
    /// Sessions that wait for the permit, this core's own among them.
    requests: VecDeque<LoanRequest>,
    session: Option<Session>,
    /// Jobs for the next sessions, by client.
    lanes: Map<ConnectionId, VecDeque<Job>>,
    /// The clients in turn.
    turns: VecDeque<ConnectionId>,
    /// How many a session takes of one client: one, after a session that its replies cut short.
    client_jobs: usize,
    /// Jobs that turned out to be long: each has a session of its own. Nothing else of their clients
    /// runs before them.
    long: VecDeque<Job>,
    /// The client whose long job is under way.
    pub(crate) long_client: Option<ConnectionId>,
    /// Bytes of the log set aside for long commands that have slices of this core, and the cores
    /// that sent them. At most one of each.
    kept: Vec<(CoreId, u64)>,
}

/// What a client with jobs may claim of the next session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Its replies are small: it goes first.
    Prompt,
    /// They are of about this size: it goes behind, within a size for all. Bytes.
    Patient { size: usize },
    /// It leaves them lying: nothing for now.
    Later,
    /// It has not taken those it has: no more are made.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Permit {
    holder: CoreId,
    /// Bytes of the log set aside.
    room: u64,
}

/// A loan under way. Owner: the borrower.
#[derive(Debug)]
pub(crate) struct Session {
    slices: SliceSet,
    room: u64,
    /// Cores whose slices are needed and not here, in order; the first was asked.
    missing: VecDeque<CoreId>,
    pub(crate) jobs: VecDeque<Job>,
    /// Jobs of clients whose replies are large.
    pub(crate) patient: VecDeque<Job>,
    clients: Set<ConnectionId>,
    /// A log that takes no writes, and why.
    pub(crate) refusal: Option<String>,
    /// It is for one long job.
    pub(crate) is_long: bool,
}

/// The least a session asks room for: bytes.
const ROOM_MIN: u64 = 256 * 1024;

/// Jobs that one session serves, of all clients and of one.
const SESSION_JOBS_MAX: usize = 1024;
const CLIENT_JOBS_MAX: usize = 32;

/// Bytes of replies that a session makes for the prompt, and again for the patient: large replies
/// must not hold the lenders' slices, nor the borrower, for long.
pub(crate) const SESSION_REPLIES_SIZE: usize = 1024 * 1024;

impl Session {
    /// The bytes each lender has set aside.
    pub(crate) fn room(&self) -> u64 {
        self.room
    }

    pub(crate) fn slices(&self) -> &SliceSet {
        &self.slices
    }
}

impl Loans {
    pub(crate) fn new(core: CoreId, topology: Topology) -> Self {
        Self {
            core,
            topology,
            permit: None,
            requests: VecDeque::new(),
            session: None,
            lanes: Map::default(),
            turns: VecDeque::new(),
            client_jobs: CLIENT_JOBS_MAX,
            long: VecDeque::new(),
            long_client: None,
            kept: Vec::new(),
        }
    }

    /// Nothing waits, nothing is lent or borrowed.
    pub(crate) fn is_idle(&self) -> bool {
        self.permit.is_none()
            && self.requests.is_empty()
            && self.kept.is_empty()
            && !self.has_jobs()
    }

    /// Commands of this core's clients wait for slices of others.
    pub(crate) fn has_jobs(&self) -> bool {
        self.session.is_some()
            || !self.turns.is_empty()
            || !self.long.is_empty()
            || self.long_client.is_some()
    }

    /// Does a long job of this client come before its others?
    pub(crate) fn is_behind_long(&self, client: ConnectionId) -> bool {
        self.long_client == Some(client)
            || self.long.iter().any(|job| job.address.connection == client)
    }

    /// The session under way has this core's slices, or will have them.
    pub(crate) fn has_own_permit(&self) -> bool {
        self.permit.is_some_and(|permit| permit.holder == self.core)
    }

    /// Sets room aside for a long command that `holder` sends away with slices of this core.
    pub(crate) fn keep(&mut self, holder: CoreId, room: u64) {
        assert!(self.kept.iter().all(|(core, _)| *core != holder));
        self.kept.push((holder, room));
    }

    /// The session of `holder` is over but for its long job, which keeps the slices.
    pub(crate) fn keep_on(&mut self, holder: CoreId) {
        let room = self.permit.expect("only a holder gives its permit back").room;
        self.release(holder);
        self.keep(holder, room);
    }

    /// The long command of `holder` is back.
    pub(crate) fn end_kept(&mut self, holder: CoreId) {
        let at = self.kept.iter().position(|(core, _)| *core == holder);
        self.kept.swap_remove(at.expect("only what was kept ends"));
    }

    /// Keeps a job for a session of its own: before all others, or behind them.
    pub(crate) fn add_long(&mut self, job: Job, is_first: bool) {
        if is_first { self.long.push_front(job) } else { self.long.push_back(job) }
    }

    pub(crate) fn may_open_long_session(&self) -> bool {
        self.session.is_none() && !self.long.is_empty()
    }

    /// Opens a session for the first long job, if there is one and no session is under way.
    pub(crate) fn open_long_session(&mut self, sent_ahead: impl Fn(ConnectionId) -> bool) -> bool {
        if !self.may_open_long_session() {
            return false;
        }
        let job = self.long.pop_front().expect("there is one");
        self.begin_session(VecDeque::from([job]), VecDeque::new(), true, sent_ahead);
        true
    }

    /// Jobs wait, and nothing is under way that they wait for.
    pub(crate) fn may_open_session(&self, claim: impl Fn(ConnectionId) -> Claim) -> bool {
        let may_run = |id| {
            matches!(claim(id), Claim::Prompt | Claim::Patient { .. }) && !self.is_behind_long(id)
        };
        self.session.is_none() && self.turns.iter().any(|id| may_run(*id))
    }

    /// Jobs wait for nothing but their time.
    pub(crate) fn awaits_time(&self, claim: impl Fn(ConnectionId) -> Claim) -> bool {
        let is_later = |id| claim(id) == Claim::Later && !self.is_behind_long(id);
        self.session.is_none() && self.turns.iter().any(|id| is_later(*id))
    }

    /// Clients with jobs that are in no session.
    pub(crate) fn waiting_clients(&self) -> impl Iterator<Item = ConnectionId> {
        self.turns.iter().copied()
    }

    /// Bytes of the log that are set aside for a borrower.
    pub(crate) fn reserved_room(&self) -> u64 {
        self.permit.map_or(0, |permit| permit.room) + self.kept_room()
    }

    /// Bytes of the log that are set aside for long commands.
    pub(crate) fn kept_room(&self) -> u64 {
        self.kept.iter().map(|(_, room)| room).sum()
    }

    /// `may_join`: it may run in the session under way. Its client is prompt, and nothing of it
    /// waits at a lender, where it would come behind the job.
    pub(crate) fn add_job(&mut self, job: Job, may_join: bool) {
        let client = job.address.connection;
        let waits = self.lanes.contains_key(&client);
        let may_join = may_join && !self.is_behind_long(client);
        if let Some(session) = &mut self.session
            && may_join
            && !session.is_long
            && !waits
            && session.patient.iter().all(|one| one.address.connection != client)
            && job.slices.is_subset(&session.slices)
            && job.room <= session.room
            && session.jobs.len() < CLIENT_JOBS_MAX
        {
            session.jobs.push_back(job);
        } else {
            if !waits {
                self.turns.push_back(client);
            }
            self.lanes.entry(client).or_default().push_back(job);
        }
    }

    /// What the prompt were replied cut a session short, or did not.
    pub(crate) fn note_session(&mut self, was_cut: bool) {
        self.client_jobs = match was_cut {
            true => 1,
            false => (2 * self.client_jobs).min(CLIENT_JOBS_MAX),
        };
    }

    /// Jobs that could not run in their session come first in the next.
    pub(crate) fn return_jobs(&mut self, jobs: VecDeque<Job>) {
        if jobs.is_empty() {
            return;
        }
        let mut known = Set::default();
        let mut clients: Vec<ConnectionId> =
            jobs.iter().map(|job| job.address.connection).collect();
        clients.retain(|client| known.insert(*client));
        self.turns.retain(|client| !known.contains(client));
        clients.into_iter().rev().for_each(|client| self.turns.push_front(client));
        for job in jobs.into_iter().rev() {
            self.lanes.entry(job.address.connection).or_default().push_front(job);
        }
        assert!(self.turns.len() == self.lanes.len());
    }

    /// Opens a session for the jobs that wait, if there are any and none is under way.
    /// True if there is one now: [`next_request`](Self::next_request) tells whom to ask.
    /// `sent_ahead`: has the client requests under way other than jobs?
    pub(crate) fn open_session(
        &mut self,
        claim: impl Fn(ConnectionId) -> Claim,
        sent_ahead: impl Fn(ConnectionId) -> bool,
    ) -> bool {
        if self.session.is_some() {
            return false;
        }
        let (jobs, patient) = self.take_jobs(claim);
        if jobs.is_empty() && patient.is_empty() {
            return false;
        }
        self.begin_session(jobs, patient, false, sent_ahead);
        true
    }

    fn begin_session(
        &mut self,
        jobs: VecDeque<Job>,
        patient: VecDeque<Job>,
        is_long: bool,
        sent_ahead: impl Fn(ConnectionId) -> bool,
    ) {
        let mut slices = SliceSet::default();
        let mut room = ROOM_MIN;
        let mut clients = Set::default();
        for job in jobs.iter().chain(&patient) {
            slices.extend(&job.slices);
            room = room.max(job.room);
            let client = job.address.connection;
            if sent_ahead(client) {
                clients.insert(client);
            }
        }
        let mut missing: Vec<CoreId> =
            slices.iter().map(|slice| self.topology.owner(slice)).collect();
        missing.sort_unstable();
        missing.dedup();
        let missing = missing.into();
        let refusal = None;
        self.session =
            Some(Session { slices, room, missing, jobs, patient, clients, refusal, is_long });
    }

    /// The jobs of the next session, of the prompt and of the patient: the first of each client, so
    /// that one that has many does not hold up those that have few. At least one of the patient is
    /// among them, if there is any.
    fn take_jobs(
        &mut self,
        claim: impl Fn(ConnectionId) -> Claim,
    ) -> (VecDeque<Job>, VecDeque<Job>) {
        let (mut jobs, mut patient) = (VecDeque::new(), VecDeque::new());
        let (mut passed, mut served) = (VecDeque::new(), VecDeque::new());
        let mut size_left = SESSION_REPLIES_SIZE;
        for client in std::mem::take(&mut self.turns) {
            let is_behind_long = self.is_behind_long(client);
            let lane = self.lanes.get_mut(&client).expect("a client in turn has a lane");
            let (into, count) = match claim(client) {
                _ if is_behind_long => (&mut patient, 0),
                Claim::Prompt => {
                    let count = self.client_jobs.min(SESSION_JOBS_MAX - jobs.len());
                    (&mut jobs, count.min(lane.len()))
                }
                Claim::Patient { size } => {
                    let fitting = size_left.div_ceil(size).min(CLIENT_JOBS_MAX);
                    let count = fitting.min(lane.len());
                    size_left = size_left.saturating_sub(count * size);
                    (&mut patient, count)
                }
                Claim::Later | Claim::Nothing => (&mut patient, 0),
            };
            into.extend(lane.drain(..count));
            if lane.is_empty() {
                self.lanes.remove(&client);
            } else if count == 0 {
                passed.push_back(client);
            } else {
                served.push_back(client);
            }
        }
        passed.append(&mut served);
        self.turns = passed;
        assert!(self.turns.len() == self.lanes.len());
        (jobs, patient)
    }

    /// Whom to ask for what next, right after a session was opened or went on.
    pub(crate) fn next_request(&self) -> Option<(CoreId, LoanRequest)> {
        let session = self.session.as_ref()?;
        let lender = *session.missing.front()?;
        let mut slices = SliceSet::default();
        for slice in session.slices.iter() {
            if self.topology.owner(slice) == lender {
                slices.insert(slice);
            }
        }
        Some((
            lender,
            LoanRequest {
                borrower: self.core,
                slices,
                room: session.room,
                clients: session.clients.clone(),
            },
        ))
    }

    /// The core that was asked has granted. True if nothing is missing any more.
    pub(crate) fn note_grant(&mut self, lender: CoreId, refusal: Option<String>) -> bool {
        let session = self.session.as_mut().expect("only a session asks for slices");
        let asked = session.missing.pop_front();
        assert!(asked == Some(lender), "one core is asked at a time");
        if refusal.is_some() {
            session.refusal = refusal;
        }
        session.missing.is_empty()
    }

    /// Does the session under way miss nothing any more?
    pub(crate) fn is_complete(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.missing.is_empty())
    }

    /// The session has all it needs: its jobs run now.
    pub(crate) fn take_session(&mut self) -> Session {
        let session = self.session.take().expect("the session is complete");
        assert!(session.missing.is_empty());
        session
    }

    pub(crate) fn queue_request(&mut self, request: LoanRequest) {
        self.requests.push_back(request);
    }

    /// The request whose turn it is, if no session has the permit: the first whose slices no long
    /// command has.
    pub(crate) fn first_request(
        &self,
        are_here: impl Fn(&SliceSet) -> bool,
    ) -> Option<(usize, &LoanRequest)> {
        if self.permit.is_some() {
            return None;
        }
        self.requests.iter().enumerate().find(|(_, request)| are_here(&request.slices))
    }

    /// Gives the permit to the request at this place, and the room it asks for if there is.
    pub(crate) fn grant(&mut self, at: usize, has_room: bool) -> LoanRequest {
        assert!(self.permit.is_none());
        let request = self.requests.remove(at).expect("the caller looked");
        let room = if has_room { request.room } else { 0 };
        self.permit = Some(Permit { holder: request.borrower, room });
        request
    }

    /// The session of `holder` is over.
    pub(crate) fn release(&mut self, holder: CoreId) {
        let permit = self.permit.take().expect("only a holder gives its permit back");
        assert!(permit.holder == holder);
    }
}
