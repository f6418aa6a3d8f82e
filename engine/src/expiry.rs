//! Keys, and fields of hashes, whose time has come go by effects, before anyone can see that they
//! are gone.
//!
//! A key hidden by a clock alone would come back with a slower clock (PROTOCOL F24). So what a
//! command would find expired is deleted first, and the reply waits for that deletion.

use crate::command::{Command, Runs};
use crate::effect::{EFFECT_OVERHEAD_MAX, Effect, ElementsBuf};
use crate::keyspace::Entry;
use crate::notes::{Class, Classes, Notes};
use crate::space::Spaces;
use crate::values::{Fields, Object};
use crate::varint;

/// What went because its time was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub keys: usize,
    /// Of hashes.
    pub fields: usize,
    /// Not all that was due has gone.
    pub is_more: bool,
}

impl Expired {
    /// Nothing went.
    pub fn is_none(&self) -> bool {
        self.keys + self.fields == 0
    }

    fn add(&mut self, other: Self) {
        self.keys += other.keys;
        self.fields += other.fields;
        self.is_more |= other.is_more;
    }
}

/// How much may be expired at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryLimit {
    /// Fields of a hash, about.
    pub fields: usize,
    /// What may be logged: bytes.
    pub bytes: usize,
}

impl ExpiryLimit {
    pub const NONE: Self = Self { fields: usize::MAX, bytes: usize::MAX };
}

/// Deletes those of the command's keys, and of the fields of their hashes, that have expired.
pub fn expire<R: Runs>(
    spaces: &mut Spaces<'_>,
    command: &Command<R>,
    args: &[&[u8]],
    db: u16,
    now_ms: u64,
    wanted: Classes,
    notes: &mut Notes,
) -> Expired {
    let mut expired = Expired::default();
    for key in command.keys(args) {
        let limit = ExpiryLimit::NONE;
        expired.add(expire_key(spaces, db, key, now_ms, limit, wanted, notes));
    }
    expired
}

/// Deletes a key, or fields of the hash it holds, as far as they have expired and `limit` allows.
pub fn expire_key(
    spaces: &mut Spaces<'_>,
    db: u16,
    key: &[u8],
    now_ms: u64,
    limit: ExpiryLimit,
    wanted: Classes,
    notes: &mut Notes,
) -> Expired {
    let is_due = |entry: &Entry<'_>| entry.is_due(now_ms);
    let Some(entry) = spaces.find(db, key).filter(is_due) else { return Expired::default() };
    let overhead = EFFECT_OVERHEAD_MAX + key.len();
    if limit.bytes < overhead {
        return Expired { is_more: true, ..Expired::default() };
    }
    if entry.is_expired(now_ms) {
        spaces.apply(&Effect::Delete { db, key });
        notes.notify(wanted, Class::Expired, "expired", (db, key));
        return Expired { keys: 1, ..Expired::default() };
    }
    let Some(fields) = fields_of(entry) else { return Expired::default() };
    let mut gone = ElementsBuf::default();
    let (mut count, mut left) = (0, limit.bytes - overhead);
    let mut is_more = false;
    let is_whole = fields.due(now_ms, limit.fields, &mut |field| {
        let size = field_size(field);
        if size <= left && count < limit.fields {
            gone.push(field.key());
            count += 1;
            left -= size;
        } else {
            is_more = true;
        }
    });
    let expired = Expired { keys: 0, fields: count, is_more: is_more || !is_whole };
    if count == 0 {
        return expired;
    }
    let is_emptied = count == fields.len();
    spaces.apply(&match is_emptied {
        true => Effect::Delete { db, key },
        false => Effect::HashRemove { db, key, fields: gone.elements() },
    });
    notes.notify(wanted, Class::Hash, "hexpired", (db, key));
    if is_emptied {
        notes.notify(wanted, Class::Generic, "del", (db, key));
    }
    expired
}

