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
            effect => describe_value(&effect),
        });
    }
    if !attachment.is_empty() {
        lines.push(format!("attachment of {} bytes", attachment.len()));
    }
    Ok(lines)
}

/// An effect on a value that is no string, or on a whole value.
fn describe_value(effect: &Effect<'_>) -> String {
    let (db, key) = effect.place().expect("the others are on one key");
    let side = |end| if end == End::Left { "left" } else { "right" };
    let until = |time: Option<u64>| time.map_or(String::new(), |time| format!(" until {time} ms"));
    let (verb, rest) = match *effect {
        Effect::ListPush { end, elements, .. } => {
            ("push", format!("{} {}", side(end), all(elements)))
        }
        Effect::ListPop { end, count, .. } => ("pop", format!("{} {count}", side(end))),
        Effect::ListSet { index, element, .. } => ("set", format!("at {index} {}", shown(element))),
        Effect::ListInsert { index, element, .. } => {
            ("insert", format!("at {index} {}", shown(element)))
        }
        Effect::ListRemove { indexes, .. } => ("remove", format!("{} elements", indexes.len())),
        Effect::SetAdd { members, .. } => ("add", all(members)),
        Effect::SetRemove { members, .. } => ("remove", all(members)),
        Effect::HashSet { pairs, expire_ms, .. } => ("set fields", all(pairs) + &until(expire_ms)),
        Effect::HashRemove { fields, .. } => ("remove fields", all(fields)),
        Effect::HashExpire { fields, expire_ms, .. } => {
            ("keep fields", all(fields) + &until(expire_ms))
        }
        Effect::ZsetAdd { pairs, .. } => ("score", scores(pairs)),
        Effect::ZsetRemove { members, .. } => ("remove scored", all(members)),
        Effect::ZsetRemoveRange { rank, count, .. } => {
            ("remove scored", format!("{count} from rank {rank}"))
        }
        Effect::PutValue { payload, expire_ms, .. } => {
            ("put value", format!("of {} bytes{}", payload.len(), until(expire_ms)))
        }
        Effect::Rename { new_db, new_key, .. } => {
            ("rename", format!("to db {new_db} {}", shown(new_key)))
        }
        _ => unreachable!("effects on strings and databases are described elsewhere"),
    };
    format!("db {db} {verb} {} {rest}", shown(key))
}

/// Elements shown of one effect.
const ELEMENTS_MAX: usize = 16;

fn all(elements: Elements<'_>) -> String {
    listed(elements.len(), elements.iter().map(shown))
}

fn scores(pairs: Elements<'_>) -> String {
    let pair = |(score, member): (&[u8], &[u8])| match score.try_into() {
        Ok(score) => format!("{} = {}", shown(member), f64::from_le_bytes(score)),
        Err(_) => format!("{} = {}", shown(member), shown(score)),
    };
    listed(pairs.len() / 2, pairs.pairs().map(pair))
}

fn listed(count: usize, texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<_> = texts.take(ELEMENTS_MAX).collect();
    let rest = count - texts.len();
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    texts.join(", ") + &more
}

/// Bytes shown of a key or value.
const SHOWN_MAX: usize = 64;

fn shown(bytes: &[u8]) -> String {
    match bytes.len() {
        size if size <= SHOWN_MAX => format!("\"{}\"", bytes.escape_ascii()),
        size => format!("\"{}\"... ({size} bytes)", bytes[..SHOWN_MAX].escape_ascii()),
    }
}
