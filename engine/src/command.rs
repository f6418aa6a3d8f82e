//! What a command is: the one declaration from which everything about it is derived.
//!
//! A family's file declares each [`Command`] as a constant above its handler. The type of `run`
//! is the declaring crate's: the engine's commands run on a slice's keyspace, the node's on a
//! session or on the whole node. Arity checks, routing by keys, `COMMAND` and its documentation
//! are the same for all and live here; `describe` prints them.

mod describe;
mod keys;
#[cfg(test)]
mod tests;

pub use keys::{Find, Key, KeyFlag, KeySpec, Keys};

use crate::batch::HEADER_SIZE;
use crate::effect::{EFFECT_OVERHEAD_MAX, End};
use crate::error::CommandError;
use crate::integer::parse_integer;
use crate::listpack::Item;
use crate::table::Entry;
use crate::values::ListView;
use crate::varint;

/// A command as its family declares it.
#[derive(Clone, Copy, Debug)]
pub struct Command<R: 'static> {
    /// Lower case. A subcommand has its container's name before it: `config|get`.
    pub name: &'static str,
    pub summary: &'static str,
    /// The Redis version that had it first.
    pub since: &'static str,
    pub complexity: &'static str,
    pub group: Group,
    pub arity: Arity,
    pub keys: Keys,
    pub acl: Acl,
    pub flags: &'static [Flag],
    /// Redis's hints to cluster clients, such as `request_policy:all_shards`.
    pub tips: &'static [&'static str],
    pub run: R,
}

/// What the declaration of a command derives from the kind of its handler.
pub trait Runs: Sized + 'static {
    /// What the handler may do to keys.
    fn access(&self) -> Access;

    /// The subcommands, if this is a container such as `CONFIG`.
    fn subcommands(&self) -> &'static [Command<Self>] {
        &[]
    }
}

/// What a command may do to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is not about the keyspace.
    None,
    Read,
    Write,
}

/// How many words a request has, the command's name among them (a subcommand's two words are
/// both counted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Exactly(u16),
    AtLeast(u16),
}

/// The ACL category a command belongs to by its subject. Categories that follow from something
/// else (`@read`, `@write`, `@fast`, `@slow`, `@admin`) are derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acl {
    None,
    Keyspace,
    Set,
    Hash,
    String,
    Bitmap,
    List,
    SortedSet,
    PubSub,
    Connection,
    Transaction,
    /// Lists, sets and sorted sets.
    Collections,
}

/// The chapter of Redis's manual a command is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    Set,
    Hash,
    Bitmap,
    List,
    SortedSet,
    PubSub,
    Connection,
    Server,
    Transactions,
}

/// What is special about a command, in the order Redis reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// Refused when memory is full.
    DenyOom,
    Admin,
    /// About channels.
    PubSub,
    NoScript,
    /// Allowed while recovery goes on.
    Loading,
    /// Allowed on a replica that lost its leader.
    Stale,
    /// Constant or logarithmic work.
    Fast,
    /// Allowed before authentication.
    NoAuth,
    /// Allowed while a script runs too long.
    AllowBusy,
    /// Refused between MULTI and EXEC.
    NoMulti,
    /// Belongs to `@dangerous`; `COMMAND` does not list it among the flags.
    Dangerous,
    /// Logs more than its arguments; `COMMAND` does not list it.
    Logs(Logs),
}

/// What a write may log besides its arguments and a 64-bit integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Logs {
    /// The values of the keys whose values reach another key.
    Values,
    /// Its first key once more for every argument.
    KeyPerArgument,
    /// A decimal fraction of any length.
    Fraction,
    /// An element from an end of the lists whose values reach another key.
    Element,
    /// The indexes of elements of its first key, at most as many as the second argument says.
    Indexes,
    /// Members with scores out of the values of the keys whose values reach another key.
    Scores,
    /// Its arguments twice.
    ArgumentsTwice,
    /// Members or fields of the keys whose values reach another key, and a key once more.
    Parts,
    /// As many members of its key, which is the first argument, as the second says, or one.
    Drawn,
    /// Its elements, or what [`crate::gathered_size_max`] tells.
    Gathered,
}

impl<R: Runs> Command<R> {
    /// The keys among `args`, which are the words after the name.
    pub fn keys<'a>(&self, args: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> + use<'a, R> {
        self.keys.find(args).map(|key| key.name)
    }

