//! The file `logs` of a data directory: which logs there are.
//!
//! A generation is the set of logs written with one number of cores: within it a slice's records
//! are in one log, that of its owner. A start with another number of cores opens the next
//! generation, and from then on only reads the older ones. The file is replaced, durably, before
//! the first frame of a new generation is written.
//!
//! ```text
//! toroid-logs 1
//! generation 1 cores 2
//! generation 2 cores 4
//! crc32 01234567
//! ```
//!
//! Generation 0 is the log of format 1, `log-00`, which this file does not know.
//!
//! A generation that is covered by snapshots goes: its line becomes `dropped 1 cores 2` (and the
//! format 2), its directories are removed, and then the line is.

use super::identity::{check_checksum, with_checksum};

const FORMAT: u32 = 2;
const FORMAT_UNDROPPED: u32 = 1;

/// What the file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Oldest first.
    pub(super) generations: Vec<Generation>,
    /// Nobody needs them; some of their files may be there still.
    pub(super) dropped: Vec<Generation>,
}

/// One generation: its number and the cores that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    pub number: u32,
    pub cores: u16,
}

impl Generation {
    /// The name of the directory of `core`'s log.
    pub fn log_name(self, core: base::CoreId) -> String {
        assert!(core.0 < self.cores);
        match self.number {
            0 => format!("log-{:02}", core.0),
            number => format!("log-{number}-{}", core.0),
        }
    }

    /// The generation and the core of a log, by the name of its directory.
    pub fn parse_log_name(name: &str) -> Option<(u32, u16)> {
        let (number, core) = match name.strip_prefix("log-")?.split_once('-') {
            Some((number, core)) => (number.parse().ok()?, core.parse().ok()?),
            None if name == "log-00" => (0, 0),
            None => return None,
        };
        (Self { number, cores: u16::MAX }.log_name(base::CoreId(core)) == name)
            .then_some((number, core))
    }

    /// The log that holds the records of `slice`.
    pub fn log_of(self, slice: base::SliceId) -> base::CoreId {
        base::CoreId(slice.0 % self.cores)
    }

    pub fn logs(self) -> impl Iterator<Item = base::CoreId> {
        (0..self.cores).map(base::CoreId)
    }

    /// What the frames of this generation are marked with, so that those of another one with a log
    /// of the same number never verify: the node's id, and the generation in its last bytes.
    pub fn mark(self, uuid: [u8; 16]) -> [u8; 16] {
        let mut mark = uuid;
        for (byte, number) in mark[12..].iter_mut().zip(self.number.to_be_bytes()) {
            *byte ^= number;
        }
        mark
    }
}

pub(super) fn print(listed: &Listed) -> String {
    let format = if listed.dropped.is_empty() { FORMAT_UNDROPPED } else { FORMAT };
    let mut body = format!("toroid-logs {format}\n");
    for (what, generations) in [("dropped", &listed.dropped), ("generation", &listed.generations)] {
        for Generation { number, cores } in generations {
            body.push_str(&format!("{what} {number} cores {cores}\n"));
        }
    }
    with_checksum(body)
}

/// # Errors
///
/// What is wrong with the text.
pub(super) fn parse(text: &str) -> Result<Listed, String> {
    let mut lines = text.lines();
    match lines.next().and_then(|line| line.strip_prefix("toroid-logs ")) {
        Some("1" | "2") => {}
        Some(other) => return Err(format!("it has format {other}, this version reads {FORMAT}")),
        None => return Err("no line 'toroid-logs'".to_owned()),
    }
    check_checksum(text)?;
    let mut listed = Listed::default();
    let mut above = None;
    for line in lines.take_while(|line| !line.starts_with("crc32 ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let (generations, number, cores) = match words[..] {
            ["generation", number, "cores", cores] => (&mut listed.generations, number, cores),
            ["dropped", number, "cores", cores] => (&mut listed.dropped, number, cores),
            _ => return Err(format!("the line '{line}' is malformed")),
        };
        let (Ok(number), Ok(cores)) = (number.parse(), cores.parse()) else {
            return Err(format!("the line '{line}' is malformed"));
        };
        // Generation 0 was never listed, but it may be dropped.
        let follows = above.is_none_or(|above| above < number);
        if !follows || cores == 0 || base::limits::SLICES_MAX < cores {
            return Err(format!("the line '{line}' does not fit the one before it"));
        }
        above = Some(number);
        generations.push(Generation { number, cores });
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_back_and_any_change_is_noticed() {
        let all = vec![Generation { number: 1, cores: 2 }, Generation { number: 2, cores: 16 }];
        let listed = Listed { generations: all.clone(), dropped: Vec::new() };
        let text = print(&listed);
        assert!(text.starts_with("toroid-logs 1\n"));
        assert_eq!(parse(&text), Ok(listed.clone()));
        let dropped = Listed { generations: all[1..].to_vec(), dropped: all[..1].to_vec() };
        assert_eq!(parse(&print(&dropped)), Ok(dropped));
        for position in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert_ne!(parse(&changed), Ok(listed.clone()), "byte {position}");
        }
        let backward = Listed { generations: vec![all[1], all[0]], dropped: Vec::new() };
        assert!(parse(&print(&backward)).is_err(), "generations rise");
    }

    #[test]
    fn logs_of_two_generations_differ_in_name_and_mark() {
        let core = base::CoreId(0);
        let zero = Generation { number: 0, cores: 1 };
        let one = Generation { number: 1, cores: 1 };
        let two = Generation { number: 2, cores: 3 };
        assert_eq!([zero, one, two].map(|g| g.log_name(core)), ["log-00", "log-1-0", "log-2-0"]);
        assert_eq!(zero.mark([7; 16]), [7; 16], "logs of format 1 stay readable");
        for name in ["log-00", "log-1-0", "log-20-13"] {
            let (number, core) = Generation::parse_log_name(name).expect("a log's name");
            let generation = Generation { number, cores: 64 };
            assert_eq!(generation.log_name(base::CoreId(core)), name);
        }
        for name in ["log-", "log-1", "log-01-0", "log-0-0", "log-1-0-0", "log-1-x", "logs"] {
            assert_eq!(Generation::parse_log_name(name), None, "{name}");
        }
        assert_ne!(one.mark([7; 16]), two.mark([7; 16]));
        assert_eq!(two.log_of(base::SliceId(7)), base::CoreId(1));
    }
}
