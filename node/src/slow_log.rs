//! The commands that took long, as each core remembers them (SLOWLOG).

use std::collections::VecDeque;

use base::Now;
use engine::{Args, Command};

use crate::node::Node;
use crate::registry::Run;
use crate::session::Client;

/// Owner: core.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    /// The latest first.
    entries: VecDeque<SlowEntry>,
    numbered: u64,
}

/// A command that took long, before it is known whose it was.
#[derive(Clone, Debug)]
pub(crate) struct SlowCommand {
    time_ms: u64,
    us: u64,
    words: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct SlowEntry {
    /// No other entry of any core has it.
    pub(crate) number: u64,
    pub(crate) time_ms: u64,
    pub(crate) us: u64,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) peer: String,
    pub(crate) name: Vec<u8>,
}

/// Words of a command that are kept, and bytes of each, as in Redis.
const WORDS_MAX: usize = 32;
const WORD_SIZE_MAX: usize = 128;

impl SlowCommand {
    pub(crate) fn new(command: &Command<Run>, args: Args<'_>, us: u64, now: Now) -> Self {
        let names = command.name.split('|').map(|name| name.as_bytes());
        let all: Vec<&[u8]> = names.chain(args.iter().copied()).collect();
        let is_secret = matches!(command.name, "auth" | "hello")
            || (command.name == "config|set" && args.iter().any(|arg| is_password(arg)));
        let shown = if WORDS_MAX < all.len() { WORDS_MAX - 1 } else { all.len() };
        let mut words: Vec<Vec<u8>> = Vec::with_capacity(shown + 1);
        for (at, word) in all[..shown].iter().enumerate() {
            words.push(match word.len() {
                _ if is_secret && 0 < at => b"(redacted)".to_vec(),
                size if size <= WORD_SIZE_MAX => word.to_vec(),
                size => {
                    let more = format!("... ({} more bytes)", size - WORD_SIZE_MAX);
                    [&word[..WORD_SIZE_MAX], more.as_bytes()].concat()
                }
            });
        }
        if shown < all.len() {
            words.push(format!("... ({} more arguments)", all.len() - shown).into_bytes());
        }
        Self { time_ms: now.wall_ms, us, words }
    }
}

fn is_password(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"requirepass")
}

impl SlowLog {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    pub(crate) fn reset(&mut self) {
        self.entries.clear();
    }
}

impl Node {
    /// Remembers a slow command of a client of this core, who may have left meanwhile.
    pub(crate) fn note_slow(&mut self, slow: SlowCommand, client: Option<&Client>) {
        let SlowCommand { time_ms, us, words } = slow;
        let log = &mut self.slow_log;
        let number = log.numbered * u64::from(self.topology.cores()) + u64::from(self.core.0);
        log.numbered += 1;
        let peer = client.map(|client| client.peer.to_string()).unwrap_or_default();
        let name = client.map(|client| client.name.clone()).unwrap_or_default();
        log.entries.push_front(SlowEntry { number, time_ms, us, words, peer, name });
        log.entries.truncate(self.settings.slowlog_len_max);
    }

    pub(crate) fn note_slow_elsewhere(&mut self, id: base::ConnectionId, slow: SlowCommand) {
        let session = self.sessions.take(id);
        self.note_slow(slow, session.as_ref().map(|session| &session.client));
        if let Some(session) = session {
            self.sessions.put_back(session);
        }
    }
}
