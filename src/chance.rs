//! Randomness from the kernel: what a start draws once, for seeds and identities.

use rustix::rand::{GetRandomFlags, getrandom};

/// `N` random bytes (getrandom(2)).
pub fn random_bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes)
}
