//! What one core asks all of them, for commands about the node as a whole.
//!
//! A command such as INFO asks each core and makes one reply of the answers. Its client is held
//! meanwhile; the request is looked at again when the last answer is there.

use std::sync::Arc;

use base::limits::DATABASES;
use base::{ConnectionId, CoreId, Now};

use crate::commands::CoreFacts;
use crate::latency::{LatencyEvent, LatencyLog};
use crate::later::Until;
use crate::node::Node;
use crate::parcel::{Gates, Message};
use crate::pause::PauseScope;
use crate::roster::ClientFacts;
use crate::selection::Selection;
use crate::settings::Settings;
use crate::slow_log::SlowEntry;
use crate::tally::Tally;

/// What is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// Counters and sizes, for INFO; with how long each command took, or without.
    Facts {
        with_histograms: bool,
    },
    /// Which of these clients are here?
    Clients(Selection),
    /// End the connections of these clients.
    Kill(Selection),
    /// Hold the clients until then: microseconds of the monotonic clock.
    Pause {
        until_us: u64,
        scope: PauseScope,
    },
    Unpause,
    /// Let so much time pass on the core that asks: until then, in microseconds.
    Sleep {
        until_us: u64,
    },
    /// Is everything settled that was executed on your slices? Answered when it is, or then.
    Settle {
        until_us: Option<u64>,
    },
    /// What is in your slices?
    Digest,
    /// Snapshot all your slices; answered when that has begun, or when it is done.
    Save {
        waits: bool,
    },
    /// Finish what was accepted.
    Shutdown,
    /// These are the settings from now on.
    Set(Box<Settings>),
    /// Set the counters to zero.
    ResetStats,
    /// The core that asks: have the configuration file written.
    Rewrite,
    /// What has been counted of each command?
    Tally,
    SlowLog,
    ResetSlowLog,
    Latency,
    ResetLatency(Vec<LatencyEvent>),
}

/// What one core says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: AnswerBody,
    /// What must be settled before a client may see it.
    pub(crate) gates: Gates,
}

#[derive(Debug)]
pub(crate) enum AnswerBody {
    Facts(Box<CoreFacts>),
    Clients(Vec<ClientFacts>),
    Count(usize),
    /// It was done.
    Done,
    Failed(String),
    Tally(Box<Tally>),
    SlowLog(Vec<SlowEntry>),
    Latency(Box<LatencyLog>),
    /// It is so by now.
    IsSo(bool),
    Digest {
        digest: u128,
        keys: usize,
    },
}

/// Whose question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskId {
    pub(crate) core: CoreId,
    pub(crate) connection: ConnectionId,
    pub(crate) number: u64,
}

/// The answers so far. Owner: session.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) id: AskId,
    /// By core.
    answers: Vec<Option<Answer>>,
    pub(crate) left: usize,
    /// Microseconds of the monotonic clock.
    pub(crate) asked_us: u64,
}

impl Asking {
    fn new(id: AskId, cores: u16, asked_us: u64) -> Self {
        let answers = (0..cores).map(|_| None).collect();
        Self { id, answers, left: usize::from(cores), asked_us }
    }

    pub(crate) fn note(&mut self, core: CoreId, answer: Answer) {
        let place = &mut self.answers[usize::from(core.0)];
        assert!(place.is_none(), "a core answers once");
        *place = Some(answer);
        self.left -= 1;
    }

    /// One answer of each core, in their order.
    pub(crate) fn into_answers(self) -> Vec<Answer> {
        assert!(self.left == 0);
        self.answers.into_iter().map(|answer| answer.expect("every core has answered")).collect()
    }
}

impl Node {
    /// Asks every core, this one too.
    pub(crate) fn ask(&mut self, connection: ConnectionId, question: Question, now: Now) -> Asking {
        self.asked += 1;
        let id = AskId { core: self.core, connection, number: self.asked };
        let mut asking = Asking::new(id, self.topology.cores(), now.monotonic_us);
        if let Some(answer) = self.answer(id, &question, now) {
            asking.note(self.core, answer);
        }
        let question = Arc::new(question);
        for core in self.topology.others(self.core) {
            let question = Arc::clone(&question);
            self.outbox.to(core).add_message(Message::Asked { id, question });
        }
        asking
    }

