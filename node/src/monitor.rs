//! MONITOR: every command of the node as a line, for those who watch.
//!
//! A core tells of the commands of its own clients, when they have executed here or were sent to
//! where they execute; the order of the lines is that of each core. Nothing is done while nobody
//! watches. Who watches is a topic like a channel, with the same limits.

use base::Now;
use engine::{Args, Command, Flag};

use crate::node::Node;
use crate::pubsub::Publication;
use crate::pubsub::topics::Kind;
use crate::registry::Run;
use crate::session::Client;

impl Node {
    /// Tells those who watch of a command that was executed; `words` are all of its request's.
    pub(crate) fn feed_monitors(
        &mut self,
        client: &Client,
        command: &Command<Run>,
        words: Args<'_>,
        now: Now,
    ) {
        if !self.pubsub.topics.has_monitors() || command.has_flag(Flag::Admin) {
            return;
        }
        let payload = line(client, command.name, words, now).into();
        self.publish(Publication { kind: Kind::Monitor, channel: Box::default(), payload });
    }
}

/// Seconds and microseconds, database and address, and each word in quotes.
fn line(client: &Client, name: &str, words: Args<'_>, now: Now) -> Vec<u8> {
    let (seconds, milliseconds) = (now.wall_ms / 1000, now.wall_ms % 1000);
    let Client { database, peer, .. } = client;
    let mut line = format!("{seconds}.{milliseconds:03}000 [{database} {peer}]").into_bytes();
    let hidden = hidden(name, words);
    for (at, word) in words.iter().enumerate() {
        line.push(b' ');
        quote(if hidden.contains(&at) { b"(redacted)" } else { word }, &mut line);
    }
    line
}

/// The words that nobody but the client may read.
fn hidden(name: &str, words: Args<'_>) -> std::ops::Range<usize> {
    match name {
        "auth" => 1..words.len(),
        "hello" => {
            let auth = words.iter().skip(2).position(|word| word.eq_ignore_ascii_case(b"auth"));
            auth.map_or(0..0, |at| at + 3..at + 5)
        }
        _ => 0..0,
    }
}

/// In double quotes, as one line, whatever is in it.
fn quote(word: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    for &byte in word {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_so_that_a_line_stays_one() {
        let mut line = Vec::new();
        quote(b"a \"b\"\\\r\n\t\x07\x08\x00\xff~", &mut line);
        assert_eq!(line, br#""a \"b\"\\\r\n\t\a\b\x00\xff~""#);
    }

    /// Red when `hidden` is empty for HELLO.
    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(hidden("auth", &[b"AUTH", b"secret"]), 1..2);
        assert_eq!(hidden("auth", &[b"AUTH", b"me", b"secret"]), 1..3);
        let words: Args<'_> = &[b"hello", b"3", b"setname", b"x", b"Auth", b"me", b"secret"];
        assert_eq!(hidden("hello", words), 5..7);
        assert_eq!(hidden("hello", &[b"hello", b"3"]), 0..0);
        assert_eq!(hidden("get", &[b"get", b"auth"]), 0..0);
    }
}
