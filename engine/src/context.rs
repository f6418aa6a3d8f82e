//! What a handler gets to work with, and the kinds of handlers there are on keys.
//!
//! A handler never sees an expired key. Before it runs, [`crate::expire()`] deletes, by effects,
//! those of the keys it names that have expired; the lookups here would hide them all the same.

use std::fmt;

use base::Prng;

use crate::command::{Access, Command, Runs};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::keyspace::{AccessPolicy, Entry, ReplayError};
use crate::notes::{Class, Classes, Notes};
use crate::reply::ReplySink;
use crate::space::Spaces;

/// The words after the command's name, and after a subcommand's.
pub type Args<'a> = &'a [&'a [u8]];

/// It writes one whole reply, or returns an error and has written and changed nothing.
pub type ReadHandler = fn(&mut ReadCx<'_>, Args<'_>) -> Result<(), CommandError>;

/// It writes one whole reply, or returns an error and has written and changed nothing.
pub type WriteHandler = fn(&mut WriteCx<'_>, Args<'_>) -> Result<(), CommandError>;

/// How a command runs.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// On the slices of the keys it names.
    Read(ReadHandler),
    Write(WriteHandler),
    /// On every slice.
    ReadAll(ReadHandler),
    WriteAll(WriteHandler),
    /// As one of the others; which one, the arguments tell.
    Varying {
        access: Access,
        of: fn(Args<'_>) -> Run,
    },
    /// On nothing: it says what it always says.
    Plain(fn(&mut dyn ReplySink)),
    /// By its subcommand.
    Container(&'static [Command<Run>]),
}

impl Run {
    /// How the command runs with these arguments: never [`Varying`](Run::Varying).
    #[must_use]
    pub fn with(self, args: Args<'_>) -> Self {
        match self {
            Run::Varying { of, .. } => of(args),
            run => run,
        }
    }
}

impl Runs for Run {
    fn access(&self) -> Access {
        match self {
            Run::Read(_) | Run::ReadAll(_) => Access::Read,
            Run::Write(_) | Run::WriteAll(_) => Access::Write,
            Run::Varying { access, .. } => *access,
            Run::Plain(_) | Run::Container(_) => Access::None,
        }
    }

    fn subcommands(&self) -> &'static [Command<Self>] {
        match self {
            Run::Container(subcommands) => subcommands,
            _ => &[],
        }
    }
}

/// How a client's looking at keys is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessMode {
    /// Follows from `maxmemory-policy`.
    pub policy: AccessPolicy,
    /// False under CLIENT NO-TOUCH.
    pub touches: bool,
}

/// What a read gets.
pub struct ReadCx<'a> {
    pub spaces: &'a Spaces<'a>,
    /// The database the client selected.
    pub db: u16,
    /// The stamp of the open batch: the only clock of the keyspace.
    pub now_ms: u64,
    pub access: AccessMode,
    /// The notifications someone wants.
    pub notify_classes: Classes,
    pub prng: &'a mut Prng,
    pub notes: &'a mut Notes,
    pub reply: &'a mut dyn ReplySink,
}

/// What a write gets. It may read the slices and change them by [`apply`](Self::apply) only.
pub struct WriteCx<'a> {
    pub spaces: Spaces<'a>,
    /// The database the client selected.
    pub db: u16,
    /// The stamp of the open batch: the only clock of the keyspace.
    pub now_ms: u64,
    pub access: AccessMode,
    /// The notifications someone wants.
    pub notify_classes: Classes,
    pub prng: &'a mut Prng,
    pub notes: &'a mut Notes,
    pub reply: &'a mut dyn ReplySink,
}

/// What a lookup leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// A client reads the value: it counts, and the key was used.
    Read,
    /// A client asks about the key: it counts.
    Ask,
    /// As `Ask`, and nobody is told of a miss.
    AskQuietly,
    /// It is part of a change: the key was used.
    Change,
}

impl<'a> ReadCx<'a> {
    /// What the key holds.
    pub(crate) fn look(&mut self, lookup: Lookup, key: &[u8]) -> Option<Entry<'a>> {
        let entry = self.spaces.live(self.db, key, self.now_ms);
        let (access, now_ms) = (self.access, self.now_ms);
        note(self.notes, self.notify_classes, lookup, (self.db, key), entry.is_some());
        touch(self.spaces, entry, access, now_ms, lookup, self.prng);
        entry
    }

    /// The string the key holds, for a client to read.
    pub(crate) fn string(&mut self, key: &[u8]) -> Result<Option<&'a [u8]>, CommandError> {
        self.look(Lookup::Read, key).map(string_of).transpose()
    }
}

