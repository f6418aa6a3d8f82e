//! What one core asks all of them, for commands about the node as a whole.
//!
//! A command such as INFO asks each core and makes one reply of the answers. Its client is held
//! meanwhile; the request is looked at again when the last answer is there.

use std::sync::Arc;

use base::{ConnectionId, CoreId, Now};

use crate::commands::CoreFacts;
use crate::node::Node;
use crate::parcel::{Gates, Message};

/// What is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// Counters and sizes, for INFO.
    Facts,
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
}

impl Asking {
    fn new(id: AskId, cores: u16) -> Self {
        let answers = (0..cores).map(|_| None).collect();
        Self { id, answers, left: usize::from(cores) }
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
        let mut asking = Asking::new(id, self.topology.cores());
        asking.note(self.core, self.answer(&question, now));
        let question = Arc::new(question);
        for core in self.topology.others(self.core) {
            let question = Arc::clone(&question);
            self.outbox.to(core).add_message(Message::Asked { id, question });
        }
        asking
    }

    /// What this core says.
    pub(crate) fn answer(&mut self, question: &Question, now: Now) -> Answer {
        match question {
            Question::Facts => {
                let facts = CoreFacts::of(self, now);
                Answer { body: AnswerBody::Facts(Box::new(facts)), gates: self.open_gates() }
            }
        }
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
