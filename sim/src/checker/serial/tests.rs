//! Every anomaly that has a name is found, and histories without one are let through.

use super::*;
use crate::checker::effects::Transaction;
use crate::history::{Answer, Chain, Condition, Instant, Key, Operation, Request, Value};

const A: Key = Key(0);
const B: Key = Key(1);
const C: Key = Key(2);

fn text(text: u32) -> Value {
    Value::Text(text)
}

fn set(key: Key, value: u32) -> Request {
    Request::Set { key, value: text(value), condition: Condition::Always, get: false }
}

fn get(key: Key) -> Request {
    Request::Get(key)
}

fn got(value: u32) -> Answer {
    if value == 0 { Answer::Nil } else { Answer::Value(text(value)) }
}

fn many(requests: &[Request]) -> Request {
    Request::Execute { requests: requests.to_vec(), watched: Vec::new() }
}

/// Arrives at `at`, is answered at `until`; each on a connection of its own.
fn done(at: u64, until: u64, request: Request, answer: Answer) -> Operation {
    Operation {
        connection: at as u32,
        database: 0,
        level: Level::Local,
        request,
        arrived: Some(Instant(at)),
        answered: Some((Instant(until), answer)),
        arrived_us: at,
        answered_us: until,
    }
}

fn executed(at: u64, until: u64, requests: &[Request], answers: &[Answer]) -> Operation {
    done(at, until, many(requests), Answer::Many(answers.to_vec()))
}

fn unanswered(at: u64, request: Request) -> Operation {
    Operation { answered: None, ..done(at, at + 1, request, Answer::Ok) }
}

/// Versions of keys after the empty start: zero is no value.
fn log(keys: &[(Key, &[u32])]) -> Versions {
    let versions = |values: &[u32]| {
        let values = values.iter().map(|value| (0 < *value).then_some(text(*value)));
        std::iter::once(None).chain(values).collect()
    };
    keys.iter().map(|(key, values)| ((0, *key), versions(values))).collect()
}

fn judge_all(operations: &[Operation], versions: &Versions, known: Known) -> Result<(), String> {
    let mut transactions = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        transactions.extend(Transaction::of(operation, number, &[])?);
    }
    judge(&transactions, versions, &|(_, key)| key.0, known, false).map(|_| ())
}

#[track_caller]
fn fine(operations: &[Operation], versions: &Versions) {
    judge_all(operations, versions, Known::AfterCrash).expect("nothing is wrong");
}

#[track_caller]
fn wrong(operations: &[Operation], versions: &Versions, why: &str) {
    let error = judge_all(operations, versions, Known::AfterCrash).expect_err("it is wrong");
    assert!(error.contains(why), "{error}");
}

const OK: Answer = Answer::Ok;

#[test]
fn transactions_in_some_order_are_let_through() {
    let run = [
        executed(1, 9, &[set(A, 1), set(B, 2)], &[OK, OK]),
        executed(2, 8, &[set(B, 3), set(C, 4)], &[OK, OK]),
        executed(3, 9, &[get(A), get(B)], &[got(0), got(3)]),
        executed(10, 11, &[get(A), get(B), get(C)], &[got(1), got(2), got(4)]),
        unanswered(12, many(&[set(A, 5), set(C, 6)])),
    ];
    fine(&run, &log(&[(A, &[1]), (B, &[3, 2]), (C, &[4])]));
    fine(&run, &log(&[(A, &[1, 5]), (B, &[3, 2]), (C, &[4, 6])]));
}

#[test]
fn half_a_transaction_after_a_crash_is_found() {
    let run = [unanswered(1, many(&[set(A, 1), set(B, 2)]))];
    fine(&run, &log(&[]));
    fine(&run, &log(&[(A, &[1]), (B, &[2])]));
    wrong(&run, &log(&[(A, &[1])]), "half a transaction");
    let pairs = vec![(A, text(1)), (B, text(2))];
    let run = [unanswered(1, Request::MultiSet { pairs, if_absent: true })];
    wrong(&run, &log(&[(B, &[2])]), "half a transaction");
}

