//! What a client knows of RESP: how to write a command, and how to read a reply.
//!
//! Written apart from `net`, so that a mistake there is not repeated here.

use std::ops::Range;

/// One reply, or as much of it as the checkers look at. Ranges point into the parsed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(Range<usize>),
    Error(Range<usize>),
    Integer(i64),
    Bulk(Range<usize>),
    Null,
    Array(Vec<Self>),
    /// Maps, sets, pushes, verbatim strings and the other RESP3 types: not looked at.
    Other,
}

/// A reply that no server may send.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

/// Reads one reply from the start of `bytes`: the reply and its size, or `None` if it is cut.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    parse_at(bytes, 0)
}

fn parse_at(bytes: &[u8], start: usize) -> Result<Option<(Reply, usize)>, Malformed> {
    let Some(line) = line(bytes, start)? else { return Ok(None) };
    let body = start + 1..line.end;
    let after = line.end + 2;
    let reply = match bytes[start] {
        b'+' => Reply::Simple(body),
        b'-' => Reply::Error(body),
        b':' => Reply::Integer(number(bytes, body)?),
        b'_' => Reply::Null,
        // A double is read as its decimal form.
        b',' => Reply::Bulk(body),
        b'#' | b'(' => Reply::Other,
        b'$' | b'=' | b'!' => {
            let size = number(bytes, body)?;
            if size == -1 {
                return Ok(Some((Reply::Null, after)));
            }
            let size = usize::try_from(size).map_err(|_| Malformed(format!("size {size}")))?;
            if bytes.len() < after + size + 2 {
                return Ok(None);
            }
            if &bytes[after + size..after + size + 2] != b"\r\n" {
                return Err(Malformed("a bulk string without its end".into()));
            }
            return Ok(Some((Reply::Bulk(after..after + size), after + size + 2)));
        }
        b'*' | b'~' | b'>' | b'%' => {
            let count = number(bytes, body)?;
            if count == -1 {
                return Ok(Some((Reply::Null, after)));
            }
            let is_array = bytes[start] == b'*';
            let count = if bytes[start] == b'%' { 2 * count } else { count };
            let mut elements = Vec::new();
            let mut end = after;
            for _ in 0..count {
                let Some((element, next)) = parse_at(bytes, end)? else { return Ok(None) };
                elements.push(element);
                end = next;
            }
            let reply = if is_array { Reply::Array(elements) } else { Reply::Other };
            return Ok(Some((reply, end)));
        }
        other => return Err(Malformed(format!("a reply that begins with {other:#04x}"))),
    };
    Ok(Some((reply, after)))
}

/// The line at `start` without its CRLF.
fn line(bytes: &[u8], start: usize) -> Result<Option<Range<usize>>, Malformed> {
    let Some(rest) = bytes.get(start..) else { return Ok(None) };
    match rest.iter().position(|&byte| byte == b'\r') {
        None if rest.len() > 64 * 1024 => Err(Malformed("a line that does not end".into())),
        None => Ok(None),
        Some(0) => Err(Malformed("an empty line".into())),
        Some(at) => match rest.get(at + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(start..start + at)),
            Some(_) => Err(Malformed("CR without LF".into())),
        },
    }
}

fn number(bytes: &[u8], range: Range<usize>) -> Result<i64, Malformed> {
    std::str::from_utf8(&bytes[range.clone()])
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Malformed(format!("not a number: {:?}", &bytes[range])))
}

/// Appends a command as an array of bulk strings.
pub fn write_command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a command as one line; the arguments must hold no spaces, quotes or control bytes.
pub fn write_inline(arguments: &[&[u8]], out: &mut Vec<u8>) {
    for (at, argument) in arguments.iter().enumerate() {
        if 0 < at {
            out.push(b' ');
        }
        out.extend_from_slice(argument);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_is_read_whole_or_not_at_all() {
        let whole: &[(&[u8], Reply)] = &[
            (b"+OK\r\n", Reply::Simple(1..3)),
            (b"-ERR no\r\n", Reply::Error(1..7)),
            (b":-12\r\n", Reply::Integer(-12)),
            (b"$3\r\na\r\n\r\n", Reply::Bulk(4..7)),
            (b"$0\r\n\r\n", Reply::Bulk(4..4)),
            (b"$-1\r\n", Reply::Null),
            (b"_\r\n", Reply::Null),
            (b"*-1\r\n", Reply::Null),
            (
                b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n",
                Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![Reply::Bulk(16..17)])]),
            ),
            (b"%1\r\n+a\r\n:2\r\n", Reply::Other),
        ];
        for (bytes, reply) in whole {
            assert_eq!(parse(bytes), Ok(Some((reply.clone(), bytes.len()))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        for bytes in [&b"?\r\n"[..], b":x\r\n", b"$2\r\nabc\r\n", b"\r\n", b"+a\rb"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
