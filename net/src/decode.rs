//! Finds requests in the bytes a client sends.
//!
//! A request is an array of bulk strings (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or a line of words
//! (`GET k\r\n`). The caller hands over all bytes received since the start of the unfinished
//! request, as often as more have arrived; the decoder goes on where it stopped. It keeps where
//! each argument lies, relative to that start, and copies nothing: the bytes may move between two
//! calls (from a lent receive buffer into the connection's own), they must not change.
//!
//! ```text
//!   *  2 \r \n  $  3 \r \n  G  E  T \r \n  $  1 \r \n  k \r \n  *  1 ..
//!   ^ input starts here     |--span-|                  |^|      ^ input of the next request
//!                                         position ----'  then consumed
//! ```
//!
//! Work is linear in the bytes received, whatever the sizes of the pieces, and so is memory: a
//! declared count or size reserves nothing.
//!
//! Limits and texts are those of Redis 7.2, with these choices where its answer depends on how
//! the bytes were cut into reads, or where Redis and Valkey 9 differ: a line that is too long is
//! refused even if it arrives whole; a CR must be followed by LF and an argument by CR LF
//! (Valkey); a zero byte is a byte like any other and does not hide the line end behind it.

use base::limits;
use memchr::memchr;

use crate::{ProtocolError, inline, number};

/// The most arguments a client may send before it has authenticated.
const UNAUTHENTICATED_COUNT_MAX: i64 = 10;

/// The largest argument a client may send before it has authenticated: bytes.
const UNAUTHENTICATED_SIZE_MAX: usize = 16 * 1024;

/// Spans and unescaped bytes a decoder keeps allocated from one request to the next.
const SPANS_KEPT: usize = 256;
const UNESCAPED_KEPT: usize = 4096;

const _: () = assert!(limits::ARGUMENT_COUNT_MAX <= u32::MAX as u64);
const _: () = assert!((limits::QUERY_BUFFER_SIZE_MAX as u64) < u32::MAX as u64);

