//! Which slot a key is in: CRC16 of its hash tag, as in Redis Cluster.

use base::Slot;
use base::limits::SLOTS;

/// The slot of a key: that of what stands between its first `{` and the next `}`, unless nothing
/// does; else that of the whole key.
pub fn slot_of(key: &[u8]) -> Slot {
    Slot(crc16(tag_of(key)) % SLOTS)
}

fn tag_of(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let tail = &key[open + 1..];
    match tail.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &tail[..close],
    }
}

/// CRC-16/XMODEM, eight bytes at a time.
fn crc16(bytes: &[u8]) -> u16 {
    let mut chunks = bytes.chunks_exact(8);
    let mut crc = 0u16;
    for chunk in &mut chunks {
        let [high, low] = crc.to_be_bytes();
        crc = table(7, chunk[0] ^ high)
            ^ table(6, chunk[1] ^ low)
            ^ table(5, chunk[2])
            ^ table(4, chunk[3])
            ^ table(3, chunk[4])
            ^ table(2, chunk[5])
            ^ table(1, chunk[6])
            ^ table(0, chunk[7]);
    }
    for byte in chunks.remainder() {
        crc = (crc << 8) ^ table(0, (crc >> 8) as u8 ^ byte);
    }
    crc
}

fn table(zeros: usize, byte: u8) -> u16 {
    TABLES[zeros][usize::from(byte)]
}

const POLYNOMIAL: u16 = 0x1021;

/// `TABLES[n][byte]`: the checksum of `byte` and `n` zero bytes.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the polynomial says.
    fn slow(bytes: &[u8]) -> u16 {
        let mut crc = 0u16;
        for byte in bytes {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
            }
        }
        crc
    }

    /// Fails when two of the tables are exchanged.
    #[test]
    fn the_checksum_is_that_of_the_polynomial_for_every_length() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let bytes: Vec<u8> = (0..100u32).map(|number| (number * 151 % 251) as u8).collect();
        for size in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..size]), slow(&bytes[..size]), "{size} bytes");
        }
    }

    /// Fails when an empty tag counts.
    #[test]
    fn a_hash_tag_alone_decides_unless_it_is_empty_or_open() {
        assert_eq!(slot_of(b"foo"), Slot(12182));
        assert_eq!(slot_of(b"{foo}.bar"), slot_of(b"foo"));
        assert_eq!(slot_of(b"x{foo}{bar}"), slot_of(b"foo"));
        assert_eq!(slot_of(b"{{foo}}"), slot_of(b"{foo"));
        for whole in [&b"{}foo"[..], b"foo{", b"}foo{bar", b"", b"{}"] {
            assert_eq!(slot_of(whole), Slot(slow(whole) % SLOTS), "{whole:?}");
        }
    }
}
