//! Lengths and strings, of which everything else is made.
//!
//! ```text
//! 00LLLLLL                    a length below 2^6
//! 01LLLLLL llllllll           a length below 2^14
//! 10000000 and 4 bytes        a length of 32 bits, big-endian
//! 10000001 and 8 bytes        a length of 64 bits, big-endian
//! 110000KK                    no length: a string in another way, an integer of 1, 2 or 4 bytes,
//!                             little-endian, or LZF: the compressed size, the size, the bytes
//! ```
//!
//! A string is a length and its bytes; or the integer it is the decimal text of; or compressed.

use std::borrow::Cow;

use base::limits::STRING_SIZE_MAX;

use super::BadFormat;
use super::lzf::{self, Compressor};
use crate::integer::parse_integer;

const LENGTH_32: u8 = 0x80;
const LENGTH_64: u8 = 0x81;
const INTEGER_8: u8 = 0xc0;
const INTEGER_16: u8 = 0xc1;
const INTEGER_32: u8 = 0xc2;
const COMPRESSED: u8 = 0xc3;

/// The longest text that may be stored as an integer.
const INTEGER_TEXT_SIZE_MAX: usize = 11;

/// Strings that are not longer are not compressed.
const COMPRESS_SIZE_MIN: usize = 21;

pub(super) fn put_length(output: &mut Vec<u8>, length: u64) {
    if length < 1 << 6 {
        output.push(length as u8);
    } else if length < 1 << 14 {
        output.extend_from_slice(&(length as u16 | 1 << 14).to_be_bytes());
    } else if let Ok(length) = u32::try_from(length) {
        output.push(LENGTH_32);
        output.extend_from_slice(&length.to_be_bytes());
    } else {
        output.push(LENGTH_64);
        output.extend_from_slice(&length.to_be_bytes());
    }
}

pub(super) fn put_string(output: &mut Vec<u8>, string: &[u8], compressor: Option<&mut Compressor>) {
    let is_short = string.len() <= INTEGER_TEXT_SIZE_MAX;
    if let Some(number) = parse_integer(string).filter(|_| is_short)
        && put_integer(output, number)
    {
        return;
    }
    if let Some(compressor) = compressor
        && COMPRESS_SIZE_MIN <= string.len()
        && put_compressed(output, string, compressor)
    {
        return;
    }
    put_length(output, string.len() as u64);
    output.extend_from_slice(string);
}

fn put_integer(output: &mut Vec<u8>, number: i64) -> bool {
    if let Ok(number) = i8::try_from(number) {
        output.push(INTEGER_8);
        output.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        output.push(INTEGER_16);
        output.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        output.push(INTEGER_32);
        output.extend_from_slice(&number.to_le_bytes());
    } else {
        return false;
    }
    true
}

fn put_compressed(output: &mut Vec<u8>, string: &[u8], compressor: &mut Compressor) -> bool {
    // How many bytes the sizes take is known when the bytes are there: they go to the end first.
    let start = output.len();
    if !compressor.compress(string, output) {
        return false;
    }
    let size = output.len() - start;
    output.push(COMPRESSED);
    put_length(output, size as u64);
    put_length(output, string.len() as u64);
    output[start..].rotate_left(size);
    true
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), BadFormat> {
        if self.rest.is_empty() { Ok(()) } else { Err(BadFormat) }
    }

    pub(super) fn bytes(&mut self, size: usize) -> Result<&'a [u8], BadFormat> {
        self.rest.split_off(..size).ok_or(BadFormat)
    }

    pub(super) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], BadFormat> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(BadFormat)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, BadFormat> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn length(&mut self) -> Result<u64, BadFormat> {
        let first = self.byte()?;
        match first {
            0..=0x3f => Ok(first.into()),
            0x40..=0x7f => Ok(u16::from_be_bytes([first & 0x3f, self.byte()?]).into()),
            LENGTH_32 => Ok(u32::from_be_bytes(self.array()?).into()),
            LENGTH_64 => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(BadFormat),
        }
    }

    /// A length in bytes of what follows, or in things of which each takes a byte.
    pub(super) fn size(&mut self) -> Result<usize, BadFormat> {
        let size = usize::try_from(self.length()?).map_err(|_| BadFormat)?;
        if size <= self.left() { Ok(size) } else { Err(BadFormat) }
    }

    pub(super) fn string(&mut self) -> Result<Stored<'a>, BadFormat> {
        let stored = match *self.rest.first().ok_or(BadFormat)? {
            INTEGER_8 => {
                self.byte()?;
                Stored::Integer(i8::from_le_bytes(self.array()?).into())
            }
            INTEGER_16 => {
                self.byte()?;
                Stored::Integer(i16::from_le_bytes(self.array()?).into())
            }
            INTEGER_32 => {
                self.byte()?;
                Stored::Integer(i32::from_le_bytes(self.array()?))
            }
            COMPRESSED => {
                self.byte()?;
                let compressed_size = self.length()?;
                let size = usize::try_from(self.length()?).map_err(|_| BadFormat)?;
                if STRING_SIZE_MAX < size {
                    return Err(BadFormat);
                }
                let compressed_size = usize::try_from(compressed_size).map_err(|_| BadFormat)?;
                Stored::Compressed { bytes: self.bytes(compressed_size)?, size }
            }
            _ => {
                let size = self.size()?;
                Stored::Plain(self.bytes(size)?)
            }
        };
        Ok(stored)
    }
}

