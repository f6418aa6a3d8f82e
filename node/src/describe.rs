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
            Effect::Rename { db, key, new_db, new_key } => {
                format!("db {db} rename {} to db {new_db} {}", shown(key), shown(new_key))
            }
            Effect::PutValue { db, key, payload, .. } => {
                format!("db {db} put {} = a value of {} bytes", shown(key), payload.len())
            }
            _ => on_value(&effect),
        });
    }
    if !attachment.is_empty() {
        lines.push(format!("attachment of {} bytes", attachment.len()));
    }
    Ok(lines)
}

/// Effects on values that are no strings.
fn on_value(effect: &Effect<'_>) -> String {
    let (db, key) = effect.place().expect("it is on one key");
    let side = |end| if end == End::Left { "left" } else { "right" };
    let all = |elements: Elements<'_>| {
        let few = elements.iter().take(ELEMENTS_SHOWN_MAX).map(shown);
        let few = few.collect::<Vec<_>>().join(" ");
        match elements.len() {
            count if count <= ELEMENTS_SHOWN_MAX => few,
            count => format!("{few} .. ({count})"),
        }
    };
    let until = |time: Option<u64>| time.map_or(String::new(), |ms| format!(" until {ms} ms"));
    let what = match *effect {
        Effect::ListPush { end, elements, .. } => format!("push {} {}", side(end), all(elements)),
        Effect::ListPop { end, count, .. } => format!("pop {} {count}", side(end)),
        Effect::ListSet { index, element, .. } => format!("element {index} = {}", shown(element)),
        Effect::ListInsert { index, element, .. } => format!("insert {index} {}", shown(element)),
        Effect::ListRemove { indexes, .. } => format!("remove {} elements", indexes.len()),
        Effect::SetAdd { members, .. } => format!("add {}", all(members)),
        Effect::SetRemove { members, .. } | Effect::ZsetRemove { members, .. } => {
            format!("remove {}", all(members))
        }
        Effect::HashSet { pairs, expire_ms, .. } => {
            format!("fields {}{}", all(pairs), until(expire_ms))
        }
        Effect::HashRemove { fields, .. } => format!("remove {}", all(fields)),
        Effect::HashExpire { fields, expire_ms, .. } => {
            format!("keep {}{}", all(fields), until(expire_ms))
        }
        Effect::ZsetAdd { pairs, .. } => {
            let pairs = pairs.pairs().take(ELEMENTS_SHOWN_MAX).map(|(score, member)| {
                let bits = score.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
                format!("{} {}", f64::from_bits(bits), shown(member))
            });
            format!("scores {}", pairs.collect::<Vec<_>>().join(" "))
        }
        Effect::ZsetRemoveRange { rank, count, .. } => format!("remove {count} from {rank} on"),
        _ => unreachable!("effects on strings and whole keys are described elsewhere"),
    };
    format!("db {db} {} {what}", shown(key))
}

/// Elements shown of an effect with many.
const ELEMENTS_SHOWN_MAX: usize = 8;

/// Bytes shown of a key or value.
const SHOWN_MAX: usize = 64;

fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        size if size <= SHOWN_MAX => format!("\"{}\"", bytes.escape_ascii()),
        size => format!("\"{}\"... ({size} bytes)", bytes[..SHOWN_MAX].escape_ascii()),
    }
}