impl WriteCx<'_> {
    /// Changes the slice of the effect's key and logs the change, in one step.
    ///
    /// # Panics
    ///
    /// If the effect is on more than one key, or does not fit what is there: a handler looks
    /// before it deletes.
    pub fn apply(&mut self, effect: Effect<'_>) {
        self.try_apply(effect).expect("only what fits what is there is applied");
    }

    /// As [`apply`](Self::apply), of an effect that may not fit, as one that holds what a client
    /// sent: changes nothing then, and logs nothing.
    pub(crate) fn try_apply(&mut self, effect: Effect<'_>) -> Result<(), ReplayError> {
        let (db, key) = effect.place().expect("an effect on all keys goes to all slices");
        let is_new = effect.may_create()
            && self.notify_classes.contains(Class::New)
            && self.spaces.find(db, key).is_none();
        self.apply_quietly(&effect)?;
        if is_new {
            self.notify_in(db, Class::New, "new", key);
        }
        Ok(())
    }

    /// As [`apply`](Self::apply), of an effect that puts something in the place of what the same
    /// command deleted: nobody is told of a new key.
    pub(crate) fn replace(&mut self, effect: Effect<'_>) {
        self.apply_quietly(&effect).expect("only what fits what is there is applied");
    }

    fn apply_quietly(&mut self, effect: &Effect<'_>) -> Result<(), ReplayError> {
        let (db, key) = effect.place().expect("an effect on all keys goes to all slices");
        self.spaces.try_apply(effect)?;
        if effect.may_create() {
            // A key just set is one just used, whoever set it.
            let mode = AccessMode { touches: true, ..self.access };
            let entry = self.spaces.find(db, key);
            touch(&self.spaces, entry, mode, self.now_ms, Lookup::Change, self.prng);
        }
        Ok(())
    }

    /// What the key holds. A handler that replies with it looks again, at `spaces` alone.
    pub(crate) fn look(&mut self, lookup: Lookup, key: &[u8]) -> Option<Entry<'_>> {
        self.look_in(self.db, lookup, key)
    }

    pub(crate) fn look_in(&mut self, db: u16, lookup: Lookup, key: &[u8]) -> Option<Entry<'_>> {
        let entry = self.spaces.live(db, key, self.now_ms);
        let (access, now_ms) = (self.access, self.now_ms);
        note(self.notes, self.notify_classes, lookup, (db, key), entry.is_some());
        touch(&self.spaces, entry, access, now_ms, lookup, self.prng);
        entry
    }

    /// The string the key holds.
    pub(crate) fn string(
        &mut self,
        lookup: Lookup,
        key: &[u8],
    ) -> Result<Option<&[u8]>, CommandError> {
        self.look(lookup, key).map(string_of).transpose()
    }

    /// Gathers a keyspace notification, if its class is wanted.
    pub fn notify(&mut self, class: Class, name: &'static str, key: &[u8]) {
        self.notify_in(self.db, class, name, key);
    }

    pub(crate) fn notify_in(&mut self, db: u16, class: Class, name: &'static str, key: &[u8]) {
        self.notes.notify(self.notify_classes, class, name, (db, key));
    }
}

pub(crate) fn string_of(entry: Entry<'_>) -> Result<&[u8], CommandError> {
    entry.string().ok_or(CommandError::WrongType)
}

fn note(notes: &mut Notes, wanted: Classes, lookup: Lookup, place: (u16, &[u8]), is_there: bool) {
    match lookup {
        Lookup::Change => {}
        _ if is_there => notes.lookups.hits += 1,
        Lookup::AskQuietly => notes.lookups.misses += 1,
        Lookup::Read | Lookup::Ask => {
            notes.lookups.misses += 1;
            notes.notify(wanted, Class::KeyMiss, "keymiss", place);
        }
    }
}

fn touch(
    spaces: &Spaces<'_>,
    entry: Option<Entry<'_>>,
    access: AccessMode,
    now_ms: u64,
    lookup: Lookup,
    prng: &mut Prng,
) {
    let Some(entry) = entry else { return };
    if access.touches && matches!(lookup, Lookup::Read | Lookup::Change) {
        spaces.of(entry.key()).keyspace.touch(entry, now_ms, access.policy, prng.bits());
    }
}

impl fmt::Debug for ReadCx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadCx")
            .field("db", &self.db)
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WriteCx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteCx")
            .field("db", &self.db)
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}
