//! What can be wrong with a request as a sequence of bytes.
//!
//! The texts are part of the protocol: clients and their tests compare them. After one of these a
//! connection is answered and closed, because nobody knows where its next request starts.

use std::borrow::Cow;
use std::fmt;

/// A request that is not RESP. The decoder that returned it returns it again until it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The line `*<count>` does not end within the limit.
    MultibulkCountTooBig,
    /// `<count>` is not a number, or above `ARGUMENT_COUNT_MAX`.
    MultibulkLengthInvalid,
    /// A client that has not yet authenticated sends more than ten arguments.
    MultibulkLengthUnauthenticated,
    /// An argument starts with this byte.
    BulkExpected(u8),
    /// The line `$<size>` does not end within the limit.
    BulkCountTooBig,
    /// `<size>` is not a number, is negative, or above the largest string.
    BulkLengthInvalid,
    /// A client that has not yet authenticated sends an argument of more than 16 KiB.
    BulkLengthUnauthenticated,
    /// A CR without its LF, or an argument longer than it was declared.
    LineEndInvalid,
    /// An inline request does not end within the limit.
    InlineTooBig,
    /// A quote is not closed, or something other than a blank follows the closing one.
    QuotesUnbalanced,
}

impl ProtocolError {
    /// The text of the reply, behind its code `ERR`.
    ///
    /// It may hold any byte that a client sent, CR and LF included: the encoder sanitises it.
    pub fn text(&self) -> Cow<'static, [u8]> {
        let text: &'static [u8] = match self {
            Self::MultibulkCountTooBig => b"Protocol error: too big mbulk count string",
            Self::MultibulkLengthInvalid => b"Protocol error: invalid multibulk length",
            Self::MultibulkLengthUnauthenticated => {
                b"Protocol error: unauthenticated multibulk length"
            }
            Self::BulkExpected(byte) => {
                let mut text = b"Protocol error: expected '$', got ' '".to_vec();
                let quoted = text.len() - 2;
                text[quoted] = *byte;
                return Cow::Owned(text);
            }
            Self::BulkCountTooBig => b"Protocol error: too big bulk count string",
            Self::BulkLengthInvalid => b"Protocol error: invalid bulk length",
            Self::BulkLengthUnauthenticated => b"Protocol error: unauthenticated bulk length",
            Self::LineEndInvalid => b"Protocol error: invalid CRLF in request",
            Self::InlineTooBig => b"Protocol error: too big inline request",
            Self::QuotesUnbalanced => b"Protocol error: unbalanced quotes in request",
        };
        Cow::Borrowed(text)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text().escape_ascii())
    }
}

impl std::error::Error for ProtocolError {}