/// One client's decoder. Owner: connection.
#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    /// Everything before it has been understood.
    position: usize,
    /// So many bytes from `position` hold no line end.
    scanned: usize,
    /// Arguments that are still to come.
    remaining: u32,
    spans: Vec<Span>,
    /// The arguments of an inline request that has quotes.
    unescaped: Vec<u8>,
    /// Whether the spans refer to `unescaped`.
    is_unescaped: bool,
    size_max: usize,
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decoded {
    /// No request can be complete before `more` further bytes have arrived. At least one; exact
    /// within a bulk argument, so that its buffer can be reserved: see [`crate::reserve`].
    Incomplete { more: usize },
    /// A request of this many bytes; its arguments can be read until the next call of `decode`.
    Command { consumed: usize },
    /// Bytes without a request: an empty line, `*0`, `*-1`.
    Nothing { consumed: usize },
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    pub fn new() -> Self {
        Self::with_size_max(limits::STRING_SIZE_MAX)
    }

    /// A decoder that refuses arguments of more than `size_max` bytes (Redis:
    /// `proto-max-bulk-len`).
    pub fn with_size_max(size_max: usize) -> Self {
        assert!(size_max <= limits::STRING_SIZE_MAX);
        Self {
            stage: Stage::Start,
            position: 0,
            scanned: 0,
            remaining: 0,
            spans: Vec::new(),
            unescaped: Vec::new(),
            is_unescaped: false,
            size_max,
        }
    }

    /// Looks for one request at the start of `input`.
    ///
    /// After `Incomplete`, `input` must start with the bytes it had and hold more. After `Command`
    /// and `Nothing`, the next call takes the input behind what was consumed.
    pub fn decode(&mut self, input: &[u8], authenticated: bool) -> Result<Decoded, ProtocolError> {
        if matches!(self.stage, Stage::Complete) {
            self.reset();
        }
        assert!(self.position + self.scanned <= input.len(), "the input starts as it did before");
        assert!(input.len() <= u32::MAX as usize, "the query buffer is bounded");
        let decoded = self.decode_stages(input, authenticated);
        match &decoded {
            Ok(Decoded::Incomplete { more }) => debug_assert!(0 < *more),
            Ok(Decoded::Command { consumed } | Decoded::Nothing { consumed }) => {
                assert!(0 < *consumed && *consumed <= input.len());
                self.stage = Stage::Complete;
            }
            Err(error) => self.stage = Stage::Failed(*error),
        }
        decoded
    }

    /// How many arguments the decoded request has, its name included.
    pub fn argument_count(&self) -> usize {
        debug_assert!(matches!(self.stage, Stage::Complete));
        self.spans.len()
    }

    /// One argument of the decoded request. `input` starts with the bytes that were decoded.
    #[inline]
    pub fn argument<'a>(&'a self, index: usize, input: &'a [u8]) -> &'a [u8] {
        debug_assert!(matches!(self.stage, Stage::Complete));
        self.spans[index].of(self.storage(input))
    }

    /// All arguments of the decoded request, its name first.
    #[inline]
    pub fn arguments<'a>(&'a self, input: &'a [u8]) -> Arguments<'a> {
        debug_assert!(matches!(self.stage, Stage::Complete));
        Arguments { spans: self.spans.iter(), storage: self.storage(input) }
    }

    /// Forgets the request, finished or not, and the memory an unusually big one took.
    ///
    /// `decode` does it on its own when a request was complete; a caller that may not come back
    /// soon does it to give the memory back.
    pub fn reset(&mut self) {
        self.stage = Stage::Start;
        self.position = 0;
        self.scanned = 0;
        self.remaining = 0;
        self.spans.clear();
        self.is_unescaped = false;
        self.unescaped.clear();
        if SPANS_KEPT < self.spans.capacity() {
            self.spans.shrink_to(SPANS_KEPT);
        }
        if UNESCAPED_KEPT < self.unescaped.capacity() {
            self.unescaped.shrink_to(UNESCAPED_KEPT);
        }
    }

    /// The memory behind this decoder, to be counted with the connection's query buffer: bytes.
    pub fn allocated(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.unescaped.capacity()
    }

    fn decode_stages(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Decoded, ProtocolError> {
        if matches!(self.stage, Stage::Start) {
            match input.first() {
                None => return Ok(Decoded::Incomplete { more: 1 }),
                Some(b'*') => self.stage = Stage::Count,
                Some(_) => self.stage = Stage::Inline,
            }
        }
        if matches!(self.stage, Stage::Count) {
            let Some(count) = self.decode_count(input, authenticated)? else {
                return Ok(Decoded::Incomplete { more: 1 });
            };
            if count == 0 {
                return Ok(Decoded::Nothing { consumed: self.position });
            }
            self.remaining = count;
            self.stage = Stage::Size;
        }
        match self.stage {
            Stage::Size | Stage::Argument { .. } => self.decode_arguments(input, authenticated),
            Stage::Inline => self.decode_inline(input),
            Stage::Failed(error) => Err(error),
            Stage::Start | Stage::Count | Stage::Complete => {
                unreachable!("these stages have been left above")
            }
        }
    }

    /// Reads the line `*<count>`. Negative counts are as empty as zero.
    fn decode_count(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Option<u32>, ProtocolError> {
        let count = match number::parse_short_line(input, b'*') {
            Some((count, size)) => {
                self.position = size;
                self.scanned = 0;
                count as i64
            }
            None => {
                let Some(line) = self.line(input, b'*', ProtocolError::MultibulkCountTooBig)?
                else {
                    return Ok(None);
                };
                number::parse(&line[1..]).ok_or(ProtocolError::MultibulkLengthInvalid)?
            }
        };
        if (limits::ARGUMENT_COUNT_MAX as i64) < count {
            return Err(ProtocolError::MultibulkLengthInvalid);
        }
        if UNAUTHENTICATED_COUNT_MAX < count && !authenticated {
            return Err(ProtocolError::MultibulkLengthUnauthenticated);
        }
        Ok(Some(count.max(0) as u32))
    }

    fn decode_arguments(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Decoded, ProtocolError> {
        loop {
            let size = match self.stage {
                Stage::Argument { size } => size,
                _ => match self.decode_size(input, authenticated)? {
                    Some(size) => size,
                    None => {
                        self.stage = Stage::Size;
                        return Ok(Decoded::Incomplete { more: 1 });
                    }
                },
            };
            let end = self.position + size;
            match input.get(end..end + 2) {
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::LineEndInvalid),
                None => {
                    base::mark!("net: an argument comes in pieces");
                    self.stage = Stage::Argument { size };
                    return Ok(Decoded::Incomplete { more: end + 2 - input.len() });
                }
            }
            self.spans.push(Span::new(self.position, end));
            self.position = end + 2;
            self.stage = Stage::Size;
            self.remaining -= 1;
            if self.remaining == 0 {
                return Ok(Decoded::Command { consumed: self.position });
            }
        }
    }

    /// Reads the line `$<size>`.
    #[inline]
    fn decode_size(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Option<usize>, ProtocolError> {
        let size = match number::parse_short_line(&input[self.position..], b'$') {
            Some((size, line_size)) => {
                self.position += line_size;
                self.scanned = 0;
                size
            }
            None => {
                let Some(line) = self.line(input, b'$', ProtocolError::BulkCountTooBig)? else {
                    return Ok(None);
                };
                let size = number::parse(&line[1..]).ok_or(ProtocolError::BulkLengthInvalid)?;
                usize::try_from(size).map_err(|_| ProtocolError::BulkLengthInvalid)?
            }
        };
        if self.size_max < size {
            return Err(ProtocolError::BulkLengthInvalid);
        }
        if UNAUTHENTICATED_SIZE_MAX < size && !authenticated {
            return Err(ProtocolError::BulkLengthUnauthenticated);
        }
        Ok(Some(size))
    }

    /// The line at the position, without its end; the position is then behind it. `None` while
    /// its end has not arrived.
    ///
    /// Nothing of a line is judged before its CR and the byte behind it are here; then first the
    /// marker, then the line end, and the number by the caller.
    fn line<'a>(
        &mut self,
        input: &'a [u8],
        marker: u8,
        too_big: ProtocolError,
    ) -> Result<Option<&'a [u8]>, ProtocolError> {
        let line = &input[self.position..];
        let window = &line[..line.len().min(limits::INLINE_SIZE_MAX + 1)];
        let Some(found) = memchr(b'\r', &window[self.scanned..]) else {
            if limits::INLINE_SIZE_MAX < line.len() {
                return Err(too_big);
            }
            self.scanned = line.len();
            return Ok(None);
        };
        let end = self.scanned + found;
        let Some(behind) = line.get(end + 1) else {
            self.scanned = end;
            return Ok(None);
        };
        if line[0] != marker {
            return Err(ProtocolError::BulkExpected(line[0]));
        }
        if *behind != b'\n' {
            return Err(ProtocolError::LineEndInvalid);
        }
        self.position += end + 2;
        self.scanned = 0;
        Ok(Some(&line[..end]))
    }

    fn decode_inline(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let window = &input[..input.len().min(limits::INLINE_SIZE_MAX + 1)];
        let Some(found) = memchr(b'\n', &window[self.scanned..]) else {
            if limits::INLINE_SIZE_MAX < input.len() {
                return Err(ProtocolError::InlineTooBig);
            }
            self.scanned = input.len();
            return Ok(Decoded::Incomplete { more: 1 });
        };
        let end = self.scanned + found;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.is_unescaped = inline::split(line, &mut self.spans, &mut self.unescaped)?;
        let consumed = end + 1;
        if self.spans.is_empty() {
            Ok(Decoded::Nothing { consumed })
        } else {
            Ok(Decoded::Command { consumed })
        }
    }

    fn storage<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        if self.is_unescaped { &self.unescaped } else { input }
    }
}

/// The arguments of one request, in order.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    spans: std::slice::Iter<'a, Span>,
    storage: &'a [u8],
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| span.of(self.storage))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Arguments<'_> {}

/// Where an argument lies. 32 bits: a request is smaller than the query buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        debug_assert!(end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    #[inline]
    fn of(self, storage: &[u8]) -> &[u8] {
        &storage[self.start as usize..self.end as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// At the first byte of a request.
    Start,
    /// In the line `*<count>`.
    Count,
    /// In the line `$<size>` of the next argument.
    Size,
    /// In an argument of this size, or the line end behind it.
    Argument { size: usize },
    /// In a line of words.
    Inline,
    /// The last call returned a request or nothing.
    Complete,
    /// The last call failed.
    Failed(ProtocolError),
}

#[cfg(test)]
mod tests;
