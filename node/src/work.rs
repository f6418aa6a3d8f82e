//! How long a command is likely to take, told before it runs.
//!
//! What a command does with its values is known by its name, how large they are by the keyspace.
//! The estimate decides one thing only: whether the command runs on the core, between others, or
//! beside it (see `long`). It is meant to be wrong by a factor of two, not of ten. What is not
//! known beforehand, how much a read replies, is found out by trying: see
//! [`ReplyWriter::limited`](crate::reply::ReplyWriter::limited).

use engine::{Args, Entry, Type, parse_integer};

use crate::execute::{Scope, Task};
use crate::node::Node;

/// What a command looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// A few elements, or as many as it replies.
    Small,
    /// All of the values of its keys.
    Values,
    /// It writes those values once more, or compares them element by element.
    Copies,
    /// The same if its keys are in different slices; else the value only gets another name.
    Moves,
    /// It makes a value of its arguments.
    Payload,
    /// Elements of a value from one position to another, which are these arguments.
    Range { start: usize, last: usize },
    /// As many elements as this argument says.
    Count { at: usize },
    /// As many elements as the word after COUNT says.
    Scan,
    /// Every byte of its first value for every byte of its second.
    Matrix,
    /// Every key of the database.
    AllKeys,
}

impl Effort {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "bitcount" | "bitop" | "bitpos" | "getdel" | "getex" | "getset" | "hgetall"
            | "hkeys" | "hvals" | "linsert" | "lpos" | "lrem" | "ltrim" | "sdiff" | "sinter"
            | "sintercard" | "smembers" | "sunion" | "zdiff" | "zinter" | "zintercard"
            | "zremrangebylex" | "zremrangebyrank" | "zremrangebyscore" | "zunion"
            | "debug|digest-value" => Self::Values,
            "copy" | "dump" | "sdiffstore" | "sinterstore" | "sort" | "sort_ro" | "sunionstore"
            | "zdiffstore" | "zinterstore" | "zrangestore" | "zunionstore" => Self::Copies,
            "rename" | "renamenx" => Self::Moves,
            "restore" => Self::Payload,
            "lrange" | "zrange" | "zrevrange" => Self::Range { start: 1, last: 2 },
            "hrandfield" | "lpop" | "rpop" | "spop" | "srandmember" | "zpopmax" | "zpopmin"
            | "zrandmember" => Self::Count { at: 1 },
            "hscan" | "scan" | "sscan" | "zscan" => Self::Scan,
            "lcs" => Self::Matrix,
            "keys" => Self::AllKeys,
            _ => Self::Small,
        }
    }
}

/// An argument, an element or a key that is looked at: nanoseconds.
const ARGUMENT_NS: u64 = 150;
const ELEMENT_NS: u64 = 60;
const KEY_NS: u64 = 60;

/// A byte of a string that is looked at, and of a value of elements, each of which takes some
/// fifty bytes beside its own: picoseconds.
const STRING_BYTE_PS: u64 = 300;
const OTHER_BYTE_PS: u64 = 1_000;

/// A byte that is written again, with what is looked up for it: picoseconds.
const COPIED_BYTE_PS: u64 = 2_000;

/// A cell of the table of LCS: nanoseconds.
const CELL_NS: u64 = 2;

