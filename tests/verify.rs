//! `toroid verify` of the real binary: what it says of a sound directory, and of damage at every place
//! that a start would look at, and at those it would not.

#[path = "support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs::{read, read_dir, rename, write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use support::{Client, Directory, Reply, Start, toroid, verify_log};

/// Exit statuses (`src/exit.rs`).
const SOUND: i32 = 0;
const NO_DIRECTORY: i32 = 4;
const DAMAGE: i32 = 5;

fn on_two_cores(data: &Path) -> Start {
    Start::new(data).with(&["--cores", "2", "--slices", "8", "--wal-segment-size", "65536"])
}

fn call(client: &mut Client, words: &[&str]) -> Reply {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let reply = client.call(&words).expect("it serves");
    assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply:?}");
    reply
}

/// Writes strings and a large list, of all slices; not the same in every round.
fn fill(client: &mut Client, round: u32) {
    for number in 0..300 {
        let (key, value) = (format!("key-{number}"), format!("value-{round}-{number}"));
        call(client, &["SET", &key, &value.repeat(20)]);
    }
    for number in 0..4 {
        let list = format!("list-{number}");
        let elements: Vec<String> = (0..2000).map(|at| format!("element-{round}-{at}")).collect();
        let mut words = vec!["RPUSH", &list];
        words.extend(elements.iter().map(String::as_str));
        call(client, &words);
    }
}

/// Two snapshots of each slice, logs that were trimmed up to the older ones and go on behind the newer
/// ones; killed. Returns the number of keys.
fn killed_after_saves(data: &Path) -> i64 {
    let server = on_two_cores(data).run().expect("the server starts");
    let mut client = server.client();
    for round in 0..3 {
        fill(&mut client, round);
        call(&mut client, &["SAVE"]);
    }
    fill(&mut client, 3);
    let Reply::Integer(keys) = call(&mut client, &["DBSIZE"]) else { panic!("DBSIZE counts") };
    server.kill();
    keys
}

/// The exit status and everything that `toroid verify` says.
fn verify(data: &Path) -> (i32, String) {
    let output = toroid().arg("verify").arg(data).output().expect("the binary can be run");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into());
    let [stdout, stderr]: [String; 2] = text;
    let said = format!("{stdout}{stderr}");
    (output.status.code().unwrap_or_else(|| panic!("it ends by itself: {said}")), said)
}

fn says(said: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(said.contains(word), "lacks {word:?}:\n{said}"));
}

/// Every file below, with a digest of its bytes.
fn contents(path: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::new();
    for entry in read_dir(path).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let mut hasher = DefaultHasher::new();
            read(&path).expect("the file can be read").hash(&mut hasher);
            all.insert(path, hasher.finish());
        }
    }
    all
}

/// The first chunks of the older and the newer snapshot of a slice.
fn two_chunks(data: &Path) -> [PathBuf; 2] {
    let chunks = contents(data).into_keys().filter(|path| path.ends_with("chunk-000000"));
    let mut of_slices: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for chunk in chunks {
        let slice = chunk.ancestors().nth(2).expect("SLICE/INDEX/chunk").to_owned();
        of_slices.entry(slice).or_default().push(chunk);
    }
    let pair = of_slices.into_values().find(|chunks| chunks.len() == 2);
    pair.and_then(|chunks| chunks.try_into().ok()).expect("a slice has two snapshots with chunks")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = read(path).expect("the file can be read");
    bytes[at] ^= 0x10;
    write(path, bytes).expect("the file can be written");
}

/// Red when: a sound directory is found fault with; the log behind the snapshots is not replayed;
/// something is written; a directory is read under a server that changes it; a torn tail is damage.
/// Broken once by a replay of the logs alone: it finds that they were trimmed.
#[test]
fn a_sound_directory_is_told_slice_by_slice_and_not_changed() {
    let directory = Directory::new("sound");
    let data = directory.data();
    let keys = killed_after_saves(&data);
    let before = contents(&data);
    let (status, said) = verify(&data);
    assert_eq!(status, SOUND, "{said}");
    says(
        &said,
        &["no problem found", "log-1-0: ", "log-1-1: ", " frames to ", "slice 7: snapshot"],
    );
    let slices = said.lines().filter(|line| line.starts_with("slice "));
    let mut counted = 0;
    for line in slices {
        says(line, &[" entries replayed, to ", " checksum ", " digest "]);
        let (before, _) = line.split_once(" keys").expect("a slice's keys are counted");
        let number = before.rsplit(' ').next().expect("a number is before its noun");
        counted += number.parse::<i64>().expect("it is a number");
    }
    assert_eq!(counted, keys, "{said}");
    assert_eq!(contents(&data), before, "it only looks");

    let server = on_two_cores(&data).run().expect("nothing keeps a server out any more");
    let (status, said) = verify(&data);
    assert_eq!(status, NO_DIRECTORY, "{said}");
    says(&said, &["a server uses", &server.pid().to_string(), "Fix: stop it first"]);
    server.stop();
    assert_eq!(verify(&data).0, SOUND);

    let (status, said) = verify(directory.path());
    assert_eq!(status, NO_DIRECTORY, "{said}");
    says(&said, &["name a data directory"]);
}

