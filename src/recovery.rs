//! Reads the logs of a data directory at a start: generation after generation, the logs of one
//! generation in parallel.
//!
//! A core's frames carry hints how far the logs of other cores were durable. Each log alone cannot
//! tell a tail that was torn from one that was lost; together they can: a log that ends below what
//! another one proves is damaged, and nothing is served.

use std::path::{Path, PathBuf};

use base::{CoreId, FrameSequence};
use wal::{Config, Finding, LogFile, LogRead, Record, Recovered};

use crate::data_dir::Generation;
use crate::log_files::{DirectLog, MappedLog};

/// A log that cannot be recovered: where it lies, what is wrong at which place, and what to do about
/// it if that is known.
#[derive(Debug)]
pub struct LogError {
    pub path: PathBuf,
    pub message: String,
    pub fix: Option<String>,
}

impl LogError {
    pub fn new(path: PathBuf, message: String) -> Self {
        Self { path, message, fix: None }
    }
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

/// Reads the logs of one generation, each on a thread of its own, and hands the records of log i to
/// the i-th of `receivers` by `replay`. `config` is the one of each log but for whose it is.
///
/// # Errors
///
/// The first of the logs that is damaged or foreign, or whose records were refused.
pub fn recover_generation<R: Send>(
    directory: &Path,
    generation: Generation,
    config: &Config,
    receivers: &mut [R],
    replay: impl Fn(&mut R, Record<'_>) -> Result<(), String> + Sync,
) -> Result<Vec<Recovered>, LogError> {
    assert_eq!(receivers.len(), usize::from(generation.cores));
    let recover = |core: CoreId, receiver: &mut R| {
        let path = directory.join(generation.log_name(core));
        let config = log_config(config, generation, core);
        let mut log = DirectLog::new(&path);
        wal::recover(&mut log, &config, &mut |_, record| replay(receiver, record))
            .map_err(|error| LogError::new(path, error.to_string()))
    };
    let logs: Vec<(CoreId, &mut R)> = generation.logs().zip(receivers).collect();
    let recovered: Vec<Result<Recovered, LogError>> = std::thread::scope(|scope| {
        let recover = &recover;
        let threads: Vec<_> = logs
            .into_iter()
            .map(|(core, receiver)| scope.spawn(move || recover(core, receiver)))
            .collect();
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().expect("recovery reports what it finds")).collect()
    });
    let recovered = recovered.into_iter().collect::<Result<Vec<_>, _>>()?;
    let ends: Vec<LogEnd> = generation.logs().zip(&recovered).map(LogEnd::of).collect();
    match find_lost(&ends) {
        Some(lost) => {
            let path = directory.join(generation.log_name(lost.log));
            let mut log = MappedLog::new(&path);
            let message = lost.describe(generation, &mut log);
            Err(LogError::new(path, message))
        }
        None => Ok(recovered),
    }
}

/// The configuration of one log of a generation.
pub fn log_config(config: &Config, generation: Generation, core: CoreId) -> Config {
    Config { log: core, node_uuid: generation.mark(config.node_uuid), ..config.clone() }
}

/// Where a log ends, and what it says of the others.
#[derive(Clone, Debug)]
pub struct LogEnd {
    pub log: CoreId,
    pub last: FrameSequence,
    pub hints: Vec<(CoreId, FrameSequence)>,
    /// Where a tail was cut off.
    pub cut: Option<(LogFile, u64)>,
}

impl LogEnd {
    pub fn of((log, recovered): (CoreId, &Recovered)) -> Self {
        Self {
            log,
            last: recovered.last,
            hints: recovered.node_hints.clone(),
            cut: recovered.cut.map(|cut| (cut.file, cut.offset)),
        }
    }
}

/// Frames that were durable and are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub log: CoreId,
    /// What is left.
    last: FrameSequence,
    /// These frames were durable,
    durable: FrameSequence,
    /// as this log says.
    witness: CoreId,
    cut: Option<(LogFile, u64)>,
}

