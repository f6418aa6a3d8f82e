//! What a reply means.

use crate::history::{Answer, Condition, Request, TOKEN_SIZE, Values};
use crate::keys::{self, Kind};
use crate::resp::Reply;

/// What a reply to `request` says, or why it cannot be one.
pub fn interpret(
    request: &Request,
    reply: &Reply,
    bytes: &[u8],
    values: &Values,
) -> Result<Answer, String> {
    let value = |range: &std::ops::Range<usize>| {
        values.known(&bytes[range.clone()]).map(Answer::Value).ok_or("a value nobody sent")
    };
    if let Some(answer) = interpret_on_member(request, reply, bytes, values) {
        return answer;
    }
    if let Reply::Error(range) = reply {
        let text = String::from_utf8_lossy(&bytes[range.clone()]);
        return match request {
            Request::Garbage if text.starts_with("ERR Protocol error") => Ok(Answer::Other),
            Request::Wrong if text.starts_with("ERR wrong number of arguments") => {
                Ok(Answer::Other)
            }
            Request::Increment(_) if text == "ERR value is not an integer or out of range" => {
                Ok(Answer::NotInteger)
            }
            Request::Rename { .. } if text == "ERR no such key" => Ok(Answer::NoSuchKey),
            Request::Execute { .. } if text.starts_with("EXECABORT ") => Ok(Answer::Refused),
            Request::Queue(_) | Request::Execute { .. } if text.starts_with("MISCONF ") => {
                Ok(Answer::Refused)
            }
            Request::Save { .. } if text == "ERR Background save already in progress" => {
                Ok(Answer::Other)
            }
            Request::Save { waits: true } if text.starts_with("ERR a snapshot could not be") => {
                Ok(Answer::Other)
            }
            Request::Loose(_) if LOOSE_ERRORS.contains(&&*text) => Ok(Answer::Other),
            _ if request.writes() && text.starts_with("MISCONF ") => Ok(Answer::Refused),
            _ => Err(format!("{request:?} was answered {text:?}")),
        };
    }
    let answer = match (request, reply) {
        (
            Request::Get(_) | Request::GetDelete(_) | Request::Set { get: true, .. },
            Reply::Bulk(range),
        ) => value(range)?,
        (Request::Get(_) | Request::GetDelete(_) | Request::Set { .. }, Reply::Null) => Answer::Nil,
        (
            Request::Set { get: false, .. }
            | Request::FlushAll
            | Request::FlushDatabase
            | Request::Swap
            | Request::Save { waits: true },
            Reply::Simple(range),
        ) if &bytes[range.clone()] == b"OK" => Answer::Ok,
        (
            Request::Delete(_)
            | Request::Exists(_)
            | Request::Increment(_)
            | Request::Append { .. }
            | Request::MultiSet { if_absent: true, .. }
            | Request::Rename { if_absent: true, .. }
            | Request::Copy { .. }
            | Request::Size,
            Reply::Integer(number),
        ) => Answer::Integer(*number),
        (
            Request::MultiSet { if_absent: false, .. } | Request::Rename { if_absent: false, .. },
            Reply::Simple(range),
        ) if &bytes[range.clone()] == b"OK" => Answer::Ok,
        (
            Request::Select(_)
            | Request::Durability(_)
            | Request::Quit
            | Request::Begin
            | Request::Discard
            | Request::Watch(_)
            | Request::Unwatch,
            Reply::Simple(range),
        ) if &bytes[range.clone()] == b"OK" => Answer::Other,
        (Request::Save { waits: false }, Reply::Simple(range))
            if &bytes[range.clone()] == b"Background saving started" =>
        {
            Answer::Other
        }
        (Request::Queue(_), Reply::Simple(range)) if &bytes[range.clone()] == b"QUEUED" => {
            Answer::Other
        }
        (Request::Execute { .. }, Reply::Null) => Answer::Aborted,
        (Request::Execute { requests, .. }, Reply::Array(replies))
            if replies.len() == requests.len() =>
        {
            let answers = requests.iter().zip(replies);
            let answers = answers.map(|(one, reply)| interpret(one, reply, bytes, values));
            Answer::Many(answers.collect::<Result<_, _>>()?)
        }
        (Request::MultiGet(keys), Reply::Array(replies)) if replies.len() == keys.len() => {
            let answers = keys.iter().zip(replies);
            let answers =
                answers.map(|(key, reply)| interpret(&Request::Get(*key), reply, bytes, values));
            Answer::Many(answers.collect::<Result<_, _>>()?)
        }
        (Request::Loose(_), _) => Answer::Other,
        (Request::Ping, Reply::Simple(range)) if &bytes[range.clone()] == b"PONG" => Answer::Other,
        (Request::Echo(sent), Reply::Bulk(range)) if value(range)? == Answer::Value(*sent) => {
            Answer::Other
        }
        (Request::Info, Reply::Bulk(_)) | (Request::Hello, Reply::Other) => Answer::Other,
        _ => return Err(format!("{request:?} was answered {reply:?}")),
    };
    Ok(answer)
}

