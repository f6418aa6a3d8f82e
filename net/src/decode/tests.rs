//! The decoder against the table in `testdata/requests.txt`, and against hostile sizes.

use super::{Decoded, Decoder};
use crate::ProtocolError;

const REQUESTS: &str = include_str!("../../testdata/requests.txt");

#[test]
fn requests_are_decoded_as_the_table_says() {
    let mut count = 0;
    for (number, line) in (1..).zip(REQUESTS.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (input, expected) = line.split_once(" => ").expect("INPUT => OUTCOME");
        let (input, authenticated) = match input.strip_prefix("unauthenticated:") {
            Some(input) => (input, false),
            None => (input, true),
        };
        let (input, expected) = (unescape(input), unescape(expected));
        let whole = describe(&input, input.len(), authenticated);
        assert!(whole == expected, "line {number}: {line}\nis {}", whole.escape_ascii());
        // Long ones by bigger steps; the property tests cut everywhere.
        let step = if input.len() < 1000 { 1 } else { 997 };
        let pieces = describe(&input, step, authenticated);
        assert!(
            pieces == expected,
            "line {number} in pieces: {line}\nis {}",
            pieces.escape_ascii()
        );
        count += 1;
    }
    assert!(100 < count);
}

/// Decodes `input`, of which `step` bytes more arrive at a time, and writes down what happens.
fn describe(input: &[u8], step: usize, authenticated: bool) -> Vec<u8> {
    let mut decoder = Decoder::new();
    let mut outcomes: Vec<Vec<u8>> = Vec::new();
    let (mut start, mut end) = (0, 0);
    let last = loop {
        let bytes = &input[start..end];
        match decoder.decode(bytes, authenticated) {
            Ok(Decoded::Incomplete { more }) if end == input.len() => {
                let is_rest = !bytes.is_empty();
                break is_rest.then(|| format!("more={more}").into_bytes());
            }
            Ok(Decoded::Incomplete { .. }) => end = (end + step).min(input.len()),
            Ok(Decoded::Nothing { consumed }) => {
                outcomes.push(b"nothing".to_vec());
                start += consumed;
            }
            Ok(Decoded::Command { consumed }) => {
                let arguments: Vec<_> = decoder.arguments(bytes).collect();
                outcomes.push([b"[", arguments.join(&b'|').as_slice(), b"]"].concat());
                start += consumed;
            }
            Err(error) => break Some([b"!", &*error.text()].concat()),
        }
    };
    outcomes.extend(last);
    outcomes.join(&b' ')
}

/// Reads the escapes and repeats of the table.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '{' => {
                let (repeat, behind) = rest.split_once('}').expect("a closing brace");
                let (count, what) = repeat.split_once(' ').expect("{COUNT BYTES}");
                bytes.extend(what.as_bytes().repeat(count.parse().expect("a count")));
                rest = behind;
            }
            '\\' => {
                let (escape, behind) = rest.split_at(1);
                rest = behind;
                bytes.push(match escape {
                    "r" => b'\r',
                    "n" => b'\n',
                    "t" => b'\t',
                    "\\" => b'\\',
                    "x" => {
                        let (digits, behind) = rest.split_at(2);
                        rest = behind;
                        u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
                    }
                    other => panic!("no escape: {other}"),
                });
            }
            _ => bytes.extend_from_slice(first.to_string().as_bytes()),
        }
    }
    bytes
}

#[test]
fn declared_sizes_and_counts_take_no_memory() {
    for input in ["*2147483647\r\n", "*2147483647\r\n$536870912\r\n", "*1\r\n$536870912\r\n"] {
        let mut decoder = Decoder::new();
        let decoded = decoder.decode(input.as_bytes(), true);
        assert!(matches!(decoded, Ok(Decoded::Incomplete { .. })), "{input:?}");
        assert_eq!(decoder.allocated(), 0, "{input:?}");
    }
}

#[test]
fn a_pipeline_of_equal_requests_allocates_once() {
    let request = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
    let pipeline = request.repeat(100);
    let mut decoder = Decoder::new();
    let mut start = 0;
    let mut allocated = None;
    while start < pipeline.len() {
        let decoded = decoder.decode(&pipeline[start..], true);
        assert_eq!(decoded, Ok(Decoded::Command { consumed: request.len() }));
        assert_eq!(decoder.argument_count(), 3);
        assert_eq!(*allocated.get_or_insert(decoder.allocated()), decoder.allocated());
        start += request.len();
    }
    assert_eq!(start, 100 * request.len());
}

#[test]
fn quoted_requests_use_the_same_memory_again() {
    let request = b"SET \"a b\" 'it\\'s'\r\n";
    let mut decoder = Decoder::new();
    let mut allocated = None;
    for _ in 0..100 {
        let decoded = decoder.decode(request, true);
        assert_eq!(decoded, Ok(Decoded::Command { consumed: request.len() }));
        assert_eq!(decoder.argument(2, request), b"it's");
        assert_eq!(*allocated.get_or_insert(decoder.allocated()), decoder.allocated());
    }
}

#[test]
fn an_unusually_big_request_does_not_keep_its_memory() {
    let count = 100_000;
    let input = [format!("*{count}\r\n").into_bytes(), b"$1\r\nx\r\n".repeat(count)].concat();
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(&input, true);
    assert_eq!(decoded, Ok(Decoded::Command { consumed: input.len() }));
    assert!(8 * count <= decoder.allocated());
    decoder.reset();
    assert!(decoder.allocated() <= 4096);
}

#[test]
fn a_smaller_limit_of_sizes_is_kept() {
    let mut decoder = Decoder::with_size_max(3);
    let decoded = decoder.decode(b"*1\r\n$3\r\nabc\r\n", true);
    assert_eq!(decoded, Ok(Decoded::Command { consumed: 13 }));
    let decoded = decoder.decode(b"*1\r\n$4\r\n", true);
    assert_eq!(decoded, Err(ProtocolError::BulkLengthInvalid));
}

#[test]
fn a_wrong_request_stays_wrong_until_the_reset() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.decode(b"*x\r\n", true), Err(ProtocolError::MultibulkLengthInvalid));
    let input = b"*x\r\n*1\r\n$4\r\nPING\r\n";
    assert_eq!(decoder.decode(input, true), Err(ProtocolError::MultibulkLengthInvalid));
    decoder.reset();
    assert_eq!(decoder.decode(&input[4..], true), Ok(Decoded::Command { consumed: 14 }));
}

#[test]
fn the_bytes_may_move_between_two_calls() {
    let mut decoder = Decoder::new();
    let first = b"*2\r\n$3\r\nGET\r\n$5\r\nhe".to_vec();
    assert_eq!(decoder.decode(&first, true), Ok(Decoded::Incomplete { more: 5 }));
    let second = [first.as_slice(), b"llo\r\n"].concat();
    drop(first);
    assert_eq!(decoder.decode(&second, true), Ok(Decoded::Command { consumed: second.len() }));
    assert_eq!(decoder.argument(1, &second), b"hello");
    let arguments: Vec<_> = decoder.arguments(&second).collect();
    assert_eq!(arguments, [b"GET".as_slice(), b"hello"]);
}
