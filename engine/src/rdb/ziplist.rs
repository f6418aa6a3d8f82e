//! The two layouts small collections had before listpacks; they are read only.
//!
//! ```text
//! ziplist   u32 LE size, u32 LE offset of the last item, u16 LE items (65535: to be counted),
//!           items, 0xff
//! item      the size of the item before (a byte below 254, or 254 and u32 LE), then
//!   00LLLLLL bytes            01LLLLLL llllllll bytes            10000000 u32 BE bytes
//!   11000000 i16 LE           11010000 i32 LE                    11100000 i64 LE
//!   11110000 i24 LE           11111110 i8                        1111NNNN the integer N - 1
//!
//! zipmap    u8 pairs (254 and more: to be counted), pairs, 0xff
//! pair      length, field, length, u8 unused bytes, value, that many bytes
//!   length  a byte below 254, or 254 and u32 LE
//! ```

use super::BadFormat;
use super::string::Reader;
use crate::listpack::{Item, ListpackBuf};

const ZIPLIST_HEADER_SIZE: usize = 10;
const END: u8 = 0xff;
const LONG: u8 = 254;
const UNCOUNTED: u16 = u16::MAX;

/// The items of a ziplist as a listpack. All of it is checked.
pub(super) fn ziplist_to_listpack(ziplist: &[u8]) -> Result<Vec<u8>, BadFormat> {
    let mut reader = Reader::new(ziplist);
    let size = u32::from_le_bytes(reader.array()?);
    let last = u32::from_le_bytes(reader.array()?);
    let count = u16::from_le_bytes(reader.array()?);
    if size as usize != ziplist.len() {
        return Err(BadFormat);
    }
    let mut listpack = ListpackBuf::with_capacity(ziplist.len());
    let (mut start, mut item_size) = (ZIPLIST_HEADER_SIZE, 0);
    loop {
        let left = reader.left();
        let first = reader.byte()?;
        if first == END {
            break;
        }
        let before = match first {
            LONG => u32::from_le_bytes(reader.array()?) as usize,
            size => size.into(),
        };
        if before != item_size {
            return Err(BadFormat);
        }
        listpack.push(ziplist_item(&mut reader)?);
        start = ziplist.len() - left;
        item_size = left - reader.left();
    }
    let is_count_right = count == UNCOUNTED || usize::from(count) == listpack.len();
    if !is_count_right || (!listpack.is_empty() && last as usize != start) {
        return Err(BadFormat);
    }
    reader.end()?;
    Ok(listpack.finish())
}

fn ziplist_item<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, BadFormat> {
    let first = reader.byte()?;
    let size = match first {
        0x00..=0x3f => first.into(),
        0x40..=0x7f => u16::from_be_bytes([first & 0x3f, reader.byte()?]).into(),
        0x80 => u32::from_be_bytes(reader.array()?) as usize,
        0xc0 => return Ok(Item::Integer(i16::from_le_bytes(reader.array()?).into())),
        0xd0 => return Ok(Item::Integer(i32::from_le_bytes(reader.array()?).into())),
        0xe0 => return Ok(Item::Integer(i64::from_le_bytes(reader.array()?))),
        0xf0 => {
            let [low, middle, high] = reader.array()?;
            return Ok(Item::Integer((i32::from_le_bytes([0, low, middle, high]) >> 8).into()));
        }
        0xfe => return Ok(Item::Integer(i8::from_le_bytes(reader.array()?).into())),
        0xf1..=0xfd => return Ok(Item::Integer(i64::from(first & 0x0f) - 1)),
        _ => return Err(BadFormat),
    };
    reader.bytes(size).map(Item::of)
}

/// The pairs of a zipmap as a listpack. All of it is checked.
pub(super) fn zipmap_to_listpack(zipmap: &[u8]) -> Result<Vec<u8>, BadFormat> {
    let mut reader = Reader::new(zipmap);
    let count = reader.byte()?;
    let mut listpack = ListpackBuf::with_capacity(zipmap.len());
    while let Some(size) = zipmap_length(&mut reader)? {
        listpack.push(reader.bytes(size)?);
        let size = zipmap_length(&mut reader)?.ok_or(BadFormat)?;
        let unused = reader.byte()?;
        listpack.push(reader.bytes(size)?);
        reader.bytes(unused.into())?;
    }
    if count < LONG && usize::from(count) != listpack.len() / 2 {
        return Err(BadFormat);
    }
    reader.end()?;
    Ok(listpack.finish())
}

