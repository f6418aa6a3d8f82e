//! What left the keyspace and is yet to be freed: large values, whole databases.

use std::collections::VecDeque;

use crate::table::{EntryBox, Table, is_large};

/// Bytes of a large value that cost as much to free as an entry.
const BYTES_PER_ENTRY: usize = 4096;

/// Owner: keyspace.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    entries: VecDeque<EntryBox>,
    entries_size: usize,
    tables: VecDeque<Table>,
}

impl Garbage {
    /// Frees an entry, now if it is small.
    pub(crate) fn take_entry(&mut self, entry: EntryBox) {
        if is_large(entry.view()) {
            self.entries_size += entry.view().size();
            self.entries.push_back(entry);
        }
    }

    pub(crate) fn take_table(&mut self, table: Table) {
        self.tables.push_back(table);
    }

    pub(crate) fn size(&self) -> usize {
        let tables = self.tables.iter().map(|table| table.memory().total());
        self.entries_size + tables.sum::<usize>()
    }

    /// Frees some. True if there is more.
    pub(crate) fn free(&mut self, budget: &mut usize) -> bool {
        while 0 < *budget {
            let mut large = Vec::new();
            let is_more = self.step(budget, &mut large);
            large.into_iter().for_each(|entry| self.take_entry(entry));
            if !is_more {
                break;
            }
        }
        !(self.entries.is_empty() && self.tables.is_empty())
    }

    /// Goes on with what is first. False if there is nothing.
    fn step(&mut self, budget: &mut usize, large: &mut Vec<EntryBox>) -> bool {
        if let Some(entry) = self.entries.front_mut() {
            let size = entry.view().size();
            let is_more = match entry.object_mut() {
                Some(object) => object.free(budget, large),
                None => {
                    *budget = budget.saturating_sub(size / BYTES_PER_ENTRY);
                    false
                }
            };
            let left = if is_more { entry.view().size() } else { 0 };
            self.entries_size = self.entries_size - size + left;
            if !is_more {
                self.entries.pop_front();
            }
        } else if let Some(table) = self.tables.front_mut() {
            if !table.free(budget, large) {
                self.tables.pop_front();
            }
        } else {
            return false;
        }
        true
    }

    pub(crate) fn check(&self) {
        let sizes = self.entries.iter().map(|entry| entry.view().size());
        assert!(sizes.sum::<usize>() == self.entries_size);
    }
}
