//! A disk in memory that keeps apart what is durable and what is not, and carries out jobs step by
//! step, in any order among jobs.
//!
//! It is worse than any file system: of the names that were changed since their directory was flushed,
//! each change is kept or lost for itself; a file that was not flushed holds anything.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use base::Prng;
use runtime::housekeeping::{Done, FileError, Job, Step};

use crate::housekeeping::{Cargo, Jobs};

/// The files of a tree, by path below its root; directories have none.
pub type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Debug)]
enum Node {
    File {
        now: Vec<u8>,
        is_durable: bool,
    },
    Directory {
        now: BTreeMap<String, usize>,
        durable: BTreeMap<String, usize>,
        pending: Vec<Change>,
    },
}

#[derive(Clone, Debug)]
enum Change {
    Add(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

/// What is left of the changes that were not flushed.
#[derive(Clone, Copy, Debug)]
pub enum Luck {
    Nothing,
    Everything,
    /// Each with even odds.
    Chance,
}

impl Disk {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), nodes: vec![Node::directory()] }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let inside = path.strip_prefix(&self.root).expect("nothing else is touched");
        inside.iter().try_fold(0, |at, name| match &self.nodes[at] {
            Node::Directory { now, .. } => now.get(&*name.to_string_lossy()).copied(),
            Node::File { .. } => None,
        })
    }

    fn directory(
        &mut self,
        path: &Path,
    ) -> io::Result<(&mut BTreeMap<String, usize>, &mut Vec<Change>)> {
        let at = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        match &mut self.nodes[at] {
            Node::Directory { now, pending, .. } => Ok((now, pending)),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let at = self.nodes.len();
        let (name, parent) = split(path);
        let (now, pending) = self.directory(parent)?;
        now.insert(name.clone(), at);
        pending.push(Change::Add(name, at));
        self.nodes.push(node);
        Ok(at)
    }

    fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        match self.find(path) {
            Some(_) => Ok(()),
            None => self.add(path, Node::directory()).map(|_| ()),
        }
    }

    /// A file that is not flushed yet.
    fn write(&mut self, path: &Path, bytes: Vec<u8>) -> io::Result<usize> {
        let node = Node::File { now: bytes, is_durable: false };
        match self.find(path) {
            Some(at) => {
                self.nodes[at] = node;
                Ok(at)
            }
            None => self.add(path, node),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from, parent), (to, target)) = (split(from), split(to));
        assert_eq!(parent, target, "nothing is moved between directories");
        let (now, pending) = self.directory(parent)?;
        let at = now.remove(&from).ok_or(io::ErrorKind::NotFound)?;
        now.insert(to.clone(), at);
        pending.push(Change::Rename(from, to, at));
        Ok(())
    }

    fn flush_directory(&mut self, path: &Path) -> io::Result<()> {
        let at = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        if let Node::Directory { now, durable, pending } = &mut self.nodes[at] {
            durable.clone_from(now);
            pending.clear();
        }
        Ok(())
    }

    fn remove_file(&mut self, path: &Path) {
        let (name, parent) = split(path);
        if let Ok((now, pending)) = self.directory(parent)
            && now.remove(&name).is_some()
        {
            pending.push(Change::Remove(name));
        }
    }

    fn remove_tree(&mut self, path: &Path) {
        if let Ok((now, _)) = self.directory(path) {
            let names: Vec<String> = now.keys().cloned().collect();
            names.iter().for_each(|name| self.remove_tree(&path.join(name)));
        }
        self.remove_file(path);
    }

    /// What a power cut leaves.
    pub fn cut(&self, luck: Luck, prng: &mut Prng) -> Tree {
        let mut tree = Tree::new();
        self.cut_directory(0, Path::new(""), luck, prng, &mut tree);
        tree
    }

    fn cut_directory(&self, at: usize, path: &Path, luck: Luck, prng: &mut Prng, tree: &mut Tree) {
        let Node::Directory { durable, pending, .. } = &self.nodes[at] else {
            unreachable!("it was taken for a directory")
        };
        let mut names = durable.clone();
        for change in pending {
            let is_kept = match luck {
                Luck::Nothing => false,
                Luck::Everything => true,
                Luck::Chance => prng.chance(50),
            };
            match change {
                _ if !is_kept => {}
                Change::Add(name, node) => drop(names.insert(name.clone(), *node)),
                Change::Remove(name) => drop(names.remove(name)),
                Change::Rename(from, to, node) => {
                    names.remove(from);
                    names.insert(to.clone(), *node);
                }
            }
        }
        for (name, node) in names {
            let path = path.join(name);
            match &self.nodes[node] {
                Node::Directory { .. } => {
                    tree.insert(path.clone(), None);
                    self.cut_directory(node, &path, luck, prng, tree);
                }
                Node::File { now, is_durable } => {
                    let kept = if *is_durable { now.clone() } else { spoilt(now, luck, prng) };
                    tree.insert(path, Some(kept));
                }
            }
        }
    }
}

