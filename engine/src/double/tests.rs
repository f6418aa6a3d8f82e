//! Texts that C reads as numbers and texts that it does not.

use proptest::prelude::*;

use super::*;

/// Fails when hexadecimal digits are rounded twice, and when a number too small passes for zero.
#[test]
fn numbers_are_read_as_c_reads_them() {
    for (text, expected) in [
        ("1", Some(1.0)),
        ("-1.5e3", Some(-1500.0)),
        ("+.5", Some(0.5)),
        ("5.", Some(5.0)),
        ("inf", Some(f64::INFINITY)),
        ("-Infinity", Some(f64::NEG_INFINITY)),
        ("+inf", Some(f64::INFINITY)),
        ("0x10", Some(16.0)),
        ("-0X1.8p1", Some(-3.0)),
        ("0x.8", Some(0.5)),
        ("0x1p-1074", Some(5e-324)),
        ("0x20000000000001", Some(9_007_199_254_740_992.0)),
        ("0x20000000000001.00000000000000000000000000001", Some(9_007_199_254_740_994.0)),
        ("0x1.fffffffffffff8p1023", None),
        ("0x1p-1075", None),
        ("0x1.8p-1075", Some(5e-324)),
        ("0x0p99999999999999999999", Some(0.0)),
        ("0x", None),
        ("0x1p", None),
        ("0x1p+-1", None),
        ("0x1g", None),
        ("", None),
        (".", None),
        ("e5", None),
        ("1e", None),
        ("1 ", None),
        (" 1", None),
        ("nan", None),
        ("-nan", None),
        ("--1", None),
        ("1e400", None),
        ("1e-400", None),
        ("0e-400", Some(0.0)),
        ("5e-324", Some(5e-324)),
        ("1_000", None),
    ] {
        assert_eq!(parse_double(text.as_bytes()), expected, "{text}");
    }
    assert!(parse_double(b"-0").expect("it is a number").is_sign_negative());
}

/// Fails when the bound of a range is read as an argument is.
#[test]
fn bounds_are_read_less_strictly() {
    for (text, expected) in [
        (&b""[..], Some(0.0)),
        (b"  7", Some(7.0)),
        (b"  ", None),
        (b"7 ", None),
        (b"1\0x", Some(1.0)),
        (b"1e400", Some(f64::INFINITY)),
        (b"-1e400", Some(f64::NEG_INFINITY)),
        (b"1e-400", Some(0.0)),
        (b"nan", None),
    ] {
        assert_eq!(parse_bound(text), expected, "{}", text.escape_ascii());
    }
}

/// Fails when the exponent has one digit.
#[test]
fn seventeen_digits_are_printed_as_c_prints_them() {
    for (number, expected) in [
        (0.1, "0.10000000000000001"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (1.5e-5, "1.5e-05"),
        (1e-4, "0.0001"),
        (123_456.789, "123456.789"),
        (-0.0, "-0"),
        (0.0, "0"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(print_in_full(number), expected);
    }
}

proptest! {
    #[test]
    fn what_is_printed_in_full_reads_back(bits: u64) {
        let number = f64::from_bits(bits);
        prop_assume!(!number.is_nan());
        let text = print_in_full(number);
        prop_assert_eq!(read(text.as_bytes()).map(|(number, _)| number.to_bits()), Some(bits));
    }

    #[test]
    fn hexadecimal_digits_of_a_double_are_that_double(mantissa in 0u64..1 << 53, power in -1074i32..900) {
        let text = format!("0x{mantissa:x}p{power}");
        let expected = scaled(u128::from(mantissa), i64::from(power));
        prop_assert_eq!(read(text.as_bytes()).map(|(number, _)| number), Some(expected));
        if power.abs() < 900 {
            prop_assert_eq!(expected, mantissa as f64 * 2f64.powi(power));
        }
    }
}
