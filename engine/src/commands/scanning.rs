//! What SSCAN and HSCAN have in common with SCAN: cursors and options.

use super::databases::{SCAN_COUNT, parse_cursor};
use super::{Args, integer_of, is_option};
use crate::context::ReadCx;
use crate::cursor::Position;
use crate::error::CommandError;
use crate::glob::matches_glob;

/// How a part of a value is looked through.
pub(super) struct Scan<'a> {
    pub(super) count: usize,
    pattern: Option<&'a [u8]>,
    /// Fields only.
    pub(super) omits_values: bool,
}

impl<'a> Scan<'a> {
    /// `is_hash`: it may leave values out.
    pub(super) fn parse(options: Args<'a>, is_hash: bool) -> Result<Self, CommandError> {
        let mut scan = Self { count: SCAN_COUNT as usize, pattern: None, omits_values: false };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            if is_hash && is_option(option, "novalues") {
                scan.omits_values = true;
                continue;
            }
            let value = options.next().ok_or(CommandError::Syntax)?;
            if is_option(option, "count") {
                let count = integer_of(value)?;
                if count < 1 {
                    return Err(CommandError::Syntax);
                }
                scan.count = count as usize;
            } else if is_option(option, "match") {
                // A lone star is everything, even what is empty, which it does not match.
                scan.pattern = Some(*value).filter(|pattern| *pattern != b"*");
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(scan)
    }

    pub(super) fn admits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| matches_glob(pattern, name, false))
    }
}

/// Where a client's cursor stands; `None` if it never was one.
pub(super) fn position_of(
    cx: &ReadCx<'_>,
    key: &[u8],
    cursor: &[u8],
) -> Result<Option<Position>, CommandError> {
    let cursor = parse_cursor(cursor).ok_or(CommandError::InvalidCursor)?;
    Ok(cx.spaces.of(key).keyspace.cursor().decode(cursor))
}

/// Begins the reply: the cursor to go on with, zero at the end; an array of `count` follows.
pub(super) fn reply_with_cursor(
    cx: &mut ReadCx<'_>,
    key: &[u8],
    next: Option<Position>,
    count: usize,
) {
    let cursors = cx.spaces.of(key).keyspace.cursor();
    let next = next.map_or(0, |next| cursors.encode(next));
    let mut digits = itoa::Buffer::new();
    cx.reply.array(2);
    cx.reply.bulk(digits.format(next).as_bytes());
    cx.reply.array(count);
}
