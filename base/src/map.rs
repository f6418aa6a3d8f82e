//! Maps whose iteration order depends on nothing but their history.
//!
//! `std`'s default hasher draws a random seed per map, so two runs of one seed of the simulator
//! would differ. These use a fixed seed; where keys come from clients, callers hash the key with
//! a keyed hash first and store the result.

use std::collections::{HashMap, HashSet};

use foldhash::quality::FixedState;

/// A hash map with a deterministic iteration order.
pub type Map<K, V> = HashMap<K, V, FixedState>;

/// A hash set with a deterministic iteration order.
pub type Set<K> = HashSet<K, FixedState>;