/// Sees to it that those of the command's keys that have expired are never seen again, and leaves
/// them where they are: while clients are paused no key is deleted. Fields are.
///
/// The rule of F24 with another effect: the key's time is moved to the beginning of all time, so
/// no clock, however slow, brings it back; whoever was told that it is gone waits for that.
pub fn hide<R: Runs>(
    spaces: &mut Spaces<'_>,
    command: &Command<R>,
    args: &[&[u8]],
    db: u16,
    now_ms: u64,
    wanted: Classes,
    notes: &mut Notes,
) -> Expired {
    let mut expired = Expired::default();
    for key in command.keys(args) {
        let limit = ExpiryLimit::NONE;
        expired.add(hide_key(spaces, db, key, now_ms, limit, wanted, notes));
    }
    expired
}

/// As [`hide`], for one key.
pub fn hide_key(
    spaces: &mut Spaces<'_>,
    db: u16,
    key: &[u8],
    now_ms: u64,
    limit: ExpiryLimit,
    wanted: Classes,
    notes: &mut Notes,
) -> Expired {
    let Some(entry) = spaces.find(db, key) else { return Expired::default() };
    if !entry.is_expired(now_ms) {
        return expire_key(spaces, db, key, now_ms, limit, wanted, notes);
    }
    if entry.is_expired(HIDDEN_MS + 1) {
        return Expired::default();
    }
    let is_more = limit.bytes < EFFECT_OVERHEAD_MAX + key.len();
    if !is_more {
        spaces.apply(&Effect::SetExpire { db, key, expire_ms: Some(HIDDEN_MS) });
    }
    Expired { is_more, ..Expired::default() }
}

/// Before any clock: milliseconds since 1970.
const HIDDEN_MS: u64 = 0;

fn fields_of(entry: Entry<'_>) -> Option<&Fields> {
    match entry.object() {
        Some(Object::Hash(fields)) => Some(fields),
        _ => None,
    }
}

/// The most bytes a field takes in an effect.
fn field_size(field: Entry<'_>) -> usize {
    varint::SIZE_MAX + field.key().len()
}

/// The most bytes [`expire`] or [`hide`] logs: zero if nothing of the command's keys has expired.
pub fn expire_size_max<R: Runs>(
    spaces: &Spaces<'_>,
    command: &Command<R>,
    args: &[&[u8]],
    db: u16,
    now_ms: u64,
) -> usize {
    let size = |key: &[u8]| {
        let Some(entry) = spaces.find(db, key).filter(|entry| entry.is_due(now_ms)) else {
            return 0;
        };
        let mut size = if entry.is_expired(now_ms) { EFFECT_OVERHEAD_MAX + key.len() } else { 0 };
        if let (0, Some(fields)) = (size, fields_of(entry)) {
            fields.due(now_ms, usize::MAX, &mut |field| {
                size = size.max(EFFECT_OVERHEAD_MAX + key.len()) + field_size(field);
            });
        }
        size
    };
    command.keys(args).map(size).sum()
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
        assert!(expire(&mut spaces, mget, &args, 3, 9, wanted, &mut notes).is_none());
        let bound = expire_size_max(&spaces, mget, &args, 3, 15);
        assert!(expire(&mut spaces, mget, &args, 2, 15, wanted, &mut notes).is_none());
        assert_eq!(expire(&mut spaces, mget, &args, 3, 15, wanted, &mut notes).keys, 1);
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
                let (limit, wanted) = (ExpiryLimit::NONE, Classes::default());
                hide_key(&mut spaces, 0, key, 15, limit, wanted, &mut Notes::default());
            }
        }
        assert_eq!(spaces.effect_count(), 4);
        let is_live = |key: &[u8], now_ms| spaces.live(0, key, now_ms).is_some();
        assert!(spaces.find(0, b"a").is_some() && !is_live(b"a", 1));
        assert!(is_live(b"b", 19) && is_live(b"c", u64::MAX));
    }
}
