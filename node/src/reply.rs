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
    /// What may still be written: bytes, and parts of a reply.
    size_left: usize,
    parts_left: usize,
    /// That was not enough: what is written is not whole, and not to be used.
    is_full: bool,
}

/// A reply of more bytes or more parts than that takes a core too long.
const LIMITED_SIZE: usize = 256 * 1024;
const LIMITED_PARTS: usize = 4096;

impl<'a> ReplyWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        let (size_left, parts_left) = (usize::MAX, usize::MAX);
        Self { out, protocol, size_left, parts_left, is_full: false }
    }

    /// It gives up, and says so in the end, if the reply is so large that a core should not make it
    /// between others.
    pub(crate) fn limited(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        let (size_left, parts_left) = (LIMITED_SIZE, LIMITED_PARTS);
        Self { out, protocol, size_left, parts_left, is_full: false }
    }

    /// The reply was larger than its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// May a part of this size be written?
    fn admits(&mut self, size: usize) -> bool {
        self.is_full |= self.size_left < size || self.parts_left == 0;
        if !self.is_full {
            self.size_left -= size;
            self.parts_left -= 1;
        }
        !self.is_full
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
        if self.admits(bytes.len()) {
            self.encoder().bulk(bytes);
        }
    }

    fn expect(&mut self, size: usize) {
        if size <= self.size_left {
            self.out.reserve(size);
        }
    }

    fn integer(&mut self, number: i64) {
        if self.admits(0) {
            self.encoder().integer(number);
        }
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
        if self.admits(0) {
            self.encoder().double(number);
        }
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        let format = format.as_bytes().try_into().expect("a format has three letters");
        self.encoder().verbatim(format, bytes);
    }

    fn big_number(&mut self, digits: &str) {
        self.encoder().big_number(digits);
    }
}
