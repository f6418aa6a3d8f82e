//! LCS: the longest common subsequence of two strings.
//!
//! The textbook's table of the sizes of all prefixes' subsequences decides the way back. Of each
//! cell only one bit is needed for that: whether leaving out the first string's last byte gives
//! more than leaving out the second's. The sizes themselves are kept for two rows.

use super::{STRING, integer_of, is_option};
use crate::command::{Arity, Command, KeyFlag, KeySpec, Keys};
use crate::context::{Args, Lookup, ReadCx, Run};
use crate::error::CommandError;

pub(super) const FAMILY: &[Command<Run>] = &[LCS];

const LCS: Command<Run> = Command {
    name: "lcs",
    summary: "Finds the longest common subsequence of two strings.",
    since: "7.0.0",
    complexity: "O(N*M) in the sizes of the strings.",
    arity: Arity::AtLeast(3),
    keys: Keys::Several(&[KeySpec {
        first: 1,
        find: crate::command::Find::Range { last: 2, step: 1 },
        flags: &[KeyFlag::Ro, KeyFlag::Access],
    }]),
    run: Run::Read(lcs),
    ..STRING
};

/// The most cells a table may have: a bit each.
const CELLS_MAX: u64 = 1 << 33;

#[derive(Default)]
struct Options {
    indexes: bool,
    length: bool,
    with_length: bool,
    length_min: u64,
}

fn lcs(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [first, second, words @ ..] = args else { unreachable!("the arity is at least three") };
    let entries = [cx.look(Lookup::Read, first), cx.look(Lookup::Read, second)];
    if entries.iter().flatten().any(|entry| entry.string().is_none()) {
        return Err(CommandError::NotStrings);
    }
    let [a, b] = entries.map(|entry| entry.and_then(|it| it.string()).unwrap_or_default());
    let options = Options::parse(words)?;
    if CELLS_MAX < (a.len() as u64 + 1) * (b.len() as u64 + 1) {
        return Err(CommandError::TooLongToCompare);
    }
    // Nothing fails below this line.
    if options.length {
        let length = fill(a, b, |_, _| {});
        cx.reply.integer(length.into());
        return Ok(());
    }
    let table = Table::new(a, b);
    let (common, ranges) = table.walk_back();
    if !options.indexes {
        cx.reply.bulk(&common);
        return Ok(());
    }
    let is_wanted = |range: &&Match| options.length_min <= u64::from(range.size);
    let wanted: Vec<_> = ranges.iter().filter(is_wanted).collect();
    cx.reply.map(2);
    cx.reply.bulk(b"matches");
    cx.reply.array(wanted.len());
    for range in wanted {
        cx.reply.array(if options.with_length { 3 } else { 2 });
        for start in [range.a, range.b] {
            cx.reply.array(2);
            cx.reply.integer(start.into());
            cx.reply.integer(i64::from(start + range.size - 1));
        }
        if options.with_length {
            cx.reply.integer(range.size.into());
        }
    }
    cx.reply.bulk(b"len");
    cx.reply.integer(common.len() as i64);
    Ok(())
}

impl Options {
    fn parse(words: Args<'_>) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if is_option(word, "idx") {
                options.indexes = true;
            } else if is_option(word, "len") {
                options.length = true;
            } else if is_option(word, "withmatchlen") {
                options.with_length = true;
            } else if is_option(word, "minmatchlen")
                && let Some(number) = words.next()
            {
                options.length_min = u64::try_from(integer_of(number)?).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.indexes && options.length {
            return Err(CommandError::LengthAndIndexes);
        }
        Ok(options)
    }
}

/// Computes the sizes for all prefixes, row by row, and tells of each cell that leaving out the
/// byte of `a` gives more. Returns the size for the whole strings.
fn fill(a: &[u8], b: &[u8], mut prefers_a: impl FnMut(usize, usize)) -> u32 {
    let mut above = vec![0u32; b.len() + 1];
    let mut row = vec![0u32; b.len() + 1];
    for (i, byte) in a.iter().enumerate() {
        for (j, other) in b.iter().enumerate() {
            row[j + 1] = if byte == other {
                above[j] + 1
            } else if row[j] < above[j + 1] {
                prefers_a(i, j);
                above[j + 1]
            } else {
                row[j]
            };
        }
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

/// A part of both strings: where it begins in each, and its size.
struct Match {
    a: u32,
    b: u32,
    size: u32,
}

struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    /// A bit a cell, by rows.
    prefers_a: Vec<u64>,
}

impl<'a> Table<'a> {
    fn new(a: &'a [u8], b: &'a [u8]) -> Self {
        let mut prefers_a = vec![0u64; (a.len() * b.len()).div_ceil(64)];
        fill(a, b, |i, j| {
            let cell = i * b.len() + j;
            prefers_a[cell / 64] |= 1 << (cell % 64);
        });
        Self { a, b, prefers_a }
    }

    /// The subsequence, and the parts it is made of, the last first.
    fn walk_back(&self) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        let (mut common, mut matches) = (Vec::new(), Vec::new());
        let mut open: Option<Match> = None;
        while 0 < i && 0 < j {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push(self.a[i]);
                let size = open.take().map_or(0, |part| part.size) + 1;
                open = Some(Match { a: i as u32, b: j as u32, size });
                continue;
            }
            matches.extend(open.take());
            let cell = (i - 1) * self.b.len() + (j - 1);
            match self.prefers_a[cell / 64] >> (cell % 64) & 1 {
                0 => j -= 1,
                _ => i -= 1,
            }
        }
        matches.extend(open);
        common.reverse();
        (common, matches)
    }
}
