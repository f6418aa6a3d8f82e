//! Replies byte by byte, and read back by a small client.

use super::{Encoder, Protocol};
use crate::ProtocolError;
use proptest::collection::vec;
use proptest::prelude::*;

fn check(write: impl Fn(&mut Encoder<'_>), resp2: &str, resp3: &str) {
    for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
        let mut out = b"before".to_vec();
        write(&mut Encoder::new(&mut out, protocol));
        let written = out.strip_prefix(b"before").expect("what was there stays");
        assert_eq!(written.escape_ascii().to_string(), expected, "{protocol:?}");
    }
}

#[test]
fn each_kind_of_reply_has_its_bytes() {
    check(|e| e.simple("OK"), r"+OK\r\n", r"+OK\r\n");
    check(|e| e.integer(-7), r":-7\r\n", r":-7\r\n");
    check(|e| e.integer(i64::MIN), r":-9223372036854775808\r\n", r":-9223372036854775808\r\n");
    check(|e| e.bulk(b""), r"$0\r\n\r\n", r"$0\r\n\r\n");
    check(|e| e.bulk(b"a\r\n\0"), r"$4\r\na\r\n\x00\r\n", r"$4\r\na\r\n\x00\r\n");
    check(|e| e.null(), r"$-1\r\n", r"_\r\n");
    check(|e| e.null_array(), r"*-1\r\n", r"_\r\n");
    check(|e| e.array(0), r"*0\r\n", r"*0\r\n");
    check(|e| e.array(12), r"*12\r\n", r"*12\r\n");
    check(|e| e.map(3), r"*6\r\n", r"%3\r\n");
    check(|e| e.set(3), r"*3\r\n", r"~3\r\n");
    check(|e| e.push(3), r"*3\r\n", r">3\r\n");
    check(|e| e.boolean(true), r":1\r\n", r"#t\r\n");
    check(|e| e.boolean(false), r":0\r\n", r"#f\r\n");
    check(|e| e.double(1.5), r"$3\r\n1.5\r\n", r",1.5\r\n");
    check(|e| e.double(f64::NEG_INFINITY), r"$4\r\n-inf\r\n", r",-inf\r\n");
    check(|e| e.double(f64::NAN), r"$3\r\nnan\r\n", r",nan\r\n");
    check(
        |e| e.big_number("-12345678901234567890"),
        r"$21\r\n-12345678901234567890\r\n",
        r"(-12345678901234567890\r\n",
    );
    check(|e| e.verbatim(b"txt", b"a\r\nb"), r"$4\r\na\r\nb\r\n", r"=8\r\ntxt:a\r\nb\r\n");
}

