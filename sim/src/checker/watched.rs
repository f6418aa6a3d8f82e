//! What clients knew of the keys they watched when their EXEC went through.
//!
//! A key that was read after its WATCH must still hold what was read when EXEC executes: to every
//! checker that is one more read of the transaction.

use base::Map;

use crate::history::{Answer, Key, Operation, Request};

/// By number of the EXEC.
#[derive(Debug, Default)]
pub struct Watched {
    seen: Map<usize, Vec<(Key, Answer)>>,
}

impl Watched {
    pub fn find(operations: &[Operation], first: usize) -> Self {
        let mut watched = Self::default();
        // Of each connection: what it watches, in which database, and what it read there.
        let mut open: Map<u32, Vec<(u16, Key, Option<Answer>)>> = Map::default();
        for (number, operation) in operations.iter().enumerate().skip(first) {
            match &operation.request {
                Request::Watch(keys) if operation.answered.is_some() => {
                    let open = open.entry(operation.connection).or_default();
                    open.extend(keys.iter().map(|key| (operation.database, *key, None)));
                }
                Request::Get(key) => {
                    let Some((_, answer)) = &operation.answered else { continue };
                    let Some(open) = open.get_mut(&operation.connection) else { continue };
                    for (database, watched, seen) in open {
                        if *database == operation.database && watched == key {
                            seen.get_or_insert_with(|| answer.clone());
                        }
                    }
                }
                Request::Unwatch | Request::Discard => {
                    open.remove(&operation.connection);
                }
                Request::Execute { .. } => {
                    let open = open.remove(&operation.connection).unwrap_or_default();
                    if matches!(operation.answered, Some((_, Answer::Many(_)))) {
                        let known = open.into_iter().filter_map(|(database, key, seen)| {
                            (database == operation.database).then_some((key, seen?))
                        });
                        watched.seen.insert(number, known.collect());
                    }
                }
                _ => {}
            }
        }
        watched
    }

    /// What the client of this EXEC had read of the keys it watched.
    pub fn seen(&self, number: usize) -> &[(Key, Answer)] {
        self.seen.get(&number).map_or(&[], Vec::as_slice)
    }
}
