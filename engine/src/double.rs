//! Doubles as clients spell them: scores, weights, and where a range of scores begins and ends.
//!
//! Text is read as C's `strtod` reads it, correctly rounded: decimal or hexadecimal, with a point
//! and an exponent, or an infinity. What is printed in full, `%.17g`, is what Redis shows of scores
//! in an iteration; everywhere else they are [`base::double`].

use std::fmt::Write;

#[cfg(test)]
mod tests;

/// A number as an argument; None if it is none, or too large or too small to be told from an
/// infinity or zero. Never NaN.
pub(crate) fn parse_double(text: &[u8]) -> Option<f64> {
    let (number, is_exact_enough) = read(text)?;
    is_exact_enough.then_some(number)
}

/// A number as a bound of a range, which Redis reads less strictly: blanks may be before it,
/// nothing at all is zero, a zero byte ends it, and what is too large is infinite.
pub(crate) fn parse_bound(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or(text);
    if text.is_empty() {
        return Some(0.0);
    }
    let start = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    read(&text[start..]).map(|(number, _)| number)
}

/// As C's `isspace`.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The number, and false if it was too large or too small.
fn read(text: &[u8]) -> Option<(f64, bool)> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let sign = if is_negative { -1.0 } else { 1.0 };
    if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
        return Some((sign * f64::INFINITY, true));
    }
    let (number, is_zero) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => hexadecimal(rest)?,
        [b'.' | b'0'..=b'9', ..] => {
            let number: f64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
            let mantissa = digits.split(|byte| byte.eq_ignore_ascii_case(&b'e')).next()?;
            (number, mantissa.iter().all(|byte| matches!(byte, b'0' | b'.')))
        }
        _ => return None,
    };
    let is_in_range = number.is_finite() && (is_zero || number != 0.0);
    Some((sign * number, is_in_range))
}

/// The bits of the mantissa that are kept while digits are read; more only tell a number from a
/// half of the last place.
const KEPT_BITS: u32 = 120;

/// Hexadecimal digits with perhaps a point and a power of two, and whether they are all zero.
fn hexadecimal(text: &[u8]) -> Option<(f64, bool)> {
    let end = text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'p'));
    let (digits, exponent) = match end {
        None => (text, 0),
        Some(end) => {
            let power = std::str::from_utf8(&text[end + 1..]).ok()?;
            let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            // What does not fit is as good as any other power as large.
            let far = if power.starts_with('-') { -FAR } else { FAR };
            (&text[..end], power.parse::<i64>().map_or(far, |power| power.clamp(-FAR, FAR)))
        }
    };
    let (mut mantissa, mut exponent) = (0u128, exponent);
    let (mut count, mut is_behind_point, mut is_more) = (0, false, false);
    for byte in digits {
        if *byte == b'.' && !is_behind_point {
            is_behind_point = true;
            continue;
        }
        let digit = char::from(*byte).to_digit(16)?;
        count += 1;
        if mantissa >> KEPT_BITS == 0 {
            mantissa = (mantissa << 4) | u128::from(digit);
            exponent -= if is_behind_point { 4 } else { 0 };
        } else {
            is_more |= digit != 0;
            exponent += if is_behind_point { 0 } else { 4 };
        }
    }
    if count == 0 {
        return None;
    }
    // One more bit below all others rounds as whatever was cut off does.
    Some((scaled((mantissa << 1) | u128::from(is_more), exponent - 1), mantissa == 0))
}

/// Powers of two beyond this leave nothing, or infinity, of any text that fits a request.
const FAR: i64 = 1 << 40;

/// `mantissa * 2^exponent`, rounded half to even.
fn scaled(mantissa: u128, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = i64::from(u128::BITS - mantissa.leading_zeros());
    // The exponent of the last bit that the format keeps.
    let last = (exponent + bits - 53).max(-1074);
    if 1024 < last {
        return f64::INFINITY;
    }
    let kept = match u32::try_from(last - exponent) {
        Err(_) => mantissa << (exponent - last),
        Ok(cut) if 127 < cut => 0,
        Ok(0) => mantissa,
        Ok(cut) => {
            let (kept, rest) = (mantissa >> cut, mantissa & ((1 << cut) - 1));
            let half = 1 << (cut - 1);
            kept + u128::from(half < rest || (half == rest && kept & 1 == 1))
        }
    };
    // Both factors are exact, and so is the product unless it is infinite: it was rounded above.
    let mut number = kept as f64;
    let mut power = last;
    while power != 0 {
        let step = power.clamp(-1000, 1000);
        number *= 2f64.powi(step as i32);
        power -= step;
    }
    number
}

/// Seventeen digits, as C's `%.17g` prints them.
pub(crate) fn print_in_full(number: f64) -> String {
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.into();
    }
    let scientific = format!("{number:.16e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` prints an e");
    let exponent: i32 = exponent.parse().expect("`{:e}` prints an exponent");
    if (-4..17).contains(&exponent) {
        let places = usize::try_from(16 - exponent).expect("the exponent is below 17");
        return without_zeros(&format!("{number:.places$}")).into();
    }
    let mut text = String::from(without_zeros(digits));
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(text, "e{sign}{:02}", exponent.unsigned_abs()).expect("a string takes any text");
    text
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}
