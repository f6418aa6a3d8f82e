//! The files of the checkout that people write, read once for all rules.

use std::fs;
use std::io;
use std::path::Path;

use crate::tidy::source::Source;

/// Directories that hold what was built or what was run.
const SKIPPED: &[&str] = &["target", ".git", "toroid-data", "__pycache__", "node_modules"];
/// Files that are read; all others are data.
const ENDINGS: &[&str] = &["rs", "toml", "md", "py", "sh", "js", "service"];
/// Files without an ending that are read.
const NAMES: &[&str] = &[".ci/run", ".gitignore"];

/// All files, sorted by path.
#[derive(Debug)]
pub(crate) struct Tree {
    files: Vec<Source>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> io::Result<Tree> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Tree { files })
    }

    /// A tree of these files, for tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| Source::new(path, text)).collect() }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files().filter(|file| file.path.ends_with(".rs"))
    }

    pub(crate) fn file(&self, path: &str) -> Option<&Source> {
        self.files().find(|file| file.path == path)
    }

    /// Lines of Rust below a directory, blank ones and tests included.
    pub(crate) fn lines_below(&self, directory: &str) -> usize {
        let prefix = format!("{directory}/");
        self.rust()
            .filter(|file| file.path.starts_with(&prefix))
            .map(|file| file.text.lines().count())
            .sum()
    }
}

fn walk(root: &Path, below: &str, files: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        // A link is read as what it points to, but never followed into a directory.
        if entry.file_type()?.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(root, &path, files)?;
            }
            continue;
        }
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if ENDINGS.contains(&ending) || NAMES.contains(&path.as_str()) {
            // A file that another program removed meanwhile is not part of the tree.
            match fs::read_to_string(entry.path()) {
                Ok(text) => files.push(Source::new(&path, &text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
            }
        }
    }
    Ok(())
}
