//! What is derived from a declaration.

use super::*;
use crate::commands::FAMILIES;
use crate::context::Run;
use crate::reply::ReplySink;
use crate::reply::tests::Text;

/// A handler kind as a crate above the engine has it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Handler(Access),
    Container(&'static [Command<Kind>]),
}

impl Runs for Kind {
    fn access(&self) -> Access {
        match self {
            Kind::Handler(access) => *access,
            Kind::Container(_) => Access::None,
        }
    }

    fn subcommands(&self) -> &'static [Command<Self>] {
        match self {
            Kind::Handler(_) => &[],
            Kind::Container(subcommands) => subcommands,
        }
    }
}

const PLAIN: Command<Kind> = Command {
    name: "plain",
    summary: "Does nothing.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::Exactly(1),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[],
    tips: &[],
    run: Kind::Handler(Access::None),
};

const PAIRS: Command<Kind> = Command {
    name: "pairs",
    arity: Arity::AtLeast(3),
    keys: Keys::Range { first: 1, last: -1, step: 2, flags: &[KeyFlag::Ow, KeyFlag::Update] },
    run: Kind::Handler(Access::Write),
    ..PLAIN
};

fn keys(keys: Keys, args: &[&str]) -> Vec<String> {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let command = Command { keys, ..PLAIN };
    let found = command.keys(&args);
    found.map(|key| String::from_utf8(key.to_vec()).expect("the words are text")).collect()
}

#[test]
fn keys_are_found_where_the_declaration_says() {
    let range = |first, last, step| Keys::Range { first, last, step, flags: &[] };
    let cases: &[(Keys, &[&str], &[&str])] = &[
        (Keys::None, &["a", "b"], &[]),
        (Keys::First(&[]), &["a", "b"], &["a"]),
        (Keys::First(&[]), &[], &[]),
        (Keys::All(&[]), &["a", "b", "c"], &["a", "b", "c"]),
        (Keys::All(&[]), &[], &[]),
        (range(1, -1, 2), &["a", "1", "b", "2"], &["a", "b"]),
        (range(2, 3, 1), &["a", "b", "c", "d"], &["b", "c"]),
        (range(2, -2, 1), &["a", "b", "c", "d"], &["b", "c"]),
        (range(1, 2, 1), &["a"], &["a"]),
        (range(2, 2, 1), &["a"], &[]),
        (range(3, -2, 1), &["a", "b"], &[]),
        (range(1, -9, 1), &["a", "b"], &[]),
    ];
    for (declared, args, expected) in cases {
        assert_eq!(keys(*declared, args), *expected, "{declared:?} {args:?}");
    }
}

#[test]
fn groups_of_keys_are_found_with_their_flags() {
    const READ: &[KeyFlag] = &[KeyFlag::Ro];
    const WRITE: &[KeyFlag] = &[KeyFlag::Ow];
    const BITOP: Keys = Keys::Several(&[KeySpec::at(2, WRITE), KeySpec::from(3, READ)]);
    const UNION: Keys = Keys::Several(&[KeySpec::at(1, WRITE), KeySpec::counted(2, READ)]);
    const CHOICE: Keys = Keys::FirstVarying {
        flags: &[KeyFlag::Rw],
        of: |args| if args.len() == 1 { READ } else { WRITE },
    };
    type Case = (Keys, &'static [&'static str], &'static [(usize, &'static [KeyFlag])]);
    let cases: &[Case] = &[
        (BITOP, &["and", "d", "a", "b"], &[(1, WRITE), (2, READ), (3, READ)]),
        (BITOP, &["and", "d"], &[(1, WRITE)]),
        (BITOP, &["and"], &[]),
        (UNION, &["d", "2", "a", "b", "weights"], &[(0, WRITE), (2, READ), (3, READ)]),
        (UNION, &["d", "9", "a", "b"], &[(0, WRITE), (2, READ), (3, READ)]),
        (UNION, &["d", "0", "a"], &[(0, WRITE)]),
        (UNION, &["d", "-1", "a"], &[(0, WRITE)]),
        (UNION, &["d", "x", "a"], &[(0, WRITE)]),
        (UNION, &["d", "9223372036854775807"], &[(0, WRITE)]),
        (UNION, &["d"], &[(0, WRITE)]),
        (CHOICE, &["k"], &[(0, READ)]),
        (CHOICE, &["k", "get"], &[(0, WRITE)]),
    ];
    for (keys, words, expected) in cases {
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let command = Command { keys: *keys, ..PLAIN };
        let found: Vec<_> = command.keys_and_flags(&args).collect();
        let places: Vec<_> = found.iter().map(|key| (key.index, key.flags)).collect();
        assert_eq!(places, *expected, "{keys:?} {words:?}");
        assert!(found.iter().all(|key| key.name == args[key.index]));
        assert!(command.keys(&args).eq(found.iter().map(|key| key.name)));
    }
    assert_eq!(BITOP.range(), (2, -1, 1));
    assert_eq!(UNION.range(), (1, 1, 1));
}

