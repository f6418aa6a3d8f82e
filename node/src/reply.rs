//! Replies on their way into the bytes of a connection.

use engine::ReplySink;
use net::{Encoder, Protocol};

/// The version of a protocol, as HELLO counts.
pub(crate) fn number_of(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}

/// `net`'s encoder as the sink that `engine`'s handlers write to.
#[derive(Debug)]
pub(crate) struct ReplyWriter<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> ReplyWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// From here on the client reads `protocol` (HELLO).
    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Whether the client knows attributes; if so, `count` pairs follow, and then the reply.
    pub(crate) fn attribute(&mut self, count: usize) -> bool {
        self.encoder().attribute(count)
    }

    /// An error whose text may hold bytes a client sent.
    pub(crate) fn error_bytes(&mut self, text: &[u8]) {
        self.encoder().error(text);
    }

    fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(self.out, self.protocol)
    }
}

impl ReplySink for ReplyWriter<'_> {
    fn simple(&mut self, text: &str) {
        self.encoder().simple(text);
    }

    fn error(&mut self, text: &str) {
        self.encoder().error(text.as_bytes());
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.encoder().bulk(bytes);
    }

    fn expect(&mut self, size: usize) {
        self.out.reserve(size);
    }

    fn integer(&mut self, number: i64) {
        self.encoder().integer(number);
    }

    fn null(&mut self) {
        self.encoder().null();
    }

    fn null_array(&mut self) {
        self.encoder().null_array();
    }

    fn array(&mut self, count: usize) {
        self.encoder().array(count);
    }

    fn map(&mut self, count: usize) {
        self.encoder().map(count);
    }

    fn set(&mut self, count: usize) {
        self.encoder().set(count);
    }

    fn push(&mut self, count: usize) {
        self.encoder().push(count);
    }

    fn pairs(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.encoder().array(2 * count),
            Protocol::Resp3 => self.encoder().array(count),
        }
    }

    fn pair(&mut self) {
        if self.protocol == Protocol::Resp3 {
            self.encoder().array(2);
        }
    }

    fn boolean(&mut self, value: bool) {
        self.encoder().boolean(value);
    }

    fn double(&mut self, number: f64) {
        self.encoder().double(number);
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        let format = format.as_bytes().try_into().expect("a format has three letters");
        self.encoder().verbatim(format, bytes);
    }

    fn big_number(&mut self, digits: &str) {
        self.encoder().big_number(digits);
    }
}
