//! Every command on keys, by family.

mod keys;
mod strings;
#[cfg(test)]
mod tests;

use crate::command::Command;
use crate::context::Run;

/// The families of commands that run on a slice's keyspace.
pub const FAMILIES: &[&[Command<Run>]] = &[keys::FAMILY, strings::FAMILY];
