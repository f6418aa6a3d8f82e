//! What the node says beside the effects of an entry, read apart from `node`.
//!
//! Tagged items of LEB128 numbers: 1 resolved (index), 2 fragment (count, then slice, term, index
//! of each participant), 3 void (the first of the entries that carry no effects),
//! 4 checksum.

/// A participant of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub slice: u16,
    pub term: u64,
    pub index: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    pub resolved: u64,
    pub fragment: Vec<Place>,
    pub void: Option<u64>,
}

impl Attachment {
    pub fn read(mut bytes: &[u8]) -> Result<Self, String> {
        let mut attachment = Self::default();
        while let Some((tag, rest)) = bytes.split_first() {
            bytes = rest;
            match tag {
                1 => attachment.resolved = number(&mut bytes)?,
                2 => {
                    for _ in 0..number(&mut bytes)? {
                        let slice = number(&mut bytes)?;
                        attachment.fragment.push(Place {
                            slice: slice.try_into().map_err(|_| format!("slice {slice}"))?,
                            term: number(&mut bytes)?,
                            index: number(&mut bytes)?,
                        });
                    }
                }
                3 => attachment.void = Some(number(&mut bytes)?),
                // A checksum: the node compares it.
                4 => {
                    number(&mut bytes)?;
                }
                other => return Err(format!("an attachment with item {other}")),
            }
        }
        Ok(attachment)
    }
}

fn number(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("an attachment ends inside a number")?;
        *bytes = rest;
        if 63 < shift {
            return Err("a number too large".to_owned());
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(number)
}
