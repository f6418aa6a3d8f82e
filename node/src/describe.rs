//! An entry's body as text, for the tools that show a log.

use engine::{BatchReader, Effect};

/// One line for the batch and one for each effect.
///
/// # Errors
///
/// Why the body cannot be read.
pub fn describe(body: &[u8]) -> Result<Vec<String>, String> {
    if body.is_empty() {
        return Ok(vec!["a new leader's first entry".to_owned()]);
    }
    let reader = BatchReader::new(body).map_err(|error| error.to_string())?;
    let mut lines = vec![format!("batch of {} ms", reader.clock_ms())];
    let attachment = reader.attachment();
    for effect in reader {
        let effect = effect.map_err(|error| error.to_string())?;
        lines.push(match effect {
            Effect::PutString { db, key, value, expire_ms: None } => {
                format!("db {db} put {} = {}", shown(key), shown(value))
            }
            Effect::PutString { db, key, value, expire_ms: Some(time) } => {
                format!("db {db} put {} = {} until {time} ms", shown(key), shown(value))
            }
            Effect::SetExpire { db, key, expire_ms: Some(time) } => {
                format!("db {db} keep {} until {time} ms", shown(key))
            }
            Effect::SetExpire { db, key, expire_ms: None } => {
                format!("db {db} keep {}", shown(key))
            }
            Effect::Append { db, key, suffix } => {
                format!("db {db} append to {} {}", shown(key), shown(suffix))
            }
            Effect::SetRange { db, key, offset, bytes } => {
                format!("db {db} write into {} at {offset} {}", shown(key), shown(bytes))
            }
            Effect::Delete { db, key } => format!("db {db} delete {}", shown(key)),
            Effect::FlushDatabase { db } => format!("db {db} flush"),
            Effect::FlushAll => "flush all".to_owned(),
            Effect::SwapDatabases { first, second } => format!("swap db {first} and db {second}"),
        });
    }
    if !attachment.is_empty() {
        lines.push(format!("attachment of {} bytes", attachment.len()));
    }
    Ok(lines)
}

/// Bytes shown of a key or value.
const SHOWN_MAX: usize = 64;

fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        size if size <= SHOWN_MAX => format!("\"{}\"", bytes.escape_ascii()),
        size => format!("\"{}\"... ({size} bytes)", bytes[..SHOWN_MAX].escape_ascii()),
    }
}
