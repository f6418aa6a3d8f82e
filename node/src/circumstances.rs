//! A handler with everything around it that needs the slices only: what has expired goes before it,
//! and what it passed over because it has expired goes behind it. The same on a core and beside it.

use base::Prng;
use engine::{
    AccessMode, Args, Classes, Command, CommandError, Expired, ExpiryLimit, Notes, ReadCx, Spaces,
    WriteCx,
};

use crate::expiry_cycle::DELETE_OVERHEAD;
use crate::registry::Run;
use crate::reply::ReplyWriter;

/// What a handler is told besides its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) command: &'static Command<Run>,
    pub(crate) run: engine::Run,
    pub(crate) database: u16,
    pub(crate) now_ms: u64,
    pub(crate) access: AccessMode,
    pub(crate) notify_classes: Classes,
    /// The log has room for what has expired to be deleted.
    pub(crate) expires: bool,
    /// What has expired stays, and is never seen again: clients are paused.
    pub(crate) hides: bool,
}

impl Circumstances {
    /// Runs the handler. Returns what was deleted before it because it had expired.
    pub(crate) fn perform(
        &self,
        mut spaces: Spaces<'_>,
        args: Args<'_>,
        prng: &mut Prng,
        notes: &mut Notes,
        reply: &mut ReplyWriter<'_>,
    ) -> (Expired, Result<(), CommandError>) {
        let Self { command, run, database: db, now_ms, access, notify_classes, .. } = *self;
        let mut expired = Expired::default();
        if self.expires {
            let hide = if self.hides { engine::hide } else { engine::expire };
            expired = hide(&mut spaces, command, args, db, now_ms, notify_classes, notes);
        }
        let result = match run {
            engine::Run::Read(handler) | engine::Run::ReadAll(handler) => {
                let spaces = &spaces;
                let mut cx =
                    ReadCx { spaces, db, now_ms, access, notify_classes, prng, notes, reply };
                handler(&mut cx, args)
            }
            engine::Run::Write(handler) | engine::Run::WriteAll(handler) => {
                let mut cx =
                    WriteCx { spaces, db, now_ms, access, notify_classes, prng, notes, reply };
                handler(&mut cx, args)
            }
            engine::Run::Plain(handler) => {
                handler(reply);
                Ok(())
            }
            engine::Run::Container(_) => unreachable!("a container is resolved to its subcommand"),
            engine::Run::Varying { .. } => unreachable!("the arguments told how it runs"),
        };
        (expired, result)
    }

    /// Keys that a command over all of them passed over because they have expired go now: their
    /// absence was seen (PROTOCOL F24). Only if the log has room for all: `spare` bytes. Returns what
    /// went.
    pub(crate) fn delete_hidden(
        &self,
        spaces: &mut Spaces<'_>,
        notes: &mut Notes,
        spare: usize,
    ) -> Expired {
        let hidden = std::mem::take(&mut notes.hidden);
        let needed: usize = hidden.iter().map(|(_, key)| key.len() + DELETE_OVERHEAD).sum();
        let mut expired = Expired::default();
        let Some(more) = spare.checked_sub(needed) else { return expired };
        let more = more / hidden.len().max(1);
        let hide = if self.hides { engine::hide_key } else { engine::expire_key };
        for (db, key) in hidden {
            // A hash may have many fields that are over.
            let bytes = key.len() + DELETE_OVERHEAD + more;
            let limit = ExpiryLimit { fields: usize::MAX, bytes };
            let wanted = self.notify_classes;
            expired.add(hide(spaces, db, &key, self.now_ms, limit, wanted, notes));
        }
        expired
    }
}
