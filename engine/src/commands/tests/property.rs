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
            "minmatchlen", "withmatchlen", "*", "1000", "100", "9223372036854775807",
        ]),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    /// `Bench::execute` asserts what must hold whatever the request is. Broken once by a COPY
    /// that logged another time to expire, and by a bound without the values of RENAME.
    #[test]
    fn any_requests_leave_the_replica_equal(
        slices in prop::sample::select(vec![1u16, 2, 4]),
        requests in prop::collection::vec(
            (
                prop::sample::select(names()),
                prop::collection::vec(word(), 0..8),
                0u16..2,
                0u64..2000,
            ),
            1..60,
        ),
    ) {
        let mut bench = Bench::new(slices);
        for (name, args, db, passed_ms) in &requests {
            bench.db = *db;
            bench.now_ms += passed_ms;
            let mut words: Vec<_> = name.iter().map(|word| word.as_bytes()).collect();
            words.extend(args.iter().map(Vec::as_slice));
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
        requests in prop::collection::vec(
            (prop::sample::select(names()), prop::collection::vec(word(), 0..6), 0u64..2000),
            1..40,
        ),
    ) {
        let (mut one, mut many) = (Bench::new(1), Bench::new(slices));
        for (name, args, passed_ms) in &requests {
            let mut words: Vec<_> = name.iter().map(|word| word.as_bytes()).collect();
            words.extend(args.iter().map(Vec::as_slice));
            one.now_ms += passed_ms;
            many.now_ms += passed_ms;
            let (mut of_one, mut of_many) = (one.execute(&words), many.execute(&words));
            // These promise no order; a draw is a draw.
            if matches!(name[0], "keys" | "randomkey") {
                let sorted = |text: &str| {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes.sort_unstable();
                    bytes
                };
                if name[0] == "keys" {
                    prop_assert_eq!(sorted(&of_one.reply), sorted(&of_many.reply));
                }
                of_one.reply.clear();
                of_many.reply.clear();
            }
            prop_assert_eq!(of_one.reply, of_many.reply);
            of_one.effects.sort();
            of_many.effects.sort();
            of_many.effects.dedup();
            of_one.effects.dedup();
            prop_assert_eq!(of_one.effects, of_many.effects);
        }
    }
}
