//! Runs the scripts of `testdata/`, and random ones, and looks at replies and effects.

use base::limits::STRING_SIZE_MAX;
use proptest::prelude::*;

use super::FAMILIES;
use crate::batch::{Batch, BatchReader};
use crate::command::{Access, Command, Runs};
use crate::context::{KeyspaceWriter, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::keyspace::Keyspace;
use crate::reply::ReplySink;
use crate::reply::tests::Text;
use base::limits::SLOTS;

/// A client of one slice and a replica that sees its effects only.
struct Bench {
    keyspace: Keyspace,
    replica: Keyspace,
    batch: Batch,
    db: u16,
}

/// What one request led to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    reply: String,
    effects: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let (keyspace, replica) = (Keyspace::new(1, 0..SLOTS), Keyspace::new(2, 0..SLOTS));
        Self { keyspace, replica, batch: Batch::default(), db: 0 }
    }

    /// Executes a request as the node does, and asserts what holds for every command.
    fn execute(&mut self, words: &[&[u8]]) -> Outcome {
        let (name, args) = words.split_first().expect("a request has a name");
        if name.eq_ignore_ascii_case(b"select") {
            let number = std::str::from_utf8(args[0]).expect("a script selects in text");
            self.db = number.parse().expect("a script selects a number");
            return Outcome { reply: "+OK".into(), effects: Vec::new() };
        }
        let command = find(name).expect("a script uses commands that exist");
        let mut reply = Text::default();
        let result =
            command.check_arity(words.len()).and_then(|()| self.run(command, args, &mut reply));
        let reply = match result {
            Ok(()) => reply.take(),
            Err(error) => {
                assert_eq!(reply.take(), "", "an error is the whole reply");
                assert!(self.batch.is_empty(), "a refused command changes nothing");
                reply.error(&error.to_string());
                reply.take()
            }
        };
        assert!(!reply.is_empty());
        Outcome { reply, effects: self.close(command, args) }
    }

    fn run(
        &mut self,
        command: &Command<Run>,
        args: &[&[u8]],
        reply: &mut dyn ReplySink,
    ) -> Result<(), CommandError> {
        let Self { keyspace, batch, db, .. } = self;
        let (db, now_ms) = (*db, 0);
        match command.run {
            Run::Read(handler) => handler(&mut ReadCx { keyspace, db, now_ms, reply }, args),
            Run::Write(handler) => {
                let keyspace = KeyspaceWriter::new(keyspace, batch);
                handler(&mut WriteCx { keyspace, db, now_ms, reply }, args)
            }
        }
    }

    /// Hands the effects to the replica, which must become equal.
    fn close(&mut self, command: &Command<Run>, args: &[&[u8]]) -> Vec<String> {
        let mut effects = Vec::new();
        let keys: Vec<u64> =
            command.keys(args).map(|key| self.keyspace.hash(self.db, key)).collect();
        for touched in self.batch.take_touched() {
            assert!(keys.contains(&touched), "a command writes the keys it names");
        }
        assert!(!self.batch.take_floor());
        if !self.batch.is_empty() {
            assert_eq!(command.run.access(), Access::Write);
            assert!(self.batch.len() <= command.effect_size_max(args));
            let mut body = Vec::new();
            self.batch.close_into(0, &mut body);
            for effect in BatchReader::new(&body).expect("this build wrote it") {
                let effect = effect.expect("this build wrote it");
                self.replica.replay(&effect).expect("the replica has every effect before it");
                effects.push(print(&effect));
            }
        }
        self.keyspace.check();
        assert_eq!(self.keyspace.digest(), self.replica.digest());
        effects
    }
}

fn find(name: &[u8]) -> Option<&'static Command<Run>> {
    let mut commands = FAMILIES.iter().copied().flatten();
    commands.find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

fn print(effect: &Effect<'_>) -> String {
    match effect {
        Effect::PutString { db, key, value, .. } => {
            format!("put {db} {} {}", word(key), word(value))
        }
        Effect::Delete { db, key } => format!("delete {db} {}", word(key)),
        Effect::FlushDatabase { db } => format!("flush {db}"),
        Effect::FlushAll => "flush".into(),
        other => format!("{other:?}"),
    }
}

