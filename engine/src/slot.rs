//! Which slot a key is in, by the rule of Redis Cluster.

use base::Slot;
use base::limits::SLOTS;

/// The slot of `key`: of the part between the first `{` and the first `}` after it, if that is
/// not empty, of the whole key otherwise.
#[must_use]
pub fn slot_of(key: &[u8]) -> Slot {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let size = rest.iter().position(|byte| *byte == b'}')?;
        (0 < size).then(|| &rest[..size])
    });
    Slot(crc16(tag.unwrap_or(key)) % SLOTS)
}

/// CRC-16/XMODEM, as the cluster specification asks.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}
