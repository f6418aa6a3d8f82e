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

proptest! {
    /// `Bench::execute` asserts what must hold whatever the request is.
    #[test]
    fn any_requests_leave_the_replica_equal(
        slices in prop::sample::select(vec![1u16, 2, 4]),
        requests in prop::collection::vec(
            (
                prop::sample::select(names()),
                prop::collection::vec(
                    prop_oneof![
                        6 => prop::sample::select(vec!["a", "b", "c", "d", "7", "-1", "", "0", "1.5"]),
                        2 => prop::sample::select(vec![
                            "nx", "xx", "get", "GET", "ex", "px", "pxat", "keepttl", "persist",
                            "gt", "lt", "replace", "db", "and", "or", "not", "xor", "u8", "i5",
                            "set", "incrby", "overflow", "fail", "sat", "#1", "count", "match",
                            "type", "string", "bit", "byte", "len", "idx", "minmatchlen",
                            "withmatchlen", "*", "1000", "100",
                        ]),
                    ],
                    0..7,
                ),
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
            words.extend(args.iter().map(|arg| arg.as_bytes()));
            let digests = bench.digests();
            let outcome = bench.execute(&words);
            if outcome.effects.is_empty() {
                prop_assert_eq!(bench.digests(), digests);
            }
        }
    }
}
