//! What clients and tools send when they connect, and what each needs back.
//!
//! A file of `tests/handshakes` has a request on each line with `>`, and on the lines with `<`
//! after it the patterns of its replies, one for each request, as they would be with a blank for
//! each end of line.

use std::path::Path;

use super::cores::Cores;

/// Red when a command that a client sends at its start is not known, or answered in another shape.
#[test]
fn every_client_gets_what_it_needs_at_its_start() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handshakes");
    let mut count = 0;
    for entry in std::fs::read_dir(directory).expect("the handshakes are there") {
        let path = entry.expect("the directory can be read").path();
        let text = std::fs::read_to_string(&path).expect("a handshake is text");
        for cores in [1, 2] {
            play(&path, &text, cores);
        }
        count += 1;
    }
    assert!(9 <= count, "{count} handshakes");
}

fn play(path: &Path, text: &str, cores: u16) {
    let name = path.display();
    let mut node = Cores::new(cores, 4);
    node.cores[0].connect(1);
    let mut requests = Vec::new();
    let mut replies = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(request) = line.strip_prefix("> ") {
            assert!(replies.is_empty(), "{name}, line {number}: no pattern for {replies}");
            requests.push(request);
        } else if let Some(pattern) = line.strip_prefix("< ") {
            if replies.is_empty() {
                // A client that pipelines its handshake sends it in one piece.
                replies = node.ask(0, 1, &requests.join("\n"));
                requests.clear();
            }
            let all = std::mem::take(&mut replies);
            assert!(
                engine::matches_glob(pattern.as_bytes(), all.as_bytes(), false),
                "{name}, line {number}: {all}\nis not {pattern}"
            );
        } else {
            assert!(line.is_empty() || line.starts_with('#'), "{name}, line {number}: {line}");
        }
    }
    assert!(requests.is_empty(), "{name} ends with requests");
}