/// What a reply about a member of a collection says, in the words of a key that holds a string.
fn interpret_on_member(
    request: &Request,
    reply: &Reply,
    bytes: &[u8],
    values: &Values,
) -> Option<Result<Answer, String>> {
    let member = match request {
        Request::Get(one) | Request::Set { key: one, .. } | Request::Append { key: one, .. } => {
            *one
        }
        Request::Delete(several) | Request::Exists(several) => *several.first()?,
        _ => return None,
    };
    let kind = keys::kind(member)?;
    let answer = match (request, reply) {
        (_, Reply::Error(_)) => return None,
        (Request::Set { condition: Condition::Always, .. }, Reply::Integer(0 | 1))
        | (Request::Set { .. }, Reply::Integer(1)) => Answer::Ok,
        (Request::Set { .. }, Reply::Integer(0)) => Answer::Nil,
        (Request::Append { .. }, Reply::Integer(count)) => {
            Answer::Integer(count * TOKEN_SIZE as i64)
        }
        (Request::Get(_), Reply::Null) => Answer::Nil,
        (Request::Get(_), Reply::Array(elements)) if kind == Kind::List => {
            let mut chain = Vec::new();
            for element in elements {
                let Reply::Bulk(range) = element else {
                    return Some(Err(format!("{request:?} was answered {reply:?}")));
                };
                chain.extend_from_slice(&bytes[range.clone()]);
            }
            match (elements.is_empty(), values.known(&chain)) {
                (true, _) => Answer::Nil,
                (false, Some(value)) => Answer::Value(value),
                (false, None) => return Some(Err("a list that nobody made".to_owned())),
            }
        }
        _ => return None,
    };
    Some(Ok(answer))
}

/// What they may be answered when it does not fit.
const LOOSE_ERRORS: &[&str] = &["ERR no such key", "ERR index out of range"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Key;

    #[test]
    fn a_reply_that_does_not_belong_to_its_request_is_noticed() {
        let mut values = Values::default();
        let known = values.name(b"abc");
        let judge = |request: &Request, bytes: &[u8]| {
            let (reply, size) = crate::resp::parse(bytes).expect("well formed").expect("whole");
            assert_eq!(size, bytes.len());
            interpret(request, &reply, bytes, &values)
        };
        let get = Request::Get(Key(1));
        assert_eq!(judge(&get, b"$3\r\nabc\r\n"), Ok(Answer::Value(known)));
        assert_eq!(judge(&get, b"$-1\r\n"), Ok(Answer::Nil));
        for wrong in [&b"$3\r\nabd\r\n"[..], b":1\r\n", b"+OK\r\n", b"-MISCONF no\r\n"] {
            assert!(judge(&get, wrong).is_err());
        }
        let increment = Request::Increment(Key(1));
        assert_eq!(judge(&increment, b"-MISCONF no\r\n"), Ok(Answer::Refused));
        assert!(judge(&increment, b"-ERR something\r\n").is_err());
        assert!(judge(&Request::Ping, b"+OK\r\n").is_err());
    }
}