#[test]
fn an_acknowledged_transaction_that_is_gone_is_found() {
    let run = [executed(1, 2, &[set(A, 1), set(B, 2)], &[OK, OK])];
    wrong(&run, &log(&[]), "not there");
    wrong(&run, &log(&[(A, &[1])]), "half a transaction");
    let mut memory = run;
    memory[0].level = Level::Memory;
    fine(&memory, &log(&[]));
    wrong(&memory, &log(&[(A, &[1])]), "half a transaction");
    assert!(judge_all(&memory, &log(&[]), Known::Everything).is_err());
}

/// G0: writes of two transactions in different orders.
#[test]
fn a_write_cycle_is_found() {
    let run = [
        executed(1, 9, &[set(A, 1), set(B, 2)], &[OK, OK]),
        executed(1, 9, &[set(A, 3), set(B, 4)], &[OK, OK]),
    ];
    fine(&run, &log(&[(A, &[1, 3]), (B, &[2, 4])]));
    wrong(&run, &log(&[(A, &[1, 3]), (B, &[4, 2])]), "Overwritten");
}

/// G1a: what was seen is not there.
#[test]
fn a_read_of_something_later_lost_is_found() {
    let run = [
        unanswered(1, many(&[set(A, 1), set(B, 2)])),
        executed(2, 3, &[get(A), set(C, 4)], &[got(1), OK]),
    ];
    fine(&run, &log(&[(A, &[1]), (B, &[2]), (C, &[4])]));
    wrong(&run, &log(&[(C, &[4])]), "a lost one");
    // At level memory too, since what it wrote is there.
    let mut memory = run;
    memory[1].level = Level::Memory;
    wrong(&memory, &log(&[(C, &[4])]), "a lost one");
    fine(&memory, &log(&[]));
}

/// G1b: a version that its own transaction replaced.
#[test]
fn an_intermediate_read_is_found() {
    let run = [executed(1, 9, &[set(A, 1), set(A, 2)], &[OK, OK]), done(2, 8, get(A), got(1))];
    wrong(&run, &log(&[(A, &[1, 2])]), "ReadBefore");
}

/// G1c: two transactions that saw each other.
#[test]
fn a_circle_of_reads_is_found() {
    let run = [
        executed(1, 9, &[set(A, 1), get(B)], &[OK, got(2)]),
        executed(1, 9, &[set(B, 2), get(A)], &[OK, got(1)]),
    ];
    wrong(&run, &log(&[(A, &[1]), (B, &[2])]), "no order");
}

#[test]
fn half_of_a_transaction_seen_is_found() {
    let run = |b| {
        [
            executed(1, 9, &[set(A, 1), set(B, 2)], &[OK, OK]),
            executed(2, 8, &[get(A), get(B)], &[got(1), got(b)]),
        ]
    };
    fine(&run(2), &log(&[(A, &[1]), (B, &[2])]));
    wrong(&run(0), &log(&[(A, &[1]), (B, &[2])]), "no order");
}

#[test]
fn a_lost_update_is_found() {
    let run = [
        done(1, 2, set(A, 1), OK),
        executed(3, 9, &[get(A), set(A, 2)], &[got(1), OK]),
        executed(3, 9, &[get(A), set(A, 3)], &[got(1), OK]),
    ];
    wrong(&run, &log(&[(A, &[1, 2, 3])]), "no order");
}

/// G2: each read what the other wrote, before it did.
#[test]
fn write_skew_is_found() {
    let run = [
        executed(1, 9, &[get(B), set(A, 1)], &[got(0), OK]),
        executed(1, 9, &[get(A), set(B, 2)], &[got(0), OK]),
    ];
    wrong(&run, &log(&[(A, &[1]), (B, &[2])]), "no order");
}

#[test]
fn a_stale_read_is_found() {
    let run = |value| [done(1, 2, set(A, 1), OK), done(3, 4, get(A), got(value))];
    fine(&run(1), &log(&[(A, &[1])]));
    wrong(&run(0), &log(&[(A, &[1])]), "an old or a later version");
}

