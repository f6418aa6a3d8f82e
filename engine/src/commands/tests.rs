//! Runs the scripts of `testdata/`, and random ones, and looks at replies and effects.
//!
//! A script is requests with their replies and effects; requests that begin with `@` are to the
//! bench itself, see `Bench::instruct`.

mod lists;
mod property;

use base::Prng;
use base::limits::{DATABASES, SLOTS, STRING_SIZE_MAX};

use super::{FAMILIES, gathered_size_max};
use crate::batch::BatchReader;
use crate::command::{Command, Runs};
use crate::context::{AccessMode, Args, ReadCx, Run, WriteCx};
use crate::effect::{Effect, Elements, End};
use crate::error::CommandError;
use crate::expiry::{ExpiryLimit, expire, expire_key, expire_size_max};
use crate::keyspace::{AccessPolicy, Keyspace};
use crate::notes::{Classes, Notes};
use crate::reply::ReplySink;
use crate::reply::tests::Text;
use crate::space::{Space, Spaces};

/// A client of some slices and a replica that sees their effects only.
struct Bench {
    spaces: Vec<Option<Box<Space>>>,
    replicas: Vec<Keyspace>,
    db: u16,
    now_ms: u64,
    access: AccessMode,
    prng: Prng,
    notes: Notes,
}

/// What one request led to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    reply: String,
    effects: Vec<String>,
}

impl Bench {
    fn new(slices: u16) -> Self {
        let keyspaces = |seed| {
            let size = SLOTS / slices;
            let slots = (0..slices).map(move |slice| slice * size..(slice + 1) * size);
            slots.map(move |slots| Keyspace::new(seed, slots))
        };
        Self {
            spaces: keyspaces(1).map(|keyspace| Some(Box::new(Space::new(keyspace)))).collect(),
            replicas: keyspaces(2).collect(),
            db: 0,
            now_ms: 0,
            access: AccessMode { policy: AccessPolicy::Lru, touches: true },
            prng: Prng::from_seed(1),
            notes: Notes::default(),
        }
    }

    /// Executes a request as the node does, and asserts what holds for every command.
    fn execute(&mut self, words: &[&[u8]]) -> Outcome {
        let (name, args) = words.split_first().expect("a request has a name");
        let (command, args) = match find(name) {
            Some(container) if !container.run.subcommands().is_empty() && !args.is_empty() => {
                let found = container.subcommand(args[0]);
                (found.expect("a script uses subcommands that exist"), &args[1..])
            }
            found => (found.expect("a script uses commands that exist"), args),
        };
        let mut reply = Text::default();
        let result =
            command.check_arity(words.len()).and_then(|()| self.run(command, args, &mut reply));
        let reply = match result {
            Ok(()) => reply.take(),
            Err(error) => {
                assert_eq!(reply.take(), "", "an error is the whole reply");
                reply.error(&String::from_utf8_lossy(&error.text()));
                reply.take()
            }
        };
        assert!(!reply.is_empty());
        Outcome { reply, effects: self.close(command, args) }
    }

    fn run(
        &mut self,
        command: &Command<Run>,
        args: Args<'_>,
        reply: &mut dyn ReplySink,
    ) -> Result<(), CommandError> {
        let Self { spaces, db, now_ms, access, prng, notes, .. } = self;
        let (db, now_ms, access) = (*db, *now_ms, *access);
        let notify_classes = Classes::parse(b"KEAmn").expect("these are letters");
        let slices = spaces.len() as u16;
        let sizes: usize = {
            let spaces = Spaces::many(spaces, slices);
            let size = |key: &[u8]| {
                let entry = spaces.live(db, key, now_ms);
                entry.map_or(0, |entry| match entry.string() {
                    Some(value) => value.len(),
                    None => command.logged_size(args, entry),
                })
            };
            let expiry = expire_size_max(&spaces, command, args, db, now_ms);
            let gathered = gathered_size_max(&spaces, command, args, db, now_ms);
            expiry + gathered + command.effect_size_max(args, &size)
        };
        let mut spaces = match spaces.as_mut_slice() {
            [Some(space)] => Spaces::one(space),
            spaces => Spaces::many(spaces, slices),
        };
        expire(&mut spaces, command, args, db, now_ms, notify_classes, notes);
        let before = spaces.effect_count();
        let run = command.run.with(args);
        let result = match run {
            Run::Read(handler) | Run::ReadAll(handler) => {
                let spaces = &spaces;
                let mut cx =
                    ReadCx { spaces, db, now_ms, access, notify_classes, prng, notes, reply };
                handler(&mut cx, args)
            }
            Run::Write(handler) | Run::WriteAll(handler) => {
                let spaces = spaces.reborrow();
                let mut cx =
                    WriteCx { spaces, db, now_ms, access, notify_classes, prng, notes, reply };
                handler(&mut cx, args)
            }
            Run::Plain(handler) => {
                handler(reply);
                Ok(())
            }
            Run::Container(_) => unreachable!("the arity of a container asks for a subcommand"),
            Run::Varying { .. } => unreachable!("the arguments told which"),
        };
        assert!(result.is_ok() || spaces.effect_count() == before, "a refusal changes nothing");
        let is_of_all = matches!(command.run.with(args), Run::ReadAll(_) | Run::WriteAll(_));
        assert!(is_of_all || notes.hidden.is_empty());
        for (db, key) in std::mem::take(&mut notes.hidden) {
            let limit = ExpiryLimit::NONE;
            let gone = expire_key(&mut spaces, db, &key, now_ms, limit, notify_classes, notes);
            assert!(!gone.is_more, "all that was due goes");
        }
        if !is_of_all {
            let logged: usize = self.spaces.iter().flatten().map(|it| it.batch.len()).sum();
            assert!(logged <= sizes + 13 * self.spaces.len(), "{}", command.name);
        }
        result
    }

