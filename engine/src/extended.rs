//! Numbers of the 80-bit format in which Redis computes `INCRBYFLOAT`, exactly.
//!
//! A client sees that format: in the digits of a sum, in what is too large and in what is not a
//! number. So text is read into it correctly rounded, sums are rounded to it, and a number prints
//! as C's `%.17Lf` prints it, less the zeros at the end.
//!
//! A number that is not zero is `mantissa * 2^exponent` with the top bit of the mantissa set,
//! however small it is; only a result is rounded to what the format's smallest exponent leaves.

#[cfg(test)]
mod tests;

/// A number of the 80-bit extended format; it is not NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extended {
    Zero,
    Infinite { negative: bool },
    Finite { negative: bool, mantissa: u64, exponent: i32 },
}

/// The exponent of the last bit of the smallest numbers.
const EXPONENT_MIN: i32 = -16445;
/// The exponent of the last bit of the largest numbers.
const EXPONENT_MAX: i32 = 16383 - 63;

/// Longer texts are no numbers to Redis (`MAX_LONG_DOUBLE_CHARS`).
const TEXT_SIZE_MAX: usize = 5 * 1024;

impl Extended {
    /// Reads what C's `strtold` reads: decimal or hexadecimal, with a point and an exponent, or
    /// an infinity. None if it is something else, or too large or too small to be told from an
    /// infinity or zero.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if TEXT_SIZE_MAX <= text.len() {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite { negative });
        }
        let (digits, base) = match text {
            [b'0', b'x' | b'X', rest @ ..] => (parse_digits(rest, 16)?, 16),
            rest => (parse_digits(rest, 10)?, 10),
        };
        let is_zero = digits.digits.is_empty();
        let number =
            if base == 16 { digits.hexadecimal(negative) } else { digits.decimal(negative) };
        match number {
            Self::Infinite { .. } => None,
            Self::Zero if !is_zero => None,
            number => Some(number),
        }
    }

    /// The sum, rounded; None if it is no number.
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        let (one, two) = match (self, other) {
            (Self::Infinite { negative: one }, Self::Infinite { negative: two }) if one != two => {
                return None;
            }
            (Self::Infinite { .. }, _) => return Some(self),
            (_, Self::Infinite { .. }) => return Some(other),
            (Self::Zero, _) => return Some(other),
            (_, Self::Zero) => return Some(self),
            (
                Self::Finite { negative, mantissa, exponent },
                Self::Finite { negative: negative_2, mantissa: mantissa_2, exponent: exponent_2 },
            ) => ((negative, mantissa, exponent), (negative_2, mantissa_2, exponent_2)),
        };
        let (large, small) = if (two.2, two.1) <= (one.2, one.1) { (one, two) } else { (two, one) };
        // 62 bits behind the larger one's last: what is shifted out of those only tells that the
        // sum is not exact.
        let shift = (large.2 - small.2) as u32;
        let a = u128::from(large.1) << 62;
        let b = shift_right(u128::from(small.1) << 62, shift);
        let sum = if large.0 == small.0 { a + b } else { a - b };
        Some(round(large.0, sum, large.2 - 62, false))
    }

    /// As Redis prints it for people.
    pub(crate) fn print(self) -> String {
        let (negative, mantissa, exponent) = match self {
            Self::Zero => return "0".into(),
            Self::Infinite { negative } => return if negative { "-inf" } else { "inf" }.into(),
            Self::Finite { negative, mantissa, exponent } => (negative, mantissa, exponent),
        };
        let text = if 0 <= exponent {
            let mut number = Big::from(mantissa);
            number.shift_left(exponent as u32);
            number.decimal()
        } else {
            print_fraction(mantissa, exponent.unsigned_abs())
        };
        if negative && text != "0" { format!("-{text}") } else { text }
    }
}

