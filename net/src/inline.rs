//! Inline requests: a line of words, for people with telnet and for health checks.
//!
//! Words are separated by blanks. A word may hold parts in quotes: `"..."` knows the escapes
//! `\n \r \t \b \a \xHH` and takes every other escaped byte as itself; `'...'` knows only `\'`. A
//! closing quote ends the word and must be followed by a blank or by nothing. A quote may open in
//! the middle of a word.
//!
//! A line without quotes is its own storage. One with quotes is unescaped into a buffer, all of
//! its words, so that a request has one storage and not two.

use memchr::memchr2;

use crate::ProtocolError;
use crate::decode::Span;

/// Finds the words of `line`. Returns whether their spans refer to `unescaped` (true) or `line`.
pub(crate) fn split(
    line: &[u8],
    spans: &mut Vec<Span>,
    unescaped: &mut Vec<u8>,
) -> Result<bool, ProtocolError> {
    if memchr2(b'"', b'\'', line).is_none() {
        split_plain(line, spans);
        Ok(false)
    } else {
        split_quoted(line, spans, unescaped)?;
        Ok(true)
    }
}

fn split_plain(line: &[u8], spans: &mut Vec<Span>) {
    let mut position = 0;
    while let Some(skipped) = line[position..].iter().position(|byte| !is_space(*byte)) {
        let start = position + skipped;
        let size = line[start..].iter().position(|byte| ends_word(*byte));
        position = size.map_or(line.len(), |size| start + size);
        spans.push(Span::new(start, position));
    }
}

fn split_quoted(
    line: &[u8],
    spans: &mut Vec<Span>,
    unescaped: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    let mut rest = line;
    while let Some(skipped) = rest.iter().position(|byte| !is_space(*byte)) {
        rest = &rest[skipped..];
        let start = unescaped.len();
        rest = loop {
            match rest {
                [] => break rest,
                [byte, ..] if ends_word(*byte) => break rest,
                [b'"', after @ ..] => break unescape_double(after, unescaped)?,
                [b'\'', after @ ..] => break unescape_single(after, unescaped)?,
                [byte, after @ ..] => {
                    unescaped.push(*byte);
                    rest = after;
                }
            }
        };
        spans.push(Span::new(start, unescaped.len()));
    }
    Ok(())
}

/// Reads from behind an opening `"` to behind the closing one.
fn unescape_double<'a>(
    mut rest: &'a [u8],
    unescaped: &mut Vec<u8>,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(ProtocolError::QuotesUnbalanced),
            [b'"', after @ ..] => return behind_quote(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        unescaped.push(byte);
        rest = after;
    }
}

/// Reads from behind an opening `'` to behind the closing one.
fn unescape_single<'a>(
    mut rest: &'a [u8],
    unescaped: &mut Vec<u8>,
) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(ProtocolError::QuotesUnbalanced),
            [b'\'', after @ ..] => return behind_quote(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        unescaped.push(byte);
        rest = after;
    }
}

fn behind_quote(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest {
        [] => Ok(rest),
        [byte, ..] if is_space(*byte) => Ok(rest),
        _ => Err(ProtocolError::QuotesUnbalanced),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// What may stand between words: C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

/// What ends a word outside quotes. Vertical tab and form feed do not: they separate words only
/// where a word has not begun, as in Redis.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
