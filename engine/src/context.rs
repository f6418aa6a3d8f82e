//! What a handler gets to work with, and the two kinds of handlers there are on a keyspace.

use std::fmt;
use std::ops::Deref;

use crate::batch::Batch;
use crate::command::{Access, Runs};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::keyspace::Keyspace;
use crate::reply::ReplySink;

/// The words after the command's name.
pub type Args<'a> = &'a [&'a [u8]];

/// A handler. It writes one whole reply, or returns an error and has written and changed nothing.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    Read(fn(&mut ReadCx<'_>, Args<'_>) -> Result<(), CommandError>),
    Write(fn(&mut WriteCx<'_>, Args<'_>) -> Result<(), CommandError>),
}

impl Runs for Run {
    fn access(&self) -> Access {
        match self {
            Run::Read(_) => Access::Read,
            Run::Write(_) => Access::Write,
        }
    }
}

/// What a read gets.
pub struct ReadCx<'a> {
    pub keyspace: &'a Keyspace,
    /// The database the client selected.
    pub db: u16,
    /// The stamp of the open batch: the only clock of the keyspace.
    pub now_ms: u64,
    pub reply: &'a mut dyn ReplySink,
}

/// What a write gets. It may read the keyspace and change it by [`apply`](Self::apply) only.
pub struct WriteCx<'a> {
    pub keyspace: KeyspaceWriter<'a>,
    /// The database the client selected.
    pub db: u16,
    /// The stamp of the open batch: the only clock of the keyspace.
    pub now_ms: u64,
    pub reply: &'a mut dyn ReplySink,
}

impl WriteCx<'_> {
    /// Changes the keyspace and logs the change, in one step.
    ///
    /// # Panics
    ///
    /// If the effect changes nothing although it should: a handler looks before it deletes.
    pub fn apply(&mut self, effect: Effect<'_>) {
        self.keyspace.apply(effect);
    }
}

/// A keyspace that can be read, and changed only together with the batch that logs the change.
#[derive(Debug)]
pub struct KeyspaceWriter<'a> {
    keyspace: &'a mut Keyspace,
    batch: &'a mut Batch,
}

impl<'a> KeyspaceWriter<'a> {
    pub fn new(keyspace: &'a mut Keyspace, batch: &'a mut Batch) -> Self {
        Self { keyspace, batch }
    }

    /// Changes the keyspace and logs the change, in one step; see [`WriteCx::apply`].
    pub fn apply(&mut self, effect: Effect<'_>) {
        self.keyspace.replay(&effect).expect("a handler applies only what changes something");
        self.batch.append(&effect, self.keyspace);
    }
}

impl Deref for KeyspaceWriter<'_> {
    type Target = Keyspace;

    fn deref(&self) -> &Keyspace {
        self.keyspace
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
