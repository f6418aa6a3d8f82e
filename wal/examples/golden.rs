//! Writes the golden files of the formats of log and snapshot into the directory it is given.

#[path = "../tests/log/bench.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod bench;
#[path = "../tests/log/disk.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod disk;
#[path = "../tests/log/golden_log.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod golden_log;
#[path = "../tests/snapshot/bench.rs"]
mod snapshot;

#[expect(clippy::disallowed_methods, reason = "a tool for authors, not a part of the log")]
fn main() {
    let directory = std::env::args().nth(1).expect("usage: golden DIRECTORY");
    let snapshot = snapshot::files().into_iter();
    let snapshot = snapshot.map(|(name, bytes)| (format!("snapshot/{name}"), bytes));
    for (name, bytes) in golden_log::files().into_iter().chain(snapshot) {
        let path = std::path::Path::new(&directory).join(name);
        std::fs::write(&path, &bytes).expect("the directory can be written");
        println!("{} {} bytes", path.display(), bytes.len());
    }
}
