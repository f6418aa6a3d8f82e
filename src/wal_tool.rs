//! `toroid wal`: looks into the logs of a data directory, offline and read-only.
//!
//! `inspect` prints what is there, `dump` the records too, `verify` what a start would find.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use base::{CoreId, FrameSequence};
use wal::{Finding, FrameHeader, Life, Record, Run};

use crate::data_dir::{self, Generation, hex};
use crate::exit::{Failure, Status};
use crate::log_files::MappedLog;
use crate::recovery::{self, LogEnd};

/// Prints segments, frames, gaps and their reasons.
pub fn inspect(directory: &Path) -> Result<Status, Failure> {
    print(directory, Detail::Frames)
}

/// Prints every record as well.
pub fn dump(directory: &Path) -> Result<Status, Failure> {
    print(directory, Detail::Records)
}

/// Checks everything; only logs without a problem, alone and together, end with success.
pub fn verify(directory: &Path) -> Result<Status, Failure> {
    let status = verify_logs(directory)?;
    println!("{}", if status == Status::Done { "no problem found" } else { "problems found" });
    Ok(status)
}

/// Prints what is in each log and what is wrong with them, alone and together.
pub fn verify_logs(directory: &Path) -> Result<Status, Failure> {
    let mut status = Status::Done;
    let mut ends: BTreeMap<u32, Vec<LogEnd>> = BTreeMap::new();
    let dropped = dropped(directory)?;
    for log in logs(directory)? {
        if log.name.is_some_and(|(number, _)| dropped.contains(&number)) {
            println!("{}: not needed any more: a start removes it", log.path.display());
            continue;
        }
        let (problems, end) = verify_log(&log.path)?;
        if let (Some((generation, core)), Some(end)) = (log.name, end) {
            ends.entry(generation).or_default().push(LogEnd { log: CoreId(core), ..end });
        }
        for problem in &problems {
            println!("{}: problem: {problem}", log.path.display());
            status = Status::Damage;
        }
    }
    for (number, ends) in &ends {
        if let Some(lost) = recovery::find_lost(ends) {
            let cores = ends.iter().map(|end| end.log.0 + 1).max().unwrap_or(1);
            let generation = Generation { number: *number, cores };
            let path = directory.join(generation.log_name(lost.log));
            let problem = lost.describe(generation, &mut MappedLog::new(&path));
            println!("{}: problem: {problem}", path.display());
            status = Status::Damage;
        }
    }
    for problem in missing_logs(directory)? {
        println!("{}: problem: {problem}", directory.display());
        status = Status::Damage;
    }
    Ok(status)
}

/// What is wrong with one log, and where it ends if a start would take it.
fn verify_log(path: &Path) -> Result<(Vec<String>, Option<LogEnd>), Failure> {
    let mut log = MappedLog::new(path);
    let name = path.display();
    let verified = wal::verify(&mut log).map_err(|error| unreadable(path, &error))?;
    let Some(verified) = verified else {
        println!("{name}: empty: no file says whose log it is");
        let (last, hints) = (FrameSequence::NONE, Vec::new());
        return Ok((Vec::new(), Some(LogEnd { log: CoreId(0), last, hints, cut: None })));
    };
    let mut problems: Vec<String> = verified
        .problems
        .iter()
        .map(|problem| format!("{} offset {}: {}", problem.file, problem.offset, problem.reason))
        .collect();
    let mut records = 0_u64;
    wal::inspect(&mut log, &mut |finding| {
        if let Finding::Record { sequence, record: Record::Entry { index, body, .. }, .. } = finding
        {
            records += 1;
            if let Err(reason) = node::describe(body) {
                problems.push(format!("frame {sequence}, entry {index}: {reason}"));
            }
        }
    })
    .map_err(|error| unreadable(path, &error))?;
    match &verified.recovered {
        Ok(recovered) => {
            let (frames, bytes) = (recovered.frames, recovered.bytes);
            let last = recovered.last;
            println!("{name}: {frames} frames to {last}, {records} entries, {bytes} bytes");
            if let Some(cut) = &recovered.cut {
                println!("{name}: a start will have {cut}");
            }
        }
        Err(_) => println!("{name}: a start will be refused"),
    }
    let recovered = verified.recovered.as_ref().ok();
    let end = recovered.map(|recovered| LogEnd::of((verified.identified.log, recovered)));
    Ok((problems, end))
}

/// The numbers of the generations that are being removed: some of their files may be gone.
fn dropped(directory: &Path) -> Result<Vec<u32>, Failure> {
    let fail = |error| Failure::new(Status::Directory, error);
    let Some(identity) = data_dir::read_identity(directory).map_err(fail)? else {
        return Ok(Vec::new());
    };
    let dropped = data_dir::read_dropped(directory, &identity).map_err(fail)?;
    Ok(dropped.iter().map(|generation| generation.number).collect())
}

/// The logs that a data directory is known to have and does not.
fn missing_logs(directory: &Path) -> Result<Vec<String>, Failure> {
    let fail = |error| Failure::new(Status::Directory, error);
    let Some(identity) = data_dir::read_identity(directory).map_err(fail)? else {
        return Ok(Vec::new());
    };
    let generations = data_dir::read_generations(directory, &identity).map_err(fail)?;
    let names = generations.iter().flat_map(|generation| {
        generation.logs().map(|core| generation.log_name(core)).collect::<Vec<_>>()
    });
    let missing = names.filter(|name| !directory.join(name).is_dir());
    Ok(missing.map(|name| format!("the log '{name}' is missing")).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Frames,
    Records,
}

fn print(directory: &Path, detail: Detail) -> Result<Status, Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for Log { path, .. } in logs(directory)? {
        let mut written = writeln!(out, "{}", path.display());
        wal::inspect(&mut MappedLog::new(&path), &mut |finding| {
            if written.is_ok() {
                written = print_finding(&mut out, &finding, detail);
            }
        })
        .map_err(|error| unreadable(&path, &error))?;
        // Whoever reads us may stop early, as `head` does.
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(Status::Done);
        }
    }
    Ok(Status::Done)
}

