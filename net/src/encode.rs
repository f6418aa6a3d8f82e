//! Appends replies to a buffer, in the protocol the connection speaks.
//!
//! Aggregates are a header with a count; their items follow as replies of their own. What RESP2
//! does not know becomes what Redis makes of it there: maps, sets and pushes are arrays, booleans
//! integers, doubles and verbatim strings bulk strings.

use base::double::Text;

use crate::ProtocolError;

/// What a connection speaks; HELLO changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// Writes replies behind whatever the buffer holds already.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Encoder<'a> {
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `+text`; line ends in it become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `-text`: a code in capitals, a space, an explanation. Line ends in it become spaces,
    /// those at its ends are dropped.
    pub fn error(&mut self, text: &[u8]) {
        let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = text.iter().position(|byte| !is_line_end(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !is_line_end(byte)).map_or(start, |last| last + 1);
        self.line(b'-', &text[start..end]);
    }

    /// The last reply of a connection that does not speak RESP.
    pub fn protocol_error(&mut self, error: ProtocolError) {
        let mut text = b"ERR ".to_vec();
        text.extend_from_slice(&error.text());
        self.error(&text);
    }

    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + HEADER_SIZE_MAX + 2);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// No value: where a bulk string could have been.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No value: where an array could have been.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// `count` items follow.
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// `count` keys follow, each with its value behind it.
    pub fn map(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * count),
            Protocol::Resp3 => self.header(b'%', count),
        }
    }

    /// `count` different items follow.
    pub fn set(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count),
            Protocol::Resp3 => self.header(b'~', count),
        }
    }

    /// `count` items follow, which are not the reply to a request: a message of a channel, a key
    /// to forget. It may stand between replies, never within one. In RESP2 only a client that
    /// subscribed can tell it from a reply.
    pub fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count),
            Protocol::Resp3 => self.header(b'>', count),
        }
    }

    /// Whether the client knows attributes. If so, `count` pairs follow, each a key with its value
    /// behind it, and behind them the reply they are about. If not, nothing was written, and the
    /// pairs must not be.
    #[must_use]
    pub fn attribute(&mut self, count: usize) -> bool {
        let is_known = self.protocol == Protocol::Resp3;
        if is_known {
            self.header(b'|', count);
        }
        is_known
    }

    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    pub fn double(&mut self, value: f64) {
        let text = Text::new(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// An integer beyond 64 bits, as its decimal digits.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Text for people. `format` is `txt` or `mkd`.
    pub fn verbatim(&mut self, format: &[u8; 3], bytes: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(bytes),
            Protocol::Resp3 => {
                self.out.reserve(bytes.len() + HEADER_SIZE_MAX + 6);
                self.header(b'=', bytes.len() + 4);
                self.out.extend_from_slice(format);
                self.out.push(b':');
                self.out.extend_from_slice(bytes);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    #[inline]
    fn header(&mut self, marker: u8, value: impl itoa::Integer) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value);
        self.out.reserve(HEADER_SIZE_MAX);
        self.out.push(marker);
        self.out.extend_from_slice(digits.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// A reply of one line. A line end within it would be read as the end of the reply, and what
    /// follows as another: that is how a client's bytes would forge replies.
    fn line(&mut self, marker: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(marker);
        let start = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A marker, a 64-bit number with its sign, CR and LF.
const HEADER_SIZE_MAX: usize = 1 + 20 + 2;

#[cfg(test)]
mod tests;