#[test]
fn the_flags_of_a_key_follow_the_options_of_set_and_bitfield() {
    let flags = |name: &str, words: &[&str]| {
        let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let found = engine_command(name).keys_and_flags(&args).next();
        found.expect("the first argument is a key").flags
    };
    let changes = [KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update];
    assert_eq!(flags("set", &["get", "get"]), [KeyFlag::Ow, KeyFlag::Update]);
    assert_eq!(flags("set", &["k", "v", "nx", "Get"]), changes);
    assert_eq!(flags("bitfield", &["k", "get", "u8", "0"]), [KeyFlag::Ro, KeyFlag::Access]);
    assert_eq!(flags("bitfield", &["k", "set", "u8", "0", "1"]), changes);
    assert_eq!(flags("bitfield", &["k", "nonsense"]), changes);
}

#[test]
fn a_subcommand_finds_its_keys_behind_its_own_word() {
    let object = engine_command("object");
    let encoding = object.subcommand(b"encoding").expect("it is declared");
    let args: [&[u8]; 1] = [b"k"];
    assert!(encoding.keys(&args).eq([b"k"]));
    let text = info(encoding);
    assert!(text.contains("$object|encoding, :3, ~1{+readonly}, :2, :2, :1, "), "{text}");
    assert!(text.contains("$spec: %1{$index: :2}"), "{text}");
    assert!(text.contains("$lastkey: :0, "), "{text}");
}

#[test]
fn what_logs_values_is_bounded_by_the_values_of_the_keys_that_reach_others() {
    let size = |key: &[u8]| if key == b"source" { 1000 } else { 100_000 };
    let bound = |name: &str| engine_command(name).effect_size_max(&[b"source", b"target"], &size);
    for name in ["copy", "rename", "renamenx", "move"] {
        assert!((1000..2000).contains(&bound(name)), "{name}");
    }
    assert!(bound("append") < 1000);
    assert!(5000 < bound("incrbyfloat"));
    let bitop = engine_command("bitop");
    let bound = bitop.effect_size_max(&[b"or", b"target", b"source", b"source"], &size);
    assert!((2000..3000).contains(&bound));
}

#[test]
fn a_wrong_number_of_words_is_refused_in_the_name_of_the_command() {
    let exact = Command { arity: Arity::Exactly(2), ..PLAIN };
    let at_least = Command { arity: Arity::AtLeast(2), ..PLAIN };
    let wrong = || Err(CommandError::WrongArity { name: "plain" });
    for (words, of_exact, of_at_least) in
        [(1, wrong(), wrong()), (2, Ok(()), Ok(())), (3, wrong(), Ok(()))]
    {
        assert_eq!(exact.check_arity(words), of_exact);
        assert_eq!(at_least.check_arity(words), of_at_least);
    }
    assert_eq!(
        CommandError::WrongArity { name: "config|get" }.to_string(),
        "ERR wrong number of arguments for 'config|get' command"
    );
}