/// `mantissa / 2^shift` with 17 places, less the zeros at the end.
fn print_fraction(mantissa: u64, shift: u32) -> String {
    const PLACES: u128 = 100_000_000_000_000_000;
    // Below 2^121, so what a shift of 127 leaves is zero and rounds down.
    let scaled = u128::from(mantissa) * PLACES;
    let rounded = if 127 < shift {
        0
    } else {
        let (quotient, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
        let half = 1u128 << (shift - 1);
        quotient + u128::from(half < rest || (half == rest && quotient & 1 == 1))
    };
    let text = format!("{}.{:017}", rounded / PLACES, rounded % PLACES);
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// A shift that remembers in the last bit that ones went out.
fn shift_right(number: u128, shift: u32) -> u128 {
    match number.checked_shr(shift) {
        None => u128::from(number != 0),
        Some(shifted) => shifted | u128::from(shifted << shift != number),
    }
}

/// `number * 2^exponent`, and a little more if `is_more`, rounded to the format, half to even.
fn round(negative: bool, number: u128, exponent: i32, is_more: bool) -> Extended {
    if number == 0 {
        return Extended::Zero;
    }
    let zeros = number.leading_zeros();
    let number = number << zeros;
    // The top 64 bits stay, fewer if the last of them would be below the smallest exponent.
    let exponent_64 = exponent - zeros as i32 + 64;
    let cut = 64 + (EXPONENT_MIN - exponent_64).max(0) as u32;
    if 128 < cut {
        return Extended::Zero;
    }
    let (kept, rest) = match cut {
        128 => (0, number),
        cut => (number >> cut, number & ((1 << cut) - 1)),
    };
    let half = 1u128 << (cut - 1);
    let is_up = half < rest || (half == rest && (is_more || kept & 1 == 1));
    let kept = kept + u128::from(is_up);
    if kept == 0 {
        return Extended::Zero;
    }
    let exponent = exponent_64 + cut as i32 - 64;
    // Back to a set top bit; it may have carried into the 65th.
    let shift = kept.leading_zeros() as i32 - 64;
    let mantissa = if shift < 0 { kept >> 1 } else { kept << shift } as u64;
    let exponent = exponent - shift;
    if EXPONENT_MAX < exponent {
        return Extended::Infinite { negative };
    }
    Extended::Finite { negative, mantissa, exponent }
}

/// Digits without zeros before them, with the power of their base that they are multiplied by;
/// of base 16 the power is one of two.
struct Digits {
    digits: Vec<u8>,
    exponent: i64,
}

/// None if the text is not digits, at most one point among them, and perhaps an exponent.
fn parse_digits(text: &[u8], base: u32) -> Option<Digits> {
    let mut digits = Vec::new();
    let (mut places, mut count, mut at) = (0i64, 0, 0);
    let mut is_behind_point = false;
    while let Some(&byte) = text.get(at) {
        if let Some(digit) = char::from(byte).to_digit(base) {
            count += 1;
            places += i64::from(is_behind_point);
            if !digits.is_empty() || digit != 0 {
                digits.push(digit as u8);
            }
        } else if byte == b'.' && !is_behind_point {
            is_behind_point = true;
        } else {
            break;
        }
        at += 1;
    }
    if count == 0 {
        return None;
    }
    let exponent = match &text[at..] {
        [] => 0,
        [letter, rest @ ..] => {
            let expected = if base == 16 { b'p' } else { b'e' };
            if !letter.eq_ignore_ascii_case(&expected) {
                return None;
            }
            parse_exponent(rest)?
        }
    };
    let exponent = exponent - if base == 16 { 4 * places } else { places };
    Some(Digits { digits, exponent })
}

/// An exponent too large to matter is as good as any other such.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0i64, |number, digit| (number * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(sign * number)
}

impl Digits {
    fn hexadecimal(self, negative: bool) -> Extended {
        let mut number: u128 = 0;
        let mut exponent = self.exponent;
        let mut is_more = false;
        for digit in self.digits {
            if number >> 120 == 0 {
                number = (number << 4) | u128::from(digit);
            } else {
                exponent += 4;
                is_more |= digit != 0;
            }
        }
        round(negative, number, exponent.clamp(-100_000, 100_000) as i32, is_more)
    }

    fn decimal(self, negative: bool) -> Extended {
        // The power of ten just above the number: beyond these it is infinite or zero for sure.
        let top = self.digits.len() as i64 + self.exponent;
        if self.digits.is_empty() || top < -5000 {
            return Extended::Zero;
        }
        if 5000 < top {
            return Extended::Infinite { negative };
        }
        let mut number = Big::default();
        for digit in &self.digits {
            number.multiply_add(10, u32::from(*digit));
        }
        // 10^n is 5^n * 2^n, and only the five needs work.
        let mut exponent = self.exponent as i32;
        let mut is_more = false;
        let mut fives = exponent.unsigned_abs();
        if exponent < 0 {
            // Enough bits behind the point that 96 of the quotient are exact.
            let shift = (fives * 7).div_ceil(3) + 96;
            number.shift_left(shift);
            while 0 < fives {
                let step = fives.min(13);
                is_more |= number.divide(5u32.pow(step)) != 0;
                fives -= step;
            }
            exponent -= shift as i32;
        } else {
            while 0 < fives {
                let step = fives.min(13);
                number.multiply_add(5u32.pow(step), 0);
                fives -= step;
            }
        }
        let (top, dropped, is_cut) = number.top();
        round(negative, top, exponent + dropped, is_more || is_cut)
    }
}

/// A natural number of any size, low words first, without zeros at the top.
#[derive(Clone, Debug, Default)]
struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(number: u64) -> Self {
        let mut big = Self(vec![number as u32, (number >> 32) as u32]);
        big.trim();
        big
    }
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for word in &mut self.0 {
            let product = u64::from(*word) * u64::from(factor) + carry;
            *word = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    /// Returns the remainder.
    fn divide(&mut self, divisor: u32) -> u32 {
        let mut rest = 0;
        for word in self.0.iter_mut().rev() {
            let number = (rest << 32) | u64::from(*word);
            *word = (number / u64::from(divisor)) as u32;
            rest = number % u64::from(divisor);
        }
        self.trim();
        rest as u32
    }

    fn shift_left(&mut self, shift: u32) {
        self.multiply_add(1 << (shift % 32), 0);
        let words = (shift / 32) as usize;
        self.0.splice(0..0, std::iter::repeat_n(0, words));
    }

    /// The top 96 to 128 bits, the power of two they are multiplied by, and whether ones were cut
    /// off below them.
    fn top(&self) -> (u128, i32, bool) {
        let start = self.0.len().saturating_sub(4);
        let top = self.0[start..].iter().rev();
        let number = top.fold(0, |number, word| (number << 32) | u128::from(*word));
        (number, 32 * start as i32, self.0[..start].iter().any(|word| *word != 0))
    }

    fn decimal(mut self) -> String {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            groups.push(self.divide(1_000_000_000));
        }
        let mut groups = groups.into_iter().rev();
        let first = groups.next().unwrap_or(0).to_string();
        groups.fold(first, |text, group| format!("{text}{group:09}"))
    }
}
