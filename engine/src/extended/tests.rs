//! Numbers as Redis reads, adds and prints them.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Option<Extended> {
    Extended::parse(text.as_bytes())
}

/// The text of the sum; `Err` if a text is no number or the sum is none.
fn add(one: &str, two: &str) -> Result<String, &'static str> {
    let one = parse(one).ok_or("the first is no number")?;
    let two = parse(two).ok_or("the second is no number")?;
    match one.add(two) {
        None | Some(Extended::Infinite { .. }) => Err("not finite"),
        Some(sum) => Ok(sum.print()),
    }
}

/// Broken once by rounding halves up, and once by giving numbers the 53 bits of a double.
#[test]
fn sums_print_as_redis_prints_them() {
    for (one, two, sum) in [
        ("0", "0", "0"),
        ("10.50", "0.1", "10.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("3", "1.5", "4.5"),
        ("1", "-1", "0"),
        ("-0", "-0", "0"),
        ("3.0e3", "1e-17", "3000"),
        ("0.1", "0.2", "0.3"),
        ("1e-17", "0", "0.00000000000000001"),
        ("5e-18", "0", "0"),
        ("-1e-30", "0", "0"),
        ("1", "1e-17", "1.00000000000000001"),
        ("17179869185.5", "0.000001", "17179869185.50000100024044514"),
        ("123456789012345678901234567890", "0", "123456789012345678899921813504"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("18446744073709551616", "1", "18446744073709551616"),
        ("18446744073709551616", "3", "18446744073709551620"),
        ("9223372036854775808", "0.5", "9223372036854775808"),
        ("0x1p-1", "0X1.8P1", "3.5"),
        (".5", "5.", "5.5"),
        ("+7", "-2e0", "5"),
    ] {
        assert_eq!(add(one, two).as_deref(), Ok(sum), "{one} + {two}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "",
        " 1",
        "1 ",
        "1\0",
        "a",
        "1a",
        "1e",
        "1e+",
        ".",
        "-",
        "+",
        "--1",
        "0x",
        "0xg",
        "nan",
        "-nan",
        "nan(1)",
        "infinit",
        "1e5000",
        "-1e4933",
        "1e-5000",
        "0x1p99999",
        "1_0",
        "1,5",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
    assert_eq!(Extended::parse(&[b'0'; TEXT_SIZE_MAX]), None);
    assert_eq!(Extended::parse(&[b'0'; TEXT_SIZE_MAX - 1]), Some(Extended::Zero));
    for (text, negative) in [("inf", false), ("-INFINITY", true), ("+Inf", false)] {
        assert_eq!(parse(text), Some(Extended::Infinite { negative }), "{text:?}");
    }
}

#[test]
fn the_ends_of_the_format_are_where_they_should_be() {
    assert_eq!(add("inf", "-inf"), Err("not finite"));
    assert_eq!(add("1", "inf"), Err("not finite"));
    assert_eq!(add("1e4932", "1e4932"), Err("not finite"));
    let large = add("1e4932", "0").expect("it is finite");
    assert_eq!(large.len(), 4933);
    assert!(large.starts_with("1000000000000000000"));
    let largest = "1.18973149535723176502e4932";
    assert!(matches!(
        parse(largest),
        Some(Extended::Finite { mantissa: u64::MAX, exponent: EXPONENT_MAX, .. })
    ));
    assert_eq!(parse("1.18973149535723176513e4932"), None);
    let smallest =
        Some(Extended::Finite { negative: false, mantissa: 1 << 63, exponent: EXPONENT_MIN - 63 });
    assert_eq!(parse("3.64519953188247460253e-4951"), smallest);
    assert_eq!(parse("0x1p-16445"), smallest);
    assert_eq!(parse("1e-4951"), None);
}

proptest! {
    /// Sums of integers below 2^63 and of multiples of 2^-10 are exact.
    #[test]
    fn sums_of_small_numbers_are_exact(one in -(1i64 << 50)..1 << 50, two in -(1i64 << 50)..1 << 50) {
        // Ten places are exact.
        let text = |number: i64| {
            let text = format!("{:.10}", number as f64 / 1024.0);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        prop_assert_eq!(add(&text(one), &text(two)), Ok(text(one + two)));
        prop_assert_eq!(add(&one.to_string(), &two.to_string()), Ok((one + two).to_string()));
    }

    #[test]
    fn a_printed_number_is_read_back_as_close_as_its_places_allow(
        mantissa in 1u64 << 63..,
        exponent in -70i32..200,
        negative: bool,
    ) {
        let number = Extended::Finite { negative, mantissa, exponent };
        let text = number.print();
        let read = parse(&text).expect("it was printed");
        prop_assert_eq!(read.print(), text);
        if -10 <= exponent {
            prop_assert_eq!(read, number);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-+]?[0-9a-fA-FxXpP.einf]{0,12}") {
        if let Some(number) = parse(&text) {
            prop_assert!(!number.print().is_empty());
        }
    }

    #[test]
    fn sums_do_not_depend_on_the_order(one in "-?[0-9]{1,25}(\\.[0-9]{1,25})?(e-?[0-9]{1,3})?",
                                       two in "-?[0-9]{1,25}(\\.[0-9]{1,25})?") {
        prop_assert_eq!(add(&one, &two), add(&two, &one));
    }
}
