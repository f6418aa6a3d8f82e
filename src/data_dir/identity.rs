//! The file `node` of a data directory: what it is, written once.
//!
//! ```text
//! toroid-data 2
//! node 0123456789abcdef0123456789abcdef
//! slices 16
//! hash-seed 0123456789abcdef
//! crc32 01234567
//! ```
//!
//! Format 1 had one slice and no seed. Its directories stay usable, with a seed made of the node's
//! id: what the seed keeps secret, old data does without.

use super::{hex, unhex};

/// The newest format.
const FORMAT: u32 = 2;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub format: u32,
    pub uuid: [u8; 16],
    pub slices: u16,
    /// Where hashes of keys start from: a secret, so that nobody can choose keys that collide.
    pub hash_seed: u64,
}

impl Identity {
    pub fn new(uuid: [u8; 16], slices: u16, hash_seed: u64) -> Self {
        assert!(slices.is_power_of_two());
        Self { format: FORMAT, uuid, slices, hash_seed }
    }

    pub(super) fn print(&self) -> String {
        assert_eq!(self.format, FORMAT, "only the newest format is written");
        with_checksum(format!(
            "toroid-data {FORMAT}\nnode {}\nslices {}\nhash-seed {:016x}\n",
            hex(&self.uuid),
            self.slices,
            self.hash_seed
        ))
    }

    /// # Errors
    ///
    /// What is wrong with the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut expect = |name: &str| match (words.next(), words.next()) {
            (Some(found), Some(value)) if found == name => Ok(value.to_owned()),
            _ => Err(format!("no line '{name}'")),
        };
        let format = match expect("toroid-data")?.as_str() {
            "1" => 1,
            "2" => 2,
            other => {
                return Err(format!(
                    "it has format {other}, this version reads formats 1 to {FORMAT}; use the \
                     version of toroid that wrote it, or a newer one"
                ));
            }
        };
        check_checksum(text)?;
        let uuid = unhex(&expect("node")?).ok_or("the node id is malformed")?;
        let slices: u16 =
            expect("slices")?.parse().map_err(|_| "the number of slices is malformed")?;
        if !slices.is_power_of_two() || base::limits::SLICES_MAX < slices {
            return Err(format!("{slices} slices are none that toroid makes"));
        }
        let hash_seed = match format {
            1 => seed_of(&uuid),
            _ => u64::from_str_radix(&expect("hash-seed")?, 16)
                .map_err(|_| "the hash seed is malformed")?,
        };
        Ok(Self { format, uuid, slices, hash_seed })
    }
}

fn seed_of(uuid: &[u8; 16]) -> u64 {
    let (low, high) = uuid.split_at(8);
    let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a half is 8 bytes"));
    half(low) ^ half(high).rotate_left(32)
}

/// The text with the line that lets any change of it be noticed.
pub(super) fn with_checksum(body: String) -> String {
    let crc = crc32fast::hash(body.as_bytes());
    format!("{body}crc32 {crc:08x}\n")
}

/// # Errors
///
/// The line is missing, or does not match what stands before it.
pub(super) fn check_checksum(text: &str) -> Result<(), String> {
    let (body, crc) = text.split_once("crc32 ").ok_or("no line 'crc32'")?;
    if crc.trim_end() == format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        Ok(())
    } else {
        Err("its checksum does not match".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn an_identity_is_read_back_and_any_change_of_it_is_noticed() {
        let identity = Identity::new(UUID, 16, 0x0123_4567_89ab_cdef);
        let text = identity.print();
        assert_eq!(Identity::parse(&text).as_ref(), Ok(&identity));
        for position in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert_ne!(Identity::parse(&changed).as_ref(), Ok(&identity), "byte {position}");
        }
    }

    #[test]
    fn the_first_format_has_one_slice_and_the_same_seed_each_time() {
        let text = with_checksum(format!("toroid-data 1\nnode {}\nslices 1\n", hex(&UUID)));
        let identity = Identity::parse(&text).expect("format 1 is read");
        assert_eq!((identity.format, identity.uuid, identity.slices), (1, UUID, 1));
        assert_eq!(Identity::parse(&text), Ok(identity));
    }

    #[test]
    fn a_newer_format_is_refused_with_its_number() {
        let text = Identity::new([7; 16], 1, 7).print().replace("data 2", "data 3");
        let error = Identity::parse(&text).expect_err("the format is newer");
        assert!(error.contains("format 3"), "{error}");
    }
}
