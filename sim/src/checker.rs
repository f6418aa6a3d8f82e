//! Judges a history: every question that can be asked of what clients saw and what survived.

pub mod object;

mod effects;
mod graph;
mod ledger;
mod projection;
mod search;
mod serial;
mod watched;

pub use effects::{Item, Made, Seen, Transaction};
pub use graph::{Graph, Why};
pub use ledger::{check_ledger, check_memory_age, check_order_of_texts};
pub use projection::check_linearizable;
pub use search::Tracks;
pub use serial::{Known, Versions, check_serializable, judge};
