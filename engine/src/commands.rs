//! Every command on keys, by family.

mod bitfield;
mod bitmaps;
mod chosen;
mod databases;
mod dump;
mod expiry;
mod field_times;
mod hashes;
mod keys;
mod lcs;
mod list_moves;
mod list_search;
mod lists;
mod numbers;
mod object;
mod scanning;
mod set;
mod sets;
mod sort;
mod strings;
#[cfg(test)]
mod tests;
mod zsets;

use base::limits::{DATABASES, STRING_SIZE_MAX};

use crate::command::{Acl, Arity, Command, Group, Keys};
use crate::context::{Args, Run};
use crate::error::CommandError;
use crate::integer::parse_integer;

pub use object::encoding;
pub use sort::gathered_size_max;

/// The families of commands on keys.
pub const FAMILIES: &[&[Command<Run>]] = &[
    bitfield::FAMILY,
    bitmaps::FAMILY,
    databases::FAMILY,
    dump::FAMILY,
    expiry::FAMILY,
    field_times::FAMILY,
    hashes::FAMILY,
    keys::FAMILY,
    lcs::FAMILY,
    list_moves::FAMILY,
    list_search::FAMILY,
    lists::FAMILY,
    numbers::FAMILY,
    object::FAMILY,
    set::FAMILY,
    sets::FAMILY,
    sets::ALGEBRA,
    sort::FAMILY,
    strings::FAMILY,
    zsets::FAMILY,
    zsets::algebra::FAMILY,
    zsets::draws::FAMILY,
    zsets::pops::FAMILY,
    zsets::ranges::FAMILY,
    zsets::removals::FAMILY,
];

/// What commands on strings have in common.
const STRING: Command<Run> = Command {
    name: "",
    summary: "",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::String,
    flags: &[],
    tips: &[],
    run: Run::Container(&[]),
};

/// What commands on strings as rows of bits have in common.
const BITMAP: Command<Run> = Command { group: Group::Bitmap, acl: Acl::Bitmap, ..STRING };

/// What commands on lists have in common.
const LIST: Command<Run> = Command { group: Group::List, acl: Acl::List, ..STRING };
/// What commands on sorted sets have in common.
const SORTED_SET: Command<Run> =
    Command { group: Group::SortedSet, acl: Acl::SortedSet, since: "1.2.0", ..STRING };

/// What commands on sets have in common.
const MEMBERS: Command<Run> = Command { group: Group::Set, acl: Acl::Set, ..STRING };

/// What commands on hashes have in common.
const FIELDS: Command<Run> =
    Command { since: "2.0.0", group: Group::Hash, acl: Acl::Hash, ..STRING };

/// What commands on keys of any type have in common.
const GENERIC: Command<Run> = Command { group: Group::Generic, acl: Acl::Keyspace, ..STRING };

/// What commands on whole databases have in common.
const SERVER: Command<Run> = Command { group: Group::Server, ..GENERIC };

/// What may become a key or a value: no effect holds longer ones.
fn check_size(string: &[u8]) -> Result<(), CommandError> {
    if STRING_SIZE_MAX < string.len() { Err(CommandError::StringTooLong) } else { Ok(()) }
}

fn check_sizes(strings: Args<'_>) -> Result<(), CommandError> {
    strings.iter().try_for_each(|string| check_size(string))
}

fn integer_of(word: &[u8]) -> Result<i64, CommandError> {
    parse_integer(word).ok_or(CommandError::NotAnInteger)
}

/// The number of a database that there is.
fn database_of(word: &[u8]) -> Result<u16, CommandError> {
    let (min, max) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let number = integer_of(word)?;
    if number < min || max < number {
        return Err(CommandError::OutOfRange { min, max });
    }
    let db = u16::try_from(number).ok().filter(|db| *db < DATABASES);
    db.ok_or(CommandError::DatabaseOutOfRange)
}

/// Is `word` this option, in any case? `option` is in lower case.
fn is_option(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

/// The half-open part of something of `size` that two positions name, both included and, below
/// zero, counted from the end. Empty if they name none.
fn range_of(start: i64, last: i64, size: usize) -> std::ops::Range<usize> {
    let size = size as i64;
    if start < 0 && last < 0 && last < start {
        return 0..0;
    }
    let absolute = |position: i64| if position < 0 { (size + position).max(0) } else { position };
    let (start, end) = (absolute(start), absolute(last).min(size - 1) + 1);
    if end <= start { 0..0 } else { start as usize..end as usize }
}