/// The first log of a generation that ends below what another one proves durable of it.
pub fn find_lost(ends: &[LogEnd]) -> Option<Lost> {
    ends.iter().find_map(|end| {
        let hints = ends.iter().flat_map(|other| {
            let hints = other.hints.iter().filter(|(log, _)| *log == end.log);
            hints.map(|(_, durable)| (*durable, other.log))
        });
        let (durable, witness) = hints.max()?;
        let &LogEnd { log, last, cut, .. } = end;
        (last < durable).then_some(Lost { log, last, durable, witness, cut })
    })
}

impl Lost {
    /// What is wrong, with the place at which the missing frames belong.
    pub fn describe(&self, generation: Generation, log: &mut dyn LogRead) -> String {
        let place = self.cut.or_else(|| end_of(log, self.last));
        let place = match place {
            Some((file, offset)) => format!("{file} is damaged at offset {offset}"),
            None => "the log is empty".to_owned(),
        };
        format!(
            "{place}: frame {} belongs there. It was acknowledged: all frames up to {} were \
             durable, as {} says, and what is left ends with frame {}",
            self.last.next(),
            self.durable,
            generation.log_name(self.witness),
            self.last
        )
    }
}

/// The place behind a frame.
fn end_of(log: &mut dyn LogRead, last: FrameSequence) -> Option<(LogFile, u64)> {
    let mut place = None;
    let looked = wal::inspect(log, &mut |finding| {
        if let Finding::Frame { file, offset, size, header, life: wal::Life::Current } = finding
            && header.sequence == last
        {
            place = Some((file, offset + size));
        }
    });
    looked.ok().and(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(log: u16, last: u64, hints: &[(u16, u64)]) -> LogEnd {
        let hints = hints.iter().map(|&(log, at)| (CoreId(log), FrameSequence(at))).collect();
        LogEnd { log: CoreId(log), last: FrameSequence(last), hints, cut: None }
    }

    /// A log without files: what is left when a directory was emptied.
    struct Nothing;

    impl LogRead for Nothing {
        fn files(&mut self) -> Result<Vec<(LogFile, u64)>, wal::ReadError> {
            Ok(Vec::new())
        }

        fn read_at(&mut self, _: LogFile, _: u64, _: &mut [u8]) -> Result<(), wal::ReadError> {
            unreachable!("there is no file")
        }
    }

    /// Red when: the hints are not compared; a hint that names the very last frame is taken for a
    /// loss.
    #[test]
    fn a_log_that_ends_below_what_another_proves_is_damaged() {
        let whole = [end(0, 10, &[(1, 7)]), end(1, 7, &[(0, 9)]), end(2, 0, &[])];
        assert_eq!(find_lost(&whole), None);
        let torn = [end(0, 10, &[(1, 7)]), end(1, 6, &[(0, 9)]), end(2, 0, &[(1, 5)])];
        let lost = find_lost(&torn).expect("frame 7 of log 1 is gone");
        assert_eq!(
            (lost.log, lost.durable, lost.witness),
            (CoreId(1), FrameSequence(7), CoreId(0))
        );
    }

    #[test]
    fn a_loss_is_described_with_its_place_and_its_witness() {
        let generation = Generation { number: 3, cores: 2 };
        let mut torn = [end(0, 10, &[(1, 7)]), end(1, 6, &[])];
        torn[1].cut = Some((LogFile::Segment(4), 8192));
        let text = find_lost(&torn).expect("a loss").describe(generation, &mut Nothing);
        for words in ["00000004.segment", "offset 8192", "frame 7", "log-3-0", "ends with frame 6"]
        {
            assert!(text.contains(words), "lacks {words:?}: {text}");
        }
        let emptied = [end(0, 10, &[(1, 7)]), end(1, 0, &[])];
        let text = find_lost(&emptied).expect("a loss").describe(generation, &mut Nothing);
        assert!(text.contains("the log is empty"), "{text}");
    }
}
