//! Where a range of a sorted set begins and ends, as clients spell it.

use std::ops::Range;

use crate::commands::integer_of;
use crate::double::parse_bound;
use crate::error::CommandError;
use crate::table::Edge;
use crate::values::Zset;

/// By what a range is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

/// A range, whatever the sorted set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds<'a> {
    /// The first and the last rank; below zero they are counted from the end.
    Ranks(i64, i64),
    Edges(Edge<'a>, Edge<'a>),
}

impl<'a> Bounds<'a> {
    pub(super) fn parse(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Self, CommandError> {
        match by {
            By::Rank => Ok(Self::Ranks(integer_of(low)?, integer_of(high)?)),
            By::Score => {
                let low = score_edge(low, Edge::BeforeScore, Edge::BehindScore);
                let high = score_edge(high, Edge::BehindScore, Edge::BeforeScore);
                low.zip(high)
                    .map(|(low, high)| Self::Edges(low, high))
                    .ok_or(CommandError::NotAScoreRange)
            }
            By::Name => {
                let low = name_edge(low, Edge::BeforeName, Edge::BehindName);
                let high = name_edge(high, Edge::BehindName, Edge::BeforeName);
                low.zip(high)
                    .map(|(low, high)| Self::Edges(low, high))
                    .ok_or(CommandError::NotALexRange)
            }
        }
    }

    /// The ranks of the range, counted from the lowest. `is_reverse`: ranks among the bounds are
    /// counted from the highest.
    pub(super) fn ranks(self, zset: Zset<'_>, is_reverse: bool) -> Range<usize> {
        match self {
            Self::Ranks(first, last) => {
                let range = between(first, last, zset.len());
                if is_reverse { zset.len() - range.end..zset.len() - range.start } else { range }
            }
            Self::Edges(low, high) => {
                let start = zset.rank_of_edge(low);
                start..zset.rank_of_edge(high).max(start)
            }
        }
    }
}

/// The half-open range from one position to another, both included.
fn between(first: i64, last: i64, len: usize) -> Range<usize> {
    let count = len as i64;
    let absolute = |position: i64| if position < 0 { count + position } else { position };
    let (first, last) = (absolute(first).max(0), absolute(last).min(count - 1));
    if last < first || count <= first { 0..0 } else { first as usize..last as usize + 1 }
}

type EdgeOf<'a, T> = fn(T) -> Edge<'a>;

fn score_edge<'a>(
    word: &[u8],
    inclusive: EdgeOf<'a, f64>,
    exclusive: EdgeOf<'a, f64>,
) -> Option<Edge<'a>> {
    match word {
        [b'(', rest @ ..] => parse_bound(rest).map(exclusive),
        word => parse_bound(word).map(inclusive),
    }
}

fn name_edge<'a>(
    word: &'a [u8],
    inclusive: EdgeOf<'a, &'a [u8]>,
    exclusive: EdgeOf<'a, &'a [u8]>,
) -> Option<Edge<'a>> {
    match word {
        b"-" => Some(Edge::Start),
        b"+" => Some(Edge::End),
        [b'[', rest @ ..] => Some(inclusive(rest)),
        [b'(', rest @ ..] => Some(exclusive(rest)),
        _ => None,
    }
}
