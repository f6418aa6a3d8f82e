//! What a command must know of the client it serves, wherever it runs.

use net::Protocol;

use crate::durability::Durability;

/// Travels with every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) database: u16,
    pub(crate) protocol: Protocol,
    pub(crate) durability: Durability,
    /// The client's reads count as uses of a key (CLIENT NO-TOUCH).
    pub(crate) touches: bool,
    /// Its replies are large: the others go first.
    pub(crate) is_patient: bool,
}
