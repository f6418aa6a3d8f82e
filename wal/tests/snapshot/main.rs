//! Chunks and manifests as files: round trips, damage, hostile bytes, the shipped format.

mod bench;
mod damage;
mod golden;
mod hostile;
mod round_trip;
