//! Answers that a core owes: what it was asked is not so yet.

use base::Now;

use crate::ask::{Answer, AnswerBody, AskId};
use crate::event::{InForce, Pending};
use crate::node::Node;
use crate::parcel::{Gates, Message};
use crate::settings::SETTINGS;

/// A question that is answered later. Owner: core.
#[derive(Debug)]
pub(crate) struct Deferred {
    id: AskId,
    /// When it is answered at the latest: microseconds of the monotonic clock; None: whenever.
    deadline_us: Option<u64>,
    until: Until,
}

/// What an answer waits for.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    /// Its deadline, and nothing else.
    Deadline,
    /// These entries of the core's own slices.
    Settled(Gates),
    /// All own slices are here: their digest is the answer.
    Here,
    /// The configuration file is written.
    Rewritten,
    /// All own slices are snapshotted, or that has failed.
    Saved,
}

impl Node {
    pub(crate) fn defer(&mut self, id: AskId, until: Until, deadline_us: Option<u64>) {
        self.deferred.push(Deferred { id, deadline_us, until });
    }

    /// When the next owed answer is due.
    pub(crate) fn deferred_us(&self) -> Option<u64> {
        self.deferred.iter().filter_map(|one| one.deadline_us).min()
    }

    /// Gives the answers that are due.
    pub(crate) fn answer_deferred(&mut self, now: Now) {
        if self.deferred.is_empty() {
            return;
        }
        let deferred = std::mem::take(&mut self.deferred);
        for one in deferred {
            let is_late = one.deadline_us.is_some_and(|at| at <= now.monotonic_us);
            let is_so = match &one.until {
                Until::Deadline => is_late,
                Until::Rewritten => false,
                Until::Here if !self.slices.are_here() => false,
                Until::Here => {
                    let answer = self.digest_all();
                    self.give_answer(one.id, answer);
                    continue;
                }
                Until::Saved if self.is_saving() => false,
                Until::Saved => {
                    let body = match self.snapshots.saves.has_failed {
                        true => AnswerBody::Failed("a snapshot failed".to_owned()),
                        false => AnswerBody::IsSo(true),
                    };
                    self.give_answer(one.id, Answer { body, gates: Gates::new() });
                    continue;
                }
                Until::Settled(gates) => {
                    gates.iter().all(|gate| gate.index <= self.slices.settled(gate.slice))
                }
            };
            if is_so || is_late {
                let body = AnswerBody::IsSo(is_so);
                self.give_answer(one.id, Answer { body, gates: Gates::new() });
            } else {
                self.deferred.push(one);
            }
        }
    }

    pub(crate) fn rewrite_config(&mut self, id: AskId) {
        let settings = SETTINGS.iter().map(|setting| {
            let value = setting.value(&self.settings);
            let is_changed = value != setting.value(&self.settings_at_start);
            InForce { name: setting.name, value, is_changed }
        });
        let settings = settings.collect();
        let file = self.config.facts.config_file.clone();
        self.outputs.push_back(Pending::RewriteConfig { file, settings });
        self.defer(id, Until::Rewritten, None);
    }

    /// The file is written for whoever asked first.
    pub(crate) fn note_rewritten(&mut self, result: Result<(), String>) {
        let is_it = |one: &Deferred| matches!(one.until, Until::Rewritten);
        let at = self.deferred.iter().position(is_it);
        let asker = self.deferred.remove(at.expect("somebody asked for it"));
        let body = match result {
            Ok(()) => AnswerBody::Done,
            Err(why) => AnswerBody::Failed(why),
        };
        self.give_answer(asker.id, Answer { body, gates: Gates::new() });
    }

    /// Sends an answer to the core that asked.
    pub(crate) fn give_answer(&mut self, id: AskId, answer: Answer) {
        if id.core == self.core {
            self.note_answer(self.core, id, answer);
        } else {
            self.note_interest(id.core, &answer.gates);
            self.outbox.to(id.core).add_message(Message::Answered { id, answer });
        }
    }
}
