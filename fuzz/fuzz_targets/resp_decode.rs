//! Arbitrary bytes, cut in arbitrary places, give the requests the whole gives.
//!
//! The check is that of the tests of `net`, which replay the corpus beside this target.

#![no_main]

#[path = "../../net/tests/split/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    check::check(data);
});
