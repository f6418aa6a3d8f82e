//! An entry's body as text, for the tools that show a log.

use engine::{BatchReader, Effect, Elements, End};

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
            Effect::PutValue { db, key, payload, expire_ms } => {
                let until = expire_ms.map_or_else(String::new, |time| format!(" until {time} ms"));
                format!("db {db} put {} = a value of {} bytes{until}", shown(key), payload.len())
            }
            Effect::Rename { db, key, new_db, new_key } => {
                format!("db {db} rename {} to db {new_db} {}", shown(key), shown(new_key))
            }
            effect => describe_on_collection(&effect),
        });
    }
    if !attachment.is_empty() {
        lines.push(format!("attachment of {} bytes", attachment.len()));
    }
    Ok(lines)
}

/// An effect on a list, a set, a hash or a sorted set.
fn describe_on_collection(effect: &Effect<'_>) -> String {
    let side = |end| if end == End::Left { "left" } else { "right" };
    let until = |time: Option<u64>| time.map_or("ever".to_owned(), |time| format!("{time} ms"));
    let change = match *effect {
        Effect::ListPush { end, elements, .. } => {
            format!("push {}: {}", side(end), listed(elements))
        }
        Effect::ListPop { end, count, .. } => format!("pop {}: {count}", side(end)),
        Effect::ListSet { index, element, .. } => {
            format!("element {index} becomes {}", shown(element))
        }
        Effect::ListInsert { index, element, .. } => {
            format!("insert {} at {index}", shown(element))
        }
        Effect::ListRemove { indexes, .. } => format!("remove {} elements", indexes.len()),
        Effect::SetAdd { members, .. } => format!("add {}", listed(members)),
        Effect::SetRemove { members, .. } | Effect::ZsetRemove { members, .. } => {
            format!("remove {}", listed(members))
        }
        Effect::HashSet { pairs, expire_ms, .. } => {
            format!("set {} until {}", listed(pairs), until(expire_ms))
        }
        Effect::HashRemove { fields, .. } => format!("remove {}", listed(fields)),
        Effect::HashExpire { fields, expire_ms, .. } => {
            format!("keep {} until {}", listed(fields), until(expire_ms))
        }
        Effect::ZsetAdd { pairs, .. } => format!("score {} members", pairs.len() / 2),
        Effect::ZsetRemoveRange { rank, count, .. } => format!("remove {count} from rank {rank}"),
        _ => unreachable!("effects on strings and whole keys are described elsewhere"),
    };
    let (db, key) = effect.place().expect("it is on one key");
    format!("db {db} in {}: {change}", shown(key))
}

/// The first of some strings, and how many there are.
fn listed(elements: Elements<'_>) -> String {
    let first = elements.iter().next().map_or_else(String::new, shown);
    match elements.len() {
        0 | 1 => first,
        count => format!("{first} and {} more", count - 1),
    }
}

/// Bytes shown of a key or value.
const SHOWN_MAX: usize = 64;

fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        size if size <= SHOWN_MAX => format!("\"{}\"", bytes.escape_ascii()),
        size => format!("\"{}\"... ({size} bytes)", bytes[..SHOWN_MAX].escape_ascii()),
    }
}
