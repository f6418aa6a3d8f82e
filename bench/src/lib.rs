//! Microbenchmarks of the parts, in `benches/`: run them with `cargo bench -p bench`.
//!
//! What a whole server does per request is measured against the floor of the same ring, by
//! `cargo run --release -p runtime --example floor_echo` and `floor_log`.

#![forbid(unsafe_code)]
