//! The planted crate: proof that clippy's settings for pure crates catch what they name.
//!
//! A setting whose path no longer resolves, or a file clippy does not find, would pass silently;
//! so each kind of forbidden call is made in a crate of its own, and clippy must name every one.

use std::fs;
use std::path::Path;

use crate::counts::scratch;
use crate::outcome::Outcome;
use crate::run::Run;

/// A forbidden line, and the path clippy must name for it.
const PLANTS: &[(&str, &str)] = &[
    ("let _ = std::time::Instant::now();", "std::time::Instant::now"),
    ("let _ = std::time::SystemTime::now();", "std::time::SystemTime::now"),
    ("let _ = std::thread::spawn(|| ());", "std::thread::spawn"),
    ("let _ = std::env::var(\"X\");", "std::env::var"),
    ("let _ = std::fs::read(\"x\");", "std::fs::read"),
    ("let _ = std::fs::File::open(\"x\");", "std::fs::File::open"),
    ("let _ = std::net::TcpStream::connect(\"x\");", "std::net::TcpStream::connect"),
    ("let _ = std::process::Command::new(\"x\");", "std::process::Command::new"),
    ("let _ = std::collections::HashMap::<u8, u8>::new();", "std::collections::HashMap::new"),
    ("let _: Option<std::sync::Mutex<u8>> = None;", "std::sync::Mutex"),
];

pub(crate) fn clippy_plants(root: &Path) -> Result<Outcome, String> {
    let directory = scratch(root).join("planted-crate");
    write(&directory, root).map_err(|error| format!("{}: {error}", directory.display()))?;
    let words = [
        "clippy",
        "--offline",
        "--quiet",
        "--",
        "-D",
        "clippy::disallowed_methods",
        "-D",
        "clippy::disallowed_types",
    ];
    // A check that was made once is not shown again, so the crate is built from nothing.
    let ran = Run::new("cargo", &words, &directory)
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .quietly()
        .run()?;
    let missed: Vec<&str> = PLANTS
        .iter()
        .map(|(_, path)| *path)
        .filter(|path| !ran.text.contains(&format!("`{path}`")))
        .collect();
    if !missed.is_empty() || ran.failure().is_none() {
        return Err(format!("clippy did not refuse {}:\n{}", missed.join(", "), ran.text));
    }
    // Settings that name nothing are warned about, and do nothing.
    if let Some(line) = ran.text.lines().find(|line| line.contains("does not refer to")) {
        return Err(format!("pure.clippy.toml: {line}"));
    }
    let passed = PLANTS.len() as u64;
    Ok(Outcome { passed, note: format!("{passed} planted calls refused"), ..Outcome::default() })
}

fn write(directory: &Path, root: &Path) -> std::io::Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory.join("src"))?;
    let manifest = "[package]\nname = \"planted\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                    [workspace]\n";
    fs::write(directory.join("Cargo.toml"), manifest)?;
    fs::copy(root.join("pure.clippy.toml"), directory.join("clippy.toml"))?;
    let body: String = PLANTS.iter().map(|(line, _)| format!("    {line}\n")).collect();
    fs::write(directory.join("src/lib.rs"), format!("pub fn planted() {{\n{body}}}\n"))
}
