//! What clients and tools send when they connect, and what each needs back.
//!
//! A file of `tests/handshakes` has a request on each line with `>`, and on the lines with `<`
//! after it the patterns of its replies, one for each request, as they would be with a blank for
//! each end of line.

use super::cores::Cores;

const HANDSHAKES: &[(&str, &str)] = &[
    ("exporter", include_str!("../handshakes/exporter.txt")),
    ("go-redis", include_str!("../handshakes/go-redis.txt")),
    ("ioredis", include_str!("../handshakes/ioredis.txt")),
    ("memtier", include_str!("../handshakes/memtier.txt")),
    ("node-redis", include_str!("../handshakes/node-redis.txt")),
    ("redis-benchmark", include_str!("../handshakes/redis-benchmark.txt")),
    ("redis-cli", include_str!("../handshakes/redis-cli.txt")),
    ("redis-py-resp2", include_str!("../handshakes/redis-py-resp2.txt")),
    ("redis-py", include_str!("../handshakes/redis-py.txt")),
    ("redis-rs", include_str!("../handshakes/redis-rs.txt")),
    ("redisinsight", include_str!("../handshakes/redisinsight.txt")),
];

/// Red when a command that a client sends at its start is not known, or answered in another shape.
#[test]
fn every_client_gets_what_it_needs_at_its_start() {
    for (name, text) in HANDSHAKES {
        for cores in [1, 2] {
            play(name, text, cores);
        }
    }
}

fn play(name: &str, text: &str, cores: u16) {
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