    /// Hands the effects to the replicas, which must become equal.
    fn close(&mut self, command: &Command<Run>, args: Args<'_>) -> Vec<String> {
        let mut effects = Vec::new();
        for (space, replica) in self.spaces.iter_mut().flatten().zip(&mut self.replicas) {
            let mut places = Vec::new();
            for key in command.keys(args) {
                places.extend((0..DATABASES).map(|db| space.keyspace.hash(db, key)));
            }
            let is_of_all = matches!(command.run.with(args), Run::ReadAll(_) | Run::WriteAll(_));
            for touched in space.batch.take_touched() {
                assert!(is_of_all || places.contains(&touched), "a command writes keys it names");
            }
            let floor = space.batch.take_floor();
            assert!(floor == 0 || matches!(command.run.with(args), Run::WriteAll(_)));
            if !space.batch.is_empty() {
                let mut body = Vec::new();
                space.batch.close_into(0, b"", &mut body);
                for effect in BatchReader::new(&body).expect("this build wrote it") {
                    let effect = effect.expect("this build wrote it");
                    replica.replay(&effect).expect("the replica has every effect before it");
                    effects.push(print(&effect));
                }
            }
            space.keyspace.check();
            assert_eq!(space.keyspace.digest(), replica.digest());
        }
        effects
    }

    /// What a script asks of the bench: to select a database, to go on in time, to tell what was
    /// notified and counted.
    fn instruct(&mut self, words: &[&str]) -> String {
        let number = |text: &str| text.parse().expect("a number follows");
        match *words {
            ["@db", db] => self.db = number(db) as u16,
            ["@now", now_ms] => self.now_ms = number(now_ms),
            ["@lru"] => self.access.policy = AccessPolicy::Lru,
            ["@lfu"] => self.access.policy = AccessPolicy::Lfu,
            ["@touch", touch] => self.access.touches = touch == "on",
            ["@events"] => {
                let events = self.notes.events.drain(..);
                let events = events.map(|event| {
                    assert!(event.name == event.name.to_ascii_lowercase());
                    format!("{}:{}:{}", event.name, event.db, word(&event.key))
                });
                return events.collect::<Vec<_>>().join(" ");
            }
            ["@lookups"] => {
                let lookups = std::mem::take(&mut self.notes.lookups);
                return format!("{} hits {} misses", lookups.hits, lookups.misses);
            }
            _ => unreachable!("the bench knows no {words:?}"),
        }
        "ok".into()
    }

    fn is_empty(&self) -> bool {
        self.spaces.iter().flatten().all(|space| space.keyspace.is_empty())
    }

    fn digests(&self) -> Vec<u128> {
        self.spaces.iter().flatten().map(|space| space.keyspace.digest()).collect()
    }
}

fn find(name: &[u8]) -> Option<&'static Command<Run>> {
    let mut commands = FAMILIES.iter().copied().flatten();
    commands.find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

fn print(effect: &Effect<'_>) -> String {
    match *effect {
        Effect::PutString { db, key, value, expire_ms } => {
            let time = expire_ms.map_or_else(String::new, |time| format!(" at {time}"));
            format!("put {db} {} {}{time}", word(key), word(value))
        }
        Effect::SetExpire { db, key, expire_ms } => {
            let time = expire_ms.map_or_else(|| "never".into(), |time| time.to_string());
            format!("expire {db} {} {time}", word(key))
        }
        Effect::Append { db, key, suffix } => format!("append {db} {} {}", word(key), word(suffix)),
        Effect::SetRange { db, key, offset, bytes } => {
            format!("range {db} {} {offset} {}", word(key), word(bytes))
        }
        Effect::Delete { db, key } => format!("delete {db} {}", word(key)),
        Effect::FlushDatabase { db } => format!("flush {db}"),
        Effect::FlushAll => "flush all".into(),
        Effect::SwapDatabases { first, second } => format!("swap {first} {second}"),
        Effect::Rename { db, key, new_db, new_key } => {
            format!("rename {db} {} {new_db} {}", word(key), word(new_key))
        }
        _ => print_on_value(effect),
    }
}

