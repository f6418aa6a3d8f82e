//! Doubles as Redis 7.2 and Valkey print them, in replies and in small sorted sets.
//!
//! The shortest digits that read back as the same number, laid out by these rules. The digits taken
//! as one integer, times `10^k`, are the number; `e` is its exponent in scientific notation:
//!
//! * whole numbers within ±2^62: all digits (`100000000000000000`);
//! * `0 <= k` and `k < 8`: trailing zeros (`123456789012345690000000`);
//! * `-7 < k < 0`, or `k < 0` and `|e| < 4`: a decimal fraction (`0.00001`);
//! * otherwise scientific, the exponent with its sign and without leading zeros (`1e+19`, `1e-7`).
//!
//! Redis's own algorithm misses the shortest digits about once in 400 numbers and then prints
//! other digits of the same double; these are always the shortest.

use std::fmt::{self, Write};

/// A printed double.
#[derive(Debug)]
pub struct Text {
    bytes: [u8; TEXT_SIZE_MAX],
    size: usize,
}

/// Seventeen digits, a sign, a point and an exponent of three digits fit; so do 24 whole digits
/// and `0.` with the zeros that are printed before a fraction.
const TEXT_SIZE_MAX: usize = 32;

/// Above this, Redis no longer prints whole numbers as integers.
const WHOLE_MAX: f64 = (1_u64 << 62) as f64;

impl Text {
    pub fn new(value: f64) -> Self {
        let mut text = Self { bytes: [0; TEXT_SIZE_MAX], size: 0 };
        if value.is_nan() {
            text.push(b"nan");
        } else if value.is_infinite() {
            text.push(if value < 0.0 { b"-inf".as_slice() } else { b"inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() { b"-0".as_slice() } else { b"0" });
        } else if value.abs() <= WHOLE_MAX && value.trunc() == value {
            text.push(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            text.print(value);
        }
        text
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }

    fn print(&mut self, value: f64) {
        let mut scientific = Self { bytes: [0; TEXT_SIZE_MAX], size: 0 };
        write!(scientific, "{:e}", value.abs()).expect("seventeen digits and an exponent fit");
        let Decimal { digits, digit_count, exponent } = Decimal::parse(scientific.as_bytes());
        let digits = &digits[..digit_count];
        let count = digit_count as i32;
        let scale = exponent - (count - 1);

        if value < 0.0 {
            self.push(b"-");
        }
        if (0..8).contains(&scale) {
            self.push(digits);
            self.push_zeros(scale);
        } else if scale < 0 && (-7 < scale || exponent.abs() < 4) {
            if exponent < 0 {
                self.push(b"0.");
                self.push_zeros(-exponent - 1);
                self.push(digits);
            } else {
                let (whole, fraction) = digits.split_at(exponent as usize + 1);
                self.push(whole);
                self.push(b".");
                self.push(fraction);
            }
        } else {
            let (first, fraction) = digits.split_at(1);
            self.push(first);
            if !fraction.is_empty() {
                self.push(b".");
                self.push(fraction);
            }
            self.push(if exponent < 0 { b"e" } else { b"e+" });
            self.push(itoa::Buffer::new().format(exponent).as_bytes());
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.size..][..bytes.len()].copy_from_slice(bytes);
        self.size += bytes.len();
    }

    fn push_zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.push(b"0");
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// A positive number as its digits, the point behind the first, times ten to the `exponent`.
struct Decimal {
    digits: [u8; 17],
    digit_count: usize,
    exponent: i32,
}

impl Decimal {
    /// Reads what the `{:e}` of the standard library prints: `d.ddde-7`.
    fn parse(text: &[u8]) -> Self {
        let mut decimal = Self { digits: [0; 17], digit_count: 0, exponent: 0 };
        let end = text.iter().position(|byte| *byte == b'e').expect("`{:e}` prints an e");
        for digit in text[..end].iter().filter(|byte| byte.is_ascii_digit()) {
            decimal.digits[decimal.digit_count] = *digit;
            decimal.digit_count += 1;
        }
        let exponent = std::str::from_utf8(&text[end + 1..]).expect("what is printed is text");
        decimal.exponent = exponent.parse().expect("`{:e}` prints an exponent");
        decimal
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use proptest::prelude::*;

    #[test]
    fn doubles_are_laid_out_as_redis_does() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333333333333333"),
            (123_456.789, "123456.789"),
            (1e17, "100000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (4.7e18, "4.7e+18"),
            (-1e19, "-1e+19"),
            (1.5e21, "1.5e+21"),
            (1.234_567_890_123_456_9e23, "123456789012345690000000"),
            (1.5e-5, "0.000015"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.234e-7, "1.234e-7"),
            (0.001_234_567_890_12, "0.00123456789012"),
            (0.000_123_456_789_012, "1.23456789012e-4"),
            (12_345.123_456_789, "1.2345123456789e+4"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-1.234_567_890_123_456_7e-100, "-1.2345678901234567e-100"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(Text::new(value).as_bytes().escape_ascii().to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same_number(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let text = String::from_utf8(Text::new(value).as_bytes().to_vec()).expect("ASCII");
            prop_assert_eq!(text.parse::<f64>().expect("a number").to_bits(), bits);
        }

        #[test]
        fn numbers_of_everyday_size_read_back_too(value in -1e30_f64..1e30, scale in -40..10) {
            let value = value * 10_f64.powi(scale);
            let text = String::from_utf8(Text::new(value).as_bytes().to_vec()).expect("ASCII");
            prop_assert_eq!(text.parse::<f64>().expect("a number"), value);
        }
    }
}
