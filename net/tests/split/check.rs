//! The property of the decoder: how a client's bytes were cut into pieces cannot be seen.
//!
//! Shared by the tests of this crate and by the fuzz target, so that a finding of one is a test of
//! the other.

use net::{Decoded, Decoder, ProtocolError};

/// Everything a connection learns from a sequence of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) requests: Vec<Request>,
    pub(crate) end: End,
}

/// A request's arguments, or nothing.
pub(crate) type Request = Option<Vec<Vec<u8>>>;

/// Where it stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Incomplete { more: usize },
    Failed(ProtocolError),
}

/// Decodes the pieces as a connection does: what is unfinished stays, what comes is put behind it.
pub(crate) fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    authenticated: bool,
) -> Outcome {
    let mut decoder = Decoder::new();
    let mut buffer = Vec::new();
    let mut received = 0;
    let mut needed = 0;
    let mut outcome = Outcome { requests: Vec::new(), end: End::Incomplete { more: 1 } };
    for piece in pieces {
        received += piece.len();
        buffer.extend_from_slice(piece);
        let mut start = 0;
        outcome.end = loop {
            let input = &buffer[start..];
            match decoder.decode(input, authenticated) {
                Ok(Decoded::Incomplete { more }) => {
                    assert!(0 < more);
                    needed = received + more;
                    break End::Incomplete { more };
                }
                Ok(Decoded::Command { consumed }) => {
                    assert!(needed <= received, "a request came before its missing bytes");
                    let arguments: Vec<_> = decoder.arguments(input).map(<[u8]>::to_vec).collect();
                    assert!(!arguments.is_empty());
                    assert_eq!(arguments.len(), decoder.argument_count());
                    assert_eq!(arguments[0], decoder.argument(0, input));
                    outcome.requests.push(Some(arguments));
                    start += consumed;
                }
                Ok(Decoded::Nothing { consumed }) => {
                    outcome.requests.push(None);
                    start += consumed;
                }
                Err(error) => {
                    assert_eq!(decoder.decode(input, authenticated), Err(error), "it stays wrong");
                    break End::Failed(error);
                }
            }
            // Eight bytes a span, an argument has six bytes or more, a Vec doubles, an inline word
            // has two bytes; and what is kept between requests.
            assert!(decoder.allocated() <= 16 * input.len() + 8 * 1024);
        };
        if matches!(outcome.end, End::Failed(_)) {
            break;
        }
        buffer.drain(..start);
    }
    outcome
}

/// Cuts `bytes` into pieces of the given sizes, taken round and round; zero means one.
pub(crate) fn pieces<'a>(mut bytes: &'a [u8], sizes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let size = sizes.next().map_or(bytes.len(), |size| usize::from(*size).max(1));
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        bytes = rest;
        Some(piece)
    })
}

/// What the fuzzer does with its bytes: whether authenticated, the number of piece sizes, the
/// sizes, the stream. Returns what became of it.
pub(crate) fn check(data: &[u8]) -> Option<Outcome> {
    let [flags, size_count, rest @ ..] = data else { return None };
    let authenticated = flags & 1 == 1;
    let (sizes, stream) = rest.split_at_checked(usize::from(size_count % 16))?;
    if stream.is_empty() {
        return None;
    }
    let whole = decode([stream], authenticated);
    assert_eq!(whole, decode(pieces(stream, sizes), authenticated));
    Some(whole)
}
