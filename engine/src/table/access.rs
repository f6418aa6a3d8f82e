//! The access word: when a key was last used, or how often.
//!
//! Under [`AccessPolicy::Lru`] it is the second of the last use. Under [`AccessPolicy::Lfu`] the
//! low eight bits count uses on a logarithmic scale, and the others hold the minute in which the
//! count was last lowered. It is a hint of this node's: neither logged nor part of a digest.

use super::entry::{ACCESS_MASK, Entry};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessPolicy {
    /// Least recently used.
    #[default]
    Lru,
    /// Least frequently used.
    Lfu,
}

/// The count of a key at its first use, so that new keys are not the first to go.
const COUNT_INITIAL: u32 = 5;
const COUNT_MAX: u32 = 255;
/// How much rarer the count rises with each step (Redis: `lfu-log-factor`).
const COUNT_FACTOR: u64 = 10;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const MINUTES_MASK: u32 = 0xffff;

/// Notes a use. `chance` is any 64 random bits.
pub(super) fn touch(entry: Entry<'_>, now_ms: u64, policy: AccessPolicy, chance: u64) {
    entry.set_access(match policy {
        AccessPolicy::Lru => seconds(now_ms),
        AccessPolicy::Lfu => {
            let count = match entry.access() {
                0 => COUNT_INITIAL,
                _ => raised(entry.frequency(now_ms), chance),
            };
            (minutes(now_ms) << 8) | count
        }
    });
}

fn raised(count: u32, chance: u64) -> u32 {
    let above = u64::from(count.saturating_sub(COUNT_INITIAL));
    let rises = chance.is_multiple_of(above * COUNT_FACTOR + 1);
    if rises { (count + 1).min(COUNT_MAX) } else { count }
}

fn seconds(now_ms: u64) -> u32 {
    (now_ms / SECOND_MS) as u32 & ACCESS_MASK
}

fn minutes(now_ms: u64) -> u32 {
    (now_ms / MINUTE_MS) as u32 & MINUTES_MASK
}

impl Entry<'_> {
    /// Under LRU: how long ago the last use was, to the second.
    pub fn idle_ms(self, now_ms: u64) -> u64 {
        u64::from(seconds(now_ms).wrapping_sub(self.access()) & ACCESS_MASK) * SECOND_MS
    }

    /// Under LRU: the last use was so many seconds ago. Neither logged nor in a digest.
    pub(crate) fn set_idle(self, now_ms: u64, idle_seconds: u64) {
        // What is longer ago than the word can tell is as long ago as it can.
        let idle_seconds = idle_seconds.min(u64::from(ACCESS_MASK)) as u32;
        self.set_access(seconds(now_ms).wrapping_sub(idle_seconds));
    }

    /// Under LFU: the count of uses is this. Neither logged nor in a digest.
    pub(crate) fn set_frequency(self, now_ms: u64, frequency: u8) {
        self.set_access((minutes(now_ms) << 8) | u32::from(frequency));
    }

    /// Under LFU: the count of uses, lowered by one for each minute without one.
    pub fn frequency(self, now_ms: u64) -> u32 {
        let (since, count) = (self.access() >> 8, self.access() & COUNT_MAX);
        count.saturating_sub(minutes(now_ms).wrapping_sub(since) & MINUTES_MASK)
    }
}
