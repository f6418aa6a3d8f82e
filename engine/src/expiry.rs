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
}
