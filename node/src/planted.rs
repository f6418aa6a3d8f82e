//! Bugs the simulator must be able to find (DESIGN section 13).
//!
//! Without the feature `planted` there are none: every question is answered `false` at build
//! time.

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Every parked reply leaves at once.
    ReplyBeforeCommit,
    /// A read never waits.
    LeakUncommittedRead,
    /// A read that finds nothing never waits (PROTOCOL F23).
    ForgetMissGate,
    /// FLUSHALL does not make reads wait (PROTOCOL F23).
    ForgetFloor,
    /// A write command without effect never waits (PROTOCOL F22).
    NoEffectUnparked,
    /// What one command wrote in several slices is logged without fragments.
    ForgetFragment,
    /// A slice that was only read never takes part (PROTOCOL F4).
    ForgetReadFragment,
    /// A slice says yes before its fragment is committed (PROTOCOL F6).
    SayYesEarly,
    /// What is committed is shown, decided or not.
    ShowCommitted,
    /// Recovery takes an entry in a void range for one that counts (PROTOCOL F1).
    ForgetVoid,
    /// Recovery voids a fragment and not what was executed on top of it (PROTOCOL F2).
    ShortVoid,
    /// Recovery says yes to a fragment while an earlier one is in doubt (PROTOCOL F1, F6).
    AnswerEarly,
    /// EXEC goes on although a watched key has changed.
    ForgetWatch,
    /// Now and then an effect is applied and not logged.
    DropEffect,
    /// A snapshot is published although its index is not settled (PROTOCOL I6).
    PublishUnsettled,
    /// A snapshot's walker does not save a key before it changes.
    ForgetSave,
    /// Recovery passes over the first entry behind a snapshot.
    SkipBehindSnapshot,
    /// A core sleeps although a write that waited has room.
    SleepOverRoom,
}

/// The bugs in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted")]
    plants: Vec<Plant>,
}

impl Planted {
    #[cfg(feature = "planted")]
    pub(crate) fn plant(&mut self, plant: Plant) {
        self.plants.push(plant);
    }

    #[cfg(not(feature = "planted"))]
    pub(crate) fn plant(&mut self, _: Plant) {}

    #[cfg(feature = "planted")]
    pub(crate) fn is(&self, plant: Plant) -> bool {
        self.plants.contains(&plant)
    }

    #[cfg(not(feature = "planted"))]
    #[expect(clippy::unused_self, reason = "the same call with the feature on")]
    pub(crate) fn is(&self, _: Plant) -> bool {
        false
    }
}