/// No key is read out of order, and no read overlaps two writes: only both together are wrong.
#[test]
fn a_stale_read_across_slices_is_found() {
    let run = |b| {
        [
            done(1, 9, set(A, 1), OK),
            done(2, 3, get(A), got(1)),
            done(4, 5, set(B, 2), OK),
            executed(6, 8, &[get(B), get(A)], &[got(b), got(0)]),
        ]
    };
    wrong(&run(2), &log(&[(A, &[1]), (B, &[2])]), "no order");
}

/// The long fork: two readers disagree on which of two writes was first.
#[test]
fn a_long_fork_is_found() {
    let run = |a, b| {
        [
            done(1, 9, set(A, 1), OK),
            done(1, 9, set(B, 2), OK),
            executed(2, 9, &[get(A), get(B)], &[got(1), got(0)]),
            executed(2, 9, &[get(A), get(B)], &[got(a), got(b)]),
        ]
    };
    fine(&run(1, 2), &log(&[(A, &[1]), (B, &[2])]));
    wrong(&run(0, 2), &log(&[(A, &[1]), (B, &[2])]), "no order");
}

#[test]
fn a_future_read_is_found() {
    let run = [done(1, 2, get(A), got(1)), done(3, 4, set(A, 1), OK)];
    wrong(&run, &log(&[(A, &[1])]), "an old or a later version");
}

#[test]
fn a_pipeline_is_in_order_in_each_slice_and_around_transactions() {
    let both = |first: Request, second: Request| {
        let mut run = [done(1, 8, first, OK), done(1, 9, second, OK)];
        run[1].connection = run[0].connection;
        run
    };
    wrong(&both(set(A, 1), set(A, 2)), &log(&[(A, &[2, 1])]), "SentFirst");
    let reads = executed(1, 7, &[get(A), get(B)], &[got(0), got(2)]);
    let reads = Operation { connection: 7, ..reads };
    let slices = [&both(set(A, 1), set(B, 2))[..], std::slice::from_ref(&reads)].concat();
    fine(&slices, &log(&[(A, &[1]), (B, &[2])]));
    let mut barrier = slices;
    barrier[1] = Operation { connection: 1, ..executed(1, 9, &[set(B, 2)], &[OK]) };
    wrong(&barrier, &log(&[(A, &[1]), (B, &[2])]), "SentFirst");
}

#[test]
fn appends_tell_their_order() {
    let append = |token| Request::Append { key: A, token };
    let chain = |tokens: &[u32]| {
        let chain = tokens.iter().fold(None, |chain, token| Some(Chain::append(chain, *token)));
        chain.map(Value::Chain)
    };
    let versions = |tokens: &[u32]| -> Versions {
        let chains = (0..=tokens.len()).map(|count| chain(&tokens[..count])).collect();
        [((0, A), chains)].into()
    };
    let size = |count: i64| Answer::Integer(8 * count);
    let run = [
        executed(1, 9, &[append(7), set(B, 1)], &[size(1), OK]),
        executed(1, 9, &[append(8), get(B)], &[size(2), got(1)]),
        done(10, 11, get(A), Answer::Value(chain(&[7, 8]).expect("two tokens"))),
    ];
    let mut both = versions(&[7, 8]);
    both.append(&mut log(&[(B, &[1])]));
    fine(&run, &both);
    let mut turned = versions(&[8, 7]);
    turned.append(&mut log(&[(B, &[1])]));
    assert!(judge_all(&run, &turned, Known::AfterCrash).is_err());
}

#[test]
fn a_transaction_sees_what_it_wrote() {
    let run = |value| [executed(1, 2, &[set(A, 1), get(A)], &[OK, got(value)])];
    fine(&run(1), &log(&[(A, &[1])]));
    wrong(&run(0), &log(&[(A, &[1])]), "shows");
}

