//! Directories as a start finds them: new, of format 1, written by other numbers of cores, torn.

use super::*;

fn refusal<T: fmt::Debug>(result: Result<T, DataDirError>, words: &[&str]) {
    let text = result.expect_err("it is refused").to_string();
    for word in words {
        assert!(text.contains(word), "lacks {word:?}: {text}");
    }
}

#[test]
fn the_number_of_slices_is_fixed_when_the_directory_is_made() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let made = DataDir::open(directory.path(), Some(4)).expect("it is new");
    assert!(made.is_new);
    let (slices, seed) = (made.identity.slices, made.identity.hash_seed);
    assert_eq!(slices, 4);
    drop(made);
    refusal(DataDir::open(directory.path(), Some(8)), &["4 slices", "says 8", "Fix: "]);
    let again = DataDir::open(directory.path(), None).expect("it says nothing else");
    assert!(!again.is_new);
    assert_eq!((again.identity.slices, again.identity.hash_seed), (slices, seed));
}

/// Red when: a new generation is begun in memory only; its number is that of an older one.
#[test]
fn another_number_of_cores_begins_a_generation_and_the_same_one_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let generations = |cores: u16| {
        let mut opened = DataDir::open(directory.path(), None).expect("it is ours");
        let generation = opened.generation_for(cores);
        opened.make_logs(generation).expect("there is room");
        opened.begin(generation).expect("there is room");
        opened.generations().iter().map(|g| (g.number, g.cores)).collect::<Vec<_>>()
    };
    assert_eq!(generations(2), [(1, 2)]);
    assert_eq!(generations(2), [(1, 2)]);
    assert_eq!(generations(4), [(1, 2), (2, 4)]);
    assert_eq!(generations(2), [(1, 2), (2, 4), (3, 2)]);
    assert!(directory.path().join("log-2-3").is_dir());
}

/// Red when: a log that nothing knows is taken for a new one, and would be written over.
#[test]
fn a_log_that_no_generation_knows_is_not_written_over() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut opened = DataDir::open(directory.path(), None).expect("it is ours");
    let generation = opened.generation_for(1);
    opened.make_logs(generation).expect("there is room");
    opened.begin(generation).expect("there is room");
    let stray = directory.path().join("log-2-1");
    fs::create_dir(&stray).expect("there is room");
    fs::write(stray.join("00000001.segment"), b"frames").expect("there is room");
    refusal(opened.make_logs(opened.generation_for(2)), &["log-2-1", "00000001.segment", "Fix: "]);
    drop(opened);
    // Neither is one whose generations were lost.
    fs::remove_file(directory.path().join(LOGS)).expect("it is there");
    refusal(DataDir::open(directory.path(), None), &["log-2-1", "'logs'", "Fix: "]);
}

#[test]
fn a_directory_of_the_first_format_has_one_log_and_keeps_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let uuid = hex(b"0123456789abcdef");
    let text = identity::with_checksum(format!("toroid-data 1\nnode {uuid}\nslices 1\n"));
    fs::write(directory.path().join(IDENTITY), text).expect("there is room");
    let mut opened = DataDir::open(directory.path(), None).expect("format 1 is read");
    let generation = opened.generation_for(1);
    opened.make_logs(generation).expect("there is room");
    opened.begin(generation).expect("nothing is to be recorded");
    assert_eq!(opened.log_path(generation, CoreId(0)), opened.path().join("log-00"));
    assert!(!opened.path().join(LOGS).exists());
}

/// Red when: the logs go before the file says so; a start takes what is left of them for damage, or
/// leaves it there; the generation that is written goes.
#[test]
fn generations_that_are_covered_go_whatever_interrupts_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let open = || DataDir::open(directory.path(), None).expect("it is ours");
    for cores in [1, 2, 4] {
        let mut opened = open();
        let generation = opened.generation_for(cores);
        opened.make_logs(generation).expect("there is room");
        opened.begin(generation).expect("there is room");
        for core in generation.logs() {
            let log = opened.log_path(generation, core);
            fs::write(log.join("00000001.segment"), b"frames").expect("there is room");
        }
    }
    let logs = || {
        let entries = fs::read_dir(directory.path()).expect("it can be listed");
        let names = entries.map(|entry| entry.expect("it can be listed").file_name());
        let names = names.map(|name| name.into_string().expect("our names are ASCII"));
        names.filter(|name| name.starts_with("log-")).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(logs().len(), 1 + 2 + 4);
    let mut opened = open();
    opened.drop_generations(1).expect("there is room");
    assert_eq!(logs().len(), 2 + 4);
    assert_eq!(opened.generations().len(), 2);
    drop(opened);
    // The process dies when the file was written, and one of two directories is gone.
    let mut opened = open();
    let Listed { generations, dropped } = &mut opened.listed;
    dropped.push(generations.remove(0));
    opened.write_listed().expect("there is room");
    fs::remove_dir_all(directory.path().join("log-2-0")).expect("it is there");
    drop(opened);
    let mut opened = open();
    let last = Generation { number: 3, cores: 4 };
    assert_eq!(opened.generations(), [last]);
    assert_eq!(opened.generation_for(4), last);
    opened.begin(last).expect("there is room");
    drop(opened);
    assert_eq!(logs().len(), 4);
    let text = fs::read_to_string(directory.path().join(LOGS)).expect("it is there");
    assert!(text.starts_with("toroid-logs 1\ngeneration 3 cores 4\ncrc32 "), "{text}");
    assert_eq!(open().generation_for(2).number, 4, "a number is not used again");
}