fn zipmap_length(reader: &mut Reader<'_>) -> Result<Option<usize>, BadFormat> {
    Ok(match reader.byte()? {
        END => None,
        LONG => Some(u32::from_le_bytes(reader.array()?) as usize),
        size => Some(size.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listpack::Listpack;

    fn texts(listpack: &[u8]) -> Vec<String> {
        let items = Listpack::validated(listpack).expect("it is a listpack").iter();
        items.map(|item| item.to_vec().escape_ascii().to_string()).collect()
    }

    /// A ziplist of items as they are encoded, without the size of the one before.
    pub(crate) fn ziplist(items: &[&[u8]]) -> Vec<u8> {
        let (mut bytes, mut last, mut before) = (vec![0; ZIPLIST_HEADER_SIZE], 10, 0);
        for item in items {
            last = bytes.len();
            if before < usize::from(LONG) {
                bytes.push(before as u8);
            } else {
                bytes.push(LONG);
                bytes.extend_from_slice(&(before as u32).to_le_bytes());
            }
            bytes.extend_from_slice(item);
            before = bytes.len() - last;
        }
        bytes.push(END);
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes[4..8].copy_from_slice(&(last as u32).to_le_bytes());
        bytes[8..10].copy_from_slice(&(items.len() as u16).to_le_bytes());
        bytes
    }

    #[test]
    fn a_ziplist_holds_strings_and_integers_of_every_width() {
        let long = [&[0x41, 0x2c][..], &[b'x'; 300]].concat();
        let longest = [&[0x80, 0, 0, 1, 0x2c][..], &[b'y'; 300]].concat();
        let bytes = ziplist(&[
            b"\x02hi",
            &long,
            &longest,
            &[0xc0, 0xff, 0x7f],
            &[0xd0, 0, 0, 0, 0x80],
            &[0xe0, 255, 255, 255, 255, 255, 255, 255, 0x7f],
            &[0xf0, 0xff, 0xff, 0xff],
            &[0xf0, 0xff, 0xff, 0x7f],
            &[0xfe, 0x80],
            &[0xf1],
            &[0xfd],
            b"\x0242",
        ]);
        let listpack = ziplist_to_listpack(&bytes).expect("it is a ziplist");
        let (x, y) = ("x".repeat(300), "y".repeat(300));
        let expected = [
            "hi",
            &x,
            &y,
            "32767",
            "-2147483648",
            "9223372036854775807",
            "-1",
            "8388607",
            "-128",
            "0",
            "12",
            "42",
        ];
        assert_eq!(texts(&listpack), expected);
        assert_eq!(ziplist_to_listpack(&ziplist(&[])).map(|bytes| texts(&bytes)), Ok(vec![]));
    }

    #[test]
    fn every_field_of_a_ziplist_is_checked() {
        let good = ziplist(&[b"\x02hi", b"\x05there"]);
        assert!(ziplist_to_listpack(&good).is_ok());
        for (place, byte) in good.iter().enumerate() {
            for changed in [0, 1, 0x0f, 0x80, 0xff, byte ^ 1].into_iter().filter(|new| new != byte)
            {
                let mut bytes = good.clone();
                bytes[place] = changed;
                let is_text = matches!(place, 12 | 13 | 16..=20);
                assert_eq!(ziplist_to_listpack(&bytes).is_ok(), is_text, "byte {place}: {changed}");
            }
            assert_eq!(ziplist_to_listpack(&good[..place]), Err(BadFormat));
        }
        let mut uncounted = good.clone();
        uncounted[8..10].fill(0xff);
        assert!(ziplist_to_listpack(&uncounted).is_ok());
        assert_eq!(ziplist_to_listpack(&[&good[..], &[0]].concat()), Err(BadFormat));
    }

    #[test]
    fn a_zipmap_has_unused_bytes_behind_values() {
        let bytes = b"\x02\x03foo\x03\x02barxx\x05hello\xfe\x05\0\0\0\x00world\xff";
        let listpack = zipmap_to_listpack(bytes).expect("it is a zipmap");
        assert_eq!(texts(&listpack), ["foo", "bar", "hello", "world"]);
        let uncounted = [b"\xfe", &bytes[1..]].concat();
        assert!(zipmap_to_listpack(&uncounted).is_ok());
        let miscounted = [b"\x03", &bytes[1..]].concat();
        assert_eq!(zipmap_to_listpack(&miscounted), Err(BadFormat));
        assert_eq!(zipmap_to_listpack(b"\x01\x03foo\xff"), Err(BadFormat));
        assert_eq!(zipmap_to_listpack(&[&bytes[..], &[0xff]].concat()), Err(BadFormat));
        for end in 0..bytes.len() {
            assert_eq!(zipmap_to_listpack(&bytes[..end]), Err(BadFormat));
        }
    }
}