/// Red when: chunks are not read, or only those that a start would load; a start passes over damage
/// and the tool does too.
/// Broken once by a `verify` that reads the manifests and not the chunks: nothing is wrong with the
/// older snapshot.
#[test]
fn one_flipped_byte_of_any_snapshot_is_damage() {
    let directory = Directory::new("chunk");
    let data = directory.data();
    killed_after_saves(&data);
    let [older, newer] = two_chunks(&data);
    let middle = |path: &Path| read(path).expect("the chunk can be read").len() / 2;
    for chunk in [&older, &newer] {
        flip(chunk, middle(chunk));
        let (status, said) = verify(&data);
        assert_eq!(status, DAMAGE, "{}: {said}", chunk.display());
        says(&said, &[&format!("{}: problem: ", chunk.display()), "offset 12", "problems found"]);
        let is_newer = chunk == &newer;
        assert_eq!(said.contains("damaged and passed over: 1"), is_newer, "{said}");
        assert!(!said.contains("refused"), "a start has the other one: {said}");
        flip(chunk, middle(chunk));
    }
    flip(&older, middle(&older));
    flip(&newer, middle(&newer));
    let (status, said) = verify(&data);
    assert_eq!(status, DAMAGE, "{said}");
    let (one, other) = (older.display().to_string(), newer.display().to_string());
    says(
        &said,
        &[&one, &other, "a start will be refused", "the log was trimmed to entry", "Fix: "],
    );
    flip(&older, middle(&older));
    flip(&newer, middle(&newer));
    assert_eq!(verify(&data).0, SOUND, "the same bytes again");
}

/// Red when: the logs are not verified, or their problems do not count.
#[test]
fn one_flipped_byte_of_the_acknowledged_log_is_damage() {
    let directory = Directory::new("frame");
    let data = directory.data();
    killed_after_saves(&data);
    // The value of the last round is in no snapshot; what followed it says that it was durable.
    let text = b"value-3-7value-3-7";
    let found = contents(&data).into_keys().find_map(|path| {
        let bytes = read(&path).expect("the file can be read");
        let at = bytes.windows(text.len()).position(|window| window == text)?;
        path.extension().is_some_and(|name| name == "segment").then_some((path, at))
    });
    let (segment, at) = found.expect("what was written is in the log");
    flip(&segment, at);
    let (status, said) = verify(&data);
    assert_eq!(status, DAMAGE, "{said}");
    let name = segment.file_name().expect("it has a name").to_string_lossy().into_owned();
    says(&said, &[&name, "offset", "a start will be refused", "Fix: restore"]);
    flip(&segment, at);
    verify_log(&data);
    assert_eq!(verify(&data).0, SOUND);
}

/// Red when: a slice that lacks what was trimmed is taken for an empty one; the newest snapshot is
/// missed, though an older one and the log do without it.
#[test]
fn a_trimmed_log_whose_snapshots_are_missing_is_damage() {
    let directory = Directory::new("lost");
    let data = directory.data();
    killed_after_saves(&data);
    let chunks = two_chunks(&data);
    let slice = chunks[0].ancestors().nth(2).expect("SLICE/INDEX/chunk");
    let aside = directory.path().join("aside");
    rename(slice, &aside).expect("both are on one file system");
    let (status, said) = verify(&data);
    assert_eq!(status, DAMAGE, "{said}");
    let path = slice.display().to_string();
    let number = slice.file_name().expect("a number").to_string_lossy().parse::<u16>();
    let number = number.expect("the directory of a slice is its number");
    let words = format!("of slice {number}, because snapshots held");
    says(&said, &[&path, "the log was trimmed to entry", &words, "it is not there", "Fix: put"]);
    rename(&aside, slice).expect("both are on one file system");
    assert_eq!(verify(&data).0, SOUND);
}
