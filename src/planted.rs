//! The bug that `TOROID_PLANT` names: a server that the tests must convict.
//!
//! Only with the feature `planted`, which no release has: a rig that does not find a planted bug
//! proves nothing.

use node::Node;

/// The node, with the bug of this process if it has one.
///
/// # Panics
///
/// If nobody knows a bug of that name: a test would take the sound server for the broken one.
#[cfg(feature = "planted")]
pub fn planted(mut node: Node) -> Node {
    use node::Plant;

    const PLANTS: &[Plant] = &[
        Plant::ReplyBeforeCommit,
        Plant::LeakUncommittedRead,
        Plant::NoEffectUnparked,
        Plant::ForgetFragment,
        Plant::ForgetReadFragment,
        Plant::SayYesEarly,
        Plant::ShowCommitted,
        Plant::ForgetWatch,
        Plant::DropEffect,
    ];
    if let Some(name) = std::env::var_os("TOROID_PLANT") {
        let plant = PLANTS.iter().find(|plant| name.as_os_str() == format!("{plant:?}").as_str());
        let plant = *plant.unwrap_or_else(|| panic!("no bug is named {}", name.display()));
        tracing::warn!("this server has a planted bug: {plant:?}");
        node.plant(plant);
    }
    node
}

#[cfg(not(feature = "planted"))]
pub fn planted(node: Node) -> Node {
    node
}
