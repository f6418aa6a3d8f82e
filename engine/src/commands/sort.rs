//! SORT and SORT_RO: the elements of a list, a set or a sorted set in another order.
//!
//! What orders them, and what is returned for them, may be other keys and fields of hashes, which
//! are named after the elements: no request names such keys, so a command with such patterns gets
//! every slice.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::{GENERIC, check_size, integer_of, is_option};
use crate::command::{
    Access, Acl, Arity, Command, Find, Flag, KeyFlag, KeySpec, Keys, Logs, Runs, is_sorted,
};
use crate::context::{Args, Lookup, ReadCx, Run, WriteCx};
use crate::effect::Effect;
use crate::error::CommandError;
use crate::keyspace::Entry;
use crate::notes::{Class, Notes};
use crate::rdb::{Compression, Encoder, kind};
use crate::reply::ReplySink;
use crate::space::Spaces;
use crate::values::{self, Type};

pub(super) const FAMILY: &[Command<Run>] = &[SORT, SORT_RO];
const _: () = assert!(is_sorted(FAMILY));

/// Words that take words with them, and how many.
const OPTIONS: &[(&str, usize)] = &[("limit", 2), ("get", 1), ("by", 1), ("store", 1)];

const SOURCE: KeySpec = KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access]);
const PATTERNS: KeySpec =
    KeySpec { first: 2, find: Find::Unknown, flags: &[KeyFlag::Ro, KeyFlag::Access] };
const TARGET: KeySpec = KeySpec {
    first: 2,
    find: Find::Option { name: "store", options: OPTIONS },
    flags: &[KeyFlag::Ow, KeyFlag::Update],
};

const SORT: Command<Run> = Command {
    name: "sort",
    summary: "Sorts the elements of a list, a set or a sorted set, and perhaps stores them.",
    complexity: "O(N+M*log(M)) in the elements, and those that are sorted.",
    arity: Arity::AtLeast(2),
    keys: Keys::Several(&[SOURCE, PATTERNS, TARGET]),
    acl: Acl::Collections,
    flags: &[Flag::DenyOom, Flag::Dangerous, Flag::Logs(Logs::Gathered)],
    run: Run::Varying {
        access: Access::Write,
        of: |args| if names_keys(args) { Run::WriteAll(sort) } else { Run::Write(sort) },
    },
    ..GENERIC
};

const SORT_RO: Command<Run> = Command {
    name: "sort_ro",
    summary: "Sorts the elements of a list, a set or a sorted set.",
    since: "7.0.0",
    keys: Keys::Several(&[SOURCE, PATTERNS]),
    flags: &[Flag::Dangerous],
    run: Run::Varying {
        access: Access::Read,
        of: |args| if names_keys(args) { Run::ReadAll(sort_ro) } else { Run::Read(sort_ro) },
    },
    ..SORT
};

/// Does a pattern name keys?
fn names_keys(args: Args<'_>) -> bool {
    let mut words = args.iter().skip(1);
    while let Some(word) = words.next() {
        let Some((name, count)) = OPTIONS.iter().find(|(name, _)| is_option(word, name)) else {
            continue;
        };
        let mut taken = words.by_ref().take(*count);
        if matches!(*name, "by" | "get") && taken.any(|pattern| pattern.contains(&b'*')) {
            return true;
        }
        taken.for_each(drop);
    }
    false
}

#[derive(Debug, Default)]
struct Options<'a> {
    /// The last pattern of BY.
    by: Option<&'a [u8]>,
    /// A BY that names no key asks to leave the elements as they are.
    is_unsorted: bool,
    gets: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    is_descending: bool,
    is_alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(words: Args<'a>, access: Access) -> Result<Self, CommandError> {
        let mut parsed = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if is_option(word, "asc") {
                parsed.is_descending = false;
            } else if is_option(word, "desc") {
                parsed.is_descending = true;
            } else if is_option(word, "alpha") {
                parsed.is_alpha = true;
            } else if is_option(word, "limit")
                && let [start, count, rest @ ..] = words.as_slice()
            {
                parsed.limit = Some((integer_of(start)?, integer_of(count)?));
                words = rest.iter();
            } else if is_option(word, "store")
                && access == Access::Write
                && let Some(key) = words.next()
            {
                parsed.store = Some(key);
            } else if is_option(word, "by")
                && let Some(pattern) = words.next()
            {
                parsed.by = Some(pattern);
                parsed.is_unsorted |= !pattern.contains(&b'*');
            } else if is_option(word, "get")
                && let Some(pattern) = words.next()
            {
                parsed.gets.push(pattern);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(parsed)
    }

    /// The positions that are asked for, of `count`.
    fn range(&self, count: usize) -> Range<usize> {
        let (start, limit) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start.max(0)).map_or(count, |start| start.min(count));
        let left = count - start;
        start..start + usize::try_from(limit).map_or(left, |limit| limit.min(left))
    }
}

