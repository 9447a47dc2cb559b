//! A map of recently used keys in bounded memory. Clients choose the keys, so the map must not grow with the number of
//! keys that they send, and no call may walk over all entries. An LRU cache would need a list beside the map.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Values by key, in two generations. An entry is kept for at least `keep` after its last use: a generation lasts that
/// long, and then the entries of the generation before are dropped.
///
/// A generation also ends when it has `capacity` keys. A flood of keys can therefore make the map drop entries early,
/// but never makes it larger.
#[derive(Debug)]
pub struct RecentMap<K, V> {
    keep: Duration,
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Start of the young generation.
    since: Instant,
}

impl<K: Eq + Hash, V: Default> RecentMap<K, V> {
    /// An empty map of at most twice `capacity` keys; a capacity of 0 counts as 1.
    #[must_use]
    pub fn new(keep: Duration, capacity: usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { keep, capacity: capacity.max(1), young, old, since: Instant::now() }
    }

    /// The value of `key`, which is the default value if the map has none. Counts as a use.
    pub fn touch(&mut self, key: K, now: Instant) -> &mut V {
        let full = self.young.len() >= self.capacity && !self.young.contains_key(&key);
        if full || now.saturating_duration_since(self.since) >= self.keep {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        let carried = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| carried.unwrap_or_default())
    }

    /// The value of `key`, if the map has one. Does not count as a use.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_entry_is_kept_for_the_whole_time_and_dropped_later() {
        let start = Instant::now();
        let mut map = RecentMap::<&str, u32>::new(MINUTE, 100);
        *map.touch("a", start) = 1;
        // Other keys make generations pass; `a` is still within its minute.
        map.touch("b", start + MINUTE / 2);
        map.touch("c", start + MINUTE);
        assert_eq!(*map.touch("a", start + MINUTE), 1);
        map.touch("d", start + 2 * MINUTE);
        map.touch("e", start + 3 * MINUTE);
        assert_eq!(*map.touch("a", start + 3 * MINUTE), 0);
    }

    #[test]
    fn many_keys_use_bounded_memory() {
        let now = Instant::now();
        let mut map = RecentMap::<u32, u32>::new(MINUTE, 100);
        for key in 0..100_000 {
            *map.touch(key, now) += 1;
            assert!(map.len() <= 200);
        }
        assert_eq!(*map.touch(99_950, now), 1, "the map still has the latest keys");
    }
}
