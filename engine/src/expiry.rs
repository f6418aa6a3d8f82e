//! Keys whose time has come go by effects, before anyone can see that they are gone.
//!
//! A key hidden by a clock alone would come back with a slower clock (PROTOCOL F24). So what a
//! command would find expired is deleted first, and the reply waits for that deletion.

use crate::command::{Command, Runs};
use crate::effect::{EFFECT_OVERHEAD_MAX, Effect};
use crate::notes::{Class, Classes, Notes};
use crate::space::Spaces;

/// Deletes those of the command's keys that have expired; returns how many did.
pub fn expire<R: Runs>(
    spaces: &mut Spaces<'_>,
    command: &Command<R>,
    args: &[&[u8]],
    db: u16,
    now_ms: u64,
    wanted: Classes,
    notes: &mut Notes,
) -> usize {
    command.keys(args).filter(|key| expire_key(spaces, db, key, now_ms, wanted, notes)).count()
}

/// Deletes a key if it has expired; returns whether it had.
pub fn expire_key(
    spaces: &mut Spaces<'_>,
    db: u16,
    key: &[u8],
    now_ms: u64,
    wanted: Classes,
    notes: &mut Notes,
) -> bool {
    let is_expired = spaces.find(db, key).is_some_and(|entry| entry.is_expired(now_ms));
    if is_expired {
        spaces.apply(&Effect::Delete { db, key });
        notes.notify(wanted, Class::Expired, "expired", (db, key));
    }
    is_expired
}

/// The most bytes [`expire`] logs: zero if none of the command's keys has expired.
pub fn expire_size_max<R: Runs>(
    spaces: &Spaces<'_>,
    command: &Command<R>,
    args: &[&[u8]],
    db: u16,
    now_ms: u64,
) -> usize {
    let is_expired = |key: &&[u8]| spaces.find(db, key).is_some_and(|it| it.is_expired(now_ms));
    command.keys(args).filter(is_expired).map(|key| EFFECT_OVERHEAD_MAX + key.len()).sum()
}
