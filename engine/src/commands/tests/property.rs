//! Any requests at all: what must hold whatever they are.

use proptest::prelude::*;

use super::*;

/// The names of all commands, and for a container those of its subcommands.
fn names() -> Vec<Vec<&'static str>> {
    let commands = FAMILIES.iter().copied().flatten();
    let words = commands.flat_map(|command| match command.run.subcommands() {
        [] => vec![vec![command.name]],
        subcommands => subcommands.iter().map(|it| it.name.split('|').collect()).collect(),
    });
    words.collect()
}

/// Words that mean something to some command, and any bytes.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let text = |words: &'static [&'static str]| {
        prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec())
    };
    prop_oneof![
        12 => text(&["a", "b", "c", "d{a}", "7", "-1", "", "0", "1.5"]),
        6 => text(&[
            "nx", "xx", "GET", "ex", "px", "exat", "pxat", "keepttl", "persist", "gt", "lt",
            "replace", "db", "and", "or", "not", "xor", "u8", "i5", "set", "incrby", "overflow",
            "fail", "sat", "#1", "count", "match", "type", "string", "bit", "byte", "len", "idx",
            "minmatchlen", "withmatchlen", "*", "1000", "100", "9223372036854775807", "zset",
            "withscores", "withscore", "byscore", "bylex", "rev", "limit", "weights", "aggregate",
            "min", "max", "sum", "ch", "incr", "inf", "-inf", "(1", "[a", "-", "+", "2",
        ]),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Requests that are in order; `K` is any key and `V` any value.
const IN_ORDER: &[&str] = &[
    "set K V",
    "set K V px 500",
    "append K V",
    "setrange K 50 V",
    "mset K V K V",
    "getset K V",
    "copy K K",
    "copy K K replace",
    "copy K K db 1",
    "rename K K",
    "renamenx K K",
    "move K 1",
    "bitop or K K K",
    "bitop not K K",
    "setbit K 77 1",
    "incr K",
    "incrbyfloat K 1.5",
    "bitfield K set u8 #1 7 incrby i5 3 1",
    "bitfield K overflow fail incrby u2 900 3",
    "getex K px 500",
    "expire K 1",
    "pexpireat K 1",
    "persist K",
    "del K K",
    "swapdb 0 1",
    "zadd K 1 a 2.5 V -1 b",
    "zadd K 7 a inf V 2 c",
    "zadd K incr 1 V",
    "zrem K V a",
    "zpopmin K",
    "zpopmax K 2",
    "zmpop 2 K K min count 2",
    "zrangestore K K 0 2",
    "zremrangebyscore K 0 2",
    "zremrangebyrank K -1 -1",
    "zunionstore K 2 K K weights 2 -1",
    "zinterstore K 2 K K",
    "zdiffstore K 2 K K",
    "zunion 3 K K K withscores",
    "zrange K 0 -1 withscores",
    "zscan K 0 count 1000",
    "mget K K K",
    "rpush K V V",
    "lpush K V V",
    "linsert K before V V",
    "lset K -1 V",
    "lrem K 0 V",
    "lrem K -2 V",
    "ltrim K 1 -2",
    "lpop K",
    "rpop K 3",
    "lmove K K left right",
    "rpoplpush K K",
    "lmpop 3 K K K right count 2",
    "lrange K 0 -1",
    "lpos K V count 0",
    "lcs K K idx",
    "dump K",
    "sort K alpha get # store K",
    "sort K by * get * get #",
    "sort K by nosort get * store K",
    "scan 0",
    "sadd K V V",
    "sadd K 1 2 3",
    "srem K V",
    "smove K K V",
    "smove K K 1",
    "spop K",
    "spop K 2",
    "sunionstore K K K",
    "sinterstore K K",
    "sdiffstore K K K",
    "smembers K",
    "hset K V V",
    "hset K a 1 b 2",
    "hset K a V",
    "hsetex K px 500 fields 1 a V",
    "hsetex K keepttl fields 2 a 1 b V",
    "hpexpire K 300 fields 1 V",
    "hpexpire K 300 fields 2 a b",
    "hgetex K px 400 fields 1 a",
    "hgetdel K fields 1 b",
    "hpersist K fields 1 a",
    "hincrby K a 1",
    "hincrbyfloat K a 1.5",
    "hdel K V a",
    "hgetall K",
];

/// A request: of a known shape, or any words behind a name.
fn request(db_count: u16) -> impl Strategy<Value = (Vec<Vec<u8>>, u16, u64)> {
    let any_words = (prop::sample::select(names()), prop::collection::vec(word(), 0..8)).prop_map(
        |(name, args)| name.iter().map(|it| it.as_bytes().to_vec()).chain(args).collect(),
    );
    let key = prop::sample::select(vec!["a", "b", "c", "d{a}", "e"]);
    let value = prop_oneof![
        3 => prop::sample::select(vec!["", "1", "1.5", "abc"]).prop_map(str::to_owned),
        1 => Just("long ".repeat(400)),
    ];
    let in_order = (
        prop::sample::select(IN_ORDER),
        prop::collection::vec(key, 3),
        prop::collection::vec(value, 2),
    )
        .prop_map(|(shape, keys, values)| {
            let (mut keys, mut values) = (keys.into_iter(), values.into_iter());
            let words = shape.split(' ').map(|word| match word {
                "K" => keys.next().expect("three at most").as_bytes().to_vec(),
                "V" => values.next().expect("two at most").into_bytes(),
                word => word.as_bytes().to_vec(),
            });
            words.collect::<Vec<_>>()
        });
    (prop_oneof![1 => any_words, 1 => in_order], 0..db_count, 0u64..1000)
}

proptest! {
    // Each case is dozens of requests, with every keyspace digested after each.
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// `Bench::execute` asserts what must hold whatever the request is. Broken once by a bound
    /// without the values of RENAME, and by a BITOP that did not name its target.
    #[test]
    fn any_requests_leave_the_replica_equal(
        slices in prop::sample::select(vec![1u16, 2, 4]),
        requests in prop::collection::vec(request(2), 1..60),
    ) {
        let mut bench = Bench::new(slices);
        for (words, db, passed_ms) in &requests {
            bench.db = *db;
            bench.now_ms += passed_ms;
            let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
            let digests = bench.digests();
            let outcome = bench.execute(&words);
            if outcome.effects.is_empty() {
                prop_assert_eq!(bench.digests(), digests);
            }
        }
    }

    /// The same requests over one slice and over several.
    #[test]
    fn a_client_cannot_tell_how_many_slices_there_are(
        slices in prop::sample::select(vec![2u16, 8]),
        requests in prop::collection::vec(request(1), 1..40),
    ) {
        let (mut one, mut many) = (Bench::new(1), Bench::new(slices));
        for (words, _, passed_ms) in &requests {
            let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
            // What is drawn is another member each time, and what is left depends on it.
            if words[0] == b"spop" {
                continue;
            }
            one.now_ms += passed_ms;
            many.now_ms += passed_ms;
            let (mut of_one, mut of_many) = (one.execute(&words), many.execute(&words));
            // A draw is a draw, and KEYS promises no order.
            let draws = [&b"randomkey"[..], b"srandmember", b"hrandfield", b"zrandmember"];
            if draws.contains(&words[0]) {
                of_one.reply.clear();
                of_many.reply.clear();
            }
            if words[0] == b"keys" {
                let sorted = |text: &str| {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes.sort_unstable();
                    String::from_utf8(bytes).expect("replies are shown in ASCII")
                };
                of_one.reply = sorted(&of_one.reply);
                of_many.reply = sorted(&of_many.reply);
            }
            prop_assert_eq!(of_one.reply, of_many.reply);
            // Within a slice a value moves as it is, to another it is put; a draw may come by
            // another key that has expired.
            let moves = [&b"rename"[..], b"renamenx", b"move", b"randomkey"];
            if moves.contains(&words[0]) {
                continue;
            }
            of_one.effects.sort();
            of_many.effects.sort();
            of_many.effects.dedup();
            of_one.effects.dedup();
            prop_assert_eq!(of_one.effects, of_many.effects);
        }
    }
}