#[test]
fn a_watched_key_holds_what_was_read_when_exec_goes_through() {
    let watched = [(A, got(1))];
    let run =
        [done(1, 2, set(A, 1), OK), done(3, 4, set(A, 2), OK), executed(5, 6, &[set(B, 3)], &[OK])];
    let transactions: Vec<Transaction> = run
        .iter()
        .enumerate()
        .filter_map(|(number, operation)| {
            let seen = if number == 2 { &watched[..] } else { &[] };
            Transaction::of(operation, number, seen).expect("no contradiction")
        })
        .collect();
    let versions = log(&[(A, &[1, 2]), (B, &[3])]);
    let slice = |(_, key): Item| key.0;
    assert!(judge(&transactions, &versions, &slice, Known::AfterCrash, false).is_err());
    let earlier = log(&[(A, &[2, 1]), (B, &[3])]);
    let mut transactions = transactions;
    transactions[1].arrived = 1;
    assert!(judge(&transactions, &earlier, &slice, Known::AfterCrash, false).is_ok());
}

/// Absence has no name: only the graph tells which of two it was.
#[test]
fn an_ambiguous_read_is_narrowed_by_the_graph() {
    let delete = Request::Delete(vec![A]);
    let run = |b| {
        [
            done(1, 20, set(A, 1), OK),
            done(1, 20, delete.clone(), Answer::Integer(1)),
            executed(2, 20, &[get(A), set(B, 2)], &[got(1), OK]),
            executed(3, 20, &[get(A), get(B)], &[got(0), got(b)]),
            executed(4, 20, &[get(A), set(C, 5), get(B)], &[got(0), OK, got(2)]),
            executed(4, 20, &[get(C), get(A)], &[got(5), got(1)]),
        ]
    };
    let versions = log(&[(A, &[1, 0]), (B, &[2]), (C, &[5])]);
    fine(&run(0)[..4], &log(&[(A, &[1, 0]), (B, &[2])]));
    fine(&run(2)[..4], &log(&[(A, &[1, 0]), (B, &[2])]));
    wrong(&run(0), &versions, "no order");
}

/// A serial run, seen through intervals that overlap, is let through; turned versions are not.
#[test]
fn what_a_serial_machine_does_is_let_through() {
    let mut prng = base::Prng::from_seed(7);
    for round in 0..200u64 {
        let mut state = [0u32; 3];
        let mut versions: [Vec<u32>; 3] = Default::default();
        let mut run = Vec::new();
        for number in 1..40u32 {
            let mut requests = Vec::new();
            let mut answers = Vec::new();
            for _ in 0..=prng.below(3) {
                let key = prng.index(3);
                if prng.chance(50) {
                    requests.push(get(Key(key as u16)));
                    answers.push(got(state[key]));
                } else {
                    let value = number * 10 + requests.len() as u32;
                    requests.push(set(Key(key as u16), value));
                    answers.push(OK);
                    state[key] = value;
                    versions[key].push(value);
                }
            }
            let middle = u64::from(number) * 100;
            let from = middle - prng.below(300).min(middle - 1);
            run.push(executed(from, middle + 1 + prng.below(300), &requests, &answers));
            run.last_mut().expect("just pushed").connection = number;
        }
        let keys = [(A, &versions[0][..]), (B, &versions[1][..]), (C, &versions[2][..])];
        fine(&run, &log(&keys));
        // One read of an old version.
        let at = run.iter().position(|operation| match &operation.answered {
            Some((_, Answer::Many(answers))) => {
                20 <= operation.connection && matches!(answers[0], Answer::Value(_))
            }
            _ => false,
        });
        let Some(at) = at else { continue };
        let Request::Execute { requests, .. } = &run[at].request else { continue };
        let Request::Get(key) = requests[0] else { continue };
        let first = versions[usize::from(key.0)][0];
        // Overwritten long before.
        if versions[usize::from(key.0)].get(1).is_none_or(|second| 100 < *second) {
            continue;
        }
        if let Some((_, Answer::Many(answers))) = &mut run[at].answered
            && answers[0] != got(first)
        {
            answers[0] = got(first);
            let found = judge_all(&run, &log(&keys), Known::AfterCrash);
            assert!(found.is_err(), "round {round}");
        }
    }
}
