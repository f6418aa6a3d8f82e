//! `toroid verify`: checks a whole data directory, offline, and changes nothing.
//!
//! Every log as `toroid wal verify` does, every byte of every snapshot, the older ones too, and at last
//! what a start would do: the newest sound snapshot of each slice and the logs behind it, in memory.
//! The running checksum that entries carry is compared on the way. It is a start's own code that reads;
//! what a start passes over with a warning is a problem here.

mod progress;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base::{CoreId, LogIndex, SliceId};
use node::{SliceStart, Topology};
use runtime::files::{LockError, SharedLock};

use crate::data_dir::{self, DataDirError, Identity};
use crate::exit::{Failure, Status};
use crate::replay::{Purpose, Replayed, Restored, Source, load_snapshot, replay};
use crate::snapshots::{Listing, Place, SnapshotFault};
use crate::wal_tool;

use progress::Progress;

/// Checks the data directory; only one without a problem ends with success.
pub fn run(directory: &Path) -> Result<Status, Failure> {
    let directory = &directory.canonicalize().map_err(|cause| unusable(directory, &cause))?;
    let _lock = SharedLock::acquire(directory).map_err(|error| in_use(directory, &error))?;
    let fail = |error: DataDirError| Failure::new(Status::Directory, error);
    let identity = data_dir::read_identity(directory).map_err(fail)?;
    let identity = identity.ok_or_else(|| unusable(directory, &"it holds no file 'node'"))?;
    let generations = data_dir::read_generations(directory, &identity).map_err(fail)?;
    let Some(&last) = generations.last() else {
        println!("{}: nothing was written yet", directory.display());
        return Ok(Status::Done);
    };
    let progress = Progress::start();
    progress.note(&"the logs");
    let mut status = wal_tool::verify_logs(directory)?;
    let place = Place::new(directory, identity.uuid);
    let config = wal_config(&identity);
    let source = Source {
        place: &place,
        generations: &generations,
        last,
        topology: Topology::new(last.cores, identity.slices),
        config: &config,
        hash_seed: identity.hash_seed,
    };
    let faults = snapshots(&source, &progress)?;
    for SnapshotFault { path, message } in &faults {
        println!("{}: problem: {message}", path.display());
        status = Status::Damage;
    }
    progress.note(&"what a start would do");
    match replay(&source, Purpose::Look) {
        Ok(replayed) => print_slices(&replayed),
        Err(error) => {
            println!("problem: a start will be refused: {error}");
            let fix = error.fix.as_deref();
            println!("Fix: {}", fix.unwrap_or("restore the directory from a copy."));
            status = Status::Damage;
        }
    }
    drop(progress);
    println!("{}", if status == Status::Done { "no problem found" } else { "problems found" });
    Ok(status)
}

/// Reads every snapshot, several at a time, prints what is sound and returns what is not.
fn snapshots(source: &Source<'_>, progress: &Progress) -> Result<Vec<SnapshotFault>, Failure> {
    let damage = |fault: SnapshotFault| Failure::new(Status::Damage, fault);
    let Listing(slices) = source.place.list().map_err(damage)?;
    let mut faults = Vec::new();
    let mut all = Vec::new();
    for (slice, listed) in slices {
        if source.topology.slices() <= slice.0 {
            let path = source.place.of_slice(slice);
            let message = format!("there is no slice {slice} in this directory");
            faults.push(SnapshotFault { path, message });
            continue;
        }
        all.extend(listed.published.iter().rev().map(|index| (slice, *index)));
        for path in &listed.unpublished {
            println!("{}: no snapshot: it has no MANIFEST", path.display());
        }
    }
    let count = all.len();
    let left = Mutex::new(all.into_iter().enumerate());
    let found: Mutex<BTreeMap<usize, Result<String, SnapshotFault>>> = Mutex::default();
    let work = || {
        loop {
            let next = left.lock().expect("nobody panics with it").next();
            let Some((at, (slice, index))) = next else { return };
            progress.note(&format!("snapshot {} of {count}", at + 1));
            let result = snapshot(source, slice, index);
            found.lock().expect("nobody panics with it").insert(at, result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(work);
        }
    });
    for result in found.into_inner().expect("nobody panics with it").into_values() {
        match result {
            Ok(line) => println!("{line}"),
            Err(fault) => faults.push(fault),
        }
    }
    Ok(faults)
}

/// Reads one snapshot to its end, as a start would.
fn snapshot(source: &Source<'_>, slice: SliceId, index: LogIndex) -> Result<String, SnapshotFault> {
    let path: PathBuf = source.place.of(slice, index);
    let Restored { replay, manifest } = load_snapshot(source, slice, index)?;
    Ok(format!(
        "{}: {} chunks, {} bytes, {} keys, digest {:032x}",
        path.display(),
        manifest.chunks.len(),
        manifest.file_size(),
        replay.key_count(),
        replay.digest()
    ))
}

fn print_slices(replayed: &Replayed) {
    for start in &replayed.starts {
        let slice = start.id();
        let (last, _) = start.history();
        let whole = &replayed.snapshots.whole[&slice];
        let base = whole.first().copied().unwrap_or(LogIndex::NONE);
        let from = match base {
            LogIndex::NONE => "no snapshot".to_owned(),
            base => format!("snapshot at entry {base}"),
        };
        let passed_over = replayed.snapshots.faults[&slice].len();
        let passed_over = match passed_over {
            0 => String::new(),
            count => format!(" (damaged and passed over: {count})"),
        };
        println!(
            "slice {slice}: {from}{passed_over}, {} entries replayed, to {last}; {}",
            last.0 - base.0,
            state(start)
        );
    }
}

fn state(start: &SliceStart) -> String {
    let (keys, checksum) = (start.key_count(), start.checksum());
    format!("{keys} keys, checksum {checksum:08x}, digest {:032x}", start.digest())
}

/// What recovery looks at of it is the node's id; the rest is for who writes.
fn wal_config(identity: &Identity) -> wal::Config {
    wal::Config {
        log: CoreId(0),
        node_uuid: identity.uuid,
        segment_size: base::limits::SEGMENT_SIZE,
        frames_in_flight: base::limits::FRAMES_IN_FLIGHT,
        spare_segments: base::limits::SPARE_SEGMENTS,
        seal_after_us: 0,
        ballast_segments: 0,
    }
}

fn unusable(directory: &Path, cause: &dyn std::fmt::Display) -> Failure {
    let text = format!(
        "cannot read {}: {cause}.\nFix: name a data directory of toroid.",
        directory.display()
    );
    Failure::new(Status::Directory, text)
}

/// Snapshots come and go and logs are trimmed below a server: what is read piece by piece would not
/// fit together.
fn in_use(directory: &Path, error: &LockError) -> Failure {
    if error.error.kind() != std::io::ErrorKind::WouldBlock {
        return Failure::new(Status::Directory, error);
    }
    let holder = match error.holder {
        Some(process) => format!("process {process}"),
        None => format!("whoever holds {}", error.path.display()),
    };
    let path = directory.display();
    let text = format!(
        "a server uses {path}: {holder}. What it changes meanwhile would look like damage.\nFix: \
         stop it first, or verify a copy. `toroid wal verify {path}` looks at its logs while it runs."
    );
    Failure::new(Status::Directory, text)
}
