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

use super::identity::{check_checksum, with_checksum};

const FORMAT: u32 = 1;

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

pub(super) fn print(generations: &[Generation]) -> String {
    let mut body = format!("toroid-logs {FORMAT}\n");
    for Generation { number, cores } in generations {
        body.push_str(&format!("generation {number} cores {cores}\n"));
    }
    with_checksum(body)
}

/// # Errors
///
/// What is wrong with the text.
pub(super) fn parse(text: &str) -> Result<Vec<Generation>, String> {
    let mut lines = text.lines();
    match lines.next().and_then(|line| line.strip_prefix("toroid-logs ")) {
        Some("1") => {}
        Some(other) => return Err(format!("it has format {other}, this version reads {FORMAT}")),
        None => return Err("no line 'toroid-logs'".to_owned()),
    }
    check_checksum(text)?;
    let mut generations: Vec<Generation> = Vec::new();
    for line in lines.take_while(|line| !line.starts_with("crc32 ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let ["generation", number, "cores", cores] = words[..] else {
            return Err(format!("the line '{line}' is malformed"));
        };
        let (Ok(number), Ok(cores)) = (number.parse(), cores.parse()) else {
            return Err(format!("the line '{line}' is malformed"));
        };
        let above = generations.last().map_or(0, |last| last.number);
        if number <= above || cores == 0 || base::limits::SLICES_MAX < cores {
            return Err(format!("the line '{line}' does not fit the one before it"));
        }
        generations.push(Generation { number, cores });
    }
    Ok(generations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_back_and_any_change_is_noticed() {
        let all = [Generation { number: 1, cores: 2 }, Generation { number: 2, cores: 16 }];
        let text = print(&all);
        assert_eq!(parse(&text).as_deref(), Ok(&all[..]));
        for position in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            assert_ne!(parse(&changed).as_deref(), Ok(&all[..]), "byte {position}");
        }
        let backward = [all[1], all[0]];
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
