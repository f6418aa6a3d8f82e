//! Requests do not depend on how their bytes were cut, and are what was sent.

#[path = "split/check.rs"]
mod check;

use check::{End, Outcome, check as check_fuzzed, decode, pieces};
use proptest::collection::vec;
use proptest::prelude::*;

/// A request as a client library writes it.
fn multibulk(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The same as a line of words, each in quotes.
fn inline(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for argument in arguments {
        bytes.extend_from_slice(b" \"");
        for byte in argument {
            match byte {
                b'a'..=b'z' | b' ' => bytes.push(*byte),
                b'\n' => bytes.extend_from_slice(b"\\n"),
                _ => bytes.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        bytes.push(b'"');
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn arguments() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..40), 1..12)
}

/// Bytes that get further than random ones.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        Just(b"*1\r\n$4\r\nPING\r\n".to_vec()),
        Just(b"*2\r\n".to_vec()),
        Just(b"$3\r\nabc\r\n".to_vec()),
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"GET \"a b\" 'c'\r\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"1234567890".to_vec()),
        vec(any::<u8>(), 0..4),
    ];
    vec(fragment, 0..20).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn what_a_client_encodes_is_what_is_decoded(
        requests in vec((arguments(), any::<bool>()), 0..8),
        sizes in vec(any::<u8>(), 0..8),
    ) {
        let bytes: Vec<u8> = requests
            .iter()
            .flat_map(|(arguments, words)| if *words { inline(arguments) } else { multibulk(arguments) })
            .collect();
        let expected = Outcome {
            requests: requests.into_iter().map(|(arguments, _)| Some(arguments)).collect(),
            end: End::Incomplete { more: 1 },
        };
        prop_assert_eq!(decode(pieces(&bytes, &sizes), true), expected);
    }

    #[test]
    fn pieces_of_nonsense_are_the_same_nonsense(
        bytes in fragments(),
        sizes in vec(any::<u8>(), 1..6),
        authenticated: bool,
    ) {
        let whole = decode([bytes.as_slice()], authenticated);
        prop_assert_eq!(decode(pieces(&bytes, &sizes), authenticated), whole);
    }
}

#[test]
fn a_million_arguments_in_small_pieces_are_one_request() {
    let arguments = vec![b"v".to_vec(); 1_000_000];
    let bytes = multibulk(&arguments);
    let outcome = decode(pieces(&bytes, &[255]), true);
    assert_eq!(outcome.end, End::Incomplete { more: 1 });
    assert_eq!(outcome.requests, [Some(arguments)]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the corpus is a folder of files, not of this crate")]
fn the_fuzzers_corpus_holds() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/resp_decode");
    let mut requests = 0;
    let mut failures = 0;
    for file in std::fs::read_dir(directory).expect("the corpus is part of the repository") {
        let path = file.expect("the directory can be listed").path();
        let data = std::fs::read(&path).expect("a corpus file can be read");
        let outcome = check_fuzzed(&data).unwrap_or_else(|| panic!("{path:?} says nothing"));
        requests += outcome.requests.len();
        failures += usize::from(matches!(outcome.end, End::Failed(_)));
    }
    assert!(20 < requests, "the corpus has requests: {requests}");
    assert!(5 < failures, "the corpus has failures: {failures}");
}