/// Effects on values that are no strings: what is done, the database, the key, then the words.
fn print_on_value(effect: &Effect<'_>) -> String {
    let (db, key) = effect.place().expect("it is on one key");
    let words = |elements: Elements<'_>| {
        elements.iter().map(|element| format!(" {}", word(element))).collect::<String>()
    };
    let side = |end| if end == End::Left { "left" } else { "right" };
    let at = |time: Option<u64>| time.map_or_else(String::new, |time| format!(" at {time}"));
    let (name, rest) = match *effect {
        Effect::ListPush { end, elements, .. } => (format!("push {}", side(end)), words(elements)),
        Effect::ListPop { end, count, .. } => (format!("pop {}", side(end)), format!(" {count}")),
        Effect::ListSet { index, element, .. } => {
            ("element".into(), format!(" {index} {}", word(element)))
        }
        Effect::ListInsert { index, element, .. } => {
            ("insert".into(), format!(" {index} {}", word(element)))
        }
        Effect::ListRemove { indexes, .. } => {
            let index = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let indexes = indexes.iter().map(|bytes| format!(" {}", index(bytes)));
            ("take".into(), indexes.collect())
        }
        Effect::SetAdd { members, .. } => ("add".into(), words(members)),
        Effect::SetRemove { members, .. } => ("remove".into(), words(members)),
        Effect::HashSet { pairs, expire_ms, .. } => {
            ("fields".into(), words(pairs) + &at(expire_ms))
        }
        Effect::HashRemove { fields, .. } => ("drop".into(), words(fields)),
        Effect::HashExpire { fields, expire_ms, .. } => {
            ("field-expire".into(), words(fields) + &at(expire_ms))
        }
        Effect::ZsetAdd { pairs, .. } => {
            let score = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            let pairs =
                pairs.pairs().map(|(bits, member)| format!(" {} {}", score(bits), word(member)));
            ("score".into(), pairs.collect())
        }
        Effect::ZsetRemove { members, .. } => ("unscore".into(), words(members)),
        Effect::ZsetRemoveRange { rank, count, .. } => {
            ("unscore-range".into(), format!(" {rank} {count}"))
        }
        Effect::PutValue { payload, expire_ms, .. } => {
            ("value".into(), format!(" {}", payload.len()) + &at(expire_ms))
        }
        _ => unreachable!("effects on strings and keys are printed elsewhere"),
    };
    format!("{name} {db} {}{rest}", word(key))
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
/// below it. Once over one slice, once over several: only the order of effects may differ.
fn check(script: &str) {
    for slices in [1, 4] {
        check_over(script, slices);
    }
}

fn check_over(script: &str, slices: u16) {
    let mut bench = Bench::new(slices);
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut lines = script.lines().filter(is_said).peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line.starts_with('@') {
            let (instruction, expected) = line.split_once(" = ").unwrap_or((line, "ok"));
            let words: Vec<_> = instruction.split(' ').collect();
            assert_eq!(bench.instruct(&words), expected, "after request {count}: {line}");
            continue;
        }
        let request = line.strip_prefix("> ").expect("a request comes first");
        let reply = lines.next().expect("a reply follows a request").to_owned();
        let mut effects = Vec::new();
        while let Some(effect) = lines.next_if(|line| line.starts_with("  ")) {
            effects.push(effect.trim_start().to_owned());
        }
        let words = split(request);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut outcome = bench.execute(&words);
        if 1 < slices {
            // An effect on all keys is logged in each slice that it changes.
            outcome.effects.sort();
            outcome.effects.dedup();
            effects.sort();
            effects.dedup();
        }
        assert_eq!(outcome, Outcome { reply, effects }, "request {count}: {request}");
        count += 1;
    }
    assert!(0 < count);
}

#[test]
fn bitfields_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/bitfield.txt"));
}

#[test]
fn bitmaps_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/bitmaps.txt"));
}

#[test]
fn databases_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/databases.txt"));
}

#[test]
fn dump_and_restore_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/dump.txt"));
}

#[test]
fn sort_replies_as_redis_does_and_logs_what_it_stores() {
    check(include_str!("../../testdata/sort.txt"));
}

#[test]
fn times_to_expire_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/expiry.txt"));
}

#[test]
fn keys_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/keys.txt"));
}

#[test]
fn common_subsequences_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/lcs.txt"));
}

#[test]
fn lists_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/lists.txt"));
}

#[test]
fn numbers_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/numbers.txt"));
}

