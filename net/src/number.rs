//! Numbers as RESP writes them: one spelling each.
//!
//! No plus sign, no leading zero, no `-0`, no blanks: what Redis's `string2ll` accepts.

/// The number a whole line spells, or nothing if it is no canonical 64-bit number.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    // Accumulated below zero, because i64::MIN has no positive counterpart.
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if 9 < digit {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// The line nearly every request is made of: `marker`, one to eight digits, CR, LF.
///
/// Returns the number and the size of the line with its end. `None` decides nothing: the line may
/// be unusual, wrong, or not here yet.
#[inline]
pub(crate) fn parse_short_line(line: &[u8], marker: u8) -> Option<(usize, usize)> {
    let [first, rest @ ..] = line else { return None };
    if *first != marker {
        return None;
    }
    let mut value = 0;
    for (index, byte) in rest.iter().take(9).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + usize::from(digit);
            continue;
        }
        let canonical = index == 1 || (1 < index && rest[0] != b'0');
        let ended = *byte == b'\r' && rest.get(index + 1) == Some(&b'\n');
        return (canonical && ended).then_some((value, index + 3));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_short_line};

    #[test]
    fn every_number_has_exactly_one_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("10", Some(10)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551617", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("-01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("--1", None),
            ("1/", None),
            ("1:", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one_or_declines() {
        for (line, expected) in [
            ("$0\r\n", Some((0, 4))),
            ("$3\r\nabc", Some((3, 4))),
            ("$99999999\r\n", Some((99_999_999, 11))),
            ("$100000000\r\n", None),
            ("$\r\n", None),
            ("$-1\r\n", None),
            ("$00\r\n", None),
            ("$03\r\n", None),
            ("$3\r", None),
            ("$3", None),
            ("$", None),
            ("", None),
            ("*3\r\n", None),
            ("$3\n", None),
            ("$3\rx", None),
            ("$3 \r\n", None),
        ] {
            assert_eq!(parse_short_line(line.as_bytes(), b'$'), expected, "{line:?}");
        }
    }
}