#[test]
fn a_family_is_sorted_if_its_names_rise() {
    let named = |name| Command { name, ..PLAIN };
    let cases: &[(&[&'static str], bool)] = &[
        (&[], true),
        (&["a"], true),
        (&["a", "b", "c"], true),
        (&["get", "getdel"], true),
        (&["getdel", "get"], false),
        (&["a", "a"], false),
        (&["a", "c", "b"], false),
    ];
    for (names, expected) in cases {
        let family: Vec<_> = names.iter().map(|name| named(name)).collect();
        assert_eq!(is_sorted(&family), *expected, "{names:?}");
    }
}

#[test]
fn a_subcommand_is_found_by_its_own_word_in_any_case() {
    const SUBCOMMANDS: &[Command<Kind>] =
        &[Command { name: "box|get", ..PLAIN }, Command { name: "box|set", ..PLAIN }];
    let container = Command { name: "box", run: Kind::Container(SUBCOMMANDS), ..PLAIN };
    let name = |word: &[u8]| container.subcommand(word).map(|found| found.name);
    assert_eq!(name(b"get"), Some("box|get"));
    assert_eq!(name(b"SeT"), Some("box|set"));
    assert_eq!(name(b"box|set"), None);
    assert_eq!(name(b""), None);
    assert!(PLAIN.subcommand(b"get").is_none());
}

#[test]
fn every_name_is_lower_case_and_declared_once_with_flags_in_order() {
    let commands: Vec<&Command<Run>> = FAMILIES.iter().copied().flatten().collect();
    let mut names: Vec<_> = commands.iter().map(|command| command.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for command in commands {
        assert_eq!(command.name, command.name.to_ascii_lowercase());
        assert!(command.summary.ends_with('.'), "{}", command.name);
        assert!(command.flags.is_sorted(), "{}", command.name);
        for spec in command.keys.specs() {
            assert!(spec.flags.is_sorted(), "{}", command.name);
        }
        let is_routed = matches!(command.run, Run::Read(_) | Run::Write(_) | Run::Varying { .. });
        assert!(is_routed != command.keys.is_none(), "{} is routed by its keys", command.name);
    }
}

#[test]
fn only_a_write_may_log_anything() {
    let read = Command { run: Kind::Handler(Access::Read), ..PLAIN };
    let none = |_: &[u8]| 0;
    assert_eq!(PLAIN.effect_size_max(&[b"abc"], &none), 0);
    assert_eq!(read.effect_size_max(&[b"abc"], &none), 0);
    let flush = PAIRS.effect_size_max(&[], &none);
    assert!(HEADER_SIZE < flush);
    assert!(flush + 6 <= PAIRS.effect_size_max(&[b"abc", b"def"], &none));
    assert!(PAIRS.is_write());
    assert!(!read.is_write());
}

fn info<R: Runs>(command: &Command<R>) -> String {
    let mut reply = Text::default();
    command.write_info(&mut reply);
    reply.take()
}

fn engine_command(name: &str) -> &'static Command<Run> {
    let found = FAMILIES.iter().copied().flatten().find(|command| command.name == name);
    found.expect("the command is declared")
}

/// What a Redis 7.0 server replies to COMMAND INFO in RESP3, but for the notes of SET.
#[test]
fn a_command_is_described_as_redis_describes_it() {
    for (name, expected) in [
        (
            "get",
            "*10[$get, :2, ~2{+readonly, +fast}, :1, :1, :1, ~3{+@read, +@string, +@fast}, \
             ~0{}, \
             ~1{%3{$flags: ~2{+RO, +access}, \
             $begin_search: %2{$type: $index, $spec: %1{$index: :1}}, \
             $find_keys: %2{$type: $range, \
             $spec: %3{$lastkey: :0, $keystep: :1, $limit: :0}}}}, ~0{}]",
        ),
        (
            "set",
            "*10[$set, :-3, ~2{+write, +denyoom}, :1, :1, :1, ~3{+@write, +@string, +@slow}, \
             ~0{}, \
             ~1{%3{$flags: ~4{+RW, +access, +update, +variable_flags}, \
             $begin_search: %2{$type: $index, $spec: %1{$index: :1}}, \
             $find_keys: %2{$type: $range, \
             $spec: %3{$lastkey: :0, $keystep: :1, $limit: :0}}}}, ~0{}]",
        ),
        (
            "incr",
            "*10[$incr, :2, ~3{+write, +denyoom, +fast}, :1, :1, :1, \
             ~3{+@write, +@string, +@fast}, \
             ~0{}, \
             ~1{%3{$flags: ~3{+RW, +access, +update}, \
             $begin_search: %2{$type: $index, $spec: %1{$index: :1}}, \
             $find_keys: %2{$type: $range, \
             $spec: %3{$lastkey: :0, $keystep: :1, $limit: :0}}}}, ~0{}]",
        ),
        (
            "del",
            "*10[$del, :-2, ~1{+write}, :1, :-1, :1, ~3{+@keyspace, +@write, +@slow}, \
             ~2{$request_policy:multi_shard, $response_policy:agg_sum}, \
             ~1{%3{$flags: ~2{+RM, +delete}, \
             $begin_search: %2{$type: $index, $spec: %1{$index: :1}}, \
             $find_keys: %2{$type: $range, \
             $spec: %3{$lastkey: :-1, $keystep: :1, $limit: :0}}}}, ~0{}]",
        ),
        (
            "exists",
            "*10[$exists, :-2, ~2{+readonly, +fast}, :1, :-1, :1, \
             ~3{+@keyspace, +@read, +@fast}, \
             ~2{$request_policy:multi_shard, $response_policy:agg_sum}, \
             ~1{%3{$flags: ~1{+RO}, \
             $begin_search: %2{$type: $index, $spec: %1{$index: :1}}, \
             $find_keys: %2{$type: $range, \
             $spec: %3{$lastkey: :-1, $keystep: :1, $limit: :0}}}}, ~0{}]",
        ),
    ] {
        assert_eq!(info(engine_command(name)), expected);
    }
}

#[test]
fn flags_categories_and_subcommands_are_derived() {
    const SUBCOMMANDS: &[Command<Kind>] = &[Command {
        name: "box|get",
        arity: Arity::AtLeast(3),
        flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale],
        ..PLAIN
    }];
    let container = Command { name: "box", run: Kind::Container(SUBCOMMANDS), ..PLAIN };
    assert_eq!(
        info(&container),
        "*10[$box, :1, ~0{}, :0, :0, :0, ~1{+@slow}, ~0{}, ~0{}, *1[\
         *10[$box|get, :-3, ~4{+admin, +noscript, +loading, +stale}, :0, :0, :0, \
         ~3{+@admin, +@slow, +@dangerous}, ~0{}, ~0{}, ~0{}]]]"
    );
    let flush = Command {
        acl: Acl::Keyspace,
        flags: &[Flag::Dangerous],
        run: Kind::Handler(Access::Write),
        ..PLAIN
    };
    assert_eq!(flush.flag_names(), ["write"]);
    assert_eq!(flush.acl_names(), ["@keyspace", "@write", "@slow", "@dangerous"]);
    let hello = Command {
        acl: Acl::Connection,
        flags: &[
            Flag::NoScript,
            Flag::Loading,
            Flag::Stale,
            Flag::Fast,
            Flag::NoAuth,
            Flag::AllowBusy,
        ],
        ..PLAIN
    };
    let flags = ["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"];
    assert_eq!(hello.flag_names(), flags);
    assert_eq!(hello.acl_names(), ["@fast", "@connection"]);

    let pairs = info(&PAIRS);
    assert!(pairs.contains(", :1, :-1, :2, "), "{pairs}");
    assert!(pairs.contains("%3{$lastkey: :-1, $keystep: :2, $limit: :0}"), "{pairs}");
    let keys = Keys::Range { first: 2, last: 4, step: 1, flags: &[KeyFlag::Ro] };
    let middle = info(&Command { keys, ..PLAIN });
    assert!(middle.contains(", :2, :4, :1, "), "{middle}");
    assert!(middle.contains("$spec: %1{$index: :2}"), "{middle}");
    assert!(middle.contains("$lastkey: :2, "), "{middle}");
}

#[test]
fn documentation_is_a_pair_of_name_and_map() {
    const SUBCOMMANDS: &[Command<Kind>] = &[Command { name: "box|get", ..PLAIN }];
    let mut reply = Text::default();
    reply.map(1);
    Command { name: "box", run: Kind::Container(SUBCOMMANDS), ..PLAIN }.write_docs(&mut reply);
    assert_eq!(
        reply.take(),
        "%1{$box: %5{$summary: $Does nothing., $since: $7.0.0, $group: $server, \
         $complexity: $O(1), $subcommands: %1{$box|get: %4{$summary: $Does nothing., \
         $since: $7.0.0, $group: $server, $complexity: $O(1)}}}}"
    );
}
