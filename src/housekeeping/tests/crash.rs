//! A power cut at every step, with every kind of luck: the last snapshot that was reported published,
//! or a newer one, is always there and whole. A step that fails, each in turn: the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base::{LogIndex, Prng};

use super::disk::{Disk, Luck, Moment, Tray, Tree};
use super::node::{Node, SLICE, check, place, writer};
use crate::housekeeping::KEPT;
use crate::snapshots::tests::open;

/// Tries of chance at each moment.
const CHANCES: usize = 24;

/// Starts on what power cuts leave, each different state once.
struct Starts {
    root: tempfile::TempDir,
    seen: BTreeSet<(Option<LogIndex>, Tree)>,
    prng: Prng,
    /// Starts that found a snapshot newer than the last that was reported.
    newer: usize,
}

impl Starts {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        Self { root, seen: BTreeSet::new(), prng: Prng::from_seed(7), newer: 0 }
    }

    fn try_all(&mut self, disk: &Disk, published: Option<LogIndex>) {
        let lucks = [Luck::Nothing, Luck::Everything].into_iter();
        for luck in lucks.chain(std::iter::repeat_n(Luck::Chance, CHANCES)) {
            let tree = disk.cut(luck, &mut self.prng);
            if !self.seen.contains(&(published, tree.clone())) {
                self.start(&tree, published);
                self.seen.insert((published, tree));
            }
        }
    }

    fn start(&mut self, tree: &Tree, published: Option<LogIndex>) {
        let root = self.root.path().join("data");
        lay_out(&root, tree);
        let place = place(&root);
        let found = open(&place).expect("a power cut leaves a usable directory");
        let found = found.get(&SLICE).cloned().unwrap_or_default();
        // None of them is damaged, whichever the log will need.
        found.iter().for_each(|index| check(&place, *index));
        let newest = found.first().copied();
        assert!(published <= newest, "{published:?} was published, {found:?} is there");
        self.newer += usize::from(published < newest);
        // What was no snapshot is gone.
        let slice = place.of_slice(SLICE);
        let left = fs::read_dir(slice).map_or(0, |entries| entries.count());
        assert_eq!(left, found.len(), "{found:?}");
        assert!(left <= KEPT + 1, "{found:?}");
        fs::remove_dir_all(&root).expect("it was made here");
    }
}

fn lay_out(root: &Path, tree: &Tree) {
    fs::create_dir(root).expect("the last one was removed");
    for (path, file) in tree {
        let path = root.join(path);
        match file {
            None => fs::create_dir(path),
            Some(bytes) => fs::write(path, bytes),
        }
        .expect("the parent comes first");
    }
}

/// Red when: a directory is not flushed before the manifest's rename; any of those it lies in is not
/// flushed after it; an old snapshot's chunks are removed without a flush after its manifest.
#[test]
fn a_power_cut_at_any_step_leaves_the_last_published_snapshot_or_a_newer_one() {
    let root = Path::new("/model");
    let mut starts = Starts::new();
    for seed in 0..3 {
        let mut writer = writer(Tray::new(root, seed, 3), root);
        let mut node = Node::new(&[10, 20, 30, 40]);
        node.ask(&mut writer);
        loop {
            let published = node.published;
            let look = &mut |disk: &Disk, _: Moment| starts.try_all(disk, published);
            if !writer.jobs.step(look) {
                break;
            }
            node.hear(&mut writer);
        }
        assert!(node.is_done() && node.failures.is_empty());
    }
    assert!(100 < starts.seen.len() && 0 < starts.newer, "{}", starts.seen.len());
}

/// Red when: a failure is taken for success; an attempt that failed is published; what it leaves is
/// not removed before it is tried again; the snapshot before it is touched.
#[test]
fn a_failure_of_any_step_fails_its_snapshot_and_nothing_else() {
    let root = Path::new("/model");
    let mut starts = Starts::new();
    for fails in 1.. {
        let mut writer = writer(Tray::new(root, fails as u64, 8), root);
        writer.jobs.fails = Some(fails);
        let mut node = Node::new(&[10, 20, 30]);
        node.ask(&mut writer);
        while writer.jobs.step(&mut |_, _| {}) {
            node.hear(&mut writer);
            if writer.jobs.steps == fails {
                starts.try_all(&writer.jobs.disk, node.published);
            }
        }
        assert!(node.is_done(), "step {fails}: the snapshots stopped");
        starts.try_all(&writer.jobs.disk, node.published);
        if writer.jobs.steps < fails {
            // Every step has failed once.
            assert!(node.failures.is_empty());
            assert!(40 < fails);
            break;
        }
        assert!(node.failures.len() <= 1, "{:?}", node.failures);
    }
}