fn sort_ro(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, words @ ..] = args else { unreachable!("the arity is at least two") };
    let options = Options::parse(words, Access::Read)?;
    let source = cx.look(Lookup::Read, key);
    let (spaces, db, now_ms) = (cx.spaces, cx.db, cx.now_ms);
    let mut sorter = Sorter { spaces, db, now_ms, notes: &mut *cx.notes, options };
    let rows = sorter.rows(source)?;
    sorter.reply(&rows, cx.reply);
    sorter.finish();
    Ok(())
}

fn sort(cx: &mut WriteCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let [key, words @ ..] = args else { unreachable!("the arity is at least two") };
    let options = Options::parse(words, Access::Write)?;
    let target = options.store;
    target.map_or(Ok(()), check_size)?;
    let _ = cx.look(Lookup::Read, key);
    let (spaces, db, now_ms) = (&cx.spaces, cx.db, cx.now_ms);
    let source = spaces.live(db, key, now_ms);
    let mut sorter = Sorter { spaces, db, now_ms, notes: &mut *cx.notes, options };
    let rows = sorter.rows(source)?;
    let Some(target) = target else {
        sorter.reply(&rows, cx.reply);
        sorter.finish();
        return Ok(());
    };
    let (payload, count) = sorter.payload(&rows);
    sorter.finish();
    if 0 < count {
        cx.apply(Effect::PutValue { db, key: target, payload: &payload, expire_ms: None });
        cx.notify(Class::List, "sortstore", target);
    } else if cx.spaces.live(db, target, now_ms).is_some() {
        cx.apply(Effect::Delete { db, key: target });
        cx.notify(Class::Generic, "del", target);
    }
    cx.reply.integer(count as i64);
    Ok(())
}

/// One execution.
struct Sorter<'a> {
    spaces: &'a Spaces<'a>,
    db: u16,
    now_ms: u64,
    notes: &'a mut Notes,
    options: Options<'a>,
}

/// The elements in the order and of the positions that are asked for. Their bytes, and those of
/// what orders them, are in one buffer.
struct Rows {
    bytes: Vec<u8>,
    rows: Vec<Row>,
}

struct Row {
    element: Range<usize>,
    score: f64,
    /// What orders it, if that is text of another key.
    text: Option<Range<usize>>,
}

impl Rows {
    fn element(&self, row: &Row) -> &[u8] {
        &self.bytes[row.element.clone()]
    }

