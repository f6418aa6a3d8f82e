//! The format as it was shipped: `docs/formats/wal.md` is proven by these files.
//!
//! They were written by `cargo run -p wal --example golden -- wal/tests/golden`. They may be
//! written anew only together with a new format version; the old ones stay readable.

use base::{FrameSequence, LogIndex, SliceId, Term};
use wal::{Finding, HardState, Life, Run};

use crate::bench::{body, config, read_log};
use crate::golden_log::{disk_of, files};

const GOLDEN: &[(&str, &[u8])] = &[
    ("00000001.segment", include_bytes!("../golden/00000001.segment")),
    ("00000002.segment", include_bytes!("../golden/00000002.segment")),
    ("00000003.segment", include_bytes!("../golden/00000003.segment")),
    ("00000004.segment", include_bytes!("../golden/00000004.segment")),
    ("00000005.segment", include_bytes!("../golden/00000005.segment")),
    ("hardstate", include_bytes!("../golden/hardstate")),
];

/// Red when: any byte that is written changes its place, meaning or value.
#[test]
fn a_log_is_written_byte_for_byte_as_it_was_shipped() {
    let written = files();
    let names: Vec<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
    let expected: Vec<&str> = GOLDEN.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected);
    for ((name, written), (_, golden)) in written.iter().zip(GOLDEN) {
        let differs = written.iter().zip(*golden).position(|(one, two)| one != two);
        assert_eq!((differs, written.len()), (None, golden.len()), "{name}");
    }
}

/// Red when: a shipped log can no longer be read.
#[test]
fn a_shipped_log_is_read() {
    let mut disk = disk_of(GOLDEN);
    let (recovered, entries) = read_log(&mut disk, &config()).expect("the golden log is whole");
    let read: Vec<(u64, u64, Vec<u8>)> =
        entries.into_iter().map(|(frame, _, _, index, body)| (frame.0, index.0, body)).collect();
    let expected = vec![
        (1, 1, b"the first entry".to_vec()),
        (3, 2, body(2, 70_000)),
        (5, 3, b"an entry of the second boot".to_vec()),
    ];
    assert!(read == expected);
    let (slice, commit) = (SliceId(3), LogIndex(2));
    let state = HardState { slice, term: Term(3), vote: None, commit };
    assert_eq!(recovered.hard_states, vec![state]);
    assert_eq!((recovered.boot, recovered.last), (2, FrameSequence(6)));
    assert_eq!(recovered.node_hints, vec![(base::CoreId(1), FrameSequence(77))]);
    assert_eq!((recovered.cut, recovered.warnings), (None, Vec::new()));

    let mut frames = Vec::new();
    wal::inspect(&mut disk, &mut |finding| {
        if let Finding::Frame { header, life, .. } = finding {
            frames.push((header.sequence.0, header.run, header.is_seal, life));
        }
    })
    .expect("the golden log can be read");
    let expected = vec![
        (1, Run::Single, false, Life::Current),
        (2, Run::First, false, Life::Current),
        (3, Run::Last, false, Life::Current),
        (4, Run::Single, false, Life::Current),
        (6, Run::Single, false, Life::Cut),
        (7, Run::Single, false, Life::Cut),
        (5, Run::Single, false, Life::Current),
        (6, Run::Single, true, Life::Current),
    ];
    assert_eq!(frames, expected);
}