#[test]
fn ways_of_storing_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/object.txt"));
}

#[test]
fn conditional_sets_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/set.txt"));
}

#[test]
fn hashes_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/hashes.txt"));
}

#[test]
fn times_of_fields_reply_as_valkey_does_and_log_what_they_change() {
    check(include_str!("../../testdata/field_times.txt"));
}

#[test]
fn sets_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/sets.txt"));
}

#[test]
fn strings_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/strings.txt"));
}

#[test]
fn sorted_sets_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/zsets.txt"));
}

#[test]
fn ranges_of_sorted_sets_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/zset_ranges.txt"));
}

#[test]
fn unions_of_sorted_sets_reply_as_redis_does_and_log_what_they_change() {
    check(include_str!("../../testdata/zset_algebra.txt"));
}

#[test]
fn what_no_effect_could_hold_is_refused_before_anything_changes() {
    let long = vec![0; STRING_SIZE_MAX + 1];
    let refused = Outcome {
        reply: "-ERR string exceeds maximum allowed size (proto-max-bulk-len)".into(),
        effects: Vec::new(),
    };
    let mut bench = Bench::new(1);
    assert_eq!(bench.execute(&[b"set", b"key", &long]), refused);
    assert_eq!(bench.execute(&[b"set", &long, b"value"]), refused);
    assert_eq!(bench.execute(&[b"incr", &long]), refused);
    assert!(bench.is_empty());
}

#[test]
fn a_command_tells_what_it_saw_in_another_database() {
    let mut bench = Bench::new(4);
    for (words, seen) in [
        (&["set", "a", "1"][..], &[][..]),
        (&["copy", "a", "b"], &[]),
        (&["copy", "a", "b", "db", "1"], &[(1, "b")]),
        (&["copy", "a", "b", "db", "1"], &[(1, "b")]),
        (&["copy", "x", "b", "db", "1"], &[]),
        (&["move", "a", "2"], &[(2, "a")]),
        (&["move", "b", "1"], &[(1, "b")]),
    ] {
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        bench.execute(&bytes);
        let told = std::mem::take(&mut bench.notes.also_seen);
        let told: Vec<_> =
            told.iter().map(|(db, key)| (*db, str::from_utf8(key).expect("it is text"))).collect();
        assert_eq!(told, seen, "{words:?}");
    }
}

/// The bench looks that what is logged fits. Red when the bound of SPOP forgets the members, or
/// counts all of a large set.
#[test]
fn what_a_draw_logs_is_bounded_by_the_longest_member() {
    let mut bench = Bench::new(1);
    let long = [b'x'; 5000];
    for count in [&b"1"[..], b"2", b"9"] {
        bench.execute(&[b"sadd", b"key", &long, &long[1..], b"short"]);
        assert!(!bench.execute(&[b"spop", b"key", count]).effects.is_empty());
    }
    let members: Vec<String> = (0..2000).map(|number| format!("member {number}")).collect();
    let words = [&b"sadd"[..], b"many"].into_iter().chain(members.iter().map(String::as_bytes));
    bench.execute(&words.collect::<Vec<_>>());
    let space = bench.spaces[0].as_deref().expect("it is there");
    let entry = space.keyspace.find(0, b"many").expect("it was just added");
    let spop = find(b"spop").expect("it is declared");
    assert!(spop.logged_size(&[b"many"], entry) < 20);
    assert!(20_000 < spop.logged_size(&[b"many", b"2000"], entry));
}

/// What is asked for by cursors is returned once, whatever the count. Broken once by a scan that
/// begins each slice anew.
#[test]
fn an_iteration_over_all_slices_returns_every_key_once() {
    let mut bench = Bench::new(4);
    let mut expected: Vec<String> = (0..200).map(|number| format!("key:{number}")).collect();
    for key in &expected {
        bench.execute(&[b"set", key.as_bytes(), b""]);
    }
    expected.sort();
    for count in ["1", "7", "100", "1000"] {
        let (mut found, mut cursor, mut calls) = (Vec::new(), "0".to_owned(), 0);
        loop {
            let reply =
                bench.execute(&[b"scan", cursor.as_bytes(), b"count", count.as_bytes()]).reply;
            let (next, keys) = reply.split_once(", ").expect("a cursor and keys");
            let (_, keys) = keys.split_once('[').expect("an array");
            let keys = keys.trim_end_matches(']').split(", ").filter(|key| !key.is_empty());
            found.extend(keys.map(|key| key.trim_start_matches('$').to_owned()));
            cursor = next.trim_start_matches("*2[$").to_owned();
            calls += 1;
            assert!(calls <= 1000, "the iteration ends");
            if cursor == "0" {
                break;
            }
        }
        found.sort();
        assert_eq!(found, expected);
        assert!(200 / count.parse::<usize>().expect("a number") <= calls);
    }
}