/// A string as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored<'a> {
    Plain(&'a [u8]),
    Integer(i32),
    Compressed { bytes: &'a [u8], size: usize },
}

impl<'a> Stored<'a> {
    /// The string, in `scratch` unless it is there already.
    pub(super) fn read<'s>(self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], BadFormat>
    where
        'a: 's,
    {
        scratch.clear();
        match self {
            Self::Plain(bytes) => return Ok(bytes),
            Self::Integer(number) => {
                scratch.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            Self::Compressed { bytes, size } => {
                lzf::expand(bytes, size, scratch).ok_or(BadFormat)?;
            }
        }
        Ok(scratch)
    }

    pub(super) fn into_bytes(self) -> Result<Cow<'a, [u8]>, BadFormat> {
        if let Self::Plain(bytes) = self {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut scratch = Vec::new();
        self.read(&mut scratch)?;
        Ok(Cow::Owned(scratch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(string: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        put_string(&mut output, string, Some(&mut Compressor::new()));
        output
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, BadFormat> {
        let mut reader = Reader::new(bytes);
        let string = reader.string()?.into_bytes()?.into_owned();
        reader.end()?;
        Ok(string)
    }

    #[test]
    fn lengths_take_one_two_five_or_nine_bytes() {
        let cases: &[(u64, &[u8])] = &[
            (0, &[0]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16_383, &[0x7f, 0xff]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (u32::MAX.into(), &[0x80, 255, 255, 255, 255]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        for (length, bytes) in cases {
            let mut output = Vec::new();
            put_length(&mut output, *length);
            assert_eq!(output, *bytes);
            assert_eq!(Reader::new(bytes).length(), Ok(*length));
            assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).length(), Err(BadFormat));
        }
        assert_eq!(Reader::new(&[0x82, 0, 0, 0, 0]).length(), Err(BadFormat));
    }

    #[test]
    fn the_text_of_a_small_integer_is_stored_as_one() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"0", &[0xc0, 0]),
            (b"-128", &[0xc0, 0x80]),
            (b"128", &[0xc1, 128, 0]),
            (b"-32768", &[0xc1, 0, 0x80]),
            (b"32768", &[0xc2, 0, 0x80, 0, 0]),
            (b"-2147483648", &[0xc2, 0, 0, 0, 0x80]),
            (b"2147483648", b"\x0a2147483648"),
            (b"01", b"\x0201"),
            (b"-0", b"\x02-0"),
            (b"", b"\0"),
        ];
        for (string, bytes) in cases {
            assert_eq!(stored(string), *bytes, "{:?}", string.escape_ascii().to_string());
            assert_eq!(read(bytes).as_deref(), Ok(*string));
        }
    }

    #[test]
    fn a_string_of_more_than_twenty_bytes_is_compressed() {
        assert_eq!(stored(&[b'a'; 20])[0], 20);
        let bytes = stored(&[b'a'; 200]);
        assert_eq!(&bytes[..4], [0xc3, 9, 0x40, 200]);
        assert_eq!(read(&bytes).as_deref(), Ok(&[b'a'; 200][..]));
    }

    #[test]
    fn a_size_that_is_not_there_allocates_nothing() {
        let huge_plain = [0x81, 0, 0, 0, 0xff, 0, 0, 0, 0, b'a'];
        let huge_compressed = [0xc3, 1, 0x80, 0x1f, 0, 0, 0, 0];
        let too_large = [0xc3, 1, 0x81, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        for bytes in [&huge_plain[..], &huge_compressed, &too_large] {
            assert_eq!(read(bytes), Err(BadFormat));
        }
    }

    proptest! {
        #[test]
        fn a_string_is_read_as_it_was_stored(
            string in prop_oneof![
                any::<Vec<u8>>(),
                any::<i64>().prop_map(|number| number.to_string().into_bytes()),
                prop::collection::vec(b'a'..=b'b', 0..300),
            ],
        ) {
            prop_assert_eq!(read(&stored(&string)), Ok(string));
        }
    }
}