/// Red if a push were an array to a client that speaks RESP3, or the missing channel of an
/// `unsubscribe` without subscriptions were an empty one.
#[test]
fn what_subscribers_get_are_pushes_or_arrays() {
    check(
        |e| {
            e.push(3);
            e.bulk(b"subscribe");
            e.bulk(b"news");
            e.integer(1);
        },
        r"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
        r">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    );
    check(
        |e| {
            e.push(4);
            e.bulk(b"pmessage");
            e.bulk(b"n*");
            e.bulk(b"news");
            e.bulk(b"\r\n");
        },
        r"*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\n\r\n\r\n",
        r">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\n\r\n\r\n",
    );
    check(
        |e| {
            e.push(3);
            e.bulk(b"unsubscribe");
            e.null();
            e.integer(0);
        },
        r"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
        r">3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n",
    );
    // Which keys a client that caches must forget; no key means all.
    check(
        |e| {
            e.push(2);
            e.bulk(b"invalidate");
            e.null_array();
        },
        r"*2\r\n$10\r\ninvalidate\r\n*-1\r\n",
        r">2\r\n$10\r\ninvalidate\r\n_\r\n",
    );
}

/// Red if the pairs' header were written to a client that speaks RESP2.
#[test]
fn attributes_are_left_out_where_they_are_not_known() {
    check(
        |e| {
            if e.attribute(1) {
                e.bulk(b"ttl");
                e.integer(60);
            }
            e.bulk(b"v");
        },
        r"$1\r\nv\r\n",
        r"|1\r\n$3\r\nttl\r\n:60\r\n$1\r\nv\r\n",
    );
}

#[test]
fn a_line_end_in_a_line_forges_no_reply() {
    check(|e| e.error(b"ERR no"), r"-ERR no\r\n", r"-ERR no\r\n");
    check(|e| e.error(b"\r\nERR a\r\n+OK\r\n\n"), r"-ERR a  +OK\r\n", r"-ERR a  +OK\r\n");
    check(|e| e.error(b"\r\n"), r"-\r\n", r"-\r\n");
    check(|e| e.simple("a\r\n-b"), r"+a  -b\r\n", r"+a  -b\r\n");
}

#[test]
fn protocol_errors_have_their_code() {
    for (error, expected) in [
        (ProtocolError::QuotesUnbalanced, r"-ERR Protocol error: unbalanced quotes in request\r\n"),
        (ProtocolError::BulkExpected(b'x'), r"-ERR Protocol error: expected \'$\', got \'x\'\r\n"),
        (ProtocolError::BulkExpected(b'\r'), r"-ERR Protocol error: expected \'$\', got \' \'\r\n"),
        (ProtocolError::BulkExpected(0), r"-ERR Protocol error: expected \'$\', got \'\x00\'\r\n"),
    ] {
        check(|e| e.protocol_error(error), expected, expected);
    }
}

/// What a client sees.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Simple(String),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Value>),
    Map(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Boolean(bool),
    Double(f64),
    BigNumber(String),
    Verbatim(Vec<u8>),
    /// The pairs, then what they are about.
    Attribute(Vec<Value>, Box<Value>),
}

impl Value {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        let items: &[Self] = match self {
            Self::Simple(text) => return encoder.simple(text),
            Self::Error(text) => return encoder.error(text),
            Self::Integer(value) => return encoder.integer(*value),
            Self::Bulk(bytes) => return encoder.bulk(bytes),
            Self::Null => return encoder.null(),
            Self::Boolean(value) => return encoder.boolean(*value),
            Self::Double(value) => return encoder.double(*value),
            Self::BigNumber(digits) => return encoder.big_number(digits),
            Self::Verbatim(bytes) => return encoder.verbatim(b"txt", bytes),
            Self::Attribute(pairs, about) => {
                if encoder.attribute(pairs.len() / 2) {
                    pairs.iter().for_each(|item| item.encode(encoder));
                }
                return about.encode(encoder);
            }
            Self::Array(items) => {
                encoder.array(items.len());
                items
            }
            Self::Map(items) => {
                encoder.map(items.len() / 2);
                items
            }
            Self::Set(items) => {
                encoder.set(items.len());
                items
            }
            Self::Push(items) => {
                encoder.push(items.len());
                items
            }
        };
        for item in items {
            item.encode(encoder);
        }
    }

    /// What is left of it for a client that speaks RESP2.
    fn in_resp2(self) -> Self {
        match self {
            Self::Array(items) | Self::Map(items) | Self::Set(items) | Self::Push(items) => {
                Self::Array(items.into_iter().map(Self::in_resp2).collect())
            }
            Self::Attribute(_, about) => about.in_resp2(),
            Self::Boolean(value) => Self::Integer(i64::from(value)),
            Self::Double(value) => Self::Bulk(base::double::Text::new(value).as_bytes().to_vec()),
            Self::BigNumber(digits) => Self::Bulk(digits.into_bytes()),
            Self::Verbatim(bytes) => Self::Bulk(bytes),
            other => other,
        }
    }

    fn parse(input: &mut &[u8]) -> Self {
        let end = input.windows(2).position(|pair| pair == b"\r\n").expect("a line end");
        let (line, rest) = input.split_at(end);
        *input = &rest[2..];
        let (marker, line) = line.split_first().expect("a marker");
        let text = || String::from_utf8(line.to_vec()).expect("UTF-8");
        let number = || text().parse::<i64>().expect("a number");
        match marker {
            b'+' => Self::Simple(text()),
            b'-' => Self::Error(line.to_vec()),
            b':' => Self::Integer(number()),
            b'$' if line == b"-1" => Self::Null,
            b'_' => Self::Null,
            b'$' => Self::Bulk(Self::take(input, number())),
            b'=' => {
                let bytes = Self::take(input, number());
                Self::Verbatim(bytes.strip_prefix(b"txt:").expect("a format").to_vec())
            }
            b'*' => Self::Array(Self::items(input, number())),
            b'%' => Self::Map(Self::items(input, 2 * number())),
            b'~' => Self::Set(Self::items(input, number())),
            b'>' => Self::Push(Self::items(input, number())),
            b'|' => {
                let pairs = Self::items(input, 2 * number());
                Self::Attribute(pairs, Box::new(Self::parse(input)))
            }
            b'#' => Self::Boolean(line == b"t"),
            b',' => Self::Double(text().parse().expect("a double")),
            b'(' => Self::BigNumber(text()),
            other => panic!("no marker: {other}"),
        }
    }

    fn take(input: &mut &[u8], size: i64) -> Vec<u8> {
        let (bytes, rest) = input.split_at(usize::try_from(size).expect("a size"));
        *input = rest.strip_prefix(b"\r\n").expect("a line end");
        bytes.to_vec()
    }

    fn items(input: &mut &[u8], count: i64) -> Vec<Self> {
        (0..count).map(|_| Self::parse(input)).collect()
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-zA-Z ]{0,10}".prop_map(Value::Simple),
        "[A-Z]{1,5} [a-z ]{0,10}".prop_map(|text| Value::Error(text.into_bytes())),
        any::<i64>().prop_map(Value::Integer),
        vec(any::<u8>(), 0..30).prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        (-1e12_f64..1e12).prop_map(Value::Double),
        "-?[1-9][0-9]{20,40}".prop_map(Value::BigNumber),
        vec(any::<u8>(), 0..30).prop_map(Value::Verbatim),
    ];
    leaf.prop_recursive(3, 40, 6, |item| {
        prop_oneof![
            vec(item.clone(), 0..6).prop_map(Value::Array),
            vec((item.clone(), item.clone()), 0..4).prop_map(|pairs| Value::Map(
                pairs.into_iter().flat_map(|(k, v)| [k, v]).collect()
            )),
            vec(item.clone(), 0..6).prop_map(Value::Set),
            vec(item.clone(), 0..6).prop_map(Value::Push),
            (vec((item.clone(), item.clone()), 0..3), item).prop_map(|(pairs, about)| {
                let pairs = pairs.into_iter().flat_map(|(k, v)| [k, v]).collect();
                Value::Attribute(pairs, Box::new(about))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_reads_back_as_the_same_replies(replies in vec(values(), 0..6)) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut out = Vec::new();
            for reply in &replies {
                reply.encode(&mut Encoder::new(&mut out, protocol));
            }
            let mut input = out.as_slice();
            for reply in &replies {
                let expected = match protocol {
                    Protocol::Resp2 => reply.clone().in_resp2(),
                    Protocol::Resp3 => reply.clone(),
                };
                prop_assert_eq!(Value::parse(&mut input), expected);
            }
            prop_assert!(input.is_empty());
        }
    }
}
