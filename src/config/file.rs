//! redis.conf syntax: a directive and its words on each line, `#` for comments, quotes for words
//! with spaces, `include FILE`.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Place};

/// Includes may nest this deep; deeper is a cycle.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Reads `path` into `config`.
pub(super) fn read(path: &Path, config: &mut Config) -> Result<(), ConfigError> {
    read_nested(path, config, 0)
}

fn read_nested(path: &Path, config: &mut Config, depth: usize) -> Result<(), ConfigError> {
    let fail = |message: String| ConfigError { place: Place::File(path.to_owned()), message };
    if INCLUDE_DEPTH_MAX < depth {
        return Err(fail("includes nest too deep; does the file include itself?".to_owned()));
    }
    let content = std::fs::read(path).map_err(|cause| {
        fail(format!("cannot read the configuration file: {cause}. Check the path and its rights"))
    })?;
    for (number, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let place = Place::Line { file: path.to_owned(), number: number + 1, text: text.clone() };
        let words = words_of(line).ok_or_else(|| ConfigError {
            place: place.clone(),
            message: "Unbalanced quotes in configuration line".to_owned(),
        })?;
        let Some((name, values)) = words.split_first() else { continue };
        let name = String::from_utf8_lossy(name).into_owned();
        if name.eq_ignore_ascii_case("include") {
            for value in values {
                let file = PathBuf::from(String::from_utf8_lossy(value).into_owned());
                read_nested(&file, config, depth + 1)?;
            }
        } else {
            config.set(&name, values, place)?;
        }
    }
    Ok(())
}

/// The words of a value in redis.conf syntax; None if quotes do not match.
pub(super) fn words(text: &str) -> Option<Vec<Vec<u8>>> {
    words_of(text.as_bytes())
}

/// Lines are quoted as inline requests are, so one parser reads both.
fn words_of(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut request = b"line ".to_vec();
    request.extend_from_slice(line.trim_ascii());
    request.push(b'\n');
    let mut decoder = net::Decoder::new();
    match decoder.decode(&request, true) {
        Ok(net::Decoded::Command { .. }) => {
            Some(decoder.arguments(&request).skip(1).map(<[u8]>::to_vec).collect())
        }
        Ok(net::Decoded::Incomplete { .. } | net::Decoded::Nothing { .. }) | Err(_) => None,
    }
}