/// A word as scripts spell it.
fn word(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    let is_plain = !text.is_empty() && !text.contains(['\\', ' ']);
    if is_plain { text } else { format!("\"{text}\"") }
}

/// Words between spaces; in quotes with the escapes of `escape_ascii`.
fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = unquote(quoted);
            words.push(word);
            rest = after.trim_start();
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            words.push(word.into());
            rest = after.trim_start();
        }
    }
    words
}

fn unquote(text: &str) -> (Vec<u8>, &str) {
    let mut word = Vec::new();
    let mut at = 0;
    loop {
        let byte = text.as_bytes()[at];
        at += 1;
        match byte {
            b'"' => return (word, &text[at..]),
            b'\\' => {
                let escape = text.as_bytes()[at];
                at += 1;
                word.push(match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'x' => {
                        at += 2;
                        u8::from_str_radix(&text[at - 2..at], 16).expect("two digits follow")
                    }
                    other => other,
                });
            }
            other => word.push(other),
        }
    }
}

/// Executes each request of `script` and compares its reply and its effects with those written
/// below it.
fn check(script: &str) {
    let mut bench = Bench::new();
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut lines = script.lines().filter(is_said).peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let request = line.strip_prefix("> ").expect("a request comes first");
        let reply = lines.next().expect("a reply follows a request").to_owned();
        let mut effects = Vec::new();
        while let Some(effect) = lines.next_if(|line| line.starts_with("  ")) {
            effects.push(effect.trim_start().to_owned());
        }
        let words = split(request);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        assert_eq!(bench.execute(&words), Outcome { reply, effects }, "request {count}: {request}");
        count += 1;
    }
    assert!(0 < count);
}

#[test]
fn strings_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/strings.txt"));
}

#[test]
fn keys_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/keys.txt"));
}

#[test]
fn what_no_effect_could_hold_is_refused_before_anything_changes() {
    let long = vec![0; STRING_SIZE_MAX + 1];
    let refused = Outcome {
        reply: "-ERR string exceeds maximum allowed size (proto-max-bulk-len)".into(),
        effects: Vec::new(),
    };
    let mut bench = Bench::new();
    assert_eq!(bench.execute(&[b"set", b"key", &long]), refused);
    assert_eq!(bench.execute(&[b"set", &long, b"value"]), refused);
    assert_eq!(bench.execute(&[b"incr", &long]), refused);
    assert!(bench.keyspace.is_empty());
}

proptest! {
    /// `Bench::execute` asserts what must hold whatever the request is.
    #[test]
    fn any_requests_leave_the_replica_equal(
        requests in prop::collection::vec(
            (
                prop::sample::select(vec!["get", "set", "incr", "del", "exists"]),
                prop::collection::vec(
                    prop_oneof![
                        3 => prop::sample::select(vec!["a", "b", "c", "7", "-1", ""]),
                        1 => prop::sample::select(vec!["nx", "xx", "get", "GET"]),
                    ],
                    0..6,
                ),
                0u16..2,
            ),
            1..60,
        ),
    ) {
        let mut bench = Bench::new();
        for (name, args, db) in &requests {
            bench.db = *db;
            let mut words = vec![name.as_bytes()];
            words.extend(args.iter().map(|arg| arg.as_bytes()));
            let sizes = (bench.keyspace.len(0), bench.keyspace.len(1));
            let digest = bench.keyspace.digest();
            let outcome = bench.execute(&words);
            if outcome.effects.is_empty() {
                prop_assert_eq!(bench.keyspace.digest(), digest);
            }
            if *name == "del" && outcome.reply.starts_with(':') {
                let after = (bench.keyspace.len(0), bench.keyspace.len(1));
                let gone = sizes.0 + sizes.1 - after.0 - after.1;
                prop_assert_eq!(outcome.reply, format!(":{gone}"));
                prop_assert_eq!(outcome.effects.len(), gone);
            }
        }
    }
}
