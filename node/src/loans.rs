//! Commands over slices of several cores: who has lent what to whom, and what waits for it.
//!
//! A borrower gathers the commands of its clients that need slices of other cores as *jobs*, and
//! serves all of them with one *session*: it asks each core for the slices it needs, in the order
//! of the cores, its own among them, runs the jobs as ordinary code, and gives the slices back. A
//! core lends to one session at a time, itself included: that and the fixed order exclude
//! deadlock. While a session is under way the next jobs gather.
//!
//! # Invariants
//!
//! * A core's slices are all here unless its permit is another core's.
//! * Jobs run in the order in which they came.

use std::collections::VecDeque;

use base::{ConnectionId, CoreId, Map};

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
    /// Jobs for the next session.
    jobs: VecDeque<Job>,
    /// How many of them it takes of one client: one, after a session that large replies cut short.
    client_jobs: usize,
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
    /// A log that takes no writes, and why.
    pub(crate) refusal: Option<String>,
}

/// The least a session asks room for: bytes.
const ROOM_MIN: u64 = 256 * 1024;

/// Jobs that one session serves, of all clients and of one.
const SESSION_JOBS_MAX: usize = 1024;
const CLIENT_JOBS_MAX: usize = 32;

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
            jobs: VecDeque::new(),
            client_jobs: CLIENT_JOBS_MAX,
        }
    }

    /// Nothing waits, nothing is lent or borrowed.
    pub(crate) fn is_idle(&self) -> bool {
        self.permit.is_none()
            && self.requests.is_empty()
            && self.session.is_none()
            && self.jobs.is_empty()
    }

    /// Commands of this core's clients wait for slices of others.
    pub(crate) fn has_jobs(&self) -> bool {
        self.session.is_some() || !self.jobs.is_empty()
    }

    /// Jobs wait, and nothing is under way that they wait for.
    pub(crate) fn may_open_session(&self) -> bool {
        self.session.is_none() && !self.jobs.is_empty()
    }

    /// Bytes of the log that are set aside for a borrower.
    pub(crate) fn reserved_room(&self) -> u64 {
        self.permit.map_or(0, |permit| permit.room)
    }

    /// `may_join`: nothing of its client waits at a lender, where it would come behind the job.
    pub(crate) fn add_job(&mut self, job: Job, may_join: bool) {
        if let Some(session) = &mut self.session
            && may_join
            && self.jobs.is_empty()
            && job.slices.is_subset(&session.slices)
            && job.room <= session.room
            && session.jobs.len() < CLIENT_JOBS_MAX
        {
            session.jobs.push_back(job);
        } else {
            self.jobs.push_back(job);
        }
    }

    /// A session was cut short, because what it replied is large, or was not.
    pub(crate) fn note_session(&mut self, was_cut: bool) {
        self.client_jobs = match was_cut {
            true => 1,
            false => (2 * self.client_jobs).min(CLIENT_JOBS_MAX),
        };
    }

    /// A job that could not run in its session comes first in the next.
    pub(crate) fn return_jobs(&mut self, jobs: VecDeque<Job>) {
        for job in jobs.into_iter().rev() {
            self.jobs.push_front(job);
        }
    }

    /// Opens a session for the jobs that wait, if there are any and none is under way.
    /// True if there is one now: [`next_request`](Self::next_request) tells whom to ask.
    pub(crate) fn open_session(&mut self) -> bool {
        if !self.may_open_session() {
            return false;
        }
        let jobs = self.take_jobs();
        let mut slices = SliceSet::default();
        let mut room = ROOM_MIN;
        for job in &jobs {
            slices.extend(&job.slices);
            room = room.max(job.room);
        }
        let mut missing: Vec<CoreId> =
            slices.iter().map(|slice| self.topology.owner(slice)).collect();
        missing.sort_unstable();
        missing.dedup();
        let missing = missing.into();
        self.session = Some(Session { slices, room, missing, jobs, refusal: None });
        true
    }

    /// The jobs of the next session: the first of each client, so that one that has many does not
    /// hold up those that have few. Each client's keep their order.
    fn take_jobs(&mut self) -> VecDeque<Job> {
        let mut taken: Map<ConnectionId, usize> = Map::default();
        let (mut jobs, mut left) = (VecDeque::new(), VecDeque::new());
        while let Some(job) = self.jobs.pop_front() {
            let of_client = taken.entry(job.address.connection).or_default();
            if *of_client < self.client_jobs && jobs.len() < SESSION_JOBS_MAX {
                *of_client += 1;
                jobs.push_back(job);
            } else {
                // What comes later of this client comes after it.
                *of_client = self.client_jobs;
                left.push_back(job);
            }
        }
        self.jobs = left;
        jobs
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
        Some((lender, LoanRequest { borrower: self.core, slices, room: session.room }))
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

    /// The request whose turn it is, if no session has the permit.
    pub(crate) fn first_request(&self) -> Option<&LoanRequest> {
        if self.permit.is_some() { None } else { self.requests.front() }
    }

    /// Gives the permit to the first request.
    pub(crate) fn grant_first(&mut self, room: u64) -> LoanRequest {
        assert!(self.permit.is_none());
        let request = self.requests.pop_front().expect("the caller looked");
        self.permit = Some(Permit { holder: request.borrower, room });
        request
    }

    /// The session of `holder` is over.
    pub(crate) fn release(&mut self, holder: CoreId) {
        let permit = self.permit.take().expect("only a holder gives its permit back");
        assert!(permit.holder == holder);
    }
}
