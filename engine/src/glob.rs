//! Patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, `\x`, on bytes.
//!
//! Only what follows the last star is ever tried again, so the steps are bounded by the sizes of
//! pattern and text multiplied. The corners are Redis's: an empty text matches an empty pattern
//! only, a class without its end ends with the pattern, bytes of a range compare as signed ones.

/// Whether `pattern` matches all of `text`; `fold` ignores the case of ASCII letters.
#[must_use]
pub fn matches_glob(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut from) = (0, 0);
    // Where to go on when what follows the last star does not match: the star may take more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if at < pattern.len() && pattern[at] == b'*' {
            at += 1;
            retry = Some((at, from));
            continue;
        }
        if from == text.len() {
            return at == pattern.len();
        }
        match matches_one(&pattern[at..], text[from], fold) {
            Some(size) => {
                at += size;
                from += 1;
            }
            None => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                (at, from) = (star, taken + 1);
            }
        }
    }
}

/// If the first element of `pattern` matches `byte`, the size of that element.
fn matches_one(pattern: &[u8], byte: u8, fold: bool) -> Option<usize> {
    let equal = |one: u8, other: u8| match fold {
        true => one.eq_ignore_ascii_case(&other),
        false => one == other,
    };
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => equal(escaped, byte).then_some(2),
        [b'[', ..] => {
            let (size, found) = matches_class(&pattern[1..], byte, fold);
            found.then_some(size + 1)
        }
        [literal, ..] => equal(literal, byte).then_some(1),
    }
}

/// Reads a class behind its `[`: its size with the `]`, and whether it holds `byte`.
fn matches_class(class: &[u8], byte: u8, fold: bool) -> (usize, bool) {
    let lower = |byte: u8| if fold { byte.to_ascii_lowercase() } else { byte };
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    while at < class.len() && class[at] != b']' {
        match class[at..] {
            // An escaped byte keeps its case.
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                // The ends change places before their case is folded.
                let (low, high) = if high as i8 >= low as i8 { (low, high) } else { (high, low) };
                let (low, high) = (lower(low) as i8, lower(high) as i8);
                found |= (low..=high).contains(&(lower(byte) as i8));
                at += 3;
            }
            [literal, ..] => {
                found |= lower(literal) == lower(byte);
                at += 1;
            }
            [] => unreachable!("at is inside the class"),
        }
    }
    ((at + 1).min(class.len()), found != negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        let cases: &[(&str, &str, bool)] = &[
            ("*", "", false),
            ("**", "", false),
            ("a*", "a", true),
            ("a**", "a", true),
            ("[^", "x", true),
            ("[ab", "b", true),
            ("[\\", "\\", true),
            ("\\", "\\", true),
            ("[a-]", "b", false),
            ("[a-]", "^", true),
            ("[\\]x]", "]", true),
            ("[]x", "x", false),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("?", "", false),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h*llo", "hell", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxcxxbxxaxx", false),
            ("maxmemory*", "maxmemory-policy", true),
            ("[", "x", false),
        ];
        for (pattern, text, expected) in cases {
            let found = matches_glob(pattern.as_bytes(), text.as_bytes(), false);
            assert_eq!(found, *expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn case_counts_only_when_it_is_asked_to() {
        assert!(matches_glob(b"SAVE", b"save", true));
        assert!(!matches_glob(b"SAVE", b"save", false));
        assert!(matches_glob(b"[A-C]x", b"bX", true));
        assert!(!matches_glob(b"[\\A]", b"a", true));
        // The ends change places first, and are then the wrong way round.
        assert!(!matches_glob(b"[a-Z]", b"b", true));
        assert!(matches_glob(b"[a-Z]", b"_", false));
    }

    #[test]
    fn bytes_of_a_range_are_signed() {
        assert!(matches_glob(b"[\x7f-\x80]", b"a", false));
        assert!(matches_glob(b"[\x80-\xff]", b"\x90", false));
        assert!(!matches_glob(b"[a-\xff]", b"z", false));
        assert!(matches_glob(b"[a-\xff]", b"A", false));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_linear_steps_for_each() {
        let pattern = b"*a".repeat(64);
        let text = b"a".repeat(4096);
        assert!(matches_glob(&pattern, &text, false));
        assert!(!matches_glob(&[&pattern[..], b"b"].concat(), &text, false));
    }
}