fn print_finding(
    out: &mut dyn Write,
    finding: &Finding<'_>,
    detail: Detail,
) -> std::io::Result<()> {
    match finding {
        Finding::Segment { file, size, header, end, is_copy_damaged } => {
            let end = end.map_or("open".to_owned(), |end| format!("ends before {end}"));
            let damaged = if *is_copy_damaged { ", one header copy damaged" } else { "" };
            writeln!(
                out,
                "segment {file}: {size} bytes, node {}, log {}, boot {}, first frame {}, {end}, \
                 salt {:016x}{damaged}",
                hex(&header.node_uuid),
                header.log,
                header.boot,
                header.first_sequence,
                header.salt
            )
        }
        Finding::Headless { file, size, is_zero } => {
            let what = if *is_zero { "spare" } else { "no valid header" };
            writeln!(out, "segment {file}: {size} bytes, {what}")
        }
        Finding::Frame { file, offset, size, header, life } => {
            writeln!(out, "  {file} {offset:>9}  {}", frame_line(header, *size, *life))
        }
        Finding::Record { sequence, previous, record } => match detail {
            Detail::Frames => Ok(()),
            Detail::Records => print_record(out, *sequence, *previous, record),
        },
        Finding::Unreadable { file, offset, sequence, reason } => {
            writeln!(out, "  {file} {offset:>9}  batch of frame {sequence} unreadable: {reason}")
        }
        Finding::Gap { file, offset, size, reason } => {
            writeln!(out, "  {file} {offset:>9}  no frame for {size} bytes: {reason}")
        }
        Finding::HardStateSlot { offset, generation, states } => match states {
            None => writeln!(out, "hardstate {offset}: damaged"),
            Some(states) => {
                writeln!(out, "hardstate {offset}: generation {generation}")?;
                for state in states {
                    let vote = state.vote.map_or("none".to_owned(), |vote| vote.to_string());
                    writeln!(out, "  slice {} term {} vote {vote}", state.slice, state.term)?;
                }
                Ok(())
            }
        },
        Finding::Ballast { size } => writeln!(out, "ballast: {size} bytes"),
    }
}

fn frame_line(header: &FrameHeader, size: u64, life: Life) -> String {
    let run = match header.run {
        Run::Single => "",
        Run::First => " run-first",
        Run::Middle => " run-middle",
        Run::Last => " run-last",
    };
    let seal = if header.is_seal { " seal" } else { "" };
    let life = match life {
        Life::Current => "",
        Life::Cut => " CUT",
        Life::Earlier => " of an earlier use",
    };
    format!(
        "frame {} size {size} payload {} records {} durable {} time {}{run}{seal}{life}",
        header.sequence,
        header.payload_size,
        header.record_count,
        header.durable_hint,
        header.timestamp_ms
    )
}

fn print_record(
    out: &mut dyn Write,
    sequence: base::FrameSequence,
    previous: base::FrameSequence,
    record: &Record<'_>,
) -> std::io::Result<()> {
    let slice = record.slice();
    write!(out, "    frame {sequence} slice {slice} after frame {previous}: ")?;
    match record {
        Record::Entry { term, index, body, .. } => {
            writeln!(out, "entry {index} term {term}, {} bytes", body.len())?;
            match node::describe(body) {
                Err(reason) => writeln!(out, "      unreadable: {reason}"),
                Ok(lines) => lines.iter().try_for_each(|line| writeln!(out, "      {line}")),
            }
        }
        Record::HardState(state) => {
            let vote = state.vote.map_or("none".to_owned(), |vote| vote.to_string());
            writeln!(out, "hard state: term {} vote {vote} commit {}", state.term, state.commit)
        }
        Record::Truncate { last, .. } => writeln!(out, "truncate above {last}"),
        Record::SnapshotMark { term, index, .. } => {
            writeln!(out, "snapshot at {index} of term {term}")
        }
        Record::Trim { last, .. } => writeln!(out, "trim up to {last}"),
    }
}

/// A log, and the generation and core that its name tells.
struct Log {
    path: PathBuf,
    name: Option<(u32, u16)>,
}

/// The logs of a data directory, generation by generation; a log's own directory stands for itself.
fn logs(directory: &Path) -> Result<Vec<Log>, Failure> {
    let missing = |cause: &dyn std::fmt::Display| {
        let text = format!(
            "cannot read {}: {cause}.\nFix: name a data directory of toroid.",
            directory.display()
        );
        Failure::new(Status::Directory, text)
    };
    let mut found = Vec::new();
    let mut is_log = false;
    for entry in std::fs::read_dir(directory).map_err(|cause| missing(&cause))? {
        let entry = entry.map_err(|cause| missing(&cause))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = Generation::parse_log_name(&name)
            && entry.path().is_dir()
        {
            found.push(Log { path: entry.path(), name: Some(name) });
        }
        is_log |= wal::LogFile::parse(&name).is_some();
    }
    if is_log {
        found.push(Log { path: directory.to_owned(), name: None });
    }
    if found.is_empty() {
        return Err(missing(&"it holds no log"));
    }
    found.sort_by_key(|log| log.name);
    Ok(found)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Status::Damage, format!("{}: {error}", path.display()))
}
