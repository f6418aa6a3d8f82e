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

/// Sees to it that those of the command's keys that have expired are never seen again, and leaves
/// them where they are: while clients are paused nothing is deleted.
///
/// The rule of F24 with another effect: the key's time is moved to the beginning of all time, so
/// no clock, however slow, brings it back; whoever was told that it is gone waits for that.
pub fn hide<R: Runs>(
    spaces: &mut Spaces<'_>,
    command: &Command<R>,
    args: &[&[u8]],
    db: u16,
    now_ms: u64,
) {
    command.keys(args).for_each(|key| hide_key(spaces, db, key, now_ms));
}

/// As [`hide`], for one key.
pub fn hide_key(spaces: &mut Spaces<'_>, db: u16, key: &[u8], now_ms: u64) {
    let is_due = spaces
        .find(db, key)
        .is_some_and(|it| it.is_expired(now_ms) && !it.is_expired(HIDDEN_MS + 1));
    if is_due {
        spaces.apply(&Effect::SetExpire { db, key, expire_ms: Some(HIDDEN_MS) });
    }
}

/// Before any clock: milliseconds since 1970.
const HIDDEN_MS: u64 = 0;

/// The most bytes [`expire`] or [`hide`] logs: zero if none of the command's keys has expired.
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

#[cfg(test)]
mod tests {
    use base::limits::SLOTS;

    use super::*;
    use crate::commands::FAMILIES;
    use crate::keyspace::Keyspace;
    use crate::space::Space;

    /// Broken once by deleting keys that expire later, once by forgetting the event.
    #[test]
    fn expired_keys_of_a_command_go_by_effects_that_fit_the_bound() {
        let mut space = Space::new(Keyspace::new(1, 0..SLOTS));
        let mut spaces = Spaces::one(&mut space);
        for (key, expire_ms) in [(b"a", Some(10)), (b"b", Some(20)), (b"c", None), (b"d", Some(10))]
        {
            spaces.apply(&Effect::PutString { db: 3, key, value: b"", expire_ms });
        }
        let mget = FAMILIES.iter().copied().flatten().find(|command| command.name == "mget");
        let mget = mget.expect("it is declared");
        let args: [&[u8]; 5] = [b"a", b"b", b"c", b"x", b"a"];
        let wanted = Classes::parse(b"Ex").expect("both are letters");
        let mut notes = Notes::default();
        assert_eq!(expire_size_max(&spaces, mget, &args, 3, 9), 0);
        assert_eq!(expire(&mut spaces, mget, &args, 3, 9, wanted, &mut notes), 0);
        let bound = expire_size_max(&spaces, mget, &args, 3, 15);
        assert_eq!(expire(&mut spaces, mget, &args, 2, 15, wanted, &mut notes), 0);
        assert_eq!(expire(&mut spaces, mget, &args, 3, 15, wanted, &mut notes), 1);
        let events: Vec<_> = notes.events.iter().map(|event| (event.name, event.db)).collect();
        assert_eq!(events, [("expired", 3)]);
        assert!(spaces.find(3, b"a").is_none());
        assert!(spaces.find(3, b"b").is_some());
        assert!(spaces.find(3, b"d").is_some());
        assert_eq!(spaces.effect_count(), 5);
        assert!(b"\x02\x03\x01a".len() <= bound);
    }

    /// Broken once by hiding what is not due, once by hiding twice.
    #[test]
    fn a_hidden_key_stays_and_no_clock_shows_it() {
        let mut space = Space::new(Keyspace::new(1, 0..SLOTS));
        let mut spaces = Spaces::one(&mut space);
        for (key, expire_ms) in [(b"a", Some(10)), (b"b", Some(20)), (b"c", None)] {
            spaces.apply(&Effect::PutString { db: 0, key, value: b"", expire_ms });
        }
        for _ in 0..2 {
            for key in [b"a", b"b", b"c", b"x"] {
                hide_key(&mut spaces, 0, key, 15);
            }
        }
        assert_eq!(spaces.effect_count(), 4);
        let is_live = |key: &[u8], now_ms| spaces.live(0, key, now_ms).is_some();
        assert!(spaces.find(0, b"a").is_some() && !is_live(b"a", 1));
        assert!(is_live(b"b", 19) && is_live(b"c", u64::MAX));
    }
}