impl Node {
    /// About how long a command whose slices are here will take: nanoseconds.
    pub(crate) fn work_ns(&self, task: &Task<'_>) -> u64 {
        let width = task.args.len() as u64 * ARGUMENT_NS;
        let effort = self.registry.effort(task.command);
        let of_values = |ns: fn(Entry<'_>) -> u64| {
            let keys = task.command.keys(task.args);
            keys.filter_map(|key| self.entry_of(task, key)).map(ns).sum::<u64>()
        };
        let depth = match effort {
            Effort::Small => 0,
            Effort::Values => of_values(visit_ns),
            Effort::Copies => of_values(copy_ns),
            Effort::Moves => match task.scope {
                Scope::One(_) => 0,
                Scope::Many(_) => of_values(copy_ns),
            },
            Effort::Payload => {
                let size: usize = task.args.iter().map(|word| word.len()).sum();
                size as u64 * COPIED_BYTE_PS / 1000
            }
            Effort::Range { start, last } => {
                let count = range_size(task.args, start, last);
                of_values(visit_ns).min(count.saturating_mul(ELEMENT_NS))
            }
            Effort::Count { at } => {
                let count = task.args.get(at).and_then(|word| parse_integer(word)).unwrap_or(1);
                let all = if count < 0 { u64::MAX } else { of_values(visit_ns) };
                all.min(count.unsigned_abs().saturating_mul(ELEMENT_NS))
            }
            Effort::Scan => scan_count(task.args).saturating_mul(KEY_NS),
            Effort::Matrix => {
                let mut sizes = task
                    .command
                    .keys(task.args)
                    .map(|key| self.entry_of(task, key).map_or(0, |entry| entry.size() as u64));
                let (first, second) = (sizes.next().unwrap_or(0), sizes.next().unwrap_or(0));
                first.saturating_mul(second).saturating_mul(CELL_NS)
            }
            Effort::AllKeys => {
                let mut keys = 0;
                let database = task.caller.database;
                let mut count = |slice| keys += self.slices.space(slice).keyspace.len(database);
                task.scope.for_each(&mut count);
                keys as u64 * KEY_NS
            }
        };
        width.saturating_add(depth)
    }

    fn entry_of(&self, task: &Task<'_>, key: &[u8]) -> Option<Entry<'_>> {
        let slice = match task.scope {
            Scope::One(slice) => *slice,
            Scope::Many(_) => self.topology.slice_of(engine::slot_of(key)),
        };
        self.slices.space(slice).keyspace.find(task.caller.database, key)
    }
}

fn copy_ns(entry: Entry<'_>) -> u64 {
    (entry.size() as u64).saturating_mul(COPIED_BYTE_PS) / 1000
}

fn visit_ns(entry: Entry<'_>) -> u64 {
    let byte_ps = match entry.kind() {
        Type::String => STRING_BYTE_PS,
        Type::List | Type::Set | Type::Hash | Type::Zset => OTHER_BYTE_PS,
    };
    (entry.size() as u64).saturating_mul(byte_ps) / 1000
}

/// How many elements lie between two positions that are counted from the same end; of others, and
/// of what are no positions, that is not known.
fn range_size(args: Args<'_>, start: usize, last: usize) -> u64 {
    let position = |at: usize| args.get(at).and_then(|word| parse_integer(word));
    // By score or by name the arguments are no positions, and there are others behind them.
    let is_by =
        |word: &&[u8]| word.eq_ignore_ascii_case(b"byscore") || word.eq_ignore_ascii_case(b"bylex");
    if args.iter().skip(last + 1).any(is_by) {
        return 0;
    }
    match (position(start), position(last)) {
        (Some(start), Some(last)) if (start < 0) == (last < 0) => {
            last.saturating_sub(start).saturating_add(1).max(0).unsigned_abs()
        }
        _ => u64::MAX,
    }
}

fn scan_count(args: Args<'_>) -> u64 {
    let is_count = |pair: &&[&[u8]]| pair[0].eq_ignore_ascii_case(b"count");
    // A pattern may be called so too; it is no number.
    let counts = args.windows(2).filter(is_count).filter_map(|pair| parse_integer(pair[1]));
    counts.max().unwrap_or(0).max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Broken once by taking positions of different ends for a distance.
    #[test]
    fn a_range_is_as_long_as_its_positions_say_if_they_say() {
        let size = |words: &[&str]| {
            let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            range_size(&args, 1, 2)
        };
        assert_eq!(size(&["k", "0", "9"]), 10);
        assert_eq!(size(&["k", "-5", "-1"]), 5);
        assert_eq!(size(&["k", "9", "0"]), 0);
        assert_eq!(size(&["k", "0", "-1"]), u64::MAX);
        assert_eq!(size(&["k", "x", "1"]), u64::MAX);
        assert_eq!(size(&["k", "0", "-1", "BYSCORE"]), 0);
    }

    #[test]
    fn a_scan_visits_what_it_counts() {
        let args: [&[u8]; 5] = [b"0", b"MATCH", b"count", b"COUNT", b"5000"];
        assert_eq!(scan_count(&args), 5000);
        let args: [&[u8]; 3] = [b"0", b"COUNT", b"5000"];
        assert_eq!(scan_count(&args), 5000);
    }
}