    fn push(&mut self, element: &[u8]) {
        let element = self.keep(element);
        self.rows.push(Row { element, score: 0.0, text: None });
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

impl<'a> Sorter<'a> {
    fn rows(&mut self, source: Option<Entry<'_>>) -> Result<Rows, CommandError> {
        let mut rows = Rows { bytes: Vec::new(), rows: Vec::new() };
        let kind = source.map_or(Type::List, Entry::kind);
        if !matches!(kind, Type::List | Type::Set | Type::Zset) {
            return Err(CommandError::WrongType);
        }
        if let Some(entry) = source {
            elements_of(entry, &mut |element| rows.push(element));
        }
        let mut is_unsorted = self.options.is_unsorted;
        if is_unsorted && kind == Type::Set && self.options.store.is_some() {
            // What is stored does not depend on how the set happens to lie in memory.
            (self.options.is_alpha, self.options.by, is_unsorted) = (true, None, false);
        }
        let range = self.options.range(rows.rows.len());
        if !is_unsorted {
            self.weigh(&mut rows)?;
            let Rows { bytes, rows } = &mut rows;
            rows.sort_by(|left, right| {
                let order = self.order(bytes, left, right);
                if self.options.is_descending { order.reverse() } else { order }
            });
        } else if self.options.is_descending && kind != Type::Set {
            rows.rows.reverse();
        }
        rows.rows.truncate(range.end);
        rows.rows.drain(..range.start);
        Ok(rows)
    }

    /// Finds what orders each element.
    fn weigh(&mut self, rows: &mut Rows) -> Result<(), CommandError> {
        for index in 0..rows.rows.len() {
            let element = rows.element(&rows.rows[index]);
            let weight = match self.options.by {
                Some(pattern) => self.find(pattern, element),
                None if self.options.is_alpha => continue,
                None => Some(Cow::Borrowed(element)),
            };
            // What is not there is zero, or before all text.
            let Some(weight) = weight else { continue };
            if self.options.is_alpha {
                let weight = weight.into_owned();
                rows.rows[index].text = Some(rows.keep(&weight));
            } else {
                let score = score_of(&weight).ok_or(CommandError::WeightNotANumber)?;
                rows.rows[index].score = score;
            }
        }
        Ok(())
    }

    fn order(&self, bytes: &[u8], left: &Row, right: &Row) -> Ordering {
        let element = |row: &Row| &bytes[row.element.clone()];
        let text = |row: &Row| row.text.clone().map(|text| &bytes[text]);
        match (self.options.is_alpha, self.options.by) {
            (true, Some(_)) => text(left).cmp(&text(right)),
            (true, None) => element(left).cmp(element(right)),
            (false, _) => {
                let order = left.score.partial_cmp(&right.score).expect("a score is a number");
                order.then_with(|| element(left).cmp(element(right)))
            }
        }
    }

    /// What a pattern stands for where it is about `element`.
    fn find(&mut self, pattern: &[u8], element: &[u8]) -> Option<Cow<'a, [u8]>> {
        let place = Place::of(pattern, element)?;
        let entry = self.spaces.find(self.db, &place.key)?;
        if entry.is_expired(self.now_ms) {
            self.notes.hidden.push((self.db, place.key.into()));
            return None;
        }
        place.value(self.spaces, entry, self.now_ms)
    }

    fn reply(&mut self, rows: &Rows, reply: &mut dyn ReplySink) {
        let gets = std::mem::take(&mut self.options.gets);
        reply.array(rows.rows.len() * gets.len().max(1));
        for row in &rows.rows {
            let element = rows.element(row);
            if gets.is_empty() {
                reply.bulk(element);
            }
            for pattern in &gets {
                match self.get(pattern, element) {
                    Some(value) => reply.bulk(&value),
                    None => reply.null(),
                }
            }
        }
    }

    /// A list of what would be the reply, and how much that is.
    fn payload(&mut self, rows: &Rows) -> (Vec<u8>, usize) {
        let gets = std::mem::take(&mut self.options.gets);
        let count = rows.rows.len() * gets.len().max(1);
        let mut encoder = Encoder::new(Compression::None);
        encoder.kind(kind::LIST);
        encoder.count(count);
        for row in &rows.rows {
            let element = rows.element(row);
            if gets.is_empty() {
                encoder.string(element);
            }
            for pattern in &gets {
                encoder.string(&self.get(pattern, element).unwrap_or_default());
            }
        }
        (encoder.finish(), count)
    }

    fn get<'e>(&mut self, pattern: &[u8], element: &'e [u8]) -> Option<Cow<'e, [u8]>>
    where
        'a: 'e,
    {
        match pattern {
            b"#" => Some(Cow::Borrowed(element)),
            pattern => self.find(pattern, element),
        }
    }

    /// A key that several patterns found expired is deleted once.
    fn finish(self) {
        self.notes.hidden.sort_unstable();
        self.notes.hidden.dedup();
    }
}

/// A list's in order, a sorted set's from the lowest.
fn elements_of(entry: Entry<'_>, visit: &mut dyn FnMut(&[u8])) {
    values::for_each_part(entry, &mut |part| visit(part[0]));
}

/// A key, or a field of the hash it holds.
struct Place<'p> {
    key: Vec<u8>,
    field: Option<&'p [u8]>,
}

impl<'p> Place<'p> {
    /// The first asterisk stands for the element; behind an arrow that comes later is a field. A
    /// pattern without an asterisk names nothing.
    fn of(pattern: &'p [u8], element: &[u8]) -> Option<Self> {
        let star = pattern.iter().position(|byte| *byte == b'*')?;
        let (before, behind) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = behind.windows(2).position(|bytes| bytes == b"->");
        let (behind, field) = match arrow.filter(|arrow| arrow + 2 < behind.len()) {
            Some(arrow) => (&behind[..arrow], Some(&behind[arrow + 2..])),
            None => (behind, None),
        };
        Some(Self { key: [before, element, behind].concat(), field })
    }

    fn value<'a>(
        &self,
        spaces: &'a Spaces<'_>,
        entry: Entry<'a>,
        now_ms: u64,
    ) -> Option<Cow<'a, [u8]>> {
        match self.field {
            None => entry.string().map(Cow::Borrowed),
            Some(field) => field_of(spaces, entry, field, now_ms),
        }
    }
}