    /// The keys among `args` with what is done to each.
    pub fn keys_and_flags<'a>(
        &self,
        args: &'a [&'a [u8]],
    ) -> impl Iterator<Item = Key<'a>> + use<'a, R> {
        self.keys.find(args)
    }

    /// Refuses a request of a wrong number of words.
    pub fn check_arity(&self, words: usize) -> Result<(), CommandError> {
        let fits = match self.arity {
            Arity::Exactly(count) => words == usize::from(count),
            Arity::AtLeast(count) => usize::from(count) <= words,
        };
        if fits { Ok(()) } else { Err(CommandError::WrongArity { name: self.name }) }
    }

    /// The most bytes one execution with `args` may log: what must fit before it executes. What
    /// expires before it is counted by [`crate::expire_size_max`].
    ///
    /// `value_size` tells the size of the value a key holds, zero if it is absent. Unless a
    /// declaration says what else it [`Logs`], a command logs at most one effect an argument and
    /// nothing that is not among the arguments, but for a number.
    #[must_use]
    pub fn effect_size_max(&self, args: &[&[u8]], value_size: &dyn Fn(&[u8]) -> usize) -> usize {
        if self.run.access() != Access::Write {
            return 0;
        }
        let arguments: usize = args.iter().map(|arg| EFFECT_OVERHEAD_MAX + arg.len()).sum();
        let base = HEADER_SIZE + EFFECT_OVERHEAD_MAX + INTEGER_SIZE_MAX + arguments;
        self.flags.iter().fold(base, |size, flag| match flag {
            Flag::Logs(Logs::Values | Logs::Gathered | Logs::Element | Logs::Parts) => {
                let reaching =
                    self.keys_and_flags(args).filter(|key| key.flags.contains(&KeyFlag::Access));
                // A value may take a second effect, which names the key again.
                size + arguments + reaching.map(|key| value_size(key.name)).sum::<usize>()
            }
            Flag::Logs(Logs::ArgumentsTwice) => size + arguments,
            Flag::Logs(Logs::Drawn) => size + args.first().map_or(0, |key| value_size(key)),
            Flag::Logs(Logs::KeyPerArgument) => {
                size + args.len() * (INTEGER_SIZE_MAX + args.first().map_or(0, |key| key.len()))
            }
            Flag::Logs(Logs::Fraction) => size + FRACTION_SIZE_MAX,
            Flag::Logs(Logs::Indexes) => {
                let wanted = args.get(1).and_then(|count| parse_integer(count)).unwrap_or(0);
                let wanted = match usize::try_from(wanted.unsigned_abs()) {
                    Ok(0) | Err(_) => usize::MAX,
                    Ok(count) => count.saturating_mul(INDEX_SIZE),
                };
                size + args.first().map_or(0, |key| value_size(key)).min(wanted)
            }
            Flag::Logs(Logs::Scores) => {
                let reaching =
                    self.keys_and_flags(args).filter(|key| key.flags.contains(&KeyFlag::Access));
                let values = reaching.map(|key| value_size(key.name)).sum::<usize>();
                size.saturating_add(values.saturating_mul(SCORED_SHARE_MAX))
            }
            _ => size,
        })
    }

    /// The most bytes that one execution with `args` logs of a value it finds, if it logs any of
    /// it: what `value_size` of [`effect_size_max`](Self::effect_size_max) is to tell.
    #[must_use]
    pub fn logged_size(&self, args: &[&[u8]], entry: Entry<'_>) -> usize {
        let logs = |logs| self.has_flag(Flag::Logs(logs));
        if logs(Logs::Drawn) {
            let count = args.get(1).map_or(Some(1), |count| parse_integer(count));
            let count = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
            let longest = entry.longest_part() + varint::SIZE_MAX;
            return count.saturating_mul(longest).min(entry.parts_size_max());
        }
        if logs(Logs::Parts) {
            return entry.parts_size_max();
        }
        match ListView::of(entry) {
            Ok(list) if logs(Logs::Element) => {
                let ends = [End::Left, End::Right].map(|end| list.end(end).map_or(0, Item::len));
                ends[0].max(ends[1])
            }
            Ok(list) if logs(Logs::Indexes) => list.len() * INDEX_SIZE,
            _ => entry.payload_size_max(),
        }
    }

    /// The subcommand called `word`, in any case, if this is a container that has it.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static Command<R>> {
        self.run.subcommands().iter().find(|command| {
            let (_, name) = command.name.split_once('|').expect("a subcommand names its container");
            name.as_bytes().eq_ignore_ascii_case(word)
        })
    }

    pub fn has_flag(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    pub fn is_write(&self) -> bool {
        self.run.access() == Access::Write
    }
}

/// An index among the strings of an effect: its size, then four bytes.
pub const INDEX_SIZE: usize = 5;

/// The longest decimal text of a 64-bit integer: bytes.
const INTEGER_SIZE_MAX: usize = 20;

/// The longest text of a fraction: the largest extended-precision number has 4,933 digits before
/// its point, and 17 are written after it.
const FRACTION_SIZE_MAX: usize = 5 * 1024;

/// The most that logging a member with a score takes of what the member takes where it is: an
/// integer of two bytes in a set becomes six digits and eight bytes of score, with their sizes.
const SCORED_SHARE_MAX: usize = 8;

/// For a family's build-time check: the names rise.
pub const fn is_sorted<R>(family: &[Command<R>]) -> bool {
    let mut index = 1;
    while index < family.len() {
        if !is_before(family[index - 1].name.as_bytes(), family[index].name.as_bytes()) {
            return false;
        }
        index += 1;
    }
    true
}

const fn is_before(left: &[u8], right: &[u8]) -> bool {
    let mut index = 0;
    while index < left.len() && index < right.len() {
        if left[index] != right[index] {
            return left[index] < right[index];
        }
        index += 1;
    }
    left.len() < right.len()
}
