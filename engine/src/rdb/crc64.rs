//! The checksum of a payload: CRC-64 with Jones's polynomial, lowest bit first, from zero.

/// The polynomial 0xad93d23594c935a9 with its bits in the order they are used.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// `TABLES[n][byte]` is what a byte leaves behind after `n` more bytes.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            rest = (rest >> 1) ^ if rest & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = rest;
        byte += 1;
    }
    let mut distance = 1;
    while distance < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[distance - 1][byte];
            tables[distance][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        distance += 1;
    }
    tables
}

pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = 0u64;
    for word in words {
        let mixed = (sum ^ u64::from_le_bytes(*word)).to_le_bytes();
        sum = 0;
        for (distance, byte) in mixed.iter().enumerate() {
            sum ^= TABLES[7 - distance][usize::from(*byte)];
        }
    }
    rest.iter()
        .fold(sum, |sum, byte| (sum >> 8) ^ TABLES[0][usize::from(sum.to_le_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_is_that_of_the_catalogue() {
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(checksum(b""), 0);
    }

    proptest! {
        #[test]
        fn eight_bytes_at_once_are_the_same_as_one_by_one(bytes: Vec<u8>) {
            let slow = bytes.iter().fold(0, |mut sum: u64, byte| {
                sum ^= u64::from(*byte);
                for _ in 0..8 {
                    sum = (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 };
                }
                sum
            });
            prop_assert_eq!(checksum(&bytes), slow);
        }
    }
}