    /// What this core says; None: later.
    pub(crate) fn answer(&mut self, id: AskId, question: &Question, now: Now) -> Option<Answer> {
        let body = match question {
            Question::Facts { with_histograms } => {
                let facts = CoreFacts::of(self, *with_histograms, now);
                // What the server tells of itself is no data, and waits for no disk: who asks may
                // want to know what is wrong with it.
                AnswerBody::Facts(Box::new(facts))
            }
            Question::Clients(selection) => AnswerBody::Clients(self.client_facts(selection, now)),
            Question::Kill(selection) => AnswerBody::Count(self.kill_clients(selection, now)),
            Question::Pause { until_us, scope } => {
                self.pause(*until_us, *scope);
                AnswerBody::Done
            }
            Question::Unpause => {
                self.unpause();
                AnswerBody::Done
            }
            Question::Sleep { until_us } => {
                if id.core == self.core {
                    self.defer(id, Until::Deadline, Some(*until_us));
                    return None;
                }
                AnswerBody::Done
            }
            Question::Settle { until_us } => {
                let gates = self.open_gates();
                if !gates.is_empty() {
                    self.defer(id, Until::Settled(gates), *until_us);
                    return None;
                }
                AnswerBody::IsSo(true)
            }
            Question::Digest if !self.slices.are_here() => {
                self.defer(id, Until::Here, None);
                return None;
            }
            Question::Digest => return Some(self.digest_all()),
            Question::Save { waits } => {
                let is_new = self.begin_save(now);
                if *waits && is_new {
                    self.defer(id, Until::Saved, None);
                    return None;
                }
                AnswerBody::IsSo(is_new)
            }
            Question::Shutdown => {
                self.shut_down(now);
                AnswerBody::Done
            }
            Question::Set(settings) => {
                self.set_settings((**settings).clone());
                AnswerBody::Done
            }
            Question::ResetStats => {
                self.stats = crate::stats::Stats::default();
                self.tally.reset();
                AnswerBody::Done
            }
            Question::Rewrite => {
                if id.core == self.core {
                    self.rewrite_config(id);
                    return None;
                }
                AnswerBody::Done
            }
            Question::Tally => AnswerBody::Tally(Box::new(self.tally.clone())),
            Question::SlowLog => AnswerBody::SlowLog(self.slow_log.entries().cloned().collect()),
            Question::ResetSlowLog => {
                self.slow_log.reset();
                AnswerBody::Done
            }
            Question::Latency => AnswerBody::Latency(Box::new(self.latency.clone())),
            Question::ResetLatency(events) => AnswerBody::Count(self.latency.reset(events)),
        };
        Some(Answer { body, gates: Gates::new() })
    }

    /// What is in this core's slices, which are all here.
    pub(crate) fn digest_all(&self) -> Answer {
        let mut digest = 0;
        let mut keys = 0;
        for space in self.slices.spaces() {
            digest ^= space.keyspace.digest();
            keys += (0..DATABASES).map(|db| space.keyspace.len(db)).sum::<usize>();
        }
        Answer { body: AnswerBody::Digest { digest, keys }, gates: self.open_gates() }
    }

    /// What settles last of everything executed on this core's slices.
    pub(crate) fn open_gates(&self) -> Gates {
        let mut gates = Gates::new();
        for slice in self.topology.slices_of(self.core) {
            let group = self.slices.group(slice);
            let is_open = self.slices.is_here(slice) && 0 < self.slices.batch_size(slice);
            let index = if is_open { self.slices.slice(slice).next } else { group.last() };
            if group.settled() < index {
                gates.push(base::Gate { slice, index });
            }
        }
        gates
    }

    /// Another core has answered a client's question.
    pub(crate) fn note_answer(&mut self, core: CoreId, id: AskId, answer: Answer) {
        let Some(session) = self.sessions.get_mut(id.connection) else { return };
        let Some(asking) = &mut session.asking else { return };
        if asking.id == id {
            asking.note(core, answer);
            if asking.is_complete() {
                crate::clients::queue_run(&mut self.runnable, session);
            }
        }
    }
}
