//! Something that runs once slices of several cores are here.

use engine::Command;

use crate::caller::Caller;
use crate::multi::{Transaction, Watching};
use crate::parcel::{ReturnAddress, Words};
use crate::registry::Run;
use crate::topology::SliceSet;
use crate::watches::WatchId;

/// Owner: the core whose client asked.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) address: ReturnAddress,
    pub(crate) slices: SliceSet,
    /// Bytes its log entries may need, as far as that is known before the values are seen.
    pub(crate) room: u64,
    pub(crate) work: Work,
}

#[derive(Debug)]
pub(crate) enum Work {
    Command {
        caller: Caller,
        command: &'static Command<Run>,
        words: Words,
    },
    Exec {
        transaction: Box<Transaction>,
        watching: Option<Watching>,
    },
    /// WATCH of these keys.
    Watch {
        watch: WatchId,
        database: u16,
        words: Words,
    },
}