fn field_of<'a>(
    _spaces: &'a Spaces<'_>,
    entry: Entry<'a>,
    field: &[u8],
    _now_ms: u64,
) -> Option<Cow<'a, [u8]>> {
    if entry.kind() != Type::Hash {
        return None;
    }
    let mut found = None;
    values::for_each_part(entry, &mut |part| {
        if part[0] == field {
            found = Some(Cow::Owned(part[1].to_vec()));
        }
    });
    found
}

/// A weight as C reads one: space before it, nothing behind it, up to a zero byte; nothing at all
/// is zero.
fn score_of(text: &[u8]) -> Option<f64> {
    let text = crate::until_nul(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let text = str::from_utf8(text).ok()?;
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let score: f64 = text.parse().ok()?;
    let is_named = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    (!score.is_nan() && (score.is_finite() || is_named)).then_some(score)
}

/// The most bytes that a SORT among the commands logs because it stores what it finds under
/// patterns; zero for what is bounded by the values of the keys it names.
pub fn gathered_size_max<R: Runs>(
    spaces: &Spaces<'_>,
    command: &Command<R>,
    args: Args<'_>,
    db: u16,
    now_ms: u64,
) -> usize {
    let is_gathering = command.has_flag(Flag::Logs(Logs::Gathered));
    let [key, words @ ..] = args else { return 0 };
    let Some(options) = is_gathering.then(|| Options::parse(words, Access::Write).ok()).flatten()
    else {
        return 0;
    };
    let Some(entry) = spaces.live(db, key, now_ms).filter(|_| options.store.is_some()) else {
        return 0;
    };
    if !matches!(entry.kind(), Type::List | Type::Set | Type::Zset) {
        return 0;
    }
    let mut size = 0;
    elements_of(entry, &mut |element| {
        for pattern in &options.gets {
            let found = || {
                let place = Place::of(pattern, element)?;
                let entry = spaces.live(db, &place.key, now_ms)?;
                Some(place.value(spaces, entry, now_ms)?.len())
            };
            let found = if *pattern == b"#" { Some(element.len()) } else { found() };
            size += STRING_OVERHEAD + found.unwrap_or(0);
        }
    });
    size
}

/// A string's size in front of it.
const STRING_OVERHEAD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_key_or_a_field() {
        let place = |pattern: &'static str| {
            let place = Place::of(pattern.as_bytes(), b"7")?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
            Some((text(&place.key), place.field.map(text)))
        };
        let field = |key: &str, field: &str| Some((key.to_owned(), Some(field.to_owned())));
        let key = |key: &str| Some((key.to_owned(), None));
        assert_eq!(place("w_*"), key("w_7"));
        assert_eq!(place("*_*"), key("7_*"));
        assert_eq!(place("w_*->f"), field("w_7", "f"));
        assert_eq!(place("w_*x->f->g"), field("w_7x", "f->g"));
        assert_eq!(place("w_*->"), key("w_7->"));
        assert_eq!(place("w->*"), key("w->7"));
        assert_eq!(place("nosort"), None);
    }

    #[test]
    fn a_weight_is_read_as_c_does() {
        for (text, score) in [
            ("", Some(0.0)),
            (" 1.5", Some(1.5)),
            ("-1e3", Some(-1000.0)),
            ("inf", Some(f64::INFINITY)),
            ("1\0junk", Some(1.0)),
            ("1 ", None),
            (" ", None),
            ("nan", None),
            ("1e999", None),
            ("abc", None),
        ] {
            assert_eq!(score_of(text.as_bytes()), score, "{text:?}");
        }
    }

    #[test]
    fn the_positions_asked_for_are_within_the_elements() {
        for (limit, range) in [
            (None, 0..5),
            (Some((1, 2)), 1..3),
            (Some((1, -1)), 1..5),
            (Some((-3, 2)), 0..2),
            (Some((4, 9)), 4..5),
            (Some((5, 1)), 5..5),
            (Some((9, -1)), 5..5),
            (Some((0, 0)), 0..0),
        ] {
            let options = Options { limit, ..Options::default() };
            assert_eq!(options.range(5), range, "{limit:?}");
        }
    }

    #[test]
    fn every_slice_is_needed_for_patterns_that_name_keys_only() {
        let needs = |text: &str| {
            let words: Vec<_> = text.split(' ').map(str::as_bytes).collect();
            names_keys(&words)
        };
        assert!(needs("k BY w_*"));
        assert!(needs("k LIMIT 0 1 get *"));
        assert!(needs("k STORE d BY w_*->f"));
        assert!(!needs("k"));
        assert!(!needs("k BY nosort GET #"));
        assert!(!needs("k STORE by STORE w_*"));
        assert!(!needs("k ALPHA DESC LIMIT by *"));
        assert!(!needs("k BY"));
    }
}
