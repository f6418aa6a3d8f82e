//! What the differential fuzzer has found, one by one.

use crate::cores::Cores;

fn node() -> Cores {
    let mut node = Cores::new(1, 4);
    (1..=2).for_each(|client| node.cores[0].connect(client));
    node
}

/// Red when a list that is as before counts as unchanged.
#[test]
fn a_list_moved_onto_itself_is_changed_for_who_watches_it() {
    for (pushed, moved) in [
        ("rpush l a b", "lmove l l right right"),
        ("rpush l a", "lmove l l left right"),
        ("rpush l a", "rpoplpush l l"),
    ] {
        let mut node = node();
        node.ask(0, 1, pushed);
        node.ask(0, 2, "pexpire l 1000000\nwatch l\nmulti\nllen l");
        node.ask(0, 1, moved);
        assert_eq!(node.ask(0, 2, "exec"), "*-1", "{moved}");
        assert_ne!(node.ask(0, 2, "pttl l"), ":-1", "{moved}");
    }
}

/// Red when a word too many is found before the count is read.
#[test]
fn a_count_is_read_before_a_word_too_many_is_found() {
    let mut node = node();
    let answered = node.ask(0, 1, "zmpop 1 a min count b0 1\nzmpop 1 a min count 1 1");
    assert_eq!(answered, "-ERR count should be greater than 0 -ERR syntax error");
}

/// Red when only one SAMPLES is taken.
#[test]
fn memory_usage_reads_its_options_one_after_the_other() {
    let mut node = node();
    let asked = "memory usage b samples x 29\nmemory usage b samples 1 samples 2\n\
                 memory usage b samples 1 more\nmemory usage b sample 1\nmemory usage b samples -1";
    let answered = "-ERR value is not an integer or out of range $-1 -ERR syntax error \
                    -ERR syntax error -ERR syntax error";
    assert_eq!(node.ask(0, 1, asked), answered);
}
