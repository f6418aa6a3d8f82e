//! CLIENT PAUSE: the clients of every core are held, and go on in their own order afterwards.
//!
//! A client is held in front of the first command that must not run; nothing of it runs before
//! that command, so its order is kept. Every core pauses before the command is answered.
//!
//! A pause of whatever scope is for who wants the data to stand still: nothing is evicted, and what
//! expires is hidden and stays. Hiding is logged all the same, or a slower clock would show again
//! what was said to be gone (PROTOCOL F24): see `engine::hide`.

use base::{ConnectionId, Now};
use engine::Command;

use crate::clients::queue_run;
use crate::node::Node;
use crate::registry::{Control, Run};
use crate::session::Session;

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// When it ends: microseconds of the monotonic clock. None: nobody is paused.
    until_us: Option<u64>,
    scope: PauseScope,
    held: Vec<ConnectionId>,
}

/// Which commands are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PauseScope {
    #[default]
    Writes,
    All,
}

impl Pause {
    pub(crate) fn until_us(&self) -> Option<u64> {
        self.until_us
    }

    /// What INFO calls it.
    pub(crate) fn scope(&self) -> Option<PauseScope> {
        self.until_us.map(|_| self.scope)
    }

    pub(crate) fn hold(&mut self, client: ConnectionId) {
        self.held.push(client);
    }

    pub(crate) fn held_count(&self) -> usize {
        self.held.len()
    }
}

impl Node {
    /// Pauses this core's clients. A pause that is there already is only ever extended.
    pub(crate) fn pause(&mut self, until_us: u64, scope: PauseScope) {
        let pause = &mut self.pause;
        pause.scope = match pause.until_us {
            Some(_) => pause.scope.max(scope),
            None => scope,
        };
        pause.until_us = Some(pause.until_us.unwrap_or_default().max(until_us));
    }

    /// Lets the clients go on that were held.
    pub(crate) fn unpause(&mut self) {
        self.pause.until_us = None;
        self.expiry.wake_at(0);
        for id in std::mem::take(&mut self.pause.held) {
            if let Some(session) = self.sessions.get_mut(id) {
                queue_run(&mut self.runnable, session);
            }
        }
    }

    pub(crate) fn end_pause(&mut self, now: Now) {
        if self.pause.until_us.is_some_and(|at| at <= now.monotonic_us) {
            self.unpause();
        }
    }

    /// Are clients paused, so that nothing may be deleted?
    pub(crate) fn is_pausing(&self, now: Now) -> bool {
        self.pause.until_us.is_some_and(|at| now.monotonic_us < at)
    }

    /// Must the command wait until the pause ends?
    pub(crate) fn is_paused(&self, session: &Session, command: &Command<Run>, now: Now) -> bool {
        let Some(until_us) = self.pause.until_us else { return false };
        if until_us <= now.monotonic_us || command.name == "client|unpause" {
            return false;
        }
        // What the other cores were asked, they did: CLIENT PAUSE itself, and an EXEC that holds it.
        let has_asked = session.client.transaction.as_ref().is_some_and(|one| one.has_asked());
        let is_exec = matches!(command.run, Run::Control(Control::Exec));
        if session.asking.is_some() || (has_asked && is_exec) {
            return false;
        }
        let writes = match command.run {
            Run::Control(Control::Exec) => {
                session.client.transaction.as_ref().is_some_and(|queued| queued.has_write())
            }
            _ => command.is_write() || command.name == "publish" || command.name == "spublish",
        };
        writes || self.pause.scope == PauseScope::All
    }
}