impl Node {
    fn directory() -> Self {
        let (now, durable) = (BTreeMap::new(), BTreeMap::new());
        Self::Directory { now, durable, pending: Vec::new() }
    }
}

fn split(path: &Path) -> (String, &Path) {
    let name = path.file_name().expect("only what is below the root is touched");
    (name.to_string_lossy().into_owned(), path.parent().expect("it has a name"))
}

/// What a file may hold that was not flushed.
fn spoilt(bytes: &[u8], luck: Luck, prng: &mut Prng) -> Vec<u8> {
    let mut kept = bytes.to_vec();
    match luck {
        Luck::Everything => {}
        Luck::Nothing => kept.clear(),
        Luck::Chance => match prng.below(4) {
            0 => kept.fill(0),
            1 => kept.truncate(prng.index(bytes.len() + 1)),
            2 => kept[bytes.len() / 2..].fill(0),
            _ => {}
        },
    }
    kept
}

/// Carries out jobs on the disk, a step at a time.
#[derive(Debug)]
pub struct Tray {
    pub disk: Disk,
    jobs: Vec<(Cargo, VecDeque<Step<Cargo>>)>,
    done: VecDeque<Done<Cargo>>,
    prng: Prng,
    /// Steps carried out so far.
    pub steps: usize,
    /// The step that fails.
    pub fails: Option<usize>,
    room: usize,
}

/// Where a step was interrupted to look at the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A file is written and not flushed.
    Unflushed,
    /// A step is complete, or has failed.
    After,
}

impl Tray {
    pub fn new(root: &Path, seed: u64, room: usize) -> Self {
        let (jobs, done) = (Vec::new(), VecDeque::new());
        let prng = Prng::from_seed(seed);
        Self { disk: Disk::new(root), jobs, done, prng, steps: 0, fails: None, room }
    }

    /// Carries out the next step of some job. False if there is none.
    pub fn step(&mut self, look: &mut impl FnMut(&Disk, Moment)) -> bool {
        if self.jobs.is_empty() {
            return false;
        }
        let at = self.prng.index(self.jobs.len());
        let (cargo, steps) = &mut self.jobs[at];
        let step = steps.pop_front().expect("a job without steps is done");
        let shown = format!("{step:?}");
        self.steps += 1;
        let fails = self.fails == Some(self.steps);
        let is_last = steps.is_empty();
        // A step that fails has done its work, or has not.
        let mut result = Ok(());
        if !fails || self.prng.chance(50) {
            result = carry_out(&mut self.disk, step, cargo, !fails, look);
        }
        if fails {
            result = Err(io::Error::from_raw_os_error(5));
        }
        look(&self.disk, Moment::After);
        if is_last || result.is_err() {
            let (cargo, _) = self.jobs.swap_remove(at);
            let action = "carry out";
            let result = result.map_err(|error| FileError { action, path: shown.into(), error });
            self.done.push_back(Done { cargo, result });
        }
        true
    }
}

fn carry_out(
    disk: &mut Disk,
    step: Step<Cargo>,
    cargo: &mut Cargo,
    flushes: bool,
    look: &mut impl FnMut(&Disk, Moment),
) -> io::Result<()> {
    match step {
        Step::CreateDirectory { path } => disk.create_directory(&path),
        Step::Write { path, make } => {
            let node = disk.write(&path, make(cargo))?;
            look(disk, Moment::Unflushed);
            if let Node::File { is_durable, .. } = &mut disk.nodes[node] {
                *is_durable = flushes;
            }
            Ok(())
        }
        Step::Rename { from, to } => disk.rename(&from, &to),
        Step::FlushDirectory { path } if flushes => disk.flush_directory(&path),
        Step::FlushDirectory { .. } => Ok(()),
        Step::RemoveFile { path } => {
            disk.remove_file(&path);
            Ok(())
        }
        Step::RemoveTree { path } => {
            disk.remove_tree(&path);
            Ok(())
        }
        Step::Read { .. } => unreachable!("nothing is read while a snapshot is written"),
    }
}

impl Jobs for Tray {
    fn has_room(&self) -> bool {
        self.jobs.len() + self.done.len() < self.room
    }

    fn submit(&mut self, job: Job<Cargo>) {
        assert!(self.has_room());
        self.jobs.push((job.cargo, job.steps.into()));
    }

    fn poll(&mut self) -> Option<Done<Cargo>> {
        self.done.pop_front()
    }
}
