//! Writes the golden files of the log's format into the directory it is given.

#[path = "../tests/log/bench.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod bench;
#[path = "../tests/log/disk.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod disk;
#[path = "../tests/log/golden_log.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod golden_log;

#[expect(clippy::disallowed_methods, reason = "a tool for authors, not a part of the log")]
fn main() {
    let directory = std::env::args().nth(1).expect("usage: golden DIRECTORY");
    for (name, bytes) in golden_log::files() {
        let path = std::path::Path::new(&directory).join(name);
        std::fs::write(&path, &bytes).expect("the directory can be written");
        println!("{} {} bytes", path.display(), bytes.len());
    }
}
