//! DEBUG: what tests and tools ask of a server that a program has no business asking.

use engine::{
    Acl, Args, Arity, Command, CommandError, Flag, Group, KeyFlag, Keys, ReadCx, ReplySink,
    is_sorted,
};

use super::{SessionCx, help};
use crate::ask::{Answer, AnswerBody, Question};
use crate::error::RequestError;
use crate::registry::{NodeRun, Run};

pub(crate) const FAMILY: &[Command<Run>] = &[DEBUG];

const DEBUG: Command<Run> = Command {
    name: "debug",
    summary: "A container for commands that tests ask.",
    complexity: "Depends on the subcommand.",
    arity: Arity::AtLeast(2),
    run: Run::Container { alone: None, subcommands: SUBCOMMANDS },
    ..SUBCOMMAND
};

/// What all subcommands have in common.
const SUBCOMMAND: Command<Run> = Command {
    name: "",
    summary: "",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: Arity::Exactly(2),
    keys: Keys::None,
    acl: Acl::None,
    flags: &[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale],
    tips: &[],
    run: Run::Container { alone: None, subcommands: &[] },
};

const SUBCOMMANDS: &[Command<Run>] = &[
    Command {
        name: "debug|digest",
        summary: "Returns a digest of all keys; equal keyspaces have equal digests.",
        complexity: "O(N) where N is the number of keys.",
        run: Run::Node(NodeRun { ask: |_, _| Ok(Question::Digest), reply: digest }),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|digest-value",
        summary: "Returns a digest of each key's value.",
        arity: Arity::AtLeast(3),
        keys: Keys::All(&[KeyFlag::Ro, KeyFlag::Access]),
        run: Run::Keys(engine::Run::Read(digest_value)),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|help",
        summary: "Lists the subcommands.",
        run: Run::Session(|cx, _| {
            help(&mut cx.reply, "debug", SUBCOMMANDS);
            Ok(())
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|object",
        summary: "Describes how a key's value is stored.",
        arity: Arity::AtLeast(3),
        keys: Keys::First(&[KeyFlag::Ro]),
        run: Run::Keys(engine::Run::Read(object)),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|protocol",
        summary: "Replies with a value of the type named.",
        arity: Arity::Exactly(3),
        run: Run::Session(protocol),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|set-active-expire",
        summary: "Sets whether expired keys are looked for; those a command names expire anyway.",
        arity: Arity::Exactly(3),
        run: Run::Node(NodeRun {
            ask: |cx, args| {
                let mut settings = cx.node.settings.clone();
                settings.active_expire = args[0] != b"0";
                Ok(Question::Set(Box::new(settings)))
            },
            reply: |cx, _, _| {
                cx.reply.simple("OK");
                Ok(())
            },
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|sleep",
        summary: "Answers after some seconds. Other clients are served meanwhile.",
        arity: Arity::Exactly(3),
        run: Run::Node(NodeRun {
            ask: sleep,
            reply: |cx, _, _| {
                cx.reply.simple("OK");
                Ok(())
            },
        }),
        ..SUBCOMMAND
    },
    Command {
        name: "debug|stringmatch-len",
        summary: "Tells whether a text of so many letters matches a pattern.",
        arity: Arity::Exactly(4),
        run: Run::Session(string_match),
        ..SUBCOMMAND
    },
];
const _: () = assert!(is_sorted(SUBCOMMANDS));

fn digest(cx: &mut SessionCx<'_>, _: Args<'_>, answers: Vec<Answer>) -> Result<(), RequestError> {
    let (mut all, mut count) = (0, 0);
    for answer in &answers {
        if let AnswerBody::Digest { digest, keys } = answer.body {
            all ^= digest;
            count += keys;
        }
    }
    // Redis's digest has 40 digits and is zero for no keys.
    cx.reply.simple(&format!("{:040x}", if count == 0 { 0 } else { all }));
    Ok(())
}

fn digest_value(cx: &mut ReadCx<'_>, keys: Args<'_>) -> Result<(), CommandError> {
    cx.reply.array(keys.len());
    for key in keys {
        let value = cx.spaces.find(cx.db, key).filter(|entry| !entry.is_expired(cx.now_ms));
        let digest = value.map(digest_of);
        cx.reply.simple(&format!("{:040x}", digest.unwrap_or_default()));
    }
    Ok(())
}

/// Equal values have equal digests, however they are stored. The parts of a value are in order
/// only in a list.
fn digest_of(entry: engine::Entry<'_>) -> u128 {
    let is_list = entry.kind() == engine::Type::List;
    let (mut digest, mut index) = (fnv(entry.kind().name().as_bytes()), 0u64);
    entry.for_each_part(&mut |part| {
        let mut bytes = if is_list { index.to_le_bytes().to_vec() } else { Vec::new() };
        for word in part {
            bytes.extend_from_slice(&(word.len() as u64).to_le_bytes());
            bytes.extend_from_slice(word);
        }
        digest = digest.wrapping_add(fnv(&bytes));
        index += 1;
    });
    digest
}

/// FNV-1a: nobody attacks a digest that a test compares.
fn fnv(bytes: &[u8]) -> u128 {
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    let prime = 0x0000_0000_0100_0000_0000_0000_0000_013b_u128;
    bytes.iter().fold(start, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(prime))
}

fn object(cx: &mut ReadCx<'_>, args: Args<'_>) -> Result<(), CommandError> {
    let entry = cx.spaces.find(cx.db, args[0]).filter(|entry| !entry.is_expired(cx.now_ms));
    let Some(entry) = entry else {
        cx.reply.error("ERR no such key");
        return Ok(());
    };
    let size = entry.serialized_size();
    let encoding = engine::encoding(entry);
    // Under LFU these are no times, as on Redis.
    let idle_s = entry.idle_ms(cx.now_ms) / 1000;
    let access = entry.access();
    cx.reply.simple(&format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{size} lru:{access} \
         lru_seconds_idle:{idle_s}"
    ));
    Ok(())
}

fn sleep(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<Question, RequestError> {
    let seconds = std::str::from_utf8(args[0]).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| (0.0..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or(RequestError::Static("ERR value is not a valid float"))?;
    Ok(Question::Sleep { until_us: cx.now.monotonic_us + (seconds * 1e6) as u64 })
}

fn string_match(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let [length, pattern] = args else { unreachable!("the arity is exact") };
    let length = engine::parse_integer(length).filter(|length| (0..=1 << 20).contains(length));
    let length = length.ok_or(CommandError::NotAnInteger)?;
    let text = vec![b'a'; length as usize];
    let is_match = engine::matches_glob(pattern, &text, false);
    cx.reply.integer(i64::from(is_match));
    Ok(())
}

fn protocol(cx: &mut SessionCx<'_>, args: Args<'_>) -> Result<(), RequestError> {
    let name = args[0].to_ascii_lowercase();
    let is_3 = cx.client.protocol == net::Protocol::Resp3;
    let reply = &mut cx.reply;
    let three = |reply: &mut dyn ReplySink| (0..3).for_each(|number| reply.integer(number));
    match &name[..] {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12_345),
        // Redis's choice, and not meant to be the circle's.
        b"double" => reply.double(f64::from(3141_u16) / 1000.0),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            three(reply);
        }
        b"set" => {
            reply.set(3);
            three(reply);
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if reply.attribute(1) {
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if is_3 => {
            // Who passes over what is pushed still gets a reply.
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"push" => {
            return Err(RequestError::Static("ERR RESP2 is not supported by this command"));
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => {
            return Err(RequestError::Static(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
