//! Reads the one decimal spelling an integer has.
//!
//! A counter is stored as text. Only text that an integer prints as counts as one, so that no
//! command changes the spelling of a value it did not mean to touch.

/// `text` as a 64-bit integer: digits, perhaps a minus before them, nothing else. No plus, no
/// space, no leading zero, no `-0`.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    // Counted downwards: the smallest integer has no positive counterpart.
    let mut number: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if is_negative { Some(number) } else { number.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_spelling_is_an_integer() {
        let good: &[(&str, i64)] = &[
            ("0", 0),
            ("7", 7),
            ("-7", -7),
            ("10", 10),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ];
        for (text, number) in good {
            assert_eq!(parse_integer(text.as_bytes()), Some(*number), "{text:?}");
        }
        let bad = [
            "",
            "-",
            "-0",
            "00",
            "07",
            "-07",
            "+7",
            " 7",
            "7 ",
            "7a",
            "1.0",
            "1e3",
            "0x10",
            "--7",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999",
        ];
        for text in bad {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_integer_parses_exactly_if_it_prints_the_same(text in "-?[0-9]{1,21}| ?[0-9+-]{0,4}") {
            let standard = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            prop_assert_eq!(parse_integer(text.as_bytes()), standard);
        }
    }
}
